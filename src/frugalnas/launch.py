"""From a configuration to a study and its result: what `frugalnas.search` and the command line both call."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from frugalnas import __version__, config, zoo
from frugalnas.config import Tree
from frugalnas.core import Fidelity, InputError, Objective, Problem, Strategy, Trial, nearest
from frugalnas.distribute import ProcessPool
from frugalnas.objectives.count import COSTS
from frugalnas.pareto import knee
from frugalnas.report import front_table, load, write_report
from frugalnas.spaces.architecture import Architecture
from frugalnas.store import Journal
from frugalnas.study import Study
from frugalnas.survey import refuse_impossible
from frugalnas.tasks.data import DataSource
from frugalnas.tasks.named import NAMES

Progress = Callable[[Study], None]


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
        return front_table(self.front, self.study.problem.minimised)


def problem_of(tree: Tree) -> Problem:
    """The problem that a completed configuration describes. Reads the training images, for their facts."""
    task = _task_of(tree)
    space = config.make("space", tree["space"], task.facts())
    estimators = tuple(config.make("estimators", entry, {"task": task}) for entry in tree["estimators"])
    for entry in tree["estimators"]:
        if "fidelity" in entry:
            space.at(config.construct(Fidelity, entry["fidelity"]))  # refuses a size that cannot be built
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
    return config.make("task", tree["task"], {"data": config.construct(DataSource, tree["data"])})


def strategy_of(tree: Tree, problem: Problem) -> Strategy:
    """A new strategy as the configuration says."""
    given = {"space": problem.space, "objectives": problem.minimised}
    return config.make("strategy", tree["strategy"], given)  # type: ignore[no-any-return]


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
    layer = config.options(data=data, root=root, trials=trials, minutes=minutes, workers=workers, seed=seed)
    tree = config.resolve(method, preset, file, [*settings, layer, {"limits": dict(limits or {})}])
    return begin(tree, out, progress)


def begin(tree: Tree, out: str | Path | None = None, progress: Progress | None = None) -> Result:
    """Start the study that a completed configuration describes. The folder is made once all else is found right."""
    problem = problem_of(tree)
    refuse_impossible(problem)
    strategy, executor = strategy_of(tree, problem), ProcessPool(**tree["executor"])
    folder = Path(out) if out else Path("runs") / f"{datetime.now():%Y-%m-%d-%H%M%S}-{tree['method']}"
    task = _task_of(tree)
    header = {"version": __version__, "config": _placed(tree), "facts": task.facts(), "data": task.fingerprint()}
    return _run(Journal.create(folder, header), tree, problem, strategy, executor, progress)


def _placed(tree: Tree) -> Tree:
    """The configuration with the paths of its data made absolute, so that it resumes from any working folder."""
    data = dict(tree["data"])
    if data["source"] not in NAMES:
        data["source"] = str(Path(data["source"]).resolve())
    if data["root"]:
        data["root"] = str(Path(data["root"]).resolve())
    return {**tree, "data": data}


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
        tree = _tree_of(journal.header, folder)
        problem = problem_of(tree)
        if _task_of(tree).fingerprint() != journal.header["data"]:
            raise InputError(
                f"the images of {tree['data']['source']!r} have changed since the study in {folder} was started"
            )
        tree = config.changed(tree, config.options(trials=trials, minutes=minutes, workers=workers))
        strategy, executor = strategy_of(tree, problem), ProcessPool(**tree["executor"])
    except BaseException:
        journal.close()
        raise
    return _run(journal, tree, problem, strategy, executor, progress)


def configuration_of(folder: Path) -> Tree:
    """The configuration of the study in `folder`. Raises InputError where this version cannot use it."""
    return _tree_of(load(folder).header, folder)


def _tree_of(header: Mapping[str, Any], folder: str | Path) -> Tree:
    """The configuration in a journal's header, which must mean here what it meant where it was written."""
    try:
        tree = config.complete(header["config"])
    except (InputError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder} cannot be used by version {__version__}, written by {_by(header)}: {error}"
        ) from None
    if tree != header["config"]:
        raise InputError(f"{folder} was written by {_by(header)}, whose settings this one does not share")
    return tree


def _by(header: Mapping[str, Any]) -> str:
    return f"version {header.get('version', 'unknown')}"


def _run(
    journal: Journal, tree: Tree, problem: Problem, strategy: Strategy, executor: ProcessPool, progress: Progress | None
) -> Result:
    """Run a study until a budget ends it. However it ends, what it found is reported, and its workers are stopped."""
    try:
        study = Study(
            problem,
            strategy,
            seed=tree["seed"],
            journal=journal,
            ordered=tree["ordered"],
            max_rejections=tree["max_rejections"],
        )
        try:
            ended = study.run(executor, trials=tree["trials"], minutes=tree["minutes"], progress=progress)
        except BaseException as error:
            executor.close()
            with suppress(InputError):  # on a full disk the first error is the one to tell
                write_report(journal.folder)
            if isinstance(error, KeyboardInterrupt):
                raise KeyboardInterrupt(f"stopped, go on with: frugalnas resume {journal.folder}") from None
            raise
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
    if trial is not None:
        raise InputError(f"--trial {trial}: {name!r} is not the folder of a search")
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
    tree = _tree_of(record.header, folder)
    space = config.make("space", tree["space"], record.header["facts"])
    return Architecture(space, trials[number].candidate.genotype)
