"""A space, estimators and a strategy that cost nothing, so that the engine is tested in seconds."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from frugalnas.core import Candidate, Fidelity, Genotype, Objective, Problem, Space, Trial


@dataclass(frozen=True)
class Digits:
    """Tuples of digits whose order does not matter."""

    genes: int = 8
    base: int = 4

    @property
    def domains(self) -> tuple[int, ...]:
        return (self.base,) * self.genes

    def canonical(self, genotype: Genotype) -> Genotype:
        return tuple(sorted(genotype))

    def at(self, fidelity: Fidelity) -> Digits:
        return self

    def build(self, genotype: Genotype) -> Genotype:
        return genotype


def total(space: Space, genotype: Genotype) -> float:
    return float(sum(genotype))


@dataclass(frozen=True)
class Noisy:
    """A value that depends on the genotype and on the seed it is handed."""

    sleep_s: float = 0.0

    def evaluate(self, candidate: Candidate, space: Space, seed: int) -> Mapping[str, float]:
        time.sleep(self.sleep_s * (1 + seed % 3))
        return {"error": 1 / (1 + sum(candidate.genotype)) + np.random.default_rng(seed).random() / 100}


@dataclass(frozen=True)
class Troubled:
    """Fails in the way that the first gene names."""

    marker: str = ""

    def evaluate(self, candidate: Candidate, space: Space, seed: int) -> Mapping[str, float]:
        match candidate.genotype[0]:
            case 1:
                raise RuntimeError("no such layer\nsecond line")
            case 2:
                return {"error": float("nan")}
            case 3:
                time.sleep(60)
            case 4:
                os.kill(os.getpid(), signal.SIGKILL)
            case 5:
                return {"loss": 1.0}
            case 6 if not Path(self.marker).exists():
                Path(self.marker).touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return {"error": 0.5}


class Listed:
    """Asks for the genotypes or candidates it is given, then has nothing more."""

    def __init__(self, *asked: Genotype | Candidate) -> None:
        self.left = [each if isinstance(each, Candidate) else Candidate(each) for each in asked]
        self.told: list[Trial] = []

    def ask(self, rng: np.random.Generator) -> Candidate | None:
        return self.left.pop(0) if self.left else None

    def tell(self, trial: Trial) -> None:
        self.told.append(trial)


def problem(limit: float = float("inf"), estimator: object = None, genes: int = 8, base: int = 4) -> Problem:
    """Minimise `error` and `total` over `Digits`."""
    objectives = (Objective("error"), Objective("total", total, limit))
    return Problem(Digits(genes, base), objectives, (estimator or Noisy(),))  # type: ignore[arg-type]
