"""The journal: an append-only file of events that a study is rebuilt from, one JSON object a line.

Every line ends with a checksum chained to the line before it, so a torn tail, a lost line and an edit are all seen.
A last line without its end is cut when the journal is opened for writing: what it held was never told. Anything else
that does not add up is refused, naming the line. Nothing is pickled and nothing in the file is executed.

A run folder holds `journal.jsonl` (the same bytes for the same study, whenever and however often it was interrupted)
and beside it `times.jsonl` (how long: pid and host of each session, seconds of each trial).
"""

from __future__ import annotations

import json
import math
import os
import socket
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from frugalnas.core import Candidate, InputError, Trial

JOURNAL, TIMES, LOCK = "journal.jsonl", "times.jsonl", ".lock"
FORMAT = 1
MOST_READ = 2**24  # bytes at a time, by who follows a study
_NO_LINK: int = getattr(os, "O_NOFOLLOW", 0)  # Windows has none
Event = dict[str, Any]


def _line(event: Mapping[str, Any], previous: int) -> tuple[bytes, int]:
    body = json.dumps(event, separators=(",", ":"), allow_nan=False).encode()
    checksum = zlib.crc32(body, previous)
    return body[:-1] + b',"sum":"%08x"}\n' % checksum, checksum


def _parse(line: bytes, previous: int) -> tuple[Event, int] | None:
    """The event and checksum of one line, or None where they do not add up."""
    body, found, rest = line[:-18] + b"}", line[-18:-10], line[-10:-2]
    if found != b',"sum":"' or line[-2:] != b'"}':
        return None
    checksum = zlib.crc32(body, previous)
    if rest != b"%08x" % checksum:
        return None
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return (event, checksum) if isinstance(event, dict) else None


def _scan(path: Path) -> tuple[list[Event], int, int]:
    """All events, the length in bytes of the part that adds up, and its last checksum."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path.parent} holds no study: there is no {path.name} in it") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    events, place = _parsed(path, data, Place())
    if not events:
        raise _foreign(path)
    return events, place.size, place.checksum


@dataclass(frozen=True, slots=True)
class Place:
    """How far a file was read: whole lines, their bytes, and the checksum of the last."""

    lines: int = 0
    size: int = 0
    checksum: int = 0


def _parsed(path: Path, data: bytes, place: Place) -> tuple[list[Event], Place]:
    """The events of the whole lines in `data`, which follows `place` in the journal at `path`, and the place after."""
    events: list[Event] = []
    checksum, good = place.checksum, 0
    while (end := data.find(b"\n", good)) >= 0:
        parsed = _parse(data[good:end], checksum)
        line = place.lines + len(events) + 1
        if parsed is None:
            raise InputError(f"{path} line {line} does not match its checksum: the file was edited or damaged")
        event, checksum = parsed
        if line == 1 and event.get("format") != FORMAT:
            raise _foreign(path)
        events.append(event)
        good = end + 1
    return events, Place(place.lines + len(events), place.size + good, checksum)


def _foreign(path: Path) -> InputError:
    return InputError(f"{path} is not a FrugalNAS journal of format {FORMAT}")


def read_on(folder: Path, place: Place) -> tuple[list[Event], Place]:
    """The next events after `place`, of at most MOST_READ bytes, for reading only; at the start the header is first.

    A torn tail, or a journal that is not there yet, gives none. Raises InputError for a journal that does not go on
    from `place`: it was damaged, or is another one now.
    """
    path = folder / JOURNAL
    data = _next(path, place)
    if data is None:
        raise InputError(f"{path} is another file than before")
    events, after = _parsed(path, data, place)
    if not events and len(data) == MOST_READ:
        raise _foreign(path)
    return events, after


def times_on(folder: Path, place: Place) -> tuple[list[Event], Place]:
    """As `read_on` for the entries of `times.jsonl`; of one that is another file now it starts anew."""
    data = _next(folder / TIMES, place)
    if data is None:
        return times_on(folder, Place())
    good = data.rfind(b"\n") + 1
    passed = len(data) if len(data) == MOST_READ and not good else good
    return _entries(data[:good].decode("utf-8", "replace")), Place(size=place.size + passed)


def _next(path: Path, place: Place) -> bytes | None:
    """What follows `place`, at most MOST_READ bytes of it; None where the file is shorter than that."""
    try:
        with path.open("rb") as file:
            if file.seek(0, os.SEEK_END) < place.size:
                return None
            file.seek(place.size)
            return file.read(MOST_READ)
    except FileNotFoundError:
        return None if place.size else b""
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


def read(folder: Path) -> tuple[Event, list[Event]]:
    """Header and events of the study in `folder`, for reading only; a torn tail is passed over.

    Raises InputError where there is no journal or it was damaged.
    """
    events, _, _ = _scan(folder / JOURNAL)
    return events[0], events[1:]


def trials_of(events: list[Event]) -> list[Trial]:
    """The trials that `events` tell of, in the order told. Raises KeyError or TypeError for events of no search."""
    asked: dict[int, Candidate] = {}
    trials = []
    for event in events:
        if "ask" in event:
            asked[event["ask"]] = candidate_of(event)
        else:
            trials.append(trial_of(event, asked.pop(event["tell"])))
    return trials


def ask_event(number: int, candidate: Candidate) -> Event:
    shared = {} if candidate.inherits is None else {"inherits": candidate.inherits}
    return {
        "ask": number,
        "genotype": list(candidate.genotype),
        "rung": candidate.rung,
        "parents": list(candidate.parents),
        **shared,
    }


def tell_event(trial: Trial) -> Event:
    return {"tell": trial.number, "status": trial.status, "values": dict(trial.values), "reason": trial.reason}


def candidate_of(event: Event) -> Candidate:
    """The candidate that an ask event names. Raises KeyError or TypeError where it is none."""
    genotype, rung, parents, inherits = event["genotype"], event["rung"], event["parents"], event.get("inherits")
    for value in (event["ask"], rung, *genotype, *parents, inherits or 0):
        if type(value) is not int:
            raise TypeError(f"{value!r} is not a whole number")
    return Candidate(tuple(genotype), rung, tuple(parents), inherits)


def trial_of(event: Event, candidate: Candidate) -> Trial:
    """What a tell event says of `candidate`. Raises KeyError or TypeError where that is nothing a study writes."""
    number, status, values, reason = event["tell"], event["status"], event["values"], event["reason"]
    if status not in ("done", "rejected", "failed") or not isinstance(reason, str) or not isinstance(values, dict):
        raise TypeError(f"status {status!r}, reason {reason!r}, values {values!r}")
    for name, value in values.items():
        if type(value) is not float or not math.isfinite(value):
            raise TypeError(f"{name} is {value!r}, not a finite number")
    if status == "rejected" and not values:
        raise TypeError("a trial was rejected by no limit")
    return Trial(number, candidate, status, values, reason)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a whole file so that a reader, or a crash, sees the old one or the new one and nothing between.

    It is on the disk when this returns. Raises InputError where it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as file:  # does not follow a link that waits there
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        if sys.platform != "win32":
            entry = os.open(path.parent, os.O_RDONLY)
            os.fsync(entry)  # the name of the new file, not only its content
            os.close(entry)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error.strerror}") from None


@contextmanager
def locked(path: Path, busy: str) -> Iterator[None]:
    """Hold the lock file `path`, whose folder is made where needed, against other processes.

    Raises InputError, with the words `busy`, where another process holds it, and where it cannot be made or is a link.
    """
    if path.is_symlink():  # in a folder from somebody else it may lead anywhere
        raise InputError(f"{path} is a link to another file")
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(busy) from None
    except OSError as error:
        raise InputError(f"cannot write in {path.parent}: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()


class Journal:
    """The journal of one study, opened for writing and locked against a second writer.

    `header` is the first line, `events` what was recorded before this session, `elapsed` the seconds that earlier
    sessions ran, `cut` the bytes of a torn tail that were dropped. `folder` must hold a journal (see `create`).
    Raises InputError when there is none, it was damaged, or another process has it open.
    """

    def __init__(self, folder: Path, *, _begin: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        for name in (JOURNAL, TIMES, LOCK):
            if (folder / name).is_symlink():  # in a folder from somebody else it may lead anywhere
                raise InputError(f"{folder / name} is a link to another file: a run folder holds its files itself")
        self._lock = FileLock(folder / LOCK)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise InputError(f"{folder} is open in another process ({_last_session(folder)})") from None
        except OSError as error:
            raise InputError(f"cannot write in {folder}: {error.strerror}") from None
        try:
            if _begin is not None:
                _write_header(folder, _begin)
            self._open()
        except OSError as error:
            self._lock.release()
            raise InputError(f"cannot write in {folder}: {error.strerror}") from None
        except BaseException:
            self._lock.release()
            raise

    @classmethod
    def create(cls, folder: Path, header: Mapping[str, Any]) -> Journal:
        """Start a study in `folder`, which is made where needed and must not hold one. `header` must be JSON."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the folder {folder}: {error.strerror}") from None
        return cls(folder, _begin=header)

    def _open(self) -> None:
        events, self._size, self._checksum = _scan(self.folder / JOURNAL)
        self.header, self.events = events[0], events[1:]
        self.elapsed = elapsed_in(times(self.folder))
        self._started = time.monotonic()
        self._whole = True
        self._file = os.open(self.folder / JOURNAL, os.O_RDWR | _NO_LINK)
        self.cut = os.lseek(self._file, 0, os.SEEK_END) - self._size
        os.ftruncate(self._file, self._size)
        os.lseek(self._file, self._size, os.SEEK_SET)
        self._times = os.open(self.folder / TIMES, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NO_LINK, 0o644)
        self._note({"pid": os.getpid(), "host": socket.gethostname(), "elapsed": round(self.elapsed, 3)})

    def append(self, event: Event, *, durable: bool = False) -> None:
        """Write one event; with `durable`, it is on the disk when this returns.

        Raises InputError when it cannot be written; the file then still ends with the event before it. After that, or
        an interrupt in the midst of it, nothing more can be appended: who goes on must read first what is there.
        """
        if not self._whole:
            raise self._unwritten(JOURNAL, "an earlier line was not completed")
        self._whole = False
        line, checksum = _line(event, self._checksum)
        rest = line
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
            if durable:
                os.fsync(self._file)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise self._unwritten(JOURNAL, str(error.strerror)) from None
        self._size += len(line)
        self._checksum = checksum
        self._whole = True

    def time(self, number: int, seconds: float) -> None:
        """Note what trial `number` cost on its worker, and the study's age."""
        self._note({"tell": number, "seconds": round(seconds, 4), "elapsed": round(self.age, 3)})

    @property
    def age(self) -> float:
        """Seconds that the study has run, over all its sessions."""
        return self.elapsed + time.monotonic() - self._started

    def _note(self, entry: Event) -> None:
        try:
            os.write(self._times, json.dumps(entry).encode() + b"\n")
        except OSError as error:
            raise self._unwritten(TIMES, str(error.strerror)) from None

    def _unwritten(self, name: str, why: str) -> InputError:
        again = f"nothing told is lost, continue with 'frugalnas resume {self.folder}'"
        return InputError(f"cannot write {self.folder / name}: {why}; {again}")

    def close(self) -> None:
        """Note the study's age and let go of the folder; never raises, so as not to hide how the study ended."""
        with suppress(InputError):
            self._note({"elapsed": round(self.age, 3)})
        for file in (self._file, self._times):
            with suppress(OSError):
                os.close(file)
        self._lock.release()


def _write_header(folder: Path, header: Mapping[str, Any]) -> None:
    path = folder / JOURNAL
    if path.exists():
        raise InputError(
            f"{folder} already holds a study: continue it with 'frugalnas resume {folder}' or choose another --out"
        )
    write_atomically(path, _line({"format": FORMAT, **header}, 0)[0])


def times(folder: Path) -> list[Event]:
    """The entries of `times.jsonl`; lines that are torn, or that no study writes, are passed over."""
    try:
        return _entries((folder / TIMES).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return []


def _entries(text: str) -> list[Event]:
    entries = []
    for line in text.splitlines():
        with suppress(ValueError, RecursionError):
            entry = json.loads(line)
            if isinstance(entry, dict) and _sound(entry):
                entries.append(entry)
    return entries


def elapsed_in(entries: list[Event]) -> float:
    """Seconds that a study has run by the entries of its `times.jsonl`, over all its sessions."""
    return float(max((entry["elapsed"] for entry in entries if "elapsed" in entry), default=0.0))


def _sound(entry: Event) -> bool:
    """Whether an entry is as `Journal` writes it: numbers, and with a pid the name of a host."""
    numbers = {name: value for name, value in entry.items() if name != "host"}
    host = isinstance(entry.get("host", ""), str) and entry.get("host", "").isprintable()
    pairs = ("pid" in numbers) == ("host" in entry) and ("tell" in numbers) == ("seconds" in numbers)
    return host and pairs and all(type(value) in (int, float) and 0 <= value < 1e12 for value in numbers.values())


def _last_session(folder: Path) -> str:
    sessions = [entry for entry in times(folder) if "pid" in entry]
    return f"pid {sessions[-1]['pid']} on {sessions[-1]['host']}" if sessions else "owner unknown"
