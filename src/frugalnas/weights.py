"""The weights that the networks of a search share, as files of its run folder.

`weights/shared.safetensors` is the set: the tensors that write-backs have put there, and how many of them it has seen.
A tensor that is not in it still has its first value, which follows from the seed `start`. Beside it lies a snapshot of
each trial that was trained and is not yet written back: the tensors that its network touched. Every file is written
whole or not at all and has a checksum; a snapshot is on the disk before its trial is told and leaves it after the set
that took it up is there. So whenever a search is killed, its journal and these files say together how to go on: what is
written back already is passed over, by its number, when the journal is played again.
"""

from __future__ import annotations

import json
import platform
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from frugalnas.core import InputError, trial_seed
from frugalnas.store import JOURNAL, regular, write_atomically

FOLDER, SHARED, SUFFIX = "weights", "shared.safetensors", ".safetensors"
_KEY = "frugalnas"  # the one key of a file's metadata: several have no order, and equal sets are to be equal files
Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class State:
    """Where a weight set stands: `written` write-backs seen, and the `generation`, of so many, that inherits from it.

    `start`: the seed of the weights that no write-back has touched yet.
    """

    start: int
    generations: int
    generation: int = 0
    written: int = 0


class WeightSet:
    """The weight set of the study of `seed` in a run folder, for the one process that writes it.

    It stays in memory, and is written at each write-back.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder, self._seed = folder / FOLDER, seed
        self._state: State | None = None
        self._tensors: dict[str, NDArray[Any]] = {}

    def begin(self, generations: int) -> None:
        """Read the set, or make it where there is none; to be called before all else.

        Raises InputError where the file is damaged or another study's, and where the folder cannot be written.
        """
        fresh = State(trial_seed(self._seed, 0), generations)
        if self._folder.is_symlink():  # in a folder from somebody else it may lead anywhere
            raise InputError(f"{self._folder} is a link: a run folder holds its files itself")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for unfinished in self._folder.glob(f".*{SUFFIX}.*"):  # of a process that was killed while it wrote
                unfinished.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"cannot write in {self._folder}: {error.strerror}") from None
        path = self._folder / SHARED
        if not path.exists():
            self._write({}, fresh)
            return
        text, self._tensors = _read(path)
        self._state = _state(path, text)
        if (self._state.start, self._state.generations) != (fresh.start, generations):
            raise InputError(f"{path} holds the weights of another study")

    def write_back(self, number: int, fast: int | None, slow: int | None, generation: int) -> None:
        """Take up what a pair learnt, as write-back `number`, from 1 on; one that the set has seen changes nothing.

        `fast`, `slow`: trials whose snapshots are there; None for one that learnt nothing. All that the fast learner
        touched (its operations, and what all networks share: stem, pre-processing, classifier, statistics) comes from
        it, operations that only the slow one touched come from that one, the rest stays. `generation`: the one that
        inherits next. Raises InputError where a snapshot is gone or damaged, and where the set cannot be written.
        """
        if self._state is None:
            raise RuntimeError("write_back before begin")
        seeds = [trial_seed(self._seed, trial) for trial in (slow, fast) if trial is not None]
        snapshots = [_snapshot(self._folder, seed) for seed in seeds]
        if number > self._state.written:
            tensors = dict(self._tensors)
            if number > self._state.written + 1 or not all(path.exists() for path in snapshots):
                raise InputError(
                    f"the weights in {self._folder} have seen {self._state.written} write-backs and what number "
                    f"{number} needs is gone: files were lost, the search cannot go on and has to be started anew"
                )
            for path in snapshots:
                tensors |= _read(path)[1]
            self._write(tensors, replace(self._state, written=number, generation=generation))
        over = generation == self._state.generations  # then also what ended workers left behind
        for path in self._folder.glob(f"*{SUFFIX}*") if over else snapshots:
            if path.name != SHARED:
                path.unlink(missing_ok=True)

    def _write(self, tensors: dict[str, NDArray[Any]], state: State) -> None:
        write_atomically(self._folder / SHARED, _packed(tensors, asdict(state)))
        self._state, self._tensors = state, tensors


class Inherited:
    """A weight set that is open for reading, tensor by tensor."""

    def __init__(self, file: Any, state: State) -> None:
        self._file, self._names = file, frozenset(file.keys())
        self.state = state

    def get(self, name: str) -> NDArray[Any] | None:
        """A tensor; None where no write-back has touched it."""
        return self._file.get_tensor(name) if name in self._names else None


@contextmanager
def inherited(folder: Path, written: int) -> Iterator[Inherited]:
    """The weight set in a run folder, which must have seen exactly so many write-backs. Raises InputError.

    Checksums are not looked at here: `WeightSet`, in the process that writes the set, has done so.
    """
    path = folder / FOLDER / SHARED
    with _opened(path) as (file, text, _):
        state = _state(path, text)
        if state.written != written:
            raise InputError(f"{path} has seen {state.written} write-backs: expected {written}, the journal's number")
        yield Inherited(file, state)


def written_in(folder: Path) -> int | None:
    """How many write-backs the weight set in a run folder has seen; None without one. Raises InputError."""
    path = folder / FOLDER / SHARED
    if not path.exists():
        return None
    with _opened(path) as (_, text, _checksum_of_it):
        return _state(path, text).written


def refuse_orphans(folder: Path) -> None:
    """Raise InputError where `folder`, in which a search is about to begin, has shared weights without a journal."""
    if (folder / FOLDER / SHARED).exists() and not (folder / JOURNAL).exists():
        raise InputError(
            f"{folder / FOLDER} holds those of a search whose journal is gone: choose another --out, or remove them"
        )


def refuse_elsewhere(folder: Path) -> None:
    """Raise InputError on a machine where the run folder, with the shared weights in it, is not to be seen."""
    if not (folder / JOURNAL).exists():
        raise InputError(f"shared weights need a run folder that all nodes see; {platform.node()} has no {folder}")


def leave_snapshot(folder: Path, seed: int, tensors: Tensors) -> None:
    """Write the tensors that the trial rated with `seed` touched; they are on the disk when this returns.

    Raises InputError where they cannot be written.
    """
    write_atomically(_snapshot(folder / FOLDER, seed), _packed(tensors, {}))


def _snapshot(folder: Path, seed: int) -> Path:
    return folder / f"{seed:016x}{SUFFIX}"


def _packed(tensors: Tensors, content: Mapping[str, Any]) -> bytes:
    contiguous = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}  # others are saved wrong
    text = json.dumps(content)
    return save(contiguous, {_KEY: f"{_checksum(contiguous, text)} {text}"})


def _read(path: Path) -> tuple[str, dict[str, NDArray[Any]]]:
    """Text and tensors of a file whose checksum fits."""
    with _opened(path) as (file, text, checksum):
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    if checksum != _checksum(tensors, text):
        raise InputError(f"{path} does not match its checksum: it was edited or damaged")
    return text, tensors


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, str, str]]:
    """The open file, its text, and the checksum that it ought to have."""
    try:
        file = safe_open(regular(path, None), framework="np")
    except FileNotFoundError:
        raise InputError(f"{path} is missing: the weights that this search shares were lost") from None
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} is damaged, it is no .safetensors file: {error}") from None
    with file as opened:
        checksum, _, text = (opened.metadata() or {}).get(_KEY, "").partition(" ")
        yield opened, text, checksum


def _state(path: Path, text: str) -> State:
    try:
        return State(**json.loads(text))
    except (TypeError, ValueError, RecursionError):
        raise InputError(f"{path} holds no weights of a search") from None


def _checksum(tensors: Tensors, text: str) -> str:
    checksum = zlib.crc32(text.encode())
    for name in sorted(tensors):
        checksum = zlib.crc32(tensors[name].tobytes(), zlib.crc32(name.encode(), checksum))
    return f"{checksum:08x}"
