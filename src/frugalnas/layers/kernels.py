"""Operations without gradients that one CPU core runs faster than torch's own; the values are theirs up to rounding.

All take maps (N, C, H, W) in channels-last order, where they are fast, and in any other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def max_pool(x: Tensor, kernel: int, stride: int, padding: int, ceil: bool) -> Tensor:
    """`F.max_pool2d` as two maxima of shifted maps, first along the columns and then along the rows."""
    if any(_outputs(side, kernel, stride, padding, ceil) != -(-side // stride) for side in x.shape[2:]):
        return F.max_pool2d(x, kernel, stride, padding, ceil_mode=ceil)  # some window lacks the pixel it starts from
    return _maximum(_maximum(x, 2, kernel, stride, padding), 3, kernel, stride, padding)


def _outputs(side: int, kernel: int, stride: int, padding: int, ceil: bool) -> int:
    return (side + 2 * padding - kernel + (stride - 1) * ceil) // stride + 1


def _maximum(x: Tensor, dim: int, kernel: int, stride: int, padding: int) -> Tensor:
    """The maximum along one dimension, from place `stride * i` of every window outwards."""
    side = x.shape[dim]
    result = _every(x, dim, 0, side, stride).clone(memory_format=torch.preserve_format)
    for offset in range(-padding, kernel - padding):
        first = max(0, -(offset // stride))  # the first and, below, the last window that has this pixel
        last = min(result.shape[dim] - 1, (side - 1 - offset) // stride)
        if offset and first <= last:
            part = result.narrow(dim, first, last - first + 1)
            start = first * stride + offset
            torch.maximum(part, _every(x, dim, start, last * stride + offset + 1, stride), out=part)
    return result


def _every(x: Tensor, dim: int, start: int, stop: int, step: int) -> Tensor:
    return x[:, :, start:stop:step] if dim == 2 else x[..., start:stop:step]


def avg_pool(x: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """`F.avg_pool2d` without the padding in the mean: a depthwise convolution, then borders that make up for zeros."""
    channels, sides = x.shape[1], x.shape[2:]
    if min(sides) + 2 * padding < kernel:
        return F.avg_pool2d(x, kernel, stride, padding, count_include_pad=False)
    weight = torch.full((channels, 1, kernel, kernel), 1 / kernel**2, dtype=x.dtype)
    result = F.conv2d(x, weight, None, stride, padding, 1, channels)
    for dim, side in enumerate(sides, start=2):
        for place in range(result.shape[dim]) if padding else ():
            start = place * stride - padding
            inside = min(side, start + kernel) - max(0, start)
            if inside < kernel:
                result.select(dim, place).mul_(kernel / inside)
    return result


def pointwise(maps: Sequence[Tensor], weights: Sequence[Tensor], bias: Tensor | None) -> Tensor:
    """The sum of 1x1 convolutions, each of a map (N, C_i, H, W) by weights (C_i, K), and bias (K,): (N, K, H, W)."""
    n, _, height, width = maps[0].shape
    rows = [x.permute(0, 2, 3, 1).reshape(n * height * width, x.shape[1]) for x in maps]
    result = rows[0] @ weights[0] if bias is None else torch.addmm(bias, rows[0], weights[0])
    for row, weight in zip(rows[1:], weights[1:], strict=True):
        result.addmm_(row, weight)
    return result.view(n, height, width, result.shape[1]).permute(0, 3, 1, 2)
