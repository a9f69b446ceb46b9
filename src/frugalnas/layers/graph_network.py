"""The network of a directed acyclic graph, built from its plan."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional

from frugalnas.layers.graph import Graph, Merge, released
from frugalnas.layers.ops import Drop, drop_path, module


class GraphNetwork(nn.Module):
    """A network of nodes: (N, in_channels, H, W) float -> logits (N, classes).

    `drop_path` is the probability that a node with `droppable` is dropped for a sample; training mode only; networks
    without such nodes do not change. `beside`: how many samples of the batch other processes have, before and after
    those here. There is no auxiliary head. A value is let go as soon as nothing later reads it.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.plan = graph
        self.drop_path = 0.0
        self.beside = (0, 0)
        self.auxiliary = None
        self.nodes = nn.ModuleList(module(node.layers) for node in graph.nodes)
        self.classifier = nn.Linear(graph.output[0], graph.classes)
        self.steps = tuple(zip(graph.live, released(graph), strict=True))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.embed(x))
        return logits

    def features(self, x: Tensor) -> list[Tensor]:
        """The last map (N, C_i, H_i, W_i) of each size, the largest first."""
        return self._maps(x, self.plan.scales)

    def blocks(self, x: Tensor) -> list[Tensor]:
        """The maps (N, C_i, H_i, W_i) that the stem and each cell give; a cell that gives its input has none."""
        return self._maps(x, self.plan.blocks or self.plan.scales)

    def embed(self, x: Tensor) -> Tensor:
        """The last map, averaged over its pixels: (N, D)."""
        return functional.adaptive_avg_pool2d(self._maps(x, self.plan.scales[-1:]).pop(), 1).flatten(1)

    def _maps(self, x: Tensor, wanted: tuple[int, ...]) -> list[Tensor]:
        """The maps of the values `wanted`, in their order."""
        drop = Drop(self.drop_path, *self.beside) if self.training and self.drop_path else None
        values = {0: x}
        kept = [x] if 0 in wanted else []
        for number, gone in self.steps:
            node = self.plan.nodes[number]
            x = _merged([values[value] for value in node.reads], node.merge)
            for value in gone:
                del values[value]
            x = self.nodes[number](x)
            values[number + 1] = x = drop_path(x, drop) if drop and node.droppable else x
            kept += [x] if number + 1 in wanted else []
        return kept


def _merged(maps: list[Tensor], merge: Merge) -> Tensor:
    if len(maps) == 1:
        return maps[0]
    if merge == "concat":
        return torch.cat(maps, dim=1)
    return reduce(torch.add, maps)
