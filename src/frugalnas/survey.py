"""A look at a space before a search: what its networks cost, and how many of them the limits accept."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from frugalnas.core import Genotype, InputError, Problem, screen
from frugalnas.objectives.count import COSTS
from frugalnas.variation import random_genotype

SAMPLES = 2000  # random genotypes that a survey looks at


@dataclass(frozen=True)
class Survey:
    """What a space holds, from `samples` random genotypes and its most uniform ones.

    `costs`: per cheap cost its smallest, median and largest value seen. `accepted`: share of the random genotypes that
    the limits accept. `possible`: whether any genotype seen is accepted. `rejected`: how many each limit broke first.
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


def survey(problem: Problem, samples: int = SAMPLES, seed: int = 0) -> Survey:
    """Look at a space before a search: sizes and costs, and the share that the limits accept. Trains nothing."""
    genotypes = sampled(problem, samples, seed)
    broken = [_broken(problem, genotype) for genotype in genotypes]
    costs = {}
    for name, cost in COSTS.items():
        values = [cost(problem.space, genotype) for genotype in genotypes]  # type: ignore[arg-type]
        costs[name] = (min(values), median(values[:samples]), max(values))
    rejected = Counter(name for name in broken[:samples] if name)
    accepted = 1 - rejected.total() / samples
    return Survey(math.prod(problem.space.domains), samples, costs, accepted, "" in broken, dict(rejected))


def refuse_impossible(problem: Problem, samples: int = SAMPLES) -> None:
    """Raise InputError, with the numbers, where no genotype that a survey sees is within the limits."""
    if not any(_broken(problem, genotype) == "" for genotype in sampled(problem, samples, 0)):
        raise impossible(problem, survey(problem, samples))


def impossible(problem: Problem, found: Survey) -> InputError:
    """What to say of limits that accept nothing."""
    limits = [
        f"{objective.name} <= {objective.limit:,.6g} (smallest seen {found.costs[objective.name][0]:,.6g})"
        for objective in problem.objectives
        if objective.limit < math.inf
    ]
    return InputError(
        f"none of {found.samples:,} random networks is within the limits {', '.join(limits)}: raise them, or make the "
        "networks smaller with --set space.channels=... and --set space.cells=..."
    )


def sampled(problem: Problem, samples: int, seed: int) -> list[Genotype]:
    """Random genotypes, then those with the same value in every gene, which are the extremes of many costs."""
    domains, rng = problem.space.domains, np.random.default_rng(seed)
    uniform = [tuple(min(value, size - 1) for size in domains) for value in range(max(domains))]
    return [*(random_genotype(rng, domains) for _ in range(samples)), *uniform]


def _broken(problem: Problem, genotype: Genotype) -> str:
    """The name of the first limit that a genotype breaks, "" if none."""
    values, reason = screen(problem, genotype)
    return list(values)[-1] if reason else ""
