"""Pre-screening: of every ten networks that a strategy would train, the most promising one is trained.

Jin: "Surrogate-assisted evolutionary computation: Recent advances and future challenges", Swarm and Evolutionary
Computation 1(2), 2011, calls it pre-selection. Lu, Deb, Goodman, Banzhaf, Boddeti: "NSGANetV2: Evolutionary
Multi-Objective Surrogate-Assisted Neural Architecture Search", ECCV 2020, arXiv 2007.10396, is such a system.

Any strategy can be the inner one. Each network that it asks for on its lowest rung is looked at first, by a rung that
costs next to nothing; of every group of `candidates` networks the best goes on to the inner strategy's own rung, one
above. The others are told to it as rejected, each as soon as another of its group is found to be better, so that an
inner strategy with a few open places goes on asking. The best of a group has one of these places: where it has the last
one, as the last child of a generation of NSGA-II, no other can be asked, and it goes on as it is. Networks that it asks
for again, or on a higher rung, are passed on.

What is better: at first the rating that the look gives. Once `least` networks are trained, the error that a surrogate
predicts, learnt from them: from their genes, their costs, and all that looks say (see `surrogate`). With several
objectives the better network is the one on the better front (non-dominated sorting, Deb et al. 2002) among those that
are trained and the two, at its predicted error and its costs, which are known; on the same front that of the smaller
error. Before a surrogate is there, the same is done with ratings in the place of errors.

Differences from NSGANetV2
- Its evolution runs on surrogates, and a few of what it comes to are trained before the next such search. Here the
  strategy is kept as it is: it learns from trained networks only.
- One surrogate, of the first objective that takes training; costs are computed. It learns from cheap ratings too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from frugalnas import surrogate
from frugalnas.core import Candidate, Genotype, InputError, Promoting, Space, Strategy, Trial
from frugalnas.pareto import point, ranks

Point = tuple[float, ...]
_Names = tuple[tuple[str, ...], tuple[str, ...]]  # of counts, and of ratings


@dataclass(frozen=True)
class _Known:
    """A network that was looked at: what a surrogate learns from, and the costs that are objectives."""

    genotype: Genotype  # canonical
    counts: Point
    ratings: Point
    costs: Point


@dataclass
class Prescreened:
    """Pre-screening around `inner`, as ask and tell. Waits (None) as the inner strategy does.

    `objectives`: names of the values to minimise, of which those in `costs` are known before training and the first
    other is predicted. `ratings`: values that looks give; the first is the rating. `counts`: costs that a surrogate
    learns from, by name. `candidates`: networks that are looked at for each that is trained. `least`: trained networks
    from which on a surrogate chooses, the `model`. Raises InputError for values out of range.
    """

    inner: Strategy
    space: Space
    objectives: tuple[str, ...]
    ratings: tuple[str, ...]
    costs: tuple[str, ...] = ()
    counts: Mapping[str, Callable[[Any, Genotype], float]] = field(default_factory=dict)
    candidates: int = 10
    least: int = 16
    model: surrogate.Model = "ensemble"
    _looks: int = field(default=0, init=False, repr=False)  # under way
    _members: int = field(default=0, init=False, repr=False)  # of the group, told
    _best: Trial | None = field(default=None, init=False, repr=False)  # of the group, not told to the inner strategy
    _chosen: list[Trial] = field(default_factory=list, init=False, repr=False)
    _known: dict[Genotype, _Known] = field(default_factory=dict, init=False, repr=False)
    _passed: set[Genotype] = field(default_factory=set, init=False, repr=False)
    _trained: dict[Genotype, float] = field(default_factory=dict, init=False, repr=False)  # what is predicted

    def __post_init__(self) -> None:
        check_settings(self.candidates, self.least)
        surrogate.check_model(self.model)
        if not self.ratings:
            raise InputError("prescreen.estimator gives no value that networks could be chosen by")
        if all(name in self.costs for name in self.objectives):
            raise InputError("prescreen: every objective is known without training: there is nothing to choose by")

    @property
    def promotable(self) -> Collection[Trial]:
        """Those of the inner strategy, on the rungs of the whole ladder."""
        inner = self.inner.promotable if isinstance(self.inner, Promoting) else ()
        return [replace(trial, candidate=_raised(trial.candidate)) for trial in inner]

    def ask(self, rng: np.random.Generator) -> Candidate | None:
        """The next candidate: the best of a group, one to look at, or one that is passed on."""
        if self._chosen:
            return self._pass(self._chosen.pop(0).candidate)
        candidate = self.inner.ask(rng)
        if candidate is None:
            return None if self._looks or self._best is None else self._pass(self._close().candidate)
        if candidate.rung or self.space.canonical(candidate.genotype) in self._passed:
            return self._pass(candidate)
        self._looks += 1
        return candidate

    def tell(self, trial: Trial) -> None:
        """Learn a result. Raises InputError for a done trial without the values that are needed of it."""
        candidate = trial.candidate
        if candidate.rung:
            genotype = self.space.canonical(candidate.genotype)
            if candidate.rung == 1 and trial.status == "done" and genotype in self._known:
                self._trained[genotype] = point(trial, [self._predicted])[0]
            self.inner.tell(replace(trial, candidate=replace(candidate, rung=candidate.rung - 1)))
            return
        self._looks -= 1
        if trial.status == "done" and self.ratings[0] not in trial.values:
            trial = replace(trial, status="failed", reason=f"the look gave no {self.ratings[0]}")
        if trial.status != "done":
            self.inner.tell(trial)
            return
        self._learn(trial)
        self._members += 1
        if self._best is None:
            self._best = trial
        else:
            self._meet(self._best, trial)
        if self._members >= self.candidates:
            self._chosen.append(self._close())

    @property
    def _predicted(self) -> str:
        return next(name for name in self.objectives if name not in self.costs)

    def _close(self) -> Trial:
        """End the group; its best."""
        best, self._best, self._members = self._best, None, 0
        assert best is not None  # noqa: S101
        return best

    def _pass(self, candidate: Candidate) -> Candidate:
        self._passed.add(self.space.canonical(candidate.genotype))
        return _raised(candidate)

    def _learn(self, look: Trial) -> None:
        genotype = self.space.canonical(look.candidate.genotype)
        self._known[genotype] = _Known(
            genotype,
            tuple(float(count(self.space, genotype)) for count in self.counts.values()),
            tuple(look.values.get(name, math.nan) for name in self.ratings),
            point(look, [name for name in self.objectives if name in self.costs]),
        )

    def _meet(self, best: Trial, other: Trial) -> None:
        """Compare two of a group; the loser is told to the inner strategy."""
        pair = [self._known[self.space.canonical(look.candidate.genotype)] for look in (best, other)]
        trained = [(self._known[genotype], value) for genotype, value in self._trained.items()]
        if len(trained) < self.least:
            name, scores = self.ratings[0], [each.ratings[0] for each in pair]
            others = [(each.ratings[0], *each.costs) for each, _ in trained]
        else:
            name, scores = f"predicted {self._predicted}", self._predictions(trained, pair)
            others = [(value, *each.costs) for each, value in trained]
        first, second = ((score, *each.costs) for score, each in zip(scores, pair, strict=True))
        if prefers(second, first, others):
            best, other, scores, self._best = other, best, scores[::-1], other
        reason = f"prescreened: {name} {scores[1]:.4g} against {scores[0]:.4g} of trial {best.number}"
        self.inner.tell(Trial(other.number, other.candidate, "rejected", other.values, reason))

    def _predictions(self, trained: Sequence[tuple[_Known, float]], networks: Sequence[_Known]) -> list[float]:
        """By the surrogate that is fitted anew for each tenth more of trained networks."""
        size = len(trained) - len(trained) % max(1, len(trained) // 10)
        names = tuple(self.counts), self.ratings
        predictor = _predictor(self.model, self.space.domains, names, tuple(trained[:size]))
        mean: list[float] = predictor.predict(_table(self.space.domains, names, networks))[0].tolist()
        return mean


def check_settings(candidates: int, least: int) -> None:
    """Raise InputError for numbers out of range."""
    if candidates < 2:
        raise InputError(f"prescreen.candidates = {candidates}: expected 2 or more, to choose one of them")
    if least < surrogate.LEAST:
        raise InputError(f"prescreen.least = {least}: expected {surrogate.LEAST} trained networks or more")


def _raised(candidate: Candidate) -> Candidate:
    return replace(candidate, rung=candidate.rung + 1)


def prefers(first: Point, second: Point, others: Sequence[Point]) -> bool:
    """Whether the first of two points is better: on a better front of them and the `others`, or smaller at first."""
    levels = ranks([first, second, *others]).tolist() if len(first) > 1 else [0, 0]
    return (levels[0], first) < (levels[1], second)


@lru_cache(maxsize=2)
def _predictor(
    model: surrogate.Model, domains: tuple[int, ...], names: _Names, known: tuple[tuple[_Known, float], ...]
) -> surrogate.Predictor:
    """The surrogate, fitted to these networks and what is predicted of them; kept for the next pair."""
    table = _table(domains, names, [each for each, _ in known])
    return surrogate.fit(model, table, [value for _, value in known], np.random.default_rng(len(known)))


def _table(domains: tuple[int, ...], names: _Names, networks: Sequence[_Known]) -> surrogate.Vectors:
    counts, ratings = names
    return surrogate.features(
        [each.genotype for each in networks],
        domains,
        {name: [each.counts[place] for each in networks] for place, name in enumerate(counts)},
        {name: [each.ratings[place] for each in networks] for place, name in enumerate(ratings)},
    ).table
