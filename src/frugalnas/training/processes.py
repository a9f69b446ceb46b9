"""One training in several processes of this machine: torchrun's launcher, with the same command in each."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence

from frugalnas.core import InputError
from frugalnas.distribute import cores

WRONG, INTERRUPTED = 2, 130  # exit codes of all processes, after a line by the first
LOST = 3  # of a process whose training ended as another process did
_THREADS = "OMP_NUM_THREADS"


def started() -> bool:
    """Whether torchrun, or `run`, has started this process as one of several or as the only one."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_first() -> bool:
    """Whether this process speaks to the user: one alone, or the first of those that torchrun has started."""
    return not started() or os.environ.get("RANK", "0") == "0"


def number(asked: str) -> int:
    """How many processes `asked` means: "auto" is one for each GPU, and one without a GPU. Raises InputError."""
    import torch

    if asked == "auto":
        return max(1, torch.cuda.device_count())
    if not asked.isdecimal() or int(asked) < 1:
        raise InputError(f"--processes {asked}: expected auto or a number from 1")
    return int(asked)


def run(processes: int, arguments: Sequence[str], go_on: str) -> int:
    """Run `frugalnas ARGUMENTS` in so many processes that are one training; the exit code, once all have ended.

    Each has its share of the cores, unless OMP_NUM_THREADS says otherwise. Where one dies the others are ended, and a
    line on stderr says so and how to `go_on`; a signal to this process goes to all.
    """
    import torch.distributed.elastic.multiprocessing as elastic
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ.setdefault(_THREADS, str(max(1, cores() // processes)))
    for name in [*logging.root.manager.loggerDict]:
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # its reports are of many lines
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id="frugalnas",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        logs_specs=elastic.DefaultLogsSpecs(log_dir=os.devnull),
    )
    try:
        elastic_launch(config, sys.executable)("-m", "frugalnas", *arguments)
    except SignalException:
        return INTERRUPTED
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        return _told(codes, go_on)
    return 0


def _told(codes: dict[int, int], go_on: str) -> int:
    """The exit code that those of processes, by rank, come to; says what none of them could say itself."""
    ended = {rank: code for rank, code in codes.items() if code not in (LOST, -signal.SIGTERM)} or codes
    rank, code = min(ended.items(), key=lambda each: each[1])  # a signal has a negative code
    if code in (WRONG, INTERRUPTED):
        return code
    what = signal.Signals(-code).name if code < 0 else "an error"
    print(f"frugalnas: process {rank} of the training was ended by {what}; go on with: {go_on}", file=sys.stderr)
    return 1
