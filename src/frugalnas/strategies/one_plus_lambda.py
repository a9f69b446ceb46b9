"""The (1 + lambda) evolution strategy of CGP-CNN: one parent, a few mutated children, and neutral drift.

Suganuma, Shirakawa, Nagao: "A Genetic Programming Approach to Designing Convolutional Neural Network Architectures",
GECCO 2017; the released code has the same. A child is the parent after a point mutation that is repeated until its
network is another one ("forced"). The best child takes the parent's place if it is strictly better; else the parent
gets a neutral mutation, which changes genes without effect only, so that later mutations start elsewhere.

Differences from the paper
- Only the first objective counts, whatever else is minimised.
- A tie leaves the parent where it is; among equal children the one with the lower trial number is the best.
- A child whose architecture was asked before is bred again, a bounded number of times; there it is trained again.
- Children that fail or break a limit count as worse than any. The first parent is drawn at random until one is done.
- Which genotypes are viable (there: 10 to 50 active nodes) is a matter of the space.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from frugalnas.core import Candidate, Genotype, InputError, Space, Trial
from frugalnas.pareto import point
from frugalnas.variation import bred_anew, mutate_forced, mutate_neutral, random_viable


@dataclass
class OnePlusLambda:
    """(1 + lambda) as ask and tell. Waits (None) while the children of a parent, or the first parent, are not all told.

    `objectives`: the first one is minimised. `offspring`: lambda. `gene_probability`: the chance of each gene to
    mutate. `attempts`: how often a child is bred, at most, to get an architecture that was not asked before. Raises
    InputError for values out of range.
    """

    space: Space
    objectives: tuple[str, ...]
    offspring: int = 2
    gene_probability: float = 0.05
    attempts: int = 20
    _parent: Trial | None = field(default=None, init=False, repr=False)
    _genotype: Genotype = field(default=(), init=False, repr=False)  # the parent's, which drifts
    _stays: bool = field(default=False, init=False, repr=False)  # the parent did, and has not drifted since
    _asked: int = field(default=0, init=False, repr=False)
    _told: list[Trial] = field(default_factory=list, init=False, repr=False)
    _known: set[Genotype] = field(default_factory=set, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("offspring", "attempts"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} = {getattr(self, name)}: expected 1 or more")
        if not 0 < self.gene_probability <= 1:
            raise InputError(f"gene_probability = {self.gene_probability}: expected a probability in (0, 1]")
        if not self.objectives:
            raise InputError("objectives is empty: expected the name of at least one value to minimise")

    def ask(self, rng: np.random.Generator) -> Candidate | None:
        """The next child, bred with `rng`; None while what was asked may complete the generation."""
        if self._asked == (self.offspring if self._parent else 1):
            return None
        if self._stays:
            self._genotype = mutate_neutral(rng, self._genotype, self.space, self.gene_probability)
            self._stays = False
        self._asked += 1
        return bred_anew(lambda _: self._breed(rng), self.space.canonical, self._known, self.attempts)

    def tell(self, trial: Trial) -> None:
        """Learn a result; the last one of a generation decides who the next parent is. Raises InputError for a done
        trial without a value for the first objective."""
        if trial.status == "done":
            self._value(trial)
        self._told.append(trial)
        if len(self._told) == (self.offspring if self._parent else 1):
            self._replace()

    def _breed(self, rng: np.random.Generator) -> Candidate:
        if self._parent is None:
            return Candidate(random_viable(rng, self.space))
        child = mutate_forced(rng, self._genotype, self.space, self.gene_probability)
        return Candidate(child, parents=(self._parent.number,))

    def _replace(self) -> None:
        done = [trial for trial in self._told if trial.status == "done"]
        best = min(done, key=lambda trial: (self._value(trial), trial.number), default=None)
        if best and (self._parent is None or self._value(best) < self._value(self._parent)):
            self._parent, self._genotype = best, best.candidate.genotype
        else:
            self._stays = self._parent is not None
        self._told, self._asked = [], 0

    def _value(self, trial: Trial) -> float:
        return point(trial, self.objectives[:1])[0]
