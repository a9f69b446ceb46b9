"""Random-weight evaluation (RWE): only a linear classifier on the features of an untrained network is trained.

Hu, Cheng, He, Lu: "Multi-objective Neural Architecture Search with Almost No Training", EMO 2021, arXiv 2011.13591;
Hu, Cheng, He, Lu, Wang, Zhang: "Accelerating Multi-Objective Neural Architecture Search by Random-Weight Evaluation",
Complex & Intelligent Systems 9 (2023), arXiv 2110.05242.

Differences from the paper: what it leaves open is an argument here (draws, images, initialisation, normalisation).
The default head is ridge regression in closed form, which has no learning rate; `head="sgd"` is the paper's kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean, stdev
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frugalnas.core import Candidate, Fidelity, InputError, Space, nearest
from frugalnas.layers.frozen import frozen
from frugalnas.tasks.classification import Classification, stratified
from frugalnas.tasks.statistics import calibrate, embed

Init = Literal["kaiming_normal", "kaiming_uniform", "xavier", "orthogonal", "default"]
Normalisation = Literal["calibrated", "batch", "default"]
Head = Literal["ridge", "sgd"]

INITS: dict[str, Callable[[Tensor], Tensor]] = {
    "kaiming_normal": partial(nn.init.kaiming_normal_, mode="fan_out", nonlinearity="relu"),
    "kaiming_uniform": partial(nn.init.kaiming_uniform_, mode="fan_out", nonlinearity="relu"),
    "xavier": nn.init.xavier_normal_,
    "orthogonal": nn.init.orthogonal_,
}


@dataclass(frozen=True)
class RandomWeights:
    """Validation error of a linear classifier on frozen random features, averaged over `draws` of the weights.

    `fidelity`: size of the network, resolution and share of the training images; its epochs play no part. `images`:
    training images for the classifier, stratified, 0 = all of that share. `init`: of the convolutions; "default" keeps
    the network's own. `normalisation` of the features: "calibrated" = the statistics of `calibration` training images,
    then frozen; "batch" = of the batch at hand, also for validation images; "default" = mean 0 and variance 1.
    `head`: "ridge" with the best of `penalties` by leave-one-out error, or "sgd", `epochs` of softmax regression at
    learning rate `lr`. Raises InputError for values out of range.
    """

    task: Classification = field(default_factory=Classification)
    fidelity: Fidelity = field(default_factory=Fidelity)
    draws: int = 1
    images: int = 2048
    init: Init = "kaiming_normal"
    normalisation: Normalisation = "calibrated"
    calibration: int = 1024
    head: Head = "ridge"
    penalties: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    epochs: int = 30
    lr: float = 0.1

    def __post_init__(self) -> None:
        for name, known in (("init", Init), ("normalisation", Normalisation), ("head", Head)):
            if getattr(self, name) not in get_args(known):
                raise InputError(
                    f"unknown {name} {getattr(self, name)!r}: {nearest(getattr(self, name), get_args(known))}"
                )
        for name, least in (("draws", 1), ("images", 0), ("calibration", 2), ("epochs", 1)):
            if getattr(self, name) < least:
                raise InputError(f"random_weights.{name} = {getattr(self, name)}: expected {least} or more")
        if not self.penalties or min(self.penalties) <= 0:
            raise InputError(f"random_weights.penalties = {self.penalties}: expected one or more positive numbers")
        if not 0 < self.lr < math.inf:
            raise InputError(f"random_weights.lr = {self.lr}: expected a positive number")

    @property
    def values(self) -> tuple[str, ...]:
        return ("error", "error_std") if self.draws > 1 else ("error",)

    def evaluate(self, candidate: Candidate, space: Space, seed: int) -> dict[str, float]:
        """`error` on the validation part: the mean over the draws; with several also `error_std`, their deviation."""
        sized = space.at(self.fidelity)
        errors = []
        for draw in range(self.draws):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(draw_seed(seed, draw))
                errors.append(self._error(self.task.attach(sized.build(candidate.genotype))))
        spread = {"error_std": stdev(errors)} if self.draws > 1 else {}
        return {"error": fmean(errors)} | spread

    def _error(self, model: nn.Module) -> float:
        initialise(model, self.init)
        images, labels = self.task.images("train", self.fidelity)
        if self.images and self.images < len(labels):
            picks = stratified(labels.cpu().numpy(), self.images / len(labels), self.task.data.seed)
            images, labels = images[picks], labels[picks]
        images, labels = shuffled(images, labels)
        unseen, truth = shuffled(*self.task.images("validation", self.fidelity))
        normalise, batch = self.task.normalisation(), self.task.batch
        if self.normalisation == "calibrated":
            calibrate(model, images[: self.calibration], normalise, batch)
        live = self.normalisation == "batch"
        model = model if live else frozen(model)
        known, new = (embed(model, part, normalise, batch, live) for part in (images, unseen))  # (n, D), (m, D)
        known, new = standardise(known, new)
        classes = self.task.facts()["classes"]
        if self.head == "ridge":
            weights, bias = ridge(known, labels, classes, self.penalties)
        else:
            weights, bias = softmax_regression(known, labels, classes, self.epochs, self.lr)
        return float(((new @ weights + bias).argmax(1) != truth).double().mean())


def draw_seed(seed: int, draw: int) -> int:
    """The seed of one draw of the weights: a non-negative integer below 2**63."""
    return int(np.random.SeedSequence(seed, spawn_key=(draw,)).generate_state(1, np.uint64)[0] >> 1)


def shuffled(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Images and labels in random order, labels on the CPU: a batch of one class would have that class's statistics."""
    order = torch.randperm(len(labels))
    return images[order.to(images.device)], labels.cpu()[order]


def initialise(model: nn.Module, init: Init) -> None:
    """Draw the weights of all convolutions anew, from torch's global generator."""
    if init == "default":
        return
    for parameter in model.parameters():
        if parameter.ndim == 4:  # (out, in / groups, k, k): a convolution's, whatever its class
            INITS[init](parameter)


def standardise(known: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
    """Both (n, D) and (m, D) with the mean and deviation of `known`, as doubles; constant features become 0."""
    known, new = known.double(), new.double()
    mean, deviation = known.mean(0), known.std(0, correction=0)
    scale = torch.where(deviation > 1e-12, 1 / deviation, 0)
    return (known - mean) * scale, (new - mean) * scale


def ridge(features: Tensor, labels: Tensor, classes: int, penalties: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Weights (D, classes) and bias (classes,) of ridge regression on +-1 targets, best penalty by `leave_one_out`.

    Minimises |features W + bias - targets|^2 + n penalty |W|^2 for centred `features` (n, D); the bias is free.
    """
    targets = 2 * F.one_hot(labels, classes).to(features.dtype) - 1  # (n, classes)
    values, vectors = torch.linalg.eigh(features.T @ features)
    rotated = features @ vectors  # (n, D)
    losses = [leave_one_out(rotated, values, targets, penalty) for penalty in penalties]
    best = penalties[losses.index(min(losses))]
    shrunk = (rotated.T @ targets) / (values.clamp(min=0) + len(labels) * best)[:, None]
    return vectors @ shrunk, targets.mean(0)


def leave_one_out(rotated: Tensor, values: Tensor, targets: Tensor, penalty: float) -> float:
    """Mean squared error of predicting each target from a fit to all others; exact, without refitting.

    `rotated` (n, D): centred features on the eigenvectors of their Gram matrix, whose eigenvalues are `values` (D,).
    The residual without observation i is its residual divided by 1 - h_i, h the diagonal of the hat matrix, which has
    1 / n for the free bias (Allen 1974; Golub, Heath and Wahba 1979). The penalty stays n times `penalty`.
    """
    n = len(targets)
    damping = values.clamp(min=0) + n * penalty  # (D,)
    fitted = targets.mean(0) + rotated @ ((rotated.T @ targets) / damping[:, None])
    hat = 1 / n + (rotated.square() / damping).sum(1)  # (n,)
    return float(((targets - fitted) / (1 - hat)[:, None]).square().mean())


def softmax_regression(features: Tensor, labels: Tensor, classes: int, epochs: int, lr: float) -> tuple[Tensor, Tensor]:
    """Weights (D, classes) and bias (classes,) by SGD on the cross-entropy: batch 512, momentum 0.9, cosine to 0.

    The order of the images comes from torch's global generator; the gradient is written out: softmax - one-hot.
    """
    inputs = torch.cat([features, torch.ones_like(features[:, :1])], dim=1)  # (n, D + 1), the last for the bias
    targets = F.one_hot(labels, classes).to(features.dtype)
    weights = inputs.new_zeros(inputs.shape[1], classes)
    velocity = torch.zeros_like(weights)
    for epoch in range(epochs):
        rate = lr * (1 + math.cos(math.pi * epoch / epochs)) / 2
        for picks in torch.split(torch.randperm(len(labels)), 512):
            x = inputs[picks]
            velocity = 0.9 * velocity + x.T @ ((x @ weights).softmax(1) - targets[picks]) / len(picks)
            weights = weights - rate * velocity
    return weights[:-1], weights[-1]
