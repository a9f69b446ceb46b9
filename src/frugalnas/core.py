"""The vocabulary of FrugalNAS: frozen data, a few small protocols, and the function that rates one candidate.

Nothing here imports torch: the evolutionary half of the package runs, and is tested, without it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

Genotype = tuple[int, ...]
IMAGES = "images"  # among a trial's values: training images that went forward and backward through the network for it
OWN_IMAGES = "own_images"  # of these the ones that served this trial alone, where others share a training with it
Status = Literal["done", "rejected", "failed"]


class InputError(ValueError):
    """Something the user gave is wrong; the message is one line that says what, what was expected, and what is near."""


class MachineError(InputError):
    """A disk or a cluster is at fault, not a candidate: no trial is told of it; the search ends, and can be resumed."""


def nearest(name: str, known: Sequence[str]) -> str:
    """The end of an error message about an unknown name: the nearest known one, or all of them."""
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(map(str, known))}"


def printable(text: str) -> str:
    """`text` with every character that a terminal acts on, such as those that move its cursor, as an escape instead.

    Line ends stay. Names and reasons in files from somebody else may have any characters.
    """
    if text.replace("\n", "").isprintable():
        return text
    return "".join(sign if sign == "\n" or sign.isprintable() else ascii(sign)[1:-1] for sign in text)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What to measure, and how carefully.

    `rung` indexes the ladder of estimators, 0 the cheapest. `parents` are trial numbers; only reports read them.
    `inherits`: where candidates share weights, how many write-backs the set has seen that this one starts from, which
    makes its values a function of the candidate again; None where each has weights of its own.
    """

    genotype: Genotype
    rung: int = 0
    parents: tuple[int, ...] = ()
    inherits: int | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate and what became of it; written once.

    `rejected`: a limit was broken before any training. `values` are floats, always minimised; a rejected trial has the
    costs up to the broken limit, a failed one those that were known. `reason`: why it was rejected or failed, or of
    which earlier trial it repeats the architecture and so has the answer.
    """

    number: int
    candidate: Candidate
    status: Status
    values: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""

    @property
    def broken(self) -> str:
        """Of a rejected trial the objective whose limit it broke: the last cost that was computed."""
        return list(self.values)[-1]


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How carefully to train: EcoNAS' four reductions (Zhou et al. 2020) and the depth.

    `epochs`: passes over the training images. `samples`: share of the training images, in (0, 1]. `resolution`: side
    of the square input in pixels. `width`: initial channels. `depth`: cells or layers. None keeps the space's own.
    Raises InputError for values out of range.
    """

    epochs: int = 1
    samples: float = 1.0
    resolution: int | None = None
    width: int | None = None
    depth: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.samples <= 1:
            raise InputError(f"fidelity.samples = {self.samples}: expected a share in (0, 1]")
        if self.epochs < 0:
            raise InputError(f"fidelity.epochs = {self.epochs}: expected 0 or more")
        for name in ("resolution", "width", "depth"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"fidelity.{name} = {value}: expected 1 or more")


class Space(Protocol):
    """What can be built. Gene i of a genotype is in `range(domains[i])`; every such tuple can be built."""

    @property
    def domains(self) -> tuple[int, ...]: ...

    def canonical(self, genotype: Genotype) -> Genotype:
        """The one representative of all genotypes that describe the same architecture."""
        ...

    def at(self, fidelity: Fidelity) -> Space:
        """The same space with networks of the size that `fidelity` asks for."""
        ...

    def build(self, genotype: Genotype) -> Any:
        """The network: a `torch.nn.Module` with freshly initialised weights (torch's global generator)."""
        ...


@runtime_checkable
class Trainable(Protocol):
    """What a space has besides where training does not see all genes: networks that differ only in others share one."""

    def trained(self, genotype: Genotype) -> Genotype:
        """The one representative of all genotypes whose weights are trained alike."""
        ...


@runtime_checkable
class Bounded(Protocol):
    """What a space has besides if not all of its genotypes are worth a look, such as networks of too few nodes."""

    def viable(self, genotype: Genotype) -> bool:
        """Whether it is. Those that are not can be built all the same."""
        ...


@runtime_checkable
class Ordinal(Protocol):
    """What a space has besides if some of its genes are places on a scale."""

    @property
    def ordinal(self) -> Collection[int]:
        """The numbers of the genes whose neighbouring values are alike."""
        ...


class Strategy(Protocol):
    """What to try next. Never evaluates; all randomness comes from the `rng` it is handed."""

    def ask(self, rng: np.random.Generator) -> Candidate | None:
        """The next candidate. None means "wait for a tell", and then nothing has changed."""
        ...

    def tell(self, trial: Trial) -> None:
        """Learn what became of a candidate. Every candidate asked is told once, in any order."""
        ...


@runtime_checkable
class Promoting(Protocol):
    """What a strategy has besides `ask` and `tell` if it sends networks from rung to rung."""

    @property
    def promotable(self) -> Collection[Trial]:
        """Of the trials told, those whose networks may yet be sent to a higher rung; what others left can go."""
        ...


class Estimator(Protocol):
    """How good a candidate is. Never chooses. `values` names what `evaluate` gives."""

    @property
    def values(self) -> tuple[str, ...]: ...

    def evaluate(self, candidate: Candidate, space: Space, seed: int) -> Mapping[str, float]:
        """Values by name, minimised. The same arguments on the same machine give the same values."""
        ...


@dataclass(frozen=True, slots=True)
class Objective:
    """A value to minimise, or only to limit.

    With `cost`, it is computed from the genotype without training, on the network at its final size. With `limit`, a
    candidate above it is rejected before any training (so a limit needs a cost). With `minimise=False` it is recorded
    and limited, but strategies do not optimise it.
    """

    name: str
    cost: Callable[[Any, Genotype], float] | None = None
    limit: float = math.inf
    minimise: bool = True

    def __post_init__(self) -> None:
        if self.cost is None and self.limit != math.inf:
            raise InputError(f"objective {self.name!r} has a limit but no cost that is known before training")


@dataclass(frozen=True, slots=True)
class Problem:
    """All that a worker needs to rate a candidate; `estimators[rung]` is the ladder.

    `looks`: how many rungs, the lowest, only look at a network, to choose whom the next one rates. They need not give
    the objectives, are on no front, and count as no rated networks.
    """

    space: Space
    objectives: tuple[Objective, ...]
    estimators: tuple[Estimator, ...]
    looks: int = 0

    @property
    def minimised(self) -> tuple[str, ...]:
        """Names of the objectives that strategies optimise, in order."""
        return tuple(objective.name for objective in self.objectives if objective.minimise)

    def expected(self, rung: int) -> tuple[str, ...]:
        """Names of the objectives that every network has a value of once it is rated on this rung."""
        return () if rung < self.looks else self.minimised


def screen(problem: Problem, genotype: Genotype) -> tuple[dict[str, float], str]:
    """Early exit: the costs known before training, up to the first broken limit, and that limit as a reason or ""."""
    values: dict[str, float] = {}
    for objective in problem.objectives:
        if objective.cost is None:
            continue
        values[objective.name] = value = float(objective.cost(problem.space, genotype))
        if not value <= objective.limit:
            return values, f"{objective.name} {value:,.6g} > {objective.limit:,.6g}"
    return values, ""


def evaluate(
    problem: Problem, number: int, candidate: Candidate, costs: Mapping[str, float], seed: int
) -> tuple[Trial, float]:
    """Rate one candidate that passed `screen`; runs on a worker. Returns the trial and its seconds.

    Raises nothing but MachineError: what else goes wrong is the trial's `reason`.
    """
    start = time.perf_counter()
    values, status, reason = dict(costs), "done", ""
    try:
        estimated = problem.estimators[candidate.rung].evaluate(candidate, problem.space, seed)
        values |= {name: float(value) for name, value in estimated.items()}
        missing = [name for name in problem.expected(candidate.rung) if name not in values]
        wrong = [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]
        if missing:
            reason = f"the estimator gave no value for {', '.join(missing)}"
        elif wrong:
            reason = ", ".join(wrong)
    except MachineError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    if reason:
        status = "failed"
        values = {name: value for name, value in values.items() if math.isfinite(value)}
    return Trial(number, candidate, status, values, reason), time.perf_counter() - start  # type: ignore[arg-type]


def rng_for(seed: int, number: int) -> np.random.Generator:
    """The generator that trial `number` of a study is asked with."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(number, 0))))


def trial_seed(seed: int, number: int) -> int:
    """The seed of everything random in rating trial `number`: a non-negative integer below 2**63."""
    return int(np.random.SeedSequence(seed, spawn_key=(number, 1)).generate_state(1, np.uint64)[0] >> 1)
