"""The page of a comparison: one file without scripts, whose charts are pictures with a word at every tenth place.

Everything from the configuration is escaped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template

import numpy as np

from frugalnas.compare import text
from frugalnas.compare.outcome import PLACES, RANDOM, Curve, Outcome
from frugalnas.compare.plan import Plan
from frugalnas.report import amount
from frugalnas.report.page import table_of
from frugalnas.report.picture import Axis

_WIDTH, _HEIGHT = 560, 340  # of a chart in pixels, and its margins
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 16, 14, 42
_COLOURS = 8
_SETTLED = PLACES // 10  # before this place a curve may be far off, and does not decide the axis
_EQUAL = (
    "The same space, data, task, objectives and limits; the same budget for every run, strictly: a network counts once "
    "its cost has been paid within the budget. Every value here was given by the same last estimator, the referee. The "
    "same seeds, one thread a run. A method keeps its own strategy and, below the referee, its own rungs."
)
_EQUAL_TABLE = (
    "The same table, objectives and limits; the same number of look-ups for every run. A method contributes its "
    "strategy only: there is one rung, as nothing is trained part-way, and no weights are shared."
)


def page_of(outcome: Outcome, plan: Plan) -> str:
    """The whole page."""
    worst = ", ".join(
        f"{name} {amount(name, value)}" for name, value in zip(outcome.objectives, outcome.reference[1], strict=True)
    )
    seen = "table has" if plan.table else "runs saw"
    many = f"{outcome.seeds} seed{'s' * (outcome.seeds > 1)}, {outcome.budget:,.6g} {outcome.unit} a run"
    facts = (
        f"{many}. Every value is by the same estimator, {outcome.referee}. Lines are medians over the seeds, bands go "
        f"from the first to the third quartile. {text.truth(outcome)} The hypervolume is that of "
        f"{', '.join(outcome.objectives)}, each scaled to what the {seen}, below the reference point {worst}."
    )
    return Template(files("frugalnas.compare").joinpath("page.html").read_text("utf-8")).substitute(
        title=escape(outcome.title),
        facts=escape(facts),
        caution=escape(outcome.caution),
        legend="".join(_key(outcome, method) for method in outcome.methods),
        charts="".join(_chart(outcome, curve) for curve in outcome.curves),
        tables="".join(_tables(outcome, curve) for curve in outcome.curves),
        costs=_table(*text.costs(outcome)),
        equal=f"<p>{_EQUAL_TABLE if plan.table else _EQUAL}</p>",
        runs="" if plan.table else _runs(outcome),
        config=escape(json.dumps(plan.searches, indent=1)),
    )


def _class(outcome: Outcome, method: str) -> str:
    others = [each for each in outcome.methods if each != RANDOM]
    return "twin" if method == RANDOM else f"m{others.index(method) % _COLOURS}"


def _key(outcome: Outcome, method: str) -> str:
    line = f'<svg viewBox="0 0 26 10"><path class="curve {_class(outcome, method)}" d="M0 5H26"/></svg>'
    return f"<li>{line}{escape(method)}</li>"


def _chart(outcome: Outcome, curve: Curve) -> str:
    """The medians and quartiles of all methods against what was spent of the budget."""
    quartiles = {method: curve.quartiles(method) for method in outcome.methods}
    settled = np.concatenate([table[:, _SETTLED:].ravel() for table in quartiles.values()])
    x = Axis(outcome.unit, 0.0, outcome.budget, _LEFT, _WIDTH - _RIGHT)
    y = Axis.around(curve.name, settled[np.isfinite(settled)].tolist(), math.inf, _HEIGHT - _BOTTOM, _TOP)
    grid = "".join(f"M{at:g} {_TOP}V{_HEIGHT - _BOTTOM}" for at, _ in x.ticks())
    grid += "".join(f"M{_LEFT} {at:g}H{_WIDTH - _RIGHT}" for at, _ in y.ticks())
    below, beside = _HEIGHT - _BOTTOM + 18, _LEFT - 8
    words = "".join(f'<text x="{at:g}" y="{below}" text-anchor="middle">{word}</text>' for at, word in x.ticks())
    words += "".join(f'<text x="{beside}" y="{at + 4:g}" text-anchor="end">{word}</text>' for at, word in y.ticks())
    unit = f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 6}" text-anchor="end">{outcome.unit} spent</text>'
    lines = "".join(_line(outcome, curve, method, table, x, y) for method, table in quartiles.items())
    frame = f"M{_LEFT} {_TOP - 4}H{_WIDTH - _RIGHT + 4}V{_HEIGHT - _BOTTOM}H{_LEFT}Z"
    title = escape(curve.title)
    return (
        f"<figure><figcaption>{title}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">'
        f'<defs><clipPath id="{curve.name}"><path d="{frame}"/></clipPath></defs>'
        f'<path class="grid" d="{grid}"/>{words}{unit}<g clip-path="url(#{curve.name})">{lines}</g></svg></figure>'
    )


def _line(outcome: Outcome, curve: Curve, method: str, quartiles: np.ndarray, x: Axis, y: Axis) -> str:
    """One method's median, its band, and at every tenth place a dot that says the numbers."""
    kind = _class(outcome, method)
    budgets = np.linspace(0, outcome.budget, PLACES + 1).tolist()
    low, middle, high = (
        [(x.place(at), y.place(value)) for at, value in zip(budgets, row, strict=True) if math.isfinite(value)]
        for row in quartiles.tolist()
    )
    drawn = f'<path class="band {kind}" d="{_path([*low, *reversed(high)])}Z"/>' if low and high else ""
    drawn += f'<path class="curve {kind}" d="{_path(middle)}"/>' if middle else ""
    for place in range(_SETTLED, PLACES + 1, _SETTLED):
        first, half, third = quartiles[:, place]
        if not math.isfinite(half):
            continue
        said = f"{method} at {budgets[place]:,.4g} {outcome.unit}: {curve.words(half)}"
        said = escape(f"{said} ({curve.words(first)} to {curve.words(third)})")
        at = f'cx="{x.place(budgets[place])}" cy="{y.place(half)}"'
        drawn += f'<circle class="{kind}" {at} r="2.5"><title>{said}</title></circle>'
    return drawn


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{across:g} {up:g}" for across, up in points)


def _tables(outcome: Outcome, curve: Curve) -> str:
    """A curve in numbers: at four shares of the budget, against random, and by pairs."""
    header, rows = text.pairs(outcome, curve)
    pairs = (
        f"<details><summary>By pairs: {escape(curve.title)}</summary>{_table(header, rows)}</details>" if rows else ""
    )
    return (
        f"<h2>{escape(curve.title[:1].upper() + curve.title[1:])}</h2>"
        f"{_table(*text.quarters(outcome, curve))}<p>{escape(text.verdict(outcome, curve))}</p>{pairs}"
    )


def _runs(outcome: Outcome) -> str:
    """Where the report of every run is."""
    rows = [
        [escape(method), *(f'<a href="{escape(method)}/seed-{run.seed}/report.html">{run.seed}</a>' for run in runs)]
        for method, runs in ((method, outcome.of(method)) for method in outcome.methods)
    ]
    seeds = ["" for _ in rows[0][1:]]
    return f"<details><summary>Report of every run, by seed</summary>{_cells(['method', *seeds], rows)}</details>"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return _cells(header, [[escape(cell) for cell in row] for row in rows])


def _cells(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the cells of `rows` are markup already."""
    return table_of("", [escape(cell) for cell in header], rows)
