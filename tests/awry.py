"""What goes wrong in a worker. A module of its own, as workers import all that stands beside what they run."""

from __future__ import annotations

import os
import signal
import time

import numpy as np

from frugalnas.distribute import gpus, limits


def fill(gb: float) -> int:
    memory = bytearray(int(gb * 1e9))  # which keeps Python's lock while it fills it
    time.sleep(3 * limits.LOOK_EVERY_S)
    return len(memory)


def stop_once(note: str) -> str:
    """Stops its own process, as a debugger or a lost disk would, the first time that it is tried."""
    try:
        os.close(os.open(note, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return "tried again"
    os.kill(os.getpid(), signal.SIGSTOP)
    return "went on"


def deaf() -> None:
    """A computation that ends for no signal that can be ignored, in code that never returns to Python."""
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    sum(range(10**15))  # one C loop


def work_a_little(seconds: float) -> float:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        np.sqrt(np.arange(300_000.0)).sum()
        time.sleep(0.02)
    return seconds


def seen() -> tuple[int, str | None]:
    return os.getpid(), os.environ.get(gpus.VISIBLE)
