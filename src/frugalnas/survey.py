"""A look at a space before a search: what its networks cost, and how many of them the limits accept."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from frugalnas.core import Genotype, InputError, Problem, Space, screen
from frugalnas.latency.runs import MeasuredCost
from frugalnas.objectives.count import costs_of
from frugalnas.report import amount, table
from frugalnas.variation import random_viable

SAMPLES = 2000  # random genotypes that a survey looks at
LONG = 200  # genes of a genotype most of which may have no effect
LOOKS = {False: 4000, True: 500}  # costs that a descent looks at, by whether genotypes are long
STARTS = 3  # of them, those that a descent starts from


@dataclass(frozen=True)
class Survey:
    """What a space holds, from `samples` random genotypes and from descents that start at the best of them.

    `costs`: of each cheap cost the smallest and the largest value that a descent and an ascent by single genes reach,
    and between them the median of the random genotypes. `accepted`: share of the random genotypes that the limits
    accept. `possible`: whether any genotype seen is accepted. `rejected`: how many each limit broke first.
    """

    size: int
    samples: int
    costs: dict[str, tuple[float, float, float]]
    accepted: float
    possible: bool
    rejected: dict[str, int]

    @property
    def share(self) -> str:
        """`accepted` in words."""
        if self.accepted >= 0.001:
            return f"{self.accepted:.1%} of random genotypes"
        if not self.possible:
            return f"none of {self.samples:,} random genotypes"
        number = round(self.accepted * self.samples)
        words = f"a tiny share, {number or 'none'} of {self.samples:,} random genotypes"
        return f"{words}: a search will mostly reject; raise the limits or make the networks smaller"

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        costs = {name: dict(zip(("smallest", "median", "largest"), v, strict=True)) for name, v in self.costs.items()}
        return (
            {"genotypes": self.size}
            | {key: value for key, value in asdict(self).items() if key != "size"}
            | {"costs": costs}
        )

    def text(self, limits: Mapping[str, float]) -> str:
        """The same for people."""
        rows = [[name, *(amount(name, value) for value in values)] for name, values in self.costs.items()]
        shown = ", ".join(f"{name} <= {amount(name, value)}" for name, value in limits.items() if name in self.costs)
        unseen = [f" {name} is measured in the search only." for name in limits if name not in self.costs]
        return "\n".join(
            [
                f"{self.size:.3g} genotypes; what networks cost at their final size, the smallest and the largest by "
                f"descent from {self.samples:,} random ones:",
                "",
                table(["cost", "smallest", "median", "largest"], rows),
                "",
                "".join([f"Limits: {shown or 'none'}; they accept {self.share}.", *unseen]),
            ]
        )


def survey(problem: Problem, samples: int = SAMPLES, seed: int = 0) -> Survey:
    """Look at a space before a search: sizes and costs, and the share that the limits accept. Trains nothing.

    The smallest and largest costs are local optima: no change of one gene goes beyond them, see `descend`. A latency
    that would have to be measured is left out.
    """
    problem = _computed(problem)
    genotypes = sampled(problem, samples, seed)
    broken = Counter(_broken(problem, genotype) for genotype in genotypes)
    functions = costs_of(problem.space) | {
        objective.name: objective.cost for objective in problem.objectives if objective.cost
    }
    costs, smallest = {}, []
    for name, function in functions.items():
        low, middle, high = _spread(problem.space, function, genotypes)
        costs[name] = (function(problem.space, low), middle, function(problem.space, high))
        smallest.append(low)
    accepted = broken.pop("", 0) / samples
    possible = accepted > 0 or _within_reach(problem, [*smallest, *genotypes])
    return Survey(math.prod(problem.space.domains), samples, costs, accepted, possible, dict(broken))


def refuse_impossible(problem: Problem, samples: int = SAMPLES) -> None:
    """Raise InputError, with the numbers, where a survey finds no genotype that is within the limits."""
    problem = _computed(problem)
    if any(_broken(problem, genotype) == "" for genotype in sampled(problem, samples, 0)):
        return
    found = survey(problem, samples)
    if not found.possible:
        raise impossible(problem, found)


def impossible(problem: Problem, found: Survey) -> InputError:
    """What to say of limits that accept nothing."""
    limits = [
        f"{objective.name} <= {objective.limit:,.6g} (smallest {found.costs[objective.name][0]:,.6g})"
        for objective in _computed(problem).objectives
        if objective.limit < math.inf
    ]
    return InputError(
        f"no network is found within the limits {', '.join(limits)}: raise them, or make the networks smaller, such as "
        "with --set space.channels=..."
    )


def sampled(problem: Problem, samples: int, seed: int) -> list[Genotype]:
    """Random genotypes, every gene uniform; of a space that says which are viable, such ones."""
    rng = np.random.default_rng(seed)
    return [random_viable(rng, problem.space) for _ in range(samples)]


def descend(score: Callable[[Genotype], float], start: Genotype, space: Space) -> Genotype:
    """From `start` by changes of one gene that lower `score`, until no such change does: a local minimum.

    In a genotype of more than LONG genes, most of which may have no effect, a gene is passed over if neither its lowest
    nor its highest value makes another network. Ends earlier after about LOOKS scores.
    """
    best, lowest, improved = start, score(start), True
    long = len(start) > LONG
    looks = LOOKS[long]
    while improved:
        improved = False
        for gene, size in enumerate(space.domains):
            if long and not _matters(space, best, gene):
                continue
            for value in range(size):
                moved = (*best[:gene], value, *best[gene + 1 :])
                if (reached := score(moved)) < lowest:
                    best, lowest, improved = moved, reached, True
            looks -= size
            if looks < 0:
                return best
    return best


def _matters(space: Space, genotype: Genotype, gene: int) -> bool:
    """Whether the lowest or the highest value of a gene makes another network."""
    same = space.canonical(genotype)
    ends = {0, space.domains[gene] - 1} - {genotype[gene]}
    return any(space.canonical((*genotype[:gene], value, *genotype[gene + 1 :])) != same for value in ends)


def _computed(problem: Problem) -> Problem:
    """The problem without what has to be measured, which would take too long here."""
    objectives = (objective for objective in problem.objectives if not isinstance(objective.cost, MeasuredCost))
    return replace(problem, objectives=tuple(objectives))


def _spread(
    space: Space, function: Callable[[Any, Genotype], float], genotypes: Sequence[Genotype]
) -> tuple[Genotype, float, Genotype]:
    """Of one cost the genotype of the smallest value, the median of `genotypes`, the genotype of the largest."""

    def cost(genotype: Genotype) -> float:
        return function(space, genotype)

    def gain(genotype: Genotype) -> float:
        return -cost(genotype)

    values = {genotype: cost(genotype) for genotype in genotypes}
    ranked = sorted(values, key=values.__getitem__)
    low = min((descend(cost, start, space) for start in ranked[:STARTS]), key=cost)
    high = max((descend(gain, start, space) for start in ranked[-STARTS:]), key=cost)
    return low, median(values[genotype] for genotype in genotypes), high


def _within_reach(problem: Problem, genotypes: Sequence[Genotype]) -> bool:
    """Whether a descent on how far all limits are broken, from the best of `genotypes`, ends within them."""
    limited = [objective for objective in problem.objectives if objective.cost and objective.limit < math.inf]

    def excess(genotype: Genotype) -> float:
        values = [(o.cost(problem.space, genotype), o.limit) for o in limited if o.cost]
        return sum(max(0.0, (value - limit) / max(abs(limit), 1.0)) for value, limit in values)

    starts = sorted(set(genotypes), key=excess)[:STARTS]
    return any(_broken(problem, descend(excess, start, problem.space)) == "" for start in starts)


def _broken(problem: Problem, genotype: Genotype) -> str:
    """The name of the first limit that a genotype breaks, "" if none."""
    values, reason = screen(problem, genotype)
    return list(values)[-1] if reason else ""
