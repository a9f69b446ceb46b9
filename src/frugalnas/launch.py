"""From a configuration to a study and its result: what `frugalnas.search` and the command line both call."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from platform import python_version
from typing import Any

from frugalnas import __version__, config, zoo
from frugalnas.choose import choose
from frugalnas.core import Fidelity, InputError, Objective, Problem, Strategy, Trial, nearest
from frugalnas.distribute import ProcessPool
from frugalnas.latency import cost as latency
from frugalnas.latency.settings import Latency
from frugalnas.latency.table import Table
from frugalnas.objectives.count import COSTS
from frugalnas.objectives.latency import LATENCY
from frugalnas.pareto import evenly_spread, knee
from frugalnas.record import Record, load
from frugalnas.report import front_table, write_report
from frugalnas.schema import Tree, construct
from frugalnas.spaces.architecture import Architecture
from frugalnas.spaces.cell import CellSpace
from frugalnas.store import Journal
from frugalnas.study import Study
from frugalnas.survey import refuse_impossible
from frugalnas.tasks.data import DataSource, absolute, refuse_among_images

Progress = Callable[[Study], None]
_log = logging.getLogger(__name__)  # which, unless told otherwise, prints warnings on stderr


@dataclass(frozen=True)
class Result:
    """A search that has ended, for now. `ended`: see `Study.run`; `folder` holds its files."""

    study: Study
    folder: Path
    ended: str

    @property
    def front(self) -> Sequence[Trial]:
        """The non-dominated trials, by ascending error."""
        return self.study.front

    def pick(self, k: int) -> Sequence[Trial]:
        """At most `k` trials spread evenly along the front, the last step of EEEA-Net: see `pareto.evenly_spread`."""
        return evenly_spread(self.front, self.study.problem.minimised, k)

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


def space_of(tree: Tree) -> CellSpace:
    """The space of a completed configuration. Reads the training images, for their facts."""
    return config.make("space", tree["space"], _task_of(tree).facts())  # type: ignore[no-any-return]


def table_of(tree: Tree, progress: latency.Progress | None = None) -> Table | None:
    """The latency table that a search needs; None where it asks for no latency, or measures it.

    Where the configuration names no file, it is made here, once in a process: see `latency.cost.table_for`.
    """
    if LATENCY not in (*tree["objectives"], *tree["limits"]):
        return None
    return latency.table_for(construct(Latency, tree["latency"]), space_of(tree), progress)


def problem_of(tree: Tree, table: Table | None = None, folder: Path | None = None) -> Problem:
    """The problem that a completed configuration describes. Reads the training images, for their facts.

    `table`: that of the latency, by default `table_of` the configuration. `folder`: that of the run, where estimators
    may keep what they go on from; without one they keep nothing. Raises InputError for what no network could
    be built or rated with. What a user should know of the images, such as files that were skipped, is logged as a
    warning.
    """
    task, space = _task_of(tree), space_of(tree)
    for note in task.notes():
        _log.warning("frugalnas: %s", note)
    if task.recipe.auxiliary and not space.auxiliary:
        raise InputError(
            f"task.recipe.auxiliary = {task.recipe.auxiliary}: the loss of an auxiliary head needs --set "
            "space.auxiliary=true"
        )
    given = {"task": task, "folder": folder}
    estimators = tuple(config.make("estimators", entry, given) for entry in tree["estimators"])
    for entry in tree["estimators"]:
        if "fidelity" in entry:
            space.at(construct(Fidelity, entry["fidelity"]))  # refuses a size that cannot be built
    names = [*tree["objectives"], *(name for name in tree["limits"] if name not in tree["objectives"])]
    for name in names:
        for place, estimator in enumerate(estimators):
            known = [*COSTS, LATENCY, *estimator.values]
            if name not in known:
                gives = f"neither a cost nor a value of estimators.{place}"
                raise InputError(f"unknown objective {name!r}, {gives}: {nearest(name, known)}")
        if name in tree["limits"] and name not in (*COSTS, LATENCY):
            known = [*COSTS, LATENCY]
            raise InputError(f"limits.{name}: only what is known before training can be limited: {', '.join(known)}")
    return Problem(space, tuple(_objectives(tree, names, table)), estimators)


def _objectives(tree: Tree, names: Sequence[str], table: Table | None) -> Iterator[Objective]:
    """The objectives in the order in which limits are looked at: a latency that must be measured comes last."""
    settings: Latency = construct(Latency, tree["latency"])
    for name in sorted(names, key=lambda name: name == LATENCY and settings.source == "measured"):
        limit, minimise = tree["limits"].get(name, math.inf), name in tree["objectives"]
        if name == LATENCY:
            yield latency.objective(settings, table or table_of(tree), limit, minimise)
        else:
            yield Objective(name, COSTS.get(name), limit, minimise)


def _task_of(tree: Tree) -> Any:
    return config.make("task", tree["task"], {"data": construct(DataSource, tree["data"])})


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
    epochs: float | None = None,
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
    layer = config.options(
        data=data, root=root, trials=trials, minutes=minutes, epochs=epochs, workers=workers, seed=seed
    )
    tree = config.resolve(method, preset, file, [*settings, layer, {"limits": dict(limits or {})}])
    return begin(tree, out, progress)


def begin(tree: Tree, out: str | Path | None = None, progress: Progress | None = None) -> Result:
    """Start the study that a completed configuration describes. The folder is made once all else is found right.

    The images are read anew, here and by the workers, whatever this process has read before.
    """
    _forget_images()
    table = table_of(tree)
    folder = Path(out) if out else Path("runs") / f"{datetime.now():%Y-%m-%d-%H%M%S}-{tree['method']}"
    problem = problem_of(tree, table, folder.resolve())
    refuse_impossible(problem)
    strategy, executor = strategy_of(tree, problem), ProcessPool(**tree["executor"])
    refuse_among_images(construct(DataSource, tree["data"]), folder)
    task = _task_of(tree)
    header = {
        "version": __version__,
        "versions": {"python": python_version(), **{name: metadata.version(name) for name in ("torch", "numpy")}},
        "config": placed(tree),
        "facts": task.facts(),
        "images": task.counts(),
        "data": task.fingerprint(),
    }
    journal = Journal.create(folder, header | ({"latency": table.fingerprint} if table else {}))
    if table:
        table.save(folder / latency.FILE)
    return _run(journal, tree, problem, strategy, executor, progress)


def _forget_images() -> None:
    from frugalnas.tasks.classification import forget  # which imports torch

    forget()


def placed(tree: Tree) -> Tree:
    """The configuration with the paths of its files made absolute, so that it resumes from any working folder."""
    table = tree["latency"]["table"]
    return {
        **tree,
        "data": asdict(absolute(construct(DataSource, tree["data"]))),
        "latency": {**tree["latency"], "table": table and str(Path(table).resolve())},
    }


def resume(
    folder: str | Path,
    *,
    trials: int | None = None,
    minutes: float | None = None,
    epochs: float | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Result:
    """Go on with the study in `folder`; the images are read anew.

    Budgets are totals. A new one replaces the whole budget of the study, so that `minutes` alone goes on until then
    whatever its number of trials was; without any, that of the study holds. Raises InputError for a study of another
    version, changed images or a damaged journal.
    """
    journal = Journal(Path(folder))
    if journal.cut:
        _log.warning("frugalnas: %s ended in an unfinished line, which was cut: its trial is rated again", folder)
    _forget_images()
    try:
        tree = configuration_of(Path(folder))
        problem = problem_of(tree, latency.table_in(Path(folder), journal.header), Path(folder).resolve())
        if _task_of(tree).fingerprint() != journal.header["data"]:
            raise InputError(
                f"the images of {tree['data']['source']!r} have changed since the study in {folder} was started"
            )
        tree = config.changed(tree, config.options(trials=trials, minutes=minutes, epochs=epochs, workers=workers))
        strategy, executor = strategy_of(tree, problem), ProcessPool(**tree["executor"])
    except BaseException:
        journal.close()
        raise
    return _run(journal, tree, problem, strategy, executor, progress)


def configuration_of(folder: Path) -> Tree:
    """The configuration of the study in `folder`, which must mean here what it meant where it was written.

    Raises InputError for a study of another version, and for settings that this one does not have.
    """
    header = load(folder).header
    version = header["version"]
    if version != __version__:
        raise InputError(
            f"{folder} was written by version {version} of frugalnas and this is {__version__}, which may search "
            f"differently: go on with pip install frugalnas=={version}"
        )
    try:
        tree = config.complete(header["config"])
    except InputError as error:
        raise InputError(f"{folder} has a configuration of no search: {error}") from None
    if tree != header["config"]:
        raise InputError(f"{folder} has settings that version {version} of frugalnas never wrote: it was edited")
    return tree


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
            images = None if tree["epochs"] is None else tree["epochs"] * journal.header["images"]["train"]
            ended = study.run(
                executor, trials=tree["trials"], minutes=tree["minutes"], images=images, progress=progress
            )
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


def architecture_of(name: str, trial: int | None = None, pick: str | None = None) -> Architecture:
    """An architecture from a run folder, as `trial_in` has it, or else as `zoo.architecture_of` finds it.

    Of a run only the journal is read; the data need not be there. Raises InputError.
    """
    if not name.lstrip().startswith("{") and Path(name).is_dir():
        record = load(Path(name))
        return _architecture_in(record, trial_in(record, trial, pick))
    if trial is not None or pick is not None:
        given = f"--pick {pick}" if trial is None else f"--trial {trial}"
        raise InputError(f"{given}: {name!r} is not the folder of a search")
    return zoo.architecture_of(name)


def trial_in(record: Record, trial: int | None = None, pick: str | None = None) -> Trial:
    """The trial of that number, or the one that `choose` finds for the words `pick`, or the front's knee.

    Raises InputError where there is none, and where both are given.
    """
    if trial is None:
        return choose(record, pick or "knee")
    if pick is not None:
        raise InputError(f"--trial {trial} and --pick {pick}: expected one of them")
    found = next((each for each in record.trials if each.number == trial), None)
    if found is None:
        raise InputError(f"{record.folder} has no trial {trial}: it has {len(record.trials)}, numbered from 0")
    return found


def _architecture_in(record: Record, trial: Trial) -> Architecture:
    try:
        section = config.part("space", record.header["config"].get("space"), "space")
        space = config.make("space", section, record.header["facts"])
        return Architecture(space, trial.candidate.genotype)
    except InputError as error:
        version = record.header["version"]
        raise InputError(f"{record.folder}, of version {version}, has no network for {__version__}: {error}") from None
