"""From layers as data to torch modules."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frugalnas.layers import plan
from frugalnas.layers.depthwise import DepthwiseConv2d


def module(layers: plan.Layers) -> nn.Module:
    """The layers as one module with freshly initialised weights (torch's defaults and global generator)."""
    if not layers:
        return nn.Identity()
    return nn.Sequential(*(_layer(layer) for layer in layers))


def _layer(layer: plan.Layer) -> nn.Module:
    match layer:
        case plan.Conv(inputs, outputs, (height, width), (stride, _), dilation, groups) if (
            inputs == outputs == groups > 1 and height == width
        ):
            return DepthwiseConv2d(groups, height, stride, dilation)
        case plan.Conv(inputs, outputs, kernel, stride, dilation, groups):
            return nn.Conv2d(inputs, outputs, kernel, stride, layer.padding, dilation, groups, bias=False)
        case plan.BatchNorm(channels):
            return nn.BatchNorm2d(channels)
        case plan.ReLU(in_place):
            return nn.ReLU(inplace=in_place)
        case plan.Sigmoid():
            return nn.Sigmoid()
        case plan.MaxPool(kernel, stride, padding, ceil):
            return nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil)
        case plan.AvgPool(kernel, stride, padding):
            return nn.AvgPool2d(kernel, stride, padding, count_include_pad=False)
        case plan.AdaptivePool(side):
            return nn.AdaptiveAvgPool2d(side)
        case plan.Shift(fill):
            return Shift(fill)
        case plan.Take(channels):
            return Take(channels)
        case plan.Pad(channels):
            return Pad(channels)
        case plan.Zero(stride):
            return Zero(stride)
        case plan.Flatten():
            return nn.Flatten()
        case plan.Linear(inputs, outputs):
            return nn.Linear(inputs, outputs)
        case plan.Residual(layers):
            return Residual(module(layers))
        case plan.Gate(layers):
            return Gate(module(layers))
        case plan.Parallel(branches):
            return Parallel([module(branch) for branch in branches])


class Shift(nn.Module):
    """Without the first row and column: (N, C, H, W) -> (N, C, H - 1, W - 1); `fill` pads odd sides to (N, C, H, W)."""

    def __init__(self, fill: bool = True) -> None:
        super().__init__()
        self.fill = fill

    def forward(self, x: Tensor) -> Tensor:
        bottom, right = x.shape[2] % 2, x.shape[3] % 2
        x = x[:, :, 1:, 1:]
        return F.pad(x, (0, right, 0, bottom)) if self.fill and (bottom or right) else x


class Take(nn.Module):
    """The first channels: (N, C, H, W) -> (N, channels, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return x[:, : self.channels]


class Pad(nn.Module):
    """Channels of zeros behind the others: (N, C, H, W) -> (N, C + channels, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, 0, 0, 0, self.channels))


class Zero(nn.Module):
    """(N, C, H, W) -> zeros (N, C, ceil(H / stride), ceil(W / stride))."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


class Residual(nn.Module):
    """x + layers(x)."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.layers(x)
        return x + result


class Gate(nn.Module):
    """x * layers(x), where the layers give a factor for each channel: (N, C, 1, 1)."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        factors: Tensor = self.layers(x)
        return x * factors


class Parallel(nn.Module):
    """The outputs of all branches, concatenated along the channels."""

    def __init__(self, branches: list[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


@dataclass(frozen=True)
class Drop:
    """The probability that drop-path has; and where the samples here are `before` or `after` those of other processes.

    Of a batch that several processes share each draws for all samples, so that every one has the fate that it would
    have in one process.
    """

    probability: float
    before: int = 0
    after: int = 0


def drop_path(x: Tensor, drop: Drop) -> Tensor:
    """Zero whole samples of `x` (N, C, H, W) by chance, scale the others up (Larsson et al. 2017)."""
    keep, n = 1.0 - drop.probability, len(x)
    mask = x.new_empty(drop.before + n + drop.after, 1, 1, 1).bernoulli_(keep)
    return x * mask[drop.before : drop.before + n].div_(keep)
