"""Random-weight evaluation (RWE): rate an untrained network by its features, and a linear classifier fitted to them.

Hu, Cheng, He, Lu: "Multi-objective Neural Architecture Search with Almost No Training", EMO 2021, arXiv 2011.13591;
Hu, Cheng, He, Lu, Wang, Zhang: "Accelerating Multi-Objective Neural Architecture Search by Random-Weight Evaluation",
Complex & Intelligent Systems 9 (2023), arXiv 2110.05242.

The papers' score is `error`: train the last layer, keep all other weights random, measure the validation error. Others
come from the same features: `fit`, the error of the same classifier on the images it was fitted to, and the scores of
`scores.spectrum`, which ask how richly the features span the images, and need neither labels nor validation images.
Which of them to trust, and where, is measured in docs/estimators.md: on NAS-Bench-201 `freedom` orders networks better
than counting their parameters does, and `error` hardly orders them at all.

Differences from the papers
- What they leave open is an argument here: draws, images, initialisation, normalisation, features, pooling.
- The default head is ridge regression in closed form, which has no learning rate; `head="sgd"` is the papers' kind.
- By default the features are those of every size of map, each averaged over a grid of 2 x 2 cells; the papers' are
  those that the network's classifier reads: `features="last"`, `pool=1`.
- The images and their order are the same for all networks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Literal, get_args

from frugalnas.core import Candidate, Fidelity, InputError, Space, nearest
from frugalnas.layers.initialise import Init, draw_seed, initialise
from frugalnas.tasks.classification import Classification

if TYPE_CHECKING:
    from torch import Tensor, nn

    from frugalnas.scores.spectrum import Spectrum

Normalisation = Literal["calibrated", "batch", "default"]
Maps = Literal["last", "scales"]
Head = Literal["ridge", "sgd"]
Score = Literal["error", "fit", "freedom", "log_determinant", "effective_rank"]
INTERVAL = "_ci"  # ends the name of a half-width
CALIBRATED = 64  # images at a time when calibrating: larger batches leave the cache of a core


@dataclass(frozen=True)
class RandomWeights:
    """Scores of frozen random features, each averaged over `draws` of the weights.

    `scores`: which values to give, `error` and `fit` as shares in [0, 1], the others negated as larger is better; only
    `error` needs a pass over the validation images. `fidelity`: size of the network, resolution and share of the
    training images; its epochs play no part. `images`: training images that features are computed of, stratified, 0 =
    all of that share. `init`: of the convolutions; "default" keeps the network's own. `normalisation` of the
    features: "calibrated" = the statistics of `calibration` training images, then frozen; "batch" = of the batch at
    hand, also for validation images; "default" = mean 0 and variance 1. `features`: the "last" maps or those of all
    "scales"; each averaged over `pool` x `pool` cells. `head`: "ridge" with the best of `penalties` by leave-one-out
    error, or "sgd", `epochs` of softmax regression at learning rate `lr`. `penalty`: of the spectrum's scores.
    Raises InputError for values out of range.
    """

    task: Classification = field(default_factory=Classification)
    fidelity: Fidelity = field(default_factory=Fidelity)
    scores: tuple[Score, ...] = ("error", "fit", "freedom", "log_determinant", "effective_rank")
    draws: int = 1
    images: int = 512
    init: Init = "kaiming_normal"
    normalisation: Normalisation = "calibrated"
    calibration: int = 256
    features: Maps = "scales"
    pool: int = 2
    head: Head = "ridge"
    penalties: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    epochs: int = 30
    lr: float = 0.1
    penalty: float = 1e-4

    def __post_init__(self) -> None:
        for name, known in (("init", Init), ("normalisation", Normalisation), ("features", Maps), ("head", Head)):
            if getattr(self, name) not in get_args(known):
                raise InputError(
                    f"unknown {name} {getattr(self, name)!r}: {nearest(getattr(self, name), get_args(known))}"
                )
        for score in self.scores:
            if score not in get_args(Score):
                raise InputError(f"unknown score {score!r} of random_weights: {nearest(score, get_args(Score))}")
        if not self.scores or len(set(self.scores)) < len(self.scores):
            raise InputError(f"random_weights.scores = {', '.join(self.scores)}: expected one or more, none twice")
        for name, least in (("draws", 1), ("images", 0), ("calibration", 2), ("pool", 1), ("epochs", 1)):
            if getattr(self, name) < least:
                raise InputError(f"random_weights.{name} = {getattr(self, name)}: expected {least} or more")
        if not self.penalties or min(self.penalties) <= 0:
            raise InputError(f"random_weights.penalties = {self.penalties}: expected one or more positive numbers")
        for name in ("lr", "penalty"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"random_weights.{name} = {getattr(self, name)}: expected a positive number")

    @property
    def values(self) -> tuple[str, ...]:
        ends = ("", INTERVAL) if self.draws > 1 else ("",)
        return tuple(f"{score}{end}" for end in ends for score in self.scores)

    def evaluate(self, candidate: Candidate, space: Space, seed: int) -> dict[str, float]:
        """The mean of each score over the draws; with several also the half-width of its 95 % confidence interval, by
        Student's t, as `error_ci` and so on."""
        import torch

        sized = space.at(self.fidelity)
        drawn: list[dict[Score, float]] = []
        for draw in range(self.draws):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(draw_seed(seed, draw))
                drawn.append(self.rate(self.task.attach(sized.build(candidate.genotype))))
        found = {score: [each[score] for each in drawn] for score in self.scores}
        values: dict[str, float] = {score: fmean(each) for score, each in found.items()}
        if self.draws > 1:
            values |= {f"{score}{INTERVAL}": half_width(each) for score, each in found.items()}
        return values

    def rate(self, model: nn.Module) -> dict[Score, float]:
        """The scores of one network, whose convolutions are drawn anew from torch's global generator."""
        from frugalnas.scores.linear import wrong
        from frugalnas.scores.spectrum import effective_rank, freedom, log_determinant, spectrum, standardise

        initialise(model, self.init)
        pixels, labels = self.task.sample("train", self.fidelity, self.images)
        parts, validates = [pixels], "error" in self.scores
        if validates:
            unseen, truth = self.task.sample("validation", self.fidelity, 0)
            parts.append(unseen)
        known, *rest = self._features(model, parts)
        known, new = standardise(known, rest[0] if validates else known[:0])
        found, labels = spectrum(known), labels.cpu()
        values: dict[Score, float] = {
            "freedom": -freedom(found, self.penalty),
            "log_determinant": -log_determinant(found, self.penalty),
            "effective_rank": -effective_rank(found),
        }
        if validates or "fit" in self.scores:
            weights, bias = self._classifier(known, labels, found)
            values["fit"] = wrong(known @ weights + bias, labels)
            if validates:
                values["error"] = wrong(new @ weights + bias, truth.cpu())
        return {score: values[score] for score in self.scores}

    def _features(self, model: nn.Module, parts: list[Tensor]) -> list[Tensor]:
        """Those (n, D) of each part, uint8 images (n, C, H, W); the first part calibrates."""
        from frugalnas.layers.frozen import frozen
        from frugalnas.scores.spectrum import pooled
        from frugalnas.tasks.statistics import calibrate, embed

        normalise, batch = self.task.normalisation(), self.task.batch

        def read(model: nn.Module, x: Tensor) -> Tensor:
            maps: list[Tensor] = model.features(x)  # type: ignore[operator]
            return pooled(maps[-1:] if self.features == "last" else maps, self.pool)

        if self.normalisation == "calibrated":
            calibrate(model, parts[0][: self.calibration], normalise, min(batch, CALIBRATED))
        live = self.normalisation == "batch"
        model = model if live else frozen(model)
        return [embed(model, part, normalise, batch, live, read) for part in parts]

    def _classifier(self, known: Tensor, labels: Tensor, found: Spectrum) -> tuple[Tensor, Tensor]:
        from frugalnas.scores.linear import ridge, softmax_regression

        classes = self.task.facts()["classes"]
        if self.head == "ridge":
            return ridge(known, labels, classes, self.penalties, found)
        return softmax_regression(known, labels, classes, self.epochs, self.lr)


def half_width(values: list[float]) -> float:
    """That of the 95 % confidence interval of the mean of two values or more, by Student's t."""
    from scipy.stats import t  # half a second, which only several draws take

    return float(t.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
