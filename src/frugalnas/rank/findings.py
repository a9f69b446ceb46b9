"""How well each rating orders networks whose error is known, from the run folder of a study alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from frugalnas import config, launch
from frugalnas.core import Genotype, InputError, Trial
from frugalnas.objectives.count import COSTS
from frugalnas.rank.rungs import Rung
from frugalnas.rank.settings import NOTE, is_ranking
from frugalnas.rank.truth import LEAST_NETWORKS
from frugalnas.ranking import Estimate, best_ranked, compared, estimate_spearman, spearman
from frugalnas.record import Record, load
from frugalnas.report.effort import BASELINES
from frugalnas.schema import Tree

BEST = 10  # a network of so many is among the best, in the overlap
GIVEN = "macs"  # what the partial correlation takes out
_COMPLETE = 1 - 1e-9  # a correlation from which on nothing is left


@dataclass(frozen=True)
class Rating:
    """How one score orders the networks beside the truth.

    `scores`: of each network, minimised; None where it has none, which counts as the worst. `partial`: Spearman's
    correlation given the multiply-accumulates; None where these order the score completely. `overlap`: share of the
    best tenth by the truth that is in the best tenth by this. `chosen`: the true error of the network that this calls
    the best, the mean where several are. `seconds`: the median of a network on one core, None where it is not known, of
    `together` scores that come from one estimator.
    """

    name: str
    scores: tuple[float | None, ...]
    spearman: Estimate
    kendall: Estimate
    partial: Estimate | None
    overlap: float
    chosen: float
    seconds: float | None = None
    together: int = 1

    @property
    def failed(self) -> int:
        return self.scores.count(None)


@dataclass(frozen=True)
class Findings:
    """What is known so far. `networks`: those that all estimators have rated, of `asked`, with their `errors`.

    `rated`: every score, by falling Spearman correlation; `beside`: the baselines. With few networks both are empty.
    """

    record: Record
    truth: str
    source: str
    asked: int
    networks: tuple[Genotype, ...]
    errors: tuple[float, ...]
    rated: tuple[Rating, ...]
    beside: tuple[Rating, ...]

    @cached_property
    def beyond_size(self) -> tuple[Rating, ...]:
        """Those that order networks better than the baselines and tell more than size.

        Their correlation is above the baselines', and the interval of the partial one above 0. That of a baseline may
        be negative: then the smaller networks are the better ones, and counting tells as much.
        """
        least = max((abs(rating.spearman.value) for rating in self.beside), default=0.0)
        return tuple(r for r in self.rated if r.spearman.value > least and r.partial and r.partial.low > 0)

    def to_json(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        header = self.record.header
        return {
            "folder": str(self.record.folder),
            "version": header["version"],
            "truth": self.truth,
            "source": self.source,
            "networks": len(self.networks),
            "asked": self.asked,
            "elapsed_s": round(self.record.elapsed, 3),
            "best": min(self.errors, default=None),
            "rated": [_facts(rating) for rating in self.rated],
            "beside": [_facts(rating) for rating in self.beside],
            "beyond_size": [rating.name for rating in self.beyond_size],
            "config": header["config"],
        }


def _facts(rating: Rating) -> dict[str, Any]:
    return {key: value for key, value in asdict(rating).items() if key != "scores"} | {"failed": rating.failed}


def findings_in(folder: Path) -> Findings:
    """What the study in `folder` has found, finished or not. Raises InputError where there is none, or of a version."""
    record = load(folder)
    if not is_ranking(record.header["config"]):
        raise InputError(f"{folder} holds a search by {record.header['config']['method']!r}, no study of ratings")
    tree = launch.configuration_of(folder)
    try:
        return _findings(record, tree, config.make("space", tree["space"], record.header["facts"]))
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:  # a journal that was edited
        cause = f"{error}" if isinstance(error, InputError) else f"{type(error).__name__} {error}"
        raise InputError(f"{folder} holds a journal of no study of ratings: {cause}") from None


def _findings(record: Record, tree: Tree, space: Any) -> Findings:
    note = record.header[NOTE]
    listed = [tuple(genotype) for genotype in tree["strategy"]["genotypes"]]
    rungs = [Rung(str(label), tuple(map(str, values))) for label, values in note["rungs"]]
    truth = dict(zip(listed, map(float, note["errors"]), strict=True))
    columns = [_column(record, rung) for rung, _ in enumerate(rungs)]
    networks = [genotype for genotype in truth if all(genotype in column for column in columns)]
    errors = [truth[genotype] for genotype in networks]
    rated: list[Rating] = []
    beside: list[Rating] = []
    if len(networks) >= LEAST_NETWORKS:
        size = [COSTS[GIVEN](space, genotype) for genotype in networks]
        for rung, column in zip(rungs, columns, strict=True):
            seconds = _seconds(record, column)
            for value, name in rung.scores.items():
                scores = [column[genotype].values.get(value) for genotype in networks]
                rated.append(_rating(name, errors, scores, size, tree["seed"], seconds, len(rung.scores)))
        for name in BASELINES:
            scores = [-COSTS[name](space, genotype) for genotype in networks]
            beside.append(_rating(name, errors, scores, size, tree["seed"]))
    rated.sort(key=lambda rating: -rating.spearman.value)
    facts = str(note["truth"]), str(note["source"]), len(listed)
    return Findings(record, *facts, tuple(networks), tuple(errors), tuple(rated), tuple(beside))


def _column(record: Record, rung: int) -> Mapping[Genotype, Trial]:
    """What became of each network on a rung, without those that a limit rejected."""
    told = (trial for trial in record.trials if trial.candidate.rung == rung and trial.status != "rejected")
    return {trial.candidate.genotype: trial for trial in told}


def _seconds(record: Record, column: Mapping[Genotype, Trial]) -> float | None:
    spent = [record.seconds.get(trial.number) for trial in column.values() if trial.status == "done"]
    known = [seconds for seconds in spent if seconds is not None]
    return median(known) if known else None


def _rating(
    name: str,
    errors: Sequence[float],
    scores: Sequence[float | None],
    size: Sequence[float],
    seed: int,
    seconds: float | None = None,
    together: int = 1,
) -> Rating:
    """All take the same networks in their bootstraps, so that the intervals compare. `size` is what is given."""
    worst = max((score for score in scores if score is not None), default=0.0)
    after = math.nextafter(worst, math.inf)
    ranked = [after if score is None else score for score in scores]
    found = compared(errors, ranked, max(1, len(errors) // BEST), seed)
    partial = None
    if abs(spearman(ranked, size)) < _COMPLETE:
        partial = estimate_spearman(errors, ranked, np.random.default_rng(seed), given=size)
    rho, tau, overlap = found
    chosen = float(best_ranked(errors, ranked))
    return Rating(name, tuple(scores), rho, tau, partial, overlap, chosen, seconds, together)
