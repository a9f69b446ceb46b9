"""Image classification: train on the training part, score on the validation part. The test part is never read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from frugalnas.core import Fidelity, InputError, nearest
from frugalnas.tasks import memory
from frugalnas.tasks.augment import Normalise, measure
from frugalnas.tasks.data import DataSource, Images
from frugalnas.tasks.images import fingerprint
from frugalnas.tasks.loop import Learner, epochs, learner, predict, used
from frugalnas.tasks.recipe import Budget, Recipe

Part = Literal["train", "validation"]


@dataclass(frozen=True)
class Classification:
    """The images of `data` and what training and scoring on them means.

    `recipe`: how to train; its pixels are at the resolution of the data, and shrink with that of a fidelity. `device`:
    "auto" (a GPU where torch finds one), "cpu", "cuda", "cuda:N" or "mps". `batch`: images at once when scoring.
    Images are read once per process and stay in memory, on the device, until `memory.forget`. Raises InputError.
    """

    data: DataSource = field(default_factory=DataSource)
    recipe: Recipe = field(default_factory=Recipe)
    device: str = "auto"
    batch: int = 256

    def __post_init__(self) -> None:
        device_of(self.device)
        if self.batch < 1:
            raise InputError(f"task.batch = {self.batch}: expected 1 or more")

    def facts(self) -> dict[str, int]:
        """`in_channels`, `classes` and `resolution` of the data, by the names that a space's constructor has."""
        train, _ = memory.parts(self.data)
        return {"in_channels": train.in_channels, "classes": len(train.classes), "resolution": train.resolution}

    def counts(self) -> dict[str, int]:
        """Images in the training and in the validation part, by the names of the parts."""
        return dict(zip(get_args(Part), map(len, memory.parts(self.data)), strict=True))

    def fingerprint(self) -> str:
        """A checksum of the images and labels of both parts, by which a resumed study sees that its data changed."""
        return fingerprint(memory.parts(self.data))

    def notes(self) -> tuple[str, ...]:
        """What a user should know of how the images were read: files left out, sizes and colours made equal."""
        return notes_on(memory.parts(self.data), self.data)

    def attach(self, network: nn.Module) -> nn.Module:
        """The network on the device, channels last: on a CPU its convolutions run up to ten times faster so."""
        return network.to(device_of(self.device), memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def images(self, part: Part, fidelity: Fidelity) -> tuple[Tensor, Tensor]:
        """Pixels uint8 (N, C, H, W) and labels int64 (N,) of one part at the fidelity's resolution, on the device.

        Of the training part the share `fidelity.samples`, the same one for every candidate; of the validation part all.
        """
        samples = fidelity.samples if part == "train" else 1.0
        return _resident(self.data, part, fidelity.resolution, samples, device_of(self.device))

    def sample(self, part: Part, fidelity: Fidelity, count: int) -> tuple[Tensor, Tensor]:
        """As `images`, but at most `count` of them (0: all), stratified by class, in an order without a pattern.

        The same ones for every candidate, so that what is compared on them differs by the networks only.
        """
        images, labels = self.images(part, fidelity)
        share = min(1.0, count / len(labels)) if count else 1.0
        picks = torch.from_numpy(stratified(labels.cpu().numpy(), share, self.data.seed))
        order = torch.randperm(len(picks), generator=torch.Generator().manual_seed(self.data.seed))
        chosen = picks[order][: count or None].to(labels.device)
        return images[chosen], labels[chosen]

    def normalisation(self) -> Normalise:
        """That of the whole training part at the resolution of the data."""
        return _normalisation(self.data, device_of(self.device))

    def learner(self, network: nn.Module) -> Learner:
        """What is needed to train `network`, before the first step."""
        return learner(network, self.recipe)

    def fit(
        self, parts: Learner, fidelity: Fidelity, seed: int, *, done: int = 0, stop: int | None = None
    ) -> list[float]:
        """Train for `fidelity.epochs` passes, of which `done` are over, or until `stop` of them are.

        Returns the mean training loss of each. Raises as `loop.epochs` does.
        """
        images, labels = self.images("train", fidelity)
        recipe = self.recipe.at(images.shape[2], memory.parts(self.data)[0].resolution)
        budget, normalise = Budget(fidelity.epochs), self.normalisation()
        passes = epochs(parts, images, labels, recipe, budget, seed, normalise, done=done)
        return [epoch.loss for epoch in islice(passes, (fidelity.epochs if stop is None else stop) - done)]

    def images_per_epoch(self, fidelity: Fidelity) -> int:
        """How many images one epoch trains on."""
        return used(len(self.images("train", fidelity)[1]), self.recipe.batch)

    def score(self, model: nn.Module, fidelity: Fidelity) -> dict[str, float]:
        """`error` in [0, 1] and `loss` (mean cross-entropy) on all validation images, never augmented."""
        images, labels = self.images("validation", fidelity)
        logits = predict(model, images, self.normalisation(), self.batch)  # (N, classes)
        return scores(logits, labels)


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


def notes_on(parts: Sequence[Images], source: DataSource) -> tuple[str, ...]:
    """What a user should know of how the images of `source` were read: files left out, sizes and colours made equal."""
    skipped = [*dict.fromkeys(line for images in parts for line in images.skipped)]
    notes = [f"{images.name}: {note}" for images in parts for note in images.notes]
    if skipped:
        see = f"see: frugalnas data check {source.source}"
        notes.insert(0, f"{len(skipped)} files were skipped, e.g. {skipped[0]} ({see})")
    return tuple(dict.fromkeys(notes))


def device_of(name: str) -> torch.device:
    """The device that `name` means here. Raises InputError for an unknown or absent one."""
    gpus = tuple(f"cuda:{i}" for i in range(torch.cuda.device_count()))
    if name == "auto":
        return torch.device("cuda" if gpus else "cpu")
    present = ("cpu", *(("cuda", *gpus) if gpus else ()), *(("mps",) if torch.backends.mps.is_available() else ()))
    if name in present:
        return torch.device(name)
    if name in ("cuda", "mps") or name.removeprefix("cuda:").isdigit():
        raise InputError(f"device {name!r} is not on this machine, which has {', '.join(present)}")
    raise InputError(f"unknown device {name!r}: {nearest(name, ('auto', *dict.fromkeys((*present, 'cuda:0', 'mps'))))}")


def stratified(labels: NDArray[np.int64], share: float, seed: int) -> NDArray[np.intp]:
    """Indices, ascending, of about `share` of every class, at least one of each; smaller shares are part of larger."""
    order = np.random.default_rng(seed).permutation(len(labels))
    members = [order[labels[order] == label] for label in np.unique(labels)]
    return np.sort(np.concatenate([picks[: max(1, round(share * len(picks)))] for picks in members]))


def resize(images: Tensor, resolution: int) -> Tensor:
    """uint8 images (N, C, H, W) at another resolution, antialiased bilinear, rounded to uint8."""
    parts = [
        F.interpolate(part.float(), size=(resolution, resolution), mode="bilinear", antialias=True)
        for part in torch.split(images, 1024)  # so that not all images are floats at once
    ]
    return torch.cat([part.round_().clamp_(0, 255).to(torch.uint8) for part in parts])


@memory.derived(most=4)
def _normalisation(source: DataSource, device: torch.device) -> Normalise:
    pixels = torch.from_numpy(np.require(memory.parts(source)[0].pixels, requirements="W"))
    whole = measure(pixels)
    return Normalise(whole.mean.to(device), whole.std.to(device))


@memory.derived(most=8)
def _resident(
    source: DataSource, part: Part, resolution: int | None, samples: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    images = memory.parts(source)[0 if part == "train" else 1]
    if samples < 1:
        images = images.at(stratified(images.labels, samples, source.seed))
    pixels = torch.from_numpy(np.require(images.pixels, requirements="W"))
    if resolution is not None and resolution != images.resolution:
        pixels = resize(pixels, resolution)
    return pixels.to(device), torch.from_numpy(np.require(images.labels, requirements="W")).to(device)
