"""Pareto ranks, crowding distance, hypervolume, and picking from a front. Everything is minimised."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray

from frugalnas.core import InputError, Trial, nearest


def point(trial: Trial, objectives: Sequence[str]) -> tuple[float, ...]:
    """The trial's values of `objectives`, in their order. Raises InputError for one that the trial does not have."""
    try:
        return tuple([trial.values[name] for name in objectives])
    except KeyError as error:
        name = error.args[0]
        raise InputError(f"trial {trial.number} has no value {name!r}: {nearest(name, list(trial.values))}") from None


def _table(points: ArrayLike) -> NDArray[np.float64]:
    table = np.asarray(points, dtype=float)  # (n, m)
    if table.size and (table.ndim != 2 or not np.isfinite(table).all()):
        raise InputError(f"points of shape {table.shape}: expected a table of finite values, one row per point")
    return table


def ranks(points: ArrayLike) -> NDArray[np.int64]:
    """The index of the front that each of the points (n, m) belongs to, 0 the best: (n,). Equal points share a rank.

    Non-dominated sorting (Deb et al. 2002, III-A), computed by `moocore`. Raises InputError for infinite values or NaN,
    which `moocore` would take and rank wrongly.
    """
    table = _table(points)
    return np.asarray(moocore.pareto_rank(table), dtype=np.int64) if table.size else np.zeros(0, dtype=np.int64)


def non_dominated(points: ArrayLike) -> NDArray[np.bool_]:
    """Which of the points (n, m) no other dominates: (n,), those of rank 0. Of many points quicker than `ranks`."""
    table = _table(points)
    if not table.size:
        return np.zeros(0, dtype=bool)
    return np.asarray(moocore.is_nondominated(table, keep_weakly=True), dtype=bool)


def crowding_distance(points: Sequence[Sequence[float]], weights: Sequence[float] | None = None) -> list[float]:
    """How lonely each of the mutually non-dominated points (n, m) is: n distances, infinite at the extremes.

    Deb et al. 2002, III-B: per objective, the gap between the two neighbours over the range of the front, summed
    with `weights` (all 1 by default; EEEA-Net has 1/3 each). Two cases the paper leaves open: a point that is there
    twice counts once, its later copies get 0; an objective of range 0 adds nothing and has no extremes.
    """
    firsts: dict[tuple[float, ...], int] = {}
    for index, row in enumerate(points):
        firsts.setdefault(tuple(row), index)
    distances = [0.0] * len(points)
    if len(firsts) <= 2:
        for index in firsts.values():
            distances[index] = math.inf
        return distances
    unique = list(firsts.values())
    for k, weight in enumerate(weights or [1.0] * len(points[0])):
        order = sorted(unique, key=lambda index: points[index][k])
        low, high = points[order[0]][k], points[order[-1]][k]
        if low == high:
            continue
        distances[order[0]] = distances[order[-1]] = math.inf
        for left, middle, right in zip(order, order[1:], order[2:], strict=False):
            distances[middle] += weight * (points[right][k] - points[left][k]) / (high - low)
    return distances


def crowded_keys(
    points: Sequence[Sequence[float]], weights: Sequence[float] | None = None
) -> list[tuple[float, float]]:
    """One key (rank, -crowding distance within the rank's front) per point of (n, m): the smaller, the better.

    Comparing two keys is the crowded-comparison operator of Deb et al. 2002, III-B; sorting by them and cutting is
    its environmental selection.
    """
    fronts: dict[int, list[int]] = {}
    for index, rank in enumerate(ranks(points).tolist()):
        fronts.setdefault(rank, []).append(index)
    keys = [(0.0, 0.0)] * len(points)
    for rank, members in fronts.items():
        for index, distance in zip(members, crowding_distance([points[i] for i in members], weights), strict=True):
            keys[index] = (rank, -distance)
    return keys


def hypervolume(points: ArrayLike, reference: Sequence[float]) -> float:
    """The volume dominated by the points (n, m) below the `reference` point (m,); 0 without points.

    Points that are not below the reference in every objective add nothing. Computed by `moocore`. Raises InputError
    where the reference has another number of objectives than the points, or a value is not finite.
    """
    table = _table(points)
    if not table.size:
        return 0.0
    if table.shape[1] != len(reference):
        raise InputError(f"reference point of {len(reference)} values: expected {table.shape[1]}, one per objective")
    return float(moocore.hypervolume(table, ref=np.asarray(reference, dtype=float)))


def front(trials: Iterable[Trial], objectives: Sequence[str]) -> list[Trial]:
    """The non-dominated `done` trials, in ascending order of the first objective, then of the others.

    Trials that repeat another (a done trial with a reason) are left out. Values of different rungs do not compare: only
    the highest rung that has done trials counts.
    """
    done = [trial for trial in sorted(trials, key=lambda t: t.number) if trial.status == "done" and not trial.reason]
    top = max((trial.candidate.rung for trial in done), default=0)
    done = [trial for trial in done if trial.candidate.rung == top]
    table = [point(trial, objectives) for trial in done]
    best = np.flatnonzero(non_dominated(table)).tolist()
    return [done[index] for index in sorted(best, key=table.__getitem__)]


class Archive:
    """The front of trials that are told bit by bit, without a second look at those that are not on it.

    `members` are those of `front` over the same trials, in the order told, `points` (k, m) their objectives; `best` and
    `worst` (m,) the least and the greatest values of all trials that compare. A higher rung begins anew.
    """

    def __init__(self, objectives: Sequence[str]) -> None:
        self.objectives = tuple(objectives)
        self._begin(0)

    def _begin(self, rung: int) -> None:
        self.rung = rung
        self.members: list[Trial] = []
        self.points = np.empty((0, len(self.objectives)))
        self.best, self.worst = np.full((2, len(self.objectives)), [[math.inf], [-math.inf]])

    def add(self, trials: Iterable[Trial]) -> bool:
        """Whether the front has changed. Raises InputError where a trial lacks an objective."""
        done = [trial for trial in trials if trial.status == "done" and not trial.reason]
        rung = max((trial.candidate.rung for trial in done), default=0)
        if rung > self.rung:
            self._begin(rung)
        new = [trial for trial in done if trial.candidate.rung == self.rung]
        if not new:
            return False
        table = _table([point(trial, self.objectives) for trial in new])
        self.best, self.worst = np.minimum(self.best, table.min(axis=0)), np.maximum(self.worst, table.max(axis=0))
        members, points = [*self.members, *new], np.concatenate([self.points, table])
        kept = np.flatnonzero(moocore.is_nondominated(points, keep_weakly=True))
        changed = bool(kept[-1] >= len(self.members))
        self.members, self.points = [members[place] for place in kept], points[kept]
        return changed

    def share(self, points: NDArray[np.float64] | None = None) -> float:
        """The hypervolume of `points`, by default the front's, as a share of the box from `best` to `worst`."""
        with np.errstate(over="ignore", invalid="ignore"):
            rows = self.points if points is None else points
            scaled = (rows - self.best) / np.where(self.worst > self.best, self.worst - self.best, 1.0)
        return hypervolume(scaled, (1.0,) * len(self.objectives)) if np.isfinite(scaled).all() else 0.0


def _first_and_others(
    trials: Sequence[Trial], objectives: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The first objective of each trial, and the mean of its others, each objective scaled to [0, 1] on the front."""
    table = np.array([point(trial, objectives) for trial in trials])  # (n, m)
    span = np.ptp(table, axis=0)
    scaled = (table - table.min(axis=0)) / np.where(span > 0, span, 1.0)
    return scaled[:, 0], scaled[:, 1:].sum(axis=1) / max(len(objectives) - 1, 1)


def knee(trials: Sequence[Trial], objectives: Sequence[str]) -> Trial:
    """The trial of a front where giving up a little of one objective stops buying much of another.

    Objectives are scaled to [0, 1] on the front; the knee has the smallest sum of the first objective and the mean of
    the others, which are prices and rise and fall together. With two objectives it is the point farthest below the line
    through the two extremes (Das 1999). Raises InputError for an empty front.
    """
    if not trials:
        raise InputError("the knee of an empty front: expected at least one done trial")
    first, others = _first_and_others(trials, objectives)
    return trials[int((first + others).argmin())]


def evenly_spread(trials: Sequence[Trial], objectives: Sequence[str], k: int) -> list[Trial]:
    """At most `k` different trials spread evenly along a front, best first objective first; one is the knee.

    EEEA-Net, algorithm 1, names the step without a rule. Here a trial's place along the front is its first objective
    minus the mean of the others, scaled to [0, 1] on the front (with two objectives, the length of the way along it),
    and the k trials are those nearest to k equidistant places, both ends included.
    """
    if k < 1:
        raise InputError(f"k = {k}: expected 1 or more")
    k = min(k, len(trials))
    if k < 2:
        return [knee(trials, objectives)] if trials else []
    first, others = _first_and_others(trials, objectives)
    places = first - others
    left = list(range(len(trials)))
    chosen: list[int] = []
    for target in np.linspace(places.min(), places.max(), k):
        nearest_left = min(left, key=lambda index: abs(places[index] - target))
        left.remove(nearest_left)
        chosen.append(nearest_left)
    return [trials[index] for index in sorted(chosen, key=places.__getitem__)]
