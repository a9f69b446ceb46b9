"""The one door to Ray: joining a cluster or starting one, what it holds, and what its errors mean."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from frugalnas.core import InputError
from frugalnas.distribute import limits
from frugalnas.distribute.executor import WorkerDied, cores

ANSWER_S = 10.0  # how long a cluster may take to accept a connection
# Ray prints what happens to its processes on the driver's stdout, where it would be in the midst of JSON; and sends
# statistics to its makers. Whoever wants either sets the variable.
_QUIET = {"RAY_DEDUP_LOGS_SKIP_REGEX": ".*", "RAY_USAGE_STATS_ENABLED": "0"}
_STARTED = {"RAY_worker_niceness": "0"}  # as this process; Ray's 15 starves on a machine that others use too
_JOINED = {"RAY_NUM_REDIS_GET_RETRIES": "1"}  # each takes 40 s where something else answers


@dataclass(frozen=True)
class Share:
    """What one worker reserves of its node: cores, GPUs, and GB (1e9 bytes) of memory."""

    cpus: float
    gpus: float
    memory_gb: float | None

    @property
    def resources(self) -> dict[str, float]:
        """By the names that Ray has for them, memory in bytes; without what is not reserved."""
        needs = {"CPU": self.cpus, "GPU": self.gpus, "memory": int((self.memory_gb or 0) * 1e9)}
        return {name: amount for name, amount in needs.items() if amount}

    def __str__(self) -> str:
        return _words(self.resources)


def join(address: str | None, share: Share, workers: int | None) -> bool:
    """Connect this process to a Ray unless it is; whether that was done here, so that `leave` has to undo it.

    Raises InputError where there is no Ray, or none that answers, and where no node of it holds even one worker.
    """
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    for name, value in {**_QUIET, **(_STARTED if address == "local" else _JOINED)}.items():
        os.environ.setdefault(name, value)  # Ray reads some when it is imported
    try:
        import ray
    except ImportError:
        raise InputError("the executor 'ray' needs Ray: pip install 'frugalnas[ray]'") from None
    if ray.is_initialized():
        _check_room(share)
        return False
    given: dict[str, Any] = {"address": address}
    if address == "local":
        given |= {"include_dashboard": False, "num_cpus": cores() if workers is None else _whole(workers * share.cpus)}
    elif address != "auto":
        _check_reachable(address)
    try:
        ray.init(**given, log_to_driver=False, logging_level=logging.ERROR)
    except (RuntimeError, ValueError, OSError) as error:
        hint = (
            "ray start --head begins one" if address == "auto" else "has it the same versions, or RAY_AUTH_MODE=token?"
        )
        raise InputError(f"cannot join the Ray cluster {address!r}: {line(error)} ({hint})") from None
    try:
        _check_room(share)
    except InputError:
        leave()
        raise
    return True


def leave() -> None:
    import ray

    ray.shutdown()


def _whole(cpus: float) -> int:
    return max(1, int(-(-cpus // 1)))


def _check_reachable(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in address:
        raise InputError(f"address = {address!r}: expected local, auto or HOST:PORT")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"no Ray cluster answers at {address}: {error}") from None


def room(share: Share) -> int:
    """How many workers the nodes that are there hold, beside nobody else."""
    return sum(_fit(node, share) for node in _nodes())


def _check_room(share: Share) -> None:
    nodes = _nodes()
    if any(_fit(node, share) for node in nodes):
        return
    most = {name: max((node.get(name, 0.0) for node in nodes), default=0.0) for name in share.resources}
    raise InputError(f"no node of the Ray cluster has {share} for a worker; the most on a node: {_words(most)}")


def _nodes() -> list[Mapping[str, float]]:
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node["Resources"] for node in nodes if node["Alive"]]


def _fit(node: Mapping[str, float], share: Share) -> int:
    return min((int(node.get(name, 0.0) / amount + 1e-9) for name, amount in share.resources.items()), default=1)


def _words(resources: Mapping[str, float]) -> str:
    def one(name: str, amount: float) -> str:
        return f"{amount / 1e9:.3g} GB of memory" if name == "memory" else f"{amount:g} {name}s"

    return ", ".join(one(*item) for item in resources.items())


def actor(kind: Any, share: Share, *arguments: Any) -> Any:
    """A new actor on its share of some node. It may wait for room there."""
    import ray

    options: dict[str, Any] = {"num_cpus": share.cpus, "num_gpus": share.gpus, "memory": share.resources.get("memory")}
    return ray.remote(kind).options(**options).remote(*arguments)


def put(value: Any) -> Any:
    """A reference to `value`, which every node then fetches once."""
    import ray

    return ray.put(value)


def kill(actor: Any) -> None:
    import ray

    ray.kill(actor)


def own_error(error: BaseException | None) -> BaseException | None:
    """What the function itself raised; None where it is its process or its node that failed."""
    from ray.exceptions import RayError, RayTaskError

    cause = error.cause if isinstance(error, RayTaskError) else None
    if isinstance(cause, RayError):  # what it was called with cannot be read over there
        return RuntimeError(next(iter(str(cause).splitlines()), ""))
    return cause


def is_own_failure(error: BaseException | None) -> bool:
    """Whether a worker was not ready because of an exception in it, which the next one would have too."""
    from ray.exceptions import RayActorError

    return isinstance(error, RayActorError) and error.actor_init_failed


def reason_of_death(error: BaseException | None) -> Exception:
    """What a trial is told whose processes died."""
    from ray.exceptions import OutOfMemoryError

    if isinstance(error, OutOfMemoryError):
        return limits.MemoryLimit(f"ended by Ray, as its node was short of memory: {line(error)}")
    return WorkerDied(line(error))


def line(error: BaseException | None) -> str:
    """What an error of Ray says, in one line: of several the last, which has the cause, without general advice."""
    said = [each.strip() for each in str(error).splitlines() if each.strip()]
    if not said:
        return type(error).__name__
    last = said[-1].partition("Worker exit detail: ")[2] or said[-1]
    return last.partition(" Some common causes include")[0][:300]
