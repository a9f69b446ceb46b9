"""The space of NAS-Bench-Macro: eight layers in a chain, each an identity or one of two inverted residuals.

Su, Huang, Li, You, Wang, Qian, Zhang, Xu: "Prioritized Architecture Sampling with Monto-Carlo Tree Search", CVPR 2021,
arXiv 2103.11922.

A 3x3 convolution; stages of 2, 3 and 3 layers, the first of which halves the size and doubles the width; a 1x1
convolution to 1,280 channels, the mean and a linear layer. A gene is the digit of the benchmark's names: 0 the
identity, 1 an inverted residual of expansion 3 with a 3x3 kernel (MB3_K3), 2 one of expansion 6 with a 5x5 kernel
(MB6_K5). A first layer that is an identity is a 1x1 convolution and BatchNorm of stride 2.

Checked against all 6,561 rows of the benchmark: its parameters are this count, and its FLOPs are the multiply-
accumulates of convolutions and the linear layer (`Count.macs`).

Differences from the paper: the last convolution has 40 times the channels of the first one, 1,280 where these are 32,
so that it shrinks with the network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from frugalnas.core import Fidelity, Genotype, InputError
from frugalnas.layers.cost import Count, Row, count, shape_after, sum_of
from frugalnas.layers.diagram import Box, Diagram
from frugalnas.layers.graph import Graph, Node, graph_peak_bytes
from frugalnas.layers.plan import BatchNorm, Conv, Layers, ReLU, Shape, classifier
from frugalnas.spaces.checks import check_genes, check_sizes, shown

if TYPE_CHECKING:
    from frugalnas.layers.graph_network import GraphNetwork

OPERATIONS = ("identity", "mb3_k3", "mb6_k5")
STAGES = (2, 3, 3)  # layers of each
HEAD = 40  # channels of the last convolution for each one of the first
BOUNDS = {
    "channels": (1, 1024),
    "in_channels": (1, 1024),
    "classes": (1, 1_000_000),
    "resolution": (1, 8192),
}


@dataclass(frozen=True)
class NasBenchMacro:
    """Networks of NAS-Bench-Macro: 6,561 genotypes, 3,969 different networks.

    `channels`: width of the first convolution; it doubles three times. `resolution`: side of the square input in
    pixels. Raises InputError for sizes out of range.
    """

    channels: int = 32
    in_channels: int = 3
    classes: int = 10
    resolution: int = 32

    def __post_init__(self) -> None:
        check_sizes(self, BOUNDS)

    @property
    def domains(self) -> tuple[int, ...]:
        """Gene i is in range(domains[i]): one operation for each of the eight layers."""
        return (len(OPERATIONS),) * sum(STAGES)

    @property
    def auxiliary(self) -> bool:
        """The networks have no auxiliary head."""
        return False

    @property
    def summary(self) -> str:
        """The size of the networks in a few words."""
        return f"up to {sum(STAGES)} layers in {len(STAGES)} stages, {self.channels} channels"

    def covering(self) -> list[Genotype]:
        """Genotypes whose networks together have every part that any network of the space has."""
        return [(gene,) * sum(STAGES) for gene in range(len(OPERATIONS))]

    def canonical(self, genotype: Genotype) -> Genotype:
        """The genotype with the layers of each stage that do nothing at its end, as the benchmark was trained."""
        check_genes(genotype, self.domains)
        genes: list[int] = []
        for stage in _stages(genotype):
            kept = [gene for gene in stage[1:] if gene]
            genes += stage[0], *kept, *(0,) * (len(stage) - 1 - len(kept))
        return tuple(genes)

    def at(self, fidelity: Fidelity) -> NasBenchMacro:
        """The space with the width (channels of the first convolution) and resolution of `fidelity`; None keeps them.
        The depth is a matter of the genotype: that of `fidelity` has no effect."""
        return replace(
            self,
            channels=fidelity.width or self.channels,
            resolution=fidelity.resolution or self.resolution,
        )

    def to_string(self, genotype: Genotype) -> str:
        """The benchmark's name of an architecture, such as `22212220`."""
        check_genes(genotype, self.domains)
        return "".join(map(str, genotype))

    def from_string(self, text: str) -> Genotype:
        """The genotype of the benchmark's name; the inverse of `to_string`. Raises InputError for any other text."""
        digits = text.strip()
        if len(digits) != sum(STAGES) or not set(digits) <= {"0", "1", "2"}:
            raise InputError(f"{shown(text)} is no architecture: expected eight digits of 0, 1 and 2, such as 22212220")
        return tuple(map(int, digits))

    def describe(self, genotype: Genotype) -> dict[str, Diagram]:
        """The stages, for people and drawings."""
        check_genes(genotype, self.domains)
        parts, first = {}, 1
        for number, genes in enumerate(_stages(genotype), start=1):
            boxes = tuple(
                Box(f"layer {first + place}", ((OPERATIONS[gene] + " stride 2" * (place == 0), (place,)),))
                for place, gene in enumerate(genes)
            )
            parts[f"stage {number}"] = Diagram((f"stage {number - 1}" if number > 1 else "stem",), boxes, (len(genes),))
            first += len(genes)
        return parts

    def network(self, genotype: Genotype) -> Graph:
        """The network as plain data, for builders, counters and exporters."""
        check_genes(genotype, self.domains)
        nodes, width, scales = [Node((0,), _stem(self))], self.channels, [1]
        for genes in _stages(genotype):
            for place, gene in enumerate(genes):
                value, layers = len(nodes), _layer(gene, width, place == 0)
                if place == 0:
                    nodes.append(Node((value,), layers))
                    width *= 2
                elif layers:
                    nodes.append(Node((value,), layers, droppable=True))
                    nodes.append(Node((value, value + 1)))
            scales.append(len(nodes))
        nodes.append(Node((len(nodes),), _head(self)))
        return Graph(_image(self), tuple(nodes), self.classes, (*scales[:-1], len(nodes)))

    def build(self, genotype: Genotype) -> GraphNetwork:
        """The network with freshly initialised weights from torch's global generator."""
        from frugalnas.layers.graph_network import GraphNetwork

        return GraphNetwork(self.network(genotype))

    def count(self, genotype: Genotype) -> Count:
        """Parameters and work of the network from formulas, without building it."""
        check_genes(genotype, self.domains)
        fixed, layers = _prices(self)
        return sum_of([fixed, *(row[gene] for row, gene in zip(layers, genotype, strict=True))])

    def peak_bytes(self, genotype: Genotype) -> int:
        """Peak memory of the activations of one inference, batch 1, float32: see `layers.graph.graph_peak_bytes`."""
        return graph_peak_bytes(self.network(genotype))


@lru_cache(maxsize=64)
def _prices(space: NasBenchMacro) -> tuple[Row, tuple[tuple[Row, ...], ...]]:
    """The costs of all that no gene changes, and of each operation in each layer."""
    fixed, shape = [count(_stem(space), _image(space))], shape_after(_stem(space), _image(space))
    layers = []
    for length in STAGES:
        for place in range(length):
            after = shape_after(_layer(1, shape[0], place == 0), shape)
            adding = Count(add=after[0] * after[1] * after[2]).values()
            costs = [count(_layer(gene, shape[0], place == 0), shape).values() for gene in range(len(OPERATIONS))]
            if place:
                costs = [costs[0], *(sum_of([row, adding]).values() for row in costs[1:])]
            layers.append(tuple(costs))
            shape = after
    head = shape_after(_head(space), shape)
    fixed += [count(_head(space), shape), count(classifier(head[0], space.classes), head)]
    return sum_of(part.values() for part in fixed).values(), tuple(layers)


def _stages(genotype: Genotype) -> list[Genotype]:
    """The genes of each stage."""
    starts = [sum(STAGES[:number]) for number in range(len(STAGES))]
    return [genotype[start : start + length] for start, length in zip(starts, STAGES, strict=True)]


def _image(space: NasBenchMacro) -> Shape:
    return space.in_channels, space.resolution, space.resolution


def _stem(space: NasBenchMacro) -> Layers:
    return Conv(space.in_channels, space.channels, (3, 3)), BatchNorm(space.channels), ReLU(in_place=True)


def _head(space: NasBenchMacro) -> Layers:
    width = HEAD * space.channels
    return Conv(space.channels * 2 ** len(STAGES), width), BatchNorm(width), ReLU(in_place=True)


def _layer(gene: int, width: int, first: bool) -> Layers:
    """What a layer does to maps of `width` channels, without the sum past it; the `first` of a stage doubles them."""
    stride, outputs = (2, 2 * width) if first else (1, width)
    if gene == 0:
        return (Conv(width, outputs, stride=(2, 2)), BatchNorm(outputs)) if first else ()
    ratio, kernel = ((3, 3), (6, 5))[gene - 1]
    hidden = ratio * width
    return (
        *(Conv(width, hidden), BatchNorm(hidden), ReLU(in_place=True)),
        *(Conv(hidden, hidden, (kernel, kernel), (stride, stride), groups=hidden), BatchNorm(hidden)),
        *(ReLU(in_place=True), Conv(hidden, outputs), BatchNorm(outputs)),
    )
