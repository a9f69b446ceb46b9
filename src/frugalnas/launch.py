"""From a configuration to a study and its result: what `frugalnas.search` and the command line both call."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from platform import python_version
from types import MappingProxyType
from typing import Any

from frugalnas import __version__, config
from frugalnas.core import InputError, Problem, Promoting, Strategy, Trial
from frugalnas.distribute import Executor
from frugalnas.latency import cost as latency
from frugalnas.pareto import evenly_spread, knee
from frugalnas.parts import executor_of, problem_of, strategy_of, table_of, task_of
from frugalnas.record import header_in
from frugalnas.report import front_table, write_report
from frugalnas.schema import Tree, construct
from frugalnas.spaces.architecture import Architecture
from frugalnas.store import Journal
from frugalnas.study import Study
from frugalnas.survey import refuse_impossible
from frugalnas.tasks import memory
from frugalnas.tasks.data import DataSource, refuse_among_images
from frugalnas.tasks.device import EVERYWHERE, check_presence
from frugalnas.tasks.kept import remove_all, remove_others
from frugalnas.weights import refuse_orphans

Progress = Callable[[Study], None]
Writer = Callable[[Path], object]
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
    prescreen: int | None = None,
    settings: Sequence[Mapping[str, Any]] = (),
    file: Path | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """Search, and return the front; the journal and the report are in `out` (a new folder in `runs/` by default).

    With `prescreen`, so many networks are looked at for each that is trained (see `strategies.prescreened`).
    `settings` are trees laid over the preset, such as `{"space": {"channels": 24}}`. What is None keeps the preset's
    value. Raises InputError for anything wrong in the arguments or the data. With more than the defaults in a script,
    guard the call by `if __name__ == "__main__":`, as the workers are spawned processes.
    """
    layer = config.options(
        data=data,
        root=root,
        trials=trials,
        minutes=minutes,
        epochs=epochs,
        workers=workers,
        seed=seed,
        prescreen=prescreen,
    )
    tree = config.resolve(method, preset, file, [*settings, layer, {"limits": dict(limits or {})}])
    return begin(tree, out, progress)


def begin(
    tree: Tree,
    out: str | Path | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
    write: Writer = write_report,
    noted: Mapping[str, Any] = MappingProxyType({}),
) -> Result:
    """Start the study that a completed configuration describes. The folder is made once all else is found right.

    The images are read anew, here and by the workers, whatever this process has read before. `executor`: where networks
    are rated, by default a pool of processes as the configuration says. `write` puts into the folder what was found,
    however the study ends. `noted`: what else its header says, as JSON.
    """
    memory.forget()
    table = table_of(tree)
    folder = Path(out) if out else new_folder(tree)
    problem = problem_of(tree, table, folder.resolve())
    refuse_impossible(problem)
    strategy, task = strategy_of(tree, problem, folder.resolve()), task_of(tree)
    refuse_among_images(construct(DataSource, tree["data"]), folder)
    refuse_orphans(folder)
    header = {
        "version": __version__,
        "versions": {"python": python_version(), **{name: metadata.version(name) for name in ("torch", "numpy")}},
        "config": config.placed(tree),
        "facts": task.facts(),
        "images": task.counts(),
        "data": task.fingerprint(),
    }
    executor = _started(tree, executor, Path(folder).resolve())
    try:
        journal = Journal.create(folder, header | dict(noted) | ({"latency": table.fingerprint} if table else {}))
    except BaseException:
        executor.close()
        raise
    if table:
        table.save(folder / latency.FILE)
    return _run(journal, tree, problem, strategy, executor, progress, write)


def new_folder(tree: Tree) -> Path:
    """The folder of a search that was given none: one for each second."""
    return Path("runs") / f"{datetime.now():%Y-%m-%d-%H%M%S}-{tree['method']}"


def _started(tree: Tree, executor: Executor | None, folder: Path) -> Executor:
    """Where networks are rated. Raises InputError where the workers do not have the device that a task names."""
    executor = executor or executor_of(tree, folder)
    device = tree["task"]["device"]
    try:
        if device not in EVERYWHERE:
            executor.submit(check_presence, device).result()
    except BaseException:
        executor.close()
        raise
    return executor


def resume(
    folder: str | Path,
    *,
    trials: int | None = None,
    minutes: float | None = None,
    epochs: float | None = None,
    workers: int | None = None,
    where: str | None = None,
    address: str | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
    write: Writer = write_report,
) -> Result:
    """Go on with the study in `folder`; the images are read anew.

    Budgets are totals. A new one replaces the whole budget of the study, so that `minutes` alone goes on until then
    whatever its number of trials was; without any, that of the study holds. `where`: the type of another executor than
    it had. `executor` and `write` as in `begin`.
    Raises InputError for a study of another version, changed images or a damaged journal.
    """
    journal = Journal(Path(folder))
    if journal.cut:
        _log.warning("frugalnas: %s ended in an unfinished line, which was cut: its trial is rated again", folder)
    memory.forget()
    try:
        tree = configuration_of(Path(folder))
        problem = problem_of(tree, latency.table_in(Path(folder), journal.header), Path(folder).resolve())
        if task_of(tree).fingerprint() != journal.header["data"]:
            raise InputError(
                f"the images of {tree['data']['source']!r} have changed since the study in {folder} was started"
            )
        given = config.options(trials=trials, minutes=minutes, epochs=epochs, workers=workers)
        tree = config.changed(tree, config.rated_by(where, address), given)
        strategy = strategy_of(tree, problem, Path(folder).resolve())
        executor = _started(tree, executor, Path(folder).resolve())
    except BaseException:
        journal.close()
        raise
    return _run(journal, tree, problem, strategy, executor, progress, write)


def configuration_of(folder: Path) -> Tree:
    """The configuration of the study in `folder`, which must mean here what it meant where it was written.

    Raises InputError for a study of another version, and for settings that this one does not have.
    """
    header = header_in(folder)
    version = header["version"]
    if version != __version__:
        plain = re.fullmatch(r"[0-9][0-9A-Za-z.+!]{0,40}", str(version))  # no more of a stranger's words to type
        raise InputError(
            f"{folder} was written by version {version} of frugalnas and this is {__version__}, which may search "
            f"differently{f': go on with pip install frugalnas=={version}' if plain else ''}"
        )
    try:
        tree = config.complete(header["config"])
    except InputError as error:
        raise InputError(f"{folder} has a configuration of no search: {error}") from None
    if tree != header["config"]:
        raise InputError(f"{folder} has settings that version {version} of frugalnas never wrote: it was edited")
    return tree


def _run(
    journal: Journal,
    tree: Tree,
    problem: Problem,
    strategy: Strategy,
    executor: Executor,
    progress: Progress | None,
    write: Writer,
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
            told = _clearing(journal.folder, progress)
            ended = study.run(executor, trials=tree["trials"], minutes=tree["minutes"], images=images, progress=told)
        except BaseException as error:
            executor.close()
            with suppress(InputError):  # on a full disk the first error is the one to tell
                write(journal.folder)
            if isinstance(error, KeyboardInterrupt):
                raise KeyboardInterrupt(f"stopped, go on with: frugalnas resume {journal.folder}") from None
            raise
        executor.close()
        if ended == "finished":  # a larger budget goes on from what is kept
            remove_all(journal.folder)
        write(journal.folder)
    finally:
        journal.close()
    return Result(study, journal.folder, ended)


def _clearing(folder: Path, progress: Progress | None) -> Progress:
    """`progress`, and before it the removal of what trainings left that no later rung will go on from."""

    def told(study: Study) -> None:
        strategy, last = study.strategy, study.trials[-1]
        if isinstance(strategy, Promoting) and last.status != "rejected":
            needed = {trial.number for trial in strategy.promotable} | study.under_way.keys()
            remove_others(folder, {study.seed_of(number) for number in needed})
        if progress:
            progress(study)

    return told
