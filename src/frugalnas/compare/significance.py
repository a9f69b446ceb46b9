"""Whether a difference between two methods is more than chance: paired by seed, corrected for how many are looked at.

Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1(6), 1945; Holm, "A simple sequentially
rejective multiple test procedure", Scandinavian Journal of Statistics 6(2), 1979. The use for algorithms over several
runs follows Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.05
_DIGITS = 12  # beyond which two differences are equal


@dataclass(frozen=True)
class Contrast:
    """Two methods over the same seeds. `difference`: median over seeds of the first's value minus the second's.

    `wins`, `losses`: seeds in which the first is better, and worse. `p`: two-sided, of the signed-rank test;
    `adjusted` by Holm for all contrasts of the family.
    """

    first: str
    second: str
    wins: int
    losses: int
    difference: float
    p: float
    adjusted: float


def signed_rank(first: ArrayLike, second: ArrayLike) -> float:
    """The two-sided p of Wilcoxon's signed-rank test on the pairs (n,), (n,); 1 where no pair differs.

    Exact for small n without equal differences, see `scipy.stats.wilcoxon`. Pairs that do not differ are left out.
    """
    differences = np.round(np.asarray(first, float) - np.asarray(second, float), _DIGITS)
    differences = differences[differences != 0]
    if not differences.size:
        return 1.0
    from scipy.stats import wilcoxon  # half a second, which only a comparison has

    return float(wilcoxon(differences).pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """The p values corrected for there being several: step-down, so never below an earlier one, and at most 1."""
    adjusted, before = [0.0] * len(p), 0.0
    for step, place in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        adjusted[place] = before = max(before, min(1.0, (len(p) - step) * p[place]))
    return adjusted


def contrasts(values: Mapping[str, NDArray[np.float64]], pairs: Sequence[tuple[str, str]]) -> list[Contrast]:
    """Each pair of methods, as one family of tests; `values` (n seeds,) by method, the smaller the better."""
    found = []
    for first, second in pairs:
        difference = np.round(values[first] - values[second], _DIGITS)
        wins, losses = int((difference < 0).sum()), int((difference > 0).sum())
        p = signed_rank(values[first], values[second])
        found.append(Contrast(first, second, wins, losses, float(np.median(difference)), p, p))
    adjusted = holm([contrast.p for contrast in found])
    return [replace(contrast, adjusted=value) for contrast, value in zip(found, adjusted, strict=True)]


def mean_ranks(values: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    """The rank of each method, 1 the best, in the mean over seeds; equal ones share the mean of their ranks."""
    from scipy.stats import rankdata

    table = np.round(np.array([*values.values()]), _DIGITS)  # (methods, seeds)
    return dict(zip(values, rankdata(table, axis=0).mean(axis=1).tolist(), strict=True))


def least_p(seeds: int, tests: int) -> float:
    """The smallest p that so many pairs can give after Holm: all signs alike, 2 of 2**n ways, times the tests."""
    return min(1.0, tests * 2.0 ** (1 - seeds))


def enough(tests: int) -> int:
    """The fewest seeds with which one of so many tests can be significant at all."""
    return next(seeds for seeds in itertools.count(2) if least_p(seeds, tests) <= LEVEL)
