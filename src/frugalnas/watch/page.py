"""The page: what is on it, and what is drawn anew when the files of a run have grown.

All text goes through React, which escapes it; there is no place where markup of a run folder could become markup here.
"""

from __future__ import annotations

import base64
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from itertools import zip_longest
from pathlib import Path
from threading import Lock
from typing import Any

from frugalnas import pareto
from frugalnas.core import Trial
from frugalnas.report.effort import duration
from frugalnas.report.page import page_file
from frugalnas.report.text import amount, amounts
from frugalnas.watch import figures, state
from frugalnas.watch.follow import Followed

EVERY_MS = 1000
MOST_ROWS, MOST_COLUMNS = 100, 40  # of a table
MOST_FOLLOWED = 8  # runs that are held in memory
_SIGNS = {
    **{"best": "Pareto front", "dot": "other networks", "stairs": "front of these two", "limit": "limit"},
    **{"first": "the picked one", "second": "the one it is compared with"},
}
_GRAPH: Any = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d"],
    "displayModeBar": False,
    "responsive": True,
}
_MEANING = (
    "A network is on the front if no other is better in one of {} without being worse in another. Click a point, or a "
    "number in the table, for its values and cells."
)
_BOUGHT = "The share of the box between the best and the worst values so far that the front dominates: see the report."


class Runs:
    """The runs that are watched: each is followed once, whoever looks at it."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = [*paths]
        self.lock = Lock()
        self._followed: dict[str, Followed] = {}
        self._names: dict[str, Path] = {}
        self._look_again = 0.0

    def names(self) -> dict[str, Path]:
        """The folders by the name that the page has for them: only these are ever opened."""
        start = time.monotonic()
        if start >= self._look_again:
            found = state.runs_in(self.paths) or self.paths[:1]
            self._names = {str(path).encode("utf-8", "backslashreplace").decode(): path for path in found}
            took = time.monotonic() - start
            self._look_again = start + max(0.5, 20 * took)  # a twentieth of the time is enough for large folders
        return self._names

    def read(self, name: str | None) -> Followed | None:
        """The study of that name as its files tell it now; None for a name that is none of `names`."""
        if name is None or (name not in self._followed and name not in self.names()):
            return None
        study = self._followed.pop(name, None) or Followed(self.names()[name])
        self._followed[name] = study
        for oldest in [*self._followed][:-MOST_FOLLOWED]:  # one that is looked at again is read anew
            del self._followed[oldest]
        study.read()
        return study

    def known(self, name: str | None) -> Followed | None:
        """The study as it was when it was read last."""
        return self._followed.get(name or "") or self.read(name)


def layout() -> Any:
    from dash import dcc, html

    by = dcc.RadioItems(["networks rated", "minutes"], "networks rated", id="by", inline=True)
    return html.Div(
        [
            *(dcc.Interval(id="clock", interval=EVERY_MS), dcc.Store(id="seen"), dcc.Store(id="dark", data=False)),
            *(dcc.Store(id="axes", data=[]), dcc.Store(id="options")),
            html.Header(
                [
                    html.Div(
                        [
                            html.Label("Run", htmlFor="run"),
                            dcc.Dropdown(id="run", clearable=False, persistence=True, persistence_type="session"),
                        ],
                        className="chooser",
                    ),
                    html.H1(id="heading"),
                    html.P(id="facts", className="quiet"),
                    html.P(id="life", role="status"),
                    html.Dl(id="figures", className="stats"),
                    html.Div(html.Div(id="spent"), id="budget", hidden=True),
                ]
            ),
            html.Main(
                [
                    html.H2("Pareto front"),
                    html.P(id="meaning", className="quiet"),
                    html.Div(id="charts"),
                    html.Div(
                        [_sign(kind, words) for kind, words in _SIGNS.items()],
                        id="legend",
                        className="row quiet",
                    ),
                    html.Div(
                        [
                            html.Label(["Trial ", _number("a")]),
                            html.Label(["compare with ", _number("b")]),
                            dcc.Checklist([{"label": "the next click compares", "value": "b"}], [], id="next"),
                            html.Button("clear", id="clear", type="button"),
                        ],
                        className="row",
                    ),
                    html.Section(id="panel"),
                    html.Div(id="front"),
                    html.Div(
                        [
                            html.Div(
                                [
                                    html.H2("What it bought"),
                                    html.P(_BOUGHT, className="quiet"),
                                    by,
                                    html.Div(_graph("growth"), className="low"),
                                ]
                            ),
                            html.Div(
                                [html.H2("How fast"), html.Div(id="work"), html.Div(_graph("rates"), className="low")]
                            ),
                        ],
                        className="columns",
                    ),
                    html.Div(
                        [
                            html.Div([html.H2("Under way"), html.Div(id="under-way")]),
                            html.Div(id="rungs"),
                            html.Div(id="causes"),
                        ],
                        className="columns",
                    ),
                ]
            ),
            html.Footer("This page only reads, and is for this computer alone. A report to keep: frugalnas report RUN"),
        ]
    )


def _number(name: str) -> Any:
    from dash import dcc

    return dcc.Input(id=name, value="", type="text", inputMode="numeric", debounce=True, size="7")


def _sign(kind: str, words: str) -> Any:
    from dash import html

    return html.Span([html.I(className=f"sign-{kind}"), words])


def _graph(name: str | dict[str, str]) -> Any:
    from dash import dcc, html

    return html.Div(dcc.Graph(id=name, config=_GRAPH, responsive=True, style={"height": "100%"}), className="chart")


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


def index_page() -> str:
    """The frame of the page: Dash's, with the report's style and ours, and no address outside."""
    style = page_file("page.css") + Path(__file__).with_name("watch.css").read_text("utf-8")
    return (
        '<!DOCTYPE html><html lang="en"><head>{%metas%}<meta name="color-scheme" content="light dark">'
        "<title>{%title%}</title>{%favicon%}{%css%}<style>" + style + "</style></head>"
        "<body>{%app_entry%}<footer hidden>{%config%}{%scripts%}{%renderer%}</footer></body></html>"
    )


def connect(app: Any, runs: Runs) -> None:
    """Tie what is on the page to the files of the runs."""
    from dash import ALL, Input, Output, State, ctx, no_update

    def told(view: Callable[..., Any]) -> Callable[..., Any]:
        """A callback that gets the study of the run, whole and unchanged meanwhile; nothing where there is none."""

        def shown(name: str | None, *rest: Any) -> Any:
            with runs.lock:
                study = runs.known(name)
                return no_update if study is None else view(study, *rest)

        return shown

    _connect_theme(app)
    run, seen = Input("run", "value"), Input("seen", "data")

    @app.callback(
        Output("run", "options"),
        Output("run", "value"),
        Input("clock", "n_intervals"),
        State("run", "options"),
        State("run", "value"),
    )  # type: ignore[untyped-decorator]
    def choose(_: int, options: Any, value: str | None) -> Any:
        names = [*runs.names()]
        labels = [{"label": _short(name, names), "value": name} for name in names]
        known = value in names
        return no_update if options == labels else labels, no_update if known else names[0]

    @app.callback(  # type: ignore[untyped-decorator]
        *(Output(name, "children") for name in ("heading", "facts", "meaning", "life", "figures", "under-way")),
        *(Output("life", "className"), Output("spent", "style"), Output("budget", "hidden"), Output("seen", "data")),
        *(Input("clock", "n_intervals"), run, State("seen", "data")),
    )
    def tick(_: int, name: str | None, last: Any) -> Any:
        with runs.lock:
            study = runs.read(name)
            if study is None:
                return [no_update] * 10
            life, words = state.life_of(study)
            share = state.share_of(study)
            now = [name, study.revision]
            return [
                *(*heading(study), _life(life, words), _stats(study), under_way(study, life == "running")),
                *(f"life {life}", {"width": f"{100 * (share or 0):.1f}%"}, share is None),
                no_update if last == now else now,
            ]

    @app.callback(Output("charts", "children"), Output("axes", "data"), run, seen, State("axes", "data"))  # type: ignore[untyped-decorator]
    @told
    def charts(study: Followed, _: Any, last: list[str]) -> Any:
        axes = figures.axes_of(study)
        if axes == last:
            return no_update, no_update
        return [_graph({"front": axis}) for axis in axes], axes

    picks, dark = (Input("a", "value"), Input("b", "value")), Input("dark", "data")

    @app.callback(Output({"front": ALL}, "figure"), run, seen, *picks, dark)  # type: ignore[untyped-decorator]
    @told
    def fronts(study: Followed, _: Any, a: str, b: str, dark: bool) -> Any:
        axes = [output["id"]["front"] for output in ctx.outputs_list]
        return [figures.front(study, axis, {"A": _whole(a), "B": _whole(b)}, dark) for axis in axes]

    @app.callback(Output("front", "children"), run, seen, *picks)  # type: ignore[untyped-decorator]
    @told
    def front(study: Followed, _: Any, a: str, b: str) -> Any:
        return front_table(study, {"A": _whole(a), "B": _whole(b)})

    @app.callback(Output("panel", "children"), run, seen, *picks, dark)  # type: ignore[untyped-decorator]
    @told
    def portrait(study: Followed, _: Any, a: str, b: str, dark: bool) -> Any:
        return panel(study, _whole(a), _whole(b), dark)

    @app.callback(Output("growth", "figure"), Output("rates", "figure"), run, seen, Input("by", "value"), dark)  # type: ignore[untyped-decorator]
    @told
    def course(study: Followed, _: Any, by: str, dark: bool) -> Any:
        return figures.growth(study, by, dark), figures.rates(study, dark)

    @app.callback(*(Output(name, "children") for name in ("work", "rungs", "causes")), run, seen)  # type: ignore[untyped-decorator]
    @told
    def tables(study: Followed, _: Any) -> Any:
        return [table("prose", [], state.work_of(study)), rungs(study), causes(study)]

    @app.callback(  # type: ignore[untyped-decorator]
        *(Output("a", "value"), Output("b", "value"), Output("next", "value")),
        *(Input({"front": ALL}, "clickData"), Input({"pick": ALL}, "n_clicks"), Input("clear", "n_clicks"), run),
        *(State("a", "value"), State("next", "value")),
        prevent_initial_call=True,
    )
    def pick(*given: Any) -> Any:
        a, following = given[-2:]
        if ctx.triggered_id in ("clear", "run"):
            return "", "", []
        value = ctx.triggered[0]["value"] if ctx.triggered else None
        if not value:  # a chart or a button that has just been made
            return [no_update] * 3
        chosen = ctx.triggered_id["pick"] if "pick" in ctx.triggered_id else _clicked(value)
        if chosen is None:
            return [no_update] * 3
        return [no_update, str(chosen), []] if following and a else [str(chosen), no_update, []]


def _connect_theme(app: Any) -> None:
    from dash import Input, Output

    app.clientside_callback(
        """() => {
            const dark = window.matchMedia("(prefers-color-scheme: dark)");
            dark.onchange = () => window.dash_clientside.set_props("dark", {data: dark.matches});
            return dark.matches;
        }""",
        Output("dark", "data"),
        Input("dark", "id"),
    )


def _whole(text: Any) -> int | None:
    """The number that somebody wrote into a field."""
    return int(text) if isinstance(text, str) and re.fullmatch(r"[0-9]{1,12}", text.strip()) else None


def _clicked(data: Any) -> int | None:
    """The number of the trial whose point was clicked."""
    numbers = [point.get("customdata") for point in data.get("points", ())]
    return next((number for number in numbers if type(number) is int), None)


def _life(life: str, words: str) -> list[Any]:
    from dash import html

    return [html.Strong(life), f" {words}"]


def _stats(study: Followed) -> list[Any]:
    from dash import html

    return [html.Div([html.Dt(name), html.Dd(words)]) for name, words in state.figures_of(study)]


def _short(name: str, names: Sequence[str]) -> str:
    """A run's name without the folders that all have in common."""
    if len(names) < 2:
        return name
    places = [str(Path(each).absolute()) for each in (name, *names)]
    short = os.path.relpath(places[0], os.path.commonpath(places))
    return name if short == "." else short
