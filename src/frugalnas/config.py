"""Configuration: a tree of plain values whose schema is the constructors that it names.

A tree has a section for each part (`data`, `task`, `space`, `strategy`, `estimators`, `executor`, `latency`), whose
keys are the arguments of the constructor that its `type` names, and a few keys of its own. It starts as a method's
preset; a TOML file, `--set` and the other options each lay their keys over it. Parsed, never executed.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from frugalnas.core import InputError, nearest
from frugalnas.distribute import EXECUTORS
from frugalnas.estimators import ESTIMATORS
from frugalnas.latency.settings import Latency
from frugalnas.methods import METHODS
from frugalnas.schema import Tree, as_table, construct, filled
from frugalnas.spaces import SPACES
from frugalnas.strategies import STRATEGIES
from frugalnas.strategies.prescreened import Prescreened, check_settings
from frugalnas.tasks.classification import Classification
from frugalnas.tasks.data import DataSource, absolute

_BUDGETS = ("trials", "minutes", "epochs")
MOST_BYTES = 10**6  # of a configuration file
LOOK = "auto"  # the estimator of pre-screening, unless another is named
_FILES = ("path", "source")  # keys of estimators
_PLACE = re.compile("[0-9]{1,9}")  # of an entry in a list

# What each part is given by others, and so is no key of its section.
_GIVEN = {
    "task": {"data"},
    "space": {"in_channels", "classes", "resolution"},
    "strategy": {"space", "objectives", "rungs", "weight_set"},
    "estimators": {"task", "space", "folder", "start"},
    "executor": set(),
    "prescreen": {"inner", "space", "objectives", "ratings", "costs", "counts"},
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """The keys of a configuration that belong to no part.

    `objectives` are minimised, in this order; `limits` maps costs to the most that is accepted. `trials` (rated ones),
    `minutes` and `epochs` (passes over the training images, all trials together) are totals over all sessions;
    `max_rejections` candidates in a row beyond a limit end the search.
    `ordered` tells trials in the order asked, so that the journal does not depend on timing.
    """

    method: str
    preset: str
    objectives: tuple[str, ...]
    limits: dict[str, float]
    seed: int = 0
    trials: int | None = None
    minutes: float | None = None
    epochs: float | None = None
    ordered: bool = True
    max_rejections: int = 10_000

    def __post_init__(self) -> None:
        if not self.objectives:
            raise InputError("objectives is empty: expected at least one, such as 'error'")
        if len(set(self.objectives)) < len(self.objectives):
            raise InputError(f"objectives = {', '.join(self.objectives)}: one of them stands there twice")
        if self.seed < 0:
            raise InputError(f"seed = {self.seed}: expected 0 or more")
        for name in ("trials", "minutes", "epochs", "max_rejections"):
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
    written = [read(file) if file else {}, *layers]
    method = method or _text(written, "method") or "eeea"
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}: {nearest(method, [*METHODS])}")
    presets = METHODS[method].PRESETS
    preset = preset or _text(written, "preset") or next(iter(presets))
    if preset not in presets:
        raise InputError(f"method {method!r} has no preset {preset!r}: {nearest(preset, [*presets])}")
    tree: Tree = {"data": {}, "executor": {}, "latency": {}, "limits": {}, **presets[preset]}
    return changed(tree, *written, {"method": method, "preset": preset})


def changed(tree: Tree, *layers: Mapping[str, Any]) -> Tree:
    """`tree` with each of `layers` laid over it, completed.

    A budget in `layers`, of trials, minutes or epochs, replaces the whole budget of `tree`: `minutes` alone means that
    no number of trials ends the search earlier, and `trials` alone that no time does.
    """
    if any(layer.get(key) is not None for layer in layers for key in _BUDGETS):
        tree = {**tree, **dict.fromkeys(_BUDGETS)}
    for layer in layers:
        tree = _laid_over(tree, layer)
    return complete(tree)


def complete(tree: Tree) -> Tree:
    """`tree` checked against the constructors it names, with their defaults filled in, as plain JSON values."""
    own = {field.name for field in dataclasses.fields(Settings)}
    sections = {"data": DataSource, "latency": Latency}
    known = [*own, *sections, *_PARTS, "prescreen"]
    for key in tree:
        if key not in known:
            raise InputError(f"unknown key {key!r}: {nearest(key, known)}")
    result = filled(Settings, {key: value for key, value in tree.items() if key in own}, "")
    construct(Settings, result)  # which checks the ranges
    result["limits"] = {name: value for name, value in result["limits"].items() if value != math.inf}
    for section, kind in sections.items():
        result[section] = filled(kind, as_table(tree.get(section, {}), section), section)
    for section in _PARTS:
        given = tree.get(section)
        if section == "estimators":
            if not isinstance(given, list | tuple) or not given:
                raise InputError("estimators: expected a list of at least one table, the cheapest first")
            result[section] = [part(section, entry, f"{section}.{i}") for i, entry in enumerate(given)]
        elif section == "executor":
            result[section] = part(section, {"type": "processes", **as_table(given or {}, section)}, section)
        else:
            result[section] = part(section, given, section)
    result["prescreen"] = _prescreen(tree.get("prescreen"), result["estimators"][0])
    return result


def _prescreen(given: Any, rung: Tree) -> Tree | None:
    """The section of pre-screening: the arguments of `Prescreened`, and the `estimator` that looks at networks.

    Unless its fidelity is given, it looks at them at the size that `rung`, the first of the ladder, rates them at.
    """
    if given is None:
        return None
    table = as_table(given, "prescreen")
    rest = {key: value for key, value in table.items() if key != "estimator"}
    section = filled(Prescreened, rest, "prescreen", _GIVEN["prescreen"])
    check_settings(section["candidates"], section["least"])
    look = as_table(table.get("estimator", {"type": LOOK}), "prescreen.estimator")
    kind = ESTIMATORS.get(str(look.get("type")))
    if kind and "fidelity" not in look and "fidelity" in inspect.signature(kind).parameters and rung.get("fidelity"):
        look = {**look, "fidelity": {key: rung["fidelity"][key] for key in ("resolution", "width", "depth")}}
    return {**section, "estimator": part("estimators", look, "prescreen.estimator")}


def placed(tree: Tree) -> Tree:
    """A completed configuration with the paths of its files made absolute, so that it resumes from any folder."""
    table = tree["latency"]["table"]
    return {
        **tree,
        "data": dataclasses.asdict(absolute(construct(DataSource, tree["data"]))),
        "estimators": [_placed(entry) for entry in tree["estimators"]],
        "prescreen": tree["prescreen"] and tree["prescreen"] | {"estimator": _placed(tree["prescreen"]["estimator"])},
        "latency": {**tree["latency"], "table": table and str(Path(table).resolve())},
    }


def _placed(estimator: Tree) -> Tree:
    """An estimator with the paths of its files made absolute."""
    return estimator | {key: str(Path(estimator[key]).resolve()) for key in _FILES if estimator.get(key)}


_PARTS: dict[str, Mapping[str, Any]] = {
    "task": {"classification": Classification},
    "space": SPACES,
    "strategy": STRATEGIES,
    "estimators": ESTIMATORS,
    "executor": EXECUTORS,
}


def make(section: str, tree: Tree, given: Mapping[str, Any]) -> Any:
    """The part that a completed section describes; `given` are arguments from other parts, used where it takes them."""
    kind = _PARTS[section][tree["type"]]
    taken = {key: value for key, value in given.items() if key in inspect.signature(kind).parameters}
    return construct(kind, {key: value for key, value in tree.items() if key != "type"}, taken)


def options(
    *,
    data: str | None = None,
    root: str | None = None,
    trials: int | None = None,
    minutes: float | None = None,
    epochs: float | None = None,
    workers: int | None = None,
    seed: int | None = None,
    strict: bool = False,
    prescreen: int | None = None,
) -> Tree:
    """The settings that have an option of their own, as a tree; None leaves one out."""
    sections: Tree = {
        "data": {"source": data, "root": root, "strict": strict or None},
        "executor": {"workers": workers},
        **({} if prescreen is None else {"prescreen": {"candidates": prescreen}}),
    }
    given: Tree = {section: {k: v for k, v in keys.items() if v is not None} for section, keys in sections.items()}
    own = {"trials": trials, "minutes": minutes, "epochs": epochs, "seed": seed}
    return given | {key: value for key, value in own.items() if value is not None}


def rated_by(where: str | None, address: str | None) -> Tree:
    """The type of executor and the address of its cluster, which alone means Ray, as a tree.

    To be laid under the settings of that executor, as those of another type go when it is chosen.
    """
    kind = where or (None if address is None else "ray")
    keys = {"type": kind, "address": address}
    return {"executor": given} if (given := {key: value for key, value in keys.items() if value is not None}) else {}


def assignment(text: str) -> Tree:
    """`a.b=value` as a tree; the value is read as TOML, and as a plain string where it is none."""
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise InputError(f"--set {text!r}: expected KEY=VALUE, such as space.channels=24")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):  # of which TOMLDecodeError is one; also of numbers too long to read
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


def read(file: Path) -> Tree:
    """What a TOML file says. Raises InputError for one that is not there or is no TOML."""
    try:
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise InputError(f"{file} has more than {MOST_BYTES:,} bytes: expected a configuration in TOML")
        return tomllib.loads(content.decode("utf-8").replace("\r\n", "\n"))
    except FileNotFoundError:
        raise InputError(f"no configuration file {file}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {file}: {error}") from None
    except RecursionError:
        raise InputError(f"{file} is nested too deeply") from None
    except ValueError as error:  # of which TOMLDecodeError is one; InputError is another
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file} is not valid TOML: {error}") from None


def _text(layers: Sequence[Mapping[str, Any]], key: str) -> str | None:
    value = next((layer[key] for layer in reversed(layers) if key in layer), None)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{key} = {value!r}: expected a string")
    return value


def _laid_over(below: Any, layer: Any) -> Any:
    """`layer` over `below`, key by key; a table with another `type` replaces the one below, as its keys are others."""
    if isinstance(below, list | tuple) and isinstance(layer, Mapping) and layer and _are_places(layer):
        entries = list(below)
        for key, value in layer.items():
            if int(key) >= len(entries):
                raise InputError(f"there is no entry {key}: the list has {len(entries)}, counted from 0")
            entries[int(key)] = _laid_over(entries[int(key)], value)
        return entries
    if (
        not isinstance(below, Mapping)
        or not isinstance(layer, Mapping)
        or ("type" in below and layer.get("type", below["type"]) != below["type"])
    ):
        return layer
    return {**below, **{key: _laid_over(below[key], value) if key in below else value for key, value in layer.items()}}


def _are_places(layer: Mapping[Any, Any]) -> bool:
    return all(_PLACE.fullmatch(str(key)) for key in layer)


def part(section: str, given: Any, path: str) -> Tree:
    """The section of one part, which errors call `path`, checked and completed. Raises InputError."""
    table = as_table({} if given is None else given, path)
    kinds, name = _PARTS[section], table.get("type")
    if not isinstance(name, str) or name not in kinds:
        raise InputError(f"{path}.type = {name!r}: {nearest(str(name), [*kinds])}")
    rest = {key: value for key, value in table.items() if key != "type"}
    return {"type": name, **filled(kinds[name], rest, path, _GIVEN[section])}
