"""One architecture, and its interchange format: JSON that says everything needed to build the network.

    {"format": "frugalnas/architecture", "version": 1,
     "space": {"type": "cell", ...the arguments of the space...}, "genotype": [...]}

Arguments of the space that have a default may be left out. A file is checked, never executed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from frugalnas.core import Genotype, InputError, nearest
from frugalnas.layers.cost import Convention
from frugalnas.spaces import SPACES, AnySpace, name_of
from frugalnas.spaces.checks import shown
from frugalnas.store import write_atomically

FORMAT, VERSION = "frugalnas/architecture", 1
MOST_PARAMS, MOST_BYTES, MOST_TEXT = 10**9, 2**36, 10**6  # what a file may ask for, and its size


@dataclass(frozen=True)
class Architecture:
    """A genotype and the space it belongs to. Raises InputError for a genotype of another space."""

    space: AnySpace
    genotype: Genotype

    def __post_init__(self) -> None:
        self.space.describe(self.genotype)

    def size(self, convention: Convention = "conv_linear") -> str:
        """What the network is and costs, for people, with the MACs as `convention` counts them and what it leaves out.

        Raises InputError for an unknown convention.
        """
        space, count = self.space, self.space.count(self.genotype)
        left_out = ", ".join(f"{elements:,} {name}" for name, elements in count.not_counted(convention).items())
        return (
            f"{space.summary}, input {space.in_channels}x{space.resolution}x"
            f"{space.resolution}, {space.classes} classes\n"
            f"params {count.params:,}   MACs {count.macs_by(convention):,} (convention {convention})   "
            f"model {count.model_bytes / 1024:,.0f} KiB   "
            f"peak activations {space.peak_bytes(self.genotype) / 1024:,.0f} KiB (batch 1, float32)\n"
            f"elements that the MACs leave out: {left_out}"
        )

    def to_json(self) -> dict[str, Any]:
        """The interchange format: plain dictionaries, lists, strings and numbers."""
        space = {"type": name_of(self.space)} | {key: _plain(value) for key, value in asdict(self.space).items()}
        return {"format": FORMAT, "version": VERSION, "space": space, "genotype": list(map(int, self.genotype))}

    @staticmethod
    def from_json(data: object) -> Architecture:
        """Read the interchange format.

        Raises InputError, one line, for anything else: another format or version, a missing or unknown key (with the
        nearest known one), a genotype of the wrong length, a gene that is no whole number or out of range, a network
        beyond 10**9 parameters or 64 GiB of activations.
        """
        try:
            architecture = _parts(data)
        except RecursionError:
            raise InputError("an architecture is nested too deeply") from None
        space = architecture.space
        params, memory = space.count(architecture.genotype).params, space.peak_bytes(architecture.genotype)
        if params > MOST_PARAMS:
            raise InputError(f"the network would have {params:,} parameters: at most {MOST_PARAMS:,} are accepted")
        if memory > MOST_BYTES:
            raise InputError(f"the network would need {memory:,} bytes an image: at most {MOST_BYTES:,} are accepted")
        return architecture

    def save(self, path: Path) -> None:
        """Write the interchange format to a file."""
        write_atomically(path, json.dumps(self.to_json(), indent=2) + "\n")

    @staticmethod
    def load(path: Path) -> Architecture:
        """Read a file that `save` wrote. Raises InputError, which names the file, for any other."""
        try:
            with path.open("rb") as file:
                return Architecture.parse(file.read(MOST_TEXT + 1).decode("utf-8"))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError(f"{path}: {reason}") from error

    @staticmethod
    def parse(text: str) -> Architecture:
        """Read the text of the interchange format. Raises InputError as `from_json` does."""
        if len(text) > MOST_TEXT:
            raise InputError(f"more than {MOST_TEXT:,} characters")
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"not JSON: {error}") from error
        return Architecture.from_json(data)


def resized(space: AnySpace, **sizes: int | str | None) -> AnySpace:
    """`space` with other values of some of its arguments, such as `channels`; None keeps the space's own.

    Raises InputError for an argument that spaces of this kind do not have, unless it asks for what they are anyway.
    """
    known = [field.name for field in fields(space)]
    changes = {}
    for name, value in sizes.items():
        if value is None or getattr(space, name, None) == value:
            continue
        if name not in known:
            has = ", ".join(known)
            raise InputError(f"{name} = {value}: networks of the space {name_of(space)!r} have none, only {has}")
        changes[name] = value
    return replace(space, **changes)  # type: ignore[arg-type]  # whose kinds the space checks


def _parts(data: object) -> Architecture:
    content = _object(data, "an architecture", ("format", "version", "space", "genotype"))
    if content.get("format") != FORMAT:
        raise InputError(f"format is {shown(content.get('format'))}: expected {FORMAT!r}")
    if type(content.get("version")) is not int or content["version"] != VERSION:
        raise InputError(f"version is {shown(content.get('version'))}: this release reads version {VERSION}")
    space = _space(content.get("space"))
    genes = content.get("genotype")
    if not isinstance(genes, Sequence) or isinstance(genes, str):
        raise InputError("the genotype is missing or no list of whole numbers")
    for index, gene in enumerate(genes):
        if type(gene) is not int:
            raise InputError(f"gene {index} is {shown(gene)}: expected a whole number")
    return Architecture(space, tuple(genes))


def _space(data: object) -> AnySpace:
    kind = data.get("type") if isinstance(data, Mapping) else None
    if not isinstance(kind, str) or kind not in SPACES:
        raise InputError(f"space.type is {shown(kind)}: {nearest(str(kind), tuple(SPACES))}")
    space = SPACES[kind]
    arguments = _object(data, "space", ("type", *(field.name for field in fields(space))))
    for field in fields(space):
        if field.default is MISSING and field.name not in arguments:
            raise InputError(f"space.{field.name} is missing")
    return space(**{name: value for name, value in arguments.items() if name != "type"})


def _object(data: object, name: str, known: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise InputError(f"{name} is a {type(data).__name__}: expected an object with {', '.join(known)}")
    for key in data:
        if key not in known:
            raise InputError(f"unknown key {shown(key)} in {name}: {nearest(str(key), known)}")
    return data


def _plain(value: object) -> object:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
