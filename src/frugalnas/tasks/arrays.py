"""Images from arrays: the shapes and values accepted, and the `.npz` reader, which opens only what it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from frugalnas.core import InputError, nearest
from frugalnas.tasks.images import DataSource, Images, Labels, Part, Pixels, refuse_beyond_memory, resized

SUFFIX: dict[Part, str] = {"train": "train", "validation": "val", "test": "test"}
MAX_CHANNELS = 16


def read_npz(source: DataSource, part: Part) -> Images | None:
    """One part of an `.npz` file with x_train, y_train and, if present, x_val, y_val, x_test, y_test, class_names.

    Nothing of another part is opened, except y_train for the number of classes where class_names is missing. None
    where the file has no such part. Raises InputError.
    """
    path = Path(source.source)
    return read_npz_file(path, path.stem, part, source.resolution)


def read_npz_file(path: Path, name: str, part: Part, resolution: int) -> Images | None:
    """As `read_npz`, for a file and a name given apart."""
    x_name, y_name = f"x_{SUFFIX[part]}", f"y_{SUFFIX[part]}"
    with _opened(path) as archive:
        if part != "train" and x_name not in archive.files and y_name not in archive.files:
            return None
        labels = to_labels(_member(archive, y_name, path), f"{path}: {y_name}")
        if "class_names" in archive.files:
            classes = _class_names(_member(archive, "class_names", path), path)
        else:
            train = labels if part == "train" else to_labels(_member(archive, "y_train", path), f"{path}: y_train")
            classes = _numbered_classes(train, f"{path}: y_train")
        array = _member(archive, x_name, path)
    return images_from_arrays(array, labels, classes, name, resolution, f"{path}: {x_name}")


def read_npz_pixels(path: Path, name: str) -> Pixels:
    """The images in one array of an `.npz` file as uint8 (N, C, H, W); any layout of `to_pixels`. Raises InputError."""
    with _opened(path) as archive:
        return to_pixels(_member(archive, name, path), f"{path}: {name}")


def images_from_arrays(
    array: NDArray[Any], labels: Labels, classes: tuple[str, ...], name: str, resolution: int, where: str
) -> Images:
    """Images from pixels in any layout of `to_pixels` and their labels (N,); `where` begins the error messages.

    Images are resized to `resolution`; with 0 they stay as they are, or get their short side where not square.
    """
    if len(array) != len(labels):
        raise InputError(f"{where} has {len(array)} images but there are {len(labels)} labels")
    pixels = to_pixels(array, where)
    height, width = pixels.shape[2:]
    side = resolution or min(height, width)
    cropped = (f"images of {width}x{height} cropped at the centre to a square",) if height != width else ()
    return Images(resized(pixels, side), labels, classes, name, sizes=((width, height),), notes=cropped)


def to_pixels(array: NDArray[Any], where: str) -> Pixels:
    """uint8 (N, C, H, W) from (N, H, W), (N, H, W, C) or (N, C, H, W) of integers in [0, 255] or floats.

    C is the smaller of the second and the last axis. Floats in [0, 1] are multiplied by 255, those in [0, 255]
    rounded. Raises InputError for NaN, infinite or other values, empty images and other shapes.
    """
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise InputError(f"{where} has shape {array.shape}: expected images as (N, H, W), (N, H, W, C) or (N, C, H, W)")
    pixels = _to_uint8(array, where)
    if pixels.ndim == 3:
        pixels = pixels[:, None]  # (N, 1, H, W)
    elif pixels.shape[3] <= pixels.shape[1]:
        pixels = pixels.transpose(0, 3, 1, 2)  # (N, C, H, W)
    if pixels.shape[1] > MAX_CHANNELS:
        raise InputError(f"{where} has shape {array.shape}: expected at most {MAX_CHANNELS} channels, first or last")
    return np.ascontiguousarray(pixels)


def _to_uint8(array: NDArray[Any], where: str) -> Pixels:
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "iuf":
        raise InputError(f"{where} holds {array.dtype}: expected uint8 or float images")
    if array.dtype.kind == "f" and not (finite := np.isfinite(array)).all():
        wrong = ~finite
        first = tuple(map(int, np.unravel_index(int(np.argmax(wrong)), array.shape)))
        raise InputError(f"{where} holds {wrong.sum()} NaN or infinite values, the first at {first}")
    low, high = array.min(), array.max()
    if low < 0 or high > 255:
        expected = "[0, 255]" if array.dtype.kind in "iu" else "[0, 1] or [0, 255], before any normalisation"
        raise InputError(f"{where} holds values from {low:g} to {high:g}: expected {expected}")
    scale = 255 if array.dtype.kind == "f" and high <= 1 else 1
    converted: Pixels = np.rint(array * scale).astype(np.uint8)
    return converted


def to_labels(array: NDArray[Any], where: str) -> Labels:
    """int64 (N,) from integers (N,) or (N, 1). Raises InputError for anything else."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InputError(f"{where} is {array.dtype} of shape {array.shape}: expected integer labels (N,) from 0")
    return array.astype(np.int64)


def _numbered_classes(train: Labels, where: str) -> tuple[str, ...]:
    highest = int(train.max(initial=0))
    if highest >= max(len(train), 2):
        raise InputError(f"{where} goes up to {highest} with {len(train)} labels: expected 0 to K-1 for K classes")
    return tuple(map(str, range(highest + 1)))


def _class_names(array: NDArray[Any], path: Path) -> tuple[str, ...]:
    if array.ndim != 1 or array.dtype.kind != "U":
        raise InputError(f"{path}: class_names is {array.dtype} of shape {array.shape}: expected text of shape (K,)")
    return tuple(map(str, array))


def _opened(path: Path) -> NpzFile:
    try:
        archive = np.load(path, allow_pickle=False)
    except Exception as error:  # as of a member
        raise InputError(f"{path} is not a readable .npz file: {_one_line(error)}") from None
    if not isinstance(archive, NpzFile):
        raise InputError(f"{path} holds one array: expected an .npz file with x_train and y_train")
    return archive


def _member(archive: NpzFile, name: str, path: Path) -> NDArray[Any]:
    if name not in archive.files:
        raise InputError(f"{path} has no {name!r}; {nearest(name, archive.files)}")
    for entry in archive.zip.infolist() if archive.zip else ():
        if entry.filename in (name, f"{name}.npy"):  # no more than it says is ever unpacked
            refuse_beyond_memory(entry.file_size, f"{path}: {name}")
    try:
        array: Any = archive[name]
    except Exception as error:  # NumPy and its unpacker raise nearly anything for untrusted files
        raise InputError(f"{path}: {name} cannot be read: {_one_line(error)}") from None
    if not isinstance(array, np.ndarray) or array.ndim == 0:
        raise InputError(f"{path}: {name} is no array of several values")
    return array


def _one_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
