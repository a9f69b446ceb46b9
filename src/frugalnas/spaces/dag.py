"""Cells of NAS-Bench-101 as directed acyclic graphs: what genes stand for, and when two are the same cell.

Vertex 0 is the cell's input, the last one its output. The genes are a bit for each possible edge, then the operation of
each vertex between; the edges come by the vertex that they lead to, then by the one that they come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

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


def pruned(edges: Iterable[Arrow], output: int) -> list[Arrow]:
    """The edges that lie on a path from vertex 0 to the output; of edges in any order, in that of the genes."""
    ordered = sorted(edges, key=lambda edge: edge[::-1])
    reached, needed = {0}, {output}
    for source, to in ordered:
        reached |= {to} if source in reached else set()
    for source, to in reversed(ordered):
        needed |= {source} if to in needed else set()
    return [(source, to) for source, to in ordered if source in reached and to in needed]


def cell_of(edges: Iterable[Arrow], operations: Sequence[int], output: int) -> Dag:
    """The cell of these edges without what lies on no path, its vertices numbered anew; of no path it has no edges."""
    kept = pruned(edges, output)
    return _numbered(kept, operations, sorted({*chain(*kept)} - {0, output}), output)


@lru_cache(maxsize=1 << 12)
def dag(genes: Genotype, vertices: int) -> Dag:
    """The cell that genes stand for.

    What lies on no path is left out, as in the benchmark; without any path the input goes straight to the output. Of
    more than nine edges the last is dropped that no vertex needs, as it reads and is read otherwise, or the very last,
    until nine are left.
    """
    arrows, output = possible(vertices), vertices - 1
    edges = pruned([edge for edge, bit in zip(arrows, genes, strict=False) if bit], output) or [(0, output)]
    while len(edges) > MOST_EDGES:
        sources, ends = ([edge[side] for edge in edges] for side in (0, 1))
        spare = [edge for edge in edges if sources.count(edge[0]) > 1 and ends.count(edge[1]) > 1]
        edges.remove((spare or edges)[-1])
        edges = pruned(edges, output)
    return cell_of(edges, genes[len(arrows) :], output)


def genes_of(cell: Dag, vertices: int) -> Genotype:
    """Genes of a cell, whose vertices come last among those between input and output."""
    moved = vertices - 2 - len(cell.operations)
    edges = {(source + moved * (source > 0), to + moved) for source, to in cell.edges}
    return (*(int(edge in edges) for edge in possible(vertices)), *(0,) * moved, *cell.operations)


@lru_cache(maxsize=1 << 16)
def canonical_dag(genes: Genotype, vertices: int) -> Genotype:
    """The lexicographically smallest genes of the same cell, up to the numbers of its vertices.

    Vertices without edges come first; the others are numbered one after another. Each of the numberings so far goes on
    with every vertex whose inputs are all numbered, and only those are kept whose next column of bits is the smallest.
    Of vertices that are alike only one is tried. Among the numberings that are left the operations decide.
    """
    cell = dag(genes, vertices)
    between, output = range(1, cell.output), cell.output
    reads = {vertex: frozenset(cell.reads(vertex)) for vertex in (*between, output)}
    alike = {v: (reads[v], frozenset(t for t in reads if v in reads[t]), cell.operations[v - 1]) for v in between}
    orders: list[tuple[int, ...]] = [(0,)]
    for _ in between:
        found: dict[tuple[bool, ...], list[tuple[int, ...]]] = {}
        for order in orders:
            left = {alike[v]: v for v in between if v not in order and reads[v] <= {*order}}
            for vertex in left.values():
                found.setdefault(tuple(earlier in reads[vertex] for earlier in order), []).append((*order, vertex))
        orders = found[min(found)]
    last = {order: tuple(earlier in reads[output] for earlier in order) for order in orders}
    best = min(orders, key=lambda order: (last[order], [cell.operations[vertex - 1] for vertex in order[1:]]))
    return genes_of(_numbered(cell.edges, cell.operations, best[1:], output), vertices)


def _numbered(edges: Iterable[Arrow], operations: Sequence[int], between: Sequence[int], output: int) -> Dag:
    """The cell with the vertices `between` numbered 1, 2, ... in their order; `operations` are by the old numbers."""
    new = {0: 0, output: len(between) + 1} | {vertex: number for number, vertex in enumerate(between, start=1)}
    moved = sorted(((new[source], new[to]) for source, to in edges), key=lambda edge: edge[::-1])
    return Dag(tuple(operations[vertex - 1] for vertex in between), tuple(moved))
