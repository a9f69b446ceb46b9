"""A study taken up from its journal: from a snapshot as far as that goes, the rest played through the strategy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

from frugalnas import snapshot
from frugalnas.core import Candidate, InputError, Problem, Strategy, Trial, rng_for
from frugalnas.history import History
from frugalnas.snapshot import Snapshot
from frugalnas.store import Event, Journal, candidate_of, trial_of

_Events = Iterator[tuple[int, tuple[Event, int]]]  # each with its place, from 0, and its checksum


def replay(journal: Journal, problem: Problem, strategy: Strategy, seed: int) -> History:
    """What the journal records, after which the `strategy`, which must be new, is where it was.

    Raises InputError where it was made with another seed, configuration or code, and for events of no study.
    """
    _check_seed(journal, seed)
    history, events = History(problem, seed), enumerate(journal.recorded())
    known = snapshot.read(journal.folder)
    if known is not None and not _recall(events, known, history, strategy):
        history, events = History(problem, seed), enumerate(journal.recorded())
    for place, (event, _) in events:
        with _line(place):
            if "ask" in event:
                _ask(event["ask"], candidate_of(event), history, strategy)
            else:
                trial = _recorded(event, history)
                history.tell(trial)
                strategy.tell(trial)
    return history


def _check_seed(journal: Journal, seed: int) -> None:
    given = journal.header.get("config", journal.header)
    if isinstance(given, dict) and given.get("seed", seed) != seed:
        raise InputError(
            f"the journal does not fit: it was begun with seed {given['seed']!r}, this study has seed {seed}"
        )


def _recall(events: _Events, known: Snapshot, history: History, strategy: Strategy) -> bool:
    """Take up the events that a snapshot knows, and the state of the strategy after them; whether the snapshot fits."""
    last, architectures = None, iter(known.architectures)
    for place, (event, checksum) in islice(events, known.events):
        last = checksum
        with _line(place):
            if "ask" in event:
                candidate = candidate_of(event)
                history.ask(candidate, next(architectures, None) or candidate.genotype)
            else:
                history.tell(_recorded(event, history))
    same = last == known.checksum and history.asked == len(known.architectures)
    return same and snapshot.restore(strategy, known.state, history)


def _ask(number: int, recorded: Candidate, history: History, strategy: Strategy) -> None:
    expected = history.asked
    candidate = strategy.ask(rng_for(history.seed, expected))
    if number != expected or candidate != recorded:
        raise InputError(
            f"the journal does not fit: as trial {number} it recorded {recorded}, this code and configuration ask "
            f"for {candidate} as trial {expected}; resume with the version and settings that began the study"
        )
    history.ask(candidate)


def _recorded(event: Event, history: History) -> Trial:
    """The trial that a tell event records. Raises LookupError, TypeError or ValueError for one of no study."""
    trial, problem = trial_of(event, history.untold[event["tell"]]), history.problem
    if trial.status == "rejected" and not any(trial.broken == each.name and each.cost for each in problem.objectives):
        raise ValueError(f"rejected by {trial.broken!r}, which has no limit")
    if trial.status == "done" and not all(name in trial.values for name in problem.expected(trial.candidate.rung)):
        raise ValueError(f"done, with values only for {', '.join(trial.values)}")
    return trial


@contextmanager
def _line(place: int) -> Iterator[None]:
    """Name the line of the journal whose event, from 0, is wrong."""
    try:
        yield
    except InputError:
        raise
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise InputError(f"journal line {place + 2} is not a valid event: {type(error).__name__} {error}") from None
