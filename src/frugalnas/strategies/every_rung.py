"""Every rung: random networks, each rated on all rungs of the ladder, to see how the rungs agree about them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from frugalnas.core import Candidate, Genotype, InputError, Space, Trial
from frugalnas.variation import bred_anew, random_genotype


@dataclass
class EveryRung:
    """Genotypes drawn uniformly, each asked on rung 0, 1, ... `rungs` - 1 before the next one is drawn.

    Ends once `networks` of them were asked on all rungs (None: never); one that a limit rejects is not asked further
    and does not count. An architecture that came before is drawn again, `redraws` times at most (then it is asked once
    more). Never waits. Raises InputError for numbers out of range.
    """

    space: Space
    rungs: int = 1
    networks: int | None = None
    redraws: int = 100
    _drawn: set[Genotype] = field(default_factory=set, init=False, repr=False)
    _accepted: int = field(default=0, init=False, repr=False)
    _next: deque[Candidate] = field(default_factory=deque, init=False, repr=False)

    def __post_init__(self) -> None:
        for name, least in (("rungs", 1), ("networks", 1), ("redraws", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name} = {value}: expected {least} or more")

    def ask(self, rng: np.random.Generator) -> Candidate | None:
        """The next candidate; None once all are asked, until one of them is rejected."""
        if not self._next:
            if self._accepted == self.networks:
                return None
            self._draw(rng)
        return self._next.popleft()

    def tell(self, trial: Trial) -> None:
        """Only rejections matter, and of a network only the first."""
        if trial.status != "rejected" or trial.candidate.rung:
            return
        self._accepted -= 1
        if self._next and self._next[0].genotype == trial.candidate.genotype:
            self._next.clear()

    def _draw(self, rng: np.random.Generator) -> None:
        domains = self.space.domains
        drawn = bred_anew(
            lambda _: Candidate(random_genotype(rng, domains)), self.space.canonical, self._drawn, self.redraws + 1
        )
        self._accepted += 1
        self._next.extend(Candidate(drawn.genotype, rung) for rung in range(self.rungs))
