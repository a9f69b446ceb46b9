"""Where candidates are rated: in this process, or in a pool of processes. An executor only has `submit`."""

from __future__ import annotations

import multiprocessing
import multiprocessing.spawn
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TimedOut
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
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


@dataclass(eq=False)
class _Task:
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: Future[Any] = field(default_factory=Future)
    attempts: int = 2


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
        _refuse_unguarded_script()
        self.window = 2 * workers
        self.threads, self.time_limit_s = threads, time_limit_s
        self._waiting: deque[_Task] = deque()
        self._lock = threading.Lock()
        self._closed = False
        # A pool of one for every worker, so that a worker that dies takes nothing with it that others wait for.
        self._idle = [self._worker() for _ in range(workers)]
        self._all = {*self._idle}

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        task = _Task(function, arguments)
        task.future.set_running_or_notify_cancel()
        with self._lock:
            self._waiting.append(task)
        self._feed()
        return task.future

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._waiting.clear()
        for worker in self._all:
            worker.stop()
        for worker in self._all:
            worker.join()

    def _worker(self) -> Any:
        from pebble import ProcessPool as Pool

        context = multiprocessing.get_context("spawn")
        return Pool(max_workers=1, context=context, initializer=_start_worker, initargs=(self.threads,))

    def _feed(self) -> None:
        while True:
            with self._lock:
                if self._closed or not self._idle or not self._waiting:
                    return
                worker, task = self._idle.pop(), self._waiting.popleft()
            try:
                attempt = worker.schedule(task.function, args=task.arguments, timeout=self.time_limit_s)
            except RuntimeError:  # it died while it was idle
                with self._lock:
                    self._idle.append(self._replaced(worker))
                    self._waiting.appendleft(task)
                continue
            attempt.add_done_callback(partial(self._finished, worker, task))

    def _finished(self, worker: Any, task: _Task, attempt: Future[Any]) -> None:
        from pebble import ProcessExpired

        error = attempt.exception()
        died = isinstance(error, ProcessExpired | BrokenProcessPool)
        with self._lock:
            if self._closed:
                return
            self._idle.append(self._replaced(worker) if isinstance(error, BrokenProcessPool) else worker)
            task.attempts -= 1
            again = died and task.attempts > 0
            if again:
                self._waiting.appendleft(task)
        if error is None:
            task.future.set_result(attempt.result())
        elif isinstance(error, TimedOut):
            task.future.set_exception(TimeLimit(f"stopped after {self.time_limit_s:g} s"))
        elif not died:
            task.future.set_exception(error)
        elif not again:
            code = error.exitcode if isinstance(error, ProcessExpired) else "unknown"
            task.future.set_exception(WorkerDied(f"exit code {code} (out of memory, if -9)"))
        self._feed()

    def _replaced(self, worker: Any) -> Any:
        """A new worker in the place of one whose pool broke; to be called under the lock."""
        worker.stop()
        self._all.remove(worker)
        fresh = self._worker()
        self._all.add(fresh)
        return fresh


def _refuse_unguarded_script() -> None:
    """A worker imports the script that started it; one that starts a search on import would do so without end."""
    try:
        multiprocessing.spawn.get_preparation_data("worker")
    except RuntimeError:
        raise InputError(
            "a search was started while a worker imported the script: put it under if __name__ == '__main__':"
        ) from None


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
