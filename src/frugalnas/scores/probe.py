"""What the scores of an untrained network have in common: a copy to look into, its layers, its loss, its gradients."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frugalnas.layers.depthwise import DepthwiseConv2d


def probe(network: nn.Module) -> nn.Module:
    """A copy to experiment on, whose batch normalisations use the statistics of the batch at hand.

    The network at its top counts as evaluated, so that neither drop path nor an auxiliary head takes part. No ReLU
    works in place: what a layer gave stays what it was.
    """
    copy = deepcopy(network).requires_grad_(True).train()
    copy.training = False
    for module in copy.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return copy


def weighted(network: nn.Module) -> list[nn.Module]:
    """The convolutions and linear layers: those whose weights the published scores look at."""
    return [each for each in network.modules() if isinstance(each, nn.Conv2d | nn.Linear | DepthwiseConv2d)]


def weights(network: nn.Module) -> list[Tensor]:
    """The weights of the convolutions and linear layers, without biases and batch normalisations."""
    return [layer.weight for layer in weighted(network)]  # type: ignore[misc]


def loss(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The mean cross-entropy of a batch."""
    return F.cross_entropy(network(images), labels)


def gradients(value: Tensor, of: Sequence[Tensor], differentiable: bool = False) -> tuple[Tensor, ...]:
    """The gradient of a number by each of the tensors; zeros by those that it does not depend on.

    `differentiable`: so that it can be differentiated again.
    """
    if not value.requires_grad:
        return tuple(torch.zeros_like(each) for each in of)
    return torch.autograd.grad(value, of, create_graph=differentiable, allow_unused=True, materialize_grads=True)


def gaussian(images: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal pixels of the shape and on the device of `images`; drawn on the generator's device."""
    return torch.randn(images.shape, generator=generator, device=generator.device).to(images)
