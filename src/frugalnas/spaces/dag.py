"""Cells of NAS-Bench-101 as directed acyclic graphs: what genes stand for, and when two are the same cell.

Vertex 0 is the cell's input, the last one its output. The genes are a bit for each possible edge, then the operation of
each vertex between; the edges come by the vertex that they lead to, then by the one that they come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, compress
from operator import itemgetter

from frugalnas.core import Genotype

Arrow = tuple[int, int]  # from vertex, to vertex
MOST_EDGES = 9


@dataclass(frozen=True, slots=True)
class Dag:
    """A cell of which every vertex lies on a path from the input to the output.

    `operations`: of the vertices 1, 2, ... between the two. `edges`: in the order of the genes.
    """

    operations: tuple[int, ...]
    edges: tuple[Arrow, ...]

    @property
    def output(self) -> int:
        """The number of the last vertex."""
        return len(self.operations) + 1

    def reads(self, vertex: int) -> tuple[int, ...]:
        """The vertices that one reads."""
        return tuple(source for source, to in self.edges if to == vertex)


def possible(vertices: int) -> list[Arrow]:
    """All edges that there may be, in the order of the genes."""
    return [(source, to) for to in range(1, vertices) for source in range(to)]


@lru_cache(maxsize=1 << 14)
def pruned(edges: frozenset[Arrow], output: int) -> tuple[Arrow, ...]:
    """The edges that lie on a path from vertex 0 to the output, in the order of the genes."""
    ordered = _ordered(edges)
    reached, needed = {0}, {output}
    for source, to in ordered:
        reached |= {to} if source in reached else set()
    for source, to in reversed(ordered):
        needed |= {source} if to in needed else set()
    return tuple((source, to) for source, to in ordered if source in reached and to in needed)


def cell_of(edges: Iterable[Arrow], operations: Sequence[int], output: int) -> Dag:
    """The cell of these edges without what lies on no path, its vertices numbered anew; of no path it has no edges."""
    kept = pruned(frozenset(edges), output)
    between = sorted({*chain(*kept)} - {0, output})
    return Dag(tuple(operations[vertex - 1] for vertex in between), _numbered(kept, between, output))


@lru_cache(maxsize=1 << 12)
def dag(genes: Genotype, vertices: int) -> Dag:
    """The cell that genes stand for.

    What lies on no path is left out, as in the benchmark; without any path the input goes straight to the output. Of
    more than nine edges the last is dropped that no vertex needs, as it reads and is read otherwise, or the very last,
    until nine are left.
    """
    arrows, output = possible(vertices), vertices - 1
    edges = pruned(frozenset(compress(arrows, genes)), output) or ((0, output),)
    while len(edges) > MOST_EDGES:
        sources, ends = ([edge[side] for edge in edges] for side in (0, 1))
        spare = [edge for edge in edges if sources.count(edge[0]) > 1 and ends.count(edge[1]) > 1]
        edges = pruned(frozenset(edges) - {(spare or edges)[-1]}, output)
    return cell_of(edges, genes[len(arrows) :], output)


def genes_of(cell: Dag, vertices: int) -> Genotype:
    """Genes of a cell, whose vertices come last among those between input and output."""
    moved = vertices - 2 - len(cell.operations)
    edges = {(source + moved * (source > 0), to + moved) for source, to in cell.edges}
    return (*(int(edge in edges) for edge in possible(vertices)), *(0,) * moved, *cell.operations)


@lru_cache(maxsize=1 << 16)
def canonical_dag(genes: Genotype, vertices: int) -> Genotype:
    """The lexicographically smallest genes of the same cell, up to the numbers of its vertices."""
    return smallest(dag(genes, vertices), vertices)


def smallest(cell: Dag, vertices: int) -> Genotype:
    """The lexicographically smallest genes of a cell; vertices without edges come first."""
    edges, orders = _orders(cell.edges, cell.output)
    operations = min(tuple(cell.operations[vertex - 1] for vertex in order) for order in orders)
    return genes_of(Dag(operations, edges), vertices)


@lru_cache(maxsize=1 << 14)
def _orders(edges: tuple[Arrow, ...], output: int) -> tuple[tuple[Arrow, ...], list[tuple[int, ...]]]:
    """The smallest edges of a cell, and all orders of the vertices between input and output that lead to them.

    Vertices are numbered one after another. Each of the numberings so far goes on with every vertex whose inputs are
    all numbered, and only those are kept whose next column of bits is the smallest.
    """
    reads = {vertex: {source for source, to in edges if to == vertex} for vertex in range(1, output + 1)}
    orders: list[tuple[int, ...]] = [(0,)]
    for number in range(1, output + 1):
        found: dict[tuple[bool, ...], list[tuple[int, ...]]] = {}
        for order in orders:
            left = {*range(1, output)} - {*order} if number < output else {output}
            for vertex in (vertex for vertex in left if reads[vertex] <= {*order}):
                found.setdefault(tuple(earlier in reads[vertex] for earlier in order), []).append((*order, vertex))
        orders = found[min(found)]
    between = [order[1:-1] for order in orders]
    return _numbered(edges, between[0], output), between


def _numbered(edges: Iterable[Arrow], between: Sequence[int], output: int) -> tuple[Arrow, ...]:
    """The edges with the vertices `between` numbered 1, 2, ... in their order."""
    new = {0: 0, output: len(between) + 1} | {vertex: number for number, vertex in enumerate(between, start=1)}
    return tuple(_ordered((new[source], new[to]) for source, to in edges))


def _ordered(edges: Iterable[Arrow]) -> list[Arrow]:
    return sorted(edges, key=itemgetter(1, 0))
