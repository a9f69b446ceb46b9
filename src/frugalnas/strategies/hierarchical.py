"""EcoNAS' hierarchical proxy evolution: many networks are trained a little, the best of them go on.

Zhou, Zhou, Zhang, Yi, Zhang, Dong, Liu, Ouyang: "EcoNAS: Finding Proxies for Economical Neural Architecture Search",
CVPR 2020, arXiv 2001.01233, and its released code. Level k holds the networks that were trained up to rung k.

A cycle: rank the networks of each level, and drop those that were rated too long ago; send the best of each level but
the last to the next rung; draw parents from every level by tournament, and rate their children, one mutation from them,
on rung 0. Then what was rated enters its level. As long as the higher levels are empty, a cycle has fewer children.

Differences from the paper
- Several objectives: networks are ranked by NSGA-II's crowded comparison (Deb et al. 2002), so that promotion, and with
  it early stopping, is by non-dominated rank. With one objective that is the order of its values.
- A level ranks by the values after the last epoch of its rung (released code: the best epoch so far).
- Parents are drawn from the levels as they are ranked at the start of the cycle, those that it promotes included.
- A child whose architecture was asked before is bred again, a bounded number of times (released code: never).
- A genotype is a tuple: a parent cannot be changed by its child, as it is in the released code.
- Candidates that fail or break a limit enter no level. A child is then replaced by another from the same level (where
  it failed only when all others of the cycle are told, so that the search does not depend on how many are rated at
  once), a network that fails on a higher rung is lost.
- There is no last step: what the paper trains in the end, the best five of the last level, are the search's front.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from frugalnas.core import Candidate, Genotype, InputError, Space, Trial
from frugalnas.pareto import crowded_keys, point
from frugalnas.variation import bred_anew, mutate_gene, random_viable


@dataclass
class Hierarchical:
    """Hierarchical proxy evolution as ask and tell. Generational: waits (None) until all of a cycle is told.

    `objectives`: names of the values to minimise. `rungs` of the ladder. `population`: random networks that it begins
    with. `promotions`: how many networks each level but the last sends up in a cycle. `children`: how many each level
    is parent to. `share`: a tournament compares one network more than this share of the level, drawn with replacement.
    `age_limit`: a network is dropped so many cycles after it was rated last; a promotion makes it young again.
    `attempts`: how often a child is bred, at most, to get an architecture that was not asked before. `cycles`: after so
    many there are no more candidates (None: the study's budget decides). Raises InputError for values out of range.
    """

    space: Space
    objectives: tuple[str, ...]
    rungs: int = 3
    population: int = 16
    promotions: tuple[int, ...] = (8, 4)
    children: tuple[int, ...] = (6, 5, 5)
    share: float = 0.25
    age_limit: int = 10
    attempts: int = 50
    cycles: int | None = None
    _levels: list[list[Trial]] = field(default_factory=list, init=False, repr=False)
    _parents: list[list[Trial]] = field(default_factory=list, init=False, repr=False)
    _rated_in: dict[int, int] = field(default_factory=dict, init=False, repr=False)
    _rising: list[Trial] = field(default_factory=list, init=False, repr=False)
    _slots: list[int] = field(default_factory=list, init=False, repr=False)
    _failed: list[int] = field(default_factory=list, init=False, repr=False)
    _done: list[Trial] = field(default_factory=list, init=False, repr=False)
    _untold: int = field(default=0, init=False, repr=False)
    _cycle: int = field(default=0, init=False, repr=False)
    _asked: set[Genotype] = field(default_factory=set, init=False, repr=False)

    def __post_init__(self) -> None:
        _check(self)
        self._levels = [[] for _ in range(self.rungs)]
        self._parents = [[] for _ in range(self.rungs)]
        self._slots = [self.population] + [0] * (self.rungs - 1)  # a level without parents has random children
        self._failed = [0] * self.rungs

    @property
    def promotable(self) -> Collection[Trial]:
        """The trials whose networks may yet be sent to a higher rung."""
        below = [trial for level in self._levels[:-1] for trial in level]
        return [*below, *self._rising, *(trial for trial in self._done if trial.candidate.rung < self.rungs - 1)]

    def ask(self, rng: np.random.Generator) -> Candidate | None:
        """The next candidate, a network to promote or a child; None while trials under way may complete the cycle."""
        if self._rising:
            below = self._rising.pop(0)
            self._untold += 1
            return Candidate(below.candidate.genotype, below.candidate.rung + 1, (below.number,))
        level = next((level for level, slots in enumerate(self._slots) if slots), None)
        if level is None:
            return None
        parents = self._parents[level]
        self._slots[level] -= 1
        self._untold += 1
        return bred_anew(lambda _: self._breed(rng, parents), self.space.canonical, self._asked, self.attempts)

    def tell(self, trial: Trial) -> None:
        """Learn a result; the last of a cycle begins the next. Raises InputError for a done trial without a value for
        each objective.
        """
        self._untold -= 1
        if trial.status == "done":
            point(trial, self.objectives)
            self._done.append(trial)
        elif trial.candidate.rung == 0:
            again = self._slots if trial.status == "rejected" else self._failed
            again[self._level_of(trial.candidate.parents)] += 1
        if self._untold or self._rising or any(self._slots):
            return
        self._slots, self._failed = self._failed, [0] * self.rungs
        if not any(self._slots):
            self._turn()

    def _level_of(self, parents: tuple[int, ...]) -> int:
        """The level that the parent of a child was drawn from; that of random networks is the lowest."""
        return next((k for k, level in enumerate(self._parents) if any(t.number in parents for t in level)), 0)

    def _breed(self, rng: np.random.Generator, level: list[Trial]) -> Candidate:
        if not level:
            return Candidate(random_viable(rng, self.space))
        drawn = rng.integers(len(level), size=int(self.share * len(level)) + 1)
        parent = level[int(drawn.min())]  # the best, as the level is ranked
        return Candidate(mutate_gene(rng, parent.candidate.genotype, self.space.domains), parents=(parent.number,))

    def _turn(self) -> None:
        """End the cycle: what was rated enters its level; begin the next, unless it was the last."""
        for trial in sorted(self._done, key=lambda each: each.number):
            self._levels[trial.candidate.rung].append(trial)
            self._rated_in[trial.number] = self._cycle
        self._done = []
        if self._cycle == self.cycles:
            return
        self._cycle += 1
        self._parents = [self._ranked(level) for level in self._levels]
        self._levels = [level[promoted:] for level, promoted in zip(self._parents, (*self.promotions, 0), strict=True)]
        self._rising = [
            trial for level, count in zip(self._parents, self.promotions, strict=False) for trial in level[:count]
        ]
        self._slots = [count if level else 0 for level, count in zip(self._parents, self.children, strict=True)]

    def _ranked(self, level: list[Trial]) -> list[Trial]:
        """Those of a level that are young enough, the best first; equals by their numbers."""
        young = [trial for trial in level if self._cycle - self._rated_in[trial.number] < self.age_limit]
        keys = crowded_keys([point(trial, self.objectives) for trial in young])
        order = sorted(range(len(young)), key=lambda place: (*keys[place], young[place].number))
        return [young[place] for place in order]


def _check(settings: Hierarchical) -> None:
    for name, least in (("rungs", 1), ("population", 1), ("age_limit", 2), ("attempts", 1), ("cycles", 1)):
        value = getattr(settings, name)
        if value is not None and value < least:
            raise InputError(f"{name} = {value}: expected {least} or more")
    for name, length, of in (
        ("promotions", settings.rungs - 1, "each of the {} rungs but the last"),
        ("children", settings.rungs, "each of the {} rungs"),
    ):
        numbers = getattr(settings, name)
        if len(numbers) != length or min(numbers, default=0) < 0:
            words = of.format(settings.rungs)
            raise InputError(
                f"{name} = {list(numbers)}: expected {length} numbers from 0, one for {words} of the ladder"
            )
    if settings.children[0] < 1:
        raise InputError(f"children = {list(settings.children)}: expected at least 1 of the lowest rung")
    if not 0 <= settings.share <= 1:
        raise InputError(f"share = {settings.share}: expected a share in [0, 1]")
    if not settings.objectives:
        raise InputError("objectives is empty: expected the name of at least one value to minimise")
