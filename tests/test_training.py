"""The training loop, its augmentation, the classification task and the estimator that trains."""

import ast
import math
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from frugalnas.core import Candidate, Fidelity, InputError
from frugalnas.estimators.train import Train
from frugalnas.spaces.cell import CellSpace
from frugalnas.tasks import augment as augmentation
from frugalnas.tasks import classification, loop, memory, tensors
from frugalnas.tasks.augment import Mixing, Normalise, augment, crop_flip, cutout, draw, measure, mixing
from frugalnas.tasks.classification import Classification
from frugalnas.tasks.data import DataSource, load_train
from frugalnas.tasks.device import device_of
from frugalnas.tasks.images import stratified
from frugalnas.tasks.loop import Epoch, epochs, fit, learner, predict, rate
from frugalnas.tasks.recipe import RECIPES, Budget, Recipe
from frugalnas.tasks.tensors import resize

PLAIN = Recipe(batch=8, crop_padding=0, flip=False, clip=0.0, weight_decay=0.0)


def pixels(n: int = 6, channels: int = 3, side: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.randint(1, 256, (n, channels, side, side), dtype=torch.uint8, generator=torch.manual_seed(seed))


def network(side: int = 8, channels: int = 3, classes: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * side * side, classes))


def augmented(images: torch.Tensor, normalise: Normalise, recipe: Recipe, generator: torch.Generator) -> torch.Tensor:
    height, width = images.shape[2:]
    return augment(images, normalise, recipe, draw(len(images), (height, width), recipe, generator))


def mixed(images: torch.Tensor, recipe: Recipe, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, float]:
    height, width = images.shape[2:]
    way = mixing(len(images), (height, width), recipe, rng)
    assert way is not None
    return way(images, images[way.order]), way.order, way.share


class Recording(nn.Module):
    """A network with one weight that keeps what it was given."""

    def __init__(self, give: str = "logits") -> None:
        super().__init__()
        self.give, self.batches, self.drops, self.drop_path = give, [], [], -1.0
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        self.batches.append(x.detach().clone())
        self.drops.append(self.drop_path)
        logits = self.weight * x.mean((1, 2, 3))[:, None].expand(-1, 3)
        if self.give == "nan" and len(self.batches) == 3:
            return logits * math.nan
        return (logits, 2 * logits) if self.give == "auxiliary" and self.training else logits


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> DataSource:
    """Three classes of bright squares at different places; the test part is garbage that no reader accepts."""
    rng = np.random.default_rng(0)
    labels = np.arange(150) % 3
    images = rng.integers(0, 60, (150, 12, 12, 3), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4 * label : 4 * label + 4, 2:10] += 150
    path = tmp_path_factory.mktemp("data") / "squares.npz"
    np.savez(path, x_train=images, y_train=labels, x_test=np.array(["garbage"]), y_test=np.array([math.nan]))
    return DataSource(str(path))


def space(**sizes: int | bool) -> CellSpace:
    defaults = {"channels": 4, "cells": 3, "in_channels": 3, "classes": 3, "resolution": 12, "blocks": 1}
    return CellSpace(("sep_conv_3x3", "max_pool_3x3"), **(defaults | sizes))


CANDIDATE = Candidate((0, 0, 1, 0, 0, 0, 1, 0))


# --- augmentation


def test_crop_without_offset_is_the_image() -> None:
    images, n = pixels(), 6
    centre, straight = torch.full((n,), 2), torch.zeros(n, dtype=torch.bool)
    assert torch.equal(crop_flip(images, 2, centre, centre, straight), images)
    assert torch.equal(crop_flip(images, 2, centre, centre, ~straight), images.flip(3))
    assert crop_flip(images, 2, centre, centre, straight).is_contiguous(memory_format=torch.channels_last)


def test_each_crop_is_the_window_of_the_zero_padded_image() -> None:
    images = pixels()
    top, left = torch.tensor([0, 1, 2, 3, 4, 4]), torch.tensor([4, 3, 0, 1, 2, 4])
    flipped = torch.tensor([False, True, False, True, False, True])
    cropped = crop_flip(images, 2, top, left, flipped)
    for image, result, y, x, mirrored in zip(images, cropped, top, left, flipped, strict=True):
        padded = np.pad(image.numpy(), ((0, 0), (2, 2), (2, 2)))
        window = padded[:, y : y + 8, x : x + 8]
        assert np.array_equal(result, window[:, :, ::-1] if mirrored else window)


def test_about_half_of_the_images_are_flipped_and_crops_reach_every_offset() -> None:
    image = pixels(1, 1).expand(2000, 1, 8, 8)
    identity = Normalise(torch.zeros(1), torch.full((1,), 1 / 255))
    generator = torch.Generator().manual_seed(0)
    flipped = augmented(image, identity, replace(PLAIN, flip=True), generator)
    mirrored = (flipped == image.flip(3).float()).flatten(1).all(1)
    straight = (flipped == image.float()).flatten(1).all(1)
    assert torch.equal(mirrored, ~straight) and 0.45 < mirrored.double().mean() < 0.55
    cropped = augmented(image, identity, replace(PLAIN, crop_padding=2), generator)
    assert len({tuple(one.flatten().tolist()) for one in cropped}) == 25


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8])
def test_cutout_clears_a_clipped_square(size: int) -> None:
    images = torch.ones(200, 2, 8, 8)
    row, column = torch.arange(200) % 8, torch.arange(200) // 8 % 8
    cleared = cutout(images, size, row, column) == 0
    for one, y, x in zip(cleared, row.tolist(), column.tolist(), strict=True):
        expected = torch.zeros(8, 8, dtype=torch.bool)
        y0, x0 = y - size // 2, x - size // 2
        expected[max(y0, 0) : y0 + size, max(x0, 0) : x0 + size] = True
        assert torch.equal(one[0], expected) and torch.equal(one[1], expected)
    assert cleared[:, 0].sum((1, 2)).max() <= size * size


def test_pixels_of_the_recipe_shrink_with_the_resolution() -> None:
    recipe = Recipe(cutout=16, crop_padding=4, lr=0.3).scaled(0.5)
    assert (recipe.cutout, recipe.crop_padding, recipe.lr) == (8, 2, 0.3)
    assert Recipe(cutout=6).at(14, 28).cutout == 3 and Recipe(cutout=16, resolution=32).at(8, 28).cutout == 4


@pytest.mark.parametrize("wrong", [{}, {"epochs": 3, "minutes": 1.0}, {"epochs": -1}, {"minutes": 0.0}])
def test_a_budget_is_epochs_or_minutes(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="epochs|minutes"):
        Budget(**wrong)  # type: ignore[arg-type]


def test_normalised_training_images_have_mean_0_and_deviation_1() -> None:
    images = torch.cat([pixels(40, 2), torch.full((40, 1, 8, 8), 7, dtype=torch.uint8)], dim=1)
    normalised = measure(images)(images)
    assert torch.allclose(normalised.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(normalised.std((0, 2, 3))[:2], torch.ones(2), atol=1e-3)  # the third channel is constant


def test_mixup_averages_each_image_with_another() -> None:
    rng = np.random.default_rng(0)
    images = torch.rand(16, 3, 8, 8)
    shares = []
    for _ in range(200):
        result, order, share = mixed(images, Recipe(mixup=0.5), rng)
        assert sorted(order.tolist()) == list(range(16))
        assert torch.allclose(result, share * images + (1 - share) * images[order], atol=1e-6)
        shares.append(share)
    assert np.mean(shares) == pytest.approx(0.5, abs=0.08)
    assert np.var(shares) == pytest.approx(1 / 8, rel=0.25)  # of Beta(a, a): 1 / (4 (2 a + 1))


def test_cutmix_puts_a_rectangle_of_another_image_in_and_counts_its_area() -> None:
    rng, images = np.random.default_rng(0), torch.rand(4, 2, 8, 12)
    shares = []
    for _ in range(300):
        result, order, share = mixed(images, Recipe(cutmix=1.0), rng)
        other = (result != images).any(1)  # (N, H, W)
        moved = other[(order != torch.arange(4)).nonzero()[:, 0]]
        if len(moved):
            assert (moved == moved[0]).all()
            assert moved[0].float().mean().item() == pytest.approx(1 - share, abs=1e-6)
            rows, columns = moved[0].any(1), moved[0].any(0)
            assert torch.equal(moved[0], rows[:, None] & columns)  # a rectangle
        assert torch.equal(result, torch.where(other[:, None], images[order], images))
        shares.append(share)
    assert min(shares) < 0.3 and max(shares) > 0.95
    assert mixed(images, Recipe(cutmix=1.0), rng)[0].is_contiguous(memory_format=torch.channels_last)


def test_so_many_batches_are_mixed_and_half_of_them_in_each_way() -> None:
    rng = np.random.default_rng(0)
    kinds = []
    for _ in range(600):
        way = mixing(8, (8, 8), Recipe(mixup=1.0, cutmix=1.0, mix_probability=0.4), rng)
        kinds.append(None if way is None else way.box is not None)
    assert kinds.count(None) / 600 == pytest.approx(0.6, abs=0.06)
    assert kinds.count(True) == pytest.approx(kinds.count(False), rel=0.35)
    for off in (Recipe(), Recipe(mixup=1.0, mix_probability=0.0)):
        assert mixing(8, (8, 8), off, rng) is None


def test_the_loss_of_a_mixed_batch_has_both_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    order = torch.tensor([3, 2, 0, 1])
    monkeypatch.setattr(loop, "mixing", lambda *_: Mixing(order, 0.3))
    model, images, labels = network(), pixels(4), torch.tensor([0, 1, 2, 0])
    inputs = measure(images)(images)
    logits = model(0.3 * inputs + 0.7 * inputs[order])
    expected = 0.3 * nn.functional.cross_entropy(logits, labels)
    expected += 0.7 * nn.functional.cross_entropy(logits, labels[order])
    monkeypatch.setattr(torch, "randperm", lambda n, generator: torch.arange(n))
    (epoch,) = fit(model, images, labels, PLAIN, Budget(1), 0)
    assert epoch.loss == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["cifar10", "imagenet", "svhn"])
def test_auto_augment_changes_images_of_one_and_three_channels(name: str, channels: int) -> None:
    pytest.importorskip("torchvision", reason="the policies are torchvision's")
    images, identity = pixels(40, channels), Normalise(torch.zeros(channels), torch.full((channels,), 1 / 255))
    results = []
    for _ in range(2):
        recipe = replace(PLAIN, auto_augment=name)
        results.append(augmented(images, identity, recipe, torch.Generator().manual_seed(0)))
    assert torch.equal(*results) and results[0].shape == images.shape
    changed = (results[0] != images.float()).flatten(1).any(1)
    assert 0.3 < changed.double().mean() < 1
    assert len({tuple(one.flatten().tolist()) for one in results[0]}) > 30  # each image its own


def test_auto_augment_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="2 channels, expected 1 or 3"):
        augmentation.policy("cifar10", 2)
    augmentation.policy.cache_clear()
    monkeypatch.setitem(sys.modules, "torchvision.transforms", None)
    with pytest.raises(InputError, match=r"recipe.auto_augment needs torchvision .*frugalnas\[vision\]"):
        augmentation.policy("cifar10", 3)


# --- the loop


def test_every_image_is_seen_once_an_epoch_in_an_order_of_the_seed() -> None:
    images = torch.arange(20, dtype=torch.uint8)[:, None, None, None].expand(20, 1, 8, 8).contiguous()
    identity = Normalise(torch.zeros(1), torch.full((1,), 1 / 255))
    orders = []
    for seed in (0, 0, 1):
        model = Recording()
        fit(model, images, torch.zeros(20, dtype=torch.long), PLAIN, Budget(2), seed, identity)
        orders.append([int(value) for batch in model.batches for value in batch[:, 0, 0, 0]])
        assert [len(batch) for batch in model.batches] == [8, 8, 4] * 2
        assert sorted(orders[-1][:20]) == sorted(orders[-1][20:]) == list(range(20))
    assert orders[0] == orders[1] != orders[2]
    assert orders[0][:20] != orders[0][20:]


@pytest.mark.parametrize(("n", "sizes"), [(17, [8, 8]), (16, [8, 8]), (18, [8, 8, 2]), (5, [5]), (2, [2])])
def test_batches_of_odd_data_sets(n: int, sizes: list[int]) -> None:
    model = Recording()
    done = fit(model, pixels(n), torch.zeros(n, dtype=torch.long), PLAIN, Budget(1), 0)
    assert [len(batch) for batch in model.batches] == sizes
    assert [epoch.loss for epoch in done] == pytest.approx([math.log(3)]) and done[0].images == sum(sizes)


def test_one_image_is_refused() -> None:
    with pytest.raises(InputError, match="1 image"):
        fit(network(), pixels(1), torch.zeros(1, dtype=torch.long), PLAIN, Budget(1), 0)


def test_a_loss_that_is_not_a_number_ends_the_training_at_once() -> None:
    model = Recording("nan")
    with pytest.raises(FloatingPointError, match=r"loss became nan \(epoch 1, step 3\)"):
        fit(model, pixels(60), torch.zeros(60, dtype=torch.long), PLAIN, Budget(1), 0)
    assert len(model.batches) == 3


def test_divergence_is_an_error() -> None:
    labels = torch.arange(60) % 3
    with pytest.raises(FloatingPointError, match="loss became"):
        fit(network(), pixels(60), labels, replace(PLAIN, lr=1e38), Budget(3), 0)


def test_drop_path_rises_linearly_from_0() -> None:
    model = Recording()
    fit(model, pixels(8), torch.zeros(8, dtype=torch.long), replace(PLAIN, drop_path=0.2), Budget(4), 0)
    assert model.drops == pytest.approx([0, 0.05, 0.1, 0.15])


def test_steps_are_those_of_sgd_with_a_cosine_per_batch() -> None:
    images, labels = pixels(16), torch.arange(16) % 3
    recipe = replace(PLAIN, batch=16, clip=0.1, weight_decay=0.01, nesterov=True, label_smoothing=0.1)
    model, twin = network(), network()
    done = fit(model, images, labels, recipe, Budget(4), 0)
    optimiser = torch.optim.SGD(twin.parameters(), 0.05, 0.9, weight_decay=0.01, nesterov=True)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 4)
    inputs, expected = measure(images)(images), []
    for _ in range(4):
        loss = nn.functional.cross_entropy(twin(inputs), labels, label_smoothing=0.1)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(twin.parameters(), 0.1)
        optimiser.step()
        cosine.step()
        expected.append(loss.item())
    assert [epoch.loss for epoch in done] == pytest.approx(expected, rel=1e-4)
    assert [epoch.epoch for epoch in done] == [1, 2, 3, 4]
    assert torch.allclose(model[1].weight, twin[1].weight, atol=1e-5)


def test_the_learning_rate_warms_up_and_falls_to_0() -> None:
    recipe = Recipe(lr=0.4, warmup=0.2)
    assert [rate(recipe, share) for share in (0.0, 0.1, 0.2, 0.6, 1.0)] == pytest.approx([0, 0.2, 0.4, 0.2, 0])
    assert [rate(Recipe(lr=0.4), share) for share in (0.0, 0.5, 1.0)] == pytest.approx([0.4, 0.2, 0])


def test_the_average_is_over_weights_and_statistics_with_a_rising_decay() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3 * 64, 3))
    states: list[dict[str, torch.Tensor]] = []
    model.register_forward_pre_hook(
        lambda *_: states.append({name: value.clone() for name, value in model.state_dict().items()})
    )
    parts = learner(model, replace(PLAIN, ema=0.7))
    assert parts.average is not None
    list(epochs(parts, pixels(24), torch.arange(24) % 3, replace(PLAIN, ema=0.7), Budget(3), 0, measure(pixels(24))))
    states = [*states[1:], model.state_dict()]  # after each of the nine steps
    for name in ("0.weight", "0.running_mean", "0.running_var", "2.weight"):
        expected = states[0][name]
        for step, state in enumerate(states[1:], 1):
            decay = min(0.7, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay) * state[name]
        assert torch.allclose(parts.result.state_dict()[name], expected, atol=1e-6), name
        assert not torch.allclose(expected, states[-1][name], atol=1e-6)


def test_fit_leaves_the_average_in_the_model() -> None:
    recipe = replace(PLAIN, ema=0.9, lr=0.5)
    averaged, last = network(), network()
    for model, its in ((averaged, recipe), (last, replace(recipe, ema=0.0))):
        fit(model, pixels(24), torch.arange(24) % 3, its, Budget(3), 0)
    parts = learner(network(), recipe)
    list(epochs(parts, pixels(24), torch.arange(24) % 3, recipe, Budget(3), 0, measure(pixels(24))))
    assert torch.equal(averaged[1].weight, parts.result[1].weight)  # type: ignore[index]
    assert torch.equal(last[1].weight, parts.network[1].weight) and not torch.equal(last[1].weight, averaged[1].weight)


@pytest.mark.parametrize("clip", [0.0, 5.0])
@pytest.mark.parametrize(("precision", "near"), [("bfloat16", 0.05), ("float16", 0.01)])
def test_lower_precision_trains_to_about_the_same_loss(precision: str, near: float, clip: float) -> None:
    labels, losses = torch.arange(24) % 3, {}
    for kind in ("auto", "float32", precision):
        torch.manual_seed(0)
        model = space(resolution=8, in_channels=3).build((0, 0, 1, 0, 0, 0, 1, 0))
        recipe = replace(PLAIN, precision=kind, clip=clip)
        losses[kind] = [epoch.loss for epoch in fit(model, pixels(24), labels, recipe, Budget(2), 0)]
        assert all(weight.dtype == torch.float32 for weight in model.parameters())
    assert losses["auto"] == losses["float32"] != losses[precision]
    assert losses[precision] == pytest.approx(losses["float32"], rel=near)


def test_any_network_that_gives_logits_can_be_trained_in_minutes() -> None:
    images = load_train(DataSource())
    few = torch.from_numpy(images.pixels[:600]), torch.from_numpy(images.labels[:600])
    torch.manual_seed(0)
    plain = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, 2), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10)),
    )
    recipe = RECIPES["short"].recipe.at(28, 28)
    normalise = measure(few[0])
    start = time.monotonic()
    done = fit(plain, *few, recipe, Budget(minutes=2 / 60), 0, normalise)
    assert time.monotonic() - start < 3 and isinstance(done[-1], Epoch) and done[-1].lr < 0.05 * recipe.lr
    assert (predict(plain, few[0], normalise, 256).argmax(1) != few[1]).float().mean() < 0.5


def test_an_epoch_is_the_same_whenever_it_is_reached() -> None:
    recipe = replace(PLAIN, flip=True, crop_padding=2, mixup=0.2)
    both, first, second = Recording(), Recording(), Recording()
    images, labels = pixels(20), torch.zeros(20, dtype=torch.long)
    fit(both, images, labels, recipe, Budget(2), 5)
    for model, done in ((first, 0), (second, 1)):
        running = epochs(learner(model, recipe), images, labels, recipe, Budget(2), 5, measure(images), done=done)
        assert next(running).epoch == done + 1
    assert all(map(torch.equal, both.batches, [*first.batches, *second.batches]))
    assert not torch.equal(first.batches[0], second.batches[0])


def test_the_auxiliary_loss_is_added_with_its_weight() -> None:
    images, labels = pixels(8), torch.arange(8) % 3
    both = fit(Recording("auxiliary"), images, labels, replace(PLAIN, auxiliary=0.4, lr=1e-9), Budget(1), 0)
    main = fit(Recording("auxiliary"), images, labels, replace(PLAIN, lr=1e-9), Budget(1), 0)
    assert both[0].loss == pytest.approx(1.4 * main[0].loss, rel=1e-5)  # the logits are equal for all classes
    with pytest.raises(InputError, match="no auxiliary head"):
        fit(Recording(), images, labels, replace(PLAIN, auxiliary=0.4), Budget(1), 0)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"batch": 1}, {"lr": 0.0}, {"lr": math.nan}, {"clip": -1.0}, {"cutout": -2}, {"drop_path": 1.0}),
        *({"warmup": 1.0}, {"ema": 1.0}, {"mixup": -0.1}, {"cutmix": math.nan}, {"resolution": -1}),
        *({"mix_probability": 1.1}, {"auto_augment": "cifar"}, {"precision": "half"}),
        *({"momentum": -0.1}, {"momentum": 0.0, "nesterov": True}, {"label_smoothing": 1.0}, {"auxiliary": math.inf}),
    ],
)
def test_recipes_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(
        InputError,
        match=f"recipe.{next(iter(wrong)) if len(wrong) == 1 else 'nesterov'} = .*(expected|did you mean|known)",
    ):
        Recipe(**wrong)


# --- the task


def test_the_test_part_is_never_read(source: DataSource) -> None:
    task = Classification(source)
    assert task.facts() == {"in_channels": 3, "classes": 3, "resolution": 12}
    assert len(task.images("train", Fidelity())[1]) + len(task.images("validation", Fidelity())[1]) == 150
    for module in (classification, loop, memory, tensors):
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert not {"load_test", "test"} & names


def test_scores_are_of_all_validation_images_and_repeat(source: DataSource, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Classification(source, batch=7)
    torch.manual_seed(0)
    model = task.attach(space().build(CANDIDATE.genotype))
    first = task.score(model, Fidelity())
    assert task.score(model, Fidelity()) == first
    assert replace(task, batch=30).score(model, Fidelity()) == pytest.approx(first, rel=1e-5)
    images, labels = task.images("validation", Fidelity())
    for changed in (0, len(labels) - 1):
        moved = labels.clone()
        with torch.inference_mode():
            logits = model(task.normalisation()(images[changed : changed + 1]))
        guess = int(logits.argmax())
        moved[changed] = guess if labels[changed] != guess else (guess + 1) % 3
        step = -1 if labels[changed] != guess else 1
        monkeypatch.setattr(tensors, "resident", lambda *_, moved=moved: (images, moved))
        assert task.score(model, Fidelity())["error"] == pytest.approx(first["error"] + step / len(labels))


def test_a_share_of_the_samples_is_stratified_fixed_and_nested(source: DataSource) -> None:
    labels = np.repeat(np.arange(4), [100, 10, 40, 3])
    quarter, half = stratified(labels, 0.25, 0), stratified(labels, 0.5, 0)
    assert np.bincount(labels[quarter]).tolist() == [25, 2, 10, 1]
    assert set(quarter) < set(half)
    assert not np.array_equal(quarter, stratified(labels, 0.25, 1))
    task, fidelity = Classification(source), Fidelity(samples=0.5)
    assert len(task.images("train", fidelity)[1]) == 60 and len(task.images("validation", fidelity)[1]) == 30
    assert task.images("train", fidelity)[0] is task.images("train", fidelity)[0]


def test_resizing_keeps_values_and_averages_detail_away(source: DataSource) -> None:
    flat = torch.tensor([0, 7, 255], dtype=torch.uint8)[:, None, None, None].expand(3, 2, 12, 12)
    assert torch.equal(resize(flat, 6), flat[:, :, :6, :6])
    stripes = torch.zeros(1, 1, 12, 12, dtype=torch.uint8)
    stripes[..., ::2] = 200
    assert (resize(stripes, 6)[..., 1:-1].float() - 100).abs().max() <= 15
    assert Classification(source).images("validation", Fidelity(resolution=8))[0].shape == (30, 3, 8, 8)


def test_fitting_scales_the_recipe_and_uses_the_fidelity(source: DataSource, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(loop, "epochs", lambda *given, done: calls.append(given) or iter(()))
    task = Classification(source, Recipe(cutout=6, crop_padding=4))
    task.fit(task.learner(network()), Fidelity(epochs=5, samples=0.5, resolution=6), seed=9)
    _, images, labels, recipe, budget, seed, normalise = calls[0]
    assert images.shape == (60, 3, 6, 6) and len(labels) == 60 and (budget, seed) == (Budget(5), 9)
    assert (recipe.cutout, recipe.crop_padding) == (3, 2)
    assert torch.equal(normalise.mean, measure(task.images("train", Fidelity())[0]).mean)


def test_devices() -> None:
    assert device_of("cpu").type == "cpu" and device_of("auto").type in ("cpu", "cuda")
    with pytest.raises(InputError, match="unknown device 'cudda:0': did you mean 'cuda:0'"):
        Classification(device="cudda:0")
    with pytest.raises(InputError, match="not on this machine, which has cpu"):
        Classification(device="cuda:99").attach(network())


# --- the estimator


def test_the_seed_decides_everything(source: DataSource) -> None:
    recipe = Recipe(batch=32, cutout=4, drop_path=0.3)
    estimator = Train(Classification(source, recipe, device="cpu"), Fidelity(epochs=2))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = estimator.evaluate(CANDIDATE, space(), 1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(17)
    assert estimator.evaluate(CANDIDATE, space(), 1) == first
    assert estimator.evaluate(CANDIDATE, space(), 2)["loss"] != first["loss"]


def test_drop_path_follows_the_seed(source: DataSource) -> None:
    still = Recipe(batch=200, drop_path=0.5, flip=False, crop_padding=0)  # one batch: only drop-path is left to chance
    task, losses = Classification(source, still), []
    for seed in (1, 1, 2):
        torch.manual_seed(0)
        model = task.attach(space().build(CANDIDATE.genotype))
        torch.rand(len(losses))
        losses.append(task.fit(task.learner(model), Fidelity(epochs=3), seed))
    assert losses[0] == losses[1] and losses[0][1:] != losses[2][1:]
    assert losses[0][0] == pytest.approx(losses[2][0])


def test_the_fidelity_reaches_the_network(source: DataSource) -> None:
    sizes = []

    class Spy:
        def __init__(self, inner: CellSpace) -> None:
            self.inner = inner

        def at(self, fidelity: Fidelity) -> "Spy":
            return Spy(self.inner.at(fidelity))

        def build(self, genotype: tuple[int, ...]) -> nn.Module:
            sizes.append((self.inner.channels, self.inner.cells, self.inner.resolution))
            return self.inner.build(genotype)

    values = Train(Classification(source), Fidelity(0, width=6, depth=4, resolution=8)).evaluate(
        CANDIDATE, Spy(space()), 0
    )
    assert sizes == [(6, 4, 8)] and 0 <= values["error"] <= 1


def test_an_auxiliary_weight_without_the_head_is_refused_and_with_it_trains(source: DataSource) -> None:
    estimator = Train(Classification(source, Recipe(batch=64, auxiliary=0.4)), Fidelity(epochs=1, resolution=32))
    with pytest.raises(InputError, match="auxiliary"):
        estimator.evaluate(CANDIDATE, space(), 0)
    assert estimator.evaluate(CANDIDATE, space(auxiliary=True), 0)["loss"] > 0


def test_a_small_network_learns_real_images() -> None:
    task = Classification(recipe=Recipe(batch=32, lr=0.1, crop_padding=2))
    small = replace(space(blocks=1), operations=("sep_conv_3x3", "max_pool_3x3"), **task.facts())
    fidelity = Fidelity(epochs=3, samples=0.2, resolution=14, width=8)
    trained = Train(task, fidelity).evaluate(CANDIDATE, small, 0)
    untrained = Train(task, replace(fidelity, epochs=0)).evaluate(CANDIDATE, small, 0)
    assert trained["error"] < 0.5 < untrained["error"]
    assert trained["loss"] < untrained["loss"]
