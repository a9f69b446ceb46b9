"""What a search spent, and what it bought: time, images, and the hypervolume of its front as it went on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from frugalnas import pareto
from frugalnas.core import IMAGES, Genotype
from frugalnas.ranking import Estimate, estimate, spearman
from frugalnas.record import Record

LEAST = 4  # networks of which an order says anything at all
MOST_POINTS, MOST_OBJECTIVES = 300, 5  # of the curve; with more objectives a hypervolume takes too long


@dataclass(frozen=True)
class Growth:
    """The hypervolume of the front so far, after each of some numbers of rated networks.

    Every objective is scaled so that `best` is 0 and `worst` is 1, the least and the greatest value that the search
    saw; the reference point is `worst`, so that `shares` are in [0, 1] and tell of this search only.
    """

    rated: tuple[int, ...]
    shares: tuple[float, ...]
    best: tuple[float, ...]
    worst: tuple[float, ...]


def growth(record: Record) -> Growth | None:
    """How the front of the highest rung grew; None where fewer than two networks or more than five objectives are."""
    members = record.compared
    counted = (trial.number for trial in record.trials if trial.status == "done")
    rated = {number: place for place, number in enumerate(counted, start=1)}
    if len(members) < 2 or len(record.objectives) > MOST_OBJECTIVES:
        return None
    table = np.array([pareto.point(trial, record.objectives) for trial in members])  # (n, m)
    best, worst = table.min(axis=0), table.max(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = (table - best) / np.where(worst > best, worst - best, 1.0)
    if not np.isfinite(scaled).all():  # values that only an edited journal has
        return None
    most = MOST_POINTS if len(record.objectives) < MOST_OBJECTIVES else MOST_POINTS // 5
    ends = np.unique(np.linspace(1, len(members), min(most, len(members))).round().astype(int)).tolist()
    front, shares, start = scaled[:0], [], 0
    for end in ends:
        front = np.concatenate([front, scaled[start:end]])
        front = front[pareto.ranks(front) == 0]
        shares.append(pareto.hypervolume(front, (1.0,) * len(record.objectives)))
        start = end
    return Growth(
        tuple(rated[members[end - 1].number] for end in ends),
        tuple(shares),
        tuple(best.tolist()),
        tuple(worst.tolist()),
    )


def agreement(record: Record) -> tuple[int, int, Estimate] | None:
    """How far the rung below the highest orders networks as that does, by the first objective, from those on both.

    That rung, the number of networks, and Spearman's correlation; None where fewer than LEAST networks are on both,
    or all are equal.
    """
    first, top = record.objectives[0], record.front[0].candidate.rung
    columns: dict[int, dict[Genotype, float]] = {rung: {} for rung in record.rungs}
    for trial in record.trials:
        if trial.status == "done" and not trial.reason and math.isfinite(trial.values[first]):
            columns[trial.candidate.rung][trial.candidate.genotype] = trial.values[first]
    below = max((rung for rung in record.rungs if rung < top), default=top)
    pairs = [
        (columns[below][genotype], value) for genotype, value in columns[top].items() if genotype in columns[below]
    ]
    if below == top or len(pairs) < LEAST:
        return None
    lower, upper = np.array(pairs).T
    if not (np.ptp(lower) and np.ptp(upper)):  # nothing is ordered where all are equal
        return None
    return below, len(pairs), estimate(spearman, lower, upper, np.random.default_rng(0))


def costs(record: Record) -> list[tuple[str, str]]:
    """What the search cost, as names and amounts for people."""
    count = Counter(trial.status for trial in record.trials)
    repeats = sum(trial.status == "done" and bool(trial.reason) for trial in record.trials)
    rows = [
        ("trials", f"{len(record.trials) + len(record.looks):,}"),
        *_looks(record),
        ("networks rated", f"{count['done']:,}"),
        ("of these answered from the record, being rated before", f"{repeats:,}"),
        ("rejected before training", f"{count['rejected']:,}"),
        ("failed", f"{count['failed']:,}"),
        ("wall time", duration(record.elapsed)),
    ]
    looks = {look.number for look in record.looks}
    spent = [seconds for number, seconds in record.seconds.items() if seconds > 0 and number not in looks]
    if spent:
        rows += [
            ("time of the workers", duration(sum(record.seconds.values()))),
            ("a network, on its worker", f"{median(spent):,.3g} s (median), {max(spent):,.3g} s (longest)"),
        ]
    return [*rows, *_images(record)]


def _looks(record: Record) -> list[tuple[str, str]]:
    """What pre-screening looked at, where there was some, and what the looks took."""
    if not record.looks:
        return []
    failed = sum(look.status == "failed" for look in record.looks)
    took = duration(sum(record.seconds.get(look.number, 0.0) for look in record.looks))
    words = f"{len(record.looks):,}{f', of which {failed:,} failed' if failed else ''}; {took} of the workers"
    return [("looks, to choose which networks to train", words)]


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 120:
        return f"{seconds:,.1f} s"
    return f"{seconds / 60:,.1f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def _images(record: Record) -> list[tuple[str, str]]:
    """Images that the rated networks were shown. Nothing where the journal does not tell.

    Where a trial does not say how many, they follow from the settings. A share of the images is rounded then as a whole
    but in the search class by class: they may differ by half an image of each class.
    """
    rated = [trial for trial in record.trials if trial.status == "done" and not trial.reason]
    silent = Counter(trial.candidate.rung for trial in rated if IMAGES not in trial.values)
    try:
        estimators, train = record.header["config"]["estimators"], record.header["images"]["train"]
        shown = sum(trial.values.get(IMAGES, 0.0) for trial in rated) + sum(
            number * _SHOWN[estimators[rung]["type"]](estimators[rung], train) for rung, number in silent.items()
        )
        return [("training images shown to networks, anew in each epoch", f"{int(shown):,}")]
    except (LookupError, TypeError, ValueError, OverflowError):  # another estimator, or an edited journal
        return []


def _share(estimator: Mapping[str, Any], train: int) -> int:
    samples: float = estimator["fidelity"]["samples"]
    return round(samples * train)


# Images that an estimator shows to one network, of so many in the training part.
_SHOWN: dict[str, Callable[[Mapping[str, Any], int], int]] = {
    "train": lambda estimator, train: estimator["fidelity"]["epochs"] * _share(estimator, train),
    "random_weights": lambda estimator, train: (
        estimator["draws"] * min(estimator["images"] or train, _share(estimator, train))
    ),
}
