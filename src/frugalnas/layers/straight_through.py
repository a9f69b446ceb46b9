"""Gradients of approximate layers: straight through the roundings, none where codes are clipped.

"exact": those of the exact product of the rounded operands, as other tools do. "factors": those of the multiplier
itself, the sum over r of U_r(x) * V_r(w), with the slopes of U_r and V_r taken over as many codes as their steps are
long: an operand has the gradient of what the multiplier leaves of the other one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from frugalnas.layers.packed import Planes, code_range, masks_of
from frugalnas.layers.planes import planes_of
from frugalnas.layers.quantise import Range
from frugalnas.multipliers import Multiplier

Gradient = Literal["factors", "exact"]
GRADIENTS = ("factors", "exact")
STEP = 8  # codes to either side over which a factor that is no known step function is smoothed


@dataclass(frozen=True, slots=True)
class Geometry:
    """Of a convolution. `padding`: at the top, bottom, left and right."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


@dataclass(frozen=True, eq=False)
class Slopes:
    """Values and slopes of the factors by code pattern, float32: (R, 256) and (R, 2**N).

    `masks`: uint8 (R,) where rows are codes without their lowest bits, so that their slopes are 1; None for others. The
    exact product is one pair of factors.
    """

    rows: Tensor
    of_rows: Tensor
    columns: Tensor
    of_columns: Tensor
    masks: Tensor | None


def slopes(multiplier: Multiplier, gradient: Gradient) -> Slopes:
    """Of a multiplier's factors, or of the exact product where there are none or `gradient` says so."""
    factors = multiplier.factors
    codes = [_codes(bits, signed) for bits, signed in zip((8, multiplier.bits), multiplier.signed, strict=True)]
    if gradient == "exact" or factors is None:
        rows, columns = (torch.from_numpy(c.astype(np.float32))[None] for c in codes)
        return Slopes(
            rows, torch.ones_like(rows), columns, torch.ones_like(columns), torch.full((1,), 255, dtype=torch.uint8)
        )
    rows, columns = (torch.from_numpy(t.T.astype(np.float32)) for t in (factors.rows, factors.columns))
    of_rows, of_columns = (_slope(t, c) for t, c in zip((rows, columns), codes, strict=True))
    if factors.shifts is None:
        return Slopes(rows, of_rows, columns, of_columns, None)
    return Slopes(rows, torch.ones_like(rows), columns, _of_bits(columns), masks_of(multiplier))


def _codes(bits: int, signed: bool) -> NDArray[np.int64]:
    low, _ = code_range(bits, signed)
    values = np.arange(1 << bits)
    return np.where(values >= -low, values - (1 << bits), values) if low else values


def _of_bits(columns: Tensor) -> Tensor:
    """Columns that are sums of some bits of the code: the one with the highest bit is a staircase as steep as the code,
    the others are periodic and go nowhere."""
    made = torch.zeros_like(columns)
    if len(columns):
        made[int(columns.abs().amax(1).argmax())] = 1
    return made


def _slope(values: Tensor, codes: NDArray[np.int64]) -> Tensor:
    """The mean slope from STEP codes below to STEP above, or as many as there are: as values (R, codes)."""
    order = torch.from_numpy(np.argsort(codes))
    ranked, places = values[:, order], torch.arange(len(order))
    above, below = (places + STEP).clamp(max=len(order) - 1), (places - STEP).clamp(min=0)
    made = torch.empty_like(values)
    made[:, order] = (ranked[:, above] - ranked[:, below]) / (above - below)
    return made


@dataclass(frozen=True, eq=False)
class Weights:
    """Codes of weights (O, C / groups, kh, kw) and their scales (O,)."""

    codes: Tensor
    scales: Tensor


def straight_through(
    computed: Callable[[], Tensor],
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    given: tuple[Weights, Range, Geometry, Slopes],
) -> Tensor:
    """`computed()`, a convolution of x (N, C, H, W) by `weight` with its `bias`, with gradients for the three."""
    made: Tensor = _StraightThrough.apply(x, weight, bias, computed, *given)
    return made


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, computed: Callable[[], Tensor], *given: Any
    ) -> Tensor:
        ctx.save_for_backward(x)
        ctx.given = given
        return computed()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        weights, taken, geometry, of = ctx.given
        grad = grad.float()
        patterns = weights.codes.int() & (of.columns.shape[1] - 1)
        of_x = of_w = of_bias = None
        with torch.autocast(x.device.type, enabled=False):
            if ctx.needs_input_grad[0]:
                of_x = _of_input(grad, x, patterns, weights.scales.view(-1, 1, 1, 1), taken, geometry, of)
            if ctx.needs_input_grad[1]:
                of_w = _of_weight(grad, x, patterns, taken, geometry, of)
            if ctx.needs_input_grad[2]:
                of_bias = grad.sum((0, 2, 3))
        return of_x, of_w, of_bias, None, None, None, None, None


def _of_input(
    grad: Tensor, x: Tensor, patterns: Tensor, scales: Tensor, taken: Range, geometry: Geometry, of: Slopes
) -> Tensor:
    """The sum over r of U_r'(x) times the transposed convolution by V_r(w)."""
    columns = of.columns.to(x.device)
    if of.masks is not None:
        made = _transposed(grad, x, columns.sum(0)[patterns] * scales, geometry)
    else:
        at = taken.codes(x).int() & 255
        made = torch.zeros_like(x, dtype=torch.float32)
        for column, slope in zip(columns, of.of_rows.to(x.device), strict=True):
            made += _transposed(grad, x, column[patterns] * scales, geometry) * slope[at]
    low, high = taken.bounds
    clipped: Tensor = torch.ops.aten.hardtanh_backward(made, x.float(), low, high)
    return clipped.to(x.dtype)


def _of_weight(grad: Tensor, x: Tensor, patterns: Tensor, taken: Range, geometry: Geometry, of: Slopes) -> Tensor:
    """The sum over r of V_r'(w) times the correlation of the gradient with U_r(x) - U_r(zero point)."""
    total = torch.zeros(patterns.shape, device=x.device)
    table = taken.table
    for r, slope in enumerate(of.of_columns):
        if bool(slope.any()):
            levels = of.rows[r : r + 1, table.patterns]
            levels = (levels - levels[:, table.place :][:, :1]).to(x.device)
            masks = None if of.masks is None else of.masks[r : r + 1]
            adds = levels[:, 0] if masks is None else (table.place & ~masks).float().to(x.device) - table.place
            plane = planes_of(x, taken.inverse, table, Planes(levels, masks, adds, 0, 1), torch.float32)
            total += _correlated(grad, plane, patterns.shape, geometry) * slope.to(x.device)[patterns]
    return total * taken.scale


def _transposed(grad: Tensor, x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    top, bottom, left, right = geometry.padding
    padding, even = _even(geometry)
    shape = x if even else x.new_empty((*x.shape[:2], x.shape[2] + top + bottom, x.shape[3] + left + right))
    made, _, _ = torch.ops.aten.convolution_backward(
        *(grad, shape.float(), weight, None, geometry.stride, padding, geometry.dilation, False, (0, 0)),
        *(geometry.groups, (True, False, False)),
    )
    result: Tensor = made if even else made[:, :, top : top + x.shape[2], left : left + x.shape[3]].contiguous()
    return result


def _correlated(grad: Tensor, plane: Tensor, shape: torch.Size, geometry: Geometry) -> Tensor:
    top, bottom, left, right = geometry.padding
    padding, even = _even(geometry)
    plane = plane if even else F.pad(plane, (left, right, top, bottom))
    _, made, _ = torch.ops.aten.convolution_backward(
        *(grad, plane, plane.new_empty(shape), None, geometry.stride, padding, geometry.dilation, False, (0, 0)),
        *(geometry.groups, (False, True, False)),
    )
    result: Tensor = made
    return result


def _even(geometry: Geometry) -> tuple[tuple[int, int], bool]:
    top, bottom, left, right = geometry.padding
    return ((top, left), True) if (top, left) == (bottom, right) else ((0, 0), False)
