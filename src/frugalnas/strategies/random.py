"""Random search: the twin that every other strategy has to beat at an equal number of trials."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from frugalnas.core import Candidate, Genotype, InputError, Space, Trial
from frugalnas.variation import bred_anew, random_viable


@dataclass
class RandomSearch:
    """Genotypes drawn uniformly, as a rule without an architecture that was asked before.

    An architecture that came before is drawn again, `redraws` times at most (then it is asked once more). Never waits.
    """

    space: Space
    redraws: int = 100
    _asked: set[Genotype] = field(default_factory=set, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.redraws < 0:
            raise InputError(f"redraws = {self.redraws}: expected 0 or more")

    def ask(self, rng: np.random.Generator) -> Candidate:
        """The next candidate."""
        return bred_anew(
            lambda _: Candidate(random_viable(rng, self.space)), self.space.canonical, self._asked, self.redraws + 1
        )

    def tell(self, trial: Trial) -> None:
        """Nothing is learnt."""
