"""Runs on a table of trained networks: no images, no training, a study in memory that takes a fraction of a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from frugalnas import config, pareto, parts
from frugalnas.compare.outcome import Truth
from frugalnas.compare.runs import Run, run_of, write
from frugalnas.core import InputError, Problem, nearest, screen
from frugalnas.distribute import InProcess
from frugalnas.estimators.table import Table
from frugalnas.objectives.count import COSTS
from frugalnas.schema import Tree
from frugalnas.study import Study


def problem_of(tree: Tree) -> Problem:
    """The problem of a configuration whose estimators are tables. Raises InputError for an objective it cannot have."""
    estimators = tuple(config.make("estimators", entry, {}) for entry in tree["estimators"])
    known = [*COSTS, "error"]  # not the test error: no search sees it
    for name in parts.objective_names(tree):
        if name not in known:
            raise InputError(f"unknown objective {name!r} of a table: {nearest(name, known)}")
    return Problem(config.make("space", tree["space"], {}), parts.objectives_of(tree), estimators)


def searched(tree: Tree) -> Run:
    """What one run comes to."""
    problem = problem_of(tree)
    study = Study(problem, parts.strategy_of(tree, problem), seed=tree["seed"])
    ended = study.run(InProcess(), trials=tree["trials"], minutes=tree["minutes"])
    return run_of(tree, study.trials, ended, seconds=study.seconds)


def work(folder: str, tree: Tree) -> None:
    """Do one run and write what it came to beside `folder`, which is not made. Runs on a worker."""
    write(Path(folder).with_suffix(".json"), searched(tree))


def truth_of(tree: Tree) -> Truth:
    """What there is to be found in the table, within the limits."""
    problem = problem_of(tree)
    table, space = problem.estimators[-1], problem.space
    if not isinstance(table, Table):
        raise InputError("a truth is known where the last estimator is a table")
    table.benchmark.check(space)
    rows, tests = [], []
    for genotype, row in table.rows.items():
        costs, broken = screen(problem, genotype)
        if not broken:
            values = costs | {"error": row.error, "test_error": row.test_error}
            rows.append([values[objective] for objective in problem.minimised])
            tests.append(row.test_error)
    if not rows:
        raise InputError("the limits accept no network of the table")
    points = np.array(rows)  # (n, m)
    best, worst = points.min(axis=0), points.max(axis=0)
    scaled = (points - best) / np.where(worst > best, worst - best, 1.0)
    front = np.unique(scaled[pareto.ranks(scaled) == 0], axis=0)
    volume = pareto.hypervolume(front, (1.0,) * points.shape[1])
    ends = tuple(best.tolist()), tuple(worst.tolist())
    return Truth(min(tests), *ends, volume, len(front), len(rows), table.benchmark.architectures)
