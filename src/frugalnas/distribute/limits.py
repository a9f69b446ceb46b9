"""What a worker is held to: its memory, the time for one candidate, and to do anything at all.

Memory is resident memory, as the kernel counts it, in GB of 1e9 bytes. Time is that of clocks that nobody sets.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from frugalnas.core import InputError
from frugalnas.distribute.executor import TimeLimit, WorkerDied

LOOK_EVERY_S = 0.1
_ASLEEP_S = 1.0  # a longer time between two looks passed without this process: stopped by Ctrl-Z, or the machine slept
_BUSY = 1 / 200  # the share of a processor below which a worker does nothing


class MemoryLimit(RuntimeError):
    """A candidate needed more memory than the executor allows."""


def exceeded(memory_gb: float) -> MemoryLimit:
    """The error of a trial that went beyond `memory_gb`."""
    return MemoryLimit(f"needed more than {memory_gb:g} GB")


def check_memory(memory_gb: float | None) -> None:
    """Raise InputError for a limit that no worker can be held to."""
    if memory_gb is not None and not memory_gb > 0:
        raise InputError(f"memory_gb = {memory_gb}: expected more than 0 GB, or none for no limit")


@contextmanager
def held_to(memory_gb: float, over: Callable[[], None]) -> Iterator[None]:
    """Within, call `over` once this process has more than `memory_gb`, from a thread that looks ten times a second.

    For where no driver can look (see `Vigil`); it sees nothing while other code keeps Python's lock.
    """
    ended, pid = threading.Event(), os.getpid()

    def watch() -> None:
        while not ended.wait(LOOK_EVERY_S):
            if _resident(pid) > memory_gb * 1e9:
                over()
                return

    thread = threading.Thread(target=watch, name="memory limit", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@dataclass
class Waking:
    """The seconds that this process was awake, as long as it looks again and again."""

    seconds: float = 0.0
    _before: float = field(default_factory=time.monotonic)

    def look(self) -> float:
        now = time.monotonic()
        self.seconds += min(now - self._before, _ASLEEP_S)
        self._before = now
        return self.seconds


@dataclass
class Vigil:
    """Watches one attempt at a candidate from the driver, so that nothing the worker does can stop it.

    `time_limit_s` counts from when the worker has begun. `memory_gb` is what its process may hold while it rates: all
    that is resident counts, also what it held before (Python and torch alone are about 0.5 GB), its own processes do
    not, and a peak between two looks may pass. `idle_limit_s` is how long the worker, with the processes that it
    started, may use no processor, also before it has begun.
    """

    time_limit_s: float | None = None
    memory_gb: float | None = None
    idle_limit_s: float | None = None
    _begun: float | None = None
    _busy: tuple[float, float] | None = None  # when it was last seen to have done something, and its seconds of work
    _next: float = 0.0

    def broken(self, now: float, begun: bool, pid: int | None) -> TimeLimit | MemoryLimit | WorkerDied | None:
        """The limit for which the worker must end at `now` (of `Waking`), or None."""
        if begun and self._begun is None:
            self._begun = now
        if self.time_limit_s is not None and self._begun is not None and now - self._begun > self.time_limit_s:
            return TimeLimit(f"stopped after {self.time_limit_s:g} s")
        if pid is None:
            return None
        if self.memory_gb is not None and begun and _resident(pid) > self.memory_gb * 1e9:
            return exceeded(self.memory_gb)
        if self.idle_limit_s is not None and now >= self._next:
            self._next = now + self.idle_limit_s / 20
            worked = _seconds_of_work(pid)
            if self._busy is None or worked < self._busy[1] or worked - self._busy[1] > _BUSY * self.idle_limit_s:
                self._busy = now, worked
            if now - self._busy[0] > self.idle_limit_s:
                return WorkerDied(f"used no processor for {self.idle_limit_s:g} s")
        return None


def _resident(pid: int) -> int:
    """Bytes of a process; 0 where it has ended."""
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _seconds_of_work(pid: int) -> float:
    """Of a process and all that it started; 0 where it has ended."""
    import psutil

    total = 0.0
    try:
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            total += sum(each.cpu_times()[:4])  # user, system, and both of its children that have ended
    except psutil.Error:
        pass
    return total
