"""EEEA-Net's search against random search: same space, estimator, data and number of rated networks, several seeds.

The measure is the hypervolume of validation error and parameters, between the reference point (error of guessing,
largest parameters in the space) and the ideal (0, 0), as a share of that rectangle: larger is better.

    python benchmarks/versus_random.py [--seeds 5] [--trials 48] [--data fashion-mini] [--out runs/versus_random]

Runs are studies in --out and resume when the command is given again. One line per seed, then medians and wins.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from frugalnas import config, launch, parts, record, store
from frugalnas.core import Trial
from frugalnas.pareto import hypervolume
from frugalnas.survey import survey


def searched(method: str, seed: int, trials: int, data: str, out: Path) -> record.Record:
    folder = out / f"{method}-{seed}"
    if (folder / store.JOURNAL).exists():
        launch.resume(folder, trials=trials)
    else:
        unlimited = {"params": math.inf}  # so that the whole space counts
        launch.search(method, "laptop", data=data, limits=unlimited, trials=trials, seed=seed, out=folder)
    return record.load(folder)


def share(trials: Sequence[Trial], reference: tuple[float, float]) -> float:
    """Hypervolume of (error, params) as a share of the rectangle from the origin to `reference`."""
    points = [(trial.values["error"], trial.values["params"]) for trial in trials if trial.status == "done"]
    return hypervolume(points, reference) / (reference[0] * reference[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--data", default="fashion-mini")
    parser.add_argument("--out", type=Path, default=Path("runs/versus_random"))
    arguments = parser.parse_args()
    problem = parts.problem_of(config.resolve("eeea", "laptop", layers=[{"data": {"source": arguments.data}}]))
    largest = survey(problem).costs["params"][2]
    reference = (1 - 1 / problem.space.classes, largest)  # type: ignore[attr-defined]
    print(f"reference: error {reference[0]:.2f}, params {largest:,.0f}; {arguments.trials} networks a run")
    print(f"{'seed':>4}{'eeea':>9}{'random':>9}{'best error: eeea':>18}{'random':>9}")
    pairs = []
    for seed in range(arguments.seeds):
        records = [
            searched(method, seed, arguments.trials, arguments.data, arguments.out) for method in ("eeea", "random")
        ]
        pairs.append([share(record.trials, reference) for record in records])
        best = [min(trial.values["error"] for trial in record.front) for record in records]
        print(f"{seed:4}{pairs[-1][0]:9.4f}{pairs[-1][1]:9.4f}{best[0]:18.4f}{best[1]:9.4f}", flush=True)
    ours, theirs = zip(*pairs, strict=True)
    wins = sum(a > b for a, b in pairs)
    print(
        f"median: eeea {median(ours):.4f}, random {median(theirs):.4f}; eeea is better in {wins} of {len(pairs)} seeds"
    )


if __name__ == "__main__":
    main()
