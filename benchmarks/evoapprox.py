"""What evolving the multipliers with the network saves: EvoApproxNAS against the same search with exact multipliers.

    python benchmarks/evoapprox.py [--seeds 3] [--trials 120] [--data fashion-mini | path/to/cifar10_15k.npz]

Each seed runs the preset `laptop` and the preset `exact` (no other multiplier than the exact 8-bit one) of the method
`evoapprox` for the same number of evaluations. Networks that differ in multipliers only share a training, so that
`laptop` trains fewer; the third row of a seed is what `exact` had found after as much training as `laptop` took.
Measures, all on the validation images of the search, energies in exact 8-bit multiplications:
- hypervolume of error and log energy, as a share of the rectangle up to guessing and the costliest network;
- saved: the least energy of `laptop` with an error of at most a point above each network of the front of `exact`, of
  error and energy, against the least energy that `exact` has within the same point; the median over that front;
- on the same network: for networks rated with exact multipliers and with others, how much energy the best of these
  saves at a loss of at most a point; the median, and the most.
Runs are studies in --out; those that are there are not run again.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from math import log10
from pathlib import Path
from statistics import median
from typing import Any

from frugalnas import config, launch, record, store
from frugalnas.core import IMAGES, Trial
from frugalnas.pareto import front, hypervolume
from frugalnas.parts import space_of
from frugalnas.report import table

POINT, GUESSING = 0.01, 0.9
PRESETS = ("exact", "laptop")


def searched(folder: Path, preset: str, source: str, seed: int, trials: int) -> record.Record:
    if not (folder / store.JOURNAL).exists():
        own = config.options(data=source, seed=seed, trials=trials)
        launch.begin(config.resolve("evoapprox", preset, layers=[own]), folder)
    return record.load(folder)


def done(found: record.Record) -> list[Trial]:
    return [trial for trial in found.trials if trial.status == "done"]


def within(trials: list[Trial], images: float) -> list[Trial]:
    """The first trials, as many as so many training images pay for."""
    kept, spent = [], 0.0
    for trial in trials:
        spent += trial.values[IMAGES]
        if spent > images:
            break
        kept.append(trial)
    return kept


def images_of(trials: list[Trial]) -> float:
    return sum(trial.values[IMAGES] for trial in trials)


def volume(trials: list[Trial], worst: float) -> float:
    points = [(trial.values["error"], log10(max(1.0, trial.values["energy"]))) for trial in trials]
    return hypervolume(points, (GUESSING, log10(worst))) / (GUESSING * log10(worst))


def cheapest(trials: list[Trial], error: float) -> float | None:
    return min((trial.values["energy"] for trial in trials if trial.values["error"] <= error + 1e-9), default=None)


def saved(exact: list[Trial], approximate: list[Trial]) -> float:
    """The median share of energy that is saved within a point of the networks of the exact front; less than 0: lost."""
    shares = []
    for trial in front(exact, ("error", "energy")):
        needed, found = (cheapest(each, trial.values["error"] + POINT) for each in (exact, approximate))
        shares.append(1 - found / needed if needed and found is not None else 0.0)
    return median(shares)


def saved_on_the_same(space: Any, trials: list[Trial]) -> list[float]:
    networks = defaultdict(list)
    for trial in trials:
        networks[space.trained(trial.candidate.genotype)].append(trial)
    shares = []
    for several in networks.values():
        exact = [trial for trial in several if trial.values["energy"] == trial.values["macs"]]
        if exact and len(several) > 1:
            least = cheapest(several, exact[0].values["error"] + POINT)
            shares.append(1 - (least or 0.0) / exact[0].values["energy"])
    return shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=120)
    parser.add_argument("--data", default="fashion-mini")
    parser.add_argument("--out", type=Path, default=Path("runs/evoapprox"))
    given = parser.parse_args()
    rows = []
    for seed in range(given.seeds):
        found = {
            preset: searched(given.out / f"{preset}-{seed}", preset, given.data, seed, given.trials)
            for preset in PRESETS
        }
        exact, laptop = (done(found[preset]) for preset in PRESETS)
        same = saved_on_the_same(space_of(found["laptop"].header["config"]), laptop)
        alike = within(exact, images_of(laptop))
        worst = max(trial.values["energy"] for trial in (*exact, *laptop))
        for name, trials in (("exact", exact), ("laptop", laptop), ("exact, as much training", alike)):
            epochs = images_of(trials) / found["exact"].header["images"]["train"]
            least = 100 * min(trial.values["error"] for trial in trials)
            row = [str(seed), name, str(len(trials)), f"{epochs:.0f}", f"{least:.2f}", f"{volume(trials, worst):.3f}"]
            if name == "laptop":
                row += ["", f"{100 * median(same):.0f} %, {100 * max(same):.0f} % ({len(same)})"]
            else:
                row += [f"{100 * saved(trials, laptop):.0f} %", ""]
            rows.append(row)
    header = ["seed", "search", "evaluated", "epochs", "least error %", "hypervolume"]
    print(table([*header, "saved by laptop", "on the same network: median, most (networks)"], rows))


if __name__ == "__main__":
    main()
