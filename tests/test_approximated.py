"""Whole networks with approximate multipliers: calibration, conversion, corrections, training through them."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from frugalnas import zoo
from frugalnas.core import Fidelity, InputError
from frugalnas.layers.approximate import ApproximateConv2d, ApproximateLinear
from frugalnas.layers.approximated import (
    approximate_layers,
    approximated,
    correct,
    correct_bias,
    exact_output,
    layers_of,
    multiplications,
    ranges,
    re_estimate,
)
from frugalnas.layers.depthwise import DepthwiseConv2d
from frugalnas.multipliers import Multiplier
from frugalnas.spaces.nasbench201 import NasBench201
from frugalnas.spaces.nats_size import NatsSize
from frugalnas.tasks.classification import Classification
from frugalnas.tasks.data import DataSource
from frugalnas.tasks.loop import predict
from frugalnas.tasks.recipe import Recipe
from tiny import images

EXACT = Multiplier.family(0, 0, 0)
SPACE = NatsSize(channels=8, in_channels=1, classes=4, resolution=8)
GENOTYPE = (7, 7, 7, 7, 7)


class Plain(nn.Module):
    """A network that is none of ours: a bias, unequal padding, a depthwise and a strided convolution, two linear."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, (3, 4), padding="same")
        self.norm = nn.BatchNorm2d(6)
        self.deep = DepthwiseConv2d(6, 3)
        self.grouped = nn.Conv2d(6, 8, 3, 2, 1, groups=2, bias=False)
        self.never = nn.Conv2d(6, 8, 1)
        self.hidden = nn.Linear(8, 5)
        self.last = nn.Linear(5, 4, bias=False)

    def forward(self, x):
        x = torch.relu(self.norm(self.first(x)))
        x = torch.relu(self.grouped(self.deep(x)))
        return self.last(torch.relu(self.hidden(x.mean((2, 3)))))


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    data = images(tmp_path_factory.mktemp("approximated") / "images.npz", count=240)
    return Classification(DataSource(str(data)), Recipe(batch=16, lr=0.05, cutout=0, crop_padding=0, flip=False), "cpu")


@pytest.fixture(scope="module")
def trained(task):
    torch.manual_seed(0)
    network = task.attach(SPACE.build(GENOTYPE))
    parts = task.learner(network)
    task.fit(parts, Fidelity(epochs=4), 0)
    return parts.result.eval()


@pytest.fixture(scope="module")
def sample(task):
    pixels, _ = task.sample("train", Fidelity(), 128)
    return [task.normalisation()(part) for part in torch.split(pixels, 64)]


def everywhere(network, sample, multiplier, **more):
    found = ranges(network, sample)
    return approximated(network, dict.fromkeys(found, multiplier), found, **more)


def state(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_exact_multipliers_keep_what_a_network_learnt_and_masks_lose_it(task, trained, sample):
    error = [task.score(trained, Fidelity())["error"]]
    for design in ((0, 0, 0), (2, 2, 0), (5, 5, 0)):
        network = everywhere(trained, sample, Multiplier.family(*design))
        error.append(task.score(network, Fidelity())["error"])
    assert error[0] < 0.1 and abs(error[1] - error[0]) <= 0.03 and error[3] > error[1] + 0.2


def test_exact_8_bit_outputs_are_near_those_of_the_float_network(trained, sample):
    expected, found = trained(sample[0]), everywhere(trained, sample, EXACT)(sample[0])
    assert (found - expected).abs().max() < 0.05 * expected.std() + 0.05 * expected.abs().max()


def test_the_float_network_stays_as_it_was_and_shares_nothing(trained, sample):
    network = deepcopy(trained).train()
    network.nodes[0].eval()
    before, modes = state(network), [module.training for module in network.modules()]
    made = everywhere(network, sample, Multiplier.family(3, 3, 0))
    correct_bias(made, sample)
    re_estimate(made, sample)
    assert same(before, state(network)) and modes == [module.training for module in network.modules()]
    assert not {t.data_ptr() for t in network.state_dict().values()} & {
        t.data_ptr() for t in made.state_dict().values()
    }
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert not any(module._forward_hooks for module in made.modules())


@pytest.mark.parametrize("kind", ["cells", "graph", "plain"])
def test_every_layer_that_runs_is_found_and_converted(kind):
    torch.manual_seed(0)
    match kind:
        case "cells":
            architecture = zoo.load("EEEA-A", channels=4, cells=3, classes=4, in_channels=1, resolution=16)
            network = architecture.space.build(architecture.genotype)
        case "graph":
            network = NasBench201(4, 1, in_channels=1, classes=4, resolution=16).build((3, 2, 0, 1, 4, 3))
        case _:
            network = Plain()
    network.eval()
    x = torch.randn(8, 1, 16, 16)
    found = ranges(network, x)
    made = approximated(network, dict.fromkeys(found, EXACT), found)
    converted = approximate_layers(made)
    assert {*converted} == {*found} and {*found} <= {*layers_of(network)}
    left = {name for name, layer in layers_of(made).items()}
    assert left == {*layers_of(network)} - {*found}, "only what never ran is left"
    assert (kind == "plain") == ("never" in left)
    expected = network(x)
    assert (made(x) - expected).abs().max() < 0.1 * expected.abs().max() + 0.02
    assert (exact_output(next(iter(converted.values())), x) - next(iter(converted.values()))(x)).abs().max() < 1e-4


def test_only_the_named_layers_are_converted():
    network = Plain().eval()
    x = torch.randn(4, 1, 8, 8)
    found = ranges(network, x)
    made = approximated(network, {"deep": EXACT, "last": Multiplier.family(2, 0, 5)}, found, path="gather")
    assert [*approximate_layers(made)] == ["deep", "last"]
    assert isinstance(made.deep, ApproximateConv2d) and isinstance(made.last, ApproximateLinear)
    assert made.last.multiplier.name == "8s-2-0-5" and type(made.hidden) is nn.Linear


def test_unknown_and_unmeasured_layers_are_named():
    network = Plain()
    found = ranges(network, torch.randn(4, 1, 8, 8))
    with pytest.raises(InputError, match=r"no convolution or linear layer 'fist': did you mean 'first'\?"):
        approximated(network, {"fist": EXACT}, found)
    with pytest.raises(InputError, match="'never' has no range of inputs: it did not run"):
        approximated(network, {"never": EXACT}, found)
    with pytest.raises(InputError, match="layer first: its inputs are from nan to nan"):
        ranges(network, torch.full((1, 1, 8, 8), float("nan")))
    with pytest.raises(InputError, match="share = 0.2"):
        ranges(network, torch.randn(4, 1, 8, 8), share=0.2)


def test_ranges_are_those_of_all_batches_and_hold_the_share():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1))
    x = torch.linspace(-1, 3, 4000).view(10, 1, 20, 20)
    whole = ranges(network, [x[:5], x[5:]])
    assert [*whole] == ["0", "2"]
    assert whole["0"].scale == pytest.approx(3 / 127) and (whole["0"].low, whole["0"].high) == (-127, 127)
    assert (whole["2"].low, whole["2"].zero_point) == (0, 0), "nothing is negative"
    unsigned = ranges(network, x, signed=False)
    assert unsigned["0"].scale == pytest.approx(4 / 255) and unsigned["0"].zero_point == 64
    x[0, 0, 0, 0] = 1000.0
    assert ranges(network, x)["0"].scale == pytest.approx(1000 / 127)
    assert ranges(network, x, share=0.999)["0"].scale < 4 / 127


def test_a_range_of_the_other_signedness_becomes_that_of_the_same_numbers():
    network, x = nn.Sequential(nn.Conv2d(1, 2, 1)).eval(), torch.linspace(-1, 3, 400).view(1, 1, 20, 20)
    unsigned = ranges(network, x, signed=False)
    made = approximated(network, {"0": EXACT}, unsigned)
    assert (made[0].range.low, made[0].range.high, made[0].range.zero_point) == (-127, 127, 0)
    assert made[0].range.scale == pytest.approx(3 / 127, rel=0.01)
    assert (made(x) - network(x)).abs().max() < 0.05


@pytest.mark.parametrize("bits", [8, 4])
def test_unsigned_multipliers_take_the_magnitudes_of_weights(task, trained, sample, bits):
    found = ranges(trained, sample)
    made = approximated(trained, dict.fromkeys(found, Multiplier.family(0, 0, 0, False, bits)), found)
    layers = approximate_layers(made)
    assert all((layer.range.low, layer.range.high) == (0, 255) for layer in layers.values())
    x = sample[0]
    assert torch.allclose(exact_output(next(iter(layers.values())), x), next(iter(layers.values()))(x), atol=1e-4)
    errors = [task.score(network, Fidelity())["error"] for network in (trained, made)]
    assert abs(errors[1] - errors[0]) <= (0.03 if bits == 8 else 0.2)


def outputs(network, sample):
    """The mean of every output channel of every approximate layer over the sample, as it runs, and of an exact one."""
    found, exact = {}, {}

    def read(name):
        def hook(module, inputs, made):
            found.setdefault(name, []).append(made.mean((0, 2, 3)))
            exact.setdefault(name, []).append(exact_output(module, inputs[0]).mean((0, 2, 3)))

        return hook

    layers = approximate_layers(network)
    hooks = [layer.register_forward_hook(read(name)) for name, layer in layers.items()]
    network.eval()
    with torch.no_grad():
        for batch in sample:
            network(batch)
    for hook in hooks:
        hook.remove()
    return tuple({name: torch.stack(rows).mean(0) for name, rows in each.items()} for each in (found, exact))


def test_bias_correction_takes_off_what_the_multiplier_adds(trained, sample):
    made = everywhere(trained, sample[:1], Multiplier.family(3, 0, 0).swap())
    free = {name: (layer, layer.bias is None) for name, layer in approximate_layers(made).items()}
    shifted, exact = outputs(made, sample[:1])
    off = {name: (shifted[name] - exact[name]).abs().max() for name in shifted}
    biases = {name: 0 if layer.bias is None else layer.bias.detach().clone() for name, (layer, _) in free.items()}
    correct_bias(made, sample[:1])
    assert all(layer.bias is not None for layer, _ in free.values()) and any(none for _, none in free.values())
    found, exact = outputs(made, sample[:1])
    for name, layer in approximate_layers(made).items():
        # `exact` has the corrected bias too, so that the correction is what they now differ by
        assert torch.allclose(found[name] - (exact[name] - (layer.bias - biases[name])), torch.zeros(1), atol=1e-5)
    assert max(off.values()) > 0.05


def test_bias_correction_lowers_the_error_and_batches_may_be_several(task, trained, sample):
    multiplier = Multiplier.family(3, 3, 0)
    one, two, none = (everywhere(trained, sample, multiplier) for _ in range(3))
    correct_bias(one, torch.cat(sample))
    correct_bias(two, sample)
    loss = [task.score(network, Fidelity())["loss"] for network in (none, one, two)]
    assert loss[1] < loss[0] and loss[2] < loss[0]
    for a, b in zip(approximate_layers(one).values(), approximate_layers(two).values(), strict=True):
        assert torch.allclose(a.bias, b.bias, atol=0.1 * float(a.bias.detach().abs().max()) + 1e-3)


def test_re_estimated_statistics_are_those_of_the_approximate_maps(trained, sample):
    made = everywhere(trained, sample, Multiplier.family(3, 3, 0))
    norms = [module for module in made.modules() if isinstance(module, nn.BatchNorm2d)]
    before = state(made)
    re_estimate(made, torch.cat(sample))
    assert {norm.momentum for norm in norms} == {0.1} and not made.training
    changed = {name for name, tensor in made.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed and all("running" in name or "batches" in name for name in changed)
    means = []
    first = next(module for module in made.modules() if isinstance(module, nn.BatchNorm2d))
    hook = first.register_forward_hook(
        lambda module, inputs, output: means.append((output - module.bias[:, None, None]).mean((0, 2, 3)))
    )
    made(torch.cat(sample))
    hook.remove()
    assert means[0].abs().max() < 1e-4
    plain = nn.Sequential(nn.Conv2d(1, 1, 1))
    re_estimate(plain, torch.ones(1, 1, 2, 2))


def test_multiplications_are_the_macs_of_the_space(trained):
    counted = multiplications(trained, (1, 8, 8))
    assert sum(counted.values()) == SPACE.count(GENOTYPE).macs
    assert counted["classifier"] == 8 * 4 and [*counted][-1] == "classifier"
    x = torch.zeros(2, 1, 8, 8)
    network = Plain()
    made = approximated(network, dict.fromkeys(found := ranges(network, x), EXACT), found)
    assert multiplications(made, (1, 8, 8)) == multiplications(network, (1, 8, 8))
    assert multiplications(network, (1, 8, 8)) == {
        "first": 64 * 6 * 12,
        "deep": 64 * 6 * 9,
        "grouped": 16 * 8 * 27,
        "hidden": 40,
        "last": 20,
    }


@pytest.mark.parametrize("gradient", ["factors", "exact"])
def test_training_goes_on_through_the_approximate_forward_pass(task, trained, sample, gradient):
    made = everywhere(trained, sample, Multiplier.family(3, 3, 0), gradient=gradient)
    before = task.score(made, Fidelity())["loss"]
    parts = task.learner(made)
    task.fit(parts, Fidelity(epochs=2), 0)
    assert task.score(parts.result, Fidelity())["loss"] < 0.7 * before
    x = sample[0]
    again = predict(made, (x * 0).to(torch.uint8), task.normalisation(), 64)
    assert torch.equal(again, predict(made, (x * 0).to(torch.uint8), task.normalisation(), 64))


@pytest.mark.parametrize("design", [(0, 0, 0), (2, 2, 0), (0, 0, 4)])
def test_a_converted_network_that_has_run_can_be_copied(trained, sample, design):
    made = everywhere(trained, sample, Multiplier.family(*design))
    expected = made(sample[0])
    assert torch.equal(deepcopy(made)(sample[0]), expected)


def test_a_converted_network_is_the_same_after_its_weights_were_saved_and_loaded(trained, sample):
    made = everywhere(trained, sample, Multiplier.family(2, 2, 0))
    correct_bias(made, sample)
    again = everywhere(trained, sample, Multiplier.family(2, 2, 0))
    correct_bias(again, [batch * 0.5 for batch in sample])
    expected = made(sample[0])
    assert not torch.equal(again(sample[0]), expected)
    again.load_state_dict(made.state_dict())
    assert torch.equal(again(sample[0]), expected)


def test_the_correction_by_default_is_the_one_that_a_network_has_the_numbers_for(trained, sample):
    def corrected(network, correction):
        made = everywhere(network, sample, Multiplier.family(3, 3, 0))
        correct(made, sample, correction)
        return state(made)

    plain = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)).eval()
    kinds = ("none", "statistics", "bias", "both")
    for network, expected in ((trained, "statistics"), (plain, "bias")):
        found = {kind: corrected(network, kind) for kind in kinds}
        assert same(corrected(network, "auto"), found[expected]) and not same(found["none"], found[expected])
        assert same(found["both"], found["bias"]) == (network is plain)
    with pytest.raises(InputError, match="unknown correction 'statistic': did you mean 'statistics'?"):
        correct(plain, sample, "statistic")
