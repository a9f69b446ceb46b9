"""What evolving the multipliers with the network saves: EvoApproxNAS against the same search with exact multipliers.

    python benchmarks/evoapprox.py [--seeds 3] [--trials 48] [--data fashion-mini | path/to/cifar10_15k.npz]

Each seed runs the preset `laptop` and the preset `exact` (no other multiplier than the exact 8-bit one) of the method
`evoapprox` for the same number of evaluations. Three measures, on the validation images of the search:
- hypervolume of error and energy, as a share of the rectangle up to guessing and the energy of the costliest network;
- saved at the best: the least energy with an error of at most one point above the best error of the exact search,
  against the least energy that the exact search has within the same point;
- saved along the front: the same for every network of the exact front, the median.
Energy is in exact 8-bit multiplications. Networks that share a training are trained once: `trained` counts these.
Runs are studies in --out; those that are there are not run again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median

from frugalnas import config, launch, record, store
from frugalnas.core import IMAGES, Trial
from frugalnas.pareto import front, hypervolume
from frugalnas.parts import space_of
from frugalnas.report import table

POINT = 0.01
PRESETS = ("exact", "laptop")


def searched(folder: Path, preset: str, source: str, seed: int, trials: int) -> record.Record:
    if not (folder / store.JOURNAL).exists():
        own = config.options(data=source, seed=seed, trials=trials)
        launch.begin(config.resolve("evoapprox", preset, layers=[own]), folder)
    return record.load(folder)


def done(found: record.Record) -> list[Trial]:
    return [trial for trial in found.trials if trial.status == "done"]


def trained(found: record.Record) -> tuple[int, float]:
    """Different trainings, and the passes over the training images that they were."""
    space = space_of(found.header["config"])
    images = {space.trained(trial.candidate.genotype): trial.values[IMAGES] for trial in done(found)}
    return len(images), sum(images.values()) / found.header["images"]["train"]


def cheapest(trials: list[Trial], error: float) -> float | None:
    return min((trial.values["energy"] for trial in trials if trial.values["error"] <= error), default=None)


def saving(exact: list[Trial], approximate: list[Trial], error: float) -> float:
    """The share of energy that the approximate search saves within a point of `error`; 0 where it found nothing."""
    needed, found = cheapest(exact, error + POINT), cheapest(approximate, error + POINT)
    return 0.0 if needed is None or found is None else 1 - found / needed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--data", default="fashion-mini")
    parser.add_argument("--out", type=Path, default=Path("runs/evoapprox"))
    given = parser.parse_args()
    rows = []
    for seed in range(given.seeds):
        found = {
            preset: searched(given.out / f"{preset}-{seed}", preset, given.data, seed, given.trials)
            for preset in PRESETS
        }
        trials = {preset: done(each) for preset, each in found.items()}
        worst = max(trial.values["energy"] for each in trials.values() for trial in each)
        for preset in PRESETS:
            points = [(trial.values["error"], trial.values["energy"]) for trial in trials[preset]]
            networks, epochs = trained(found[preset])
            best = min(error for error, _ in points)
            volume = hypervolume(points, (0.9, worst)) / (0.9 * worst)
            shown = [str(seed), preset, str(len(points)), str(networks), f"{epochs:.1f}", f"{100 * best:.2f}"]
            if preset == "exact":
                rows.append([*shown, f"{volume:.4f}", "", ""])
                continue
            lowest = min(trial.values["error"] for trial in trials["exact"])
            at_best = saving(trials["exact"], trials[preset], lowest)
            steps = front(trials["exact"], ("error", "energy"))
            along = median(saving(trials["exact"], trials[preset], trial.values["error"]) for trial in steps)
            rows.append([*shown, f"{volume:.4f}", f"{100 * at_best:.1f} %", f"{100 * along:.1f} %"])
    header = ["seed", "preset", "evaluated", "trained", "epochs", "least error %", "hypervolume"]
    print(table([*header, "saved at the best", "saved along the front"], rows))


if __name__ == "__main__":
    main()
