"""The frame of the page, and what has a place on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from frugalnas.report.page import page_file
from frugalnas.watch import figures

EVERY_MS = 1000
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
_BOUGHT = "The share of the box between the best and the worst values so far that the front dominates: see the report."


def layout() -> Any:
    from dash import dcc, html

    by = dcc.RadioItems([figures.RATED, "minutes"], figures.RATED, id="by", inline=True)
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
                                    html.Div(graph_of("growth"), className="low"),
                                ]
                            ),
                            html.Div(
                                [html.H2("How fast"), html.Div(id="work"), html.Div(graph_of("rates"), className="low")]
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


def graph_of(name: str | dict[str, str]) -> Any:
    from dash import dcc, html

    return html.Div(dcc.Graph(id=name, config=_GRAPH, responsive=True, style={"height": "100%"}), className="chart")


def index_page() -> str:
    """The frame of the page: Dash's, with the report's style and ours, and no address outside."""
    style = page_file("page.css") + Path(__file__).with_name("watch.css").read_text("utf-8")
    return (
        '<!DOCTYPE html><html lang="en"><head>{%metas%}<meta name="color-scheme" content="light dark">'
        "<title>{%title%}</title>{%favicon%}{%css%}<style>" + style + "</style></head>"
        "<body>{%app_entry%}<footer hidden>{%config%}{%scripts%}{%renderer%}</footer></body></html>"
    )
