"""Codes of weights and activations: uniform quantisation with fixed ranges.

A code is floor(x * (1 / scale) + (zero_point + shift + 0.5)) - shift, clamped, where `shift` makes all codes positive;
product and sum are each rounded to float32, so that a layer sees the same codes on every path and device. Halves go up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import isfinite

import numpy as np
import torch
from torch import Tensor

from frugalnas.core import InputError
from frugalnas.layers.packed import Codes
from frugalnas.layers.planes import places


@dataclass(frozen=True)
class Range:
    """What the 8-bit codes of an activation mean: x = scale * (code - zero_point) for codes from `low` to `high`.

    Fixed at calibration, never taken from the batch at hand. `scale` is a float32 number. Raises InputError.
    """

    scale: float
    zero_point: int
    low: int
    high: int

    def __post_init__(self) -> None:
        if not (isfinite(self.scale) and self.scale > 0):
            raise InputError(f"scale {self.scale}: expected a positive number")
        if not -128 <= self.low <= self.zero_point <= self.high <= 255 or self.high - self.low > 255:
            found = f"{self.low} <= {self.zero_point} <= {self.high}"
            raise InputError(f"codes {found}: expected low <= zero_point <= high of 8 bits")
        object.__setattr__(self, "scale", float(np.float32(self.scale)))

    @cached_property
    def inverse(self) -> float:
        """1 / scale as a float32 number."""
        return float(np.float32(1 / self.scale))

    @property
    def signed(self) -> bool:
        """Whether the codes may be those of a two's complement operand."""
        return self.high <= 127

    @property
    def table(self) -> Codes:
        """Where the codes are in tables of 256."""
        return Codes(self.low, self.high, self.zero_point, 128 if self.low < 0 else 0)

    def codes(self, x: Tensor) -> Tensor:
        """int16 codes of floats of any shape; of a number that is not one the lowest."""
        table = self.table
        return places(x.float(), self.inverse, table).to(torch.int16) - table.shift

    def values(self, codes: Tensor) -> Tensor:
        """What codes mean, float32."""
        return (codes.float() - self.zero_point) * self.scale

    @property
    def bounds(self) -> tuple[float, float]:
        """Numbers between them are not clipped."""
        return (self.low - self.zero_point - 0.5) * self.scale, (self.high - self.zero_point + 0.5) * self.scale

    def inside(self, x: Tensor) -> Tensor:
        """Whether floats are not clipped: bool."""
        low, high = self.bounds
        return (x > low) & (x < high)


def range_of(low: float, high: float, signed: bool) -> Range:
    """The range of activations between two numbers, widened to hold 0.

    Signed codes are symmetric, -127 to 127; where nothing is negative, 0 to 127. Unsigned codes go from 0 to 255: from
    zero upwards where nothing is negative, else with a zero point between. Raises InputError for numbers that are not
    finite or out of order.
    """
    if not (isfinite(low) and isfinite(high) and low <= high):
        raise InputError(f"activations from {low} to {high}: expected two finite numbers in order")
    low, high = min(low, 0.0), max(high, 0.0)
    if signed:
        return Range(_scale(max(-low, high), 127), 0, -127 if low < 0 else 0, 127)
    scale = _scale(high - low, 255)
    return Range(scale, min(255, int(-low / scale + 0.5)), 0, 255)


def _scale(reach: float, codes: int) -> float:
    """Of reach over so many codes; 1 where there is nothing to tell apart in float32."""
    scale = float(np.float32(reach / codes))
    return scale if scale > 1e-30 else 1.0


def range_over(x: Tensor, signed: bool) -> Range:
    """The range of all values of a tensor."""
    if not x.numel():
        raise InputError(f"calibration inputs of shape {tuple(x.shape)}: expected at least one value")
    return range_of(float(x.min()), float(x.max()), signed)


def weight_scales(weight: Tensor, bits: int, per_channel: bool) -> Tensor:
    """The scales (O,) of weights (O, ...) for codes of so many bits, symmetric about 0, equal unless per channel."""
    reach = weight.detach().float().abs().flatten(1).amax(1)
    if not per_channel:
        reach = reach.max().expand_as(reach)
    scales = reach / ((1 << (bits - 1)) - 1)
    return torch.where(scales > 1e-30, scales, torch.ones_like(scales))


def weight_codes(weight: Tensor, scales: Tensor, bits: int) -> Tensor:
    """int16 codes of weights (O, ...) from -(2**(bits - 1) - 1) to 2**(bits - 1) - 1."""
    highest = (1 << (bits - 1)) - 1
    levels = weight.detach().float() / scales.view(-1, *[1] * (weight.ndim - 1))
    return torch.floor(levels + 0.5).clamp_(-highest, highest).to(torch.int16)
