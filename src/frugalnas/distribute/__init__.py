"""Where candidates are rated: in this process, in a pool of processes, on Ray. One listed here can be configured."""

from frugalnas.distribute.cluster import RayCluster
from frugalnas.distribute.executor import Distant, Executor, InProcess, TimeLimit, WorkerDied, cores
from frugalnas.distribute.limits import MemoryLimit
from frugalnas.distribute.pool import ProcessPool

EXECUTORS = {"processes": ProcessPool, "ray": RayCluster}

__all__ = [
    "EXECUTORS",
    "Distant",
    "Executor",
    "InProcess",
    "MemoryLimit",
    "ProcessPool",
    "RayCluster",
    "TimeLimit",
    "WorkerDied",
    "cores",
]
