"""The (1 + lambda) strategy of CGP-CNN: who becomes the parent, what drifts, and what a run finds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from frugalnas.core import InputError, Trial, rng_for
from frugalnas.distribute import InProcess
from frugalnas.store import Journal
from frugalnas.strategies.one_plus_lambda import OnePlusLambda
from frugalnas.study import Study
from toy import problem


@dataclass(frozen=True)
class Half:
    """Only the first half of the genes has an effect; a genotype of even sum in that half is not viable."""

    domains: tuple[int, ...] = (6,) * 12

    def canonical(self, genotype):
        return (*genotype[:6], *(0,) * 6)

    def viable(self, genotype):
        return sum(genotype[:6]) % 2 == 1


def tell(strategy, number, candidate, error, status="done"):
    strategy.tell(Trial(number, candidate, status, {} if error is None else {"error": error, "other": -error}))


def started(error=0.5, **settings):
    """A strategy with a parent, which is trial 0."""
    strategy = OnePlusLambda(Half(), ("error", "other"), **settings)
    parent = strategy.ask(rng_for(0, 0))
    assert strategy.ask(rng_for(0, 1)) is None, "nobody has children before it is rated"
    tell(strategy, 0, parent, error)
    return strategy, parent


def generation(strategy, first):
    """The children of the parent, by trial number."""
    asked = {}
    while (candidate := strategy.ask(rng_for(0, first + len(asked)))) is not None:
        asked[first + len(asked)] = candidate
    return asked


def parent_of(strategy, first):
    """Who has the next children."""
    ((parent,),) = {candidate.parents for candidate in generation(strategy, first).values()}
    return parent


def test_a_generation_is_lambda_children_of_one_parent_that_are_other_networks_and_viable():
    strategy, parent = started(offspring=4)
    children = generation(strategy, 1)
    networks = {Half().canonical(child.genotype) for child in children.values()}
    assert len(children) == len(networks) == 4 and Half().canonical(parent.genotype) not in networks
    assert all(Half().viable(child.genotype) and child.parents == (0,) for child in [*children.values()])
    assert Half().viable(parent.genotype)


@pytest.mark.parametrize(
    ("errors", "parent"),
    [
        ((0.4, 0.3), 2),
        ((0.3, 0.4), 1),
        ((0.3, 0.3), 1),  # the first one asked
        ((0.5, 0.6), 0),  # a tie leaves the parent
        ((0.5, 0.4), 2),
        ((None, 0.6), 0),
        ((None, 0.4), 2),  # a failed child is worse than any
        ((None, None), 0),
    ],
)
@pytest.mark.parametrize("backwards", [False, True])
def test_the_best_child_takes_over_if_it_is_strictly_better(errors, parent, backwards):
    strategy, _ = started()
    children = generation(strategy, 1)
    told = list(zip(children.items(), errors, strict=True))
    for (number, child), error in reversed(told) if backwards else told:
        tell(strategy, number, child, error, "done" if error is not None else ("failed", "rejected")[number % 2])
    assert parent_of(strategy, 3) == parent


def test_only_the_first_objective_counts():
    strategy, _ = started(0.5)
    for number, child in generation(strategy, 1).items():
        tell(strategy, number, child, 0.6)  # whose other value is the lower one
    assert parent_of(strategy, 3) == 0


def test_a_parent_that_stays_drifts_and_one_that_is_new_does_not():
    strategy, parent = started(gene_probability=0.1)
    idle, first = set(), 1
    for _ in range(40):
        children = generation(strategy, first)
        for number, child in children.items():
            tell(strategy, number, child, 0.9)
            idle.add(child.genotype[6:])
        assert Half().canonical(strategy._genotype) == Half().canonical(parent.genotype)
        first += len(children)
    assert len(idle) > 40, "genes without effect change beyond what one mutation of the first parent reaches"
    assert sum(a != b for a, b in zip(strategy._genotype[6:], parent.genotype[6:], strict=True)) >= 3

    strategy, _ = started()
    children = generation(strategy, 1)
    for number, child in children.items():
        tell(strategy, number, child, 0.1 * number)
    assert strategy._genotype == children[1].genotype


def test_random_networks_are_drawn_until_one_is_done():
    strategy = OnePlusLambda(Half(), ("error",))
    for number, status in enumerate(["failed", "rejected", "failed", "done"]):
        candidate = strategy.ask(rng_for(0, number))
        assert candidate.parents == () and strategy.ask(rng_for(0, 99)) is None
        tell(strategy, number, candidate, 0.5 if status == "done" else None, status)
    assert parent_of(strategy, 4) == 3


def test_it_climbs():
    """The sum of six digits of 0 to 5, which it has to bring to 0 with the viable genotypes only: the least is 1."""
    strategy, number, best = OnePlusLambda(Half(), ("error",), gene_probability=0.1), 0, np.inf
    while number < 300:
        candidate = strategy.ask(rng_for(1, number))
        value = float(sum(candidate.genotype[:6]))
        best = min(best, value)
        tell(strategy, number, candidate, value)
        number += 1
    assert best == 1


def test_a_study_resumes_to_the_same_trials(tmp_path):
    work = problem(genes=12, base=6)

    def study(journal=None):
        strategy = OnePlusLambda(work.space, work.minimised, offspring=3)
        return Study(work, strategy, seed=3, journal=journal)

    whole = study()
    assert whole.run(InProcess(), trials=50) == "trials"
    journal = Journal.create(tmp_path / "run", {"seed": 3})
    study(journal).run(InProcess(), trials=23)
    journal.close()
    journal = Journal(tmp_path / "run")
    again = study(journal)
    again.run(InProcess(), trials=50)
    journal.close()
    assert again.trials == whole.trials


@pytest.mark.parametrize("settings", [{"offspring": 0}, {"attempts": 0}, {"gene_probability": 0.0}, {"objectives": ()}])
def test_wrong_settings_are_refused(settings):
    with pytest.raises(InputError, match="expected"):
        OnePlusLambda(**{"space": Half(), "objectives": ("error",)} | settings)


def test_a_done_trial_without_the_value_is_refused():
    strategy = OnePlusLambda(Half(), ("error",))
    with pytest.raises(InputError, match="error"):
        strategy.tell(Trial(0, strategy.ask(rng_for(0, 0)), "done", {"loss": 1.0}))
