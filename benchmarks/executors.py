"""What workers bring, and what they cost: the process pool and Ray, side by side.

(a) Speed-up: the same list of real trainings by one and by two one-thread workers of the process pool, of a Ray of this
machine, and as the limit of Python's own ProcessPoolExecutor, which watches, retries and limits nothing. Some are rated
before, so that no start, import or first read of the images is in the figures;
(b) overhead: milliseconds a trial with a free objective, one worker, one trial at a time;
(c) bytes that are shipped for a trial of (a) after the first: its pickled call, in which the problem is a reference as
the images are, and its pickled answer. What Ray adds of its own to a call is not counted.

    python benchmarks/executors.py [--trainings 20] [--epochs 1] [--free 300] [--repeats 5]

Rivals take turns; printed are the medians over the repeats, of speed-ups that of the ratios within a repeat, and the
time that each takes to its first answer. About ten minutes on two cores, which should be idle.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from frugalnas import config, parts
from frugalnas.core import (
    Candidate,
    Objective,
    Problem,
    evaluate,
    rng_for,
    screen,
    trial_seed,
)
from frugalnas.distribute import Executor, ProcessPool, RayCluster
from frugalnas.distribute.session import Share, join, leave
from frugalnas.variation import random_genotype
from loop_overhead import Free, Toy


class Plain(ProcessPoolExecutor):
    """Python's own pool of spawned processes."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers, get_context("spawn"))

    def close(self) -> None:
        self.shutdown()


OURS: dict[str, Callable[[int], Any]] = {"processes": ProcessPool, "ray": lambda workers: RayCluster(workers=workers)}
KINDS = {"plain": Plain, **OURS}


def real(epochs: int) -> dict[str, Any]:
    """The configuration of a search on the images that come with the package: tiny networks, a tenth of the images."""
    fidelity = {"epochs": epochs, "samples": 0.1, "width": 4, "depth": 3}
    return config.resolve("eeea", layers=[{"estimators": {"0": {"fidelity": fidelity}}}])


def calls(problem: Problem, count: int) -> list[tuple[Any, ...]]:
    """What a search submits for `count` random candidates."""
    found = []
    for number in range(count):
        genotype = problem.space.canonical(random_genotype(rng_for(0, number), problem.space.domains))
        costs, _ = screen(problem, genotype)
        found.append((evaluate, problem, number, Candidate(genotype), costs, trial_seed(0, number)))
    return found


def seconds(executor: Executor, asked: Sequence[tuple[Any, ...]]) -> float:
    """How long the executor takes for all of them, at least one waiting for each worker. Raises where one failed."""
    start = time.perf_counter()
    for trial, _ in [future.result() for future in [executor.submit(*call) for call in asked]]:
        if trial.status != "done":
            raise RuntimeError(f"trial {trial.number} {trial.status}: {trial.reason}")
    return time.perf_counter() - start


def one_by_one(executor: Executor, asked: Sequence[tuple[Any, ...]]) -> float:
    """Milliseconds a trial, each waited for."""
    start = time.perf_counter()
    for call in asked:
        executor.submit(*call).result()
    return 1000 * (time.perf_counter() - start) / len(asked)


def started(
    kind: str, workers: int, tree: dict[str, Any] | None, first: Sequence[tuple[Any, ...]], ends: ExitStack
) -> Any:
    """An executor whose every worker has rated something."""
    executor = ends.enter_context(closing(KINDS[kind](workers)))
    if tree is not None and isinstance(executor, RayCluster):
        parts.send_images(tree, executor)
    start = time.perf_counter()
    executor.submit(*first[0]).result()
    print(f"{kind}, {workers} workers: first answer after {time.perf_counter() - start:.1f} s", flush=True)
    seconds(executor, first)
    return executor


def speed_up(trainings: int, epochs: int, repeats: int) -> None:
    with TemporaryDirectory() as folder, ExitStack() as ends:
        tree = real(epochs)
        asked = calls(parts.problem_of(tree, folder=Path(folder)), trainings)
        rivals = {(kind, n): started(kind, n, tree, asked[:4], ends) for kind in KINDS for n in (1, 2)}
        taken: dict[tuple[str, int], list[float]] = {rival: [] for rival in rivals}
        for _ in range(repeats):
            for rival, executor in rivals.items():
                taken[rival].append(seconds(executor, asked))
        for kind in KINDS:
            ratios = [one / two for one, two in zip(taken[kind, 1], taken[kind, 2], strict=True)]
            one, two = (median(taken[kind, n]) for n in (1, 2))
            print(
                f"{kind:<12}{trainings} trainings: {one:7.2f} s, {two:7.2f} s by two workers: {median(ratios):.2f} x "
                f"({min(ratios):.2f} to {max(ratios):.2f})"
            )
        call, answer = shipped(rivals["ray", 2], asked[1])
        print(f"ray         {call:,} bytes are sent for a trial after the first, {answer:,} come back", flush=True)


def shipped(executor: RayCluster, call: tuple[Any, ...]) -> tuple[int, int]:
    """Bytes of a pickled call, as the executor sends it, and of its answer."""
    from ray import cloudpickle

    function, *arguments = call
    sent = function, [executor.sent(each) for each in arguments]
    return len(cloudpickle.dumps(sent)), len(cloudpickle.dumps(executor.submit(*call).result()))


def overhead(count: int, repeats: int) -> None:
    with ExitStack() as ends:
        asked = calls(Problem(Toy(), (Objective("first"),), (Free(),)), count)
        rivals = {kind: started(kind, 1, None, asked[:2], ends) for kind in OURS}
        taken: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for _ in range(repeats):
            for kind, executor in rivals.items():
                taken[kind].append(one_by_one(executor, asked))
        for kind in OURS:
            print(f"{kind:<12}{median(taken[kind]):7.2f} ms a free trial")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("trainings", 20), ("epochs", 1), ("free", 300), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = "1"  # of the plain pool's workers; the others see to it themselves
    join("local", Share(1, 0, None), 4)
    try:
        speed_up(given.trainings, given.epochs, given.repeats)
        overhead(given.free, given.repeats)
    finally:
        leave()


if __name__ == "__main__":
    main()
