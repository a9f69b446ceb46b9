"""What rates candidates somewhere, as the loop sees it, and the executor that does it here and now."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, runtime_checkable


class Executor(Protocol):
    """Runs functions somewhere. `window` is how many unfinished ones keep it busy."""

    window: int

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """What the function gives or raises. An InputError means that nothing can be run here any more."""
        ...

    def close(self) -> None:
        """Stop at once; what still runs is abandoned."""
        ...


@runtime_checkable
class Distant(Protocol):
    """What an executor has besides if its workers may be where the files of this process are not."""

    def prepare(self, function: Callable[..., Any], /, *arguments: Any) -> None:
        """Have every worker call `function` before its first candidate; to be said before the first `submit`."""
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


def pin(threads: int) -> None:
    """Hold this process to so many intra-op threads, also where torch is imported already, or will be."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
