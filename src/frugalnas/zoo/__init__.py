"""Published architectures as data, with their sources and figures; and whatever names an architecture, as one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from frugalnas.core import InputError, nearest
from frugalnas.layers.cost import Count
from frugalnas.layers.network import Stem
from frugalnas.spaces.architecture import Architecture
from frugalnas.spaces.cell import CellSpace

if TYPE_CHECKING:
    from frugalnas.layers.cell import CellNetwork

Given = Architecture | Mapping[str, Any] | str | Path


@dataclass(frozen=True)
class Figure:
    """What somebody measured or counted.

    `label`: "reported" by `source`, or "counted" with this package. `settings`: the arguments of `load` that the
    figure belongs to (of a counted one; the defaults where empty). `values`: params and macs as numbers,
    error_percent on the test images of CIFAR-10 unless `source` says otherwise, gpu_days of the search.
    """

    label: Literal["reported", "counted"]
    settings: Mapping[str, Any]
    values: Mapping[str, float]
    source: str


@dataclass(frozen=True)
class Entry:
    """A published architecture: where it is from, what to know about it, its figures, and the network as published."""

    name: str
    title: str
    source: str
    note: str
    figures: tuple[Figure, ...]
    architecture: Architecture


def names() -> tuple[str, ...]:
    """The names of all published architectures."""
    return tuple(_published())


def entry(name: str) -> Entry:
    """One published architecture; case does not matter, nor do "-" and "_". Raises InputError for an unknown name."""
    spelled = {_plain(known): known for known in names()}
    if _plain(name) not in spelled:
        raise InputError(f"unknown architecture {name!r}: {nearest(_plain(name), tuple(spelled))}")
    known = spelled[_plain(name)]
    data = _published()[known]
    space = CellSpace(**data["space"])
    cells = [
        [(operation, state) for block in data[key]["blocks"] for operation, state in block] for key in _cells(data)
    ]
    figures = tuple(Figure(**figure) for figure in data["figures"])
    return Entry(known, data["title"], data["source"], data["note"], figures, Architecture(space, space.encode(*cells)))


def load(
    name: str,
    *,
    classes: int = 10,
    in_channels: int = 3,
    resolution: int = 32,
    channels: int | None = None,
    cells: int | None = None,
    stem: Stem = "small",
    auxiliary: bool = False,
) -> Architecture:
    """A published architecture for your images: `zoo.load("EEEA-C", classes=100)`.

    Without `channels` (initial width) and `cells` it has the size published for CIFAR-10; for 224 px images take
    stem="imagenet". Raises InputError for an unknown name, with the nearest known one, and for a size out of range.
    """
    published = entry(name).architecture
    space = replace(
        published.space,
        classes=classes,
        in_channels=in_channels,
        resolution=resolution,
        channels=published.space.channels if channels is None else channels,
        cells=published.space.cells if cells is None else cells,
        stem=stem,
        auxiliary=auxiliary,
    )
    return Architecture(space, published.genotype)


def create_model(
    name: Given,
    num_classes: int | None = None,
    in_channels: int | None = None,
    weights: str | Path | None = None,
    *,
    resolution: int | None = None,
    channels: int | None = None,
    cells: int | None = None,
    stem: Stem | None = None,
    auxiliary: bool | None = None,
) -> CellNetwork:
    """The network of whatever `architecture_of` takes, as a torch.nn.Module: `create_model("EEEA-C", num_classes=100)`.

    The arguments are named as timm's, the others as those of `load`. None keeps what the architecture says: that of a
    found network its own sizes, a published one 10 classes, 3 channels and the size published for CIFAR-10.

    `weights`: the model file of a training or its folder; without it the weights are fresh, from torch's global
    generator. Raises InputError for an unknown name, a size out of range, and weights of another network.
    """
    found = architecture_of(name)
    sizes: dict[str, Any] = {"classes": num_classes, "in_channels": in_channels, "resolution": resolution}
    sizes |= {"channels": channels, "cells": cells, "stem": stem, "auxiliary": auxiliary}
    space = replace(found.space, **{size: value for size, value in sizes.items() if value is not None})
    network = space.build(found.genotype)
    if weights is not None:
        from frugalnas.model import Model, load_weights  # which imports torch

        trained = Model.load(weights)
        _refuse_another(Architecture(space, found.genotype), trained.architecture, weights)
        load_weights(network, trained.network.state_dict())
    return network


def _refuse_another(own: Architecture, trained: Architecture, weights: str | Path) -> None:
    """Raise InputError where two networks differ in more than the resolution, which weights do not depend on."""
    if own.space.describe(own.genotype) != trained.space.describe(trained.genotype):
        raise InputError(f"{weights} has the weights of a network with other cells")
    fields = {"num_classes": "classes"} | {name: name for name in ("in_channels", "channels", "cells", "stem")}
    pairs = {name: (getattr(trained.space, field), getattr(own.space, field)) for name, field in fields.items()}
    if wrong := {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}:
        expected, asked = (", ".join(f"{name}={pair[i]!r}" for name, pair in wrong.items()) for i in (0, 1))
        raise InputError(f"{weights} has the weights of a network with {expected}, not {asked}")


def count(architecture: Given) -> Count:
    """Parameters and work of whatever `architecture_of` takes, from formulas. Raises InputError."""
    found = architecture_of(architecture)
    return found.space.count(found.genotype)


def architecture_of(given: Given) -> Architecture:
    """An architecture from the interchange format, as a mapping or as text, from a file of it, or by published name.

    A string that ends in `.json` is a file, and so is any path. Raises InputError.
    """
    if isinstance(given, Architecture):
        return given
    if isinstance(given, Path) or (isinstance(given, str) and given.endswith(".json")):
        return Architecture.load(Path(given))
    if isinstance(given, str):
        return Architecture.parse(given) if given.lstrip().startswith("{") else load(given)
    return Architecture.from_json(given)


@lru_cache(maxsize=1)
def _published() -> dict[str, dict[str, Any]]:
    data: dict[str, dict[str, Any]] = json.loads(files(__name__).joinpath("cells.json").read_text("utf-8"))
    return data


def _cells(data: Mapping[str, Any]) -> tuple[str, ...]:
    return ("normal",) if data["space"]["shared"] else ("normal", "reduce")


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
