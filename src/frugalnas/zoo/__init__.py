"""Published architectures as data, with their sources and figures; and whatever names an architecture, as one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from frugalnas.core import InputError, nearest
from frugalnas.layers.cost import Count
from frugalnas.layers.network import Stem
from frugalnas.spaces import SPACES, AnySpace, name_of
from frugalnas.spaces.architecture import Architecture, resized
from frugalnas.spaces.cell import CellSpace
from frugalnas.spaces.checks import shown

if TYPE_CHECKING:
    from frugalnas.layers.cell import CellNetwork
    from frugalnas.layers.graph_network import GraphNetwork

Given = Architecture | Mapping[str, Any] | str | Path
DATA = {"error_percent": "CIFAR-10", "error_percent_cifar100": "CIFAR-100", "error_percent_imagenet": "ImageNet"}
"""The test images that an error in a figure is of."""
SIZES = ("in_channels", "channels", "cells", "stem", "increment", "squeeze", "decoder")  # that weights depend on


@dataclass(frozen=True)
class Figure:
    """What somebody measured or counted.

    `label`: "reported" by `source`, or "counted" with this package. `settings`: the arguments of `load` that the
    figure belongs to (of a counted one; the defaults where empty). `values`: params and macs as numbers, errors in
    percent of test images by the names in `DATA`, top5_error_percent_imagenet, gpu_days of the search.
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

    @property
    def error(self) -> tuple[float, str] | None:
        """The error in percent that was reported first, of CIFAR-10 if there is one, and its data set."""
        reported = [figure.values for figure in self.figures if figure.label == "reported"]
        found = [(values[key], data) for key, data in DATA.items() for values in reported if key in values]
        return found[0] if found else None

    def line(self) -> str:
        """Its size, its error, its paper and what it is: the columns are as wide for every entry."""
        size, (percent, data) = count(self.architecture), self.error or (None, "")
        error = "" if percent is None else f"{percent:5.2f} % error{'' if data == 'CIFAR-10' else f' ({data})'}"
        paper = self.source[self.source.index("arXiv") :].split(";")[0]
        return f"{size.params / 1e6:5.2f} M params {size.macs / 1e6:5.0f} M MACs  {error:24}  {paper}  {self.title}"

    def facts(self) -> dict[str, Any]:
        """All that is known about it, as JSON has it; params and macs are those of the size for CIFAR-10."""
        size, (percent, data) = count(self.architecture), self.error or (None, None)
        return {
            "title": self.title,
            "space": name_of(self.architecture.space),
            "params": size.params,
            "macs": size.macs,
            "error_percent": percent,
            "error_data": data,
            "source": self.source,
            "note": self.note,
            "figures": [asdict(figure) for figure in self.figures],
        }

    def about(self) -> str:
        """What is known about it beside the network itself, for people."""
        lines = [f"{self.name}: {self.title}", f"source: {self.source}", *([f"note: {self.note}"] if self.note else [])]
        for figure in self.figures:
            settings = ", ".join(f"{name}={value}" for name, value in figure.settings.items())
            values = ", ".join(f"{name} {value:,.10g}" for name, value in figure.values.items())
            source = f"; {figure.source}" if figure.label == "reported" else ""
            lines.append(f"{figure.label}{f' at {settings}' if settings else ''}: {values}{source}")
        return "\n".join(lines)


def names() -> tuple[str, ...]:
    """The names of all published architectures."""
    return tuple(_published())


def is_name(text: str) -> bool:
    """Whether `entry` knows a published architecture by that name."""
    return _plain(text) in map(_plain, names())


def entry(name: str) -> Entry:
    """One published architecture; case does not matter, nor do "-" and "_". Raises InputError for an unknown name."""
    spelled = {_plain(known): known for known in names()}
    if _plain(name) not in spelled:
        near = nearest(_plain(name), tuple(spelled))
        none = "it is no file, no folder and no name in 'frugalnas list architectures'"
        raise InputError(
            f"unknown architecture {shown(name)}: {near if near.startswith('did') and '/' not in name else none}"
        )
    known = spelled[_plain(name)]
    data = _published()[known]
    figures = tuple(Figure(**figure) for figure in data["figures"])
    return Entry(known, data["title"], data["source"], data["note"], figures, _architecture(data))


def load(
    name: str,
    *,
    classes: int = 10,
    in_channels: int = 3,
    resolution: int = 32,
    channels: int | None = None,
    cells: int | None = None,
    stem: Stem | None = None,
    auxiliary: bool = False,
) -> Architecture:
    """A published architecture for your images: `zoo.load("EEEA-C", classes=100)`.

    Without `channels` (initial width) and `cells` it has the size published for CIFAR-10; for 224 px images take
    stem="imagenet". Raises InputError for an unknown name, with the nearest known one, for a size out of range, and for
    one that networks of its kind do not have.
    """
    published = entry(name).architecture
    sizes: dict[str, Any] = {"classes": classes, "in_channels": in_channels, "resolution": resolution}
    sizes |= {"channels": channels, "cells": cells, "stem": stem, "auxiliary": auxiliary}
    space = resized(published.space, **sizes)
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
) -> CellNetwork | GraphNetwork:
    """The network of whatever `architecture_of` takes, as a torch.nn.Module: `create_model("EEEA-C", num_classes=100)`.

    The arguments are named as timm's, the others as those of `load`. None keeps what the architecture says: that of a
    found network its own sizes, a published one 10 classes, 3 channels and the size published for CIFAR-10.

    `weights`: the model file of a training or its folder; without it the weights are fresh, from torch's global
    generator. Raises InputError for an unknown name, a size out of range, and weights of another network.
    """
    found = architecture_of(name)
    sizes: dict[str, Any] = {"classes": num_classes, "in_channels": in_channels, "resolution": resolution}
    sizes |= {"channels": channels, "cells": cells, "stem": stem, "auxiliary": auxiliary}
    space = resized(found.space, **sizes)
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
        raise InputError(f"{weights} has the weights of a network with other cells or phases")
    fields = {"num_classes": "classes"} | {name: name for name in SIZES}
    sizes = [asdict(each.space) for each in (trained, own)]
    pairs = {name: (sizes[0].get(field), sizes[1].get(field)) for name, field in fields.items()}
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
    text = files(__name__).joinpath("architectures.json").read_text("utf-8")
    data: dict[str, dict[str, Any]] = json.loads(text)
    return data


def _architecture(data: Mapping[str, Any]) -> Architecture:
    """Of the space named by "type", else a cell space; as its "genotype", which may be nested, or as the cells."""
    arguments = {"type": "cell"} | data["space"]
    space: AnySpace = SPACES[arguments.pop("type")](**arguments)
    if not isinstance(space, CellSpace):
        return Architecture(space, tuple(_flat(data["genotype"])))
    cells = [data[kind]["blocks"] for kind in ("normal", "reduce") if data[kind]]
    edges = [[(operation, state) for block in blocks for operation, state in block] for blocks in cells]
    return Architecture(space, space.encode(*edges))


def _flat(genes: Any) -> Iterator[int]:
    for each in genes:
        yield from _flat(each) if isinstance(each, list) else (each,)


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
