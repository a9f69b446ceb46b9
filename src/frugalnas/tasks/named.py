"""Data sets known by name: the shipped one, files in MNIST's idx format, and what torchvision offers."""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from frugalnas.core import InputError
from frugalnas.tasks.arrays import images_from_arrays, read_npz_file, to_labels
from frugalnas.tasks.images import DataSource, Images, Labels, Part, Pixels

SHIPPED = Path(__file__).parent / "shipped" / "fashion_mini.npz"
DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")  # package dataset-fashion-mnist

FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
KMNIST_CLASSES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class Known:
    """How torchvision calls a data set and its arguments; `classes` is empty where its object has their names.

    `labels`: the attribute with the labels. `by_split`: the part is chosen by `split="train"`, not by `train=True`.
    `idx`: the data are in MNIST's idx files, which are read here where they are found.
    """

    torchvision: str
    classes: tuple[str, ...] = ()
    labels: str = "targets"
    by_split: bool = False
    idx: bool = False


KNOWN: Mapping[str, Known] = {
    "cifar10": Known("CIFAR10"),
    "cifar100": Known("CIFAR100"),
    "fashion-mnist": Known("FashionMNIST", FASHION_CLASSES, idx=True),
    "kmnist": Known("KMNIST", KMNIST_CLASSES, idx=True),
    "mnist": Known("MNIST", DIGITS, idx=True),
    "stl10": Known("STL10", labels="labels", by_split=True),
    "svhn": Known("SVHN", DIGITS, labels="labels", by_split=True),
}
NAMES = ("fashion-mini", *KNOWN)


def read_named(source: DataSource, part: Part) -> Images | None:
    """One part of the data set named `source.source`; None for the validation part, which no known data set has.

    idx files are looked for in `root`, in torchvision's folder below it and, for fashion-mnist without a root, where
    Debian's package puts them; the rest is torchvision's, which downloads into `root` what is missing. Raises
    InputError.
    """
    name = source.source
    if part == "validation":
        return None
    if name == "fashion-mini":
        return read_npz_file(SHIPPED, name, part, source.resolution)
    known = KNOWN[name]
    folder = _idx_folder(name, known, source.root) if known.idx else None
    if folder:
        array, labels = read_idx_part(folder, part)
        return images_from_arrays(array, labels, known.classes, name, source.resolution, str(folder))
    if not source.root:
        raise InputError(f"{name} needs the folder where it is or is downloaded to: --root DIR")
    array, labels, classes = read_torchvision(name, known, source.root, part)
    return images_from_arrays(array, labels, classes, name, source.resolution, f"{name} in {source.root}")


def read_torchvision(name: str, known: Known, root: str, part: Part) -> tuple[NDArray[Any], Labels, tuple[str, ...]]:
    """Pixels as torchvision holds them, labels (N,) and class names; downloads to `root` what is not there."""
    try:
        from torchvision import datasets
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{name} needs torchvision ({reason}): pip install 'frugalnas[vision]'") from None
    constructor = vars(datasets)[known.torchvision]
    chosen = {"split": part} if known.by_split else {"train": part == "train"}
    new = not Path(root).exists()
    try:
        try:
            dataset = constructor(root, **chosen, download=False)
        except RuntimeError:  # torchvision's word for "not found or corrupted"
            dataset = constructor(root, **chosen, download=True)
    except (OSError, RuntimeError, ImportError) as error:
        if new:
            _remove_if_empty(Path(root))
        reason = str(error).splitlines()[0]
        raise InputError(f"{name} is not in {root!r} and cannot be downloaded: {reason}") from None
    labels = to_labels(np.asarray(getattr(dataset, known.labels)), name)
    return np.asarray(dataset.data), labels, known.classes or tuple(dataset.classes)


def _remove_if_empty(folder: Path) -> None:
    """Remove a folder with its subfolders; what holds a file stays."""
    for path in (*sorted(folder.rglob("*"), reverse=True), folder):
        with suppress(OSError):
            path.rmdir()


def _idx_folder(name: str, known: Known, root: str) -> Path | None:
    folders = [Path(root), Path(root) / known.torchvision / "raw"] if root else []
    if name == "fashion-mnist" and not root:
        folders = [DEBIAN_FASHION]
    return next((folder for folder in folders if _idx_file(folder, "train-images-idx3-ubyte")), None)


def _idx_file(folder: Path, stem: str) -> Path | None:
    return next((path for path in (folder / stem, folder / f"{stem}.gz") if path.is_file()), None)


def read_idx_part(folder: Path, part: Part) -> tuple[Pixels, Labels]:
    """Pixels (N, H, W) and labels (N,) of one part from a folder with MNIST's idx files, plain or gzipped."""
    prefix = "train" if part == "train" else "t10k"
    pixels = read_idx(folder, f"{prefix}-images-idx3-ubyte", 3)
    labels = read_idx(folder, f"{prefix}-labels-idx1-ubyte", 1)
    return pixels, labels.astype(np.int64)


def read_idx(folder: Path, stem: str, dimensions: int) -> Pixels:
    """The array of unsigned bytes in an idx file `stem` or `stem.gz`. Raises InputError if it is not exactly that."""
    path = _idx_file(folder, stem)
    if path is None:
        raise InputError(f"{folder} has no {stem} or {stem}.gz")
    try:
        with _stream(path) as stream:
            header = stream.read(4 + 4 * dimensions)
            if header[:4] != bytes((0, 0, 8, dimensions)) or len(header) < 4 + 4 * dimensions:
                raise InputError(f"{path} is not an idx file of unsigned bytes in {dimensions} dimensions")
            shape = struct.unpack(f">{dimensions}I", header[4:])
            size = math.prod(shape)
            content = stream.read(size + 1)  # one more, to notice what should not be there
    except (OSError, EOFError, MemoryError, OverflowError) as error:
        raise InputError(f"{path} cannot be read: {str(error) or type(error).__name__}") from None
    if len(content) != size:
        held = f"{len(content):,}" if len(content) < size else "more"
        raise InputError(f"{path} announces {size:,} bytes of data and holds {held}")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _stream(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]
