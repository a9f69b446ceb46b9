"""Where candidates are rated: in this process, or in a pool of processes. An executor only has `submit`."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TimedOut
from typing import Any, Protocol

from frugalnas.core import InputError


class Executor(Protocol):
    """Runs functions somewhere. `window` is how many unfinished ones keep it busy."""

    window: int

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]: ...

    def close(self) -> None:
        """Stop at once; what still runs is abandoned."""
        ...


class InProcess:
    """Runs each function in this process before `submit` returns. For tests, toy problems and debugging."""

    window = 1

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        pass


class WorkerDied(RuntimeError):
    """The process that rated a candidate ended before it had an answer, twice."""


class TimeLimit(RuntimeError):
    """A candidate took longer than the executor allows."""


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


class ProcessPool:
    """A pool of spawned processes, each with its own pinned number of threads.

    `workers` processes of `threads` intra-op threads each; these compete, so they should not multiply to more than the
    cores, and None makes as many workers as fit. `time_limit_s` ends a candidate that takes longer; its worker is
    replaced. A worker that dies is replaced too, and its candidate tried once more with the same seed. Workers end
    with their parent. Raises InputError for values out of range.
    """

    def __init__(self, workers: int | None = None, threads: int = 1, time_limit_s: float | None = None) -> None:
        for name, value in (("workers", workers), ("threads", threads)):
            if value is not None and value < 1:
                raise InputError(f"{name} = {value}: expected 1 or more")
        if workers is None:
            workers = max(1, cores() // threads)
        if time_limit_s is not None and not time_limit_s > 0:
            raise InputError(f"time_limit_s = {time_limit_s}: expected more than 0 seconds")
        from pebble import ProcessPool as Pool

        self.window = 2 * workers
        self.time_limit_s = time_limit_s
        self._pool = Pool(
            max_workers=workers,
            context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(threads,),
        )

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        self._schedule(future, function, arguments, attempts=2)
        return future

    def _schedule(
        self, future: Future[Any], function: Callable[..., Any], arguments: tuple[Any, ...], attempts: int
    ) -> None:
        from pebble import ProcessExpired

        def finished(attempt: Future[Any]) -> None:
            if attempt.cancelled():
                return
            error = attempt.exception()
            if error is None:
                future.set_result(attempt.result())
            elif isinstance(error, TimedOut):
                future.set_exception(TimeLimit(f"stopped after {self.time_limit_s:g} s"))
            elif not isinstance(error, ProcessExpired):
                future.set_exception(error)
            elif attempts > 1:
                self._schedule(future, function, arguments, attempts - 1)
            else:
                future.set_exception(WorkerDied(f"exit code {error.exitcode} (out of memory, if -9)"))

        self._pool.schedule(function, args=arguments, timeout=self.time_limit_s).add_done_callback(finished)

    def close(self) -> None:
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()


def _start_worker(threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides what ends
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)  # read when torch is imported, with the first candidate
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)
