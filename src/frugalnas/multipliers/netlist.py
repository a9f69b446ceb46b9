"""The gates of an array multiplier, and from how often they switch an estimate of its power, area and delay.

An array of AND gates (Baugh-Wooley: NAND where exactly one bit is a sign), added row by row by carry-save full adders
and a ripple at the end; constants folded, equal gates shared, gates that no output needs dropped. Switched capacitance
is the toggles of each gate's output times the inputs that it drives, one at each bit of the product, without glitches;
area and delay are in unit gates, the sum and the longest path.

A figure is that of the published exact multiplier of the same width times the ratio of these units, to an exponent near
1: in large circuits glitches and wires take their share. The exponents are fitted to the other 12 of the 13 published
designs. `benchmarks/multipliers.py` prints how well the published figures are met, and how well with exponents of 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from frugalnas.core import InputError
from frugalnas.multipliers.family import BITS, Family
from frugalnas.multipliers.gates import ONE, ZERO, Codes, Growing, Netlist, live, measured, switched
from frugalnas.multipliers.published import EXACT, PUBLISHED

EXPONENTS = (1.15, 0.9, 0.75)  # of switched capacitance, area and delay


@lru_cache(maxsize=1024)
def array(design: Family) -> Netlist:
    """The circuit of a member of the family."""
    width = BITS + design.bits
    made = Growing(2 + width)
    rows: list[dict[int, int]] = []
    constant = 0
    for j in range(design.hb, design.bits):
        row = {}
        for i in range(max(design.ha, design.v - j), BITS):
            a, b = 2 + i, 2 + BITS + j
            if design.signed and (i == BITS - 1) != (j == design.bits - 1):
                row[i + j] = made.gate("nand", a, b)
                constant -= 1 << (i + j)
            else:
                row[i + j] = made.gate("and", a, b)
        rows.append(row)
    sums = [ONE if constant >> k & 1 else ZERO for k in range(width)]
    carries = [ZERO] * width
    for row in rows:
        following = [ZERO] * (width + 1)
        for k in range(width):
            sums[k], following[k + 1] = made.add(row.get(k, ZERO), sums[k], carries[k])
        carries = following[:width]
    outputs, carry = [], ZERO
    for k in range(width):
        bit, carry = made.add(sums[k], carries[k], carry)
        outputs.append(bit)
    return live(Netlist((BITS, design.bits), tuple(made.gates), tuple(outputs)))


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of one multiplier in 45 nm, by the unit-gate model."""

    power_mw: float
    area_um2: float
    delay_ns: float


@lru_cache(maxsize=4096)
def estimate(design: Family) -> Estimate:
    """Power for uniformly random operands, area and delay; the same for either order of two 8-bit operands."""
    return _scaled(units(design), design.signed, design.bits)


def estimate_of(netlist: Netlist, signed: bool) -> Estimate:
    """Of another circuit."""
    return _scaled(measured(netlist), signed, netlist.widths[1])


def _scaled(found: tuple[float, float, float], signed: bool, bits: int) -> Estimate:
    near = Family(0, 0, 0, signed and bits == BITS, bits)  # of signed 8xN with N < 8 nothing is published
    known = PUBLISHED.get(near) or EXACT[near]
    power, area, delay = (
        (unit / exact) ** exponent for unit, exact, exponent in zip(found, units(near), EXPONENTS, strict=True)
    )
    return Estimate(known.power_mw * power, known.area_um2 * area, known.delay_ns * delay)


def power_mw(design: Family, a: Codes | None = None, b: Codes | None = None) -> float:
    """Power by the unit-gate model: of uniformly random operands, or of the sequence of multiplications a[t] * b[t].

    `a`, `b`: codes or their bit patterns, as many of the one as of the other, two or more. Raises InputError.
    """
    return estimate(design).power_mw * (1 if a is None and b is None else activity(design, a, b))


def activity(design: Family, a: Codes | None, b: Codes | None) -> float:
    """What the sequence of multiplications a[t] * b[t] switches, relative to random operands: see `power_mw`."""
    if a is None or b is None or a.ndim != 1 or a.shape != b.shape or len(a) < 2:
        shapes = " and ".join("none" if codes is None else str(codes.shape) for codes in (a, b))
        raise InputError(f"operand sequences of shapes {shapes}: expected two of one length, at least 2")
    ordered = _ordered(design)
    pair = (a, b) if ordered == design else (b, a)
    uniform = units(design)[0]
    return switched(array(ordered), *pair) / uniform if uniform else 1.0


@lru_cache(maxsize=4096)
def units(design: Family) -> tuple[float, float, float]:
    """Switched capacitance of uniformly random operands, area and longest path, in unit gates."""
    return measured(array(_ordered(design)))


def _ordered(design: Family) -> Family:
    """The one of the two operand orders that is built."""
    if design.bits == BITS and design.ha < design.hb:
        return replace(design, ha=design.hb, hb=design.ha)
    return design
