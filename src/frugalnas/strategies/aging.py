"""Aging evolution, or regularized evolution: tournament selection in which the oldest dies, not the worst.

Real, Aggarwal, Huang, Le: "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019, arXiv
1802.01548, algorithm 1: the search of AmoebaNet.

Differences from the paper
- The mutation changes one gene, see `variation.mutate_gene`. In a cell that is an operation or an input, half and half
  as in the paper; in other spaces it is what their genes are.
- With several objectives the parent is the best of the sample by NSGA-II's crowded comparison (Deb et al. 2002).
- Age is by trial number, not by the moment at which a training ended, so that the population does not depend on the
  order in which trials end. A network that is told late may die at once.
- A network that was rated before, as by the identity mutation, has its answer from the record; the paper trains it
  again. `attempts` above 1 avoids it.
- Candidates that fail or break a limit never enter the population.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field

import numpy as np

from frugalnas.core import Candidate, Genotype, InputError, Space, Trial
from frugalnas.pareto import crowded_keys, point
from frugalnas.variation import bred_anew, mutate_gene, random_viable


@dataclass
class Aging:
    """Regularized evolution as ask and tell.

    `objectives`: names of the values to minimise. `population`: the youngest rated networks. `sample`: how many of
    them are drawn, with replacement, for the best to be the parent. `identity_probability`: of a child like its parent.
    `attempts`: how often a child is bred, at most, to get an architecture that was not asked before; 1 takes it as it
    comes. Once as many random networks as the population has are rated or under way, a child is bred from those told;
    it waits (None) only where none of them is. Raises InputError for values out of range.
    """

    space: Space
    objectives: tuple[str, ...]
    population: int = 100
    sample: int = 25
    identity_probability: float = 0.05
    attempts: int = 1
    _living: list[Trial] = field(default_factory=list, init=False, repr=False)
    _done: int = field(default=0, init=False, repr=False)
    _untold: int = field(default=0, init=False, repr=False)
    _asked: set[Genotype] = field(default_factory=set, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("population", "sample", "attempts"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} = {getattr(self, name)}: expected 1 or more")
        if not 0 <= self.identity_probability <= 1:
            raise InputError(f"identity_probability = {self.identity_probability}: expected a probability in [0, 1]")
        if not self.objectives:
            raise InputError("objectives is empty: expected the name of at least one value to minimise")

    def ask(self, rng: np.random.Generator) -> Candidate | None:
        """The next candidate; None while all that could be its parents are under way."""
        full = self._done + self._untold >= self.population
        if full and not self._living:
            return None

        def breed(_: int) -> Candidate:
            return self._breed(rng) if full else Candidate(random_viable(rng, self.space))

        self._untold += 1
        return bred_anew(breed, self.space.canonical, self._asked, self.attempts)

    def tell(self, trial: Trial) -> None:
        """Learn a result; the oldest dies. Raises InputError for a done trial without a value for each objective."""
        self._untold -= 1
        if trial.status == "done":
            point(trial, self.objectives)
            self._done += 1
            insort(self._living, trial, key=lambda each: each.number)
            del self._living[: -self.population]

    def _breed(self, rng: np.random.Generator) -> Candidate:
        drawn = rng.integers(len(self._living), size=self.sample).tolist()
        sample = [self._living[place] for place in dict.fromkeys(drawn)]
        keys = crowded_keys([point(trial, self.objectives) for trial in sample])
        parent = sample[min(range(len(sample)), key=keys.__getitem__)]
        genotype = parent.candidate.genotype
        if rng.random() >= self.identity_probability:
            genotype = mutate_gene(rng, genotype, self.space.domains)
        return Candidate(genotype, parents=(parent.number,))
