"""NSGA-II: a fast and elitist multiobjective genetic algorithm.

Deb, Pratap, Agarwal, Meyarivan, IEEE Transactions on Evolutionary Computation 6(2), 2002. References: III-A
non-dominated sorting, III-B crowding distance and crowded-comparison operator, III-C main loop. With the settings of
EEEA-Net (Termritthikun et al. 2021, algorithm 1) or of NSGA-Net (Lu et al. 2019) it is the search of these systems.

Differences from the paper
- Genes are integers: uniform or two-point crossover, and a redrawn gene pair, integer polynomial or
  forced point mutation.
- Children are bred one at a time, when asked for; a mating gives one child (the paper keeps both).
- Generation 0 may begin with genotypes that are given.
- A child whose architecture was asked before is bred again, a bounded number of times.
- Candidates that fail or break a limit never enter the population and fill no slot: generation 0 samples and later
  generations breed until enough candidates are done. With a limit on a cheap objective, generation 0 is the Early-Exit
  Population Initialisation of EEEA-Net (eq. 6); that system lets later children break the limit, this one does not.
- `population` and `offspring` may differ, the tournament may have any size, crowding may be weighted per objective.
- Equal crowded-comparison keys are decided by trial number, so that the order in which trials end does not matter.

NSGA-Net ends with generations of exploitation, whose offspring are sampled from a Bayesian network that is fitted to
the best so far. Its released code has none; this is our reading, where `exploit_from` asks for it: the best so far are
the population, and `variation.sample_chain` is the network, in which each part of the genotype (a phase of the macro
space, a cell of the micro one) depends on the part before. Where half of the attempts gave only architectures that were
asked before, the others cross and mutate as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from frugalnas.core import Candidate, Genotype, InputError, Space, Trial, nearest
from frugalnas.pareto import crowded_keys, point
from frugalnas.variation import (
    at_first,
    bred_anew,
    mutate_forced,
    mutate_pair,
    mutate_untrained,
    polynomial_mutation,
    random_viable,
    sample_chain,
    tournament,
    two_point_crossover,
    uniform_crossover,
)

Crossover = Literal["uniform", "two_point"]
Mutation = Literal["pair", "polynomial", "forced"]
POINTS = 0.05  # the chance of each gene in a forced mutation: CGP-CNN's
CROSSOVERS = {"uniform": uniform_crossover, "two_point": two_point_crossover}


@dataclass
class NSGA2:
    """NSGA-II as ask and tell. Generational: waits (None) while a generation is complete but not all told.

    `objectives`: names of the values to minimise. `population`: parents kept, and trials of generation 0. `offspring`:
    children per later generation (None: as many). `crossover_probability`, `mutation_probability`: the chance of a
    child to be crossed, and to be mutated. `eta`: the index of the distribution of the polynomial mutation.
    `gene_probability`: the chance of each gene in that (None: one gene on average), or in the forced one, the point
    mutation of Cartesian genetic programming that is repeated until the network changes (None: 0.05).
    `keep_weights`: the chance of a forced mutation to change only what training does not see, such as multipliers.
    `start_first`: whether generation 0 has the first value of genes that are places on a scale: exact multipliers.
    `tournament_size`: parents compared for each one chosen. `weights`: of the objectives in the crowding distance
    (None: 1 each). `attempts`: how often a child is bred, at most, to get an architecture that was not asked before.
    `generations`: after so many, generation 0 included, there are no more candidates (None: the study's budget
    decides). `exploit_from`: the generation from which on offspring are sampled by NSGA-Net's Bayesian network over
    `parts` equal parts of the genotype (None: never). `first`: genotypes that generation 0 begins with, each of another
    architecture; the others are random. Raises InputError for values out of range.
    """

    space: Space
    objectives: tuple[str, ...]
    population: int = 40
    offspring: int | None = None
    crossover: Crossover = "uniform"
    crossover_probability: float = 0.9
    mutation: Mutation = "pair"
    mutation_probability: float = 1.0
    eta: float = 3.0
    gene_probability: float | None = None
    keep_weights: float = 0.0
    start_first: bool = False
    tournament_size: int = 2
    weights: tuple[float, ...] | None = None
    attempts: int = 50
    generations: int | None = None
    exploit_from: int | None = None
    parts: int = 2
    first: tuple[Genotype, ...] = ()
    _parents: list[Trial] = field(default_factory=list, init=False, repr=False)
    _keys: list[tuple[float, float]] = field(default_factory=list, init=False, repr=False)
    _done: list[Trial] = field(default_factory=list, init=False, repr=False)
    _untold: int = field(default=0, init=False, repr=False)
    _generation: int = field(default=0, init=False, repr=False)
    _asked: set[Genotype] = field(default_factory=set, init=False, repr=False)

    def __post_init__(self) -> None:
        _check(self)

    def ask(self, rng: np.random.Generator) -> Candidate | None:
        """The next candidate, bred with `rng`; None while the trials under way may complete the generation."""
        if self._generation == self.generations or len(self._done) + self._untold >= self._slots:
            return None
        exploits = self.exploit_from is not None and self.exploit_from <= self._generation

        def breed(attempt: int) -> Candidate:
            return self._sample(rng) if exploits and attempt <= self.attempts // 2 else self._breed(rng)

        self._untold += 1
        return bred_anew(breed, self.space.canonical, self._asked, self.attempts)

    def tell(self, trial: Trial) -> None:
        """Learn a result; the one that completes a generation selects the next parents. Raises InputError for a done
        trial without a value for each objective.
        """
        if trial.status == "done":
            point(trial, self.objectives)
            self._done.append(trial)
        self._untold -= 1
        if len(self._done) == self._slots:
            self._select()

    @property
    def _slots(self) -> int:
        return self.population if not self._generation or self.offspring is None else self.offspring

    def _breed(self, rng: np.random.Generator) -> Candidate:
        domains = self.space.domains
        if not self._parents and len(self._asked) < len(self.first):
            return Candidate(self.first[len(self._asked)])
        if not self._parents:
            drawn = random_viable(rng, self.space)
            return Candidate(at_first(drawn, self.space) if self.start_first else drawn)
        first = self._parents[tournament(rng, self._keys, self.tournament_size)]
        child = first.candidate.genotype
        parents: tuple[int, ...] = (first.number,)
        if rng.random() < self.crossover_probability:
            second = self._parents[tournament(rng, self._keys, self.tournament_size)]
            child, _ = CROSSOVERS[self.crossover](rng, child, second.candidate.genotype)
            if second is not first:
                parents = (first.number, second.number)
        if rng.random() < self.mutation_probability:
            if self.mutation == "pair":
                child = mutate_pair(rng, child, domains)
            elif self.mutation == "forced":
                chance = POINTS if self.gene_probability is None else self.gene_probability
                mutate = mutate_untrained if rng.random() < self.keep_weights else mutate_forced
                child = mutate(rng, child, self.space, chance)
            else:
                chance = 1 / len(domains) if self.gene_probability is None else self.gene_probability
                child = polynomial_mutation(rng, child, domains, self.eta, chance)
        return Candidate(child, parents=parents)

    def _sample(self, rng: np.random.Generator) -> Candidate:
        child, places = sample_chain(rng, [trial.candidate.genotype for trial in self._parents], self.parts)
        return Candidate(child, parents=tuple(self._parents[place].number for place in dict.fromkeys(places)))

    def _select(self) -> None:
        """R = P u Q, sorted by crowded comparison; the first `population` are the next parents (III-C)."""
        merged = self._parents + sorted(self._done, key=lambda trial: trial.number)
        keys = crowded_keys([point(trial, self.objectives) for trial in merged], self.weights)
        best = sorted(range(len(merged)), key=lambda index: (*keys[index], merged[index].number))[: self.population]
        self._parents = [merged[index] for index in best]
        self._keys = [keys[index] for index in best]
        self._done = []
        self._generation += 1


def _check(settings: NSGA2) -> None:
    for name in ("population", "offspring", "tournament_size", "attempts", "generations", "exploit_from", "parts"):
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise InputError(f"{name} = {value}: expected 1 or more")
    if settings.eta < 0:
        raise InputError(f"eta = {settings.eta}: expected 0 or more")
    for name in ("crossover_probability", "mutation_probability", "gene_probability", "keep_weights"):
        value = getattr(settings, name)
        if value is not None and not 0 <= value <= 1:
            raise InputError(f"{name} = {value}: expected a probability in [0, 1]")
    _check_name("crossover", settings.crossover, get_args(Crossover))
    _check_name("mutation", settings.mutation, get_args(Mutation))
    canonical = [settings.space.canonical(genotype) for genotype in settings.first]
    if len({*canonical}) < len(canonical):
        raise InputError("first: two of the genotypes are the same architecture, expected each once")
    if len(canonical) > settings.population:
        raise InputError(
            f"first has {len(canonical)} genotypes: expected at most the population, {settings.population}"
        )
    if not settings.objectives:
        raise InputError("objectives is empty: expected the name of at least one value to minimise")
    if settings.weights is not None and len(settings.weights) != len(settings.objectives):
        raise InputError(f"{len(settings.weights)} weights: expected {len(settings.objectives)}, one per objective")


def _check_name(setting: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise InputError(f"unknown {setting} {name!r}: {nearest(name, known)}")
