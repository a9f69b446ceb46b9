"""A study that is followed: its files are read on from where the last look ended, without a lock."""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalnas import pareto, store
from frugalnas.core import IMAGES, Candidate, InputError, Trial
from frugalnas.record import cause_of, check_header, parted
from frugalnas.watch.tail import Place, events_after, times_after

STEPS = 200  # of the front's history, about


@dataclass(frozen=True)
class Step:
    """The front's points (k, m) after so many networks were rated, and so many seconds."""

    rated: int
    seconds: float
    points: NDArray[np.float64]


class Followed:
    """One study as its files tell it up to now. `trouble`: why nothing, or nothing more, can be shown, or "".

    `trials` by number are those told, `looks` the numbers of those that only looked; `untold` are under way, each with
    the study's age in seconds when it was asked for. `seconds` and `told_at` come from `times.jsonl`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.revision = 0
        self._damaged: list[tuple[int, int] | None] = []
        self._forget()

    def _forget(self) -> None:
        self.trouble = ""
        self.header: Mapping[str, Any] = {}
        self.trials: dict[int, Trial] = {}
        self.looks: set[int] = set()
        self.untold: dict[int, tuple[Candidate, float]] = {}
        self.counts: Counter[str] = Counter()
        self.rungs: Counter[int] = Counter()
        self.causes: Counter[str] = Counter()
        self.images = 0.0
        self.seconds: dict[int, float] = {}
        self.told_at = array("d")  # the age of the study at each trial that was rated
        self.session: tuple[int, str] | None = None
        self.begun = self.elapsed = 0.0  # the age of the study when its last session began, and now
        self.closed = False
        self.rated_before = 0  # by earlier sessions
        self.rated_columns: dict[str, array[float]] = {}
        self.rated_numbers = array("q")
        self.archive = pareto.Archive(())
        self.steps: list[Step] = []
        self._journal = self._times = Place()
        self._ages: dict[int, float] = {}
        self._fresh: list[Trial] = []  # that are not on the front yet
        self._shares: dict[Any, Any] = {}

    @property
    def objectives(self) -> tuple[str, ...]:
        return self.archive.objectives

    @property
    def config(self) -> Mapping[str, Any]:
        config: Mapping[str, Any] = self.header.get("config", {})
        return config

    def read(self) -> None:
        """Read what is new. A journal that was replaced by another is read anew, one that is damaged told of."""
        before = self._journal, self._times, self.trouble
        files = self._files()
        if self.trouble:
            if files == self._damaged:
                return
            self._forget()
        try:
            self._read_on()
        except InputError:
            self._forget()
            try:
                self._read_on()
            except InputError as error:
                self._forget()
                self.trouble, self._damaged = str(error), files
        if (self._journal, self._times, self.trouble) != before:
            self.revision += 1

    def _files(self) -> list[tuple[int, int] | None]:
        """By which the files are told from later ones."""
        found: list[tuple[int, int] | None] = []
        for name in (store.JOURNAL, store.TIMES):
            try:
                facts = (self.folder / name).stat()
                found.append((facts.st_size, facts.st_mtime_ns))
            except OSError:
                found.append(None)
        return found

    def _read_on(self) -> None:
        self._read_times()  # first: what is told has its time then, at the next look at the latest
        while True:
            events, place = events_after(self.folder, self._journal)
            if place == self._journal:
                return
            try:
                self._learn(events)
            except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
                cause = f"{error}" if isinstance(error, InputError) else f"{type(error).__name__} {error}"
                words = " ".join(cause.split())[:300]
                raise InputError(f"{self.folder} holds a journal of no search: {words}") from None
            self._journal = place

    def _read_times(self) -> None:
        while True:
            entries, place = times_after(self.folder, self._times)
            if place == self._times:
                return
            self._times = place
            for entry in entries:
                self._note(entry)

    def _note(self, entry: store.Event) -> None:
        self.elapsed = max(self.elapsed, entry.get("elapsed", 0.0))
        if "pid" in entry:
            self.session, self.begun = (int(entry["pid"]), entry["host"]), self.elapsed
            self.rated_before = len(self.told_at)
        if "tell" in entry:
            self.seconds[entry["tell"]] = entry["seconds"]
            self._ages[entry["tell"]] = self.elapsed
            self.told_at.append(self.elapsed)
        self.closed = not entry.keys() & {"pid", "tell"}

    def _learn(self, events: list[store.Event]) -> None:
        if not self.header and events:
            self.header = events.pop(0)
            check_header(self.header)
            self.archive = pareto.Archive(self.header["config"]["objectives"])
        age = next(reversed(self._ages.values()), 0.0) if not self.trials else self._age_of(next(reversed(self.trials)))
        for event in events:
            if "ask" in event:
                self.untold[event["ask"]] = store.candidate_of(event), age
            else:
                trial = store.trial_of(event, self.untold.pop(event["tell"])[0])
                age = self._age_of(trial.number, age)
                self._tell(trial, age)
        if self._fresh:
            self._grow(age)

    def _age_of(self, number: int, otherwise: float | None = None) -> float:
        return self._ages.get(number, self.elapsed if otherwise is None else otherwise)

    def _tell(self, told: Trial, age: float) -> None:
        (trials, looks) = parted((told,), self.config)
        (trial,) = trials or looks
        float(max(map(abs, (trial.number, *trial.candidate.genotype))))  # an OverflowError beyond all numbers
        self.trials[trial.number] = trial
        if trial.status != "done":
            self.causes[cause_of(trial)] += 1
        if looks:
            self.looks.add(trial.number)
            return
        self.counts[trial.status] += 1
        if trial.status != "done":
            return
        self.rungs[trial.candidate.rung] += 1
        if trial.reason:
            return
        self.images += trial.values.get(IMAGES, 0.0)
        self._fresh.append(trial)
        if len(self._fresh) * STEPS > self.counts["done"]:  # each one of a short study, of a long one many at once
            self._grow(age)

    def _grow(self, age: float) -> None:
        """Put the trials that were told of on the front."""
        fresh, self._fresh, rung = self._fresh, [], self.archive.rung
        grew = self.archive.add(fresh)
        if self.archive.rung != rung:
            self.rated_columns, self.rated_numbers, self.steps = {}, array("q"), []
        for trial in fresh:
            if trial.candidate.rung == self.archive.rung:
                for name in self.objectives:
                    self.rated_columns.setdefault(name, array("d")).append(trial.values[name])
                self.rated_numbers.append(trial.number)
        if grew:
            self.steps.append(Step(self.counts["done"], age, self.archive.points))
            if len(self.steps) > 2 * STEPS:
                del self.steps[1:-1:2]

    def share(self, step: Step) -> float:
        """The share of the box that the front dominated then; see `pareto.Archive`."""
        box = (*self.archive.best, *self.archive.worst)
        if self._shares.get("box") != box:
            self._shares = {"box": box}
        if step.rated not in self._shares:
            self._shares[step.rated] = self.archive.share(step.points)
        share: float = self._shares[step.rated]
        return share

    def under_way(self) -> list[tuple[int, Candidate, float]]:
        """Number, candidate, and since how many seconds it is asked for, in this session, by the clock of the study."""
        now = self.age()
        return [
            (number, candidate, max(0.0, now - max(at, self.begun))) for number, (candidate, at) in self.untold.items()
        ]

    def age(self) -> float:
        """Seconds that the study has run, if it still does, by the time of its file."""
        try:
            since = time.time() - (self.folder / store.TIMES).stat().st_mtime
        except OSError:
            since = 0.0
        return self.elapsed + max(0.0, since)
