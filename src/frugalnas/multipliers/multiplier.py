"""A multiplier as a value: what it makes of every pair of operands, what it costs, and where it comes from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from frugalnas.core import InputError
from frugalnas.multipliers import family as families
from frugalnas.multipliers.factors import Factors
from frugalnas.multipliers.family import Family
from frugalnas.multipliers.netlist import estimate
from frugalnas.multipliers.published import published

PowerSource = Literal["published", "model", "given"]


@dataclass(frozen=True, eq=False)
class Multiplier:
    """A table of products of an 8-bit code and an N-bit one (N = 2 to 8), with the power that it takes.

    `table`: int32 (256, 2**N), read-only; row and column are the codes' bit patterns, so that of a signed code x it is
    row x & 255. In a layer the row is the activation and the column the weight. `signed`: whether rows, and columns,
    are two's complement. `power_mw`, `area_um2`, `delay_ns`: of one multiplier in 45 nm; `power_source` says whether
    the power was published for this design, is of the unit-gate model, or was given. `source`: where the table comes
    from, its family parameters or the file and its SHA-256. `swapped`: the operands are exchanged: the activation goes
    to what the source calls its second operand.
    """

    name: str
    table: NDArray[np.int32]
    signed: tuple[bool, bool]
    power_mw: float
    power_source: PowerSource
    source: str
    area_um2: float | None = None
    delay_ns: float | None = None
    swapped: bool = False
    design: Family | None = field(default=None)

    @staticmethod
    def family(ha: int, hb: int, v: int, signed: bool = True, bits: int = 8) -> Multiplier:
        """The array multiplier that keeps the partial product of bits a_i and b_j where i >= ha, j >= hb, i + j >= v.

        `bits`: of the second operand. Raises InputError for numbers out of range.
        """
        design = Family(ha, hb, v, signed, bits)
        table = families.table(design)
        table.flags.writeable = False
        known = published(design)
        figures = known or estimate(design)
        return Multiplier(
            *(design.name, table, (signed, signed), figures.power_mw, "published" if known else "model"),
            f"family {design.name}",
            *(figures.area_um2, figures.delay_ns),
            design=design,
        )

    @cached_property
    def sha256(self) -> str:
        """Of the table, as little-endian int32: equal tables have equal sums whatever their names."""
        return hashlib.sha256(self.table.astype("<i4").tobytes()).hexdigest()

    @property
    def bits(self) -> int:
        """Of the second operand, the weight."""
        return int(self.table.shape[1]).bit_length() - 1

    def swap(self) -> Multiplier:
        """The same circuit with its operands exchanged. Raises InputError unless both have 8 bits."""
        if self.bits != 8:
            raise InputError(f"{self.name}: its operands have 8 and {self.bits} bits and cannot be exchanged")
        design = self.design and replace(self.design, ha=self.design.hb, hb=self.design.ha)
        table = np.ascontiguousarray(self.table.T)
        table.flags.writeable = False
        return replace(self, table=table, signed=self.signed[::-1], swapped=not self.swapped, design=design)

    @cached_property
    def factors(self) -> Factors | None:
        """Integers U (256, R), V (2**N, R) with table == U @ V.T and R <= 16; None where there are none."""
        return families.factors(self.design) if self.design else None

    @property
    def rank(self) -> int | None:
        """The R of `factors`."""
        return None if self.factors is None else self.factors.rank
