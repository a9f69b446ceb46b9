"""Networks as directed acyclic graphs, as plain data: for spaces that are no stack of two cells.

A graph is a list of nodes. Each merges some of the values made before it, by a sum or a concatenation, and runs
layers of `layers.plan` on the result; value 0 is the image and value k what node k - 1 made. The classifier reads the
last value, and what it does not depend on is built but does not run. Needs no torch: `layers.graph_network` builds the
module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Literal

from frugalnas.layers.cost import FLOAT_BYTES, Count, count, shape_after, total
from frugalnas.layers.memory import alive_within, held_by
from frugalnas.layers.plan import Layers, Shape, classifier

Merge = Literal["sum", "concat"]


@dataclass(frozen=True, slots=True)
class Node:
    """`layers` on the merged values `reads`; () is the identity. `merge` has a meaning where there are several.

    `droppable`: drop path may leave out what it makes for single samples, as other paths lead past it.
    """

    reads: tuple[int, ...]
    layers: Layers = ()
    merge: Merge = "sum"
    droppable: bool = False


@dataclass(frozen=True)
class Graph:
    """All that is needed to build, count or export one network.

    `image`: shape (C, H, W). `scales`: the values that are the last ones of their size, which a dense task reads;
    the last value is the last of them.
    """

    image: Shape
    nodes: tuple[Node, ...]
    classes: int
    scales: tuple[int, ...]

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """The shape (C, H, W) of every value."""
        made = [self.image]
        for node in self.nodes:
            made.append(shape_after(node.layers, merged(node, made)))
        return tuple(made)

    @cached_property
    def live(self) -> tuple[int, ...]:
        """The numbers of the nodes that the logits depend on, in order: those that run."""
        needed = {len(self.nodes)}
        for value in range(len(self.nodes), 0, -1):
            if value in needed:
                needed |= {*self.nodes[value - 1].reads}
        return tuple(value - 1 for value in sorted(needed - {0}))

    @property
    def output(self) -> Shape:
        """The shape of the last map."""
        return self.shapes[-1]

    @property
    def classifier(self) -> Layers:
        """From the last map to the logits."""
        return classifier(self.output[0], self.classes)


def merged(node: Node, made: Sequence[Shape]) -> Shape:
    """The shape of what the layers of a node run on, given the shapes of the values before it."""
    first = made[node.reads[0]]
    if node.merge == "sum":
        return first
    return sum(made[value][0] for value in node.reads), *first[1:]


def released(graph: Graph) -> tuple[tuple[int, ...], ...]:
    """For each live node the values that nobody needs once it has merged its inputs; the image is never among them."""
    readers = {value: number for number in graph.live for value in graph.nodes[number].reads if value}
    return tuple(tuple(value for value, last in readers.items() if last == number) for number in graph.live)


def count_graph(graph: Graph) -> Count:
    """Parameters and work of the network, as `layers.cost` counts them, of nodes that do not run too."""
    return count_nodes(graph) + count(graph.classifier, graph.output)


def count_nodes(graph: Graph) -> Count:
    """The same without the classifier."""
    made, parts = graph.shapes, [Count()]
    for node in graph.nodes:
        shape = merged(node, made)
        parts.append(count(node.layers, shape))
        if node.merge == "sum":
            parts.append(Count(add=(len(node.reads) - 1) * prod(shape)))
    return total(*parts)


def graph_peak_bytes(graph: Graph) -> int:
    """The most bytes of float32 activations alive at a time in one inference of one image, as the module runs it.

    As `layers.memory.peak_bytes` counts it: the image, which the caller keeps; every value until the last node that
    reads it has merged its inputs; a merged input until its layers are done; and what these need. Not counted: the
    weights, index buffers of max pooling, workspaces inside a kernel.
    """
    made = graph.shapes
    kept, owners, alive, most = {0: prod(graph.image)}, {0: 0}, {0}, 0
    for number, gone in zip(graph.live, released(graph), strict=True):
        node, value = graph.nodes[number], number + 1
        shape, several = merged(node, made), len(node.reads) > 1
        if several:
            sums = 2 if node.merge == "sum" and len(node.reads) > 2 else 1  # the one so far, and the next
            most = max(most, held_by(alive, owners, kept) + sums * prod(shape))
            alive -= {*gone}
        join = several * prod(shape)
        within, result = alive_within(node.layers, shape)
        most = max(most, held_by(alive, owners, kept) + join + within)
        alive -= {*gone}
        kept[value] = result or join
        owners[value] = value if kept[value] else owners[node.reads[0]]
        alive.add(value)
    mean = graph.output[0]  # the last map goes when that is made
    most = max(most, held_by(alive, owners, kept) + mean, prod(graph.image) + mean + graph.classes)
    return FLOAT_BYTES * most
