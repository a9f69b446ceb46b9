"""Which model, from which features, predicts networks best, with how many trained networks to learn from.

From each table so many random networks are learnt and all others, --rest at most, predicted, --repetitions times.
Features: `genes`, `costs` (parameters and multiply-accumulates) and `cheap` (of NAS-Bench-201 the published NWOT and
Zen scores). The rows without a model are those single columns as they are.

    python benchmarks/surrogate.py --data PATH [--repetitions 20] [--rest 2000]

Prints Spearman's correlation with the errors; for each model also how many of the predicted networks are within two
standard deviations (95.4 % would be, of a normal distribution), and the milliseconds of a fit on one thread.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import get_args

import numpy as np

from frugalnas import surrogate
from frugalnas.core import Genotype
from frugalnas.objectives.count import macs, params
from frugalnas.ranking import spearman
from frugalnas.report import table as text_table
from frugalnas.spaces.nasbench201 import NasBench201

SIZES = (10, 20, 50, 100, 300)
ALL = ("genes", "costs", "cheap")
SETS = (("genes",), ("costs", "cheap"), ("genes", "costs"), ALL)
Columns = dict[str, list[float]]


@dataclass
class Networks:
    """What a table says of its networks, column by column."""

    domains: tuple[int, ...]
    genotypes: list[Genotype] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    costs: Columns = field(default_factory=dict)
    cheap: Columns = field(default_factory=dict)

    def columns(self, sets: tuple[str, ...]) -> surrogate.Vectors:
        """The features in these sets (n, d)."""
        genes = (self.genotypes, self.domains) if "genes" in sets else ([()] * len(self.errors), ())
        counts, values = (getattr(self, name) if name in sets else {} for name in ("costs", "cheap"))
        return surrogate.features(*genes, counts, values).table


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def nasbench201(folder: Path) -> Networks:
    space = NasBench201()
    found = Networks(space.domains, costs={"params": [], "macs": []}, cheap={"nwot": [], "zen": []})
    for row in rows_of(folder / "nasbench201_10000.csv.gz"):
        genotype = space.from_string(row["arch_str"])
        found.genotypes.append(genotype)
        found.errors.append(1 - float(row["c10_val_200"]) / 100)
        found.costs["params"].append(params(space, genotype))
        found.costs["macs"].append(macs(space, genotype))
        for name in found.cheap:
            found.cheap[name].append(float(row[f"{name}_c10"] or "nan"))
    return found


def nasbench_macro(folder: Path) -> Networks:
    found = Networks((3,) * 8, costs={"params": [], "macs": []})
    for row in rows_of(folder / "nasbench_macro_cifar10.csv.gz"):
        found.genotypes.append(tuple(map(int, row["arch"])))
        found.errors.append(1 - fmean(float(row[f"acc{run}"]) for run in (1, 2, 3)) / 100)
        found.costs["params"].append(float(row["params"]))
        found.costs["macs"].append(float(row["flops"]))
    return found


def correlation(scores: surrogate.Vectors, errors: surrogate.Vectors) -> float:
    known = np.isfinite(scores)
    return float(spearman(scores[known], errors[known]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--rest", type=int, default=2000)
    parser.add_argument("--models", nargs="*", choices=get_args(surrogate.Model))
    options = parser.parse_args()
    for name, networks in (("NAS-Bench-201", nasbench201), ("NAS-Bench-Macro", nasbench_macro)):
        found = networks(options.data)
        errors = np.array(found.errors)
        print(f"{name}: {len(errors):,} networks")
        for column, numbers in (found.costs | found.cheap).items():
            print(f"  {column} alone: {-correlation(np.array(numbers), errors):.3f}")
        rows = []
        for sets in [each for each in SETS if found.cheap or "cheap" not in each]:
            table = found.columns(sets)
            for model in options.models or get_args(surrogate.Model):
                cells, inside, times = [], [], []
                for size in SIZES:
                    rho = []
                    for repetition in range(options.repetitions):
                        rng = np.random.default_rng(repetition)
                        order = rng.permutation(len(errors))
                        known, rest = order[:size], order[size : size + options.rest]
                        start = time.perf_counter()
                        predictor = surrogate.fit(model, table[known], errors[known], rng)
                        times.append((size, time.perf_counter() - start))
                        mean, deviation = predictor.predict(table[rest])
                        rho.append(correlation(mean, errors[rest]))
                        inside.append((size, float(np.mean(np.abs(errors[rest] - mean) <= 2 * deviation))))
                    cells.append(f"{fmean(rho):.3f}")
                cells += [f"{fmean(share for n, share in inside if n == size):.2f}" for size in (10, 100)]
                cells += [f"{1e3 * median(seconds for n, seconds in times if n == size):.0f}" for size in (100, 300)]
                rows.append([f"{' + '.join(sets)}: {model}", *cells])
        head = [*map(str, SIZES), "within 2 sd, 10", "100", "ms, 100", "300"]
        print("\n" + text_table(["trained networks", *head], rows) + "\n", flush=True)


if __name__ == "__main__":
    main()
