"""Random-weight evaluation: features, normalisation by calibration, closed-form head, scores of the spectrum."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from frugalnas.core import Candidate, Fidelity, InputError
from frugalnas.estimators import ESTIMATORS
from frugalnas.estimators.random_weights import RandomWeights, half_width
from frugalnas.estimators.train import Train
from frugalnas.layers.depthwise import DepthwiseConv2d
from frugalnas.layers.initialise import draw_seed, initialise
from frugalnas.scores.linear import leave_one_out, ridge, softmax_regression
from frugalnas.scores.spectrum import effective_rank, freedom, log_determinant, pooled, spectrum, standardise
from frugalnas.spaces.cell import CellSpace
from frugalnas.spaces.nasbench201 import NasBench201
from frugalnas.tasks.classification import Classification
from frugalnas.tasks.loop import Recipe
from frugalnas.tasks.statistics import calibrate, embed

TASK = Classification(recipe=Recipe(batch=64))
SPACE = CellSpace(("sep_conv_3x3", "max_pool_3x3"), blocks=1, channels=6, cells=3, **TASK.facts())
CANDIDATE = Candidate((0, 0, 1, 0, 0, 0, 1, 0))
QUICK = RandomWeights(TASK, Fidelity(resolution=14), images=500, calibration=300)
ALL = ("error", "fit", "freedom", "log_determinant", "effective_rank")


def model() -> nn.Module:
    torch.manual_seed(0)
    return TASK.attach(SPACE.build(CANDIDATE.genotype))


def regression(n: int, d: int, classes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return standardise(features, features)[0], torch.randint(classes, (n,), generator=generator)


def refit(features: np.ndarray, targets: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Ridge regression with a free bias by solving the normal equations of the augmented problem."""
    inputs = np.hstack([features, np.ones((len(features), 1))])
    penalty = strength * np.eye(inputs.shape[1])
    penalty[-1, -1] = 0
    solution = np.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ targets)
    return solution[:-1], solution[-1]


# --- the heads


@pytest.mark.parametrize(("n", "d"), [(40, 6), (25, 40)])
@pytest.mark.parametrize("penalty", [1e-3, 0.1, 3.0])
def test_leave_one_out_equals_refitting_without_each_observation(n: int, d: int, penalty: float) -> None:
    features, labels = regression(n, d, 3)
    targets = 2 * nn.functional.one_hot(labels, 3).double() - 1
    fast = leave_one_out(spectrum(features), targets, penalty)
    phi, y, errors = features.numpy(), targets.numpy(), []
    for i in range(n):
        weights, bias = refit(np.delete(phi, i, 0), np.delete(y, i, 0), n * penalty)
        errors.append((y[i] - phi[i] @ weights - bias) ** 2)
    assert fast == pytest.approx(np.mean(errors), rel=1e-8)


@pytest.mark.parametrize("d", [8, 90], ids=["fewer features than images", "more"])
def test_ridge_is_the_solution_for_its_penalty(d: int) -> None:
    features, labels = regression(60, d, 4)
    targets = 2 * nn.functional.one_hot(labels, 4).double() - 1
    for penalty in (1e-3, 1.0):
        weights, bias = ridge(features, labels, 4, (penalty,), spectrum(features))
        expected = refit(features.numpy(), targets.numpy(), 60 * penalty)
        assert np.allclose(weights, expected[0], atol=1e-9) and np.allclose(bias, expected[1], atol=1e-9)


def test_ridge_takes_the_penalty_that_predicts_best() -> None:
    features, labels = regression(60, 8, 4)
    found = spectrum(features)
    noise = ridge(features, labels, 4, (1e-3, 1e3), found)[0]  # labels are noise: the strong penalty predicts better
    assert torch.equal(noise, ridge(features, labels, 4, (1e3,), found)[0])
    telling = (features[:, :4].argmax(1)).long()
    best = ridge(features, telling, 4, (1e3, 1e-3), found)[0]
    assert torch.equal(best, ridge(features, telling, 4, (1e-3,), found)[0])


def test_constant_features_do_no_harm() -> None:
    features = torch.cat([torch.randn(30, 3), torch.full((30, 1), 4.0)], dim=1)
    known, new = standardise(features, features + 1)
    assert torch.equal(known[:, 3], torch.zeros(30)) and torch.isfinite(new).all()
    assert torch.allclose(known[:, :3].std(0, correction=0), torch.ones(3, dtype=torch.float64))
    assert torch.isfinite(ridge(known, torch.arange(30) % 3, 3, (1e-4,), spectrum(known))[0]).all()


def test_softmax_regression_reaches_the_minimum_of_its_loss() -> None:
    features, labels = regression(200, 3, 3)
    weights, bias = softmax_regression(features, labels, 3, epochs=300, lr=1.0)
    parameters = [weights.clone().requires_grad_(), bias.clone().requires_grad_()]
    nn.functional.cross_entropy(features @ parameters[0] + parameters[1], labels).backward()
    assert max(parameter.grad.abs().max() for parameter in parameters) < 1e-4


# --- the spectrum


@pytest.mark.parametrize(("n", "d"), [(40, 6), (12, 30)])
def test_the_scores_of_a_spectrum_are_those_of_the_singular_values(n: int, d: int) -> None:
    features, _ = regression(n, d, 2)
    found = spectrum(features)
    values = np.zeros(d)
    singular = np.linalg.svd(features.numpy(), compute_uv=False)
    values[: len(singular)] = singular**2 / n
    assert values.sum() == pytest.approx(d), "standardised features have variance 1"
    assert freedom(found, 0.1) == pytest.approx((values / (values + 0.1)).sum())
    assert log_determinant(found, 0.1) == pytest.approx(np.log(values + 0.1).mean())
    shares = values[values > 1e-12] / d
    assert effective_rank(found) == pytest.approx(math.exp(-(shares * np.log(shares)).sum()))
    rebuilt = (found.vectors * found.values) @ found.vectors.T
    assert torch.allclose(rebuilt, features @ features.T / n, atol=1e-9), "the eigenvectors of the kernel of the images"


def test_scores_of_features_known_by_hand() -> None:
    x = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    y = torch.tensor([1.0, 1.0, -1.0, -1.0], dtype=torch.float64)
    two, one = spectrum(torch.stack([x, y], 1)), spectrum(torch.stack([x, x], 1))  # eigenvalues 1, 1 and 2, 0
    assert freedom(two, 1.0) == pytest.approx(1.0) and freedom(one, 1.0) == pytest.approx(2 / 3)
    assert effective_rank(two) == pytest.approx(2.0) and effective_rank(one) == pytest.approx(1.0)
    assert log_determinant(two, 1.0) == pytest.approx(math.log(2))
    assert log_determinant(one, 1.0) == pytest.approx(math.log(3) / 2)
    nothing = spectrum(torch.zeros(4, 2, dtype=torch.float64))
    assert (freedom(nothing, 0.1), effective_rank(nothing)) == (0.0, 0.0)
    assert log_determinant(nothing, 0.1) == pytest.approx(math.log(0.1))


def test_pooling_averages_cells_and_leaves_smaller_maps_as_they_are() -> None:
    big, small = torch.arange(32.0).view(1, 2, 4, 4), torch.tensor([[[[7.0]]]])
    assert pooled([big, small], 2).tolist() == [[2.5, 4.5, 10.5, 12.5, 18.5, 20.5, 26.5, 28.5, 7.0]]
    assert pooled([big], 1).tolist() == [[7.5, 23.5]]


# --- features


def test_calibration_normalises_every_layer_and_restores_the_model() -> None:
    network, normalise = model(), TASK.normalisation()
    images, _ = TASK.images("train", Fidelity(samples=0.05, resolution=14))
    layers = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    network.train()
    calibrate(network, images, normalise, 100)
    assert network.training and all(layer.momentum == 0.1 for layer in layers)
    moments = {}

    def keep(layer: nn.Module, _: object, out: torch.Tensor) -> None:
        moments[layer] = (out.mean((0, 2, 3)), out.std((0, 2, 3)))

    for layer in layers:
        layer.register_forward_hook(keep)
    embed(network, images, normalise, len(images), batch_statistics=False)
    assert len(moments) == len(layers)
    for mean, deviation in moments.values():
        assert mean.abs().max() < 0.1 and (deviation - 1).abs().max() < 0.1
    once = embed(network, images[:10], normalise, 10, batch_statistics=False)
    assert torch.allclose(embed(network, images, normalise, 7, batch_statistics=False)[:10], once, atol=1e-5)


def test_calibration_averages_over_all_images() -> None:
    network, normalise = model(), TASK.normalisation()
    images, _ = TASK.images("train", Fidelity(samples=0.05, resolution=14))
    stem = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    seen = []
    stem.register_forward_hook(lambda _, given, __: seen.append(given[0].mean((0, 2, 3))))
    calibrate(network, images, normalise, 100)
    assert len(seen) == 4
    assert torch.allclose(stem.running_mean, torch.stack(seen).mean(0), atol=1e-4)


@pytest.mark.parametrize("init", ["kaiming_normal", "kaiming_uniform", "xavier", "orthogonal"])
def test_initialisation_draws_every_convolution(init: str) -> None:
    network, untouched = model(), model()
    initialise(network, init)
    drawn, before, again = ([p for p in m.parameters() if p.ndim == 4] for m in (network, untouched, model()))
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | DepthwiseConv2d)]
    assert len(drawn) == len(layers) > 0 and any(isinstance(layer, DepthwiseConv2d) for layer in layers)
    assert all(not torch.equal(new, old) for new, old in zip(drawn, before, strict=True))
    initialise(untouched, "default")
    assert all(torch.equal(old, other) for old, other in zip(before, again, strict=True))


def test_dense_convolutions_in_channels_last_order_can_be_orthogonal() -> None:
    network = TASK.attach(NasBench201(channels=4, cells=1, **TASK.facts()).build((3, 1, 3, 0, 2, 3)))
    initialise(network, "orthogonal")
    weight = next(m.weight for m in network.modules() if isinstance(m, nn.Conv2d) and m.weight.shape[:2] == (4, 4))
    rows = weight.flatten(1)
    assert torch.allclose(rows @ rows.T, torch.eye(4), atol=1e-5)


# --- the estimator


@pytest.mark.parametrize(
    "change",
    [
        *({}, {"init": "orthogonal"}, {"init": "default"}, {"normalisation": "batch"}, {"normalisation": "default"}),
        *({"head": "sgd"}, {"images": 0, "fidelity": Fidelity(samples=0.05, resolution=14)}),
    ],
    ids=str,
)
def test_random_features_tell_classes_apart_and_the_same_seed_repeats(change: dict[str, object]) -> None:
    estimator = replace(QUICK, **change)
    first = estimator.evaluate(CANDIDATE, SPACE, 3)
    torch.rand(11)
    assert estimator.evaluate(CANDIDATE, SPACE, 3) == first
    assert tuple(first) == estimator.values == ALL and first["error"] < 0.7  # chance is 0.9
    assert first["fit"] < first["error"], "of the images that it was fitted to a classifier knows more"
    assert estimator.evaluate(CANDIDATE, SPACE, 4) != first


def test_the_features_of_the_last_maps_averaged_are_what_the_classifier_reads() -> None:
    network = model()
    estimator = replace(QUICK, features="last", pool=1, normalisation="default")
    pixels, _ = TASK.sample("train", QUICK.fidelity, 50)
    expected = embed(network, pixels, TASK.normalisation(), 50, False)
    torch.testing.assert_close(estimator._features(network, [pixels])[0], expected, rtol=1e-4, atol=1e-5)
    scales = replace(estimator, features="scales")._features(network, [pixels])[0]
    assert scales.shape == (50, 6 + 12 + 24) and torch.allclose(scales[:, -24:], expected)


def test_scores_asked_for_alone_are_those_among_all() -> None:
    everything = QUICK.evaluate(CANDIDATE, SPACE, 3)
    for score in ALL:
        alone = replace(QUICK, scores=(score,))
        assert alone.evaluate(CANDIDATE, SPACE, 3) == {score: everything[score]}


def test_only_the_error_looks_at_validation_images(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = Classification.images
    monkeypatch.setattr(Classification, "images", lambda self, part, f: seen.append(part) or real(self, part, f))
    replace(QUICK, scores=ALL[1:]).evaluate(CANDIDATE, SPACE, 3)
    assert set(seen) == {"train"}
    QUICK.evaluate(CANDIDATE, SPACE, 3)
    assert set(seen) == {"train", "validation"}


def test_several_draws_give_their_mean_and_its_interval() -> None:
    few = replace(QUICK, draws=3, scores=("fit", "freedom"))
    values = few.evaluate(CANDIDATE, SPACE, 3)
    drawn = []
    for draw in range(3):
        torch.manual_seed(draw_seed(3, draw))
        drawn.append(few.rate(TASK.attach(SPACE.at(QUICK.fidelity).build(CANDIDATE.genotype))))
    assert tuple(values) == few.values == ("fit", "freedom", "fit_ci", "freedom_ci")
    for score in few.scores:
        each = [scores[score] for scores in drawn]
        assert len(set(each)) == 3 and values[score] == pytest.approx(np.mean(each))
        assert values[f"{score}_ci"] == pytest.approx(4.302653 * np.std(each, ddof=1) / math.sqrt(3), rel=1e-6)
    assert half_width([1.0, 1.0]) == 0.0
    assert len({draw_seed(seed, draw) for seed in range(20) for draw in range(20)}) == 400


def test_the_sample_is_stratified_and_the_same_for_all() -> None:
    pixels, labels = TASK.sample("train", Fidelity(), 100)
    assert labels.bincount().tolist() == [10] * 10 and labels[:10].unique().numel() > 3, "in no order of classes"
    again, _ = TASK.sample("train", Fidelity(), 100)
    assert torch.equal(pixels, again)
    assert len(TASK.sample("validation", Fidelity(), 0)[1]) == TASK.counts()["validation"]


def test_training_after_random_weights_in_one_process() -> None:
    """Images cached while features are computed without gradients are good for training."""
    fidelity = Fidelity(samples=0.03, resolution=13)
    replace(QUICK, fidelity=fidelity).evaluate(CANDIDATE, SPACE, 0)
    assert Train(TASK, fidelity).evaluate(CANDIDATE, SPACE, 0)["loss"] > 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"init": "kaimng_normal"}, "did you mean 'kaiming_normal'"),
        ({"normalisation": "calibrate"}, "did you mean 'calibrated'"),
        ({"head": "rigde"}, "did you mean 'ridge'"),
        ({"draws": 0}, "draws = 0: expected 1 or more"),
        ({"images": -1}, "images = -1"),
        ({"penalties": ()}, "penalties"),
        ({"penalties": (0.0,)}, "penalties"),
        ({"lr": -1.0}, "lr"),
        ({"penalty": 0.0}, "penalty"),
        ({"pool": 0}, "pool = 0: expected 1 or more"),
        ({"features": "scale"}, "did you mean 'scales'"),
        ({"scores": ("freedm",)}, "did you mean 'freedom'"),
        ({"scores": ()}, "expected one or more"),
        ({"scores": ("fit", "fit")}, "none twice"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RandomWeights(TASK, **wrong)


def test_names() -> None:
    assert ESTIMATORS["random_weights"] is RandomWeights
