"""Labelled images in memory, where they come from, and the stratified split into training and validation."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from frugalnas.core import InputError

Part = Literal["train", "validation", "test"]
Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class DataSource:
    """Where images come from and how they are read.

    `source`: the name of a known data set, a folder of images by class, or an `.npz` file. `root`: the folder of a
    named data set. `resolution`: side of the square images in pixels; 0 keeps arrays as they are and means 32 for a
    folder. `validation`: the share of the training images held out where the data has no validation part of its own.
    `seed`: of that split. `strict`: refuse what would otherwise be skipped and named.
    Raises InputError for values out of range.
    """

    source: str = "fashion-mini"
    root: str = ""
    resolution: int = 0
    validation: float = 0.2
    seed: int = 0
    strict: bool = False

    def __post_init__(self) -> None:
        if not self.source:
            raise InputError("data.source is empty: expected a data set's name, a folder or an .npz file")
        if self.resolution < 0:
            raise InputError(f"data.resolution = {self.resolution}: expected pixels, or 0 for as is")
        _check_split(self.validation, self.seed)


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images of one part of a data set.

    `pixels`: uint8 (N, C, H, W) with H = W. `labels`: int64 (N,) in 0..len(classes)-1. `files`: relative paths of the
    images where they are files, else empty. `sizes`: the distinct (width, height) before resizing. `skipped`: one line
    for each file left out, with the reason. `notes`: one line for each thing done to the images that may surprise.
    """

    pixels: Pixels
    labels: Labels
    classes: tuple[str, ...]
    name: str
    files: tuple[str, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if self.pixels.dtype != np.uint8 or len(shape) != 4 or shape[2] != shape[3] or 0 in shape:
            raise InputError(f"{self.name}: pixels {self.pixels.dtype} {shape}: expected uint8 (N, C, H, W), H = W")
        labels = self.labels
        if labels.dtype != np.int64 or labels.shape != shape[:1]:
            raise InputError(f"{self.name}: labels {labels.dtype} {labels.shape}: expected int64 ({shape[0]},)")
        _check_labels(labels, len(self.classes), self.name)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def in_channels(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def resolution(self) -> int:
        return int(self.pixels.shape[2])

    @property
    def counts(self) -> dict[str, int]:
        """Images per class, in the order of the labels."""
        return dict(zip(self.classes, np.bincount(self.labels, minlength=len(self.classes)).tolist(), strict=True))

    def at(self, indices: NDArray[np.intp]) -> Images:
        """The images at `indices`, in that order."""
        files = tuple(self.files[i] for i in indices) if self.files else ()
        return replace(self, pixels=self.pixels[indices], labels=self.labels[indices], files=files)


def fingerprint(parts: Sequence[Images]) -> str:
    """A checksum of the pixels and labels of all parts, by which it is seen that they changed."""
    checksum = 0
    for images in parts:
        pixels = np.ascontiguousarray(images.pixels)
        checksum = zlib.crc32(images.labels.tobytes(), zlib.crc32(pixels.data, checksum))
    return f"{checksum:08x}"


def split(images: Images, validation: float, seed: int) -> tuple[Images, Images]:
    """Training and validation parts: disjoint, in every class `validation` of the images, at least one on each side.

    The same seed gives the same split, whatever the global generators are. Raises InputError for a class with fewer
    than two images, or arguments out of range.
    """
    _check_split(validation, seed)
    rng = np.random.Generator(np.random.PCG64(seed))
    held_out = np.zeros(len(images), dtype=bool)
    for label, name in enumerate(images.classes):
        members = np.flatnonzero(images.labels == label)
        if len(members) < 2:
            raise InputError(f"{images.name}: class {name!r} has {len(members)} images: the split needs 2 or more")
        count = min(max(round(len(members) * validation), 1), len(members) - 1)
        held_out[rng.permutation(members)[:count]] = True
    return images.at(np.flatnonzero(~held_out)), images.at(np.flatnonzero(held_out))


def stratified(labels: NDArray[np.int64], share: float, seed: int) -> NDArray[np.intp]:
    """Indices, ascending, of about `share` of every class, at least one of each; smaller shares are part of larger."""
    order = np.random.default_rng(seed).permutation(len(labels))
    members = [order[labels[order] == label] for label in np.unique(labels)]
    return np.sort(np.concatenate([picks[: max(1, round(share * len(picks)))] for picks in members]))


def _check_labels(labels: NDArray[Any], classes: int, where: str) -> None:
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise InputError(
            f"{where}: {len(wrong)} labels out of range, the first is {labels[wrong[0]]} at {wrong[0]}: "
            f"expected 0 to {classes - 1}"
        )


def refuse_beyond_memory(size: int, what: str) -> None:
    """Raise InputError, which begins with `what`, for `size` bytes that this machine could never hold."""
    if sys.platform == "win32":
        return  # which says so itself, as it promises no more memory than it has
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory:
        raise InputError(f"{what}: {size / 1e9:,.1f} GB, and this machine has {memory / 1e9:,.1f} GB of memory")


def _check_split(validation: float, seed: int) -> None:
    if not 0 < validation < 1:
        raise InputError(f"data.validation = {validation}: expected a share between 0 and 1")
    if seed < 0:
        raise InputError(f"data.seed = {seed}: expected 0 or more")


def joined(parts: Sequence[Images]) -> Images:
    """The images of all parts, one after the other; the parts agree on classes, channels and resolution."""
    if len(parts) == 1:
        return parts[0]
    return replace(
        parts[0],
        pixels=np.concatenate([part.pixels for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        files=sum((part.files for part in parts), ()),
        sizes=tuple(sorted({size for part in parts for size in part.sizes})),
        skipped=sum((part.skipped for part in parts), ()),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def resized(pixels: Pixels, resolution: int) -> Pixels:
    """`pixels` (N, C, H, W) at `resolution`: short side to it, then centre crop, antialiased; every channel alone."""
    if pixels.shape[2:] == (resolution, resolution):
        return pixels
    result = np.empty((*pixels.shape[:2], resolution, resolution), dtype=np.uint8)
    for image, target in zip(pixels, result, strict=True):
        for channel in range(len(image)):
            target[channel] = fitted(Image.fromarray(image[channel]), resolution)
    return result


def with_channels(pixels: Pixels, channels: int, where: str) -> Pixels:
    """`pixels` (N, C, H, W) with `channels`: gray is repeated to RGB, RGB becomes gray by its luma (ITU-R 601).

    Raises InputError, which begins with `where`, for other numbers of channels that differ.
    """
    if pixels.shape[1] == channels:
        return pixels
    if (pixels.shape[1], channels) == (1, 3):
        return np.repeat(pixels, 3, axis=1)
    if (pixels.shape[1], channels) == (3, 1):
        gray = [np.asarray(Image.fromarray(image).convert("L")) for image in pixels.transpose(0, 2, 3, 1)]
        return np.stack(gray)[:, None]
    raise InputError(f"{where} has images of {pixels.shape[1]} channels: expected {channels}")


def fitted(image: Image.Image, resolution: int) -> Image.Image:
    """The image with its short side at `resolution` and its long side cropped at the centre, antialiased."""
    return ImageOps.fit(image, (resolution, resolution), Image.Resampling.BICUBIC)
