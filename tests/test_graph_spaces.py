"""NSGA-Net's macro space and NAS-Bench-201: published sizes, repair, isomorphism, and the way from search to device."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from frugalnas import launch
from frugalnas.core import Fidelity, InputError
from frugalnas.drawing import svg_of, text_of
from frugalnas.layers.graph import Graph, count_graph
from frugalnas.layers.ops import Zero
from frugalnas.layers.plan import MaxPool
from frugalnas.spaces.macro import MacroSpace
from frugalnas.spaces.nasbench201 import EDGES, OPERATIONS, NasBench201
from frugalnas.spaces.phase import canonical_phase, repaired
from frugalnas.variation import random_genotype
from test_counting import AliveBytes
from tiny import OneProcess, images, run

PUBLISHED = [
    [[1], [0, 0], [0, 1, 0], [0, 1, 1, 1], [1, 0, 0, 1, 1], [0]],
    [[0], [0, 0], [0, 1, 0], [0, 1, 0, 1], [1, 1, 1, 1, 1], [0]],
    [[0], [0, 1], [1, 0, 1], [1, 0, 1, 1], [1, 0, 0, 1, 1], [0]],
]  # of NSGA-Net's validation/train.py: 3.37 M parameters
ENTRIES = 2 * 128 * 128  # weights of the convolutions that the released code makes and never calls


# The macro space


def test_the_published_network_has_the_published_size() -> None:
    space = MacroSpace(decoder="dense", channels=128)
    genotype = space.encode(PUBLISHED)
    assert space.decode(genotype) == PUBLISHED
    params = space.count(genotype).params
    assert params == 3_337_482 and params + ENTRIES == 3_370_250
    assert sum(each.numel() for each in space.build(genotype).parameters()) == params
    assert space.count(genotype).macs == 1_477_313_792  # with padding; without it, and rounded down, what is published:
    assert published_macs(space.at(Fidelity(resolution=30)).network(genotype)) == pytest.approx(1290.4e6, rel=1e-5)


def published_macs(graph: Graph) -> int:
    """The first convolution makes 30x30 pixels there, pooling 15x15 and 7x7."""
    floors = tuple(
        replace(node, layers=(MaxPool(2, 2),)) if isinstance(node.layers[0], MaxPool) else node for node in graph.nodes
    )
    return count_graph(replace(graph, nodes=floors)).macs


def test_phases_are_repaired() -> None:
    space = MacroSpace(nodes=4)
    genotype = space.encode(
        [
            [[0], [0, 0], [0, 1, 0], [0]],  # node 4 reads node 2; nodes 1 and 3 are isolated
            [[0], [0, 0], [0, 0, 0], [1]],  # no connection: the phase is left out, whatever its last bit
            [[0], [1, 1], [1, 0, 0], [1]],  # 3 reads 1 and 2, 4 reads 1; the input goes on
        ]
    )
    assert text_of(space.describe(genotype)).splitlines() == [
        "phase 1",
        "  node 2 = conv_3x3(image)",
        "  node 4 = conv_3x3(node 2)",
        "  output  = node 4",
        "phase 2",
        "  node 1 = conv_3x3(phase 1)",
        "  node 2 = conv_3x3(phase 1)",
        "  node 3 = conv_3x3(node 1, node 2)",
        "  node 4 = conv_3x3(node 1)",
        "  output  = concat(phase 1, node 3, node 4)",
    ]
    drawn = svg_of(space.describe(genotype))
    assert drawn.count(">conv_3x3</text>") == 6 and ">image</text>" in drawn and ">phase 1</text>" in drawn
    assert len(re.findall(r"M\d+ \d+H", drawn)) == (2 + 1) + (5 + 3)  # what is read, and what goes to the output


def test_a_network_without_phases_sees_the_mean_of_the_image() -> None:
    space = MacroSpace(classes=5)
    nothing = (0,) * len(space.domains)
    assert space.count(nothing).params == (3 + 1) * 5 and "image" in text_of(space.describe(nothing))
    network = space.build(nothing).eval()
    image = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(network(image), network.classifier(image.mean((2, 3))))


def test_drop_path_leaves_networks_alone_where_no_other_path_leads_past() -> None:
    space = MacroSpace(nodes=3, channels=4, resolution=8)
    network, images_ = space.build((1, 1, 1, 1) * 3).train(), torch.rand(16, 3, 8, 8)
    kept = network(images_)
    network.drop_path = 0.9
    torch.testing.assert_close(network(images_), kept)


@pytest.mark.parametrize(("decoder", "width"), [("residual", (4, 8, 16)), ("dense", (4, 4, 4))])
def test_the_decoders_have_the_published_widths_and_pool_between_phases(decoder, width) -> None:
    space = MacroSpace(nodes=3, decoder=decoder, channels=4, resolution=12)
    maps = space.build((1, 1, 1, 1) * 3).eval().features(torch.rand(1, 3, 12, 12))
    assert [tuple(each.shape[1:]) for each in maps] == [(w, s, s) for w, s in zip(width, (12, 6, 3), strict=True)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("decoder", ["residual", "dense"])
def test_macro_networks_compute_what_the_genotype_says(decoder, seed: int) -> None:
    """By hand: entry, nodes and end of each phase come in their order; what is read is concatenated."""
    space = MacroSpace(nodes=4, decoder=decoder, channels=4, resolution=9)
    genotype = random_genotype(np.random.default_rng(seed), space.domains)
    network, x = space.build(genotype).eval(), torch.rand(2, 3, 9, 9)
    images_, layers, phases = x, iter(network.nodes), [p for p in space.decode(genotype) if any(map(any, p[:-1]))]
    with torch.no_grad():
        for place, (*rows, (skip,)) in enumerate(phases):
            x = torch.nn.functional.max_pool2d(x, 2, ceil_mode=True) if place else x
            next(layers) if place else None
            x = next(layers)(x) if place == 0 or decoder == "residual" else x
            reads = [[], *([low for low, bit in enumerate(row) if bit] for row in rows)]
            read = {low for row in reads for low in row}
            states = {}
            for node, lows in enumerate(reads):
                if lows or node in read:
                    states[node] = next(layers)(torch.cat([states[low] for low in lows] or [x], 1))
            x = next(layers)(torch.cat([x] * skip + [made for node, made in states.items() if node not in read], 1))
        torch.testing.assert_close(network(images_), network.classifier(x.mean((2, 3))))


@pytest.mark.parametrize("nodes", [2, 3, 4])
def test_canonical_is_the_same_for_just_the_isomorphic_phases(nodes: int) -> None:
    """Against all orders of the nodes of all phases."""
    bits = nodes * (nodes - 1) // 2
    phases = [(*genes, skip) for genes in itertools.product((0, 1), repeat=bits) for skip in (0, 1)]
    shapes: dict[tuple[int, ...], set[object]] = {}
    for genes in phases:
        shapes.setdefault(canonical_phase(genes, nodes), set()).add(invariant(genes, nodes))
    assert all(len(same) == 1 for same in shapes.values())
    assert len({next(iter(same)) for same in shapes.values()}) == len(shapes)
    for one in shapes:
        assert one == min(genes for genes in phases if canonical_phase(genes, nodes) == one)


def invariant(genes: tuple[int, ...], nodes: int) -> object:
    """The smallest list of connections of the repaired phase over all numberings of its nodes."""
    phase = repaired(genes, nodes)
    if not phase.reads:
        return "left out"
    there = [*phase.reads]
    return min(
        (
            sorted((new[node], sorted(new[read] for read in reads)) for node, reads in phase.reads.items()),
            sorted(new[node] for node in phase.output),
        )
        for order in itertools.permutations(range(1, len(there) + 1))
        for new in [{0: 0, **dict(zip(there, order, strict=True))}]
    ).__repr__()


def test_canonical_moves_phases_without_effect_and_keeps_the_order_of_the_others() -> None:
    space = MacroSpace(nodes=3)
    chain, wide, nothing = (1, 0, 1, 0), (1, 1, 0, 1), (0, 0, 0, 1)
    one = space.canonical((*nothing, *chain, *wide))
    assert one == space.canonical((*chain, *nothing, *wide)) == space.canonical((*chain, *wide, *nothing))
    assert one[:4] == (0, 0, 0, 0) and one != space.canonical((*nothing, *wide, *chain))


def test_random_phases_of_six_nodes_keep_their_representative_when_renumbered() -> None:
    rng, nodes = np.random.default_rng(0), 6
    for _ in range(100):
        edges = np.triu(rng.random((nodes, nodes)) < rng.uniform(0.1, 0.9), 1)
        order = sorted(range(nodes), key=lambda node: (longest(edges, node), rng.random()))  # keeps every edge forward
        moved = edges[np.ix_(order, order)]
        assert not np.tril(moved).any()
        assert canonical_phase(bits_of(edges), nodes) == canonical_phase(bits_of(moved), nodes)


def longest(edges, node) -> int:
    return max((1 + longest(edges, before) for before in np.flatnonzero(edges[:, node])), default=0)


def bits_of(edges) -> tuple[int, ...]:
    return (*(int(edges[low, high]) for high in range(1, len(edges)) for low in range(high)), 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"decoder": "densse"}, "decoder = 'densse': did you mean 'dense'"),
        ({"nodes": 1}, "nodes = 1: expected a whole number from 2 to 10"),
    ],
)
def test_wrong_arguments_are_named(arguments, message) -> None:
    with pytest.raises(InputError, match=message):
        MacroSpace(**arguments)


def test_a_wrong_number_of_bits_is_named() -> None:
    with pytest.raises(InputError, match="expected 3 phases with rows of 1, 2, 3, 1 bits"):
        MacroSpace(nodes=4).encode(PUBLISHED)
    with pytest.raises(InputError, match="gene 0 is 2: expected 0 to 1"):
        MacroSpace(nodes=2).encode([[[2], [0]]] * 3)


# NAS-Bench-201

BEST = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"


@pytest.mark.parametrize(
    ("text", "params", "macs"),
    [
        (
            "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
            1_531_546,
            220_119_680,
        ),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", 73_306, 7_783_040),
        (BEST, 1_073_466, 153_272_960),
    ],
)
def test_networks_of_nasbench201_have_the_published_size(text: str, params: int, macs: int) -> None:
    space = NasBench201()
    counted = space.count(space.from_string(text))
    assert (counted.params, counted.macs) == (params, macs)


def test_the_benchmark_s_strings_are_genotypes() -> None:
    space, rng = NasBench201(), np.random.default_rng(0)
    assert space.from_string(BEST) == (3, 3, 3, 1, 3, 2)
    for genotype in (random_genotype(rng, space.domains) for _ in range(50)):
        text = space.to_string(genotype)
        assert space.from_string(f" {text}\n") == genotype
        words = [word for node in text.split("+") for word in node.strip("|").split("|")]
        assert words == [f"{OPERATIONS[g]}~{source}" for g, (source, _) in zip(genotype, EDGES, strict=True)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no architecture: expected"),
        ("|none~0|", "is no architecture"),
        (BEST.replace("~2", "~1"), "is no architecture"),
        (BEST.replace("+", ""), "is no architecture"),
        (BEST + "|none~0|", "is no architecture"),
        (BEST.replace("skip_connect", "skip_conect"), "unknown operation 'skip_conect' .*did you mean 'skip_connect'"),
    ],
)
def test_other_strings_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        NasBench201().from_string(text)


def test_an_edge_to_a_node_that_nobody_reads_is_counted_but_does_not_run() -> None:
    space = NasBench201(channels=4, cells=1, resolution=8)
    genotype = (3, 0, 0, 1, 0, 0)  # node 1 has a convolution, the output is the input
    graph = space.network(genotype)
    assert len(graph.nodes) - len(graph.live) == 3 * 2  # the convolution, and the zeros of node 2, in three cells
    assert space.count(genotype).params > space.count((0, 0, 0, 1, 0, 0)).params
    network = space.build(genotype)
    network(torch.rand(2, 3, 8, 8)).sum().backward()
    idle = [name for name, each in network.named_parameters() if each.grad is None]
    assert len(idle) == 3 * 3 and sum(each.numel() for each in network.parameters()) == space.count(genotype).params


@pytest.mark.parametrize("seed", range(8))
def test_networks_of_nasbench201_compute_what_the_genotype_says(seed: int) -> None:
    """By hand: the modules of the edges come in their order; a node adds up its edges, the last one is the output."""
    space = NasBench201(channels=4, cells=2, resolution=9)
    genotype = random_genotype(np.random.default_rng(seed), space.domains)
    network, images_ = space.build(genotype).eval(), torch.rand(2, 3, 9, 9)
    layers = iter([m for m in network.nodes if not isinstance(m, torch.nn.Identity) and not isinstance(m[0], Zero)])
    with torch.no_grad():
        x = next(layers)(images_)
        for stage in range(3):
            x = next(layers)(x) + next(layers)(x) if stage else x
            for _ in range(2):
                states = [x]
                for node in (1, 2, 3):
                    states.append(torch.zeros_like(x))
                    for gene, (source, to) in zip(genotype, EDGES, strict=True):
                        if to == node and gene:
                            states[node] = states[node] + (
                                states[source] if gene == 1 else next(layers)(states[source])
                            )
                x = states[3]
        logits = network.classifier(next(layers)(x).mean((2, 3)))
        torch.testing.assert_close(network(images_), logits)


def test_drop_path_drops_edges_for_single_samples_in_training_only() -> None:
    space = NasBench201(channels=4, cells=1, resolution=8)
    network, images_ = space.build((3, 3, 3, 1, 3, 3)), torch.rand(64, 3, 8, 8)
    network.drop_path = 0.9
    with torch.no_grad():
        kept = network.eval()(images_)
        torch.testing.assert_close(network(images_), kept)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        network.training = True
        dropped = network(images_)
    changed = (dropped - kept).abs().amax(1) > 1e-6
    assert changed.float().mean() > 0.9


def test_the_last_map_goes_with_its_mean() -> None:
    """Of many classes and one pixel, where nothing needs as much memory as the logits."""
    space = NasBench201(channels=2, cells=1, classes=100, resolution=1)
    genotype = (0, 0, 0, 1, 0, 0)
    network, image = space.build(genotype).eval(), torch.zeros(1, 3, 1, 1)
    with AliveBytes(network, image) as alive, torch.no_grad():
        network(image)
    assert space.peak_bytes(genotype) == alive.most == 4 * (3 + 8 + 100)


# From the search to the device

MACRO = (
    *("--method", "random", "--trials", "3", "--seed", "1", "--set", "space.type=macro", "--set", "space.nodes=4"),
    *("--set", "space.channels=4", "--set", "task.recipe.batch=16", "--set", "estimators.0.fidelity.width=2"),
)


SEARCH = ("search", "--data", "good.npz", *MACRO)
TRAIN = ("train", "net.json", "--data", "good.npz", "--epochs", "1")
MACRO_JSON = {
    "format": "frugalnas/architecture",
    "version": 1,
    "space": {"type": "macro", "nodes": 2, "channels": 4},
    "genotype": [1, 0] * 3,
}


def said(capsys, *arguments, code: int = 0) -> str:
    assert run(*arguments) == code, capsys.readouterr().err
    found = capsys.readouterr()
    return found.err if code else found.out


def test_a_macro_network_goes_the_whole_way(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(launch, "executor_of", OneProcess)
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "good.npz")
    options = ("--data", "good.npz", *MACRO, "--set", "space.decoder=dense")
    assert "genotypes" in said(capsys, "inspect", *options[:2], *options[8:])
    searched = json.loads(said(capsys, "search", "--out", "run", "--json", *options))
    page = (tmp_path / "run" / "report.html").read_text()
    assert "conv_3x3" in page and "phase 1" in page
    assert "3 networks rated" in said(capsys, "report", "run")
    trial = max(searched["front"], key=lambda entry: entry["values"]["params"])
    shown = said(capsys, "show", "run", "--trial", trial["trial"], "--svg", "net.svg")
    assert "up to 3 phases of 4 nodes, dense, 4 channels, input 1x8x8" in shown and "phase 1" in shown
    assert ">conv_3x3</text>" in (tmp_path / "net.svg").read_text()
    given = said(capsys, "show", "run", "--trial", trial["trial"], "--json")
    (tmp_path / "net.json").write_text(given)
    assert json.loads(given)["space"]["decoder"] == "dense"

    recipe = ("--epochs", "1", "--set", "recipe.batch=16")
    said(capsys, "train", "net.json", "--data", "good.npz", *recipe, "--out", "model")
    assert f"{trial['values']['params']:,.0f}" in (tmp_path / "model" / "model.html").read_text()
    assert "120 images" in said(capsys, "evaluate", "model", "--data", "good.npz")
    formats = json.loads(said(capsys, "export", "model", "--format", "onnx", "--format", "python", "--json"))
    assert [each["error"] for each in formats["exports"]] == ["", ""]


def test_latency_of_a_macro_space_is_predicted(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(launch, "executor_of", OneProcess)
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "good.npz")
    said(capsys, "latency", "build", "--data", "good.npz", *MACRO[:2], *MACRO[6:], "--seconds", "0", "--out", "t.json")
    limits = ("--set", "latency.table=t.json", "--set", 'objectives=["error", "latency_ms"]')
    searched = json.loads(said(capsys, "search", "--data", "good.npz", "--out", "run", "--json", *MACRO, *limits))
    assert all(entry["values"]["latency_ms"] > 0 for entry in searched["front"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*SEARCH, "--set", "space.auxiliary=true"), "unknown key 'space.auxiliary'"),
        ((*SEARCH, "--set", "task.recipe.auxiliary=0.4"), "is for no network of the space 'macro'"),
        ((*TRAIN, "--set", "recipe.auxiliary=0.4"), "auxiliary = True: networks of the space 'macro'"),
        ((*TRAIN, "--cells", "9"), "cells = 9: networks of the space 'macro' have none, only nodes"),
    ],
)
def test_what_macro_networks_lack_is_named(arguments, message, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "good.npz")
    (tmp_path / "net.json").write_text(json.dumps(MACRO_JSON))
    assert message in said(capsys, *arguments, code=2)
