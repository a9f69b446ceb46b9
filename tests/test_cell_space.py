"""The cell space: operations, networks, equivalent genotypes, and the interchange format."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from itertools import permutations
from math import log10
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from frugalnas import zoo
from frugalnas.core import Fidelity, Genotype, InputError
from frugalnas.layers.cell import Block, CellModule, CellNetwork
from frugalnas.layers.depthwise import DepthwiseConv2d
from frugalnas.layers.ops import Drop, drop_path, module
from frugalnas.layers.plan import OPERATIONS, Conv, factorised_reduction, squeeze_excitation
from frugalnas.spaces.architecture import Architecture
from frugalnas.spaces.cell import OPERATION_LISTS, CellSpace

EEEA = OPERATION_LISTS["eeea"]
SMALL = CellSpace(EEEA, channels=4, cells=5, resolution=16)


def network_of(space: CellSpace, genotype: Genotype | None = None, seed: int = 0) -> CellNetwork:
    torch.manual_seed(seed)
    return space.build(genotype or tuple(size - 1 for size in space.domains))


# Operations


@pytest.mark.parametrize("side", [(8, 8), (7, 7), (8, 5), (1, 1)])
@pytest.mark.parametrize("channels", [4, 5])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_keeps_the_channels_and_rounds_halves_up(name: str, channels: int, side: tuple[int, int]) -> None:
    x = torch.randn(3, channels, *side)
    for stride in (1, 2):
        expected = (3, channels, *(-(-size // stride) for size in side))
        assert module(OPERATIONS[name](channels, stride)).eval()(x).shape == expected


@pytest.mark.parametrize(
    ("name", "weights", "reduced"),
    [
        ("none", 0, 0),
        ("max_pool_3x3", 0, 0),
        ("avg_pool_3x3", 0, 0),
        ("skip_connect", 0, 100),
        ("sep_conv_3x3", 2 * (90 + 100), 380),
        ("sep_conv_5x5", 2 * (250 + 100), 700),
        ("sep_conv_7x7", 2 * (490 + 100), 1180),
        ("dil_conv_3x3", 90 + 100, 190),
        ("dil_conv_5x5", 250 + 100, 350),
        ("conv_7x1_1x7", 2 * 700, 1400),
        ("max_pool_2x2", 0, 0),
        ("dil_2_sep_conv_5x5", 2 * (250 + 100), 700),
        ("conv_1x1", 100, 100),
        ("bottleneck_3x3", 2 * 30 + 81, 141),
        ("bottleneck_1x7_7x1", 2 * 30 + 2 * 63, 186),
        ("inv_res_3x3", 100 + 90 + 100, 290),
        ("inv_res_5x5", 100 + 250 + 100, 450),
    ],
)
def test_an_operation_has_the_published_convolutions(name: str, weights: int, reduced: int) -> None:
    for stride, expected in ((1, weights), (2, reduced)):
        layers = module(OPERATIONS[name](10, stride))
        convolutions = [layer for layer in layers.modules() if isinstance(layer, nn.Conv2d | DepthwiseConv2d)]
        assert sum(layer.weight.numel() for layer in convolutions) == expected
        assert sum(p.numel() for p in layers.parameters() if p.ndim > 1) == expected


def test_the_residual_of_inv_res_needs_the_same_size() -> None:
    x = torch.randn(2, 4, 6, 6)
    for stride, residual in ((1, True), (2, False)):
        layers = module(OPERATIONS["inv_res_3x3"](4, stride)).eval()
        norms = [layer for layer in layers.modules() if isinstance(layer, nn.BatchNorm2d)]
        nn.init.zeros_(norms[-1].weight)
        assert torch.equal(layers(x), x if residual else torch.zeros(2, 4, 3, 3))


def test_pooling_has_no_norm_and_its_mean_leaves_the_padding_out() -> None:
    ones = torch.ones(1, 2, 5, 5)
    assert torch.equal(module(OPERATIONS["avg_pool_3x3"](2, 1))(ones), ones)
    assert torch.equal(module(OPERATIONS["max_pool_3x3"](2, 1))(-ones), -ones)


@pytest.mark.parametrize("side", [(8, 8), (7, 6), (1, 1)])
@pytest.mark.parametrize("stride", [1, 2])
def test_windows_of_2x2_pooling_may_reach_over_the_end(stride: int, side: tuple[int, int]) -> None:
    """As with the padding "SAME" of the released code: one more row and column, that no maximum comes from."""
    x = -torch.rand(2, 3, *side) - 1
    padded = functional.pad(x, (0, 1, 0, 1), value=-torch.inf)
    assert torch.equal(module(OPERATIONS["max_pool_2x2"](3, stride))(x), functional.max_pool2d(padded, 2, stride))


@pytest.mark.parametrize(
    ("name", "convolutions"),
    [
        ("dil_2_sep_conv_5x5", [((5, 5), (2, 2), 2), ((1, 1), (1, 1), 1), ((5, 5), (1, 1), 2), ((1, 1), (1, 1), 1)]),
        ("conv_1x1", [((1, 1), (2, 2), 1)]),
        ("bottleneck_3x3", [((1, 1), (1, 1), 1), ((3, 3), (2, 2), 1), ((1, 1), (1, 1), 1)]),
        (
            "bottleneck_1x7_7x1",
            [((1, 1), (1, 1), 1), ((1, 7), (1, 2), 1), ((7, 1), (2, 1), 1), ((1, 1), (1, 1), 1)],
        ),
    ],
)
def test_convolutions_have_the_kernels_strides_and_dilations_of_amoebanet(name: str, convolutions: Any) -> None:
    layers = [layer for layer in OPERATIONS[name](8, 2) if isinstance(layer, Conv)]
    assert [(layer.kernel, layer.stride, layer.dilation) for layer in layers] == convolutions


def test_squeeze_and_excitation_scales_the_channels_of_a_cell() -> None:
    x = torch.randn(3, 6, 5, 4)
    layers = module(squeeze_excitation(6, 2))
    first, second = (layer.weight[:, :, 0, 0] for layer in layers.modules() if isinstance(layer, nn.Conv2d))
    assert (first.shape, second.shape) == ((2, 6), (6, 2))
    factors = torch.sigmoid(functional.relu(x.mean((2, 3)) @ first.T) @ second.T)
    assert torch.allclose(layers(x), x * factors[:, :, None, None], atol=1e-6)
    plain = network_of(replace(SMALL, squeeze=0)).eval()
    squeezed = network_of(replace(SMALL, squeeze=2)).eval()
    squeezed.load_state_dict(plain.state_dict(), strict=False)
    gates = [layer for name, layer in squeezed.named_modules() if name.endswith("excitation")]
    assert len(gates) == SMALL.cells
    seen: list[torch.Tensor] = []
    gates[0].register_forward_hook(lambda _, inputs, output: seen.extend([inputs[0], output]))
    image = torch.randn(2, 3, 16, 16)
    squeezed(image)
    cell = plain.cells[0]
    stem = plain.stem[0](image)
    assert torch.allclose(seen[0], cell([stem, stem], 0.0), atol=1e-5)
    assert torch.allclose(seen[1], gates[0](seen[0]), atol=1e-5)


def test_the_hidden_channels_of_an_excitation_round_down_to_one_at_least() -> None:
    for squeeze, hidden in ((3, 1), (2, 2), (64, 1)):
        space = CellSpace(("skip_connect",), blocks=1, channels=5, cells=3, resolution=8, squeeze=squeeze)
        ((_, site), *_) = space.network((0,) * 8).cells
        assert site.excitation(1) == squeeze_excitation(5, hidden)


def test_an_operation_leaves_its_input_alone() -> None:
    """Other operations read the same state, so no first layer may work in place."""
    for name, layers in OPERATIONS.items():
        for stride in (1, 2):
            x = torch.randn(2, 4, 6, 6)
            kept = x.clone()
            module(layers(4, stride))(x)
            assert torch.equal(x, kept), name


def test_the_factorised_reduction_of_even_sizes_is_that_of_darts() -> None:
    x = torch.randn(2, 6, 8, 8)
    layers = module(factorised_reduction(6, 4))
    first, second = (layer for layer in layers.modules() if isinstance(layer, nn.Conv2d))
    positive = functional.relu(x)
    whole = functional.conv2d(positive, first.weight, stride=2)
    shifted = functional.conv2d(positive[:, :, 1:, 1:], second.weight, stride=2)
    expected = functional.batch_norm(torch.cat([whole, shifted], 1), None, None, training=True)
    assert torch.allclose(layers(x), expected, atol=1e-5)


def test_the_factorised_reduction_of_odd_sizes_pads_with_zeros() -> None:
    """It equals that of the image with one more row and column of zeros; an odd width is split 2 + 3."""
    x = torch.randn(2, 6, 7, 5)
    layers = module(factorised_reduction(6, 5)).eval()
    assert torch.equal(layers(x), layers(functional.pad(x, (0, 1, 0, 1))))
    assert [layer.out_channels for layer in layers.modules() if isinstance(layer, nn.Conv2d)] == [2, 3]


# The network


def test_the_network_runs_what_the_genotype_says() -> None:
    """The built operations, in the order they run, with the states they read: the searched structure is the trained."""
    space = CellSpace(OPERATION_LISTS["econas"], blocks=3, inputs="full", channels=4, cells=6, resolution=8)
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        genotype = tuple(int(torch.randint(size, (), generator=generator)) for size in space.domains)
        network, cells = network_of(space, genotype), space.describe(genotype)
        ran: list[tuple[int, int, tuple[int, ...]]] = []
        for number, cell in enumerate(network.cells):
            assert isinstance(cell, CellModule)
            for block_number, block in enumerate(cell.blocks):
                assert isinstance(block, Block)
                key = (number, block_number, block.reads)
                block.register_forward_hook(lambda *_, key=key, ran=ran: ran.append(key))
        network(torch.randn(2, 3, 8, 8))
        expected = []
        for number in range(6):
            cell = cells["reduce" if number in (2, 4) else "normal"]
            for block_number, block in enumerate(cell.blocks):
                edges = [edge for edge in block if edge[0] != "none"] or [("none", 0)]
                expected.append((number, block_number, tuple(state for _, state in edges)))
                built = network.cells[number].blocks[block_number].edges
                for (operation, state), layers in zip(edges, built, strict=True):
                    stride = 2 if number in (2, 4) and state < 2 else 1
                    width = 4 * (1 + (number >= 2)) * (1 + (number >= 4))
                    assert str(layers) == str(module(OPERATIONS[operation](width, stride)))
        assert ran == expected


def test_equal_atoms_of_a_block_are_separate_modules() -> None:
    space = CellSpace(("sep_conv_3x3",), blocks=1, channels=4, cells=3, resolution=8)
    first, second = network_of(space).cells[0].blocks[0].edges
    assert first is not second
    assert not {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}


def test_the_same_seed_gives_the_same_network_and_another_one_another() -> None:
    x = torch.randn(2, 3, 16, 16)
    outputs = [network_of(SMALL, seed=seed).eval()(x) for seed in (3, 3, 4)]
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


@pytest.mark.parametrize("cells", [3, 4, 5, 8, 20])
def test_reductions_stand_at_one_and_two_thirds_and_double_the_channels(cells: int) -> None:
    network = network_of(replace(SMALL, cells=cells)).eval()
    first, second, last = network.features(torch.randn(1, 3, 16, 16))
    assert [site.reduction for _, site in network.plan.cells] == [
        number in (cells // 3, 2 * cells // 3) for number in range(cells)
    ]
    assert [site.channels for _, site in network.plan.cells][:: cells - 1] == [4, 16]
    assert [map_.shape[2] for map_ in (first, second, last)] == [16, 8, 4]


def test_features_and_embedding_belong_to_the_logits() -> None:
    network = network_of(SMALL).eval()
    x = torch.randn(2, 3, 16, 16)
    last, embedding = network.features(x)[-1], network.embed(x)
    assert embedding.shape == (2, network.classifier.in_features)
    assert torch.allclose(embedding, last.mean((2, 3)), atol=1e-6)
    assert torch.allclose(network.classifier(embedding), network(x), atol=1e-6)


@pytest.mark.parametrize(
    ("stem", "resolution"),
    [("small", 8), ("small", 28), ("small", 32), ("small", 33), ("small", 64), ("imagenet", 64), ("imagenet", 224)],
)
def test_the_auxiliary_head_works_at_every_size_in_training_only(stem: Any, resolution: int) -> None:
    space = CellSpace(
        ("skip_connect",), blocks=1, channels=2, cells=3, stem=stem, resolution=resolution, auxiliary=True, classes=5
    )
    network = network_of(space)
    x = torch.randn(2, 3, resolution, resolution)
    logits, auxiliary = network(x)
    assert logits.shape == auxiliary.shape == (2, 5)
    assert network.eval()(x[:1]).shape == (1, 5)
    published = resolution in (32, 33, 224)
    assert any(isinstance(layer, nn.AvgPool2d) for layer in network.auxiliary.modules()) is published


def test_drop_path_drops_samples_in_training_and_spares_the_identity() -> None:
    x = torch.randn(64, 3, 8, 8)
    for operation, spared in (("skip_connect", True), ("max_pool_3x3", False)):
        space = CellSpace((operation,), blocks=1, channels=4, cells=3, resolution=8)
        network = network_of(space)
        network.drop_path = 0.5
        cell = network.cells[0]
        seen: list[torch.Tensor] = []
        cell.blocks[0].register_forward_hook(lambda _, __, output, seen=seen: seen.append(output))
        network(x)
        dropped = (seen[0].flatten(1) == 0).all(1).float().mean()
        assert dropped == 0 if spared else 0.1 < dropped < 0.45  # both edges: one in four
        network.eval()
        assert torch.equal(network(x), network(x))


def test_drop_path_keeps_the_mean() -> None:
    torch.manual_seed(0)
    dropped = drop_path(torch.ones(4000, 1, 1, 1), Drop(0.2))
    assert set(dropped.unique().tolist()) == {0.0, 1.25}
    assert dropped.mean() == pytest.approx(1.0, abs=0.03)


def test_every_parameter_that_is_reached_gets_a_gradient() -> None:
    """In-place layers must not spoil the backward pass of any operation."""
    space = CellSpace(tuple(OPERATIONS), blocks=9, concat="all", inputs="full", channels=4, cells=3, resolution=8)
    operations = [number % len(OPERATIONS) for number in range(18)]
    half = tuple(gene for a, b in zip(operations[::2], operations[1::2], strict=True) for gene in (a, 0, b, 1))
    network = network_of(space, half + half)
    network(torch.randn(4, 3, 8, 8)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_the_network_keeps_channels_last() -> None:
    network = network_of(SMALL).eval()
    x = torch.randn(2, 3, 16, 16)
    expected = network(x)
    fast = network.to(memory_format=torch.channels_last)
    maps = fast.features(x.to(memory_format=torch.channels_last))
    assert all(map_.is_contiguous(memory_format=torch.channels_last) for map_ in maps)
    assert torch.allclose(fast(x.to(memory_format=torch.channels_last)), expected, atol=1e-5)


def test_the_network_goes_where_it_is_sent() -> None:
    network = network_of(SMALL).to("meta")
    network.drop_path = 0.3
    assert network(torch.empty(2, 3, 16, 16, device="meta")).device.type == "meta"


# Concatenation


def test_what_is_concatenated() -> None:
    """Block 0 is read by block 1; block 1 and cell input 1 by nobody."""
    space = CellSpace(("skip_connect",), blocks=2, inputs="full", concat="all", channels=4, cells=3, resolution=8)
    pairs = [("skip_connect", 0), ("skip_connect", 0), ("skip_connect", 2), ("skip_connect", 0)]
    genotype = space.encode(pairs, pairs)
    for policy, expected in (("all", (2, 3)), ("loose", (3,)), ("unused", (1, 3)), (((0, 2), (3, 1)), (0, 2))):
        changed = replace(space, concat=policy)
        assert changed.describe(genotype)["normal"].concat == expected
        network = network_of(changed, genotype)
        assert network(torch.randn(2, 3, 8, 8)).shape == (2, 10)


def test_none_reads_nothing() -> None:
    space = CellSpace(("none", "skip_connect"), blocks=2, inputs="full", concat="loose", channels=4, cells=3)
    pairs = [("skip_connect", 0), ("skip_connect", 1), ("none", 2), ("skip_connect", 1)]
    genotype = space.encode(pairs, pairs)
    assert space.describe(genotype)["normal"].concat == (2, 3)
    other = space.encode([*pairs[:2], ("none", 0), pairs[3]], pairs)
    assert space.canonical(genotype) == space.canonical(other)


def test_a_block_of_nothing_is_zero() -> None:
    space = CellSpace(("none", "skip_connect"), blocks=1, channels=4, cells=3, resolution=8)
    network = network_of(space, (0,) * 8).eval()
    with torch.no_grad():
        assert network.embed(torch.randn(2, 3, 8, 8)).eq(0).all()


# Equivalent genotypes


@st.composite
def cases(draw: st.DrawFn) -> tuple[CellSpace, Genotype, list[list[int]]]:
    """A space, a genotype, and an order of the blocks of each cell, which need not be valid."""
    blocks = draw(st.integers(1, 5))
    names = draw(st.sampled_from([("skip_connect", "none"), ("max_pool_3x3", "sep_conv_3x3"), EEEA]))
    fixed = st.lists(st.integers(0, 1 + blocks), min_size=1, max_size=3, unique=True).map(tuple)
    shared = draw(st.booleans())
    concat = draw(st.one_of(st.sampled_from(["all", "loose", "unused"]), st.tuples(*[fixed] * (2 - shared))))
    inputs = draw(st.sampled_from(["narrow", "full"]))
    space = CellSpace(names, blocks, inputs, concat, shared, channels=2, cells=4, resolution=5)
    genotype = tuple(draw(st.integers(0, size - 1)) for size in space.domains)
    return space, genotype, [draw(st.permutations(range(blocks))) for _ in range(2 - shared)]


def reordered(half: Genotype, order: list[int], swap: bool) -> Genotype:
    """Write down block order[0] first, then order[1], ..., with new numbers, and perhaps the two atoms swapped."""
    number = {0: 0, 1: 1} | {2 + block: 2 + place for place, block in enumerate(order)}
    genes: list[int] = []
    for block in order:
        a, read_a, b, read_b = half[4 * block : 4 * block + 4]
        atoms = (b, number[read_b], a, number[read_a]) if swap else (a, number[read_a], b, number[read_b])
        genes += atoms
    return tuple(genes)


def concatenation_stays(space: CellSpace, order: list[int], kind: int) -> bool:
    if isinstance(space.concat, str):
        return True
    return all(
        (2 + block in space.concat[kind]) == (2 + place in space.concat[kind]) for place, block in enumerate(order)
    )


def inside(space: CellSpace, half: Genotype) -> bool:
    return all(0 <= gene < size for gene, size in zip(half, space.domains, strict=False))


quick = settings(deadline=None, max_examples=120)


@quick
@given(cases())
def test_canonical_is_idempotent_inside_the_domains_and_costs_the_same(case: Any) -> None:
    space, genotype, _ = case
    canonical = space.canonical(genotype)
    assert inside(space, canonical)
    assert len(canonical) == len(space.domains)
    assert space.canonical(canonical) == canonical
    assert space.count(canonical) == space.count(genotype)


@quick
@given(cases(), st.booleans())
def test_canonical_does_not_see_the_order_of_blocks_and_atoms(case: Any, swap: bool) -> None:
    space, genotype, orders = case
    size, halves = 4 * space.blocks, []
    for kind, order in enumerate(orders):
        half = genotype[kind * size : (kind + 1) * size]
        changed = reordered(half, order, swap)
        halves.append(changed if inside(space, changed) and concatenation_stays(space, order, kind) else half)
    assert space.canonical(sum(halves, ())) == space.canonical(genotype)


@settings(deadline=None, max_examples=40)
@given(cases())
def test_canonical_is_the_smallest_of_all_orders(case: Any) -> None:
    """The oracle tries every order of the blocks with every order of the atoms."""
    space, genotype, _ = case
    size, none = 4 * space.blocks, space.none
    expected: list[int] = []
    for kind in range(2 - space.shared):
        half = list(genotype[kind * size : (kind + 1) * size])
        for place in range(0, size, 2):
            half[place + 1] = 0 if half[place] == none else half[place + 1]
        found = []
        for order in permutations(range(space.blocks)):
            changed = reordered(tuple(half), list(order), swap=False)
            if inside(space, changed) and concatenation_stays(space, list(order), kind):
                blocks = [changed[place : place + 4] for place in range(0, size, 4)]
                found.append([gene for a, i, b, j in blocks for atom in sorted([(a, i), (b, j)]) for gene in atom])
        expected += min(found)
    assert space.canonical(genotype) == tuple(expected)


@settings(deadline=None, max_examples=25)
@given(cases())
def test_equivalent_genotypes_compute_the_same_function(case: Any) -> None:
    """With weights that depend on nothing but the kind of layer, the order of channels and blocks cannot matter."""
    space, genotype, _ = case
    outputs = []
    for each in (genotype, space.canonical(genotype)):
        network = space.build(each).eval().double()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.fill_(0.3 if parameter.dim() > 1 else 0.9)
            outputs.append(network(torch.linspace(-1, 1, 75, dtype=torch.float64).reshape(1, 3, 5, 5)))
    assert torch.allclose(*outputs, rtol=1e-9)


def test_equal_blocks_are_told_apart_by_who_reads_them() -> None:
    """Blocks 0 and 1 are equal and only one is read: whichever that is, it becomes block 0."""
    space = CellSpace(("max_pool_3x3", "sep_conv_3x3"), blocks=3, inputs="full", shared=True)
    first, second = ((0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, read) for read in (2, 3))
    assert space.canonical(first) == space.canonical(second) == first


def test_different_cells_stay_different() -> None:
    """One block, two operations, narrow: 3 unordered pairs a cell, so 9 architectures of 16 genotypes."""
    space = CellSpace(("max_pool_3x3", "sep_conv_3x3"), blocks=1)
    genotypes = [(a, 0, b, 0, c, 0, d, 0) for a in (0, 1) for b in (0, 1) for c in (0, 1) for d in (0, 1)]
    assert len({space.canonical(genotype) for genotype in genotypes}) == 9


def test_pnas_has_136_cells_of_one_block() -> None:
    """Liu et al. 2018, section 3.1: 256 ordered, 136 different."""
    space = CellSpace(OPERATION_LISTS["pnas"], blocks=1, inputs="full", concat="all", shared=True)
    genotypes = [(a, i, b, j) for a in range(8) for i in (0, 1) for b in range(8) for j in (0, 1)]
    assert (space.size, len({space.canonical(genotype) for genotype in genotypes})) == (256, 136)


# The space


@pytest.mark.parametrize(
    ("operations", "blocks", "inputs", "shared", "size"),
    [
        ("eeea", 4, "narrow", False, 6.1e20),
        ("eeea_code", 4, "narrow", False, 3.3e21),
        ("eeea", 5, "narrow", False, 2.5e27),
        ("eeea_code", 5, "narrow", False, 2.1e28),
        ("relativenas", 4, "full", False, 6.9e21),
        ("nsganet", 5, "full", False, 3.3e30),
        ("econas", 4, "full", False, 5.8e22),
        ("pnas", 5, "full", True, 5.566e14),
    ],
)
def test_a_space_has_the_published_size(operations: str, blocks: int, inputs: Any, shared: bool, size: float) -> None:
    space = CellSpace(OPERATION_LISTS[operations], blocks, inputs, shared=shared)
    assert log10(space.size) == pytest.approx(log10(size), abs=0.008)


def test_a_fidelity_changes_the_size_of_the_networks_only() -> None:
    space = SMALL.at(Fidelity(epochs=3, resolution=8, width=2, depth=4))
    assert space == replace(SMALL, channels=2, cells=4, resolution=8)
    assert SMALL.at(Fidelity()) == SMALL


def test_describe_and_encode_are_inverse() -> None:
    genotype = zoo.load("EEEA-C").genotype
    space = zoo.load("EEEA-C").space
    cells = space.describe(genotype)
    flat = {name: [edge for block in cell.blocks for edge in block] for name, cell in cells.items()}
    assert space.encode(flat["normal"], flat["reduce"]) == genotype
    with pytest.raises(InputError, match="normal cell has 3 edges: expected 10"):
        space.encode(flat["normal"][:3], flat["reduce"])
    with pytest.raises(InputError, match="'sep_conv_3x4'.*did you mean 'sep_conv_3x3'"):
        space.encode([("sep_conv_3x4", 0), *flat["normal"][1:]], flat["reduce"])
    with pytest.raises(InputError, match="gene 1 is 4: expected 0 to 0"):
        space.encode([("sep_conv_3x3", 4), *flat["normal"][1:]], flat["reduce"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"operations": ("sep_conv_3x4",)}, "unknown operation 'sep_conv_3x4': did you mean 'sep_conv_3x3'"),
        ({"operations": ()}, "expected a list of names"),
        ({"operations": 5}, "expected a list of names"),
        ({"operations": ("none", ["none"])}, "unknown operation"),
        ({"operations": ("none", "none")}, "twice"),
        ({"blocks": 0}, "blocks = 0: expected a whole number from 1 to 10"),
        ({"channels": 0}, "channels = 0"),
        ({"channels": 16.0}, "channels = 16.0"),
        ({"channels": 10**9}, "channels = 1000000000"),
        ({"channels": 1, "stem": "imagenet"}, "the stem 'imagenet' needs 2 or more"),
        ({"cells": 2}, "cells = 2: expected a whole number from 3"),
        ({"classes": True}, "classes = True"),
        ({"in_channels": 0}, "in_channels = 0"),
        ({"resolution": -1}, "resolution = -1"),
        ({"inputs": "ful"}, "inputs = 'ful': did you mean 'full'"),
        ({"concat": "lose"}, "concat = 'lose': did you mean 'loose'"),
        ({"concat": ((2,),)}, "concat = .*2 list"),
        ({"concat": ((2,), (6,))}, "concat = "),
        ({"concat": ((2, 2), (3,))}, "concat = "),
        ({"concat": ((2,), ())}, "concat = "),
        ({"concat": ((True,), (2,))}, "concat = "),
        ({"concat": None}, "concat = None"),
        ({"stem": "imagnet"}, "stem = 'imagnet': did you mean 'imagenet'"),
        ({"shared": 1}, "shared = 1: expected true or false"),
        ({"increment": -1}, "increment = -1: expected a whole number from 0"),
        ({"squeeze": 0.25}, "squeeze = 0.25: expected a whole number from 0"),
    ],
)
def test_a_wrong_argument_is_named_in_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        CellSpace(**({"operations": EEEA} | arguments))
    assert "\n" not in str(error.value)


def test_a_genotype_of_another_space_is_refused() -> None:
    for use in (SMALL.build, SMALL.count, SMALL.canonical, SMALL.describe, SMALL.peak_bytes):
        with pytest.raises(InputError, match="3 genes: expected 32"):
            use((0, 0, 0))
        with pytest.raises(InputError, match="gene 2 is 9: expected 0 to 8"):
            use((0, 0, 9) + (0,) * 29)
        with pytest.raises(InputError, match="gene 31 is -1"):
            use((0,) * 31 + (-1,))


def test_nothing_loads_torch_before_a_network_is_built() -> None:
    code = (
        "import sys; from frugalnas import zoo; from frugalnas.objectives.count import COSTS;"
        "a = zoo.load('EA'); [cost(a.space, a.genotype) for cost in COSTS.values()]; a.space.canonical(a.genotype);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# The interchange format


def good() -> dict[str, Any]:
    return Architecture(SMALL, (0,) * 32).to_json()


def test_json_is_all_that_a_network_needs(tmp_path: Path) -> None:
    space = replace(SMALL, concat=((2, 3), (4,)), stem="imagenet", auxiliary=True, increment=3, squeeze=4)
    architecture = Architecture(space, tuple(size - 1 for size in space.domains))
    text = json.dumps(architecture.to_json())
    assert Architecture.from_json(json.loads(text)) == architecture
    network = zoo.create_model(json.loads(text))
    assert zoo.count(json.loads(text)) == space.count(architecture.genotype)
    assert str(network) == str(space.build(architecture.genotype))
    architecture.save(tmp_path / "net.json")
    assert Architecture.load(tmp_path / "net.json") == architecture
    for form in (architecture, text, tmp_path / "net.json", str(tmp_path / "net.json")):
        assert str(zoo.create_model(form)) == str(network)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("EEEA-D", "unknown architecture 'EEEA-D': did you mean"),
        ("{", "not JSON: "),
        ('{"format": ' + "[" * 100_000, "not JSON: "),
        ('{"version": ' + "1" * 5000 + "}", "not JSON: "),
        ('{"format": "other"}', "format is 'other'"),
        ("none.json", r"none\.json: No such file"),
        ([1], "an architecture is a list"),
    ],
)
def test_what_names_no_architecture_is_refused_in_one_line(name: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        zoo.create_model(name)
    assert "\n" not in str(error.value)


def test_arguments_with_a_default_may_be_left_out() -> None:
    data = good()
    data["space"] = {"type": "cell", "operations": list(EEEA)}
    assert Architecture.from_json(data).space == CellSpace(EEEA)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("format",), "other", "format is 'other'"),
        (("version",), 2, "version is 2: this release reads version 1"),
        (("version",), True, "version is True"),
        (("genotyp",), [], "unknown key 'genotyp'.*did you mean 'genotype'"),
        (("genotype",), None, "no list"),
        (("genotype",), "0000", "no list"),
        (("genotype",), [0] * 31, "31 genes: expected 32"),
        (("genotype",), [0] * 31 + [True], "gene 31 is True"),
        (("genotype",), [0.0] * 32, "gene 0 is 0.0"),
        (("genotype",), [9] + [0] * 31, "gene 0 is 9: expected 0 to 8"),
        (("genotype",), [0] * 31 + [-1], "gene 31 is -1"),
        (("space",), [], "space.type is None"),
        (("space", "type"), "sell", "space.type is 'sell': did you mean 'cell'"),
        (("space", "type"), ["cell"], "space.type is"),
        (("space", "chanels"), 16, "unknown key 'chanels' in space: did you mean 'channels'"),
        (("space", "channels"), "16", "channels = '16'"),
        (("space", "channels"), 10**12, "channels = 1000000000000"),
        (("space", "operations"), ["os.system"], "unknown operation 'os.system'"),
        (("space", "operations"), "skip_connect", "expected a list of names"),
        (("space", "concat"), [[1], "ab"], "concat = "),
    ],
)
def test_a_bad_file_is_refused_in_one_line(path: tuple[str, ...], value: Any, message: str) -> None:
    data = good()
    place = data if len(path) == 1 else data[path[0]]
    place[path[-1]] = value
    with pytest.raises(InputError, match=message) as error:
        Architecture.from_json(data)
    assert "\n" not in str(error.value)


def test_an_absurd_network_is_refused_before_it_is_built() -> None:
    data = good()
    data["space"] |= {"channels": 4096, "cells": 500}
    with pytest.raises(InputError, match="would have .* parameters: at most 1,000,000,000"):
        Architecture.from_json(data)
    data["space"] |= {"channels": 1024, "cells": 3, "resolution": 8192}
    with pytest.raises(InputError, match="would need .* bytes an image"):
        Architecture.from_json(data)


@pytest.mark.parametrize("data", [None, 3, "text", [1], {}, {"space": {}}])
def test_what_is_no_architecture_is_refused(data: Any) -> None:
    with pytest.raises(InputError):
        Architecture.from_json(data)
    missing = good()
    del missing["space"]["operations"]
    with pytest.raises(InputError, match=r"space\.operations is missing"):
        Architecture.from_json(missing)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b" " * 2_000_000, b"NaN"])
def test_a_file_that_is_no_architecture_is_named(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "net.json"
    path.write_bytes(text)
    with pytest.raises(InputError, match=r"net\.json: ") as error:
        Architecture.load(path)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"none\.json: No such file"):
        Architecture.load(tmp_path / "none.json")
