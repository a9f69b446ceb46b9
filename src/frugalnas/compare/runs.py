"""What one run of a comparison found and spent, as a file that a later session reads back."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from frugalnas import store
from frugalnas.core import IMAGES, Genotype, InputError, Trial
from frugalnas.record import load
from frugalnas.schema import Tree

Unit = Literal["epochs", "trials", "minutes"]
UNITS: tuple[Unit, ...] = ("epochs", "trials", "minutes")


@dataclass(frozen=True)
class Run:
    """One method with one seed. The columns have an entry for every network that the last rung rated, in order told.

    `epochs` (passes over the training images), `trials` (rated networks of any rung) and `minutes` are what the run had
    spent when it was told. `values` are those of the objectives, `test_errors` None but for tables. `spent_...`: of the
    whole run; `seconds` on its worker; `networks`: different ones that were rated; `failed`: also what a table lacks.
    """

    method: str
    seed: int
    ended: str
    epochs: tuple[float, ...]
    trials: tuple[int, ...]
    minutes: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]
    test_errors: tuple[float | None, ...]
    genotypes: tuple[tuple[int, ...], ...]
    spent_epochs: float
    spent_images: float
    spent_trials: int
    seconds: float
    networks: int
    rejected: int
    failed: int

    def __post_init__(self) -> None:
        columns = (self.epochs, self.trials, self.minutes, self.values, self.test_errors, self.genotypes)
        if len({len(column) for column in columns}) != 1:
            raise InputError("its columns differ in length")
        numbers = [*self.epochs, *self.minutes, *(value for row in self.values for value in row), self.seconds]
        if not all(map(math.isfinite, [*numbers, *(error or 0.0 for error in self.test_errors)])):
            raise InputError("a number in it is not finite")

    def spent(self, unit: Unit) -> Sequence[float]:
        """The column of that unit."""
        return {"epochs": self.epochs, "trials": self.trials, "minutes": self.minutes}[unit]


def run_of(
    tree: Tree,
    trials: Iterable[Trial],
    ended: str,
    images_per_epoch: int = 0,
    elapsed: Mapping[int, float] | None = None,
    seconds: float = 0.0,
) -> Run:
    """What a study of the configuration `tree` found and spent, from its trials in the order told.

    `elapsed`: seconds that the study had run when a trial was told, by its number. `seconds`: of its worker.
    """
    last, per_epoch, times = len(tree["estimators"]) - 1, max(images_per_epoch, 1), elapsed or {}
    images, rated, minutes = 0.0, 0, 0.0
    count = Counter[str]()
    networks: set[Genotype] = set()
    told: list[tuple[Trial, float, int, float]] = []  # by the last rung, and the three kinds of budget spent then
    for trial in trials:
        count[trial.status] += 1
        rated += trial.status != "rejected"
        minutes = max(minutes, times.get(trial.number, 0.0) / 60)
        if trial.reason.startswith("same as trial "):  # answered from the record: it cost nothing
            continue
        images += trial.values.get(IMAGES, 0.0)
        if trial.status == "done":
            networks.add(trial.candidate.genotype)
            if trial.candidate.rung == last:
                told.append((trial, images / per_epoch, rated, minutes))
    return Run(
        method=tree["method"],
        seed=tree["seed"],
        ended=ended,
        epochs=tuple(epochs for _, epochs, _, _ in told),
        trials=tuple(number for _, _, number, _ in told),
        minutes=tuple(passed for _, _, _, passed in told),
        values=tuple(tuple(trial.values[name] for name in tree["objectives"]) for trial, *_ in told),
        test_errors=tuple(trial.values.get("test_error") for trial, *_ in told),
        genotypes=tuple(trial.candidate.genotype for trial, *_ in told),
        spent_epochs=images / per_epoch,
        spent_images=images,
        spent_trials=rated,
        seconds=seconds,
        networks=len(networks),
        rejected=count["rejected"],
        failed=count["failed"],
    )


def run_in(folder: Path, tree: Tree, ended: str) -> Run:
    """What the search of that configuration in `folder` found and spent, from its journal."""
    record = load(folder)
    elapsed = {entry["tell"]: entry["elapsed"] for entry in store.times(folder) if "tell" in entry}
    seconds = sum(record.seconds.values())
    return run_of(tree, record.trials, ended, record.header["images"]["train"], elapsed, seconds)


def write(file: Path, run: Run) -> None:
    """Write `run` for `read`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    store.write_atomically(file, json.dumps(asdict(run), separators=(",", ":"), allow_nan=False) + "\n")


def read(file: Path, tree: Tree) -> Run | None:
    """The run of that configuration in `file`; None where it has not been written. Raises InputError for another."""
    try:
        run = TypeAdapter(Run).validate_json(store.regular(file).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # of which ValidationError and InputError are some
        words = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise InputError(f"{file} is of no comparison: {words}; remove it to run it again") from None
    width = {len(row) for row in run.values} | {len(tree["objectives"])}
    if (run.method, run.seed) != (tree["method"], tree["seed"]) or len(width) != 1:
        raise InputError(f"{file} is of another run: {run.method}, seed {run.seed}; remove it to run it again")
    return run
