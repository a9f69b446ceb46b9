"""Rank statistics against values worked out by hand, and the bootstrap against what it should cover."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pytest
from scipy import stats

from frugalnas.core import InputError
from frugalnas.ranking import (
    Estimate,
    best_ranked,
    compared,
    estimate,
    estimate_kendall,
    estimate_spearman,
    kendall,
    partial_spearman,
    spearman,
    top_overlap,
)

CORRELATIONS = pytest.mark.parametrize("statistic", [spearman, kendall])


@pytest.mark.parametrize(
    ("second", "rho", "tau"),
    [
        ((10, 20, 30, 40), 1.0, 1.0),
        ((4, 3, 2, 1), -1.0, -1.0),
        ((1, 2, 4, 3), 0.8, 4 / 6),  # 1 - 6 * 2 / (4 * 15); 5 of 6 pairs agree
        ((2, 1, 4, 3), 0.6, 2 / 6),
        ((1, 2, 2, 3), 4.5 / np.sqrt(5 * 4.5), 5 / np.sqrt(6 * 5)),  # ranks 1, 2.5, 2.5, 4
    ],
)
def test_correlations_by_hand(second, rho, tau):
    assert spearman((1, 2, 3, 4), second) == pytest.approx(rho)
    assert kendall((1, 2, 3, 4), second) == pytest.approx(tau)


@CORRELATIONS
def test_only_the_order_counts_and_both_lists_are_equals(statistic):
    rng = np.random.default_rng(0)
    x, y = rng.integers(6, size=(2, 30)).astype(float)
    assert statistic(x, y) == statistic(np.exp(x), y**3) == statistic(y, x) == -statistic(x, -y)


@CORRELATIONS
def test_a_list_that_orders_nothing_agrees_with_nothing(statistic):
    assert statistic((1, 1, 1), (1, 2, 3)) == statistic((1, 2, 3), (5, 5, 5)) == statistic((2, 2, 2), (2, 2, 2)) == 0


def test_correlations_are_those_of_scipy_also_for_many_lists_at_once():
    rng = np.random.default_rng(1)
    x, y = rng.integers(8, size=(2, 5, 3, 20)).astype(float)
    rho, tau = spearman(x, y), kendall(x, y)
    assert rho.shape == tau.shape == (5, 3)
    for place in itertools.product(range(5), range(3)):
        assert rho[place] == pytest.approx(stats.spearmanr(x[place], y[place]).statistic)
        assert tau[place] == pytest.approx(stats.kendalltau(x[place], y[place]).statistic)


@pytest.mark.parametrize(
    ("second", "k", "overlap"),
    [
        ((1, 2, 3, 4), 2, 1.0),
        ((4, 3, 2, 1), 2, 0.0),
        ((1, 3, 2, 4), 2, 0.5),
        ((9, 9, 9, 9), 2, 0.5),  # of two drawn out of four, one is expected
        ((1, 2, 2, 2), 2, (1 + 1 / 3) / 2),  # the second place is shared by three
        ((4, 3, 2, 1), 4, 1.0),
    ],
)
def test_the_overlap_by_hand(second, k, overlap):
    assert top_overlap((1, 2, 3, 4), second, k) == pytest.approx(overlap)


def test_the_overlap_is_the_mean_over_all_ways_to_break_ties():
    x, y, k = (1, 1, 2, 2, 2, 3), (2, 1, 1, 1, 3, 3), 3
    tops = [
        [set(order[:k]) for order in itertools.permutations(range(6)) if [scores[i] for i in order] == sorted(scores)]
        for scores in (x, y)
    ]
    mean = np.mean([len(a & b) / k for a, b in itertools.product(*tops)])
    assert top_overlap(x, y, k) == pytest.approx(mean)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: spearman((1, 2), (1, 2, 3)), r"shapes \(2,\) and \(3,\): expected two equal"),
        (lambda: kendall((1,), (1,)), "two items or more"),
        (lambda: kendall((1, float("nan")), (1, 2)), "infinite or not a number"),
        (lambda: top_overlap((1, 2), (1, 2), 3), "k = 3: expected 1 to 2"),
        (lambda: estimate(spearman, (1, 2), (1, 2), np.random.default_rng(0), level=1.0), "level = 1.0"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


@CORRELATIONS
def test_a_bootstrap_takes_the_items_of_both_lists_together(statistic):
    """So perfect agreement stays perfect in every draw; items drawn apart would agree by chance only."""
    x = np.arange(40.0)
    assert estimate(statistic, x, 2 * x, np.random.default_rng(0)) == Estimate(1.0, 1.0, 1.0)


@CORRELATIONS
def test_the_interval_follows_the_generator_and_narrows_with_more_items(statistic):
    rng = np.random.default_rng(2)
    x, noise = rng.normal(size=(2, 200))
    few, many = (estimate(statistic, x[:n], (x + noise)[:n], np.random.default_rng(3)) for n in (20, 200))
    assert few == estimate(statistic, x[:20], (x + noise)[:20], np.random.default_rng(3))
    assert few != estimate(statistic, x[:20], (x + noise)[:20], np.random.default_rng(4))
    assert few.low < few.value < few.high
    assert many.high - many.low < (few.high - few.low) / 2
    narrow = estimate(statistic, x[:20], (x + noise)[:20], np.random.default_rng(3), level=0.5)
    assert few.low < narrow.low < narrow.high < few.high


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """Spearman's correlation of a bivariate normal with Pearson's r is 6 / pi * arcsin(r / 2)."""
    rng, r = np.random.default_rng(5), 0.7
    truth, hits = 6 / np.pi * np.arcsin(r / 2), 0
    for _ in range(200):
        x, noise = rng.normal(size=(2, 30))
        found = estimate(spearman, x, r * x + np.sqrt(1 - r * r) * noise, rng, draws=300)
        hits += found.low <= truth <= found.high
    assert 176 <= hits <= 199  # 95 % less what percentile intervals of 30 items are known to miss


def test_a_statistic_with_a_number_of_its_own_can_be_estimated():
    x = np.arange(20.0)
    found = estimate(partial(top_overlap, k=5), x, x[::-1], np.random.default_rng(0))
    assert found.value == 0.0 and 0 <= found.low <= found.high < 0.5


@pytest.mark.parametrize(
    ("second", "given", "r"),
    [
        ((2, 1, 4, 3), (1, 2, 4, 3), -1 / 9),  # (0.6 - 0.8 * 0.8) / sqrt((1 - 0.64) * (1 - 0.64))
        ((1, 2, 3, 4), (2, 1, 4, 3), 1.0),  # (1 - 0.36) / (1 - 0.36)
        ((2, 1, 4, 3), (5, 5, 5, 5), 0.6),  # what orders nothing takes nothing out
        ((1, 2, 4, 3), (10, 20, 40, 30), 0.0),  # what is ordered completely has nothing left
    ],
)
def test_the_partial_correlation_by_hand(second, given, r):
    assert partial_spearman((1, 2, 3, 4), second, given) == pytest.approx(r)
    assert partial_spearman(second, (1, 2, 3, 4), given) == pytest.approx(r)


def test_the_partial_correlation_is_that_of_what_a_line_through_the_ranks_leaves():
    rng = np.random.default_rng(2)
    x, y, z = rng.integers(9, size=(3, 4, 40)).astype(float)
    found = partial_spearman(x, y, z)
    for place in range(4):
        line = np.stack([stats.rankdata(z[place]), np.ones(40)], axis=1)
        left = [
            r - line @ np.linalg.lstsq(line, r, rcond=None)[0]
            for r in (stats.rankdata(x[place]), stats.rankdata(y[place]))
        ]
        assert found[place] == pytest.approx(stats.pearsonr(*left).statistic)


def test_what_two_lists_owe_to_a_third_is_taken_out_with_its_interval():
    rng = np.random.default_rng(0)
    size = rng.normal(size=150)
    x, y = size + rng.normal(0, 0.5, (2, 150))
    whole = estimate(spearman, x, y, np.random.default_rng(0))
    left = estimate_spearman(x, y, np.random.default_rng(0), given=size)
    assert whole.low > 0.5 and left.low < 0 < left.high and left.high - left.low < 0.5


@pytest.mark.parametrize("n", [2, 7, 300])
@pytest.mark.parametrize(("quick", "statistic"), [(estimate_spearman, spearman), (estimate_kendall, kendall)])
def test_the_quick_bootstraps_are_the_plain_one(quick, statistic, n):
    """Also where blocks of pairs are not full, and where scores are equal."""
    x, y = np.random.default_rng(n).integers(max(3, n // 3), size=(2, n)).astype(float)
    plain = estimate(statistic, x, y, np.random.default_rng(5), draws=90)
    assert quick(x, y, np.random.default_rng(5), draws=90) == plain


def test_the_quick_bootstrap_of_a_partial_correlation_takes_the_same_items_of_all_lists():
    x, y, z = np.random.default_rng(4).integers(9, size=(3, 20)).astype(float)
    picks = np.random.default_rng(5).integers(20, size=(90, 20))
    low, high = np.quantile(partial_spearman(x[picks], y[picks], z[picks]), (0.1, 0.9))
    found = estimate_spearman(x, y, np.random.default_rng(5), given=z, draws=90, level=0.8)
    assert (found.value, found.low, found.high) == pytest.approx((float(partial_spearman(x, y, z)), low, high))


def test_all_statistics_at_once_are_those_of_each():
    x, y = np.random.default_rng(3).normal(size=(2, 25))
    rho, tau, overlap = compared(x, y, 5, 7)
    assert rho == estimate(spearman, x, y, np.random.default_rng(7))
    assert tau == estimate(kendall, x, y, np.random.default_rng(7))
    assert overlap == top_overlap(x, y, 5)


@pytest.mark.parametrize(("second", "score"), [((3, 1, 2), 0.2), ((1, 1, 2), 0.35), ((4, 4, 4), 1.6 / 3)])
def test_the_true_score_of_the_one_that_is_called_best(second, score):
    assert best_ranked((0.5, 0.2, 0.9), second) == pytest.approx(score)


def test_an_estimate_says_its_interval():
    assert str(Estimate(0.756, -0.1, 0.9)) == "0.76 (-0.10 to 0.90)"
