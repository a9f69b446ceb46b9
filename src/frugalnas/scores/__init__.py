"""What an untrained network promises: scores that need one batch of images and no training.

A score is a function of a network, a batch and a generator for what it draws: `images` float and normalised, of shape
(N, C, H, W), `labels` int64 (N,). Larger is better, as published. It leaves the network as it was, with its weights,
gradients and mode. It may be infinite or no number, of a network without a path from image to output for instance; it
never raises for that.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from frugalnas.scores.az import az_expressivity, az_nas, az_progressivity, az_trainability
from frugalnas.scores.codes import naswot, swap
from frugalnas.scores.gradient import fisher, grad_norm, grasp, snip, zico
from frugalnas.scores.meco import meco
from frugalnas.scores.sensitivity import jacob_cov, synflow, zen
from frugalnas.scores.spanned import effective_rank, freedom, log_determinant

__all__ = ["MANY", "SCORES", "USUAL", "Score", "az_nas"]

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
USUAL = 64  # images that a score looks at, as in most papers
MANY = dict.fromkeys(("freedom", "log_determinant", "effective_rank"), 512)  # where that is too few
