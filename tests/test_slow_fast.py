"""Slow-fast learning: how learners move, who inherits what, and which networks are selected in the end."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest

from frugalnas.core import Candidate, InputError, Trial, rng_for
from frugalnas.strategies.random import RandomSearch
from frugalnas.strategies.slow_fast import SlowFast, decoded, moved
from test_strategies import Tuples, batch

UPPER = np.array([4.0, 3.0, 7.0])
X = np.array([[0.5, 2.5, 6.5], [3.9, 0.1, 1.0], [1.0, 1.0, 1.0], [2.0, 2.9, 3.0]])
V = np.array([[0.0, 0.0, 0.0], [0.5, -0.5, 2.0], [1.0, 1.0, 1.0], [-1.0, 0.0, 0.5]])


@dataclass
class Recorder:
    """A weight set that only notes what it is told."""

    begun: list[int] = field(default_factory=list)
    calls: list[tuple] = field(default_factory=list)

    def begin(self, generations):
        self.begun.append(generations)

    def write_back(self, number, fast, slow, generation):
        self.calls.append((number, fast, slow, generation))


def strategy(weight_set=None, objectives=("error",), **settings):
    given = {"population": 6, "generations": 3, "rungs": 3} | settings
    return SlowFast(Tuples(), objectives, weight_set=weight_set, **given)


def tell(learner, asked, losses, **others):
    for number, candidate in asked.items():
        loss = losses(number, candidate)
        values = {"error": loss, "loss": loss} | {name: value(candidate) for name, value in others.items()}
        learner.tell(Trial(number, candidate, "failed" if loss is None else "done", {} if loss is None else values))


def rounds(learner, count, losses):
    """`count` waves, asked and told."""
    start, waves = 0, []
    for _ in range(count):
        asked = batch(learner, start)
        tell(learner, asked, losses)
        waves.append(asked)
        start += len(asked)
    return waves


class TestMoves:
    def test_the_rule_of_the_paper(self):
        pairs, seed = [(0, 1), (3, 2)], 5
        positions, velocities = moved(X, V, pairs, UPPER, np.random.default_rng(seed))
        r1, r2 = np.random.default_rng(seed).random((2, 2, 3))
        for k, (fast, slow) in enumerate(pairs):
            for d in range(3):
                v = r1[k, d] * V[slow, d] + r2[k, d] * (X[fast, d] - X[slow, d])
                assert velocities[slow, d] == pytest.approx(v)
                assert positions[slow, d] == pytest.approx(min(max(X[slow, d] + v, 0.0), UPPER[d]))
            assert (positions[fast] == X[fast]).all() and (velocities[fast] == V[fast]).all()

    def test_the_mean_of_the_swarm_draws_with_phi(self):
        still = np.zeros_like(X)
        without, _ = moved(X, still, [(0, 1)], UPPER, np.random.default_rng(1))
        positions, _ = moved(X, still, [(0, 1)], UPPER, np.random.default_rng(1), phi=0.1)
        r = np.random.default_rng(1).random((3, 1, 3))
        assert positions[1] - without[1] == pytest.approx(0.1 * r[2, 0] * (X.mean(0) - X[1]))

    def test_all_learners_move_from_where_all_were_before(self):
        one_by_one = [moved(X, V * 0, [pair], UPPER, np.random.default_rng(3))[0] for pair in [(0, 1), (2, 3)]]
        assert not np.allclose(one_by_one[0][1], X[1])
        together, _ = moved(X, V * 0, [(0, 1), (2, 3)], UPPER, np.random.default_rng(3))
        assert not np.allclose(together[3], one_by_one[1][3])  # other numbers, not other rules
        assert (X[1] == [3.9, 0.1, 1.0]).all(), "the arguments are left alone"

    def test_at_a_bound_a_gene_stops_or_is_reflected(self):
        fast = np.array([[4.0, 3.0, 7.0], [3.9, 2.9, 0.0]])
        away = np.array([[0.0, 0.0, 0.0], [9.0, 1.0, -40.0]])
        seed = next(s for s in range(99) if (np.random.default_rng(s).random((2, 1, 3))[0] > 0.5).all())
        clipped, kept = moved(fast, away, [(0, 1)], UPPER, np.random.default_rng(seed))
        assert clipped[1].tolist() == [4.0, 3.0, 0.0] and kept[1, 0] > 0 > kept[1, 2]
        reflected, turned = moved(fast, away, [(0, 1)], UPPER, np.random.default_rng(seed), boundary="reflect")
        for d in range(3):
            x, v, up = fast[1, d] + kept[1, d], kept[1, d], UPPER[d]
            while not 0 <= x <= up:
                x, v = (2 * up - x if x > up else -x), -v
            assert (reflected[1, d], turned[1, d]) == (pytest.approx(x), pytest.approx(v))

    def test_the_clamp_is_a_share_of_the_domain(self):
        _, velocities = moved(X, V * 50, [(0, 1)], UPPER, np.random.default_rng(0), clamp=0.1)
        assert (np.abs(velocities[1]) <= 0.1 * UPPER + 1e-12).all()
        assert np.abs(velocities[1]) == pytest.approx(0.1 * UPPER)

    def test_nobody_moves_without_pairs(self):
        positions, velocities = moved(X, V, [], UPPER, np.random.default_rng(0))
        assert (positions == X).all() and (velocities == V).all()

    def test_decodes_by_floor_within_the_domain(self):
        assert decoded([0.0, 0.99, 1.0, 3.999, 4.0, -0.0], (4,) * 6) == (0, 0, 1, 3, 3, 0)


class TestPairs:
    def test_every_learner_is_rated_once_a_generation_in_pairs_that_change(self):
        learner = strategy(population=8)
        waves = rounds(learner, 12, lambda number, _: float(number))
        assert [len(wave) for wave in waves] == [2] * 12
        assert [candidate for wave in waves for candidate in wave.values() if candidate.inherits is not None] == []
        assert learner.ask(rng_for(0, 99)) is None

    def test_what_is_inherited_is_counted(self):
        learner = strategy(recorder := Recorder())
        waves = rounds(learner, 9, lambda number, _: float(number))
        assert recorder.begun == [3]
        assert [{candidate.inherits for candidate in wave.values()} for wave in waves] == [{n} for n in range(9)]
        assert recorder.calls == [(n + 1, 2 * n, 2 * n + 1, (n + 1) // 3) for n in range(9)]

    def test_parallel_pairs_inherit_the_same_weights_and_are_written_back_in_order(self):
        learner = strategy(recorder := Recorder(), parallel_pairs=2)
        waves = rounds(learner, 6, lambda number, _: float(number))
        assert [len(wave) for wave in waves] == [4, 2] * 3
        assert [next(iter(wave.values())).inherits for wave in waves] == [0, 2, 3, 5, 6, 8]
        assert all(len({candidate.inherits for candidate in wave.values()}) == 1 for wave in waves)
        assert [call[0] for call in recorder.calls] == list(range(1, 10))

    def test_the_smaller_loss_is_fast_whatever_the_error_says(self):
        learner = strategy(recorder := Recorder())
        asked = batch(learner, 0)
        for (number, candidate), (error, loss) in zip(asked.items(), [(0.1, 2.0), (0.9, 1.0)], strict=True):
            learner.tell(Trial(number, candidate, "done", {"error": error, "loss": loss}))
        assert recorder.calls == [(1, 1, 0, 0)]

    @pytest.mark.parametrize("tells", [(0, 1), (1, 0)])
    def test_a_failure_is_slow_and_leaves_no_weights(self, tells):
        learner = strategy(recorder := Recorder())
        asked = batch(learner, 0)
        trials = [
            Trial(0, asked[0], "failed", {}, "a reason"),
            Trial(1, asked[1], "done", {"error": 0.5, "loss": 9.0}),
        ]
        for number in tells:
            learner.tell(trials[number])
        assert recorder.calls == [(1, 1, None, 0)]
        tell(learner, batch(learner, 2), lambda *_: None)
        assert recorder.calls[1] == (2, None, None, 0), "a pair without a result is counted too"

    def test_the_slow_learner_moves_and_names_whom_it_learnt_from(self):
        learner = strategy()
        first = rounds(learner, 3, lambda number, _: float(number))  # the earlier one of each pair is fast
        genotypes = {number: candidate.genotype for wave in first for number, candidate in wave.items()}
        fasts = {number for wave in first for number in [min(wave)]}
        pairs = {max(wave): min(wave) for wave in first}
        second = rounds(learner, 3, lambda number, _: float(number))
        parents = [candidate.parents for wave in second for candidate in wave.values()]
        assert sorted(map(len, parents)) == [1, 1, 1, 2, 2, 2]
        changed = 0
        for wave in second:
            for candidate in wave.values():
                own = candidate.parents[0]
                if own in fasts:
                    assert candidate.genotype == genotypes[own] and len(candidate.parents) == 1
                else:
                    assert candidate.parents[1] == pairs[own]
                    changed += candidate.genotype != genotypes[own]
        assert changed

    @pytest.mark.parametrize(("margin", "moves"), [(0.0, True), (0.4, True), (0.6, False)])
    def test_within_the_margin_neither_moves_and_the_better_weights_are_kept(self, margin, moves):
        learner = strategy(recorder := Recorder(), margin=margin)
        rounds(learner, 3, lambda number, _: -0.5 * (number % 2))  # the second of each pair is better by 0.5
        assert [call[1] for call in recorder.calls] == [1, 3, 5]
        parents = [candidate.parents for candidate in batch(learner, 10).values()]
        assert any(len(own) == 2 for own in parents) or not moves
        assert moves or all(len(own) == 1 for own in parents)

    def test_equal_losses_are_a_tie(self):
        learner = strategy(recorder := Recorder())
        before = rounds(learner, 3, lambda *_: 1.0)
        after = rounds(learner, 3, lambda *_: 1.0)
        assert [call[1] for call in recorder.calls[:3]] == [0, 2, 4]
        counts = [Counter(c.genotype for wave in waves for c in wave.values()) for waves in (before, after)]
        assert counts[0] == counts[1]

    def test_with_several_objectives_a_dominated_one_is_slow(self):
        learner = strategy(recorder := Recorder(), objectives=("error", "params"))
        table = [
            [(0.5, 5.0, 1.0), (0.5, 4.0, 2.0)],  # the second dominates, its loss notwithstanding
            [(0.5, 5.0, 1.0), (0.6, 4.0, 0.5)],  # neither: the loss decides
            [(0.4, 3.0, 2.0), (0.5, 3.0, 1.0)],  # the first dominates
        ]
        for wave, rows in enumerate(table):
            for (number, candidate), row in zip(batch(learner, 2 * wave).items(), rows, strict=True):
                values = dict(zip(("error", "params", "loss"), row, strict=True))
                learner.tell(Trial(number, candidate, "done", values))
        assert [call[1] for call in recorder.calls] == [1, 3, 4]

    def test_in_generation_0_what_breaks_a_limit_is_drawn_anew(self):
        learner = strategy(recorder := Recorder())
        number, seen = 0, []
        while len(recorder.calls) < 3:
            candidate = learner.ask(rng_for(0, number))
            seen.append(candidate)
            done = number % 3 == 2
            values = {"error": 1.0, "loss": float(number)} if done else {"params": 9.0}
            learner.tell(Trial(number, candidate, "done" if done else "rejected", values))
            number += 1
        assert number == 18 and len({candidate.genotype for candidate in seen}) > 15
        assert all(fast < slow and fast % 3 == slow % 3 == 2 for _, fast, slow, _ in recorder.calls)

    def test_two_equal_candidates_that_break_a_limit_are_both_drawn_anew(self):
        learner = SlowFast(Tuples((1, 1)), ("error",), weight_set=(recorder := Recorder()), population=2)
        for number, candidate in batch(learner, 0).items():
            learner.tell(Trial(number, candidate, "rejected", {"params": 9.0}))
        tell(learner, batch(learner, 2), lambda number, _: float(number))
        assert recorder.calls == [(1, 2, 3, 1)]

    def test_later_what_breaks_a_limit_is_slow(self):
        learner = strategy(recorder := Recorder())
        rounds(learner, 3, lambda number, _: float(number))
        for number, candidate in batch(learner, 6).items():
            rejected = number == 6
            values = {"params": 9.0} if rejected else {"error": 1.0, "loss": 1.0}
            learner.tell(Trial(number, candidate, "rejected" if rejected else "done", values))
        assert recorder.calls[-1] == (4, 7, None, 1)


class TestFinalSelection:
    def selected(self, **settings):
        recorder = Recorder()
        learner = strategy(recorder, finalists=4, retrained=2, **settings)
        losses = lambda number, candidate: sum(candidate.genotype) + number / 1000  # noqa: E731
        waves = rounds(learner, 9, losses)
        return learner, recorder, {n: c for wave in waves for n, c in wave.items()}, losses

    def test_the_best_distinct_architectures_go_up_rung_by_rung(self):
        learner, recorder, searched, losses = self.selected()
        finalists = batch(learner, 18)
        last = {candidate.genotype: number for number, candidate in searched.items()}
        best = sorted(last, key=lambda genotype: losses(last[genotype], Candidate(genotype)))[:4]
        assert [c.genotype for c in finalists.values()] == best
        assert {(c.rung, c.inherits) for c in finalists.values()} == {(1, 9)}
        assert [c.parents for c in finalists.values()] == [(last[genotype],) for genotype in best]
        tell(learner, finalists, lambda number, _: -number)  # frozen, the order is the other way round
        retrained = batch(learner, 22)
        assert [c.genotype for c in retrained.values()] == best[:1:-1]
        assert {(c.rung, c.inherits) for c in retrained.values()} == {(2, None)}
        tell(learner, retrained, lambda *_: 1.0)
        assert learner.ask(rng_for(0, 24)) is None
        assert len(recorder.calls) == 9, "nothing is written back after the search"

    def test_failures_are_not_promoted(self):
        learner, _, _, _ = self.selected()
        finalists = batch(learner, 18)
        tell(learner, finalists, lambda number, _: 1.0 if number == 20 else None)
        assert [c.genotype for c in batch(learner, 22).values()] == [finalists[20].genotype]
        nothing = strategy(finalists=4, retrained=2)
        rounds(nothing, 9, lambda *_: None)
        assert nothing.ask(rng_for(0, 99)) is None

    @pytest.mark.parametrize(("rungs", "more"), [(1, 0), (2, 4)])
    def test_ends_with_the_last_rung_there_is(self, rungs, more):
        learner, _, _, _ = self.selected(rungs=rungs)
        finalists = batch(learner, 18)
        assert len(finalists) == more
        tell(learner, finalists, lambda *_: 1.0)
        assert learner.ask(rng_for(0, 99)) is None

    def test_several_objectives_promote_by_rank(self):
        learner = strategy(objectives=("error", "params"), finalists=2, generations=1, population=4)
        rows = [(0.9, 1.0), (0.5, 5.0), (0.6, 6.0), (0.55, 5.5)]  # the first two are the front
        for start in (0, 2):
            for number, candidate in batch(learner, start).items():
                error, params = rows[number]
                learner.tell(Trial(number, candidate, "done", {"error": error, "params": params, "loss": error}))
        assert [c.parents for c in batch(learner, 4).values()] == [(1,), (0,)]


def test_finds_better_networks_than_random_search_of_equal_evaluations():
    space, target = Tuples((7, 4) * 8), (5, 1) * 8

    def error(candidate):
        return float(sum((a - b) ** 2 for a, b in zip(candidate.genotype, target, strict=True)))

    def best(learner, seed):
        found = []
        for number in range(600):
            candidate = learner.ask(rng_for(seed, number))
            found.append(error(candidate))
            learner.tell(Trial(number, candidate, "done", {"error": found[-1]}))
        return min(found)

    for seed in range(3):
        assert best(SlowFast(space, ("error",), generations=30), seed) < 0.5 * best(RandomSearch(space), seed)


def test_what_decides_is_the_loss_and_without_one_the_first_objective():
    learner = strategy(objectives=("trailing", "leading"), population=2, generations=2)
    first = batch(learner, 0)
    for (number, candidate), trailing in zip(first.items(), (3.0, 1.0), strict=True):
        learner.tell(Trial(number, candidate, "done", {"trailing": trailing, "leading": -trailing}))
    after = [candidate.parents for candidate in batch(learner, 2).values()]
    assert sorted(after) == [(0, 1), (1,)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"population": 7}, "population = 7: expected an even number"),
        ({"population": 0}, "population = 0: expected 1 or more"),
        ({"generations": 0}, "generations = 0"),
        ({"parallel_pairs": 0}, "parallel_pairs = 0"),
        ({"phi": -0.1}, "phi = -0.1"),
        ({"margin": float("nan")}, "margin = nan"),
        ({"clamp": 0.0}, "clamp = 0.0"),
        ({"boundary": "reflcet"}, "did you mean 'reflect'"),
        ({"finalists": 1, "retrained": 2}, "retrained = 2: expected"),
        ({"objectives": ()}, "objectives is empty"),
    ],
)
def test_refuses_wrong_settings_in_one_line(settings, message):
    with pytest.raises(InputError, match=message) as caught:
        strategy(**settings)
    assert "\n" not in str(caught.value)
