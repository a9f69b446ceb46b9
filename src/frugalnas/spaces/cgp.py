"""The space of Cartesian genetic programming: a grid of nodes that read earlier ones, each with a multiplier.

The encoding is that of CGP-CNN (Suganuma, Shirakawa, Nagao: "A Genetic Programming Approach to Designing Convolutional
Neural Network Architectures", GECCO 2017), see `spaces.grid`; with a choice of multipliers it is ours of EvoApproxNAS
(Piňos, Mrázek, Sekanina: "Evolutionary Neural Architecture Search Supporting Approximate Multipliers", EuroGP 2021,
arXiv 2101.11883), of which no code is public, see `methods/evoapprox.py`.

How nodes are made to fit each other is in `spaces.wiring`. The classifier is the mean over the last map and a linear
layer, which is always multiplied exactly; CGP-CNN reads every pixel of the last map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Literal

from frugalnas.core import Fidelity, Genotype, InputError, nearest
from frugalnas.layers.cost import Count, count
from frugalnas.layers.diagram import Box, Diagram
from frugalnas.layers.graph import Graph, graph_peak_bytes
from frugalnas.spaces.checks import check_choice, check_genes, check_sizes, shown
from frugalnas.spaces.grid import FUNCTIONS, USED, Block, Grid
from frugalnas.spaces.multiplied import check_name, properties, swapped
from frugalnas.spaces.wiring import Alphabets, Wired, wired

if TYPE_CHECKING:
    from frugalnas.layers.graph_network import GraphNetwork

Sharing = Literal["per_layer", "global"]
MOST_NODES = 1_000_000
BOUNDS = {
    "rows": (1, 64),
    "cols": (1, 256),
    "levels_back": (1, 256),
    "widest": (1, 1024),
    "smallest": (1, 1024),
    "channels": (1, 4096),
    "in_channels": (1, 1024),
    "classes": (1, 1_000_000),
    "resolution": (1, 8192),
}
NUMBERS = {"widths": (1, 1024), "kernels": (1, 31), "strides": (1, 2), "expansions": (1, 64)}


@dataclass(frozen=True)
class CGPSpace:
    """Networks of Cartesian genetic programming, with a multiplier for each layer or one for all.

    `rows`, `cols`, `levels_back`: the grid; a node reads the columns up to so many before its own. `functions`: names
    of `spaces.grid.FUNCTIONS`; one that stands there several times is as much more likely. `widths`: channels of a
    convolution, in multiples of `channels`. `kernels` (odd), `strides` (1 and 2), `expansions` (of inverted residuals):
    what the genes of a node choose from. `widest`: the most channels that a concatenation keeps, in multiples of
    `channels`. `smallest`: pixels a side at which halving ends.
    `multipliers`: names for `multipliers.library.find`, in falling power, the first one exact; () is exact 8-bit
    multipliers and no genes of them. `sharing`: whether each node with convolutions has its multiplier, or the network.
    `active`: the least and the most nodes with an effect of a `viable` genotype. Raises InputError for an unknown name,
    with the nearest known, and for numbers out of range.
    """

    rows: int = 5
    cols: int = 30
    levels_back: int = 10
    functions: tuple[str, ...] = FUNCTIONS
    widths: tuple[int, ...] = (1, 2, 4, 8)
    kernels: tuple[int, ...] = (1, 3, 5)
    strides: tuple[int, ...] = (1, 2)
    expansions: tuple[int, ...] = (2, 4, 6)
    widest: int = 16
    smallest: int = 4
    multipliers: tuple[str, ...] = ()
    sharing: Sharing = "per_layer"
    active: tuple[int, int] = (1, MOST_NODES)
    channels: int = 16
    in_channels: int = 3
    classes: int = 10
    resolution: int = 32

    def __post_init__(self) -> None:
        for name in ("functions", *NUMBERS, "multipliers", "active"):
            value = getattr(self, name)
            object.__setattr__(self, name, tuple(value) if isinstance(value, list) else value)
        check_sizes(self, BOUNDS)
        _check(self)

    @cached_property
    def grid(self) -> Grid:
        """The layout of the genes."""
        alphabets = len(self.widths), len(self.kernels), len(self.strides), len(self.expansions)
        commutes, shared = properties(self.multipliers).commutes, self.sharing == "global" and bool(self.multipliers)
        shape = self.rows, self.cols, self.levels_back
        return Grid(*shape, self.functions, alphabets, len(self.multipliers), shared, commutes)

    @property
    def domains(self) -> tuple[int, ...]:
        """Gene i is in range(domains[i]); see `spaces.grid.Grid` for their order."""
        return self.grid.domains

    @property
    def ordinal(self) -> frozenset[int]:
        """The genes whose neighbouring values are alike: the multipliers, which are in the order of their power."""
        return self.grid.ordinal

    @property
    def auxiliary(self) -> bool:
        """The networks have no auxiliary head."""
        return False

    @property
    def summary(self) -> str:
        """The size of the networks in a few words."""
        choice = {0: "", 1: f", {', '.join(self.multipliers)}"}
        multipliers = choice.get(len(self.multipliers), f", {len(self.multipliers)} multipliers {self.sharing}")
        return f"up to {self.rows * self.cols} nodes of a grid, {self.channels} channels{multipliers}"

    def viable(self, genotype: Genotype) -> bool:
        """Whether the number of nodes with an effect is within `active`."""
        check_genes(genotype, self.domains)
        return self.active[0] <= len(self.grid.active(genotype)) <= self.active[1]

    def canonical(self, genotype: Genotype) -> Genotype:
        """The genotype of the same network with the same multipliers without genes that have no effect.

        Which ones it recognises as equal: see `Grid.blocks`. An order of operands that means nothing is 0.
        """
        blocks, output = _blocks(self, genotype)
        return self.grid.encode(blocks, output, self.grid.whole(genotype))

    def trained(self, genotype: Genotype) -> Genotype:
        """The canonical genotype with exact multipliers: all that training in float sees.

        `network` gives the same graph for all genotypes for which this is the same.
        """
        blocks, output = _blocks(self, genotype)
        return self.grid.encode([block.trained for block in blocks], output)

    def at(self, fidelity: Fidelity) -> CGPSpace:
        """The space with the width (`channels`) and resolution of `fidelity`; None keeps them. The depth is a matter of
        the genotype: that of `fidelity` has no effect."""
        return replace(
            self,
            channels=fidelity.width or self.channels,
            resolution=fidelity.resolution or self.resolution,
        )

    def describe(self, genotype: Genotype) -> dict[str, Diagram]:
        """The nodes with an effect, for people and drawings."""
        blocks, output = _blocks(self, genotype)
        places = {0: 0} | {block.number: place for place, block in enumerate(blocks, start=1)}
        names = self._names(blocks, genotype)
        boxes = tuple(
            Box(
                f"node {block.number}",
                ((" ".join([_words(self, block), *names[block.number]]), tuple(places[read] for read in block.reads)),),
            )
            for block in blocks
        )
        return {"network": Diagram(("image",), boxes, (places[output],))}

    def network(self, genotype: Genotype) -> Graph:
        """The network as plain data, for builders, counters and exporters."""
        return _wired(self, genotype).graph

    def build(self, genotype: Genotype) -> GraphNetwork:
        """The network with freshly initialised weights from torch's global generator."""
        from frugalnas.layers.graph_network import GraphNetwork

        return GraphNetwork(self.network(genotype))

    def count(self, genotype: Genotype) -> Count:
        """Parameters and work of the network from formulas, without building it."""
        return _wired(self, genotype).count

    def peak_bytes(self, genotype: Genotype) -> int:
        """Peak memory of the activations of one inference, batch 1, float32: see `layers.graph.graph_peak_bytes`."""
        return graph_peak_bytes(self.network(genotype))

    def assignment(self, genotype: Genotype) -> tuple[tuple[int, str], ...]:
        """For each node of the graph with convolutions its number in `network(genotype).nodes` and the name of its
        multiplier, with `+swap` where the operands are exchanged. Without `multipliers` all are exact."""
        names = self._multipliers(_blocks(self, genotype)[0], genotype)
        return tuple((node, names[block]) for node, block in _wired(self, genotype).owners)

    def multiplications(self, genotype: Genotype) -> dict[str, int]:
        """Multiplications of one inference of one image by the name of their multiplier, without building the network.
        Those of the classifier are exact."""
        graph = self.network(genotype)
        made = {properties(self.multipliers).exact: count(graph.classifier, graph.output).macs}
        for node, name in self.assignment(genotype):
            (read,) = graph.nodes[node].reads
            made[name] = made.get(name, 0) + count(graph.nodes[node].layers, graph.shapes[read]).macs
        return made

    def _multipliers(self, blocks: Sequence[Block], genotype: Genotype) -> dict[int, str]:
        """Of each block with convolutions, by its id, the name of its multiplier."""
        exact, whole = properties(self.multipliers).exact, self.grid.whole(genotype)
        names = {}
        for block in blocks:
            place, order = whole if self.grid.shared else (block.multiplier, block.order)
            name = self.multipliers[place] if self.multipliers else exact
            if block.function in USED:
                names[block.number] = swapped(name) if order else name
        return names

    def _names(self, blocks: Sequence[Block], genotype: Genotype) -> dict[int, list[str]]:
        """The names of multipliers for a drawing: none where there is no choice."""
        names = self._multipliers(blocks, genotype) if self.multipliers else {}
        return {block.number: [names[block.number]] if block.number in names else [] for block in blocks}


@lru_cache(maxsize=256)
def _blocks(space: CGPSpace, genotype: Genotype) -> tuple[tuple[Block, ...], int]:
    """The nodes with an effect and the id of the output. Raises InputError for a genotype of another space."""
    check_genes(genotype, space.domains)
    return space.grid.blocks(genotype)


def _wired(space: CGPSpace, genotype: Genotype) -> Wired:
    blocks, output = _blocks(space, genotype)
    return _network(space, tuple(block.trained for block in blocks), output)


@lru_cache(maxsize=1024)
def _network(space: CGPSpace, blocks: tuple[Block, ...], output: int) -> Wired:
    widths = tuple(space.channels * width for width in space.widths)
    alphabets = Alphabets(widths, space.kernels, space.strides, space.expansions)
    image = space.in_channels, space.resolution, space.resolution
    widest = space.widest * space.channels
    return wired(blocks, output, image, space.classes, alphabets, space.smallest, widest)


def _words(space: CGPSpace, block: Block) -> str:
    """What a node does, such as `conv 3x3 to 32 stride 2`."""
    width, kernel, stride, expansion = block.sizes
    words = [block.function]
    if block.function in USED:
        size = space.kernels[kernel]
        words += [f"{size}x{size}"] if block.function != "inception" else []
        words += [f"x{space.expansions[expansion]}"] if block.function == "inverted_residual" else []
        words += [f"to {space.channels * space.widths[width]}"]
        words += ["stride 2"] if space.strides[stride] == 2 else []
    return " ".join(words)


def _check(space: CGPSpace) -> None:
    check_choice("sharing", space.sharing, Sharing)
    for function in _listed("functions", space.functions, "names of functions", repeats=True):
        if function not in FUNCTIONS:
            raise InputError(f"unknown function {shown(function)}: {nearest(str(function)[:40], FUNCTIONS)}")
    for name, (low, high) in NUMBERS.items():
        for value in _listed(name, getattr(space, name), f"different whole numbers from {low} to {high}"):
            if type(value) is not int or not low <= value <= high:
                raise InputError(f"{name} has {shown(value)}: expected whole numbers from {low} to {high}")
            if name == "kernels" and value % 2 == 0:
                raise InputError(f"kernels has {value}: expected odd numbers, whose maps keep their size")
    _check_active(space.active, space.rows * space.cols)
    if space.multipliers != ():
        names = _listed("multipliers", space.multipliers, "names of multipliers")
        properties(tuple(map(check_name, names)))


def _check_active(active: object, nodes: int) -> None:
    match active:
        case (int(least), int(most)) if 1 <= least <= min(most, nodes) and most <= MOST_NODES:
            return
    raise InputError(f"active = {shown(active)}: expected the least, from 1 to {nodes}, and the most nodes")


def _listed(name: str, value: object, what: str, repeats: bool = False) -> tuple[object, ...]:
    """A tuple of at least one value, which are different unless there may be `repeats`. Raises InputError."""
    if type(value) is not tuple or not value:
        raise InputError(f"{name} = {shown(value)}: expected a list of {what}")
    texts = [repr(each) for each in value]
    if len(set(texts)) < len(texts) and not repeats:
        raise InputError(f"{name} = {shown(value)}: one of them stands there twice")
    return value
