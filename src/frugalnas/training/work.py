"""A training made ready: the images in memory, and the network, adapted to them, on the device."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from frugalnas.core import InputError
from frugalnas.spaces.architecture import Architecture, resized
from frugalnas.tasks.augment import Normalise, measure
from frugalnas.tasks.classification import notes_on
from frugalnas.tasks.data import Images, find_test, load_search, load_train
from frugalnas.tasks.device import device_of
from frugalnas.tasks.images import fingerprint
from frugalnas.tasks.loop import Learner, learner, predict
from frugalnas.tasks.ranks import Ranks
from frugalnas.tasks.recipe import Budget
from frugalnas.training.settings import Settings

BATCH = 256  # images at once when scoring
WRITING = 1.0  # seconds that the files at the end may take
_log = logging.getLogger(__name__)  # which, unless told otherwise, prints warnings on stderr


@dataclass(frozen=True, eq=False)
class Work:
    """A training made ready.

    `train`: the images to train on. `validation`: None where these are among them. `test`: None where the data has no
    such part. `architecture`: made to fit the images, without an auxiliary head. `budget`: that of the settings without
    the time for scoring.
    """

    settings: Settings
    train: Images
    validation: Images | None
    test: Images | None
    architecture: Architecture
    device: torch.device
    normalise: Normalise
    learner: Learner
    budget: Budget

    def fingerprint(self) -> str:
        """A checksum of all images and labels, by which a resumed training sees that they changed."""
        return fingerprint([part for part in (self.train, self.validation, self.test) if part is not None])

    def logits(self, images: Images) -> tuple[Tensor, Tensor]:
        """What the result of the training so far says of images (N, classes), and their labels (N,)."""
        pixels, labels = on(self.device, images)
        return predict(self.learner.result, pixels, self.normalise, BATCH), labels


class TooShort(InputError):
    """The minutes of a training do not even last for what is not training, which takes `seconds`."""

    def __init__(self, minutes: float, seconds: float) -> None:
        super().__init__(f"minutes = {minutes:g}: reading the images and scoring them takes {seconds:.0f} s of that")
        self.seconds = seconds


def on(device: torch.device, images: Images) -> tuple[Tensor, Tensor]:
    """Pixels and labels on the device."""
    pixels, labels = (np.require(array, requirements="W") for array in (images.pixels, images.labels))
    return torch.from_numpy(pixels).to(device), torch.from_numpy(labels).to(device)


def prepared(settings: Settings, began: float, ranks: Ranks) -> Work:
    """Read the images and build the network. What can be wrong with them is found here, before a file is written.

    `began`: the moment, by `time.monotonic`, at which the time of the budget began. `ranks`: the processes that train,
    each of which holds all images. Raises InputError.
    """
    validation, test = None, find_test(settings.data)
    if test is None or settings.validate:
        images, validation = load_search(settings.data)
    else:
        images = load_train(settings.data)
    parts = [part for part in (images, validation, test) if part is not None]
    for note in notes_on(parts, settings.data) if ranks.first else ():
        _log.warning("frugalnas: %s", note)
    given, recipe, device = settings.architecture, settings.recipe, ranks.device(device_of(settings.device))
    space = resized(
        given.space,
        in_channels=images.in_channels,
        classes=len(images.classes),
        resolution=images.resolution,
        auxiliary=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network: nn.Module = resized(space, auxiliary=recipe.auxiliary > 0).build(given.genotype)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network = ranks.joint(network, (images.in_channels, images.resolution, images.resolution))
    normalise = measure(on(torch.device("cpu"), images)[0])
    normalise = Normalise(normalise.mean.to(device), normalise.std.to(device))
    budget = settings.budget
    if budget.minutes is not None:
        scoring = _seconds_to_score(network, images, normalise, device, sum(map(len, parts[1:])))
        budget = _training_time(budget.minutes, scoring, time.monotonic() - began)
    architecture = Architecture(space, given.genotype)
    return Work(
        *(settings, images, validation, test, architecture, device, normalise),
        *(learner(network, recipe), budget),
    )


def _seconds_to_score(
    network: nn.Module, images: Images, normalise: Normalise, device: torch.device, count: int
) -> float:
    """How long it takes to score `count` images: measured on a few, with a quarter more to be on the safe side."""
    few, _ = on(device, images.at(np.arange(min(2 * BATCH, len(images)))))
    seconds = 0.0
    for _ in range(2):  # the first time is slower
        start = time.monotonic()
        predict(network, few, normalise, BATCH)
        seconds = time.monotonic() - start
    return 1.25 * seconds * count / len(few)


def _training_time(minutes: float, scoring: float, spent: float) -> Budget:
    """What is left of `minutes` for training once the images are scored and the files written at its end."""
    rest = 60 * minutes - scoring - WRITING
    if rest <= spent:
        raise TooShort(minutes, spent + scoring + WRITING)
    return Budget(minutes=rest / 60)
