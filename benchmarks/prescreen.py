"""What pre-screening is worth at the same number of trained networks, on NAS-Bench-201.

Strategies have the settings of their laptop presets (econas: its variant on one rung). A look gives the published NWOT
and Zen scores, a training the validation error after 200 epochs; minimised are the error alone, then error and
parameters. A network that the table lacks is a look that failed: a third of them are.

    python benchmarks/prescreen.py --data PATH [--seeds 20] [--trials 48] [--candidates 10]

Prints for each the best error (mean over seeds and its standard error), the hypervolume of error and parameters (of the
box to an error of 0.5 and 1.6 million parameters), and how many networks were looked at. "rating" is pre-screening
without a surrogate.
"""

from __future__ import annotations

import argparse
import csv
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from frugalnas.core import Candidate, Genotype, Objective, Problem, Space, Strategy
from frugalnas.distribute import InProcess
from frugalnas.methods import amoebanet, econas, eeea, nsganet
from frugalnas.objectives.count import COSTS
from frugalnas.pareto import hypervolume
from frugalnas.report import table as text_table
from frugalnas.spaces.nasbench201 import NasBench201
from frugalnas.strategies import STRATEGIES
from frugalnas.strategies.prescreened import Prescreened
from frugalnas.study import Study

SPACE, LARGEST = NasBench201(), 1.6e6
ONE_RUNG = {"rungs": 1, "promotions": (), "children": (sum(econas.LAPTOP["strategy"]["children"]),)}
METHODS: dict[str, dict[str, Any]] = {
    "eeea": eeea.LAPTOP["strategy"],
    "nsganet": nsganet.LAPTOP["strategy"],
    "amoebanet": amoebanet.LAPTOP["strategy"],
    "econas": econas.LAPTOP["strategy"] | ONE_RUNG,
    "random": {"type": "random"},
}
NEVER = 1_000_000


@cache
def rows(path: Path) -> Mapping[Genotype, tuple[float, float, float]]:
    """Of each network validation error, and minus its NWOT and Zen scores."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return {
            SPACE.from_string(row["arch_str"]): (
                1 - float(row["c10_val_200"]) / 100,
                -float(row["nwot_c10"] or "nan"),
                -float(row["zen_c10"] or "nan"),
            )
            for row in csv.DictReader(file)
        }


@dataclass(frozen=True)
class Lookup:
    """What the table says of a network, in these columns."""

    path: Path
    values: tuple[str, ...]
    columns: tuple[int, ...]

    def evaluate(self, candidate: Candidate, space: Space, seed: int) -> dict[str, float]:
        row = rows(self.path)[candidate.genotype]
        return {name: row[column] for name, column in zip(self.values, self.columns, strict=True)}


def search(
    method: str, objectives: tuple[str, ...], path: Path, seed: int, trials: int, screen: int, least: int
) -> Study:
    kind, settings = METHODS[method]["type"], {k: v for k, v in METHODS[method].items() if k != "type"}
    given = {} if kind == "random" else {"objectives": objectives}
    strategy: Strategy = STRATEGIES[kind](SPACE, **given, **settings)  # type: ignore[abstract, arg-type]
    ladder, looks = [Lookup(path, ("error",), (0,))], Lookup(path, ("nwot", "zen"), (1, 2))
    if screen:
        costs = tuple(name for name in objectives if name in COSTS)
        counts = {name: COSTS[name] for name in ("params", "macs")}
        strategy = Prescreened(
            strategy,
            SPACE,
            objectives,
            looks.values,
            costs,
            counts,
            candidates=screen,
            least=least,  # type: ignore[arg-type]
        )
        ladder.insert(0, looks)
    minimised = tuple(Objective(name, COSTS.get(name)) for name in objectives)
    study = Study(Problem(SPACE, minimised, tuple(ladder), bool(screen)), strategy, seed=seed)
    study.run(InProcess(), trials=trials)
    return study


def cells(studies: list[Study]) -> list[str]:
    best, volumes = [], []
    for study in studies:
        top = study.problem.looks
        rated = [trial for trial in study.trials if trial.status == "done" and trial.candidate.rung == top]
        points = [(t.values["error"], COSTS["params"](SPACE, t.candidate.genotype) / LARGEST) for t in rated]
        best.append(100 * min(error for error, _ in points))
        volumes.append(hypervolume(points, (0.5, 1.0)) / 0.5)

    def words(numbers: list[float], digits: int) -> str:
        return f"{fmean(numbers):.{digits}f} ± {stdev(numbers) / len(numbers) ** 0.5:.{digits}f}"

    return [words(best, 2), words(volumes, 4), f"{fmean(study.looked for study in studies):.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--candidates", type=int, default=10)
    options = parser.parse_args()
    path = options.data / "nasbench201_10000.csv.gz"
    for objectives in (("error",), ("error", "params")):
        found = []
        for method in METHODS:
            for name, screen, least in (
                ("", 0, 0),
                (" rating", options.candidates, NEVER),
                (" surrogate", options.candidates, 16),
            ):
                studies = [
                    search(method, objectives, path, seed, options.trials, screen, least)
                    for seed in range(options.seeds)
                ]
                found.append([method + name, *cells(studies)])
        header = [", ".join(objectives), "best error, %", "hypervolume", "looks"]
        print("\n" + text_table(header, found), flush=True)


if __name__ == "__main__":
    main()
