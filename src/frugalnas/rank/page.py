"""The page of a study of ratings: one file without scripts, which opens anywhere.

Everything from the run folder is escaped, and styles apply by their checksum only, as in the report of a search.
"""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files
from string import Template

from frugalnas.rank.chart import chart, scatter
from frugalnas.rank.findings import GIVEN, Findings
from frugalnas.rank.text import HEADER, notes, row_of, truth_of, verdict
from frugalnas.rank.truth import LEAST_NETWORKS
from frugalnas.report import amount, still
from frugalnas.report.effort import duration
from frugalnas.report.page import table_of, versions_of

_MEANING = (
    "A row is a score: how well it orders the networks as the truth does (red), and what is left of that given "
    f"{GIVEN}, once what both owe to the size of the networks is taken out (blue). The dashed lines are what counting "
    "parameters or multiply-accumulates reaches, which costs nothing: a score to the left of them, or one whose blue "
    "line touches zero, may be worth no more. In bold are those that pass both."
)


def page_of(findings: Findings) -> str:
    """The whole page."""
    record = findings.record
    tree = record.header["config"]
    ratings = (*findings.rated, *findings.beside)
    rows = [[escape(cell) for cell in row_of(findings, rating)] for rating in ratings]
    meaning = _MEANING if ratings else f"Nothing can be said before {LEAST_NETWORKS} networks are rated."
    said = "".join(f"<li>{escape(line)}</li>" for line in notes(findings)) if ratings else ""
    many = f"{len(tree['strategy']['genotypes']):,} of them: see networks.csv"
    shown = tree | {"strategy": tree["strategy"] | {"genotypes": many}}
    body = Template(files("frugalnas.rank").joinpath("page.html").read_text("utf-8")).substitute(
        networks=f"{len(findings.networks):,}",
        source=escape(str(tree["data"]["source"])),
        facts=escape(f"Networks of {tree['preset']}, seed {tree['seed']}. {truth_of(findings)}"),
        stats=_stats(findings),
        meaning=escape(meaning),
        chart=chart(findings) if ratings else "",
        verdict=escape(verdict(findings)) if ratings else "",
        table=table_of("", HEADER, rows),
        notes=f'<ul class="quiet">{said}</ul>' if said else "",
        scatters="".join(scatter(findings, rating) for rating in ratings),
        versions=escape(versions_of(record)),
        config=escape(json.dumps(shown, indent=1)),
    )
    return still.page(f"ratings in {record.folder.resolve().name}", body)


def _stats(findings: Findings) -> str:
    failed = sum(trial.status == "failed" for trial in findings.record.trials)
    entries = {
        "networks rated": f"{len(findings.networks):,} of {findings.asked:,}",
        "scores": f"{len(findings.rated):,}",
        "ratings that failed": f"{failed:,}",
        "wall time": duration(findings.record.elapsed),
    }
    if findings.errors:
        best = {f"best {findings.truth.replace('_', ' ')}": amount(findings.truth, min(findings.errors))}
        entries = {"networks rated": entries["networks rated"]} | best | entries
    return still.stats(entries)
