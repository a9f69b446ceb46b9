"""What a table says: for each network that it has, by its genotype, how many images were classified wrongly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from math import prod
from typing import Any

from frugalnas.core import Genotype, InputError
from frugalnas.spaces import AnySpace, name_of

KINDS = {
    "nasbench101": "NAS-Bench-101: nasbench_only108.tfrecord, nasbench_full.tfrecord",
    "nasbench201": "NAS-Bench-201: CSV with arch_str; NATS-tss-..., a folder or .pickle.pbz2; NAS-Bench-201-....pth",
    "nats_size": "the size space of NATS-Bench: NATS-sss-..., a folder or .pickle.pbz2",
    "nasbench_macro": "NAS-Bench-Macro: nas-bench-macro_cifar10.json; CSV with arch, acc1, acc2, acc3",
    "darts": "networks of the DARTS space: CSV with normal and reduce, cells as operation:input words",
}
"""What can be read, by `Benchmark.kind`."""
_CLASSES, _MOST_COUNTED = {"nasbench101": 423_624}, 1 << 16  # the first as published
_OF_DATA = ("in_channels", "classes", "resolution")  # arguments of a space that follow from the images
_SIZES = ("channels", "cells")  # those that say how large a network is, not what a genotype means


@dataclass(frozen=True, slots=True)
class Row:
    """What a table says of one network: errors as shares in [0, 1]."""

    error: float
    test_error: float


@dataclass(frozen=True)
class Entry:
    """A network as it stands in a file; `number` is that of its line or record."""

    number: int
    genotype: Genotype
    row: Row


@dataclass(frozen=True)
class Benchmark:
    """A table of trained networks.

    `kind`: what it is, a key of `KINDS`. `networks`: the space of its networks, at the size at which they
    were trained. `rows` are by the canonical genotype of that space. `validation` and `test`: the columns that errors
    and test errors were made from; where a table has no validation accuracies they are the same one.
    """

    kind: str
    networks: AnySpace
    rows: Mapping[Genotype, Row]
    validation: str
    test: str

    @property
    def space(self) -> dict[str, Any]:
        """The section `space` of a configuration that searches among these networks."""
        arguments = {key: _plain(value) for key, value in asdict(self.networks).items() if key not in _OF_DATA}
        return {"type": name_of(self.networks), **arguments}

    @property
    def architectures(self) -> int:
        """How many different networks the space has; where that is not known, how many genotypes."""
        if self.kind in _CLASSES:
            return _CLASSES[self.kind]
        domains = self.networks.domains
        if prod(domains) > _MOST_COUNTED:
            return prod(domains)
        return len({self.networks.canonical(genotype) for genotype in product(*map(range, domains))})

    def check(self, space: object) -> None:
        """Raise InputError where genotypes of `space` have another meaning than those of the table.

        The size of the networks may differ: a row is then that of the same architecture at the table's size.
        """
        wanted = name_of(self.networks)
        if type(space) is not type(self.networks):
            raise InputError(f"a table rates networks of the space {wanted!r}, not of {type(space).__name__}")
        for key, value in asdict(self.networks).items():
            if key not in (*_OF_DATA, *_SIZES) and getattr(space, key) != value:
                raise InputError(
                    f"a table rates networks of the space {wanted!r} with {key} = {_plain(value)}, not "
                    f"{_plain(getattr(space, key))}"
                )


def benchmark_of(
    kind: str, networks: AnySpace, entries: Iterable[Entry], columns: tuple[str, str], path: str, unit: str = "line"
) -> Benchmark:
    """The benchmark of these entries; `columns` are those of validation and test, `unit` what the entries number.

    The same network may stand there several times, as isomorphic architectures do. Raises InputError where it has other
    accuracies then, and where there are no entries.
    """
    rows: dict[Genotype, Row] = {}
    numbers: dict[Genotype, int] = {}
    for entry in entries:
        genotype = networks.canonical(entry.genotype)
        if rows.setdefault(genotype, entry.row) != entry.row:
            raise InputError(
                f"{path} {unit} {entry.number}: the network of {unit} {numbers[genotype]} again, with other accuracies"
            )
        numbers.setdefault(genotype, entry.number)
    if not rows:
        raise InputError(f"{path} has no rows")
    return Benchmark(kind, networks, rows, *columns)


def _plain(value: object) -> object:
    return [*map(_plain, value)] if isinstance(value, tuple) else value
