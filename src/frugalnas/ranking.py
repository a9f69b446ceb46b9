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
DRAWS, LEVEL = 2000, 0.95  # of a bootstrap
_BLOCK = 256  # items that `estimate_kendall` compares with all others at once


@dataclass(frozen=True)
class Estimate:
    """A statistic, and the interval from `low` to `high` that a bootstrap finds for it."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def ranks(scores: ArrayLike) -> Scores:
    """Ranks from 1, the smallest score's, along the last axis; equal scores have the mean of theirs."""
    from scipy.stats import rankdata  # half a second, which only statistics take

    return np.asarray(rankdata(scores, axis=-1), dtype=np.float64)


def spearman(first: ArrayLike, second: ArrayLike) -> Scores:
    """Spearman's rank correlation in [-1, 1]: Pearson's of the ranks, of which equal scores have the mean."""
    x, y = map(_centred, _pair(first, second))
    return _correlation(x, y)


def partial_spearman(first: ArrayLike, second: ArrayLike, given: ArrayLike) -> Scores:
    """Spearman's correlation that is left once what both owe to `given` is taken out, in [-1, 1].

    (r12 - r13 r23) / sqrt((1 - r13^2)(1 - r23^2)) of the three correlations of the ranks (Kendall and Stuart 1973, vol.
    2, 27.3). A list that `given` orders completely has nothing left: 0.
    """
    x, y = _pair(first, second)
    x, y, z = map(_centred, (x, *_pair(y, given)))
    return _without(_correlation(x, y), _correlation(x, z), _correlation(y, z))


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


def best_ranked(first: ArrayLike, second: ArrayLike) -> Scores:
    """The score by `first` of the item that is best by `second`; of several that are equally good there, their mean."""
    x, y = _pair(first, second)
    best = y == y.min(-1, keepdims=True)
    return np.asarray((x * best).sum(-1) / best.sum(-1))


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
    draws: int = DRAWS,
    level: float = LEVEL,
) -> Estimate:
    """A statistic of two lists (n,) with the percentile interval of a bootstrap over the items (Efron 1979).

    Each of the `draws` takes n items with replacement, and of each its scores in both lists. Equal generators take the
    same items, so that statistics of the same items compare. Raises InputError for numbers out of range.
    """
    x, y = _pair(first, second)
    picks = _picks(x, rng, draws, level)
    return _interval(statistic(x, y), statistic(x[picks], y[picks]), level)


def estimate_spearman(
    first: ArrayLike,
    second: ArrayLike,
    rng: np.random.Generator,
    *,
    given: ArrayLike | None = None,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> Estimate:
    """What `estimate` gives for `spearman`, bit for bit, in a tenth of the time; with `given` for `partial_spearman`.

    A draw is how often it takes each item. Then ranks are running sums, and nothing is sorted anew.
    """
    x, y = _pair(first, second)
    counts = _counts(_picks(x, rng, draws, level)).astype(np.float64)
    lists = [x, y] if given is None else [x, y, _pair(x, given)[1]]
    drawn = [_drawn_ranks(scores, counts) for scores in lists]  # each (draws, n)
    squares = [(counts * own * own).sum(-1) for own in drawn]

    def correlation(one: int, other: int) -> Scores:
        return _share((counts * drawn[one] * drawn[other]).sum(-1), np.sqrt(squares[one] * squares[other]))

    if given is None:
        return _interval(spearman(x, y), correlation(0, 1), level)
    left = _without(correlation(0, 1), correlation(0, 2), correlation(1, 2))
    return _interval(partial_spearman(*lists), left, level)


def estimate_kendall(
    first: ArrayLike, second: ArrayLike, rng: np.random.Generator, *, draws: int = DRAWS, level: float = LEVEL
) -> Estimate:
    """What `estimate` gives for `kendall`, bit for bit, soon enough also for a thousand items.

    A draw is how often it takes each item, and the sums over its pairs are quadratic forms of these counts; all are
    whole numbers that floats have exactly.
    """
    x, y = _pair(first, second)
    counts = _counts(_picks(x, rng, draws, level)).astype(np.float32)
    sums = np.zeros((3, draws))
    for start in range(0, len(x), _BLOCK):
        rows = slice(start, start + _BLOCK)
        a, b = (np.sign(scores[rows, None] - scores).astype(np.float32) for scores in (x, y))  # (block, n)
        for place, pairs in enumerate((a * b, np.abs(a), np.abs(b))):
            sums[place] += (counts @ pairs.T * counts[:, rows]).sum(1, dtype=np.float64)
    return _interval(kendall(x, y), _share(sums[0], np.sqrt(sums[1] * sums[2])), level)


def compared(truth: ArrayLike, scores: ArrayLike, k: int, seed: int) -> tuple[Estimate, Estimate, float]:
    """How `scores` order items beside the `truth`: Spearman's and Kendall's correlation, the overlap of the `k` best.

    Equal seeds take the same items in their bootstraps, so that the intervals of several scores compare.
    """
    rho, tau = (each(truth, scores, np.random.default_rng(seed)) for each in (estimate_spearman, estimate_kendall))
    return rho, tau, float(top_overlap(truth, scores, k))


def _picks(x: Scores, rng: np.random.Generator, draws: int, level: float) -> NDArray[np.int64]:
    if x.ndim != 1 or draws < 1 or not 0 < level < 1:
        raise InputError(f"lists {x.shape}, draws = {draws}, level = {level}: expected (n,), 1 or more, a share")
    return rng.integers(x.shape[0], size=(draws, x.shape[0]))


def _counts(picks: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each item is among the picks of each draw: (draws, n)."""
    draws, n = picks.shape
    return np.bincount((picks + n * np.arange(draws)[:, None]).ravel(), minlength=draws * n).reshape(draws, n)


def _drawn_ranks(scores: Scores, counts: Scores) -> Scores:
    """Ranks around 0 in draws that take the items so often: (draws, n), also of items that a draw does not take."""
    order = np.argsort(scores, kind="stable")
    _, level = np.unique(scores, return_inverse=True)
    firsts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    members = np.add.reduceat(counts[:, order], firsts, axis=1)  # of each level of equal scores
    middles = members.cumsum(1) - members / 2 - counts.shape[1] / 2
    return np.asarray(middles[:, level])


def _interval(value: Scores, drawn: Scores, level: float) -> Estimate:
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(value), float(low), float(high))


def _centred(scores: Scores) -> Scores:
    """Ranks around 0."""
    return np.asarray(ranks(scores) - (scores.shape[-1] + 1) / 2)


def _without(both: Scores, first: Scores, second: Scores) -> Scores:
    """The partial correlation, from that of two lists and those of each with what is given."""
    left = (1 - first * first) * (1 - second * second)
    return _share(np.where(left > 1e-12, both - first * second, 0.0), np.sqrt(np.maximum(left, 0.0)))


def _correlation(x: Scores, y: Scores) -> Scores:
    """Pearson's, of lists around 0."""
    return _share((x * y).sum(-1), np.sqrt((x * x).sum(-1) * (y * y).sum(-1)))


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
