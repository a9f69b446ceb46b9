"""Fresh weights for the convolutions of a network, as published methods that never train them draw them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

Init = Literal["kaiming_normal", "kaiming_uniform", "xavier", "orthogonal", "default"]


def initialise(model: nn.Module, init: Init) -> None:
    """Draw the weights of all convolutions anew, from torch's global generator; "default" keeps those it has."""
    import torch
    from torch.nn.init import kaiming_normal_, kaiming_uniform_, orthogonal_, xavier_normal_

    def orthogonal(weight: Tensor) -> Tensor:
        """Torch's own takes no weight in channels-last order."""
        with torch.no_grad():
            return weight.copy_(orthogonal_(torch.empty(weight.shape)))

    draws: dict[str, Callable[[Tensor], Tensor]] = {
        "kaiming_normal": partial(kaiming_normal_, mode="fan_out", nonlinearity="relu"),
        "kaiming_uniform": partial(kaiming_uniform_, mode="fan_out", nonlinearity="relu"),
        "xavier": xavier_normal_,
        "orthogonal": orthogonal,
    }
    if init == "default":
        return
    for parameter in model.parameters():
        if parameter.ndim == 4:  # (out, in / groups, k, k): a convolution's, whatever its class
            draws[init](parameter)


def draw_seed(seed: int, draw: int) -> int:
    """The seed of one draw of the weights: a non-negative integer below 2**63."""
    return int(np.random.SeedSequence(seed, spawn_key=(draw,)).generate_state(1, np.uint64)[0] >> 1)
