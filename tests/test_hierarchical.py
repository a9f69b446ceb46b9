"""EcoNAS' hierarchical evolution: its accounting, who rises, who is a parent, who is dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass

import pytest

from frugalnas.core import Candidate, Genotype, InputError, Objective, Problem, Space, Trial, rng_for
from frugalnas.distribute import InProcess
from frugalnas.strategies.hierarchical import Hierarchical
from frugalnas.study import Study
from toy import Digits


@dataclass(frozen=True)
class Tuples(Digits):
    def canonical(self, genotype: Genotype) -> Genotype:
        return genotype


@dataclass(frozen=True)
class Epochs:
    """A rung that costs 20 epochs of one image, and sees the error the better the higher it is."""

    rung: int = 0
    values = ("error", "images")

    def evaluate(self, candidate: Candidate, space: Space, seed: int) -> Mapping[str, float]:
        return {"error": 1 / (1 + sum(candidate.genotype[: 4 * (self.rung + 1)])), "images": 20.0}


SPACE = Tuples(12, 8)


def strategy(**settings):
    return Hierarchical(SPACE, ("error",), **settings)


def told(search, errors, start=0, status=lambda number: "done"):
    """Ask all that the strategy has to ask, give them `errors` in that order, tell them: the candidates by number."""
    asked = {}
    while (candidate := search.ask(rng_for(0, start + len(asked)))) is not None:
        asked[start + len(asked)] = candidate
    for number, candidate in asked.items():
        value = {"error": float(errors(number, candidate))}
        search.tell(Trial(number, candidate, status(number), value))
    return asked


def test_the_paper_s_arithmetic():
    """100 cycles: 1,601 networks and 55,940 epochs; trained for all 60 epochs, as many would take 96,060."""
    work = Problem(SPACE, (Objective("error"),), tuple(Epochs(rung) for rung in range(3)))
    study = Study(work, strategy(cycles=100), seed=1)
    assert study.run(InProcess()) == "finished"
    assert Counter(trial.candidate.rung for trial in study.trials) == {0: 1601, 1: 800, 2: 396}
    assert len({trial.candidate.genotype for trial in study.trials}) == 1601
    assert study.rated == 2797 and study.images == 2797 * 20 == 55_940
    assert 1601 * 3 * 20 == 96_060
    best = min(trial.values["error"] for trial in study.front)
    assert best < 1 / (1 + 0.9 * 12 * 7), "and it is a search"


def test_the_first_cycles_have_fewer_children():
    search, number = strategy(), 0
    for up, children in ([0, 16], [8, 6], [12, 11], [12, 16], [12, 16]):
        asked = told(search, lambda at, _: at, number)
        assert [candidate.rung > 0 for candidate in asked.values()] == [True] * up + [False] * children
        number += len(asked)


def test_the_best_rise_and_their_children_are_bred_from_the_level_they_stood_on():
    search = strategy(population=4, promotions=(2, 1), children=(3, 2, 2))
    told(search, lambda number, _: [3, 0, 2, 1][number])
    first = told(search, lambda number, _: number, 4)  # 4 and 5 are the promoted, 6 to 8 the children
    assert [(c.rung, c.parents) for c in first.values()][:2] == [(1, (1,)), (1, (3,))]
    assert all(set(candidate.parents) <= {0, 1, 2, 3} for candidate in first.values())
    second = told(search, lambda number, _: number, 9)
    assert [(c.rung, c.parents) for c in second.values()][:3] == [(1, (2,)), (1, (0,)), (2, (4,))]
    children = [candidate.parents[0] for candidate in second.values() if not candidate.rung]
    assert len(children) == 5 and set(children[:3]) <= {0, 2, 6, 7, 8} and set(children[3:]) <= {4, 5}


def test_parents_keep_their_genes_and_children_change_one():
    search, known = strategy(population=8), {}
    while len(known) < 150:
        asked = told(search, lambda number, candidate: -sum(candidate.genotype), len(known))
        known |= asked
        for candidate in asked.values():
            for parent in candidate.parents:
                changed = sum(a != b for a, b in zip(candidate.genotype, known[parent].genotype, strict=True))
                assert changed == (0 if candidate.rung else 1)


@pytest.mark.parametrize(("share", "size"), [(0.0, 1), (0.25, 3), (1.0, 9)])
def test_a_tournament_has_a_quarter_of_the_level_and_one_more(share, size):
    """With replacement, the best of them: the place of the winner has the distribution of a least of `size` draws."""
    search = strategy(population=8, promotions=(0, 0), share=share, children=(1, 0, 0))
    told(search, lambda number, _: number)
    wins = Counter(deepcopy(search).ask(rng_for(seed, 0)).parents[0] for seed in range(2000))
    expected = 1 - (7 / 8) ** size
    assert wins[0] / 2000 == pytest.approx(expected, abs=0.04)


def test_the_old_are_dropped_and_a_promotion_makes_young():
    search, number = strategy(population=4, promotions=(1, 0), children=(1, 1, 0), age_limit=3), 0
    known, wanted = {}, []
    for _ in range(5):
        wanted.append({trial.number for trial in search.promotable})
        asked = told(search, lambda at, _: at, number)
        known |= asked
        number += len(asked)
    risen = [at for at, candidate in known.items() if candidate.rung]
    assert [known[at].parents for at in risen[:2]] == [(0,), (1,)]
    assert wanted[1] == {0, 1, 2, 3}
    assert wanted[2] == {1, 2, 3, *range(4, 6)} and risen[0] == 4
    assert not {2, 3} & wanted[3] and risen[0] in wanted[3], "three cycles old, and two since it was promoted"
    assert risen[0] not in wanted[4] and risen[1] in wanted[4]


def test_whoever_rises_may_still_be_wanted_on_the_way():
    """Nothing that a promotion goes on from may be taken for done with: asked, under way, or told in this cycle."""
    search = strategy(population=4, promotions=(2, 1), children=(1, 1, 1))
    first = told(search, lambda number, _: number)
    assert {trial.number for trial in search.promotable} == set(first)
    risen = search.ask(rng_for(0, 4))
    assert risen == Candidate(first[0].genotype, 1, (0,))
    assert {trial.number for trial in search.promotable} == {1, 2, 3}
    search.tell(Trial(4, risen, "done", {"error": 0.0}))
    assert {trial.number for trial in search.promotable} == {1, 2, 3, 4}


def test_a_network_that_fails_higher_up_is_lost_and_a_child_is_replaced_from_its_level():
    search = strategy(population=4, promotions=(2, 1), children=(2, 2, 2))
    told(search, lambda number, _: number)
    cycle = told(search, lambda number, _: number, 4, lambda number: "failed" if number in (4, 6) else "done")
    assert len(cycle) == 4
    (again,) = told(search, lambda number, _: number, 8).values()
    assert again.rung == 0 and set(again.parents) <= {0, 1, 2, 3}
    following = told(search, lambda number, _: number, 9)
    assert [c.parents for c in following.values() if c.rung == 2] == [(5,)]
    assert 4 not in {parent for c in following.values() for parent in c.parents}


def test_a_child_that_fails_is_replaced_by_one_of_a_parent_as_high():
    search = strategy(population=4, promotions=(2, 1), children=(1, 3, 1))
    told(search, lambda number, _: number)
    first = told(search, lambda number, _: number, 4)
    start = 4 + len(first)
    cycle = told(search, lambda number, _: number, start, lambda number: "failed")
    level = {number for number, candidate in first.items() if candidate.rung}
    again = told(search, lambda number, _: number, start + len(cycle))
    assert [candidate.rung for candidate in again.values()] == [0] * 4
    assert sum(candidate.parents[0] in level for candidate in again.values()) == 3


def test_several_objectives_rise_by_fronts():
    search = Hierarchical(SPACE, ("error", "macs"), population=6, promotions=(3, 1), children=(1, 1, 1))
    table = [(3, 3), (1, 5), (5, 1), (4, 4), (2, 6), (2.9, 2.9)]
    for number in range(6):
        candidate = search.ask(rng_for(0, number))
        search.tell(
            Trial(number, candidate, "done", dict(zip(("error", "macs"), map(float, table[number]), strict=True)))
        )
    risen = [search.ask(rng_for(0, 6 + place)).parents[0] for place in range(3)]
    assert set(risen) == {1, 2, 5}, "the first front, of which none dominates another"


def test_a_ladder_of_one_is_evolution_with_a_single_proxy():
    search = strategy(rungs=1, promotions=(), children=(16,))
    asked = [told(search, lambda at, _: at, 16 * cycle) for cycle in range(4)]
    assert [len(batch) for batch in asked] == [16] * 4 and not search.promotable
    assert all(candidate.rung == 0 for batch in asked for candidate in batch.values())


def test_ends_after_its_cycles():
    search, number = strategy(population=4, cycles=2), 0
    for _ in range(3):
        asked = told(search, lambda at, _: at, number)
        assert asked
        number += len(asked)
    assert search.ask(rng_for(0, number)) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rungs": 1}, r"promotions = \[8, 4\]: expected 0 numbers from 0, one for each of the 1 rungs but the last"),
        ({"rungs": 2, "promotions": (1,)}, r"children = \[6, 5, 5\]: expected 2 numbers from 0"),
        ({"promotions": (8, -1)}, "promotions"),
        ({"children": (0, 5, 5)}, "at least 1 of the lowest rung"),
        ({"age_limit": 1}, "age_limit = 1: expected 2 or more"),
        ({"share": 1.5}, "share = 1.5"),
        ({"cycles": 0}, "cycles = 0: expected 1 or more"),
    ],
)
def test_refuses_wrong_settings(settings, message):
    with pytest.raises(InputError, match=message):
        strategy(**settings)
    with pytest.raises(InputError, match="objectives is empty"):
        Hierarchical(SPACE, ())


def test_names_a_value_that_no_trial_has():
    search = Hierarchical(SPACE, ("eror",))
    with pytest.raises(InputError, match="trial 0 has no value 'eror': did you mean 'error'"):
        search.tell(Trial(0, search.ask(rng_for(0, 0)), "done", {"error": 1.0}))
