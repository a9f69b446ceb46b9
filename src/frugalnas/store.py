"""The journal: an append-only file of events that a study is rebuilt from, one JSON object a line.

Every line ends with a checksum chained to the line before it, so a torn tail, a lost line and an edit are all seen.
A torn last line is cut when the journal is opened for writing: what it held was never told. Anything else that does
not add up is refused, naming the line. Nothing is pickled and nothing in the file is executed.

A run folder holds `journal.jsonl` (the same bytes for the same study, whenever and however often it was interrupted)
and beside it `times.jsonl` (when and how long: pid and host of each session, seconds of each trial).
"""

from __future__ import annotations

import json
import os
import socket
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from frugalnas.core import Candidate, InputError, Trial

JOURNAL, TIMES, LOCK = "journal.jsonl", "times.jsonl", ".lock"
FORMAT = 1
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
    except ValueError:
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
    events: list[Event] = []
    checksum = good = 0
    while (end := data.find(b"\n", good)) >= 0:
        parsed = _parse(data[good:end], checksum)
        if parsed is None:
            if data.find(b"\n", end + 1) >= 0:
                raise InputError(
                    f"{path} line {len(events) + 1} does not match its checksum: the file was edited or damaged"
                )
            break
        event, checksum = parsed
        events.append(event)
        good = end + 1
    if not events or events[0].get("format") != FORMAT:
        raise InputError(f"{path} is not a FrugalNAS journal of format {FORMAT}")
    return events, good, checksum


def read(folder: Path) -> tuple[Event, list[Event]]:
    """Header and events of the study in `folder`, for reading only; a torn tail is passed over.

    Raises InputError where there is no journal or it was damaged.
    """
    events, _, _ = _scan(folder / JOURNAL)
    return events[0], events[1:]


def trials_of(events: list[Event]) -> list[Trial]:
    """The trials that `events` tell of, in the order told."""
    asked: dict[int, Candidate] = {}
    trials = []
    for event in events:
        if "ask" in event:
            asked[event["ask"]] = candidate_of(event)
        else:
            trials.append(trial_of(event, asked[event["tell"]]))
    return trials


def ask_event(number: int, candidate: Candidate) -> Event:
    return {
        "ask": number,
        "genotype": list(candidate.genotype),
        "rung": candidate.rung,
        "parents": list(candidate.parents),
    }


def tell_event(trial: Trial) -> Event:
    return {"tell": trial.number, "status": trial.status, "values": dict(trial.values), "reason": trial.reason}


def candidate_of(event: Event) -> Candidate:
    return Candidate(tuple(event["genotype"]), event["rung"], tuple(event["parents"]))


def trial_of(event: Event, candidate: Candidate) -> Trial:
    return Trial(event["tell"], candidate, event["status"], event["values"], event["reason"])


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a whole file so that a reader, or a crash, sees the old one or the new one and nothing between."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error.strerror}") from None


class Journal:
    """The journal of one study, opened for writing and locked against a second writer.

    `header` is the first line, `events` what was recorded before this session, `elapsed` the seconds that earlier
    sessions ran, `cut` the bytes of a torn tail that were dropped. `folder` must hold a journal (see `create`).
    Raises InputError when there is none, it was damaged, or another process has it open.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FileLock(folder / LOCK)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise InputError(f"{folder} is open in another process ({_last_session(folder)})") from None
        except OSError as error:
            raise InputError(f"cannot write in {folder}: {error.strerror}") from None
        try:
            events, self._size, self._checksum = _scan(folder / JOURNAL)
            self.header, self.events = events[0], events[1:]
            self.elapsed = _elapsed(folder)
            self._started = time.monotonic()
            self._file = os.open(folder / JOURNAL, os.O_RDWR)
            self.cut = os.lseek(self._file, 0, os.SEEK_END) - self._size
            os.ftruncate(self._file, self._size)
            os.lseek(self._file, self._size, os.SEEK_SET)
            self._times = (folder / TIMES).open("a", encoding="utf-8")
            self._note({"pid": os.getpid(), "host": socket.gethostname(), "elapsed": round(self.elapsed, 3)})
        except OSError as error:
            self._lock.release()
            raise InputError(f"cannot write in {folder}: {error.strerror}") from None
        except InputError:
            self._lock.release()
            raise

    @classmethod
    def create(cls, folder: Path, header: Mapping[str, Any]) -> Journal:
        """Start a study in `folder`, which is made where needed and must not hold one. `header` must be JSON."""
        path = folder / JOURNAL
        if path.exists():
            raise InputError(
                f"{folder} already holds a study: continue it with 'frugalnas resume {folder}' or choose another --out"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the folder {folder}: {error.strerror}") from None
        write_atomically(path, _line({"format": FORMAT, **header}, 0)[0])
        return cls(folder)

    def append(self, event: Event, *, durable: bool = False) -> None:
        """Write one event; with `durable`, it is on the disk when this returns.

        Raises InputError when it cannot be written; the file then still ends with the event before it.
        """
        line, checksum = _line(event, self._checksum)
        try:
            written = os.write(self._file, line)
            if written < len(line):
                written += os.write(self._file, line[written:])
            if durable:
                os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, self._size)
            os.lseek(self._file, self._size, os.SEEK_SET)
            raise self._unwritten(JOURNAL, error) from None
        self._size += len(line)
        self._checksum = checksum

    def time(self, number: int, seconds: float) -> None:
        """Note what trial `number` cost on its worker, and the study's age."""
        self._note({"tell": number, "seconds": round(seconds, 4), "elapsed": round(self.age, 3)})

    @property
    def age(self) -> float:
        """Seconds that the study has run, over all its sessions."""
        return self.elapsed + time.monotonic() - self._started

    def _note(self, entry: Event) -> None:
        try:
            self._times.write(json.dumps(entry) + "\n")
            self._times.flush()
        except OSError as error:
            raise self._unwritten(TIMES, error) from None

    def _unwritten(self, name: str, error: OSError) -> InputError:
        again = f"nothing told is lost, continue with 'frugalnas resume {self.folder}'"
        return InputError(f"cannot write {self.folder / name}: {error.strerror}; {again}")

    def close(self) -> None:
        os.close(self._file)
        self._times.close()
        self._lock.release()


def times(folder: Path) -> list[Event]:
    """The entries of `times.jsonl`; lines that are torn are passed over."""
    entries = []
    try:
        lines = (folder / TIMES).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            entries.append(entry)
    return entries


def _elapsed(folder: Path) -> float:
    return max((float(entry.get("elapsed", 0.0)) for entry in times(folder)), default=0.0)


def _last_session(folder: Path) -> str:
    sessions = [entry for entry in times(folder) if "pid" in entry]
    return f"pid {sessions[-1]['pid']} on {sessions[-1]['host']}" if sessions else "owner unknown"
