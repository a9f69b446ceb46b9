"""How to train, as plain data, and the recipes known by name. Needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

from frugalnas.core import InputError, nearest

Policy = Literal["", "cifar10", "imagenet", "svhn"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Recipe:
    """How to train, apart from how long.

    `batch`: images a step, in `accumulate` parts one after the other, which need less memory. `lr`: the highest
    learning rate, `warmup`: the share of the training in which it rises to that from 0, before the cosine; `lr_end`:
    the rate that the cosine ends at. `clip`: largest norm of the gradient, 0 = off. `ema`: decay of the average over
    the weights of all steps, which is then the result, 0 = off (see `loop.averaged`).

    Images: `flip` half of them; `crop_padding`: border of the random crop, `cutout`: side of the erased square, both in
    pixels, 0 = off, of images whose side is `resolution`, where 0 is that of the source (see `at`). `auto_augment`:
    AutoAugment's policy of that name, "" = off. `mixup`, `cutmix`: the alpha of the beta distribution that says how
    much of a batch is mixed with itself, 0 = off; `mix_probability`: that a batch is mixed (with both on, half each).

    Network: `drop_path`: probability reached at the end of the linear ramp. `auxiliary`: weight of the auxiliary head's
    loss, which needs a space with that head. `precision` of what is computed from weights that are always float32:
    "auto" is bfloat16 (float16 where it has none) on a CUDA device and float32 elsewhere.

    Raises InputError for values out of range.
    """

    batch: int = 128
    accumulate: int = 1
    lr: float = 0.05
    lr_end: float = 0.0
    warmup: float = 0.0
    momentum: float = 0.9
    weight_decay: float = 3e-4
    nesterov: bool = False
    clip: float = 5.0
    ema: float = 0.0
    label_smoothing: float = 0.0
    crop_padding: int = 4
    flip: bool = True
    cutout: int = 0
    resolution: int = 0
    auto_augment: Policy = ""
    mixup: float = 0.0
    cutmix: float = 0.0
    mix_probability: float = 1.0
    drop_path: float = 0.0
    auxiliary: float = 0.0
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        if self.batch < 2:
            raise InputError(f"recipe.batch = {self.batch}: expected 2 or more (batch normalisation needs two images)")
        if not 1 <= self.accumulate <= self.batch // 2:
            raise InputError(
                f"recipe.accumulate = {self.accumulate}: expected 1 to {self.batch // 2}, half of recipe.batch"
            )
        if not 0 < self.lr < math.inf:
            raise InputError(f"recipe.lr = {self.lr}: expected a positive number")
        if not 0 <= self.lr_end <= self.lr:
            raise InputError(f"recipe.lr_end = {self.lr_end}: expected 0 to recipe.lr, which is {self.lr:g}")
        for name in ("weight_decay", "clip", "cutout", "crop_padding", "resolution", "auxiliary", "mixup", "cutmix"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"recipe.{name} = {getattr(self, name)}: expected 0 or more")
        for name in ("warmup", "momentum", "ema", "drop_path", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"recipe.{name} = {getattr(self, name)}: expected a number in [0, 1)")
        if not 0 <= self.mix_probability <= 1:
            raise InputError(f"recipe.mix_probability = {self.mix_probability}: expected a number in [0, 1]")
        if self.nesterov and self.momentum == 0:
            raise InputError("recipe.nesterov = true: expected a momentum above 0")
        for name, known in (("auto_augment", get_args(Policy)), ("precision", get_args(Precision))):
            if getattr(self, name) not in known:
                raise InputError(f"recipe.{name} = {getattr(self, name)!r}: {nearest(getattr(self, name), known)}")

    def scaled(self, share: float) -> Recipe:
        """The same recipe with `share` of its pixels."""
        return replace(self, cutout=round(self.cutout * share), crop_padding=round(self.crop_padding * share))

    def at(self, side: int, source: int) -> Recipe:
        """The same recipe for images of `side` pixels, made from a source of `source` pixels."""
        return self.scaled(side / (self.resolution or source))


@dataclass(frozen=True)
class Budget:
    """How long to train: a number of `epochs`, or `minutes` of wall time, of which the last epoch may be a part.

    Raises InputError unless it is exactly one of them, and not negative.
    """

    epochs: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.minutes is None):
            raise InputError("how long to train: expected either epochs or minutes")
        if self.epochs is not None and self.epochs < 0:
            raise InputError(f"epochs = {self.epochs}: expected 0 or more")
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise InputError(f"minutes = {self.minutes}: expected a positive number")

    def progress(self, epochs: float, seconds: float) -> float:
        """The share of the training, in [0, 1], that is over after so many epochs and seconds."""
        if self.minutes is not None:
            return min(1.0, seconds / (60 * self.minutes))
        return epochs / self.epochs if self.epochs else 1.0


@dataclass(frozen=True)
class Named:
    """A recipe known by name, the number of epochs that belongs to it, and one line about it."""

    recipe: Recipe
    epochs: int
    summary: str


_SHORT = Recipe(batch=64, lr=0.1, weight_decay=5e-4, nesterov=True, resolution=32)
_DARTS = Recipe(
    batch=96,
    lr=0.025,
    momentum=0.9,
    weight_decay=3e-4,
    clip=5.0,
    cutout=16,
    resolution=32,
    drop_path=0.2,
    auxiliary=0.4,
)

RECIPES: dict[str, Named] = {
    "short": Named(_SHORT, 15, "small networks, some 10,000 images, minutes on a CPU"),
    "darts": Named(_DARTS, 600, "DARTS on CIFAR-10 (Liu et al. 2019)"),
    "eeea": Named(_DARTS, 600, "EEEA-Net on CIFAR-10 (Termritthikun et al. 2021, section 4.1.2)"),
    "nsganet": Named(_DARTS, 600, "NSGA-Net on CIFAR-10 (Lu et al. 2019, released code)"),
    "econas": Named(replace(_DARTS, auxiliary=0.0), 600, "EcoNAS on CIFAR-10 (Zhou et al. 2020)"),
    "relativenas": Named(replace(_DARTS, batch=128, drop_path=0.3), 600, "RelativeNAS on CIFAR (Tan et al. 2021)"),
}
