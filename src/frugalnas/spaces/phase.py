"""Phases of NSGA-Net's macro space: what their bits stand for, and when two have the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from frugalnas.core import Genotype


@dataclass(frozen=True, slots=True)
class Phase:
    """A repaired phase. `reads`: by node what it reads, 0 being the phase's input; `output`: what makes the output."""

    reads: dict[int, tuple[int, ...]]
    output: tuple[int, ...]

    @property
    def skips(self) -> bool:
        """Whether the phase's input goes straight to the output."""
        return 0 in self.output


def others(reads: tuple[int, ...]) -> int:
    """How many of what is read are nodes, not the phase's input."""
    return sum(map(bool, reads))


def rows_of(genes: Genotype, nodes: int) -> list[Genotype]:
    """For nodes 2, 3, ... the bits of the nodes that they read."""
    bits = iter(genes)
    return [tuple(islice(bits, row)) for row in range(1, nodes)]


@lru_cache(maxsize=1 << 14)
def repaired(genes: Genotype, nodes: int) -> Phase:
    """The phase that the genes of one, of so many nodes, stand for."""
    reads = {1: ()} | {
        node: tuple(earlier for earlier, bit in enumerate(row, start=1) if bit)
        for node, row in enumerate(rows_of(genes, nodes), start=2)
    }
    read = {earlier for inputs in reads.values() for earlier in inputs}
    there = {node: inputs or (0,) for node, inputs in reads.items() if inputs or node in read}
    loose = tuple(node for node in there if node not in read)
    return Phase(there, (0, *loose) if genes[-1] else loose)


@lru_cache(maxsize=1 << 16)
def canonical_phase(genes: Genotype, nodes: int) -> Genotype:
    """The lexicographically smallest genes of the same phase; zeros for a phase that is left out.

    Nodes without connections come first; the others are numbered one after another. Each of the numberings so far goes
    on with every node whose inputs are all numbered, and only those are kept whose next row is the smallest. Of nodes
    that read the same and are read by the same, which are alike, only one is tried.
    """
    if not any(genes[:-1]):
        return (0,) * len(genes)
    reads = [frozenset[int]()] + [
        frozenset(earlier for earlier, bit in enumerate(row) if bit) for row in rows_of(genes, nodes)
    ]
    kinds = [(reads[node], frozenset(later for later in range(nodes) if node in reads[later])) for node in range(nodes)]
    apart = tuple(node for node in range(nodes) if not any(kinds[node]))
    orders = [apart]
    result = [0] * (len(apart) * (len(apart) - 1) // 2)
    for _ in range(nodes - len(apart)):
        found: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
        for order in orders:
            left = [node for node in range(nodes) if node not in order and reads[node] <= {*order}]
            for node in {kinds[node]: node for node in left}.values():
                found.setdefault(tuple(int(earlier in reads[node]) for earlier in order), []).append((*order, node))
        smallest = min(found)
        orders = found[smallest]
        result += smallest
    return (*result, genes[-1])
