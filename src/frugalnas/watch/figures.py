"""Figures for Plotly, as plain dicts. Names from a run folder are escaped, as Plotly reads some markup in texts."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalnas.core import Trial
from frugalnas.report.text import SHARES, TITLES, UNITS, amount
from frugalnas.watch import state
from frugalnas.watch.follow import Followed

Figure = dict[str, Any]
MOST_DOTS = 2500  # of networks that are not on the front; the front is drawn whole
INKS = {  # those of report/page.css
    False: {"ink": "#1c2733", "quiet": "#566372", "paper": "#fff", "rule": "#dde2e8", "dot": "#a9b4c2"}
    | {"best": "#c8102e", "pick": "#0b5cad", "other": "#a3186b"},
    True: {"ink": "#e4e9ef", "quiet": "#a3afbd", "paper": "#12171d", "rule": "#2c3743", "dot": "#6f7d8d"}
    | {"best": "#ff6b81", "pick": "#6cb4ff", "other": "#f285c1"},
}
TRIAL = "trial"  # the axis of a search with one objective


def axes_of(study: Followed) -> list[str]:
    """What the first objective is drawn against, a chart each."""
    return [*study.objectives[1:]] or ([TRIAL] if study.objectives else [])


def title_of(name: str) -> str:
    return TITLES.get(name, name)


def front(study: Followed, across: str, picked: Mapping[str, int | None], dark: bool) -> Figure:
    """The first objective against another: all networks of the highest rung, the front, its knee, those `picked`."""
    ink = INKS[dark]
    if across not in axes_of(study) or not study.rated_numbers:
        return _figure([], across, "error", dark, "")
    upright = study.objectives[0]
    numbers = np.array(study.rated_numbers)
    y = np.array(study.rated_columns[upright])
    x = numbers.astype(float) if across == TRIAL else np.array(study.rated_columns[across])
    members = sorted(study.archive.members, key=lambda trial: _at(trial, across))
    best = {trial.number for trial in members}
    shown = _thinned(x, y, numbers, best)
    others = [study.trials[number] for number in numbers[shown].tolist()]
    traces = [_dots("other networks", others, study, across, {"color": ink["dot"], "size": _size(len(others), 4, 7)})]
    if across != TRIAL:
        stairs = _stairs(x, y)
        line = {"color": ink["best"], "width": 1.2, "shape": "hv"}
        traces.append(_line(x[stairs].tolist(), y[stairs].tolist(), line) | {"name": "front of these two"})
    marker = {"color": ink["best"], "size": _size(len(members), 7, 10), "line": {"color": ink["paper"], "width": 1}}
    traces.append(_dots("Pareto front", members, study, across, marker))
    rings = {"knee": (state.knee_of(study), ink["best"], 17), **_rings(picked, ink)}
    for name, (number, colour, size) in rings.items():
        trial = None if number is None else study.trials.get(number)
        if trial and all(axis == TRIAL or axis in trial.values for axis in (across, upright)):
            ring = {"symbol": "circle-open", "color": colour, "size": size, "line": {"width": 2}}
            traces.append(_dots(name, [trial], study, across, ring))
    figure = _figure(traces, across, upright, dark, f"{study.folder} {across}")
    figure["layout"]["shapes"] = [*_limits(study, across, upright, x, y, ink["quiet"])]
    return figure


def _rings(picked: Mapping[str, int | None], ink: Mapping[str, str]) -> dict[str, tuple[int | None, str, int]]:
    return {name: (number, ink["pick" if name == "A" else "other"], 22) for name, number in picked.items()}


def _at(trial: Trial, name: str) -> float:
    return float(trial.number) if name == TRIAL else trial.values[name]


def _size(count: int, least: float, most: float) -> float:
    return round(max(least, min(most, 120 / math.sqrt(count or 1))), 1)


def _thinned(
    x: NDArray[np.float64], y: NDArray[np.float64], numbers: NDArray[np.int64], without: Collection[int]
) -> NDArray[np.int64]:
    """Places of points to draw: the latest in each cell of a grid that is as fine as MOST_DOTS allow."""
    left = np.flatnonzero(~np.isin(numbers, list(without)))
    side = 512
    while len(left) > MOST_DOTS and side > 8:
        cells = [_cells(values[left], side) for values in (x, y)]
        _, firsts = np.unique((cells[0] * side + cells[1])[::-1], return_index=True)
        if len(firsts) <= MOST_DOTS:
            return np.sort(left[len(left) - 1 - firsts])
        side = side * 3 // 4
    return left[-MOST_DOTS:]


def _cells(values: NDArray[np.float64], side: int) -> NDArray[np.int64]:
    low, high = values.min(), values.max()
    with np.errstate(all="ignore"):
        scaled = np.nan_to_num((values - low) / (high - low or 1.0), nan=0.0, posinf=0.0, neginf=0.0)
    cells: NDArray[np.int64] = np.clip(scaled * side, 0, side - 1).astype(np.int64)
    return cells


def _stairs(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int64]:
    """Places of the front of these two alone, by ascending x."""
    order = np.lexsort((y, x))
    least = np.minimum.accumulate(y[order])
    return order[np.r_[True, least[1:] < least[:-1]]]


def hover(trial: Trial, names: Sequence[str]) -> str:
    lines = [
        f"<b>trial {trial.number}</b>",
        *(f"{escape(n)}  {amount(n, trial.values[n])}" for n in names if n in trial.values),
    ]
    return "<br>".join(lines)


def _dots(name: str, trials: Sequence[Trial], study: Followed, across: str, marker: Figure) -> Figure:
    return {
        **{"type": "scatter", "mode": "markers", "name": name, "marker": marker, "hoverinfo": "text"},
        "x": [_at(trial, across) for trial in trials],
        "y": [trial.values[study.objectives[0]] for trial in trials],
        "customdata": [trial.number for trial in trials],
        "text": [hover(trial, study.objectives) for trial in trials],
    }


def _line(x: Sequence[float], y: Sequence[float], line: Figure) -> Figure:
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "line": line, "hoverinfo": "skip"}


def _limits(
    study: Followed, across: str, upright: str, x: NDArray[np.float64], y: NDArray[np.float64], colour: str
) -> list[Figure]:
    """Dashed lines at limits that are not far from the points."""
    limits, lines = study.config["limits"], []
    for axis, name, values in (("x", across, x), ("y", upright, y)):
        limit, low, high = float(limits.get(name, math.inf)), values.min(), values.max()
        if low <= limit <= high + 0.15 * (high - low):
            other = "y" if axis == "x" else "x"
            place = {f"{axis}0": limit, f"{axis}1": limit, f"{other}0": 0, f"{other}1": 1, f"{other}ref": "paper"}
            lines.append({"type": "line", "line": {"color": colour, "width": 1, "dash": "dash"}, **place})
    return lines


def growth(study: Followed, by: str, dark: bool) -> Figure:
    """The hypervolume over rated networks, or over the study's age in minutes."""
    curve = state.growth_of(study)
    x = [seconds / 60 if by == "minutes" else rated for rated, seconds, _ in curve]
    y = [share for _, _, share in curve]
    line = _line(x, y, {"color": INKS[dark]["best"], "width": 2, "shape": "hv"})
    line |= {"hoverinfo": "x+y"}
    return _figure([line], by if by == "minutes" else "networks rated", "hypervolume", dark, f"{study.folder} {by}")


def rates(study: Followed, dark: bool) -> Figure:
    """Networks rated in a minute over the study's age in minutes."""
    ends, speeds = state.rates_of(study)
    width = ends[0] if ends else 0.0
    bars = {"type": "bar", "x": [end - width / 2 for end in ends], "y": speeds, "width": width}
    bars |= {"marker": {"color": INKS[dark]["dot"]}, "hoverinfo": "y"}
    return _figure([bars], "minutes", "networks per minute", dark, f"{study.folder} rates", from_zero=True)


def _figure(traces: list[Figure], across: str, upright: str, dark: bool, keep: str, from_zero: bool = False) -> Figure:
    """`keep`: while it stays the same, so does what a reader zoomed into."""
    ink = INKS[dark]
    x, y = _axis(across, ink), _axis(upright, ink)
    if from_zero:
        y["rangemode"] = "tozero"
    del y["title"]
    title = {"text": escape(title_of(upright)), "font": {"size": 13}, "x": 0.005, "xanchor": "left", "y": 0.985}
    layout = {
        "title": {**title, "yanchor": "top"},
        **{"paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "showlegend": False},
        **{"font": {"color": ink["quiet"], "family": "system-ui, sans-serif", "size": 12}, "bargap": 0.06},
        **{"margin": {"l": 58, "r": 12, "t": 30, "b": 44}, "xaxis": x, "yaxis": y, "hovermode": "closest"},
        **{"uirevision": keep, "transition": {"duration": 0}, "dragmode": "zoom"},
        "hoverlabel": {
            "bgcolor": ink["paper"],
            "bordercolor": ink["dot"],
            "font": {"color": ink["ink"]},
            "align": "left",
        },
    }
    return {"data": traces, "layout": layout}


def _axis(name: str, ink: Mapping[str, str]) -> Figure:
    axis: Figure = {"gridcolor": ink["rule"], "zeroline": False, "automargin": True, "linecolor": ink["rule"]}
    axis["title"] = {"text": escape(title_of(name)), "standoff": 8}
    if name in SHARES:
        axis["tickformat"] = ",.3~%"
    elif not any(name.endswith(end) for end in UNITS if end != "_bytes") and name != "minutes":
        axis["tickformat"] = ",.3~s" if name in TITLES and name != "loss" else ",.4~g"
    return axis
