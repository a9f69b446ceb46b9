"""The statistics of batch normalisations, measured anew."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from frugalnas.layers.frozen import live
from frugalnas.tasks.augment import Normalise


def calibrate(model: nn.Module, images: Tensor, normalise: Normalise, batch: int) -> None:
    """Set the statistics of all batch normalisations to their averages over `images`, in one pass.

    Inside the pass each layer reads what its predecessors give when they normalise by the batch; with batches of some
    hundred images that is, up to sampling noise, what they give with the averages. Momentum and mode are restored.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta, training = [layer.momentum for layer in layers], model.training
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch's word for the average of all batches since the reset
    try:
        embed(live(model), images, normalise, batch, batch_statistics=True)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        model.train(training)


@torch.inference_mode()
def embed(
    model: nn.Module,
    images: Tensor,
    normalise: Normalise,
    batch: int,
    batch_statistics: bool,
    read: Callable[[nn.Module, Tensor], Tensor] | None = None,
) -> Tensor:
    """Features (N, D), on the CPU, of uint8 images (N, C, H, W); in about equal batches of at most `batch`.

    `read` makes the features (n, D) of the model and a normalised batch, by default `model.embed`.
    """
    model.train(batch_statistics)
    parts = images.tensor_split(math.ceil(len(images) / batch))
    made = [read(model, normalise(part)) if read else model.embed(normalise(part)) for part in parts]  # type: ignore[operator]
    return torch.cat(made).cpu()
