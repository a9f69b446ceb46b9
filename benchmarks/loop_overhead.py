"""What the search loop costs when rating is free: milliseconds per trial, beside Optuna and pymoo.

A free bi-objective problem over 40 digits, NSGA-II with a population of 40 everywhere:

- FrugalNAS with its journal on disk (fsync of every told trial), and in memory;
- Optuna's NSGAIISampler with its journal file and with SQLite (in fewer trials: its cost per trial is stated);
- pymoo's ask and tell, in memory only.

    python benchmarks/loop_overhead.py [--trials 10000] [--repeats 3]

Needs the extra `bench`. Rivals take turns; medians of the repeats are printed, and one fsynced append as the floor.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from frugalnas.core import Candidate, Fidelity, Genotype, Objective, Problem, Space
from frugalnas.distribute import InProcess
from frugalnas.store import Journal
from frugalnas.strategies.nsga2 import NSGA2
from frugalnas.study import Study

GENES, BASE, POPULATION = 40, 9, 40


def first(genotype: Genotype) -> float:
    return float(sum(gene * (i + 1) for i, gene in enumerate(genotype)))


def second(genotype: Genotype) -> float:
    return float(sum((BASE - 1 - gene) * (GENES - i) for i, gene in enumerate(genotype)))


@dataclass(frozen=True)
class Toy:
    domains: tuple[int, ...] = (BASE,) * GENES

    def canonical(self, genotype: Genotype) -> Genotype:
        return genotype

    def at(self, fidelity: Fidelity) -> Toy:
        return self

    def build(self, genotype: Genotype) -> Genotype:
        return genotype


@dataclass(frozen=True)
class Free:
    values: tuple[str, ...] = ("first",)

    def evaluate(self, candidate: Candidate, space: Space, seed: int) -> Mapping[str, float]:
        return {"first": first(candidate.genotype)}


def frugalnas(trials: int, folder: Path | None) -> None:
    problem = Problem(Toy(), (Objective("first"), Objective("second", lambda space, g: second(g))), (Free(),))
    journal = Journal.create(folder, {}) if folder else None
    strategy = NSGA2(problem.space, problem.minimised, population=POPULATION, offspring=POPULATION)
    Study(problem, strategy, journal=journal).run(InProcess(), trials=trials)
    if journal:
        journal.close()


def optuna(trials: int, storage: object) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        genotype = tuple(trial.suggest_int(str(i), 0, BASE - 1) for i in range(GENES))
        return first(genotype), second(genotype)

    sampler = optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=0)
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler, storage=storage)
    study.optimize(objective, n_trials=trials)


def optuna_journal(trials: int, folder: Path) -> None:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna(trials, JournalStorage(JournalFileBackend(str(folder / "optuna.log"))))


def optuna_sqlite(trials: int, folder: Path) -> None:
    optuna(trials, f"sqlite:///{folder / 'optuna.db'}")


def pymoo(trials: int) -> None:
    import numpy as np
    from pymoo.algorithms.moo.nsga2 import NSGA2 as PymooNSGA2  # noqa: N811
    from pymoo.core.problem import Problem as PymooProblem
    from pymoo.operators.crossover.ux import UniformCrossover
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling

    problem = PymooProblem(n_var=GENES, n_obj=2, xl=0, xu=BASE - 1, vtype=int)
    algorithm = PymooNSGA2(
        pop_size=POPULATION,
        sampling=IntegerRandomSampling(),
        crossover=UniformCrossover(),
        mutation=PM(eta=3, vtype=float, repair=RoundingRepair()),
    )
    algorithm.setup(problem, termination=("n_gen", trials // POPULATION), seed=0)
    while algorithm.has_next():
        offspring = algorithm.ask()
        genotypes = [tuple(map(int, row)) for row in offspring.get("X")]
        offspring.set("F", np.array([[first(g), second(g)] for g in genotypes]))
        algorithm.tell(infills=offspring)


def one_fsync(folder: Path, count: int = 500) -> float:
    """Milliseconds for one appended and fsynced line of 200 bytes."""
    with (folder / "floor").open("wb", buffering=0) as file:
        start = time.perf_counter()
        for _ in range(count):
            file.write(b"x" * 199 + b"\n")
            os.fsync(file.fileno())
        return 1e3 * (time.perf_counter() - start) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--optuna-trials", type=int, default=1_000, help="its cost per trial grows with their number")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    n, few = arguments.trials, arguments.optuna_trials
    rivals: dict[str, tuple[int, Callable[[Path], None]]] = {
        "FrugalNAS, journal on disk": (n, lambda folder: frugalnas(n, folder / "run")),
        "FrugalNAS, in memory": (n, lambda folder: frugalnas(n, None)),
        "pymoo, in memory": (n, lambda folder: pymoo(n)),
        "Optuna, journal on disk": (few, lambda folder: optuna_journal(few, folder)),
        "Optuna, SQLite": (few // 4, lambda folder: optuna_sqlite(few // 4, folder)),
    }
    taken: dict[str, list[float]] = {name: [] for name in rivals}
    floor = []
    for _ in range(arguments.repeats):
        for name, (trials, run) in rivals.items():
            with tempfile.TemporaryDirectory(dir=".") as folder:
                start = time.perf_counter()
                run(Path(folder))
                taken[name].append(1e3 * (time.perf_counter() - start) / trials)
        with tempfile.TemporaryDirectory(dir=".") as folder:
            floor.append(one_fsync(Path(folder)))
    ours = median(taken["FrugalNAS, journal on disk"])
    print(f"{'':30}{'trials':>8}{'ms/trial':>10}{'ratio':>8}")
    for name, (trials, _) in rivals.items():
        print(f"{name:30}{trials:8,}{median(taken[name]):10.3f}{median(taken[name]) / ours:8.2f}")
    print(f"{'one fsynced line (the floor)':30}{'':8}{median(floor):10.3f}{median(floor) / ours:8.2f}")


if __name__ == "__main__":
    main()
