"""Ties what is on the page to the files of the runs: what is drawn anew, and when."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from frugalnas.watch import elements, figures, state
from frugalnas.watch.follow import Followed
from frugalnas.watch.page import graph_of
from frugalnas.watch.runs import Runs


def connect(app: Any, runs: Runs) -> None:
    """Have the page follow its clock, the run that is chosen, and what is picked."""
    _connect_theme(app)
    _connect_clock(app, runs)
    _connect_charts(app, runs)
    _connect_tables(app, runs)
    _connect_picks(app)


def _told(runs: Runs, view: Callable[..., Any]) -> Callable[..., Any]:
    """A callback that gets the study of the run, whole and unchanged meanwhile; nothing where there is none."""
    from dash import no_update

    def shown(name: str | None, *rest: Any) -> Any:
        with runs.lock:
            study = runs.known(name)
            return no_update if study is None else view(study, *rest)

    return shown


def _connect_clock(app: Any, runs: Runs) -> None:
    """What changes with the clock; `seen` changes with the files, and all else with `seen`."""
    from dash import Input, Output, State, no_update

    run = Input("run", "value")

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
                *(
                    *elements.heading(study),
                    elements.life_line(life, words),
                    elements.stats(study),
                    elements.under_way(study, life == "running"),
                ),
                *(f"life {life}", {"width": f"{100 * (share or 0):.1f}%"}, share is None),
                no_update if last == now else now,
            ]


def _connect_charts(app: Any, runs: Runs) -> None:
    from dash import ALL, Input, Output, State, ctx, no_update

    run, seen = Input("run", "value"), Input("seen", "data")
    picks, dark = (Input("a", "value"), Input("b", "value")), Input("dark", "data")
    told = partial(_told, runs)

    @app.callback(Output("charts", "children"), Output("axes", "data"), run, seen, State("axes", "data"))  # type: ignore[untyped-decorator]
    @told
    def charts(study: Followed, _: Any, last: list[str]) -> Any:
        axes = figures.axes_of(study)
        if axes == last:
            return no_update, no_update
        return [graph_of({"front": axis}) for axis in axes], axes

    @app.callback(Output({"front": ALL}, "figure"), run, seen, *picks, dark)  # type: ignore[untyped-decorator]
    @told
    def fronts(study: Followed, _: Any, a: str, b: str, dark: bool) -> Any:
        axes = [output["id"]["front"] for output in ctx.outputs_list]
        return [figures.front(study, axis, {"A": _whole(a), "B": _whole(b)}, dark) for axis in axes]

    @app.callback(Output("growth", "figure"), Output("rates", "figure"), run, seen, Input("by", "value"), dark)  # type: ignore[untyped-decorator]
    @told
    def course(study: Followed, _: Any, by: str, dark: bool) -> Any:
        return figures.growth(study, by, dark), figures.rates(study, dark)


def _connect_tables(app: Any, runs: Runs) -> None:
    from dash import Input, Output

    run, seen = Input("run", "value"), Input("seen", "data")
    picks, dark = (Input("a", "value"), Input("b", "value")), Input("dark", "data")
    told = partial(_told, runs)

    @app.callback(Output("front", "children"), run, seen, *picks)  # type: ignore[untyped-decorator]
    @told
    def front(study: Followed, _: Any, a: str, b: str) -> Any:
        return elements.front_table(study, {"A": _whole(a), "B": _whole(b)})

    @app.callback(Output("panel", "children"), run, seen, *picks, dark)  # type: ignore[untyped-decorator]
    @told
    def portrait(study: Followed, _: Any, a: str, b: str, dark: bool) -> Any:
        return elements.panel(study, _whole(a), _whole(b), dark)

    @app.callback(*(Output(name, "children") for name in ("work", "rungs", "causes")), run, seen)  # type: ignore[untyped-decorator]
    @told
    def tables(study: Followed, _: Any) -> Any:
        return [elements.table("prose", [], state.work_of(study)), elements.rungs(study), elements.causes(study)]


def _connect_picks(app: Any) -> None:
    from dash import ALL, Input, Output, State, ctx, no_update

    run = Input("run", "value")

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


def _short(name: str, names: Sequence[str]) -> str:
    """A run's name without the folders that all have in common."""
    if len(names) < 2:
        return name
    places = [str(Path(each).absolute()) for each in (name, *names)]
    short = os.path.relpath(places[0], os.path.commonpath(places))
    return name if short == "." else short
