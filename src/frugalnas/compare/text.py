"""A comparison in plain text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from frugalnas.compare.outcome import PLACES, QUARTERS, RANDOM, Curve, Outcome
from frugalnas.compare.significance import LEVEL, Contrast
from frugalnas.report import table


def text_of(outcome: Outcome) -> str:
    """The tables of the page, for a terminal."""
    runs = f"{len(outcome.methods)} methods, {outcome.seeds} seed{'s' * (outcome.seeds > 1)}"
    lines = [
        f"{outcome.title}: {runs}, {outcome.budget:,.6g} {outcome.unit} each. Medians over the seeds.",
        f"Every value is by the same estimator: {outcome.referee}.",
    ]
    for curve in outcome.curves:
        lines += ["", f"{curve.title}, at shares of the budget", table(*quarters(outcome, curve))]
        lines.append(verdict(outcome, curve))
    lines += ["", "what a run cost", table(*costs(outcome)), "", outcome.caution]
    if outcome.truth:
        lines.append(truth(outcome))
    return "\n".join(lines)


def ending_of(outcome: Outcome, folder: Path) -> str:
    """What to say at the end: the tables, and where the page is."""
    return f"{text_of(outcome)}\n\nPage: {folder / 'compare.html'}"


def quarters(outcome: Outcome, curve: Curve) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table: a curve at four shares of the budget, and its rank test against random."""
    against = {contrast.first: contrast for contrast in outcome.tests[curve.name][0]}
    header = ["method", *(f"{percent} %" for percent in QUARTERS), "quartiles", "mean rank", "p against random (Holm)"]
    rows = []
    for method in outcome.methods:
        low, middle, high = curve.quartiles(method)
        shown = [curve.words(middle[percent * PLACES // 100]) for percent in QUARTERS]
        spread = f"{curve.words(low[-1])} to {curve.words(high[-1])}"
        rank = f"{outcome.ranks[curve.name][method]:.2f}"
        rows.append([method, *shown, spread, rank, words_of(against[method]) if method != RANDOM else ""])
    return header, rows


def verdict(outcome: Outcome, curve: Curve) -> str:
    """Which methods differ from random significantly, in a sentence."""
    sure = [contrast for contrast in outcome.tests[curve.name][0] if contrast.adjusted <= LEVEL]
    better, worse = ([c.first for c in sure if (c.wins > c.losses) is won] for won in (True, False))
    said = [
        f"{words} than random: {', '.join(names)}" for words, names in (("better", better), ("worse", worse)) if names
    ]
    return f"At p <= {LEVEL:g}, corrected, {'; '.join(said) or 'no method differs from random'}."


def words_of(contrast: Contrast) -> str:
    """A contrast in few words: the corrected p and in how many seeds the first was better, or worse."""
    return f"{contrast.adjusted:.2g} ({contrast.wins} better, {contrast.losses} worse)"


def costs(outcome: Outcome) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table: medians of what a run spent."""
    found = {method: outcome.costs(method) for method in outcome.methods}
    names = [name for name in found[RANDOM] if name in _KEPT or any(each[name] for each in found.values())]
    header = ["method", *(_TITLES.get(name, name) for name in names)]
    return header, [
        [method, *(f"{each[name]:,.4g}" if name in _LOOSE else f"{each[name]:,.0f}" for name in names)]
        for method, each in found.items()
    ]


_KEPT = ("seconds", "networks", "trials")
_LOOSE = ("epochs", "seconds")
_TITLES = {"images": "training images", "networks": "different networks"}


def truth(outcome: Outcome) -> str:
    """What was there to be found in a table, in a sentence."""
    known = outcome.truth
    if known is None:
        return ""
    holes = known.space - known.size
    lacking = (
        f" An architecture that it lacks ({holes:,} of {known.space:,}, or beyond a limit) fails and counts as a trial."
        if holes
        else ""
    )
    return (
        f"The table has {known.size:,} architectures; the best test error in it is {100 * known.best_test:.2f} %, the "
        f"true front has {known.members} members.{lacking}"
    )


def pairs(outcome: Outcome, curve: Curve) -> tuple[Sequence[str], list[list[str]]]:
    """Header and rows of a table: the methods by pairs."""
    header = ["pair", "median difference", "first is better in", "worse in", "p", "p after Holm"]
    rows = []
    for contrast in outcome.tests[curve.name][1]:
        counts = [f"{contrast.wins}", f"{contrast.losses}", f"{contrast.p:.2g}", f"{contrast.adjusted:.2g}"]
        difference = curve.words(abs(contrast.difference))
        sign = {True: "better by ", False: "worse by "}[contrast.difference < 0] if contrast.difference else ""
        rows.append([f"{contrast.first}, {contrast.second}", f"{sign}{difference}", *counts])
    return header, rows
