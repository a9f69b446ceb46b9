"""The live view of a search on a terminal: how far it is, how fast, and the front so far."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from frugalnas.config import Tree
from frugalnas.report import amount

if TYPE_CHECKING:
    from frugalnas.launch import Progress
    from frugalnas.study import Study

_ROWS = 12


@contextmanager
def live(tree: Tree) -> Iterator[Progress]:
    """A function to call after each told trial; the view is redrawn at most four times a second."""
    start, rated_before, drawn = time.monotonic(), -1, 0.0
    with Live(
        Text("reading the images"), console=Console(file=sys.stderr), refresh_per_second=4, transient=True
    ) as view:

        def progress(study: Study) -> None:
            nonlocal rated_before, drawn
            if time.monotonic() - drawn < 0.25:
                return
            drawn = time.monotonic()
            if rated_before < 0:
                rated_before = study.rated - 1
            rate = (study.rated - rated_before) / max(time.monotonic() - start, 1e-9)
            view.update(Group(_status(study, tree, rate), _front(study)))

        yield progress


def _status(study: Study, tree: Tree, rate: float) -> Table:
    """One line: a bar, counts, speed and the time that is left by the nearer of the two budgets."""
    shares, left = [0.0], []
    if tree["trials"]:
        shares.append(study.rated / tree["trials"])
        left.append((tree["trials"] - study.rated) / rate if rate else 0.0)
    if tree["minutes"]:
        shares.append(study.seconds / (60 * tree["minutes"]))
        left.append(60 * tree["minutes"] - study.seconds)
    rejected = sum(trial.status == "rejected" for trial in study.trials)
    failed = sum(trial.status == "failed" for trial in study.trials)
    words = f"{study.rated:,} rated, {rejected:,} rejected, {failed:,} failed   {60 * rate:.1f} networks/min"
    if left:
        words += f"   {max(0.0, min(left)) / 60:.1f} min left"
    line = Table.grid(padding=(0, 2))
    line.add_row(ProgressBar(total=1.0, completed=min(1.0, max(shares)), width=30), words)
    return line


def _front(study: Study) -> Table:
    names = study.problem.minimised
    table = Table("trial", *names, box=None, padding=(0, 2, 0, 0))
    front = study.front
    for trial in front[:_ROWS]:
        table.add_row(str(trial.number), *(amount(name, trial.values[name]) for name in names))
    if len(front) > _ROWS:
        table.add_row(f"and {len(front) - _ROWS} more")
    return table
