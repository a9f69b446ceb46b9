"""Several scores of one network, which is built and initialised once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from frugalnas.core import Genotype, InputError, Space, nearest
from frugalnas.layers.initialise import Init, initialise
from frugalnas.objectives import count
from frugalnas.scores import MANY, SCORES, USUAL

# More is better, as both are used in the field; by names of their own, as the costs `params` and `macs` are minimised.
SIZES: dict[str, Callable[[Any, Genotype], float]] = {"more_params": count.params, "more_macs": count.macs}


BATCH = max(USUAL, *MANY.values())  # images of which every score takes what is usual for it


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


def check_scores(names: Sequence[str], where: str) -> None:
    """Raise InputError, which begins with `where`, for no name, a name that stands there twice, and one of no score."""
    for name in names:
        if name == "az_nas":
            raise InputError(
                "az_nas ranks the networks of a population, one alone has none: ask for its components "
                "az_expressivity, az_progressivity, az_trainability, more_macs"
            )
        if name not in SCORES and name not in SIZES:
            raise InputError(f"unknown score {name!r}: {nearest(name, [*SCORES, *SIZES])}")
    if not names or len(set(names)) < len(names):
        raise InputError(f"{where} = {', '.join(names)}: expected one or more, none of them twice")
