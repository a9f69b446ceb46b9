"""Look a candidate up in a table of trained networks: the rows of NAS-Bench-201 (Dong and Yang, ICLR 2020) as CSV.

A row is an architecture in the benchmark's notation (`arch_str`) and accuracies in per cent, of which one column is
chosen to search by and one to look at afterwards. Costs are the space's: they follow from formulas, without a table.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from frugalnas.core import Candidate, InputError, Space, nearest
from frugalnas.spaces.nasbench201 import NasBench201

ARCHITECTURE = "arch_str"
_GZIP = b"\x1f\x8b"


class NotInTable(LookupError):
    """The table has no row of an architecture. A search goes on: the trial has failed, and counts as an evaluation."""


@dataclass(frozen=True)
class Row:
    """What a table says of one architecture: errors as shares in [0, 1]."""

    error: float
    test_error: float


@dataclass(frozen=True)
class Table:
    """The row of a candidate in the table `path` (CSV, also compressed by gzip).

    `validation` is the column that `error` is made from, `test` that of `test_error`, which no search minimises unless
    it is told to. Raises InputError for a file or a column that is not there, and for what is no such table.
    """

    values: ClassVar[tuple[str, ...]] = ("error", "test_error")

    path: str
    validation: str = "c10_val_200"
    test: str = "c10_test_200"

    def __post_init__(self) -> None:
        _ = self.rows

    @property
    def rows(self) -> Mapping[str, Row]:
        """All rows by architecture; read once in a process."""
        return _rows(self.path, self.validation, self.test)

    def evaluate(self, candidate: Candidate, space: Space, seed: int) -> dict[str, float]:
        """`error` and `test_error`. Raises NotInTable, and InputError for a space of other networks."""
        if not isinstance(space, NasBench201):
            raise InputError(f"a table rates networks of the space 'nasbench201', not of {type(space).__name__}")
        name = space.to_string(candidate.genotype)
        row = self.rows.get(name)
        if row is None:
            raise NotInTable(f"{name} is not in the table {Path(self.path).name}")
        return {"error": row.error, "test_error": row.test_error}


@lru_cache(maxsize=4)
def _rows(path: str, validation: str, test: str) -> dict[str, Row]:
    rows = {}
    entries = _cells(Path(path), (ARCHITECTURE, validation, test))
    for line, (name, *words) in enumerate(entries, start=2):
        try:
            right, tested = map(float, words)
        except ValueError:
            raise InputError(f"{path} line {line} has {', '.join(words)!r}: expected numbers") from None
        if not (0 <= right <= 100 and 0 <= tested <= 100):
            raise InputError(f"{path} line {line}: {right}, {tested}: expected accuracies in per cent, 0 to 100")
        rows[name] = Row((100 - right) / 100, (100 - tested) / 100)
    if not rows:
        raise InputError(f"{path} has no rows")
    return rows


def _cells(path: Path, columns: Sequence[str]) -> Iterator[list[str]]:
    """The cells of these columns, row by row."""
    reader = csv.reader(io.StringIO(_text(path)))
    try:
        header = next(reader, [])
        for column in columns:
            if column not in header:
                raise InputError(f"{path} has no column {column!r}: {nearest(column, header)}")
        places = [header.index(column) for column in columns]
        for row in reader:
            if len(row) != len(header):
                raise InputError(f"{path} line {reader.line_num} has {len(row)} cells: expected {len(header)}")
            yield [row[place] for place in places]
    except csv.Error as error:
        raise InputError(f"{path} line {reader.line_num} is no CSV: {error}") from None


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if data.startswith(_GZIP) else data).decode("utf-8-sig")
    except FileNotFoundError:
        near = sorted(each.name for each in path.parent.glob("*.csv*"))
        raise InputError(f"no table {path}" + (f": {nearest(path.name, near)}" if near else "")) from None
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise InputError(f"{path} is no table: {error}") from None
