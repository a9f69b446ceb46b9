"""Zero-cost scores: rate a network before any training, by one batch of images.

Scores are those of `frugalnas.scores`, larger as better as published, and so are given negated, as all values are
minimised. Two more follow from formulas and are the baselines of the field: `more_params` and `more_macs`, parameters
and multiply-accumulates of the network at its final size. They are not called `params` and `macs`, which are costs and
are minimised as they are.

Abdelfattah, Mehrotra, Dudziak, Lane: "Zero-Cost Proxies for Lightweight NAS", ICLR 2021, arXiv 2101.08134, compare
several, Krishnakumar, White, Zela, Tu, Safari, Hutter: "NAS-Bench-Suite-Zero", NeurIPS 2022, arXiv 2210.03230, many.

Differences from the papers: the batch is the same for all networks, and stratified by class.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, get_args

import torch
from torch import Tensor

from frugalnas.core import Candidate, Fidelity, Genotype, InputError, Space, nearest
from frugalnas.layers.initialise import Init, draw_seed, initialise
from frugalnas.objectives import count
from frugalnas.scores import SCORES
from frugalnas.tasks.classification import Classification

SIZES: dict[str, Callable[[Any, Genotype], float]] = {"more_params": count.params, "more_macs": count.macs}


@dataclass(frozen=True)
class ZeroCost:
    """The scores named, negated, each averaged over `draws` of the weights.

    `fidelity`: size of the network and resolution of the images, and of which share of the training images they are
    taken; its epochs play no part. `images` in the batch; 64 in most papers, 128 for naswot. `init`: of the
    convolutions; "default" keeps the network's own. Raises InputError for an unknown score and for values out of range.
    """

    task: Classification = field(default_factory=Classification)
    fidelity: Fidelity = field(default_factory=Fidelity)
    scores: tuple[str, ...] = ("meco", "az_expressivity", "naswot", "synflow")
    images: int = 64
    draws: int = 1
    init: Init = "default"

    def __post_init__(self) -> None:
        for name in self.scores:
            _check(name)
        if not self.scores or len(set(self.scores)) < len(self.scores):
            raise InputError(f"zero_cost.scores = {', '.join(self.scores)}: expected one or more, none of them twice")
        if self.init not in get_args(Init):
            raise InputError(f"unknown init {self.init!r}: {nearest(self.init, get_args(Init))}")
        for name, least in (("images", 4), ("draws", 1)):
            if getattr(self, name) < least:
                raise InputError(f"zero_cost.{name} = {getattr(self, name)}: expected {least} or more")

    @property
    def values(self) -> tuple[str, ...]:
        return self.scores

    def evaluate(self, candidate: Candidate, space: Space, seed: int) -> dict[str, float]:
        """The negated scores by name. Raises FloatingPointError where one is not finite, as of a network without a path
        from image to output some are not."""
        found: dict[str, list[float]] = {name: [] for name in self.scores}
        for name in found.keys() & SIZES.keys():
            found[name].append(SIZES[name](space, candidate.genotype))
        if drawn := [name for name in self.scores if name in SCORES]:
            sized, (images, labels) = space.at(self.fidelity), self.batch()
            for draw in range(self.draws):
                own = draw_seed(seed, draw)
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(own)
                    network = self.task.attach(sized.build(candidate.genotype))
                    initialise(network, self.init)
                for name in drawn:  # a generator of its own: the value does not depend on what else is asked for
                    found[name].append(SCORES[name](network, images, labels, torch.Generator().manual_seed(own)))
        values = {name: -fmean(scores) for name, scores in found.items()}
        for name, value in values.items():
            if not math.isfinite(value):
                raise FloatingPointError(f"{name} is {-value} for the network of {candidate.genotype}")
        return values

    def batch(self) -> tuple[Tensor, Tensor]:
        """The images, normalised, in an order without a pattern, and their labels: the same for all candidates."""
        pixels, labels = self.task.sample("train", self.fidelity, self.images)
        return self.task.normalisation()(pixels), labels


def _check(name: str) -> None:
    """Raise InputError for a name that is no score."""
    if name == "az_nas":
        raise InputError(
            "az_nas ranks the networks of a population, one alone has none: ask for its components az_expressivity, "
            "az_progressivity, az_trainability, more_macs"
        )
    if name not in SCORES and name not in SIZES:
        raise InputError(f"unknown score {name!r}: {nearest(name, [*SCORES, *SIZES])}")
