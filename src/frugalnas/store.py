"""The journal: an append-only file of events that a study is rebuilt from, one JSON object a line.

Every line ends with a checksum chained to the line before it, so a torn tail, a lost line and an edit are all seen.
A last line without its end is cut when the journal is opened for writing: what it held was never told. Anything else
that does not add up is refused, naming the line. Nothing is pickled and nothing in the file is executed.

A run folder holds `journal.jsonl` (the same bytes for the same study, whenever and however often it was interrupted)
and beside it `times.jsonl` (how long: pid and host of each session, seconds of each trial).
"""

from __future__ import annotations

import errno
import json
import math
import os
import socket
import stat
import sys
import time
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from frugalnas.core import Candidate, InputError, MachineError, Trial

JOURNAL, TIMES, LOCK = "journal.jsonl", "times.jsonl", ".lock"
FORMAT = 1
MOST_FILE, MOST_LINE, MOST_TIME = 2**28, 2**26, 2**12  # bytes of a file that is read at once, of lines
_NO_LINK: int = getattr(os, "O_NOFOLLOW", 0)  # Windows has none
Event = dict[str, Any]


def _line(event: Mapping[str, Any], previous: int) -> tuple[bytes, int]:
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


def _bodies(path: Path, size: int | None = None) -> Iterator[tuple[bytes, int, int]]:
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
    return (event for event, _, _ in _parsed(folder / JOURNAL))


def _parsed(path: Path, size: int | None = None) -> Iterator[tuple[Event, int, int]]:
    """As `stream`, with the checksum of each line and where it ends, of the first `size` bytes."""
    number = 0
    for number, (body, checksum, end) in enumerate(_bodies(path, size), start=1):
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
        for event, _, end in _parsed(folder / JOURNAL):
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


def trials_of(events: Iterable[Event]) -> list[Trial]:
    """The trials that `events` tell of, in the order told. Raises KeyError or TypeError for events of no search."""
    asked: dict[int, Candidate] = {}
    trials = []
    for event in events:
        if "ask" in event:
            asked[event["ask"]] = candidate_of(event)
        else:
            trials.append(trial_of(event, asked.pop(event["tell"])))
    return trials


def trials_in(folder: Path) -> tuple[Event, list[Trial]]:
    """Header and trials of the study in `folder`. Raises as `stream` and `trials_of` do."""
    events = stream(folder)
    return next(events), trials_of(events)


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

    It is on the disk when this returns. Raises MachineError where it cannot be written.
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
        raise MachineError(f"cannot write {path}: {error.strerror}") from None


def regular(path: Path, most: int | None = MOST_FILE) -> Path:
    """`path`, which must be a file, with `most` one of at most so many bytes. Raises OSError.

    A folder from somebody else may have a pipe or a device under that name, which never ends.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    if most is not None and status.st_size > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return path


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

    `header` is the first line, `checksum` that of the last, `elapsed` the seconds that earlier sessions ran, `cut` the
    bytes of a torn tail that were dropped. `folder` must hold a journal (see `create`).
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
        self.header = header_of(self.folder)
        (_, self.checksum, self._size), *_ = deque(_bodies(self.folder / JOURNAL), maxlen=1)
        self._earlier = self._size
        self.elapsed = elapsed_in(_entries(self.folder))
        self._started = time.monotonic()
        self._whole = True
        self._file = os.open(self.folder / JOURNAL, os.O_RDWR | _NO_LINK)
        self.cut = os.lseek(self._file, 0, os.SEEK_END) - self._size
        os.ftruncate(self._file, self._size)
        os.lseek(self._file, self._size, os.SEEK_SET)
        self._times = os.open(self.folder / TIMES, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NO_LINK, 0o644)
        self._note({"pid": os.getpid(), "host": socket.gethostname(), "elapsed": round(self.elapsed, 3)})

    def recorded(self) -> Iterator[tuple[Event, int]]:
        """What was recorded before this session, read as it is asked for, each event with the `checksum` of its line,
        which stands for all lines before too. Raises InputError as `stream` does.
        """
        lines = _parsed(self.folder / JOURNAL, self._earlier)
        return ((event, checksum) for event, checksum, _ in islice(lines, 1, None))

    def append(self, event: Event, *, durable: bool = False) -> None:
        """Write one event; with `durable`, it is on the disk when this returns.

        Raises InputError when it cannot be written; the file then still ends with the event before it. After that, or
        an interrupt in the midst of it, nothing more can be appended: who goes on must read first what is there.
        """
        if not self._whole:
            raise self._unwritten(JOURNAL, "an earlier line was not completed")
        self._whole = False
        line, checksum = _line(event, self.checksum)
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
        self.checksum = checksum
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

    def _unwritten(self, name: str, why: str) -> MachineError:
        return MachineError(f"cannot write {self.folder / name}: {why}; {self.way_on}")

    @property
    def way_on(self) -> str:
        """What to say where a machine ends a study."""
        return f"nothing told is lost, continue with 'frugalnas resume {self.folder}'"

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
    return [*_entries(folder)]


def times_in(folder: Path) -> tuple[dict[int, float], float]:
    """By `times.jsonl` the seconds that each trial took on its worker, and those that the study has run."""
    seconds, elapsed = {}, 0.0
    for entry in _entries(folder):
        elapsed = max(elapsed, entry.get("elapsed", 0.0))
        if "tell" in entry:
            seconds[entry["tell"]] = entry["seconds"]
    return seconds, float(elapsed)


def elapsed_in(entries: Iterable[Event]) -> float:
    """Seconds that a study has run by the entries of its `times.jsonl`, over all its sessions."""
    return float(max((entry["elapsed"] for entry in entries if "elapsed" in entry), default=0.0))


def _entries(folder: Path) -> Iterator[Event]:
    with suppress(OSError), regular(folder / TIMES).open(encoding="utf-8", errors="replace") as file:
        yield from entries_of(iter(lambda: file.readline(MOST_TIME), ""))


def entries_of(lines: Iterable[str]) -> Iterator[Event]:
    """The entries of lines of `times.jsonl`; those that are torn, or that no study writes, are passed over."""
    for line in lines:
        with suppress(ValueError, RecursionError):
            entry = json.loads(line)
            if isinstance(entry, dict) and _sound(entry):
                yield entry


def _sound(entry: Event) -> bool:
    """Whether an entry is as `Journal` writes it: numbers, and with a pid the name of a host."""
    numbers = {name: value for name, value in entry.items() if name != "host"}
    host = isinstance(entry.get("host", ""), str) and entry.get("host", "").isprintable()
    pairs = ("pid" in numbers) == ("host" in entry) and ("tell" in numbers) == ("seconds" in numbers)
    return host and pairs and all(type(value) in (int, float) and 0 <= value < 1e12 for value in numbers.values())


def _last_session(folder: Path) -> str:
    said = "owner unknown"
    for entry in _entries(folder):
        if "pid" in entry:
            said = f"pid {entry['pid']} on {entry['host']}"
    return said
