"""How well a trained network classifies with some multipliers in its layers: one pass over images that are at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from frugalnas.assign.space import Assignments, Layer, energy
from frugalnas.core import Candidate, Genotype, InputError, Space
from frugalnas.layers.approximated import (
    approximated,
    correct,
    layers_of,
    multiplications,
    ranges,
)
from frugalnas.layers.correction import Correction, check_correction
from frugalnas.multipliers import Multiplier
from frugalnas.tasks.tensors import scores

WITHIN = "energy_within"  # the energy as the search minimises it
CALIBRATION = 256  # images, the first ones, that ranges and corrections are taken from
LOOK, HOPELESS = 250, 0.1  # images after which a network is given up whose error is so much beyond the reach


@dataclass(frozen=True, eq=False)
class Subject:
    """A trained float network with images (N, C, H, W) as it takes them, float32, and their labels (N,), int64.

    `batch`: images at once. `correction`: what is done for a network with other multipliers, without labels: see
    `layers.approximated.correct`. Raises InputError.
    """

    network: nn.Module
    images: Tensor
    labels: Tensor
    batch: int = 100
    correction: Correction = "auto"

    def __post_init__(self) -> None:
        check_correction(self.correction)
        if self.images.ndim != 4 or not self.images.is_floating_point() or not len(self.images):
            shape = tuple(self.images.shape)
            raise InputError(
                f"images are {self.images.dtype} {shape}: expected floats (N, C, H, W), as the network takes"
            )
        if self.labels.shape != self.images.shape[:1] or self.labels.is_floating_point():
            raise InputError(
                f"labels are {self.labels.dtype} {tuple(self.labels.shape)}: expected ({len(self.images)},)"
            )
        if self.batch < 1:
            raise InputError(f"batch = {self.batch}: expected 1 or more")

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that multiply, in the order they run. Raises InputError where there are none."""
        modules = layers_of(self.network)
        counts = multiplications(self.network, tuple(self.images.shape[1:])) if modules else {}
        found = tuple(Layer(name, kind(module), counts[name]) for name, module in modules.items() if counts.get(name))
        if not found:
            raise InputError("the network has no Conv2d and no Linear that runs: expected one or more")
        return found

    def first(self, count: int) -> tuple[Tensor, ...]:
        """Batches of the first images."""
        return torch.split(self.images[:count], self.batch)

    @cached_property
    def ranges(self) -> dict[str, Any]:
        """The `Range` of the input of each layer by its name."""
        return ranges(self.network, self.first(CALIBRATION))

    def approximated(self, chosen: Mapping[str, Multiplier]) -> nn.Module:
        """A copy of the network with these multipliers in its layers, corrected, in evaluation mode."""
        with torch.inference_mode(False):  # whose tensors could not be trained
            made = approximated(self.network, chosen, self.ranges).eval()
            correct(made, self.first(CALIBRATION), self.correction)
            return made

    def rated(self, network: nn.Module) -> dict[str, float]:
        """`error` and `loss` of a network on the images."""
        return scores(outputs(network, self.images, self.batch), self.labels)


@torch.inference_mode()
def outputs(network: nn.Module, images: Tensor, batch: int) -> Tensor:
    """Logits (N, classes) of float images in evaluation mode. Raises InputError for outputs of another kind."""
    network.eval()
    made = [network(part) for part in torch.split(images, batch)]
    if not all(isinstance(part, Tensor) and part.ndim == 2 for part in made):
        raise InputError("the network gives no logits (N, classes)")
    return torch.cat(made)


def kind(module: nn.Module) -> str:
    """What a layer is, in words."""
    shape = tuple(module.weight.shape)  # type: ignore[arg-type]
    if len(shape) < 4:
        return f"linear, {shape[-1]} to {shape[0]}"
    groups = int(getattr(module, "groups", shape[0] if shape[1] == 1 else 1))
    size = f"{shape[-2]}x{shape[-1]}"
    if groups == shape[0] and shape[1] == 1 and groups > 1:
        return f"depthwise {size}, {shape[0]}"
    return f"conv {size}, {shape[1] * groups} to {shape[0]}" + (f", {groups} groups" if groups > 1 else "")


@dataclass(frozen=True, eq=False)
class OnImages:
    """Rates assignments of a subject's layers by one pass over its images.

    Beside `error` and `loss` it gives `energy_within`: the energy or, where the error is more than `reach` above that
    of exact 8-bit multipliers, more than all of it. So the search spends no time on networks that are of no use, which
    would all be on a front of error and energy. `rated_on`: images that the error is of; few where it was hopeless.
    """

    subject: Subject
    space: Assignments
    reach: float

    @property
    def values(self) -> tuple[str, ...]:
        return ("error", "loss", "rated_on", WITHIN)

    @cached_property
    def exact(self) -> Tensor:
        """Logits (N, classes) with exact 8-bit multipliers."""
        network = self.subject.approximated(self.space.named(self.space.uniform[0]))
        return outputs(network, self.subject.images, self.subject.batch)

    def lost(self, logits: Tensor) -> float:
        """How much the error on as many images as there are logits is above that of exact multipliers."""
        labels = self.subject.labels[: len(logits)]
        return scores(logits, labels)["error"] - scores(self.exact[: len(logits)], labels)["error"]

    def evaluate(self, candidate: Candidate, space: Space, seed: int) -> Mapping[str, float]:
        """See `core.Estimator`; nothing here is random."""
        genotype = candidate.genotype
        logits = self.exact if genotype == self.space.uniform[0] else self._logits(genotype)
        found = scores(logits, self.subject.labels[: len(logits)])
        spent, useful = energy(self.space, genotype), self.lost(logits) <= self.reach + 1e-9
        within = spent if useful else self.space.multiplications * (1 + found["error"])
        return found | {"rated_on": len(logits), WITHIN: within}

    def _logits(self, genotype: Genotype) -> Tensor:
        """Of all images or, of a network that is hopeless, of the first ones."""
        network = self.subject.approximated(self.space.named(genotype))
        first, rest = self.subject.images[:LOOK], self.subject.images[LOOK:]
        made = outputs(network, first, self.subject.batch)
        if not len(rest) or self.lost(made) > self.reach + HOPELESS:
            return made
        return torch.cat([made, outputs(network, rest, self.subject.batch)])
