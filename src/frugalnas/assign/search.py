"""The search for an assignment: NSGA-II over error and energy, from all layers exact and all layers alike."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from frugalnas import __version__
from frugalnas.assign.estimate import WITHIN, OnImages, Subject
from frugalnas.assign.space import Assignments, energy, relative_energy
from frugalnas.core import Genotype, InputError, Objective, Problem
from frugalnas.distribute import InProcess
from frugalnas.store import JOURNAL, Journal
from frugalnas.strategies.nsga2 import NSGA2
from frugalnas.study import Study

METHOD = "approximate"
OBJECTIVES = ("error", "energy")
Progress = Callable[[Study], None]


@dataclass(frozen=True)
class Settings:
    """How to search. `max_loss`: what the error may rise by, a share, beside exact 8-bit multipliers.

    `trials`: assignments to rate; `minutes`: wall time, over all sessions. `population`: of NSGA-II, `offspring`: of
    each generation after the first. `reach`: what the error may rise by for an assignment to be bred from, as a
    multiple of `max_loss`. `source`: what the images are, for people. Raises InputError for values out of range.
    """

    max_loss: float = 0.01
    trials: int = 200
    minutes: float | None = None
    seed: int = 0
    population: int = 12
    offspring: int = 12
    reach: float = 5.0
    source: str = "images"

    def __post_init__(self) -> None:
        if not 0 <= self.max_loss <= 1:
            raise InputError(f"max_loss = {self.max_loss}: expected a share in [0, 1], such as 0.01 for one point")
        for name, least in (("trials", 1), ("population", 2), ("offspring", 1), ("reach", 1)):
            if not getattr(self, name) >= least:
                raise InputError(f"{name} = {getattr(self, name)}: expected {least} or more")
        if self.minutes is not None and not self.minutes > 0:
            raise InputError(f"minutes = {self.minutes}: expected more than 0")


def search(
    subject: Subject,
    space: Assignments,
    settings: Settings,
    folder: Path | None = None,
    progress: Progress | None = None,
    own: Genotype | None = None,
) -> tuple[Study, str]:
    """Rate assignments until a budget of `settings` ends it; which one that was is the second value.

    `own`: an assignment that the network was made with, to begin with beside those of one multiplier for all layers.
    With a `folder` its journal is there, and an earlier session's is gone on with. Raises InputError where that is of
    another network, other images, multipliers or settings.
    """
    problem = Problem(
        space,
        (
            Objective("error"),
            Objective(WITHIN),
            Objective("energy", energy, minimise=False),
            Objective("relative_energy", relative_energy, minimise=False),
        ),
        (OnImages(subject, space, settings.reach * settings.max_loss),),
    )
    first = space.uniform if own is None else tuple(dict.fromkeys((*space.uniform[:1], own, *space.uniform[1:])))
    strategy = NSGA2(
        space,
        ("error", WITHIN),
        population=max(settings.population, len(first)),  # beyond the uniform ones they are random, and mostly useless
        offspring=settings.offspring,
        mutation="polynomial",
        first=first,
    )
    budget: dict[str, Any] = {"trials": settings.trials, "minutes": settings.minutes, "progress": progress}
    if folder is None:
        study = Study(problem, strategy, seed=settings.seed)
        return study, study.run(InProcess(), **budget)
    with closing(_opened(folder, _header(subject, space, settings))) as journal:
        study = Study(problem, strategy, seed=settings.seed, journal=journal)
        return study, study.run(InProcess(), **budget)


def _opened(folder: Path, header: dict[str, Any]) -> Journal:
    """The journal in `folder`: a new one or, of the same search, the one that is there."""
    if not (folder / JOURNAL).exists():
        return Journal.create(folder, header)
    journal = Journal(folder)
    for name, meant in json.loads(json.dumps(header)).items():
        if journal.header.get(name) != meant:
            journal.close()
            raise InputError(f"{folder} holds a search with another {_DIFFERS.get(name, name)}: choose another --out")
    return journal


_DIFFERS = {
    "config": "seed or setting",
    "data": "set of images",
    "model": "network",
    "multipliers": "choice of multipliers",
    "layers": "choice of layers",
    "version": "version of frugalnas",
}


def _header(subject: Subject, space: Assignments, settings: Settings) -> dict[str, Any]:
    """What makes a search another one; in `config` what `record.load` reads of any study."""
    own = {name: value for name, value in asdict(settings).items() if name not in ("trials", "minutes", "source")}
    config = {
        "method": METHOD,
        "preset": "laptop",
        "objectives": [*OBJECTIVES],
        "limits": {},
        "data": {"source": settings.source},
        "correction": subject.correction,
    }
    return {
        "version": __version__,
        "config": config | own,
        "facts": {},
        "data": _checksum([subject.images, subject.labels]),
        "model": _checksum(subject.network.state_dict().values()),
        "multipliers": [[one.name, one.sha256, one.power_mw] for one in space.multipliers],
        "layers": [[layer.name, layer.multiplications] for layer in space.layers],
    }


def _checksum(tensors: Iterable[Tensor]) -> str:
    made = hashlib.sha256()
    for tensor in tensors:
        made.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return made.hexdigest()
