"""The files of a study, read on from where the last look ended."""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from frugalnas.core import InputError
from frugalnas.store import FORMAT, JOURNAL, TIMES, Event, damaged, entries_of, event_of, foreign

MOST_READ = 2**24  # bytes at a time


@dataclass(frozen=True, slots=True)
class Place:
    """How far a file was read: whole lines, their bytes, and the checksum of the last."""

    lines: int = 0
    size: int = 0
    checksum: int = 0


def events_after(folder: Path, place: Place) -> tuple[list[Event], Place]:
    """The next events of the journal, of at most MOST_READ bytes, and the place behind them; the header is the first.

    A torn tail, or a journal that is not there yet, gives none. Raises InputError for a journal that does not go on
    from `place`: it was damaged, or is another one now.
    """
    path = folder / JOURNAL
    data, events, checksum = _next(path, place), [], place.checksum
    whole = data.rfind(b"\n") + 1
    if not whole and len(data) == MOST_READ:
        raise foreign(path)
    for number, line in enumerate(BytesIO(data[:whole]), start=place.lines + 1):
        found = event_of(line, checksum)
        if found is None:
            raise damaged(path, number)
        event, checksum = found
        if number == 1 and event.get("format") != FORMAT:
            raise foreign(path)
        events.append(event)
    return events, Place(place.lines + len(events), place.size + whole, checksum)


def times_after(folder: Path, place: Place) -> tuple[list[Event], Place]:
    """As `events_after` for the entries of `times.jsonl`, which have no checksums: what is no entry is passed over."""
    data = _next(folder / TIMES, place)
    whole = data.rfind(b"\n") + 1
    passed = len(data) if not whole and len(data) == MOST_READ else whole
    return [*entries_of(data[:whole].decode("utf-8", "replace").split("\n"))], Place(size=place.size + passed)


def _next(path: Path, place: Place) -> bytes:
    """What follows `place`, at most MOST_READ bytes of it. Raises InputError where the file is shorter than that."""
    try:
        with path.open("rb") as file:
            if file.seek(0, os.SEEK_END) >= place.size:
                file.seek(place.size)
                return file.read(MOST_READ)
    except FileNotFoundError:
        if not place.size:
            return b""
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    raise InputError(f"{path} is another file than before")
