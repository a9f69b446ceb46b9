"""Networks and their pieces as programs: flat lists of steps that need no FrugalNAS to be run.

A program is plain JSON: `inputs`, shapes (C, H, W), which are values 0, 1, ...; and `steps`, of which each makes the
next value. A step names an `op`, the values that it `reads`, and what the op needs. The last value is the result.
`latency.measure` runs programs with torch, `latency.onnx_file` writes them as ONNX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from frugalnas.core import InputError
from frugalnas.layers import plan
from frugalnas.layers.cost import shape_after
from frugalnas.layers.graph import Graph
from frugalnas.layers.network import Network, Site
from frugalnas.layers.plan import Cell, Layers, Shape, edges
from frugalnas.objectives.latency import Piece

Program = dict[str, Any]
Step = dict[str, Any]


def of_piece(piece: Piece) -> Program:
    """The program of one piece."""
    writer = _Writer(piece.inputs)
    if piece.kind == "layers":
        writer.layers(piece.layers, 0)
    else:
        writer.join(piece.kind, range(len(piece.inputs)))
    return writer.program()


def of_network(network: Network | Graph) -> Program:
    """The program of an inference, as the module runs it; an auxiliary head has no part in it."""
    return _of_graph(network) if isinstance(network, Graph) else _of_cells(network)


def _of_graph(graph: Graph) -> Program:
    writer = _Writer([graph.image])
    made = {0: 0}  # the value of the program by that of the graph
    for number in graph.live:
        node = graph.nodes[number]
        reads = [made[value] for value in node.reads]
        if node.merge == "concat" and len(reads) > 1:
            reads = [writer.join("concatenation", reads)]
        while len(reads) > 1:
            reads = [writer.join("sum", reads[:2]), *reads[2:]]
        made[number + 1] = writer.layers(node.layers, reads[0])
    writer.layers(graph.classifier, made[len(graph.nodes)])
    return writer.program()


def _of_cells(network: Network) -> Program:
    skeleton = network.skeleton
    writer = _Writer([(skeleton.in_channels, skeleton.resolution, skeleton.resolution)])
    first, second = skeleton.stems()
    older = writer.layers(first, 0)
    newer = writer.layers(second, older)
    for cell, site in network.cells:
        older, newer = newer, _cell(writer, cell, site, older, newer)
    writer.layers(skeleton.classifier(network.output[0]), newer)
    return writer.program()


def _cell(writer: _Writer, cell: Cell, site: Site, older: int, newer: int) -> int:
    before, after = site.inputs()
    states = [writer.layers(before, older), writer.layers(after, newer)]
    for block in cell.blocks:
        results = [writer.layers(site.operation(edge), states[edge[1]]) for edge in edges(block)]
        states.append(writer.join("sum", results) if len(results) == 2 else results[0])
    joined = writer.join("concatenation", [writer.layers(site.output(state), states[state]) for state in cell.concat])
    return writer.layers(site.excitation(len(cell.concat)), joined)


class _Writer:
    """The steps so far, and the shape of every value."""

    def __init__(self, inputs: Sequence[Shape]) -> None:
        self.inputs = len(inputs)
        self.shapes = [*inputs]
        self.steps: list[Step] = []

    def program(self) -> Program:
        return {"inputs": [list(shape) for shape in self.shapes[: self.inputs]], "steps": self.steps}

    def layers(self, layers: Layers, value: int) -> int:
        """Run layers on a value; returns the result, which without layers is the value itself."""
        for layer in layers:
            value = self._layer(layer, value)
        return value

    def join(self, op: str, values: Sequence[int]) -> int:
        shapes = [self.shapes[value] for value in values]
        channels = sum(shape[0] for shape in shapes) if op == "concatenation" else shapes[0][0]
        return self._step(op, values, (channels, *shapes[0][1:]), {})

    def _layer(self, layer: plan.Layer, value: int) -> int:
        match layer:
            case plan.Residual(layers):
                return self.join("sum", [value, self.layers(layers, value)])
            case plan.Gate(layers):
                return self.join("product", [value, self.layers(layers, value)])
            case plan.Parallel(branches):
                return self.join("concatenation", [self.layers(branch, value) for branch in branches])
        shape = self.shapes[value]
        op, needs = _op(layer, shape)
        return self._step(op, [value], shape_after((layer,), shape), needs)

    def _step(self, op: str, reads: Sequence[int], shape: Shape, needs: Step) -> int:
        self.steps.append({"op": op, "reads": list(reads), **needs})
        self.shapes.append(shape)
        return len(self.shapes) - 1


def _op(layer: plan.Layer, shape: Shape) -> tuple[str, Step]:
    """The name of a layer's operation on an input of `shape`, and what it needs."""
    match layer:
        case plan.Conv(inputs, outputs, kernel, stride, dilation, groups):
            window = {"kernel": list(kernel), "stride": list(stride), "padding": list(layer.padding)}
            return "conv", {"inputs": inputs, "outputs": outputs, **window, "dilation": dilation, "groups": groups}
        case plan.BatchNorm(channels):
            return "batch_norm", {"channels": channels}
        case plan.ReLU(in_place):
            return "relu", {"in_place": in_place}
        case plan.Sigmoid():
            return "sigmoid", {}
        case plan.MaxPool(size, step, border, ceil):
            return "max_pool", {"kernel": size, "stride": step, "padding": border, "ceil": ceil}
        case plan.AvgPool(size, step, border):
            return "avg_pool", {"kernel": size, "stride": step, "padding": border}
        case plan.AdaptivePool(1):
            return "global_pool", {}
        case plan.Shift(fill):
            return "shift", {"bottom": shape[1] % 2, "right": shape[2] % 2} if fill else {"bottom": 0, "right": 0}
        case plan.Take(channels):
            return "take", {"channels": channels}
        case plan.Pad(channels):
            return "pad", {"channels": channels}
        case plan.Zero(step):
            return "zero", {"stride": step, "shape": list(shape_after((layer,), shape))}
        case plan.Flatten():
            return "flatten", {}
        case plan.Linear(inputs, outputs):
            return "linear", {"inputs": inputs, "outputs": outputs}
    raise InputError(f"latency of a layer {layer} is not supported")
