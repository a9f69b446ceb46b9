"""What trainings keep in the run folder: files that save work and that no value depends on.

`checkpoints/` holds what the next rung of a training goes on from, `float_weights/` trained networks of which several
candidates differ only in what training does not see. A file that is missing, damaged or another training's means that
the work is done again. A folder from somebody else may hold links: nothing is written or removed through them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from frugalnas.core import InputError
from frugalnas.store import write_atomically

CHECKPOINTS, WEIGHTS, SUFFIX = "checkpoints", "float_weights", ".safetensors"
_log = logging.getLogger(__name__)  # which, unless told otherwise, prints warnings on stderr


def file_of(folder: Path, place: str, seed: int, part: str) -> Path:
    """The file of a training that is rated with `seed`; `part` tells several of one seed apart."""
    return folder / place / f"{_name(seed)}-{part}{SUFFIX}"


def _name(seed: int) -> str:
    return f"{seed:016x}"


def keep(file: Path, content: Callable[[], bytes], loss: str) -> None:
    """Write what `content` makes, where it can be written: a full disk fails no trial, but is told, with the `loss`.

    Weights that are not finite (FloatingPointError) are not kept: their score says so.
    """
    with suppress(FloatingPointError):
        made = content()
        try:
            _prepare(file.parent)
            write_atomically(file, made)
        except (InputError, OSError) as error:
            _log.warning("frugalnas: %s: %s", loss, error)


def _prepare(place: Path) -> None:
    if place.is_symlink():  # in a folder from somebody else it may lead anywhere
        raise InputError(f"{place} is a link to another folder")
    place.mkdir(exist_ok=True)


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """Wait until no other process is in here with the same file; a dead one is not waited for.

    Where nothing can be written nobody waits, as there is nothing to wait for.
    """
    path = file.with_name(f"{file.name}.lock")
    lock = FileLock(path)
    with suppress(InputError, OSError, NotImplementedError):
        _prepare(file.parent)
        if not path.is_symlink():
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def remove_others(folder: Path, seeds: Collection[int]) -> None:
    """Remove the checkpoints in the run folder, but for those of trials that are rated with one of `seeds`."""
    _remove(folder / CHECKPOINTS, {_name(seed) for seed in seeds})


def remove_all(folder: Path) -> None:
    """Remove all that trainings keep in the run folder."""
    for place in (CHECKPOINTS, WEIGHTS):
        _remove(folder / place, set())


def _remove(place: Path, kept: Collection[str]) -> None:
    if place.is_symlink():
        return
    for file in place.glob(f"*{SUFFIX}" if kept else f"*{SUFFIX}*"):  # in the end also what a killed worker half wrote
        if file.name.partition("-")[0] not in kept:
            file.unlink(missing_ok=True)
    if not kept:
        with suppress(OSError):  # something that is not ours is in it, or it is not there
            place.rmdir()
