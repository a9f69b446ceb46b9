"""A search on a free problem that faults are done to; `benchmarks/faults.py` runs it as a process of its own.

    python benchmarks/faulty.py FOLDER --trials 60 [--workers 2] [--time-limit 1] [--memory-gb 0.5] [--kinds nan,hog]

Starts or resumes the study in FOLDER, as the command line does: exit code 0 at its end, and 2 with one line on stderr.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from frugalnas import store
from frugalnas.core import Candidate, Fidelity, Genotype, InputError, Objective, Problem, Space
from frugalnas.distribute import Executor, InProcess, ProcessPool, limits
from frugalnas.store import Journal
from frugalnas.strategies.nsga2 import NSGA2
from frugalnas.study import Study

HOG_GB = 0.6


@dataclass(frozen=True)
class Toy:
    """Ten genes. With `fails`, every sixth network cannot be built."""

    domains: tuple[int, ...] = (4,) * 10
    fails: bool = False

    def canonical(self, genotype: Genotype) -> Genotype:
        return tuple(sorted(genotype))

    def at(self, fidelity: Fidelity) -> Toy:
        return self

    def build(self, genotype: Genotype) -> Genotype:
        if self.fails and sum(genotype) % 6 == 0:
            raise ValueError("an operation of this network\ncannot be built")
        return genotype


def total(space: Space, genotype: Genotype) -> float:
    return float(sum(genotype))


@dataclass(frozen=True)
class Uneven:
    """Takes 2 to 40 ms, so that trials end out of order; every value, and who fails how, depends on the trial's seed.

    `kinds`: what some of them do, each with its own share: nan, hog (memory), hang (in C, deaf to signals).
    """

    kinds: tuple[str, ...] = ()
    nap_s: tuple[float, float] = (0.002, 0.04)

    def evaluate(self, candidate: Candidate, space: Space, seed: int) -> Mapping[str, float]:
        rng = np.random.default_rng(seed)
        if self.nap_s[1]:
            time.sleep(rng.uniform(*self.nap_s))
        network = space.build(candidate.genotype)
        if seed % 8 == 0:
            raise RuntimeError(f"seed {seed} fails")
        if seed % 8 == 1 and "nan" in self.kinds:
            return {"error": float("nan")}
        if seed % 8 == 2 and "hog" in self.kinds:
            memory = bytearray(int(HOG_GB * 1e9))
            time.sleep(5 * limits.LOOK_EVERY_S)
            return {"error": float(len(memory))}
        if seed % 8 == 3 and "hang" in self.kinds:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            sum(range(10**15))  # one C loop
        return {"error": 1 / (1 + sum(network)) + rng.random() / 50}


def problem_of(kinds: tuple[str, ...] = (), naps: bool = True) -> Problem:
    estimator = Uneven(kinds) if naps else Uneven(kinds, (0.0, 0.0))
    return Problem(Toy(fails="build" in kinds), (Objective("error"), Objective("total", total, 16.0)), (estimator,))


def run(folder: Path, trials: int, executor: Executor, problem: Problem) -> None:
    """Start or resume the study in `folder`."""
    try:
        if not (folder / store.JOURNAL).exists():
            Journal.create(folder, {"seed": 0}).close()
        journal = Journal(folder)
        try:
            study = Study(problem, NSGA2(problem.space, problem.minimised, population=12), journal=journal)
            study.run(executor, trials=trials)
        finally:
            journal.close()
    finally:
        executor.close()


def resume_here(folder: Path, trials: int) -> None:
    """The same in this process, without naps."""
    run(folder, trials, InProcess(), problem_of(naps=False))


def let_the_clock_jump(seed: int) -> None:
    """From now on the wall clock of this process is set forward or back, by up to a year, every tenth of a second."""
    rng, real, now, offset = np.random.default_rng(seed), time.time, time.monotonic, 0.0

    def jumping() -> float:
        return real() + offset

    def jump() -> None:
        nonlocal offset
        while True:
            begun = now()
            offset = float(rng.choice([-1, 1]) * 10 ** rng.uniform(0, 7.5))
            while now() < begun + 0.1:
                time.sleep(0.02)

    time.time = jumping
    threading.Thread(target=jump, daemon=True).start()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--time-limit", type=float)
    parser.add_argument("--idle-limit", type=float, default=600.0)
    parser.add_argument("--memory-gb", type=float)
    parser.add_argument("--kinds", default="")
    parser.add_argument("--ray", help="the address of a Ray cluster that has the workers")
    parser.add_argument("--jumps", type=int, help="seed of jumps of the wall clock")
    given = parser.parse_args()
    if given.jumps is not None:
        let_the_clock_jump(given.jumps)
    try:
        executor: Executor
        if given.ray:
            from frugalnas.distribute.cluster import RayCluster

            executor = RayCluster(given.ray, given.workers)
        else:
            executor = ProcessPool(given.workers, 1, given.time_limit, given.memory_gb, given.idle_limit, gpus=())
        run(given.folder, given.trials, executor, problem_of(tuple(filter(None, given.kinds.split(",")))))
    except InputError as error:
        print(f"frugalnas: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.exit(main())
