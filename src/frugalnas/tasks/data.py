"""Images by name, from a folder or from an `.npz` file: what the search may see, what the final training may see.

`load_search` and `load_train` never open the test part. `check` looks at everything and trains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from frugalnas.core import InputError, nearest
from frugalnas.tasks.arrays import read_npz
from frugalnas.tasks.folders import read_folder
from frugalnas.tasks.images import DataSource, Images, Part, joined, split
from frugalnas.tasks.named import NAMES, read_named

__all__ = [
    "DataReport",
    "DataSource",
    "Images",
    "absolute",
    "check",
    "find_test",
    "load_search",
    "load_test",
    "load_train",
    "refuse_among_images",
    "split",
]

Reader = Callable[[DataSource, Part], Images | None]
READERS: Mapping[str, Reader] = {"named": read_named, "folder": read_folder, "npz": read_npz}
TINY_CLASS = 10  # images
IMBALANCE = 10  # largest class over the smallest


def load_search(source: DataSource) -> tuple[Images, Images]:
    """Training and validation images for a search; the test part is not opened.

    The validation part is the data's own where it has one, otherwise split off. Raises InputError.
    """
    train, validation = _training_parts(source)
    return split(train, source.validation, source.seed) if validation is None else (train, validation)


def load_train(source: DataSource) -> Images:
    """All images that are not test images: the union of the two parts of `load_search`. Raises InputError."""
    train, validation = _training_parts(source)
    return train if validation is None else joined((train, validation))


def load_test(source: DataSource) -> Images:
    """The test images: for the one report after the final training, never for a search. Raises InputError."""
    test = find_test(source)
    if test is None:
        raise InputError(f"{source.source} has no test part: expected test/<class>/ in a folder, x_test in an .npz")
    return test


def find_test(source: DataSource) -> Images | None:
    """As `load_test`; None where the data has no test part."""
    return READERS[kind_of(source)](source, "test")


def absolute(source: DataSource) -> DataSource:
    """The source with absolute paths, so that a search or a training goes on from any working folder."""
    path = source.source if source.source in NAMES else str(Path(source.source).resolve())
    return replace(source, source=path, root=source.root and str(Path(source.root).resolve()))


def refuse_among_images(source: DataSource, folder: Path) -> None:
    """Raise InputError where `folder`, which a command is about to make, would be among the images."""
    images = Path(source.source)
    if source.source not in NAMES and images.is_dir() and folder.resolve().is_relative_to(images.resolve()):
        raise InputError(
            f"{folder} is in the folder of the images, {images}, as if it were a class: choose another --out"
        )


def kind_of(source: DataSource) -> str:
    """The key of READERS that reads a source. Raises InputError where there is nothing under that name."""
    path = Path(source.source)
    if source.source in NAMES:
        return "named"
    if path.is_dir():
        return "folder"
    if path.is_file():
        if path.suffix.lower() == ".npz":
            return "npz"
        raise InputError(f"{path} is neither a folder nor an .npz file; known data sets: {', '.join(NAMES)}")
    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    close = get_close_matches(path.name, beside, n=1, cutoff=0.7)
    hint = f"did you mean {str(path.parent / close[0])!r}?" if close else nearest(path.name, NAMES)
    raise InputError(f"there is no data set, folder or file {source.source!r}; {hint}")


def _training_parts(source: DataSource) -> tuple[Images, Images | None]:
    read = READERS[kind_of(source)]
    train = read(source, "train")
    if train is None:
        raise InputError(f"{source.source} has no training part")
    if len(train.classes) < 2:
        raise InputError(f"{train.name} has one class, {train.classes[0]!r}: classification needs two or more")
    empty = [name for name, count in train.counts.items() if not count]
    if empty:
        raise InputError(f"{train.name}: no training image of class {empty[0]!r}, {len(empty)} empty classes in all")
    return train, read(source, "validation")


@dataclass(frozen=True)
class DataReport:
    """What a data source holds, and what is wrong with it.

    `kind`: named, folder or npz. `usable`: whether a search can start. `parts`: images in train, validation and test,
    of those that are there; where validation is missing it is split off train. `classes`: images of each class, in
    train. `channels`, `resolution` in pixels: as the networks get them. `sizes`: (width, height) of the images before,
    at most ten. `megabytes`: of all parts in memory, 10**6 bytes. `problems`: one line each, the fatal one first.
    """

    source: str
    kind: str
    usable: bool
    parts: Mapping[str, int]
    classes: Mapping[str, int]
    channels: int
    resolution: int
    sizes: tuple[tuple[int, int], ...]
    megabytes: float
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self) | {"sizes": [list(size) for size in self.sizes], "problems": list(self.problems)}

    def lines(self) -> list[str]:
        """The same for people."""
        parts = ", ".join(f"{count:,} {part}" for part, count in self.parts.items()) or "none"
        side, sizes = self.resolution, ", ".join(f"{width}x{height}" for width, height in self.sizes)
        return [
            f"{self.source} ({self.kind}): {'can be searched on' if self.usable else 'cannot be searched on'}",
            f"images    {parts}; {self.megabytes:,.1f} MB in memory",
            f"classes   {len(self.classes)}: {', '.join(f'{name} {count:,}' for name, count in self.classes.items())}",
            f"as used   {self.channels}x{side}x{side}" + (f", from {sizes}" if sizes else ""),
            *(f"problem   {problem}" for problem in self.problems),
        ]


def check(source: DataSource) -> DataReport:
    """Look at all of a data source before anything is spent on it.

    This opens the test part too, because images that are both in training and in test can only be found so; nothing is
    trained and nothing of it reaches a search. Raises InputError where there is nothing to look at, or it cannot even
    be recognised; all else that is wrong is in the report.
    """
    kind = kind_of(source)
    fatal, problems, parts = [], [], {}
    try:
        train, validation = _training_parts(source)
        parts = {"train": train} if validation is None else {"train": train, "validation": validation}
        if validation is None:
            split(train, source.validation, source.seed)
    except InputError as error:
        fatal.append(str(error))
    try:
        test = READERS[kind](source, "test")
    except InputError as error:
        test = None
        if not fatal:
            problems.append(f"the test part cannot be used: {error}")
    if test is not None:
        parts["test"] = test
    for part, images in parts.items():
        problems += [*images.skipped, *(f"{part}: {problem}" for problem in [*images.notes, *_oddities(images)])]
    problems += _duplicates(parts)
    first = parts.get("train")
    return DataReport(
        source=source.source,
        kind=kind,
        usable=not fatal,
        parts={part: len(images) for part, images in parts.items()},
        classes=first.counts if first else {},
        channels=first.in_channels if first else 0,
        resolution=first.resolution if first else 0,
        sizes=first.sizes[:10] if first else (),
        megabytes=sum(images.pixels.nbytes for images in parts.values()) / 1e6,
        problems=(*fatal, *problems),
    )


def _oddities(images: Images) -> Iterable[str]:
    """What is wrong within one part."""
    counts = images.counts
    few, many = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[many] > IMBALANCE * counts[few]:
        yield f"classes differ more than {IMBALANCE} times: {many!r} has {counts[many]}, {few!r} has {counts[few]}"
    if tiny := [f"{name!r} has {count}" for name, count in counts.items() if count < TINY_CLASS]:
        yield f"{len(tiny)} classes with fewer than {TINY_CLASS} images: {_first(tiny)}"
    flat = images.pixels.reshape(len(images), -1)
    if constant := [_label(images, i) for i in np.flatnonzero(flat.min(axis=1) == flat.max(axis=1)).tolist()]:
        yield f"{len(constant)} images of a single colour: {_first(constant)}"


def _duplicates(parts: Mapping[str, Images]) -> Iterable[str]:
    """Images with the same pixels, as the networks get them, within a part and across parts."""
    seen: dict[bytes, tuple[str, int]] = {}
    copies: dict[tuple[str, str], list[str]] = {}
    disagreeing = []
    for part, images in parts.items():
        for index, image in enumerate(images.pixels):
            part_0, index_0 = seen.setdefault(blake2b(image, digest_size=16).digest(), (part, index))
            if (part_0, index_0) == (part, index):
                continue
            pair = f"{_label(images, index)} = {_label(parts[part_0], index_0)}"
            copies.setdefault((part_0, part), []).append(pair)
            if images.labels[index] != parts[part_0].labels[index_0]:
                disagreeing.append(pair)
    for (part_0, part), pairs in copies.items():
        if part_0 != part:
            yield f"{len(pairs)} {part} images are also in {part_0}: {_first(pairs)}"
        else:
            risk = (
                ", copies may fall on both sides of the split" if part == "train" and "validation" not in parts else ""
            )
            yield f"{len(pairs)} {part} images are copies of others{risk}: {_first(pairs)}"
    if disagreeing:
        yield f"{len(disagreeing)} copies have another class than the original: {_first(disagreeing)}"


def _label(images: Images, index: int) -> str:
    return images.files[index] if images.files else f"image {index}"


def _first(items: Sequence[str]) -> str:
    return ", ".join(items[:3]) + (", ..." if len(items) > 3 else "")
