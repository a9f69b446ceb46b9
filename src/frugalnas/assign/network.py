"""The Python door: from a trained network and images to multipliers for its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from frugalnas.assign.estimate import Subject
from frugalnas.assign.outcome import Approximated
from frugalnas.assign.search import Progress, Settings, search
from frugalnas.assign.space import Assignments, default_multipliers, ordered
from frugalnas.core import InputError
from frugalnas.layers.approximated import assigned as of_nodes
from frugalnas.layers.correction import Correction
from frugalnas.model import Model
from frugalnas.multipliers import Multiplier
from frugalnas.multipliers.library import exact, find
from frugalnas.spaces.architecture import Architecture
from frugalnas.spaces.multiplied import Assigning


def approximate(
    network: nn.Module | Model,
    images: ArrayLike | Tensor,
    labels: ArrayLike | Tensor,
    multipliers: Sequence[Multiplier | str] | None = None,
    *,
    max_loss: float = 0.01,
    trials: int = 200,
    minutes: float | None = None,
    seed: int = 0,
    batch: int = 100,
    correction: Correction = "auto",
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Approximated:
    """Assign a multiplier to each Conv2d and Linear so that the network takes little power and stays accurate.

    A `Model` whose architecture evolved together with multipliers begins with these.

    `network`: any trained module that gives logits (N, classes), or a `Model`. `images`: for a module float
    (N, C, H, W) as it takes them, for a `Model` uint8 (N, C, H, W); `labels` (N,): class numbers. These images choose
    the assignment, so that they must not be those that it is tested on. `multipliers`: values, or names that
    `multipliers.library.find` knows; by default a Pareto set of signed ones in both operand orders. The exact one is
    always among them.

    `max_loss`: what the error may rise by, a share, beside the same network with exact 8-bit multipliers. The search
    ends after `trials` assignments, or `minutes`. `batch`: images at once. `correction`: see `assign.Subject`. With
    `out`, a folder, the search is on disk and goes on there when it is called again. Raises InputError.
    """
    pixels = _images(network, images)
    module = network.network if isinstance(network, Model) else network
    subject = Subject(module, pixels, _tensor(labels).long(), batch, correction)
    settings = Settings(max_loss, trials, minutes, seed)
    known = None if multipliers is None else [find(one) if isinstance(one, str) else one for one in multipliers]
    own = evolved(network.architecture, subject) if isinstance(network, Model) else {}
    return assigned(subject, known, own, settings, None if out is None else Path(out), progress)


def evolved(architecture: Architecture, subject: Subject) -> dict[str, Multiplier]:
    """The multiplier of each layer by its name that the genotype has genes of; {} where it has none."""
    space = architecture.space
    if not isinstance(space, Assigning) or not space.multipliers:
        return {}
    nodes = {node: find(name) for node, name in space.assignment(architecture.genotype)}
    others = exact(all(find(space.multipliers[0]).signed))
    return of_nodes([layer.name for layer in subject.layers], nodes, others)


def assigned(
    subject: Subject,
    multipliers: Sequence[Multiplier] | None,
    own: Mapping[str, Multiplier],
    settings: Settings,
    folder: Path | None,
    progress: Progress | None,
) -> Approximated:
    """The search, with its journal in `folder`, and what it found.

    `multipliers`: None are the usual ones and those of `own`, the assignment that the network was made with, if any.
    """
    known = default_multipliers() if multipliers is None else multipliers
    space = Assignments(subject.layers, ordered([*known, *(own.values() if multipliers is None else ())]))
    study, ended = search(subject, space, settings, folder, progress, space.genotype(own))
    return Approximated(subject, space, settings, tuple(study.trials), ended)


def _images(network: nn.Module | Model, images: ArrayLike | Tensor) -> Tensor:
    """float32 (N, C, H, W), as the network takes them."""
    pixels = _tensor(images)
    if not isinstance(network, Model):
        return pixels.float() if pixels.is_floating_point() else pixels
    if pixels.dtype != torch.uint8 or tuple(pixels.shape[1:]) != network.shape:
        raise InputError(f"images are {pixels.dtype} {tuple(pixels.shape)}: expected uint8 (N, {network.shape})")
    return network.normalise(pixels)


def _tensor(values: ArrayLike | Tensor) -> Tensor:
    return values if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
