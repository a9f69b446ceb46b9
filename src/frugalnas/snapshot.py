"""Where a study stood, so that it goes on without breeding again all that it ever asked for.

`snapshot.json` in a run folder saves time and nothing else: one that is missing, damaged or of another journal means
that the whole journal is played through the strategy. It names the line of the journal that it was made at by the
checksum there, which stands for all lines before. What it holds is plain data, read as the types of the strategy's own
fields: nothing is pickled.
"""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from frugalnas.core import Genotype, Strategy, Trial
from frugalnas.history import History
from frugalnas.store import regular, write_atomically
from frugalnas.strategies import STRATEGIES
from frugalnas.strategies.prescreened import Prescreened

FILE = "snapshot.json"
_FORMAT = "frugalnas/snapshot/1"
_ARCHITECTURES, _GENOTYPES = "architectures", "genotypes"  # of all that was asked, in place of a set of them
_SEQUENCES = (list, tuple, set, deque)
Asked = tuple[Sequence[Genotype], Sequence[Genotype]]  # by number: architectures, and genotypes as they were asked


@dataclass(frozen=True)
class Snapshot:
    """Read from a file. `events` of the journal, of which the last has the `checksum`; `architectures` by the number of
    the candidate, None for one that is the candidate's genotype itself; `state` of the strategy, see `restore`.
    """

    events: int
    checksum: int
    architectures: Sequence[Genotype | None]
    state: Any


def write(folder: Path, history: History, strategy: Strategy, events: int, checksum: int) -> None:
    """Leave a snapshot in a run folder; none of a strategy that remembers more than its fields say.

    Raises InputError where it cannot be written.
    """
    if not _is_plain(strategy) or any(candidate.inherits is not None for candidate in history.candidates):
        return
    asked, told = _asked(history), {trial.number: trial for trial in history.trials}
    content = {
        "format": _FORMAT,
        "events": events,
        "checksum": checksum,
        "architectures": [None if own is genotype else own for own, genotype in zip(*asked, strict=True)],
        "state": _state(strategy, told, tuple(map(frozenset, asked))),
    }
    body = json.dumps(content, separators=(",", ":")).encode()
    write_atomically(folder / FILE, b"%08x\n" % zlib.crc32(body) + body)


def read(folder: Path) -> Snapshot | None:
    """The snapshot in a run folder, or None where there is none that can be used."""
    try:
        checksum, _, body = regular(folder / FILE).read_bytes().partition(b"\n")
        content = json.loads(body) if checksum == b"%08x" % zlib.crc32(body) else {}
        if content["format"] != _FORMAT:
            return None
        architectures = [each and _decoded(Genotype, each, {}, ((), ())) for each in content["architectures"]]
        return Snapshot(int(content["events"]), int(content["checksum"]), architectures, content["state"])
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError):
        return None


def restore(strategy: Strategy, state: Any, history: History) -> bool:
    """Give a new strategy the `state` of a snapshot; whether that went well, else it is as it was."""
    told = {trial.number: trial for trial in history.trials}
    try:
        fields = [*_fields_from(strategy, state, told, _asked(history))]
    except (LookupError, TypeError, ValueError, ArithmeticError, RecursionError):
        return False
    for owner, name, value in fields:
        setattr(owner, name, value)
    return True


def _asked(history: History) -> Asked:
    return history.architectures, [candidate.genotype for candidate in history.candidates]


def _is_plain(strategy: Any) -> bool:
    """Whether all that a strategy remembers is in its fields, as those of this package have it."""
    if isinstance(strategy, Prescreened):
        return _is_plain(strategy.inner)
    return type(strategy) in STRATEGIES.values()


def _remembered(strategy: Any) -> dict[str, Any]:
    """The fields that a strategy changes, and their types."""
    hints = get_type_hints(type(strategy))
    return {field.name: hints[field.name] for field in dataclasses.fields(strategy) if not field.init}


def _state(strategy: Any, told: Mapping[int, Trial], asked: tuple[frozenset[Genotype], ...]) -> dict[str, Any]:
    state = {name: _encoded(getattr(strategy, name), told, asked) for name in _remembered(strategy)}
    return state | ({"inner": _state(strategy.inner, told, asked)} if isinstance(strategy, Prescreened) else {})


def _fields_from(strategy: Any, state: Any, told: Mapping[int, Trial], asked: Asked) -> list[tuple[Any, str, Any]]:
    """What is to be set of a strategy, and of the one in it."""
    hints = _remembered(strategy)
    own = [(strategy, name, _decoded(hint, state[name], told, asked)) for name, hint in hints.items()]
    inner = _fields_from(strategy.inner, state["inner"], told, asked) if isinstance(strategy, Prescreened) else []
    return [*own, *inner]


def _encoded(value: Any, told: Mapping[int, Trial], asked: tuple[frozenset[Genotype], ...]) -> Any:
    """A value as JSON: a told trial as its number, any other dataclass as a list of its fields, a dict as pairs."""
    if isinstance(value, Trial) and told.get(value.number) is value:
        return value.number
    if isinstance(value, set) and len(value) > 1 and value in asked:
        return (_ARCHITECTURES, _GENOTYPES)[asked.index(value)]
    if isinstance(value, Mapping):
        return [[_encoded(each, told, asked) for each in pair] for pair in value.items()]
    if dataclasses.is_dataclass(value):
        return [_encoded(getattr(value, field.name), told, asked) for field in dataclasses.fields(value)]
    if isinstance(value, _SEQUENCES):
        return [_encoded(each, told, asked) for each in value]
    return value


def _decoded(hint: Any, given: Any, told: Mapping[int, Trial], asked: Asked) -> Any:
    """The value of a type. Raises LookupError, TypeError or ValueError for what is none."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Trial and type(given) is int:
        return told[given]
    if origin in (Union, UnionType):
        wanted = next(option for option in inner if option is not NoneType)
        return None if given is None and NoneType in inner else _decoded(wanted, given, told, asked)
    if origin is Literal or hint in (int, float, bool, str):
        fits = given in inner if inner else type(given) is hint or (hint is float and type(given) is int)
        if not fits:
            raise TypeError(f"{given!r} is no {hint}")
        return given
    if origin is set and isinstance(given, str):
        return set(asked[(_ARCHITECTURES, _GENOTYPES).index(given)])
    if not isinstance(given, list):
        raise TypeError(f"{given!r} is no {hint}")
    if hint == Genotype and {*map(type, given)} <= {int}:  # most of all that there is
        return tuple(given)
    if dataclasses.is_dataclass(hint):
        hints, fields = get_type_hints(hint), dataclasses.fields(hint)
        pairs = zip(fields, given, strict=True)
        return hint(*[_decoded(hints[field.name], each, told, asked) for field, each in pairs])  # type: ignore[operator]
    if issubclass(origin, Mapping):
        return {_decoded(inner[0], key, told, asked): _decoded(inner[1], each, told, asked) for key, each in given}
    if origin is tuple and inner[-1] is not Ellipsis:
        return tuple(_decoded(each, value, told, asked) for each, value in zip(inner, given, strict=True))
    return origin(_decoded(inner[0], each, told, asked) for each in given)
