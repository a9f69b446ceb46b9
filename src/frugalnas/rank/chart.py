"""The pictures of a study of ratings: the correlations side by side, and every score beside the truth."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from frugalnas.rank.findings import GIVEN, Findings, Rating
from frugalnas.ranking import Estimate, ranks
from frugalnas.report import still
from frugalnas.report.picture import Axis

_TOP, _ROW, _FOOT = 30, 36, 26  # heights in pixels; .names of still.css has the first two
_LEFT, _RIGHT = 2.0, 98.0  # per cent of the width, whatever that is on the screen
_APART = 7  # pixels between the two lines of a score
_CLOSE = 15  # per cent between two words above the picture


def chart(findings: Findings) -> str:
    """Spearman's correlation of every score, and what is left of it given the size, each with its interval."""
    ratings = (*findings.rated, *findings.beside)
    foot = _TOP + _ROW * len(ratings)
    found = [each for rating in ratings for each in (rating.spearman, rating.partial) if each]
    low, high = min(0.0, *(each.low for each in found)), max(0.0, *(each.high for each in found))
    x = Axis("correlation", max(-1.0, low - 0.03), min(1.0, high + 0.03), _LEFT, _RIGHT)
    lines = "".join(_upright("grid", at, _TOP, foot) for at, _ in x.ticks()) + _upright("zero", x.place(0), _TOP, foot)
    words = "".join(_words(at, foot + 18, word) for at, word in x.ticks())
    rows = "".join(_row(rating, x, _TOP + _ROW * place) for place, rating in enumerate(ratings))
    return (
        f'<figure>{_legend()}<div class="forest"><ol class="names">{_names(findings, ratings)}</ol>'
        f'<svg width="100%" height="{foot + _FOOT}" role="img" aria-label="correlations with their intervals">'
        f"{lines}{words}{_levels(findings, x, foot)}{rows}</svg></div></figure>"
    )


def _legend() -> str:
    signs = (("best", "Spearman's correlation with the truth, 95 % interval"), ("given", f"the same given {GIVEN}"))
    return "".join(
        f'<span class="sign"><svg viewBox="0 0 26 10"><path class="{kind}" d="M0 5H26"/>'
        f'<circle class="{kind}" cx="13" cy="5" r="4"/></svg>{words}</span>'
        for kind, words in signs
    )


def _names(findings: Findings, ratings: Sequence[Rating]) -> str:
    strong = {rating.name for rating in findings.beyond_size}
    kinds = [(escape(rating.name), ' class="strong"' if rating.name in strong else "") for rating in ratings]
    return "".join(f"<li{kind}><span>{name.replace(':', ':<wbr>')}</span></li>" for name, kind in kinds)


def _levels(findings: Findings, x: Axis, foot: int) -> str:
    """Lines down the picture at what counting reaches, named above it; in one word where they are close."""
    places: dict[float, list[str]] = {}
    lines = ""
    for rating in findings.beside:
        at = x.place(rating.spearman.value)
        lines += _upright("level", at, _TOP - 6, foot)
        near = next((place for place in places if abs(place - at) < _CLOSE), at)
        places.setdefault(near, []).append(rating.name)
    return lines + "".join(_words(at, _TOP - 12, ", ".join(names)) for at, names in places.items())


def _row(rating: Rating, x: Axis, top: int) -> str:
    middle = top + _ROW // 2
    row = _line("best", rating.name, rating.spearman, x, middle - (_APART if rating.partial else 0))
    if rating.partial:
        row += _line("given", f"{rating.name} given {GIVEN}", rating.partial, x, middle + _APART)
    return row


def _line(kind: str, name: str, found: Estimate, x: Axis, y: int) -> str:
    at, low, high = (x.place(value) for value in (found.value, found.low, found.high))
    return (
        f'<g class="{kind}"><title>{escape(name)}: {found}</title>'
        f'<line x1="{low:g}%" x2="{high:g}%" y1="{y}" y2="{y}"/><circle cx="{at:g}%" cy="{y}" r="4"/></g>'
    )


def _upright(kind: str, at: float, top: int, foot: int) -> str:
    return f'<line class="{kind}" x1="{at:g}%" x2="{at:g}%" y1="{top}" y2="{foot}"/>'


def _words(at: float, y: int, words: str) -> str:
    """Words around a place; at the sides they end, or begin, at it."""
    side = "end" if at > _RIGHT - _CLOSE else "middle" if at > _LEFT + _CLOSE else "start"
    return f'<text x="{at:g}%" y="{y}" class="{side}">{escape(words)}</text>'


def scatter(findings: Findings, rating: Rating) -> str:
    """The places of the networks by their true error, across, and by a score: values would be drawn out by a few."""
    known = [(score, place) for place, score in enumerate(rating.scores) if score is not None]
    upright: list[float | None] = [None] * len(rating.scores)
    for rank, (_, place) in zip(ranks([score for score, _ in known]).tolist(), known, strict=True):
        upright[place] = rank
    label, across = f"places by {rating.name} and by {findings.truth}", ranks(findings.errors).tolist()
    return still.scatter(label, rating.name, str(rating.spearman), across, upright, "place", "place")
