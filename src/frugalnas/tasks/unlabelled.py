"""Images without labels, batch by batch: files, folders of them and `.npz` files, however many there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from frugalnas.core import InputError
from frugalnas.tasks.arrays import read_npz_pixels
from frugalnas.tasks.folders import decoded, image_files
from frugalnas.tasks.images import Pixels, resized, with_channels

BATCH = 256


@dataclass(frozen=True, eq=False)
class Batch:
    """Some images, uint8 (N, C, H, W), with their names; `skipped` has a line for each that could not be read."""

    names: tuple[str, ...]
    pixels: Pixels
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """What is to be read: `files`, images and `.npz` files in the order given; `skipped` has a line for each other."""

    files: tuple[Path, ...]
    skipped: tuple[str, ...]

    @property
    def images(self) -> int | None:
        """How many images there are, None where that is known only once an `.npz` file is read."""
        return None if any(map(_is_array, self.files)) else len(self.files)


def listed(inputs: Sequence[str | Path]) -> Listing:
    """The files that `inputs` name: files, and folders with all the image files at any depth below them.

    Raises InputError for what is not there.
    """
    files: list[Path] = []
    skipped: list[str] = []
    for path in map(Path, inputs):
        if path.is_dir():
            found, left_out = image_files(path, path)
            files += found
            skipped += [f"{_shown(path)}/{line}" for line in left_out]
        elif path.exists():
            files.append(path)
        else:
            raise InputError(f"there is no file or folder {str(path)!r}")
    return Listing(tuple(files), tuple(skipped))


def batches(files: Sequence[Path], channels: int, resolution: int, size: int = BATCH) -> Iterator[Batch]:
    """The images in `files` as a network takes them, brought to its size as in training, `size` at a time.

    Of an `.npz` file these are the images in its array `x`, in any layout of `arrays.to_pixels`. Only that array is in
    memory as a whole. Raises InputError for an `.npz` file without such images; image files must get 1 or 3 channels.
    """
    for is_array, run in groupby(files, _is_array):
        if is_array:
            for path in run:
                yield from _batches_of_array(path, channels, resolution, size)
        else:
            yield from _batches_of_files(list(run), channels, resolution, size)


def _is_array(path: Path) -> bool:
    return path.suffix.lower() == ".npz"


def _batches_of_array(path: Path, channels: int, resolution: int, size: int) -> Iterator[Batch]:
    pixels = read_npz_pixels(path, "x")
    for start in range(0, len(pixels), size):
        part = resized(with_channels(pixels[start : start + size], channels, str(path)), resolution)
        yield Batch(tuple(f"{_shown(path)}[{start + index}]" for index in range(len(part))), part)


def _batches_of_files(files: Sequence[Path], channels: int, resolution: int, size: int) -> Iterator[Batch]:
    if channels not in (1, 3):
        raise InputError(f"{files[0]}: the model takes {channels} channels: expected an .npz file, images have 1 or 3")
    for start in range(0, len(files), size):
        part = files[start : start + size]
        pixels, facts = decoded(part, channels, resolution)
        kept = [index for index, fact in enumerate(facts) if not fact.error]
        skipped = [f"{_shown(path)}: {fact.error}" for path, fact in zip(part, facts, strict=True) if fact.error]
        yield Batch(tuple(_shown(part[index]) for index in kept), pixels[kept], tuple(skipped))


def _shown(path: Path) -> str:
    """The path as one printable line."""
    return str(path) if str(path).isprintable() else ascii(str(path))
