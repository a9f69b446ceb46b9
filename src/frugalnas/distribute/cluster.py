"""Workers on a Ray cluster, or on a Ray of this process's own.

Each worker is an actor that keeps its share of the resources, its images and its imports until the search ends, so that
who rates what, since when, is known here: a worker that takes too long can be ended, whatever it hangs in.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from frugalnas.core import InputError, Problem
from frugalnas.distribute import limits, session
from frugalnas.distribute.executor import TimeLimit
from frugalnas.distribute.rater import Beyond, Rater
from frugalnas.distribute.session import Share

LOOK_EVERY_S = 2.0  # for nodes that joined or left
MOST_FAILED_STARTS = 5  # in a row, of processes that ended, while no worker is there
RESTART_S = 1.0  # to the next try
_KEPT = 4  # problems that have been shipped and may come again


@dataclass(eq=False)
class _Task:
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    attempts: int
    future: Future[Any] = field(default_factory=Future)


@dataclass(eq=False)
class _Worker:
    actor: Any
    ready: bool = False
    task: _Task | None = None
    deadline: float = math.inf  # time.monotonic


class RayCluster:
    """Workers that are actors of Ray, each on a share of some node.

    `address`: "local" starts a Ray of this process's own, "auto" joins the cluster that this machine belongs to,
    "host:port" that one; None takes RAY_ADDRESS, or else "local". In a process that is connected to a Ray that one is
    used, and left running. `workers`: None makes as many as the nodes hold, and follows nodes that join or leave.
    Each reserves `cpus` (None: `threads`), `gpus`, which may be a fraction, and `memory_gb`.

    `threads`, `time_limit_s` and `memory_gb` as in `ProcessPool`. A trial whose worker or node died is rated again, by
    the same call and so with the same seed, `retries` times. `window` is twice the workers: no more are unfinished,
    and no more than one for each worker with Ray. Every future ends: those that `close` finds unfinished, or that come
    after it, with CancelledError. Raises InputError for values out of range, for a cluster that does not answer, and
    for one of which no node can hold a worker.
    """

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        threads: int = 1,
        cpus: float | None = None,
        gpus: float = 0.0,
        memory_gb: float | None = None,
        time_limit_s: float | None = None,
        retries: int = 1,
    ) -> None:
        _check(workers, threads, cpus, gpus, time_limit_s, retries)
        limits.check_memory(memory_gb)
        self.workers, self.threads, self.time_limit_s, self.memory_gb = workers, threads, time_limit_s, memory_gb
        self.retries = retries
        self._share = Share(threads if cpus is None else cpus, gpus, memory_gb)
        self._ours = session.join(address, self._share, workers)
        self._room = workers or session.room(self._share)
        self._events: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._lock = threading.Lock()  # guards the next two
        self._over: Exception | None = None  # what ends every future from then on
        self._unfinished: set[_Task] = set()
        # All that follows belongs to the thread, which alone talks to Ray.
        self._waiting: deque[_Task] = deque()
        self._hired: list[_Worker] = []
        self._failed_starts, self._not_before = 0, 0.0
        self._shipped: deque[tuple[object, Any]] = deque(maxlen=_KEPT)
        self._preparations: list[tuple[Callable[..., Any], list[Any]]] = []
        self._looked = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="ray executor", daemon=True)
        self._thread.start()

    @property
    def window(self) -> int:
        return 2 * self._room

    def prepare(self, function: Callable[..., Any], /, *arguments: Any) -> None:
        """Have every worker call `function` before its first trial. Its arguments are shipped once to each node."""
        self._events.put(lambda: self._preparations.append((function, [session.put(each) for each in arguments])))

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        task = _Task(function, arguments, 1 + self.retries)
        task.future.set_running_or_notify_cancel()
        with self._lock:
            if self._over is not None:
                task.future.set_exception(self._over)
                return task.future
            self._unfinished.add(task)
        self._events.put(partial(self._waiting.append, task))
        return task.future

    def close(self) -> None:
        self._end_all(CancelledError("the executor was closed"))
        self._events.put(None)
        self._thread.join()
        if self._ours:
            session.leave()

    def _run(self) -> None:
        try:
            while (event := self._next()) is not None:
                event()
                self._end_overdue()
                self._hire()
                self._feed()
            for worker in [*self._hired]:
                self._dismiss(worker)
        except Exception as error:
            self._end_all(InputError(f"the Ray cluster is gone: {session.line(error)}"))

    def _next(self) -> Callable[[], object] | None:
        try:
            return self._events.get(timeout=self._patience())
        except Empty:
            return lambda: None

    def _end_all(self, error: Exception) -> None:
        with self._lock:
            self._over = self._over or error
            abandoned, self._unfinished = self._unfinished, set()
        for task in abandoned:
            task.future.set_exception(error)

    def _patience(self) -> float:
        """Seconds until there is something to do if nothing happens."""
        earliest = min((worker.deadline for worker in self._hired), default=math.inf)
        return max(0.0, min(LOOK_EVERY_S, earliest - time.monotonic()))

    def _end_overdue(self) -> None:
        now = time.monotonic()
        for worker in [worker for worker in self._hired if worker.deadline <= now]:
            if task := self._dismiss(worker):
                self._fail(task, TimeLimit(f"stopped after {self.time_limit_s:g} s"))

    def _hire(self) -> None:
        """As many workers as there should be; where nodes left, none that wait for room on them."""
        now = time.monotonic()
        if now < self._not_before or not (self._waiting or self._hired):
            return  # the first trial starts the first workers, which then have all preparations
        if self.workers is None and now - self._looked >= LOOK_EVERY_S:
            self._room, self._looked = max(1, session.room(self._share)), now
        surplus = max(0, len(self._hired) - self._room)
        for worker in [worker for worker in self._hired if not worker.ready][:surplus]:
            self._dismiss(worker)
        while len(self._hired) < self._room:
            actor = session.actor(Rater, self._share, self.threads, self.memory_gb, self._preparations)
            self._hired.append(worker := _Worker(actor))
            self._then(actor.ready.remote(), partial(self._started, worker))

    def _started(self, worker: _Worker, answer: Future[Any]) -> None:
        if worker not in self._hired:
            return
        error = answer.exception()
        if error is None:
            worker.ready, self._failed_starts = True, 0
            return
        self._dismiss(worker)
        self._failed_starts, self._not_before = self._failed_starts + 1, time.monotonic() + RESTART_S
        hopeless = session.is_own_failure(error) or self._failed_starts >= MOST_FAILED_STARTS
        if hopeless and not any(each.ready for each in self._hired):
            self._end_all(InputError(f"no worker can be started on the Ray cluster: {session.line(error)}"))

    def _feed(self) -> None:
        idle = [worker for worker in self._hired if worker.ready and worker.task is None]
        for worker in idle[: len(self._waiting)]:
            worker.task = task = self._waiting.popleft()
            if self.time_limit_s is not None:
                worker.deadline = time.monotonic() + self.time_limit_s
            answer = worker.actor.rate.remote(task.function, [self.sent(each) for each in task.arguments])
            self._then(answer, partial(self._answered, worker, task))

    def sent(self, argument: Any) -> Any:
        """What is sent for an argument: of a problem, which every trial has, a reference to what is shipped once."""
        if not isinstance(argument, Problem):
            return argument
        known = next((reference for one, reference in self._shipped if one is argument), None)
        if known is None:
            known = session.put(argument)
            self._shipped.append((argument, known))
        return known

    def _then(self, reference: Any, told: Callable[[Future[Any]], None]) -> None:
        """Call `told` in the thread of this executor with what has become of `reference`."""
        reference.future().add_done_callback(lambda answer: self._events.put(partial(told, answer)))

    def _answered(self, worker: _Worker, task: _Task, answer: Future[Any]) -> None:
        if worker.task is not task:  # it was ended meanwhile
            return
        error = answer.exception()
        own = session.own_error(error)
        if error is None and not isinstance(answer.result(), Beyond):
            self._free(worker)
            if self._ends(task):
                task.future.set_result(answer.result())
        elif own is not None:
            self._free(worker)
            self._fail(task, own)
        else:
            self._dismiss(worker)
            task.attempts -= 1
            if error is None:
                self._fail(task, limits.exceeded(self.memory_gb or 0.0))
            elif task.attempts > 0:
                self._waiting.appendleft(task)
            else:
                self._fail(task, session.reason_of_death(error))

    def _free(self, worker: _Worker) -> None:
        worker.task, worker.deadline = None, math.inf

    def _dismiss(self, worker: _Worker) -> _Task | None:
        """End a worker, and return what it was at."""
        task, worker.task = worker.task, None
        self._hired.remove(worker)
        session.kill(worker.actor)
        return task

    def _fail(self, task: _Task, error: BaseException) -> None:
        if self._ends(task):
            task.future.set_exception(error)

    def _ends(self, task: _Task) -> bool:
        """Whether a future is still to be ended, by the caller then."""
        with self._lock:
            known = task in self._unfinished
            self._unfinished.discard(task)
        return known


def _check(
    workers: int | None, threads: int, cpus: float | None, gpus: float, time_limit_s: float | None, retries: int
) -> None:
    for name, value in (("workers", workers), ("threads", threads)):
        if value is not None and value < 1:
            raise InputError(f"{name} = {value}: expected 1 or more")
    if cpus is not None and not 0 < cpus < math.inf:
        raise InputError(f"cpus = {cpus}: expected more than 0 cores")
    if not 0 <= gpus < math.inf or (gpus > 1 and gpus % 1):
        raise InputError(f"gpus = {gpus}: expected a share up to 1, or a whole number")
    if time_limit_s is not None and not time_limit_s > 0:
        raise InputError(f"time_limit_s = {time_limit_s}: expected more than 0 seconds")
    if retries < 0:
        raise InputError(f"retries = {retries}: expected 0 or more")
