"""Tables of products as files: read with every check that a file of unknown origin needs, and written."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from frugalnas.core import InputError
from frugalnas.multipliers.family import BITS, codes
from frugalnas.store import write_atomically

SUFFIX = ".safetensors"  # of a file that `Multiplier.save` writes
PowerSource = Literal["published", "model", "given"]
_KEY, _TABLE = "frugalnas.multiplier", "table"
_WIDTHS = {1 << bits for bits in range(2, BITS + 1)}
_LARGEST = 4 << 20  # bytes that any of these files can have


def read_table(path: Path, signed: bool, bits: int) -> NDArray[np.int32]:
    """The products (256, 2**bits) in a .bin or .npy file; row = first operand. Raises InputError."""
    if path.suffix not in (".bin", ".npy"):
        raise InputError(f"{path}: expected a table of products as .bin or .npy, or a multiplier saved as {SUFFIX}")
    require_file(path)
    values = _binary(path, signed, bits) if path.suffix == ".bin" else _array(path, bits)
    return checked(values, (signed, signed), bits, str(path))


def is_there(path: Path) -> bool:
    """Whether it is a file; any text is a path that may be asked for."""
    try:
        return path.is_file()
    except OSError:  # too long a name
        return False


def require_file(path: Path) -> None:
    """Raises InputError unless there is a file of a size that a table can have."""
    if not is_there(path):
        raise InputError(f"{path}: no such file")
    if path.stat().st_size > _LARGEST:
        raise InputError(f"{path}: {path.stat().st_size:,} bytes are no table of products")


def _binary(path: Path, signed: bool, bits: int) -> NDArray[np.integer[Any]]:
    content = path.read_bytes()
    expected = 2 * 256 << bits
    if len(content) != expected:
        raise InputError(
            f"{path}: {len(content):,} bytes; expected {expected:,}: {256 << bits:,} little-endian 16-bit products of "
            f"operands of 8 and {bits} bits"
        )
    return np.frombuffer(content, dtype="<i2" if signed else "<u2").reshape(256, 1 << bits)


def _array(path: Path, bits: int) -> NDArray[np.integer[Any]]:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception:  # NumPy raises many kinds of them for a damaged header
        raise InputError(f"{path}: not a .npy file of whole numbers") from None
    if values.dtype.kind not in "iu" or values.shape != (256, 1 << bits):
        raise InputError(
            f"{path}: {values.dtype} of shape {values.shape}; expected whole numbers of shape {(256, 1 << bits)}"
        )
    return np.array(values)


def checked(values: NDArray[np.integer[Any]], signed: tuple[bool, bool], bits: int, what: str) -> NDArray[np.int32]:
    """As int32, if they can be products of such operands. Raises InputError, also where the way to read is wrong."""
    width = BITS + bits
    low, high = (-(1 << width - 1), (1 << width - 1) - 1) if any(signed) else (0, (1 << width) - 1)
    if signed == (False, True) or signed == (True, False):
        low, high = -(1 << width), (1 << width) - 1
    least, most = int(values.min()), int(values.max())
    if least < low or most > high:
        hint = "; pass signed (--signed)?" if least < 0 and not any(signed) else ""
        raise InputError(f"{what}: products from {least:,} to {most:,}; expected {low:,} to {high:,}{hint}")
    table = values.astype(np.int32)
    if signed[0] == signed[1] and _likeness(table, _exact(signed[0], bits)) < 0.3:
        _refuse_other_readings(table, signed[0], bits, what)
    return table


def _refuse_other_readings(table: NDArray[np.int32], signed: bool, bits: int, what: str) -> None:
    width = BITS + bits
    patterns = table & (1 << width) - 1
    other = patterns if signed else patterns - (patterns >> width - 1 << width)
    if _likeness(other, _exact(not signed, bits)) > _LIKE:
        raise InputError(
            f"{what}: read as {_word(signed)} numbers these are no products, as {_word(not signed)} ones they are: "
            f"{'leave out' if signed else 'pass'} signed (--signed)"
        )
    if width == 16:
        swapped = ((patterns & 255) << 8) | (patterns >> 8)
        if _likeness(swapped - (swapped >> 15 << 16) if signed else swapped, _exact(signed, bits)) > _LIKE:
            raise InputError(f"{what}: its numbers are big-endian; expected little-endian")


def _word(signed: bool) -> str:
    return "signed" if signed else "unsigned"


def _exact(signed: bool, bits: int) -> NDArray[np.int32]:
    return np.multiply.outer(codes(BITS, signed), codes(bits, signed))


_LIKE = 0.8


def _likeness(table: NDArray[np.int32], exact: NDArray[np.int32]) -> float:
    """Correlation with the exact products; 1 of a table that is everywhere the same, of which nothing can be said."""
    if table.min() == table.max():
        return 1.0
    return float(np.corrcoef(table.ravel(), exact.ravel())[0, 1])


def required_power(power_mw: float | None, what: str) -> float:
    """`power_mw`, which a table says nothing of. Raises InputError where it is missing or no power."""
    if power_mw is None:
        raise InputError(f"{what}: a table says nothing of power: pass power_mw (--power-mw), that of one multiplier")
    if not math.isfinite(power_mw) or power_mw < 0:
        raise InputError(f"{what}: power_mw = {power_mw!r}: expected mW, a finite number from 0")
    return float(power_mw)


class Facts(BaseModel):
    """What a saved file says of its table: the fields of `Multiplier`, and the table's SHA-256.

    `design`: the numbers of the family member that it is, or whose circuit it is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    format: Literal[1] = 1
    name: Annotated[str, Field(min_length=1, max_length=200)]
    source: Annotated[str, Field(min_length=1, max_length=200)]
    signed: tuple[bool, bool]
    power_mw: float
    power_source: PowerSource
    area_um2: float | None
    delay_ns: float | None
    swapped: bool
    design: tuple[int, int, int] | None
    sha256: str


def write_saved(path: Path, table: NDArray[np.int32], facts: Facts) -> None:
    """A table and what is known of it, as safetensors with the facts as JSON in its header."""
    from safetensors.numpy import save

    if path.suffix != SUFFIX:
        raise InputError(f"{path}: expected a name that ends in {SUFFIX}")
    write_atomically(path, save({_TABLE: np.ascontiguousarray(table)}, metadata={_KEY: facts.model_dump_json()}))


def read_saved(path: Path) -> tuple[NDArray[np.int32], Facts]:
    """The table and the facts. Raises InputError for a file that `write_saved` did not write, or that is damaged."""
    from safetensors import SafetensorError, safe_open

    require_file(path)
    try:
        with safe_open(path, framework="numpy") as file:
            facts = Facts.model_validate_json((file.metadata() or {})[_KEY])
            table = file.get_tensor(_TABLE)
    except (SafetensorError, OSError, KeyError, ValueError):
        raise InputError(f"{path}: not a multiplier that was saved as {SUFFIX}, or damaged") from None
    if table.dtype != np.int32 or table.ndim != 2 or table.shape[0] != 256 or table.shape[1] not in _WIDTHS:
        raise InputError(f"{path}: {table.dtype} of shape {table.shape}; expected int32 of (256, 2**N), N = 2 to 8")
    if sha256_of(table) != facts.sha256 or not (facts.name + facts.source).isprintable():
        raise InputError(f"{path}: damaged: its table is not the one that was saved")
    checked(table, facts.signed, table.shape[1].bit_length() - 1, str(path))
    required_power(facts.power_mw, str(path))
    return table, facts


def sha256_of(table: NDArray[np.int32]) -> str:
    """Of the table as little-endian int32."""
    return hashlib.sha256(table.astype("<i4").tobytes()).hexdigest()
