"""What happens to a batch of images before the network sees it: normalised, cropped, flipped, erased, mixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from frugalnas.core import InputError
from frugalnas.tasks.recipe import Policy, Recipe


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


def augment(images: Tensor, normalise: Normalise, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Random crops, flips, policies and cutouts of uint8 images (N, C, H, W), each its own; float32, normalised.

    AutoAugment draws from torch's global generator. Raises InputError as `policy` does.
    """
    n, _, height, width = images.shape
    device = images.device

    def below(limit: int) -> Tensor:
        return torch.randint(limit, (n,), generator=generator).to(device)

    if recipe.crop_padding or recipe.flip:
        top, left = below(2 * recipe.crop_padding + 1), below(2 * recipe.crop_padding + 1)
        flipped = below(2) == 1 if recipe.flip else torch.zeros(n, dtype=torch.bool, device=device)
        images = crop_flip(images, recipe.crop_padding, top, left, flipped)
    if recipe.auto_augment:
        transform = policy(recipe.auto_augment, images.shape[1])
        images = torch.stack([transform(image) for image in images])
    pixels = normalise(images)
    if recipe.cutout:
        pixels = cutout(pixels, recipe.cutout, below(height), below(width))
    return pixels


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


@lru_cache(maxsize=4)
def policy(name: Policy, channels: int) -> Callable[[Tensor], Tensor]:
    """AutoAugment's published policy (Cubuk et al. 2019), for uint8 images (C, H, W): torchvision's.

    Raises InputError without torchvision, and for images that have neither one nor three channels.
    """
    if channels not in (1, 3):
        raise InputError(f"recipe.auto_augment = {name!r}: the images have {channels} channels, expected 1 or 3")
    try:
        from torchvision.transforms import AutoAugmentPolicy, v2
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"recipe.auto_augment needs torchvision ({reason}): pip install 'frugalnas[vision]'") from None
    transform: Callable[[Tensor], Tensor] = v2.AutoAugment(AutoAugmentPolicy(name))
    return transform


def cutout(images: Tensor, size: int, row: Tensor, column: Tensor) -> Tensor:
    """Images (N, C, H, W) with a square of `size` around (`row[i]`, `column[i]`) set to 0, clipped at the border.

    DeVries and Taylor 2017, as in DARTS: the centre is anywhere in the image, so the square may be cut off.
    """
    height, width = images.shape[2:]
    down = torch.arange(height, device=images.device) - (row[:, None] - size // 2)  # (N, H)
    right = torch.arange(width, device=images.device) - (column[:, None] - size // 2)  # (N, W)
    inside = ((down >= 0) & (down < size))[:, None, :, None] & ((right >= 0) & (right < size))[:, None, None, :]
    return images.masked_fill(inside, 0)


def mix(images: Tensor, recipe: Recipe, rng: np.random.Generator) -> tuple[Tensor, Tensor, float] | None:
    """A batch (N, C, H, W) mixed with itself in another order, that order (N,), and the share of the first images.

    Mixup (Zhang et al. 2018) averages two images; cutmix (Yun et al. 2019, algorithm 1) puts a rectangle of the second
    into the first. The share is drawn from Beta(alpha, alpha), once a batch. None where the recipe leaves it unmixed.
    """
    if not (recipe.mixup or recipe.cutmix) or rng.random() >= recipe.mix_probability:
        return None
    cut = bool(recipe.cutmix) and (not recipe.mixup or rng.random() < 0.5)
    alpha = recipe.cutmix if cut else recipe.mixup
    share = float(rng.beta(alpha, alpha))
    order = torch.from_numpy(rng.permutation(len(images))).to(images.device)
    if not cut:
        return torch.lerp(images[order], images, share), order, share
    height, width = images.shape[2:]
    side = (1 - share) ** 0.5
    row, column = rng.integers(height), rng.integers(width)  # the centre, so that the rectangle may be cut off
    top, left = (max(0, round(c - s * side / 2)) for c, s in ((row, height), (column, width)))
    bottom, right = (min(s, round(c + s * side / 2)) for c, s in ((row, height), (column, width)))
    mixed = images.clone(memory_format=torch.channels_last)
    mixed[:, :, top:bottom, left:right] = images[order, :, top:bottom, left:right]
    return mixed, order, 1 - (bottom - top) * (right - left) / (height * width)
