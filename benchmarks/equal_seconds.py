"""Searches that look before they train, against those that train everything, at equal seconds on real images.

    python benchmarks/equal_seconds.py [--seconds 90] [--seeds 5] [--searches random nsga2 prescreen untrained]

random: random search; nsga2: NSGA-II, each network trained; prescreen: the same with --prescreen 10 (estimator `auto`);
rwe: the same with random features as the look (method rwe); untrained: NSGA-II over random features and size for half
of the seconds, then its front is trained for the other half. All have eeea's laptop space, limit and training. Two
measures, both of what was trained: the least validation error, and the hypervolume of validation error and parameters
as a share of the rectangle up to guessing and the limit. Start of the workers and references of `auto` count.
Runs are studies in --out; those that are there are not run again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from frugalnas import config, launch, record, store
from frugalnas.pareto import evenly_spread, hypervolume
from frugalnas.report import table
from frugalnas.schema import Tree

LIMIT, GUESSING, FINALISTS = 250_000, 0.9, 24


def tree_of(method: str, preset: str, source: str, seed: int, seconds: float, **layer: object) -> Tree:
    own = config.options(data=source, seed=seed, minutes=seconds / 60)
    return config.resolve(method, preset, layers=[own, layer])


def searched(folder: Path, tree: Tree) -> record.Record:
    if not (folder / store.JOURNAL).exists():
        launch.begin(tree, folder)
    return record.load(folder)


def untrained(folder: Path, source: str, seed: int, seconds: float) -> record.Record:
    looked = searched(folder.with_name(f"{folder.name}-look"), tree_of("rwe", "untrained", source, seed, seconds / 2))
    chosen = [trial.candidate.genotype for trial in evenly_spread(looked.front, looked.objectives, FINALISTS)]
    order = np.random.default_rng(seed).permutation(len(chosen)).tolist()
    listed = {"type": "every_rung", "genotypes": [list(chosen[place]) for place in order]}
    return searched(folder, tree_of("nsganet", "laptop", source, seed, seconds / 2, strategy=listed))


ARMS: dict[str, Callable[[Path, str, int, float], record.Record]] = {
    "random": lambda folder, *given: searched(folder, tree_of("random", "laptop", *given)),
    "nsga2": lambda folder, *given: searched(folder, tree_of("nsganet", "laptop", *given)),
    "prescreen": lambda folder, *given: searched(
        folder, tree_of("nsganet", "laptop", *given, prescreen={"candidates": 10})
    ),
    "rwe": lambda folder, *given: searched(folder, tree_of("rwe", "laptop", *given)),
    "untrained": untrained,
}


def measured(found: record.Record) -> tuple[float, float, int]:
    done = [trial for trial in found.compared if trial.status == "done"]
    points = [(trial.values["error"], trial.values["params"]) for trial in done]
    volume = hypervolume(points, (GUESSING, LIMIT)) / (GUESSING * LIMIT)
    return min(error for error, _ in points), volume, len(done)


def words(values: list[float], digits: int) -> str:
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data", default="fashion-mini")
    parser.add_argument("--out", type=Path, default=Path("runs/equal_seconds"))
    parser.add_argument("--searches", nargs="+", choices=[*ARMS], default=[*ARMS], help="nsga2 among them")
    given = parser.parse_args()
    found: dict[str, list[tuple[float, float, int]]] = {name: [] for name in given.searches}
    for seed in range(given.seeds):
        for name in given.searches:  # interleaved, so that what else the machine does meets all alike
            found[name].append(measured(ARMS[name](given.out / f"{name}-{seed}", given.data, seed, given.seconds)))
            error, volume, trained = found[name][-1]
            print(f"seed {seed} {name:10} error {error:.4f} hypervolume {volume:.4f} trained {trained}", flush=True)
    rows = []
    for name, results in found.items():
        errors, volumes, trained = (list(column) for column in zip(*results, strict=True))
        better = sum(own > other for own, (_, other, _) in zip(volumes, found["nsga2"], strict=True))
        shown = [f"{mean(trained):.0f}", words([100 * error for error in errors], 2), words(volumes, 4)]
        rows.append([name, *shown, "" if name == "nsga2" else f"{better} of {given.seeds}"])
    print(table(["search", "trained", "least error %", "hypervolume", "better than nsga2"], rows))


if __name__ == "__main__":
    main()
