"""Fresh weights for the convolutions of a network, as published methods that never train them draw them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

Init = Literal["kaiming_normal", "kaiming_uniform", "xavier", "orthogonal", "default"]


@torch.no_grad()
def _orthogonal(weight: Tensor) -> Tensor:
    """Torch's own takes no weight in channels-last order."""
    return weight.copy_(nn.init.orthogonal_(torch.empty(weight.shape)))


INITS: dict[str, Callable[[Tensor], Tensor]] = {
    "kaiming_normal": partial(nn.init.kaiming_normal_, mode="fan_out", nonlinearity="relu"),
    "kaiming_uniform": partial(nn.init.kaiming_uniform_, mode="fan_out", nonlinearity="relu"),
    "xavier": nn.init.xavier_normal_,
    "orthogonal": _orthogonal,
}


def initialise(model: nn.Module, init: Init) -> None:
    """Draw the weights of all convolutions anew, from torch's global generator; "default" keeps those it has."""
    if init == "default":
        return
    for parameter in model.parameters():
        if parameter.ndim == 4:  # (out, in / groups, k, k): a convolution's, whatever its class
            INITS[init](parameter)


def draw_seed(seed: int, draw: int) -> int:
    """The seed of one draw of the weights: a non-negative integer below 2**63."""
    return int(np.random.SeedSequence(seed, spawn_key=(draw,)).generate_state(1, np.uint64)[0] >> 1)
