"""The space of Cartesian genetic programming: the grid, how nodes are made to fit, multipliers, and the way out."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from math import prod

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from frugalnas import zoo
from frugalnas.core import Fidelity, InputError
from frugalnas.drawing import text_of
from frugalnas.export.to_onnx import FILE, float32
from frugalnas.layers.cost import count
from frugalnas.layers.frozen import frozen
from frugalnas.layers.plan import AvgPool, Conv, MaxPool, Pad
from frugalnas.model import Model
from frugalnas.multipliers.library import find
from frugalnas.objectives.count import COSTS
from frugalnas.spaces.architecture import Architecture
from frugalnas.spaces.cgp import CGPSpace
from frugalnas.spaces.grid import FUNCTIONS, MULTIPLYING, USED, Block, Grid
from frugalnas.spaces.multiplied import swapped
from frugalnas.spaces.wiring import Alphabets, _Wiring
from frugalnas.tasks.augment import Normalise
from frugalnas.variation import mutate_forced, mutate_points, mutate_untrained, random_genotype, random_viable

MULTIPLIERS = ("8s-0-0-0", "8s-2-0-5", "8s-2-2-0", "8s-3-0-0")
SMALL = CGPSpace(rows=2, cols=4, levels_back=2, channels=4, widths=(1, 2), multipliers=MULTIPLIERS)
slow = settings(deadline=None, max_examples=25, suppress_health_check=[*HealthCheck])


def genotypes(space: CGPSpace, number: int, seed: int = 0) -> list[tuple[int, ...]]:
    rng = np.random.default_rng(seed)
    return [random_genotype(rng, space.domains) for _ in range(number)]


def written(space: CGPSpace, *nodes: tuple, output: int | None = None, whole: tuple[int, int] = (0, 0)):
    """The genotype of nodes (id, function, reads, sizes, multiplier, order); the last one is the output."""
    blocks = [Block(number, function, reads, *rest) for number, function, reads, *rest in nodes]
    return space.grid.encode(blocks, output or blocks[-1].number, whole)


SIZES = (0, 0, 0, 0)


# The grid


def test_the_domains_are_the_legal_connections() -> None:
    """By hand for 2 x 4 nodes that read 2 columns back: ids are 1 and 2, 3 and 4, 5 and 6, 7 and 8."""
    space = replace(SMALL, multipliers=(), kernels=(3,))
    node = len(FUNCTIONS), "reads", "reads", 2, 1, 2, 3
    assert space.domains == (
        *(size if size != "reads" else 1 for size in node * 2),  # the image
        *(size if size != "reads" else 3 for size in node * 2),  # the image, 1, 2
        *(size if size != "reads" else 5 for size in node * 2),  # the image, 1 to 4
        *(size if size != "reads" else 4 for size in node * 2),  # 3 to 6
        4,  # the output: 5 to 8
    )
    assert space.grid.first == (0, 0, 0, 3, 5)
    assert len(replace(SMALL, sharing="global").domains) == len(space.domains) + 2
    assert len(SMALL.domains) == len(space.domains) + 2 * 8


@pytest.mark.parametrize("sharing", ["per_layer", "global"])
def test_ordinal_genes_are_those_of_the_multipliers(sharing: str) -> None:
    space = replace(SMALL, sharing=sharing)
    assert all(space.domains[gene] == 4 and space.domains[gene + 1] == 2 for gene in space.ordinal)
    assert len(space.ordinal) == (8 if sharing == "per_layer" else 1)
    assert not replace(SMALL, multipliers=()).ordinal


@slow
@given(st.data())
def test_a_gene_without_effect_changes_nothing_and_any_other_does(data: st.DataObject) -> None:
    """The canonical genotype is the same for just those changes that leave graph and multipliers as they are."""
    space = replace(SMALL, sharing=data.draw(st.sampled_from(["per_layer", "global"])))
    genotype = genotypes(space, 1, data.draw(st.integers(0, 10**6)))[0]
    gene = data.draw(st.integers(0, len(genotype) - 1))
    value = data.draw(st.integers(0, space.domains[gene] - 1))
    other = (*genotype[:gene], value, *genotype[gene + 1 :])
    same = space.network(other) == space.network(genotype) and products(space, other) == products(space, genotype)
    if space.canonical(other) == space.canonical(genotype):
        assert same
    active = {
        place for number in space.grid.active(genotype) for place in range((number - 1) * space.grid.genes, number * 9)
    }
    if gene not in active and gene < 8 * space.grid.genes:
        assert same and space.canonical(other) == space.canonical(genotype), "a gene of an inactive node"


def products(space: CGPSpace, genotype) -> list:
    """What the multipliers of the layers compute."""
    return [(node, find(name).sha256) for node, name in space.assignment(genotype)]


@slow
@given(st.integers(0, 10**6), st.sampled_from([1, 3, 10]))
@example(183051, 1)  # two nodes of a column that differ in their multipliers only
def test_equal_canonical_genotypes_are_equal_networks(seed: int, back: int) -> None:
    """Also after the rows of a column have changed places, and with other multipliers once trained."""
    space = replace(SMALL, rows=3, cols=5, levels_back=back)
    rng = np.random.default_rng(seed)
    genotype = random_genotype(rng, space.domains)
    one = space.canonical(genotype)
    blocks = space.grid.blocks(genotype)[0]
    apart = len({((block.number - 1) // 3, *block[1:4]) for block in blocks}) == len(blocks)  # no two alike in a column
    moved = shuffled(space, genotype, rng) if apart else one
    assert space.canonical(one) == one == space.canonical(moved)
    assert space.network(genotype) == space.network(one) == space.network(moved)
    assert space.assignment(genotype) == space.assignment(one) == space.assignment(moved)
    trained = space.trained(genotype)
    assert space.trained(trained) == space.canonical(trained) == trained == space.trained(one)
    assert space.network(trained) == space.network(genotype)
    drifted = tuple(
        int(rng.integers(space.domains[place])) if {place, place - 1} & space.ordinal else gene
        for place, gene in enumerate(genotype)
    )
    assert space.trained(drifted) == trained and space.network(drifted) == space.network(genotype)


def shuffled(space: CGPSpace, genotype, rng: np.random.Generator):
    """The same network with the nodes of each column in other rows."""
    grid, rows = space.grid, space.rows
    new = {0: 0}
    for column in range(space.cols):
        for place, row in enumerate(rng.permutation(rows).tolist()):
            new[1 + column * rows + place] = 1 + column * rows + row
    moved = list(genotype)
    for number in range(1, grid.nodes + 1):
        start, to, first = (number - 1) * grid.genes, (new[number] - 1) * grid.genes, grid.first[(number - 1) // rows]
        genes = list(genotype[start : start + grid.genes])
        genes[1:3] = [new[first + gene] - first for gene in genes[1:3]]
        moved[to : to + grid.genes] = genes
    moved[grid.nodes * grid.genes] = new[grid.output(genotype)] - grid.first[-1]
    return tuple(moved)


def test_the_operands_of_a_sum_have_no_order_those_of_a_concatenation_have() -> None:
    def joined(function: str, reads: tuple[int, int]):
        return SMALL.canonical(
            written(
                SMALL,
                (1, "conv", (0,), SIZES),
                (2, "max_pool", (0,), SIZES),
                (5, function, reads, SIZES),
            )
        )

    assert joined("sum", (1, 2)) == joined("sum", (2, 1))
    assert joined("concat", (1, 2)) != joined("concat", (2, 1))


def test_an_order_that_means_nothing_is_no_difference() -> None:
    def conv(multiplier: int, order: int):
        return written(SMALL, (7, "conv", (3,), SIZES, multiplier, order))

    assert SMALL.canonical(conv(2, 0)) == SMALL.canonical(conv(2, 1)), "8s-2-2-0 commutes"
    assert SMALL.canonical(conv(1, 0)) != SMALL.canonical(conv(1, 1))
    assert SMALL.assignment(conv(1, 1))[-1][1] == "8s-2-0-5+swap" and swapped("8s-2-0-5+swap") == "8s-2-0-5"


def test_the_genotype_is_written_out_for_people() -> None:
    genotype = written(
        SMALL,
        (1, "conv", (0,), (1, 2, 1, 0), 1, 1),
        (2, "max_pool", (0,), SIZES),
        (3, "inverted_residual", (1,), (0, 1, 0, 1), 2, 0),
        (5, "concat", (3, 2), SIZES),
    )
    assert text_of(SMALL.describe(genotype)).splitlines() == [
        "network",
        "  node 1 = conv 5x5 to 8 /2(image)  8s-2-0-5+swap",
        "  node 2 = max_pool(image)",
        "  node 3 = inv_residual 3x3 x4 to 4(node 1)  8s-2-2-0",
        "  node 5 = concat(node 3, node 2)",
        "  output  = node 5",
    ]


@pytest.mark.parametrize(("active", "viable"), [((1, 3), False), ((1, 4), True), ((5, 8), False), ((4, 100), True)])
def test_viable_genotypes_have_the_right_number_of_active_nodes(active, viable) -> None:
    nodes = [(1, "conv", (0,), SIZES), (3, "sum", (1, 0), SIZES), (4, "identity", (3 - 2,), SIZES)]
    genotype = written(SMALL, *nodes, (5, "concat", (3, 4), SIZES))
    assert replace(SMALL, active=active).viable(genotype) == viable


# How nodes are made to fit


def test_a_sum_pads_channels_and_pools_the_larger_map() -> None:
    """28 pixels and 7, 3 channels and 8: by hand."""
    space = CGPSpace(rows=2, cols=4, levels_back=4, channels=8, strides=(1, 2), resolution=28, kernels=(3,))
    genotype = written(
        space,
        (1, "conv", (0,), (0, 0, 1, 0)),
        (3, "conv", (1,), (0, 0, 1, 0)),
        (5, "sum", (0, 3), SIZES),
    )
    network, images = space.build(genotype).eval(), torch.rand(2, 3, 28, 28)
    convs = [module for module in network.nodes if isinstance(next(module.children(), None), torch.nn.Conv2d)]
    with torch.no_grad():
        down = convs[1](convs[0](images))
        total = down + F.pad(F.max_pool2d(images, 4), (0, 0, 0, 0, 0, 5))
        torch.testing.assert_close(network(images), network.classifier(total.mean((2, 3))))


@pytest.mark.parametrize(("large", "small"), [(28, 7), (25, 7), (7, 4), (13, 7), (3, 2), (5, 2), (32, 1)])
def test_the_computed_window_makes_just_the_smaller_map(large: int, small: int) -> None:
    wiring = _Wiring((1, large, large), Alphabets((1,), (1,), (1,), (1,)), 1, 9)
    value = wiring._fitted(0, small, 1)
    pool = torch.nn.MaxPool2d(*(wiring.nodes[value - 1].layers[0].kernel, wiring.nodes[value - 1].layers[0].stride))
    x = torch.rand(1, 1, large, large)
    assert pool(x).shape[2] == small
    assert pool(x).max() == x.max() or large % small, "every pixel counts where the sizes divide"


def test_a_concatenation_keeps_the_first_channels() -> None:
    space = replace(SMALL, widest=3, cols=6, multipliers=())  # 12 channels
    chain = [(1, "conv", (0,), (1, 0, 0, 0)), (2, "conv", (0,), (1, 0, 0, 0)), (3, "concat", (1, 2), SIZES)]
    shapes = space.network(written(space, *chain, (5, "concat", (3, 1), SIZES), (9, "identity", (5,), SIZES))).shapes
    assert [shape[0] for shape in shapes] == [3, 8, 8, 4, 12]  # the second is cut; the third concatenation is nothing


def test_halving_ends_at_the_smallest_map_and_rounds_up() -> None:
    space = CGPSpace(rows=1, cols=6, levels_back=1, resolution=25, smallest=4, multipliers=())
    pools = [(number, ("max_pool", "avg_pool")[number % 2], (number - 1,), SIZES) for number in range(1, 7)]
    graph = space.network(written(space, *pools))
    assert [shape[1] for shape in graph.shapes] == [25, 13, 7, 4]
    assert [node.layers[0] for node in graph.nodes] == [AvgPool(3, 2, 1), MaxPool(2, 2, ceil=True), AvgPool(3, 2, 1)]
    assert [shape[1] for shape in space.at(Fidelity(resolution=9)).network(written(space, *pools)).shapes] == [9, 5]


def test_a_residual_block_is_that_of_cgp_cnn() -> None:
    space = replace(SMALL, kernels=(3,), resolution=8, multipliers=())
    network = space.build(written(space, (5, "residual", (0,), SIZES))).eval()
    images = torch.rand(2, 3, 8, 8)
    block = next(module for module in network.nodes if len(module) == 5)
    with torch.no_grad():
        made = torch.relu(block(images) + F.pad(images, (0, 0, 0, 0, 0, 1)))
        torch.testing.assert_close(network(images), network.classifier(made.mean((2, 3))))


def test_an_inverted_residual_adds_its_input_where_that_fits() -> None:
    space = replace(SMALL, in_channels=4, resolution=8, multipliers=())
    with_sum, without = (
        space.count(written(space, (5, "inverted_residual", (0,), sizes))) for sizes in (SIZES, (1, 0, 0, 0))
    )
    assert (with_sum.add, without.add) == (4 * 8 * 8, 0)


def test_an_inception_module_has_four_branches() -> None:
    graph = SMALL.network(written(SMALL, (5, "inception", (0,), (1, 0, 0, 0))))
    ((parallel, *_),) = [node.layers for node in graph.nodes]
    kernels = [branch[-1].kernel[0] for branch in parallel.branches if isinstance(branch[-1], Conv)]
    assert kernels == [1, 3, 5, 1] and isinstance(parallel.branches[3][0], MaxPool) and graph.output[0] == 8


# Every genotype builds, runs and is counted


@pytest.mark.parametrize("resolution", [28, 32, 64])
@slow
@given(st.data())
def test_every_genotype_builds_and_runs_and_is_counted(resolution: int, data: st.DataObject) -> None:
    space = CGPSpace(
        *(data.draw(st.integers(1, 4)), data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))),
        channels=2,
        widths=(1, 2),
        widest=4,
        smallest=data.draw(st.integers(1, 4)),
        resolution=resolution,
        multipliers=data.draw(st.sampled_from([(), MULTIPLIERS])),
    )
    genotype = genotypes(space, 1, data.draw(st.integers(0, 10**6)))[0]
    network = space.build(genotype)
    logits = network(torch.rand(2, 3, resolution, resolution))
    assert logits.shape == (2, 10) and logits.isfinite().all()
    counted = space.count(genotype)
    assert counted.params == sum(each.numel() for each in network.parameters())
    assert sum(space.multiplications(genotype).values()) == counted.macs
    assert len(space.network(genotype).live) == len(space.network(genotype).nodes)


def test_the_paper_s_grid_is_mostly_idle_and_fast_enough_to_count() -> None:
    """Through the functions and not by a clock: what has no effect is never looked at twice."""
    space = CGPSpace(multipliers=MULTIPLIERS, active=(10, 50))
    rng = np.random.default_rng(0)
    for _ in range(20):
        genotype = random_viable(rng, space)
        assert 10 <= len(space.grid.active(genotype)) <= 50 and len(genotype) == 150 * 9 + 1
        assert space.count(genotype) == space.count(space.canonical(genotype))


# Multipliers


@pytest.mark.parametrize("sharing", ["per_layer", "global"])
def test_each_layer_with_convolutions_has_its_multiplier_and_the_classifier_is_exact(sharing: str) -> None:
    space = replace(SMALL, sharing=sharing)
    for genotype in genotypes(space, 30):
        graph, assigned = space.network(genotype), dict(space.assignment(genotype))
        shapes = graph.shapes
        macs = {n: count(node.layers, shapes[node.reads[0]]).macs for n, node in enumerate(graph.nodes)}
        assert {number for number, amount in macs.items() if amount} == {*assigned}
        expected = Counter({"8s-0-0-0": count(graph.classifier, graph.output).macs})
        for number, name in assigned.items():
            expected[name] += macs[number]
            assert find(name).table.shape == (256, 256)
        assert space.multiplications(genotype) == expected
        assert sharing == "per_layer" or len({*assigned.values()}) <= 1


def test_without_multipliers_all_is_exact_and_energy_is_the_work() -> None:
    space = replace(SMALL, multipliers=())
    for genotype in genotypes(space, 5):
        assert {*space.multiplications(genotype)} == {"8s-0-0-0"}
        assert COSTS["energy"](space, genotype) == COSTS["macs"](space, genotype)
        assert space.trained(genotype) == space.canonical(genotype)


def test_energy_is_that_of_the_multipliers() -> None:
    genotype = written(SMALL, (5, "conv", (0,), SIZES, 2, 0))
    power = find("8s-2-2-0").power_mw / find("8s-0-0-0").power_mw
    first = prod((3, 4)) * 32 * 32  # a 1x1 convolution of 3 channels to 4
    assert COSTS["energy"](SMALL, genotype) == pytest.approx(first * power + 40)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"functions": ("conv", "convv")}, "unknown function 'convv': did you mean 'conv'"),
        ({"functions": ()}, "functions = .*: expected a list of names"),
        ({"kernels": (2,)}, "kernels has 2: expected odd numbers"),
        ({"strides": (1, 3)}, "strides has 3: expected whole numbers from 1 to 2"),
        ({"widths": (1, 1)}, "widths = .*: one of them stands there twice"),
        ({"active": (9, 4)}, "active = .*: expected the least, from 1 to 150"),
        ({"active": (151, 200)}, "active = .*: expected the least, from 1 to 150"),
        ({"sharing": "globall"}, "sharing = 'globall': did you mean 'global'"),
        ({"multipliers": ("8s-0-0-0", "8s-2-0-17")}, "v = 17: expected a whole number from 0 to 16"),
        ({"multipliers": ("8s-2-2-0",)}, "expected the first one, 8s-2-2-0, to be exact"),
        ({"multipliers": ("8s-0-0-0", "8u-2-2-0")}, "8u-2-2-0 and 8s-0-0-0 differ in the signs"),
        ({"multipliers": ("8s-0-0-0", 3)}, "multipliers has 3: expected the name"),
    ],
)
def test_wrong_arguments_are_named(arguments, message) -> None:
    with pytest.raises(InputError, match=message):
        CGPSpace(**arguments)


# Variation


def test_a_forced_child_is_another_network_and_viable_and_idle_genes_drift() -> None:
    space = CGPSpace(rows=3, cols=8, levels_back=4, multipliers=MULTIPLIERS, active=(4, 12))
    rng = np.random.default_rng(1)
    parent, idle = random_viable(rng, space), 0
    for _ in range(40):
        child = mutate_forced(rng, parent, space, 0.02)
        assert space.canonical(child) != space.canonical(parent) and space.viable(child)
        genes = space.grid.genes
        idle += sum(
            child[place] != parent[place]
            for number in {*range(1, 25)} - {*space.grid.active(parent), *space.grid.active(child)}
            for place in range((number - 1) * genes, number * genes)
        )
    assert idle > 20


def test_a_child_with_its_parent_s_weights_differs_in_multipliers_only() -> None:
    space = CGPSpace(rows=3, cols=8, levels_back=4, multipliers=MULTIPLIERS, active=(4, 12))
    rng = np.random.default_rng(2)
    for _ in range(20):
        parent = random_viable(rng, space)
        child = mutate_untrained(rng, parent, space, 0.02)
        assert space.canonical(child) != space.canonical(parent)
        if space.assignment(parent):
            assert space.trained(child) == space.trained(parent)
            assert space.assignment(child) != space.assignment(parent)
    exact = replace(space, multipliers=("8s-0-0-0",))
    parent = random_viable(rng, exact)
    assert exact.trained(mutate_untrained(rng, parent, exact, 0.05)) != exact.trained(parent), "there is no other"


# The way out


def test_networks_with_all_functions_are_exported(tmp_path) -> None:
    pytest.importorskip("onnx")
    import onnxruntime

    space = CGPSpace(rows=4, cols=6, levels_back=3, channels=4, widths=(1, 2), resolution=13, multipliers=MULTIPLIERS)
    seen = set[str]()
    for genotype in genotypes(space, 3, seed=8):
        architecture = Architecture(space, genotype)
        assert Architecture.parse(json.dumps(architecture.to_json())) == architecture
        network = zoo.create_model(architecture.to_json()).eval()
        seen |= {type(layer).__name__ for node in space.network(genotype).nodes for layer in node.layers}
        normalise = Normalise(torch.zeros(3), torch.ones(3))
        float32(Model(architecture, network, tuple("abcdefghij"), normalise), tmp_path)
        pixels = torch.randint(0, 256, (2, 3, 13, 13)).float()
        made = onnxruntime.InferenceSession(tmp_path / FILE).run(None, {"pixels": pixels.numpy()})[0]
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(made), network(pixels / 255), rtol=1e-3, atol=1e-4)
    assert Pad.__name__ in seen


@slow
@given(st.integers(0, 10**6), st.integers(4, 30))
def test_frozen_networks_are_the_same(seed: int, resolution: int) -> None:
    """What rates networks without training runs them in another way."""
    space = CGPSpace(rows=3, cols=6, levels_back=3, channels=4, widths=(1, 2), widest=4, resolution=resolution)
    network, images = space.build(genotypes(space, 1, seed)[0]).eval(), torch.rand(2, 3, resolution, resolution)
    with torch.no_grad():
        for one, other in zip(network.features(images), frozen(network).features(images), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_the_names_of_functions_and_their_genes_agree() -> None:
    assert {*USED} == MULTIPLYING <= {*FUNCTIONS}
    assert Grid(1, 1, 1, FUNCTIONS, (1, 1, 1, 1)).genes == 7
    assert mutate_points(np.random.default_rng(0), (0,), (1,), 1.0) == (0,)
