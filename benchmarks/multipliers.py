"""How well the unit-gate model meets the published figures of multipliers, and what the default library is.

    python benchmarks/multipliers.py [--data PATH] [--yosys]

Prints, for the 13 published signed designs: power, area and delay of the model beside the published ones, with
exponents of 1 (a single scale each) and with those in use; each design also with the exponent fitted to the other ones.
The scales are those of the exact design, which is left out of the errors. Then the front of power and error of the
whole family. With --data, a folder that has evoapprox/ (tables as .bin, figures as evoapproxlib_table.csv): ranks,
factors and errors of its tables beside the published errors. With --yosys, the power of the same gates after Yosys.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np

from frugalnas.multipliers import Multiplier, library
from frugalnas.multipliers.factorise import factorise, rank_of
from frugalnas.multipliers.family import Family
from frugalnas.multipliers.gates import Netlist
from frugalnas.multipliers.netlist import EXPONENTS, array, units
from frugalnas.multipliers.published import EXACT, PUBLISHED
from frugalnas.multipliers.synthesis import synthesised_power_mw
from frugalnas.ranking import spearman
from frugalnas.report import table as text_table

QUANTITIES = ("power", "area", "delay")


def model() -> None:
    designs = [*PUBLISHED]
    for index, quantity in enumerate(QUANTITIES):
        known = np.array([figures(design)[index] for design in designs])
        counted = np.array([units(design)[index] for design in designs])
        x, y = np.log(counted / counted[0]), np.log(known / known[0])
        others = [fitted(np.delete(x, i), np.delete(y, i)) for i in range(len(x))]
        made = {
            "exponent 1": known[0] * np.exp(x),
            f"exponent {EXPONENTS[index]}": known[0] * np.exp(x * EXPONENTS[index]),
            "of the others": known[0] * np.exp(x * others),
        }
        rows = [
            [design.name, f"{value:.4g}", *(f"{100 * (values[i] / value - 1):+.1f} %" for values in made.values())]
            for i, (design, value) in enumerate(zip(designs, known, strict=True))
        ]
        print(f"\n{quantity} of the published designs\n{text_table(['design', 'published', *made], rows)}")
        for name, values in made.items():
            print(f"{name}: {summary(values[1:], known[1:])}")
        print(f"exponents fitted to all but one: {min(others):.3f} to {max(others):.3f}")


def fitted(x: np.ndarray, y: np.ndarray) -> float:
    return float((x * y).sum() / (x * x).sum())


def figures(design: Family) -> tuple[float, float, float]:
    found = (PUBLISHED | EXACT)[design]
    return found.power_mw, found.area_um2, found.delay_ns


def summary(made: Sequence[float], known: Sequence[float]) -> str:
    errors = [100 * abs(one / other - 1) for one, other in zip(made, known, strict=True)]
    pearson = float(np.corrcoef(made, known)[0, 1])
    return (
        f"median error {median(errors):.1f} %, largest {max(errors):.1f} %, Pearson {pearson:.4f}, "
        f"Spearman {spearman([*made], [*known]):.3f}"
    )


def narrow() -> None:
    """Exact unsigned designs of narrower weights, from the one of 8x8."""
    whole = Family(0, 0, 0, signed=False)
    rows = []
    for design in EXACT:
        ratio = units(design)[0] / units(whole)[0]
        made = [figures(whole)[0] * ratio**exponent for exponent in (1, EXPONENTS[0])]
        known = figures(design)[0]
        rows.append([design.name, f"{known:.3f}", *(f"{100 * (value / known - 1):+.1f} %" for value in made)])
    header = ["exact", "published mW", "exponent 1", f"exponent {EXPONENTS[0]}"]
    print(f"\npower of exact unsigned designs, by the scale of 8x8\n{text_table(header, rows)}")


def front() -> None:
    for signed in (True, False):
        start = time.perf_counter()
        members, usual = library.family_members(signed), library.usual(signed)
        seconds = time.perf_counter() - start
        exact = library.exact(signed).power_mw
        rows = []
        for member in usual:
            found = member.errors()
            power = [f"{member.power_mw:.4f}", member.power_source, f"{member.power_mw / exact:.3f}"]
            errors = [f"{value:.4g}" for value in (found.mae_percent, found.wce_percent, found.mre_percent)]
            rows.append([member.name, *power, *errors, str(member.rank)])
        print(f"\n{len(usual)} of {len(members)} {'signed' if signed else 'unsigned'} designs, in {seconds:.2f} s")
        print(text_table(["design", "mW", "source", "relative", "MAE %", "WCE %", "MRE %", "rank"], rows))


def tables(folder: Path) -> None:
    with (folder / "evoapproxlib_table.csv").open(newline="") as file:
        published = {row["name"]: row for row in csv.DictReader(file)}
    rows = []
    for path in sorted(folder.glob("*.bin")):
        row = published.get(path.stem)
        found = Multiplier.load(path, power_mw=float(row["pwr"]) if row else 0)
        start = time.perf_counter()
        factors = factorise(found.table, found.exact)
        seconds = time.perf_counter() - start
        errors = found.errors()
        values = {
            "mae%": errors.mae_percent,
            "wce%": errors.wce_percent,
            "mre%": errors.mre_percent,
            "ep%": errors.ep_percent,
        }
        cells = [f"{value:.3g} ({row[key] if row else '-'})" for key, value in values.items()]
        bound = f"{factors.rank}, {factors.bound:,}" if factors else "-"
        ranks = [str(found.exact_rank), str(rank_of(found.table - found.exact))]
        rows.append([path.stem, *ranks, bound, f"{seconds:.2f}", *cells])
    header = ["table", "rank", "of error", "factors, bound", "s", "MAE % (published)", "WCE %", "MRE %", "EP %"]
    print(f"\n{text_table(header, rows)}")


def yosys() -> None:
    made, known = [], []
    with tempfile.TemporaryDirectory() as folder:
        for design, published in PUBLISHED.items():
            path = Path(folder) / "circuit.v"
            path.write_text(verilog(array(design)))
            made.append(synthesised_power_mw(path, "circuit", design.signed))
            known.append(published.power_mw)
            print(f"{design.name}: {made[-1]:.4f} mW, published {known[-1]}")
    print(f"by Yosys, 13 designs: {summary(made, known)}")


def verilog(netlist: Netlist) -> str:
    """The gates, one by one."""
    names = ["1'b0", "1'b1", *(f"{operand}[{bit}]" for operand in "ab" for bit in range(8))]
    names += [f"n{net}" for net in range(netlist.first, netlist.first + len(netlist.gates))]
    lines = ["module circuit (input [7:0] a, input [7:0] b, output [15:0] o);"]
    for net, (kind, x, y) in enumerate(netlist.gates, start=netlist.first):
        pins = [names[net], names[x]] if kind == "not" else [names[net], names[x], names[y]]
        lines.append(f"  wire {names[net]}; {kind} (" + ", ".join(pins) + ");")
    lines += [f"  assign o[{bit}] = {names[net]};" for bit, net in enumerate(netlist.outputs)]
    return "\n".join([*lines, "endmodule", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder that has evoapprox/")
    parser.add_argument("--yosys", action="store_true", help="also synthesise the 13 designs; needs pyosys")
    options = parser.parse_args()
    model()
    narrow()
    front()
    if options.data:
        tables(options.data / "evoapprox")
    if options.yosys:
        yosys()


if __name__ == "__main__":
    main()
