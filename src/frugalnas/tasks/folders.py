"""Images from a folder of classes: `<class>/*.png`, or `train/<class>`, `val/<class>` and `test/<class>`.

Files are untrusted: nothing outside the folder is read, images beyond Pillow's size limit are refused, and what cannot
be read is left out and named.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from frugalnas.core import InputError, nearest
from frugalnas.tasks.images import DataSource, Images, Labels, Part, Pixels, fitted, refuse_beyond_memory

RESOLUTION = 32  # pixels, where the source asks for none: files may be photographs
SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"))
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # for EPS Pillow would start Ghostscript
PART_NAMES: Mapping[str, Part] = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
GRAY_MODES = frozenset(("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N"))
CHUNK = 32  # files a thread works through before the next hand-over

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Facts:
    """What an image was before it became pixels; `error` says why it could not be read, or is empty."""

    size: tuple[int, int] = (0, 0)
    gray: bool = False
    transparent: bool = False
    error: str = ""


@dataclass(frozen=True)
class Listing:
    """The image files of one part, sorted by class and path, with their labels (N,), and the files left out."""

    files: tuple[Path, ...]
    labels: Labels
    skipped: tuple[str, ...]


def read_folder(source: DataSource, part: Part, channels: int | None = None) -> Images | None:
    """The images of one part, square at `source.resolution` (32 where it is 0); None where there is no such part.

    Classes, and whether the images are grayscale, are those of the training part, unless `channels` says 1 or 3.
    Raises InputError.
    """
    root = Path(source.source)
    folders = part_folders(root)
    if part not in folders:
        return None
    classes = class_names(root, folders["train"])
    listing = list_images(root, folders[part], classes)
    if channels is None:
        train = listing if part == "train" else list_images(root, folders["train"], classes)
        channels = 3 if any(map(_is_colour, train.files)) else 1
    resolution = source.resolution or RESOLUTION
    pixels, facts = decoded(listing.files, channels, resolution)
    kept = [index for index, fact in enumerate(facts) if not fact.error]
    corrupt = [f"{_shown(listing.files[i], root)}: {fact.error}" for i, fact in enumerate(facts) if fact.error]
    skipped = (*listing.skipped, *corrupt)
    if not kept:
        raise InputError(f"{folders[part]} has no readable image: {len(skipped)} files, the first {skipped[0]}")
    if skipped and source.strict:
        raise InputError(f"{root}: {len(skipped)} files refused, the first {skipped[0]}")
    facts = [facts[index] for index in kept]
    return Images(
        _moved_to_front(pixels, kept),
        listing.labels[kept],
        classes,
        root.resolve().name,
        files=tuple(_shown(listing.files[index], root) for index in kept),
        sizes=tuple(sorted({fact.size for fact in facts})),
        skipped=skipped,
        notes=_notes(facts, channels, resolution),
    )


def part_folders(root: Path) -> dict[Part, Path]:
    """The folder of every part that is there; `root` itself is the training part where it holds the class folders."""
    found: dict[Part, Path] = {}
    for folder in _folders(root):
        part = PART_NAMES.get(folder.name.casefold())
        if part is None:
            continue
        if part in found:
            raise InputError(f"{root} has {found[part].name}/ and {folder.name}/: expected one {part} folder")
        if _leaves(folder, root):
            raise InputError(f"{folder} is a symbolic link out of {root}: expected a folder in it")
        found[part] = folder
    if found and "train" not in found:
        raise InputError(
            f"{root} has {next(iter(found.values())).name}/ but no train/: expected train/<class>/ beside it"
        )
    return found or {"train": root}


def class_names(root: Path, folder: Path) -> tuple[str, ...]:
    """The class folders of the training part, sorted. Raises InputError where there is none."""
    names = tuple(child.name for child in _folders(folder) if not _leaves(child, root))
    if names:
        return names
    files = [path.name for path in _entries(folder)]
    if archives := [name for name in files if name.endswith(".npz")]:
        raise InputError(f"{folder} has no folders of classes; did you mean {str(folder / archives[0])!r}?")
    held = f"holds {files[0]!r} and {len(files) - 1} more" if files else "is empty"
    hint = (
        "; for idx files give a name too, as in --data mnist --root" if any("-ubyte" in name for name in files) else ""
    )
    raise InputError(f"{folder} {held}: expected one folder of images for each class, {folder}/<class>/*.png{hint}")


def list_images(root: Path, folder: Path, classes: tuple[str, ...]) -> Listing:
    """Find the image files of one part. Raises InputError for a class that training has not."""
    files: list[Path] = []
    labels: list[int] = []
    skipped: list[str] = []
    for path in _entries(folder):
        if path.is_dir() and _leaves(path, root):
            skipped.append(f"{_shown(path, root)}: symbolic link out of the folder")
        elif path.is_dir() and not path.name.startswith(".") and path.name not in classes:
            raise InputError(f"{folder} has class {path.name!r} that train has not; {nearest(path.name, classes)}")
        elif path.suffix.lower() in SUFFIXES:
            skipped.append(f"{_shown(path, root)}: not in the folder of a class")
    for label, name in enumerate(classes):
        found, left_out = image_files(folder / name, root) if (folder / name).is_dir() else ([], [])
        files += found
        labels += [label] * len(found)
        skipped += left_out
    if not files:
        reason = f"{len(skipped)} files, the first {skipped[0]}" if skipped else "its class folders are empty"
        raise InputError(f"{folder} has no image: {reason}")
    return Listing(tuple(files), np.array(labels, dtype=np.int64), tuple(skipped))


def image_files(folder: Path, root: Path) -> tuple[list[Path], list[str]]:
    """The image files at any depth below a folder in `root`, sorted, and a line for each other file, which says why."""
    files, left_out = [], []
    for path in _walk(folder):
        reason = _unfit(path, root)
        if reason:
            left_out.append(f"{_shown(path, root)}: {reason}")
        else:
            files.append(path)
    return files, left_out


def _is_colour(path: Path) -> bool:
    """Whether the file is an image in colour, by its header."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.mode not in GRAY_MODES
    except Exception:  # decoders of untrusted files raise nearly anything; `decoded` says what
        return False


def decoded(files: Sequence[Path], channels: int, resolution: int) -> tuple[Pixels, list[Facts]]:
    """uint8 (N, channels, resolution, resolution), undefined where the facts of a file have an error."""
    refuse_beyond_memory(len(files) * channels * resolution**2, f"{len(files):,} images of {resolution} pixels")
    pixels = np.empty((len(files), channels, resolution, resolution), dtype=np.uint8)

    def decode(index: int) -> Facts:
        try:
            with Image.open(files[index], formats=FORMATS) as image:
                facts = Facts(image.size, image.mode in GRAY_MODES, image.has_transparency_data)
                # JPEG can decode at a fraction of its size; twice the target leaves the antialiasing to the resize
                image.draft(None, (2 * resolution, 2 * resolution))
                ImageOps.exif_transpose(image, in_place=True)
                array = np.asarray(fitted(_flattened(image, channels), resolution))
        except Exception as error:  # decoders of untrusted files raise nearly anything
            return Facts(error=_reason(files[index], error))
        pixels[index] = array if channels == 1 else array.transpose(2, 0, 1)
        return facts

    return pixels, _in_threads(decode, range(len(files)))


def _flattened(image: Image.Image, channels: int) -> Image.Image:
    """An 8-bit image of 1 or 3 channels: 16 bits are scaled, transparency is composited on white."""
    if image.mode == "F":
        raise ValueError("floating-point image, its range is unknown")
    if image.mode.startswith("I"):
        image = Image.fromarray(np.rint(np.asarray(image).clip(0, 65535) / 257).astype(np.uint8))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image.convert("L" if channels == 1 else "RGB")


def _notes(facts: Sequence[Facts], channels: int, resolution: int) -> tuple[str, ...]:
    notes = []
    sizes = sorted({fact.size for fact in facts}, key=lambda size: size[0] * size[1])
    if len(sizes) > 1:
        (w0, h0), (w1, h1) = sizes[0], sizes[-1]
        notes.append(
            f"{len(sizes)} sizes from {w0}x{h0} to {w1}x{h1}: the short side becomes {resolution} pixels, "
            "the long side is cropped at the centre"
        )
    gray = sum(fact.gray for fact in facts)
    if channels == 3 and gray:
        notes.append(f"{gray} of {len(facts)} images are grayscale: their channel is repeated to RGB")
    if transparent := sum(fact.transparent for fact in facts):
        notes.append(f"{transparent} images have transparency: composited on white")
    return tuple(notes)


def _in_threads(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """`function` of every item, in order; Pillow's warning about decompression bombs is an error meanwhile."""

    def work(start: int) -> list[R]:
        return [function(item) for item in items[start : start + CHUNK]]

    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return [result for chunk in pool.map(work, range(0, len(items), CHUNK)) for result in chunk]


def _moved_to_front(pixels: Pixels, kept: Sequence[int]) -> Pixels:
    """The images at the ascending indices `kept`, in place: a copy would need the memory twice."""
    for new, old in enumerate(kept):
        if new != old:
            pixels[new] = pixels[old]
    return pixels[: len(kept)]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise _unreadable(error) from None


def _unreadable(error: OSError) -> InputError:
    return InputError(f"{error.filename} cannot be read: {error.strerror}")


def _folders(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_dir() and not path.name.startswith(".")]


def _walk(folder: Path) -> list[Path]:
    """Files and symbolic links to folders below `folder`, sorted, without the hidden ones."""

    def refuse(error: OSError) -> None:
        raise _unreadable(error)

    found: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        found += [Path(place) / name for name in files + links if not name.startswith(".")]
    return sorted(found)


def _unfit(path: Path, root: Path) -> str:
    """Why a path in a class folder is not to be opened, or ""."""
    if _leaves(path, root):
        return "symbolic link out of the folder"
    if path.is_dir():
        return "symbolic link to a folder"
    if path.suffix.lower() not in SUFFIXES:
        return "not an image file"
    return "" if path.is_file() else "not a regular file"


def _leaves(path: Path, root: Path) -> bool:
    if not path.is_symlink():
        return False
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))  # which bear links in circles


def _shown(path: Path, root: Path) -> str:
    """The path below `root`, as one printable line."""
    name = path.relative_to(root).as_posix()
    return name if name.isprintable() else ascii(name)


def _reason(path: Path, error: Exception) -> str:
    """One line on why an image cannot be read, without its path."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image that Pillow can read" if path.stat().st_size else "empty file"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"more than {Image.MAX_IMAGE_PIXELS:,} pixels, a possible decompression bomb"
    return (str(error) or type(error).__name__).splitlines()[0]
