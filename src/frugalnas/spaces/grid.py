"""Cartesian genetic programming: genotypes as grids of nodes, and what of them has an effect.

Miller: "Cartesian Genetic Programming", Springer 2011. Input 0 is the image; nodes are numbered from 1, column by
column. A node of column c reads ids from 1 + (c - L) * rows, with L columns back, up to the last one of column c - 1,
and the image where that is within L columns; so in CGP-CNN (Suganuma et al., GECCO 2017). The output is any node of
the last L columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from frugalnas.core import Genotype

FUNCTIONS = (
    *("conv", "residual", "inverted_residual", "inception"),
    *("max_pool", "avg_pool", "sum", "concat", "identity"),
)
TWO = {"sum", "concat"}  # functions of two inputs
USED = {
    "conv": (0, 1, 2),
    "residual": (0, 1, 2),
    "inverted_residual": (0, 1, 2, 3),
    "inception": (0, 2),
}  # of the genes width, kernel, stride and expansion, those that a function has; the others have none
MULTIPLYING = frozenset(USED)
SIZES = 4  # genes: width, kernel, stride, expansion


class Block(NamedTuple):
    """A node of the grid that has an effect: values are indices into the alphabets of the space.

    `number`: its id. `reads`: ids of nodes, 0 the image. `multiplier` and `order` are 0 where they mean nothing.
    """

    number: int
    function: str
    reads: tuple[int, ...]
    sizes: tuple[int, int, int, int]
    multiplier: int = 0
    order: int = 0

    @property
    def trained(self) -> Block:
        """The same with the exact multiplier."""
        return self if self.multiplier == self.order == 0 else self._replace(multiplier=0, order=0)


@dataclass(frozen=True)
class Grid:
    """The layout of the genes: `alphabets` are the numbers of widths, kernels, strides and expansions.

    Genes of a node: function, two connections, the four sizes and, where there are `multipliers` and they are not
    `shared`, multiplier and order of operands. Then the output and, where they are shared, multiplier and order.
    `commutes`: for each multiplier whether the order of its operands means nothing.
    """

    rows: int
    cols: int
    back: int
    functions: tuple[str, ...]
    alphabets: tuple[int, int, int, int]
    multipliers: int = 0
    shared: bool = False
    commutes: tuple[bool, ...] = ()

    @property
    def nodes(self) -> int:
        return self.rows * self.cols

    @property
    def genes(self) -> int:
        """The genes of a node."""
        return 3 + SIZES + 2 * self.own

    @property
    def own(self) -> bool:
        """Whether each node has genes of its multiplier."""
        return self.multipliers > 0 and not self.shared

    @cached_property
    def first(self) -> tuple[int, ...]:
        """For each column the lowest id that its nodes read; last, that of the output."""
        columns = [0 if c <= self.back else 1 + (c - self.back) * self.rows for c in range(self.cols)]
        return *columns, max(1, 1 + (self.cols - self.back) * self.rows)

    @cached_property
    def domains(self) -> tuple[int, ...]:
        """Gene i is in range(domains[i])."""
        sizes: list[int] = []
        extra = (self.multipliers, 2) if self.multipliers else ()
        for column, first in enumerate(self.first[:-1]):
            reach = 1 + column * self.rows - first
            node = (len(self.functions), reach, reach, *self.alphabets, *(extra if self.own else ()))
            sizes += node * self.rows
        sizes.append(1 + self.nodes - self.first[-1])
        return *sizes, *(extra if self.shared else ())

    @cached_property
    def ordinal(self) -> frozenset[int]:
        """The genes that are places in the list of multipliers, which is in the order of their power."""
        if self.own:
            return frozenset(range(3 + SIZES, self.nodes * self.genes, self.genes))
        return frozenset([len(self.domains) - 2] if self.multipliers else [])

    def output(self, genotype: Genotype) -> int:
        """The id of the node that the classifier reads."""
        return self.first[-1] + genotype[self.nodes * self.genes]

    def active(self, genotype: Genotype) -> list[int]:
        """The ids of the nodes that the output depends on, in rising order."""
        found, todo = set[int](), [self.output(genotype)]
        while todo:
            number = todo.pop()
            if number and number not in found:
                found.add(number)
                todo += self.reads(genotype, number)
        return sorted(found)

    def reads(self, genotype: Genotype, number: int) -> tuple[int, ...]:
        """The ids that a node reads."""
        start, first = (number - 1) * self.genes, self.first[(number - 1) // self.rows]
        if self.functions[genotype[start]] in TWO:
            return first + genotype[start + 1], first + genotype[start + 2]
        return (first + genotype[start + 1],)

    def blocks(self, genotype: Genotype) -> tuple[tuple[Block, ...], int]:
        """The active nodes in a canonical order, which depends on no gene of a multiplier, and the id of the output.

        Nodes keep their column and fill it from the first row, sorted by what they are and read; a sum reads the
        lower id first. Genes without effect are 0. So genotypes that differ in these, in the rows of nodes or in
        inactive nodes have the same blocks. Those that differ in the columns of nodes have not, nor those that differ
        in the order of two nodes of a column that are and read the same (their multipliers and readers may differ), or
        in nodes that do nothing (an identity; pooling of a map that is small already).
        """
        new, blocks, column, filled = {0: 0}, list[Block](), -1, list[Block]()
        for number in [*self.active(genotype), 0]:
            here = (number - 1) // self.rows if number else self.cols
            if here != column:
                filled.sort(key=lambda block: block[1:4])
                for row, block in enumerate(filled):
                    new[block.number] = placed = 1 + column * self.rows + row
                    blocks.append(block._replace(number=placed))
                column, filled = here, []
            if number:
                filled.append(self._block(genotype, number, new))
        return tuple(blocks), new[self.output(genotype)]

    def _block(self, genotype: Genotype, number: int, new: dict[int, int]) -> Block:
        start = (number - 1) * self.genes
        function = self.functions[genotype[start]]
        reads = tuple(new[read] for read in self.reads(genotype, number))
        if function == "sum":
            reads = tuple(sorted(reads))
        if function not in USED:
            return Block(number, function, reads, (0, 0, 0, 0))
        genes = genotype[start + 3 : start + 3 + SIZES]
        sizes = tuple(gene if place in USED[function] else 0 for place, gene in enumerate(genes))
        return Block(number, function, reads, sizes, *self._multiplier(genotype, start + 3 + SIZES, self.own))  # type: ignore[arg-type]

    def _multiplier(self, genotype: Genotype, start: int, there: bool) -> tuple[int, int]:
        """Multiplier and order by the genes at `start`; the order is 0 where it means nothing."""
        if not there:
            return 0, 0
        multiplier, order = genotype[start : start + 2]
        return multiplier, 0 if self.commutes[multiplier] else order

    def whole(self, genotype: Genotype) -> tuple[int, int]:
        """Multiplier and order of the whole network, where they are shared."""
        return self._multiplier(genotype, len(genotype) - 2, self.multipliers > 0 and self.shared)

    def encode(self, blocks: Sequence[Block], output: int, whole: tuple[int, int] = (0, 0)) -> Genotype:
        """The genotype of blocks; all other genes are 0."""
        genes, index = [0] * len(self.domains), {name: self.functions.index(name) for name in self.functions}
        for block in blocks:
            start, first = (block.number - 1) * self.genes, self.first[(block.number - 1) // self.rows]
            genes[start] = index[block.function]
            for place, read in enumerate(block.reads, start + 1):
                genes[place] = read - first
            genes[start + 3 : start + 3 + SIZES] = block.sizes
            if self.own:
                genes[start + 3 + SIZES : start + self.genes] = block.multiplier, block.order
        genes[self.nodes * self.genes] = output - self.first[-1]
        if self.shared and any(block.function in MULTIPLYING for block in blocks):
            genes[-2:] = whole
        return tuple(genes)
