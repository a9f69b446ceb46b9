"""From a configuration to a study and its result: what `frugalnas.search` and the command line both call."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from frugalnas import __version__, config, zoo
from frugalnas.config import Tree
from frugalnas.core import InputError, Objective, Problem, Strategy, Trial, nearest, screen
from frugalnas.distribute import ProcessPool
from frugalnas.objectives.count import COSTS
from frugalnas.pareto import knee
from frugalnas.report import load, write_report
from frugalnas.spaces.architecture import Architecture
from frugalnas.store import Journal
from frugalnas.study import Study
from frugalnas.tasks.data import DataSource
from frugalnas.variation import random_genotype

Progress = Callable[[Study], None]


@dataclass(frozen=True)
class Survey:
    """What a space holds, from `samples` random genotypes and its most uniform ones.

    `costs`: per cheap cost its smallest, median and largest value seen. `accepted`: share of the random genotypes that
    the limits accept. `possible`: whether any genotype seen is accepted. `rejected`: how many each limit broke first.
    """

    size: int
    samples: int
    costs: dict[str, tuple[float, float, float]]
    accepted: float
    possible: bool
    rejected: dict[str, int]


@dataclass(frozen=True)
class Result:
    """A search that has ended, for now. `ended`: "trials", "minutes" or "finished"; `folder` holds its files."""

    study: Study
    folder: Path
    ended: str

    @property
    def front(self) -> Sequence[Trial]:
        """The non-dominated trials, by ascending error."""
        return self.study.front

    def architecture(self, trial: Trial | int | None = None) -> Architecture:
        """The network of a trial, ready to build or to write as JSON; without one, of the front's knee."""
        if trial is None:
            trial = knee(self.front, self.study.problem.minimised)
        number = trial if isinstance(trial, int) else trial.number
        found = next((t for t in self.study.trials if t.number == number), None)
        if found is None:
            raise InputError(f"no trial {number}: the study has {len(self.study.trials)}")
        return Architecture(self.study.problem.space, found.candidate.genotype)  # type: ignore[arg-type]

    def summary(self) -> str:
        """The front as a table in plain text."""
        names = self.study.problem.minimised
        rows = [["trial", *names], *([str(t.number), *(f"{t.values[n]:,.6g}" for n in names)] for t in self.front)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def problem_of(tree: Tree) -> Problem:
    """The problem that a completed configuration describes. Reads the training images, for their facts."""
    task = _task_of(tree)
    space = config.make("space", tree["space"], **task.facts())
    estimators = tuple(config.make("estimators", entry, task=task) for entry in tree["estimators"])
    known = [*COSTS, *estimators[0].values]
    names = [*tree["objectives"], *(name for name in tree["limits"] if name not in tree["objectives"])]
    for name in names:
        if name not in known:
            raise InputError(f"unknown objective {name!r}: {nearest(name, known)}")
        if name in tree["limits"] and name not in COSTS:
            raise InputError(f"limits.{name}: only what is known before training can be limited: {', '.join(COSTS)}")
    objectives = tuple(
        Objective(name, COSTS.get(name), tree["limits"].get(name, math.inf), name in tree["objectives"])
        for name in names
    )
    return Problem(space, objectives, estimators)


def _task_of(tree: Tree) -> Any:
    return config.make("task", tree["task"], data=config.construct(DataSource, tree["data"]))


def strategy_of(tree: Tree, problem: Problem) -> Strategy:
    """A new strategy as the configuration says."""
    return config.make("strategy", tree["strategy"], space=problem.space, objectives=problem.minimised)  # type: ignore[no-any-return]


def survey(problem: Problem, samples: int = 2000, seed: int = 0) -> Survey:
    """Look at a space before a search: sizes and costs, and the share that the limits accept. Trains nothing."""
    domains = problem.space.domains
    rng = np.random.default_rng(seed)
    uniform = [tuple(min(value, n - 1) for n in domains) for value in range(max(domains))]
    drawn = [random_genotype(rng, domains) for _ in range(samples)]
    seen: dict[str, list[float]] = {name: [] for name in COSTS}
    rejected: dict[str, int] = {}
    good = 0
    for genotype in drawn:
        values, broken = screen(problem, genotype)
        good += not broken
        if broken:
            last = list(values)[-1]
            rejected[last] = rejected.get(last, 0) + 1
    for genotype in [*drawn, *uniform]:
        for name, cost in COSTS.items():
            seen[name].append(cost(problem.space, genotype))  # type: ignore[arg-type]
    possible = good > 0 or any(not screen(problem, genotype)[1] for genotype in uniform)
    costs = {name: (min(values), median(values), max(values)) for name, values in seen.items()}
    return Survey(math.prod(domains), samples, costs, good / samples, possible, rejected)


def refuse_impossible(problem: Problem, found: Survey) -> None:
    """Raise InputError, with the numbers, where no genotype that the survey saw is within the limits."""
    if found.possible:
        return
    limits = [
        f"{objective.name} <= {objective.limit:,.6g} (smallest seen {found.costs[objective.name][0]:,.6g})"
        for objective in problem.objectives
        if objective.limit < math.inf
    ]
    raise InputError(
        f"none of {found.samples:,} random networks is within the limits {', '.join(limits)}: raise them, or make the "
        "networks smaller with --set space.channels=... and --set space.cells=..."
    )


def search(
    method: str = "eeea",
    preset: str | None = None,
    *,
    data: str | None = None,
    root: str | None = None,
    limits: Mapping[str, float] | None = None,
    trials: int | None = None,
    minutes: float | None = None,
    workers: int | None = None,
    seed: int | None = None,
    settings: Sequence[Mapping[str, Any]] = (),
    file: Path | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """Search, and return the front; the journal and the report are in `out` (a new folder in `runs/` by default).

    `settings` are trees laid over the preset, such as `{"space": {"channels": 24}}`. What is None keeps the preset's
    value. Raises InputError for anything wrong in the arguments or the data. With more than the defaults in a script,
    guard the call by `if __name__ == "__main__":`, as the workers are spawned processes.
    """
    layer: Tree = {"data": {}, "executor": {}, "limits": dict(limits or {})}
    for section, key, value in (("data", "source", data), ("data", "root", root), ("executor", "workers", workers)):
        if value is not None:
            layer[section][key] = value
    layer |= {k: v for k, v in (("trials", trials), ("minutes", minutes), ("seed", seed)) if v is not None}
    tree = config.resolve(method, preset, file, [*settings, layer])
    return begin(tree, out, progress)


def begin(tree: Tree, out: str | Path | None = None, progress: Progress | None = None) -> Result:
    """Start the study that a completed configuration describes."""
    problem = problem_of(tree)
    refuse_impossible(problem, survey(problem))
    folder = Path(out) if out else Path("runs") / f"{datetime.now():%Y-%m-%d-%H%M%S}-{tree['method']}"
    header = {
        "version": __version__,
        "config": tree,
        "facts": _task_of(tree).facts(),
        "data": _task_of(tree).fingerprint(),
    }
    return _run(Journal.create(folder, header), tree, problem, progress)


def resume(
    folder: str | Path,
    *,
    trials: int | None = None,
    minutes: float | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Result:
    """Go on with the study in `folder`; budgets are totals, and None keeps what the study was started with."""
    journal = Journal(Path(folder))
    try:
        tree = config.complete(journal.header["config"])
        if tree != journal.header["config"]:
            raise InputError(
                f"{folder} was made by version {journal.header['version']}, whose settings this one does not share"
            )
        problem = problem_of(tree)
        if _task_of(tree).fingerprint() != journal.header["data"]:
            raise InputError(
                f"the images of {tree['data']['source']!r} have changed since the study in {folder} was started"
            )
    except BaseException:
        journal.close()
        raise
    tree |= {key: value for key, value in (("trials", trials), ("minutes", minutes)) if value is not None}
    if workers is not None:
        tree["executor"] = {**tree["executor"], "workers": workers}
    return _run(journal, tree, problem, progress)


def _run(journal: Journal, tree: Tree, problem: Problem, progress: Progress | None) -> Result:
    try:
        study = Study(
            problem,
            strategy_of(tree, problem),
            seed=tree["seed"],
            journal=journal,
            ordered=tree["ordered"],
            max_rejections=tree["max_rejections"],
        )
        executor = config.construct(ProcessPool, tree["executor"])
        try:
            ended = study.run(executor, trials=tree["trials"], minutes=tree["minutes"], progress=progress)
        finally:
            executor.close()
            write_report(journal.folder)
    finally:
        journal.close()
    return Result(study, journal.folder, ended)


def architecture_of(name: str, trial: int | None = None) -> Architecture:
    """An architecture by published name, from a `.json` file, or from a run folder: `trial`, or the front's knee.

    Of a run only the journal is read; the data need not be there. Raises InputError.
    """
    path = Path(name)
    if path.is_dir():
        return _architecture_in(path, trial)
    if path.suffix == ".json":
        return Architecture.load(path)
    return zoo.load(name)


def _architecture_in(folder: Path, trial: int | None) -> Architecture:
    record = load(folder)
    trials = {trial.number: trial for trial in record.trials}
    if not record.front:
        raise InputError(f"{folder} has no rated network yet")
    number = knee(record.front, record.objectives).number if trial is None else trial
    if number not in trials:
        raise InputError(f"{folder} has no trial {number}: it has {len(trials)}, numbered from 0")
    tree = config.complete(record.header["config"])
    return Architecture(
        config.make("space", tree["space"], **record.header["facts"]), trials[number].candidate.genotype
    )
