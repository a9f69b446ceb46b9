"""From the active nodes of a grid to a graph of layers that fit each other.

Operands of different sizes are brought to the smaller one by max pooling of computed window and stride, channels of
zeros make up the difference in a sum, and a concatenation keeps the first channels up to a limit. CGP-CNN (Suganuma et
al., GECCO 2017) does the same, but pools by 2x2 a number of times that fits ratios of 2 and 3 only, and without limit.
Halving, by a stride or a pool, rounds up and ends at maps of `smallest` pixels a side: what would go below keeps the
size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from frugalnas.layers.cost import Count, shape_after
from frugalnas.layers.graph import Graph, Merge, Node, count_graph
from frugalnas.layers.plan import (
    AvgPool,
    BatchNorm,
    Conv,
    Layers,
    MaxPool,
    Pad,
    Parallel,
    ReLU,
    Residual,
    Shape,
    Take,
)
from frugalnas.spaces.grid import Block


@dataclass(frozen=True)
class Wired:
    """A graph, and for each of its nodes with convolutions, in order, (its number, the id of the block it is of)."""

    graph: Graph
    owners: tuple[tuple[int, int], ...]

    @cached_property
    def count(self) -> Count:
        """Parameters and work of the network."""
        return count_graph(self.graph)


@dataclass(frozen=True)
class Alphabets:
    """What the genes of sizes mean: `widths` in channels, the others as they are."""

    widths: tuple[int, ...]
    kernels: tuple[int, ...]
    strides: tuple[int, ...]
    expansions: tuple[int, ...]


def wired(
    blocks: Iterable[Block], output: int, image: Shape, classes: int, alphabets: Alphabets, smallest: int, widest: int
) -> Wired:
    """The network of blocks, in rising order of their ids; the classifier reads block `output`.

    A block that does nothing, an identity or pooling that would go below `smallest`, is no node of the graph, and what
    a concatenation drops whole is not there. `widest`: the most channels that a concatenation has.
    """
    wiring = _Wiring(image, alphabets, smallest, max(widest, image[0]))
    values = {0: 0}
    for block in blocks:
        wiring.block = block.number
        values[block.number] = wiring.add(block, [values[read] for read in block.reads])
    return wiring.result(values[output], classes)


class _Wiring:
    """The nodes so far, the shape of every value, and the block that each node is of."""

    def __init__(self, image: Shape, alphabets: Alphabets, smallest: int, widest: int) -> None:
        self.shapes = [image]
        self.nodes: list[Node] = []
        self.owners: list[int] = []  # of each node its block, or 0 where it has no convolution
        self.alphabets, self.smallest, self.widest = alphabets, smallest, widest
        self.block = 0

    def add(self, block: Block, reads: Sequence[int]) -> int:
        """Append the nodes of a block that reads these values; its value."""
        value = reads[0]
        channels, side, _ = self.shapes[value]
        match block.function:
            case "identity":
                return value
            case "sum":
                return self._sum(value, reads[1], ())
            case "concat":
                return self._concat(value, reads[1])
            case "max_pool" | "avg_pool":
                return self._node((value,), _pool(block.function, side)) if self._halves(side) else value
        width, kernel, stride, expansion = block.sizes
        outputs, size = self.alphabets.widths[width], self.alphabets.kernels[kernel]
        step = self.alphabets.strides[stride] if self._halves(side) else 1
        if block.function == "residual":
            made = self._node((value,), _residual(channels, outputs, size, step))
            return self._sum(value, made, (ReLU(in_place=True),))
        if block.function == "inverted_residual":
            ratio = self.alphabets.expansions[expansion]
            return self._node((value,), _inverted_residual(channels, outputs, size, step, ratio))
        layers = _inception(channels, outputs, step) if block.function == "inception" else None
        return self._node((value,), layers or _conv(channels, outputs, size, step))

    def _halves(self, side: int) -> bool:
        return side > 1 and -(-side // 2) >= self.smallest

    def _node(self, reads: tuple[int, ...], layers: Layers, merge: Merge = "sum", shape: Shape | None = None) -> int:
        self.nodes.append(Node(reads, layers, merge))
        self.owners.append(self.block if isinstance(layers and layers[0], Conv | Parallel | Residual) else 0)
        self.shapes.append(shape or _after(layers, self.shapes[reads[0]]))
        return len(self.nodes)

    def _sum(self, first: int, second: int, layers: Layers) -> int:
        shapes = self.shapes[first], self.shapes[second]
        channels, side = max(shape[0] for shape in shapes), min(shape[1] for shape in shapes)
        fitted = tuple(self._fitted(value, side, channels) for value in (first, second))
        return self._node(fitted, layers, "sum", (channels, side, side))

    def _concat(self, first: int, second: int) -> int:
        """The channels of the first, then as many of the second as there is room for, if any."""
        side, has = min(self.shapes[first][1], self.shapes[second][1]), self.shapes[first][0]
        taken = min(self.shapes[second][0], self.widest - has)
        if taken <= 0:
            return self._fitted(first, side, has)
        fitted = self._fitted(first, side, has), self._fitted(second, side, taken)
        return self._node(fitted, (), "concat", (has + taken, side, side))

    def _fitted(self, value: int, side: int, channels: int) -> int:
        """The value with so many channels, and of a size that is not larger; itself where it is so already."""
        layers: Layers = ()
        has, before, _ = self.shapes[value]
        if before > side:
            stride = before // side
            layers += (MaxPool(before - (side - 1) * stride, stride),)
        if channels != has:
            layers += (Pad(channels - has) if channels > has else Take(channels),)
        return self._node((value,), layers, shape=(channels, side, side)) if layers else value

    def result(self, output: int, classes: int) -> Wired:
        """The graph of what value `output` depends on."""
        needed = {output}
        for value in range(output, 0, -1):
            if value in needed:
                needed |= {*self.nodes[value - 1].reads}
        kept = sorted(needed | {0})
        if len(kept) == len(self.shapes):
            nodes = self.nodes
        else:
            new = {value: place for place, value in enumerate(kept)}
            nodes = [
                replace(node, reads=tuple(new[read] for read in node.reads))
                for node in (self.nodes[value - 1] for value in kept[1:])
            ]
        owners = [(place, self.owners[value - 1]) for place, value in enumerate(kept[1:])]
        scales = _scales([self.shapes[value][1] for value in kept])
        return Wired(
            Graph(self.shapes[0], tuple(nodes), classes, scales), tuple(pair for pair in owners if pair[1] > 0)
        )


def _scales(sides: Sequence[int]) -> tuple[int, ...]:
    """Of each size of map a value, the last one that comes before that of the next smaller size."""
    scales = [len(sides) - 1]
    for value in range(len(sides) - 1, -1, -1):
        if sides[value] > sides[scales[-1]] and -(-sides[value] // 2) == sides[scales[-1]]:
            scales.append(value)
    return tuple(reversed(scales))


_after = lru_cache(maxsize=1 << 14)(shape_after)


def _pool(function: str, side: int) -> Layers:
    """2x2 windows; an odd side rounds up, for which the mean needs 3x3 windows that lie on every other pixel."""
    if function == "max_pool":
        return (MaxPool(2, 2, ceil=side % 2 == 1),)
    return (AvgPool(3, 2, 1),) if side % 2 else (AvgPool(2, 2),)


@lru_cache(maxsize=1 << 12)
def _conv(inputs: int, outputs: int, kernel: int, stride: int) -> Layers:
    """Convolution, BatchNorm, ReLU: the ConvBlock of CGP-CNN, which has stride 1."""
    return Conv(inputs, outputs, (kernel, kernel), (stride, stride)), BatchNorm(outputs), ReLU(in_place=True)


@lru_cache(maxsize=1 << 12)
def _residual(inputs: int, outputs: int, kernel: int, stride: int) -> Layers:
    """What the ResBlock of CGP-CNN adds to its input before a last ReLU."""
    second = Conv(outputs, outputs, (kernel, kernel)), BatchNorm(outputs)
    return *_conv(inputs, outputs, kernel, stride), *second


@lru_cache(maxsize=1 << 12)
def _inverted_residual(inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> Layers:
    """That of MobileNetV2 (Sandler et al., CVPR 2018), with ReLU: no first convolution where nothing is expanded."""
    hidden = expansion * inputs
    layers = (
        *(_conv(inputs, hidden, 1, 1) if expansion > 1 else ()),
        *(Conv(hidden, hidden, (kernel, kernel), (stride, stride), groups=hidden), BatchNorm(hidden)),
        *(ReLU(in_place=True), Conv(hidden, outputs), BatchNorm(outputs)),
    )
    return (Residual(layers),) if stride == 1 and inputs == outputs else layers


@lru_cache(maxsize=1 << 12)
def _inception(inputs: int, outputs: int, stride: int) -> Layers:
    """1x1, 3x3 and 5x5 convolutions and a pooled 1x1 one side by side, a quarter of the width each.

    The naive module of GoogLeNet (Szegedy et al., CVPR 2015, figure 2a), with its pooling projected and BatchNorm.
    """
    quarter = max(1, outputs // 4)
    last = max(1, outputs - 3 * quarter)
    branches = [(Conv(inputs, quarter, (size, size), (stride, stride)),) for size in (1, 3, 5)]
    pooled = MaxPool(3, stride, 1), Conv(inputs, last)
    return Parallel((*branches, pooled)), BatchNorm(3 * quarter + last), ReLU(in_place=True)
