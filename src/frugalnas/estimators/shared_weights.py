"""Rate a candidate with weights that all candidates share: inherited, trained a little, and offered back.

The estimator of RelativeNAS (Tan, Cheng, Huang, He, Qiu, Yang, Luo: "RelativeNAS: Relative Neural Architecture Search
via Slow-Fast Learning", IEEE TNNLS 2021, arXiv 2009.06193), section III. The strategy decides what is written back.

Differences from the paper
- The candidate runs as a path through one supernet in each worker process: see `layers/supernet.py`.
- Validation images are never augmented, and may be a part of them, the same for every candidate. (The released code
  crops, flips and erases them too, and draws the split with a generator that it does not seed.)
- The learning rate falls from batch to batch, on the cosine over all generations, not once a generation. (The released
  code is also one ratio of two rates ahead of its schedule.)
- Frozen weights, `fidelity.epochs` = 0, rate without training; the paper and its code have no such step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from frugalnas.core import IMAGES, Candidate, Fidelity, InputError, Space
from frugalnas.spaces.cell import CellSpace
from frugalnas.tasks.classification import Classification
from frugalnas.tasks.images import stratified
from frugalnas.weights import Inherited, State, inherited, leave_snapshot

if TYPE_CHECKING:
    from frugalnas.layers.cell import CellNetwork
    from frugalnas.layers.supernet import Path as Subnet
    from frugalnas.layers.supernet import Supernet


@dataclass(frozen=True)
class SharedWeights:
    """Inherit from the weight set in the run `folder`, train for `fidelity.epochs`, score on validation images.

    The learning rate is that of the generation, on the recipe's cosine over all of them; the momentum starts at 0.
    What the candidate touched is left in the folder, for the strategy to write back. With 0 epochs the weights are
    frozen and nothing is left; the statistics of batch normalisations, which fit no path but the one that was trained
    last, are then measured anew on `calibration` training images (0: kept). `validation`: so many images, stratified
    and always the same ones (0: all).

    The seed decides the order and augmentation of the images and drop-path; on a CPU the same seed and the same weight
    set give the same bits. Raises InputError for numbers out of range.
    """

    values: ClassVar[tuple[str, ...]] = ("error", "loss", IMAGES)

    task: Classification = field(default_factory=Classification)
    fidelity: Fidelity = field(default_factory=Fidelity)
    validation: int = 0
    calibration: int = 1024
    folder: Path | None = None

    def __post_init__(self) -> None:
        for name, odd in (("validation", -1), ("calibration", 1)):
            value = getattr(self, name)
            if value < 0 or value == odd:
                raise InputError(f"shared_weights.{name} = {value}: expected 0, or {1 + max(odd, 0)} or more")

    def evaluate(self, candidate: Candidate, space: Space, seed: int) -> dict[str, float]:
        """`error` and `loss` on validation images, `images` trained on.

        Raises FloatingPointError for a loss that is not finite, and InputError where there is nothing to inherit.
        """
        import torch

        sized = space.at(self.fidelity)
        if self.folder is None or candidate.inherits is None:
            raise InputError("shared weights need a run folder and a strategy that writes them back, such as slow_fast")
        if not isinstance(sized, CellSpace):
            raise InputError("shared weights need a space of cells")
        with torch.random.fork_rng(devices=[]):
            with inherited(self.folder, candidate.inherits) as weights:
                state, whole = weights.state, _supernet(weights.state.start, self.task.device)
                path = whole.path(sized.network(candidate.genotype))
                self.task.attach(path.network)
                _load(path, whole, weights)
            if self.fidelity.epochs:
                self._train(path.network, state, seed)
            elif self.calibration:
                self._calibrate(path.network)
            result = self._score(path.network)
        if not math.isfinite(result["loss"]):
            raise FloatingPointError(f"the validation loss is {result['loss']}")
        if self.fidelity.epochs:
            leave_snapshot(self.folder, seed, {name: t.cpu().numpy() for name, t in path.tensors().items()})
        return result | {IMAGES: float(self.fidelity.epochs * self.task.images_per_epoch(self.fidelity))}

    def _train(self, network: CellNetwork, state: State, seed: int) -> None:
        epochs = self.fidelity.epochs
        schedule = replace(self.fidelity, epochs=epochs * state.generations)
        done = epochs * state.generation
        parts = self.task.learner(network)
        self.task.fit(parts, schedule, seed, done=done, stop=done + epochs)
        if parts.average is not None:
            network.load_state_dict(parts.result.state_dict())
        for weight in network.parameters():
            weight.grad = None  # the supernet outlives this candidate

    def _calibrate(self, network: CellNetwork) -> None:
        import torch

        from frugalnas.tasks.statistics import calibrate

        images, labels = self.task.images("train", self.fidelity)
        picks = stratified(labels.cpu().numpy(), min(1.0, self.calibration / len(labels)), self.task.data.seed)
        picks = picks[torch.randperm(len(picks), generator=torch.Generator().manual_seed(0)).numpy()]
        calibrate(network, images[picks], self.task.normalisation(), self.task.batch)

    def _score(self, network: CellNetwork) -> dict[str, float]:
        from frugalnas.tasks.loop import predict
        from frugalnas.tasks.tensors import scores

        images, labels = self.task.images("validation", self.fidelity)
        if 0 < self.validation < len(labels):
            picks = stratified(labels.cpu().numpy(), self.validation / len(labels), self.task.data.seed)
            images, labels = images[picks], labels[picks]
        return scores(predict(network, images, self.task.normalisation(), self.task.batch), labels)


@lru_cache(maxsize=1)
def _supernet(start: int, device: str) -> Supernet:
    """That of this process, whose modules `attach` has moved to the device."""
    from frugalnas.layers.supernet import Supernet

    return Supernet(start)


def _load(path: Subnet, whole: Supernet, weights: Inherited) -> None:
    """Give every tensor of the path its value in the weight set, or its first one."""
    import torch

    with torch.no_grad():
        for name, tensor in path.tensors().items():
            known = weights.get(name)
            value = whole.first(name) if known is None else torch.from_numpy(known)
            if value.shape != tensor.shape:
                raise InputError(f"the weight set holds {tuple(value.shape)} as {name}: expected {tuple(tensor.shape)}")
            tensor.copy_(value)
