"""Kill a search at random moments, resume it, and compare its journal with that of an uninterrupted twin.

Each run is a real process with a pool of two workers on a free problem, of which every eighth trial fails; SIGKILL
hits it after a random time, again and again until it ends by itself. In ordered mode every journal must equal its
twin's byte for byte, and at every kill the trials told before must still be there after the next.

    python benchmarks/kills.py [--kills 200] [--trials 60] [--workers-too]

Prints kills, runs, torn tails that were cut, journals that differ and told trials that were lost; exit code 1 if any.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from frugalnas import store
from frugalnas.core import Candidate, Fidelity, Genotype, Objective, Problem, Space
from frugalnas.distribute import ProcessPool
from frugalnas.store import Journal
from frugalnas.strategies.nsga2 import NSGA2
from frugalnas.study import Study


@dataclass(frozen=True)
class Toy:
    domains: tuple[int, ...] = (4,) * 10

    def canonical(self, genotype: Genotype) -> Genotype:
        return tuple(sorted(genotype))

    def at(self, fidelity: Fidelity) -> Toy:
        return self

    def build(self, genotype: Genotype) -> Genotype:
        return genotype


def total(space: Space, genotype: Genotype) -> float:
    return float(sum(genotype))


@dataclass(frozen=True)
class Uneven:
    """Takes 2 to 40 ms, so that trials end out of order; every value, and who fails, depends on the trial's seed."""

    def evaluate(self, candidate: Candidate, space: Space, seed: int) -> Mapping[str, float]:
        rng = np.random.default_rng(seed)
        time.sleep(rng.uniform(0.002, 0.04))
        if seed % 8 == 0:
            raise RuntimeError(f"seed {seed} fails")
        return {"error": 1 / (1 + sum(candidate.genotype)) + rng.random() / 50}


def run(folder: Path, trials: int) -> None:
    """Start or resume the study in `folder`."""
    if not (folder / store.JOURNAL).exists():
        Journal.create(folder, {"seed": 0}).close()
    problem = Problem(Toy(), (Objective("error"), Objective("total", total, 16.0)), (Uneven(),))
    journal = Journal(folder)
    study = Study(problem, NSGA2(problem.space, problem.minimised, population=12), journal=journal)
    pool = ProcessPool(2)
    try:
        study.run(pool, trials=trials)
    finally:
        pool.close()
        journal.close()


def told(folder: Path) -> list[store.Event]:
    return [event for event in store.read(folder)[1] if "tell" in event]


def descendants(pid: int) -> list[int]:
    """Processes that `pid` started (Linux)."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in children.read_text().split()] if children.exists() else []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers-too", action="store_true", help="half of the kills hit a worker, not the driver")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        run(arguments.run, arguments.trials)
        return 0
    rng = random.Random(arguments.seed)
    kills = runs = different = lost = torn = 0
    with tempfile.TemporaryDirectory() as scratch:
        twin = Path(scratch) / "twin"
        run(twin, arguments.trials)
        whole = (twin / store.JOURNAL).read_bytes()
        assert any(event["status"] == "failed" for event in told(twin)), "no trial failed: this seed tests less"
        while kills < arguments.kills:
            folder = Path(scratch) / str(runs)
            runs += 1
            before: list[store.Event] = []
            while True:
                command = [sys.executable, __file__, "--run", str(folder), "--trials", str(arguments.trials)]
                process = subprocess.Popen(command, stderr=subprocess.PIPE)
                try:
                    process.wait(timeout=rng.uniform(0.3, 2.2))
                except subprocess.TimeoutExpired:
                    workers = descendants(process.pid) if arguments.workers_too and rng.random() < 0.5 else []
                    if workers:
                        os.kill(rng.choice(workers), signal.SIGKILL)
                        kills += 1
                        process.wait(timeout=120)
                    else:
                        process.kill()
                        process.wait()
                        kills += 1
                path = folder / store.JOURNAL
                if not path.exists():
                    continue
                torn += not path.read_bytes().endswith(b"\n")
                after = told(folder)
                lost += after[: len(before)] != before
                before = after
                if process.returncode == 0:
                    break
                if process.returncode > 0:
                    sys.stderr.buffer.write(process.stderr.read() if process.stderr else b"")
                    return 1
            different += (folder / store.JOURNAL).read_bytes() != whole
            print(f"\r{kills} kills, {runs} runs", end="", flush=True)
    print(
        f"\n{kills} kills in {runs} runs of {arguments.trials} trials: {torn} torn tails cut, "
        f"{different} journals differ, {lost} times a told trial was lost"
    )
    return int(bool(different or lost))


if __name__ == "__main__":
    sys.exit(main())
