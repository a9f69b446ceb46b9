"""The training loop: one straight page. Images stay in memory as uint8; every batch is augmented at once.

The recipe is that of the cell papers (Zoph et al. 2018; Liu et al., DARTS, 2019; Termritthikun et al., EEEA-Net,
2021, section 4.1): SGD with momentum, cosine to 0, random crop, flip, cutout, drop-path with a linear ramp, auxiliary
loss. Differences from the papers: the cosine is stepped per batch, not per epoch, so that a training of one epoch
anneals too; the weights after the last step count, there is no choice of a best epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frugalnas.core import InputError

STEPS_BETWEEN_LOOKS = 50  # at the loss, where looking makes a GPU wait


@dataclass(frozen=True)
class Recipe:
    """How to train, apart from how long.

    `batch`: images a step. `lr`: learning rate at the first step. `clip`: largest norm of the gradient, 0 = off.
    `cutout`: side of the erased square, `crop_padding`: border of the random crop, both in pixels at the source's
    resolution (see `scaled`), 0 = off. `drop_path`: probability reached at the end of the linear ramp. `auxiliary`:
    weight of the auxiliary head's loss, which needs a space with that head.
    Raises InputError for values out of range.
    """

    batch: int = 128
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 3e-4
    nesterov: bool = False
    clip: float = 5.0
    cutout: int = 0
    crop_padding: int = 4
    flip: bool = True
    drop_path: float = 0.0
    auxiliary: float = 0.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if self.batch < 2:
            raise InputError(f"recipe.batch = {self.batch}: expected 2 or more (batch normalisation needs two images)")
        if not 0 < self.lr < math.inf:
            raise InputError(f"recipe.lr = {self.lr}: expected a positive number")
        for name in ("weight_decay", "clip", "cutout", "crop_padding", "auxiliary"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"recipe.{name} = {getattr(self, name)}: expected 0 or more")
        for name in ("momentum", "drop_path", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"recipe.{name} = {getattr(self, name)}: expected a number in [0, 1)")
        if self.nesterov and self.momentum == 0:
            raise InputError("recipe.nesterov = true: expected a momentum above 0")

    def scaled(self, share: float) -> Recipe:
        """The same recipe for images whose side is `share` of the source's."""
        return replace(self, cutout=round(self.cutout * share), crop_padding=round(self.crop_padding * share))


@dataclass(frozen=True, eq=False)
class Normalise:
    """(x / 255 - mean) / std per channel; `mean` and `std` are those of x / 255 over the training images."""

    mean: Tensor  # (C,)
    std: Tensor  # (C,)

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 (N, C, H, W) to float32 of the same shape, channels last."""
        pixels = images.to(torch.float32, memory_format=torch.channels_last)
        return pixels.sub_(255 * self.mean[:, None, None]).div_(255 * self.std[:, None, None])


def measure(images: Tensor) -> Normalise:
    """The normalisation of uint8 images (N, C, H, W); exact, from the histogram of each channel."""
    counts = torch.stack([channel.flatten().bincount(minlength=256) for channel in images.unbind(1)])  # (C, 256)
    values = torch.arange(256, dtype=torch.float64, device=images.device) / 255
    shares = counts.double() / counts.sum(1, keepdim=True)
    mean = shares @ values
    variance = (shares * (values - mean[:, None]) ** 2).sum(1)
    return Normalise(mean.float(), variance.sqrt().clamp(min=1 / 255).float())  # a constant channel has no spread


def crop_flip(images: Tensor, padding: int, top: Tensor, left: Tensor, flipped: Tensor) -> Tensor:
    """Crops of zero-padded images (N, C, H, W), some mirrored: `top`, `left` in [0, 2 * padding], all (N,).

    The window of image i starts `top[i]`, `left[i]` pixels into the padded image. Returns channels last.
    """
    n, _, height, width = images.shape
    columns = torch.arange(width, device=images.device).expand(n, width)
    columns = torch.where(flipped[:, None], width - 1 - columns, columns) + left[:, None]
    rows = torch.arange(height, device=images.device) + top[:, None]
    padded = F.pad(images, (padding, padding, padding, padding))
    one_each = torch.arange(n, device=images.device)[:, None, None]
    return padded[one_each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def cutout(images: Tensor, size: int, row: Tensor, column: Tensor) -> Tensor:
    """Images (N, C, H, W) with a square of `size` around (`row[i]`, `column[i]`) set to 0, clipped at the border.

    DeVries and Taylor 2017, as in DARTS: the centre is anywhere in the image, so the square may be cut off.
    """
    height, width = images.shape[2:]
    down = torch.arange(height, device=images.device) - (row[:, None] - size // 2)  # (N, H)
    right = torch.arange(width, device=images.device) - (column[:, None] - size // 2)  # (N, W)
    inside = ((down >= 0) & (down < size))[:, None, :, None] & ((right >= 0) & (right < size))[:, None, None, :]
    return images.masked_fill(inside, 0)


def augment(images: Tensor, normalise: Normalise, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Random crops, flips and cutouts of uint8 images (N, C, H, W), each image its own; float32, normalised."""
    n, _, height, width = images.shape
    device = images.device

    def below(limit: int) -> Tensor:
        return torch.randint(limit, (n,), generator=generator).to(device)

    if recipe.crop_padding or recipe.flip:
        top, left = below(2 * recipe.crop_padding + 1), below(2 * recipe.crop_padding + 1)
        flipped = below(2) == 1 if recipe.flip else torch.zeros(n, dtype=torch.bool, device=device)
        images = crop_flip(images, recipe.crop_padding, top, left, flipped)
    pixels = normalise(images)
    if recipe.cutout:
        pixels = cutout(pixels, recipe.cutout, below(height), below(width))
    return pixels


def fit(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    epochs: int,
    seed: int,
    normalise: Normalise | None = None,
    on_epoch: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Train `model` on uint8 images (N, C, H, W) and labels (N,); returns the mean loss of each epoch.

    In training mode the model gives logits (N, classes) or, with an auxiliary head, two of them; its attribute
    `drop_path` is set each epoch. `normalise` defaults to that of `images`. `on_epoch(epoch, loss)` is called after
    each epoch. A last batch of one image is left out. Seeds torch's global generator, which drop-path draws from.
    Raises FloatingPointError when the loss is NaN or infinite, InputError for too few images or no auxiliary head.
    """
    if len(images) < 2:
        raise InputError(f"training on {len(images)} image: expected 2 or more (batch normalisation needs two)")
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    normalise = normalise or measure(images)
    optimiser = torch.optim.SGD(
        model.parameters(),
        recipe.lr,
        recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
        fused=True,  # one call for some 200 small tensors: 0.2 instead of 1.7 ms a step
    )
    starts = range(0, len(images) - 1, recipe.batch)  # a batch that would start at the last image has only that one
    steps, step, losses = epochs * len(starts), 0, []
    model.train()
    for epoch in range(epochs):
        model.drop_path = recipe.drop_path * epoch / epochs  # type: ignore[assignment]
        order = torch.randperm(len(images), generator=generator).to(images.device)
        total, seen = torch.zeros((), device=images.device), 0
        for start in starts:
            picks = order[start : start + recipe.batch]
            optimiser.param_groups[0]["lr"] = recipe.lr * (1 + math.cos(math.pi * step / steps)) / 2
            output = model(augment(images[picks], normalise, recipe, generator))
            loss = _loss(output, labels[picks], recipe)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if recipe.clip:
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimiser.step()
            total += loss.detach() * len(picks)
            seen, step = seen + len(picks), step + 1
            look = images.device.type == "cpu" or step % STEPS_BETWEEN_LOOKS == 0 or start == starts[-1]
            if look and not math.isfinite(total):
                raise FloatingPointError(f"the training loss became {loss.item():g} (epoch {epoch + 1}, step {step})")
        losses.append(total.item() / seen)
        if on_epoch:
            on_epoch(epoch, losses[-1])
    return losses


def _loss(output: Tensor | tuple[Tensor, Tensor], labels: Tensor, recipe: Recipe) -> Tensor:
    logits, auxiliary = output if isinstance(output, tuple) else (output, None)
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
