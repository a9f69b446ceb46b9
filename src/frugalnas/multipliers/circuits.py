"""Multipliers from circuits that others describe: objects of ariths-gen, and gates as a CGP chromosome."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalnas.core import InputError
from frugalnas.multipliers.family import BITS, codes
from frugalnas.multipliers.gates import ONE, ZERO, Gate, Growing, Netlist, live

_KINDS: dict[int, Gate] = {1: "not", 2: "and", 3: "or", 4: "xor", 5: "nand", 6: "nor", 7: "xnor"}
_NODE = re.compile(r"\(\[(\d+)\](\d+),(\d+),(\d+)\)")
_CHROMOSOME = re.compile(r"\{(\d+),(\d+),1,(\d+),2,1,\d+\}((?:\(\[\d+\]\d+,\d+,\d+\))*)\(([\d,]+)\)\s*")


def netlist_of(chromosome: str, widths: tuple[int, int]) -> Netlist:
    """Of the text {inputs,outputs,1,nodes,2,1,..}([net]x,y,function)...(outputs), as ariths-gen writes it.

    Nets 0 and 1 are the constants, the inputs follow, lowest bit of the first operand first. Raises InputError.
    """
    found = _CHROMOSOME.fullmatch(chromosome)
    if not found or int(found[1]) != sum(widths):
        raise InputError(f"a circuit whose gates cannot be read: expected a CGP chromosome of {sum(widths)} inputs")
    made = Growing(2 + sum(widths))
    net = {number: number for number in range(made.first)}
    try:
        for number, x, y, function in (map(int, node.groups()) for node in _NODE.finditer(found[4])):
            if function in (0, 8, 9):
                net[number] = net[x] if function == 0 else ONE if function == 8 else ZERO
            else:
                one = net[x]
                net[number] = made.gate(_KINDS[function], one, one if function == 1 else net[y])
        outputs = tuple(net[int(output)] for output in found[5].split(","))
    except KeyError as error:
        raise InputError(f"a circuit whose gates cannot be read: {error} is no net or function before it") from None
    return live(Netlist(widths, tuple(made.gates), outputs))


def products_of(circuit: Any, signed: bool) -> NDArray[np.int64]:
    """The table (256, 2**N) of a circuit of ariths-gen: its operands are called on as arrays. Raises InputError."""
    widths = widths_of(circuit)
    rows, columns = codes(BITS, signed).astype(np.int64), codes(widths[1], signed).astype(np.int64)
    return np.asarray(circuit(rows[:, None], columns[None, :]), dtype=np.int64)


def widths_of(circuit: Any) -> tuple[int, int]:
    """Bits of the operands, of which ariths-gen widens the narrower to the other. Raises InputError.

    Anything is refused but a circuit of an 8-bit operand and one of 2 to 8.
    """
    first, second = (getattr(getattr(circuit, name, None), "N", None) for name in ("a", "b"))
    if not callable(circuit) or first != BITS or second not in range(2, BITS + 1):
        raise InputError(
            f"{type(circuit).__name__} with operands of {first} and {second} bits: expected a multiplier of ariths-gen "
            "whose operand a has 8 bits and b from 2 to 8"
        )
    return BITS, int(second or 0)


def gates_of(circuit: Any) -> Netlist | None:
    """The gates of a circuit of ariths-gen; None where it does not write them as a chromosome."""
    text = io.StringIO()
    try:
        circuit.get_cgp_code_flat(text)
        return netlist_of(text.getvalue(), widths_of(circuit))
    except (AttributeError, InputError):
        return None
