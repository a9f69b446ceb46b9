"""A study as its files tell it, read with care: a run folder may come from anywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from frugalnas import pareto, store
from frugalnas.core import InputError, Trial


@dataclass(frozen=True)
class Record:
    """A study as its files tell it. `seconds` by trial number are worker time, `elapsed` is wall time in seconds."""

    folder: Path
    header: Mapping[str, Any]
    trials: tuple[Trial, ...]
    seconds: Mapping[int, float]
    elapsed: float

    @property
    def objectives(self) -> tuple[str, ...]:
        return tuple(self.header["config"]["objectives"])

    @cached_property
    def front(self) -> Sequence[Trial]:
        """The non-dominated trials, by the first objective."""
        return pareto.front(self.trials, self.objectives)

    @property
    def columns(self) -> tuple[str, ...]:
        """The objectives, then every other value that some trial has."""
        others = dict.fromkeys(name for trial in self.trials for name in trial.values if name not in self.objectives)
        return (*self.objectives, *others)

    def pick(self, k: int | None) -> Sequence[Trial]:
        """At most `k` trials spread evenly along the front (see `pareto.evenly_spread`); without `k` all of it."""
        return self.front if k is None else pareto.evenly_spread(self.front, self.objectives, k)

    def to_json(self, pick: int | None = None) -> dict[str, Any]:
        """Facts about the study and its front, of which `pick` trials, as plain JSON values."""
        return {
            "folder": str(self.folder),
            "version": self.header["version"],
            "config": self.header["config"],
            "objectives": list(self.objectives),
            "statuses": dict(Counter(trial.status for trial in self.trials)),
            "reasons": dict(reasons(self.trials)),
            "elapsed_s": round(self.elapsed, 3),
            "front": [
                {"trial": trial.number, "values": dict(trial.values), "genotype": list(trial.candidate.genotype)}
                for trial in self.pick(pick)
            ],
        }


def load(folder: Path) -> Record:
    """The study in `folder`, whether it is finished, interrupted or running.

    Raises InputError where there is none, or its journal adds up but was not written by a search.
    """
    header, events = store.read(folder)
    entries = store.times(folder)
    try:
        seconds = {entry["tell"]: entry["seconds"] for entry in entries if "tell" in entry}
        record = Record(folder, header, tuple(store.trials_of(events)), seconds, store.elapsed_in(entries))
        _check(record)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        cause = f"{error}" if isinstance(error, InputError) else f"{type(error).__name__} {error}"
        raise InputError(f"{folder} holds a journal of no search: {' '.join(cause.split())[:300]}") from None
    return record


def _check(record: Record) -> None:
    """Raise where a journal that may come from anywhere is not what a search writes."""
    header, config = record.header, record.header["config"]
    objectives, limits = config["objectives"], config["limits"]
    if not isinstance(objectives, list) or not objectives or not all(isinstance(name, str) for name in objectives):
        raise TypeError(f"objectives {objectives!r}")
    if not isinstance(header["facts"], Mapping) or not isinstance(header["data"], str):
        raise TypeError("the header says nothing of the data")
    for words in (config["method"], config["preset"], config["seed"], config["data"]["source"], header["version"]):
        if not isinstance(words, str | int):
            raise TypeError(f"{words!r} in the header")
    _check_numbers("the limits", limits.values())
    for trial in record.trials:
        _check_numbers("a trial", [trial.number, *trial.candidate.genotype])
    record.to_json()


def _check_numbers(where: str, values: Iterable[Any]) -> None:
    for value in values:
        if not isinstance(value, int | float):
            raise TypeError(f"{value!r} in {where} is no number")
        float(value)  # an OverflowError for a whole number beyond all others


def reasons(trials: Sequence[Trial]) -> list[tuple[str, int]]:
    """Why trials were rejected (by the limit they broke) or failed (by message), most frequent first."""
    named = Counter(
        f"rejected by {trial.broken}" if trial.status == "rejected" else f"failed: {trial.reason}"
        for trial in trials
        if trial.status != "done"
    )
    return named.most_common()
