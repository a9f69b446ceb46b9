"""What a study found, from its journal alone: tables of the front and of all trials, and a page with plots."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from frugalnas import pareto, store
from frugalnas.core import Trial


@dataclass(frozen=True)
class Record:
    """A study as its files tell it. `seconds` by trial number are worker time, `elapsed` is wall time in seconds."""

    folder: Path
    header: Mapping[str, Any]
    trials: tuple[Trial, ...]
    seconds: Mapping[int, float]
    elapsed: float

    @property
    def objectives(self) -> tuple[str, ...]:
        return tuple(self.header["config"]["objectives"])

    @property
    def front(self) -> Sequence[Trial]:
        return pareto.front(self.trials, self.objectives)

    @property
    def columns(self) -> tuple[str, ...]:
        """The objectives, then every other value that some trial has."""
        others = dict.fromkeys(name for trial in self.trials for name in trial.values if name not in self.objectives)
        return (*self.objectives, *others)

    def to_json(self) -> dict[str, Any]:
        """Facts about the study and its front, as plain JSON values."""
        return {
            "folder": str(self.folder),
            "version": self.header["version"],
            "config": self.header["config"],
            "objectives": list(self.objectives),
            "statuses": dict(Counter(trial.status for trial in self.trials)),
            "reasons": dict(reasons(self.trials)),
            "elapsed_s": round(self.elapsed, 3),
            "front": [
                {"trial": trial.number, "values": dict(trial.values), "genotype": list(trial.candidate.genotype)}
                for trial in self.front
            ],
        }


def load(folder: Path) -> Record:
    """The study in `folder`, whether it is finished, interrupted or running. Raises InputError where there is none."""
    header, events = store.read(folder)
    entries = store.times(folder)
    seconds = {entry["tell"]: entry["seconds"] for entry in entries if "tell" in entry}
    elapsed = max((entry["elapsed"] for entry in entries), default=0.0)
    return Record(folder, header, tuple(store.trials_of(events)), seconds, elapsed)


def reasons(trials: Sequence[Trial]) -> list[tuple[str, int]]:
    """Why trials were rejected (by the limit they broke) or failed (by message), most frequent first."""
    named = Counter(
        f"rejected by {trial.broken}" if trial.status == "rejected" else f"failed: {trial.reason}"
        for trial in trials
        if trial.status != "done"
    )
    return named.most_common()


def write_report(folder: Path) -> Record:
    """Write `front.csv`, `trials.csv` and `report.html` into the run folder; returns what they were made of."""
    record = load(folder)
    store.write_atomically(folder / "front.csv", _csv(record, record.front))
    store.write_atomically(folder / "trials.csv", _csv(record, record.trials))
    store.write_atomically(folder / "report.html", _page(record))
    return record


def _csv(record: Record, trials: Sequence[Trial]) -> str:
    front = {trial.number for trial in record.front}
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["trial", "status", "front", *record.columns, "seconds", "reason", "genotype"])
    for trial in trials:
        values = [trial.values.get(name, "") for name in record.columns]
        genotype = " ".join(map(str, trial.candidate.genotype))
        seconds = record.seconds.get(trial.number, "")
        writer.writerow(
            [trial.number, trial.status, int(trial.number in front), *values, seconds, trial.reason, genotype]
        )
    return file.getvalue()


def amount(name: str, value: float) -> str:
    """A value for people: a share in per cent, a count with its unit prefix."""
    if name.startswith("error"):
        return f"{100 * value:.2f} %"
    if value >= 1e4:
        for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
            if value >= size:
                return f"{value / size:,.3g} {unit}" if value < 1e3 * size else f"{value / size:,.0f} {unit}"
    return f"{value:,.4g}"


def shown(record: Record, trial: Trial) -> list[str]:
    """The objectives of a done trial, for people."""
    return [amount(name, trial.values[name]) for name in record.objectives]


def summary(record: Record) -> str:
    """How many networks were rated, rejected and failed, and how long it took, in one line."""
    count = Counter(trial.status for trial in record.trials)
    counted = (
        f"{count['done']:,} networks rated, {count['rejected']:,} rejected before training, {count['failed']:,} failed"
    )
    return f"{counted}, in {record.elapsed / 60:.1f} min"


def _label(record: Record, trial: Trial) -> str:
    values = (f"{name} {amount(name, trial.values[name])}" for name in record.objectives)
    return "<br>".join([f"trial {trial.number}", *values])


def _plot(record: Record, across: str, with_library: bool) -> str:
    """Error against one other objective: every done trial, and the front of all objectives on top."""
    import plotly.graph_objects as go
    import plotly.io

    upright = record.objectives[0]
    done = [trial for trial in record.trials if trial.status == "done"]
    figure = go.Figure()
    for name, trials, marker in (
        ("dominated", [t for t in done if t not in record.front], {"color": "#a9b4c2", "size": 7}),
        ("front", list(record.front), {"color": "#c8102e", "size": 11}),
    ):
        figure.add_scatter(
            x=[t.values[across] for t in trials],
            y=[t.values[upright] for t in trials],
            mode="markers",
            name=name,
            marker=marker,
            text=[
                "<br>".join([f"trial {t.number}", *(f"{n} {amount(n, t.values[n])}" for n in record.objectives)])
                for t in trials
            ],
            hoverinfo="text",
        )
    percent = ".0%" if upright.startswith("error") else None
    figure.update_layout(
        template="plotly_white",
        height=460,
        margin={"l": 70, "r": 20, "t": 20, "b": 60},
        xaxis={"title": across, "tickformat": "~s"},
        yaxis={"title": f"{upright} (validation)", "tickformat": percent},
        legend={"orientation": "h", "y": 1.08},
    )
    return str(plotly.io.to_html(figure, full_html=False, include_plotlyjs=with_library, div_id=f"plot-{across}"))


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.7rem; margin: 0 } h2 { font-size: 1.2rem; margin-top: 2.2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } td, th { padding: .25rem .9rem .25rem 0 }
td, th { text-align: right }
th { border-bottom: 1px solid #a9b4c2; font-weight: 600 }
pre { background: #f3f5f8; padding: 1rem; overflow: auto; font-size: .85rem }
td:first-child, th:first-child { text-align: left } .quiet { color: #5a6878 }
"""


def _page(record: Record) -> str:
    config = record.header["config"]
    plots = [_plot(record, name, with_library=i == 0) for i, name in enumerate(record.objectives[1:])]
    rows = "".join(
        f"<tr><td>{trial.number}</td>"
        + "".join(f"<td>{amount(n, trial.values[n])}</td>" for n in record.objectives)
        + "</tr>"
        for trial in record.front
    )
    causes = "".join(f"<li>{n:,} {escape(reason)}</li>" for reason, n in reasons(record.trials)[:20])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>FrugalNAS: {escape(str(record.folder.name))}</title>
<style>{_STYLE}</style></head><body>
<h1>{escape(config["method"])} on {escape(str(config["data"]["source"]))}</h1>
<p class="quiet">{summary(record)},
{sum(record.seconds.values()) / 60:.1f} min of worker time; seed {config["seed"]}; FrugalNAS
{escape(str(record.header["version"]))}.
Values are of the validation part, never of the test part.</p>
<h2>Pareto front</h2>
<table><tr><th>trial</th>{"".join(f"<th>{escape(n)}</th>" for n in record.objectives)}</tr>{rows}</table>
{"".join(plots)}
{f"<h2>Rejected and failed</h2><ul>{causes}</ul>" if causes else ""}
<h2>Configuration</h2><pre>{escape(json.dumps(config, indent=1))}</pre>
</body></html>
"""
