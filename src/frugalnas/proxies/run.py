"""Running a study of proxies: a search whose strategy asks for every network on every rung, with files of its own."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from pathlib import Path

from frugalnas import launch
from frugalnas.proxies import rungs
from frugalnas.proxies.findings import Cost, Findings, Rating, findings_in
from frugalnas.proxies.page import page_of
from frugalnas.report import csv_of, write_texts
from frugalnas.schema import Tree

TABLE, PAGE = "proxies.csv", "proxies.html"


@dataclass(frozen=True)
class Studied:
    """A study that has ended, for now. `ended`: see `Study.run`."""

    findings: Findings
    ended: str


def begin(tree: Tree, out: str | Path | None = None, progress: launch.Progress | None = None) -> Studied:
    """Start the study that `settings.study_of` describes; journal and files are in `out` (a new folder in `runs/`)."""
    result = launch.begin(tree, out, progress, write=write_findings)
    return Studied(findings_in(result.folder), result.ended)


def resume(
    folder: str | Path,
    *,
    trials: int | None = None,
    minutes: float | None = None,
    epochs: float | None = None,
    workers: int | None = None,
    progress: launch.Progress | None = None,
) -> Studied:
    """Go on with the study in `folder`, as `launch.resume` does with a search."""
    result = launch.resume(
        folder,
        trials=trials,
        minutes=minutes,
        epochs=epochs,
        workers=workers,
        progress=progress,
        write=write_findings,
    )
    return Studied(findings_in(result.folder), result.ended)


def write_findings(folder: Path) -> Findings:
    """Write `proxies.csv`, `proxies.html` and `ladder.json` into the folder of a study, also while it runs.

    Returns what they were made of. Raises InputError as `findings_in`.
    """
    findings = findings_in(folder)
    write_texts(folder, {TABLE: _csv(findings), PAGE: page_of(findings), rungs.FILE: rungs.content_of(findings)})
    return findings


def _csv(findings: Findings) -> str:
    statistics = [f"{name}{end}" for name in ("spearman", "kendall") for end in ("", "_low", "_high")]
    costs = [f"{prefix}{field.name}" for prefix in ("", "relative_") for field in fields(Cost)]
    rows: list[list[object]] = [
        ["score", "networks", *statistics, "overlap", "error", *costs, "front", "reliable", "ladder"]
    ]
    for rating in (*findings.rated, *findings.beside):
        chosen = [int(rating in findings.front), int(rating in findings.reliable), int(rating.name in findings.ladder)]
        rows.append([rating.name, len(rating.pairs), *_numbers(rating), *chosen])
    return csv_of(rows)


def _numbers(rating: Rating) -> list[float | None]:
    rho, tau = astuple(rating.spearman), astuple(rating.kendall)
    costs = [value for cost in (rating.cost, rating.relative) for value in (astuple(cost) if cost else [None] * 4)]
    return [*rho, *tau, rating.overlap, rating.error, *costs]
