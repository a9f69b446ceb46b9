"""The table of a device: what each piece of a network costs there in milliseconds, as a file of JSON.

`docs/latency.md` describes the format. A file may come from any device: it is checked, never executed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from frugalnas.core import InputError, nearest
from frugalnas.latency import measure
from frugalnas.latency.settings import Runtime
from frugalnas.objectives.latency import PieceCost, pieces_of
from frugalnas.spaces import AnySpace
from frugalnas.spaces.architecture import Architecture
from frugalnas.store import write_atomically

MOST_BYTES = 10**8  # of a file
_Number = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


def _printable(text: str) -> str:
    if not text.isprintable() or len(text) > 300:
        raise ValueError("expected a line of printable text")
    return text


_Text = Annotated[str, AfterValidator(_printable)]


@dataclass(frozen=True)
class _Piece:
    ms: _Number
    elements: int


@dataclass(frozen=True)
class _Named:
    name: Runtime
    version: _Text


@dataclass(frozen=True)
class _Device:
    system: _Text
    machine: _Text
    processor: _Text


@dataclass(frozen=True)
class _Calibration:
    ms_per_million_elements: Annotated[float, Field(ge=-1e9, le=1e9)]
    scale: _Number


@dataclass(frozen=True)
class _Network:
    genotype: list[int]
    measured_ms: _Number
    predicted_ms: _Number


@dataclass(frozen=True)
class _Error:
    spearman: Annotated[float, Field(ge=-1, le=1)]
    median: _Number
    worst: _Number
    slower: _Number


@dataclass(frozen=True)
class _Content:
    """The format: what must be in a file. Anything more is passed over."""

    runtime: _Named
    threads: Annotated[int, Field(ge=1, le=1024)]
    clock: _Text
    device: _Device
    date: _Text
    seconds: _Number
    space: dict[str, Any]
    empty_ms: _Number
    pieces: dict[_Text, _Piece]
    calibration: _Calibration
    fitted: list[_Network]
    held_out: list[_Network]
    error: _Error


_CONTENT = TypeAdapter(_Content)


@dataclass(frozen=True)
class Table:
    """A table. `name` says where it is from, for errors. Raises InputError for content that no measurement writes."""

    content: Mapping[str, Any]
    name: str = "the table"

    def __post_init__(self) -> None:
        known = {"format": measure.TABLE, "version": measure.VERSION}
        for key, value in known.items():
            if self.content.get(key) != value:
                raise InputError(
                    f"{self.name} is no latency table: {key} {self.content.get(key)!r}, expected {value!r}"
                )
        if self.content.get("checksum") != measure.checksum(self.content):
            raise InputError(
                f"{self.name} does not match its checksum: it was edited or damaged; copy or build it again"
            )
        try:
            _CONTENT.validate_json(json.dumps(self.content), strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))[:100].encode("unicode_escape").decode()
            raise InputError(f"{self.name} is no latency table: {place}: {first['msg']}") from None

    @staticmethod
    def load(path: Path) -> Table:
        """Read a file that `save`, or the `measure.py` of a kit, wrote. Raises InputError for any other."""
        try:
            with path.open("rb") as file:
                text = file.read(MOST_BYTES + 1)
            if len(text) > MOST_BYTES:
                raise ValueError(f"more than {MOST_BYTES:,} bytes")
            content = json.loads(text.decode("utf-8"))
        except FileNotFoundError:
            raise InputError(f"there is no latency table {path}: make one with: frugalnas latency build") from None
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is no latency table: {' '.join(str(error).split())[:200]}") from None
        if not isinstance(content, dict):
            raise InputError(f"{path} is no latency table: expected an object")
        return Table(content, str(path))

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        write_atomically(path, json.dumps(self.content, indent=1) + "\n")

    @property
    def fingerprint(self) -> str:
        """The checksum of the content."""
        return str(self.content["checksum"])

    @property
    def runtime(self) -> Runtime:
        name: Runtime = self.content["runtime"]["name"]
        return name

    @property
    def threads(self) -> int:
        return int(self.content["threads"])

    @property
    def slower(self) -> float:
        """By how much the slowest held-out network, relative to its prediction, was slower than predicted."""
        return float(self.content["error"]["slower"])

    @cached_property
    def cost(self) -> PieceCost:
        """`latency_ms` of a network of a space that the table covers; see `check`."""
        return PieceCost(measure.prices(dict(self.content)), self.content["empty_ms"])

    def check(self, space: AnySpace) -> None:
        """Raise InputError, naming a piece, where some network of the space has one that is not in the table."""
        needed, known = pieces_of(space), self.content["pieces"]
        missing = [name for name in needed if name not in known]
        if missing:
            raise InputError(
                f"{self.name} has no piece {missing[0]!r} ({nearest(missing[0], [*known])}) and lacks {len(missing)} "
                f"of the {len(needed)} pieces of this space: it was made for another one; make one with "
                "frugalnas latency build and the options of the search"
            )

    def predict(self, architecture: Architecture) -> float:
        """`latency_ms` of one network. Raises InputError, naming the piece, where the table does not cover it."""
        try:
            return self.cost(architecture.space, architecture.genotype)
        except KeyError as missing:
            raise InputError(f"{self.name} has no piece {missing}, which the network has") from None

    def text(self) -> str:
        """What was measured and how exact it is, for people."""
        return measure.summary(dict(self.content))
