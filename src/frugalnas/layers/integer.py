"""Convolutions of 8-bit integers with 32-bit sums on a CPU, by oneDNN through torch; 2 to 6 times as fast as float32.

Only where the CPU has instructions for them that do not saturate (VNNI, AMX), which a test on extreme operands decides
once a process: where anything is missing or differs, layers use floating point.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Two = tuple[int, int]


@cache
def available() -> bool:
    """Whether integer convolutions run here and do not saturate."""
    try:
        return bool(torch.cpu._is_vnni_supported()) and _tried((2, 40, 6, 5), (24, 40, 3, 3), 100, (1, 1), (1, 1), 1, 0)
    except (AttributeError, RuntimeError, TypeError):  # the operators are not part of torch's stable interface
        return False


def trusted(x: Tensor, weight: Tensor, zero_point: int, stride: Two, dilation: Two, groups: int) -> bool:
    """Whether convolutions of maps and weights of these shapes are exact, tried out once a process.

    There is a kernel for every shape, and some are wrong, among them many with both a stride and a dilation.
    """
    if any(s > 1 and d > 1 for s, d in zip(stride, dilation, strict=True)):
        return False
    shapes = (tuple(x.shape), tuple(weight.shape))
    return _tried(*shapes, zero_point, stride, dilation, groups, torch.get_num_threads())


@cache
def _tried(
    x: tuple[int, ...], w: tuple[int, ...], zero_point: int, stride: Two, dilation: Two, groups: int, threads: int
) -> bool:
    """Random and extreme operands, small enough to be exact in float32; `threads`: the kernels depend on it."""
    maker = torch.Generator().manual_seed(0)
    largest = min(127, ((1 << 24) - 1) // (255 * max(1, w[1] * w[2] * w[3])))
    if not largest:
        return False
    few = torch.randint(0, 256, (min(3, x[0]), *x[1:]), dtype=torch.uint8, generator=maker)
    few[0] = 255
    images = few.repeat(-(-x[0] // 3), 1, 1, 1)[: x[0]].contiguous(memory_format=torch.channels_last)
    weights = torch.randint(-largest, largest + 1, w, dtype=torch.int8, generator=maker)
    weights[: w[0] // 2], weights[0] = largest, -largest
    operands = (images.float() - zero_point, weights.float())
    expected = F.conv2d(*operands, None, stride, 0, dilation, groups)
    ready, ones, zeros = packed(weights, zero_point, groups), torch.ones(w[0]), torch.zeros(w[0])
    return torch.equal(convolved(images, zero_point, ready, ones, zeros, stride, dilation, groups), expected)


def packed(weight: Tensor, zero_point: int, groups: int) -> Tensor:
    """int8 weights (O, C / groups, kh, kw) in the order that `convolved` takes."""
    pack: Any = torch.ops.onednn.qconv_prepack
    ones = torch.ones(len(weight))
    made: Tensor = pack(weight.contiguous(), ones, 1.0, zero_point, [1, 1], [0, 0], [1, 1], groups, None)
    return made


def convolved(
    x: Tensor,
    zero_point: int,
    weight: Tensor,
    scale: Tensor,
    offset: Tensor,
    stride: Two,
    dilation: Two,
    groups: int,
) -> Tensor:
    """float32 sums of (x - zero_point) * weight, times scale (O,), plus offset (O,), of uint8 x (N, C, H, W).

    The sums are exact below 2**31; sum, product and total are each rounded. No padding: in windows that are all padding
    oneDNN may take off the zero point wrongly.
    """
    run: Any = torch.ops.onednn.qconv2d_pointwise
    zeros = torch.zeros(len(scale), dtype=torch.int64)
    made: Tensor = run(
        *(x, 1.0, zero_point, weight, scale, zeros, offset, list(stride), [0, 0], list(dilation), groups),
        *(1.0, 0, torch.float32, "none", [], ""),
    )
    return made
