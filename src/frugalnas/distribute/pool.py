"""A pool of processes on this machine."""

from __future__ import annotations

import multiprocessing
import multiprocessing.spawn
import os
import signal
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from frugalnas.core import InputError, MachineError
from frugalnas.distribute import limits
from frugalnas.distribute.executor import WorkerDied, cores, pin
from frugalnas.distribute.gpus import VISIBLE, chosen


@dataclass(eq=False)
class _Task:
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: Future[Any] = field(default_factory=Future)
    attempts: int = 2


class _Worker:
    """One process, in a pool of its own, so that one that dies takes nothing with it that others wait for."""

    def __init__(self, threads: int, gpu: str | None) -> None:
        from pebble import ProcessPool as Pool

        self.gpu = gpu
        self.process: SpawnProcess | None = None
        self.started = 0  # processes
        self.ending: Exception | None = None  # why it was killed
        self.attempt: Future[Any] | None = None  # the last one
        self.vigil: limits.Vigil | None = None
        context = SpawnContext()
        context.Process = self._process  # type: ignore[misc, assignment]
        self.pool: Any = Pool(max_workers=1, context=context, initializer=_start_worker, initargs=(threads, gpu))

    def _process(self, *arguments: Any, **settings: Any) -> SpawnProcess:
        self.process = SpawnProcess(*arguments, **settings)
        self.started += 1
        return self.process

    @property
    def died(self) -> bool:
        """Whether its process ended while it was idle. It may have held a lock that the next one would wait for."""
        return self.started > 1 or (self.process is not None and self.process.exitcode is not None)

    def end(self) -> None:
        self.pool.stop()
        self.pool.join()
        self.pool = self.process = None  # each knows the other: their open files would wait for the garbage collector

    def look(self, now: float) -> None:
        """Kill the process where the attempt under way goes beyond a limit."""
        if self.vigil is None or self.attempt is None or self.attempt.done() or self.process is None or self.ending:
            return
        self.ending = self.vigil.broken(now, self.attempt.running(), self.process.pid)
        if self.ending:
            self.process.kill()


class ProcessPool:
    """A pool of spawned processes, each with its own pinned number of threads, and its own GPU where there are any.

    `workers` processes of `threads` intra-op threads each; these compete, so they should not multiply to more than the
    cores, and None makes as many workers as fit, or one for each GPU. A candidate ends as failed, and is not tried
    again, where it takes longer than `time_limit_s` or its worker needs more than `memory_gb` (see `limits.Vigil`). A
    worker that dies, or uses no processor for `idle_limit_s` (a deadlock, a lost disk; None: wait on), gives its
    candidate one more try with the same seed. Workers that end, or are killed for this, are replaced.

    Several GPUs of one machine: `gpus` are their ids, as in CUDA_VISIBLE_DEVICES, by default all that are visible; ()
    leaves the workers the GPUs of this process. Worker i sees no other than the i-th (with more workers than GPUs
    counted round and round), so that device "auto" is its own. One that replaces it has the same.

    Workers end with their parent. Every future ends: those that `close` finds unfinished, or that come after it, with
    CancelledError. Raises InputError for values out of range.
    """

    def __init__(
        self,
        workers: int | None = None,
        threads: int = 1,
        time_limit_s: float | None = None,
        memory_gb: float | None = None,
        idle_limit_s: float | None = 600.0,
        gpus: tuple[int | str, ...] | None = None,
    ) -> None:
        for name, value in (("workers", workers), ("threads", threads)):
            if value is not None and value < 1:
                raise InputError(f"{name} = {value}: expected 1 or more")
        for name, limit in (("time_limit_s", time_limit_s), ("idle_limit_s", idle_limit_s)):
            if limit is not None and not limit > 0:
                raise InputError(f"{name} = {limit}: expected more than 0 seconds")
        limits.check_memory(memory_gb)
        own = chosen(gpus)
        if workers is None:
            workers = len(own) or max(1, cores() // threads)
        _refuse_unguarded_script()
        self.window = 2 * workers
        self.threads = threads
        self._limits = time_limit_s, memory_gb, idle_limit_s
        self._lock = threading.Lock()  # guards all that follows
        self._closed = threading.Event()
        self._watching: threading.Thread | None = None
        self._waiting: deque[_Task] = deque()
        self._unfinished: set[_Task] = set()
        self._idle = [_Worker(threads, own[i % len(own)] if own else None) for i in reversed(range(workers))]
        self._all = [*self._idle]
        self._burials: list[threading.Thread] = []

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        task = _Task(function, arguments)
        task.future.set_running_or_notify_cancel()
        with self._lock:
            if self._closed.is_set():
                task.future.set_exception(CancelledError("the pool is closed"))
                return task.future
            self._unfinished.add(task)
            self._waiting.append(task)
            if self._watching is None and any(self._limits):
                self._watching = threading.Thread(target=self._watch, name="limits of workers", daemon=True)
                self._watching.start()
        self._feed()
        return task.future

    def close(self) -> None:
        with self._lock:
            self._closed.set()  # from here on nobody else changes what is below
            abandoned, self._unfinished = self._unfinished, set()
        for worker in self._all:
            worker.pool.stop()
        for task in abandoned:
            task.future.set_exception(CancelledError("the pool was closed"))
        for worker in self._all:
            worker.pool.join()
        for burial in self._burials:
            burial.join()

    def _watch(self) -> None:
        awake = limits.Waking()
        while not self._closed.wait(limits.LOOK_EVERY_S):
            now = awake.look()
            with self._lock:
                for worker in self._all:
                    worker.look(now)

    def _feed(self) -> None:
        while True:
            with self._lock:
                if self._closed.is_set() or not self._idle or not self._waiting:
                    return
                worker, task = self._idle.pop(), self._waiting.popleft()
                if worker.died:
                    worker = self._replaced(worker)
            work = (self.threads, task.function, task.arguments)
            try:
                attempt = worker.pool.schedule(_pinned, args=work)
            except Exception as error:  # it died while it was idle, or no process or thread can be started
                if self._settled(worker, task, died=True, again=True, counts=worker.attempt is None):
                    task.future.set_exception(MachineError(f"no process can be started: {error.__cause__ or error}"))
                continue
            with self._lock:
                worker.attempt, worker.vigil = attempt, limits.Vigil(*self._limits)
            attempt.add_done_callback(partial(self._finished, worker, task))

    def _finished(self, worker: _Worker, task: _Task, attempt: Future[Any]) -> None:
        from pebble import ProcessExpired

        error = attempt.exception()
        died, again = isinstance(error, ProcessExpired | BrokenProcessPool), False
        if died:
            code = getattr(error, "exitcode", "unknown")
            error = worker.ending or WorkerDied(f"exit code {code} (out of memory, if -9)")
            again = isinstance(error, WorkerDied)  # another's fault perhaps, and gone next time
        if self._settled(worker, task, died, again):
            if error is None:
                task.future.set_result(attempt.result())
            else:
                task.future.set_exception(error)
        self._feed()

    def _settled(self, worker: _Worker, task: _Task, died: bool, again: bool, counts: bool = True) -> bool:
        """Free the worker, or replace it where it died; whether the task ends here.

        It does not where it may be tried `again`, once, and where that is not its own second try (`counts`).
        """
        with self._lock:
            if self._closed.is_set():
                return False
            worker.vigil = worker.ending = None
            self._idle.append(self._replaced(worker) if died else worker)
            task.attempts -= again and counts
            if again and task.attempts > 0:
                self._waiting.appendleft(task)
                return False
            self._unfinished.remove(task)
            return True

    def _replaced(self, worker: _Worker) -> _Worker:
        """A new worker in place of one that died, whose files and threads are let go of beside: it may be in one."""
        burial = threading.Thread(target=worker.end, name="end of a worker", daemon=True)
        burial.start()
        self._burials = [each for each in self._burials if each.is_alive()] + [burial]
        self._all[self._all.index(worker)] = new = _Worker(self.threads, worker.gpu)
        return new


def _refuse_unguarded_script() -> None:
    """A worker imports the script that started it; one that starts a search on import would do so without end."""
    try:
        multiprocessing.spawn.get_preparation_data("worker")
    except RuntimeError:
        raise InputError(
            "a search was started while a worker imported the script: put it under if __name__ == '__main__':"
        ) from None


def _pinned(threads: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Call `function` with torch held to `threads`, also where the script imported it, or a trial changed them."""
    pin(threads)
    return function(*arguments)


def _start_worker(threads: int, gpu: str | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides what ends
    pin(threads)
    if gpu is not None:
        os.environ[VISIBLE] = gpu  # which torch reads once it is first asked for a GPU
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)
