"""Small searches as processes, the journals that they have undisturbed, and what must hold of disturbed ones."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np
import psutil

import faulty
from frugalnas import store

COMMAND = str(Path(sys.executable).with_name("frugalnas"))
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
TRIALS = 60  # of a search on the free problem
SMALL = (
    *("--set", "space.channels=4", "--set", "space.cells=3", "--set", "task.recipe.batch=16"),
    *("--set", "estimators.0.fidelity.width=2", "--set", "estimators.0.fidelity.depth=3"),
)


@dataclass
class Row:
    """What a fault did in all of its runs. `wrong`: what else was not as documented."""

    runs: int = 0
    injected: int = 0
    lost: int = 0
    differ: int = 0
    tracebacks: int = 0
    wrong: list[str] = field(default_factory=list)
    note: str = ""

    @property
    def well(self) -> bool:
        return not (self.lost or self.differ or self.tracebacks or self.wrong)

    def compare(self, journal: bytes, twin: bytes) -> None:
        """Count a journal that is not that of the twin."""
        if journal != twin:
            self.differ += 1
            both = zip(journal.splitlines(), twin.splitlines(), strict=False)
            self.wrong.append(next((f"{a!r}, not {b!r}" for a, b in both if a != b), "one goes on where one ends"))

    def expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.wrong.append(otherwise)


@dataclass(frozen=True)
class Search:
    """How a search is started and resumed, given its folder; `options` of both."""

    start: tuple[str, ...]
    resume: tuple[str, ...]
    place: int  # of the folder in `start`

    def command(self, folder: Path) -> list[str]:
        if (folder / store.JOURNAL).exists():
            return [*self.resume[:2], str(folder), *self.resume[2:]]
        return [*self.start[: self.place], str(folder), *self.start[self.place :]]


def toy(*options: str, trials: int = TRIALS) -> Search:
    command = (sys.executable, str(Path(__file__).with_name("faulty.py")), "--trials", str(trials), *options)
    return Search(command, command, 2)


def training(images: Path, *options: str) -> Search:
    """A search that trains networks."""
    start = (COMMAND, "search", "--data", str(images), *options, "--trials", "6", "--workers", "2", *SMALL, "--out")
    return Search(start, (COMMAND, "resume"), len(start))


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def workers_of(pid: int) -> list[psutil.Process]:
    """The processes of the pool, without multiprocessing's own."""
    try:
        return [each for each in psutil.Process(pid).children() if "spawn_main" in " ".join(each.cmdline())]
    except psutil.Error:
        return []


@dataclass
class Bench:
    scratch: Path
    rng: random.Random
    images: Path
    trainings: bool
    deadline: float = 0.0
    _numbers: Iterator[int] = field(default_factory=count)
    _twins: dict[Search, bytes] = field(default_factory=dict)
    _seconds: dict[Search, float] = field(default_factory=dict)

    def going(self, row: Row, least: int = 1) -> bool:
        """Whether there is time for one more run. There always is for so many."""
        return row.runs < least or time.monotonic() < self.deadline

    def folder(self) -> Path:
        return self.scratch / str(next(self._numbers))

    def searches(self, *options: str) -> list[Search]:
        """The searches that most faults are done to."""
        return [toy(*options), *([training(self.images)] if self.trainings else [])]

    def twin(self, search: Search) -> bytes:
        """The journal of the same search when nothing happens to it."""
        if search not in self._twins:
            folder, begun = self.folder(), time.monotonic()
            process, said = self.started(search, folder)
            if process.wait(timeout=600):
                raise SystemExit(f"the undisturbed search failed: {said.read_text()}")
            self._twins[search] = journal_in(folder)
            self._seconds[search] = time.monotonic() - begun
        return self._twins[search]

    def twin_here(self) -> bytes:
        """The journal of an undisturbed search that was made in this process."""
        folder = self.folder()
        faulty.resume_here(folder, TRIALS)
        return journal_in(folder)

    def moment(self, search: Search) -> float:
        """Seconds from the start of a search to a random moment of it."""
        self.twin(search)
        return self.rng.uniform(0.2, 0.95) * self._seconds[search]

    def started(
        self, search: Search, folder: Path, environment: Mapping[str, str] = ENVIRONMENT
    ) -> tuple[subprocess.Popen[bytes], Path]:
        """The running search, and the file with what it says on stderr."""
        said = self.scratch / f"{next(self._numbers)}.stderr"
        with said.open("wb") as file:
            command = search.command(folder)
            return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file, env=environment), said

    def checked(self, row: Row, search: Search, folder: Path, said: Path, code: int | None) -> None:
        """What must hold of a search that has ended by itself."""
        row.tracebacks += traceback_in(said)
        row.expect(code == 0, f"exit code {code}: {said.read_text()[-300:]}")
        row.compare(journal_in(folder), self.twin(search))
        shutil.rmtree(folder, ignore_errors=True)


def journal_in(folder: Path) -> bytes:
    path = folder / store.JOURNAL
    return path.read_bytes() if path.exists() else b""


def traceback_in(said: Path) -> bool:
    found = "Traceback" in said.read_text(errors="replace")
    if found:
        print(f"\n{said.read_text(errors='replace')[-2000:]}", file=sys.stderr)
    return found


def gave_up(row: Row, code: int | None, said: Path, words: str) -> None:
    """Exit code 2, and one line that has these words."""
    text = said.read_text()
    row.tracebacks += traceback_in(said)
    right = code == 2 and text.startswith("frugalnas: ") and text.count("\n") == 1 and words in text
    row.expect(right, f"exit code {code} and {text[-300:]!r}, without {words!r}")


def told(journal: bytes) -> list[store.Event]:
    """The tells in a journal's bytes, which are sound."""
    events = map(json.loads, journal.split(b"\n")[:-1])
    return [{name: event[name] for name in event if name != "sum"} for event in events if "tell" in event]


def lost(before: bytes, after: bytes) -> int:
    """How many trials that were told are no longer, or told otherwise."""
    old, new = told(before), told(after)
    return sum(a != b for a, b in zip(old, new, strict=False)) + max(0, len(old) - len(new))


def generated_images(path: Path) -> Path:
    """120 grey squares of 8 x 8, of four classes: the corner that is bright."""
    rng, labels = np.random.default_rng(0), np.arange(120) % 4
    pixels = rng.integers(0, 120, (120, 8, 8)).astype(np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        y, x = 4 * (label // 2), 4 * (label % 2)
        image[y : y + 4, x : x + 4] += 100
    np.savez(path, x_train=pixels, y_train=labels)
    return path
