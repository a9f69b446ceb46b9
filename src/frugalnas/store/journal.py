"""The journal of a study, opened for writing.

A last line without its end is cut when it is opened: what it held was never told. Anything else that does not add up is
refused, naming the line. A run folder holds `journal.jsonl` (the same bytes for the same study, whenever and however
often it was interrupted) and beside it `times.jsonl`.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from frugalnas.core import InputError, MachineError
from frugalnas.store.clock import TIMES, elapsed_in, entries_in, last_session
from frugalnas.store.files import LOCK, write_atomically
from frugalnas.store.lines import FORMAT, JOURNAL, Event, bodies, header_of, line_of, parsed

_NO_LINK: int = getattr(os, "O_NOFOLLOW", 0)  # Windows has none


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
            raise InputError(f"{folder} is open in another process ({last_session(folder)})") from None
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
        (_, self.checksum, self._size), *_ = deque(bodies(self.folder / JOURNAL), maxlen=1)
        self._earlier = self._size
        self.elapsed = elapsed_in(entries_in(self.folder))
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
        lines = parsed(self.folder / JOURNAL, self._earlier)
        return ((event, checksum) for event, checksum, _ in islice(lines, 1, None))

    def append(self, event: Event, *, durable: bool = False) -> None:
        """Write one event; with `durable`, it is on the disk when this returns.

        Raises InputError when it cannot be written; the file then still ends with the event before it. After that, or
        an interrupt in the midst of it, nothing more can be appended: who goes on must read first what is there.
        """
        if not self._whole:
            raise self._unwritten(JOURNAL, "an earlier line was not completed")
        self._whole = False
        line, checksum = line_of(event, self.checksum)
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
    write_atomically(path, line_of({"format": FORMAT, **header}, 0)[0])
