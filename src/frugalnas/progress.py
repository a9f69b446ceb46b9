"""The live view of a search, and of a training, on a terminal: how far it is, how fast, and how good so far."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from frugalnas.core import IMAGES
from frugalnas.parts import task_of
from frugalnas.report import front_table
from frugalnas.schema import Tree

if TYPE_CHECKING:
    from frugalnas.compare import Glance
    from frugalnas.launch import Progress
    from frugalnas.study import Study

_ROWS = 12
_Spent = tuple[float, float]  # networks rated, and images trained on
_Budget = tuple[float | None, float | None, float | None]  # networks, images, minutes


@contextmanager
def live(tree: Tree) -> Iterator[Progress]:
    """A function to call after each told trial; the view on stderr is redrawn four times a second.

    `tree` is the configuration, whose budgets say how much is left.
    """
    start = time.monotonic()
    told: list[tuple[Study, _Spent, _Budget]] = []  # the study, once it tells, what it had spent before, what it may
    waiting = Spinner("dots", Text("reading the images, starting the workers, rating the first network"))

    def view() -> RenderableType:
        if not told:
            return waiting
        study, before, budget = told[0]
        names, front = study.problem.minimised, study.front
        more = f"\nand {len(front) - _ROWS} more" if len(front) > _ROWS else ""
        status = _status(study, before, budget, max(time.monotonic() - start, 1e-9))
        return Group(status, Text(front_table(front, names, front[:_ROWS]) + more))

    def progress(study: Study) -> None:
        if not told:
            last, whole = study.trials[-1], task_of(tree).counts()["train"] if tree["epochs"] else 0
            counts = last.status != "rejected" and last.candidate.rung >= study.problem.looks
            before = study.rated - counts, study.images - last.values.get(IMAGES, 0.0)
            told.append((study, before, (tree["trials"], tree["epochs"] and tree["epochs"] * whole, tree["minutes"])))

    console = Console(file=sys.stderr)
    with Live(get_renderable=view, console=console, refresh_per_second=4, transient=True):
        yield progress


@contextmanager
def trainings(total: int, images: int) -> Iterator[Progress]:
    """A function to call after each of `total` told trainings on `images` in all; a line says how far they are.

    On a terminal the line is redrawn, elsewhere there is one for each training. Both go to stderr.
    """
    with _counted("trainings", total, 1, lambda study: study.images / images) as progress:
        yield progress


@contextmanager
def ratings(total: int) -> Iterator[Progress]:
    """As `trainings`, for `total` ratings that take about the same time each; elsewhere a line for every twentieth."""
    with _counted("ratings", total, max(1, total // 20), lambda study: study.rated / total) as progress:
        yield progress


@contextmanager
def assignments(total: int) -> Iterator[Progress]:
    """As `ratings`, for `total` assignments of multipliers."""
    with _counted("assignments", total, max(1, total // 20), lambda study: study.rated / total) as progress:
        yield progress


@contextmanager
def _counted(name: str, total: int, step: int, share: Callable[[Study], float]) -> Iterator[Progress]:
    """`share` of a study is how much of it is done; off a terminal it is told at every so many trials."""
    told: list[Study] = []

    def words(study: Study) -> str:
        done = share(study)
        left = f", about {_time(study.seconds * (1 - done) / done)} left" if 0 < done < 1 else ""
        return f"{study.rated} of {total} {name}, {_time(study.seconds)}{left}"

    def told_of(study: Study) -> None:
        if study.rated % step == 0 or study.rated == total:
            print(words(study), file=sys.stderr, flush=True)

    def view() -> RenderableType:
        if not told:
            return Spinner("dots", Text("reading the images, starting the workers"))
        line = Table.grid(padding=(0, 2))
        line.add_row(ProgressBar(total=total, completed=told[-1].rated, width=30), words(told[-1]))
        return line

    if not sys.stderr.isatty():
        yield told_of
        return
    with Live(get_renderable=view, console=Console(file=sys.stderr), refresh_per_second=4, transient=True):
        yield told.append


@contextmanager
def training() -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function to call with what a training tells (see `training.train`); a line on stderr says it."""
    told: dict[str, Any] = {}
    waiting = Spinner("dots", Text("reading the images"))

    def view() -> RenderableType:
        if not told:
            return waiting
        words = f"epoch {told['epoch']}   loss {told['loss']:.4f}   lr {told['lr']:.2g}"
        if told["validation_error"] is not None:
            words += f"   validation error {told['validation_error']:.2%}"
        line = Table.grid(padding=(0, 2))
        line.add_row(
            ProgressBar(total=1.0, completed=told["progress"], width=30), f"{words}   {_time(told['left'])} left"
        )
        return line

    with Live(get_renderable=view, console=Console(file=sys.stderr), refresh_per_second=4, transient=True):
        yield told.update


@contextmanager
def comparing() -> Iterator[Callable[[Glance], None]]:
    """A function to call with how far a comparison is; a line on stderr says it, and one for each run under way."""
    told: list[Glance] = []
    start, waiting = time.monotonic(), Spinner("dots", Text("starting the workers"))

    def view() -> RenderableType:
        if not told:
            return waiting
        glance = told[0]
        lines = Table.grid(padding=(0, 2))
        passed = _time(time.monotonic() - start)
        lines.add_row(
            ProgressBar(total=glance.all, completed=glance.ended + sum(glance.under_way.values()), width=30),
            f"{glance.ended:,} of {glance.all:,} runs   {passed}",
        )
        for name, share in [*glance.under_way.items()][:_ROWS]:
            lines.add_row(ProgressBar(total=1.0, completed=share, width=30), name)
        return lines

    def tell(glance: Glance) -> None:
        told[:] = [glance]

    with Live(get_renderable=view, console=Console(file=sys.stderr), refresh_per_second=4, transient=True):
        yield tell


def _time(seconds: float) -> str:
    """A time for people."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _status(study: Study, before: _Spent, budget: _Budget, seconds: float) -> Table:
    """One line: a bar, counts, speed, time left by the nearest budget; `seconds` is how long this session lasts."""
    trials, images, minutes = budget
    shares, left = [0.0], []
    for done, earlier, most in zip((study.rated, study.images), before, (trials, images), strict=True):
        if most:
            shares.append(done / most)
            if done > earlier:
                left.append((most - done) * seconds / (done - earlier))
    if minutes:
        shares.append(study.seconds / (60 * minutes))
        left.append(60 * minutes - study.seconds)
    rejected, failed = study.history.statuses["rejected"], study.history.statuses["failed"]
    rate = 60 * (study.rated - before[0]) / seconds
    rungs = study.history.rungs
    looks, ladder = study.problem.looks, len(study.problem.estimators) - study.problem.looks
    each = ", ".join(f"rung {rung}: {rungs[rung + looks]:,}" for rung in range(ladder))
    rated = f"{study.rated:,} rated ({each})" if ladder > 1 else f"{study.rated:,} rated"
    looked = f"{study.looked:,} looks, " if looks else ""
    words = f"{looked}{rated}, {rejected:,} rejected, {failed:,} failed   {rate:.1f} networks/min"
    if left:
        words += f"   {max(0.0, min(left)) / 60:.1f} min left"
    line = Table.grid(padding=(0, 2))
    line.add_row(ProgressBar(total=1.0, completed=min(1.0, max(shares)), width=30), words)
    return line
