"""The space of NAS-Bench-201 (Dong and Yang, ICLR 2020), the topology space of NATS-Bench: one cell of four nodes.

Each of the six edges between two nodes has one of five operations, and a node adds up what arrives; node 0 is the
cell's input, node 3 its output. Three stages of `cells` equal cells, between them a residual block that halves the
size and doubles the width. A genotype has a gene per edge, in the order of the benchmark's strings:
`|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`.

Differences from the paper: where the side of a map is odd, the shortcut of a residual block averages over 3x3 pixels,
as the 2x2 pooling would give a smaller map than the convolutions beside it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise, product
from math import prod
from random import Random
from typing import TYPE_CHECKING

from frugalnas.core import Fidelity, Genotype, InputError, nearest
from frugalnas.layers.cost import Count, Row, count, sum_of, total
from frugalnas.layers.diagram import Box, Diagram
from frugalnas.layers.graph import Graph, Node, graph_peak_bytes
from frugalnas.layers.plan import AvgPool, BatchNorm, Conv, Layers, ReLU, Shape, Zero, classifier
from frugalnas.spaces.checks import check_genes, check_sizes, shown

if TYPE_CHECKING:
    from frugalnas.layers.graph_network import GraphNetwork

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))  # from node, to node: gene i is the operation of edge i
STAGES = 3
BOUNDS = {
    "channels": (1, 4096),
    "cells": (1, 200),
    "in_channels": (1, 1024),
    "classes": (1, 1_000_000),
    "resolution": (1, 8192),
}


@dataclass(frozen=True)
class NasBench201:
    """Networks of NAS-Bench-201: 15,625 genotypes.

    `channels`: width of the first stage; it doubles twice. `cells` per stage. `resolution`: side of the square input
    in pixels. Raises InputError for sizes out of range.
    """

    channels: int = 16
    cells: int = 5
    in_channels: int = 3
    classes: int = 10
    resolution: int = 32

    def __post_init__(self) -> None:
        check_sizes(self, BOUNDS)

    @property
    def domains(self) -> tuple[int, ...]:
        """Gene i is in range(domains[i]): one operation for each of the six edges."""
        return (len(OPERATIONS),) * len(EDGES)

    @property
    def auxiliary(self) -> bool:
        """The networks have no auxiliary head."""
        return False

    @property
    def summary(self) -> str:
        """The size of the networks in a few words."""
        return f"{STAGES} x {self.cells} cells, {self.channels} channels"

    def covering(self) -> list[Genotype]:
        """Genotypes whose networks together have every part that any network of the space has."""
        return [(gene,) * len(EDGES) for gene in range(len(OPERATIONS))]

    def canonical(self, genotype: Genotype) -> Genotype:
        """The genotype itself: the benchmark trained every one on its own. Raises InputError as `check_genes`."""
        check_genes(genotype, self.domains)
        return genotype

    def at(self, fidelity: Fidelity) -> NasBench201:
        """The space with the width (channels of the first stage), depth (cells per stage) and resolution of `fidelity`;
        None keeps them."""
        return replace(
            self,
            channels=fidelity.width or self.channels,
            cells=fidelity.depth or self.cells,
            resolution=fidelity.resolution or self.resolution,
        )

    def to_string(self, genotype: Genotype) -> str:
        """The benchmark's name of an architecture, such as `|none~0|+|none~0|none~1|+|none~0|none~1|none~2|`."""
        check_genes(genotype, self.domains)
        words = [f"{OPERATIONS[gene]}~{source}" for gene, (source, _) in zip(genotype, EDGES, strict=True)]
        return "+".join(
            "|" + "".join(f"{word}|" for word, edge in zip(words, EDGES, strict=True) if edge[1] == node)
            for node in (1, 2, 3)
        )

    def from_string(self, text: str) -> Genotype:
        """The genotype of the benchmark's name; the inverse of `to_string`. Raises InputError for any other text."""
        nodes = [re.findall(r"([^|~+]+)~([0-9]+)\|", part) for part in text.strip().split("+")]
        words = [word for node in nodes for word in node]
        for name, _ in words:
            if name not in OPERATIONS:
                raise InputError(f"unknown operation {shown(name)} in {shown(text)}: {nearest(name, OPERATIONS)}")
        if len(words) == len(EDGES):
            genotype = tuple(OPERATIONS.index(name) for name, _ in words)
            if self.to_string(genotype) == text.strip():
                return genotype
        raise InputError(f"{shown(text)} is no architecture: expected |op~0|+|op~0|op~1|+|op~0|op~1|op~2|")

    def to_index(self, genotype: Genotype) -> int:
        """The number of an architecture in the benchmark's files, and so in the tables of others, such as latencies."""
        check_genes(genotype, self.domains)
        return _numbers()[genotype]

    def from_index(self, index: int) -> Genotype:
        """The genotype with this number; the inverse of `to_index`. Raises InputError for a number out of range."""
        if type(index) is not int or not 0 <= index < len(_order()):
            raise InputError(f"{shown(index)} is no architecture: expected a number from 0 to {len(_order()) - 1}")
        return _order()[index]

    def describe(self, genotype: Genotype) -> dict[str, Diagram]:
        """The cell, for people and drawings."""
        check_genes(genotype, self.domains)
        lines = [(OPERATIONS[gene], (source,)) for gene, (source, _) in zip(genotype, EDGES, strict=True)]
        boxes = tuple(
            Box(f"node {node}", tuple(line for line, edge in zip(lines, EDGES, strict=True) if edge[1] == node))
            for node in (1, 2, 3)
        )
        return {"cell": Diagram(("node 0",), boxes, (3,))}

    def network(self, genotype: Genotype) -> Graph:
        """The network as plain data, for builders, counters and exporters."""
        check_genes(genotype, self.domains)
        nodes, scales = [Node((0,), _stem(self))], []
        value, before = 1, 0  # the newest map, and its side where a stage ended
        for width, side in _stages(self):
            if before:
                scales.append(value)
                value = add_reduction(nodes, value, width // 2, width, before)
            for _ in range(self.cells):
                value = add_cell(nodes, value, genotype, width, width)
            before = side
        nodes.append(Node((value,), _last(self)))
        return Graph(_image(self), tuple(nodes), self.classes, (*scales, len(nodes)))

    def build(self, genotype: Genotype) -> GraphNetwork:
        """The network with freshly initialised weights from torch's global generator."""
        from frugalnas.layers.graph_network import GraphNetwork

        return GraphNetwork(self.network(genotype))

    def count(self, genotype: Genotype) -> Count:
        """Parameters and work of the network from formulas, without building it, as the benchmark counts: with every
        edge, also where nothing reads the node it leads to."""
        check_genes(genotype, self.domains)
        fixed, edges, adding = _prices(self)
        rows = [fixed, *(edges[gene] for gene in genotype)]
        rows += [adding] * sum(max(0, len(arriving) - 1) for arriving in _arriving(genotype))
        return sum_of(rows)

    def peak_bytes(self, genotype: Genotype) -> int:
        """Peak memory of the activations of one inference, batch 1, float32: see `layers.graph.graph_peak_bytes`."""
        return graph_peak_bytes(self.network(genotype))


@lru_cache(maxsize=1)
def _order() -> tuple[Genotype, ...]:
    """All genotypes in the order of the benchmark, whose code shuffles them once."""
    genotypes = [*product(range(len(OPERATIONS)), repeat=len(EDGES))]
    Random(88).shuffle(genotypes)  # noqa: S311
    return tuple(genotypes)


@lru_cache(maxsize=1)
def _numbers() -> dict[Genotype, int]:
    return {genotype: number for number, genotype in enumerate(_order())}


@lru_cache(maxsize=64)
def _prices(space: NasBench201) -> tuple[Row, tuple[Row, ...], Row]:
    """The costs of all that no gene changes; of each operation on one edge of all cells; of one sum in all cells."""
    stages = [(width, (width, side, side)) for width, side in _stages(space)]
    fixed = [count(_stem(space), _image(space))]
    for (_, before), (width, after) in pairwise(stages):
        shortcut, block = _reduction(before[0], width, before[1])
        fixed += [count(shortcut, before), count(block, before), Count(add=prod(after))]
    last = stages[-1][1]
    fixed += [count(_last(space), last), count(classifier(last[0], space.classes), last)]
    edges = [total(*(count(_edge(name, width, width), shape) for width, shape in stages)) for name in OPERATIONS]
    adding = total(*(Count(add=prod(shape)) for _, shape in stages))
    return (
        total(*fixed).values(),
        tuple((edge * space.cells).values() for edge in edges),
        (adding * space.cells).values(),
    )


def _image(space: NasBench201) -> Shape:
    return space.in_channels, space.resolution, space.resolution


def _stages(space: NasBench201) -> list[tuple[int, int]]:
    """Width and side of the maps of each stage."""
    width, side, stages = space.channels, space.resolution, []
    for _ in range(STAGES):
        stages.append((width, side))
        width, side = 2 * width, -(-side // 2)
    return stages


def _stem(space: NasBench201) -> Layers:
    return Conv(space.in_channels, space.channels, (3, 3)), BatchNorm(space.channels)


def _last(space: NasBench201) -> Layers:
    return BatchNorm(space.channels * 2 ** (STAGES - 1)), ReLU(in_place=True)


def _edge(operation: str, inputs: int, outputs: int) -> Layers:
    """The layers of an operation; () is the identity. Only `none` and pooling need equal widths."""
    if operation.startswith("nor_conv"):
        kernel = int(operation[-1])
        return ReLU(), Conv(inputs, outputs, (kernel, kernel)), BatchNorm(outputs)
    match operation:
        case "none":
            return (Zero(1),)
        case "avg_pool_3x3":
            return (AvgPool(3, 1, 1),)
        case _:
            return () if inputs == outputs else (Conv(inputs, outputs), BatchNorm(outputs))


def _reduction(inputs: int, outputs: int, side: int) -> tuple[Layers, Layers]:
    """The shortcut and the two convolutions of a residual block on maps of `side` pixels."""
    pool = AvgPool(3, 2, 1) if side % 2 else AvgPool(2, 2)
    first = ReLU(), Conv(inputs, outputs, (3, 3), (2, 2)), BatchNorm(outputs)
    second = ReLU(in_place=True), Conv(outputs, outputs, (3, 3)), BatchNorm(outputs)
    return (pool, Conv(inputs, outputs)), first + second


def add_reduction(nodes: list[Node], value: int, inputs: int, outputs: int, side: int) -> int:
    """A residual block that reads a value, a map of `side` pixels; returns that of its output."""
    shortcut, block = _reduction(inputs, outputs, side)
    nodes += [Node((value,), shortcut), Node((value,), block, droppable=True)]
    nodes.append(Node((len(nodes) - 1, len(nodes))))
    return len(nodes)


def _arriving(genotype: Sequence[int]) -> list[list[int]]:
    """For nodes 1, 2 and 3 the edges that bring something."""
    return [[i for i, (_, to) in enumerate(EDGES) if to == node and genotype[i]] for node in (1, 2, 3)]


def add_cell(nodes: list[Node], value: int, genotype: Genotype, inputs: int, outputs: int) -> int:
    """A cell that reads a value; returns that of its output. A node where nothing arrives is zeros."""
    values = [value]  # of the cell's nodes
    for arriving in _arriving(genotype):
        reads = []
        for edge in arriving:
            width = outputs if EDGES[edge][0] else inputs
            layers, read = _edge(OPERATIONS[genotype[edge]], width, outputs), values[EDGES[edge][0]]
            if layers:
                nodes.append(Node((read,), layers, droppable=True))
                read = len(nodes)
            reads.append(read)
        if len(reads) > 1 or not arriving:
            nodes.append(Node(tuple(reads)) if reads else Node((values[0],), (Zero(1),)))
        values.append(reads[0] if len(reads) == 1 else len(nodes))
    return values[-1]
