"""What stands on the page of a study, as elements of Dash.

All text goes through React, which escapes it; there is no place where markup of a run folder could become markup here.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import zip_longest
from typing import Any

from frugalnas import pareto
from frugalnas.core import Trial
from frugalnas.report.effort import duration
from frugalnas.report.page import page_file
from frugalnas.report.text import amount, amounts
from frugalnas.watch import figures, state
from frugalnas.watch.follow import Followed

MOST_ROWS, MOST_COLUMNS = 100, 40  # of a table
_MEANING = (
    "A network is on the front if no other is better in one of {} without being worse in another. Click a point, or a "
    "number in the table, for its values and cells."
)


def table(kind: str, header: Sequence[str], rows: Iterable[Sequence[Any]], classes: Sequence[str] = ()) -> Any:
    """A table as in the report; cells are words or elements."""
    from dash import html

    lines = [
        html.Tr([html.Td(cell) for cell in row], className=name)
        for row, name in zip_longest(rows, classes, fillvalue="")
    ]
    head = [html.Thead(html.Tr([html.Th(cell) for cell in header]))] if header else []
    return html.Div(html.Table([*head, html.Tbody(lines)]), className=f"scroll {kind}") if lines else None


def heading(study: Followed) -> tuple[str, str, str]:
    """Title, facts, and what the front means, in words."""
    config = study.config
    if not config:
        return study.folder.resolve().name, "", ""
    limits = ", ".join(f"{name} ≤ {amount(name, float(value))}" for name, value in config["limits"].items())
    facts = f"preset {config['preset']}; limits: {limits or 'none'}; seed {config['seed']}; {study.folder}"
    title = f"{config['method']} on {config['data']['source']}"
    return title, f"{facts}. Errors are those of the validation part.", _MEANING.format(", ".join(study.objectives))


def front_table(study: Followed, picked: Mapping[str, int | None]) -> Any:
    """The front, whose buttons pick a network as a click on its point does."""
    from dash import html

    knee = state.knee_of(study)
    whole = sorted(study.archive.members, key=lambda trial: [trial.values[name] for name in study.objectives])
    members = pareto.evenly_spread(whole, study.objectives, MOST_ROWS)
    members.sort(key=lambda trial: trial.values[study.objectives[0]])
    names = [*dict.fromkeys([*study.objectives, *(name for trial in members for name in trial.values)])][:MOST_COLUMNS]

    def row(trial: Trial) -> list[Any]:
        words = f"{trial.number} knee" if trial.number == knee else str(trial.number)
        return [html.Button(words, id={"pick": trial.number}, type="button"), *amounts(trial, names)]

    classes = [
        f"{'knee ' if trial.number == knee else ''}{'picked' if trial.number in picked.values() else ''}"
        for trial in members
    ]
    shown = table("long", ["trial", *map(figures.title_of, names)], map(row, members), classes)
    words = f"{len(members)} of the {len(whole):,} on the front, spread evenly along it."
    return shown if len(members) == len(whole) else [html.P(words, className="quiet"), shown]


def panel(study: Followed, a: int | None, b: int | None, dark: bool) -> list[Any]:
    """One trial, or two side by side with what differs."""
    from dash import html

    found = [portrait for number in (a, b) if number is not None and (portrait := state.portrait_of(study, number))]
    missing = [number for number in (a, b) if number is not None and number not in study.trials]
    notes: list[Any] = [html.P(f"Trial {number} is not told yet.", className="quiet") for number in missing]
    if not found:
        return notes
    heads = [html.Div([html.H2(f"Trial {each.number}"), html.P(each.standing, className="quiet")]) for each in found]
    columns = [
        html.Div(
            [
                head,
                html.Div([_drawing(svg, words, dark) for svg, words in each.drawings], className="cells"),
                html.P(f"genotype {' '.join(map(str, each.genotype))}", className="quiet genotype"),
            ]
        )
        for head, each in zip(heads, found, strict=True)
    ]
    return [*notes, _values(found), html.Div(columns, className="columns wide-columns")]


def _values(found: Sequence[state.Portrait]) -> Any:
    """The values of one trial, or of two with their difference."""
    amounts_of = [{name: (words, value) for name, words, value in each.rows} for each in found]
    names = [*dict.fromkeys(name for rows in amounts_of for name in rows)]
    if len(found) == 1:
        exact = [[figures.title_of(name), words, f"{value:,.12g}"] for name, words, value in found[0].rows]
        return table("values", ["", f"trial {found[0].number}", "exactly"], exact)
    rows, classes = [], []
    for name in names:
        first, second = (rows_of.get(name) for rows_of in amounts_of)
        words, better = "", ""
        if first and second:
            gap = second[1] - first[1]
            ratio = f" ({100 * gap / abs(first[1]):+.1f} %)" if first[1] and gap else ""
            words = f"{'+' if gap > 0 else ''}{amount(name, gap)}{ratio}" if gap else "the same"
            better = "less" if gap < 0 else "more" if gap > 0 else ""
        rows.append([figures.title_of(name), first[0] if first else "", second[0] if second else "", words])
        classes.append(better)
    genes = sum(x != y for x, y in zip(found[0].genotype, found[1].genotype, strict=False))
    rows.append(["genes that differ", "", "", f"{genes} of {len(found[0].genotype)}"])
    header = ["", f"trial {found[0].number}", f"trial {found[1].number}", "difference"]
    return table("values", header, rows, [*classes, ""])


def _drawing(svg: str, words: str, dark: bool) -> Any:
    """As a picture, in which nothing can run; its colours are those of the page."""
    from dash import html

    rules = page_file("page.css").partition("/* drawings of cells")[2].partition("*/")[2].partition("@media")[0]
    inks = page_file("page.css").split(":root {")[2 if dark else 1].partition("}")[0]
    start, end, rest = svg.partition(">")
    styled = f"{start}{end}<style>:root{{{escape(inks, quote=False)}}}{escape(rules, quote=False)}</style>{rest}"
    data = base64.b64encode(styled.encode("utf-8", "replace")).decode()
    return html.Div(html.Img(src=f"data:image/svg+xml;base64,{data}", alt=words))


def under_way(study: Followed, running: bool) -> Any:
    """Which trials are asked for and not told."""
    from dash import html

    rows = [
        [str(number), f"rung {candidate.rung}", duration(seconds) if running else "–"]
        for number, candidate, seconds in study.under_way()[:MOST_ROWS]
    ]
    return table("", ["trial", "on", "since it was asked for"], rows) or html.P("Nothing.", className="quiet")


def causes(study: Followed) -> list[Any]:
    """Why candidates were rejected, and why others failed."""
    from dash import html

    most = study.causes.most_common(20)
    rest = len(study.causes) - len(most)
    more = [html.P(f"and {rest:,} more reasons: see trials.csv", className="quiet")] if rest else []
    rows = [[f"{count:,}", cause] for cause, count in most]
    return [html.H2("Rejected and failed"), table("prose", [], rows), *more] if rows else []


def rungs(study: Followed) -> list[Any]:
    from dash import html

    rows = state.rungs_of(study)
    return [html.H2("Rungs"), table("", ["", "rated by", "networks"], rows)] if rows else []


def life_line(life: str, words: str) -> list[Any]:
    from dash import html

    return [html.Strong(life), f" {words}"]


def stats(study: Followed) -> list[Any]:
    from dash import html

    return [html.Div([html.Dt(name), html.Dd(words)]) for name, words in state.figures_of(study)]
