"""Our strategies against Optuna's and pymoo's on the same table of NAS-Bench-201, with the same number of look-ups.

Minimised are validation error and parameters. Ours have the settings of their laptop presets (see docs/compare.md); the
rivals have their own defaults but for the population of the two NSGA-II, which is --population (Optuna's default is 50,
pymoo's 100: few generations of 300). Genes are categories for Optuna and integers for pymoo. An architecture that the
table lacks is a failed trial for ours; for the rivals it is infeasible, by the constraint that each of them offers,
with error 1. It counts as an evaluation for all.

    python benchmarks/compare_tables.py --data PATH [--seeds 30] [--trials 300] [--workers 2]

Prints the tables of `frugalnas compare`, all pairs of the final hypervolume and regret, and who wins.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from frugalnas import config, parts
from frugalnas.compare import plan, tables, text_of
from frugalnas.compare.outcome import Outcome
from frugalnas.compare.runs import Run
from frugalnas.compare.text import pairs
from frugalnas.core import Genotype
from frugalnas.distribute import ProcessPool
from frugalnas.estimators.table import Table
from frugalnas.objectives.count import params
from frugalnas.report import table as text_table
from frugalnas.spaces.nasbench201 import NasBench201

OURS = ("eeea", "econas", "nsganet", "amoebanet", "relativenas")
SPACE = NasBench201()
Looked = tuple[float, float, float | None]  # validation error, parameters, test error; the last None where unknown


class Asked:
    """A table that counts look-ups and remembers what it answered."""

    def __init__(self, path: str) -> None:
        self.rows, self.answers = Table(path).rows, list[tuple[Genotype, Looked]]()

    def __call__(self, genotype: Genotype) -> Looked:
        row, size = self.rows.get(genotype), params(SPACE, genotype)
        answer = (1.0, size, None) if row is None else (row.error, size, row.test_error)
        self.answers.append((genotype, answer))
        return answer


def optuna_with(sampler: str) -> Callable[[Asked, int, int, int], None]:
    def search(table: Asked, seed: int, trials: int, population: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore", FutureWarning)  # of version 5 on constraints_func, which version 4 needs

        def objective(trial: Any) -> tuple[float, float]:
            genes = tuple(trial.suggest_categorical(f"edge{i}", range(n)) for i, n in enumerate(SPACE.domains))
            error, size, test = table(genes)
            trial.set_user_attr("lacking", float(test is None))
            return error, size

        def lacking(trial: Any) -> tuple[float]:
            return (trial.user_attrs["lacking"],)

        samplers = {
            "tpe": lambda: optuna.samplers.TPESampler(seed=seed, constraints_func=lacking),
            "nsga2": lambda: optuna.samplers.NSGAIISampler(
                seed=seed, constraints_func=lacking, population_size=population
            ),
        }
        study = optuna.create_study(directions=["minimize", "minimize"], sampler=samplers[sampler]())
        study.optimize(objective, n_trials=trials)

    return search


def pymoo_nsga2(table: Asked, seed: int, trials: int, population: int) -> None:
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.optimize import minimize

    class Lookup(ElementwiseProblem):  # type: ignore[misc]
        def __init__(self) -> None:
            upper = np.array(SPACE.domains) - 1
            super().__init__(n_var=len(upper), n_obj=2, n_ieq_constr=1, xl=0, xu=upper, vtype=int)

        def _evaluate(self, x: Any, out: dict[str, Any], *_: object, **__: object) -> None:
            error, size, test = table(tuple(int(gene) for gene in x))
            out["F"], out["G"] = [error, size], [float(test is None)]

    algorithm = NSGA2(
        pop_size=population,
        sampling=IntegerRandomSampling(),
        crossover=SBX(repair=RoundingRepair()),
        mutation=PM(repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    minimize(Lookup(), algorithm, ("n_eval", trials), seed=seed)


RIVALS = {"optuna-tpe": optuna_with("tpe"), "optuna-nsga2": optuna_with("nsga2"), "pymoo-nsga2": pymoo_nsga2}


def rival(name: str, path: str, seed: int, trials: int, population: int) -> Run:
    """What a rival comes to with its first `trials` look-ups."""
    asked, began = Asked(path), time.perf_counter()
    RIVALS[name](asked, seed, trials, population)
    seconds = time.perf_counter() - began
    answers = asked.answers[:trials]
    known, seen = [], set[Genotype]()
    for place, (genotype, (error, size, test)) in enumerate(answers, start=1):
        if test is not None and genotype not in seen:
            known.append((place, (error, size), test, genotype))
            seen.add(genotype)
    places, values, tests, genotypes = zip(*known, strict=True)
    n = len(places)
    failed = sum(test is None for _, (_, _, test) in answers)
    spent = {"spent_epochs": 0.0, "spent_images": 0.0, "spent_trials": len(answers)}
    times = {"epochs": (0.0,) * n, "minutes": (0.0,) * n, "trials": places}
    counted = {"networks": n, "rejected": 0, "failed": failed, "seconds": seconds}
    found = {"values": values, "test_errors": tests, "genotypes": genotypes}
    return Run(method=name, seed=seed, ended="trials", **times, **found, **spent, **counted)  # type: ignore[arg-type]


def winners(outcome: Outcome) -> Sequence[str]:
    """The best median of each measure, and which of the others it is better than beyond chance."""
    lines = []
    for curve in outcome.curves:
        final = {method: curve.final(method) for method in outcome.methods}
        best = min(final, key=lambda method: median(final[method]))
        tests = [contrast for family in outcome.tests[curve.name] for contrast in family]
        beaten = [c.second for c in tests if c.first == best and c.adjusted <= 0.05 and c.wins > c.losses]
        beaten += [c.first for c in tests if c.second == best and c.adjusted <= 0.05 and c.wins < c.losses]
        words = f"significantly better than {', '.join(beaten)}" if beaten else "significantly better than none"
        lines.append(f"{curve.title}: best median {best}, {words}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with nasbench/nasbench201_10000.csv.gz")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--population", type=int, default=12, help="of the rivals' NSGA-II; ours have 12")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    path = str((arguments.data / "nasbench" / "nasbench201_10000.csv.gz").resolve())
    asked = plan(OURS, layers=[{"trials": arguments.trials}], seeds=arguments.seeds, table={"path": path})
    truncation = config.complete(asked.shared | {"strategy": {"type": "truncation"}})
    parts.strategy_of(truncation, tables.problem_of(truncation))
    searches = asked.searches | {"truncation": truncation | {"method": "truncation"}}
    pool, futures = ProcessPool(arguments.workers), []
    try:
        for tree in searches.values():
            futures += [pool.submit(tables.searched, {**tree, "seed": seed}) for seed in range(arguments.seeds)]
        for name in RIVALS:
            rest = (arguments.trials, arguments.population)
            futures += [pool.submit(rival, name, path, seed, *rest) for seed in range(arguments.seeds)]
        runs = tuple(future.result() for future in futures)
    finally:
        pool.close()
    truth = tables.truth_of(asked.shared)
    budget = float(arguments.trials)
    outcome = Outcome("strategies and rivals", asked.referee, ("error", "params"), "trials", budget, runs, truth)
    print(text_of(outcome))
    for curve in outcome.curves[1:]:
        header, rows = pairs(outcome, curve)
        against = [row for row in rows if any(name in row[0] for name in RIVALS)]
        print(f"\n{curve.title}, pairs with a rival\n{text_table(header, against)}")
    print("", *winners(outcome), sep="\n")


if __name__ == "__main__":
    main()
