"""The space of NAS-Bench-101: a cell of up to seven vertices and nine edges, stacked nine times.

Ying, Klein, Real, Christiansen, Murphy, Hutter: "NAS-Bench-101: Towards Reproducible Neural Architecture Search", ICML
2019, arXiv 1902.09635.

A 3x3 convolution to C = 128 channels, three stacks of three equal cells of width C, 2C and 4C, max pooling between, the
mean and a linear layer. A vertex adds up what it reads and runs its operation, convolutions with BatchNorm and ReLU
behind them; the output concatenates what it reads. The input of the cell is read through a 1x1 convolution by every
vertex; one straight to the output is added. The vertices that the output reads share its channels, the first of them
one more each where the division leaves a rest; any other has as many as the widest that reads it, which takes the first
of its channels where it has fewer.

A genotype has a bit for each edge and a gene for the operation of each vertex: see `spaces.dag`, also for what is done
with more than nine edges and without a path, which the benchmark refuses.

Differences from the released code
- Isomorphic cells are one network, that of their `canonical` genotype. The benchmark too trained one of each class; it
  may have chosen another, in which other vertices have the channel more.
- A vertex has one channel at least: a cell of fewer channels than vertices that its output reads becomes wider.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import combinations
from typing import TYPE_CHECKING

from frugalnas.core import Fidelity, Genotype, InputError, nearest
from frugalnas.layers.cost import Count, Row, count, sum_of
from frugalnas.layers.diagram import Box, Diagram, Line
from frugalnas.layers.graph import Graph, Node, count_nodes, graph_peak_bytes
from frugalnas.layers.plan import BatchNorm, Conv, Layers, MaxPool, ReLU, Shape, Take, classifier
from frugalnas.spaces.checks import check_genes, check_sizes, shown
from frugalnas.spaces.dag import MOST_EDGES, Dag, canonical_dag, cell_of, dag, genes_of, possible, smallest

if TYPE_CHECKING:
    from frugalnas.layers.graph_network import GraphNetwork

OPERATIONS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
INPUT, OUTPUT = "input", "output"  # what the benchmark writes for the first and the last vertex
STACKS = 3
BOUNDS = {
    "vertices": (3, 7),
    "channels": (1, 4096),
    "cells": (1, 200),
    "in_channels": (1, 1024),
    "classes": (1, 1_000_000),
    "resolution": (1, 8192),
}


@dataclass(frozen=True)
class NasBench101:
    """Networks of NAS-Bench-101: 423,624 different ones with seven vertices.

    `vertices` of a cell at most, input and output included. `channels`: width of the first stack; it doubles twice.
    `cells` per stack. `resolution`: side of the square input in pixels. Raises InputError for sizes out of range.
    """

    vertices: int = 7
    channels: int = 128
    cells: int = 3
    in_channels: int = 3
    classes: int = 10
    resolution: int = 32

    def __post_init__(self) -> None:
        check_sizes(self, BOUNDS)

    @cached_property
    def domains(self) -> tuple[int, ...]:
        """Gene i is in range(domains[i]): a bit for each edge, then an operation for each vertex between."""
        return (2,) * len(possible(self.vertices)) + (len(OPERATIONS),) * (self.vertices - 2)

    @property
    def auxiliary(self) -> bool:
        """The networks have no auxiliary head."""
        return False

    @property
    def summary(self) -> str:
        """The size of the networks in a few words."""
        return f"{STACKS} x {self.cells} cells of up to {self.vertices} vertices, {self.channels} channels"

    def covering(self) -> list[Genotype]:
        """Genotypes whose networks together have every part that any network of the space has."""
        shapes = [shape for shape in _shapes() if shape[0] <= self.vertices - 2 and len(shape[1]) <= MOST_EDGES]
        cells = [Dag((gene,) * between, edges) for between, edges in shapes for gene in range(len(OPERATIONS))]
        return [*dict.fromkeys(self.canonical(genes_of(cell, self.vertices)) for cell in cells)]

    def canonical(self, genotype: Genotype) -> Genotype:
        """The lexicographically smallest genotype with the same cell, up to the numbers of its vertices."""
        check_genes(genotype, self.domains)
        return canonical_dag(tuple(genotype), self.vertices)

    def at(self, fidelity: Fidelity) -> NasBench101:
        """The space with the width (channels of the first stack), depth (cells per stack) and resolution of `fidelity`;
        None keeps them."""
        return replace(
            self,
            channels=fidelity.width or self.channels,
            cells=fidelity.depth or self.cells,
            resolution=fidelity.resolution or self.resolution,
        )

    def encode(self, matrix: Sequence[Sequence[int]], operations: Sequence[str]) -> Genotype:
        """The canonical genotype of a cell in the benchmark's notation: an upper triangular adjacency matrix, and the
        operation of each vertex, the first "input" and the last "output".

        Raises InputError for a cell that the benchmark has not: with more vertices or edges than there may be, an
        unknown operation, or no path.
        """
        size = len(operations)
        if size < 2 or [operations[0], operations[-1]] != [INPUT, OUTPUT]:
            raise InputError(f"operations = {shown(list(operations))}: expected input, ..., output")
        for name in operations[1:-1]:
            if name not in OPERATIONS:
                raise InputError(f"unknown operation {shown(name)}: {nearest(str(name), OPERATIONS)}")
        ones = {(row, column) for row, bits in enumerate(matrix) for column, bit in enumerate(bits) if bit}
        if [*map(len, matrix)] != [size] * size or not ones <= {*possible(size)}:
            raise InputError(f"expected an upper triangular matrix of {size} rows, one for each operation")
        cell = cell_of(ones, [*map(OPERATIONS.index, operations[1:-1])], size - 1)
        if not cell.edges:
            raise InputError("the cell has no path from its input to its output")
        if cell.output >= self.vertices or len(cell.edges) > MOST_EDGES:
            raise InputError(
                f"the cell has {cell.output + 1} vertices and {len(cell.edges)} edges on its paths: expected at most "
                f"{self.vertices} and {MOST_EDGES}"
            )
        return smallest(cell, self.vertices)

    def decode(self, genotype: Genotype) -> tuple[list[list[int]], list[str]]:
        """The cell in the benchmark's notation: of genes of the same cell the same, and the inverse of `encode`."""
        cell = self._cell(genotype)
        size = cell.output + 1
        matrix = [[int((source, to) in cell.edges) for to in range(size)] for source in range(size)]
        return matrix, [INPUT, *(OPERATIONS[gene] for gene in cell.operations), OUTPUT]

    def describe(self, genotype: Genotype) -> dict[str, Diagram]:
        """The cell, for people and drawings."""
        cell = self._cell(genotype)
        boxes = [
            Box(f"vertex {vertex}", tuple((_word(gene), (read,)) for read in cell.reads(vertex)))
            for vertex, gene in enumerate(cell.operations, start=1)
        ]
        skips, last = 0 in (reads := cell.reads(cell.output)), tuple(read for read in reads if read)
        if skips:
            lines: list[Line] = [("concat" if len(last) > 1 else "identity", last)] if last else []
            boxes.append(Box("sum", (*lines, ("conv1x1", (0,)))))
        return {"cell": Diagram((INPUT,), tuple(boxes), (len(boxes),) if skips else last)}

    def network(self, genotype: Genotype) -> Graph:
        """The network as plain data, for builders, counters and exporters."""
        cell, nodes = self._cell(genotype), [Node((0,), _convolution(self.in_channels, self.channels, 3))]
        width, side, scales = self.channels, self.resolution, []
        for stack in range(STACKS):
            if stack:
                scales.append(len(nodes))
                nodes.append(Node((len(nodes),), _pool(side)))
                side = -(-side // 2)
            for _ in range(self.cells):
                width = _add_cell(nodes, cell, width, self.channels * 2**stack)
        return Graph(_image(self), tuple(nodes), self.classes, (*scales, len(nodes)))

    def build(self, genotype: Genotype) -> GraphNetwork:
        """The network with freshly initialised weights from torch's global generator."""
        from frugalnas.layers.graph_network import GraphNetwork

        return GraphNetwork(self.network(genotype))

    def count(self, genotype: Genotype) -> Count:
        """Parameters and work of the network from formulas, without building it."""
        cell, width, side = self._cell(genotype), self.channels, self.resolution
        rows = [count(_convolution(self.in_channels, width, 3), _image(self)).values()]
        for stack in range(STACKS):
            if stack:
                rows.append(count(_pool(side), (width, side, side)).values())
                side = -(-side // 2)
            for _ in range(self.cells):
                outputs = self.channels * 2**stack
                rows.append(_price(cell, width, outputs, side))
                width = _width(cell, outputs)
        rows.append(count(classifier(width, self.classes), (width, side, side)).values())
        return sum_of(rows)

    def peak_bytes(self, genotype: Genotype) -> int:
        """Peak memory of the activations of one inference, batch 1, float32: see `layers.graph.graph_peak_bytes`."""
        return graph_peak_bytes(self.network(genotype))

    def _cell(self, genotype: Genotype) -> Dag:
        return dag(self.canonical(genotype), self.vertices)


@lru_cache(maxsize=1 << 14)
def _price(cell: Dag, inputs: int, outputs: int, side: int) -> Row:
    """The cost of one cell."""
    nodes: list[Node] = []
    _add_cell(nodes, cell, inputs, outputs)
    return count_nodes(Graph((inputs, side, side), tuple(nodes), 1, ())).values()


def _add_cell(nodes: list[Node], cell: Dag, inputs: int, outputs: int) -> int:
    """A cell that reads the newest value, of `inputs` channels; returns how many it makes of it."""
    widths, values = _widths(cell, outputs), {0: len(nodes)}
    for vertex, gene in enumerate(cell.operations, start=1):
        width, reads = widths[vertex], []
        for read in cell.reads(vertex):
            layers = _narrowed(widths[read], width) if read else _convolution(inputs, width, 1)
            if layers:
                nodes.append(Node((values[read],), layers))
            reads.append(len(nodes) if layers else values[read])
        nodes.append(Node(tuple(reads), _operation(gene, width)))
        values[vertex] = len(nodes)
    reads = [values[read] for read in cell.reads(cell.output) if read]
    if reads:
        nodes.append(Node(tuple(reads), merge="concat"))
    if (0, cell.output) in cell.edges:
        nodes.append(Node((values[0],), _convolution(inputs, _width(cell, outputs), 1)))
        if reads:
            nodes.append(Node((len(nodes) - 1, len(nodes))))
    return _width(cell, outputs)


def _last(cell: Dag) -> list[int]:
    """The vertices that the output concatenates."""
    return [read for read in cell.reads(cell.output) if read]


def _width(cell: Dag, outputs: int) -> int:
    """The channels of a cell's output: `outputs`, or one for each vertex that it concatenates."""
    return max(outputs, len(_last(cell)))


def _widths(cell: Dag, outputs: int) -> dict[int, int]:
    """The channels of the vertices between input and output."""
    last = _last(cell)
    share, rest = divmod(_width(cell, outputs), max(1, len(last)))
    widths = {vertex: share + (place < rest) for place, vertex in enumerate(last)}
    for vertex in reversed(range(1, cell.output)):
        if vertex not in widths:
            widths[vertex] = max(widths[to] for source, to in cell.edges if source == vertex)
    return widths


def _shapes() -> list[tuple[int, tuple[tuple[int, int], ...]]]:
    """Cells, as the number of vertices between input and output and the edges, in which there is everything.

    That is for each number of vertices that the output reads: projections and operations of both widths, sums of both
    widths, a vertex that takes the first channels of a wider one, and the sum with the input.
    """
    shapes = [(0, [(0, 1)])]
    for last in range(1, 5):
        between = [*range(1, last + 1)]
        base = [*((0, vertex) for vertex in between), *((vertex, last + 1) for vertex in between)]
        shapes += [(last, base), (last, [*base, (0, last + 1)])]
        shapes += [(last, [*base, pair]) for pair in combinations(between, 2)]
    early = [(0, 1), (0, 2), (1, 2)]  # vertex 2 is a sum that comes before those that read it, or read less
    shapes += [
        (2, [*early, (2, 3)]),
        (3, [*early, (0, 3), (1, 3), (2, 4), (3, 4)]),
        (3, [*early, (2, 3), (1, 4), (2, 4), (3, 4)]),
        (4, [*early, (2, 3), (2, 4), (2, 5), (3, 5), (4, 5)]),
        (4, [*early, (2, 3), (2, 4), *((vertex, 5) for vertex in range(1, 5))]),
        (4, [(0, 1), (0, 2), (1, 3), (2, 3), (0, 4), *((vertex, 5) for vertex in range(1, 5))]),
        (5, [(0, 1), (0, 2), (1, 3), (2, 3), (3, 6), (0, 4), (4, 6), (0, 5), (5, 6)]),
    ]
    return [(between, tuple(edges)) for between, edges in shapes]


def _image(space: NasBench101) -> Shape:
    return space.in_channels, space.resolution, space.resolution


def _convolution(inputs: int, outputs: int, kernel: int) -> Layers:
    return Conv(inputs, outputs, (kernel, kernel)), BatchNorm(outputs), ReLU(in_place=True)


def _narrowed(width: int, wanted: int) -> Layers:
    return (Take(wanted),) if width > wanted else ()


def _operation(gene: int, width: int) -> Layers:
    return (MaxPool(3, 1, 1),) if gene == 2 else _convolution(width, width, 3 if gene == 0 else 1)


def _pool(side: int) -> Layers:
    return (MaxPool(2, 2, ceil=side % 2 == 1),)


def _word(gene: int) -> str:
    """An operation for people."""
    return OPERATIONS[gene].removesuffix("-bn-relu")
