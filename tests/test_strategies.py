"""What every strategy promises (parametrised over STRATEGIES), and what each of them is for."""

import inspect
import random
import re
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from frugalnas.core import Candidate, Genotype, InputError, Promoting, Trial, rng_for
from frugalnas.distribute import InProcess
from frugalnas.pareto import hypervolume
from frugalnas.store import Journal
from frugalnas.strategies import STRATEGIES
from frugalnas.strategies.nsga2 import NSGA2
from frugalnas.strategies.prescreened import Prescreened
from frugalnas.strategies.random import RandomSearch
from frugalnas.strategies.truncation import Truncation
from frugalnas.study import Study
from toy import Troubled, problem

OBJECTIVES = ("leading", "trailing")
# constructor arguments that make a strategy's generations short enough for a test; without an entry, its defaults
SHORT = {
    "nsga2": {"population": 6, "offspring": 4},
    "truncation": {"population": 8, "kept": 0.5, "mutation_probability": 0.5, "inversion_probability": 0.5},
    "slow_fast": {"population": 8, "parallel_pairs": 2},
    "aging": {"population": 6, "sample": 3},
    "one_plus_lambda": {"offspring": 5},
    "hierarchical": {"population": 8, "promotions": (4, 2), "children": (3, 2, 2)},
}

# pre-screening, around strategies of each kind: those that wait, those that never do, those that promote
PRESCREENED = {f"prescreened {name}": name for name in ("random", "nsga2", "aging", "hierarchical")}
EVERY = [*STRATEGIES, *PRESCREENED]

# strategies that wait (ask gives None) until all they asked is told: the order of these tells must not matter
GENERATIONAL = ["nsga2", "truncation", "hierarchical", "slow_fast", "one_plus_lambda"]

# strategies that send what was good on one rung to the next
PROMOTING = ["hierarchical"]
RUNGS = 3


@dataclass(frozen=True)
class Tuples:
    """Genotypes that are already canonical."""

    domains: tuple[int, ...] = (4, 3) * 5

    def canonical(self, genotype: Genotype) -> Genotype:
        return genotype


def arguments(name, space, objectives):
    """What the strategy is given by its surroundings: the space, and the objectives and rungs if it takes any."""
    takes = inspect.signature(STRATEGIES[name]).parameters
    given = {"space": space, "objectives": objectives, "rungs": RUNGS}
    return {key: value for key, value in given.items() if key in takes}


def make(name, space=None, objectives=OBJECTIVES, **settings):
    """The strategy `name` with short generations."""
    if name in PRESCREENED:
        inner = make(PRESCREENED[name], space, objectives, **settings)
        space, first, others = space or Tuples(), objectives[:1], objectives[1:]
        return Prescreened(inner, space, objectives, first, others, candidates=3, least=8, model="ridge")
    given = arguments(name, space or Tuples(), objectives)
    return STRATEGIES[name](**given | SHORT.get(name, {}) | settings)


@dataclass(frozen=True)
class Climbing:
    """A rung that tells which it is, and the seed that it was handed."""

    rung: int
    values = ("error", "rung", "seed", "images")

    def evaluate(self, candidate, space, seed):
        error = 1 / (1 + sum(candidate.genotype)) + np.random.default_rng(seed).random() / 100
        return {"error": error, "rung": self.rung, "seed": seed % 2**40, "images": 10}


def values(genotype):
    """Minimise minus the leading ones and minus the trailing zeros (LOTZ, Laumanns et al. 2004, with more digits)."""
    ones = next((i for i, gene in enumerate(genotype) if gene != 1), len(genotype))
    zeros = next((i for i, gene in enumerate(reversed(genotype)) if gene != 0), len(genotype))
    return {"leading": -float(ones), "trailing": -float(zeros)}


def done(number, candidate):
    return Trial(number, candidate, "done", values(candidate.genotype))


def steps(strategy, count, seed=0, start=0, status=lambda number: "done"):
    """`count` times ask and tell; the candidates."""
    asked = []
    for number in range(start, start + count):
        candidate = strategy.ask(rng_for(seed, number))
        trial = done(number, candidate)
        if status(number) != "done":
            trial = Trial(number, candidate, status(number), {"trailing": 0.0}, "a reason")
        strategy.tell(trial)
        asked.append(candidate)
    return asked


def batch(strategy, start, seed=0, most=30):
    """Ask until the strategy waits, or `most` times: trial numbers and candidates."""
    asked = {}
    while len(asked) < most:
        number = start + len(asked)
        candidate = strategy.ask(rng_for(seed, number))
        if candidate is None:
            break
        asked[number] = candidate
    return asked


def possible_parents(strategy):
    """All that may become parents of the next candidate."""
    bred = [deepcopy(strategy).ask(rng_for(seed, 100)) for seed in range(100)]
    return {parent for candidate in bred for parent in candidate.parents}


def inside(candidate, domains):
    genotype = candidate.genotype
    return (
        type(genotype) is tuple
        and len(genotype) == len(domains)
        and all(type(gene) is int and 0 <= gene < domain for gene, domain in zip(genotype, domains, strict=True))
    )


def rungs_of(name):
    if name in PRESCREENED:
        return 1 + rungs_of(PRESCREENED[name])
    return RUNGS if "rungs" in inspect.signature(STRATEGIES[name]).parameters else 1


@pytest.mark.parametrize("name", EVERY)
class TestContract:
    @pytest.mark.parametrize(
        "domains", [(4, 3) * 5, (4, 1, 4, 2, 4, 3, 4, 4), (5,), (1, 3, 1), (1, 1), (1,), (2, 2), (7, 1, 2)]
    )
    def test_genotypes_are_inside_the_domains_however_few_there_are(self, name, domains):
        asked = steps(make(name, Tuples(domains)), 40)
        assert all(inside(candidate, domains) and candidate.rung in range(rungs_of(name)) for candidate in asked)

    def test_parents_are_earlier_trials(self, name):
        asked = steps(make(name), 60)
        for number, candidate in enumerate(asked):
            assert all(0 <= parent < number for parent in candidate.parents)
            assert len(set(candidate.parents)) == len(candidate.parents)

    def test_the_same_generators_and_trials_give_the_same_candidates(self, name):
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        before = steps(make(name), 60)
        random.seed(2)
        np.random.seed(2)  # noqa: NPY002
        assert steps(make(name), 60) == before

    def test_other_generators_give_other_candidates(self, name):
        assert steps(make(name), 60) != steps(make(name), 60, seed=1)

    def test_the_global_generators_are_left_alone(self, name):
        state, numpy_state = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
        steps(make(name), 60)
        assert random.getstate() == state
        assert np.random.get_state()[1].tolist() == numpy_state  # noqa: NPY002

    def test_waiting_changes_nothing(self, name):
        strategy = make(name)
        for start in (0, 100):
            asked = batch(strategy, start)
            generator = rng_for(0, 99)
            before, state = deepcopy(vars(strategy)), deepcopy(generator.bit_generator.state)
            if len(asked) < 30:
                assert [strategy.ask(generator) for _ in range(3)] == [None] * 3
                assert generator.bit_generator.state == state
            assert vars(strategy) == before
            for number, candidate in asked.items():
                strategy.tell(done(number, candidate))

    def test_candidates_share_nothing_that_can_change(self, name):
        for candidate in steps(make(name), 60):
            hash(candidate)

    @pytest.mark.parametrize("status", ["rejected", "failed"])
    def test_trials_without_a_result_are_survived(self, name, status):
        strategy = make(name)
        steps(strategy, 80, status=lambda number: status if number % 3 else "done")
        assert strategy.ask(rng_for(0, 80)) is not None

    @pytest.mark.parametrize("status", ["rejected", "failed"])
    def test_nothing_but_failures_never_ends_it(self, name, status):
        asked = steps(make(name), 200, status=lambda number: status)
        assert all(inside(candidate, Tuples().domains) for candidate in asked)
        assert not any(candidate.parents for candidate in asked)

    def test_the_defaults_of_the_constructor_work(self, name):
        inner = PRESCREENED.get(name, name)
        strategy = STRATEGIES[inner](**arguments(inner, Tuples(), OBJECTIVES))
        if name in PRESCREENED:
            strategy = Prescreened(strategy, Tuples(), OBJECTIVES, ("rating",))
        assert inside(strategy.ask(rng_for(0, 0)), Tuples().domains)


@pytest.mark.parametrize("name", GENERATIONAL)
class TestGenerations:
    def test_the_order_of_tells_does_not_matter(self, name):
        straight, shuffled = make(name), make(name)
        number = 0
        for _ in range(6):
            asked = batch(straight, number)
            assert batch(shuffled, number) == asked
            trials = [done(*item) for item in asked.items()]
            for trial in trials:
                straight.tell(trial)
            for index in np.random.default_rng(number).permutation(len(trials)):
                shuffled.tell(trials[index])
            number += len(asked)
        assert number >= 6 * 4

    def test_tells_between_asks_do_not_matter(self, name):
        one_by_one, at_once = make(name), make(name)
        asked = batch(at_once, 0)
        assert steps(one_by_one, len(asked)) == list(asked.values())
        for item in asked.items():
            at_once.tell(done(*item))
        assert batch(one_by_one, 50) == batch(at_once, 50)


class Ahead(InProcess):
    """Rates five candidates before the first of them is told, as a pool of workers may."""

    window = 5


@dataclass(frozen=True)
class Unreliable:
    """Fails by the seed that it is handed, each fifth time or so."""

    values = ("error",)

    def evaluate(self, candidate, space, seed):
        if seed % 5 == 0:
            raise RuntimeError("out of luck")
        return {"error": 1 / (1 + sum(candidate.genotype)) + seed % 100 / 1e4}


@pytest.mark.parametrize("name", [*GENERATIONAL, "random", "every_rung"])
def test_how_many_are_rated_at_once_changes_nothing(name):
    """Also where some fail and a limit rejects some: a search by two workers is one by one worker."""
    work = replace(problem(limit=18, genes=12, base=4), estimators=(Unreliable(),) * RUNGS)
    alone, together = (Study(work, make(name, work.space, work.minimised), seed=4) for _ in range(2))
    assert alone.run(InProcess(), trials=90) == together.run(Ahead(), trials=90) == "trials"
    assert alone.trials == sorted(together.trials, key=lambda trial: trial.number)  # a rejection is told at once
    assert {trial.status for trial in alone.trials} == {"done", "failed", "rejected"}


@pytest.mark.parametrize("name", PROMOTING)
class TestRungs:
    """With half of the trials failing or rejected, each told at once or all that wait together."""

    def asked(self, name, together, seed=0):
        strategy = make(name, Tuples((8,) * 10))
        assert isinstance(strategy, Promoting)
        told, number = {}, 0
        for _ in range(12 if together else 120):
            promotable = {trial.number: trial for trial in strategy.promotable}
            found = batch(strategy, number, seed, most=30 if together else 1)
            for candidate in found.values():
                yield candidate, promotable, told
            for at in np.random.default_rng(number).permutation(list(found)).tolist():
                status = "done" if at % 3 else ("failed", "rejected")[at % 2]
                told[at] = Trial(at, found[at], status, values(found[at].genotype), "")
                strategy.tell(told[at])
            number += len(found)

    @pytest.mark.parametrize("together", [True, False])
    def test_only_what_was_done_on_the_rung_below_goes_up_and_as_it_is(self, name, together):
        risen = 0
        for seed in range(10):
            for candidate, promotable, told in self.asked(name, together, seed):
                assert all(trial.status == "done" and trial.candidate.rung < RUNGS - 1 for trial in promotable.values())
                assert all(told[number] is trial for number, trial in promotable.items())
                if candidate.rung:
                    (number,) = candidate.parents
                    below = promotable[number].candidate
                    assert (below.genotype, below.rung) == (candidate.genotype, candidate.rung - 1)
                    risen += candidate.rung
        assert risen > 20

    def test_no_network_is_asked_twice_on_a_rung(self, name):
        asked = steps(make(name, Tuples((8,) * 10)), 150, status=lambda number: "done" if number % 5 else "failed")
        assert len({(candidate.genotype, candidate.rung) for candidate in asked}) == len(asked)
        assert {candidate.rung for candidate in asked} == set(range(RUNGS))

    def test_a_study_goes_up_the_ladder_with_one_seed_for_each_network(self, name, tmp_path):
        work = replace(problem(genes=12, base=6), estimators=tuple(Climbing(rung) for rung in range(RUNGS)))

        def study(journal=None):
            return Study(work, make(name, work.space, objectives=work.minimised), seed=3, journal=journal)

        whole = study()
        assert whole.run(InProcess(), trials=90) == "trials"
        seeds = {}
        for trial in whole.trials:
            assert trial.values["rung"] == trial.candidate.rung
            seeds.setdefault(work.space.canonical(trial.candidate.genotype), set()).add(trial.values["seed"])
        assert len(seeds) < 80 and all(len(found) == 1 for found in seeds.values())
        assert whole.images == 10 * 90 and {trial.candidate.rung for trial in whole.front} == {RUNGS - 1}

        journal = Journal.create(tmp_path / "run", {"seed": 3})
        study(journal).run(InProcess(), trials=37)
        journal.close()
        journal = Journal(tmp_path / "run")
        again = study(journal)
        again.run(InProcess(), trials=90)
        journal.close()
        assert again.trials == whole.trials


@pytest.mark.parametrize("name", ["random", "nsga2", "truncation", "hierarchical"])
def test_architectures_do_not_come_again_while_there_are_new_ones(name):
    asked = [candidate for candidate in steps(make(name, Tuples((8,) * 10)), 60) if not candidate.rung]
    assert len({candidate.genotype for candidate in asked}) == len(asked) > 30


class TestRandomSearch:
    def test_knows_an_architecture_by_its_canonical_genotype(self):
        class Sorted(Tuples):
            def canonical(self, genotype):
                return tuple(sorted(genotype))

        asked = steps(RandomSearch(Sorted((3, 3))), 6)
        assert len({tuple(sorted(candidate.genotype)) for candidate in asked}) == 6

    def test_asks_again_when_the_space_is_used_up(self):
        assert len(steps(RandomSearch(Tuples((2,))), 5)) == 5


class TestNSGA2:
    def test_generation_0_fills_with_done_trials_only(self):
        strategy = make("nsga2")
        asked = steps(strategy, 11, status=lambda number: "rejected" if number % 2 else "done")  # 6 are done
        assert all(candidate.parents == () for candidate in asked)
        parents = set()
        children = batch(strategy, 11)
        for candidate in children.values():
            parents |= set(candidate.parents)
        assert len(children) == 4
        assert parents
        assert all(number % 2 == 0 for number in parents)

    @pytest.mark.parametrize("status", ["rejected", "failed"])
    def test_later_generations_breed_until_the_offspring_are_done(self, status):
        strategy = make("nsga2")
        steps(strategy, 6)
        for number in range(6, 26):
            assert strategy.ask(rng_for(0, number)).parents
            strategy.tell(Trial(number, Candidate((0,) * 10), status, {}, "a reason"))
        assert len(batch(strategy, 30)) == 4

    def test_what_is_under_way_fills_slots(self):
        strategy = make("nsga2")
        first = batch(strategy, 0)
        assert len(first) == 6
        strategy.tell(Trial(0, first[0], "failed", {}, "a reason"))
        strategy.tell(done(1, first[1]))
        assert len(batch(strategy, 6)) == 1  # in place of the failed one

    def test_keeps_what_crowded_comparison_prefers(self):
        """One generation by hand: ranks first, then the lonelier of the front that does not fit."""
        strategy = NSGA2(Tuples(), ("a", "b"), population=4, offspring=4, tournament_size=1)
        tables = [
            [(0, 10), (10, 0), (9, 9), (8, 8)],
            [(1, 8), (2, 7), (3, 6.5), (9, 1)],  # with 0 and 1 a front of six: 5 has the least room, then 4
        ]
        for start, table in zip((0, 4), tables, strict=True):
            for (number, candidate), (a, b) in zip(batch(strategy, start).items(), table, strict=True):
                strategy.tell(Trial(number, candidate, "done", {"a": a, "b": b}))
        assert possible_parents(strategy) == {0, 1, 6, 7}

    def test_has_as_many_offspring_as_parents_unless_told(self):
        strategy = NSGA2(Tuples(), OBJECTIVES, population=5)
        steps(strategy, 5)
        assert len(batch(strategy, 5)) == 5

    def test_ends_after_its_generations(self):
        strategy = make("nsga2", generations=3)
        assert len(steps(strategy, 6 + 2 * 4)) == 14
        assert strategy.ask(rng_for(0, 14)) is None

    @pytest.mark.parametrize("crossover", ["uniform", "two_point"])
    @pytest.mark.parametrize("mutation", ["pair", "polynomial"])
    def test_children_have_their_genes_from_their_parents_and_from_mutation(self, crossover, mutation):
        strategy = make("nsga2", Tuples((50,) * 10), crossover=crossover, mutation=mutation, mutation_probability=0)
        asked = steps(strategy, 40)
        for candidate in asked[6:]:
            genes = zip(*(asked[parent].genotype for parent in candidate.parents), strict=True)
            assert all(gene in known for gene, known in zip(candidate.genotype, genes, strict=True))
        strategy = make("nsga2", Tuples((50,) * 10), crossover_probability=0, mutation=mutation)
        asked = steps(strategy, 40)
        assert all(len(candidate.parents) == 1 for candidate in asked[6:])
        changed = [
            sum(a != b for a, b in zip(candidate.genotype, asked[candidate.parents[0]].genotype, strict=True))
            for candidate in asked[6:]
        ]
        assert 1 <= np.mean(changed) <= 3

    def test_a_repeat_is_bred_again_by_its_canonical_genotype(self):
        class Sorted(Tuples):
            def canonical(self, genotype):
                return tuple(sorted(genotype))

        asked = steps(make("nsga2", Sorted((5,) * 8)), 30)
        assert len({tuple(sorted(candidate.genotype)) for candidate in asked}) == 30

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"population": 0}, "population = 0: expected 1 or more"),
            ({"crossover": "unifrom"}, "unknown crossover 'unifrom': did you mean 'uniform'?"),
            ({"mutation": "swap"}, "unknown mutation 'swap': known: pair, polynomial"),
            ({"crossover_probability": 1.5}, "crossover_probability = 1.5: expected a probability"),
            ({"weights": (1.0,)}, "1 weights: expected 2"),
            ({"generations": 0}, "generations = 0"),
        ],
    )
    def test_refuses_wrong_settings_in_one_line(self, settings, message):
        with pytest.raises(InputError, match=message.replace("?", r"\?")) as caught:
            make("nsga2", **settings)
        assert "\n" not in str(caught.value)

    def test_names_a_value_that_no_trial_has(self):
        strategy = NSGA2(Tuples(), ("leeding",))
        with pytest.raises(InputError, match="trial 0 has no value 'leeding': did you mean 'leading'"):
            strategy.tell(done(0, strategy.ask(rng_for(0, 0))))

    @pytest.mark.parametrize(("crossover", "mutation"), [("uniform", "pair"), ("two_point", "polynomial")])
    def test_dominates_more_than_random_search_of_equal_evaluations(self, crossover, mutation):
        space = Tuples((4, 3) * 8)

        def volume(strategy, seed):
            return hypervolume([tuple(values(c.genotype).values()) for c in steps(strategy, 600, seed)], (1.0, 1.0))

        for seed in range(5):
            settings = {"population": 20, "offspring": 20, "crossover": crossover, "mutation": mutation}
            found = volume(NSGA2(space, OBJECTIVES, **settings), seed)
            assert found > 2 * volume(RandomSearch(space), seed)


class TestForcedMutation:
    """NSGA-II with the mutation of Cartesian genetic programming."""

    @dataclass(frozen=True)
    class Idle:
        """The last four genes have no effect; the two before are seen by no training."""

        domains: tuple[int, ...] = (3,) * 10
        ordinal: tuple[int, ...] = ()

        def canonical(self, genotype: Genotype) -> Genotype:
            return (*genotype[:6], 0, 0, 0, 0)

        def trained(self, genotype: Genotype) -> Genotype:
            return (*genotype[:4], *(0,) * 6)

        def viable(self, genotype: Genotype) -> bool:
            return genotype[0] != 2

    def bred(self, **settings):
        strategy = make("nsga2", self.Idle(), mutation="forced", crossover_probability=0.0, **settings)
        asked = steps(strategy, 60)
        pairs = [(asked[parent].genotype, child.genotype) for child in asked for parent in child.parents]
        assert len(pairs) == 54 and all(self.Idle().viable(child.genotype) for child in asked)
        return pairs

    def test_children_are_other_networks_and_idle_genes_drift(self):
        pairs = self.bred()
        assert all(parent[:6] != child[:6] for parent, child in pairs)
        assert any(parent[6:] != child[6:] for parent, child in pairs)

    def test_the_chance_of_each_gene_can_be_given(self):
        few, many = (
            np.mean([sum(map(int.__ne__, *pair)) for pair in self.bred(gene_probability=chance)])
            for chance in (0.01, 0.5)
        )
        assert few < 1.3 and 3 < many < 7

    @pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 30), (1.0, 54, 54)])
    def test_children_may_keep_the_weights_of_their_parents(self, share, least, most):
        kept = sum(parent[:4] == child[:4] for parent, child in self.bred(keep_weights=share))
        assert least <= kept <= most

    def test_the_first_generation_may_begin_at_the_first_values(self):
        space = self.Idle(ordinal=(1, 5))
        for first, expected in ((True, {(0, 0)}), (False, None)):
            strategy = make("nsga2", space, mutation="forced", crossover_probability=0.0, start_first=first)
            asked = steps(strategy, 26)
            seen = {(child.genotype[1], child.genotype[5]) for child in asked[:6]}
            assert seen == expected if first else len(seen) > 1
            assert len({(child.genotype[1], child.genotype[5]) for child in asked[6:]}) > 1

    def test_a_wrong_share_is_refused(self):
        with pytest.raises(InputError, match="keep_weights = 2"):
            make("nsga2", keep_weights=2.0)


class TestExploitation:
    """NSGA-Net's last generations: offspring from a Bayesian network over parts of the genotypes."""

    def test_offspring_are_put_together_from_parts_of_the_population(self):
        strategy = make("nsga2", Tuples((9,) * 12), population=8, exploit_from=2, parts=3)
        asked = steps(strategy, 8 + 4)
        bred = steps(strategy, 4, start=12)
        pieces = [{candidate.genotype[part : part + 4] for candidate in asked} for part in (0, 4, 8)]
        for candidate in bred:
            assert all(candidate.genotype[4 * part : 4 * part + 4] in pieces[part] for part in range(3))
            assert 2 <= len(candidate.parents) <= 3, "not a copy: that was asked before"

    def test_before_that_and_without_it_nothing_changes(self):
        plain = steps(make("nsga2", population=8), 40)
        assert steps(make("nsga2", population=8, exploit_from=9), 40)[:36] == plain[:36]
        assert steps(make("nsga2", population=8, exploit_from=2), 40)[:12] == plain[:12]
        assert steps(make("nsga2", population=8, exploit_from=2), 40) != plain

    def test_where_all_combinations_are_known_it_breeds_as_before(self):
        strategy = make("nsga2", Tuples((8,) * 10), population=4, offspring=4, exploit_from=1, parts=1)
        asked = steps(strategy, 60)
        assert len({candidate.genotype for candidate in asked}) == 60

    @pytest.mark.parametrize("settings", [{"exploit_from": 0}, {"parts": 0}])
    def test_refuses_wrong_settings(self, settings):
        with pytest.raises(InputError, match="= 0: expected 1 or more"):
            make("nsga2", **settings)


class TestTruncation:
    def table(self, strategy, start, rows):
        for (number, candidate), row in zip(batch(strategy, start).items(), rows, strict=True):
            strategy.tell(Trial(number, candidate, "done", dict(zip(("error", "params", "macs"), row, strict=True))))

    def strategy(self, **settings):
        names = ("error", "params", "macs")
        return Truncation(Tuples((50,) * 10), names, **{"population": 10, "kept": 0.4} | settings)

    def test_the_defaults_are_the_released_ones(self):
        strategy = Truncation(Tuples((50,) * 10), ("error", "params"))
        rows = [{"error": 0.9, "params": 9.0}] * 36 + [{"error": n / 100, "params": 4 - n / 100} for n in range(4)]
        for (number, candidate), row in zip(batch(strategy, 0, most=99).items(), rows, strict=True):
            strategy.tell(Trial(number, candidate, "done", row))
        assert possible_parents(strategy) == {36, 37, 38, 39}
        assert len(batch(strategy, 40, most=99)) == 36

    def test_only_two_objectives_count_and_only_the_order_of_the_population(self):
        strategy = self.strategy()
        # one front of six in error and params: the first four survive, not the extremes 4 and 5; macs is ignored
        front = [(0.5, 5, 9), (0.51, 4.9, 9), (0.52, 4.8, 9), (0.53, 4.7, 9), (0.1, 9, 0), (0.9, 1, 0)]
        self.table(strategy, 0, front + [(1.0, 10, 0)] * 4)
        assert possible_parents(strategy) == {0, 1, 2, 3}

    def test_elites_stand_before_their_children(self):
        strategy = self.strategy()
        self.table(strategy, 0, [(0.5, 5, 0)] * 10)
        self.table(strategy, 10, [(0.5, 5, 0)] * 5 + [(0.4, 5, 0)])
        assert possible_parents(strategy) == {15, 0, 1, 2}

    def test_a_mating_gives_two_complementary_children(self):
        strategy = self.strategy(mutation_probability=0.0, inversion_probability=0.0)
        first = batch(strategy, 0)
        for item in first.items():
            strategy.tell(Trial(*item, "done", {"error": 0.5, "params": 5.0, "macs": 0.0}))
        children = list(batch(strategy, 10).values())
        for one, other in zip(children[::2], children[1::2], strict=True):
            assert one.parents == other.parents
            mother, father = (first[parent].genotype for parent in one.parents)
            for x, y, a, b in zip(one.genotype, other.genotype, mother, father, strict=True):
                assert (x, y) in ((a, b), (b, a))

    def test_inversion_copies_the_next_pair(self):
        strategy = self.strategy(mutation_probability=0.0, inversion_probability=1.0)
        first = batch(strategy, 0)
        for item in first.items():
            strategy.tell(Trial(*item, "done", {"error": 0.5, "params": 5.0, "macs": 0.0}))
        for child in batch(strategy, 10).values():
            pairs = [child.genotype[i : i + 2] for i in range(0, 10, 2)]
            assert any(a == b for a, b in pairwise(pairs))

    def test_a_late_child_over_the_limit_takes_a_slot_with_error_1(self):
        strategy = self.strategy()
        rejected = [Trial(n, Candidate((n,) * 10), "rejected", {"params": 9.0}, "params") for n in range(5)]
        for number in range(5):  # in generation 0 it takes none
            strategy.ask(rng_for(0, number))
            strategy.tell(rejected[number])
        assert len(batch(deepcopy(strategy), 5)) == 10
        self.table(strategy, 5, [(0.5, 5.0, 0)] * 10)
        children = batch(strategy, 15)
        for number, candidate in children.items():
            params = 1.0 if number == 15 else 9.0  # the smallest network of all is not dominated
            strategy.tell(Trial(number, candidate, "rejected", {"params": params}, "params"))
        assert possible_parents(strategy) == {5, 6, 7, 8}
        assert len(children) == 6

    def test_a_rejected_child_ranks_by_its_params(self):
        strategy = self.strategy()
        self.table(strategy, 0, [(0.5, 5.0, 0)] + [(0.6, 6.0, 0)] * 9)
        for number, candidate in batch(strategy, 10).items():
            strategy.tell(Trial(number, candidate, "rejected", {"params": 1.0 if number == 12 else 9.0}, "params"))
        assert possible_parents(strategy) == {0, 12, 1, 2}

    def test_a_failed_child_is_replaced(self):
        strategy = self.strategy()
        self.table(strategy, 0, [(0.5, 5.0, 0)] * 10)
        children = batch(strategy, 10)
        strategy.tell(Trial(10, children[10], "failed", {"params": 1.0}, "a reason"))
        assert len(batch(strategy, 16)) == 1

    def test_in_a_tournament_an_elite_gives_way_to_one_that_dominates_it(self):
        strategy = self.strategy()
        self.table(strategy, 0, [(0.1 * n, float(n), 0) for n in range(10)])  # each dominates the next
        assert possible_parents(strategy) == {0, 1, 2}

    def test_a_child_left_over_is_forgotten_with_its_generation(self):
        strategy = self.strategy(population=9, kept=0.45)
        self.table(strategy, 0, [(0.5, 5.0, 0)] * 9)
        self.table(strategy, 9, [(0.4, 4.0, 0)] * 5)  # an odd number: the sixth was bred with the fifth
        assert set(strategy.ask(rng_for(0, 14)).parents) <= {9, 10, 11, 12}

    def test_ends_after_its_generations(self):
        strategy = self.strategy(generations=2)
        self.table(strategy, 0, [(0.5, 5.0, 0)] * 10)
        self.table(strategy, 10, [(0.5, 5.0, 0)] * 6)
        assert strategy.ask(rng_for(0, 16)) is None

    @pytest.mark.parametrize("settings", [{"kept": 0.1}, {"kept": 1.0}, {"inversion_probability": 2.0}])
    def test_refuses_wrong_settings(self, settings):
        with pytest.raises(InputError, match="expected"):
            self.strategy(**settings)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_study_goes_through_a_limit_and_failures(name):
    work = problem(limit=9, estimator=Troubled(), base=3)  # genes 1 and 2 in front make it fail
    study = Study(work, STRATEGIES[name](**arguments(name, work.space, work.minimised)))
    assert study.run(InProcess(), trials=60) == "trials"
    assert {trial.status for trial in study.trials} == {"done", "failed", "rejected"}


def test_the_page_on_adding_a_strategy_says_what_happens(capsys):
    page = (Path(__file__).parents[1] / "docs" / "add-a-strategy.md").read_text(encoding="utf-8")
    script, printed = (re.search(rf"```{kind}\n(.*?)```", page, re.S)[1] for kind in ("python", "text"))
    exec(compile(script, "docs/add-a-strategy.md", "exec"), {"__name__": "page"})
    assert capsys.readouterr().out == printed
