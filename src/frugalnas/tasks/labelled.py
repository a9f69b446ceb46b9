"""Labelled images for a model that is there already: with its channels, and its labels by the names of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from frugalnas.core import InputError, nearest
from frugalnas.tasks.data import READERS, DataSource, Images, kind_of, split
from frugalnas.tasks.folders import read_folder
from frugalnas.tasks.images import Part, joined, with_channels

Share = Literal["test", "validation", "train", "all"]


def load_labelled(
    source: DataSource, classes: Sequence[str], channels: int, share: Share | None = None
) -> tuple[Share, Images]:
    """The images of one part, or of all, at `source.resolution` with `channels`; labels are places in `classes`.

    Without `share` it is the test part or, where there is none, all. "train" and "validation" are the two parts that a
    search sees. The data may have its classes in another order, and not all of them. Raises InputError where the part
    is missing, and for images of a class that is not in `classes`.
    """
    share, images = _share(source, channels, share)
    places = {name: label for label, name in enumerate(classes)}
    unknown = [name for name, count in images.counts.items() if count and name not in places]
    if unknown:
        near = nearest(unknown[0], classes)
        raise InputError(f"{images.name} has images of {unknown[0]!r}, which is no class of the model: {near}")
    labels = np.array([places.get(name, -1) for name in images.classes], dtype=np.int64)[images.labels]
    return share, replace(images, labels=labels, classes=tuple(classes))


def _share(source: DataSource, channels: int, share: Share | None) -> tuple[Share, Images]:
    test = _part(source, "test", channels) if share in (None, "test", "all") else None
    if share == "test" and test is None:
        raise InputError(f"{source.source} has no test part: for every image of it, --part all")
    if share != "all" and test is not None:
        return "test", test
    train, validation = _part(source, "train", channels), _part(source, "validation", channels)
    if train is None:
        raise InputError(f"{source.source} has no training part")
    if share in (None, "all"):
        return "all", joined([part for part in (train, validation, test) if part is not None])
    if validation is None:
        train, validation = split(train, source.validation, source.seed)
    return ("train", train) if share == "train" else ("validation", validation)


def _part(source: DataSource, part: Part, channels: int) -> Images | None:
    kind = kind_of(source)
    if kind == "folder" and channels in (1, 3):
        return read_folder(source, part, channels)
    images = READERS[kind](source, part)
    return images and replace(images, pixels=with_channels(images.pixels, channels, images.name))
