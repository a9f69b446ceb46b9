"""Configuration: a tree of plain values whose schema is the constructors that it names.

A tree has a section for each part (`data`, `task`, `space`, `strategy`, `estimators`, `executor`), whose keys are the
arguments of the constructor that its `type` names, and a few keys of its own. It starts as a method's preset; a TOML
file, `--set` and the other options each lay their keys over it. Parsed, never executed.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from frugalnas.core import InputError, nearest
from frugalnas.distribute import ProcessPool
from frugalnas.methods import METHODS
from frugalnas.spaces import SPACES
from frugalnas.strategies import STRATEGIES
from frugalnas.tasks.data import DataSource

Tree = dict[str, Any]

# What each part is given by others, and so is no key of its section.
_GIVEN = {
    "task": {"data"},
    "space": {"in_channels", "classes", "resolution"},
    "strategy": {"space", "objectives"},
    "estimators": {"task"},
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """The keys of a configuration that belong to no part.

    `objectives` are minimised, in this order; `limits` maps costs to the most that is accepted. `trials` (rated ones)
    and `minutes` are totals over all sessions; `max_rejections` candidates in a row beyond a limit end the search.
    `ordered` tells trials in the order asked, so that the journal does not depend on timing.
    """

    method: str
    preset: str
    objectives: tuple[str, ...]
    limits: dict[str, float]
    seed: int = 0
    trials: int | None = None
    minutes: float | None = None
    ordered: bool = True
    max_rejections: int = 10_000

    def __post_init__(self) -> None:
        if not self.objectives:
            raise InputError("objectives is empty: expected at least one, such as 'error'")
        if len(set(self.objectives)) < len(self.objectives):
            raise InputError(f"objectives = {', '.join(self.objectives)}: one of them stands there twice")
        if self.seed < 0:
            raise InputError(f"seed = {self.seed}: expected 0 or more")
        for name in ("trials", "minutes", "max_rejections"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1e9:
                raise InputError(f"{name} = {value}: expected more than 0 and less than a thousand million")
        for name, limit in self.limits.items():
            if math.isnan(limit):
                raise InputError(f"limits.{name} is not a number")


def resolve(
    method: str | None = None,
    preset: str | None = None,
    file: Path | None = None,
    layers: Sequence[Mapping[str, Any]] = (),
) -> Tree:
    """The complete configuration: a preset, what `file` (TOML) says, then each of `layers`; all defaults filled in.

    Raises InputError for an unknown name or key (with the nearest valid one) and for a value of the wrong type.
    """
    written = [_read(file) if file else {}, *layers]
    method = method or _text(written, "method") or "eeea"
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}: {nearest(method, [*METHODS])}")
    presets = METHODS[method].PRESETS
    preset = preset or _text(written, "preset") or next(iter(presets))
    if preset not in presets:
        raise InputError(f"method {method!r} has no preset {preset!r}: {nearest(preset, [*presets])}")
    tree: Tree = {"data": {}, "executor": {}, "limits": {}, **presets[preset]}
    return changed(tree, *written, {"method": method, "preset": preset})


def changed(tree: Tree, *layers: Mapping[str, Any]) -> Tree:
    """`tree` with each of `layers` laid over it, completed."""
    for layer in layers:
        tree = _laid_over(tree, layer)
    return complete(tree)


def complete(tree: Tree) -> Tree:
    """`tree` checked against the constructors it names, with their defaults filled in, as plain JSON values."""
    own = {field.name for field in dataclasses.fields(Settings)}
    sections = {"data": DataSource, "executor": ProcessPool}
    known = [*own, *sections, *_PARTS]
    for key in tree:
        if key not in known:
            raise InputError(f"unknown key {key!r}: {nearest(key, known)}")
    result = _filled(Settings, {key: value for key, value in tree.items() if key in own}, "")
    construct(Settings, result)  # which checks the ranges
    result["limits"] = {name: value for name, value in result["limits"].items() if value != math.inf}
    for section, kind in sections.items():
        result[section] = _filled(kind, _table(tree.get(section, {}), section), section)
    for section in _PARTS:
        given = tree.get(section)
        if section == "estimators":
            if not isinstance(given, list | tuple) or not given:
                raise InputError("estimators: expected a list of at least one table, the cheapest first")
            result[section] = [_filled_part(section, entry, f"{section}.{i}") for i, entry in enumerate(given)]
        else:
            result[section] = _filled_part(section, given, section)
    return result


def _estimators() -> dict[str, Any]:
    from frugalnas.estimators import ESTIMATORS  # these import torch

    return ESTIMATORS


def _tasks() -> dict[str, Any]:
    from frugalnas.tasks.classification import Classification

    return {"classification": Classification}


_PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "task": _tasks,
    "space": lambda: SPACES,
    "strategy": lambda: STRATEGIES,
    "estimators": _estimators,
}


def make(section: str, tree: Tree, given: Mapping[str, Any]) -> Any:
    """The part that a completed section describes; `given` are arguments from other parts, used where it takes them."""
    kind = _PARTS[section]()[tree["type"]]
    taken = {key: value for key, value in given.items() if key in inspect.signature(kind).parameters}
    return construct(kind, {key: value for key, value in tree.items() if key != "type"}, taken)


def options(
    *,
    data: str | None = None,
    root: str | None = None,
    trials: int | None = None,
    minutes: float | None = None,
    workers: int | None = None,
    seed: int | None = None,
) -> Tree:
    """The settings that have an option of their own, as a tree; None leaves one out."""
    sections: Tree = {"data": {"source": data, "root": root}, "executor": {"workers": workers}}
    given: Tree = {section: {k: v for k, v in keys.items() if v is not None} for section, keys in sections.items()}
    return given | {k: v for k, v in (("trials", trials), ("minutes", minutes), ("seed", seed)) if v is not None}


def assignment(text: str) -> Tree:
    """`a.b=value` as a tree; the value is read as TOML, and as a plain string where it is none."""
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise InputError(f"--set {text!r}: expected KEY=VALUE, such as space.channels=24")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    for key in reversed(path.strip().split(".")):
        parsed = {key: parsed}
    return parsed  # type: ignore[no-any-return]


def limit(text: str) -> Tree:
    """`params=200k` (also `params<=0.2M`, `params<200000`) as a tree with one limit."""
    match = re.fullmatch(r"\s*(\w+)\s*(?:=|<=|<)\s*([-+.\w]+?)\s*([kKmMgG]?)\s*", text)
    try:
        name, number, unit = match.groups() if match else ("", "", "")
        return {"limits": {name: float(number) * {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}[unit.lower()]}}
    except ValueError:
        raise InputError(f"--limit {text!r}: expected NAME=NUMBER, such as params=200k or macs=30M") from None


def _read(file: Path) -> Tree:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no configuration file {file}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {file}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{file} is not valid TOML: {error}") from None


def _text(layers: Sequence[Mapping[str, Any]], key: str) -> str | None:
    value = next((layer[key] for layer in reversed(layers) if key in layer), None)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{key} = {value!r}: expected a string")
    return value


def _laid_over(base: Any, layer: Any) -> Any:
    """`layer` over `base`, key by key; a table with another `type` replaces the one below, as its keys are others."""
    if isinstance(base, list | tuple) and isinstance(layer, Mapping) and layer and all(key.isdigit() for key in layer):
        entries = list(base)
        for key, value in layer.items():
            if int(key) >= len(entries):
                raise InputError(f"there is no entry {key}: the list has {len(entries)}, counted from 0")
            entries[int(key)] = _laid_over(entries[int(key)], value)
        return entries
    if (
        not isinstance(base, Mapping)
        or not isinstance(layer, Mapping)
        or layer.get("type", base.get("type")) != base.get("type")
    ):
        return layer
    return {**base, **{key: _laid_over(base[key], value) if key in base else value for key, value in layer.items()}}


def _table(value: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{path} = {value!r}: expected a table of keys")
    return value


def _filled_part(section: str, given: Any, path: str) -> Tree:
    table = _table({} if given is None else given, path)
    kinds, name = _PARTS[section](), table.get("type")
    if name not in kinds:
        raise InputError(f"{path}.type = {name!r}: {nearest(str(name), [*kinds])}")
    rest = {key: value for key, value in table.items() if key != "type"}
    return {"type": name, **_filled(kinds[name], rest, path, _GIVEN[section])}


def _filled(kind: Any, given: Mapping[str, Any], path: str, elsewhere: Set[str] = frozenset()) -> Tree:
    """The arguments of `kind` as JSON values: those given, checked, and the defaults of the others."""
    hints = _hints(kind)
    parameters = inspect.signature(kind).parameters
    keys = [name for name in parameters if name not in elsewhere]
    dotted = f"{path}." if path else ""
    for key in given:
        if key in elsewhere:
            raise InputError(f"{dotted}{key} cannot be set: it follows from the data and the other sections")
        if key not in keys:
            raise InputError(f"unknown key '{dotted}{key}': {nearest(key, keys)}")
    filled = {}
    for key in keys:
        nested = _dataclass_in(hints[key])
        if nested and key in given and given[key] is not None:
            filled[key] = _filled(nested, _table(given[key], dotted + key), dotted + key)
        elif key in given:
            filled[key] = _checked(hints[key], given[key], dotted + key)
        elif parameters[key].default is inspect.Parameter.empty and not nested:
            raise InputError(f"{dotted}{key} is missing: expected {_words(hints[key])}")
        elif nested and parameters[key].default is not None:
            filled[key] = _filled(nested, {}, dotted + key)
        else:
            filled[key] = TypeAdapter(hints[key]).dump_python(parameters[key].default, mode="json")
    return filled


def construct(kind: Any, tree: Tree, given: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """`kind` called with the arguments of a completed section, and those `given`."""
    hints, arguments = _hints(kind), dict(given)
    for key, value in tree.items():
        nested = _dataclass_in(hints[key]) if value is not None else None  # pydantic would hide its InputErrors
        arguments[key] = construct(nested, value) if nested else TypeAdapter(hints[key]).validate_python(value)
    return kind(**arguments)


def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind if dataclasses.is_dataclass(kind) else kind.__init__)


def _dataclass_in(hint: Any) -> Any:
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return next((option for option in options if dataclasses.is_dataclass(option)), None)


def _checked(hint: Any, value: Any, path: str) -> Any:
    """`value` as JSON. Checked as JSON is: a list will do for a tuple, a whole number for a number, nothing else."""
    adapter = TypeAdapter(hint)
    try:
        return adapter.dump_python(adapter.validate_json(json.dumps(value, default=str), strict=True), mode="json")
    except ValidationError as error:
        places = [str(part) for part in error.errors()[0]["loc"] if isinstance(part, int)]
        raise InputError(f"{'.'.join([path, *places])} = {value!r}: expected {_words(hint)}") from None


def _words(hint: Any) -> str:
    """A type, for people."""
    origin, inner = get_origin(hint), [option for option in get_args(hint) if option is not Ellipsis]
    if origin in (Union, UnionType):
        return " or ".join("nothing" if option is NoneType else _words(option) for option in inner)
    if origin in (tuple, list):
        return f"a list, each {_words(inner[0])}"
    if origin is dict:
        return f"a table, each {_words(inner[1])}"
    if origin is Literal:
        return "one of " + ", ".join(map(str, inner))
    return {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}.get(hint, str(hint))
