"""Spaces of two cells, a normal and a reduction cell, stacked to a network: NASNet, AmoebaNet, PNAS, DARTS, NSGA-Net,
EcoNAS, RelativeNAS and EEEA-Net search in such spaces.

A genotype has the genes of the normal cell, then those of the reduction cell. Each block has four: operation, input,
operation, input; an operation is a place in `operations`, an input a state: 0 is the output of cell k-2, 1 that of
cell k-1, 2 + b is block b. A block adds up its two operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Literal, get_args

from frugalnas.core import Fidelity, Genotype, InputError, nearest
from frugalnas.layers.cost import Count
from frugalnas.layers.memory import peak_bytes
from frugalnas.layers.network import Network, Skeleton, Stem, stack
from frugalnas.layers.plan import OPERATIONS, Cell, Edge
from frugalnas.spaces.checks import check_choice, check_genes, check_sizes, shown
from frugalnas.spaces.isomorphism import canonical_cell
from frugalnas.spaces.pricing import concatenated, count_genotype

if TYPE_CHECKING:
    from frugalnas.layers.cell import CellNetwork

OPERATION_LISTS: dict[str, tuple[str, ...]] = {
    "eeea": (
        *("max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5"),
        *("dil_conv_3x3", "dil_conv_5x5", "inv_res_3x3", "inv_res_5x5"),
    ),
    "eeea_code": (
        *("max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5"),
        *("dil_conv_3x3", "dil_conv_5x5", "conv_7x1_1x7", "inv_res_3x3", "inv_res_5x5"),
    ),
    "nsganet": (
        *("max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5"),
        *("dil_conv_3x3", "dil_conv_5x5", "sep_conv_7x7", "conv_7x1_1x7"),
    ),
    "econas": (
        *("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect"),
        *("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"),
    ),
    "relativenas": (
        *("max_pool_3x3", "avg_pool_3x3", "skip_connect"),
        *("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"),
    ),
    "pnas": (
        *("sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7", "conv_7x1_1x7"),
        *("skip_connect", "avg_pool_3x3", "max_pool_3x3", "dil_conv_3x3"),
    ),
    "darts": (
        *("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect"),
        *("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"),
    ),
}
"""The operations of published spaces in their order. EEEA-Net: nine in the paper, ten in its released code."""

Inputs = Literal["narrow", "full"]
Policy = Literal["all", "loose", "unused"]
BOUNDS = {
    "blocks": (1, 10),
    "channels": (1, 4096),
    "cells": (3, 500),
    "increment": (0, 1024),
    "squeeze": (0, 1024),
    "in_channels": (1, 1024),
    "classes": (1, 1_000_000),
    "resolution": (1, 8192),
}


@dataclass(frozen=True)
class CellSpace:
    """Networks of two stacked cells.

    `operations`: names from `layers.plan.OPERATIONS`. `blocks` per cell. `inputs`: what block b may read: "full" is
    every earlier state, 0..b+1 (DARTS, NSGA-Net, PNAS); "narrow" is 0..b, never the block just before it (EEEA-Net).
    `concat`, the states that make the output: "all" blocks (DARTS, RelativeNAS, PNAS); the "loose" blocks that no other
    block reads (EEEA-Net's published cells, NSGA-Net); every "unused" state, cell inputs included (the rule of
    AmoebaNet and EcoNAS; in a reduction cell an unused input is halved by a factorised reduction); or the states
    themselves, one tuple per cell, for published cells that follow no rule (EcoNAS, AmoebaNet). `none` reads nothing.
    `shared`: the reduction cell is the normal cell with stride 2 (PNAS). `channels`: initial width, doubled at both
    reductions, cells number cells // 3 and 2 * cells // 3, hence at least 3 `cells`. `stem`: "small" keeps the
    size, "imagenet" divides it by 8. `resolution`: side of the input in pixels. `auxiliary`: build an auxiliary head.

    Two options make NSGA-Net's pyramid networks. `increment`: channels that every cell has more than the one before,
    in place of the doubling. `squeeze`: the output of every cell, once concatenated, passes squeeze-and-excitation with
    one in so many of its channels hidden (16 in the released code); 0 is none. Assumed: the first cell has `channels`,
    the excitation sees all that is concatenated and rounds the hidden channels down. So the published sizes are met.

    Raises InputError for an unknown name (with the nearest known) and for sizes out of range.
    """

    operations: tuple[str, ...]
    blocks: int = 4
    inputs: Inputs = "narrow"
    concat: Policy | tuple[tuple[int, ...], ...] = "loose"
    shared: bool = False
    channels: int = 16
    cells: int = 8
    stem: Stem = "small"
    in_channels: int = 3
    classes: int = 10
    resolution: int = 32
    auxiliary: bool = False
    increment: int = 0
    squeeze: int = 0

    def __post_init__(self) -> None:
        for name in ("operations", "concat"):
            object.__setattr__(self, name, _frozen(getattr(self, name)))
        _check(self)

    @cached_property
    def domains(self) -> tuple[int, ...]:
        """Gene i is in range(domains[i])."""
        reach = 1 if self.inputs == "narrow" else 2
        sizes = [(len(self.operations), block + reach) for block in range(self.blocks) for _ in range(2)]
        half = tuple(size for pair in sizes for size in pair)
        return half if self.shared else half + half

    @property
    def size(self) -> int:
        """The number of genotypes; several may describe the same architecture."""
        return prod(self.domains)

    @cached_property
    def skeleton(self) -> Skeleton:
        """The network around the cells."""
        sizes = self.channels, self.cells, self.stem, self.in_channels, self.classes, self.resolution
        return Skeleton(*sizes, self.increment, self.squeeze)

    @property
    def summary(self) -> str:
        """The size of the networks in a few words."""
        grows = f", {self.increment} more a cell" if self.increment else ""
        squeeze = ", squeeze-and-excitation" if self.squeeze else ""
        return f"{self.cells} cells, {self.channels} channels{grows}{squeeze}"

    @property
    def none(self) -> int:
        """The place of `none` among the operations, -1 without it."""
        return self.operations.index("none") if "none" in self.operations else -1

    def halves(self, genotype: Genotype) -> tuple[Genotype, Genotype]:
        """The genes of the normal and of the reduction cell. Raises InputError for a genotype of another space."""
        check_genes(genotype, self.domains)
        return genotype[: 4 * self.blocks], genotype[-4 * self.blocks :]

    def canonical(self, genotype: Genotype) -> Genotype:
        """The lexicographically smallest genotype of this space with the same two cells (see `spaces.isomorphism`)."""
        narrow, none = self.inputs == "narrow", self.none
        fixed = [None, None] if isinstance(self.concat, str) else [frozenset(states) for states in self.concat]
        halves = self.halves(genotype)[: 1 if self.shared else 2]
        cells = (canonical_cell(half, narrow, none, concat) for half, concat in zip(halves, fixed, strict=False))
        return tuple(gene for cell in cells for gene in cell)

    def at(self, fidelity: Fidelity) -> CellSpace:
        """The space with the width (initial channels), depth (cells) and resolution of `fidelity`; None keeps them."""
        return replace(
            self,
            channels=fidelity.width or self.channels,
            cells=fidelity.depth or self.cells,
            resolution=fidelity.resolution or self.resolution,
        )

    def describe(self, genotype: Genotype) -> dict[str, Cell]:
        """The two cells, "normal" and "reduce", with the names of the operations and the states concatenated."""
        cells = {}
        for kind, (name, half) in enumerate(zip(("normal", "reduce"), self.halves(genotype), strict=True)):
            edges = [(self.operations[op], state) for op, state in zip(half[::2], half[1::2], strict=True)]
            blocks = tuple(zip(edges[::2], edges[1::2], strict=True))
            cells[name] = Cell(blocks, concatenated(half, self.none, self.concat, kind))
        return cells

    def encode(self, normal: Sequence[Edge], reduce: Sequence[Edge] | None = None) -> Genotype:
        """The genotype of cells written as (operation, state) pairs, two per block; the inverse of `describe`.

        A `shared` space takes no reduction cell. Raises InputError for what the space does not have.
        """
        cells = {"normal": normal} if self.shared else {"normal": normal, "reduce": reduce or ()}
        genes: list[int] = []
        for name, edges in cells.items():
            if len(edges) != 2 * self.blocks:
                raise InputError(f"the {name} cell has {len(edges)} edges: expected {2 * self.blocks}, two per block")
            for operation, state in edges:
                if operation not in self.operations:
                    near = nearest(operation, self.operations)
                    raise InputError(f"the {name} cell has an operation {operation!r} that the space lacks: {near}")
                genes += self.operations.index(operation), state
        genotype = tuple(genes)
        self.halves(genotype)
        return genotype

    def network(self, genotype: Genotype) -> Network:
        """The network as plain data, for builders, counters and exporters."""
        cells = self.describe(genotype)
        return stack(self.skeleton, cells["normal"], cells["reduce"], self.auxiliary)

    def build(self, genotype: Genotype) -> CellNetwork:
        """The network with freshly initialised weights from torch's global generator."""
        from frugalnas.layers.cell import CellNetwork

        return CellNetwork(self.network(genotype))

    def count(self, genotype: Genotype, auxiliary: bool = False) -> Count:
        """Parameters and work of the network from formulas, without building it.

        `auxiliary`: with the auxiliary head, which exists in training only, whether or not the space builds one.
        """
        return count_genotype(self, genotype, auxiliary)

    def peak_bytes(self, genotype: Genotype) -> int:
        """Peak memory of the activations of one inference, batch 1, float32: see `layers.memory.peak_bytes`."""
        return peak_bytes(self.network(genotype))


def _frozen(value: object) -> object:
    """Lists, which come from JSON and TOML, as tuples."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _check(space: CellSpace) -> None:
    operations: object = space.operations
    concat: object = space.concat
    if not isinstance(operations, tuple) or not operations:
        raise InputError(f"operations = {shown(operations)}: expected a list of names, such as 'sep_conv_3x3'")
    for operation in operations:
        if not isinstance(operation, str) or operation not in OPERATIONS:
            raise InputError(f"unknown operation {shown(operation)}: {nearest(str(operation), list(OPERATIONS))}")
    if len(set(operations)) < len(operations):
        raise InputError(f"operations = {shown(operations)}: one of them stands there twice")
    check_sizes(space, BOUNDS)
    if space.stem == "imagenet" and space.channels < 2:
        raise InputError("channels = 1: the stem 'imagenet' needs 2 or more")
    check_choice("inputs", space.inputs, Inputs)
    check_choice("stem", space.stem, Stem)
    for name in ("shared", "auxiliary"):
        if type(getattr(space, name)) is not bool:
            raise InputError(f"{name} = {shown(getattr(space, name))}: expected true or false")
    if isinstance(concat, str):
        check_choice("concat", concat, Policy)
    else:
        _check_concat(concat, space.blocks, 1 if space.shared else 2)


def _check_concat(concat: object, blocks: int, cells: int) -> None:
    lists = concat if isinstance(concat, tuple) else ()
    allowed = range(2 + blocks)
    valid = [
        isinstance(states, tuple)
        and 0 < len(states) == len(set(states))
        and all(type(state) is int and state in allowed for state in states)
        for states in lists
    ]
    if len(valid) != cells or not all(valid):
        raise InputError(
            f"concat = {shown(concat)}: expected {', '.join(get_args(Policy))} or {cells} list(s) of different states "
            f"from 0 to {1 + blocks}"
        )
