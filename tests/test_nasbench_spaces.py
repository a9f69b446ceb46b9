"""The spaces of published benchmarks: their sizes, names and numbers, and the cells of DARTS in other notations."""

from __future__ import annotations

import itertools
import json
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalnas import zoo
from frugalnas.core import Fidelity, InputError
from frugalnas.drawing import text_of
from frugalnas.layers.graph import count_graph
from frugalnas.objectives.latency import pieces, pieces_of
from frugalnas.spaces import darts
from frugalnas.spaces.cell import OPERATION_LISTS, CellSpace
from frugalnas.spaces.dag import MOST_EDGES, dag, possible
from frugalnas.spaces.nasbench101 import OPERATIONS, NasBench101
from frugalnas.spaces.nasbench201 import NasBench201
from frugalnas.spaces.nasbench_macro import NasBenchMacro
from frugalnas.spaces.nats_size import NatsSize

CONV3, CONV1, POOL = OPERATIONS


def matrix(size: int, edges) -> list[list[int]]:
    return [[int((row, column) in edges) for column in range(size)] for row in range(size)]


def chain(size: int, *more: tuple[int, int]) -> list[tuple[int, int]]:
    return [*itertools.pairwise(range(size)), *more]


# NAS-Bench-101

INCEPTION = (
    [[0, 1, 1, 1, 0, 1, 0], [0] * 6 + [1], [0] * 6 + [1], [0, 0, 0, 0, 1, 0, 0], [0] * 6 + [1], [0] * 6 + [1], [0] * 7],
    ["input", CONV1, CONV3, CONV3, CONV3, POOL, "output"],
)  # of the benchmark's example.py


@pytest.mark.parametrize(
    ("cell", "params"),
    [
        (INCEPTION, 2_694_282),  # as the benchmark's notebook shows
        ((matrix(7, chain(7, (0, 2), (0, 3), (0, 4))), ["input", *[CONV3] * 5, "output"]), 49_979_274),  # the largest
        ((matrix(5, chain(5, (0, 2), (0, 3), (0, 4))), ["input", *[CONV3] * 3, "output"]), 31_389_066),  # of 5 vertices
        ((matrix(5, [(0, 1), (1, 2), (1, 3), (1, 4), (2, 4), (3, 4)]), ["input", *[POOL] * 3, "output"]), 301_074),
    ],
)
def test_cells_of_nasbench101_have_the_published_size(cell, params: int) -> None:
    """The last two are the range that EC-NAS-Bench gives for cells of up to five vertices; 256 and 512 leave a rest."""
    space = NasBench101()
    assert space.count(space.encode(*cell)).params == params


@pytest.mark.parametrize(("vertices", "classes"), [(3, 7), (4, 91)])
def test_there_are_as_many_cells_as_published(vertices: int, classes: int) -> None:
    space = NasBench101(vertices=vertices)
    every = itertools.product(*map(range, space.domains))
    assert len({space.canonical(genotype) for genotype in every}) == classes


@st.composite
def cells(draw: st.DrawFn) -> tuple[list[list[int]], list[str]]:
    """Any cell in the benchmark's notation that is one."""
    size = draw(st.integers(2, 7))
    inner = {(a, b) for a, b in possible(size) if draw(st.integers(0, 3)) == 0}
    edges = sorted(inner)[: MOST_EDGES - 1] + ([] if draw(st.booleans()) else [(0, size - 1)])
    path = draw(st.permutations(range(1, size - 1)))[: draw(st.integers(0, size - 2))]
    edges = {*edges[: MOST_EDGES - len(path) - 1], *itertools.pairwise([0, *sorted(path), size - 1])}
    return matrix(size, edges), ["input", *(draw(st.sampled_from(OPERATIONS)) for _ in range(size - 2)), "output"]


@settings(deadline=None, max_examples=150)
@given(cells(), st.randoms(use_true_random=False))
def test_isomorphic_cells_have_one_genotype(cell, random) -> None:
    """Vertices in another order that keeps the edges forward, and others that are on no path."""
    space, (rows, operations) = NasBench101(), cell
    genotype = space.encode(rows, operations)
    assert space.canonical(genotype) == genotype == space.encode(*space.decode(genotype))
    size = len(operations)
    edges = {(a, b) for a, b in possible(size) if rows[a][b]}
    order, left = [0], [*range(1, size)]
    while left:
        ready = [v for v in left if not any((u, v) in edges for u in left) and (v != size - 1 or len(left) == 1)]
        order.append(random.choice(ready))
        left.remove(order[-1])
    moved = {(order.index(a), order.index(b)) for a, b in edges}
    again = matrix(size, moved), [operations[v] for v in order]
    assert space.encode(*again) == genotype
    if size < 7:  # with an idle vertex that reads the input
        last = {(a + (a == size - 1), b + (b == size - 1)) for a, b in moved} | {(0, size - 1)} - {(0, size)}
        last |= {(0, size)} if (0, size - 1) in moved else set()
        wider = matrix(size + 1, last), [*again[1][:-1], CONV3, "output"]
        assert space.encode(*wider) == genotype


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_every_tuple_is_a_cell_of_nine_edges_at_most_on_a_path(data: st.DataObject) -> None:
    space = NasBench101(channels=8, cells=1, resolution=8)
    many = data.draw(st.booleans())
    genotype = tuple(
        size - 1 if many and data.draw(st.booleans()) else data.draw(st.integers(0, size - 1)) for size in space.domains
    )
    cell = dag(genotype, 7)
    assert 1 <= len(cell.edges) <= MOST_EDGES
    assert all(cell.reads(vertex) for vertex in range(1, cell.output + 1))
    assert {source for source, _ in cell.edges} == {*range(cell.output)}
    assert space.count(genotype) == count_graph(space.network(genotype))


def test_what_the_benchmark_refuses_is_repaired_as_documented() -> None:
    nothing = dag((0,) * 21 + (1,) * 5, 7)
    assert (nothing.operations, nothing.edges) == ((), ((0, 1),))  # no path
    full = dag((1,) * 21 + (0,) * 5, 7)
    assert len(full.operations) == 5  # no vertex is lost while an edge can be spared
    parallel = [(0, v) for v in range(1, 6)] + [(v, 6) for v in range(1, 6)]
    bits = tuple(int(edge in parallel) for edge in possible(7))
    assert len(dag((*bits, 0, 0, 0, 0, 0), 7).operations) == 4  # ten edges, each of which some vertex needs


@pytest.mark.parametrize("seed", range(6))
def test_networks_of_nasbench101_compute_what_the_cell_says(seed: int) -> None:
    """By hand, from the benchmark's notation: the modules come in the order of the vertices and of what they read."""
    rng = np.random.default_rng(seed)
    space = NasBench101(channels=7, cells=1, resolution=8)  # 7, 14 and 28 leave rests
    genotype = tuple(int(rng.random() < 0.45) for _ in range(21)) + tuple(rng.integers(0, 3, 5).tolist())
    rows, operations = space.decode(genotype)
    network, images = space.build(genotype).eval(), torch.rand(2, 3, 8, 8)
    layers = iter([node for node in network.nodes if isinstance(node, torch.nn.Sequential)])
    layers = iter([node for node in layers if type(node[0]).__name__ != "Take"])
    size = len(operations)
    readers = [vertex for vertex in range(1, size - 1) if rows[vertex][-1]]
    with torch.no_grad():
        x = next(layers)(images)
        for stack, width in enumerate((7, 14, 28)):
            x = next(layers)(x) if stack else x
            share, rest = divmod(width, len(readers) or 1)
            widths = {vertex: share + (place < rest) for place, vertex in enumerate(readers)}
            for vertex in reversed(range(1, size - 1)):
                widths.setdefault(vertex, max([widths[to] for to in range(1, size - 1) if rows[vertex][to]], default=0))
            values = [x]
            for vertex in range(1, size - 1):
                reads = [earlier for earlier in range(vertex) if rows[earlier][vertex]]
                read = [values[e][:, : widths[vertex]] if e else next(layers)(x) for e in reads]
                assert {each.shape[1] for each in read} == {widths[vertex]}
                values.append(next(layers)(sum(read)))
            x = torch.cat([values[vertex] for vertex in readers], 1) if readers else None
            if rows[0][-1]:
                skipped = next(layers)(values[0])
                x = skipped if x is None else x + skipped
            assert x.shape[1] == width
        torch.testing.assert_close(network(images), network.classifier(x.mean((2, 3))))
    assert not [*layers]


@pytest.mark.parametrize("channels", [12, 13, 14, 15])
@pytest.mark.parametrize("vertices", [4, 5, 7])
def test_the_pieces_of_all_cells_are_covered(channels: int, vertices: int) -> None:
    """Where the widths that vertices share leave any rest."""
    space = NasBench101(vertices=vertices, channels=channels, cells=1, resolution=4)
    known, rng = pieces_of(space), np.random.default_rng(0)
    for _ in range(150):
        dense = rng.uniform(0.2, 0.7)
        genotype = tuple(int(rng.integers(0, n)) if n > 2 else int(rng.random() < dense) for n in space.domains)
        assert {piece.name for piece in pieces(space.network(genotype))} <= {*known}


@pytest.mark.parametrize(
    ("rows", "operations", "message"),
    [
        ([[0, 1], [0, 0]], ["input", "out"], r"operations = \['input', 'out'\]: expected input, ..., output"),
        ([[0, 1], [1, 0]], ["input", "output"], "expected an upper triangular matrix of 2 rows"),
        ([[0, 1]], ["input", "output"], "expected an upper triangular matrix of 2 rows"),
        (
            [[0, 1, 0], [0, 0, 1], [0, 0, 0]],
            ["input", "conv3x3", "output"],
            "'conv3x3': did you mean 'conv3x3-bn-relu'",
        ),
        ([[0, 1, 0], [0] * 3, [0] * 3], ["input", CONV3, "output"], "has no path from its input to its output"),
        (matrix(8, chain(8)), ["input", *[CONV3] * 6, "output"], "has 8 vertices and 7 edges .*at most 7 and 9"),
        (matrix(5, possible(5)), ["input", *[CONV3] * 3, "output"], "has 5 vertices and 10 edges .*at most 7 and 9"),
    ],
)
def test_cells_that_the_benchmark_has_not_are_refused(rows, operations, message: str) -> None:
    with pytest.raises(InputError, match=message):
        NasBench101().encode(rows, operations)


def test_people_see_the_cell() -> None:
    space = NasBench101()
    genotype = space.encode(
        matrix(4, [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (0, 3)]), ["input", CONV3, POOL, "output"]
    )
    assert text_of(space.describe(genotype)).splitlines() == [
        "cell",
        "  vertex 1 = conv3x3(input)",
        "  vertex 2 = maxpool3x3(input) + maxpool3x3(vertex 1)",
        "  sum = concat(vertex 1, vertex 2) + conv1x1(input)",
        "  output  = sum",
    ]
    assert "output  = input" not in text_of(space.describe((0,) * 26))


# NAS-Bench-201 and NATS-Bench


@pytest.mark.parametrize(
    ("index", "text"),
    [
        (0, "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"),
        (9, "|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"),
        (123, "|avg_pool_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|"),
        (1462, "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"),
        (6111, "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"),
        (9930, "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"),
    ],
)
def test_cells_of_nasbench201_have_the_numbers_of_the_benchmark(index: int, text: str) -> None:
    space = NasBench201()
    assert space.to_index(space.from_string(text)) == index and space.to_string(space.from_index(index)) == text


def test_numbers_are_the_same_in_both_directions() -> None:
    for space in (NasBench201(), NatsSize()):
        size = int(np.prod(space.domains))
        for index in (*range(0, size, 97), size - 1):
            assert space.to_index(space.from_index(index)) == index
        assert len({space.from_index(index) for index in range(size)}) == size
        for wrong in (-1, size, 1.0, True, "3"):
            with pytest.raises(InputError, match=f"expected a number from 0 to {size - 1}"):
                space.from_index(wrong)
        with pytest.raises(InputError, match="expected"):
            space.to_index((0,))


def test_networks_of_the_size_space_have_the_published_size() -> None:
    """Number 12, as the benchmark's notebook shows it: 0.067378 M and 7.991706 M, which has ten for the biases."""
    space = NatsSize()
    genotype = space.from_index(12)
    assert space.to_string(genotype) == "8:8:8:16:40" and space.from_string(" 8:8:8:16:40\n") == genotype
    counted = space.count(genotype)
    assert (counted.params, counted.macs + space.classes) == (67_378, 7_991_706)
    assert space.at(Fidelity(width=12)).widths((0, 1, 2, 3, 7)) == [2, 3, 5, 6, 12]
    assert space.at(Fidelity(width=12)).to_string(genotype) == "8:8:8:16:40"


@pytest.mark.parametrize("text", ["", "8:8:8:8", "8:8:8:8:8:8", "8:8:8:8:9", "8:8:8:8:08", "8:8:8:8:72", "8,8,8,8,8"])
def test_other_widths_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no architecture: expected 5 of 8, 16, 24, 32, 40, 48, 56, 64 with colons"):
        NatsSize().from_string(text)


def test_networks_of_the_size_space_compute_what_the_widths_say() -> None:
    space = NatsSize(channels=16, resolution=8)
    genotype = (0, 2, 1, 1, 3)  # widths 2, 6, 4, 4, 8
    network, images = space.build(genotype).eval(), torch.rand(2, 3, 8, 8)
    layers = iter([node for node in network.nodes if isinstance(node, torch.nn.Sequential)])
    with torch.no_grad():
        x = next(layers)(images)
        for place, (before, width) in enumerate(zip((2, 2, 6, 4, 4), (2, 6, 4, 4, 8), strict=True)):
            if place % 2:
                x = next(layers)(x) + next(layers)(x)
            else:
                one = next(layers)(x)
                two = next(layers)(x) + next(layers)(one)
                kept = x if before == width else next(layers)(x)
                x = kept + next(layers)(one) + next(layers)(two)
            assert x.shape[1] == width
        torch.testing.assert_close(network(images), network.classifier(next(layers)(x).mean((2, 3))))
    assert not [*layers] and [m.shape[1] for m in network.features(images)] == [2, 4, 8]


# NAS-Bench-Macro


@pytest.mark.parametrize(
    ("text", "params", "flops"),
    [
        ("00000000", 387_882, 7_713_280),
        ("00000001", 791_594, 14_115_328),
        ("22212220", 1_985_514, 85_164_544),
        ("10201102", 1_527_690, 45_615_616),
        ("22222222", 2_932_586, 105_660_928),
    ],
)
def test_networks_of_nasbench_macro_have_the_published_size(text: str, params: int, flops: int) -> None:
    space = NasBenchMacro()
    counted = space.count(space.from_string(text))
    assert (counted.params, counted.macs) == (params, flops)
    assert space.to_string(space.from_string(text)) == text


def test_layers_that_do_nothing_come_last_in_their_stage() -> None:
    space = NasBenchMacro()
    assert space.canonical((0, 0, 0, 0, 1, 1, 0, 2)) == (0, 0, 0, 1, 0, 1, 2, 0)
    assert len({space.canonical(each) for each in itertools.product(range(3), repeat=8)}) == 3969
    assert space.network((2, 0, 1, 0, 1, 0, 0, 2)) == space.network((2, 0, 1, 1, 0, 0, 2, 0))


@pytest.mark.parametrize("text", ["", "0000000", "000000000", "00000003", "0000000a", "0000 000", "²0000000"])
def test_other_digits_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no architecture: expected eight digits"):
        NasBenchMacro().from_string(text)


def test_networks_of_nasbench_macro_compute_what_the_digits_say() -> None:
    space = NasBenchMacro(channels=4, resolution=9)
    genotype = (0, 1, 1, 0, 2, 2, 0, 0)
    network, images = space.build(genotype).eval(), torch.rand(2, 3, 9, 9)
    layers = iter([node for node in network.nodes if isinstance(node, torch.nn.Sequential)])
    with torch.no_grad():
        x = next(layers)(images)
        for place, gene in enumerate(genotype):
            if place in (0, 2, 5):
                x = next(layers)(x)
            elif gene:
                x = x + next(layers)(x)
        x = next(layers)(x)
        assert x.shape == (2, 160, 2, 2)
        torch.testing.assert_close(network(images), network.classifier(x.mean((2, 3))))


# Cells of DARTS in other notations

DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)


def test_the_text_of_darts_is_the_architecture_of_the_zoo() -> None:
    genotype = darts.from_text(DARTS_V2)
    assert darts.to_text(genotype) == DARTS_V2
    published = zoo.entry("DARTS-V2").architecture
    assert darts.DARTS.describe(genotype) == published.space.describe(published.genotype)
    assert darts.DARTS.count(genotype).params == 3_349_342
    for other in (
        DARTS_V2.replace("[2, 3, 4, 5]", "range(2, 6)"),
        DARTS_V2.replace("'", '"').replace(", ", ",\n  "),
        re.sub(r"(\('\w+', \d\), \('\w+', \d\))", r"[\1]", DARTS_V2),  # a list for each block
    ):
        assert darts.from_text(other) == genotype


def genotypes(distinct: bool) -> st.SearchStrategy[tuple[int, ...]]:
    def block(number: int) -> st.SearchStrategy[tuple[int, ...]]:
        states = st.lists(st.integers(0, number + 1), min_size=2, max_size=2, unique=distinct)
        operations = st.tuples(st.integers(0, 6), st.integers(0, 6))
        return st.tuples(operations, states).map(lambda pair: (pair[0][0], pair[1][0], pair[0][1], pair[1][1]))

    half = st.tuples(*map(block, range(4))).map(lambda blocks: sum(blocks, ()))
    return st.tuples(half, half).map(lambda halves: halves[0] + halves[1])


@given(genotypes(distinct=False))
def test_texts_and_words_stand_for_one_genotype(genotype) -> None:
    assert darts.from_text(darts.to_text(genotype)) == genotype
    assert darts.from_words(*darts.to_words(genotype)) == genotype


@given(genotypes(distinct=True))
def test_a_configuration_of_nasbench301_stands_for_the_same_cells(genotype) -> None:
    configuration = darts.to_configuration(genotype)
    assert len(configuration) == 2 * (8 + 3)
    again = darts.from_configuration(json.loads(json.dumps(configuration)))
    assert darts.DARTS.canonical(again) == darts.DARTS.canonical(genotype)
    assert darts.from_configuration({key.rpartition(":")[2]: value for key, value in configuration.items()}) == again
    assert darts.to_configuration(again) == configuration
    assert darts.from_configuration(configuration | {"OptimizerSelector:sgd:learning_rate": "0.025"}) == again


def test_the_keys_of_nasbench301_are_the_published_ones() -> None:
    configuration = darts.to_configuration(darts.from_text(DARTS_V2))
    prefix = "NetworkSelectorDatasetInfo:darts:"
    assert {key.removeprefix(prefix): value for key, value in configuration.items() if "reduce" not in key} == {
        "edge_normal_0": "sep_conv_3x3",
        "edge_normal_1": "sep_conv_3x3",
        "inputs_node_normal_3": "0_1",
        "edge_normal_2": "sep_conv_3x3",
        "edge_normal_3": "sep_conv_3x3",
        "inputs_node_normal_4": "0_1",
        "edge_normal_5": "skip_connect",
        "edge_normal_6": "sep_conv_3x3",
        "inputs_node_normal_5": "0_2",
        "edge_normal_9": "skip_connect",
        "edge_normal_11": "dil_conv_3x3",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no genotype of DARTS: expected Genotype"),
        ("__import__('os').system('true')", "is no genotype of DARTS"),
        (DARTS_V2.replace("Genotype", "print"), "is no genotype of DARTS"),
        (DARTS_V2.replace("reduce_concat", "reduce_cat"), "is no genotype of DARTS"),
        (DARTS_V2 + DARTS_V2, "is no genotype of DARTS"),
        (DARTS_V2.replace("('skip_connect', 0)", "exit()"), r"'exit.* in a cell: expected \('operation', input\)"),
        (
            DARTS_V2.replace("'skip_connect', 0", "'skip_conect', 0"),
            "'skip_conect' that .* did you mean 'skip_connect'",
        ),
        (DARTS_V2.replace("'skip_connect', 0", "'none', 0"), "an operation 'none' that the space lacks"),
        (DARTS_V2.replace("'dil_conv_3x3', 2", "'dil_conv_3x3', 5"), "gene 15 is 5: expected 0 to 4"),
        (DARTS_V2.replace(", ('dil_conv_3x3', 2)", ""), "the normal cell has 7 edges: expected 8"),
        (DARTS_V2.replace("[2, 3, 4, 5]", "[4, 5]"), r"concatenates \[4, 5\]: that of the space has \[2, 3, 4, 5\]"),
        (DARTS_V2.replace("[2, 3, 4, 5]", "range(2, 9999)"), "the normal cell concatenates"),
    ],
)
def test_other_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        darts.from_text(text)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


@pytest.mark.parametrize("word", ["sep_conv_3x3", "sep_conv_3x3:", "sep_conv_3x3:-1", "sep_conv_3x3:x", ":"])
def test_other_words_are_refused(word: str) -> None:
    normal, reduce = darts.to_words(darts.from_text(DARTS_V2))
    with pytest.raises(InputError, match="in a cell: expected operation:input"):
        darts.from_words(f"{word} {normal}", reduce)


def test_what_nasbench301_cannot_say_is_named() -> None:
    twice = (3, 0, 3, 0, *darts.from_text(DARTS_V2)[4:])
    with pytest.raises(InputError, match="block 2 of the normal cell reads 0 twice"):
        darts.to_configuration(twice)
    space = CellSpace(OPERATION_LISTS["darts"], inputs="full", concat="all")
    with pytest.raises(InputError, match="NAS-Bench-301 has no operation 'none'"):
        darts.to_configuration(tuple(int(n % 2 and n % 4 == 3) for n in range(32)), space)
    good = darts.to_configuration(darts.from_text(DARTS_V2))
    key = next(key for key in good if key.endswith("inputs_node_normal_3"))
    with pytest.raises(InputError, match="inputs_node_normal_3 is missing"):
        darts.from_configuration({k: v for k, v in good.items() if k != key})
    with pytest.raises(InputError, match="inputs_node_normal_3 = '1_0': "):
        darts.from_configuration(good | {key: "1_0"})
    with pytest.raises(InputError, match="unknown key 'edge_normal_13'"):
        darts.from_configuration(good | {"edge_normal_13": "skip_connect"})
    with pytest.raises(InputError, match="an operation 'none'"):
        darts.from_configuration({k: "none" if k.endswith("edge_normal_0") else v for k, v in good.items()})
