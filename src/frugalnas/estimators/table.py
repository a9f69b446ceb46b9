"""Look a candidate up in a table of trained networks, of any kind that `frugalnas.tables` reads.

Costs are the space's: they follow from formulas, without a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from frugalnas.core import Candidate, Genotype, Space
from frugalnas.tables import Benchmark, Row, read


class NotInTable(LookupError):
    """The table has no row of an architecture. A search goes on: the trial has failed, and counts as an evaluation."""


@dataclass(frozen=True)
class Table:
    """The row of a candidate in the table `path`, see `frugalnas.tables`.

    `validation` is the column that `error` is made from, `test` that of `test_error`, which no search minimises unless
    it is told to; "" are the usual ones of that kind of table. Raises InputError for a file or a column that is not
    there, and for what is no such table.
    """

    values: ClassVar[tuple[str, ...]] = ("error", "test_error")

    path: str
    validation: str = ""
    test: str = ""

    def __post_init__(self) -> None:
        _ = self.benchmark

    @property
    def benchmark(self) -> Benchmark:
        """All that the table says; read once in a process."""
        return read(self.path, self.validation, self.test)

    @property
    def rows(self) -> Mapping[Genotype, Row]:
        """All rows by canonical genotype."""
        return self.benchmark.rows

    def evaluate(self, candidate: Candidate, space: Space, seed: int) -> dict[str, float]:
        """`error` and `test_error`. Raises NotInTable, and InputError for a space of other networks."""
        self.benchmark.check(space)
        row = self.rows.get(space.canonical(candidate.genotype))
        if row is None:
            genes = " ".join(map(str, candidate.genotype))
            raise NotInTable(f"the network {genes} is not in the table {Path(self.path).name}")
        return {"error": row.error, "test_error": row.test_error}
