"""What an assignment is: a multiplier for each layer. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from frugalnas.core import Fidelity, Genotype, InputError
from frugalnas.multipliers import Multiplier
from frugalnas.multipliers.library import exact, relative_power, usual

MOST_USUAL = 10  # of the library, apart from swapped twins


@dataclass(frozen=True)
class Layer:
    """A layer that can be assigned a multiplier. `kind`: in words, such as "conv 3x3, 16 to 32".

    `multiplications`: of one inference of one image.
    """

    name: str
    kind: str
    multiplications: int


@dataclass(frozen=True)
class Assignments:
    """All ways to give each of `layers` one of `multipliers`: gene i is the place of layer i's.

    `multipliers[0]` is the exact one; the others follow by falling power, so that neighbours are alike.
    """

    layers: tuple[Layer, ...]
    multipliers: tuple[Multiplier, ...]

    @property
    def domains(self) -> tuple[int, ...]:
        return (len(self.multipliers),) * len(self.layers)

    def canonical(self, genotype: Genotype) -> Genotype:
        """The genotype itself. Raises InputError for one of other layers or multipliers."""
        if len(genotype) != len(self.layers) or not all(0 <= gene < len(self.multipliers) for gene in genotype):
            raise InputError(f"genotype {genotype}: expected {len(self.layers)} genes below {len(self.multipliers)}")
        return genotype

    def at(self, fidelity: Fidelity) -> Assignments:
        """The same: there is one network, of one size."""
        return self

    def build(self, genotype: Genotype) -> Any:
        """No network comes of an assignment alone: `Approximated.network` makes it."""
        raise NotImplementedError("an assignment is of a network that is trained already")

    def named(self, genotype: Genotype) -> dict[str, Multiplier]:
        """The multiplier of each layer by its name."""
        return {layer.name: self.multipliers[gene] for layer, gene in zip(self.layers, genotype, strict=True)}

    def genotype(self, chosen: Mapping[str, Multiplier]) -> Genotype | None:
        """The inverse of `named`; None where a layer has none in `chosen`, or one that is not to choose from."""
        places = {multiplier.sha256: place for place, multiplier in enumerate(self.multipliers)}
        genes = [places.get(chosen[each.name].sha256, -1) if each.name in chosen else -1 for each in self.layers]
        return None if -1 in genes else tuple(genes)

    @property
    def multiplications(self) -> int:
        """Of one inference of one image."""
        return sum(layer.multiplications for layer in self.layers)

    @cached_property
    def powers(self) -> tuple[float, ...]:
        """Of each multiplier, relative to the exact 8-bit one of its signedness."""
        return tuple(map(relative_power, self.multipliers))

    @property
    def uniform(self) -> tuple[Genotype, ...]:
        """The exact assignment, then the same multiplier in every layer, for each of the others."""
        return tuple((gene,) * len(self.layers) for gene in range(len(self.multipliers)))


def energy(space: Assignments, genotype: Genotype) -> float:
    """Energy of one inference in exact 8-bit multiplications."""
    return sum(layer.multiplications * space.powers[gene] for layer, gene in zip(space.layers, genotype, strict=True))


def relative_energy(space: Assignments, genotype: Genotype) -> float:
    """The same as a share of that with exact 8-bit multipliers."""
    return energy(space, genotype) / space.multiplications


def twins(multipliers: Sequence[Multiplier]) -> tuple[Multiplier, ...]:
    """Each of the multipliers and, where it makes a difference, the same with its operands exchanged."""
    found: dict[str, Multiplier] = {}
    for multiplier in multipliers:
        found.setdefault(multiplier.sha256, multiplier)
        if multiplier.bits == 8 and multiplier.signed[0] == multiplier.signed[1]:
            other = multiplier.swap()
            found.setdefault(other.sha256, other)
    return tuple(found.values())


def ordered(multipliers: Sequence[Multiplier]) -> tuple[Multiplier, ...]:
    """The exact 8-bit multiplier, then the others by falling power, each table once.

    Raises InputError where there is none.
    """
    if not multipliers:
        raise InputError("multipliers is empty: expected one or more")
    first = exact(multipliers[0].signed[0])
    found = {first.sha256: first}
    for multiplier in sorted(multipliers, key=lambda one: (-one.power_mw, one.name)):
        found.setdefault(multiplier.sha256, multiplier)
    return tuple(found.values())


def default_multipliers() -> tuple[Multiplier, ...]:
    """About MOST_USUAL of the library, spread evenly over its powers, with their swapped twins."""
    known = usual()
    steps = min(MOST_USUAL, len(known))
    places = dict.fromkeys(round(step * (len(known) - 1) / max(1, steps - 1)) for step in range(steps))
    return ordered(twins([known[place] for place in places]))
