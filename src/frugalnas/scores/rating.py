"""The scores by name, and several of one network, which is built and initialised once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from frugalnas.core import Genotype, Space
from frugalnas.layers.initialise import Init, initialise
from frugalnas.scores import MANY, SIZES, USUAL
from frugalnas.scores.az import az_expressivity, az_progressivity, az_trainability
from frugalnas.scores.codes import naswot, swap
from frugalnas.scores.gradient import fisher, grad_norm, grasp, snip, zico
from frugalnas.scores.meco import meco
from frugalnas.scores.sensitivity import jacob_cov, synflow, zen
from frugalnas.scores.spanned import effective_rank, freedom, log_determinant

Score = Callable[[nn.Module, Tensor, Tensor, torch.Generator], float]

SCORES: dict[str, Score] = {
    "grad_norm": grad_norm,
    "snip": snip,
    "grasp": grasp,
    "fisher": fisher,
    "zico": zico,
    "jacob_cov": jacob_cov,
    "synflow": synflow,
    "zen": zen,
    "naswot": naswot,
    "swap": swap,
    "meco": meco,
    "az_expressivity": az_expressivity,
    "az_progressivity": az_progressivity,
    "az_trainability": az_trainability,
    "freedom": freedom,
    "log_determinant": log_determinant,
    "effective_rank": effective_rank,
}


def rate(
    names: Sequence[str],
    space: Space,
    sized: Space,
    genotype: Genotype,
    attach: Callable[[nn.Module], nn.Module],
    batch: tuple[Tensor, Tensor],
    seed: int,
    init: Init = "default",
    most: int | None = None,
) -> dict[str, float]:
    """Scores by name, larger is better; they may be infinite or no number.

    `space` counts the sizes, `sized` builds the network, `attach` brings it to the device of `batch`: images float and
    normalised (N, C, H, W), and labels (N,), of which each score takes the first `most`, None = as many as is usual for
    it. A score does not depend on which others are asked for.
    """
    values = {name: SIZES[name](space, genotype) for name in names if name in SIZES}
    if drawn := [name for name in names if name in SCORES]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = attach(sized.build(genotype))
            initialise(network, init)
        for name in drawn:
            images, labels = (part[: most or MANY.get(name, USUAL)] for part in batch)
            values[name] = SCORES[name](network, images, labels, torch.Generator().manual_seed(seed))
    return {name: values[name] for name in names}
