"""Images as tensors on a device, at the size that is asked for, and what predictions on them are worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from frugalnas.tasks import memory
from frugalnas.tasks.augment import Normalise, measure
from frugalnas.tasks.images import DataSource, Part, stratified


@memory.derived(most=8)
def resident(
    source: DataSource, part: Part, resolution: int | None, samples: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Pixels uint8 (N, C, H, W) and labels int64 (N,) of a share of one part; they stay on the device."""
    images = memory.parts(source)[0 if part == "train" else 1]
    if samples < 1:
        images = images.at(stratified(images.labels, samples, source.seed))
    pixels = torch.from_numpy(np.require(images.pixels, requirements="W"))
    if resolution is not None and resolution != images.resolution:
        pixels = resize(pixels, resolution)
    return pixels.to(device), torch.from_numpy(np.require(images.labels, requirements="W")).to(device)


@memory.derived(most=4)
def normalisation(source: DataSource, device: torch.device) -> Normalise:
    """That of the whole training part at the resolution of the data."""
    pixels = torch.from_numpy(np.require(memory.parts(source)[0].pixels, requirements="W"))
    whole = measure(pixels)
    return Normalise(whole.mean.to(device), whole.std.to(device))


def resize(images: Tensor, resolution: int) -> Tensor:
    """uint8 images (N, C, H, W) at another resolution, antialiased bilinear, rounded to uint8."""
    parts = [
        F.interpolate(part.float(), size=(resolution, resolution), mode="bilinear", antialias=True)
        for part in torch.split(images, 1024)  # so that not all images are floats at once
    ]
    return torch.cat([part.round_().clamp_(0, 255).to(torch.uint8) for part in parts])


def scores(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """`error` in [0, 1] and `loss` (mean cross-entropy) of logits (N, classes) for labels (N,)."""
    wrong = int((logits.argmax(1) != labels).sum())
    return {"error": wrong / len(labels), "loss": F.cross_entropy(logits, labels).item()}


def rated(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> dict[str, Any]:
    """`scores`, `images`, `classes` and the `confusion` matrix, a row for each true class, as plain JSON values."""
    pairs = labels * len(classes) + logits.argmax(1)  # (N,)
    confusion = pairs.bincount(minlength=len(classes) ** 2).reshape(len(classes), -1)
    found = {"images": len(labels), "classes": list(classes), "confusion": confusion.tolist()}
    return scores(logits, labels) | found
