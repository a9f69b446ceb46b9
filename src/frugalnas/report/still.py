"""What pages without scripts have in common: the frame, whose policy lets nothing be loaded or run, and pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from string import Template

from frugalnas.report.page import checksum, page_file
from frugalnas.report.picture import Axis, radius

_SIDE, _EDGE = 230, 46  # of a scatter in pixels, and of its margin to the left and below


def page(title: str, body: str) -> str:
    """The whole page around `body`, which is markup; it needs no other file."""
    style = page_file("page.css") + page_file("still.css")
    return Template(page_file("still.html")).substitute(
        style_hash=checksum(style), style=style, title=escape(title), body=body
    )


def stats(entries: Mapping[str, str]) -> str:
    """Names and numbers in a row, below the heading."""
    return "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(words)}</dd></div>" for name, words in entries.items())


def scatter(
    label: str,
    name: str,
    caption: str,
    across: Sequence[float],
    upright: Sequence[float | None],
    unit: str,
    own: str,
) -> str:
    """A dot for each item, below a `name` and a `caption`. `unit` and `own` name the values (see `Axis`).

    Items that have no value upright are marked at the upper edge.
    """
    known = [(a, b) for a, b in zip(across, upright, strict=True) if b is not None]
    x = Axis.around(unit, across, math.inf, _EDGE, _SIDE - 10)
    y = Axis.around(own, [b for _, b in known], math.inf, _SIDE - _EDGE + 10, 10)
    size = radius(len(known), 1.4, 3)
    places = dict.fromkeys((x.place(a), y.place(b)) for a, b in known)
    dots = "".join(f'<circle cx="{a:g}" cy="{b:g}" r="{size:g}"/>' for a, b in places)
    lost = "".join(f"M{x.place(a):g} 4v8" for a, b in zip(across, upright, strict=True) if b is None)
    grid = "".join(f"M{_EDGE} {at:g}H{_SIDE - 10}" for at, _ in y.ticks())
    words = "".join(f'<text x="{_EDGE - 6}" y="{at + 4:g}" class="end">{each}</text>' for at, each in y.ticks())
    words += "".join(f'<text x="{at:g}" y="{_SIDE - 14}" class="middle">{each}</text>' for at, each in x.ticks()[::2])
    missing = f'<path class="lost" d="{lost}"/>' if lost else ""
    return (
        f"<figure><figcaption><strong>{escape(name)}</strong> {escape(caption)}</figcaption>"
        f'<svg viewBox="0 0 {_SIDE} {_SIDE}" role="img" '
        f'aria-label="{escape(label)}"><path class="grid" d="{grid}"/>{words}<g class="cloud">{dots}</g>{missing}'
        "</svg></figure>"
    )
