"""Train a candidate in float, then score it as 8-bit circuits with its approximate multipliers compute it.

The protocol of EvoApproxNAS (Piňos, Mrázek and Sekanina, EuroGP 2021 and GPEM 2022) as far as the papers' abstracts
tell it, and beyond them: trained float weights are kept, so that a candidate that differs from an earlier one only in
its multipliers costs a pass over the validation images, and no training.

Differences from the papers: what the abstracts leave open is an argument here; by default the candidate is trained in
float and not through the quantised forward pass, and the statistics of its batch normalisations are measured anew
under its multipliers.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from frugalnas.core import (
    IMAGES,
    OWN_IMAGES,
    Candidate,
    Fidelity,
    Genotype,
    InputError,
    Space,
    Trainable,
    trial_seed,
)
from frugalnas.layers.correction import Correction, check_correction
from frugalnas.multipliers.library import exact, find
from frugalnas.spaces.multiplied import Assigning
from frugalnas.tasks.classification import Classification
from frugalnas.tasks.kept import WEIGHTS, alone, file_of, keep

if TYPE_CHECKING:
    from torch import Tensor, nn

CALIBRATED = 64  # images at a time when calibrating
_LOSS = "candidates that differ only in their multipliers will each train anew"


@dataclass(frozen=True)
class Approximate:
    """The error of a quantised network with the multipliers that its genotype names, after training it in float.

    `fidelity`: how to train. `calibration`: training images that the ranges of activations are measured on, stratified,
    the same for all candidates; they are fixed then. `correction` of what the multipliers shift: see
    `layers.approximated.correct`.
    `finetune`: epochs of training through the approximate forward pass, at a learning rate that falls from
    `finetune_lr`. In a space without multiplier genes all products are exact.

    Everything is a function of the seed and the candidate. With `folder` the float weights are kept there, and taken
    from there by candidates of the same seed that are trained alike; a file that is missing, damaged or another
    training's is trained again, to the same values bit for bit. `images` are always what all of the training costs,
    `own_images` what only this candidate's costs. Raises InputError for values out of range.
    """

    task: Classification = field(default_factory=Classification)
    fidelity: Fidelity = field(default_factory=Fidelity)
    calibration: int = 512
    correction: Correction = "auto"
    finetune: int = 0
    finetune_lr: float = 0.005
    folder: Path | None = None

    def __post_init__(self) -> None:
        for name, least in (("calibration", 2), ("finetune", 0)):
            if getattr(self, name) < least:
                raise InputError(f"approximate.{name} = {getattr(self, name)}: expected {least} or more")
        check_correction(self.correction)
        if not 0 < self.finetune_lr < float("inf"):
            raise InputError(f"approximate.finetune_lr = {self.finetune_lr}: expected a positive number")

    @property
    def values(self) -> tuple[str, ...]:
        return ("error", "loss", "float_error", IMAGES, *((OWN_IMAGES,) if self.finetune else ()))

    def evaluate(self, candidate: Candidate, space: Space, seed: int) -> dict[str, float]:
        """`error` and `loss` of the approximate network on the validation part, `float_error` of the trained one before
        quantisation, `images` trained on. Raises FloatingPointError for a NaN loss, InputError.
        """
        import torch

        sized = space.at(self.fidelity)
        genotype = sized.canonical(candidate.genotype)
        with torch.random.fork_rng(devices=[]):
            network, float_error = self._trained(sized, genotype, seed)
            made = self._converted(network, sized, genotype)
            if self.finetune:
                made = self._finetuned(made, seed)
            scores = self.task.score(made, self.fidelity)
        each = self.task.images_per_epoch(self.fidelity)
        images = {IMAGES: float((self.fidelity.epochs + self.finetune) * each)}
        own = {OWN_IMAGES: float(self.finetune * each)} if self.finetune else {}
        return scores | {"float_error": float_error} | images | own

    def _trained(self, sized: Space, genotype: Genotype, seed: int) -> tuple[nn.Module, float]:
        """The trained float network and its error."""
        from frugalnas.tasks.checkpoint import packed_weights

        seen = sized.trained(genotype) if isinstance(sized, Trainable) else genotype
        training = f"{self.task}, {self.fidelity}, {sized}, {seen}, {seed}"
        network = self._built(sized, seen, seed)
        if self.folder is None:
            return network, self._train(network, sized, seen, seed)
        file = file_of(self.folder, WEIGHTS, seed, f"{zlib.crc32(training.encode()):08x}")
        error = _kept(file, network, training)
        if error is None:
            with alone(file):  # another process may be training the same
                error = _kept(file, network, training)
                if error is None:
                    error = self._train(network, sized, seen, seed)
                    found = {"error": error}
                    keep(file, lambda: packed_weights(network, training, found), _LOSS)
        return network, error

    def _built(self, sized: Space, genotype: Genotype, seed: int) -> nn.Module:
        import torch

        torch.manual_seed(seed)
        return self.task.attach(sized.build(genotype))

    def _train(self, network: nn.Module, sized: Space, genotype: Genotype, seed: int) -> float:
        """Give `network`, built for this, the weights of the trained one; returns the error.

        They are copied, as they would be from a file: so what comes after cannot depend on whether there was one.
        """
        parts = self.task.learner(self._built(sized, genotype, seed))
        self.task.fit(parts, self.fidelity, seed)
        network.load_state_dict(parts.result.state_dict())
        return self.task.score(network, self.fidelity)["error"]

    def _converted(self, network: nn.Module, sized: Space, genotype: Genotype) -> nn.Module:
        from frugalnas.layers.approximated import approximated, assigned, correct, ranges

        names = dict(sized.assignment(genotype)) if isinstance(sized, Assigning) else {}
        nodes = {number: find(name) for number, name in names.items()}
        signed = all(all(multiplier.signed) for multiplier in nodes.values())
        batches = self._calibration()
        found = ranges(network, batches, signed)
        made = approximated(network, assigned(found, nodes, exact(signed)), found)
        correct(made, batches, self.correction)
        return made

    def _calibration(self) -> list[Tensor]:
        pixels, _ = self.task.sample("train", self.fidelity, self.calibration)
        normalise, parts = self.task.normalisation(), -(-len(pixels) // CALIBRATED)
        return [normalise(part) for part in pixels.tensor_split(parts)]  # about equal: none of a single image

    def _finetuned(self, network: nn.Module, seed: int) -> nn.Module:
        recipe = replace(self.task.recipe, lr=self.finetune_lr, lr_end=0.0, warmup=0.0)
        task = replace(self.task, recipe=recipe)
        parts = task.learner(network.train())
        task.fit(parts, replace(self.fidelity, epochs=self.finetune), trial_seed(seed, 0))
        return parts.result


def _kept(file: Path, network: nn.Module, training: str) -> float | None:
    """The error of the trained network whose weights are in the file, which `network` then has, or None."""
    from frugalnas.tasks.checkpoint import unpack_weights

    if not file.is_file() or file.parent.is_symlink():
        return None
    try:
        return float(unpack_weights(file, network, training)["error"])
    except (InputError, LookupError, TypeError, ValueError):
        return None
