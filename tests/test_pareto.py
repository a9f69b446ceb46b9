"""Pareto functions against brute-force oracles, and against pymoo where it is installed."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalnas.core import Candidate, InputError, Trial
from frugalnas.pareto import crowded_keys, crowding_distance, evenly_spread, front, hypervolume, knee, point, ranks

settings.register_profile("steady", deadline=None)  # a busy machine is not a failure
settings.load_profile("steady")


def dominates(a, b):
    return all(x <= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)


def peeled(points):
    """Ranks by the definition: take away the non-dominated points until none is left."""
    rank, left, level = {}, set(range(len(points))), 0
    while left:
        best = {i for i in left if not any(dominates(points[j], points[i]) for j in left)}
        rank |= dict.fromkeys(best, level)
        left -= best
        level += 1
    return [rank[i] for i in range(len(points))]


def tables(least=1, most=5, high=4):
    """Tables (n, m) of few different values, `least` <= m <= `most`: many equal points and many ties."""
    return st.integers(least, most).flatmap(
        lambda m: st.lists(st.tuples(*[st.integers(0, high).map(float)] * m), min_size=1, max_size=16)
    )


def untied(min_size=3):
    """Tables (n, m) in which no two points share a value of an objective."""
    return st.tuples(st.integers(min_size, 12), st.integers(1, 4), st.integers(0, 2**32 - 1)).map(
        lambda shape: np.random.default_rng(shape[2]).permuted(
            np.cumsum(np.random.default_rng(shape[2]).random((shape[0], shape[1])) + 0.01, axis=0), axis=0
        )
    )


def trial(number, *values, genotype=None, status="done"):
    names = ("error", "params", "macs")
    return Trial(number, Candidate(genotype or (number,)), status, dict(zip(names, values, strict=False)))


class TestRanks:
    @given(tables())
    def test_equal_the_peeling_of_fronts(self, points):
        assert ranks(points).tolist() == peeled(points)

    def test_of_nothing(self):
        assert ranks([]).tolist() == []

    @pytest.mark.parametrize("bad", [math.inf, math.nan])
    def test_refuse_what_the_library_would_rank_wrongly(self, bad):
        with pytest.raises(InputError, match="finite"):
            ranks([[bad, 0.0, 11.0], [10.0, 8.0, 9.0]])

    @given(untied())
    def test_equal_pymoo(self, points):
        sorting = pytest.importorskip("pymoo.util.nds.non_dominated_sorting")
        _, expected = sorting.NonDominatedSorting().do(points, return_rank=True)
        assert ranks(points).tolist() == expected.tolist()


class TestCrowdingDistance:
    @given(untied())
    def test_is_the_sum_of_scaled_gaps_between_neighbours(self, points):
        distances = crowding_distance(points.tolist())
        for i, row in enumerate(points):
            expected = 0.0
            for k, value in enumerate(row):
                column = points[:, k]
                below, above = column[column < value], column[column > value]
                inside = len(below) and len(above)
                expected += (above.min() - below.max()) / np.ptp(column) if inside else math.inf
            assert distances[i] == pytest.approx(expected)

    @given(untied())
    def test_equals_pymoo(self, points):
        metrics = pytest.importorskip("pymoo.operators.survival.rank_and_crowding.metrics")
        expected = metrics.get_crowding_function("cd").do(points) * points.shape[1]  # pymoo takes the mean
        assert crowding_distance(points.tolist()) == pytest.approx(expected.tolist())

    @given(untied(), st.permutations(range(12)))
    def test_does_not_depend_on_order(self, points, shuffled):
        order = [i for i in shuffled if i < len(points)]
        moved = crowding_distance(points[order].tolist())
        assert moved == pytest.approx([crowding_distance(points.tolist())[i] for i in order])

    @given(untied(), st.floats(0.01, 100), st.floats(-10, 10))
    def test_does_not_depend_on_units(self, points, scale, shift):
        moved = points.copy()
        moved[:, 0] = moved[:, 0] * scale + shift
        assert crowding_distance(moved.tolist()) == pytest.approx(crowding_distance(points.tolist()), rel=1e-6)

    @given(untied(), st.data())
    def test_later_copies_of_a_point_get_nothing_and_change_nothing(self, points, data):
        rows = points.tolist()
        copies = data.draw(st.lists(st.sampled_from(rows), max_size=5))
        assert crowding_distance(rows + copies) == crowding_distance(rows) + [0.0] * len(copies)

    @given(untied())
    def test_an_equal_objective_adds_nothing(self, points):
        constant = [[7.0, *row] for row in points.tolist()]
        assert crowding_distance(constant) == crowding_distance(points.tolist())

    def test_weights(self):
        points = [(0.0, 10.0), (1.0, 4.0), (4.0, 0.0)]
        assert crowding_distance(points, (0.25, 0.75)) == [math.inf, 1.0, math.inf]
        assert crowding_distance([(0.0, 9.0), (1.0, 6.0), (2.0, 3.0), (4.0, 0.0)], (1, 0))[1:3] == [0.5, 0.75]

    @pytest.mark.parametrize("points", [[(1.0, 2.0)], [(1.0, 2.0), (2.0, 1.0)], [(1.0,), (1.0,), (1.0,)]])
    def test_one_or_two_points_are_extremes(self, points):
        copies = len(points) - len(set(points))
        assert crowding_distance(points) == [math.inf] * (len(points) - copies) + [0.0] * copies

    @given(tables())
    def test_keys_order_by_rank_and_then_by_the_distance_within_it(self, points):
        keys = crowded_keys(points)
        assert [rank for rank, _ in keys] == peeled(points)
        for level in set(peeled(points)):
            inside = [i for i, rank in enumerate(peeled(points)) if rank == level]
            assert [-keys[i][1] for i in inside] == crowding_distance([points[i] for i in inside])


class TestHypervolume:
    @given(tables(most=3, high=6))
    def test_counts_the_dominated_unit_cells(self, points):
        side = 5  # values of 5 and 6 are not below the reference
        cells = itertools.product(range(side), repeat=len(points[0]))
        dominated = sum(any(all(p <= c for p, c in zip(row, cell, strict=True)) for row in points) for cell in cells)
        assert hypervolume(points, (side,) * len(points[0])) == pytest.approx(dominated)

    def test_of_nothing(self):
        assert hypervolume([], (1.0, 1.0)) == 0.0

    def test_refuses_another_number_of_objectives(self):
        with pytest.raises(InputError, match="3 values: expected 2"):
            hypervolume([[0.0, 0.0]], (1.0, 1.0, 1.0))


class TestFront:
    @given(tables(least=3, most=3, high=3), st.randoms())
    def test_is_what_nothing_dominates_by_the_first_objective(self, points, random):
        trials = [trial(number, *values) for number, values in enumerate(points)]
        expected = [t for t, p in zip(trials, points, strict=True) if not any(dominates(q, p) for q in points)]
        random.shuffle(trials)
        found = front(trials, ("error", "params", "macs"))
        assert sorted(t.number for t in found) == [t.number for t in expected]
        assert [point(t, ("error", "params", "macs")) for t in found] == sorted(
            point(t, ("error", "params", "macs")) for t in expected
        )

    def test_has_only_done_trials(self):
        trials = [trial(0, 0.1, 1, status="rejected"), trial(1, 0.2, 2, status="failed"), trial(2, 0.3, 3)]
        assert front(trials, ("error", "params")) == trials[2:]
        assert front(trials[:2], ("error", "params")) == []

    def test_has_an_architecture_once(self):
        trials = [
            trial(4, 0.1, 1),
            trial(3, 0.1, 1),
            replace(trial(5, 0.1, 1), reason="same as trial 3"),
        ]
        assert [t.number for t in front(trials, ("error", "params"))] == [3, 4]

    def test_names_the_missing_value(self):
        with pytest.raises(InputError, match="trial 7 has no value 'eror': did you mean 'error'"):
            front([trial(7, 0.1, 1)], ("eror",))


class TestPicks:
    names = ("error", "params")

    @given(untied())
    def test_the_knee_is_farthest_below_the_line_through_the_extremes(self, points):
        curve = list(zip(sorted(points[:, 0]), sorted(points[:, -1], reverse=True), strict=True))
        trials = [trial(number, *values) for number, values in enumerate(curve)]
        (x0, y0), (x1, y1) = curve[0], curve[-1]
        below = [y0 + (y1 - y0) * (x - x0) / (x1 - x0) - y for x, y in curve]
        assert below[knee(trials, self.names).number] == pytest.approx(max(below))

    def test_the_knee_of_a_bent_front(self):
        trials = [trial(0, 0.0, 100), trial(1, 0.1, 20), trial(2, 0.5, 10), trial(3, 1.0, 0)]
        assert knee(trials, self.names).number == 1

    def test_costs_that_rise_together_count_once(self):
        rows = [(0.25, 24, 190), (0.26, 20, 160), (0.32, 17, 138), (0.35, 16, 134)]
        trials = [trial(i, *row) for i, row in enumerate(rows)]
        assert knee(trials, ("error", "params", "macs")).number == 1

    def test_the_knee_of_nothing(self):
        with pytest.raises(InputError, match="empty front"):
            knee([], self.names)

    def test_even_places_on_a_straight_front(self):
        trials = [trial(i, float(i), float(12 - i)) for i in range(13)]
        assert [t.number for t in evenly_spread(trials, self.names, 4)] == [0, 4, 8, 12]

    def test_even_along_the_way_where_the_members_crowd(self):
        crowd = [trial(i, i / 1000, 1 - i / 1000) for i in range(50)]
        others = [trial(50, 0.34, 0.66), trial(51, 0.65, 0.35), trial(52, 1.0, 0.0)]
        assert [t.number for t in evenly_spread(crowd + others, self.names, 4)] == [0, 50, 51, 52]

    def test_further_objectives_count_by_their_mean(self):
        curve = [(n / 20, (1 - n / 20) ** 3) for n in range(21)]
        two = evenly_spread([trial(n, x, y) for n, (x, y) in enumerate(curve)], self.names, 5)
        three = evenly_spread([trial(n, x, y, y) for n, (x, y) in enumerate(curve)], (*self.names, "macs"), 5)
        assert [t.number for t in three] == [t.number for t in two]

    @given(tables(most=3), st.integers(1, 20))
    def test_are_different_members_ends_included(self, points, k):
        members = front([trial(i, *row) for i, row in enumerate(points)], ("error", "params", "macs")[: len(points[0])])
        names = ("error", "params", "macs")[: len(points[0])]
        chosen = evenly_spread(members, names, k)
        assert len({t.number for t in chosen}) == len(chosen) == min(k, len(members))
        assert {t.number for t in chosen} <= {t.number for t in members}
        if k > 1 and len(names) == 2:
            assert {point(members[0], names), point(members[-1], names)} <= {point(t, names) for t in chosen}

    def test_one_is_the_knee_and_none_is_refused(self):
        trials = [trial(0, 0.0, 100), trial(1, 0.1, 20), trial(2, 1.0, 0)]
        assert evenly_spread(trials, self.names, 1) == [knee(trials, self.names)]
        assert evenly_spread([], self.names, 3) == []
        with pytest.raises(InputError, match="k = 0"):
            evenly_spread(trials, self.names, 0)


def test_a_front_is_of_the_highest_rung_that_has_done_trials():
    """Errors after one epoch and after ten do not compare."""
    values = [(0, "done", 0.1), (0, "done", 0.2), (1, "done", 0.3), (1, "done", 0.4), (2, "failed", 0.0)]
    given = [Trial(n, Candidate((n,), rung), status, {"error": e}) for n, (rung, status, e) in enumerate(values)]
    assert [trial.number for trial in front(given, ("error",))] == [2]
    assert [trial.number for trial in front(given[:2], ("error",))] == [0]
