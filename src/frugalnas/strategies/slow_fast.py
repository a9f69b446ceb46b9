"""Slow-fast learning: of two networks that meet, the worse moves towards the better; the search of RelativeNAS.

Tan, Cheng, Huang, He, Qiu, Yang, Luo: "RelativeNAS: Relative Neural Architecture Search via Slow-Fast Learning", IEEE
Transactions on Neural Networks and Learning Systems (2021), arXiv 2009.06193; released code of July 2021. Its ancestor
is the competitive swarm optimiser (Cheng and Jin, IEEE Transactions on Cybernetics 45(2), 2015), whose term with the
mean of the swarm the paper leaves out: `phi`.

Differences from the paper
- Genes stand in the order of the space (operation, input), not (input, operation); each moves by itself.
- A position is decoded by clip(floor(x), 0, n - 1); the released code takes an x that is exactly k, inside the domain,
  for k - 1.
- Learners can be compared on several objectives: one that is dominated is the slow one, otherwise the loss decides.
- A difference of at most `margin` is a tie: neither moves, and the weights of the one with the smaller loss are written
  back (of the one asked first, where they are equal). At the default, 0, that concerns equal losses only.
- `parallel_pairs` pairs may be rated at once. They inherit the same weights and are written back one after the other,
  so that a later pair of such a wave does not start from what an earlier one has learnt, and what all networks share
  ends as the last pair's fast learner left it. The default, 1, is the paper's order.
- A learner that fails is the slow one, and so is one that breaks a limit; in generation 0 that one is drawn anew, until
  the limits accept it. Where both learners have failed neither moves and the weights stay as they are.
- The velocity may be clamped, and a learner reflected by the bounds instead of held there.
- The paper leaves open how the one architecture is chosen that it reports. Here the `finalists` architectures that
  were rated best when they were rated last are rated again on rung 1, and the best `retrained` of them on rung 2, as
  far as there are such rungs. The default is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import le
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from frugalnas.core import Candidate, Genotype, InputError, Space, Trial, nearest
from frugalnas.pareto import point, ranks

Boundary = Literal["clip", "reflect"]
Vectors = NDArray[np.float64]
LOSS = "loss"


class WeightSet(Protocol):
    """The weights that candidates share, written back pair by pair; see `weights.WeightSet`."""

    def begin(self, generations: int) -> None: ...

    def write_back(self, number: int, fast: int | None, slow: int | None, generation: int) -> None: ...


def moved(
    positions: Vectors,
    velocities: Vectors,
    pairs: Sequence[tuple[int, int]],
    upper: Vectors,
    rng: np.random.Generator,
    *,
    phi: float = 0.0,
    clamp: float | None = None,
    boundary: Boundary = "clip",
) -> tuple[Vectors, Vectors]:
    """Positions and velocities (N, D) after the slow learner of each pair (fast, slow) has moved, all at the same time.

    v <- r1 v + r2 (x_fast - x_slow) + phi r3 (mean of all x - x_slow), x_slow <- x_slow + v, with numbers r uniform in
    [0, 1) for each gene. No velocity becomes larger than `clamp` x `upper` (D,). A gene that would leave [0, upper]
    stays at the bound, with its velocity, as released; or is reflected there, and its velocity with it.
    """
    if not pairs:
        return positions, velocities
    fast, slow = np.array(pairs).T  # (n,) each
    draws = rng.random((3 if phi else 2, len(pairs), positions.shape[1]))
    velocity = draws[0] * velocities[slow] + draws[1] * (positions[fast] - positions[slow])  # (n, D)
    if phi:
        velocity += phi * draws[2] * (positions.mean(0) - positions[slow])
    if clamp is not None:
        velocity = np.clip(velocity, -clamp * upper, clamp * upper)
    position = positions[slow] + velocity
    if boundary == "reflect":
        velocity = np.where(np.floor(position / upper) % 2 == 0, velocity, -velocity)
        position = upper - np.abs(position % (2 * upper) - upper)
    positions, velocities = positions.copy(), velocities.copy()
    positions[slow], velocities[slow] = np.clip(position, 0, upper), velocity
    return positions, velocities


def decoded(position: Sequence[float], domains: tuple[int, ...]) -> Genotype:
    """The genotype at a position."""
    return tuple([min(max(int(x // 1), 0), size - 1) for x, size in zip(position, domains, strict=True)])


@dataclass
class SlowFast:
    """Slow-fast learning as ask and tell. Waits (None) while a wave of `parallel_pairs` pairs is not all told.

    `objectives`: names of the values to minimise; learners are compared by their value "loss", or by the first
    objective where they have none. `rungs`: estimators in the ladder. `weight_set`: where trained weights are written
    back; without one candidates share nothing. `population`: learners, an even number. `generations`: in each, every
    learner is rated once. `phi`, `clamp`, `boundary`: see `moved`; `margin`, `parallel_pairs`, `finalists` and
    `retrained`: see the list above. Raises InputError for values out of range.
    """

    space: Space
    objectives: tuple[str, ...]
    rungs: int = 1
    weight_set: WeightSet | None = None
    population: int = 20
    generations: int = 50
    parallel_pairs: int = 1
    phi: float = 0.0
    clamp: float | None = None
    boundary: Boundary = "clip"
    margin: float = 0.0
    finalists: int = 0
    retrained: int = 0
    _positions: list[list[float]] = field(default_factory=list, init=False, repr=False)
    _velocities: list[list[float]] = field(default_factory=list, init=False, repr=False)
    _parents: list[tuple[int, ...]] = field(default_factory=list, init=False, repr=False)
    _pairs: list[tuple[int, int]] = field(default_factory=list, init=False, repr=False)  # of this generation
    _movers: list[tuple[int, int]] = field(default_factory=list, init=False, repr=False)  # of them, (fast, slow)
    _results: dict[int, Trial] = field(default_factory=dict, init=False, repr=False)  # of this generation, by learner
    _written: int = field(default=0, init=False, repr=False)
    _wave: list[int] = field(default_factory=list, init=False, repr=False)  # learners, or finalists, in order
    _to_ask: list[int] = field(default_factory=list, init=False, repr=False)
    _redrawn: set[int] = field(default_factory=set, init=False, repr=False)
    _asked: list[int] = field(default_factory=list, init=False, repr=False)
    _told: list[Trial] = field(default_factory=list, init=False, repr=False)
    _archive: dict[Genotype, Trial] = field(default_factory=dict, init=False, repr=False)
    _rung: int = field(default=0, init=False, repr=False)
    _finals: list[Candidate] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        _check(self)

    def ask(self, rng: np.random.Generator) -> Candidate | None:
        """The next candidate; None while the wave is not all told, and when all generations are over."""
        if not self._asked and not self._to_ask and self._written < self.generations * self._meetings:
            self._next_wave(rng)
        if not self._to_ask:
            return None
        learner = self._to_ask.pop(0)
        if learner in self._redrawn:
            self._redrawn.remove(learner)
            self._positions[learner] = (rng.random(len(self.space.domains)) * self.space.domains).tolist()
        self._asked.append(learner)
        return self._candidate(learner)

    def tell(self, trial: Trial) -> None:
        """Learn a result; the last one of a wave has its pairs compared and their weights written back.

        Raises InputError for a done trial without a value for each objective, and as the weight set does.
        """
        if trial.status == "done":
            point(trial, self.objectives)
        self._told.append(trial)
        if trial.status == "rejected" and self._rung == 0 and self._written < self._meetings:
            waiting = [each for each in self._asked if each not in self._to_ask]
            learner = next(each for each in waiting if self._candidate(each) == trial.candidate)
            self._redrawn.add(learner)
            self._to_ask = sorted([*self._to_ask, learner], key=self._wave.index)
        if self._to_ask or len(self._told) < len(self._asked):
            return
        told = dict(zip(self._asked, sorted(self._told, key=lambda each: each.number), strict=True))
        self._asked, self._told = [], []
        if self._rung == 0:
            self._learn(told)
        if self._rung or self._written == self.generations * self._meetings:
            self._promote(told.values() if self._rung else self._archive.values())

    @property
    def _meetings(self) -> int:
        return self.population // 2

    @property
    def _inherits(self) -> int | None:
        return None if self.weight_set is None else self._written

    def _candidate(self, learner: int) -> Candidate:
        if self._rung:
            return self._finals[learner]
        genotype = decoded(self._positions[learner], self.space.domains)
        return Candidate(genotype, 0, self._parents[learner], self._inherits)

    def _next_wave(self, rng: np.random.Generator) -> None:
        met = self._written % self._meetings
        if met == 0:
            self._next_generation(rng)
        self._wave = [learner for pair in self._pairs[met : met + self.parallel_pairs] for learner in pair]
        self._to_ask = [*self._wave]

    def _next_generation(self, rng: np.random.Generator) -> None:
        """The first population, or the moves of all slow learners; then random disjoint pairs."""
        upper = np.array(self.space.domains, dtype=float)
        if not self._positions:
            if self.weight_set is not None:
                self.weight_set.begin(self.generations)
            self._positions = (rng.random((self.population, len(upper))) * upper).tolist()
            self._velocities = np.zeros((self.population, len(upper))).tolist()
            self._parents = [()] * self.population
        else:
            before = np.array(self._positions), np.array(self._velocities)
            options = {"phi": self.phi, "clamp": self.clamp}
            after = moved(*before, self._movers, upper, rng, **options, boundary=self.boundary)  # type: ignore[arg-type]
            self._positions, self._velocities = (vectors.tolist() for vectors in after)
            teachers = {slow: fast for fast, slow in self._movers}
            self._parents = [
                tuple(self._results[each].number for each in (learner, teachers.get(learner)) if each in self._results)
                for learner in range(self.population)
            ]
        self._movers, self._results = [], {}
        self._pairs = [(a, b) for a, b in rng.permutation(self.population).reshape(-1, 2).tolist()]

    def _learn(self, told: dict[int, Trial]) -> None:
        """Compare the pairs of a wave, in order, and have their weights written back."""
        done = {learner: trial for learner, trial in told.items() if trial.status == "done"}
        self._results |= done
        self._archive |= {self.space.canonical(trial.candidate.genotype): trial for trial in done.values()}
        for pair in zip(self._wave[::2], self._wave[1::2], strict=True):
            known = [learner for learner in pair if learner in done]
            moves = len(known) == 1
            if len(known) == 2:
                second_is_fast, moves = self._compared(done[pair[0]], done[pair[1]])
                known = known[::-1] if second_is_fast else known
            if moves:
                self._movers.append((known[0], pair[pair[0] == known[0]]))
            self._written += 1
            if self.weight_set is not None:
                fast, slow = (*(done[learner].number for learner in known), None, None)[:2]
                self.weight_set.write_back(self._written, fast, slow, self._written // self._meetings)

    def _compared(self, first: Trial, second: Trial) -> tuple[bool, bool]:
        """Whether the second of two is the fast learner, and whether they differ by enough to learn from it."""
        if len(self.objectives) > 1:
            a, b = point(first, self.objectives), point(second, self.objectives)
            if a != b and (all(map(le, a, b)) or all(map(le, b, a))):
                return all(map(le, b, a)), True
        gap = self._key(first) - self._key(second)
        return gap > 0, abs(gap) > self.margin

    def _key(self, trial: Trial) -> float:
        return trial.values[LOSS] if LOSS in trial.values else point(trial, self.objectives)[0]

    def _promote(self, trials: Iterable[Trial]) -> None:
        """The final selection: the best distinct architectures, rated again on the next rung. Each starts from the
        weights at the end of the search on rung 1, and from none on rung 2.
        """
        sizes = [size for size in (self.finalists, self.retrained) if size][: self.rungs - 1]
        if self._rung == len(sizes):
            return
        done = [trial for trial in trials if trial.status == "done"]
        several = len(self.objectives) > 1 and bool(done)
        levels = ranks([point(trial, self.objectives) for trial in done]).tolist() if several else [0] * len(done)
        ranked = sorted(zip(levels, done, strict=True), key=lambda each: (each[0], self._key(each[1]), each[1].number))
        best = [trial for _, trial in ranked[: sizes[self._rung]]]
        self._rung += 1
        inherits = self._inherits if self._rung == 1 else None
        self._finals = [Candidate(each.candidate.genotype, self._rung, (each.number,), inherits) for each in best]
        self._wave = list(range(len(best)))
        self._to_ask = [*self._wave]


def _check(settings: SlowFast) -> None:
    for name in ("population", "generations", "parallel_pairs"):
        if getattr(settings, name) < 1:
            raise InputError(f"{name} = {getattr(settings, name)}: expected 1 or more")
    if settings.population % 2:
        raise InputError(f"population = {settings.population}: expected an even number, as learners meet in pairs")
    for name in ("phi", "margin"):
        if not getattr(settings, name) >= 0:
            raise InputError(f"{name} = {getattr(settings, name)}: expected 0 or more")
    if settings.clamp is not None and not settings.clamp > 0:
        raise InputError(f"clamp = {settings.clamp}: expected a share of each domain above 0")
    if settings.boundary not in get_args(Boundary):
        raise InputError(f"unknown boundary {settings.boundary!r}: {nearest(settings.boundary, get_args(Boundary))}")
    if not 0 <= settings.retrained <= settings.finalists:
        raise InputError(
            f"finalists = {settings.finalists}, retrained = {settings.retrained}: expected 0 or more of both, and to "
            "retrain some of the finalists"
        )
    if not settings.objectives:
        raise InputError("objectives is empty: expected the name of at least one value to minimise")
