"""What happens to a batch of images before the network sees it: normalised, cropped, flipped, erased, mixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
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


@dataclass(frozen=True, eq=False)
class Draws:
    """What chance says of each image of a batch, all (N,): where its crop starts (`top`, `left`), whether it is
    `flipped`, the centre of its cutout (`row`, `column`), and the `seed` of its policy.
    """

    top: Tensor
    left: Tensor
    flipped: Tensor
    row: Tensor
    column: Tensor
    seed: Tensor

    def at(self, places: Tensor) -> Draws:
        """The draws of some images of the batch."""
        return Draws(*(vars(self)[drawn.name][places] for drawn in fields(self)))


def draw(count: int, side: tuple[int, int], recipe: Recipe, generator: torch.Generator) -> Draws:
    """For a batch of so many images with these sides (H, W); on the CPU. What the recipe leaves out is not drawn."""

    def below(limit: int, wanted: bool) -> Tensor:
        return torch.randint(limit, (count,), generator=generator) if wanted else torch.zeros(count, dtype=torch.long)

    moved = bool(recipe.crop_padding or recipe.flip)
    top, left = below(2 * recipe.crop_padding + 1, moved), below(2 * recipe.crop_padding + 1, moved)
    flipped = below(2, recipe.flip) == 1
    row, column = (below(length, recipe.cutout > 0) for length in side)
    return Draws(top, left, flipped, row, column, below(2**62, bool(recipe.auto_augment)))


def augment(images: Tensor, normalise: Normalise, recipe: Recipe, draws: Draws) -> Tensor:
    """Crops, flips, policies and cutouts of uint8 images (N, C, H, W), as drawn for each; float32, normalised.

    Raises InputError as `policy` does.
    """
    device = images.device
    if recipe.crop_padding or recipe.flip:
        where = (draws.top.to(device), draws.left.to(device), draws.flipped.to(device))
        images = crop_flip(images, recipe.crop_padding, *where)
    if recipe.auto_augment and len(images):
        transform, changed = policy(recipe.auto_augment, images.shape[1]), []
        with torch.random.fork_rng(devices=[]):
            for image, seed in zip(images, draws.seed.tolist(), strict=True):
                torch.default_generator.manual_seed(seed)  # which torchvision draws from
                changed.append(transform(image))
        images = torch.stack(changed)
    pixels = normalise(images)
    if recipe.cutout:
        pixels = cutout(pixels, recipe.cutout, draws.row.to(device), draws.column.to(device))
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


@dataclass(frozen=True, eq=False)
class Mixing:
    """With which other image of its batch each is mixed (`order`, (N,)), and the `share` of its own.

    `box`: the rectangle (top, bottom, left, right) that is the other's; None where the two are averaged.
    """

    order: Tensor
    share: float
    box: tuple[int, int, int, int] | None = None

    def __call__(self, images: Tensor, others: Tensor) -> Tensor:
        """Images (N, C, H, W) mixed with others; channels last."""
        if self.box is None:
            return torch.lerp(others, images, self.share).contiguous(memory_format=torch.channels_last)
        top, bottom, left, right = self.box
        mixed = images.clone(memory_format=torch.channels_last)
        mixed[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
        return mixed


def mixing(count: int, side: tuple[int, int], recipe: Recipe, rng: np.random.Generator) -> Mixing | None:
    """How a batch of so many images with these sides (H, W) is mixed; None where the recipe leaves it unmixed.

    Mixup (Zhang et al. 2018) averages two images; cutmix (Yun et al. 2019, algorithm 1) puts a rectangle of the second
    into the first. The share is drawn from Beta(alpha, alpha), once a batch.
    """
    if not (recipe.mixup or recipe.cutmix) or rng.random() >= recipe.mix_probability:
        return None
    cut = bool(recipe.cutmix) and (not recipe.mixup or rng.random() < 0.5)
    alpha = recipe.cutmix if cut else recipe.mixup
    share = float(rng.beta(alpha, alpha))
    order = torch.from_numpy(rng.permutation(count))
    if not cut:
        return Mixing(order, share)
    (height, width), half = side, (1 - share) ** 0.5 / 2
    row, column = rng.integers(height), rng.integers(width)  # the centre, so that the rectangle may be cut off
    top, left = (max(0, round(c - s * half)) for c, s in ((row, height), (column, width)))
    bottom, right = (min(s, round(c + s * half)) for c, s in ((row, height), (column, width)))
    return Mixing(order, 1 - (bottom - top) * (right - left) / (height * width), (top, bottom, left, right))
