"""Networks whose error after a careful training is known: those of a table, or of a search that trained them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from frugalnas import config, launch
from frugalnas.core import Genotype, InputError
from frugalnas.objectives.count import COSTS
from frugalnas.objectives.latency import LATENCY
from frugalnas.record import load
from frugalnas.schema import Tree
from frugalnas.tables import read

LEAST_NETWORKS = 4  # of which an order says anything at all


@dataclass(frozen=True)
class Truth:
    """What ratings are compared with. `name`: which value it is, minimised; `source`: the file or folder it is from.

    `tree`: what a configuration says of these networks, such as the section `space`. `errors` by genotype, each of
    another architecture.
    """

    name: str
    source: str
    tree: Tree
    errors: Mapping[Genotype, float]

    def drawn(self, count: int | None, seed: int) -> tuple[Genotype, ...]:
        """`count` networks at random, None = all; a smaller number gives the first of a larger one.

        Raises InputError where there are not so many, or fewer than LEAST_NETWORKS.
        """
        known = len(self.errors)
        if known < LEAST_NETWORKS:
            raise InputError(
                f"{self.source} has {known} networks: expected {LEAST_NETWORKS} or more, to see their order"
            )
        if count is not None and not LEAST_NETWORKS <= count <= known:
            raise InputError(
                f"--count {count}: expected {LEAST_NETWORKS} to {known:,}, the networks whose error {self.source} tells"
            )
        genotypes, order = sorted(self.errors), np.random.default_rng(seed).permutation(known)
        return tuple(genotypes[place] for place in order[:count].tolist())


def from_table(path: str, column: str = "") -> Truth:
    """The test errors of a table. `column`: that with the accuracies, "" = the default one of its kind.

    Raises InputError for a file that is no table, or has no such column.
    """
    benchmark = read(path, test=column)
    errors = {genotype: row.test_error for genotype, row in benchmark.rows.items()}
    return Truth("test_error", path, {"space": benchmark.space}, errors)


def from_run(folder: Path) -> Truth:
    """The first objective of the networks that a search rated on its highest rung.

    Raises InputError where there is no search of this version, and where all its objectives are costs.
    """
    record, tree = load(folder), launch.configuration_of(folder)
    name = next((name for name in record.objectives if name not in (*COSTS, LATENCY)), None)
    if name is None:
        raise InputError(f"{folder} has no truth: its objectives are costs, {', '.join(record.objectives)}")
    space = config.make("space", tree["space"], record.header["facts"])
    trials = {space.canonical(trial.candidate.genotype): trial for trial in reversed(record.compared)}
    errors = {trial.candidate.genotype: trial.values[name] for trial in trials.values()}
    return Truth(name, str(folder), tree, errors)
