"""A study of very many trials: how long it takes to open, to resume and to report, and in how much memory.

The study is a real one: the strategy of a method on a real space, its journal written by `frugalnas.study` with every
fsync; only the rating is free (a number made of the genotype). Then each command runs in a process of its own, on the
same files, cold: reading the header and the checksums, resuming up to the first new candidate from the snapshot and
without it, loading and reporting. Memory is the peak resident set of that process. Also how the driver grew as the
study went on. Prints a table with the targets.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from frugalnas import launch, record, report, snapshot
from frugalnas.config import assignment, options, resolve
from frugalnas.core import Trial
from frugalnas.store import JOURNAL, Journal
from frugalnas.study import Study

SECONDS, BYTES = 10.0, 2**30  # the targets
COMMANDS = ("open", "resume", "resume without snapshot", "load", "report")
TARGETED = ("open", "resume", "report")


class Stopped(Exception):
    """The study would rate a new candidate."""


class Free:
    """Rates at once, without a look at the network; or stops at the first to be rated."""

    window = 2

    def __init__(self, stops: bool = False) -> None:
        self.stops = stops

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        if self.stops:
            raise Stopped
        problem, number, candidate, costs, _ = arguments
        digest = hashlib.blake2b(repr(problem.space.canonical(candidate.genotype)).encode(), digest_size=4).digest()
        error = 0.05 + 0.9 * int.from_bytes(digest, "big") / 2**32 / (1 + costs.get("params", 0) / 1e5)
        done: Future[Any] = Future()
        done.set_result((Trial(number, candidate, "done", {**costs, "error": error, "images": 100.0}), 0.001))
        return done

    def close(self) -> None:
        pass


def make(folder: Path, trials: int, method: str, settings: list[str]) -> list[tuple[int, float, int]]:
    """Run the study; how many trials were told, after how many seconds, in how many resident bytes."""
    began, seen = time.perf_counter(), list[tuple[int, float, int]]()

    def progress(study: Study) -> None:
        if len(study.trials) % max(1, trials // 10) == 0:
            seen.append((len(study.trials), time.perf_counter() - began, resident("VmRSS")))
            print(f"{seen[-1][0]:>9,} told, {seen[-1][1]:6.1f} s, {seen[-1][2] / 2**20:6.0f} MiB", file=sys.stderr)

    tree = resolve(method, layers=[options(data="fashion-mini", trials=trials), *map(assignment, settings)])
    launch.begin(tree, folder, progress, executor=Free(), write=lambda folder: None)
    return seen


def measured(folder: Path, command: str) -> tuple[float, float, int]:
    """Seconds, those of the processor, and peak resident bytes of one command in this process."""
    began, busy = time.perf_counter(), time.process_time()
    if command == "open":
        Journal(folder).close()
    elif command == "load":
        record.load(folder)
    elif command == "report":
        report.write_report(folder)
    else:
        with suppress(Stopped):
            launch.resume(folder, trials=10**8, executor=Free(stops=True), write=lambda folder: None)
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    return seconds, busy, resident("VmHWM")


def resident(name: str) -> int:
    """Bytes of this process in memory, as Linux tells: "VmRSS" now, "VmHWM" at most so far."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.partition(f"{name}:")[2].split()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=100_000, help="rated ones; rejected ones come on top")
    parser.add_argument("--method", default="eeea")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="settings, as for a search")
    parser.add_argument("--run", type=Path, help="a run folder, kept: used as it is where it holds a study")
    parser.add_argument("--command", choices=COMMANDS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.command:
        print(json.dumps(measured(given.run, given.command)))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = given.run or Path(place) / "run"
        if not (folder / JOURNAL).exists():
            make(folder, given.trials, given.method, given.set)
        print(f"journal {(folder / JOURNAL).stat().st_size / 1e6:.1f} MB")
        print(f"{'command':<24}  {'seconds':>8}  {'CPU s':>6}  {'peak MiB':>8}  target (10 s, 1 GiB)")
        for command in COMMANDS:
            work = folder
            if command == "resume without snapshot":
                work = Path(place) / "bare"
                shutil.copytree(folder, work, ignore=shutil.ignore_patterns(snapshot.FILE))
            script = [sys.executable, __file__, "--run", str(work), "--command", command]
            done = subprocess.run(script, capture_output=True, text=True, check=True)
            seconds, busy, peak = json.loads(done.stdout.splitlines()[-1])
            met = "met" if seconds < SECONDS and peak < BYTES else "missed"
            said = met if command in TARGETED else "-"
            print(f"{command:<24}  {seconds:8.2f}  {busy:6.2f}  {peak / 2**20:8.0f}  {said}", flush=True)
    if (folder / "report.html").exists():
        print(f"report.html {(folder / 'report.html').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
