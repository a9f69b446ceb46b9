"""Networks of stacked cells as plain data: what is built, counted and exported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from frugalnas.layers.plan import (
    OPERATIONS,
    AdaptivePool,
    AvgPool,
    BatchNorm,
    Cell,
    Conv,
    Edge,
    Flatten,
    Layers,
    Linear,
    Pair,
    ReLU,
    Shape,
    classifier,
    factorised_reduction,
    projection,
    squeeze_excitation,
)

Stem = Literal["small", "imagenet"]


@dataclass(frozen=True, slots=True)
class Site:
    """Where a cell stands: the shapes of its inputs, its width, and whether it (or the cell before) halves the size.

    `squeeze`: as in `Skeleton`.
    """

    older: Shape
    newer: Shape
    channels: int
    reduction: bool
    after_reduction: bool
    squeeze: int = 0

    @property
    def size(self) -> Pair:
        """(H, W) of the blocks and of the output."""
        height, width = self.newer[1:]
        return (-(-height // 2), -(-width // 2)) if self.reduction else (height, width)

    def inputs(self) -> tuple[Layers, Layers]:
        """The pre-processing of states 0 and 1; it exists (and is counted) also where no block reads the state."""
        older = factorised_reduction if self.after_reduction else projection
        return older(self.older[0], self.channels), projection(self.newer[0], self.channels)

    def operation(self, edge: Edge) -> Layers:
        """The layers of an edge: in a reduction cell, what reads a cell input has stride 2."""
        return OPERATIONS[edge[0]](self.channels, self.stride(edge[1]))

    def stride(self, state: int) -> int:
        return 2 if self.reduction and state < 2 else 1

    def output(self, state: int) -> Layers:
        """What a state passes on its way into the concatenation: a cell input must be halved in a reduction cell."""
        return factorised_reduction(self.channels, self.channels) if self.stride(state) == 2 else ()

    def excitation(self, states: int) -> Layers:
        """What the concatenation of that many states passes at the end of the cell."""
        width = states * self.channels
        return squeeze_excitation(width, max(1, width // self.squeeze)) if self.squeeze else ()


@dataclass(frozen=True, slots=True)
class Skeleton:
    """The network around the cells: NASNet's, with the stems and heads of DARTS.

    `channels`: width of the first cells; it doubles in the reduction cells, which are number cells // 3 and
    2 * cells // 3. With an `increment` it grows by that after every cell, reduction or not, and never doubles.
    `squeeze`: the output of every cell passes squeeze-and-excitation with one in so many channels hidden; 0 is none.
    `stem`: "small" is a 3x3 convolution to 3 x channels; "imagenet" three stride-2 3x3 convolutions.
    `resolution`: side of the square input in pixels.
    """

    channels: int
    cells: int
    stem: Stem
    in_channels: int
    classes: int
    resolution: int
    increment: int = 0
    squeeze: int = 0

    @property
    def reductions(self) -> Pair:
        return self.cells // 3, 2 * self.cells // 3

    def stems(self) -> tuple[Layers, Layers]:
        """From the image to input k-2 of the first cell, and from there to input k-1."""
        width, three, two = self.channels, (3, 3), (2, 2)
        if self.stem == "small":
            return (Conv(self.in_channels, 3 * width, three), BatchNorm(3 * width)), ()
        first = (
            *(Conv(self.in_channels, width // 2, three, two), BatchNorm(width // 2), ReLU(in_place=True)),
            *(Conv(width // 2, width, three, two), BatchNorm(width)),
        )
        return first, (ReLU(), Conv(width, width, three, two), BatchNorm(width))

    def sites(self, normal: int, reduction: int) -> list[Site]:
        """The place of every cell, given how many states the two kinds of cell concatenate."""
        if self.stem == "small":
            older = newer = (3 * self.channels, self.resolution, self.resolution)
        else:
            quarter = -(-self.resolution // 4)
            eighth = -(-quarter // 2)
            older, newer = (self.channels, quarter, quarter), (self.channels, eighth, eighth)
        channels, after_reduction, sites = self.channels, self.stem == "imagenet", []
        for number in range(self.cells):
            reduces = number in self.reductions
            channels *= 2 if reduces and not self.increment else 1
            site = Site(older, newer, channels, reduces, after_reduction, self.squeeze)
            sites.append(site)
            older, newer = newer, (channels * (reduction if reduces else normal), *site.size)
            channels += self.increment
            after_reduction = reduces
        return sites

    def classifier(self, channels: int) -> Layers:
        """From a last map of so many channels to the logits."""
        return classifier(channels, self.classes)

    def auxiliary(self, shape: Shape) -> Layers:
        """The auxiliary classifier on the output of the second reduction cell (DARTS, appendix).

        It needs a 2x2 map. The published pooling gives one from 8x8 (32 px images) and 7x7 (224 px); other sizes
        are pooled adaptively to 2x2. The ImageNet head has no second BatchNorm, as published.
        """
        stride = 3 if self.stem == "small" else 2
        published = (shape[1] - 5) // stride + 1 == 2
        pool = AvgPool(5, stride) if published else AdaptivePool(2)
        first = (ReLU(), pool, Conv(shape[0], 128), BatchNorm(128), ReLU(in_place=True), Conv(128, 768, (2, 2)))
        norm = (BatchNorm(768),) if self.stem == "small" else ()
        return *first, *norm, ReLU(in_place=True), Flatten(), Linear(768, self.classes)


@dataclass(frozen=True, slots=True)
class Network:
    """All that is needed to build, count or export one network. `cells` pairs each cell with its site."""

    skeleton: Skeleton
    cells: tuple[tuple[Cell, Site], ...]
    auxiliary: Layers | None

    @property
    def output(self) -> Shape:
        """The shape of the last map."""
        cell, site = self.cells[-1]
        return len(cell.concat) * site.channels, *site.size


def stack(skeleton: Skeleton, normal: Cell, reduction: Cell, auxiliary: bool) -> Network:
    """The plan of a network that stacks two cells on a skeleton."""
    sites = skeleton.sites(len(normal.concat), len(reduction.concat))
    cells = tuple((reduction if site.reduction else normal, site) for site in sites)
    head = None
    if auxiliary:
        cell, site = cells[skeleton.reductions[1]]
        head = skeleton.auxiliary((len(cell.concat) * site.channels, *site.size))
    return Network(skeleton, cells, head)
