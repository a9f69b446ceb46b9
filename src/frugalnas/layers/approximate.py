"""Convolutions and linear layers that multiply 8-bit codes with an approximate multiplier, exactly as a circuit would.

The forward pass is that of the integer circuit: codes of the input by a fixed `Range`, codes of the weights by their
present largest value, products by the multiplier's table, exact sums, then one float32 scaling. It is the same while
training; gradients pass straight through the roundings.
"""

from __future__ import annotations

from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frugalnas.core import InputError, nearest
from frugalnas.layers import products
from frugalnas.layers.depthwise import DepthwiseConv2d
from frugalnas.layers.products import Packed, Path
from frugalnas.layers.quantise import Range, range_over, weight_codes, weight_scales
from frugalnas.multipliers import Multiplier

Gradient = Literal["factors", "exact"]
GRADIENTS = ("factors", "exact")


class ApproximateConv2d(nn.Module):
    """(N, C, H, W) -> (N, O, H', W'): a convolution whose products are those of `multiplier` on codes of its operands.

    `weight` (O, C / groups, kh, kw) and `bias` (O,) are trained floats; `range` says what the input's codes mean.
    `padding`: zeros at the top, bottom, left and right; they are multiplied as the code of 0. `gradient`: "exact" is
    that of the exact product of the rounded operands, "factors" that of the multiplier's own factors, smoothed.
    Made by `from_float`.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        multiplier: Multiplier,
        input_range: Range,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int, int, int] = (0, 0, 0, 0),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
        path: Path = "auto",
        per_channel: bool = True,
        gradient: Gradient = "factors",
    ) -> None:
        super().__init__()
        if gradient not in GRADIENTS:
            raise InputError(f"unknown gradient {gradient!r}; {nearest(gradient, GRADIENTS)}")
        if not multiplier.signed[1]:
            raise InputError(f"{multiplier.name}: weights are signed and its second operand is not")
        if multiplier.signed[0] and not input_range.signed:
            raise InputError(f"{multiplier.name}: codes up to {input_range.high} and its first operand is signed")
        if not multiplier.signed[0] and input_range.low < 0:
            raise InputError(f"{multiplier.name}: codes from {input_range.low} and its first operand is unsigned")
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())
        self.multiplier = multiplier
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        self.path, self.per_channel, self.gradient = path, per_channel, gradient
        values = (input_range.scale, input_range.zero_point, input_range.low, input_range.high)
        self.register_buffer("input_range", torch.tensor(values, dtype=torch.float32))
        self._range: Range | None = None
        self._packed: tuple[Any, Packed, Tensor, Tensor] | None = None

    @classmethod
    def from_float(
        cls,
        layer: nn.Module,
        multiplier: Multiplier,
        calibration: Range | Tensor,
        path: Path = "auto",
        per_channel: bool = True,
        gradient: Gradient = "factors",
    ) -> Self:
        """The layer `nn.Conv2d` or `DepthwiseConv2d` with a multiplier. `calibration`: the range of its input, or inputs
        to take it from. An unsigned multiplier multiplies magnitudes of weights. Raises InputError."""
        multiplier = _signed(multiplier)
        if isinstance(layer, DepthwiseConv2d):
            kernel, bias = layer.weight.shape[-1], None
            stride, dilation, groups = (layer.stride,) * 2, (layer.dilation,) * 2, len(layer.weight)
            padding = (layer.dilation * (kernel // 2),) * 4
        elif isinstance(layer, nn.Conv2d):
            if layer.padding_mode != "zeros":
                raise InputError(f"padding_mode {layer.padding_mode!r}: an approximate convolution pads with zeros")
            bias, groups = layer.bias, layer.groups
            stride, dilation = (_two(layer.stride), _two(layer.dilation))
            padding = _padding(layer, dilation)
        else:
            raise InputError(f"{type(layer).__name__}: expected a Conv2d or DepthwiseConv2d")
        made = cls(
            *(layer.weight, bias, multiplier, _range(calibration, multiplier), stride, padding, dilation, groups),
            *(path, per_channel, gradient),
        )
        return made.train(layer.training)

    @property
    def range(self) -> Range:
        """What the codes of the input mean."""
        if self._range is None:
            scale, zero_point, low, high = self.input_range.tolist()  # type: ignore[operator]
            self._range = Range(scale, int(zero_point), int(low), int(high))
        return self._range

    def packed(self) -> tuple[Packed, Tensor, Tensor]:
        """The weights ready for products; the scale and offset (O,) that make float results of the sums.

        Kept in evaluation mode until a weight or bias changes.
        """
        tensors = (self.weight, self.bias, self.input_range)
        key = tuple(None if t is None else (t.data_ptr(), t._version, t.device) for t in tensors)  # type: ignore[union-attr]
        if self._packed is not None and self._packed[0] == key:
            return self._packed[1:]
        taken = self.range
        scales = weight_scales(self.weight, self.multiplier.bits, self.per_channel)
        codes = weight_codes(self.weight, scales, self.multiplier.bits)
        made = products.pack(codes, self.multiplier, self.groups, self.path, taken.zero_point, (taken.low, taken.high))
        # sums + constant = the circuit's; a code z of the number 0 adds z * (the sum of the weights) to an exact one
        exact = codes.long().sum((1, 2, 3)) * taken.zero_point
        scale = scales.double() * taken.scale
        offset = (made.constant - exact).double() * scale
        offset = offset if self.bias is None else offset + self.bias.detach().double()
        result = (made, scale.float(), offset.float())
        self._packed = None if self.training else (key, *result)
        return result

    def train(self, mode: bool = True) -> Self:
        self._packed = None
        return super().train(mode)

    def _load_from_state_dict(self, *arguments: Any, **named: Any) -> None:
        super()._load_from_state_dict(*arguments, **named)
        self._range = self._packed = None

    def forward(self, x: Tensor) -> Tensor:
        products.check_device(x.device)
        packed, scale, offset = self.packed()
        if torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad):
            bias = None if self.bias is None else self.bias - self.bias.detach()  # 0 with the gradient of the bias
            made: Tensor = _Through.apply(x, self.weight, self, packed, scale, offset)
            return made if bias is None else made + bias[:, None, None]
        return self._computed(x, packed, scale, offset)

    def _computed(self, x: Tensor, packed: Packed, scale: Tensor, offset: Tensor) -> Tensor:
        codes = self.range.codes(x)
        top, bottom, left, right = self.padding
        padding = (top, left)
        if (top, left) != (bottom, right):
            codes, padding = F.pad(codes, (left, right, top, bottom), value=self.range.zero_point), (0, 0)
        made = products.sums(packed, codes, self.stride, padding, self.dilation).float()
        return torch.addcmul(offset[:, None, None], made, scale[:, None, None])

    def extra_repr(self) -> str:
        out, depth, *kernel = self.weight.shape
        taken = self.range
        return (
            f"{depth * self.groups}, {out}, kernel_size={tuple(kernel)}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, groups={self.groups}, {_described(self.multiplier)}, "
            f"codes {taken.low} to {taken.high} x {taken.scale:.3g}, path={self.packed()[0].choice}"
        )


class ApproximateLinear(nn.Module):
    """(..., C) -> (..., O), as `ApproximateConv2d`. Made by `from_float`."""

    def __init__(self, inner: ApproximateConv2d) -> None:
        super().__init__()
        self.inner = inner

    @classmethod
    def from_float(
        cls,
        layer: nn.Module,
        multiplier: Multiplier,
        calibration: Range | Tensor,
        path: Path = "auto",
        per_channel: bool = True,
        gradient: Gradient = "factors",
    ) -> Self:
        """The layer `nn.Linear` with a multiplier; arguments as those of `ApproximateConv2d.from_float`."""
        if not isinstance(layer, nn.Linear):
            raise InputError(f"{type(layer).__name__}: expected a Linear")
        multiplier = _signed(multiplier)
        inner = ApproximateConv2d(
            *(layer.weight[:, :, None, None], layer.bias, multiplier, _range(calibration, multiplier)),
            path=path,
            per_channel=per_channel,
            gradient=gradient,
        )
        return cls(inner).train(layer.training)

    @property
    def weight(self) -> Tensor:
        """The float weights (O, C), a view."""
        return self.inner.weight[:, :, 0, 0]

    @property
    def bias(self) -> Tensor | None:
        """The float bias (O,)."""
        return self.inner.bias

    @property
    def range(self) -> Range:
        """What the codes of the input mean."""
        return self.inner.range

    @property
    def multiplier(self) -> Multiplier:
        """Of every product."""
        return self.inner.multiplier

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.inner(x.reshape(-1, x.shape[-1], 1, 1))
        return made.view(*x.shape[:-1], made.shape[1])


class _Through(torch.autograd.Function):
    """The forward pass of the circuit with gradients straight through the roundings, none where codes are clipped."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, layer: ApproximateConv2d, packed: Packed, scale: Tensor, offset: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.layer = layer
        return layer._computed(x, packed, scale, offset)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        layer: ApproximateConv2d = ctx.layer
        taken = layer.range
        scales = weight_scales(weight, layer.multiplier.bits, layer.per_channel)
        codes = weight_codes(weight, scales, layer.multiplier.bits)
        w = codes.float() * scales.view(-1, 1, 1, 1)
        values = taken.values(taken.levels(x))
        top, bottom, left, right = layer.padding
        padding = (top, left)
        padded = (top, left) != (bottom, right)
        if padded:
            values, padding = F.pad(values, (left, right, top, bottom)), (0, 0)
        of_x, of_w, _ = torch.ops.aten.convolution_backward(
            grad,
            *(values, w, None, layer.stride, padding, layer.dilation, False, (0, 0), layer.groups),
            (ctx.needs_input_grad[0], ctx.needs_input_grad[1], False),
        )
        if of_x is not None:
            height, width = x.shape[2:]
            of_x = of_x[:, :, top : top + height, left : left + width] if padded else of_x
            of_x = of_x * taken.inside(x)
        return of_x, of_w, None, None, None, None


def _signed(multiplier: Multiplier) -> Multiplier:
    return multiplier


def _range(calibration: Range | Tensor, multiplier: Multiplier) -> Range:
    return range_over(calibration, multiplier.signed[0]) if isinstance(calibration, Tensor) else calibration


def _described(multiplier: Multiplier) -> str:
    rank = "none" if multiplier.rank is None else multiplier.rank
    return f"multiplier={multiplier.name}{'+swap' if multiplier.swapped else ''} of rank {rank}"


def _two(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _padding(layer: nn.Conv2d, dilation: tuple[int, int]) -> tuple[int, int, int, int]:
    if layer.padding == "valid":
        return (0, 0, 0, 0)
    if layer.padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, layer.kernel_size, strict=True)]
        return (total[0] // 2, total[0] - total[0] // 2, total[1] // 2, total[1] - total[1] // 2)
    y, x = _two(layer.padding)
    return (y, y, x, x)
