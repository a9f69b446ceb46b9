"""Image classification: train on the training part, score on the validation part. The test part is never read.

The task is made, and its images read and counted, without torch, which only what trains or scores imports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Literal, get_args

from frugalnas.core import Fidelity, InputError
from frugalnas.tasks import memory
from frugalnas.tasks.data import DataSource, Images
from frugalnas.tasks.device import check_name, device_of
from frugalnas.tasks.images import fingerprint, stratified
from frugalnas.tasks.recipe import Budget, Recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

    from frugalnas.tasks.augment import Normalise
    from frugalnas.tasks.loop import Learner

Part = Literal["train", "validation"]


@dataclass(frozen=True)
class Classification:
    """The images of `data` and what training and scoring on them means.

    `recipe`: how to train; its pixels are at the resolution of the data, and shrink with that of a fidelity. `device`:
    "auto" (a GPU where torch finds one), "cpu", "cuda", "cuda:N" or "mps", of the process that trains, which raises
    InputError where it has none. `batch`: images at once when scoring.
    Images are read once per process and stay in memory, on the device, until `memory.forget`. Raises InputError.
    """

    data: DataSource = field(default_factory=DataSource)
    recipe: Recipe = field(default_factory=Recipe)
    device: str = "auto"
    batch: int = 256

    def __post_init__(self) -> None:
        check_name(self.device)
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
        import torch

        return network.to(device_of(self.device), memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def images(self, part: Part, fidelity: Fidelity) -> tuple[Tensor, Tensor]:
        """Pixels uint8 (N, C, H, W) and labels int64 (N,) of one part at the fidelity's resolution, on the device.

        Of the training part the share `fidelity.samples`, the same one for every candidate; of the validation part all.
        """
        from frugalnas.tasks.tensors import resident

        samples = fidelity.samples if part == "train" else 1.0
        return resident(self.data, part, fidelity.resolution, samples, device_of(self.device))

    def sample(self, part: Part, fidelity: Fidelity, count: int) -> tuple[Tensor, Tensor]:
        """As `images`, but at most `count` of them (0: all), stratified by class, in an order without a pattern.

        The same ones for every candidate, so that what is compared on them differs by the networks only.
        """
        import torch

        images, labels = self.images(part, fidelity)
        share = min(1.0, count / len(labels)) if count else 1.0
        picks = torch.from_numpy(stratified(labels.cpu().numpy(), share, self.data.seed))
        order = torch.randperm(len(picks), generator=torch.Generator().manual_seed(self.data.seed))
        chosen = picks[order][: count or None].to(labels.device)
        return images[chosen], labels[chosen]

    def normalisation(self) -> Normalise:
        """That of the whole training part at the resolution of the data."""
        from frugalnas.tasks.tensors import normalisation

        return normalisation(self.data, device_of(self.device))

    def learner(self, network: nn.Module) -> Learner:
        """What is needed to train `network`, before the first step."""
        from frugalnas.tasks.loop import learner

        return learner(network, self.recipe)

    def fit(
        self, parts: Learner, fidelity: Fidelity, seed: int, *, done: int = 0, stop: int | None = None
    ) -> list[float]:
        """Train for `fidelity.epochs` passes, of which `done` are over, or until `stop` of them are.

        Returns the mean training loss of each. Raises as `loop.epochs` does.
        """
        from frugalnas.tasks.loop import epochs

        images, labels = self.images("train", fidelity)
        recipe = self.recipe.at(images.shape[2], memory.parts(self.data)[0].resolution)
        budget, normalise = Budget(fidelity.epochs), self.normalisation()
        passes = epochs(parts, images, labels, recipe, budget, seed, normalise, done=done)
        return [epoch.loss for epoch in islice(passes, (fidelity.epochs if stop is None else stop) - done)]

    def images_per_epoch(self, fidelity: Fidelity) -> int:
        """How many images one epoch trains on."""
        from frugalnas.tasks.loop import used

        return used(len(self.images("train", fidelity)[1]), self.recipe.batch)

    def score(self, model: nn.Module, fidelity: Fidelity) -> dict[str, float]:
        """`error` in [0, 1] and `loss` (mean cross-entropy) on all validation images, never augmented."""
        from frugalnas.tasks.loop import predict
        from frugalnas.tasks.tensors import scores

        images, labels = self.images("validation", fidelity)
        logits = predict(model, images, self.normalisation(), self.batch)  # (N, classes)
        return scores(logits, labels)


def notes_on(parts: Sequence[Images], source: DataSource) -> tuple[str, ...]:
    """What a user should know of how the images of `source` were read: files left out, sizes and colours made equal."""
    skipped = [*dict.fromkeys(line for images in parts for line in images.skipped)]
    notes = [f"{images.name}: {note}" for images in parts for note in images.notes]
    if skipped:
        see = f"see: frugalnas data check {source.source}"
        notes.insert(0, f"{len(skipped)} files were skipped, e.g. {skipped[0]} ({see})")
    return tuple(dict.fromkeys(notes))
