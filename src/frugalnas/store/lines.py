"""The lines of a journal: an append-only file of events that a study is rebuilt from, one JSON object a line.

Every line ends with a checksum chained to the line before it, so a torn tail, a lost line and an edit are all seen.
Nothing is pickled and nothing in the file is executed.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from frugalnas.core import InputError
from frugalnas.store.files import regular

JOURNAL = "journal.jsonl"
FORMAT = 1
MOST_LINE = 2**26  # bytes
Event = dict[str, Any]


def line_of(event: Mapping[str, Any], previous: int) -> tuple[bytes, int]:
    body = json.dumps(event, separators=(",", ":"), allow_nan=False).encode()
    checksum = zlib.crc32(body, previous)
    return body[:-1] + b',"sum":"%08x"}\n' % checksum, checksum


def _body(line: bytes, previous: int) -> tuple[bytes, int] | None:
    """The JSON and the checksum of one whole line, or None where they do not add up."""
    body, found, rest = line[:-19] + b"}", line[-19:-11], line[-11:-3]
    if found != b',"sum":"' or line[-3:] != b'"}\n':
        return None
    checksum = zlib.crc32(body, previous)
    return (body, checksum) if rest == b"%08x" % checksum else None


def bodies(path: Path, size: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Of each whole line in the first `size` bytes of the file the JSON, its checksum, and where it ends.

    Raises InputError where there is no file, and at the first line that does not add up.
    """
    checksum = end = 0
    try:
        with regular(path, None).open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(MOST_LINE), b""), start=1):
                end += len(line)
                if len(line) == MOST_LINE:  # which no study writes: not even read as far as it goes
                    raise damaged(path, number)
                if not line.endswith(b"\n") or (size is not None and end > size):
                    return
                found = _body(line, checksum)
                if found is None:
                    raise damaged(path, number)
                body, checksum = found
                yield body, checksum, end
    except FileNotFoundError:
        raise InputError(f"{path.parent} holds no study: there is no {path.name} in it") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


def _event(body: bytes) -> Event | None:
    try:
        event = json.loads(body.decode())  # which is told apart from other encodings faster than bytes
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def event_of(line: bytes, previous: int) -> tuple[Event, int] | None:
    """The event and the checksum of one whole line after one of the checksum `previous`; None if they do not add up."""
    found = _body(line, previous)
    event = found and _event(found[0])
    return (event, found[1]) if found and event is not None else None


class Damaged(InputError):
    """A journal has a line that does not add up."""


def damaged(path: Path, number: int) -> Damaged:
    """What is wrong with a journal whose line `number` does not add up."""
    way = f"; 'frugalnas resume {path.parent} --repair' goes on from the line before it" if number > 1 else ""
    return Damaged(f"{path} line {number} does not match its checksum: the file was edited or damaged{way}")


def stream(folder: Path) -> Iterator[Event]:
    """Header and then each event of the study in `folder`; a torn tail is passed over.

    Raises InputError where there is no journal, and, once it is read so far, Damaged where it was damaged.
    """
    return (event for event, _, _ in parsed(folder / JOURNAL))


def parsed(path: Path, size: int | None = None) -> Iterator[tuple[Event, int, int]]:
    """As `stream`, with the checksum of each line and where it ends, of the first `size` bytes."""
    number = 0
    for number, (body, checksum, end) in enumerate(bodies(path, size), start=1):
        event = _event(body)
        if event is None:
            raise damaged(path, number)
        if number == 1 and event.get("format") != FORMAT:
            raise foreign(path)
        yield event, checksum, end
    if not number:
        raise foreign(path)


def foreign(path: Path) -> InputError:
    """What is wrong with a file that is no journal."""
    return InputError(f"{path} is not a FrugalNAS journal of format {FORMAT}")


def sound_part(folder: Path) -> tuple[list[Event], int, bool]:
    """Header and events before the first line that does not add up, their length in bytes, and whether there is one.

    Raises InputError where there is no journal.
    """
    events, length = [], 0
    try:
        for event, _, end in parsed(folder / JOURNAL):
            events.append(event)
            length = end
    except Damaged:
        return events, length, True
    return events, length, False


def header_of(folder: Path) -> Event:
    """The header of the study in `folder`. Raises InputError as `stream` does."""
    return next(stream(folder))


def read(folder: Path) -> tuple[Event, list[Event]]:
    """Header and events of the study in `folder`, all at once. Raises InputError as `stream` does."""
    header, *events = stream(folder)
    return header, events
