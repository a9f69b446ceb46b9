"""The front as a still picture, for papers and read-me files: an SVG document, made without a browser."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from frugalnas import pareto
from frugalnas.core import Trial
from frugalnas.record import Record
from frugalnas.report.shown import shown as drawable
from frugalnas.report.text import MOST, SHARES, TITLES

_WIDTH, _HEIGHT = 480, 340  # of a panel in pixels, and its margins
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 18, 34, 48
_LEGEND = 34
_INK, _QUIET, _GRID, _DOT, _BEST = "#1c2733", "#5a6878", "#e6eaef", "#a9b4c2", "#c8102e"
_HUGE = 1e300  # values beyond are drawn there, as their difference is no number


@dataclass(frozen=True)
class Axis:
    """Values of `name` from `low` to `high`, on a line of pixels from `start` to `end`."""

    name: str
    low: float
    high: float
    start: float
    end: float

    @staticmethod
    def around(name: str, values: Iterable[float], limit: float, start: float, end: float) -> Axis:
        """An axis with some air around the values, and a limit where it is not far from them."""
        inside = [_bounded(value) for value in values] or [0.0, 1.0]
        low, high = min(inside), max(inside)
        if low <= limit <= high + 0.15 * (high - low):
            high = max(high, limit)
        air = 0.05 * (high - low)
        if air < 1 / _HUGE:
            air = 0.05 * abs(high) if abs(high) > 1e-200 else 1.0
        return Axis(name, low - air, high + air, start, end)

    def place(self, value: float) -> float:
        share = (_bounded(value) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[tuple[float, str]]:
        """Places and words of about five round values."""
        span = self.high - self.low
        power = 10.0 ** math.floor(math.log10(span / 5))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= span / 5.001)
        values = [step * i for i in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        return [(self.place(value), self._words(value)) for value in values]

    def _words(self, value: float) -> str:
        if value == 0:
            return "0"
        if self.name in SHARES:
            return f"{100 * value:.6g} %"
        most = max(abs(self.low), abs(self.high))
        prefixes = (("G", 1e9), ("M", 1e6), ("k", 1e3)) if most < MOST else ()
        prefix, size = next((p for p in prefixes if most >= max(p[1], 1e4)), ("", 1))
        return f"{value / size:.6g}{prefix}"


def svg_of_front(record: Record) -> str:
    """An SVG document: the first objective against each of the others, a panel each; of three every pair.

    Networks of the highest rung that were rated, the front of all objectives, and the front of each panel's two.
    """
    first, *others = record.objectives
    pairs = [(across, first) for across in others] or [("trial", first)]
    if len(others) == 2:
        pairs.append((others[0], others[1]))
    panels = "".join(
        f'<g transform="translate({_WIDTH * place} {_LEGEND})">{_panel(record, across, upright)}</g>'
        for place, (across, upright) in enumerate(pairs)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH * len(pairs)} {_LEGEND + _HEIGHT}" '
        f'width="{_WIDTH * len(pairs)}" height="{_LEGEND + _HEIGHT}" font-family="system-ui, sans-serif" '
        f'font-size="12" fill="{_INK}"><rect width="100%" height="100%" fill="#fff"/>{_legend(record)}{panels}</svg>\n'
    )


def _legend(record: Record) -> str:
    signs = [
        (f'<circle cx="6" cy="-4" r="5" fill="{_BEST}"/>', "Pareto front"),
        (f'<circle cx="6" cy="-4" r="3.2" fill="{_DOT}"/>', "other networks"),
        (f'<path d="M-4 -4H14" stroke="{_BEST}" stroke-width="1.2"/>', "front of these two"),
    ]
    if any(name in record.objectives for name in record.header["config"]["limits"]):
        signs.append((f'<path d="M6 -14V4" stroke="{_QUIET}" stroke-dasharray="4 3"/>', "limit"))
    drawn, left = "", _LEFT - 40.0
    for sign, words in signs:
        drawn += f'<g transform="translate({left:g} 24)">{sign}<text x="20">{words}</text></g>'
        left += 44 + 6.2 * len(words)  # about the width of the words
    return drawn


def _panel(record: Record, across: str, upright: str) -> str:
    shown = record.compared
    limits = record.header["config"]["limits"]
    x_limit, y_limit = (float(limits.get(name, math.inf)) for name in (across, upright))
    x = Axis.around(across, (_value(t, across) for t in shown), x_limit, _LEFT, _WIDTH - _RIGHT)
    y = Axis.around(upright, (_value(t, upright) for t in shown), y_limit, _HEIGHT - _BOTTOM, _TOP)

    def places(trials: Sequence[Trial]) -> dict[tuple[float, float], None]:
        return dict.fromkeys((x.place(_value(t, across)), y.place(_value(t, upright))) for t in trials)

    best, drawn = places(record.front), {trial.number for trial in drawable(record)[0]}
    # each half pixel once, as a line of no length with round ends: a tenth of the bytes of a circle
    halves = {
        (round(2 * a) / 2, round(2 * b) / 2): None
        for a, b in places([t for t in shown if t.number in drawn])
        if (a, b) not in best
    }
    dots = "".join(f"M{a:g} {b:g}h0" for a, b in halves)
    thick = 2 * radius(len(shown), 1.6, 3.2)
    marks = "".join(f'<circle cx="{a:g}" cy="{b:g}" r="{radius(len(best), 3, 5):g}"/>' for a, b in best)
    return (
        f"{_frame(x, y)}{_limits(x, x_limit, y, y_limit)}"
        f'<path d="{dots}" stroke="{_DOT}" stroke-width="{thick:g}" stroke-linecap="round"/>'
        f'<path d="{_stairs(shown, x, y)}" fill="none" stroke="{_BEST}" stroke-width="1.2"/>'
        f'<g fill="{_BEST}" stroke="#fff">{marks}</g>{_knee(record, x, y)}'
    )


def radius(count: int, least: float, most: float) -> float:
    """Of dots, which are smaller where they crowd."""
    return round(max(least, min(most, 60 / math.sqrt(count or 1))), 1)


def _bounded(value: float) -> float:
    return min(max(value, -_HUGE), _HUGE)


def _value(trial: Trial, name: str) -> float:
    return float(trial.number) if name == "trial" else trial.values[name]


def _frame(x: Axis, y: Axis) -> str:
    """Grid, ticks and titles; that of the upright axis stands above it, to be read without turning the head."""
    grid = "".join(f"M{at:g} {_TOP}V{_HEIGHT - _BOTTOM}" for at, _ in x.ticks())
    grid += "".join(f"M{_LEFT} {at:g}H{_WIDTH - _RIGHT}" for at, _ in y.ticks())
    words = "".join(f'<text x="{at:g}" y="{_HEIGHT - _BOTTOM + 18}">{word}</text>' for at, word in x.ticks())
    sides = "".join(f'<text x="{_LEFT - 8}" y="{at + 4:g}">{word}</text>' for at, word in y.ticks())
    titles = [escape(TITLES.get(axis.name, axis.name)) for axis in (x, y)]
    return (
        f'<path d="{grid}" stroke="{_GRID}"/><g fill="{_QUIET}" text-anchor="middle">{words}</g>'
        f'<g fill="{_QUIET}" text-anchor="end">{sides}</g>'
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2:g}" y="{_HEIGHT - 10}" text-anchor="middle">{titles[0]}</text>'
        f'<text x="{_LEFT - 48}" y="{_TOP - 12}">{titles[1]}</text>'
    )


def _limits(x: Axis, x_limit: float, y: Axis, y_limit: float) -> str:
    lines = f"M{x.place(x_limit):g} {_TOP}V{_HEIGHT - _BOTTOM}" if x.low <= x_limit <= x.high else ""
    lines += f"M{_LEFT} {y.place(y_limit):g}H{_WIDTH - _RIGHT}" if y.low <= y_limit <= y.high else ""
    return f'<path d="{lines}" stroke="{_QUIET}" stroke-dasharray="4 3"/>' if lines else ""


def _stairs(trials: Sequence[Trial], x: Axis, y: Axis) -> str:
    """The front of the two objectives alone; nothing against the number of the trial."""
    if x.name == "trial":
        return ""
    steps = pareto.front(trials, (x.name, y.name))
    places = [(x.place(trial.values[x.name]), y.place(trial.values[y.name])) for trial in steps]
    return "".join(f"H{a:g}V{b:g}" if place else f"M{a:g} {b:g}" for place, (a, b) in enumerate(places))


def _knee(record: Record, x: Axis, y: Axis) -> str:
    if record.knee is None:
        return ""
    at, height = x.place(_value(record.knee, x.name)), y.place(_value(record.knee, y.name))
    return (
        f'<circle cx="{at:g}" cy="{height:g}" r="9" fill="none" stroke="{_BEST}"/>'
        f'<text x="{at + 12:g}" y="{height + 14:g}" fill="{_BEST}" stroke="#fff" '
        f'stroke-width="4" paint-order="stroke">knee: trial {record.knee.number}</text>'
    )
