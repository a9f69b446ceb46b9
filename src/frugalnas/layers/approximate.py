"""Convolutions and linear layers that multiply 8-bit codes with an approximate multiplier, exactly as a circuit would.

The forward pass is that of the integer circuit: codes of the input by a fixed `Range`, codes of the weights by their
present largest value, products by the multiplier's table, exact sums, then one float32 scaling. It is the same while
training; gradients pass straight through the roundings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frugalnas.core import InputError, nearest
from frugalnas.layers import products
from frugalnas.layers.depthwise import DepthwiseConv2d
from frugalnas.layers.packed import Packed, Path, pack
from frugalnas.layers.quantise import Range, range_over, weight_codes, weight_scales
from frugalnas.layers.straight_through import GRADIENTS, Geometry, Gradient, Weights, slopes, straight_through
from frugalnas.multipliers import Multiplier


@dataclass(frozen=True, eq=False)
class Ready:
    """Packed weights, the scale and offset (O,) that make results of their sums, and the codes that they are."""

    packed: Packed
    scale: Tensor
    offset: Tensor
    weights: Weights


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
        with torch.inference_mode(False):  # else changes of the weights could not be noticed
            self.weight = nn.Parameter(weight.detach().clone())
            self.bias = None if bias is None else nn.Parameter(bias.detach().clone())
        self.multiplier = multiplier
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        self.path, self.per_channel, self.gradient = path, per_channel, gradient
        values = (input_range.scale, input_range.zero_point, input_range.low, input_range.high)
        self.input_range: Tensor
        with torch.inference_mode(False):
            self.register_buffer("input_range", torch.tensor(values, dtype=torch.float32))
        self._range: Range | None = None
        self._ready: tuple[object, Ready] | None = None
        self._slopes = slopes(multiplier, gradient)

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
        """The layer `nn.Conv2d` or `DepthwiseConv2d` with a multiplier; it shares no weights with it.

        `calibration`: the range of the layer's input, or inputs to take it from. An unsigned multiplier multiplies the
        magnitudes of weights. Raises InputError.
        """
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
            scale, zero_point, low, high = self.input_range.tolist()
            self._range = Range(scale, int(zero_point), int(low), int(high))
        return self._range

    def ready(self) -> Ready:
        """The weights as products take them, kept in evaluation mode until something changes."""
        tensors = (self.weight, self.bias, self.input_range)
        tracked = not any(t is not None and t.is_inference() for t in tensors)
        key = tracked and tuple(None if t is None else (t.data_ptr(), t._version, t.device) for t in tensors)
        if key and self._ready is not None and self._ready[0] == key:
            return self._ready[1]
        taken, bits = self.range, self.multiplier.bits
        scales = weight_scales(self.weight, bits, self.per_channel)
        codes = weight_codes(self.weight, scales, bits)
        made = pack(codes, self.multiplier, self.groups, self.path, taken.table, rounded=True)
        # sums + constant is what the circuit computes, of which z * (sum of the weights) stands for z codes above 0
        exact = codes.sum((1, 2, 3), dtype=torch.int64) * taken.zero_point
        scale = scales.double() * taken.scale
        offset = (made.constant - exact) * scale
        offset = offset if self.bias is None else offset + self.bias.detach().double()
        result = Ready(made, scale.float(), offset.float(), Weights(codes, scales))
        self._ready = None if self.training else (key, result)
        return result

    def train(self, mode: bool = True) -> Self:
        self._ready = None
        return super().train(mode)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_ready": None}  # a copy makes its own: packed weights have no storage to copy

    def _load_from_state_dict(self, *arguments: Any, **named: Any) -> None:
        super()._load_from_state_dict(*arguments, **named)
        self._range = self._ready = None

    def forward(self, x: Tensor) -> Tensor:
        products.check_device(x.device)
        ready = self.ready()
        parameters = (self.weight,) if self.bias is None else (self.weight, self.bias)
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *parameters)):
            geometry = Geometry(self.stride, self.padding, self.dilation, self.groups)
            given = (ready.weights, self.range, geometry, self._slopes)
            return straight_through(lambda: self._computed(x, ready), x, self.weight, self.bias, given)
        return self._computed(x, ready)

    @torch.no_grad()
    def _computed(self, x: Tensor, ready: Ready) -> Tensor:
        top, bottom, left, right = self.padding
        padding, x = (top, left), x.float()
        if (top, left) != (bottom, right):
            padding, x = (0, 0), F.pad(x, (left, right, top, bottom))
        numbers = (self.range.inverse, ready.scale, ready.offset)
        return products.results(ready.packed, x, *numbers, self.stride, padding, self.dilation)

    def extra_repr(self) -> str:
        out, depth, *kernel = self.weight.shape
        taken = self.range
        return (
            f"{depth * self.groups}, {out}, kernel_size={tuple(kernel)}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, groups={self.groups}, {_described(self.multiplier)}, "
            f"codes {taken.low} to {taken.high} x {taken.scale:.3g}, path={self.ready().packed.choice}"
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


def _signed(multiplier: Multiplier) -> Multiplier:
    """One that takes signed weights."""
    return multiplier if any(multiplier.signed) else multiplier.sign_magnitude()


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
