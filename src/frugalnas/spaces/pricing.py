"""What a network of cells costs, without building it and without walking through it.

The cost of a network is a sum: over its edges, over the sums inside its blocks, and over the layers that take in the
output of a cell, which depend on nothing but how many states that cell concatenates. Each term is read off the plan
once per space and summed over all cells it occurs in; counting a genotype then adds up some thirty rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING

from frugalnas.core import Genotype
from frugalnas.layers.cost import Count, Row, count, shape_after, sum_of, total
from frugalnas.layers.network import Site, Skeleton
from frugalnas.layers.plan import Shape

if TYPE_CHECKING:
    from frugalnas.spaces.cell import CellSpace

KINDS = (False, True)  # normal, reduction


def concatenated(half: Genotype, none: int, concat: str | tuple[tuple[int, ...], ...], kind: int) -> tuple[int, ...]:
    """The states that make the output of a cell with these genes; `kind`: 0 for a normal cell, 1 for a reduction."""
    states = 2 + len(half) // 4
    if concat == "all":
        return tuple(range(2, states))
    if not isinstance(concat, str):
        return concat[kind % len(concat)]  # a shared cell has one list
    read = {state for op, state in zip(half[::2], half[1::2], strict=True) if op != none}
    return tuple(state for state in range(2 if concat == "loose" else 0, states) if state not in read)


@dataclass(frozen=True)
class Prices:
    """Costs of parts, each summed over all cells of a kind (0 normal, 1 reduction).

    `edges[kind][operation][reads a cell input]`. `sums[kind]`: adding up the two operations of a block.
    `outputs[kind][n]`: all layers that read the outputs of that kind of cell where n states are concatenated, and its
    squeeze-and-excitation.
    `halved`: bringing one cell input into the output of the reduction cells. `auxiliary[n]`: the auxiliary head.
    `stem`: the stem and the layers that read it.
    """

    edges: tuple[tuple[tuple[Row, Row], ...], ...]
    sums: tuple[Row, Row]
    outputs: tuple[tuple[Row, ...], ...]
    halved: Row
    auxiliary: tuple[Row, ...]
    stem: Row


@lru_cache(maxsize=256)
def prices(skeleton: Skeleton, operations: tuple[str, ...], blocks: int) -> Prices:
    """Read all prices off the plan."""
    widths = range(1, blocks + 3)
    of_kind = [[site for site in skeleton.sites(1, 1) if site.reduction is kind] for kind in KINDS]
    edges = tuple(
        tuple(
            (_sum(_edge(site, name, 2) for site in sites), _sum(_edge(site, name, 0) for site in sites))
            for name in operations
        )
        for sites in of_kind
    )
    normal, reduction = (_sum(Count(add=site.channels * prod(site.size)) for site in sites) for sites in of_kind)
    halved = _sum(count(site.output(0), (site.channels, *site.newer[1:])) for site in of_kind[1])
    readers = [_readers(skeleton, width) for width in widths]
    heads = [count(skeleton.auxiliary(shape), shape) for shape in (_map(skeleton, width) for width in widths)]
    first, second = skeleton.stems()
    image = (skeleton.in_channels, skeleton.resolution, skeleton.resolution)
    stem = count(first, image) + count(second, shape_after(first, image))
    nothing = Count().values()
    return Prices(
        edges,
        (normal, reduction),
        tuple((nothing, *(each[kind].values() for each in readers)) for kind in KINDS),
        halved,
        (nothing, *(head.values() for head in heads)),
        (stem + readers[0][None]).values(),
    )


def count_genotype(space: CellSpace, genotype: Genotype, auxiliary: bool) -> Count:
    """The cost of the network of a genotype, as `CellSpace.count` says."""
    table = prices(space.skeleton, space.operations, space.blocks)
    none = space.none
    rows = [table.stem]
    for kind, half in enumerate(space.halves(genotype)):
        edges, adding = table.edges[kind], table.sums[kind]
        for a, read_a, b, read_b in zip(half[::4], half[1::4], half[2::4], half[3::4], strict=True):
            rows += edges[a][read_a < 2], edges[b][read_b < 2]
            if a != none and b != none:
                rows.append(adding)
        states = concatenated(half, none, space.concat, kind)
        rows.append(table.outputs[kind][len(states)])
        if kind:
            rows += [table.halved for state in states if state < 2]
            if auxiliary:
                rows.append(table.auxiliary[len(states)])
    return sum_of(rows)


def _sum(counts: Iterable[Count]) -> Row:
    return total(Count(), *counts).values()


def _edge(site: Site, operation: str, state: int) -> Count:
    """`state` 2 stands for any block, 0 for any cell input."""
    shape = (site.channels, *(site.size if state == 2 else site.newer[1:]))
    return count(site.operation((operation, state)), shape)


def _readers(skeleton: Skeleton, width: int) -> dict[bool | None, Count]:
    """The cost of the layers that read outputs of `width` states, by kind of cell; None: those that read the stem."""
    sites = skeleton.sites(width, width)
    kinds = [None, None, *(site.reduction for site in sites)]
    costs = dict.fromkeys((None, *KINDS), Count())
    for number, site in enumerate(sites):
        costs[site.reduction] += count(site.excitation(width), (width * site.channels, *site.size))
        older, newer = site.inputs()
        costs[kinds[number]] += count(older, site.older)
        costs[kinds[number + 1]] += count(newer, site.newer)
    last = (width * sites[-1].channels, *sites[-1].size)
    costs[kinds[-1]] += count(skeleton.classifier(last[0]), last)
    return costs


def _map(skeleton: Skeleton, width: int) -> Shape:
    """What the auxiliary head reads: the output of the second reduction cell."""
    site = skeleton.sites(width, width)[skeleton.reductions[1]]
    return width * site.channels, *site.size
