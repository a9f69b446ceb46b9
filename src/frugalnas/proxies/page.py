"""The page of a study of proxies: one file without scripts, which opens anywhere.

Everything from the run folder is escaped, and styles apply by their checksum only, as in the report of a search.
"""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files
from string import Template

from frugalnas.proxies.chart import chart, scatter
from frugalnas.proxies.findings import Findings
from frugalnas.proxies.rungs import RULE
from frugalnas.proxies.settings import LEAST_NETWORKS
from frugalnas.proxies.text import HEADER, command_of, row_of, verdict
from frugalnas.report import amount, still
from frugalnas.report.effort import duration
from frugalnas.report.page import table_of, versions_of

_MEANING = (
    "A dot is a proxy: how well its errors order the networks as the reference {reference} does, and what a training "
    "costs. Red are those that no other beats in both; a ring marks the rungs of the ladder. The dashed lines are what "
    "counting parameters or multiply-accumulates reaches without any training, and how far the reference agrees with "
    "itself when it is trained again: a proxy that is as noisy cannot reach more than that."
)


def page_of(findings: Findings) -> str:
    """The whole page."""
    record = findings.record
    tree = record.header["config"]
    limits = ", ".join(f"{name} ≤ {amount(name, float(value))}" for name, value in tree["limits"].items())
    facts = f"Space and recipe of {tree['preset']}; limits: {limits or 'none'}; seed {tree['seed']}"
    meaning = _MEANING if findings.rated else f"Nothing can be said before {LEAST_NETWORKS} networks are rated."
    ratings = (*findings.rated, *findings.beside)
    rows = [[escape(cell) for cell in row_of(findings, rating)] for rating in ratings]
    body = Template(files("frugalnas.proxies").joinpath("page.html").read_text("utf-8")).substitute(
        reference=findings.reference,
        source=escape(str(tree["data"]["source"])),
        facts=escape(facts),
        stats=_stats(findings),
        meaning=escape(meaning.format(reference=findings.reference)),
        chart=chart(findings) if findings.rated else "",
        table=table_of("", HEADER, rows),
        verdict=escape(verdict(findings)),
        command=f"<pre>{escape(command_of(findings))}</pre>" if findings.reliable else "",
        rule=escape(RULE),
        scatters="".join(scatter(rating) for rating in ratings if rating.cost),
        versions=escape(versions_of(record)),
        config=escape(json.dumps(tree, indent=1)),
    )
    return still.page(f"proxies in {record.folder.resolve().name}", body)


def _stats(findings: Findings) -> str:
    record = findings.record
    done = [trial for trial in record.trials if trial.status == "done"]
    return still.stats(
        {
            "networks": f"{findings.networks:,} of {record.header['config']['strategy']['networks']}",
            "trainings": f"{len(done):,}",
            "failed": f"{sum(trial.status == 'failed' for trial in record.trials):,}",
            "wall time": duration(record.elapsed),
        }
    )
