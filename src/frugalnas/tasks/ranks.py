"""A training in several processes, each with its part of every batch, as torchrun starts them; by default in one.

Every process draws the same order and the same augmentation, as all that is random follows from the seed, and takes its
part: together they train on the batch that one process would. What one process alone can know, such as how much time is
left, the first one (rank 0) tells the others.
"""

from __future__ import annotations

import atexit
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from frugalnas.core import InputError
from frugalnas.layers.joint_norm import synchronised

PATIENCE = timedelta(days=1)  # with the first process, which scores while the others wait; a death is seen at once
T = TypeVar("T")


class Elsewhere(InputError):
    """What another process raised as an InputError, and says to the user."""


class Lost(RuntimeError):
    """Another process of the training has ended before its time."""


@dataclass(frozen=True)
class Ranks:
    """Which of `count` processes this is, from 0; `local`: which on its machine. `stop` is set to end all of them."""

    rank: int = 0
    count: int = 1
    local: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    parent: int = field(default_factory=os.getppid)

    @property
    def first(self) -> bool:
        """Whether this is the one process that writes files and speaks."""
        return self.rank == 0

    def part(self, places: Tensor) -> tuple[Tensor, int, int]:
        """This process's part of the places in a batch (N,), and how many there are before and after it."""
        parts = places.tensor_split(self.count)
        before = sum(map(len, parts[: self.rank]))
        return parts[self.rank], before, len(places) - before - len(parts[self.rank])

    def device(self, device: torch.device) -> torch.device:
        """The device of this process: its own GPU where `device` is one. Raises InputError where it has none."""
        if self.count == 1 or device.type == "cpu":
            return device
        if str(device) != "cuda":
            raise InputError(f"device '{device}' is one for {self.count} processes: expected auto, cuda or cpu")
        if self.local >= torch.cuda.device_count():
            raise InputError(f"one GPU for each process: this machine has {torch.cuda.device_count()}")
        return torch.device("cuda", self.local)

    def joint(self, network: nn.Module, shape: tuple[int, int, int]) -> nn.Module:
        """`network`, for images (C, H, W), so changed that its batch normalisation is over the images of all processes.

        Weights that no gradient comes to, as they only lead to a "none" operation, are said to want none: DDP would
        wait for it.
        """
        if self.count == 1:
            return network
        reached = _reached(network, shape)
        for name, weight in network.named_parameters():
            weight.requires_grad_(name in reached)
        return synchronised(network)

    def replica(self, network: nn.Module) -> nn.Module:
        """What to call in place of a `joint` network so that its gradients are the mean over all processes."""
        return network if self.count == 1 else DistributedDataParallel(network, forward_sync_buffers=False)

    def adding(self, replica: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Within it gradients are added up here, and meaned over the processes only where this is the `last` time."""
        if last or not isinstance(replica, DistributedDataParallel):
            return nullcontext()
        return replica.no_sync()

    def agreed(self, progress: float) -> float:
        """What the first process says of the progress. Raises KeyboardInterrupt in all once one is asked to stop."""
        if self.count == 1:
            return progress
        stop = self.stop.is_set() or os.getppid() != self.parent  # whoever was to look after this process is gone
        said = torch.tensor([progress if self.first else 0.0, float(stop)], dtype=torch.float64)
        _told(lambda: dist.all_reduce(said))
        if said[1]:
            raise KeyboardInterrupt
        return said[0].item()

    def sum(self, value: Tensor) -> float:
        """The sum of a number over all processes."""
        if self.count == 1:
            return value.item()
        total = value.detach().to("cpu", torch.float64)
        _told(lambda: dist.all_reduce(total))
        return total.item()

    def told(self, content: bytes, rank: int = 0) -> bytes:
        """The content that the process `rank` has."""
        if self.count == 1:
            return content
        size = torch.tensor([len(content)])
        _told(lambda: dist.broadcast(size, rank))
        if not size:
            return b""
        own = rank == self.rank
        data = torch.frombuffer(bytearray(content if own else bytes(int(size))), dtype=torch.uint8)
        _told(lambda: dist.broadcast(data, rank))
        return data.numpy().tobytes()

    def together(self, act: Callable[[], T]) -> T:
        """What `act` gives here, once it has ended everywhere; an InputError of one process is raised in all."""
        if self.count == 1:
            return act()
        result, error = [], ""
        try:
            result.append(act())
        except InputError as raised:
            error = str(raised)
        for rank in range(self.count):
            if said := self.told(error.encode(), rank):
                raise self.error(said.decode())
        return result[0]

    def alone(self, act: Callable[[], object]) -> None:
        """Let the first process do something, and the others wait; its InputError is raised in all."""
        self.together(lambda: act() if self.first else None)

    def yes(self, ask: Callable[[], bool]) -> bool:
        """What the first process finds; its InputError is raised in all."""
        return bool(self.told(b"1" if self.together(lambda: self.first and ask()) else b""))

    def error(self, text: str) -> InputError:
        """An error that all processes know of, of which the first tells the user."""
        return InputError(text) if self.first else Elsewhere(text)

    @contextmanager
    def file(self, path: Path) -> Iterator[Path | None]:
        """A file that the first process has, where the others can read it too; None where it has none."""
        if self.count == 1:
            yield path if path.exists() else None
            return
        content = self.told(path.read_bytes() if self.first and path.exists() else b"")
        if not content or self.first:
            yield path if content else None
            return
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / path.name
            copy.write_bytes(content)
            yield copy

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within it Ctrl-C and SIGTERM make all processes stop after the same step, rather than this one at once.

        It stays so after an error, so that nothing cuts off what is left to say.
        """
        if self.count == 1 or threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = signal.SIGINT, signal.SIGTERM
        before = [signal.signal(number, lambda *_: self.stop.set()) for number in signals]
        yield
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


ALONE = Ranks()


def _reached(network: nn.Module, shape: tuple[int, int, int]) -> set[str]:
    """The names of the weights that the outputs of a network for images (C, H, W) depend on."""
    copy = deepcopy(network).train()
    outputs = copy(torch.zeros(2, *shape, device=next(copy.parameters()).device))
    ahead = [output.grad_fn for output in (outputs if isinstance(outputs, tuple) else (outputs,))]
    seen, variables = set(ahead), set()
    while ahead:
        node = ahead.pop()
        variables.add(id(getattr(node, "variable", None)))  # which the leaves of the graph have
        new = {after for after, _ in node.next_functions if after is not None} - seen
        seen |= new
        ahead += new
    return {name for name, weight in copy.named_parameters() if id(weight) in variables}


def _told(exchange: Callable[[], object]) -> None:
    """Exchange something between the processes. Raises Lost where one is gone."""
    try:
        exchange()
    except RuntimeError as error:
        raise Lost(str(error)) from None


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """The processes that torchrun has started for this training on `device`, or this one alone.

    Raises InputError where a process has no device, and Lost where one ends before its time.
    """
    count = int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1
    if count == 1:
        yield ALONE
        return
    ranks = Ranks(int(os.environ["RANK"]), count, int(os.environ["LOCAL_RANK"]))
    own = ranks.device(device)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    if not dist.is_initialized():
        store, _, _ = next(rendezvous("env://"))  # a restarted group is to see nothing of the dead one
        attempt = PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
        backend = "cpu:gloo,cuda:nccl" if own.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=attempt, rank=ranks.rank, world_size=count, timeout=PATIENCE)
    try:
        yield ranks
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):  # whose errors have no kind of their own
            raise Lost(str(error)) from None
        raise
    atexit.unregister(dist.destroy_process_group)
    atexit.register(dist.destroy_process_group)  # rather than now, as another training may follow
