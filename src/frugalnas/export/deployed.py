"""The network as it is exported: pixels in, batch normalisation folded into convolutions, a fixed size of the maps.

Where no convolution goes before a batch normalisation, as at the start of a node, it stays what it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import fuse_conv_bn_eval

from frugalnas.layers.depthwise import DepthwiseConv2d
from frugalnas.layers.ops import Parallel, Shift
from frugalnas.model import Model
from frugalnas.tasks.augment import Normalise

Sizes = Mapping[nn.Module, tuple[int, int]]  # (H, W) of what a module gets


class Deployed(nn.Module):
    """float32 pixels (N, C, H, W) from 0 to 255 -> logits (N, classes)."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, normalise: Normalise) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", 255 * normalise.mean.cpu()[:, None, None])  # (C, 1, 1)
        self.register_buffer("std", 255 * normalise.std.cpu()[:, None, None])  # (C, 1, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.network((pixels - self.mean) / self.std)
        return logits


class FixedShift(nn.Module):
    """`layers.ops.Shift` for maps of one size, without a decision for exporters to trace."""

    def __init__(self, shift: Shift, size: tuple[int, int]) -> None:
        super().__init__()
        self.border = (0, size[1] % 2, 0, size[0] % 2) if shift.fill else (0, 0, 0, 0)

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, 1:, 1:]
        return F.pad(x, self.border) if any(self.border) else x


class ScaledMean(nn.Module):
    """Average pooling that leaves padding out of the mean, for maps of one size: zeros count and are scaled away."""

    scale: Tensor

    def __init__(self, pool: nn.AvgPool2d, size: tuple[int, int]) -> None:
        super().__init__()
        self.window = int(pool.kernel_size), int(pool.stride), int(pool.padding)  # type: ignore[arg-type]
        self.register_buffer("scale", 1 / F.avg_pool2d(torch.ones(1, 1, *size), *self.window))  # (1, 1, H', W')

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, *self.window) * self.scale


def deployed(model: Model, scaled_means: bool = False) -> Deployed:
    """A copy of the model's network, in evaluation mode, whose logits are the same up to rounding.

    `scaled_means`: average pooling of stride 2 as `ScaledMean`, for runtimes that have no other.
    """
    network = deepcopy(model.network).to(memory_format=torch.contiguous_format)
    network.auxiliary = None  # type: ignore[assignment]  # which only training uses
    network = _folded(network, _sizes(network, model.shape), scaled_means)
    return Deployed(network, model.normalise).eval().requires_grad_(False)


def _sizes(network: nn.Module, shape: tuple[int, int, int]) -> Sizes:
    sizes: dict[nn.Module, tuple[int, int]] = {}

    def note(module: nn.Module, inputs: tuple[Tensor]) -> None:
        sizes[module] = int(inputs[0].shape[2]), int(inputs[0].shape[3])

    noted = [module for module in network.modules() if isinstance(module, Shift | nn.AvgPool2d)]
    hooks = [module.register_forward_pre_hook(note) for module in noted]
    with torch.inference_mode():
        network(torch.zeros(1, *shape))
    for hook in hooks:
        hook.remove()
    return sizes


def _folded(module: nn.Module, sizes: Sizes, scaled_means: bool) -> nn.Module:
    match module:
        case DepthwiseConv2d():
            return _plain(module)
        case Shift():
            return FixedShift(module, sizes[module])
        case nn.AvgPool2d() if scaled_means and module.stride != 1:
            return ScaledMean(module, sizes[module])
        case nn.Sequential():
            layers: list[nn.Module] = []
            for layer in module:
                if isinstance(layer, nn.BatchNorm2d) and layers and not isinstance(layers[-1], nn.ReLU):
                    layers.append(_merged(layers.pop(), layer))
                else:
                    layers.append(_folded(layer, sizes, scaled_means))
            return nn.Sequential(*layers)
        case _:
            for name, child in module.named_children():
                module.register_module(name, _folded(child, sizes, scaled_means))
            return module


def _plain(depthwise: DepthwiseConv2d) -> nn.Conv2d:
    channels, _, kernel, _ = depthwise.weight.shape
    stride, dilation = depthwise.stride, depthwise.dilation
    padding = dilation * (kernel // 2)
    result = nn.Conv2d(channels, channels, kernel, stride, padding, dilation, channels, bias=False).eval()
    result.weight = depthwise.weight
    return result


def _merged(layer: nn.Module, norm: nn.BatchNorm2d) -> nn.Module:
    """One layer that does what a convolution, or several in parallel, and the batch normalisation after it do."""
    match layer:
        case nn.Conv2d():
            return fuse_conv_bn_eval(layer, norm)
        case nn.Sequential():
            return nn.Sequential(*layer[:-1], _merged(layer[-1], norm))
        case Parallel():
            widths = [branch[-1].out_channels for branch in layer.branches]  # type: ignore[index]
            norms = [_part(norm, sum(widths[:place]), width) for place, width in enumerate(widths)]
            return Parallel([_merged(branch, part) for branch, part in zip(layer.branches, norms, strict=True)])
        case _:
            raise TypeError(f"batch normalisation after {type(layer).__name__}")


def _part(norm: nn.BatchNorm2d, start: int, width: int) -> nn.BatchNorm2d:
    """The batch normalisation of `width` of the channels."""
    result = nn.BatchNorm2d(width, norm.eps)
    state = norm.state_dict()
    result.load_state_dict({name: each[start : start + width] if each.ndim else each for name, each in state.items()})
    return result.eval()
