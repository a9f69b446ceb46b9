"""Operations and cells as plain data: the one definition that networks, counters and exporters read.

An operation is a tuple of primitive layers, frozen values that need no torch. `layers.ops` turns them into modules,
`layers.cost` into counts and `layers.memory` into bytes, so that these cannot diverge. States of a cell are numbered
as in DARTS (Liu et al., ICLR 2019): 0 is the output of cell k-2, 1 that of cell k-1 (both pre-processed), 2 + b is
block b.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Shape = tuple[int, int, int]  # (C, H, W) of one image
Pair = tuple[int, int]  # vertical, horizontal


@dataclass(frozen=True, slots=True)
class Conv:
    """2-d convolution without bias, padded to keep the size of odd kernels (a 2x2 kernel is not padded)."""

    inputs: int
    outputs: int
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    dilation: int = 1
    groups: int = 1

    @property
    def padding(self) -> Pair:
        return self.dilation * (self.kernel[0] - 1) // 2, self.dilation * (self.kernel[1] - 1) // 2


@dataclass(frozen=True, slots=True)
class BatchNorm:
    """Affine batch normalisation with running statistics."""

    channels: int


@dataclass(frozen=True, slots=True)
class ReLU:
    """In place only where nobody else reads the input."""

    in_place: bool = False


@dataclass(frozen=True, slots=True)
class MaxPool:
    """Max pooling; with `ceil` also of a last window that is not full."""

    kernel: int
    stride: int
    padding: int = 0
    ceil: bool = False


@dataclass(frozen=True, slots=True)
class AvgPool:
    """Average pooling; padding is left out of the mean."""

    kernel: int
    stride: int
    padding: int = 0


@dataclass(frozen=True, slots=True)
class AdaptivePool:
    """Average pooling to `side` x `side`."""

    side: int


@dataclass(frozen=True, slots=True)
class Shift:
    """Drop the first row and column. With `fill` odd sides get one of zeros at the end, so that stride 2 fits."""

    fill: bool = True


@dataclass(frozen=True, slots=True)
class Take:
    """The first channels."""

    channels: int


@dataclass(frozen=True, slots=True)
class Pad:
    """So many channels of zeros behind the others."""

    channels: int


@dataclass(frozen=True, slots=True)
class Zero:
    """Zeros of the size that a stride leaves."""

    stride: int


@dataclass(frozen=True, slots=True)
class Flatten:
    pass


@dataclass(frozen=True, slots=True)
class Linear:
    """Fully connected layer with bias."""

    inputs: int
    outputs: int


@dataclass(frozen=True, slots=True)
class Sigmoid:
    pass


@dataclass(frozen=True, slots=True)
class Residual:
    """x + layers(x)."""

    layers: Layers


@dataclass(frozen=True, slots=True)
class Gate:
    """x * layers(x), where the layers give one number for each channel."""

    layers: Layers


@dataclass(frozen=True, slots=True)
class Parallel:
    """The outputs of all branches on the same input, concatenated along the channels."""

    branches: tuple[Layers, ...]


Pool = MaxPool | AvgPool | AdaptivePool
Layer = (
    Conv | BatchNorm | ReLU | Sigmoid | Pool | Shift | Take | Pad | Zero | Flatten | Linear | Residual | Gate | Parallel
)
Layers = tuple[Layer, ...]  # run one after another; () is the identity


def projection(inputs: int, outputs: int, stride: int = 1) -> Layers:
    """ReLU, 1x1 convolution, BatchNorm: how a cell brings an input to its own width."""
    return ReLU(), Conv(inputs, outputs, stride=(stride, stride)), BatchNorm(outputs)


def factorised_reduction(inputs: int, outputs: int) -> Layers:
    """Halve the size without losing every other pixel: two 1x1 stride-2 convolutions, one on the shifted input.

    For even sides and widths this is the definition of DARTS; odd sides round up, odd widths give the second
    branch one channel more.
    """
    half = outputs // 2
    branches = (
        (Conv(inputs, half, stride=(2, 2)),),
        (Shift(), Conv(inputs, outputs - half, stride=(2, 2))),
    )
    return ReLU(), Parallel(branches), BatchNorm(outputs)


def classifier(channels: int, classes: int) -> Layers:
    """From the last map to the logits: the mean over its pixels, and a linear layer."""
    return AdaptivePool(1), Flatten(), Linear(channels, classes)


def squeeze_excitation(channels: int, hidden: int) -> Layers:
    """Scale every channel by what two layers make of the means of all (Hu et al., CVPR 2018), here without biases."""
    pair = Conv(channels, hidden), ReLU(in_place=True), Conv(hidden, channels)
    return (Gate((AdaptivePool(1), *pair, Sigmoid())),)


def _skip(channels: int, stride: int) -> Layers:
    return () if stride == 1 else factorised_reduction(channels, channels)


def _max_pool_2x2(channels: int, stride: int) -> Layers:
    """Windows that begin in every pixel, or in every other one, and may reach over the last row and column."""
    return (MaxPool(2, 2, ceil=True),) if stride == 2 else (MaxPool(2, 1, 1), Shift(fill=False))


def _depthwise(channels: int, kernel: int, stride: int, dilation: int = 1) -> Conv:
    return Conv(channels, channels, (kernel, kernel), (stride, stride), dilation, channels)


def _separable(channels: int, kernel: int, stride: int, dilation: int = 1) -> Layers:
    depthwise = [_depthwise(channels, kernel, each, dilation) for each in (stride, 1)]
    first = (ReLU(), depthwise[0], Conv(channels, channels), BatchNorm(channels))
    second = (ReLU(in_place=True), depthwise[1], Conv(channels, channels), BatchNorm(channels))
    return first + second


def _dilated(channels: int, kernel: int, stride: int) -> Layers:
    return ReLU(), _depthwise(channels, kernel, stride, dilation=2), Conv(channels, channels), BatchNorm(channels)


def _crossed(channels: int, kernel: int, stride: int) -> Layers:
    across = Conv(channels, channels, (1, kernel), (1, stride))
    down = Conv(channels, channels, (kernel, 1), (stride, 1))
    return ReLU(), across, down, BatchNorm(channels)


def _bottleneck(channels: int, stride: int, kernels: tuple[Pair, ...]) -> Layers:
    """Convolutions at a quarter of the width, as AmoebaNet's released code has them for the names 3x3 and 1x7_7x1.

    Each kernel takes the stride in the directions in which it extends. Widths that 4 does not divide round up.
    """
    width = (channels + 3) // 4
    layers = projection(channels, width)
    for kernel in kernels:
        vertical, horizontal = (stride if size > 1 else 1 for size in kernel)
        layers += ReLU(in_place=True), Conv(width, width, kernel, (vertical, horizontal)), BatchNorm(width)
    return *layers, ReLU(in_place=True), Conv(width, channels), BatchNorm(channels)


def _inverted_residual(channels: int, kernel: int, stride: int) -> Layers:
    """EEEA-Net's block: pre-activated, expansion ratio 1 as in the released code (figure 2 of the paper draws more)."""
    layers = (
        *projection(channels, channels),
        *(ReLU(in_place=True), _depthwise(channels, kernel, stride), BatchNorm(channels)),
        *(Conv(channels, channels), BatchNorm(channels)),
    )
    return (Residual(layers),) if stride == 1 else layers


OPERATIONS: dict[str, Callable[[int, int], Layers]] = {
    "none": lambda channels, stride: (Zero(stride),),
    "max_pool_3x3": lambda channels, stride: (MaxPool(3, stride, 1),),
    "avg_pool_3x3": lambda channels, stride: (AvgPool(3, stride, 1),),
    "skip_connect": _skip,
    "sep_conv_3x3": lambda channels, stride: _separable(channels, 3, stride),
    "sep_conv_5x5": lambda channels, stride: _separable(channels, 5, stride),
    "sep_conv_7x7": lambda channels, stride: _separable(channels, 7, stride),
    "dil_conv_3x3": lambda channels, stride: _dilated(channels, 3, stride),
    "dil_conv_5x5": lambda channels, stride: _dilated(channels, 5, stride),
    "conv_7x1_1x7": lambda channels, stride: _crossed(channels, 7, stride),
    "max_pool_2x2": _max_pool_2x2,
    "dil_2_sep_conv_5x5": lambda channels, stride: _separable(channels, 5, stride, dilation=2),
    "conv_1x1": lambda channels, stride: projection(channels, channels, stride),
    "bottleneck_3x3": lambda channels, stride: _bottleneck(channels, stride, ((3, 3),)),
    "bottleneck_1x7_7x1": lambda channels, stride: _bottleneck(channels, stride, ((1, 7), (7, 1))),
    "inv_res_3x3": lambda channels, stride: _inverted_residual(channels, 3, stride),
    "inv_res_5x5": lambda channels, stride: _inverted_residual(channels, 5, stride),
}
"""Every operation by name: (channels, stride) -> layers that keep the channels. The order has no meaning."""

Edge = tuple[str, int]  # operation, state it reads


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell as published: per block its (operation, state) edges, and the states whose concatenation is the output."""

    blocks: tuple[tuple[Edge, ...], ...]
    concat: tuple[int, ...]


def edges(block: tuple[Edge, ...]) -> tuple[Edge, ...]:
    """What a block really adds up: `none` reads nothing; a block of nothing but `none` is zeros of state 0's size."""
    return tuple(edge for edge in block if edge[0] != "none") or (("none", 0),)


def released(cell: Cell) -> tuple[tuple[int, ...], ...]:
    """States that nobody needs any more: entry b before block b runs, the last entry before the concatenation."""
    last = {0: -1, 1: -1}
    for number, block in enumerate(cell.blocks):
        last |= {state: number for _, state in edges(block)} | {2 + number: number}
    done = {state: number for state, number in last.items() if state not in cell.concat}
    return tuple(
        tuple(state for state, number in done.items() if number == turn - 1) for turn in range(len(cell.blocks) + 1)
    )
