"""Where candidates are rated: in this process, or in a pool of processes. An executor listed here can be configured."""

from frugalnas.distribute.executor import Executor, InProcess, TimeLimit, WorkerDied, cores
from frugalnas.distribute.limits import MemoryLimit
from frugalnas.distribute.pool import ProcessPool

EXECUTORS = {"processes": ProcessPool}

__all__ = ["EXECUTORS", "Executor", "InProcess", "MemoryLimit", "ProcessPool", "TimeLimit", "WorkerDied", "cores"]
