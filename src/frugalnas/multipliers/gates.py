"""Circuits of two-input gates: how they are built, what they compute, and how often they switch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

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
    """`gates`: (kind, net, net), the second net of a "not" repeats the first; the net of gate g is `first` + g.

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
class Growing:
    """Gates as they are asked for: folds constants and shares equal ones. `first`: the net of the first gate."""

    first: int
    gates: list[tuple[Gate, int, int]] = field(default_factory=list)
    known: dict[tuple[Gate, int, int], int] = field(default_factory=dict)
    inverse: dict[int, int] = field(default_factory=lambda: {ZERO: ONE, ONE: ZERO})

    def gate(self, kind: Gate, x: int, y: int) -> int:
        """The net with this function of two nets."""
        if x == y or self.inverse.get(x) == y or {x, y} & {ZERO, ONE}:
            return self._folded(kind, x, y)
        return self._placed(kind, x, y)

    def _folded(self, kind: Gate, x: int, y: int) -> int:
        if kind == "not":
            if x not in self.inverse:
                made = self._placed("not", x, x)
                self.inverse[x], self.inverse[made] = made, x
            return self.inverse[x]
        if kind in _INVERSE:
            inner = self._folded(_INVERSE[kind], x, y)
            return self._folded("not", inner, inner)
        x, y = min(x, y), max(x, y)  # a constant comes first
        if x == y:
            return ZERO if kind == "xor" else x
        if self.inverse.get(x) == y:
            return ZERO if kind == "and" else ONE
        if kind == "xor":
            return self._folded("not", y, y) if x == ONE else y
        return y if x == (ONE if kind == "and" else ZERO) else x

    def _placed(self, kind: Gate, x: int, y: int) -> int:
        key = (kind, min(x, y), max(x, y))
        if key not in self.known:
            self.known[key] = self.first + len(self.gates)
            self.gates.append(key)
        return self.known[key]

    def add(self, x: int, y: int, z: int) -> tuple[int, int]:
        """Sum and carry of a full adder."""
        half = self.gate("xor", x, y)
        carry = self.gate("or", self.gate("and", x, y), self.gate("and", half, z))
        return self.gate("xor", half, z), carry


_INVERSE: dict[Gate, Gate] = {"nand": "and", "nor": "or", "xnor": "xor"}
_OPERATION: dict[Gate, Callable[..., Any]] = {
    "and": np.bitwise_and,
    "nand": np.bitwise_and,
    "or": np.bitwise_or,
    "nor": np.bitwise_or,
    "xor": np.bitwise_xor,
    "xnor": np.bitwise_xor,
    "not": np.bitwise_and,  # of a net with itself
}


def live(netlist: Netlist) -> Netlist:
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
        out = _OPERATION[kind](values[x], values[y], out=values[net])
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
    for net in netlist.outputs:  # which lead to an adder
        load[net] += 1
    counted = toggles(nets(netlist, a, b), len(a))
    return float((counted * load)[netlist.first :].sum()) / (len(a) - 1)


def measured(netlist: Netlist) -> tuple[float, float, float]:
    """Switched capacitance of uniformly random operands, area and longest path, in unit gates."""
    rng = np.random.default_rng(0)
    a, b = (rng.integers(1 << width, size=VECTORS + 1) for width in netlist.widths)
    arrival = [0.0] * netlist.first
    for kind, x, y in netlist.gates:
        arrival.append(max(arrival[x], arrival[y]) + DELAY[kind])
    area = sum(AREA[kind] for kind, _, _ in netlist.gates)
    return switched(netlist, a, b), area, max(arrival[net] for net in netlist.outputs)
