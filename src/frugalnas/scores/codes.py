"""Scores from which ReLUs pass and which do not: NASWOT and SWAP.

NASWOT. Mellor, Turner, Storkey, Crowley: "Neural Architecture Search without Training", ICML 2021, arXiv 2006.04647.
The code of an image has a bit for each unit of each ReLU: whether it passes. K_H holds for each pair of images in how
many units their codes agree; the score is log |det K_H|.

SWAP. Peng, Song, Fayek, Ciesielski, Chang: "SWAP-NAS: Sample-Wise Activation Patterns for Ultra-fast NAS", ICLR 2024,
arXiv 2403.04161. The pattern of a unit has a bit for each image: whether it passes; the score is the number of
different patterns. Regularised, it is multiplied by exp(-(params - mu)^2 / sigma).

Differences from the papers: ReLUs that do not run are not counted. (NASWOT's code also leaves out those that the loss
does not depend on; here only those do not run.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from frugalnas.scores.probe import probe


def naswot(network: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> float:
    """How well the images are told apart by the codes of the ReLUs; -inf where two have the same code."""
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64)

    def add(code: Tensor) -> None:
        bits = code.float()
        kernel.add_((bits @ bits.T + (1 - bits) @ (1 - bits).T).cpu())

    for_each_code(network, images, add)
    return float(torch.linalg.slogdet(kernel).logabsdet)


def swap(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    generator: torch.Generator,
    mu: float | None = None,
    sigma: float | None = None,
) -> float:
    """How many different patterns over the images the units of the ReLUs have.

    With `mu` and `sigma` regularised: a size to aim at, in parameters, and how fast the score falls away from it.
    """
    different = len(patterns(network, images))
    if mu is None or sigma is None:
        return float(different)
    params = sum(parameter.numel() for parameter in network.parameters())
    return float(different * np.exp(-((params - mu) ** 2) / sigma))


def patterns(network: nn.Module, images: Tensor) -> NDArray[np.uint64]:
    """The different patterns of the units, each the bits of all images in words of 64: (patterns, ceil(N / 64))."""
    words = [np.empty((0, -(-len(images) // 64)), np.uint64)]

    def add(code: Tensor) -> None:
        packed = np.packbits(code.cpu().numpy(), axis=0)  # (ceil(N / 8), units)
        padded = np.pad(packed, ((0, -len(packed) % 8), (0, 0)))
        words.append(np.ascontiguousarray(padded.T).view(np.uint64))

    for_each_code(network, images, add)
    joined = np.concatenate(words)
    return np.unique(joined)[:, None] if joined.shape[1] == 1 else np.unique(joined, axis=0)


def for_each_code(network: nn.Module, images: Tensor, use: Callable[[Tensor], None]) -> None:
    """Hand on, as each ReLU runs, which of its units pass for which image: bool (N, units)."""
    subject = probe(network)
    for module in subject.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda _module, _inputs, output: use((output > 0).flatten(1)))
    with torch.no_grad():
        subject(images)
