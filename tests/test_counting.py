"""Counts and memory from formulas against the network itself, and against published numbers."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from frugalnas import zoo
from frugalnas.core import InputError, Objective, Problem, screen
from frugalnas.layers.cost import Count
from frugalnas.layers.plan import OPERATIONS
from frugalnas.objectives.count import COSTS
from frugalnas.spaces.cell import OPERATION_LISTS, CellSpace

ALL = tuple(OPERATIONS)


@st.composite
def cases(draw: st.DrawFn) -> tuple[CellSpace, tuple[int, ...]]:
    """A small space of any kind, and one of its genotypes."""
    blocks = draw(st.integers(1, 4))
    shared = draw(st.booleans())
    lists = st.lists(st.integers(0, 1 + blocks), min_size=1, max_size=3, unique=True).map(tuple)
    policies = st.sampled_from(["all", "loose", "unused"])
    space = CellSpace(
        operations=draw(st.sampled_from([ALL, ("none", "skip_connect", "inv_res_3x3"), *OPERATION_LISTS.values()])),
        blocks=blocks,
        inputs=draw(st.sampled_from(["narrow", "full"])),
        concat=draw(st.one_of(policies, st.tuples(*[lists] * (1 if shared else 2)))),
        shared=shared,
        channels=draw(st.integers(2, 9)),
        cells=draw(st.integers(3, 7)),
        stem=draw(st.sampled_from(["small", "imagenet"])),
        in_channels=draw(st.sampled_from([1, 3])),
        classes=draw(st.integers(2, 12)),
        resolution=draw(st.integers(1, 40)),
        auxiliary=draw(st.booleans()),
        increment=draw(st.sampled_from([0, 0, 3])),
        squeeze=draw(st.sampled_from([0, 0, 4, 16])),
    )
    return space, tuple(draw(st.integers(0, size - 1)) for size in space.domains)


slow = settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])


def on_meta(space: CellSpace, genotype: tuple[int, ...]) -> tuple[nn.Module, torch.Tensor]:
    with torch.device("meta"):
        network = space.build(genotype).eval()
        return network, torch.empty(1, space.in_channels, space.resolution, space.resolution)


def elements_seen(network: nn.Module, image: torch.Tensor) -> dict[str, int]:
    """Elements that pass the layers of each kind in one inference, by hooks."""
    seen = {"batch_norm": 0, "relu": 0, "pool": 0, "add": 0, "gate": 0}
    kinds = {
        nn.BatchNorm2d: "batch_norm",
        nn.ReLU: "relu",
        **dict.fromkeys((nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d), "pool"),
    }

    def note(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen[kinds[type(module)]] += inputs[0].numel()

    with torch.no_grad():
        seen["pool"] += network.features(image)[-1].numel()  # the global pooling is a function, no module
        handles = [module.register_forward_pre_hook(note) for module in network.modules() if type(module) in kinds]
        with Elements() as made:
            network(image)
        for handle in handles:
            handle.remove()
    return {kind: elements for kind, elements in (seen | made.seen).items() if elements}


class Elements(TorchDispatchMode):
    """Elements of all sums of two maps, and of all products and sigmoids."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = {"add": 0, "gate": 0}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.add.Tensor:
            self.seen["add"] += result.numel()
        elif func in (torch.ops.aten.mul.Tensor, torch.ops.aten.sigmoid.default):
            self.seen["gate"] += result.numel()
        return result


class AliveBytes(TorchDispatchMode):
    """The most bytes of float storages alive at once: the image, and what is made while the mode is on."""

    def __init__(self, network: nn.Module, image: torch.Tensor) -> None:
        super().__init__()
        self.now = self.most = image.untyped_storage().nbytes()
        tensors = (*network.parameters(), *network.buffers(), image)
        self.known = {tensor.untyped_storage()._cdata for tensor in tensors}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float32:
                self._note(tensor.untyped_storage())
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self.known:
            self.known.add(key)
            self.now += storage.nbytes()
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._gone, key, storage.nbytes())

    def _gone(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


@slow
@given(cases())
def test_the_count_is_that_of_the_network(case: tuple[CellSpace, tuple[int, ...]]) -> None:
    space, genotype = case
    counted = space.count(genotype, auxiliary=space.auxiliary)
    network, image = on_meta(space, genotype)
    assert counted.params == sum(parameter.numel() for parameter in network.parameters())
    tensors = network.state_dict().values()
    assert counted.model_bytes == sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    assert counted.norms == sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@slow
@given(cases())
def test_the_work_is_that_of_the_network(case: tuple[CellSpace, tuple[int, ...]]) -> None:
    space, genotype = case
    counted = space.count(genotype)
    network, image = on_meta(space, genotype)
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        network(image)
    assert counted.macs == flops.get_total_flops() / 2
    assert counted.not_counted() == elements_seen(network, image)


@slow
@given(cases())
def test_peak_memory_is_what_is_alive(case: tuple[CellSpace, tuple[int, ...]]) -> None:
    space, genotype = case
    network = space.build(genotype).eval()
    image = torch.zeros(1, space.in_channels, space.resolution, space.resolution)
    with AliveBytes(network, image) as alive, torch.no_grad():
        network(image)
    assert space.peak_bytes(genotype) == alive.most


def test_a_state_passed_on_unchanged_is_held_once() -> None:
    """Six blocks of an identity and a `none` share the memory of state 0; three more add them up."""
    space = CellSpace(("none", "skip_connect"), 9, "full", ((10,), (10,)), channels=8, cells=3, resolution=8)
    half = (0, 0, 1, 0) * 6 + tuple(gene for state in (2, 4, 6) for gene in (1, state, 1, state + 1))
    network, image = space.build(half + half).eval(), torch.zeros(1, 3, 8, 8)
    with AliveBytes(network, image) as alive, torch.no_grad():
        network(image)
    assert space.peak_bytes(half + half) == alive.most


def test_peak_memory_of_a_gate_is_its_input_its_factors_and_its_result() -> None:
    """With nine blocks that do next to nothing, and on maps this small, nothing needs as much as the first cell's."""
    sizes = {"channels": 8, "cells": 3, "resolution": 2}
    concat = (tuple(range(2, 11)), (2,))
    space = CellSpace(("none", "skip_connect"), 9, "full", concat, **sizes, squeeze=4)
    half = (0, 0, 1, 0) * 9
    network, image = space.build(half + half).eval(), torch.zeros(1, 3, 2, 2)
    with AliveBytes(network, image) as alive, torch.no_grad():
        network(image)
    assert space.peak_bytes(half + half) == alive.most
    assert alive.most > replace(space, squeeze=0).peak_bytes(half + half)


def test_a_part_of_a_map_keeps_all_of_it() -> None:
    """2x2 pooling of stride 1 makes a row and a column too many and leaves them out, but not of the memory."""
    space = CellSpace(
        ("none", "max_pool_2x2"), 6, "full", (tuple(range(2, 8)), (2,)), channels=8, cells=3, resolution=2
    )
    half = (1, 0, 0, 0) * 6
    network, image = space.build(half + half).eval(), torch.zeros(1, 3, 2, 2)
    with AliveBytes(network, image) as alive, torch.no_grad():
        network(image)
    assert space.peak_bytes(half + half) == alive.most


def test_peak_memory_of_a_published_network() -> None:
    architecture = zoo.load("EEEA-A", cells=6, resolution=30)
    network = architecture.space.build(architecture.genotype).eval()
    image = torch.zeros(1, 3, 30, 30)
    with AliveBytes(network, image) as alive, torch.no_grad():
        network(image)
    assert architecture.space.peak_bytes(architecture.genotype) == alive.most


IMAGENET: dict[str, Any] = {"classes": 1000, "cells": 14, "stem": "imagenet", "resolution": 224}
PROXY: dict[str, Any] = {"channels": 16, "cells": 8}


@pytest.mark.parametrize(
    ("name", "settings", "params", "macs"),
    [
        ("EA", {}, 2_925_046, 466_618_176),
        ("EA", {"classes": 100}, 2_951_056, None),
        ("EEEA-A", {}, 1_769_230, 271_008_576),
        ("EEEA-A", {"classes": 100}, 1_795_240, None),
        ("EEEA-C", {}, 3_513_358, 562_696_416),
        ("EEEA-C", {"classes": 100}, 3_552_328, None),
        ("RelativeNAS", {}, 3_928_222, 616_832_640),
        ("RelativeNAS", {"classes": 100}, 3_980_152, 616_884_480),
        ("RelativeNAS", {"channels": 46, **IMAGENET}, 5_050_029, 562_973_760),
        ("RelativeNAS", {"auxiliary": True}, 4_404_648, None),
        ("RelativeNAS", {"classes": 100, "auxiliary": True}, 4_525_788, None),
        ("RelativeNAS", {"channels": 46, **IMAGENET, "auxiliary": True}, 6_306_709, None),
        ("DARTS-V1", {}, 3_169_414, None),
        ("DARTS-V2", {}, 3_349_342, 528_359_040),
        ("DARTS-V2", {"classes": 100}, 3_401_272, None),
        ("DARTS-V2", {"channels": 48, **IMAGENET}, 4_718_752, 529_911_552),
        ("NSGANet", {}, 3_262_360, None),
        ("NSGANet-pyramid-C26-SE", {}, 1_974_364, None),
        ("NSGANet-pyramid-C34", {}, 2_196_980, None),
        ("NSGANet-pyramid-C36-SE", {}, 4_053_502, None),
        ("EcoNAS", {}, 3_180_862, None),
        ("EcoNAS", {"channels": 48, **IMAGENET}, 4_548_832, None),
        ("NASNet-A-darts", {}, 3_061_738, None),
        ("NASNet-A-darts", {"channels": 33}, 3_245_989, None),
        ("NASNet-A-darts", {"channels": 36}, 3_830_950, None),
        ("AmoebaNet-A-darts", {}, 3_145_078, None),
        ("AmoebaNet-A-darts", {"channels": 32}, 2_509_674, None),
        ("PNASNet-5", {}, 3_176_602, 562_111_872),
        ("PNASNet-5", {"cells": 11}, 4_271_002, 675_210_624),
    ],
)
def test_published_sizes_are_met(name: str, settings: dict[str, Any], params: int, macs: int | None) -> None:
    """Integers counted on the reference model classes of the authors' repositories, independently of this package."""
    architecture = zoo.load(name, **settings)
    counted = architecture.space.count(architecture.genotype, auxiliary=architecture.space.auxiliary)
    assert counted.params == params
    assert macs is None or counted.macs == macs


@pytest.mark.parametrize(
    ("name", "settings", "quantity", "millions"),
    [
        ("EA", PROXY, "params", "0.274"),
        ("EA", PROXY, "macs", "47.4"),
        ("EEEA-A", PROXY, "params", "0.158"),
        ("EEEA-A", PROXY, "macs", "25.8"),
        ("EEEA-C", PROXY, "params", "0.301"),
        ("EEEA-C", PROXY, "macs", "52.8"),
        ("DARTS-V1", {}, "macs", "501.0"),
        ("DARTS-V1", {"channels": 48, **IMAGENET}, "params", "4.510"),
        ("DARTS-V1", {"channels": 48, **IMAGENET}, "macs", "505.9"),
        ("EcoNAS", {}, "macs", "508.23"),
        ("EcoNAS", {"channels": 48, **IMAGENET}, "macs", "511.4"),
        ("EcoNAS", {"channels": 9, "resolution": 8}, "macs", "2.70"),
        ("EcoNAS-commented", {}, "params", "2.96"),
        ("EcoNAS-commented", {"channels": 48, **IMAGENET}, "params", "4.30"),
        ("AmoebaNet-A-darts", {}, "macs", "488.9"),
        ("AmoebaNet-A-darts", {"channels": 48, **IMAGENET}, "params", "4.627"),
        ("NASNet-A-darts", {"channels": 48, **IMAGENET}, "params", "5.564"),
        ("AmoebaNet-B", {}, "params", "2.8"),
        ("NSGANet-macro", {}, "params", "3.337482"),  # 3,370,250 less two convolutions that are never called
        ("NSGANet-pyramid-C36-SE", {"classes": 100}, "params", "4.1"),
    ],
)
def test_published_sizes_are_met_to_their_last_digit(
    name: str, settings: dict[str, Any], quantity: str, millions: str
) -> None:
    architecture = zoo.load(name, **settings)
    value = getattr(architecture.space.count(architecture.genotype), quantity)
    assert round(value / 1e6, decimals(millions)) == float(millions)


@pytest.mark.parametrize(
    ("name", "settings", "convention", "millions"),
    [
        ("NSGANet", {}, "conv_linear", "516.01"),
        ("NSGANet", {}, "nsganet", "535.27"),
        ("NSGANet-pyramid-C26-SE", {}, "conv_linear", "398.62"),
        ("NSGANet-pyramid-C26-SE", {}, "nsganet", "417.65"),
        ("NSGANet-pyramid-C34", {}, "conv_linear", "527.76"),
        ("NSGANet-pyramid-C34", {}, "nsganet", "548.50"),
        ("NSGANet-pyramid-C36-SE", {}, "conv_linear", "789.35"),
        ("NSGANet-pyramid-C36-SE", {}, "nsganet", "816.60"),
        ("EEEA-C", {}, "nsganet", "586.8"),
        ("DARTS-V2", {"channels": 48, **IMAGENET}, "dna", "538.2"),
    ],
)
def test_conventions_give_the_published_work(
    name: str, settings: dict[str, Any], convention: Any, millions: str
) -> None:
    architecture = zoo.load(name, **settings)
    macs = architecture.space.count(architecture.genotype).macs_by(convention)
    assert round(macs / 1e6, decimals(millions)) == float(millions)


def decimals(number: str) -> int:
    return len(number.partition(".")[2])


def test_what_a_convention_leaves_out_is_listed() -> None:
    counted = Count(macs=100, batch_norm=5, relu=7, pool=11, add=13, gate=17)
    assert counted.macs_by() == 100
    assert counted.macs_by("nsganet") == 100 + 2 * 5 + 7 + 11
    assert counted.macs_by("dna") == 110
    assert counted.not_counted() == {"batch_norm": 5, "relu": 7, "pool": 11, "add": 13, "gate": 17}
    assert counted.not_counted("nsganet") == {"add": 13, "gate": 17}
    assert counted.not_counted("dna") == {"relu": 7, "pool": 11, "add": 13, "gate": 17}
    assert Count(relu=3).not_counted() == {"relu": 3}
    with pytest.raises(InputError, match="'nsga'.*'nsganet'"):
        counted.macs_by("nsga")  # type: ignore[arg-type]


def test_counts_add_and_multiply() -> None:
    one, two = Count(*range(1, 10)), Count(*range(10, 100, 10))
    assert one + two == Count(*range(11, 100, 11))
    assert one * 10 == two
    assert (one + two).model_bytes == 4 * 33 + 8 * 33


def test_costs_are_objectives_and_reject_before_anything_is_built() -> None:
    architecture = zoo.load("EEEA-A")
    space, genotype = architecture.space, architecture.genotype
    counted = space.count(genotype)
    values = {name: cost(space, genotype) for name, cost in COSTS.items()}
    counts = (counted.params, counted.macs, counted.model_bytes, space.peak_bytes(genotype), counted.macs, 1)
    names = ("params", "macs", "model_bytes", "peak_bytes", "energy", "relative_energy")
    assert values == dict(zip(names, map(float, counts), strict=True))
    problem = Problem(space, (Objective("params", COSTS["params"], limit=1e6), Objective("macs", COSTS["macs"])), ())
    assert screen(problem, genotype) == ({"params": 1_769_230.0}, "params 1.76923e+06 > 1e+06")


def test_work_grows_with_the_image_and_parameters_do_not() -> None:
    small, large = (zoo.load("EEEA-C", resolution=side) for side in (32, 64))
    counts = [each.space.count(each.genotype) for each in (small, large)]
    assert counts[0].params == counts[1].params
    linear = 10 * (counts[0].params - zoo.load("EEEA-C", classes=9).space.count(small.genotype).params - 1)
    assert counts[1].macs - linear == 4 * (counts[0].macs - linear)
