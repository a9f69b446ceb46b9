"""What an untrained network promises: scores that need one batch of images and no training.

A score is a function of a network, a batch and a generator for what it draws: `images` float and normalised, of shape
(N, C, H, W), `labels` int64 (N,). Larger is better, as published. It leaves the network as it was, with its weights,
gradients and mode. It may be infinite or no number, of a network without a path from image to output for instance; it
never raises for that.

`scores.rating` has the functions; here are their names, which need no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from frugalnas.core import Genotype, InputError, nearest
from frugalnas.objectives import count

NAMES = (
    "grad_norm",
    "snip",
    "grasp",
    "fisher",
    "zico",
    "jacob_cov",
    "synflow",
    "zen",
    "naswot",
    "swap",
    "meco",
    "az_expressivity",
    "az_progressivity",
    "az_trainability",
    "freedom",
    "log_determinant",
    "effective_rank",
)
USUAL = 64  # images that a score looks at, as in most papers
MANY = dict.fromkeys(("freedom", "log_determinant", "effective_rank"), 512)  # where that is too few
BATCH = max(USUAL, *MANY.values())  # images of which every score takes what is usual for it

# More is better, as both are used in the field; by names of their own, as the costs `params` and `macs` are minimised.
SIZES: dict[str, Callable[[Any, Genotype], float]] = {"more_params": count.params, "more_macs": count.macs}


def check_scores(names: Sequence[str], where: str) -> None:
    """Raise InputError, which begins with `where`, for no name, a name that stands there twice, and one of no score."""
    for name in names:
        if name == "az_nas":
            raise InputError(
                "az_nas ranks the networks of a population, one alone has none: ask for its components "
                "az_expressivity, az_progressivity, az_trainability, more_macs"
            )
        if name not in NAMES and name not in SIZES:
            raise InputError(f"unknown score {name!r}: {nearest(name, [*NAMES, *SIZES])}")
    if not names or len(set(names)) < len(names):
        raise InputError(f"{where} = {', '.join(names)}: expected one or more, none of them twice")
