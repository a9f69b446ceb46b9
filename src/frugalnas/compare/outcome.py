"""What a comparison says: curves over the budget, a rank test, costs. All from the runs, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalnas import pareto
from frugalnas.compare.runs import Run, Unit
from frugalnas.compare.significance import Contrast, contrasts, enough, least_p, mean_ranks
from frugalnas.report import amount, csv_of

RANDOM = "random"
PLACES = 100  # equal parts of the budget, at the ends of which the curves have a point
QUARTERS = (25, 50, 75, 100)  # per cent of the budget
MOST_OBJECTIVES = 5  # with more of them a hypervolume takes too long
_ABOVE = 1.005  # of a budget still is within it: a share of the images is rounded class by class
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """What there is to be found in a table: all that a comparison without one has to estimate from its runs.

    `best_test`: the least test error. `best`, `worst`: the least and the greatest value of each objective. `volume`:
    the hypervolume of the true front, with each objective scaled so that `best` is 0 and `worst`, the reference, is 1.
    `members`: architectures of the true front, of `size` in the table, out of `space` that there are.
    """

    best_test: float
    best: tuple[float, ...]
    worst: tuple[float, ...]
    volume: float
    members: int
    size: int
    space: int


@dataclass(frozen=True)
class Curve:
    """One measure by method: (seeds, PLACES + 1), the values at equal steps from nothing to all of the budget.

    `sign` is 1 where smaller is better, -1 where larger is. Where nothing is rated yet the value is infinite, or 0.
    """

    name: str
    title: str
    sign: int
    values: Mapping[str, Numbers]

    def quartiles(self, method: str) -> Numbers:
        """The quartiles over the seeds (3, PLACES + 1): 25 %, median, 75 %."""
        with np.errstate(invalid="ignore"):
            found = np.quantile(self.values[method], (0.25, 0.5, 0.75), axis=0)
        return np.where(np.isnan(found), math.inf, found)  # between a number and infinity

    def final(self, method: str) -> Numbers:
        """The values at the end of the budget, one for each seed, with the smaller the better."""
        ends = np.array([self.values[each][:, -1] for each in self.values])
        most = ends[np.isfinite(ends)].max(initial=0.0) + 1.0  # of a run that rated nothing: worse than all others
        last = self.values[method][:, -1]
        return self.sign * np.where(np.isfinite(last), last, most)

    def words(self, value: float) -> str:
        """A value for people."""
        return amount(self.name, value) if math.isfinite(value) else "none"


@dataclass(frozen=True)
class Outcome:
    """What has ended of a comparison: `runs` in the order of methods, then seeds. `budget` in `unit`, the same for all.

    `referee`: the estimator that gave every value, for people. `planned`: how many seeds there are to be.
    """

    title: str
    referee: str
    objectives: tuple[str, ...]
    unit: Unit
    budget: float
    runs: tuple[Run, ...]
    truth: Truth | None = None
    planned: int = 0

    @cached_property
    def methods(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(run.method for run in self.runs))

    @cached_property
    def seeds(self) -> int:
        return len(self.runs) // len(self.methods)

    def of(self, method: str) -> Sequence[Run]:
        """The runs of a method, by seed."""
        return [run for run in self.runs if run.method == method]

    @cached_property
    def reference(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The least and the greatest value of each objective: of the table, else of all networks of all runs."""
        if self.truth:
            return self.truth.best, self.truth.worst
        rows = [row for run in self.runs for row in run.values]
        if not rows:
            return (0.0,) * len(self.objectives), (1.0,) * len(self.objectives)
        return tuple(map(min, zip(*rows, strict=True))), tuple(map(max, zip(*rows, strict=True)))

    @cached_property
    def curves(self) -> tuple[Curve, ...]:
        """The best value of the first objective, the hypervolume, and with a table the regret."""
        first = self.objectives[0]
        found = [self._curve(first, f"best {first}", 1, lambda run: np.array([row[0] for row in run.values]))]
        if 1 < len(self.objectives) <= MOST_OBJECTIVES:
            best, worst = self.reference
            whole = self.truth.volume if self.truth else 1.0
            name = "hypervolume" + (", share of the true front's" if self.truth else "")
            found.append(self._curve("hypervolume", name, -1, lambda run: volumes(run.values, best, worst) / whole))
        if self.truth and all(error is not None for run in self.runs for error in run.test_errors):
            least = self.truth.best_test
            found.append(self._curve("regret", "regret in test error", 1, lambda run: incumbents(run) - least, True))
        return tuple(found)

    def _curve(self, name: str, title: str, sign: int, measure: Callable[[Run], Numbers], as_is: bool = False) -> Curve:
        """The measure of each network of a run, so far the best of them unless `as_is`, at the places of the budget."""
        places = np.linspace(0, self.budget, PLACES + 1)
        worst = math.inf if sign > 0 else 0.0

        def over(run: Run) -> Numbers:
            so_far = measure(run) if run.values else np.zeros(0)
            if sign > 0 and not as_is:
                so_far = np.minimum.accumulate(so_far)
            told = np.searchsorted(np.asarray(run.spent(self.unit), float), places * _ABOVE, side="right")
            return np.concatenate([[worst], so_far])[told]

        return Curve(name, title, sign, {m: np.array([over(run) for run in self.of(m)]) for m in self.methods})

    @cached_property
    def tests(self) -> dict[str, tuple[list[Contrast], list[Contrast]]]:
        """By curve, at the end of the budget: each method against its random twin, and all others by pairs."""
        others = [method for method in self.methods if method != RANDOM]
        twins = [(method, RANDOM) for method in others]
        pairs = [(a, b) for place, a in enumerate(others) for b in others[place + 1 :]]
        found = {}
        for curve in self.curves:
            final = {method: curve.final(method) for method in self.methods}
            found[curve.name] = (contrasts(final, twins), contrasts(final, pairs))
        return found

    @cached_property
    def ranks(self) -> dict[str, dict[str, float]]:
        """By curve, the mean rank of each method over the seeds."""
        return {curve.name: mean_ranks({m: curve.final(m) for m in self.methods}) for curve in self.curves}

    @cached_property
    def caution(self) -> str:
        """What so many seeds can show, in a sentence, and whether there will be more."""
        more = self.seeds < self.planned
        ended = f"{self.seeds} of {self.planned} seeds have ended with every method. " if more else ""
        return ended + self._power()

    def _power(self) -> str:
        others = len(self.methods) - 1
        tests = max(others, others * (others - 1) // 2)
        least, needed = least_p(self.seeds, others), enough(others)
        if self.seeds < needed:
            return (
                f"With {self.seeds} seed{'s' * (self.seeds > 1)} no difference can be significant: the smallest p that "
                f"the test can give here is {least:.2g}. {needed} seeds or more can reach 0.05 against random"
                + (f", {enough(tests)} between all pairs." if tests > others else ".")
            )
        words = f"With {self.seeds} seeds the smallest p that the test can give against random is {least:.2g}."
        if self.seeds < enough(tests):
            words += f" Between all pairs none can be significant before {enough(tests)} seeds."
        return words

    def costs(self, method: str) -> dict[str, float]:
        """Medians over the seeds of what a run of the method spent."""
        names = ("spent_epochs", "spent_images", "seconds", "networks", "spent_trials", "rejected", "failed")
        return {name.removeprefix("spent_"): median(getattr(run, name) for run in self.of(method)) for name in names}

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON values; None for what is infinite."""
        return {
            "title": self.title,
            "referee": self.referee,
            "unit": self.unit,
            "budget": self.budget,
            "seeds": self.seeds,
            "objectives": list(self.objectives),
            "truth": asdict(self.truth) if self.truth else None,
            "methods": {
                method: {
                    **{
                        curve.name: {f"{p} %": _plain(curve.quartiles(method)[:, p * PLACES // 100]) for p in QUARTERS}
                        for curve in self.curves
                    },
                    "mean_rank": {name: round(ranks[method], 4) for name, ranks in self.ranks.items()},
                    "costs": self.costs(method),
                }
                for method in self.methods
            },
            "tests": {
                name: {"against random": [asdict(c) for c in twins], "between methods": [asdict(c) for c in pairs]}
                for name, (twins, pairs) in self.tests.items()
            },
            "caution": self.caution,
        }

    def runs_csv(self) -> str:
        """A row for every run."""
        header = ["method", "seed", "ended"]
        header += [f"{curve.name}_{percent}" for curve in self.curves for percent in QUARTERS]
        header += ["epochs", "images", "seconds", "networks", "trials", "rejected", "failed"]
        rows = []
        for method in self.methods:
            for place, run in enumerate(self.of(method)):
                ends = [c.values[method][place, p * PLACES // 100] for c in self.curves for p in QUARTERS]
                spent = [run.spent_epochs, run.spent_images, run.seconds, run.networks, run.spent_trials]
                row = [method, run.seed, run.ended, *("" if math.isinf(end) else f"{end:.10g}" for end in ends)]
                rows.append([*row, *(f"{number:.10g}" for number in spent), run.rejected, run.failed])
        return csv_of([header, *rows])

    def curves_csv(self) -> str:
        """The quartiles of each method at every place of the budget."""
        header = [
            "method",
            self.unit,
            *(f"{curve.name}_{q}" for curve in self.curves for q in ("q25", "median", "q75")),
        ]
        rows = []
        for method in self.methods:
            table = np.concatenate([curve.quartiles(method) for curve in self.curves])  # (3 curves, PLACES + 1)
            for place, column in enumerate(table.T):
                cells = ["" if math.isinf(value) else f"{value:.10g}" for value in column]
                rows.append([method, f"{self.budget * place / PLACES:.10g}", *cells])
        return csv_of([header, *rows])


def volumes(values: Sequence[Sequence[float]], best: Sequence[float], worst: Sequence[float]) -> Numbers:
    """The hypervolume of the first 1, 2, ... of the points (n, m), as a share of the box from `best` to `worst`."""
    low, span = np.asarray(best, float), np.asarray(worst, float) - np.asarray(best, float)
    scaled = (np.asarray(values, float) - low) / np.where(span > 0, span, 1.0)  # (n, m)
    front, shares = scaled[:0], np.zeros(len(scaled))
    for place, row in enumerate(scaled):
        if (front <= row).all(axis=1).any():  # another is as good in everything
            shares[place] = shares[place - 1]
            continue
        front = np.concatenate([front[(front < row).any(axis=1)], row[None]])
        shares[place] = pareto.hypervolume(front, (1.0,) * len(best))
    return shares


def incumbents(run: Run) -> Numbers:
    """The test error of the network that is the best so far by the first objective, on validation, after each one."""
    chosen, least = [], math.inf
    for row, error in zip(run.values, run.test_errors, strict=True):
        if row[0] < least:
            least, now = row[0], float(error or 0.0)
        chosen.append(now)
    return np.array(chosen)


def _plain(values: Numbers) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]
