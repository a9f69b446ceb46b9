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
    """Whether integer convolutions run here and are exact."""
    try:
        return bool(torch.cpu._is_vnni_supported()) and all(_exact(*shape) for shape in ((40, 24, 1), (32, 32, 32)))
    except (AttributeError, RuntimeError, TypeError):  # the operators are not part of torch's stable interface
        return False


def _exact(channels: int, out: int, groups: int) -> bool:
    maker = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (2, channels, 6, 5), dtype=torch.uint8, generator=maker)
    w = torch.randint(-128, 128, (out, channels // groups, 3, 3), dtype=torch.int8, generator=maker)
    x[0], w[: out // 2], w[0] = 255, 127, -128
    expected = F.conv2d(x.double() - 100, w.double(), None, 1, 1, 1, groups)
    made = convolved(x, 100, packed(w, 100, groups), torch.ones(out), torch.zeros(out), (1, 1), (1, 1), (1, 1), groups)
    return torch.equal(made.double(), expected)


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
    padding: Two,
    dilation: Two,
    groups: int,
) -> Tensor:
    """float32 sums of (x - zero_point) * weight, times scale (O,), plus offset (O,), of uint8 x (N, C, H, W).

    Padding is the zero point. The sums are exact below 2**31; sum, product and total are each rounded.
    """
    run: Any = torch.ops.onednn.qconv2d_pointwise
    zeros = torch.zeros(len(scale), dtype=torch.int64)
    made: Tensor = run(
        *(x, 1.0, zero_point, weight, scale, zeros, offset, list(stride), list(padding), list(dilation), groups),
        *(1.0, 0, torch.float32, "none", [], ""),
    )
    return made
