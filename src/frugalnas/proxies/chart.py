"""The pictures of a study of proxies, as SVG: what each is worth for its cost, and the errors behind that."""

from __future__ import annotations

import math
from html import escape

from frugalnas.proxies.findings import Findings, Rating
from frugalnas.report import still
from frugalnas.report.picture import Axis

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 400, 52, 130, 34, 48  # of the chart in pixels, and its margins
_NAME = 75, 14  # width and height of a name
_AIR = 1.3  # factor that the cost axis goes beyond the cheapest


def chart(findings: Findings) -> str:
    """Spearman's correlation with its interval against the cost, on a logarithmic axis, of every proxy."""
    ratings = [*findings.rated]
    low = math.log10(min([findings.price(rating) for rating in ratings]) / _AIR)
    high = math.log10(max([1.0, *map(findings.price, ratings)]))
    across = Axis("share", low, high, _LEFT, _WIDTH - _RIGHT)
    worst = min([*(rating.spearman.low for rating in ratings), *(rating.spearman.value for rating in findings.beside)])
    upright = Axis("spearman", max(-1.0, worst - 0.05), 1.0, _HEIGHT - _BOTTOM, _TOP)
    unit = "measured seconds" if findings.unit == "seconds" else "MACs × images"
    parts = [
        _costs(across),
        _levels(findings, upright),
        *(_point(findings, rating, across, upright) for rating in ratings),
        _names(findings, across, upright),
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2:g}" y="{_HEIGHT - 8}" class="middle">cost of a training, '
        f"share of the reference's ({unit})</text>",
        f'<text x="{_LEFT - 40}" y="{_TOP - 16}">Spearman\'s correlation with the reference, 95 % interval</text>',
    ]
    return (
        f'<figure class="wide"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="correlation against cost">{"".join(parts)}</svg></figure>'
    )


def _costs(across: Axis) -> str:
    """Grid lines at 1, 2 and 5 times the powers of ten."""
    lines = ""
    for power in range(math.floor(across.low), math.ceil(across.high) + 1):
        for digit in (1, 2, 5):
            at = math.log10(digit) + power
            if across.low <= at <= across.high:
                x, share = across.place(at), f"{digit * 10.0 ** (power + 2):g} %"
                lines += f'<path class="grid" d="M{x:g} {_TOP}V{_HEIGHT - _BOTTOM}"/>'
                lines += f'<text x="{x:g}" y="{_HEIGHT - _BOTTOM + 18}" class="middle">{share}</text>'
    return lines


def _levels(findings: Findings, upright: Axis) -> str:
    """The grid of correlations, and lines at what counting and repeating the reference reach."""
    lines = ""
    for y, value in upright.ticks():
        lines += f'<path class="grid" d="M{_LEFT} {y:g}H{_WIDTH - _RIGHT}"/>'
        lines += f'<text x="{_LEFT - 8}" y="{y + 4:g}" class="end">{value}</text>'
    taken: list[float] = []
    for rating in sorted(findings.beside, key=lambda rating: -rating.spearman.value):
        y = upright.place(rating.spearman.value)
        words = max([y + 4, *(place + 14 for place in taken)])  # below the one before, where they are close
        taken.append(words)
        lines += f'<path class="level" d="M{_LEFT} {y:g}H{_WIDTH - _RIGHT}"/>'
        lines += f'<text x="{_WIDTH - _RIGHT + 8}" y="{words:g}">{escape(rating.name)}</text>'
    return lines


def _point(findings: Findings, rating: Rating, across: Axis, upright: Axis) -> str:
    x = across.place(math.log10(findings.price(rating)))
    y, low, high = (upright.place(v) for v in (rating.spearman.value, rating.spearman.low, rating.spearman.high))
    kind = "best" if rating in findings.front else "dot"
    ring = f'<circle class="rung" cx="{x:g}" cy="{y:g}" r="9"/>' if rating.name in findings.ladder else ""
    words = f"{rating.name}: {rating.spearman} at {findings.price(rating):.1%} of the cost"
    return (
        f'<g><title>{words}</title><path class="{kind}" d="M{x:g} {low:g}V{high:g}"/>'
        f'<circle class="{kind}" cx="{x:g}" cy="{y:g}" r="4.5"/>{ring}</g>'
    )


def _names(findings: Findings, across: Axis, upright: Axis) -> str:
    """The names of the front, none on another."""
    taken: list[tuple[float, float]] = []
    for rating in findings.front:
        x, y = across.place(math.log10(findings.price(rating))) + 11, upright.place(rating.spearman.value) - 7
        while any(abs(x - left) < _NAME[0] and abs(y - base) < _NAME[1] for left, base in taken):
            y -= 1
        taken.append((x, y))
    numbered = zip(findings.front, taken, strict=True)
    return "".join(f'<text class="named" x="{x:g}" y="{y:g}">{rating.name}</text>' for rating, (x, y) in numbered)


def scatter(rating: Rating) -> str:
    """The errors of the networks by the reference, across, and by a proxy."""
    errors, own = zip(*rating.pairs, strict=True)
    label = f"errors by {rating.name}"
    return still.scatter(label, rating.name, str(rating.spearman), errors, own, "error", "error")
