"""Faults of disks and files: what is done to the folder of a search, and what must come of it."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
from itertools import count
from pathlib import Path

import faulty
from frugalnas import repair, store
from frugalnas.core import InputError
from undisturbed import (
    ENVIRONMENT,
    TRIALS,
    Bench,
    Row,
    Search,
    gave_up,
    journal_in,
    lost,
    told,
    toy,
    training,
)


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
