"""The network of two stacked cells, built from its plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from frugalnas.layers.network import Network, Site
from frugalnas.layers.ops import Drop, drop_path, module
from frugalnas.layers.plan import Cell, Edge, Layers, Linear, edges, released

Make = Callable[[str, Layers], nn.Module]  # the module at a place of the network, such as "cells.3.older"


def fresh(place: str, layers: Layers) -> nn.Module:
    """Freshly initialised weights at every place; `layers.supernet` gives those that networks share."""
    return module(layers)


def _within(make: Make, place: str) -> Make:
    return lambda inner, layers: make(f"{place}.{inner}", layers)


class Block(nn.Module):
    """The sum of the operations of a block, each on the state it reads."""

    def __init__(self, edges: tuple[Edge, ...], site: Site, make: Make = fresh) -> None:
        super().__init__()
        self.edges = nn.ModuleList(make(f"{edge[0]}.{edge[1]}", site.operation(edge)) for edge in edges)
        self.reads = tuple(state for _, state in edges)

    def forward(self, states: list[Tensor | None], drop: Drop | None) -> Tensor:
        """A new state (N, C, H, W). `drop`: of operations other than the identity."""
        results: list[Tensor] = []
        for operation, state in zip(self.edges, self.reads, strict=True):
            result = operation(states[state])
            results.append(drop_path(result, drop) if drop and not isinstance(operation, nn.Identity) else result)
        return results[0] if len(results) == 1 else results[0] + results[1]


class CellModule(nn.Module):
    """One cell. Its blocks run in order; a state is let go as soon as nothing later reads it."""

    def __init__(self, cell: Cell, site: Site, make: Make = fresh) -> None:
        super().__init__()
        older, newer = site.inputs()
        self.older, self.newer = make("older", older), make("newer", newer)
        blocks = enumerate(map(edges, cell.blocks))
        self.blocks = nn.ModuleList(Block(block, site, _within(make, f"blocks.{number}")) for number, block in blocks)
        self.outputs = nn.ModuleList(make(f"outputs.{state}", site.output(state)) for state in cell.concat)
        self.excitation = make("excitation", site.excitation(len(cell.concat)))
        self.concat = cell.concat
        self.released = released(cell)

    def forward(self, inputs: list[Tensor], drop: Drop | None) -> Tensor:
        """The output (N, concat x C, H, W). `inputs`: those of cells k-2 and k-1; the list is emptied on the way."""
        states: list[Tensor | None] = [self.older(inputs.pop(0)), self.newer(inputs.pop())]
        for number, block in enumerate(self.blocks):
            _release(states, self.released[number])
            states.append(block(states, drop))
        _release(states, self.released[-1])
        x = torch.cat([output(states[state]) for output, state in zip(self.outputs, self.concat, strict=True)], dim=1)
        states.clear()
        result: Tensor = self.excitation(x)
        return result


def _release(states: list[Tensor | None], released: tuple[int, ...]) -> None:
    for state in released:
        states[state] = None


class CellNetwork(nn.Module):
    """A network of stacked cells: (N, in_channels, H, W) float -> logits (N, classes).

    `drop_path` is the probability that an edge other than an identity is dropped for a sample; training mode only; a
    training loop raises it from epoch to epoch. `beside`: how many samples of the batch other processes have, before
    and after those here. With an auxiliary head, training mode gives (logits, auxiliary logits).
    Evaluation runs at any batch and image size; the auxiliary head needs images of the size it was built for.
    `make` gives the modules, by default freshly initialised ones.
    """

    def __init__(self, network: Network, make: Make = fresh) -> None:
        super().__init__()
        self.plan = network
        self.drop_path = 0.0
        self.beside = (0, 0)
        first, second = network.skeleton.stems()
        self.stem = nn.ModuleList((make("stem.0", first), make("stem.1", second)))
        cells = enumerate(network.cells)
        self.cells = nn.ModuleList(CellModule(*cell, _within(make, f"cells.{number}")) for number, cell in cells)
        self.auxiliary = None if network.auxiliary is None else make("auxiliary", network.auxiliary)
        (self.classifier,) = make("classifier", (Linear(network.output[0], network.skeleton.classes),)).children()

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        auxiliary = None
        for number, x in enumerate(self._outputs(x)):  # noqa: B020 (only the newest map is to stay alive)
            if self.training and self.auxiliary is not None and number == self.plan.skeleton.reductions[1]:
                auxiliary = self.auxiliary(x)
        logits: Tensor = self.classifier(_mean(x))
        return logits if auxiliary is None else (logits, auxiliary)

    def features(self, x: Tensor) -> list[Tensor]:
        """Maps (N, C_i, H_i, W_i) at 1, 1/2, 1/4 of the stem's size: what the reduction cells read, and the last."""
        first, second = self.plan.skeleton.reductions
        wanted = (first - 1, second - 1, len(self.cells) - 1)
        return [out for number, out in enumerate(self._outputs(x)) if number in wanted]

    def blocks(self, x: Tensor) -> list[Tensor]:
        """The maps (N, C_i, H_i, W_i) that the stem and each cell give, in their order."""
        return [self.stem[1](self.stem[0](x)), *self._outputs(x)]

    def embed(self, x: Tensor) -> Tensor:
        """The last map, averaged over its pixels: (N, D)."""
        for x in self._outputs(x):  # noqa: B007, B020
            pass
        return _mean(x)

    def _outputs(self, x: Tensor) -> Iterator[Tensor]:
        """The output of every cell in turn; keeps no more than two of them."""
        drop = Drop(self.drop_path, *self.beside) if self.training and self.drop_path else None
        older = self.stem[0](x)
        newer = self.stem[1](older)
        for cell in self.cells:
            inputs = [older, newer]
            older = newer
            newer = cell(inputs, drop)
            yield newer


def _mean(x: Tensor) -> Tensor:
    return functional.adaptive_avg_pool2d(x, 1).flatten(1)  # (N, D)
