"""A user's Verilog netlist to gates, by Yosys (`pyosys`), and its power by the unit-gate model."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from frugalnas.core import InputError
from frugalnas.multipliers.family import BITS
from frugalnas.multipliers.gates import ONE, ZERO, Gate, Growing, Netlist, live, measured

UNIT_MW = {True: 1.427e-3, False: 1.446e-3}  # by signedness: so that the exact array has its published power afterwards
_SECONDS = 120
_PASSES = (
    "read_verilog {file}",
    "hierarchy -check -top {top}",
    "proc",
    "flatten",
    "opt",
    "techmap",
    "opt",
    "abc -g AND,NAND,OR,NOR,XOR,XNOR",
    "opt_clean -purge",
    "write_json {out}",
)
_CELLS: dict[str, Gate] = {f"$_{gate.upper()}_": gate for gate in ("and", "nand", "or", "nor", "xor", "xnor", "not")}
# in a process of its own: Yosys writes to stdout, and ends the process where it finds no way on
_PROGRAM = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for line in sys.argv[1:]:
    libyosys.run_pass(line, design)
"""


def synthesised_power_mw(path: str | Path, top: str, signed: bool = False) -> float:
    """Of one multiplier in 45 nm, module `top` of a Verilog file, for uniformly random operands: see `synthesised`."""
    return power_of(synthesised(path, top), signed)


def power_of(netlist: Netlist, signed: bool) -> float:
    """mW of a netlist that Yosys made."""
    return UNIT_MW[signed] * measured(netlist)[0]


def synthesised(path: str | Path, top: str) -> Netlist:
    """Two-input gates of the module `top`: inputs of 8 and of 2 to 8 bits in the order of its ports, one output.

    The file is read alone, without files beside it that it may include. Raises InputError.
    """
    source = Path(path).resolve()
    if not source.is_file():
        raise InputError(f"{path}: no such file")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", top):
        raise InputError(f"module {top!r}: expected a plain name of letters, digits and underscores")
    with tempfile.TemporaryDirectory() as folder:
        # copied under a name of ours, since a command of Yosys is one line of text
        copy, out = Path(folder) / "circuit.v", Path(folder) / "circuit.json"
        copy.write_bytes(source.read_bytes())
        complaint = _run([line.format(file=copy.name, out=out.name, top=top) for line in _PASSES], folder)
        if complaint or not out.is_file():
            raise InputError(f"{path}: Yosys says: {complaint}")
        return _netlist(json.loads(out.read_text(encoding="utf-8"))["modules"][top], f"{path}: module {top}")


def _run(lines: list[str], folder: str) -> str:
    """What Yosys complained of, or nothing."""
    if find_spec("pyosys") is None:
        raise InputError("synthesis needs Yosys: pip install 'frugalnas[synthesis]'")
    command = [sys.executable, "-c", _PROGRAM, *lines]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return f"nothing within {_SECONDS} s"
    if done.returncode == 0:
        return ""
    errors = [line for line in done.stderr.splitlines() if "ERROR" in line]
    return (errors or [f"exit code {done.returncode}"])[-1].removeprefix("circuit.v:")


def _netlist(module: dict[str, Any], what: str) -> Netlist:
    """From the JSON of Yosys: nets are numbers, or "0", "1" and "x" for constants."""
    ports = module["ports"].values()
    operands = [port["bits"] for port in ports if port["direction"] == "input"]
    results = [port["bits"] for port in ports if port["direction"] == "output"]
    widths = tuple(map(len, operands))
    if len(results) != 1 or len(widths) != 2 or widths[0] != BITS or widths[1] not in range(2, BITS + 1):
        raise InputError(f"{what}: inputs of {widths} bits: expected one of 8 and one of 2 to 8, and one output")
    net: dict[int | str, int] = {"0": ZERO, "1": ONE, "x": ZERO}
    net |= {bit: number for number, bit in enumerate((*operands[0], *operands[1]), start=2)}
    made = Growing(2 + sum(widths))
    waiting = {}
    for cell in module["cells"].values():
        if cell["type"] not in _CELLS:
            raise InputError(f"{what}: a cell of type {cell['type']}: expected gates without memory")
        pins = {pin: bits[0] for pin, bits in cell["connections"].items()}
        waiting[pins["Y"]] = (_CELLS[cell["type"]], pins["A"], pins.get("B", pins["A"]))
    while waiting:
        ready = [out for out, (_, x, y) in waiting.items() if x in net and y in net]
        if not ready:
            raise InputError(f"{what}: its gates form a loop")
        for out in ready:
            kind, x, y = waiting.pop(out)
            net[out] = made.gate(kind, net[x], net[y])
    if missing := [bit for bit in results[0] if bit not in net]:
        raise InputError(f"{what}: {len(missing)} bits of its output have no value")
    outputs = [net[bit] for bit in results[0]]
    width = sum(widths)
    return live(Netlist((BITS, widths[1]), tuple(made.gates), tuple((outputs + [ZERO] * width)[:width])))
