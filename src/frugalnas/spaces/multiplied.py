"""What a space has to know of the multipliers that its genes choose from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np

from frugalnas.core import Genotype, InputError
from frugalnas.layers.graph import Graph
from frugalnas.multipliers import Multiplier
from frugalnas.multipliers.library import exact, find
from frugalnas.spaces.checks import shown

SWAP = "swap"  # behind a + in the name of a multiplier: its operands are exchanged
MOST_NAME = 300  # characters


@runtime_checkable
class Assigning(Protocol):
    """A space whose genotypes choose multipliers: `assignment` gives those of the nodes of `network` that multiply.

    `multipliers` are what they choose among, the exact one first; () where all are exact.
    """

    @property
    def multipliers(self) -> tuple[str, ...]: ...

    def assignment(self, genotype: Genotype) -> tuple[tuple[int, str], ...]: ...

    def network(self, genotype: Genotype) -> Graph: ...


@dataclass(frozen=True)
class Properties:
    """Of a list of multipliers: the name of the exact 8-bit one of the same signs, and of each whether the order of its
    operands means nothing."""

    exact: str
    commutes: tuple[bool, ...]


def swapped(name: str) -> str:
    """The name of the multiplier with its operands exchanged, which comes before all else that is done to it."""
    stem, *changes = name.split("+")
    kept = [change for change in changes if change != SWAP]
    return "+".join([stem, *([] if len(kept) < len(changes) else [SWAP]), *kept])


@lru_cache(maxsize=64)
def properties(names: tuple[str, ...]) -> Properties:
    """Look up multipliers; () stands for exact signed ones.

    Raises InputError for an unknown one, for operands with signs of their own kind, and where the first is not exact.
    """
    found = [find(name) for name in names] or [exact()]
    first = found[0]
    if not np.array_equal(first.table, _exact(first)):
        raise InputError(f"multipliers = {shown(names)}: expected the first one, {first.name}, to be exact")
    for other in found:
        if other.signed != first.signed:
            raise InputError(f"multipliers: {other.name} and {first.name} differ in the signs of their operands")
    return Properties(exact(all(first.signed)).name, tuple(map(_commutes, names, found)))


def check_name(name: object) -> str:
    """The name itself. Raises InputError for what is none."""
    if not isinstance(name, str) or len(name) > MOST_NAME or not name.isprintable():
        raise InputError(f"multipliers has {shown(name)}: expected the name of a multiplier, such as 8s-0-0-0")
    return name


def _exact(multiplier: Multiplier) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """The products of the codes of both operands: (256, 2**bits)."""
    rows, columns = (
        np.where(signed, (codes ^ half) - half, codes)
        for signed, codes, half in zip(
            multiplier.signed,
            (np.arange(256), np.arange(1 << multiplier.bits)),
            (128, 1 << (multiplier.bits - 1)),
            strict=True,
        )
    )
    return np.outer(rows, columns)


def _commutes(name: str, multiplier: Multiplier) -> bool:
    """Whether exchanged operands give the same products, or cannot be exchanged."""
    try:
        other = find(swapped(name))
    except InputError:
        return True
    return other.signed != multiplier.signed or bool(np.array_equal(other.table, multiplier.table))
