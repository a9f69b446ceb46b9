"""What every space refuses in the same words."""

from __future__ import annotations

from collections.abc import Mapping
from operator import lt

from frugalnas.core import Genotype, InputError


def check_sizes(space: object, bounds: Mapping[str, tuple[int, int]]) -> None:
    """Raise InputError where a field of `space` that `bounds` names is no whole number within them."""
    for name, (low, high) in bounds.items():
        value = getattr(space, name)
        if type(value) is not int or not low <= value <= high:
            raise InputError(f"{name} = {value!r}: expected a whole number from {low} to {high}")


def check_genes(genotype: Genotype, domains: tuple[int, ...]) -> None:
    """Raise InputError for a genotype of another space: gene i must be in range(domains[i])."""
    if len(genotype) == len(domains) and min(genotype) >= 0 and all(map(lt, genotype, domains)):
        return
    if len(genotype) != len(domains):
        raise InputError(f"the genotype has {len(genotype)} genes: expected {len(domains)}")
    for index, (gene, size) in enumerate(zip(genotype, domains, strict=True)):
        if not 0 <= gene < size:
            raise InputError(f"gene {index} is {gene}: expected 0 to {size - 1}")
