"""The gates of an array multiplier, and from how often they switch an estimate of its power, area and delay.

An array of AND gates (Baugh-Wooley: NAND where exactly one bit is a sign), added row by row by carry-save full adders
and a ripple at the end; constants folded, equal gates shared, gates that no output needs dropped. Power is the
capacitance that switches: toggles of each gate's output times the inputs that it drives, without glitches. Area and
delay are sums of unit gates and the longest path. One constant each scales them, by the published exact multiplier of
the same width.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from frugalnas.core import InputError
from frugalnas.multipliers.family import BITS, Family
from frugalnas.multipliers.published import published

Gate = Literal["and", "nand", "or", "nor", "xor", "xnor", "not"]
Words = NDArray[np.uint64]
Codes = NDArray[np.integer[Any]]

CAPACITANCE: dict[Gate, float] = {"and": 1, "nand": 1, "or": 1, "nor": 1, "xor": 2, "xnor": 2, "not": 0.5}  # an input's
AREA: dict[Gate, float] = {"and": 1.5, "nand": 1.5, "or": 1.5, "nor": 1.5, "xor": 2.5, "xnor": 2.5, "not": 0.5}
DELAY: dict[Gate, float] = {"and": 1, "nand": 1, "or": 1, "nor": 1, "xor": 2, "xnor": 2, "not": 0.5}
VECTORS = 20_000  # multiplications that random operands are simulated for
ZERO, ONE = 0, 1  # nets; 2 and on are the bits of the first operand, then of the second, then the gates' outputs


@dataclass(frozen=True)
class Netlist:
    """`gates`: (kind, net, net), the second net of a "not" repeats the first; the net of gate g is 2 + inputs + g.

    `widths`: bits of the two operands. `outputs`: the net of each bit of the product, lowest first.
    """

    widths: tuple[int, int]
    gates: tuple[tuple[Gate, int, int], ...]
    outputs: tuple[int, ...]

    @property
    def first(self) -> int:
        """The net of gate 0."""
        return 2 + sum(self.widths)


@dataclass
class _Growing:
    """Gates as they are asked for: folds constants and shares equal ones."""

    first: int
    gates: list[tuple[Gate, int, int]] = field(default_factory=list)
    known: dict[tuple[Gate, int, int], int] = field(default_factory=dict)
    inverse: dict[int, int] = field(default_factory=lambda: {ZERO: ONE, ONE: ZERO})

    def _gate(self, kind: Gate, x: int, y: int) -> int:
        key = (kind, min(x, y), max(x, y))
        if key not in self.known:
            self.known[key] = self.first + len(self.gates)
            self.gates.append(key)
        return self.known[key]

    def invert(self, x: int) -> int:
        if x not in self.inverse:
            made = self._gate("not", x, x)
            self.inverse[x], self.inverse[made] = made, x
        return self.inverse[x]

    def both(self, x: int, y: int) -> int:
        if ZERO in (x, y) or self.inverse.get(x) == y:
            return ZERO
        if x == y or ONE in (x, y):
            return x if y == ONE else y
        return self._gate("and", x, y)

    def either(self, x: int, y: int) -> int:
        if ONE in (x, y) or self.inverse.get(x) == y:
            return ONE
        if x == y or ZERO in (x, y):
            return x if y == ZERO else y
        return self._gate("or", x, y)

    def differ(self, x: int, y: int) -> int:
        if x == y:
            return ZERO
        if self.inverse.get(x) == y:
            return ONE
        for one, other in ((x, y), (y, x)):
            if one in (ZERO, ONE):
                return other if one == ZERO else self.invert(other)
        return self._gate("xor", x, y)

    def add(self, x: int, y: int, z: int) -> tuple[int, int]:
        """Sum and carry of a full adder."""
        half = self.differ(x, y)
        return self.differ(half, z), self.either(self.both(x, y), self.both(half, z))


@lru_cache(maxsize=1024)
def array(design: Family) -> Netlist:
    """The circuit of a member of the family."""
    width = BITS + design.bits
    made = _Growing(2 + width)
    rows: list[dict[int, int]] = []
    constant = 0
    for j in range(design.hb, design.bits):
        row = {}
        for i in range(max(design.ha, design.v - j), BITS):
            a, b = 2 + i, 2 + BITS + j
            if design.signed and (i == BITS - 1) != (j == design.bits - 1):
                row[i + j] = made._gate("nand", a, b)
                constant -= 1 << (i + j)
            else:
                row[i + j] = made.both(a, b)
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
    return _live(Netlist((BITS, design.bits), tuple(made.gates), tuple(outputs)))


def _live(netlist: Netlist) -> Netlist:
    """Without the gates that no output needs."""
    needed = set(netlist.outputs)
    for number in reversed(range(len(netlist.gates))):
        if netlist.first + number in needed:
            needed.update(netlist.gates[number][1:])
    kept = [number for number in range(len(netlist.gates)) if netlist.first + number in needed]
    name = {net: net for net in range(netlist.first)}
    name |= {netlist.first + number: netlist.first + new for new, number in enumerate(kept)}
    gates = tuple((kind, name[x], name[y]) for kind, x, y in (netlist.gates[number] for number in kept))
    return Netlist(netlist.widths, gates, tuple(name[net] for net in netlist.outputs))


def nets(netlist: Netlist, a: Codes, b: Codes) -> Words:
    """The value of every net for every pair of codes, 64 pairs a word: uint64 (nets, ceil(len(a) / 64))."""
    words = -(-len(a) // 64)
    values = np.zeros((netlist.first + len(netlist.gates), words), dtype=np.uint64)
    values[ONE] = ~values[ZERO]
    bits = [codes >> bit & 1 for codes, width in zip((a, b), netlist.widths, strict=True) for bit in range(width)]
    packed = np.packbits(np.array(bits, dtype=bool), axis=1, bitorder="little")
    values[2 : netlist.first] = np.pad(packed, ((0, 0), (0, words * 8 - packed.shape[1]))).view("<u8")
    for net, (kind, x, y) in enumerate(netlist.gates, start=netlist.first):
        out = values[net]
        if kind in ("and", "nand"):
            np.bitwise_and(values[x], values[y], out=out)
        elif kind in ("or", "nor"):
            np.bitwise_or(values[x], values[y], out=out)
        elif kind in ("xor", "xnor"):
            np.bitwise_xor(values[x], values[y], out=out)
        else:
            out[:] = values[x]
        if kind in ("nand", "nor", "xnor", "not"):
            np.invert(out, out=out)
    return values


def products(netlist: Netlist, a: Codes, b: Codes, signed: bool) -> NDArray[np.int32]:
    """What the circuit makes of each pair of codes: int32 (len(a),)."""
    values = nets(netlist, a, b)[list(netlist.outputs)]
    bits = np.unpackbits(values.astype("<u8").view(np.uint8), axis=1, bitorder="little")[:, : len(a)]
    weights = 1 << np.arange(len(netlist.outputs), dtype=np.int32)
    if signed:
        weights[-1] *= -1
    return np.asarray(weights @ bits.astype(np.int32), dtype=np.int32)


def toggles(values: Words, length: int) -> NDArray[np.int64]:
    """How often each net of `nets` changes from one of `length` pairs to the next: int64 (nets,)."""
    following = values >> np.uint64(1)
    following[:, :-1] |= values[:, 1:] << np.uint64(63)
    changed = values ^ following
    last, rest = divmod(length - 1, 64)
    changed[:, last] &= np.uint64((1 << rest) - 1)
    return np.asarray(np.bitwise_count(changed[:, : last + 1]).sum(axis=1), dtype=np.int64)


def switched(netlist: Netlist, a: Codes, b: Codes) -> float:
    """Capacitance that the gates' outputs switch per multiplication, in inputs of an AND gate."""
    load = np.zeros(netlist.first + len(netlist.gates))
    for kind, x, y in netlist.gates:
        for net in {x, y}:
            load[net] += CAPACITANCE[kind]
    counted = toggles(nets(netlist, a, b), len(a))
    return float((counted * load)[netlist.first :].sum()) / (len(a) - 1)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of one multiplier in 45 nm, by the unit-gate model."""

    power_mw: float
    area_um2: float
    delay_ns: float


@lru_cache(maxsize=4096)
def estimate(design: Family) -> Estimate:
    """Power for uniformly random operands, area and delay; the same for either order of two 8-bit operands."""
    units, scale = _units(_ordered(design)), _scale(design.signed, design.bits)
    return Estimate(*(unit * each for unit, each in zip(units, scale, strict=True)))


def power_mw(design: Family, a: Codes | None = None, b: Codes | None = None) -> float:
    """Power by the unit-gate model: of uniformly random operands, or of the sequence of multiplications a[t] * b[t].

    `a`, `b`: codes or their bit patterns, as many of the one as of the other, two or more. Raises InputError.
    """
    if a is None and b is None:
        return estimate(design).power_mw
    if a is None or b is None or a.ndim != 1 or a.shape != b.shape or len(a) < 2:
        shapes = " and ".join("none" if codes is None else str(codes.shape) for codes in (a, b))
        raise InputError(f"operand sequences of shapes {shapes}: expected two of one length, at least 2")
    ordered = _ordered(design)
    pair = (a, b) if ordered == design else (b, a)
    return switched(array(ordered), *pair) * _scale(design.signed, design.bits)[0]


def _ordered(design: Family) -> Family:
    """The one of the two operand orders that is built."""
    if design.bits == BITS and design.ha < design.hb:
        return replace(design, ha=design.hb, hb=design.ha)
    return design


@lru_cache(maxsize=4096)
def _units(design: Family) -> tuple[float, float, float]:
    """Switched capacitance of random operands, area and longest path, in unit gates."""
    netlist = array(design)
    rng = np.random.default_rng(0)
    a, b = (rng.integers(1 << width, size=VECTORS + 1) for width in netlist.widths)
    arrival = [0.0] * netlist.first
    for kind, x, y in netlist.gates:
        arrival.append(max(arrival[x], arrival[y]) + DELAY[kind])
    area = sum(AREA[kind] for kind, _, _ in netlist.gates)
    return switched(netlist, a, b), area, max(arrival[net] for net in netlist.outputs)


@lru_cache(maxsize=32)
def _scale(signed: bool, bits: int) -> tuple[float, float, float]:
    """mW, um2 and ns per unit: such that the exact design of this width has its published figures.

    None is published of signed designs with a narrower operand; they get the unsigned one's, times the ratio at 8 bits.
    """
    exact = Family(0, 0, 0, signed, bits)
    known = published(exact)
    if known is None:
        power, area, delay = (
            here * there / other
            for here, there, other in zip(_scale(False, bits), _scale(True, BITS), _scale(False, BITS), strict=True)
        )
        return power, area, delay
    power, area, delay = _units(exact)
    return known.power_mw / power, known.area_um2 / area, known.delay_ns / delay
