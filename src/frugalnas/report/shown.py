"""Which networks a page draws, where there are too many to look at and to load."""

from __future__ import annotations

from frugalnas.core import Trial
from frugalnas.record import Record

MOST = 10_000  # networks that are not on the front, nor on a way to it


def shown(record: Record) -> tuple[list[Trial], int]:
    """The done trials that a page draws, in the order told, and every how manieth of the others that is: 1 is all.

    Always the front, and from each network of it the better parent of each, back to one without parents.
    """
    done = [trial for trial in record.trials if trial.status == "done"]
    if len(done) <= MOST:
        return done, 1
    kept, step = _ways(record, done), -(-len(done) // MOST)
    return [trial for place, trial in enumerate(done) if place % step == 0 or trial.number in kept], step


def _ways(record: Record, done: list[Trial]) -> set[int]:
    """The numbers of the front, and of the lines of the better parents that led there."""
    first, known, kept = record.objectives[0], {trial.number: trial for trial in done}, set[int]()
    for member in record.front:
        now: Trial | None = member
        while now is not None and now.number not in kept:
            kept.add(now.number)
            parents = [known[number] for number in now.candidate.parents if number in known]
            now = min(parents, key=lambda trial: trial.values.get(first, float("inf")), default=None)
    return kept


def words_on(step: int, drawn: int, done: int) -> str:
    """What a reader should know of the networks that are not drawn; "" where all are."""
    if step == 1:
        return ""
    return (
        f" Drawn are {drawn:,} of {done:,} networks: the front, the better parents that led to it, and of all networks "
        f"one in {step}; trials.csv has every one."
    )
