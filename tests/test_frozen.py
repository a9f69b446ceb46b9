"""Frozen networks give the values of the networks that they were, for every operation and every space."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from frugalnas.layers import frozen as frozen_module
from frugalnas.layers import kernels, plan
from frugalnas.layers.frozen import Flat, frozen, live
from frugalnas.layers.ops import module
from frugalnas.layers.plan import OPERATIONS, AvgPool, BatchNorm, Conv, Layers, MaxPool, Parallel, ReLU, Residual
from frugalnas.layers.steps import Affine, Concat, Norm, read
from frugalnas.layers.steps import Conv as ConvStep
from frugalnas.spaces.cell import OPERATION_LISTS, CellSpace
from frugalnas.spaces.nasbench201 import NasBench201
from frugalnas.tasks.augment import measure
from frugalnas.tasks.statistics import calibrate
from test_spaces import cases, every, image_of, slow

CHANNELS = 6
CONV = Conv(CHANNELS, CHANNELS, (3, 3))
PIECES: dict[str, Layers] = {
    **{f"{name}, stride {stride}": make(CHANNELS, stride) for name, make in OPERATIONS.items() for stride in (1, 2)},
    "factorised reduction to an odd width": plan.factorised_reduction(CHANNELS, 7),
    "squeeze and excitation": plan.squeeze_excitation(CHANNELS, 2),
    "two norms": (CONV, BatchNorm(CHANNELS), BatchNorm(CHANNELS)),
    "norm before": (BatchNorm(CHANNELS), ReLU(), CONV),
    "residual of the identity": (Residual(()), BatchNorm(CHANNELS)),
    "one map twice": (CONV, Parallel(((), (), (ReLU(),))), ReLU(), Conv(3 * CHANNELS, 4), BatchNorm(4)),
    "a wide average": (AvgPool(5, 3), Conv(CHANNELS, 4)),
    "a wide maximum": (MaxPool(5, 2, 2), Residual((ReLU(),))),
}


class Alone(nn.Module):
    """Layers as a network."""

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        self.layers = module(layers)
        self.classifier = nn.LazyLinear(3)

    def features(self, x: Tensor) -> list[Tensor]:
        return [self.layers(x)]

    def embed(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(self.layers(x), 1).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.embed(x))
        return logits


def settled(network: nn.Module, seed: int = 0) -> nn.Module:
    """With statistics, scales and shifts that are all different, in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.running_mean, layer.running_var, layer.weight, layer.bias):
                tensor.data.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            layer.bias.data.sub_(1.0)
    return network.eval()


@torch.no_grad()
def assert_same(network: nn.Module, images: Tensor) -> None:
    want = network.embed(images), network(images)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    given_images = images.clone()
    fast = frozen(network)
    assert isinstance(fast, Flat)
    scale = max(1e-3, float(want[0].abs().max()))
    torch.testing.assert_close(fast.embed(images), want[0], rtol=1e-4, atol=1e-5 * scale)
    torch.testing.assert_close(fast(images), want[1], rtol=1e-4, atol=1e-4 * scale)
    assert torch.equal(images, given_images)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


# --- pieces


@pytest.mark.parametrize("side", [6, 7])
@pytest.mark.parametrize("form", [torch.channels_last, torch.contiguous_format], ids=str)
@pytest.mark.parametrize("name", PIECES)
def test_every_operation_gives_the_same(name: str, form: torch.memory_format, side: int) -> None:
    torch.manual_seed(0)
    network = Alone(PIECES[name])
    images = torch.randn(5, CHANNELS, side, side + 1).to(memory_format=form)
    network(images)  # gives the classifier its size
    assert_same(settled(network.to(memory_format=form)), images)


POOLS = [
    sizes for sizes in itertools.product([1, 2, 3, 5], [1, 2, 3], [0, 1, 2], [1, 2, 5, 8]) if 2 * sizes[2] <= sizes[0]
]


@pytest.mark.parametrize(("kernel", "stride", "padding", "side"), POOLS)
def test_pooling_is_that_of_torch(kernel: int, stride: int, padding: int, side: int) -> None:
    x = torch.randn(2, 3, side, side + 3, generator=torch.Generator().manual_seed(0))
    if side + 2 * padding < kernel:
        with pytest.raises(RuntimeError):
            kernels.avg_pool(x, kernel, stride, padding)
        return
    for form in (torch.channels_last, torch.contiguous_format):
        x = x.contiguous(memory_format=form)
        for ceil in (False, True):
            want = F.max_pool2d(x, kernel, stride, padding, ceil_mode=ceil)
            assert torch.equal(kernels.max_pool(x, kernel, stride, padding, ceil), want)
        want = F.avg_pool2d(x, kernel, stride, padding, count_include_pad=False)
        torch.testing.assert_close(kernels.avg_pool(x, kernel, stride, padding), want, rtol=1e-5, atol=1e-6)


def test_maxima_keep_values_that_are_not_numbers() -> None:
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2], x[0, 0, 0, 0] = torch.nan, -torch.inf
    torch.testing.assert_close(kernels.max_pool(x, 3, 1, 1, False), F.max_pool2d(x, 3, 1, 1), equal_nan=True)


# --- networks


@every
@slow
@given(st.data())
def test_the_networks_of_every_space_give_the_same(kind: str, data: st.DataObject) -> None:
    space, genotype = data.draw(cases(kind))
    torch.manual_seed(0)
    assert_same(settled(space.build(genotype)), image_of(space, 3))


@pytest.mark.parametrize("operations", ["eeea", "pnas"])
@pytest.mark.parametrize("concat", ["all", "loose", "unused"])
def test_cells_of_all_operations_give_the_same(operations: str, concat: str) -> None:
    space = CellSpace(OPERATION_LISTS[operations], channels=4, cells=4, concat=concat, resolution=9, squeeze=2)
    generator = torch.Generator().manual_seed(1)
    for seed in range(3):
        genotype = tuple(int(torch.randint(size, (1,), generator=generator)) for size in space.domains)
        torch.manual_seed(seed)
        assert_same(settled(space.build(genotype)), image_of(space, 4))


def test_chunks_of_a_batch_give_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    network = settled(NasBench201(channels=4, cells=1, resolution=8).build((3, 1, 4, 2, 0, 3)))
    images = torch.randn(7, 3, 8, 8)
    monkeypatch.setattr(frozen_module, "CHUNK", 3 * 64)
    seen = []
    with torch.no_grad():
        want, fast = network.embed(images), frozen(network)
        run = fast._run
        fast._run = lambda part: seen.append(len(part)) or run(part)
        torch.testing.assert_close(fast.embed(images), want)
        assert seen == [3, 3, 1]
        assert fast.embed(images[:0]).shape == (0, want.shape[1])


def test_nothing_that_can_be_folded_or_left_out_is_run() -> None:
    operations = ("sep_conv_3x3", "max_pool_3x3")
    space = CellSpace(operations, blocks=2, inputs="full", concat="all", channels=4, cells=3)
    network = settled(space.build((0, 0, 0, 1, 1, 1, 1, 2) * 2))
    steps = frozen(network).steps
    kinds = [type(step.operation) for _, step, _, _ in steps]
    assert Norm not in kinds and Affine not in kinds
    assert kinds.count(Concat) == 4  # a map of each size, and a halved one that a depthwise convolution reads
    convolutions = [step.operation for _, step, _, _ in steps if isinstance(step.operation, ConvStep)]
    assert {operation.weight.shape[2] for operation in convolutions} == {3}  # no 1x1 convolution is left
    assert len(steps) < 0.7 * len(read(network).made)


def test_what_depends_on_the_input_is_left_as_it_is() -> None:
    class Choosing(nn.Module):
        def features(self, x: Tensor) -> list[Tensor]:
            return [x] if x.sum() > 0 else [-x]

    network = Choosing()
    assert frozen(network) is network and live(network) is network and not network.training


# --- calibration


@pytest.mark.parametrize("kind", ["cell", "nasbench201"])
def test_calibration_gives_the_statistics_of_the_plain_network(kind: str) -> None:
    sizes = {"channels": 4, "cells": 3, "in_channels": 1, "resolution": 10}
    space = CellSpace(OPERATION_LISTS["eeea"], **sizes) if kind == "cell" else NasBench201(**sizes)
    genotype = tuple((size - 1) * (place % 3 > 0) for place, size in enumerate(space.domains))
    torch.manual_seed(0)
    network = space.build(genotype)
    images = torch.randint(0, 256, (90, 1, 10, 10), dtype=torch.uint8)
    normalise = measure(images)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    calibrate(network, images, normalise, 30)
    found = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    with torch.no_grad():
        for part in images.split(30):
            network.embed(normalise(part))
    assert len({int(norm.num_batches_tracked) for norm in norms} - {0}) == 1
    for norm, (mean, variance) in zip(norms, found, strict=True):
        torch.testing.assert_close(mean, norm.running_mean, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(variance, norm.running_var, rtol=1e-3, atol=1e-4)
