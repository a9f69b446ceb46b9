"""Train a candidate, score it on the validation part; where it has rungs, one training goes on from rung to rung."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from frugalnas.core import IMAGES, Candidate, Fidelity, InputError, Space, trial_seed
from frugalnas.tasks.classification import Classification
from frugalnas.tasks.kept import CHECKPOINTS, file_of, keep

if TYPE_CHECKING:
    from frugalnas.tasks.loop import Learner

_LOSS = "a later rung will train from the beginning"


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
        import torch

        from frugalnas.tasks.checkpoint import packed, unpack

        file = None if self.folder is None else file_of(self.folder, CHECKPOINTS, seed, str(self.repeat))
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
                keep(file, partial(packed, parts, training, {"epochs": self._end}), _LOSS)
            scores = self.task.score(parts.result, self.fidelity)
        return scores | {IMAGES: float((self._end - self.start) * self.task.images_per_epoch(self.fidelity))}

    def _learner(self, sized: Space, candidate: Candidate, seed: int) -> Learner:
        import torch

        torch.manual_seed(seed)
        return self.task.learner(self.task.attach(sized.build(candidate.genotype)))
