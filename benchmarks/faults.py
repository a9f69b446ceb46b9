"""Do to small real searches what machines and people do, at random moments, and look whether anything was lost.

Every search is a process of its own with a pool of two workers: mostly `benchmarks/faulty.py`, a free problem of which
every eighth trial fails, and with --trainings also the command `frugalnas search` on generated images. Whatever is done
to it, what was told before must still be there after, a search that goes on, or is resumed, must end with the journal
of its undisturbed twin byte for byte, no process may print a traceback, and one that gives up must say so in one line
with exit code 2.

    python benchmarks/faults.py [--minutes 10] [--only disk,clock] [--no-trainings] [--seed 0]

Prints a table: fault, runs, faults injected, told trials lost, journals that differ, tracebacks, verdict. Exit code 1
unless all is well. The full disk and the read-only folder need file systems of their own (Linux, `unshare`), the lost
node Ray; where these are missing a line says so.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np
import psutil

import faulty
from frugalnas import repair, store
from frugalnas.core import InputError

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

    def started(self, search: Search, folder: Path) -> tuple[subprocess.Popen[bytes], Path]:
        """The running search, and the file with what it says on stderr."""
        said = self.scratch / f"{next(self._numbers)}.stderr"
        with said.open("wb") as file:
            command = search.command(folder)
            return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file, env=ENVIRONMENT), said

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
    """The tells in a journal's bytes."""
    return [event for event in store.sound_part(journal)[0] if "tell" in event]


def lost(before: bytes, after: bytes) -> int:
    """How many trials that were told are no longer, or told otherwise."""
    old, new = told(before), told(after)
    return sum(a != b for a, b in zip(old, new, strict=False)) + max(0, len(old) - len(new))


def driver_killed(bench: Bench, row: Row) -> None:
    """SIGKILL to the driver at random moments, again and again until it ends by itself."""
    turn = count()
    while bench.going(row, 3):
        search = training(bench.images) if bench.trainings and next(turn) == 0 else toy()
        whole, folder, before = bench.twin(search), bench.folder(), b""
        row.runs += 1
        while True:
            process, said = bench.started(search, folder)
            try:
                process.wait(timeout=bench.moment(search))
            except subprocess.TimeoutExpired:
                end(process)
                row.injected += 1
            after = journal_in(folder)
            row.lost += lost(before, after)
            row.tracebacks += traceback_in(said)
            row.expect(whole.startswith(after), "what stood there after a kill is no beginning of the twin")
            before = after
            if process.returncode >= 0:
                break
        bench.checked(row, search, folder, said, process.returncode)


def disturbed(bench: Bench, row: Row, search: Search, signals: tuple[int, ...]) -> None:
    """One run of a search, whose workers get a signal now and then, but no trial two."""
    bench.twin(search)
    folder, again = bench.folder(), 1
    row.runs += 1
    process, said = bench.started(search, folder)
    while process.poll() is None:
        time.sleep(bench.rng.uniform(0, 0.3))
        count_told = len(told(journal_in(folder)))
        workers = workers_of(process.pid)
        if count_told >= again and workers:
            again = count_told + 9  # beyond all that were under way, so that the one that was hit is told
            try:
                bench.rng.choice(workers).send_signal(bench.rng.choice(signals))
                row.injected += 1
            except psutil.Error:
                pass
    bench.checked(row, search, folder, said, process.returncode)


def worker_killed(bench: Bench, row: Row) -> None:
    """SIGKILL, SIGSEGV or SIGTERM to one of the workers now and then; the search goes on by itself."""
    signals = (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM)
    if bench.trainings:
        disturbed(bench, row, training(bench.images), signals)
    while bench.going(row, 2):
        disturbed(bench, row, toy(), signals)


def worker_stopped(bench: Bench, row: Row) -> None:
    """SIGSTOP to one of the workers now and then: it is replaced once it did nothing for a second."""
    while bench.going(row):
        disturbed(bench, row, toy("--idle-limit", "1"), (signal.SIGSTOP,))


def trials_that(bench: Bench, row: Row, kind: str, reason: str, *options: str) -> None:
    """Trials that fail for a `reason` of their own: each in every run, and nothing else is changed by them."""
    least = row.runs + 1
    while bench.going(row, least):
        search = toy("--kinds", kind, *options, trials=40)
        folder = bench.folder()
        row.runs += 1
        process, said = bench.started(search, folder)
        process.wait()
        found = [event for event in told(journal_in(folder)) if reason in event["reason"]]
        row.injected += len(found)
        row.expect(len(found) > 1 and all(event["status"] == "failed" for event in found), f"no failure by {kind}")
        bench.checked(row, search, folder, said, process.returncode)


def worker_hangs(bench: Bench, row: Row) -> None:
    """A hang in C that listens to no signal, under a time limit of a second."""
    trials_that(bench, row, "hang", "TimeLimit: stopped after 1 s", "--time-limit", "1")


def too_much_memory(bench: Bench, row: Row) -> None:
    """Trials that need 0.6 GB where 0.4 are allowed."""
    trials_that(bench, row, "hog", "MemoryLimit: needed more than 0.4 GB", "--memory-gb", "0.4")


def values_that_are_no_numbers(bench: Bench, row: Row) -> None:
    """An error of NaN; and trainings that all diverge, which end with exit code 1 and one line."""
    if bench.trainings:
        row.runs += 1
        folder = bench.folder()
        process, said = bench.started(training(bench.images, "--set", "task.recipe.lr=1e30"), folder)
        process.wait()
        failed = [event for event in told(journal_in(folder)) if event["status"] == "failed"]
        row.injected += len(failed)
        row.tracebacks += traceback_in(said)
        text, code = said.read_text(), process.returncode
        right = (code, len(failed), text.count("\n")) == (1, 6, 1) and "no network was rated" in text
        row.expect(right, f"exit code {code}, {len(failed)} failed, {text[-300:]!r}")
    trials_that(bench, row, "nan", "error is nan")


def networks_that_cannot_be_built(bench: Bench, row: Row) -> None:
    """Exceptions of several lines in `build`."""
    trials_that(bench, row, "build", "ValueError: an operation of this network")


def in_own_file_system(bench: Bench, search: Search, between: str, *, first_kb: int) -> tuple[list[int], Path, Path]:
    """Run a search, do `between` in the shell, and run it again, on a file system in memory of its own.

    Its folder is $DISK/run, and copies of it after each run are in the folder that is returned, with the exit codes and
    the file of what both said.
    """
    disk, kept = bench.folder(), bench.folder()
    disk.mkdir()
    kept.mkdir()
    run = disk / "run"
    again = Search(search.start, search.resume, search.place)
    first = " ".join(again.command(run))
    (kept / "pretend").mkdir()
    (kept / "pretend" / store.JOURNAL).touch()
    second = " ".join(again.command(kept / "pretend")).replace(str(kept / "pretend"), str(run))
    go_on = f"if [ -e {run}/{store.JOURNAL} ]; then {second}; else {first}; fi"
    script = f"""
mount -t tmpfs -o size={first_kb}k frugalnas {disk} || exit 99
{first} 2>{kept}/said1; echo $? >>{kept}/codes; cp -r {run} {kept}/first
{between.replace("DISK", str(disk))}
{go_on} 2>{kept}/said2; echo $? >>{kept}/codes; cp -r {run} {kept}/second
mount -o remount,rw,size=64m {disk}
{go_on} 2>{kept}/said3; echo $? >>{kept}/codes; cp -r {run} {kept}/third
"""
    flags = ("-m",) if os.geteuid() == 0 else ("-U", "-r", "-m")
    subprocess.run(["unshare", *flags, "sh", "-c", script], check=False, capture_output=True, env=ENVIRONMENT)
    codes = [int(code) for code in (kept / "codes").read_text().split()] if (kept / "codes").exists() else []
    return codes, kept, disk


def can_mount() -> bool:
    flags = ("-m",) if os.geteuid() == 0 else ("-U", "-r", "-m")
    with tempfile.TemporaryDirectory() as folder:
        mount = ["unshare", *flags, "mount", "-t", "tmpfs", "frugalnas", folder]
        try:
            return subprocess.run(mount, check=False, capture_output=True).returncode == 0
        except OSError:
            return False


def full_disk(bench: Bench, row: Row) -> None:
    """A disk that is full after a random number of kilobytes, for a second start too; then there is room."""
    if not can_mount():
        row.note = "skipped: no right to mount a file system"
        return
    turn = count()
    while bench.going(row):
        real = bench.trainings and next(turn) == 1
        search = training(bench.images) if real else toy(trials=120)
        whole = bench.twin(search)
        row.runs += 1
        size = bench.rng.randrange(4, 8 + len(whole) // 512, 4)
        codes, kept, _ = in_own_file_system(bench, search, "", first_kb=size)
        after = [journal_in(kept / name) for name in ("first", "second", "third")]
        row.lost += lost(after[0], after[1]) + lost(after[1], after[2])
        for code, name in zip(codes, ("said1", "said2", "said3"), strict=False):
            if code:
                row.injected += 1
                gave_up(row, code, kept / name, "cannot write")
        row.expect(codes[-1:] == [0] and len(codes) == 3, f"exit codes {codes} with {size} kB")
        row.compare(after[2], whole)


def read_only_folder(bench: Bench, row: Row) -> None:
    """A folder that can no longer be written: the search is refused, nothing changes, and later it goes on."""
    if not can_mount():
        row.note = "skipped: no right to mount a file system"
        return
    turn = count()
    while bench.going(row):
        search = training(bench.images) if bench.trainings and next(turn) == 1 else toy()
        whole = bench.twin(search)
        row.runs += 1
        row.injected += 1
        cut = bench.rng.randrange(whole.index(b"\n") + 1, len(whole))
        between = f"truncate -s {cut} DISK/run/{store.JOURNAL}; mount -o remount,ro DISK"
        codes, kept, _ = in_own_file_system(bench, search, between, first_kb=65536)
        row.expect(codes == [0, 2, 0], f"exit codes {codes}")
        gave_up(row, codes[1] if len(codes) > 1 else None, kept / "said2", "cannot write")
        row.compare(journal_in(kept / "second"), whole[:cut])
        row.compare(journal_in(kept / "third"), whole)


def journal_cut(bench: Bench, row: Row) -> None:
    """The journal ends after any byte, as a crash of the machine leaves it."""
    whole = bench.twin_here()
    header = whole.index(b"\n") + 1
    while bench.going(row):
        row.runs += 1
        row.injected += 1
        folder, size = bench.folder(), bench.rng.randrange(len(whole))
        folder.mkdir()
        (folder / store.JOURNAL).write_bytes(whole[:size])
        try:
            faulty.resume_here(folder, TRIALS)
            row.expect(size >= header, "a cut header was accepted")
            row.compare(journal_in(folder), whole)
        except InputError as error:
            row.expect(size < header and "is not a FrugalNAS journal" in str(error), f"cut after {size}: {error}")
        shutil.rmtree(folder)


def garbled(data: bytes, rng: random.Random) -> tuple[bytes, int]:
    """A journal with one byte, a bit, a block of zeros, a line lost or doubled; and where the first change is."""
    place, kind = rng.randrange(len(data)), rng.choice(("byte", "bit", "zeros", "lost", "doubled", "newline"))
    ends = [i + 1 for i, byte in enumerate(data) if byte == 10]
    if kind == "byte":
        new = data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]
    elif kind == "bit":
        new = data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]
    elif kind == "zeros":
        size = min(512, len(data) - place)
        new = data[:place] + bytes(size) + data[place + size :]
    elif kind == "newline":
        new = data[:place] + b"\n" + data[place:]
    else:
        line = rng.randrange(len(ends) - 1)
        begin, stop = ends[line], ends[line + 1]
        new = data[:begin] + (b"" if kind == "lost" else data[begin:stop] * 2) + data[stop:]
    first = next((i for i, (a, b) in enumerate(zip(data, new, strict=False)) if a != b), min(len(data), len(new)))
    return new, first if new != data else len(data)


def journal_garbled(bench: Bench, row: Row) -> None:
    """The journal is damaged at any byte: refused with the line; repaired, it keeps all lines before, and goes on."""
    whole = bench.twin_here()
    while bench.going(row):
        row.runs += 1
        damaged, first = garbled(whole, bench.rng)
        if first == len(whole) == len(damaged):
            continue
        row.injected += 1
        folder, line = bench.folder(), whole[:first].count(b"\n") + 1
        folder.mkdir()
        (folder / store.JOURNAL).write_bytes(damaged)
        try:
            events = [event for event in store.read(folder)[1] if "tell" in event]
            expected = told(whole)
            row.expect(events == expected[: len(events)], "a damaged journal was read as another")
            row.expect(len(expected) - len(events) <= 1, "more than the line that was being written was passed over")
        except InputError as error:
            right = f"line {line} does not match its checksum" in str(error) or line == 1
            row.expect(right and "\n" not in str(error), f"damage in line {line}: {error}")
            if line == 1:
                continue
            repair.repair(folder)
            row.lost += lost(b"".join(whole.splitlines(True)[: line - 1]), journal_in(folder))
            row.expect((folder / f"{store.JOURNAL}.damaged-1").read_bytes() == damaged, "no copy was kept")
        faulty.resume_here(folder, TRIALS)
        row.compare(journal_in(folder), whole)
        shutil.rmtree(folder)


def two_on_one(bench: Bench, row: Row) -> None:
    """A second process opens the study that one is at: refused with the owner's pid and host."""
    while bench.going(row):
        for search in bench.searches() if row.runs == 0 else [toy()]:
            bench.twin(search)
            folder = bench.folder()
            row.runs += 1
            process, said = bench.started(search, folder)
            while not told(journal_in(folder)) and process.poll() is None:
                time.sleep(0.02)
            time.sleep(bench.rng.uniform(0, 0.1))
            process.send_signal(signal.SIGSTOP)  # so that it is still there when the second one has begun
            second, complaint = bench.started(search, folder)
            second.wait()
            process.send_signal(signal.SIGCONT)
            if second.returncode:
                row.injected += 1
                gave_up(row, second.returncode, complaint, f"(pid {process.pid} on {os.uname().nodename})")
            process.wait()
            bench.checked(row, search, folder, said, process.returncode)


def clock_jumps(bench: Bench, row: Row) -> None:
    """The driver's wall clock jumps by up to a year, ten times a second, under limits of time."""
    while bench.going(row):
        search = toy("--jumps", str(row.runs), "--time-limit", "20", "--idle-limit", "20")
        plain = toy()
        bench._twins[search] = bench.twin(plain)
        folder = bench.folder()
        row.runs += 1
        begun = time.monotonic()
        process, said = bench.started(search, folder)
        process.wait()
        took = time.monotonic() - begun
        row.injected += int(10 * took)
        ages = [entry["elapsed"] for entry in store.times(folder) if "elapsed" in entry]
        row.expect(ages == sorted(ages) and ages[-1] <= took, f"ages jump, to {max(ages, default=0)} s of {took:.1f}")
        bench.checked(row, search, folder, said, process.returncode)


FAULTS: dict[str, tuple[float, str, Callable[[Bench, Row], None]]] = {
    "driver": (3.0, "driver killed", driver_killed),
    "worker": (2.0, "worker killed", worker_killed),
    "stopped": (1.5, "worker stopped", worker_stopped),
    "hang": (1.0, "worker hangs", worker_hangs),
    "memory": (1.0, "memory exceeded", too_much_memory),
    "nan": (0.5, "NaN values", values_that_are_no_numbers),
    "build": (0.5, "exceptions in build", networks_that_cannot_be_built),
    "disk": (1.5, "full disk", full_disk),
    "readonly": (1.0, "read-only folder", read_only_folder),
    "cut": (1.0, "journal cut", journal_cut),
    "garbled": (1.5, "journal garbled", journal_garbled),
    "two": (1.0, "two processes", two_on_one),
    "clock": (0.5, "clock jumps", clock_jumps),
}


def generated_images(path: Path) -> Path:
    """120 grey squares of 8 x 8, of four classes: the corner that is bright."""
    rng, labels = np.random.default_rng(0), np.arange(120) % 4
    pixels = rng.integers(0, 120, (120, 8, 8)).astype(np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        y, x = 4 * (label // 2), 4 * (label % 2)
        image[y : y + 4, x : x + 4] += 100
    np.savez(path, x_train=pixels, y_train=labels)
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", help="some of " + ", ".join(FAULTS))
    parser.add_argument("--no-trainings", action="store_true", help="searches on the free problem only")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    logging.getLogger("frugalnas").setLevel(logging.ERROR)  # repairs say what they did
    names = given.only.split(",") if given.only else [*FAULTS]
    share = given.minutes * 60 / sum(FAULTS[name][0] for name in names)
    well = True
    print(f"{'fault':<20}{'runs':>6}{'faults':>8}{'lost':>6}{'differ':>8}{'tracebacks':>12}  verdict", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        images = generated_images(Path(scratch) / "images.npz")
        bench = Bench(Path(scratch), random.Random(given.seed), images, not given.no_trainings)
        for name in names:
            weight, title, do = FAULTS[name]
            bench.deadline = time.monotonic() + share * weight
            row = Row()
            do(bench, row)
            well &= row.well
            verdict = row.note or ("well" if row.well else f"NOT WELL: {(row.wrong or ['see above'])[0]}")
            counts = f"{row.runs:>6}{row.injected:>8}{row.lost:>6}{row.differ:>8}{row.tracebacks:>12}"
            print(f"{title:<20}{counts}  {verdict}", flush=True)
    return int(not well)


if __name__ == "__main__":
    sys.exit(main())
