"""The source code of a network that is a graph: a module for each node, run one after another."""

from __future__ import annotations

from collections.abc import Iterator

from frugalnas.export.expressions import Call, sequential
from frugalnas.layers.graph import Graph, Node


def modules(graph: Graph) -> Iterator[str]:
    """The lines of `__init__` that make the modules of the nodes and the classifier."""
    for number, node in enumerate(graph.nodes):
        if node.layers:
            yield f"        # -> (N, {', '.join(map(str, graph.shapes[number + 1]))})"
            yield from sequential(node.layers).lines(8, f"self.node{number} = ")
    yield from sequential(graph.classifier).lines(8, "self.classifier = ")


def steps(graph: Graph) -> Iterator[str]:
    """The lines of `forward`, of the nodes that the logits depend on; the images are `images`."""
    names = {0: "images"}
    for number in graph.live:
        node, value = graph.nodes[number], number + 1
        merged = _merged(node, [names[read] for read in node.reads])
        if node.layers:
            merged = Call(f"self.node{number}", (merged,))
        if isinstance(merged, str) and len(node.reads) == 1:
            names[value] = merged
            continue
        names[value] = f"x{value}"
        before = f"x{value} = "
        yield from merged.lines(8, before) if isinstance(merged, Call) else [f"        {before}{merged}"]
    yield f"        return self.classifier({names[len(graph.nodes)]})"


def _merged(node: Node, names: list[str]) -> str | Call:
    if len(names) > 1 and node.merge == "concat":
        return Call("torch.cat", (Call("", tuple(names)), "dim=1"))
    return " + ".join(names)
