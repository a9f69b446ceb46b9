"""Training on through the approximate multipliers: what that recovers of the error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from frugalnas.core import InputError
from frugalnas.schema import construct, filled
from frugalnas.tasks.augment import Normalise
from frugalnas.tasks.loop import epochs as epochs_of
from frugalnas.tasks.loop import learner
from frugalnas.tasks.recipe import Budget, Recipe

RATE = 0.1  # of the learning rate that the network was trained with
_PLAIN: dict[str, Any] = {"warmup": 0.0, "ema": 0.0, "mixup": 0.0, "cutmix": 0.0, "drop_path": 0.0, "auxiliary": 0.0}
_CAREFUL = Recipe(lr=0.05, crop_padding=2, flip=False)
Told = Callable[[Mapping[str, Any]], None]


def recipe_of(notes: Mapping[str, Any]) -> Recipe:
    """How to train on: as the model was trained, by its notes, at a tenth of the rate and without what short trainings
    do not need. A model that does not say has images shifted, and neither flipped nor cut.
    """
    recipe = _CAREFUL
    given = notes.get("recipe")
    if isinstance(given, Mapping):
        try:
            recipe = construct(Recipe, filled(Recipe, dict(given), "recipe"))
        except (InputError, TypeError):
            recipe = _CAREFUL
    return replace(recipe, lr=RATE * recipe.lr, lr_end=0.0, **_PLAIN)


def tune(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    epochs: int,
    seed: int,
    normalise: Normalise,
    told: Told | None = None,
) -> None:
    """Train an approximate `network` on uint8 images (N, C, H, W) and labels (N,), in place.

    The forward pass is the approximate one; gradients pass straight through the roundings. `told` is called as the
    progress of `training.train`. Raises InputError where the loss becomes NaN or infinite.
    """
    done = 0

    def watch(share: float, loss: float, lr: float) -> None:
        if told:
            told({"epoch": done + 1, "progress": share, "loss": loss, "lr": lr, "validation_error": None, "left": 0.0})

    side = images.shape[-1]
    recipe, budget = recipe.at(side, side), Budget(epochs)
    parts = learner(network, recipe)
    try:
        with torch.random.fork_rng(devices=[]):
            for epoch in epochs_of(parts, images, labels, recipe, budget, seed, normalise, watch=watch):
                done = epoch.epoch
    except FloatingPointError as error:
        raise InputError(f"{error}: fewer --finetune epochs, or none") from None
    network.eval()
