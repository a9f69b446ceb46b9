"""Regularized evolution: the paper's toy, who is a parent, who dies."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy

import numpy as np
import pytest

from frugalnas.core import InputError, Trial, rng_for
from frugalnas.strategies.aging import Aging
from frugalnas.strategies.random import RandomSearch
from toy import Digits

BITS = Digits(100, 2)


class Ordered(Digits):
    def canonical(self, genotype):
        return genotype


def search(strategy, count, error, start=0, seed=0):
    """Ask and tell one after the other: the candidates."""
    asked = []
    for number in range(start, start + count):
        candidate = strategy.ask(rng_for(seed, number))
        strategy.tell(Trial(number, candidate, "done", {"error": float(error(number, candidate.genotype))}))
        asked.append(candidate)
    return asked


def parents(strategy, tries=300):
    return Counter(parent for seed in range(tries) for parent in deepcopy(strategy).ask(rng_for(seed, 9**9)).parents)


@pytest.mark.parametrize("seed", range(3))
def test_the_toy_of_the_paper_s_code(seed):
    """One-max of 100 bits with noise 0.01: P = 100, S = 10, 1,000 networks; the space must not take order for equal."""
    noise = np.random.default_rng(seed)

    def error(_, genotype):
        return 1 - sum(genotype) / 100 + noise.normal(0, 0.01)

    def best(strategy):
        return max(sum(candidate.genotype) for candidate in search(strategy, 1000, error, seed=seed))

    space = Ordered(100, 2)
    assert best(Aging(space, ("error",), population=100, sample=10)) >= 85
    assert best(RandomSearch(space)) < 72


def test_the_oldest_dies_and_not_the_worst():
    strategy = Aging(Ordered(12, 4), ("error",), population=5, sample=500)
    search(strategy, 5, lambda number, _: number)  # the best first
    assert set(parents(strategy)) == {0}
    for number in range(5, 8):
        search(strategy, 1, lambda at, _: at, start=number)
        assert set(parents(strategy)) == {number - 4}


def test_a_sample_is_drawn_with_replacement():
    strategy = Aging(Ordered(12, 4), ("error",), population=8, sample=3)
    search(strategy, 8, lambda number, _: number)
    wins = parents(strategy, 3000)
    assert wins[0] / 3000 == pytest.approx(1 - (7 / 8) ** 3, abs=0.03)
    assert wins[7] / 3000 == pytest.approx((1 / 8) ** 3, abs=0.004) and len(wins) == 8


def test_a_child_differs_in_one_gene_or_is_its_parent():
    strategy = Aging(Ordered(12, 4), ("error",), population=10, sample=3, identity_probability=0.3)
    asked = search(strategy, 1500, lambda number, _: number % 7)
    changed = Counter(
        sum(a != b for a, b in zip(candidate.genotype, asked[candidate.parents[0]].genotype, strict=True))
        for candidate in asked[10:]
    )
    assert set(changed) == {0, 1} and changed[0] / 1490 == pytest.approx(0.3, abs=0.05)


def test_several_objectives_are_compared_by_dominance_then_by_crowding():
    strategy = Aging(Ordered(12, 4), ("error", "macs"), population=5, sample=500)
    for number, point in enumerate([(3, 3), (1, 5), (5, 1), (4, 4), (2.9, 2.9)]):
        candidate = strategy.ask(rng_for(0, number))
        strategy.tell(Trial(number, candidate, "done", {"error": float(point[0]), "macs": float(point[1])}))
    assert set(parents(strategy)) == {1, 2}


def test_the_order_of_tells_does_not_matter_to_the_population():
    straight, shuffled = (Aging(Ordered(12, 4), ("error",), population=6, sample=3) for _ in range(2))
    number = 0
    for size in (6, 4, 9, 5, 7):
        asked = {number + place: straight.ask(rng_for(0, number + place)) for place in range(size)}
        assert {at: shuffled.ask(rng_for(0, at)) for at in asked} == asked
        trials = [Trial(at, each, "done", {"error": float(at % 5)}) for at, each in asked.items()]
        for trial in trials:
            straight.tell(trial)
        for place in np.random.default_rng(number).permutation(size):
            shuffled.tell(trials[place])
        number += size
    assert parents(straight) == parents(shuffled)


def test_breeds_while_others_are_under_way_and_waits_only_without_any_parent():
    strategy = Aging(Ordered(12, 4), ("error",), population=4, sample=2)
    first = [strategy.ask(rng_for(0, number)) for number in range(4)]
    assert strategy.ask(rng_for(0, 4)) is None
    strategy.tell(Trial(2, first[2], "done", {"error": 0.5}))
    assert [strategy.ask(rng_for(0, number)).parents for number in range(4, 9)] == [(2,)] * 5
    strategy.tell(Trial(0, first[0], "failed", {}, "a reason"))
    assert strategy.ask(rng_for(0, 9)).parents == (2,)


def test_the_first_population_is_full_before_anything_is_bred():
    strategy = Aging(Ordered(12, 4), ("error",), population=3, sample=2)
    for number in range(7):
        candidate = strategy.ask(rng_for(0, number))
        assert candidate.parents == ()
        strategy.tell(Trial(number, candidate, "done" if number % 3 == 0 else "rejected", {"error": 1.0}, ""))
    assert strategy.ask(rng_for(0, 7)).parents


def test_attempts_avoid_what_was_asked():
    def architectures(attempts):
        strategy = Aging(Digits(6, 5), ("error",), population=5, sample=3, attempts=attempts)
        return len({tuple(sorted(each.genotype)) for each in search(strategy, 60, lambda number, _: number)})

    assert architectures(1) < 55 and architectures(99) == 60


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"population": 0}, "population = 0: expected 1 or more"),
        ({"sample": 0}, "sample = 0"),
        ({"attempts": 0}, "attempts = 0"),
        ({"identity_probability": 1.1}, "identity_probability = 1.1: expected a probability"),
        ({"objectives": ()}, "objectives is empty"),
    ],
)
def test_refuses_wrong_settings(settings, message):
    with pytest.raises(InputError, match=message):
        Aging(**{"space": BITS, "objectives": ("error",)} | settings)


def test_names_a_value_that_no_trial_has():
    strategy = Aging(BITS, ("eror",))
    with pytest.raises(InputError, match="trial 0 has no value 'eror': did you mean 'error'"):
        strategy.tell(Trial(0, strategy.ask(rng_for(0, 0)), "done", {"error": 1.0}))
