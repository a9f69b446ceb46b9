"""A worker of a Ray cluster, as it is over there."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from frugalnas.distribute import limits
from frugalnas.distribute.executor import pin

_KEPT = 4  # arguments that were shipped once, and may come again
Preparations = Sequence[tuple[Callable[..., Any], Sequence[Any]]]


class Beyond:
    """The answer of a worker that went beyond its memory and has to be ended: what it was at still runs in it."""


class Rater:
    """Rates one candidate after the other. What comes as a reference is fetched once, and once only on each node."""

    def __init__(self, threads: int, memory_gb: float | None, preparations: Preparations) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what ends
        pin(threads)
        self._threads, self._memory_gb = threads, memory_gb
        self._fetched: dict[Any, Any] = {}
        for function, arguments in preparations:
            function(*map(_got, arguments))

    def ready(self) -> None:
        """Answers once the worker is there."""

    def rate(self, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        """What `function` gives, or `Beyond`."""
        given = [self._known(each) for each in arguments]
        pin(self._threads)
        if self._memory_gb is None:
            return function(*given)
        return _watched(self._memory_gb, function, given)

    def _known(self, argument: Any) -> Any:
        from ray import ObjectRef

        if not isinstance(argument, ObjectRef):
            return argument
        if argument not in self._fetched:
            if len(self._fetched) >= _KEPT:
                self._fetched.clear()
            self._fetched[argument] = _got(argument)
        return self._fetched[argument]


def _got(reference: Any) -> Any:
    import ray

    return ray.get(reference)


def _watched(memory_gb: float, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    """Call `function` in a thread of its own, so that this one can answer when it goes beyond its memory."""
    answer: Future[Any] = Future()

    def over() -> None:
        _settle(answer, Beyond())

    def work() -> None:
        try:
            _settle(answer, function(*arguments))
        except BaseException as error:
            _settle(answer, error, failed=True)

    with limits.held_to(memory_gb, over):
        threading.Thread(target=work, daemon=True).start()
        return answer.result()


def _settle(answer: Future[Any], outcome: Any, failed: bool = False) -> None:
    from concurrent.futures import InvalidStateError

    try:
        if failed:
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
    except InvalidStateError:
        pass  # the other one was first
