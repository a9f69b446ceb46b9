"""The macro space of NSGA-Net: phases of up to n equal nodes, and a bit for each connection.

Lu, Whalen, Boddeti, Dhebar, Deb, Goodman, Banzhaf: "NSGA-Net: Neural Architecture Search using Multi-Objective Genetic
Algorithm", GECCO 2019, arXiv 1810.03522; the encoding is that of Xie and Yuille, "Genetic CNN", ICCV 2017.

A phase of n nodes has n(n - 1)/2 + 1 bits: row i says which of nodes 1 to i node i + 1 reads, for i = 1 to n - 1, and
the last bit whether the phase's input goes straight to its output. Repair: a node that is read but reads nothing reads
the phase's input; a node that reads but is not read goes to the output; a node that does neither is left out, and so is
a phase without any connection between nodes. Inputs are concatenated. Between phases 2x2 max pooling halves the size.

Two decoders are published. "residual", in which the authors search: a 1x1 convolution brings what is concatenated to
the width of the phase, a node is a 3x3 convolution; widths C, 2C, 4C, published with C = 32. "dense", in which they
train the result: a node is BatchNorm, ReLU, 1x1 convolution to 4t, BatchNorm, ReLU, 3x3 convolution to t channels, and
a 1x1 convolution ends a phase; all phases have width C, and t is half of it, rounded down; published with C = 128.

Differences from the released code
- The first convolution is padded: it makes 32x32 of 32x32 pixels, not 30x30. Pooling rounds odd sides up; there the
  second one makes 7x7 of 15x15 pixels and loses a row and a column.
- A later phase begins with a 1x1 convolution only where the width changes. The code also has, and counts, those that it
  never calls: two, of 2 x 128 x 128 weights, in the published network.
- A network without any phase is the mean of the image's channels and a linear layer; there the code has no classifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Literal

from frugalnas.core import Fidelity, Genotype, InputError
from frugalnas.layers.cost import Count, Row, count, sum_of
from frugalnas.layers.diagram import Box, Diagram
from frugalnas.layers.graph import Graph, Node, graph_peak_bytes
from frugalnas.layers.plan import BatchNorm, Conv, Layers, MaxPool, ReLU, Shape, classifier
from frugalnas.spaces.checks import check_choice, check_genes, check_sizes
from frugalnas.spaces.phase import Phase, canonical_phase, others, repaired, rows_of

if TYPE_CHECKING:
    from frugalnas.layers.graph_network import GraphNetwork

Decoder = Literal["residual", "dense"]
PHASES = 3
BOUNDS = {
    "nodes": (2, 10),
    "channels": (2, 4096),
    "in_channels": (1, 1024),
    "classes": (1, 1_000_000),
    "resolution": (1, 8192),
}


@dataclass(frozen=True)
class MacroSpace:
    """NSGA-Net's macro space: three phases of connected 3x3 convolutions, a bit for each connection.

    `nodes` per phase: 6 in the paper, 4 as the default of its code. `decoder`: "residual" or "dense", see
    `spaces.macro`. `channels`: width of the first phase. `resolution`: side of the square input in
    pixels. Raises InputError for sizes out of range.
    """

    nodes: int = 6
    decoder: Decoder = "residual"
    channels: int = 32
    in_channels: int = 3
    classes: int = 10
    resolution: int = 32

    def __post_init__(self) -> None:
        check_sizes(self, BOUNDS)
        check_choice("decoder", self.decoder, Decoder)

    @cached_property
    def domains(self) -> tuple[int, ...]:
        """Every gene is a bit."""
        return (2,) * (PHASES * self.bits)

    @property
    def bits(self) -> int:
        """The number of genes of a phase."""
        return self.nodes * (self.nodes - 1) // 2 + 1

    @property
    def auxiliary(self) -> bool:
        """The networks have no auxiliary head."""
        return False

    @property
    def summary(self) -> str:
        """The size of the networks in a few words."""
        return f"up to {PHASES} phases of {self.nodes} nodes, {self.decoder}, {self.channels} channels"

    def canonical(self, genotype: Genotype) -> Genotype:
        """The lexicographically smallest genotype with the same network: nodes in another order that keeps every
        connection forward, phases without effect anywhere."""
        phases = (canonical_phase(genes, self.nodes) for genes in self.phases(genotype))
        kept = [genes for genes in phases if any(genes)]
        return (0,) * (self.bits * (PHASES - len(kept))) + tuple(gene for genes in kept for gene in genes)

    def at(self, fidelity: Fidelity) -> MacroSpace:
        """The space with the width (channels of the first phase) and resolution of `fidelity`; None keeps them. The
        depth is a matter of the genotype: that of `fidelity` has no effect."""
        return replace(
            self,
            channels=fidelity.width or self.channels,
            resolution=fidelity.resolution or self.resolution,
        )

    def phases(self, genotype: Genotype) -> list[Genotype]:
        """The genes of each phase. Raises InputError for a genotype of another space."""
        check_genes(genotype, self.domains)
        return [tuple(genotype[start : start + self.bits]) for start in range(0, len(genotype), self.bits)]

    def encode(self, phases: Sequence[Sequence[Sequence[int]]]) -> Genotype:
        """The genotype of phases in the published notation, lists of rows such as [[1], [0, 1], [1]] for three nodes.

        Raises InputError for what the space does not have.
        """
        rows = [*range(1, self.nodes), 1]
        if [[len(row) for row in phase] for phase in phases] != [rows] * PHASES:
            raise InputError(f"expected {PHASES} phases with rows of {', '.join(map(str, rows))} bits")
        genotype = tuple(bit for phase in phases for row in phase for bit in row)
        check_genes(genotype, self.domains)
        return genotype

    def decode(self, genotype: Genotype) -> list[list[list[int]]]:
        """The phases in the published notation; the inverse of `encode`."""
        return [[*map(list, rows_of(genes, self.nodes)), [genes[-1]]] for genes in self.phases(genotype)]

    def describe(self, genotype: Genotype) -> dict[str, Diagram]:
        """The phases that are there, after repair, for people and drawings."""
        live = self._live(genotype)
        diagrams = {f"phase {place}": _diagram(phase, place) for place, phase in enumerate(live, start=1)}
        return diagrams or {"no phase": Diagram(("image",), (), (0,))}

    def network(self, genotype: Genotype) -> Graph:
        """The network as plain data, for builders, counters and exporters."""
        nodes: list[Node] = []
        scales = []
        live = self._live(genotype)
        for place, phase in enumerate(live):
            if place:
                scales.append(len(nodes))
                nodes.append(Node((len(nodes),), _pool(self, place)))
            self._add(nodes, place, phase)
        return Graph(_shape(self, -1), tuple(nodes), self.classes, (*scales, len(nodes)))

    def build(self, genotype: Genotype) -> GraphNetwork:
        """The network with freshly initialised weights from torch's global generator."""
        from frugalnas.layers.graph_network import GraphNetwork

        return GraphNetwork(self.network(genotype))

    def count(self, genotype: Genotype) -> Count:
        """Parameters and work of the network from formulas, without building it."""
        table, live = _prices(self), self._live(genotype)
        rows = [table.rest[len(live)]]
        for place, phase in enumerate(live):
            rows += [table.nodes[place][others(reads)] for reads in phase.reads.values()]
            rows.append(table.outputs[place][phase.skips][others(phase.output)])
        return sum_of(rows)

    def peak_bytes(self, genotype: Genotype) -> int:
        """Peak memory of the activations of one inference, batch 1, float32: see `layers.graph.graph_peak_bytes`."""
        return graph_peak_bytes(self.network(genotype))

    def covering(self) -> list[Genotype]:
        """Genotypes whose networks together have every part that any network of the space has."""
        pairs = [(low, high) for high in range(2, self.nodes + 1) for low in range(1, high)]
        phases = []
        for number in range(1, self.nodes):
            spread = {(1, high) for high in range(2, number + 2)}  # an output of so many
            joined = {(low, self.nodes) for low in range(1, number + 1)}  # a node that reads so many
            phases += [tuple(int(pair in edges) for pair in pairs) for edges in (spread, joined)]
        nothing = (0,) * self.bits
        return [nothing * PHASES] + [
            nothing * (PHASES - there) + (*phase, skip) * there
            for there in range(1, PHASES + 1)
            for phase in phases
            for skip in (0, 1)
        ]

    def _live(self, genotype: Genotype) -> list[Phase]:
        return [repaired(genes, self.nodes) for genes in self.phases(genotype) if any(genes[:-1])]

    def _add(self, nodes: list[Node], place: int, phase: Phase) -> None:
        """The nodes of a phase that reads the newest value."""
        if entry := _entry(self, place):
            nodes.append(Node((len(nodes),), entry))
        values = {0: len(nodes)}
        for node, reads in phase.reads.items():
            layers = _node(self, place, others(reads))
            nodes.append(Node(tuple(values[read] for read in reads), layers, "concat"))
            values[node] = len(nodes)
        layers = _output(self, place, others(phase.output), phase.skips)
        nodes.append(Node(tuple(values[read] for read in phase.output), layers, "concat"))


def _diagram(phase: Phase, place: int) -> Diagram:
    state = {0: 0} | {node: number for number, node in enumerate(phase.reads, start=1)}
    boxes = tuple(
        Box(f"node {node}", (("conv_3x3", tuple(state[read] for read in reads)),))
        for node, reads in phase.reads.items()
    )
    return Diagram(
        (f"phase {place - 1}" if place > 1 else "image",), boxes, tuple(state[node] for node in phase.output)
    )


def _width(space: MacroSpace, place: int) -> int:
    """Of the input and the output of a phase; -1 stands for the image."""
    if place < 0:
        return space.in_channels
    return space.channels * 2**place if space.decoder == "residual" else space.channels


def _made(space: MacroSpace, place: int) -> int:
    """The channels of what a node makes."""
    return _width(space, place) if space.decoder == "residual" else space.channels // 2


def _shape(space: MacroSpace, place: int) -> Shape:
    """(C, H, W) of the input and the output of a phase; -1 stands for the image."""
    side = -(-space.resolution // 2 ** max(place, 0))
    return _width(space, place), side, side


def _pool(space: MacroSpace, place: int) -> Layers:
    """What halves the output of the phase before."""
    return (MaxPool(2, 2, ceil=_shape(space, place - 1)[1] % 2 == 1),)


def _entry(space: MacroSpace, place: int) -> Layers:
    """From the image, or the pooled output of the phase before, to the width of a phase; () where that is its own."""
    before, width = _width(space, place - 1), _width(space, place)
    if place == 0:
        return (Conv(before, width, (3, 3)),)
    return (Conv(before, width),) if before != width else ()


def _gathered(space: MacroSpace, place: int, nodes: int, phase_input: bool) -> int:
    """The channels of the outputs of so many nodes, and of the input of the phase, concatenated."""
    return nodes * _made(space, place) + phase_input * _width(space, place)


def _node(space: MacroSpace, place: int, reads: int) -> Layers:
    """A node that reads so many others, or with 0 the input of the phase."""
    inputs, outputs = _gathered(space, place, reads, reads == 0), _made(space, place)
    if space.decoder == "residual":
        narrow = (Conv(inputs, outputs),) if inputs != outputs else ()
        return *narrow, Conv(outputs, outputs, (3, 3)), BatchNorm(outputs), ReLU(in_place=True)
    first = BatchNorm(inputs), ReLU(in_place=True), Conv(inputs, 4 * outputs)
    return *first, BatchNorm(4 * outputs), ReLU(in_place=True), Conv(4 * outputs, outputs, (3, 3))


def _output(space: MacroSpace, place: int, nodes: int, skip: bool) -> Layers:
    """The end of a phase, on the outputs of so many nodes and, with `skip`, the input of the phase."""
    inputs, width = _gathered(space, place, nodes, skip), _width(space, place)
    narrow = (Conv(inputs, width),) if space.decoder == "dense" or inputs != width else ()
    return *narrow, BatchNorm(width), ReLU(in_place=True)


@dataclass(frozen=True)
class Prices:
    """Costs of parts. `nodes[place][k]`: of a node that reads k others, or with 0 the input of the phase.

    `outputs[place][skip][k]`: the end of a phase on k nodes. `rest[phases]`: entries, pooling and the classifier.
    """

    nodes: tuple[tuple[Row, ...], ...]
    outputs: tuple[tuple[tuple[Row, ...], ...], ...]
    rest: tuple[Row, ...]


@lru_cache(maxsize=64)
def _prices(space: MacroSpace) -> Prices:
    image = _shape(space, -1)
    nodes, outputs, before = [], [], Count()
    rest = [count(classifier(image[0], space.classes), image).values()]
    for place in range(PHASES):
        older, (width, *size) = _shape(space, place - 1), _shape(space, place)
        before += count(_pool(space, place) if place else (), older) + count(_entry(space, place), (older[0], *size))

        def priced(layers: Layers, channels: int, size: Sequence[int] = size) -> Row:
            return count(layers, (channels, size[0], size[1])).values()

        amounts = range(space.nodes)
        nodes.append(tuple(priced(_node(space, place, k), _gathered(space, place, k, k == 0)) for k in amounts))
        outputs.append(
            tuple(
                tuple(priced(_output(space, place, k, skip), _gathered(space, place, k, skip)) for k in amounts)
                for skip in (False, True)
            )
        )
        rest.append((before + count(classifier(width, space.classes), _shape(space, place))).values())
    return Prices(tuple(nodes), tuple(outputs), tuple(rest))
