"""What layers cost, from formulas: parameters, multiply-accumulates, elements passed. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Literal, get_args

from frugalnas.core import InputError, nearest
from frugalnas.layers import plan
from frugalnas.layers.plan import Layers, Shape

Convention = Literal["conv_linear", "nsganet", "dna"]
Row = tuple[int, ...]  # the values of a Count: rows add up faster than counts
FLOAT_BYTES = 4
INTEGER_BYTES = 8


@dataclass(frozen=True, slots=True)
class Count:
    """The size of a network and the work of one inference of one image; every field is a plain count.

    `params`: learned numbers. `buffers`: running means and variances. `norms`: BatchNorm layers, each of which also
    stores one 64-bit step counter. `macs`: multiply-accumulates of convolutions and linear layers (a bias adds none).
    `batch_norm`: elements normalised. `relu`: elements rectified. `pool`: elements read by pooling, the global
    pooling included. `add`: elements of sums of two maps. `gate`: elements that gates scale, and of their sigmoids.
    """

    params: int = 0
    buffers: int = 0
    norms: int = 0
    macs: int = 0
    batch_norm: int = 0
    relu: int = 0
    pool: int = 0
    add: int = 0
    gate: int = 0

    def __add__(self, other: Count) -> Count:
        return total(self, other)

    def __mul__(self, times: int) -> Count:
        return Count(*(times * value for value in self.values()))

    def values(self) -> Row:
        """The fields in their order."""
        return (
            *(self.params, self.buffers, self.norms, self.macs),
            *(self.batch_norm, self.relu, self.pool, self.add, self.gate),
        )

    @property
    def model_bytes(self) -> int:
        """Bytes of the tensors of the float32 state dictionary."""
        return FLOAT_BYTES * (self.params + self.buffers) + INTEGER_BYTES * self.norms

    def macs_by(self, convention: Convention = "conv_linear") -> int:
        """Multiply-accumulates as different papers count them.

        "conv_linear": convolutions and linear layers (DARTS, PNAS, EEEA-Net and most others). "nsganet": also 2 per
        element of a BatchNorm, 1 per element of a ReLU, 1 per element that pooling reads (NSGA-Net's counter).
        "dna": also 2 per element of a BatchNorm (DNA, and UnNAS' 538 M for DARTS_V2). Unknown: InputError.
        """
        return self.macs + sum(_WEIGHTS[check_convention(convention)].get(name, 0) * n for name, n in self._elements())

    def not_counted(self, convention: Convention = "conv_linear") -> dict[str, int]:
        """Elements by kind of layer, where there are any, that the convention leaves out of the MACs."""
        counted = _WEIGHTS[check_convention(convention)]
        return {name: elements for name, elements in self._elements() if elements and name not in counted}

    def _elements(self) -> tuple[tuple[str, int], ...]:
        return tuple((name, getattr(self, name)) for name in ("batch_norm", "relu", "pool", "add", "gate"))


_WEIGHTS: dict[str, dict[str, int]] = {
    "conv_linear": {},
    "nsganet": {"batch_norm": 2, "relu": 1, "pool": 1},
    "dna": {"batch_norm": 2},
}


def check_convention(convention: str) -> str:
    """The name itself, or InputError with the nearest known one."""
    if convention not in _WEIGHTS:
        raise InputError(f"unknown convention {convention!r}: {nearest(convention, get_args(Convention))}")
    return convention


def total(*counts: Count) -> Count:
    """The sum of counts."""
    return sum_of(count.values() for count in counts)


def sum_of(rows: Iterable[Row]) -> Count:
    """The sum of the rows of counts."""
    return Count(*map(sum, zip(*rows, strict=True)))


def shape_after(layers: Layers, shape: Shape) -> Shape:
    """The shape (C, H, W) that layers make of `shape`."""
    for layer in layers:
        shape = _shape(layer, shape)
    return shape


@lru_cache(maxsize=1 << 14)
def count(layers: Layers, shape: Shape) -> Count:
    """The cost of layers that run one after another on one image of `shape` (C, H, W)."""
    counts = [Count()]
    for layer in layers:
        counts.append(_count(layer, shape))
        shape = _shape(layer, shape)
    return total(*counts)


def _span(size: int, kernel: int, stride: int, padding: int, dilation: int = 1, ceil: bool = False) -> int:
    return (size + 2 * padding - dilation * (kernel - 1) - 1 + (stride - 1) * ceil) // stride + 1


def _shape(layer: plan.Layer, shape: Shape) -> Shape:
    channels, height, width = shape
    match layer:
        case plan.Conv(_, outputs, (kernel_v, kernel_h), (stride_v, stride_h), dilation):
            pad_v, pad_h = layer.padding
            vertical = _span(height, kernel_v, stride_v, pad_v, dilation)
            return outputs, vertical, _span(width, kernel_h, stride_h, pad_h, dilation)
        case plan.MaxPool(kernel, stride, padding) | plan.AvgPool(kernel, stride, padding):
            ceil = isinstance(layer, plan.MaxPool) and layer.ceil
            vertical, horizontal = (_span(size, kernel, stride, padding, ceil=ceil) for size in (height, width))
            return channels, vertical, horizontal
        case plan.AdaptivePool(side):
            return channels, side, side
        case plan.Zero(stride):
            return channels, -(-height // stride), -(-width // stride)
        case plan.Shift(fill):
            bottom, right = (height % 2, width % 2) if fill else (0, 0)
            return channels, height - 1 + bottom, width - 1 + right
        case plan.Take(taken):
            return taken, height, width
        case plan.Pad(added):
            return channels + added, height, width
        case plan.Flatten():
            return prod(shape), 1, 1
        case plan.Linear(_, outputs):
            return outputs, 1, 1
        case plan.Parallel(branches):
            shapes = [shape_after(branch, shape) for branch in branches]
            return sum(each[0] for each in shapes), *shapes[0][1:]
        case plan.BatchNorm() | plan.ReLU() | plan.Sigmoid() | plan.Residual() | plan.Gate():
            return shape


def _count(layer: plan.Layer, shape: Shape) -> Count:
    elements = prod(shape)
    match layer:
        case plan.Conv(inputs, outputs, kernel, _, _, groups):
            weights = outputs * (inputs // groups) * prod(kernel)
            return Count(params=weights, macs=weights * prod(_shape(layer, shape)[1:]))
        case plan.BatchNorm(channels):
            return Count(params=2 * channels, buffers=2 * channels, norms=1, batch_norm=elements)
        case plan.ReLU():
            return Count(relu=elements)
        case plan.MaxPool() | plan.AvgPool() | plan.AdaptivePool():
            return Count(pool=elements)
        case plan.Linear(inputs, outputs):
            return Count(params=(inputs + 1) * outputs, macs=inputs * outputs)
        case plan.Residual(layers):
            return count(layers, shape) + Count(add=elements)
        case plan.Gate(layers):
            return count(layers, shape) + Count(gate=elements)
        case plan.Sigmoid():
            return Count(gate=elements)
        case plan.Parallel(branches):
            return total(*(count(branch, shape) for branch in branches))
        case plan.Shift() | plan.Take() | plan.Pad() | plan.Zero() | plan.Flatten():
            return Count()
