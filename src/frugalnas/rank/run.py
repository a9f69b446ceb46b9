"""Running a study of ratings: a search whose strategy asks for listed networks on every rung, with its own files."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path

from frugalnas import launch
from frugalnas.rank.findings import Findings, Rating, findings_in
from frugalnas.rank.page import page_of
from frugalnas.report import csv_of, write_texts
from frugalnas.schema import Tree

TABLE, NETWORKS, PAGE = "rank.csv", "networks.csv", "rank.html"


@dataclass(frozen=True)
class Ranked:
    """A study that has ended, for now. `ended`: see `Study.run`."""

    findings: Findings
    ended: str


def begin(tree: Tree, note: Tree, out: str | Path | None = None, progress: launch.Progress | None = None) -> Ranked:
    """Start the study that `settings.study_of` describes; journal and files are in `out` (a new folder in `runs/`)."""
    written: list[Findings] = []  # as finding takes a while where networks are many
    ended = launch.begin(tree, out, progress, write=_keeping(written), noted=note).ended
    return Ranked(written[-1], ended)


def resume(
    folder: str | Path,
    *,
    trials: int | None = None,
    minutes: float | None = None,
    workers: int | None = None,
    progress: launch.Progress | None = None,
) -> Ranked:
    """Go on with the study in `folder`, as `launch.resume` does with a search."""
    written: list[Findings] = []
    write = _keeping(written)
    result = launch.resume(folder, trials=trials, minutes=minutes, workers=workers, progress=progress, write=write)
    return Ranked(written[-1], result.ended)


def _keeping(written: list[Findings]) -> launch.Writer:
    return lambda folder: written.append(write_findings(folder))


def write_findings(folder: Path) -> Findings:
    """Write `rank.csv`, `networks.csv` and `rank.html` into the folder of a study, also while it runs.

    Returns what they were made of. Raises InputError as `findings_in`.
    """
    findings = findings_in(folder)
    write_texts(folder, {TABLE: _csv(findings), NETWORKS: _networks(findings), PAGE: page_of(findings)})
    return findings


def _csv(findings: Findings) -> str:
    """A row for each score."""
    statistics = [f"{name}{end}" for name in ("spearman", "kendall", "partial") for end in ("", "_low", "_high")]
    header = ["score", "networks", *statistics, "overlap", "chosen", "best", "failed", "seconds", "together"]
    rows: list[list[object]] = [[*header]]
    for rating in (*findings.rated, *findings.beside):
        estimates = [*astuple(rating.spearman), *astuple(rating.kendall)]
        estimates += astuple(rating.partial) if rating.partial else [None] * 3
        truth = [rating.overlap, rating.chosen, min(findings.errors)]
        cost = [rating.failed, rating.seconds, rating.together]
        rows.append([rating.name, len(findings.networks), *estimates, *truth, *cost])
    return csv_of(rows)


def _networks(findings: Findings) -> str:
    """A row for each network: the truth, and each score, minimised; without one where it failed."""
    ratings: list[Rating] = [*findings.beside, *findings.rated]
    header = ["network", findings.truth, *(rating.name for rating in ratings), "genotype"]
    rows: list[list[object]] = [[*header]]
    for place, (genotype, error) in enumerate(zip(findings.networks, findings.errors, strict=True)):
        scores = [rating.scores[place] for rating in ratings]
        costs = [None if score is None else -score for score in scores[: len(findings.beside)]]
        rows.append([place, error, *costs, *scores[len(findings.beside) :], " ".join(map(str, genotype))])
    return csv_of(rows)
