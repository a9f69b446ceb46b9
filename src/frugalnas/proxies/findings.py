"""What a study of proxies found, from its run folder alone: how each orders the networks, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from frugalnas import config, launch, pareto
from frugalnas.core import IMAGES, Genotype, InputError
from frugalnas.objectives.count import COSTS
from frugalnas.proxies.settings import LEAST_NETWORKS, REPETITIONS, fidelities_of, is_study, names_of
from frugalnas.ranking import Estimate, compared
from frugalnas.record import Record, load
from frugalnas.report.effort import BASELINES
from frugalnas.schema import Tree

BEST = 4  # of so many networks one is among the best, in the overlap
AGAIN = "again"
MOST_RUNGS, LEAST_BOUND, LEAST_RATIO = 3, 0.5, 2.0  # of the recommended ladder: see `Findings.ladder`


@dataclass(frozen=True)
class Cost:
    """What a fidelity takes for one network, of those that it and the reference rated.

    `images` of its training, `macs` for one image at its size, and `work`, the product of both, are means. `seconds`
    are the median, as a worker's first training takes longer, of those that are known; None where none is.
    """

    images: float
    macs: float
    work: float
    seconds: float | None


@dataclass(frozen=True)
class Rating:
    """How a score orders the networks beside the reference: of a proxy, of the reference again, or without training.

    `pairs`: the error by the reference and the score, of each network that has both. `overlap`: share of the best
    quarter by the reference that is in the best quarter by this. `relative`: the cost as shares of the reference's, for
    the same networks. Without training both are None.
    """

    name: str
    pairs: tuple[tuple[float, float], ...]
    spearman: Estimate
    kendall: Estimate
    overlap: float
    cost: Cost | None = None
    relative: Cost | None = None

    @property
    def error(self) -> float | None:
        """The median of the errors by a training; None for a score that is none."""
        return median(score for _, score in self.pairs) if self.cost else None


@dataclass(frozen=True)
class Findings:
    """What is known so far. `names`: all proxies; `networks`: those that the `reference` rated, at `cost`.

    `rated`: the proxies that enough networks have been rated with; `beside`: the reference again and the baselines, as
    far as they are known. `unit`: what costs are compared by, "seconds" or "work" where these are not known.
    """

    record: Record
    names: tuple[str, ...]
    reference: str
    networks: int
    cost: Cost | None
    rated: tuple[Rating, ...]
    beside: tuple[Rating, ...]
    unit: str

    def price(self, rating: Rating) -> float:
        """What a proxy costs, as a share of the reference."""
        return getattr(rating.relative, self.unit) or 0.0

    @cached_property
    def front(self) -> tuple[Rating, ...]:
        """The Pareto set of cost and Spearman's correlation, the cheapest first."""
        table = [(self.price(rating), -rating.spearman.value) for rating in self.rated]
        best = [rating for rating, rank in zip(self.rated, pareto.ranks(table), strict=True) if rank == 0]
        return tuple(sorted(best, key=self.price))

    @cached_property
    def reliable(self) -> tuple[Rating, ...]:
        """Those of the front whose interval is above LEAST_BOUND and whose correlation is stronger than the baselines'.

        That of a baseline may be negative: then the smaller networks are the better ones, and counting tells as much.
        """
        least = max((abs(rating.spearman.value) for rating in self.beside if rating.cost is None), default=0.0)
        return tuple(r for r in self.front if r.spearman.low > LEAST_BOUND and r.spearman.value > least)

    @cached_property
    def ladder(self) -> tuple[str, ...]:
        """The cheapest reliable proxy; then, up to MOST_RUNGS, the next that costs LEAST_RATIO times as much or more.

        The reference where no proxy is reliable.
        """
        chosen: list[Rating] = []
        for rating in self.reliable:
            if not chosen or self.price(rating) >= LEAST_RATIO * self.price(chosen[-1]):
                chosen.append(rating)
        return tuple(rating.name for rating in chosen[:MOST_RUNGS]) or (self.reference,)

    def to_json(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return {
            "folder": str(self.record.folder),
            "version": self.record.header["version"],
            "reference": self.reference,
            "networks": self.networks,
            "asked": self.record.header["config"]["strategy"]["networks"],
            "elapsed_s": round(self.record.elapsed, 3),
            "cost": self.cost and asdict(self.cost),
            "compared_by": self.unit,
            "proxies": [asdict(rating) | {"error": rating.error} for rating in self.rated],
            "beside": [asdict(rating) | {"error": rating.error} for rating in self.beside],
            "front": [rating.name for rating in self.front],
            "reliable": [rating.name for rating in self.reliable],
            "ladder": list(self.ladder),
            "config": self.record.header["config"],
        }


@dataclass(frozen=True)
class _Training:
    error: float
    cost: Cost


_Column = Mapping[Genotype, _Training]  # what became of the networks on one rung


def findings_in(folder: Path) -> Findings:
    """What the study in `folder` has found, finished or not. Raises InputError where there is none, or of a version."""
    record = load(folder)
    if not is_study(record.header["config"]):
        raise InputError(f"{folder} holds a search by {record.header['config']['method']!r}, no study of proxies")
    tree = launch.configuration_of(folder)
    try:
        return _findings(record, tree, config.make("space", tree["space"], record.header["facts"]))
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:  # a journal that was edited
        cause = f"{error}" if isinstance(error, InputError) else f"{type(error).__name__} {error}"
        raise InputError(f"{folder} holds a journal of no study of proxies: {cause}") from None


def _findings(record: Record, tree: Tree, space: Any) -> Findings:
    names = names_of(tree, (space.channels, space.resolution))
    columns = [_column(record, rung, space.at(fidelity)) for rung, fidelity in enumerate(fidelities_of(tree))]
    reference = columns[-REPETITIONS]
    rated = {}
    for name, column in zip([*names[:-1], f"{names[-1]} {AGAIN}"], columns, strict=True):
        both = [genotype for genotype in reference if genotype in column]
        if len(both) >= LEAST_NETWORKS and column is not reference:
            own, whole = (_typical([part[genotype].cost for genotype in both]) for part in (column, reference))
            pairs = [(reference[genotype].error, column[genotype].error) for genotype in both]
            rated[name] = _rating(name, pairs, tree["seed"], own, _shares(own, whole))
    beside = [rated.pop(name) for name in [f"{names[-1]} {AGAIN}"] if name in rated]
    if len(reference) >= LEAST_NETWORKS:
        for name in BASELINES:
            pairs = [(training.error, -COSTS[name](space, genotype)) for genotype, training in reference.items()]
            beside.append(_rating(name, pairs, tree["seed"]))
    known = all(rating.relative and rating.relative.seconds for rating in rated.values())
    cost = _typical([training.cost for training in reference.values()]) if reference else None
    found = (tuple(rated.values()), tuple(beside))
    unit = "seconds" if known else "work"
    return Findings(record, tuple(names[:-REPETITIONS]), names[-1], len(reference), cost, *found, unit)


def _column(record: Record, rung: int, sized: Any) -> _Column:
    """The networks that were rated on a rung, whose trainings have the size `sized`, without those that repeat one."""
    column = {}
    for trial in record.trials:
        if trial.status == "done" and not trial.reason and trial.candidate.rung == rung:
            genotype, images = trial.candidate.genotype, trial.values[IMAGES]
            each = COSTS["macs"](sized, genotype)
            cost = Cost(images, each, each * images, record.seconds.get(trial.number))
            column[genotype] = _Training(trial.values["error"], cost)
    return column


def _typical(costs: Sequence[Cost]) -> Cost:
    images, each, work = np.mean([(cost.images, cost.macs, cost.work) for cost in costs], axis=0).tolist()
    seconds = [cost.seconds for cost in costs if cost.seconds is not None]
    return Cost(images, each, work, float(np.median(seconds)) if seconds else None)


def _shares(own: Cost, whole: Cost) -> Cost:
    seconds = own.seconds / whole.seconds if own.seconds and whole.seconds else None
    return Cost(own.images / whole.images, own.macs / whole.macs, own.work / whole.work, seconds)


def _rating(
    name: str, pairs: Sequence[tuple[float, float]], seed: int, cost: Cost | None = None, relative: Cost | None = None
) -> Rating:
    """All take the same networks in their bootstraps, so that the intervals compare."""
    errors, scores = np.array(pairs).T
    found = compared(errors, scores, max(1, len(pairs) // BEST), seed)
    return Rating(name, tuple(pairs), *found, cost, relative)
