"""What every space refuses in the same words."""

from __future__ import annotations

from collections.abc import Mapping
from operator import lt
from typing import Any, get_args

from frugalnas.core import Genotype, InputError, nearest

MOST_SHOWN = 120  # characters of a value in a message


def shown(value: object) -> str:
    """A value as a message has it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 3]}..."


def check_sizes(space: object, bounds: Mapping[str, tuple[int, int]]) -> None:
    """Raise InputError where a field of `space` that `bounds` names is no whole number within them."""
    for name, (low, high) in bounds.items():
        value = getattr(space, name)
        if type(value) is not int or not low <= value <= high:
            raise InputError(f"{name} = {shown(value)}: expected a whole number from {low} to {high}")


def check_choice(name: str, value: object, choices: Any) -> None:
    """Raise InputError, with the nearest, for what is none of `choices`, a Literal."""
    if value not in get_args(choices):
        raise InputError(f"{name} = {shown(value)}: {nearest(str(value), get_args(choices))}")


def check_genes(genotype: Genotype, domains: tuple[int, ...]) -> None:
    """Raise InputError for a genotype of another space: gene i must be in range(domains[i])."""
    if len(genotype) == len(domains) and min(genotype) >= 0 and all(map(lt, genotype, domains)):
        return
    if len(genotype) != len(domains):
        raise InputError(f"the genotype has {len(genotype)} genes: expected {len(domains)}")
    for index, (gene, size) in enumerate(zip(genotype, domains, strict=True)):
        if not 0 <= gene < size:
            raise InputError(f"gene {index} is {shown(gene)}: expected 0 to {size - 1}")
