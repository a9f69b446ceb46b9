"""The size space of NATS-Bench: the widths of five layers, each one of eight.

Dong, Liu, Musial, Gabrys: "NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size", IEEE TPAMI
2021, arXiv 2009.00437.

The layers are a cell, a residual block that halves the size, a cell, another such block and a cell; a 3x3 convolution
before them has the width of the first. All cells are the one of the topology space with the highest validation accuracy
on CIFAR-100, number 9930 of NAS-Bench-201. Gene i stands for the width of layer i: 0 for 8 channels, 7 for 64. An edge
of a cell that keeps its input becomes a 1x1 convolution and BatchNorm where the widths differ.

Differences from the paper: as in `spaces.nasbench201`, where the side of a map is odd.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise, product
from typing import TYPE_CHECKING

from frugalnas.core import Fidelity, Genotype, InputError
from frugalnas.layers.cost import Count, Row, count, sum_of
from frugalnas.layers.diagram import Box, Diagram
from frugalnas.layers.graph import Graph, Node, count_nodes, graph_peak_bytes
from frugalnas.layers.plan import BatchNorm, Conv, Layers, ReLU, Shape, classifier
from frugalnas.spaces.checks import check_genes, check_sizes, shown
from frugalnas.spaces.nasbench201 import add_cell, add_reduction

if TYPE_CHECKING:
    from frugalnas.layers.graph_network import GraphNetwork

CELL = (3, 3, 3, 1, 3, 3)  # |conv3~0|+|conv3~0|conv3~1|+|skip~0|conv3~1|conv3~2|
LAYERS = 5  # the odd ones are residual blocks
WIDTHS = 8
BOUNDS = {
    "channels": (1, 4096),
    "in_channels": (1, 1024),
    "classes": (1, 1_000_000),
    "resolution": (1, 8192),
}


@dataclass(frozen=True)
class NatsSize:
    """Networks of the size space of NATS-Bench: 32,768 genotypes.

    `channels`: the largest width; the others are eighths of it, rounded up. `resolution`: side of the square input in
    pixels. Raises InputError for sizes out of range.
    """

    channels: int = 64
    in_channels: int = 3
    classes: int = 10
    resolution: int = 32

    def __post_init__(self) -> None:
        check_sizes(self, BOUNDS)

    @property
    def domains(self) -> tuple[int, ...]:
        """Gene i is in range(domains[i]): one of eight widths for each of the five layers."""
        return (WIDTHS,) * LAYERS

    @property
    def auxiliary(self) -> bool:
        """The networks have no auxiliary head."""
        return False

    @property
    def summary(self) -> str:
        """The size of the networks in a few words."""
        return f"{LAYERS} layers, up to {self.channels} channels"

    def covering(self) -> list[Genotype]:
        """Genotypes whose networks together have every part that any network of the space has."""
        return [(a, b, a, b, a) for a, b in product(range(WIDTHS), repeat=2)]

    def canonical(self, genotype: Genotype) -> Genotype:
        """The genotype itself: no two are the same network. Raises InputError as `check_genes`."""
        check_genes(genotype, self.domains)
        return genotype

    def at(self, fidelity: Fidelity) -> NatsSize:
        """The space with the width (the largest one) and resolution of `fidelity`; None keeps them. There is no other
        depth: that of `fidelity` has no effect."""
        return replace(
            self,
            channels=fidelity.width or self.channels,
            resolution=fidelity.resolution or self.resolution,
        )

    def widths(self, genotype: Genotype) -> list[int]:
        """The channels of each layer. Raises InputError for a genotype of another space."""
        check_genes(genotype, self.domains)
        return [-(-self.channels * (gene + 1) // WIDTHS) for gene in genotype]

    def to_string(self, genotype: Genotype) -> str:
        """The benchmark's name of an architecture, its widths such as `8:16:24:32:40`, whatever `channels`."""
        return ":".join(map(str, NatsSize().widths(genotype)))

    def from_string(self, text: str) -> Genotype:
        """The genotype of the benchmark's name; the inverse of `to_string`. Raises InputError for any other text."""
        places = {str(8 * (gene + 1)): gene for gene in range(WIDTHS)}
        words = text.strip().split(":")
        if len(words) != LAYERS or not {*words} <= {*places}:
            raise InputError(
                f"{shown(text)} is no architecture: expected {LAYERS} of {', '.join(places)} with colons between"
            )
        return tuple(places[word] for word in words)

    def to_index(self, genotype: Genotype) -> int:
        """The number of an architecture in the benchmark's files."""
        check_genes(genotype, self.domains)
        return sum(gene * WIDTHS**place for place, gene in enumerate(reversed(genotype)))

    def from_index(self, index: int) -> Genotype:
        """The genotype with this number; the inverse of `to_index`. Raises InputError for a number out of range."""
        if type(index) is not int or not 0 <= index < WIDTHS**LAYERS:
            raise InputError(f"{shown(index)} is no architecture: expected a number from 0 to {WIDTHS**LAYERS - 1}")
        return tuple(index // WIDTHS**place % WIDTHS for place in reversed(range(LAYERS)))

    def describe(self, genotype: Genotype) -> dict[str, Diagram]:
        """The layers, for people and drawings."""
        lines = [f"{'block' if place % 2 else 'cell'} of {width}" for place, width in enumerate(self.widths(genotype))]
        boxes = tuple(Box(f"layer {place + 1}", ((line, (place,)),)) for place, line in enumerate(lines))
        return {"layers": Diagram(("stem",), boxes, (LAYERS,))}

    def network(self, genotype: Genotype) -> Graph:
        """The network as plain data, for builders, counters and exporters."""
        widths = self.widths(genotype)
        nodes, scales, side = [Node((0,), _stem(self, widths[0]))], [], self.resolution
        for place, (before, width) in enumerate(pairwise([widths[0], *widths])):
            scales += [len(nodes)] if place % 2 else []
            _add_layer(nodes, place, before, width, side)
            side = -(-side // 2) if place % 2 else side
        nodes.append(Node((len(nodes),), _last(widths[-1])))
        return Graph(_image(self), tuple(nodes), self.classes, (*scales, len(nodes)))

    def build(self, genotype: Genotype) -> GraphNetwork:
        """The network with freshly initialised weights from torch's global generator."""
        from frugalnas.layers.graph_network import GraphNetwork

        return GraphNetwork(self.network(genotype))

    def count(self, genotype: Genotype) -> Count:
        """Parameters and work of the network from formulas, without building it."""
        widths, side = self.widths(genotype), self.resolution
        rows = [count(_stem(self, widths[0]), _image(self)).values()]
        for place, (before, width) in enumerate(pairwise([widths[0], *widths])):
            rows.append(_price(place % 2, before, width, side))
            side = -(-side // 2) if place % 2 else side
        last = (widths[-1], side, side)
        rows += [count(layers, last).values() for layers in (_last(last[0]), classifier(last[0], self.classes))]
        return sum_of(rows)

    def peak_bytes(self, genotype: Genotype) -> int:
        """Peak memory of the activations of one inference, batch 1, float32: see `layers.graph.graph_peak_bytes`."""
        return graph_peak_bytes(self.network(genotype))


@lru_cache(maxsize=1 << 12)
def _price(place: int, inputs: int, outputs: int, side: int) -> Row:
    """The cost of one layer."""
    nodes: list[Node] = []
    _add_layer(nodes, place, inputs, outputs, side)
    return count_nodes(Graph((inputs, side, side), tuple(nodes), 1, ())).values()


def _add_layer(nodes: list[Node], place: int, inputs: int, outputs: int, side: int) -> None:
    """A layer that reads the newest value, a map of `side` pixels."""
    if place % 2:
        add_reduction(nodes, len(nodes), inputs, outputs, side)
    else:
        add_cell(nodes, len(nodes), CELL, inputs, outputs)


def _image(space: NatsSize) -> Shape:
    return space.in_channels, space.resolution, space.resolution


def _stem(space: NatsSize, width: int) -> Layers:
    return Conv(space.in_channels, width, (3, 3)), BatchNorm(width)


def _last(width: int) -> Layers:
    return BatchNorm(width), ReLU(in_place=True)
