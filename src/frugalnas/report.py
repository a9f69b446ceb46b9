"""What a study found, from its journal alone: tables of the front and of all trials, and a page with plots."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

from frugalnas import pareto, store
from frugalnas.core import Trial
from frugalnas.record import Record, load, reasons

KNEE = " (knee)"
TITLES = {
    "error": "validation error",
    "params": "parameters",
    "macs": "multiply-accumulates for one image",
    "model_bytes": "model size in bytes",
    "peak_bytes": "peak activation memory in bytes",
}


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
    """A value for people: an error in per cent, a count or bytes with their unit prefix."""
    if name == "error":
        return f"{100 * value:.2f} %"
    unit = "B" if name.endswith("_bytes") else ""
    prefix, size = next((p for p in (("G", 1e9), ("M", 1e6), ("k", 1e3)) if value >= max(p[1], 1e4)), ("", 1.0))
    number = f"{value / size:,.4g}" if value < 1e4 * size else f"{value / size:,.0f}"
    return f"{number} {prefix}{unit}".rstrip()


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Plain text: the first column to the left, the others, which are numbers, to the right."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    texts = [
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    ]
    return "\n".join(text.rstrip() for text in [texts[0], "-" * len(texts[0]), *texts[1:]])


def front_table(front: Sequence[Trial], objectives: Sequence[str], shown: Sequence[Trial] | None = None) -> str:
    """The front, or those of it that are `shown`, as plain text, a network a line; the front's knee is marked."""
    return table(["trial", *objectives], _rows(front, objectives, objectives, shown))


def _rows(
    front: Sequence[Trial], objectives: Sequence[str], columns: Sequence[str], shown: Sequence[Trial] | None = None
) -> list[list[str]]:
    knee = pareto.knee(front, objectives).number if front else None
    return [
        [
            f"{trial.number}{KNEE if trial.number == knee else ''}",
            *(amount(name, trial.values[name]) if name in trial.values else "" for name in columns),
        ]
        for trial in (front if shown is None else shown)
    ]


def text_of(record: Record, pick: int | None = None) -> str:
    """What a study found, for people: how many networks, why not more of them, and the front or `pick` of it."""
    lines = [summary(record), *(f"  {number:,} {reason}" for reason, number in reasons(record.trials)[:5])]
    if not record.front:
        return "\n".join([*lines, "No front: no network was rated."])
    shown = record.pick(pick)
    part = "" if pick is None else f", {len(shown)} of {len(record.front)}"
    rows = front_table(record.front, record.objectives, shown)
    return "\n".join([*lines, "", f"Pareto front (validation part){part}", rows])


def ending_of(record: Record, ended: str) -> str:
    """What to say at the end of a search: what was found, where it is, and how to go on. `ended` as in `Result`."""
    lines = [text_of(record), "", f"Report: {record.folder / 'report.html'}"]
    if record.front:
        lines.append(f"Draw a network: frugalnas show {record.folder} --svg cells.svg (the knee; any other: --trial N)")
    if ended == "minutes":
        lines.append(f"Stopped at the time limit; go on with: frugalnas resume {record.folder} --minutes ...")
    if ended == "finished":
        lines.append("Finished: the strategy has nothing more to ask.")
    return "\n".join(lines)


def summary(record: Record) -> str:
    """How many networks were rated, rejected and failed, and how long it took, in one line."""
    count = Counter(trial.status for trial in record.trials)
    counted = (
        f"{count['done']:,} networks rated, {count['rejected']:,} rejected before training, {count['failed']:,} failed"
    )
    return f"{counted}, in {record.elapsed / 60:.1f} min"


def _hover(record: Record, trial: Trial) -> str:
    values = (f"{escape(name)} {amount(name, trial.values[name])}" for name in record.columns if name in trial.values)
    return "<br>".join([f"<b>trial {trial.number}</b>", *values])


def _plot(record: Record, across: str, number: int) -> str:
    """The first objective against another one: every done trial, and on top the front of all objectives.

    The line is the front of these two objectives alone.
    """
    import plotly.graph_objects as go
    import plotly.io

    upright = record.objectives[0]
    done = [trial for trial in record.trials if trial.status == "done"]
    best = {trial.number for trial in record.front}
    figure = go.Figure()
    for name, trials, style in (
        ("dominated", [t for t in done if t.number not in best], {"mode": "markers"}),
        (f"best by {TITLES.get(across, across)} alone", pareto.front(done, (across, upright)), {"mode": "lines"}),
        ("Pareto front", record.front, {"mode": "markers"}),
    ):
        figure.add_scatter(
            x=[t.values[across] for t in trials],
            y=[t.values[upright] for t in trials],
            name=escape(name),
            line={"color": "#c8102e", "width": 1, "shape": "hv"},
            marker={"color": "#c8102e", "size": 11} if name == "Pareto front" else {"color": "#a9b4c2", "size": 7},
            text=[_hover(record, t) for t in trials],
            hoverinfo="skip" if style["mode"] == "lines" else "text",
            **style,
        )
    figure.update_layout(
        template="plotly_white",
        height=440,
        font={"family": "system-ui, sans-serif", "size": 14, "color": "#1c2733"},
        margin={"l": 80, "r": 20, "t": 40, "b": 60},
        xaxis={"title": escape(TITLES.get(across, across)), "tickformat": "~s"},
        yaxis={"title": escape(TITLES.get(upright, upright)), "tickformat": ".0%" if upright == "error" else "~s"},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    return str(
        plotly.io.to_html(
            figure,
            full_html=False,
            include_plotlyjs=number == 0,
            div_id=f"plot-{number}",
            config={"displaylogo": False, "displayModeBar": False, "responsive": True},
        )
    )


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.7rem; margin: 0 } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { padding: .3rem 1.6rem .3rem 0; text-align: right }
td:first-child, th:first-child { text-align: left }
th { border-bottom: 1px solid #a9b4c2; font-weight: 600; vertical-align: bottom; max-width: 11rem }
tr + tr + tr td { border-top: 1px solid #e6eaef }
.knee td { font-weight: 600 }
.quiet { color: #5a6878 } summary { cursor: pointer; font-weight: 600; margin-top: 2.2rem }
pre { background: #f3f5f8; padding: 1rem; overflow: auto; font-size: .85rem }
"""


def _front_rows(record: Record) -> str:
    return "".join(
        f"<tr{' class=knee' if row[0].endswith(KNEE) else ''}>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>"
        for row in _rows(record.front, record.objectives, record.columns)
    )


def _page(record: Record) -> str:
    config = record.header["config"]
    plots = "".join(_plot(record, name, number) for number, name in enumerate(record.objectives[1:]))
    causes = "".join(f"<li>{number:,} {escape(reason)}</li>" for reason, number in reasons(record.trials)[:20])
    limits = ", ".join(f"{name} ≤ {amount(name, value)}" for name, value in config["limits"].items())
    facts = [
        f"{summary(record)}, {sum(record.seconds.values()) / 60:.1f} min of worker time",
        f"limits: {limits or 'none'}",
        f"preset {config['preset']}",
        f"seed {config['seed']}",
        f"FrugalNAS {record.header['version']}",
    ]
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>FrugalNAS: {escape(record.folder.name)}</title>
<style>{_STYLE}</style></head><body>
<h1>{escape(f"{config['method']} on {config['data']['source']}")}</h1>
<p class="quiet">{escape("; ".join(facts))}.
Errors are those of the validation part, never of the test part.</p>
<h2>Pareto front</h2>
<table><tr><th>trial</th>{"".join(f"<th>{escape(TITLES.get(n, n))}</th>" for n in record.columns)}</tr>
{_front_rows(record)}</table>
<p class="quiet">No other network is better in one of {escape(", ".join(record.objectives))}
without being worse in another. The knee is where giving up a little of one stops buying much of another.</p>
{plots}
{f"<h2>Rejected and failed</h2><ul>{causes}</ul>" if causes else ""}
<details><summary>Configuration</summary><pre>{escape(json.dumps(config, indent=1))}</pre></details>
</body></html>
"""
