"""Files that are whole or not there, that only one process writes, and that are files."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from frugalnas.core import InputError, MachineError

LOCK = ".lock"
MOST_FILE = 2**28  # bytes of a file that is read at once


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
