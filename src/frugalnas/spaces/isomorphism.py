"""Which genotypes describe the same cell, and their one representative."""

from __future__ import annotations

from functools import lru_cache

from frugalnas.core import Genotype

Atom = tuple[int, int]  # operation, state it reads


@lru_cache(maxsize=1 << 16)
def canonical_cell(genes: Genotype, narrow: bool, none: int, concat: frozenset[int] | None) -> Genotype:
    """The lexicographically smallest of all ways to write down a cell.

    Free are the order of the two (operation, input) atoms of a block, the order (and with it the numbers) of the
    blocks as far as each reads earlier ones only, and the input of `none`, which becomes 0. `genes`: operation, input,
    operation, input per block, a valid cell. `narrow`: a block never reads the one just before it, nor the first block
    state 1. `none`: the number of that operation, or -1. `concat`: states that must stay (or stay out of) these places.
    """
    atoms = [(op, 0 if op == none else state) for op, state in zip(genes[::2], genes[1::2], strict=True)]
    blocks = tuple(zip(atoms[::2], atoms[1::2], strict=True))
    read = {state for op, state in atoms if op != none}
    unread = frozenset(block for block in range(len(blocks)) if 2 + block not in read)
    labels = [0, 1] + [-1] * len(blocks)
    smallest = _place(blocks, tuple(range(len(blocks))), labels, 1 if narrow else 2, unread, concat)
    return genes if smallest is None else smallest


def _place(
    blocks: tuple[tuple[Atom, Atom], ...],
    left: tuple[int, ...],
    labels: list[int],
    reach: int,
    unread: frozenset[int],
    concat: frozenset[int] | None,
) -> Genotype | None:
    """The smallest genes that write down the blocks `left` in the next places, or None where the domains forbid all.

    `labels`: the new number of each old state, -1 for none yet. `reach`: states that the next block may read.
    """
    if not left:
        return ()
    place = 2 + len(blocks) - len(left)
    options = []
    for block in left:
        (op_a, read_a), (op_b, read_b) = blocks[block]
        a, b = labels[read_a], labels[read_b]
        if 0 <= a < reach and 0 <= b < reach and (concat is None or (2 + block in concat) == (place in concat)):
            options.append(((op_a, a, op_b, b) if (op_a, a) <= (op_b, b) else (op_b, b, op_a, a), block))
    options.sort()
    best: Genotype | None = None
    tried: tuple[Genotype, bool] | None = None
    for genes, block in options:
        if best is not None and genes != best[:4]:
            break  # what follows is larger already in this place
        if tried == (genes, True) and block in unread:
            continue  # an equal block that nobody reads either
        tried = (genes, block in unread)
        labels[2 + block] = place
        rest = _place(blocks, tuple(other for other in left if other != block), labels, reach + 1, unread, concat)
        labels[2 + block] = -1
        if rest is not None and (best is None or genes + rest < best):
            best = genes + rest
    return best
