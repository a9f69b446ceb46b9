"""A study as its files tell it, read with care: a run folder may come from anywhere."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from frugalnas import pareto, store
from frugalnas.core import InputError, Trial

MOST_TRAININGS, MOST_METRICS = 1000, 2**26  # shown of a run folder, and the size of a file in bytes


@dataclass(frozen=True)
class Training:
    """The end of a training of one of the networks, as its `metrics.json` tells it.

    `folder`: relative to that of the run. `images`: that it was trained on. Errors are shares in [0, 1].
    """

    folder: str
    trial: int
    params: int
    epochs: int
    images: int
    seconds: float
    test_error: float | None
    validation_error: float | None


@dataclass(frozen=True)
class Record:
    """A study as its files tell it. `seconds` by trial number are worker time, `elapsed` is wall time in seconds.

    `looks` are trials that only looked at a network, to choose among them by pre-screening. They are none of `trials`,
    whose rungs are those of the method's own ladder.
    """

    folder: Path
    header: Mapping[str, Any]
    trials: tuple[Trial, ...]
    seconds: Mapping[int, float]
    elapsed: float
    looks: tuple[Trial, ...] = ()

    @property
    def objectives(self) -> tuple[str, ...]:
        return tuple(self.header["config"]["objectives"])

    @cached_property
    def rungs(self) -> tuple[int, ...]:
        """The rungs of the ladder that have trials, the cheapest first."""
        return tuple(sorted({trial.candidate.rung for trial in self.trials}))

    @cached_property
    def compared(self) -> Sequence[Trial]:
        """The trials whose values compare: rated on the highest rung, without those that repeat another."""
        done = [trial for trial in self.trials if trial.status == "done" and not trial.reason]
        top = max((trial.candidate.rung for trial in done), default=0)
        return [trial for trial in done if trial.candidate.rung == top]

    @cached_property
    def front(self) -> Sequence[Trial]:
        """The non-dominated trials, by the first objective."""
        return pareto.front(self.trials, self.objectives)

    @cached_property
    def knee(self) -> Trial | None:
        """The front's knee (see `pareto.knee`); None without a front."""
        return pareto.knee(self.front, self.objectives) if self.front else None

    @cached_property
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
            **({"looks": len(self.looks)} if self.looks else {}),
            "reasons": dict(reasons((*self.trials, *self.looks))),
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
    with _of_a_search(folder):
        header, trials = store.trials_in(folder)
        check_header(header)
        seconds, elapsed = store.times_in(folder)
        parts = parted(trials, header["config"])
        record = Record(folder, header, parts[0], seconds, elapsed, parts[1])
        for trial in trials:
            numbers = trial.number, *trial.candidate.genotype
            float(max(numbers)), float(min(numbers))  # an OverflowError as for limits
        try:
            record.to_json()
        except InputError as error:
            raise _no_search(folder, f"{error}") from None
    return record


def header_in(folder: Path) -> Mapping[str, Any]:
    """The header of the study in `folder`, without a look at its trials. Raises InputError as `load` does."""
    with _of_a_search(folder):
        header = store.header_of(folder)
        check_header(header)
    return header


@contextmanager
def _of_a_search(folder: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _no_search(folder, f"{type(error).__name__} {error}") from None


def _no_search(folder: Path, cause: str) -> InputError:
    return InputError(f"{folder} holds a journal of no search: {' '.join(cause.split())[:300]}")


def parted(trials: Sequence[Trial], config: Mapping[str, Any]) -> tuple[tuple[Trial, ...], tuple[Trial, ...]]:
    """The trials of the method's own ladder, and before it the looks of a search that pre-screens."""
    if not config.get("prescreen"):
        return tuple(trials), ()

    def lowered(trial: Trial) -> Trial:
        return replace(trial, candidate=replace(trial.candidate, rung=max(0, trial.candidate.rung - 1)))

    looks = [trial for trial in trials if trial.candidate.rung == 0 and trial.status != "rejected"]
    return tuple(lowered(trial) for trial in trials if trial.candidate.rung or trial.status == "rejected"), tuple(looks)


def check_header(header: Mapping[str, Any]) -> None:
    """Raise where the header of a journal that may come from anywhere is not what a search writes."""
    config = header["config"]
    objectives, limits = config["objectives"], config["limits"]
    if not isinstance(objectives, list) or not objectives or not all(isinstance(name, str) for name in objectives):
        raise TypeError(f"objectives {objectives!r}")
    if not isinstance(header["facts"], Mapping) or not isinstance(header["data"], str):
        raise TypeError("the header says nothing of the data")
    for words in (config["method"], config["preset"], config["seed"], config["data"]["source"], header["version"]):
        if not isinstance(words, str | int):
            raise TypeError(f"{words!r} in the header")
    for limit in limits.values():
        if not isinstance(limit, int | float):
            raise TypeError(f"{limit!r} in the limits is no number")
        float(limit)  # an OverflowError for a whole number beyond all others


def reasons(trials: Sequence[Trial]) -> list[tuple[str, int]]:
    """Why trials were rejected (by the limit they broke) or failed (by message), most frequent first."""
    return Counter(cause_of(trial) for trial in trials if trial.status != "done").most_common()


def cause_of(trial: Trial) -> str:
    """Why a trial was rejected or failed, in words that many trials share."""
    return f"rejected by {trial.broken}" if trial.status == "rejected" else f"failed: {trial.reason}"


def trainings(folder: Path) -> list[Training]:
    """The finished trainings in `folder`/trained, by name, and that of the fit which the run is part of.

    A file that no training writes is passed over.
    """
    folder = folder.resolve()  # "." has no parent
    paths, found = sorted(folder.glob("trained/*/metrics.json"))[:MOST_TRAININGS], []
    if (folder.parent / "fit.json").is_file():
        paths.append(folder.parent / "model" / "metrics.json")
    for path in paths:
        try:
            if path.is_file() and path.stat().st_size <= MOST_METRICS:
                found.append(_training(Path(os.path.relpath(path.parent, folder)), json.loads(path.read_bytes())))
        except (OSError, LookupError, TypeError, ValueError, OverflowError, RecursionError):
            continue
    return found


def _training(folder: Path, metrics: Any) -> Training:
    if metrics["format"] != "frugalnas/metrics" or metrics["version"] != 1:
        raise ValueError("another format")
    whole = [metrics["source"]["trial"], metrics["params"], metrics["images"]]
    errors = [metrics[part] and metrics[part]["error"] for part in ("test", "validation")]
    if not all(type(value) is int and 0 <= value < 1e15 for value in whole):
        raise ValueError("no whole numbers")
    if not all(error is None or (type(error) in (int, float) and 0 <= error <= 1) for error in errors):
        raise ValueError("errors that are no shares")
    seconds, epochs = float(metrics["seconds"]), len(metrics["epochs"])
    if not math.isfinite(seconds):
        raise ValueError("no time")
    trial, params, images = whole
    return Training(folder.as_posix(), trial, params, epochs, images, seconds, *errors)
