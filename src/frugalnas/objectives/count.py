"""Costs from formulas: functions (space, genotype) -> float for `core.Objective`. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from frugalnas.core import Genotype
from frugalnas.layers.cost import Count
from frugalnas.objectives.energy import MultipliedSpace, energy, relative_energy


class CountedSpace(Protocol):
    """A space that prices a genotype without building it."""

    def count(self, genotype: Genotype) -> Count: ...

    def peak_bytes(self, genotype: Genotype) -> int: ...


def params(space: CountedSpace, genotype: Genotype) -> float:
    """Learned numbers of the network, without an auxiliary head."""
    return float(space.count(genotype).params)


def macs(space: CountedSpace, genotype: Genotype) -> float:
    """Multiply-accumulates of convolutions and linear layers for one image at the space's resolution."""
    return float(space.count(genotype).macs)


def model_bytes(space: CountedSpace, genotype: Genotype) -> float:
    """Bytes of the tensors of the float32 state dictionary."""
    return float(space.count(genotype).model_bytes)


def peak_bytes(space: CountedSpace, genotype: Genotype) -> float:
    """Bytes of float32 activations alive at most in one inference of one image."""
    return float(space.peak_bytes(genotype))


COSTS: dict[str, Callable[[CountedSpace, Genotype], float]] = {
    "params": params,
    "macs": macs,
    "model_bytes": model_bytes,
    "peak_bytes": peak_bytes,
    "energy": energy,
    "relative_energy": relative_energy,
}
_OF_MULTIPLIERS = ("energy", "relative_energy")  # which say nothing where all multiply alike


def costs_of(space: object) -> dict[str, Callable[[CountedSpace, Genotype], float]]:
    """Of `COSTS` those that tell networks of the space apart in a way of their own."""
    return {
        name: cost for name, cost in COSTS.items() if isinstance(space, MultipliedSpace) or name not in _OF_MULTIPLIERS
    }
