"""The runs of a comparison, in parallel: one study in each worker process, which rates its networks itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from frugalnas import launch, parts, store
from frugalnas.compare import runs, tables
from frugalnas.compare.outcome import Outcome
from frugalnas.compare.page import page_of
from frugalnas.compare.plan import Plan, holds_comparison, read, write
from frugalnas.core import InputError
from frugalnas.distribute import InProcess, ProcessPool
from frugalnas.schema import Tree, construct, difference
from frugalnas.survey import refuse_impossible
from frugalnas.tasks.data import DataSource, refuse_among_images

LOCK = ".compare.lock"
PAGE, RUNS_CSV, CURVES_CSV = "compare.html", "compare.csv", "curves.csv"
_log = logging.getLogger("frugalnas")
_GLANCE_S = 1.0  # between two looks at how far the runs are


@dataclass(frozen=True)
class Glance:
    """How far a comparison is: runs that have ended, of all, and of those under way which share of the budget."""

    ended: int
    all: int
    under_way: Mapping[str, float]


Progress = Callable[[Glance], None]


@dataclass(frozen=True)
class _Place:
    """Where a run has its files: a search its folder, and beside it what it came to."""

    folder: Path

    @property
    def name(self) -> str:
        return f"{self.folder.parent.name}/{self.folder.name}"

    @property
    def result(self) -> Path:
        return self.folder.with_suffix(".json")


def compare(
    plan: Plan, out: str | Path | None = None, workers: int | None = None, progress: Progress | None = None
) -> Outcome:
    """All that `plan` asks for, into the folder `out`; a comparison that is there is gone on with, also to more seeds.

    By default the folder is `plan.folder`. Nothing is written before every method is found to fit. Raises InputError
    for anything wrong, and where `out` holds something else.
    """
    folder = Path(out) if out else plan.folder
    if holds_comparison(folder):
        if other := _difference(replace(read(folder), seeds=plan.seeds), plan):
            raise InputError(
                f"{folder} holds a comparison with {other}: choose another --out, or go on with it by: frugalnas "
                f"resume {folder}"
            )
    else:
        if (folder / store.JOURNAL).exists() or any((folder / method).exists() for method in plan.searches):
            raise InputError(f"{folder} holds searches that are of no comparison: choose another --out")
        _check(plan, folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the folder {folder}: {error.strerror}") from None
    with _locked(folder):
        write(folder, plan)
        return _finish(plan, folder, workers, progress)


def resume(folder: Path, workers: int | None = None, progress: Progress | None = None) -> Outcome:
    """Go on with the comparison in `folder`, to its end; then write what came out, as `compare` does."""
    with _locked(folder):
        return _finish(read(folder), folder, workers, progress)


def _locked(folder: Path) -> AbstractContextManager[None]:
    return store.locked(folder / LOCK, f"{folder} is open in another process")


def _finish(plan: Plan, folder: Path, workers: int | None, progress: Progress | None) -> Outcome:
    _work(plan, folder, workers, progress)
    return _written(plan, folder)


def write_outcome(folder: Path) -> Outcome:
    """Write `compare.html`, `compare.csv` and `curves.csv` of what has ended of the comparison in `folder`.

    Returns what they were made of. Raises InputError as `outcome_of`.
    """
    return _written(read(folder), folder)


def _written(plan: Plan, folder: Path) -> Outcome:
    outcome = outcome_of(plan, folder)
    texts = {PAGE: page_of(outcome, plan), RUNS_CSV: outcome.runs_csv(), CURVES_CSV: outcome.curves_csv()}
    for name, text in texts.items():
        store.write_atomically(folder / name, text)
    return outcome


def searches_in(folder: Path) -> str:
    """Where the searches of a comparison are, for people."""
    plan = read(folder)
    if plan.table:
        return "but with a table there are none"
    return f"such as {next(place.folder for place, _ in _runs(plan, folder))}"


def _difference(old: Plan, new: Plan) -> str:
    """In what two plans differ, for people: in methods, in what all share, in one method's own settings."""
    if [*old.searches] != [*new.searches]:
        return f"methods {', '.join(old.searches)}, not {', '.join(new.searches)}"
    return difference(old.shared, new.shared) or difference(asdict(old), asdict(new))


def outcome_of(plan: Plan, folder: Path) -> Outcome:
    """What the comparison in `folder` came to, by the seeds with which every method has ended.

    Raises InputError where there is none, and for runs of another comparison.
    """
    found = [runs.read(place.result, tree) for place, tree in _runs(plan, folder)]
    width = len(plan.searches)
    seeds = [found[start : start + width] for start in range(0, len(found), width)]
    whole = [run for each in seeds if None not in each for run in each if run]
    if not whole:
        raise InputError(f"{folder}: no seed has ended with every method, go on with 'frugalnas resume {folder}'")
    whole.sort(key=lambda run: [*plan.searches].index(run.method))  # stable: by seed within a method
    unit, budget = plan.budget
    truth = tables.truth_of(plan.shared) if plan.table else None
    objectives = tuple(plan.shared["objectives"])
    return Outcome(plan.title, plan.referee, objectives, unit, budget, tuple(whole), truth, plan.seeds)


def _runs(plan: Plan, folder: Path) -> Iterator[tuple[_Place, Tree]]:
    """Every run; all methods with the first seed come first, so that an unfinished comparison has whole pairs."""
    for seed in range(plan.seeds):
        for method in plan.searches:
            yield _Place(folder / method / f"seed-{seed}"), plan.search(method, seed)


def _check(plan: Plan, folder: Path) -> None:
    """Raise InputError where a method cannot run on what the others run on, or the limits accept nothing."""
    for place, (method, tree) in enumerate(plan.searches.items()):
        try:
            with _quiet() if place else nullcontext():  # what there is to say of the images is said once
                problem = tables.problem_of(tree) if plan.table else parts.problem_of(tree)
            parts.strategy_of(tree, problem)
        except InputError as error:
            raise InputError(f"{method}: {error}") from None
    refuse_impossible(problem)
    if not plan.table:
        refuse_among_images(construct(DataSource, plan.shared["data"]), folder)


@contextmanager
def _quiet() -> Iterator[None]:
    """Within it no warnings are printed."""
    level = _log.level
    _log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        _log.setLevel(level)


def _work(plan: Plan, folder: Path, workers: int | None, progress: Progress | None) -> None:
    """Do all runs that have not ended."""
    todo = [(place, tree) for place, tree in _runs(plan, folder) if runs.read(place.result, tree) is None]
    if not todo:
        return
    function = tables.work if plan.table else search
    pool = ProcessPool(workers)
    try:
        futures = {pool.submit(function, str(place.folder), tree): (place, tree) for place, tree in todo}
        ended = len(plan.searches) * plan.seeds - len(todo)
        for done in _ended(futures, lambda: progress and progress(_glance(plan, futures, ended))):
            place, _ = futures[done]
            try:
                done.result()
            except InputError as error:
                raise InputError(f"{place.name}: {error}") from None
            except Exception as error:
                words = f"{type(error).__name__}: {error}; go on with 'frugalnas resume {folder}'"
                raise InputError(f"{place.name}: {words}") from error
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped, go on with: frugalnas resume {folder}") from None
    finally:
        pool.close()


def _ended(futures: Mapping[Future[Any], Any], look: Callable[[], object]) -> Iterator[Future[Any]]:
    """The futures as they end; `look` is called about once in a second."""
    waiting = set(futures)
    while waiting:
        look()
        done = wait(waiting, _GLANCE_S, FIRST_COMPLETED).done
        waiting -= done
        yield from done


def _glance(plan: Plan, futures: Mapping[Future[Any], tuple[_Place, Tree]], ended: int) -> Glance:
    under_way = {}
    for future, (place, tree) in futures.items():
        if future.done():
            ended += 1
        elif (place.folder / store.JOURNAL).exists():
            under_way[place.name] = _share(plan, place.folder, tree)
    return Glance(ended, len(plan.searches) * plan.seeds, under_way)


def _share(plan: Plan, folder: Path, tree: Tree) -> float:
    """The share of its budget that a search under way has spent."""
    unit, budget = plan.budget
    try:
        run = runs.run_in(folder, tree, "")
    except InputError:
        return 0.0
    spent = {"epochs": run.spent_epochs, "trials": run.spent_trials, "minutes": run.seconds / 60}
    return min(1.0, spent[unit] / budget)


def search(folder: str, tree: Tree) -> None:
    """Begin the search of a completed configuration in `folder`, or go on with it, to its end. Runs on a worker."""
    place = _Place(Path(folder))
    with _quiet():  # `compare` has said what there is to say of the images
        if (place.folder / store.JOURNAL).exists():
            if other := difference(launch.configuration_of(place.folder), tree):
                raise InputError(f"{folder} holds a search with {other}: it is not of this comparison")
            result = launch.resume(place.folder, executor=InProcess())
        else:
            result = launch.begin(tree, place.folder, executor=InProcess())
    runs.write(place.result, runs.run_in(place.folder, tree, result.ended))
