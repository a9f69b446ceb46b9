"""What a search for an assignment found: its front, the one within the limit, and the networks of any of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from torch import nn

from frugalnas import pareto
from frugalnas.assign.estimate import Subject
from frugalnas.assign.search import OBJECTIVES, Settings
from frugalnas.assign.space import Assignments
from frugalnas.core import InputError, Trial
from frugalnas.multipliers import Multiplier
from frugalnas.report import amount, table
from frugalnas.report.multiplier_map import Load

_SLACK = 1e-9  # of errors that are equal but for their rounding


@dataclass(frozen=True, eq=False)
class Approximated:
    """Assignments that were rated, in the order told. Errors are those on the tuning images.

    `space` has the layers and the multipliers, `settings` the limit. What takes a trial takes its number, or None for
    the chosen one. `ended`: see `Study.run`.
    """

    subject: Subject = field(repr=False)
    space: Assignments = field(repr=False)
    settings: Settings
    trials: tuple[Trial, ...] = field(repr=False)
    ended: str = "finished"

    @cached_property
    def front(self) -> Sequence[Trial]:
        """The assignments of which no other has less error and less energy, the most accurate first."""
        return pareto.front(self.trials, OBJECTIVES)

    @cached_property
    def exact(self) -> Trial:
        """All multipliers exact. Raises InputError where that failed, or was not rated yet."""
        for trial in self.trials:
            if trial.candidate.genotype == self.space.uniform[0]:
                if trial.status == "done":
                    return trial
                raise InputError(f"the network with exact 8-bit multipliers could not be rated: {trial.reason}")
        raise InputError("the network with exact 8-bit multipliers was not rated: expected more time, or trials")

    @property
    def limit(self) -> float:
        """The largest error that is accepted."""
        return self.exact.values["error"] + self.settings.max_loss

    @cached_property
    def chosen(self) -> Trial:
        """The assignment of the lowest energy whose error is within the limit."""
        limit = self.limit + _SLACK
        within = [t for t in self.trials if t.status == "done" and t.values["error"] <= limit]
        return min(within, key=lambda trial: (trial.values["energy"], trial.values["error"], trial.number))

    def trial(self, number: int | None = None) -> Trial:
        """The trial of that number. Raises InputError for one that was not rated."""
        if number is None:
            return self.chosen
        found = next((t for t in self.trials if t.number == number and t.status == "done"), None)
        if found is None:
            raise InputError(f"trial {number} was not rated: expected one of 0 to {len(self.trials) - 1} that was")
        return found

    def assignment(self, trial: int | None = None) -> dict[str, Multiplier]:
        """The multiplier of each layer by its name, in the order they run."""
        return self.space.named(self.trial(trial).candidate.genotype)

    def network(self, trial: int | None = None) -> nn.Module:
        """A copy of the network with these multipliers, in evaluation mode; it can be trained on."""
        return self.subject.approximated(self.assignment(trial))

    def loads(self, trial: int | None = None) -> tuple[Load, ...]:
        """The work of each layer, for `report.multiplier_map.svg_of_loads`."""
        genotype = self.trial(trial).candidate.genotype
        return tuple(
            Load(layer.name, layer.kind, layer.multiplications, self.space.multipliers[g].name, self.space.powers[g])
            for layer, g in zip(self.space.layers, genotype, strict=True)
        )

    def summary(self) -> str:
        """What was found, for people."""
        exact, chosen = self.exact.values, self.chosen.values
        rated = sum(trial.status == "done" for trial in self.trials)
        lines = [
            f"{rated:,} assignments rated, {len(self.front)} on the front; {len(self.space.layers)} layers, "
            f"{len(self.space.multipliers)} multipliers, {self.space.multiplications:,} multiplications",
            f"exact 8-bit: error {amount('error', exact['error'])}; accepted: up to {amount('error', self.limit)}",
            f"chosen: trial {self.chosen.number}, error {amount('error', chosen['error'])}, "
            f"energy {chosen['relative_energy']:.1%} of that with exact multipliers",
            "",
            table(["layer", "kind", "multiplications", "multiplier", "power"], [*map(_row, self.loads())]),
        ]
        return "\n".join(lines)


def _row(load: Load) -> list[str]:
    return [load.name, load.kind, f"{load.multiplications:,}", load.multiplier, f"{load.power:.1%}"]
