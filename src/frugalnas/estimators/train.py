"""Train a candidate, score it on the validation part; where it has rungs, one training goes on from rung to rung."""

from __future__ import annotations

import logging
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch

from frugalnas.core import IMAGES, Candidate, Fidelity, InputError, Space, trial_seed
from frugalnas.store import write_atomically
from frugalnas.tasks.checkpoint import packed, unpack
from frugalnas.tasks.classification import Classification
from frugalnas.tasks.loop import Learner

FOLDER, SUFFIX = "checkpoints", ".safetensors"
_log = logging.getLogger(__name__)  # which, unless told otherwise, prints warnings on stderr


@dataclass(frozen=True)
class Train:
    """Train as carefully as `fidelity` says; the values are those of `task.score` after the last epoch.

    The seed decides initial weights, order and augmentation of the images, and drop-path: on a CPU the same seed gives
    the same bits. `repeat`: another number is another training, of another seed. The caller's global torch generator is
    left as it was.

    A rung of a longer training: `stop` says after how many of the `fidelity.epochs`, over which the learning rate
    falls, it ends (None: all), and `start` after how many the rung before it did. With `folder` it leaves there what
    the next rung goes on from, and goes on from what it finds. Without, or where the file is missing, damaged or
    another training's, it trains from the beginning, to the same values, bit for bit. `images` are always those of the
    epochs from `start` to `stop`, which is what the rung costs if nothing is lost: so no value, and no journal, depends
    on whether a file survived. Raises InputError for numbers out of range.
    """

    values: ClassVar[tuple[str, ...]] = ("error", "loss", IMAGES)

    task: Classification = field(default_factory=Classification)
    fidelity: Fidelity = field(default_factory=Fidelity)
    stop: int | None = None
    repeat: int = 0
    start: int = 0
    folder: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self._end <= self.fidelity.epochs:
            raise InputError(
                f"train.stop = {self._end}: expected {self.start}, where the rung before stops, to "
                f"{self.fidelity.epochs}, the epochs of the fidelity"
            )
        if self.repeat < 0:
            raise InputError(f"train.repeat = {self.repeat}: expected 0 or more")

    @property
    def _end(self) -> int:
        return self.fidelity.epochs if self.stop is None else self.stop

    def evaluate(self, candidate: Candidate, space: Space, seed: int) -> dict[str, float]:
        """`error` and `loss` on the validation part, `images` trained on. Raises FloatingPointError for a NaN loss,
        InputError.
        """
        file = None if self.folder is None else self.folder / FOLDER / f"{_name(seed)}-{self.repeat}{SUFFIX}"
        own = trial_seed(seed, self.repeat) if self.repeat else seed
        sized = space.at(self.fidelity)
        training = f"{self.task}, {self.fidelity}, {sized}, {candidate.genotype}, {own}"
        with torch.random.fork_rng(devices=[]):
            parts, done = self._learner(sized, candidate, own), 0
            if file is not None and file.is_file():
                try:
                    done = unpack(file, parts, training)["epochs"]
                except InputError:
                    done = self._end + 1
                if done > self._end:
                    parts, done = self._learner(sized, candidate, own), 0
            self.task.fit(parts, self.fidelity, own, done=done, stop=self._end)
            if file is not None and done < self._end < self.fidelity.epochs:
                _keep(file, parts, training, self._end)
            scores = self.task.score(parts.result, self.fidelity)
        return scores | {IMAGES: float((self._end - self.start) * self.task.images_per_epoch(self.fidelity))}

    def _learner(self, sized: Space, candidate: Candidate, seed: int) -> Learner:
        torch.manual_seed(seed)
        return self.task.learner(self.task.attach(sized.build(candidate.genotype)))


def _name(seed: int) -> str:
    return f"{seed:016x}"


def _keep(file: Path, parts: Learner, training: str, epochs: int) -> None:
    """Write what the next rung goes on from. Without that file it starts again, so that a full disk fails no trial."""
    with suppress(FloatingPointError):  # weights that are not finite: their score says so
        content = packed(parts, training, {"epochs": epochs})
        try:
            if file.parent.is_symlink():  # in a folder from somebody else it may lead anywhere
                raise InputError(f"{file.parent} is a link to another folder")
            file.parent.mkdir(exist_ok=True)
            write_atomically(file, content)
        except (InputError, OSError) as error:
            _log.warning("frugalnas: a later rung will train from the beginning: %s", error)


def remove_others(folder: Path, seeds: Collection[int]) -> None:
    """Remove what trainings in the run folder left, but for those of trials that are rated with one of `seeds`."""
    place, kept = folder / FOLDER, {_name(seed) for seed in seeds}
    if place.is_symlink():
        return
    for file in place.glob(f"*{SUFFIX}" if kept else f"*{SUFFIX}*"):  # in the end also what a killed worker half wrote
        if file.name.partition("-")[0] not in kept:
            file.unlink(missing_ok=True)
    if not kept:
        with suppress(OSError):  # something that is not ours is in it, or it is not there
            place.rmdir()
