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
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, get_args

from frugalnas.core import Candidate, Fidelity, InputError, Space, nearest
from frugalnas.layers.initialise import Init, draw_seed
from frugalnas.scores import BATCH, check_scores
from frugalnas.tasks.classification import Classification

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ZeroCost:
    """The scores named, negated, each averaged over `draws` of the weights.

    `fidelity`: size of the network and resolution of the images, and of which share of the training images they are
    taken; its epochs play no part. `images` in the batch; None = what is usual for a score, 64 for most. `init`: of the
    convolutions; "default" keeps the network's own. Raises InputError for an unknown score and for values out of range.
    """

    task: Classification = field(default_factory=Classification)
    fidelity: Fidelity = field(default_factory=Fidelity)
    scores: tuple[str, ...] = ("meco", "az_expressivity", "naswot", "synflow")
    images: int | None = None
    draws: int = 1
    init: Init = "default"

    def __post_init__(self) -> None:
        check_scores(self.scores, "zero_cost.scores")
        if self.init not in get_args(Init):
            raise InputError(f"unknown init {self.init!r}: {nearest(self.init, get_args(Init))}")
        for name, least in (("images", 4), ("draws", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"zero_cost.{name} = {value}: expected {least} or more")

    @property
    def values(self) -> tuple[str, ...]:
        return self.scores

    def evaluate(self, candidate: Candidate, space: Space, seed: int) -> dict[str, float]:
        """The negated scores by name, without those that are not finite, as some are of a network without a path from
        image to output. Raises FloatingPointError where none is finite."""
        from frugalnas.scores.rating import rate

        sized, batch = space.at(self.fidelity), self.batch()
        draws = [
            rate(
                self.scores, space, sized, candidate.genotype, self.task.attach, batch, draw_seed(seed, draw), self.init
            )
            for draw in range(self.draws)
        ]
        means = {name: fmean(each[name] for each in draws) for name in self.scores}
        values = {name: -mean for name, mean in means.items() if math.isfinite(mean)}
        if not values:
            words = ", ".join(f"{name} is {mean}" for name, mean in means.items())
            raise FloatingPointError(f"{words} for the network of {candidate.genotype}")
        return values

    def batch(self) -> tuple[Tensor, Tensor]:
        """The images, normalised, in an order without a pattern, and their labels: the same for all candidates."""
        pixels, labels = self.task.sample("train", self.fidelity, self.images or BATCH)
        return self.task.normalisation()(pixels), labels
