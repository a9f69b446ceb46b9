"""AZ-NAS: expressivity, progressivity and trainability of the blocks, and their aggregate over a population.

Lee, Ham: "AZ-NAS: Assembling Zero-Cost Proxies for Network Architecture Search", CVPR 2024, arXiv 2403.19232. The maps
x_l that the blocks of a network (the stem, then its cells) give for images of noise:

- expressivity of a block: the entropy of the eigenvalues, as shares of their sum, of the covariance of the channels of
  x_l over pixels; of a network: the sum over its blocks.
- progressivity: the least difference of the expressivity of a block and that of the block before.
- trainability: the mean over blocks but the first of -s - 1/s + 2, where s is the spectral norm of the mean over pixels
  of g_in g_out^T; g_out is -1 or 1 at random, g_in what goes backward through the block. At best 0, where s = 1.
- az_nas: over a population of m networks, the sum over components, the fourth of which are the MACs, of log(rank / m).

Differences from the paper
- The weights are those that the network has; the released code draws them by He's normal initialisation (fan in).
- A cell that passes its input on is no block. (The code counts it, with trainability -inf.)
- Blocks are those that `network.blocks` gives. Where a map is smaller by a factor that does not divide the one before,
  that one's gradient is padded with zeros.
- Of a cell that does not read the output of the one before, as may be where cells read two, there is no s: it is left
  out of the mean. Without any s the trainability is -inf.
- A network with a map that does not vary has expressivity and progressivity -inf, as in the code.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor, nn
from torch.nn import functional as F

from frugalnas.scores.probe import gaussian, probe

TINY = 1e-8  # in the logarithm of the entropy, as in the released code
LEAST = 1e-6  # added to the spectral norm that 1 is divided by, as there


def az_expressivity(network: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> float:
    """In how many directions the maps of the blocks vary, summed over blocks; -inf where one does not vary."""
    return sum(expressivities(network, images, generator))


def az_progressivity(network: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> float:
    """The least growth of expressivity from block to block; -inf where a map does not vary."""
    found = expressivities(network, images, generator)
    if -math.inf in found:
        return -math.inf
    return min((after - before for before, after in itertools.pairwise(found)), default=0.0)


def az_trainability(network: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> float:
    """How near to 1 the factors are by which blocks scale what goes backward through them: 0 is best."""
    subject = probe(network)
    maps: list[Tensor] = subject.blocks(gaussian(images, generator))  # type: ignore[operator]
    found = []
    for before, after in itertools.pairwise(maps):
        signs = torch.randint(0, 2, after.shape, generator=generator, device=generator.device).to(after) * 2 - 1
        inner = _backward(before, after, signs)
        if inner is not None:
            norm = spectral_norm(inner, signs)
            found.append(-norm - 1 / (norm + LEAST) + 2)
    return sum(found) / len(found) if found else -math.inf


def az_nas(components: NDArray[np.float64]) -> NDArray[np.float64]:
    """The aggregate (n,) of the components (n, 4) of a population: expressivity, progressivity, trainability, MACs.

    Larger is better, as for each component. Equal values share the mean of their ranks; what is no number comes last.
    A rating of networks among each other: it changes with the population.
    """
    known = np.where(np.isnan(components), -np.inf, components)
    result: NDArray[np.float64] = np.log(rankdata(known, axis=0) / len(known)).sum(axis=1)
    return result


def expressivities(network: nn.Module, images: Tensor, generator: torch.Generator) -> list[float]:
    """The expressivity of each block."""
    subject = probe(network)
    with torch.no_grad():
        maps: list[Tensor] = subject.blocks(gaussian(images, generator))  # type: ignore[operator]
        return [entropy(_pixels(each)) for each in maps]


def entropy(points: Tensor) -> float:
    """That of the shares of the principal components in the variance of `points` (n, D), in nats; -inf without any."""
    centred = (points - points.mean(0)).double()
    covariance = centred.T @ centred / len(centred)
    if not covariance.isfinite().all():
        return math.nan
    values = torch.linalg.eigvalsh(covariance).clamp(min=0)
    if not values.sum() > 0:
        return -math.inf
    shares = values / values.sum()
    return -float((shares * (shares + TINY).log()).sum())


def spectral_norm(inner: Tensor, outer: Tensor) -> float:
    """The largest singular value of the mean over pixels of `inner` x `outer`, gradients (N, C, H, W) and (N, D, h, w).

    A larger map is folded to the size of the other, its pixels under one of the other as so many channels.
    """
    stride = math.ceil(inner.shape[2] / outer.shape[2])
    height, width = outer.shape[2] * stride - inner.shape[2], outer.shape[3] * stride - inner.shape[3]
    folded = F.pixel_unshuffle(F.pad(inner, (0, width, 0, height)), stride)
    rows, columns = _pixels(folded), _pixels(outer)
    product = (rows.T @ columns).double() / len(columns)
    return float(torch.linalg.svdvals(product)[0]) if product.isfinite().all() else math.nan


def _backward(before: Tensor, after: Tensor, signs: Tensor) -> Tensor | None:
    """What `signs` are before the block that made `after` of `before`; None where it did not."""
    if not (before.requires_grad and after.requires_grad):
        return None
    return torch.autograd.grad(after, before, signs, allow_unused=True)[0]


def _pixels(maps: Tensor) -> Tensor:
    return maps.permute(0, 2, 3, 1).flatten(0, 2)  # (N H W, C)
