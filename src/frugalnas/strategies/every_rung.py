"""Every rung: random or given networks, each rated on all rungs of the ladder, to see how these agree about them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from frugalnas.core import Candidate, Genotype, InputError, Space, Trial
from frugalnas.variation import bred_anew, random_viable


@dataclass
class EveryRung:
    """Genotypes drawn uniformly, each asked on rung 0, 1, ... `rungs` - 1 before the next one is drawn.

    Ends once `networks` of them were asked on all rungs (None: never); one that a limit rejects is not asked further
    and does not count. An architecture that came before is drawn again, `redraws` times at most (then it is asked once
    more). With `genotypes` it is these, in their order, and nothing is drawn. Never waits. Raises InputError for
    numbers out of range, and for genotypes of another space.
    """

    space: Space
    rungs: int = 1
    networks: int | None = None
    redraws: int = 100
    genotypes: tuple[Genotype, ...] | None = None
    _drawn: set[Genotype] = field(default_factory=set, init=False, repr=False)
    _accepted: int = field(default=0, init=False, repr=False)
    _asked: int = field(default=0, init=False, repr=False)  # of the genotypes
    _next: deque[Candidate] = field(default_factory=deque, init=False, repr=False)

    def __post_init__(self) -> None:
        for name, least in (("rungs", 1), ("networks", 1), ("redraws", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name} = {value}: expected {least} or more")
        if self.genotypes is not None and self.networks is not None:
            raise InputError(f"networks = {self.networks} beside genotypes, which say how many: expected one of them")
        for genotype in self.genotypes or ():
            self.space.canonical(genotype)  # refuses any that it cannot build

    def ask(self, rng: np.random.Generator) -> Candidate | None:
        """The next candidate; None once all are asked, until one of them is rejected."""
        if not self._next:
            genotype = self._following(rng)
            if genotype is None:
                return None
            self._next.extend(Candidate(genotype, rung) for rung in range(self.rungs))
        return self._next.popleft()

    def tell(self, trial: Trial) -> None:
        """Only rejections matter, and of a network only the first."""
        if trial.status != "rejected" or trial.candidate.rung:
            return
        self._accepted -= 1
        if self._next and self._next[0].genotype == trial.candidate.genotype:
            self._next.clear()

    def _following(self, rng: np.random.Generator) -> Genotype | None:
        """The next network; None where there is no more."""
        if self.genotypes is not None:
            if self._asked == len(self.genotypes):
                return None
            self._asked += 1
            return self.genotypes[self._asked - 1]
        if self._accepted == self.networks:
            return None
        drawn = bred_anew(
            lambda _: Candidate(random_viable(rng, self.space)), self.space.canonical, self._drawn, self.redraws + 1
        )
        self._accepted += 1
        return drawn.genotype
