"""Approximate layers: codes, equal paths, what they keep and what they refuse."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import nn
from torch.nn import functional as F

from frugalnas.core import InputError
from frugalnas.layers import planes
from frugalnas.layers.approximate import ApproximateConv2d, ApproximateLinear
from frugalnas.layers.depthwise import DepthwiseConv2d
from frugalnas.layers.products import approximate_conv2d
from frugalnas.layers.quantise import Range, range_of, weight_codes, weight_scales
from frugalnas.multipliers import Multiplier

PATHS = ("factored", "float", "table", "gather")
CONVOLUTIONS = {
    "plain": lambda: nn.Conv2d(5, 9, 3, padding=1),
    "strided": lambda: nn.Conv2d(4, 8, (3, 5), (2, 1), padding=(1, 0)),
    "same": lambda: nn.Conv2d(4, 6, (4, 3), padding="same"),
    "dilated": lambda: nn.Conv2d(3, 5, 3, padding=2, dilation=2, bias=False),
    "grouped": lambda: nn.Conv2d(6, 12, 3, padding=1, groups=3),
    "depthwise": lambda: DepthwiseConv2d(20, 3, 2),
    "1x1": lambda: nn.Conv2d(16, 8, 1),
}


def fake(x, taken):
    return x + (taken.values(taken.codes(x)) - x).detach()


def fake_weight(weight, bits=8):
    scales = weight_scales(weight, bits, True)
    codes = weight_codes(weight, scales, bits)
    return weight + (codes.float() * scales.view(-1, *[1] * (weight.ndim - 1)) - weight).detach()


@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.booleans())
def test_ranges_hold_zero_and_round_to_the_nearest(one, two, signed):
    low, high = sorted((one, two))
    taken = range_of(low, high, signed)
    assert taken.codes(torch.zeros(1)).item() == taken.zero_point
    assert (taken.low < 0) == (signed and low < 0)
    x = torch.linspace(min(low, 0), max(high, 0), 100)
    assert float((taken.values(taken.codes(x)) - x).abs().max()) <= taken.scale * 0.501 + 1e-3 * taken.scale
    assert bool(taken.inside(x[1:-1]).all()) or not signed
    outside = taken.codes(torch.tensor([-1e9, 1e9, float("nan")]))
    assert outside.tolist() == [taken.low, taken.high, taken.low]


def test_bad_ranges_are_refused():
    for bad in ((0.0, 0, 0, 255), (float("nan"), 0, 0, 255), (1.0, 3, 4, 255), (1.0, 0, -128, 255)):
        with pytest.raises(InputError):
            Range(*bad)
    with pytest.raises(InputError, match="finite"):
        range_of(0, float("inf"), True)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([1, 3, 8, 17]))
def test_planes_by_numba_are_those_by_torch(seed, channels):
    """Also where a product falls on a half."""
    rng = np.random.default_rng(seed)
    taken = range_of(-3 if seed % 2 else 0, float(rng.uniform(1, 5)), True)
    halves = (rng.integers(-140, 140, (2, channels, 3, 5)) + 0.5) * np.float32(taken.scale)
    noise = rng.choice([0, 1e-7, -1e-7, 1e-6], halves.shape)
    x = torch.from_numpy((halves * (1 + noise)).astype(np.float32))
    layer = ApproximateConv2d.from_float(nn.Conv2d(channels, 2, 1), Multiplier.family(0, 0, 3), taken).eval()
    kind = layer.ready().packed.planes
    dtype = kind.levels.dtype
    made = planes.planes_of(x, taken.inverse, taken.table, kind, dtype)
    by_torch = torch.empty(2, 3, 5, channels * kind.rank, dtype=dtype)
    planes._by_torch(planes.places(x.permute(0, 2, 3, 1), taken.inverse, taken.table), kind, by_torch)
    assert torch.equal(made, by_torch.permute(0, 3, 1, 2))
    at = (taken.codes(x) + taken.table.shift).long()
    assert torch.equal(made[:, :channels], kind.levels[0][at])


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("member", [(0, 0, 0), (2, 0, 5), (3, 3, 0)], ids=str)
def test_paths_are_equal_and_are_the_sums_of_codes(name, member):
    torch.manual_seed(0)
    conv, multiplier = CONVOLUTIONS[name]().eval(), Multiplier.family(*member)
    x = torch.randn(6, conv.weight.shape[1] * getattr(conv, "groups", len(conv.weight)), 9, 8)
    for calibration in (x, x.relu()):
        made = []
        for path in PATHS:
            layer = ApproximateConv2d.from_float(conv, multiplier, calibration, path=path)
            with torch.no_grad():
                made.append(layer(x))
        assert all(torch.equal(made[0], other) for other in made[1:])
        scales = weight_scales(conv.weight, 8, True)
        top, bottom, left, right = layer.padding
        codes = F.pad(layer.range.codes(x), (left, right, top, bottom), value=layer.range.zero_point)
        sums = approximate_conv2d(
            *(codes, weight_codes(conv.weight, scales, 8), multiplier),
            stride=layer.stride,
            dilation=layer.dilation,
            groups=layer.groups,
            path="gather",
        )
        expected = sums.double() * (scales.double() * layer.range.scale).view(-1, 1, 1)
        if layer.bias is not None:
            expected += layer.bias.double().view(-1, 1, 1)
        torch.testing.assert_close(made[0].double(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("path", PATHS)
def test_an_affine_input_range_of_an_unsigned_operand(path):
    """With a zero point, and weights as two's complement: exact products are those of the rounded operands."""
    torch.manual_seed(0)
    a, b = np.arange(256), np.arange(256)
    table = np.outer(a, np.where(b > 127, b - 256, b)).astype(np.int32)
    multiplier = Multiplier("mixed", table, (False, True), 1.0, "given", "exact")
    if multiplier.factors is None and path in ("factored", "float"):
        pytest.skip("no factors yet")
    conv, x = nn.Conv2d(4, 9, 3, padding=1).eval(), torch.randn(3, 4, 6, 6)
    layer = ApproximateConv2d.from_float(conv, multiplier, x, path=path)
    assert 0 < layer.range.zero_point < 255
    expected = F.conv2d(fake(x, layer.range), fake_weight(conv.weight), conv.bias, 1, 1)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


def test_near_the_float_layer_and_nearer_than_a_cut_one():
    torch.manual_seed(0)
    conv, x = nn.Conv2d(8, 16, 3, padding=1).eval(), torch.randn(4, 8, 10, 10)
    with torch.no_grad():
        errors = [
            float((ApproximateConv2d.from_float(conv, Multiplier.family(h, h, 0), x)(x) - conv(x)).abs().mean())
            for h in (0, 2, 4)
        ]
    assert errors[0] < 0.01 < errors[1] < errors[2]
    linear = nn.Linear(8, 5).eval()
    layer = ApproximateLinear.from_float(linear, Multiplier.family(0, 0, 0), x)
    y = layer(x.transpose(1, 3))
    assert y.shape == (4, 10, 10, 5)
    torch.testing.assert_close(y, linear(x.transpose(1, 3)), rtol=0, atol=0.04)


def test_weights_are_read_again_when_they_change():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, 6)
    layer = ApproximateConv2d.from_float(nn.Conv2d(3, 8, 3), Multiplier.family(0, 0, 2), x).eval()
    with torch.no_grad():
        first = layer(x)
        layer.weight.mul_(2)
        layer.bias.mul_(2)
        torch.testing.assert_close(layer(x), 2 * first)
        other = ApproximateConv2d.from_float(nn.Conv2d(3, 8, 3), Multiplier.family(0, 0, 2), 2 * x).eval()
        before = other(x)
        assert other.range != layer.range
        other.load_state_dict(load(save(layer.state_dict())))
        assert other.range == layer.range
        assert torch.equal(other(x), layer(x))
        assert not torch.equal(other(x), before)
        twin = copy.deepcopy(layer)
        twin.weight.zero_()
        twin.bias.zero_()
        assert not twin(x).any()
        assert layer(x).any()


def test_layers_made_in_inference_mode_notice_changes():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, 6)
    with torch.inference_mode():
        conv = nn.Conv2d(3, 8, 3, bias=False)
        for made in (
            layer := ApproximateConv2d.from_float(conv, Multiplier.family(0, 0, 2), x).eval(),
            copy.deepcopy(layer),
        ):
            first = made(x)
            made.weight.mul_(2)
            torch.testing.assert_close(made(x), 2 * first)


def test_autocast_and_half_precision_inputs_change_nothing():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, 6).bfloat16()
    for path in ("factored", "float"):
        layer = ApproximateConv2d.from_float(nn.Conv2d(3, 8, 3), Multiplier.family(0, 0, 2), x.float(), path=path)
        with torch.no_grad():
            expected = layer(x.float())
            with torch.autocast("cpu", torch.bfloat16):
                assert torch.equal(layer(x), expected)


def test_repr_says_what_runs():
    layer = ApproximateConv2d.from_float(nn.Conv2d(3, 8, 3), Multiplier.family(2, 0, 5).swap(), torch.randn(1, 3, 5, 5))
    assert "8s-2-0-5+swap of rank 4" in repr(layer) or "8s-2-0-5+swap" in repr(layer)
    assert "factored" in repr(layer)
    assert "exact: |sum| <=" in repr(layer)


def test_what_cannot_be_made_says_why():
    x, exact = torch.randn(1, 3, 5, 5), Multiplier.family(0, 0, 0)
    conv = nn.Conv2d(3, 8, 3)
    for message, make in [
        ("pads with zeros", lambda: ApproximateConv2d.from_float(nn.Conv2d(3, 8, 3, padding_mode="reflect"), exact, x)),
        ("expected a Conv2d", lambda: ApproximateConv2d.from_float(nn.Linear(3, 2), exact, x)),
        ("expected a Linear", lambda: ApproximateLinear.from_float(conv, exact, x)),
        ("first operand is signed", lambda: ApproximateConv2d.from_float(conv, exact, range_of(0, 1, False))),
        ("did you mean 'exact'", lambda: ApproximateConv2d.from_float(conv, exact, x, gradient="exactly")),
        ("at least one value", lambda: ApproximateConv2d.from_float(conv, exact, x[:0])),
    ]:
        with pytest.raises(InputError, match=message):
            make()


@pytest.mark.parametrize("gradient", ["factors", "exact"])
@pytest.mark.parametrize("path", ["factored", "gather"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_gradients_of_the_exact_multiplier_are_those_of_rounded_operands(name, path, gradient):
    torch.manual_seed(0)
    conv = CONVOLUTIONS[name]()
    x = torch.randn(3, conv.weight.shape[1] * getattr(conv, "groups", len(conv.weight)), 9, 8)
    layer = ApproximateConv2d.from_float(conv, Multiplier.family(0, 0, 0), x / 2, path=path, gradient=gradient)
    one, two = x.clone().requires_grad_(), x.clone().requires_grad_()
    made = layer(one)
    weights = torch.randn_like(made)
    (made * weights).sum().backward()
    clipped = two * layer.range.inside(two)
    top, bottom, left, right = layer.padding
    padded = F.pad(clipped + (fake(x, layer.range) - clipped).detach(), (left, right, top, bottom))
    weight = conv.weight.detach().clone().requires_grad_()
    expected = F.conv2d(padded, fake_weight(weight), layer.bias, layer.stride, 0, layer.dilation, layer.groups)
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-5)
    layer_bias = None if layer.bias is None else layer.bias.grad.clone()
    layer.zero_grad()
    (expected * weights).sum().backward()
    torch.testing.assert_close(one.grad, two.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(layer.weight.grad if layer.weight.grad is not None else weight.grad, weight.grad)
    if layer_bias is not None:
        torch.testing.assert_close(layer_bias, layer.bias.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("member", [(2, 0, 5), (3, 3, 0), (0, 0, 4)], ids=str)
def test_gradients_of_a_masked_multiplier_are_its_mean_slopes(member):
    """Against differences of the layer itself, averaged over inputs, over steps of 64 codes."""
    torch.manual_seed(0)
    multiplier = Multiplier.family(*member)
    conv = nn.Conv2d(1, 1, 1, bias=False)
    conv.weight.data.fill_(0.5)
    taken = range_of(-1, 1, True)
    layer = ApproximateConv2d.from_float(conv, multiplier, taken)
    x = torch.linspace(-0.45, 0.45, 2001).view(-1, 1, 1, 1).requires_grad_()
    layer(x).sum().backward()
    step = 64 * taken.scale
    with torch.no_grad():
        slope = (layer(x + step / 2) - layer(x - step / 2)).mean() / step
    assert float(x.grad.mean()) == pytest.approx(float(slope), rel=0.1)
    rough = layer.weight.grad.item()
    exact = ApproximateConv2d.from_float(conv, multiplier, taken, gradient="exact")
    exact(x.detach()).sum().backward()
    assert np.sign(rough) == np.sign(exact.weight.grad.item()) or abs(exact.weight.grad.item()) < 5


@pytest.mark.parametrize("path", ["factored", "table"])
def test_training_through_it_lowers_the_loss(path):
    torch.manual_seed(0)
    multiplier = Multiplier.family(3, 3, 0)
    images, labels = torch.randn(64, 3, 8, 8), torch.arange(64) % 4
    images[torch.arange(64), labels % 3] += 1.5 * (labels[:, None, None] - 1)
    network = nn.Sequential(
        ApproximateConv2d.from_float(nn.Conv2d(3, 8, 3, padding=1), multiplier, images, path=path),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        ApproximateConv2d.from_float(nn.Conv2d(8, 16, 3, padding=1), multiplier, range_of(0, 3, True), path=path),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        ApproximateLinear.from_float(nn.Linear(16, 4), multiplier, range_of(0, 1, True), path=path),
    )
    optimiser = torch.optim.Adam(network.parameters(), 0.02)
    losses = []
    for _ in range(25):
        loss = F.cross_entropy(network(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
