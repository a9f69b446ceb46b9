"""The three-integer family of array multipliers without some of their partial products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frugalnas.core import InputError
from frugalnas.multipliers.factors import Factors

BITS = 8  # of the first operand


@dataclass(frozen=True, slots=True)
class Family:
    """Keep the partial product a_i * b_j where i >= ha, j >= hb and i + j >= v.

    `signed`: both operands are two's complement. `bits`: of the second operand; the first has 8. Raises InputError.
    """

    ha: int
    hb: int
    v: int
    signed: bool = True
    bits: int = BITS

    def __post_init__(self) -> None:
        for name, low, high in (("bits", 2, BITS), ("ha", 0, BITS), ("hb", 0, self.bits), ("v", 0, BITS + self.bits)):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise InputError(f"multiplier {name} = {value!r}: expected a whole number from {low} to {high}")

    @property
    def name(self) -> str:
        """Such as 8s-2-0-5, or 8x4u-0-0-0 where the second operand has 4 bits."""
        width = "8" if self.bits == BITS else f"8x{self.bits}"
        return f"{width}{'s' if self.signed else 'u'}-{self.ha}-{self.hb}-{self.v}"


def codes(bits: int, signed: bool) -> NDArray[np.int32]:
    """What each bit pattern of an operand means: int32 (2**bits,)."""
    values = np.arange(1 << bits, dtype=np.int32)
    return values - ((values >> (bits - 1)) << bits) if signed else values


def table(design: Family) -> NDArray[np.int32]:
    """The products: int32 (256, 2**bits)."""
    made = factors(design)
    return made.rows @ made.columns.T


def factors(design: Family) -> Factors:
    """Bits b_j that meet the same bits of a are one product: U(a) = (a >> m) << m with m = max(ha, v - j)."""
    a, b = codes(BITS, design.signed), codes(design.bits, design.signed)
    groups: dict[int, NDArray[np.int32]] = {}
    for j in range(design.hb, design.bits):
        shift = max(design.ha, design.v - j)
        if shift < BITS:
            negative = design.signed and j == design.bits - 1
            weight = -(1 << j) if negative else 1 << j
            groups[shift] = groups.get(shift, np.zeros_like(b)) + ((b >> j) & 1) * weight
    shifts = tuple(sorted(groups))
    rows = [(a >> shift) << shift for shift in shifts]
    columns = [groups[shift] for shift in shifts]
    return Factors(_stacked(rows, len(a)), _stacked(columns, len(b)), shifts)


def _stacked(parts: list[NDArray[np.int32]], length: int) -> NDArray[np.int32]:
    return np.stack(parts, axis=1) if parts else np.zeros((length, 0), dtype=np.int32)
