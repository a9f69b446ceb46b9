"""The pictures of a study of ratings, as SVG: the correlations side by side, and every score beside the truth."""

from __future__ import annotations

from html import escape

from frugalnas.rank.findings import GIVEN, Findings, Rating
from frugalnas.ranking import Estimate
from frugalnas.report import still
from frugalnas.report.picture import Axis

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM, _ROW = 760, 210, 24, 30, 40, 36  # of the chart in pixels
_APART = 7  # between the two lines of a score
_LONGEST = 28  # letters of a name that there is room for


def chart(findings: Findings) -> str:
    """Spearman's correlation of every score, and what is left of it given the size, each with its interval."""
    ratings = (*findings.rated, *findings.beside)
    height = _TOP + _ROW * len(ratings) + _BOTTOM
    found = [each for rating in ratings for each in (rating.spearman, rating.partial) if each]
    low, high = min(0.0, *(each.low for each in found)), max(0.0, *(each.high for each in found))
    x = Axis("correlation", max(-1.0, low - 0.03), min(1.0, high + 0.03), _LEFT, _WIDTH - _RIGHT)
    foot = height - _BOTTOM
    grid = "".join(f"M{at:g} {_TOP}V{foot}" for at, _ in x.ticks())
    words = "".join(f'<text x="{at:g}" y="{foot + 18}" class="middle">{word}</text>' for at, word in x.ticks())
    rows = "".join(_row(findings, rating, x, _TOP + _ROW * place) for place, rating in enumerate(ratings))
    return (
        f'<figure class="wide">{_legend()}<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="correlations">'
        f'<path class="grid" d="{grid}"/>{words}<path class="zero" d="M{x.place(0):g} {_TOP}V{foot}"/>'
        f'{_levels(findings, x, foot)}{rows}<text x="{(_LEFT + _WIDTH - _RIGHT) / 2:g}" y="{height - 4}" '
        'class="middle">correlation with the truth, 95 % interval</text></svg></figure>'
    )


def _legend() -> str:
    signs = (("best", "Spearman's correlation"), ("given", f"the same, given {GIVEN}"))
    return "".join(
        f'<span class="sign"><svg viewBox="0 0 26 10"><path class="{kind}" d="M0 5H26"/>'
        f'<circle class="{kind}" cx="13" cy="5" r="4"/></svg>{words}</span>'
        for kind, words in signs
    )


def _levels(findings: Findings, x: Axis, foot: int) -> str:
    """Lines down the picture at what counting reaches, named above it."""
    lines, taken = "", -1e9
    for rating in sorted(findings.beside, key=lambda rating: rating.spearman.value):
        at = x.place(rating.spearman.value)
        words = max(at, taken + 8 * len(rating.name))  # beside the one before, where they are close
        taken = words
        lines += f'<path class="level" d="M{at:g} {_TOP - 6}V{foot}"/>'
        lines += f'<text x="{words:g}" y="{_TOP - 12}" class="middle">{escape(rating.name)}</text>'
    return lines


def _row(findings: Findings, rating: Rating, x: Axis, top: int) -> str:
    middle = top + _ROW // 2
    name = rating.name if len(rating.name) <= _LONGEST else f"{rating.name[: _LONGEST - 1]}…"
    strong = ' class="strong end"' if rating in findings.beyond_size else ' class="end"'
    lines = _line("best", rating.name, rating.spearman, x, middle - (_APART if rating.partial else 0))
    if rating.partial:
        lines += _line("given", f"{rating.name} given {GIVEN}", rating.partial, x, middle + _APART)
    return f'<text x="{_LEFT - 14}" y="{middle + 4}"{strong}>{escape(name)}</text>{lines}'


def _line(kind: str, name: str, found: Estimate, x: Axis, y: int) -> str:
    at, low, high = (x.place(value) for value in (found.value, found.low, found.high))
    return (
        f'<g><title>{escape(name)}: {found}</title><path class="{kind}" d="M{low:g} {y}H{high:g}"/>'
        f'<circle class="{kind}" cx="{at:g}" cy="{y}" r="4"/></g>'
    )


def scatter(findings: Findings, rating: Rating) -> str:
    """The true errors of the networks, across, and a score."""
    name = f"{rating.name} beside {findings.truth}"
    caption = f"{rating.name}: {rating.spearman}"
    return still.scatter(name, caption, findings.errors, rating.scores, findings.truth, rating.name)
