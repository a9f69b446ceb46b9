"""Cells of DARTS in the notations of others, both ways: as genotypes of a `CellSpace`.

Liu, Simonyan, Yang: "DARTS: Differentiable Architecture Search", ICLR 2019, arXiv 1806.09055; Siems, Zimmer, Zela,
Lukasik, Keuper, Hutter: "NAS-Bench-301 and the Case for Surrogate Benchmarks for Neural Architecture Search", arXiv
2008.09777, later Zela et al., ICLR 2022.

Three notations, all of which number the inputs as here (0 and 1 are the cells before, 2 + b is block b):

- the text of DARTS' released code, `Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), ...)`;
- words such as `sep_conv_3x3:0 skip_connect:1 ...`, two per block, one text for each cell;
- the configuration of NAS-Bench-301, a dictionary: which two inputs a block reads, and the operation of each edge.

A text is parsed, never executed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations

from frugalnas.core import Genotype, InputError, nearest
from frugalnas.layers.plan import Edge
from frugalnas.spaces.cell import OPERATION_LISTS, CellSpace
from frugalnas.spaces.checks import shown

DARTS = CellSpace(OPERATION_LISTS["relativenas"], inputs="full", concat="all", channels=36, cells=20)
"""The seven operations of DARTS without `none`, in the order of NAS-Bench-301, at the size that DARTS evaluates."""

CELLS = ("normal", "reduce")
_PREFIX = "NetworkSelectorDatasetInfo:darts:"
_PAIR = re.compile(r"""\(\s*['"](\w+)['"]\s*,\s*([0-9]{1,4})\s*\)""")
_FIELD = re.compile(r"\b(normal_concat|reduce_concat|normal|reduce)\s*=")
_RANGE = re.compile(r"range\(\s*([0-9]{1,4})\s*,\s*([0-9]{1,4})\s*\)")


def to_text(genotype: Genotype, space: CellSpace = DARTS) -> str:
    """The cells as DARTS' code writes them."""
    parts = []
    for name, cell in space.describe(genotype).items():
        pairs = [(operation, state) for block in cell.blocks for operation, state in block]
        parts += [f"{name}={pairs}", f"{name}_concat={list(cell.concat)}"]
    return f"Genotype({', '.join(parts)})"


def from_text(text: str, space: CellSpace = DARTS) -> Genotype:
    """The genotype of a text of DARTS' code, with or without a list for each block; the inverse of `to_text`.

    Raises InputError for any other text, and for cells that the space does not have, their outputs included.
    """
    found = [*_FIELD.finditer(text)]
    ends = [match.start() for match in found[1:]] + [len(text)]
    fields = {match[1]: text[match.end() : end].strip() for match, end in zip(found, ends, strict=False)}
    if len(found) != 4 or len(fields) != 4 or not text.lstrip().startswith("Genotype("):
        raise InputError(f"{shown(text)} is no genotype of DARTS: expected Genotype(normal=[('op', 0), ...], ...)")
    genotype = space.encode(*(_pairs(fields[name]) for name in CELLS))
    for name, cell in space.describe(genotype).items():
        if sorted(concat := _states(fields[f"{name}_concat"])) != sorted(cell.concat):
            raise InputError(f"the {name} cell concatenates {shown(concat)}: that of the space has {list(cell.concat)}")
    return genotype


def to_words(genotype: Genotype, space: CellSpace = DARTS) -> tuple[str, str]:
    """The normal and the reduction cell as words, `operation:input`."""
    cells = space.describe(genotype)
    edges = [[edge for block in cells[name].blocks for edge in block] for name in CELLS]
    normal, reduce = (" ".join(f"{operation}:{state}" for operation, state in each) for each in edges)
    return normal, reduce


def from_words(normal: str, reduce: str, space: CellSpace = DARTS) -> Genotype:
    """The genotype of two cells as words; the inverse of `to_words`. Raises InputError for what the space lacks."""
    cells: list[list[Edge]] = []
    for text in (normal, reduce):
        cells.append([])
        for word in text.split():
            operation, colon, state = word.partition(":")
            if not colon or not re.fullmatch("[0-9]{1,4}", state):
                raise InputError(f"{shown(word)} in a cell: expected operation:input, such as sep_conv_3x3:0")
            cells[-1].append((operation, int(state)))
    return space.encode(*cells)


def to_configuration(genotype: Genotype, space: CellSpace = DARTS) -> dict[str, str]:
    """The cells as the configuration of NAS-Bench-301.

    Raises InputError for what it cannot say: a block that reads one input twice, or `none`.
    """
    result = {}
    for name, cell in space.describe(genotype).items():
        for node, block in enumerate(cell.blocks, start=2):
            states = sorted(state for _, state in block)
            if len({*states}) < 2:
                raise InputError(f"block {node} of the {name} cell reads {states[0]} twice: NAS-Bench-301 has no such")
            if node > 2:
                result[f"{_PREFIX}inputs_node_{name}_{node}"] = "_".join(map(str, states))
            for operation, state in block:
                if operation not in DARTS.operations:
                    raise InputError(f"NAS-Bench-301 has no operation {operation!r}: {nearest(operation, _OPERATIONS)}")
                result[f"{_PREFIX}edge_{name}_{_edge(node, state)}"] = operation
    return result


def from_configuration(configuration: Mapping[str, str], space: CellSpace = DARTS) -> Genotype:
    """The genotype of a configuration of NAS-Bench-301, with or without the prefix of its keys; the inverse of
    `to_configuration`. Settings of the training may stand there too.

    Raises InputError for a key that is missing, an edge or inputs that the cells have not, and what the space lacks.
    """
    left = {key.removeprefix(_PREFIX): value for key, value in configuration.items()}
    left = {key: value for key, value in left.items() if key.startswith(("edge_", "inputs_node_"))}
    cells: list[list[Edge]] = []
    for name in CELLS:
        cells.append([])
        for node in range(2, 2 + space.blocks):
            key = f"inputs_node_{name}_{node}"
            pairs = {"_".join(map(str, pair)): pair for pair in combinations(range(node), 2)}
            inputs = "0_1" if node == 2 else _taken(left, key)
            if inputs not in pairs:
                raise InputError(f"{key} = {shown(inputs)}: {nearest(str(inputs), [*pairs])}")
            cells[-1] += [(_taken(left, f"edge_{name}_{_edge(node, state)}"), state) for state in pairs[inputs]]
    if left:
        raise InputError(f"unknown key {shown(next(iter(left)))} in a configuration of NAS-Bench-301")
    return space.encode(*cells)


_OPERATIONS = DARTS.operations


def _edge(node: int, state: int) -> int:
    """The number of an edge: those into block 2 come first, 0 and 1, then three into block 3, and so on."""
    return sum(range(2, node)) + state


def _taken(left: dict[str, str], key: str) -> str:
    if key not in left:
        raise InputError(f"{key} is missing in the configuration: {nearest(key, [*left])}")
    return left.pop(key)


def _pairs(text: str) -> Sequence[Edge]:
    """The (operation, input) pairs of a list."""
    if rest := _PAIR.sub("", text).strip("[](), \n\t"):
        raise InputError(f"{shown(rest)} in a cell: expected ('operation', input)")
    return [(operation, int(state)) for operation, state in _PAIR.findall(text)]


def _states(text: str) -> list[int]:
    """The numbers of a list or a range."""
    if found := _RANGE.search(text):
        return [*range(int(found[1]), int(found[2]))]
    return [int(number) for number in re.findall("[0-9]{1,4}", text)]
