"""MeCo: how independent the channels of each map are, for one image of noise.

Jiang, Wang, Bie: "MeCo: Zero-Shot NAS with One Data and Single Forward Pass via Minimum Eigenvalue of Correlation",
NeurIPS 2023: the sum over layers of the least eigenvalue of the Pearson correlation matrix of the layer's channels,
each of them a vector of pixels.

Differences from the paper
- Layers are what has no layers inside and gives maps of several channels. (The released code also looks at modules that
  only hold others, and so counts their last layers again.)
- The noise has the size of the images; the code's has 64 pixels a side. A layer of more channels than pixels counts
  0: its matrix is singular.
- A correlation with a constant channel is 0, as in the code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from frugalnas.scores.probe import gaussian, probe


def meco(network: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> float:
    """The sum over layers of the least eigenvalue of the correlation of their channels."""
    subject = probe(network)
    least: list[float] = []

    def note(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        if output.ndim == 4 and output.shape[1] > 1 and output[0, 0].numel() > 1:
            least.append(least_eigenvalue(output[0].flatten(1)))

    for module in subject.modules():
        if not [*module.children()]:
            module.register_forward_hook(note)
    with torch.no_grad():
        subject(gaussian(images[:1], generator))
    return sum(least)


def least_eigenvalue(channels: Tensor) -> float:
    """That of the correlation matrix of `channels` (C, pixels), which is singular unless there are more pixels."""
    if len(channels) >= channels.shape[1]:
        return 0.0
    correlation = torch.corrcoef(channels.double()).nan_to_num(0, 0, 0)  # (C, C)
    return float(torch.linalg.eigvalsh(correlation)[0])
