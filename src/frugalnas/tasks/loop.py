"""The training loop: one straight page. Images stay in memory as uint8; every batch is augmented at once.

The recipe is that of the cell papers (Zoph et al. 2018; Liu et al., DARTS, 2019; Termritthikun et al., EEEA-Net,
2021, section 4.1): SGD with momentum, cosine to 0, random crop, flip, cutout, drop-path with a linear ramp, auxiliary
loss; beyond them what `recipe.Recipe` lists. Differences from the papers: the cosine is stepped per batch, not per
epoch, so that a training of one epoch anneals too; the weights after the last step count, there is no choice of a best
epoch. All that is random in an epoch follows from the seed and the epoch's number, so that a training can go on from
any epoch as if it had never stopped. Several processes may share the batches (see `ranks`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from frugalnas.core import InputError
from frugalnas.tasks.augment import Draws, Mixing, Normalise, augment, draw, measure, mixing
from frugalnas.tasks.ranks import ALONE, Ranks
from frugalnas.tasks.recipe import Budget, Recipe

STEPS_BETWEEN_LOOKS = 50  # at the loss, where looking makes a GPU wait
Watch = Callable[[float, float, float], None]
Tensors = tuple[Tensor, ...] | list[Tensor]


@dataclass(frozen=True)
class Epoch:
    """One epoch, from 1: its mean `loss`, `lr` at its last step, `seconds`, and the `images` trained on."""

    epoch: int
    loss: float
    lr: float
    seconds: float
    images: int


@dataclass(frozen=True, eq=False)
class Learner:
    """All that a training changes: the network, what SGD and the average over the weights remember, the loss' scale."""

    network: nn.Module
    optimiser: torch.optim.SGD
    average: AveragedModel | None
    scaler: torch.amp.GradScaler
    autocast: AbstractContextManager[Any]

    @property
    def result(self) -> nn.Module:
        """The network to predict with."""
        return self.network if self.average is None else self.average.module


def learner(network: nn.Module, recipe: Recipe) -> Learner:
    """What is needed to train `network` as `recipe` says, before the first step."""
    optimiser = torch.optim.SGD(
        network.parameters(),
        recipe.lr,
        recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
        fused=True,  # one call for some 200 small tensors: 0.2 instead of 1.7 ms a step
    )
    average = AveragedModel(network, multi_avg_fn=averaged(recipe.ema), use_buffers=True) if recipe.ema else None
    device = next(network.parameters()).device.type
    kind = _kind(recipe, device)
    autocast = nullcontext() if kind == torch.float32 else torch.autocast(device, kind)
    return Learner(network, optimiser, average, torch.amp.GradScaler(device, enabled=kind == torch.float16), autocast)


def averaged(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """The exponential moving average, at step t with the decay min(decay, (1 + t) / (10 + t)).

    That, as in TensorFlow's `ExponentialMovingAverage`, forgets the first weights also where a training is short: the
    average is then over about the last tenth of its steps.
    """

    def update(average: Tensors, current: Tensors, steps: Tensor | int) -> None:
        now = min(decay, (1 + int(steps)) / (10 + int(steps)))
        get_ema_multi_avg_fn(now)(average, current, steps)  # type: ignore[no-untyped-call]

    return update


def _kind(recipe: Recipe, device: str) -> torch.dtype:
    if recipe.precision != "auto":
        kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
        return kinds[recipe.precision]
    if device != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def fit(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    budget: Budget,
    seed: int,
    normalise: Normalise | None = None,
) -> list[Epoch]:
    """Train `model`, any network, on uint8 images (N, C, H, W) and labels (N,): all `epochs`, one after the other.

    `normalise` defaults to that of `images`. In the end `model` has the averaged weights where the recipe averages.
    """
    parts = learner(model, recipe)
    done = list(epochs(parts, images, labels, recipe, budget, seed, normalise or measure(images)))
    if parts.average is not None:
        model.load_state_dict(parts.average.module.state_dict())
    return done


def epochs(
    parts: Learner,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    budget: Budget,
    seed: int,
    normalise: Normalise,
    *,
    done: int = 0,
    seconds: float = 0.0,
    watch: Watch | None = None,
    ranks: Ranks = ALONE,
) -> Iterator[Epoch]:
    """Train on uint8 images (N, C, H, W) and labels (N,), one epoch each time that the iterator is asked.

    In training mode the network gives logits (N, classes) or, with an auxiliary head, two of them; its attributes
    `drop_path` and `beside` are set. `done`, `seconds`: what earlier sessions did of the budget; the time between two
    epochs counts too. `watch(progress, mean loss of the epoch, lr)` is called whenever the loss is looked at. A last
    batch of one image is left out. Seeds torch's global generator, which drop-path draws from. `ranks`: the processes
    that share each batch; all call this with the same arguments, but only the first one's time counts. Raises
    FloatingPointError when the loss is NaN or infinite, InputError for too few images or no auxiliary head; and where
    there are several processes, in all of them, KeyboardInterrupt where one is asked to stop and Lost where one ends.
    """
    if len(images) < 2:
        raise InputError(f"training on {len(images)} image: expected 2 or more (batch normalisation needs two)")
    network, replica = parts.network, ranks.replica(parts.network)
    starts, side = range(0, used(len(images), recipe.batch), recipe.batch), (images.shape[2], images.shape[3])
    began, step = time.monotonic() - seconds, done * len(starts)
    progress = ranks.agreed(budget.progress(done, seconds))
    while progress < 1:
        started, number = time.monotonic(), step // len(starts)
        generator, rng = _seeded(seed, number)
        network.train()
        network.drop_path = recipe.drop_path * progress  # type: ignore[assignment]
        order = torch.randperm(len(images), generator=generator)
        total, seen, mean, lr = torch.zeros((), device=images.device), 0, 0.0, 0.0
        for start in starts:
            picks = order[start : start + recipe.batch]
            chance = draw(len(picks), side, recipe, generator), mixing(len(picks), side, recipe, rng)
            batch = _Batch(images, labels, picks, recipe, normalise, *chance)
            parts.optimiser.param_groups[0]["lr"] = lr = rate(recipe, progress)
            parts.optimiser.zero_grad()
            total += _backward(parts, replica, batch, ranks)
            _step(parts, recipe.clip)
            seen, step = seen + len(picks), step + 1
            progress = ranks.agreed(budget.progress(step / len(starts), time.monotonic() - began))
            ends = start == starts[-1] or progress == 1
            if ends or images.device.type == "cpu" or step % STEPS_BETWEEN_LOOKS == 0:
                mean = ranks.sum(total) / seen
                if not math.isfinite(mean):
                    raise FloatingPointError(f"the training loss became {mean:g} (epoch {number + 1}, step {step})")
                if watch:
                    watch(progress, mean, lr)
            if ends:
                break
        yield Epoch(number + 1, mean, lr, time.monotonic() - started, seen)
        progress = ranks.agreed(budget.progress(step / len(starts), time.monotonic() - began))


@dataclass(frozen=True, eq=False)
class _Batch:
    """One batch of all processes, `picks` (N,) of the images, with what chance says of it."""

    images: Tensor
    labels: Tensor
    picks: Tensor
    recipe: Recipe
    normalise: Normalise
    draws: Draws
    mixing: Mixing | None

    def pieces(self) -> Sequence[Tensor]:
        """The places (N,) in the batch, in the parts whose gradients are added up; each has two or more."""
        return torch.arange(len(self.picks)).tensor_split(max(1, min(self.recipe.accumulate, len(self.picks) // 2)))

    def inputs(self, places: Tensor) -> Tensor:
        """What the network sees of the images at these places: augmented, mixed."""
        if self.mixing is None:
            return self._augmented(places)
        both, where = torch.unique(torch.cat((places, self.mixing.order[places])), return_inverse=True)
        own, others = self._augmented(both)[where.to(self.images.device)].tensor_split(2)
        return self.mixing(own, others)

    def loss(self, output: Tensor | tuple[Tensor, Tensor], places: Tensor) -> Tensor:
        """The mean loss of the images at these places, of which the network gave the `output`."""
        loss = _loss(output, self._labels(places), self.recipe)
        if self.mixing is None:
            return loss
        share, others = self.mixing.share, self._labels(self.mixing.order[places])
        return share * loss + (1 - share) * _loss(output, others, self.recipe)

    def _augmented(self, places: Tensor) -> Tensor:
        pixels = self.images[self.picks[places].to(self.images.device)]
        return augment(pixels, self.normalise, self.recipe, self.draws.at(places))

    def _labels(self, places: Tensor) -> Tensor:
        return self.labels[self.picks[places].to(self.labels.device)]


def _backward(parts: Learner, replica: nn.Module, batch: _Batch, ranks: Ranks) -> Tensor:
    """Add the gradients of the mean loss of a batch to those of the network; the sum of the losses of the images here.

    `replica`: what to call in place of the network. Where the processes have not the same number of images, a loss
    counts as much as its images, so that the mean over the processes is that over the images.
    """
    total, pieces = torch.zeros((), device=batch.images.device), batch.pieces()
    for number, piece in enumerate(pieces, 1):
        places, *beside = ranks.part(piece)
        parts.network.beside = tuple(beside)  # type: ignore[assignment]
        with ranks.adding(replica, last=number == len(pieces)):
            with parts.autocast:
                loss = batch.loss(replica(batch.inputs(places)), places)
            share = len(places) * ranks.count / len(batch.picks)
            parts.scaler.scale(loss * share).backward()  # type: ignore[no-untyped-call]
        total += loss.detach() * len(places)
    return total


def _step(parts: Learner, clip: float) -> None:
    """Change the weights by their gradients, whose norm is at most `clip` (0: any), and the average over them."""
    if clip:
        parts.scaler.unscale_(parts.optimiser)
        nn.utils.clip_grad_norm_(parts.network.parameters(), clip)
    parts.scaler.step(parts.optimiser)
    parts.scaler.update()
    if parts.average is not None:
        parts.average.update_parameters(parts.network)


def used(count: int, batch: int) -> int:
    """Of `count` images how many an epoch trains on: a last batch of one image is left out."""
    return count - (count % batch == 1)


def _seeded(seed: int, epoch: int) -> tuple[torch.Generator, np.random.Generator]:
    """The generators of an epoch; torch's global one, which networks draw from, is seeded too. Epoch 0 has the seed."""
    numbers = np.random.SeedSequence(seed, spawn_key=(epoch,)).generate_state(1, np.uint64)
    own = seed if epoch == 0 else int(numbers[0] >> 1)
    torch.manual_seed(own)
    return torch.Generator().manual_seed(own), np.random.default_rng(own)


def rate(recipe: Recipe, progress: float) -> float:
    """The learning rate: a linear rise from 0 in the warm-up, then half a cosine down to `lr_end`."""
    if progress < recipe.warmup:
        return recipe.lr * progress / recipe.warmup
    high = (1 + math.cos(math.pi * (progress - recipe.warmup) / (1 - recipe.warmup))) / 2
    return recipe.lr_end + (recipe.lr - recipe.lr_end) * high


def _loss(output: Tensor | tuple[Tensor, Tensor], labels: Tensor, recipe: Recipe) -> Tensor:
    logits, auxiliary = output if isinstance(output, tuple) else (output, None)
    if not len(labels):  # of a batch smaller than the number of processes
        return logits.sum() if auxiliary is None else logits.sum() + auxiliary.sum()
    loss = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
    if not recipe.auxiliary:
        return loss
    if auxiliary is None:
        raise InputError(f"recipe.auxiliary = {recipe.auxiliary}: the network has no auxiliary head (auxiliary=True)")
    return loss + recipe.auxiliary * F.cross_entropy(auxiliary, labels, label_smoothing=recipe.label_smoothing)


@torch.inference_mode()
def predict(model: nn.Module, images: Tensor, normalise: Normalise, batch: int) -> Tensor:
    """Logits (N, classes) of uint8 images (N, C, H, W), all of them, unaugmented, in evaluation mode."""
    model.eval()
    return torch.cat([model(normalise(part)) for part in torch.split(images, batch)])
