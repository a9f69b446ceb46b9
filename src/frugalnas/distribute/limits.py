"""What holds a worker to its memory. The measure is resident memory, as the kernel counts it, in GB of 1e9 bytes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from frugalnas.core import InputError

OUT_OF_MEMORY = 86  # the exit code of a worker that went beyond its memory: none of Python's, and no signal's
LOOK_EVERY_S = 0.1


class MemoryLimit(RuntimeError):
    """A candidate needed more memory than the executor allows."""


def exceeded(memory_gb: float) -> MemoryLimit:
    """The error of a trial that went beyond `memory_gb`."""
    return MemoryLimit(f"needed more than {memory_gb:g} GB")


def check_memory(memory_gb: float | None) -> None:
    """Raise InputError for a limit that no worker can be held to."""
    if memory_gb is not None and not memory_gb > 0:
        raise InputError(f"memory_gb = {memory_gb}: expected more than 0 GB, or none for no limit")


def end_worker() -> None:
    """End this process at once, with the exit code that says why."""
    os._exit(OUT_OF_MEMORY)


@contextmanager
def held_to(memory_gb: float | None, over: Callable[[], None] = end_worker) -> Iterator[None]:
    """Within, call `over` once this process has more than `memory_gb` of resident memory; None is no limit.

    All that the process holds counts, also what it held before: Python and torch alone take 0.3 to 0.5 GB. Its own
    processes do not. A thread looks ten times a second, so that a peak shorter than that may pass, and so does code
    that keeps Python's lock all the while.
    """
    if memory_gb is None:
        yield
        return
    import psutil

    ended, process, most = threading.Event(), psutil.Process(), memory_gb * 1e9

    def watch() -> None:
        while not ended.wait(LOOK_EVERY_S):
            if process.memory_info().rss > most:
                over()
                return

    thread = threading.Thread(target=watch, name="memory limit", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
