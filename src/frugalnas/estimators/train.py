"""Train a candidate, score it on the validation part."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch

from frugalnas.core import Candidate, Fidelity, Space
from frugalnas.tasks.classification import Classification


@dataclass(frozen=True)
class Train:
    """Train from scratch as carefully as `fidelity` says; the values are those of `task.score` after the last epoch.

    The seed decides initial weights, order and augmentation of the images, and drop-path: on a CPU the same seed gives
    the same bits. The caller's global torch generator is left as it was.
    """

    values: ClassVar[tuple[str, ...]] = ("error", "loss")

    task: Classification = field(default_factory=Classification)
    fidelity: Fidelity = field(default_factory=Fidelity)

    def evaluate(self, candidate: Candidate, space: Space, seed: int) -> dict[str, float]:
        """`error` and `loss` on the validation part. Raises FloatingPointError for a NaN loss, InputError."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = self.task.attach(space.at(self.fidelity).build(candidate.genotype))
            self.task.fit(model, self.fidelity, seed)
            return self.task.score(model, self.fidelity)
