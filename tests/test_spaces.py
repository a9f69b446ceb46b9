"""What every space promises: the contract of `core.Space`, counts without building, and all that networks are for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import fields, replace
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from frugalnas import zoo
from frugalnas.core import Fidelity, Genotype, InputError
from frugalnas.drawing import svg_of, text_of
from frugalnas.export.source import renamed, source
from frugalnas.latency import measure, runs
from frugalnas.latency.onnx_file import model as onnx_model
from frugalnas.latency.program import of_network, of_piece
from frugalnas.layers.cost import Count, count, total
from frugalnas.layers.graph import Graph
from frugalnas.objectives.latency import pieces, pieces_of
from frugalnas.spaces import SPACES, AnySpace
from frugalnas.spaces.architecture import Architecture, resized
from test_counting import AliveBytes, elements_seen, on_meta
from test_latency import operations

SIZES = {
    "channels": st.integers(2, 9),
    "in_channels": st.sampled_from([1, 3]),
    "classes": st.integers(2, 12),
    "resolution": st.integers(1, 40),
}
ARGUMENTS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "cell": {
        "operations": st.just(("none", "skip_connect", "sep_conv_3x3", "max_pool_3x3")),
        "blocks": st.integers(1, 3),
        "cells": st.integers(3, 5),
        "concat": st.sampled_from(["all", "loose", "unused"]),
    },
    "cgp": {
        "rows": st.integers(1, 3),
        "cols": st.integers(1, 5),
        "levels_back": st.integers(1, 6),
        "widths": st.sampled_from([(1, 2), (1, 2, 4)]),
        "widest": st.integers(1, 5),
        "smallest": st.integers(1, 4),
        "multipliers": st.sampled_from([(), ("8s-0-0-0", "8s-2-0-5", "8s-2-2-0")]),
        "sharing": st.sampled_from(["per_layer", "global"]),
    },
    "macro": {"nodes": st.integers(2, 6), "decoder": st.sampled_from(["residual", "dense"])},
    "nasbench101": {"cells": st.integers(1, 2), "vertices": st.integers(3, 7)},
    "nasbench201": {"cells": st.integers(1, 2)},
    "nasbench_macro": {},
    "nats_size": {},
}
slow = settings(deadline=None, max_examples=10, suppress_health_check=[*HealthCheck])
every = pytest.mark.parametrize("kind", SPACES)


@st.composite
def cases(draw: st.DrawFn, kind: str, **fixed: Any) -> tuple[AnySpace, Genotype]:
    """A small space of the kind, and one of its genotypes; ones with many zeros have parts without effect."""
    space = SPACES[kind](**{name: draw(value) for name, value in (SIZES | ARGUMENTS[kind]).items()} | fixed)
    dense = draw(st.booleans())
    genes = (st.integers(0, size - 1) if dense or draw(st.booleans()) else st.just(0) for size in space.domains)
    return space, tuple(draw(gene) for gene in genes)


def image_of(space: AnySpace, number: int = 1) -> torch.Tensor:
    return torch.rand(number, space.in_channels, space.resolution, space.resolution)


def all_live(space: AnySpace, genotype: Genotype) -> bool:
    network = space.network(genotype)
    return not isinstance(network, Graph) or len(network.live) == len(network.nodes)


@every
@slow
@given(st.data())
def test_canonical_is_idempotent_inside_the_domains_and_costs_the_same(kind: str, data: st.DataObject) -> None:
    space, genotype = data.draw(cases(kind))
    one = space.canonical(genotype)
    assert len(one) == len(space.domains) and all(0 <= g < size for g, size in zip(one, space.domains, strict=True))
    assert space.canonical(one) == one
    assert space.count(one) == space.count(genotype)
    assert Counter(pieces(space.network(one))) == Counter(pieces(space.network(genotype)))


@every
@slow
@given(st.data())
def test_the_count_is_that_of_the_network(kind: str, data: st.DataObject) -> None:
    space, genotype = data.draw(cases(kind))
    counted = space.count(genotype)
    network, image = on_meta(space, genotype)
    assert counted.params == sum(parameter.numel() for parameter in network.parameters())
    tensors = network.state_dict().values()
    assert counted.model_bytes == sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    if all_live(space, genotype):
        with FlopCounterMode(display=False) as flops, torch.no_grad():
            network(image)
        assert counted.macs == flops.get_total_flops() / 2
        assert counted.not_counted() == elements_seen(network, image)


@every
@slow
@given(st.data())
def test_peak_memory_is_what_is_alive(kind: str, data: st.DataObject) -> None:
    space, genotype = data.draw(cases(kind))
    network, image = space.build(genotype).eval(), image_of(space)
    with AliveBytes(network, image) as alive, torch.no_grad():
        network(image)
    assert space.peak_bytes(genotype) == alive.most


@every
@pytest.mark.parametrize("resolution", [8, 28, 32, 64])
@settings(slow, max_examples=3)
@given(st.data())
def test_a_network_trains_at_usual_sizes_and_its_parts_belong_together(
    kind: str, resolution: int, data: st.DataObject
) -> None:
    space, genotype = data.draw(cases(kind, resolution=resolution))
    network, images = space.build(genotype), image_of(space, 4)
    network.drop_path = 0.3
    F.cross_entropy(network(images), torch.arange(4) % space.classes).backward()
    assert network.classifier.weight.grad is not None and network.classifier.weight.grad.isfinite().all()
    network.eval()
    with torch.no_grad():
        logits, maps = network(images), network.features(images)
        assert logits.shape == (4, space.classes)
        torch.testing.assert_close(network.classifier(network.embed(images)), logits)
        torch.testing.assert_close(maps[-1].mean((2, 3)), network.embed(images))
        sides = [each.shape[2] for each in maps]
        assert sides == [-(-resolution // 2**scale) for scale in range(len(maps))]


@every
@slow
@given(st.data())
def test_a_fidelity_changes_the_size_of_the_networks_only(kind: str, data: st.DataObject) -> None:
    space, genotype = data.draw(cases(kind))
    assert space.at(Fidelity()) == space
    other = space.at(Fidelity(width=12, resolution=17, depth=4))
    assert (other.channels, other.resolution, other.domains) == (12, 17, space.domains)
    assert getattr(other, "cells", 4) == 4
    kept = {"channels", "resolution", "cells"}
    assert all(getattr(other, f.name) == getattr(space, f.name) for f in fields(space) if f.name not in kept)
    assert other.build(genotype)(image_of(other, 2)).shape == (2, space.classes)


@every
def test_a_genotype_of_another_space_and_wrong_sizes_are_refused(kind: str) -> None:
    space = SPACES[kind](**({"operations": ("skip_connect",)} if kind == "cell" else {}))
    zeros = (0,) * len(space.domains)
    for wrong in (zeros[1:], (*zeros, 0), (-1, *zeros[1:]), (*zeros[:-1], space.domains[-1])):
        for function in (space.canonical, space.network, space.count, space.peak_bytes, space.describe):
            with pytest.raises(InputError, match="expected"):
                function(wrong)
    for name in ("channels", "classes", "in_channels", "resolution"):
        for value in (0, 10**9, 1.5, True, "8"):
            with pytest.raises(InputError, match=name):
                replace(space, **{name: value})


@every
@slow
@given(st.data())
def test_json_is_all_that_a_network_needs_and_people_see_it(kind: str, data: st.DataObject) -> None:
    space, genotype = data.draw(cases(kind))
    found = Architecture(space, genotype)
    again = Architecture.parse(json.dumps(found.to_json()))
    assert again == found and again.space.count(genotype) == space.count(genotype)
    assert zoo.create_model(found.to_json(), num_classes=7, channels=4).classifier.out_features == 7
    assert space.summary in found.size() and f"params {space.count(genotype).params:,} " in found.size()
    parts = space.describe(genotype)
    assert "output" in text_of(parts) and svg_of(parts).count("<rect") >= 2


HOSTILE = [None, True, -1, 10**30, float("nan"), float("inf"), "e" * 3000, "x\ny", "\ud800", [], {}, [[1]], [{}] * 999]


@every
def test_an_untrusted_file_is_refused_in_one_short_line(kind: str) -> None:
    space = SPACES[kind](**({"operations": ("skip_connect",)} if kind == "cell" else {}))
    good = Architecture(space, (0,) * len(space.domains)).to_json()
    bad = [good | {key: value} for key in good for value in HOSTILE]
    for key, usual in good["space"].items():
        values = [value for value in HOSTILE if value != usual and (value is not True or type(usual) is not bool)]
        bad += [good | {"space": good["space"] | {key: value}} for value in values]
    for content in bad:
        with pytest.raises(InputError) as error:
            Architecture.parse(json.dumps(content))
        assert "\n" not in str(error.value) and len(str(error.value)) < 600


@every
def test_lists_in_lists_are_refused_at_any_depth(kind: str) -> None:
    space = SPACES[kind](**({"operations": ("skip_connect",)} if kind == "cell" else {}))
    good = Architecture(space, (0,) * len(space.domains)).to_json()
    for inner in (None, "channels", "concat"):
        content = good | ({"space": good["space"] | {inner: "@"}} if inner else {"genotype": "@"})
        for depth in range(500, 1100, 2):
            with pytest.raises(InputError):
                Architecture.parse(json.dumps(content).replace('"@"', "[" * depth + "]" * depth))


@every
def test_a_size_that_a_space_lacks_is_named(kind: str) -> None:
    space = SPACES[kind](**({"operations": ("skip_connect",)} if kind == "cell" else {}))
    assert resized(space, auxiliary=False, channels=None, stem=None) == space
    assert resized(space, channels=8).channels == 8
    with pytest.raises(InputError, match=f"leaves = 3: networks of the space '{kind}' have none, only .*channels"):
        resized(space, leaves=3)


@every
@slow
@given(st.data())
def test_the_pieces_of_a_network_cost_what_it_runs_and_are_those_of_the_space(kind: str, data: st.DataObject) -> None:
    space, genotype = data.draw(cases(kind))
    found = list(pieces(space.network(genotype)))
    counted = [count(piece.layers, piece.inputs[0]) for piece in found if piece.kind == "layers"]
    sums = [Count(add=prod(piece.output)) for piece in found if piece.kind == "sum"]
    if all_live(space, genotype):
        assert total(*counted, *sums) == space.count(genotype)
    if kind == "cgp":
        with pytest.raises(InputError, match="latency.source = 'measured'"):
            pieces_of(space)
        return
    of_space = pieces_of(space)
    assert all(of_space[piece.name] == piece for piece in found)


@every
@settings(slow, max_examples=6)
@given(st.data())
def test_programs_compute_what_networks_compute(kind: str, data: st.DataObject) -> None:
    space, genotype = data.draw(cases(kind))
    plan = space.network(genotype)
    network = operations(runs.network_run(space, genotype, "torch", 1))
    program = of_network(plan)
    assert operations(measure.torch_run(program)) == network
    parts: Counter[tuple[str, tuple[int, ...]]] = Counter()
    for piece in pieces(plan):
        parts += operations(measure.torch_run(of_piece(piece)))
    idle = ("zeros", "slice", "as_strided")  # which take next to no time
    none = {key for key in (*network, *parts) if any(word in key[0] for word in idle)}
    assert {k: v for k, v in parts.items() if k not in none} == {k: v for k, v in network.items() if k not in none}
    assert onnx_model(program)


@every
@settings(slow, max_examples=4)
@given(st.data())
def test_the_source_code_computes_the_same(tmp_path_factory: Any, kind: str, data: st.DataObject) -> None:
    space, genotype = data.draw(cases(kind))
    network = space.build(genotype).eval()
    code = source(Architecture(space, genotype))
    file = tmp_path_factory.mktemp("code") / "network.py"
    file.write_text(code)
    ruff = str(Path(sys.executable).with_name("ruff"))
    for check in (("format", "--check"), ("check",)):
        done = subprocess.run([ruff, *check, "--isolated", file], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    made: dict[str, Any] = {}
    exec(code, made)
    other = made["Network"]().eval()
    other.load_state_dict({renamed(key): each for key, each in network.state_dict().items()})
    images = image_of(space, 2)
    with torch.no_grad():
        torch.testing.assert_close(other(images), network(images))
