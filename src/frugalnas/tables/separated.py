"""Tables as text: CSV with a header and a line for each network, or JSON. Accuracies are in per cent."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from frugalnas.core import Genotype, InputError, nearest
from frugalnas.spaces import AnySpace, darts
from frugalnas.spaces.nasbench201 import NasBench201
from frugalnas.spaces.nasbench_macro import NasBenchMacro
from frugalnas.tables.benchmark import KINDS, Benchmark, Entry, Row, benchmark_of

MEAN = "mean_acc"


@dataclass(frozen=True)
class Layout:
    """How the table of a benchmark is laid out.

    `names`: the columns that together name a network, `genotype` what they stand for. `needed`: other columns by which
    the table is known. `validation`, `test`: the columns read unless others are asked for. `means`: columns that are
    the mean of others, where a table lacks them.
    """

    networks: AnySpace
    names: tuple[str, ...]
    genotype: Callable[..., Genotype]
    validation: str
    test: str
    needed: tuple[str, ...] = ()
    means: tuple[tuple[str, tuple[str, ...]], ...] = ()


TRIALS = ("acc1", "acc2", "acc3")
LAYOUTS: dict[str, Layout] = {
    "nasbench201": Layout(NasBench201(), ("arch_str",), NasBench201().from_string, "c10_val_200", "c10_test_200"),
    "nasbench_macro": Layout(
        NasBenchMacro(), ("arch",), NasBenchMacro().from_string, MEAN, MEAN, needed=TRIALS, means=((MEAN, TRIALS),)
    ),
    "darts": Layout(darts.DARTS, ("normal", "reduce"), darts.from_words, "test_acc_600", "test_acc_600"),
}
"""By the kind of benchmark. The DARTS networks are those of Yang, Esperança and Carlucci, "NAS evaluation is
frustratingly hard", ICLR 2020, trained for 600 epochs with 36 channels and 20 cells. They and NAS-Bench-Macro have no
validation accuracies: both errors are made from the test accuracy there."""


def read_csv(text: str, path: str, validation: str, test: str) -> Benchmark:
    """The benchmark in the text of a CSV file; "" stands for the usual columns. Raises InputError."""
    return _read([*_lines(text, path)], path, validation, test, "line")


def read_json(text: str, path: str, validation: str, test: str) -> Benchmark:
    """The benchmark in the text of NAS-Bench-Macro's `nas-bench-macro_cifar10.json`, with the columns of the CSV.

    A key is the name of an architecture, `test_acc` the accuracies of three trainings. Raises InputError.
    """
    lines: list[tuple[int, list[str]]] = [(0, ["arch", *TRIALS])]
    try:
        for number, (name, content) in enumerate(json.loads(text).items(), start=1):
            first, second, third = map(str, content["test_acc"])
            lines.append((number, [name, first, second, third]))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__} {error}"
        raise InputError(f"{path} is not the JSON of NAS-Bench-Macro: {reason}"[:300]) from None
    return _read(lines, path, validation, test, "entry")


def _read(lines: Sequence[tuple[int, list[str]]], path: str, validation: str, test: str, unit: str) -> Benchmark:
    """The benchmark in numbered lists of cells, the first of which is the header."""
    header = lines[0][1] if lines else []
    kind = next((kind for kind, each in LAYOUTS.items() if {*each.names, *each.needed} <= {*header}), None)
    if kind is None:
        found = ", ".join(header)[:120]
        raise InputError(f"{path} is no known table: its columns are {found!r}; known are {'; '.join(KINDS.values())}")
    layout = LAYOUTS[kind]
    columns = validation or layout.validation, test or layout.test
    means = {name: parts for name, parts in layout.means if name not in header}
    places = [_places(column, header, means, path) for column in columns]
    names = [header.index(name) for name in layout.names]
    numbered = [  # all numbers before the first name
        (number, cells, Row(*(_error(cells, each, f"{path} {unit} {number}") for each in places)))
        for number, cells in lines[1:]
    ]
    entries = (
        Entry(number, _genotype(layout, [cells[name] for name in names], f"{path} {unit} {number}"), row)
        for number, cells, row in numbered
    )
    return benchmark_of(kind, layout.networks, entries, columns, path, unit)


def _genotype(layout: Layout, words: Sequence[str], place: str) -> Genotype:
    try:
        return layout.genotype(*words)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None


def _places(column: str, header: Sequence[str], means: Mapping[str, Sequence[str]], path: str) -> list[int]:
    """The places whose mean a column is."""
    if column in means:
        return [header.index(part) for part in means[column]]
    if column not in header:
        raise InputError(f"{path} has no column {column!r}: {nearest(column, [*header, *means])}")
    return [header.index(column)]


def _error(cells: Sequence[str], places: Sequence[int], place: str) -> float:
    """The share that accuracies in per cent, or their mean, leave."""
    words = [cells[each] for each in places]
    try:
        right = [float(word) for word in words]
    except ValueError:
        raise InputError(f"{place} has {', '.join(words)!r}: expected numbers") from None
    if not all(0 <= each <= 100 for each in right):
        raise InputError(f"{place}: {', '.join(words)}: expected accuracies in per cent, 0 to 100")
    return (100 - sum(right) / len(right)) / 100


def _lines(text: str, path: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of each line, by its number; of which all have as many as the first."""
    reader = csv.reader(io.StringIO(text))
    length = 0
    try:
        for cells in reader:
            length = length or len(cells)
            if len(cells) != length:
                raise InputError(f"{path} line {reader.line_num} has {len(cells)} cells: expected {length}")
            yield reader.line_num, cells
    except csv.Error as error:
        raise InputError(f"{path} line {reader.line_num} is no CSV: {error}") from None
