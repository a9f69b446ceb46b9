"""A multiplier as a value: what it makes of every pair of operands, what it costs, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalnas.core import InputError
from frugalnas.multipliers import circuits, files, synthesis
from frugalnas.multipliers import family as families
from frugalnas.multipliers.errors import Errors, errors_of
from frugalnas.multipliers.factorise import factorise, rank_of
from frugalnas.multipliers.factors import Factors
from frugalnas.multipliers.family import BITS, Family
from frugalnas.multipliers.files import PowerSource
from frugalnas.multipliers.gates import Codes, products
from frugalnas.multipliers.netlist import activity, estimate, estimate_of
from frugalnas.multipliers.published import published

SWAP, SIGN = "+swap", "+sign"  # ends of names: operands exchanged, signed weights
_FACTS = ("name", "source", "signed", "power_mw", "power_source", "area_um2", "delay_ns", "swapped")


@dataclass(frozen=True, eq=False)
class Multiplier:
    """A table of products of an 8-bit code and an N-bit one (N = 2 to 8), with the power that it takes.

    `table`: int32 (256, 2**N), read-only; row and column are the codes' bit patterns, so that of a signed code x it is
    row x & 255. In a layer the row is the activation and the column the weight. `signed`: whether rows, and columns,
    are two's complement. `power_mw`, `area_um2`, `delay_ns`: of one multiplier in 45 nm; `power_source` says whether
    the power was published for this design, is of the unit-gate model, or was given. `source`: where the table comes
    from, its family parameters or the file and its SHA-256. `swapped`: the operands are exchanged: the activation goes
    to what the source calls its second operand. `design`: its numbers where it is a member of the family. `form`: known
    factors of the table where it is not. `circuit`: the unsigned member that the signs of `sign_magnitude` go past.
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
    design: Family | None = None
    form: Factors | None = None
    circuit: Family | None = None

    @staticmethod
    def family(ha: int, hb: int, v: int, signed: bool = True, bits: int = 8) -> Multiplier:
        """The array multiplier that keeps the partial product of bits a_i and b_j where i >= ha, j >= hb, i + j >= v.

        `bits`: of the second operand. Raises InputError for numbers out of range.
        """
        design = Family(ha, hb, v, signed, bits)
        table = _fixed(families.table(design))
        known = published(design)
        figures = known or estimate(design)
        return Multiplier(
            *(design.name, table, (signed, signed), figures.power_mw, "published" if known else "model"),
            f"family {design.name}",
            *(figures.area_um2, figures.delay_ns),
            design=design,
        )

    @staticmethod
    def load(
        path: str | Path,
        signed: bool = False,
        power_mw: float | None = None,
        bits: int = BITS,
        swapped: bool = False,
        name: str = "",
    ) -> Multiplier:
        """A table of products from a file: of `save`, which has all the rest itself, or with `power_mw`:

        .bin: 256 * 2**bits little-endian uint16, or int16 where `signed`; .npy: whole numbers (256, 2**bits). The row
        is the first operand; `swapped` gives the activation to the second. Raises InputError for anything else.
        """
        file = Path(path)
        if file.suffix == files.SUFFIX:
            if (signed, power_mw, bits, name) != (False, None, BITS, ""):
                raise InputError(
                    f"{file}: says itself what it is: expected no signed, power_mw, bits or name beside it"
                )
            found = _restored(file)
        else:
            if bits not in range(2, BITS + 1):
                raise InputError(f"{file}: bits = {bits!r}: expected 2 to {BITS}")
            table = files.read_table(file, signed, bits)
            power = files.required_power(power_mw, str(file))
            found = Multiplier(name or file.stem, _fixed(table), (signed, signed), power, "given", f"file {file.name}")
        return found.swap() if swapped else found

    @staticmethod
    def from_circuit(circuit: Any, signed: bool = False, power_mw: float | None = None, name: str = "") -> Multiplier:
        """Of an object of ariths-gen, whose operand a, of 8 bits, is the row. Raises InputError.

        Power is of the unit-gate model unless given.
        """
        name, source = name or type(circuit).__name__, f"ariths-gen {type(circuit).__name__}"
        widths = circuits.widths_of(circuit)
        found = circuits.products_of(circuit, signed)
        table = _fixed(files.checked(found, (signed, signed), widths[1], name))
        gates = circuits.gates_of(circuit) if power_mw is None else None
        if gates is not None:
            figures = estimate_of(gates, signed)
            return Multiplier(
                *(name, table, (signed, signed), figures.power_mw, "model", source, figures.area_um2, figures.delay_ns)
            )
        return Multiplier(name, table, (signed, signed), files.required_power(power_mw, name), "given", source)

    @staticmethod
    def from_verilog(path: str | Path, top: str, signed: bool = False) -> Multiplier:
        """Of the module `top`, whose inputs have 8 and 2 to 8 bits, synthesised by Yosys; its power is modelled.

        Needs pip install 'frugalnas[synthesis]'. Raises InputError.
        """
        gates = synthesis.synthesised(path, top)
        rows, columns = np.divmod(np.arange(256 << gates.widths[1]), 1 << gates.widths[1])
        found = products(gates, rows, columns, signed).reshape(256, -1)
        table = _fixed(files.checked(found, (signed, signed), gates.widths[1], str(path)))
        power = synthesis.power_of(gates, signed)
        return Multiplier(top, table, (signed, signed), power, "model", f"module {top} of {Path(path).name}")

    def save(self, path: str | Path) -> None:
        """Write everything into one .safetensors file, which `load` reads. Raises InputError."""
        known = self.design or self.circuit
        design = (known.ha, known.hb, known.v) if known else None
        fields = {name: getattr(self, name) for name in _FACTS}
        files.write_saved(Path(path), self.table, files.Facts(design=design, sha256=self.sha256, **fields))

    @cached_property
    def exact(self) -> NDArray[np.int32]:
        """The products that an exact multiplier of these operands makes: int32 (256, 2**N)."""
        rows, columns = families.codes(BITS, self.signed[0]), families.codes(self.bits, self.signed[1])
        return np.multiply.outer(rows, columns)

    def errors(self) -> Errors:
        """Against `exact`, over all pairs of operands."""
        return self._errors

    @cached_property
    def _errors(self) -> Errors:
        return errors_of(self.table, self.exact)

    @cached_property
    def sha256(self) -> str:
        """Of the table, as little-endian int32: equal tables have equal sums whatever their names."""
        return files.sha256_of(self.table)

    @property
    def bits(self) -> int:
        """Of the second operand, the weight."""
        return int(self.table.shape[1]).bit_length() - 1

    def swap(self) -> Multiplier:
        """The same circuit with its operands exchanged; itself where that is no difference.

        Raises InputError unless both operands have 8 bits.
        """
        if self.bits != BITS:
            raise InputError(f"{self.name}: its operands have 8 and {self.bits} bits and cannot be exchanged")
        if self.signed[0] == self.signed[1] and np.array_equal(self.table, self.table.T):
            return self
        return replace(
            self,
            name=self.name.removesuffix(SWAP) if self.name.endswith(SWAP) else self.name + SWAP,
            table=_fixed(self.table.T),
            signed=self.signed[::-1],
            swapped=not self.swapped,
            design=self.design and replace(self.design, ha=self.design.hb, hb=self.design.ha),
            form=self.form and Factors(self.form.columns, self.form.rows),
            circuit=None,
        )

    def sign_magnitude(self) -> Multiplier:
        """An unsigned multiplier that takes signed weights: their sign goes past it to the product.

        table[a, w] = sign(w) * T[a, |w|]: rows stay unsigned, columns become two's complement; -128 has the size 128.
        Power, area and delay are those of the unsigned circuit. Raises InputError where an operand is signed already.
        """
        if any(self.signed):
            raise InputError(f"{self.name}: only a multiplier of two unsigned operands can be given signs")
        weights = families.codes(self.bits, signed=True)
        sign = np.sign(weights)
        found = self.factors
        return replace(
            self,
            name=self.name + SIGN,
            table=_fixed(self.table[:, np.abs(weights)] * sign),
            signed=(False, True),
            design=None,
            circuit=self.design,
            form=found and Factors(found.rows, found.columns[np.abs(weights)] * sign[:, None], found.shifts),
        )

    @cached_property
    def factors(self) -> Factors | None:
        """Integers U (256, R), V (2**N, R) with table == U @ V.T and R <= 16; None where there are none."""
        if self.design:
            return families.factors(self.design)
        return self.form or factorise(self.table, self.exact)

    @cached_property
    def exact_rank(self) -> int:
        """Of the table over the rational numbers, however large."""
        return rank_of(self.table)

    def power_of(self, rows: Codes, columns: Codes) -> float:
        """mW for a sequence of multiplications, as many row codes (activations) as column codes (weights), two or more.

        `power_mw` times what the sequence switches relative to random operands, by the unit-gate model. Raises
        InputError for a multiplier that is no member of the family, as its gates are not known.
        """
        if self.design:
            return self.power_mw * activity(self.design, rows, columns)
        if self.circuit:
            sizes = np.abs(families.codes(self.bits, signed=True))[columns & (1 << self.bits) - 1]
            return self.power_mw * activity(self.circuit, rows, sizes)
        raise InputError(f"{self.name}: its gates are not known, and so not its power for given operands")

    @property
    def rank(self) -> int | None:
        """The R of `factors`."""
        return None if self.factors is None else self.factors.rank


def _fixed(table: NDArray[np.int32]) -> NDArray[np.int32]:
    """As read-only int32 in row order."""
    made = np.ascontiguousarray(table, dtype=np.int32)
    made.flags.writeable = False
    return made


def _restored(path: Path) -> Multiplier:
    """Of a file that `save` wrote; nothing in it is believed that can be checked."""
    table, facts = files.read_saved(path)
    fields = {name: getattr(facts, name) for name in _FACTS}
    found = Multiplier(table=_fixed(table), **fields)
    if facts.design is None:
        return found
    design = Family(*facts.design, facts.signed[0], found.bits)
    member = Multiplier.family(design.ha, design.hb, design.v, design.signed, design.bits)
    known = member.sign_magnitude() if facts.signed == (False, True) else member
    if known.signed != facts.signed or not np.array_equal(known.table, table):
        raise InputError(f"{path}: its table is not the one of {design.name}, which it names")
    return replace(found, design=known.design, circuit=known.circuit, form=known.form)
