"""What is told of a search, trial by trial, and how: behind its back, so that no logger can hold it up or end it."""

from __future__ import annotations

import logging
import math
import queue
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Thread
from typing import Any, Protocol

from frugalnas.core import Trial
from frugalnas.pareto import Archive, evenly_spread
from frugalnas.report.effort import MOST_OBJECTIVES
from frugalnas.report.text import amounts
from frugalnas.study import Study

PATIENCE_S = 20.0  # for what is still to be written when a search has ended
MOST_LINES = 30  # of the front, in words
_MOST_BEHIND, _MOST_AT_ONCE = 200_000, 1000  # points that wait, and that are written together
_log = logging.getLogger("frugalnas")


@dataclass(frozen=True)
class Point:
    """What is known after so many trials were told. `time`: seconds since 1970; `values` by name, floats."""

    told: int
    time: float
    values: Mapping[str, float]


@dataclass(frozen=True)
class Told:
    """What a search is, for who hears of it first: its settings by dotted names."""

    name: str
    settings: Mapping[str, str | float | bool]


class Logger(Protocol):
    """Somewhere to write to. All is called in one thread of its own, and may raise anything."""

    def open(self, told: Told) -> int:
        """Begin, or go on. Returns how many told trials are there already."""
        ...

    def write(self, points: Sequence[Point]) -> None: ...

    def close(self, front: str, ended: bool) -> None:
        """Write the front, a Markdown table, and let go. `ended`: by itself rather than by an interrupt or an error."""
        ...


@contextmanager
def telling(loggers: Mapping[str, Logger], name: str, tree: Mapping[str, Any]) -> Iterator[Callable[[Study], None]]:
    """A function to call after each told trial, which has every logger hear of it.

    `name` and `tree` are those of the study. What goes wrong with a logger is said in one warning, and then it hears no
    more; within PATIENCE_S after the end the rest is written.
    """
    course = Course()
    told = Told(name, dict(flat(tree)))
    behind = [Behind(words, logger, told) for words, logger in loggers.items()]

    def tell(study: Study) -> None:
        for point in course.after(study):
            for each in behind:
                each.tell(point)

    ended = False
    try:
        yield tell
        ended = True
    finally:
        until = time.monotonic() + PATIENCE_S
        front = course.front()
        for each in behind:
            each.end(front, ended)
        for each in behind:
            each.join(max(0.0, until - time.monotonic()))


def flat(tree: Any, path: str = "") -> Iterator[tuple[str, str | float | bool]]:
    """The leaves of a configuration by dotted names."""
    if isinstance(tree, Mapping | list | tuple) and tree:
        for key, value in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
            yield from flat(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, tree if isinstance(tree, str | int | float | bool) else "" if tree is None else str(tree)


class Course:
    """A study as it goes on, as points."""

    def __init__(self) -> None:
        self._told = 0
        self._counts: Counter[str] = Counter()
        self._archive: Archive | None = None
        self._share = 0.0

    def after(self, study: Study) -> Iterator[Point]:
        """A point for each trial that was told since the last call; of earlier sessions, at the first call, all."""
        archive = self._archive = self._archive or Archive(study.problem.minimised)
        for trial in study.trials[self._told :]:
            self._told += 1
            self._counts[trial.status] += 1
            if trial.candidate.rung >= study.problem.looks:
                self._add(archive, trial)
            whole = {
                "hypervolume": self._share,
                "front": float(len(archive.members)),
                **{status: float(self._counts[status]) for status in ("done", "rejected", "failed")},
            }
            latest = self._told == len(study.trials)  # of those before, when they were told is not known here
            values = {f"trial/{name}": value for name, value in trial.values.items() if math.isfinite(value)}
            values |= {f"study/{name}": value for name, value in whole.items()}
            yield Point(self._told, time.time(), values | ({"study/seconds": study.seconds} if latest else {}))

    def _add(self, archive: Archive, trial: Trial) -> None:
        box = (*archive.best, *archive.worst)
        changed = archive.add([trial])
        grown = changed or box != (*archive.best, *archive.worst)
        if grown and (archive.worst > archive.best).any() and len(archive.objectives) <= MOST_OBJECTIVES:
            self._share = archive.share()

    def front(self) -> str:
        """The front, or some of it spread evenly, as a Markdown table."""
        archive = self._archive
        if archive is None or not archive.members:
            return "No network was rated."
        members = sorted(archive.members, key=lambda trial: [trial.values[name] for name in archive.objectives])
        shown = evenly_spread(members, archive.objectives, MOST_LINES)
        rows = [["trial", *archive.objectives], ["---"] * (1 + len(archive.objectives))]
        rows += [[str(trial.number), *amounts(trial, archive.objectives)] for trial in shown]
        more = f"\n\n{len(shown)} of {len(members)} on the front." if len(shown) < len(members) else ""
        return "\n".join(f"| {' | '.join(row)} |" for row in rows) + more


class Behind:
    """A logger with a thread of its own."""

    def __init__(self, name: str, logger: Logger, told: Told) -> None:
        self._name, self._logger, self._told = name, logger, told
        self._waiting: queue.Queue[Point | tuple[str, bool]] = queue.Queue(_MOST_BEHIND)
        self._thread: Thread | None = None
        self._broken = False

    def tell(self, point: Point) -> None:
        if self._broken:
            return
        if self._thread is None:  # a search that tells nothing leaves nothing
            self._thread = Thread(target=self._work, name=f"log to {self._name}", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait(point)
        except queue.Full:
            self._give_up(f"it is {_MOST_BEHIND:,} trials behind")

    def end(self, front: str, ended: bool) -> None:
        if self._thread is not None and not self._broken:
            with suppress(queue.Full):
                self._waiting.put((front, ended), timeout=1)

    def join(self, seconds: float) -> None:
        if self._thread is not None:
            self._thread.join(seconds)
            if self._thread.is_alive() and not self._broken:
                self._give_up(f"it did not finish within {PATIENCE_S:.0f} s")

    def _give_up(self, why: str) -> None:
        self._broken = True
        _log.warning(
            "frugalnas: nothing more goes to %s, the search goes on: %s", self._name, " ".join(why.split())[:300]
        )

    def _work(self) -> None:
        try:
            there = self._logger.open(self._told)
            while not self._broken:
                batch, ending = self._next()
                if points := [point for point in batch if point.told > there]:
                    self._logger.write(points)
                if ending:
                    self._logger.close(*ending)
                    return
        except Exception as error:
            if not self._broken:
                self._give_up(f"{type(error).__name__}: {error}")

    def _next(self) -> tuple[list[Point], tuple[str, bool] | None]:
        """All that waits; sleeps until something does."""
        batch: list[Point] = []
        item = self._waiting.get()
        while isinstance(item, Point):
            batch.append(item)
            if len(batch) == _MOST_AT_ONCE or self._waiting.empty():  # nobody else takes from it
                return batch, None
            item = self._waiting.get()
        return batch, item
