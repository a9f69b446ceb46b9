"""Latency from a table: a network is cut into pieces, and the milliseconds of its pieces are added up. Needs no torch.

A piece is what a network of cells is assembled from: an operation on a map of one size, the pre-processing of a cell
input, a sum, a concatenation, a stem, the classifier. Every network of a space consists of a few hundred different
pieces at most, so that timing these once on a device (`frugalnas latency build`) prices all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Literal, Protocol

from frugalnas.core import Genotype, InputError
from frugalnas.layers.cost import shape_after
from frugalnas.layers.graph import Graph, merged
from frugalnas.layers.network import Network, Site, stack
from frugalnas.layers.plan import (
    OPERATIONS,
    AvgPool,
    BatchNorm,
    Cell,
    Conv,
    Layer,
    Layers,
    MaxPool,
    Pad,
    ReLU,
    Shape,
    Take,
    Zero,
    edges,
)
from frugalnas.spaces import AnySpace
from frugalnas.spaces.cell import CellSpace
from frugalnas.spaces.cgp import CGPSpace

LATENCY = "latency_ms"


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a network. `inputs`: the shapes of the maps that it reads.

    `layers` run on the one input; a "sum" and a "concatenation" of several have none. `name` says all of it.
    """

    name: str
    kind: Literal["layers", "sum", "concatenation"]
    layers: Layers
    inputs: tuple[Shape, ...]

    @property
    def output(self) -> Shape:
        """(C, H, W) of the result."""
        size = self.inputs[0][1:]
        match self.kind:
            case "layers":
                return shape_after(self.layers, self.inputs[0])
            case "sum":
                return self.inputs[0]
            case "concatenation":
                return sum(shape[0] for shape in self.inputs), *size

    @property
    def elements(self) -> int:
        """The elements that it reads and writes."""
        return sum(map(prod, self.inputs)) + prod(self.output)


class NetworkSpace(Protocol):
    """A space whose networks are given as plain data."""

    def network(self, genotype: Genotype) -> Network | Graph: ...


@dataclass(frozen=True)
class PieceCost:
    """The cost `latency_ms` for `core.Objective`: the sum of `prices`, in ms by the name of a piece, over a network.

    `once`: ms that any network takes beside its pieces. Raises KeyError for a network with a piece that has no price;
    `pieces_of` says which a space needs.
    """

    prices: Mapping[str, float]
    once: float = 0.0

    def __call__(self, space: NetworkSpace, genotype: Genotype) -> float:
        prices = self.prices
        return self.once + sum(prices[piece.name] for piece in pieces(space.network(genotype)))


def pieces(network: Network | Graph) -> Iterator[Piece]:
    """The pieces of a network, each as often as it occurs, in the order in which they run.

    An identity is no piece, nor is a block of nothing but `none`: these take next to no time.
    """
    yield from _of_graph(network) if isinstance(network, Graph) else _of_cells(network)


def _of_graph(graph: Graph) -> Iterator[Piece]:
    made = graph.shapes
    for node in (graph.nodes[number] for number in graph.live):
        inputs = [made[value] for value in node.reads]
        if node.merge == "sum":
            yield from [_joined("sum", inputs[:1] * 2)] * (len(inputs) - 1)
        elif len(inputs) > 1:
            yield _joined("concatenation", inputs)
        if node.layers and not isinstance(node.layers[0], Zero):
            yield _layers(", ".join(map(_word, node.layers)), node.layers, merged(node, made))
    yield _layers("classifier", graph.classifier, graph.output)


def _of_cells(network: Network) -> Iterator[Piece]:
    skeleton = network.skeleton
    image = (skeleton.in_channels, skeleton.resolution, skeleton.resolution)
    for place, layers in zip(("first", "second"), skeleton.stems(), strict=True):
        if layers:
            yield _layers(f"{place} {skeleton.stem} stem", layers, image)
            image = shape_after(layers, image)
    for cell, site in network.cells:
        yield from _inputs(site)
        yield from _blocks(cell, site)
        yield from (_halved(site.channels, site.newer[1:]) for state in cell.concat if site.stride(state) == 2)
        yield _joined("concatenation", [(site.channels, *site.size)] * len(cell.concat))
        if excitation := site.excitation(len(cell.concat)):
            shape = (len(cell.concat) * site.channels, *site.size)
            yield _layers(f"squeeze-excitation of {site.squeeze}", excitation, shape)
    yield _layers("classifier", skeleton.classifier(network.output[0]), network.output)


def pieces_of(space: AnySpace) -> dict[str, Piece]:
    """Every piece that some network of the space has, by name."""
    return {piece.name: piece for network in _covering(space) for piece in pieces(network)}


def _covering(space: AnySpace) -> Iterator[Network | Graph]:
    """Networks that together have every piece; for cells these are none of the space."""
    if isinstance(space, CGPSpace):
        raise InputError(
            "networks of the space 'cgp' have too many different pieces for a table of latencies: expected "
            "latency.source = 'measured'"
        )
    if not isinstance(space, CellSpace):
        yield from map(space.network, space.covering())
        return
    for width in _widths(space):
        blocks = tuple(((operation, 0), (operation, 2)) for operation in space.operations)
        states = (2,) * width if space.concat in ("all", "loose") else (0, *(2,) * (width - 1))
        cell = Cell(blocks, states)
        yield stack(space.skeleton, cell, cell, False)


def _widths(space: CellSpace) -> set[int]:
    """How many states a cell of the space may concatenate."""
    match space.concat:
        case "all":
            return {space.blocks}
        case "loose":
            return {*range(1, space.blocks + 1)}
        case "unused":
            return {*range(1, space.blocks + 3)}
        case lists:
            return {len(states) for states in lists}


def _blocks(cell: Cell, site: Site) -> Iterator[Piece]:
    for block in cell.blocks:
        summands = [edge for edge in edges(block) if edge[0] != "none"]
        for operation, state in summands:
            stride = site.stride(state)
            if operation != "skip_connect" or stride == 2:
                yield _edge(operation, site.channels, stride, site.newer[1:] if state < 2 else site.size)
        if len(summands) == 2:
            yield _joined("sum", [(site.channels, *site.size)] * 2)


@lru_cache(maxsize=1 << 12)
def _inputs(site: Site) -> tuple[Piece, Piece]:
    older, newer = site.inputs()
    after = "factorised reduction" if site.after_reduction else "projection"
    return _layers(after, older, site.older), _layers("projection", newer, site.newer)


@lru_cache(maxsize=1 << 12)
def _edge(operation: str, channels: int, stride: int, size: tuple[int, int]) -> Piece:
    name = operation if stride == 1 else f"{operation} stride {stride}"
    return _layers(name, OPERATIONS[operation](channels, stride), (channels, *size))


def _halved(channels: int, size: tuple[int, int]) -> Piece:
    """A cell input on its way into the output of a reduction cell: the layers of `Site.output`."""
    return _edge("skip_connect", channels, 2, size)


def _joined(kind: Literal["sum", "concatenation"], inputs: Sequence[Shape]) -> Piece:
    return _join(kind, tuple(sorted(inputs, reverse=True)))


@lru_cache(maxsize=1 << 12)
def _join(kind: Literal["sum", "concatenation"], inputs: tuple[Shape, ...]) -> Piece:
    """A piece that joins maps, whose order does not matter."""
    number = {shape: inputs.count(shape) for shape in inputs}
    words = ", ".join(f"{times} {_words(shape)}" for shape, times in number.items())
    return Piece(f"{kind} of {words}", kind, (), inputs)


@lru_cache(maxsize=1 << 12)
def _layers(name: str, layers: Layers, shape: Shape) -> Piece:
    to = shape_after(layers, shape)[0]
    return Piece(f"{name} {_words(shape)}" + (f" to {to}" if to != shape[0] else ""), "layers", layers, (shape,))


def _word(layer: Layer) -> str:
    """A layer in the name of a piece, which has the channels."""
    match layer:
        case Conv(_, _, kernel, stride, dilation, 1) if dilation == 1:
            step = f" stride {stride[0]}" if stride != (1, 1) else ""
            return f"conv {kernel[0]}x{kernel[1]}{step}"
        case Conv(channels, _, kernel, stride, 1, groups) if groups == channels:
            step = f" stride {stride[0]}" if stride != (1, 1) else ""
            return f"depthwise {kernel[0]}x{kernel[1]} of {channels}{step}"
        case MaxPool(kernel, stride, _):
            return f"max_pool {kernel} stride {stride}"
        case AvgPool(kernel, stride, _):
            return f"avg_pool {kernel} stride {stride}"
        case Take(channels):
            return f"first {channels}"
        case Pad(channels):
            return f"pad {channels}"
        case BatchNorm():
            return "norm"
        case ReLU():
            return "relu"
        case _:
            return str(layer)


def _words(shape: Shape) -> str:
    return "x".join(map(str, shape))
