"""What a search spent, and what it bought: time, images, and the hypervolume of its front as it went on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from frugalnas import pareto
from frugalnas.core import IMAGES, OWN_IMAGES, Genotype, Trial
from frugalnas.objectives.count import COSTS
from frugalnas.objectives.latency import LATENCY
from frugalnas.ranking import Estimate, estimate_spearman
from frugalnas.record import Record

LEAST = 4  # networks of which an order says anything at all
BASELINES = ("params", "macs")  # which cost nothing to rate by: more of them, fewer errors
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
        front = front[pareto.non_dominated(front)]
        shares.append(pareto.hypervolume(front, (1.0,) * len(record.objectives)))
        start = end
    return Growth(
        tuple(rated[members[end - 1].number] for end in ends),
        tuple(shares),
        tuple(best.tolist()),
        tuple(worst.tolist()),
    )


@dataclass(frozen=True)
class Agreement:
    """How a value orders `networks` that were rated twice, beside the first objective on the higher rung.

    `place`: where the value is from, such as "rung 0" or "a look"; "" for a cost, of which more is taken as better.
    """

    name: str
    place: str
    networks: int
    spearman: Estimate


def agreement(record: Record, space: Any = None) -> tuple[Agreement, ...]:
    """How far cheaper ratings order networks as the highest rung does by the first objective, from those with both.

    The nearest rung first, the look of pre-screening last, by each value given there; then, where the `space` is known,
    what counting reaches on the same networks. Values of fewer than LEAST networks, and those that are all equal, are
    left out; nothing where no value is left.
    """
    first, top = record.objectives[0], record.front[0].candidate.rung
    truth = {g: values[first] for g, values in _rated(record.trials, top).items() if first in values}
    places = {f"rung {rung}": _rated(record.trials, rung) for rung in reversed(record.rungs) if rung < top}
    places["a look"] = _rated(record.looks, 0)
    found: list[Agreement | None] = []
    both: set[Genotype] = set()
    for place, everything in places.items():
        rated = {g: values for g, values in everything.items() if g in truth}
        both |= rated.keys()
        for name in dict.fromkeys([first, *(name for values in rated.values() for name in values)]):
            if is_score(name):
                found.append(_agreement(name, place, truth, {g: v[name] for g, v in rated.items() if name in v}))
    if space is not None and any(found):
        for name in BASELINES:
            column = {genotype: -COSTS[name](space, genotype) for genotype in truth if genotype in both}
            found.append(_agreement(name, "", truth, column))
    return tuple(each for each in found if each)


def is_score(name: str) -> bool:
    """Whether a value that an estimator gave orders networks: a cost, a count of images, how sure another is do not."""
    return name not in (*COSTS, LATENCY, IMAGES, OWN_IMAGES) and not name.endswith(("_std", "_ci"))


def _rated(trials: Iterable[Trial], rung: int) -> dict[Genotype, dict[str, float]]:
    """The finite values of networks on a rung, without those that repeat another."""
    return {
        trial.candidate.genotype: {name: value for name, value in trial.values.items() if math.isfinite(value)}
        for trial in trials
        if trial.status == "done" and not trial.reason and trial.candidate.rung == rung
    }


def _agreement(
    name: str, place: str, truth: Mapping[Genotype, float], column: Mapping[Genotype, float]
) -> Agreement | None:
    own, true = [*column.values()], [truth[genotype] for genotype in column]
    if len(own) < LEAST or len({*own}) == 1 or len({*true}) == 1:  # nothing is ordered where all are equal
        return None
    return Agreement(name, place, len(own), estimate_spearman(own, true, np.random.default_rng(0)))


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
