"""Energy of the multiplications of one inference, in multiplications by the exact 8-bit multiplier. Needs no torch.

The sum over all convolutions and linear layers of multiplications x power of the layer's multiplier, divided by the
power of the exact one of the same signedness (Piňos, Mrázek and Sekanina, EuroGP 2021, minimise the power of the
inference). Relative, as the absolute powers hold for one clock and one cell library only, and one power for all layers:
`layers.activity` takes that of a layer's own operands.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol, runtime_checkable

from frugalnas.core import Genotype
from frugalnas.layers.cost import Count
from frugalnas.multipliers.library import find, relative_power


class CountedSpace(Protocol):
    """A space that prices a genotype without building it."""

    def count(self, genotype: Genotype) -> Count: ...


@runtime_checkable
class MultipliedSpace(Protocol):
    """A space whose genotypes name the multipliers of their networks."""

    def multiplications(self, genotype: Genotype) -> Mapping[str, int]:
        """Multiplications of one inference of one image by the multiplier's name, the classifier's included."""
        ...


def energy(space: CountedSpace, genotype: Genotype) -> float:
    """Energy of the multiplications for one image, in those of the exact 8-bit multiplier: the MACs where all are."""
    if not isinstance(space, MultipliedSpace):
        return float(space.count(genotype).macs)
    return sum(times * power_of(name) for name, times in space.multiplications(genotype).items())


def relative_energy(space: CountedSpace, genotype: Genotype) -> float:
    """Energy of the multiplications as a share of that with exact 8-bit multipliers."""
    if not isinstance(space, MultipliedSpace):
        return 1.0
    return energy(space, genotype) / sum(space.multiplications(genotype).values())


@lru_cache(maxsize=1 << 10)
def power_of(name: str) -> float:
    """The relative power of the multiplier that `multipliers.library` knows by this name. Raises InputError."""
    return relative_power(find(name))


def layer_energies(multiplications: Mapping[str, int], powers: Mapping[str, float]) -> dict[str, float]:
    """The energy of each layer, of so many `multiplications` by its name, in those of the exact 8-bit multiplier.

    `powers` are relative to that: `relative_power` of the layer's multiplier, or `layers.activity` of the network by
    that of the same network with exact ones. A layer that has none multiplies exactly.
    """
    return {name: times * powers.get(name, 1.0) for name, times in multiplications.items()}
