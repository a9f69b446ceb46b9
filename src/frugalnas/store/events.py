"""What a search records: the events of a journal that ask for a candidate and tell a trial."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from frugalnas.core import Candidate, Trial
from frugalnas.store.lines import Event, stream


def trials_of(events: Iterable[Event]) -> list[Trial]:
    """The trials that `events` tell of, in the order told. Raises KeyError or TypeError for events of no search."""
    asked: dict[int, Candidate] = {}
    trials = []
    for event in events:
        if "ask" in event:
            asked[event["ask"]] = candidate_of(event)
        else:
            trials.append(trial_of(event, asked.pop(event["tell"])))
    return trials


def trials_in(folder: Path) -> tuple[Event, list[Trial]]:
    """Header and trials of the study in `folder`. Raises as `stream` and `trials_of` do."""
    events = stream(folder)
    return next(events), trials_of(events)


def ask_event(number: int, candidate: Candidate) -> Event:
    shared = {} if candidate.inherits is None else {"inherits": candidate.inherits}
    return {
        "ask": number,
        "genotype": list(candidate.genotype),
        "rung": candidate.rung,
        "parents": list(candidate.parents),
        **shared,
    }


def tell_event(trial: Trial) -> Event:
    return {"tell": trial.number, "status": trial.status, "values": dict(trial.values), "reason": trial.reason}


def candidate_of(event: Event) -> Candidate:
    """The candidate that an ask event names. Raises KeyError or TypeError where it is none."""
    genotype, rung, parents, inherits = event["genotype"], event["rung"], event["parents"], event.get("inherits")
    for value in (event["ask"], rung, *genotype, *parents, inherits or 0):
        if type(value) is not int:
            raise TypeError(f"{value!r} is not a whole number")
    return Candidate(tuple(genotype), rung, tuple(parents), inherits)


def trial_of(event: Event, candidate: Candidate) -> Trial:
    """What a tell event says of `candidate`. Raises KeyError or TypeError where that is nothing a study writes."""
    number, status, values, reason = event["tell"], event["status"], event["values"], event["reason"]
    if status not in ("done", "rejected", "failed") or not isinstance(reason, str) or not isinstance(values, dict):
        raise TypeError(f"status {status!r}, reason {reason!r}, values {values!r}")
    for name, value in values.items():
        if type(value) is not float or not math.isfinite(value):
            raise TypeError(f"{name} is {value!r}, not a finite number")
    if status == "rejected" and not values:
        raise TypeError("a trial was rejected by no limit")
    return Trial(number, candidate, status, values, reason)
