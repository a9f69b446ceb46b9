"""Faults of processes: what is done to a running search, and what must come of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from itertools import count

import psutil

import two_nodes
from frugalnas import store
from undisturbed import (
    Bench,
    Row,
    Search,
    end,
    gave_up,
    journal_in,
    lost,
    told,
    toy,
    traceback_in,
    training,
    workers_of,
)


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


def node_lost(bench: Bench, row: Row) -> None:
    """One of two Ray nodes is killed with its worker in the midst of a search, which goes on with the other."""
    if find_spec("ray") is None or sys.platform != "linux":
        row.note = "skipped: no Ray here"
        return
    search = toy(trials=200)
    whole = bench.twin(search)
    nodes = two_nodes.TwoNodes()
    try:
        while bench.going(row):
            if row.runs:
                nodes.begin()
            over = toy("--ray", nodes.address, trials=200)
            bench._twins[over] = whole
            folder, row.runs = bench.folder(), row.runs + 1
            process, said = bench.started(over, folder, nodes.environment)
            moment = bench.rng.randrange(8, 60)
            while len(told(journal_in(folder))) < moment and process.poll() is None:
                time.sleep(0.02)
            row.injected += process.poll() is None
            nodes.lose()
            process.wait()
            bench.checked(row, over, folder, said, process.returncode)
    finally:
        nodes.close()
