"""Scores of untrained networks against values computed by hand or by numpy, what all have in common, the estimator."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from frugalnas import config, parts
from frugalnas.core import Candidate, Fidelity, InputError, evaluate
from frugalnas.estimators.zero_cost import ZeroCost
from frugalnas.layers.depthwise import DepthwiseConv2d
from frugalnas.layers.graph import Graph, Node
from frugalnas.layers.graph_network import GraphNetwork
from frugalnas.layers.initialise import draw_seed
from frugalnas.layers.plan import BatchNorm, Conv, Layers, MaxPool, ReLU, Zero
from frugalnas.scores.az import az_nas, entropy, spectral_norm
from frugalnas.scores.codes import swap
from frugalnas.scores.meco import least_eigenvalue
from frugalnas.scores.probe import gradients, loss, weights
from frugalnas.scores.rating import SCORES
from frugalnas.spaces.cell import CellSpace
from frugalnas.spaces.macro import MacroSpace
from frugalnas.spaces.nasbench201 import NasBench201
from frugalnas.tasks.classification import Classification

N, CLASSES = 6, 3
FACTS = {"in_channels": 2, "classes": CLASSES, "resolution": 8}


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(channels: int = 2, side: int = 4, n: int = N, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = drawn(seed)
    return torch.randn(n, channels, side, side, generator=generator), torch.randint(CLASSES, (n,), generator=generator)


def graph(*nodes: Node, channels: int = 2, side: int = 4, blocks: tuple[int, ...] = ()) -> GraphNetwork:
    """A network of these nodes, of weights that are always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return GraphNetwork(Graph((channels, side, side), nodes, CLASSES, (len(nodes),), blocks))


def chain(*parts: Layers, channels: int = 2, side: int = 4) -> GraphNetwork:
    nodes = [Node((place,), layers) for place, layers in enumerate(parts)]
    return graph(*nodes, channels=channels, side=side, blocks=tuple(range(1, len(parts) + 1)))


def score(name: str, network: nn.Module, images: Tensor, labels: Tensor, seed: int = 0) -> float:
    return SCORES[name](network, images, labels, drawn(seed))


# --- scores of the gradient of the loss: softmax regression has it in closed form


class Regression:
    """A linear classifier of flat images in numpy."""

    def __init__(self, network: nn.Sequential, images: Tensor, labels: Tensor) -> None:
        self.x = images.flatten(1).double().numpy()
        self.w, self.b = (each.detach().double().numpy() for each in network[1].parameters())
        self.y = np.eye(CLASSES)[labels.numpy()]

    def logits(self) -> np.ndarray:
        return self.x @ self.w.T + self.b

    def p(self) -> np.ndarray:
        raised = np.exp(self.logits() - self.logits().max(1, keepdims=True))
        return raised / raised.sum(1, keepdims=True)

    def gradient(self) -> np.ndarray:
        return (self.p() - self.y).T @ self.x / len(self.x)

    def hessian_times(self, v: np.ndarray) -> np.ndarray:
        moved = self.x @ v.T
        change = self.p() * (moved - (self.p() * moved).sum(1, keepdims=True))
        return change.T @ self.x / len(self.x)


def regression() -> tuple[nn.Sequential, Tensor, Tensor]:
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), nn.Linear(32, CLASSES)), *batch()


def test_scores_of_the_gradient_are_those_of_softmax_regression() -> None:
    network, images, labels = regression()
    by_hand = Regression(network, images, labels)
    gradient = by_hand.gradient()
    expected = {
        "grad_norm": np.linalg.norm(gradient),
        "snip": np.abs(by_hand.w * gradient).sum(),
        "grasp": -(by_hand.w * by_hand.hessian_times(gradient)).sum(),
        "fisher": 32 * np.square(by_hand.logits() * (by_hand.p() - by_hand.y) / N).mean(0).sum() / 2,
    }
    for name, value in expected.items():
        assert score(name, network, images, labels) == pytest.approx(value, rel=1e-4), name


def test_zico_compares_the_gradients_of_the_two_halves() -> None:
    network, images, labels = regression()
    one, two = (
        Regression(network, images[part], labels[part]).gradient() for part in (slice(None, N // 2), slice(N // 2, N))
    )
    expected = math.log(((np.abs(one) + np.abs(two)) / np.abs(one - two)).sum())
    assert score("zico", network, images, labels) == pytest.approx(expected, rel=1e-4)


def test_zico_leaves_out_a_layer_whose_gradients_are_equal() -> None:
    network, images, labels = regression()
    assert score("zico", network, images[:3].repeat(2, 1, 1, 1), labels[:3].repeat(2)) == 0


def test_fisher_sees_what_a_convolution_gives_and_not_what_a_rectifier_makes_of_it_in_place() -> None:
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 1, bias=False), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(64, CLASSES, bias=False)
    )
    images, labels = batch()
    x = images.double().numpy()
    w = network[0].weight.detach().double().numpy()[:, :, 0, 0]
    v = network[3].weight.detach().double().numpy()
    a = np.einsum("kc,nchw->nkhw", w, x)
    logits = np.maximum(a, 0).reshape(N, -1) @ v.T
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    g = (p - np.eye(CLASSES)[labels.numpy()]) / N
    back = (g @ v).reshape(a.shape) * (a > 0)
    of_maps, of_logits = np.square((a * back).sum((2, 3))).mean(0).sum(), np.square(logits * g).mean(0).sum()
    expected = (2 * of_maps + 64 * of_logits) / 2  # a channel of the maps has 2 weights, a logit 64
    assert score("fisher", network, images, labels) == pytest.approx(expected, rel=1e-4)


def test_a_weight_that_does_not_run_counts_nothing() -> None:
    live, dead = Node((0,), (Conv(2, 3, (3, 3)), BatchNorm(3), ReLU())), Node((1,), (Conv(3, 3), BatchNorm(3)))
    network, more = graph(live, Node((1,))), graph(live, dead, Node((1,)))
    more.nodes[0].load_state_dict(network.nodes[0].state_dict())
    more.classifier.load_state_dict(network.classifier.state_dict())
    for name in ("grad_norm", "snip", "grasp", "fisher", "zico", "synflow", "naswot", "swap", "jacob_cov"):
        assert score(name, more, *batch()) == pytest.approx(score(name, network, *batch()), rel=1e-6), name


def cells() -> nn.Module:
    """Depthwise convolutions with stride, dilation, and ReLUs in place."""
    operations = ("sep_conv_3x3", "dil_conv_5x5")
    return CellSpace(operations, 1, "full", channels=4, cells=3, **FACTS).build((0, 0, 1, 1, 0, 0, 1, 1))


def test_grasp_has_the_second_derivatives_of_depthwise_convolutions() -> None:
    network, (images, labels) = built("cell").double(), batch(side=8)
    images = images.double()
    assert any(isinstance(module, DepthwiseConv2d) for module in network.modules())
    network.train()
    kept = weights(network)
    first = gradients(loss(network, images, labels), kept)

    def shifted(step: float) -> tuple[Tensor, ...]:
        with torch.no_grad():
            for weight, gradient in zip(kept, first, strict=True):
                weight.add_(gradient, alpha=step)
        found = gradients(loss(network, images, labels), kept)
        with torch.no_grad():
            for weight, gradient in zip(kept, first, strict=True):
                weight.sub_(gradient, alpha=step)
        return found

    step = 1e-7
    pairs = zip(kept, shifted(step), shifted(-step), strict=True)
    expected = -sum(float((weight.detach() * (up - down)).sum()) / (2 * step) for weight, up, down in pairs)
    assert score("grasp", network, images, labels) == pytest.approx(expected, rel=1e-3)


# --- scores of the answer to the input


def test_jacob_cov_of_rows_that_are_all_the_same() -> None:
    network, images, labels = regression()
    k = 1e-5
    expected = -(math.log(N + k) + 1 / (N + k) + (N - 1) * (math.log(k) + 1 / k))
    assert score("jacob_cov", network, images, labels) == pytest.approx(expected, rel=1e-6)


def test_jacob_cov_is_that_of_the_gradients_by_the_images() -> None:
    torch.manual_seed(3)
    network = nn.Sequential(nn.Flatten(), nn.Linear(32, 8), nn.ReLU(), nn.Linear(8, CLASSES))
    images, labels = batch()
    w, b = (each.detach().double().numpy() for each in network[1].parameters())
    v = network[3].weight.detach().double().numpy()
    passes = images.flatten(1).double().numpy() @ w.T + b > 0
    values = np.linalg.eigvalsh(np.corrcoef((passes * v.sum(0)) @ w)) + 1e-5
    assert score("jacob_cov", network, images, labels) == pytest.approx(-(np.log(values) + 1 / values).sum(), rel=1e-3)


def test_synflow_is_the_flow_along_all_paths_once_for_each_layer() -> None:
    network = chain((Conv(2, 5), BatchNorm(5), ReLU()), (Conv(5, 4), BatchNorm(4), ReLU(in_place=True)), side=1)
    with torch.no_grad():
        network.nodes[0][1].running_mean += 7  # batch normalisations are left out
        network.nodes[1][1].weight *= 3
    one, two, last = (weight.detach().double().flatten(1).abs().numpy() for weight in weights(network))
    flow = (last @ two @ one).sum()
    assert score("synflow", network, *batch(side=1)) == pytest.approx(math.log(3 * flow), rel=1e-9)


def test_synflow_adds_up_parallel_paths() -> None:
    network = graph(Node((0,), (Conv(2, 3),)), Node((0,), (Conv(2, 3),)), Node((1, 2)), side=1)
    one, other, last = (weight.detach().double().flatten(1).abs().numpy() for weight in weights(network))
    flow = (last @ (one + other)).sum()
    assert score("synflow", network, *batch(side=1)) == pytest.approx(math.log(2 * flow), rel=1e-9)


def test_zen_of_a_linear_network_is_the_length_of_the_step() -> None:
    network, (images, labels) = chain((Conv(1, 1),), channels=1), batch(channels=1)
    generator = drawn(5)
    weight, *_ = torch.randn(1, generator=generator), torch.randn(CLASSES, generator=generator)  # then the classifier's
    _, step = (torch.randn(images.shape, generator=generator) for _ in range(2))
    expected = math.log(0.01 * abs(float(weight)) * float(step.flatten(1).norm(dim=1).mean()))
    assert score("zen", network, images, labels, 5) == pytest.approx(expected, rel=1e-3)


def test_zen_undoes_the_scaling_of_batch_normalisation() -> None:
    bare, normal = chain((Conv(1, 1),), channels=1, side=16), chain((Conv(1, 1), BatchNorm(1)), channels=1, side=16)
    images = batch(channels=1, side=16)
    assert score("zen", normal, *images) == pytest.approx(score("zen", bare, *images), abs=0.01)


# --- scores of the codes of ReLUs


def rectifiers() -> tuple[nn.Sequential, Tensor, Tensor]:
    images, labels = batch()
    layers = nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(32, 4), nn.ReLU(), nn.Linear(4, 2)
    return nn.Sequential(*layers), images, labels


def by_hand(network: nn.Sequential, images: Tensor) -> np.ndarray:
    """The codes (N, units) of both layers."""
    x = images.flatten(1).double().numpy()
    w, b = (each.detach().double().numpy() for each in network[2].parameters())
    return np.concatenate([x > 0, np.maximum(x, 0) @ w.T + b > 0], axis=1)


def test_naswot_is_the_determinant_of_the_agreements_of_codes() -> None:
    network, images, labels = rectifiers()
    codes = by_hand(network, images)
    agreements = (codes[:, None] == codes[None]).sum(2)
    expected = math.log(abs(np.linalg.det(agreements)))
    assert score("naswot", network, images, labels) == pytest.approx(expected, rel=1e-9)


def test_naswot_does_not_tell_equal_images_apart() -> None:
    network, images, labels = rectifiers()
    assert score("naswot", network, images[:1].repeat(4, 1, 1, 1), labels[:4]) == -math.inf


@pytest.mark.parametrize("n", [1, 6, 64, 70])
def test_swap_counts_different_patterns(n: int) -> None:
    network, _, _ = rectifiers()
    images, labels = batch(n=n)
    images[:, 0, 0, 0] = images[:, 0, 0, 1]
    expected = len({tuple(column) for column in by_hand(network, images).T})
    assert score("swap", network, images, labels) == expected
    assert expected < 36


def test_swap_is_regularised_around_a_size() -> None:
    network, images, labels = rectifiers()
    plain, params = score("swap", network, images, labels), 32 * 4 + 4 + 4 * 2 + 2
    assert swap(network, images, labels, drawn(), mu=params, sigma=10) == plain
    assert swap(network, images, labels, drawn(), mu=params + 5, sigma=10) == pytest.approx(plain * math.exp(-2.5))


# --- scores of the maps


def test_least_eigenvalue_of_two_correlated_channels() -> None:
    a, b = torch.tensor([1.0, 1, -1, -1]), torch.tensor([1.0, -1, 1, -1])
    assert least_eigenvalue(torch.stack([a, 3 * b + 5])) == pytest.approx(1)
    assert least_eigenvalue(torch.stack([a, 0.6 * a + 0.8 * b])) == pytest.approx(0.4)
    assert least_eigenvalue(torch.stack([a, b, -2 * a])) == pytest.approx(0, abs=1e-9)
    assert least_eigenvalue(torch.stack([a, torch.ones(4)])) == pytest.approx(0, abs=1e-9)  # of [[1, 0], [0, 0]]


def test_meco_adds_up_the_layers() -> None:
    network, (images, labels) = chain((Conv(2, 3, (3, 3)), ReLU()), side=8), batch(side=8)
    with torch.no_grad():
        first = network.nodes[0][0](torch.randn(1, *images.shape[1:], generator=drawn(0)))
    expected = [
        np.linalg.eigvalsh(np.corrcoef(each[0].flatten(1).double().numpy()))[0] for each in (first, first.relu())
    ]
    assert score("meco", network, images, labels) == pytest.approx(sum(expected), rel=1e-4)


def test_entropy_of_the_principal_components() -> None:
    axes = torch.cat([torch.eye(4), -torch.eye(4)])
    assert entropy(axes) == pytest.approx(math.log(4), rel=1e-6)
    assert entropy(axes * torch.tensor([1, 1, 0, 0]) + 9) == pytest.approx(math.log(2), rel=1e-6)
    assert entropy(axes[[0, 4]]) == pytest.approx(0, abs=1e-7)
    assert entropy(torch.ones(5, 3)) == -math.inf
    assert math.isnan(entropy(torch.tensor([[1.0], [math.inf]])))


def test_expressivity_adds_up_and_progressivity_is_the_least_growth() -> None:
    network, (images, labels) = chain((Conv(2, 6),), (MaxPool(2, 2),), (Conv(6, 5, (3, 3)),), side=8), batch(side=8)
    with torch.no_grad():
        maps = network.blocks(torch.randn(images.shape, generator=drawn(0)))
    found = []
    for each in maps:
        points = each.double().permute(0, 2, 3, 1).flatten(0, 2).numpy()
        shares = np.linalg.eigvalsh(np.cov(points.T))
        shares = np.clip(shares / shares.sum(), 1e-12, None)
        found.append(-(shares * np.log(shares)).sum())
    assert score("az_expressivity", network, images, labels) == pytest.approx(sum(found), rel=1e-5)
    growth = [after - before for before, after in itertools.pairwise(found)]
    assert score("az_progressivity", network, images, labels) == pytest.approx(min(growth), abs=1e-5)


@pytest.mark.parametrize(("scale", "expected"), [(1.0, 0.0), (2.0, -0.5), (0.5, -0.5)])
def test_trainability_is_best_where_a_block_keeps_the_gradient(scale: float, expected: float) -> None:
    network, images = chain((Conv(2, 2),), (Conv(2, 2),), side=32), batch(side=32, n=32)
    with torch.no_grad():
        network.nodes[1][0].weight.copy_(scale * torch.tensor([[0.6, -0.8], [0.8, 0.6]])[:, :, None, None])
    assert score("az_trainability", network, *images) == pytest.approx(expected, abs=0.02)


def test_spectral_norm_folds_the_larger_map() -> None:
    generator = drawn()
    outer = torch.randint(0, 2, (8, 2, 7, 7), generator=generator) * 2.0 - 1
    spread = nn.functional.interpolate(outer, scale_factor=2) / 4  # what goes backward through an average of 2x2
    assert spectral_norm(spread, outer) == pytest.approx(0.5, abs=0.05)
    assert spectral_norm(spread[:, :, :13, :13], outer) == pytest.approx(0.5, abs=0.05)  # an odd side


def test_a_block_that_does_not_read_the_one_before_is_left_out_of_trainability() -> None:
    nodes = Node((0,), (Conv(2, 2),)), Node((0,), (Conv(2, 2),)), Node((1, 2))
    both = score("az_trainability", graph(*nodes, blocks=(1, 2, 3)), *batch())
    one = score("az_trainability", graph(*nodes, blocks=(2, 3)), *batch())
    assert both == pytest.approx(one, abs=0.1)  # of the sum by each: signs pass as they are
    assert score("az_trainability", graph(*nodes[:2], blocks=(1, 2)), *batch()) == -math.inf


def test_blocks_are_the_stem_the_cells_and_what_halves_the_size() -> None:
    images, _ = batch(side=8)
    network = NASBENCH.build((3, 2, 3, 3, 4, 1))
    maps = network.blocks(images)
    assert [tuple(each.shape[1:]) for each in maps] == [(4, 8, 8)] * 2 + [(8, 4, 4)] * 2 + [(16, 2, 2)] * 2
    assert len(NASBENCH.build((0, 0, 0, 1, 0, 0)).blocks(images)) == 3  # cells that give their input are none
    assert [each.shape[1] for each in built("cell").blocks(images)] == [12, 4, 8, 16]
    assert len(built("macro").blocks(images)) == 3  # its phases


def test_az_nas_adds_up_the_logarithms_of_ranks() -> None:
    components = np.array([[3.0, 1, 2, 5], [1, 2, -math.inf, 5], [2, 3, math.nan, 1]])
    third, two_thirds = math.log(1 / 3), math.log(2 / 3)
    expected = [third + math.log(2.5 / 3), third + two_thirds + math.log(1.5 / 3) + math.log(2.5 / 3)]
    expected.append(two_thirds + math.log(1.5 / 3) + third)
    assert az_nas(components) == pytest.approx(expected)


# --- what all scores have in common

NASBENCH = NasBench201(channels=4, cells=1, **FACTS)
NETWORKS = {
    "cell": cells,
    "auxiliary": lambda: CellSpace(
        ("sep_conv_3x3", "skip_connect"), 1, "full", channels=4, cells=6, auxiliary=True, squeeze=2, **FACTS
    ).build((0, 0, 1, 1, 0, 0, 1, 1)),
    "macro": lambda: MacroSpace(nodes=3, channels=4, **FACTS).build((1,) * 12),
    "unused": lambda: NASBENCH.build((3, 2, 3, 3, 0, 0)),
}


def built(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        return NETWORKS[name]()


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", SCORES)
def test_a_score_is_finite_repeats_and_leaves_everything_as_it_was(name: str, network: str) -> None:
    subject, (images, labels) = built(network), batch(side=8)
    subject.train()
    result = subject(images)
    loss_of = result[0] if isinstance(result, tuple) else result
    loss_of.sum().backward()
    subject.eval()
    state = {key: value.clone() for key, value in subject.state_dict().items()}
    before = [(p, p.grad, None if p.grad is None else p.grad.clone()) for p in subject.parameters()]
    pixels, rng = images.clone(), torch.random.get_rng_state()
    found = score(name, subject, images, labels)
    assert math.isfinite(found)
    assert type(found) is float
    assert all(torch.equal(value, state[key]) for key, value in subject.state_dict().items())
    for parameter, gradient, copy in before:
        assert parameter.grad is gradient
        assert gradient is None or torch.equal(gradient, copy)
    assert not any(module.training or module._forward_hooks for module in subject.modules())
    assert torch.equal(images, pixels)
    assert not images.requires_grad
    assert torch.equal(torch.random.get_rng_state(), rng)
    assert score(name, built(network), images, labels) == found


@pytest.mark.parametrize("name", SCORES)
def test_a_network_without_a_path_has_a_score_that_says_so(name: str) -> None:
    dead = NASBENCH.build((0,) * 6)
    found = score(name, dead, *batch(side=8))
    if name in ("grad_norm", "snip", "grasp", "zico"):
        assert found == 0
    if name in ("synflow", "zen", "naswot", "az_expressivity", "az_progressivity", "az_trainability"):
        assert found == -math.inf
    if name == "jacob_cov":
        assert math.isnan(found)


@pytest.mark.parametrize("name", SCORES)
def test_numbers_that_overflow_raise_nothing(name: str) -> None:
    network = chain((Conv(2, 3, (3, 3)), ReLU()), (Zero(1),), side=8)
    with torch.no_grad():
        network.nodes[0][0].weight.fill_(math.inf)
        network.classifier.weight.fill_(math.nan)
    assert isinstance(score(name, network, *batch(side=8)), float)


def test_an_auxiliary_head_takes_no_part() -> None:
    network = built("auxiliary")
    plain = built("auxiliary")
    plain.auxiliary = None
    for name in ("grad_norm", "naswot", "zico", "meco"):
        assert score(name, network, *batch(side=8)) == score(name, plain, *batch(side=8)), name


# --- the estimator

TASK = Classification()
SPACE = NasBench201(channels=4, cells=1, **TASK.facts())
CANDIDATE = Candidate((3, 1, 2, 0, 3, 4))
QUICK = ZeroCost(TASK, Fidelity(resolution=16), ("synflow", "more_params", "naswot"), images=16)


def test_values_are_the_negated_scores_of_the_candidate() -> None:
    found = QUICK.evaluate(CANDIDATE, SPACE, 1)
    assert tuple(found) == QUICK.values == ("synflow", "more_params", "naswot")
    assert found["more_params"] == -SPACE.count(CANDIDATE.genotype).params
    assert found["naswot"] < 0
    assert QUICK.evaluate(CANDIDATE, SPACE, 1) == found
    assert QUICK.evaluate(CANDIDATE, SPACE, 2)["naswot"] != found["naswot"]


def test_a_score_does_not_depend_on_what_else_is_asked_for() -> None:
    several = ZeroCost(TASK, Fidelity(resolution=16), ("meco", "zen", "naswot"), images=16)
    alone = ZeroCost(TASK, Fidelity(resolution=16), ("zen",), images=16)
    assert several.evaluate(CANDIDATE, SPACE, 1)["zen"] == alone.evaluate(CANDIDATE, SPACE, 1)["zen"]


def test_draws_are_averaged() -> None:
    images, labels = QUICK.batch()
    found = []
    for draw in range(3):
        torch.manual_seed(draw_seed(1, draw))
        found.append(score("synflow", TASK.attach(SPACE.build(CANDIDATE.genotype)), images, labels))
    mean = ZeroCost(TASK, Fidelity(resolution=16), ("synflow",), draws=3).evaluate(CANDIDATE, SPACE, 1)["synflow"]
    assert mean == pytest.approx(-np.mean(found), rel=1e-9)


def test_the_batch_is_stratified_and_always_the_same() -> None:
    images, labels = ZeroCost(TASK, Fidelity(resolution=16), images=40).batch()
    assert images.shape == (40, 1, 16, 16)
    assert images.dtype == torch.float32
    assert labels.bincount().tolist() == [4] * 10
    assert labels.tolist() != sorted(labels.tolist())
    again, _ = ZeroCost(TASK, Fidelity(resolution=16), images=40).batch()
    assert torch.equal(images, again)


def test_the_initialisation_can_be_chosen() -> None:
    kinds = [ZeroCost(TASK, Fidelity(), ("synflow",), init=init) for init in ("default", "kaiming_normal")]
    one, two = (each.evaluate(CANDIDATE, SPACE, 1)["synflow"] for each in kinds)
    assert one > two  # He's weights are larger, so more flows


def test_the_global_generator_is_left_alone() -> None:
    state = torch.random.get_rng_state()
    QUICK.evaluate(CANDIDATE, SPACE, 1)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_score_that_is_not_finite_takes_no_other_with_it() -> None:
    found = ZeroCost(TASK, Fidelity(resolution=16), ("naswot", "snip")).evaluate(Candidate((0,) * 6), SPACE, 0)
    assert found == {"snip": 0.0}


def test_sizes_need_no_network() -> None:
    found = ZeroCost(TASK, Fidelity(width=2), ("more_macs",)).evaluate(CANDIDATE, SPACE, 0)
    assert found == {"more_macs": -SPACE.count(CANDIDATE.genotype).macs}


def test_a_network_without_a_path_fails_with_a_reason() -> None:
    with pytest.raises(FloatingPointError, match=r"naswot is -inf for the network of \(0, 0, 0, 0, 0, 0\)"):
        ZeroCost(TASK, Fidelity(resolution=16), ("naswot",)).evaluate(Candidate((0,) * 6), SPACE, 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scores": ("synflw",)}, "unknown score 'synflw': did you mean 'synflow'?"),
        ({"scores": ("params",)}, "unknown score 'params': did you mean 'more_params'?"),
        ({"scores": ("az_nas",)}, "ask for its components az_expressivity, az_progressivity"),
        ({"scores": ()}, "expected one or more"),
        ({"scores": ("zen", "zen")}, "none of them twice"),
        ({"images": 3}, "zero_cost.images = 3: expected 4 or more"),
        ({"draws": 0}, "zero_cost.draws = 0: expected 1 or more"),
        ({"init": "xavir"}, "did you mean 'xavier'?"),
    ],
)
def test_wrong_arguments_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as raised:
        ZeroCost(TASK, **given)  # type: ignore[arg-type]
    assert message in str(raised.value)


def test_a_search_can_minimise_a_score_and_a_cost() -> None:
    rung = {"type": "zero_cost", "scores": ["naswot", "more_params"], "images": 16}
    layer = {"space": {"type": "nasbench201", "channels": 4, "cells": 1}, "estimators": [rung]}
    tree = config.resolve("random", layers=[layer | {"objectives": ["naswot", "params"]}])
    problem = parts.problem_of(tree)
    costs = {"params": 1234.0}
    trial, _ = evaluate(problem, 0, CANDIDATE, costs, 0)
    assert trial.status == "done"
    assert trial.values["params"] == 1234
    assert trial.values["naswot"] < 0
    assert trial.values["more_params"] < 0


def test_features_span_the_batch_as_their_singular_values_say() -> None:
    """Two channels of one pixel: first independent, then equal but for a factor."""
    images = torch.zeros(4, 2, 1, 1)
    images[:, 0] = torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None, None]
    images[:, 1] = torch.tensor([1.0, 1.0, -1.0, -1.0])[:, None, None]
    network, labels = chain((Conv(2, 2),), side=1), torch.zeros(4, dtype=torch.int64)
    with torch.no_grad():
        network.nodes[0][0].weight.copy_(torch.eye(2)[..., None, None])
        found = {name: score(name, network, images, labels) for name in ("freedom", "effective_rank")}
        assert found["freedom"] == pytest.approx(2 / (1 + 1e-4)) and found["effective_rank"] == pytest.approx(2)
        assert score("log_determinant", network, images, labels) == pytest.approx(math.log(1 + 1e-4))
        network.nodes[0][0].weight[1] = 3 * network.nodes[0][0].weight[0]
    assert score("freedom", network, images, labels) == pytest.approx(2 / (2 + 1e-4))
    assert score("effective_rank", network, images, labels) == pytest.approx(1)
    assert score("log_determinant", network, images, labels) == pytest.approx((math.log(2 + 1e-4) + math.log(1e-4)) / 2)


def test_a_score_takes_the_images_that_are_usual_for_it_of_one_batch() -> None:
    both = ZeroCost(TASK, Fidelity(resolution=16), ("naswot", "freedom")).evaluate(CANDIDATE, SPACE, 1)
    images, labels = TASK.sample("train", Fidelity(resolution=16), 512)
    network = fresh_network(1)
    few, many = TASK.normalisation()(images)[:64], TASK.normalisation()(images)
    assert both["naswot"] == -SCORES["naswot"](network, few, labels[:64], drawn(draw_seed(1, 0)))
    assert both["freedom"] == -SCORES["freedom"](network, many, labels, drawn(draw_seed(1, 0)))


def fresh_network(seed: int) -> nn.Module:
    torch.manual_seed(draw_seed(seed, 0))
    return TASK.attach(SPACE.at(Fidelity(resolution=16)).build(CANDIDATE.genotype))
