"""A pool of processes on this machine."""

from __future__ import annotations

import multiprocessing
import multiprocessing.spawn
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as TimedOut
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from frugalnas.core import InputError
from frugalnas.distribute import limits
from frugalnas.distribute.executor import TimeLimit, WorkerDied, cores


@dataclass(eq=False)
class _Task:
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: Future[Any] = field(default_factory=Future)
    attempts: int = 2


class ProcessPool:
    """A pool of spawned processes, each with its own pinned number of threads.

    `workers` processes of `threads` intra-op threads each; these compete, so they should not multiply to more than the
    cores, and None makes as many workers as fit. `time_limit_s` ends a candidate that takes longer, `memory_gb` one
    whose worker needs more (see `limits.held_to`): neither is tried again. A worker that dies otherwise gives its
    candidate one more try with the same seed. All that end are replaced. Workers end with their parent. Every future
    ends: those that `close` finds unfinished, or that come after it, with CancelledError. Raises InputError for values
    out of range.
    """

    def __init__(
        self,
        workers: int | None = None,
        threads: int = 1,
        time_limit_s: float | None = None,
        memory_gb: float | None = None,
    ) -> None:
        for name, value in (("workers", workers), ("threads", threads)):
            if value is not None and value < 1:
                raise InputError(f"{name} = {value}: expected 1 or more")
        if workers is None:
            workers = max(1, cores() // threads)
        if time_limit_s is not None and not time_limit_s > 0:
            raise InputError(f"time_limit_s = {time_limit_s}: expected more than 0 seconds")
        limits.check_memory(memory_gb)
        _refuse_unguarded_script()
        self.window = 2 * workers
        self.threads, self.time_limit_s, self.memory_gb = threads, time_limit_s, memory_gb
        self._lock = threading.Lock()  # guards all that follows
        self._closed = False
        self._waiting: deque[_Task] = deque()
        self._unfinished: set[_Task] = set()
        # A pool of one for every worker, so that a worker that dies takes nothing with it that others wait for.
        self._idle = [self._worker() for _ in range(workers)]
        self._all = [*self._idle]

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        task = _Task(function, arguments)
        task.future.set_running_or_notify_cancel()
        with self._lock:
            if self._closed:
                task.future.set_exception(CancelledError("the pool is closed"))
                return task.future
            self._unfinished.add(task)
            self._waiting.append(task)
        self._feed()
        return task.future

    def close(self) -> None:
        with self._lock:
            self._closed = True  # from here on nobody else changes what is below
            abandoned, self._unfinished = self._unfinished, set()
        for worker in self._all:
            worker.stop()
        for task in abandoned:
            task.future.set_exception(CancelledError("the pool was closed"))
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
            work = (self.threads, self.memory_gb, task.function, task.arguments)
            try:
                attempt = worker.schedule(_pinned, args=work, timeout=self.time_limit_s)
            except Exception as error:  # it died while it was idle, or no process or thread can be started
                if self._settled(worker, task, broken=True, died=True):
                    task.future.set_exception(WorkerDied(f"no process can be started: {error.__cause__ or error}"))
                continue
            attempt.add_done_callback(partial(self._finished, worker, task))

    def _finished(self, worker: Any, task: _Task, attempt: Future[Any]) -> None:
        from pebble import ProcessExpired

        error = attempt.exception()
        broken, died = isinstance(error, BrokenProcessPool), isinstance(error, ProcessExpired | BrokenProcessPool)
        code = error.exitcode if isinstance(error, ProcessExpired) else "unknown"
        beyond = self.memory_gb if code == limits.OUT_OF_MEMORY else None  # another try would be, too
        if self._settled(worker, task, broken, died and beyond is None):
            if error is None:
                task.future.set_result(attempt.result())
            elif beyond is not None:
                task.future.set_exception(limits.exceeded(beyond))
            elif died:
                task.future.set_exception(WorkerDied(f"exit code {code} (out of memory, if -9)"))
            elif isinstance(error, TimedOut) and error.__cause__ is None:  # the function's own has a remote traceback
                task.future.set_exception(TimeLimit(f"stopped after {self.time_limit_s:g} s"))
            else:
                task.future.set_exception(error)
        self._feed()

    def _settled(self, worker: Any, task: _Task, broken: bool, died: bool) -> bool:
        """Free the worker, or replace it where its pool broke; whether the task ends here: it may get another try."""
        with self._lock:
            if self._closed:
                return False
            if broken:
                worker.stop()
                worker = self._worker()
                self._all.append(worker)  # the broken one stays, to be joined when all are closed
            self._idle.append(worker)
            task.attempts -= died
            if died and task.attempts > 0:
                self._waiting.appendleft(task)
                return False
            self._unfinished.remove(task)
            return True


def _refuse_unguarded_script() -> None:
    """A worker imports the script that started it; one that starts a search on import would do so without end."""
    try:
        multiprocessing.spawn.get_preparation_data("worker")
    except RuntimeError:
        raise InputError(
            "a search was started while a worker imported the script: put it under if __name__ == '__main__':"
        ) from None


def _pinned(threads: int, memory_gb: float | None, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Call `function` with torch held to `threads`, also where it was imported before the environment said so."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    with limits.held_to(memory_gb):
        return function(*arguments)


def _start_worker(threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides what ends
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)  # read where torch is imported after this
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)
