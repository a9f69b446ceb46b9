"""Constructors as the schema of configuration: their arguments checked, completed and passed, as plain JSON values."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Iterator, Mapping, Set
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from frugalnas.core import InputError, nearest

Tree = dict[str, Any]


def as_table(value: Any, path: str) -> Mapping[str, Any]:
    """`value`, which must be a table. Raises InputError, which names its `path`."""
    if not isinstance(value, Mapping):
        raise InputError(f"{path} = {value!r}: expected a table of keys")
    return value


def filled(kind: Any, given: Mapping[str, Any], path: str, elsewhere: Set[str] = frozenset()) -> Tree:
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
    complete = {}
    for key in keys:
        nested = _dataclass_in(hints[key])
        if nested and key in given and given[key] is not None:
            complete[key] = filled(nested, as_table(given[key], dotted + key), dotted + key)
        elif key in given:
            complete[key] = _checked(hints[key], given[key], dotted + key)
        elif parameters[key].default is inspect.Parameter.empty and not nested:
            raise InputError(f"{dotted}{key} is missing: expected {_words(hints[key])}")
        elif nested and parameters[key].default is not None:
            complete[key] = filled(nested, {}, dotted + key)
        else:
            complete[key] = TypeAdapter(hints[key]).dump_python(parameters[key].default, mode="json")
    return complete


def construct(kind: Any, tree: Tree, given: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """`kind` called with the arguments of a completed section, and those `given`."""
    hints, arguments = _hints(kind), dict(given)
    for key, value in tree.items():
        nested = _dataclass_in(hints[key]) if value is not None else None  # pydantic would hide its InputErrors
        arguments[key] = construct(nested, value) if nested else TypeAdapter(hints[key]).validate_python(value)
    return kind(**arguments)


def difference(old: Any, new: Any) -> str:
    """The first value in which two trees differ, as "KEY = OLD, not NEW"; "" where they are equal."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    return next(
        (
            f"{name} = {before.get(name)}, not {after.get(name)}"
            for name in {**before, **after}
            if before.get(name) != after.get(name)
        ),
        "",
    )


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a tree by the keys that lead to it, with dots between."""
    if not isinstance(tree, Mapping):
        yield path, tree
        return
    for key, value in tree.items():
        yield from _leaves(value, f"{path}.{key}".strip("."))


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
