"""How well two lists of scores agree about the order of the same items, and how sure that is.

Scores are minimised. Every statistic takes two arrays (..., n) of the same shape, n items in the last axis, and gives
an array (...) of the leading axes. A list whose scores are all equal orders nothing: a correlation with it is 0, where
the formulas have 0 / 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from frugalnas.core import InputError

Scores = NDArray[np.float64]
Statistic = Callable[[Scores, Scores], Scores]


@dataclass(frozen=True)
class Estimate:
    """A statistic, and the interval from `low` to `high` that a bootstrap finds for it."""

    value: float
    low: float
    high: float


def spearman(first: ArrayLike, second: ArrayLike) -> Scores:
    """Spearman's rank correlation in [-1, 1]: Pearson's of the ranks, of which equal scores have the mean."""
    from scipy.stats import rankdata  # half a second, which only statistics take

    x, y = _pair(first, second)
    x, y = (rankdata(scores, axis=-1) - (x.shape[-1] + 1) / 2 for scores in (x, y))
    return _share((x * y).sum(-1), np.sqrt((x * x).sum(-1) * (y * y).sum(-1)))


def kendall(first: ArrayLike, second: ArrayLike) -> Scores:
    """Kendall's tau-b in [-1, 1] (Kendall 1945): concordant less discordant pairs, corrected for equal scores.

    Takes time by n squared, memory by n.
    """
    x, y = _pair(first, second)
    agree, apart_x, apart_y = (np.zeros(x.shape[:-1]) for _ in range(3))
    for place in range(x.shape[-1] - 1):
        a, b = (np.sign(scores[..., place + 1 :] - scores[..., place, None]) for scores in (x, y))
        agree += (a * b).sum(-1)
        apart_x += np.abs(a).sum(-1)
        apart_y += np.abs(b).sum(-1)
    return _share(agree, np.sqrt(apart_x * apart_y))


def top_overlap(first: ArrayLike, second: ArrayLike, k: int) -> Scores:
    """Share in [0, 1] of the k best items, those with the smallest scores, that both lists have in common.

    Where equal scores compete for the last of the k places, each has its share of them: what comes out is the mean over
    all ways to break the ties, in each list on its own. Raises InputError unless k is from 1 to n.
    """
    x, y = _pair(first, second)
    if not 1 <= k <= x.shape[-1]:
        raise InputError(f"k = {k}: expected 1 to {x.shape[-1]}, the number of items")
    common: Scores = (_places(x, k) * _places(y, k)).sum(-1)
    return common / k


def estimate(
    statistic: Statistic,
    first: ArrayLike,
    second: ArrayLike,
    rng: np.random.Generator,
    *,
    draws: int = 2000,
    level: float = 0.95,
) -> Estimate:
    """A statistic of two lists (n,) with the percentile interval of a bootstrap over the items (Efron 1979).

    Each of the `draws` takes n items with replacement, and of each its scores in both lists. Equal generators take the
    same items, so that statistics of the same items compare. Raises InputError for numbers out of range.
    """
    x, y = _pair(first, second)
    if x.ndim != 1 or draws < 1 or not 0 < level < 1:
        raise InputError(f"lists {x.shape}, draws = {draws}, level = {level}: expected (n,), 1 or more, a share")
    picks = rng.integers(x.shape[0], size=(draws, x.shape[0]))
    low, high = np.quantile(statistic(x[picks], y[picks]), [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(statistic(x, y)), float(low), float(high))


def _pair(first: ArrayLike, second: ArrayLike) -> tuple[Scores, Scores]:
    x, y = (np.asarray(scores, dtype=np.float64) for scores in (first, second))
    if x.shape != y.shape or not x.ndim or x.shape[-1] < 2:
        raise InputError(f"scores of shapes {x.shape} and {y.shape}: expected two equal ones of two items or more")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("scores that are infinite or not a number: expected finite ones")
    return x, y


def _share(part: Scores, whole: Scores) -> Scores:
    """`part` / `whole`, 0 where that is 0 / 0; rounding never takes it out of [-1, 1]."""
    return np.clip(np.divide(part, whole, out=np.zeros_like(part), where=whole > 0), -1.0, 1.0)


def _places(scores: Scores, k: int) -> Scores:
    """Of each item the probability that it is among the k smallest, with ties broken at random: (..., n)."""
    from scipy.stats import rankdata

    before = rankdata(scores, method="min", axis=-1) - 1
    level = rankdata(scores, method="max", axis=-1) - before
    return np.asarray(np.clip((k - before) / level, 0.0, 1.0))
