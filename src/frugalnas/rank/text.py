"""What a study of ratings found, in plain text."""

from __future__ import annotations

from pathlib import Path

from frugalnas.rank.findings import BEST, GIVEN, Findings, Rating
from frugalnas.rank.truth import LEAST_NETWORKS
from frugalnas.record import reasons
from frugalnas.report import amount, table

MOST_REASONS = 5  # why ratings failed, the most frequent
HEADER = (
    "score",
    "Spearman (95 %)",
    "Kendall (95 %)",
    f"given {GIVEN} (95 %)",
    f"top {100 // BEST} %",
    "its best",
    "failed",
    "seconds",
)


def row_of(findings: Findings, rating: Rating) -> list[str]:
    """A line of the table, under HEADER."""
    seconds = "" if rating.seconds is None else f"{rating.seconds:.3g}"
    return [
        rating.name,
        str(rating.spearman),
        str(rating.kendall),
        "" if rating.partial is None else str(rating.partial),
        f"{rating.overlap:.0%}",
        amount(findings.truth, rating.chosen),
        f"{rating.failed:,}" if rating.failed else "",
        f"{seconds}*" if seconds and rating.together > 1 else seconds,
    ]


def text_of(findings: Findings) -> str:
    """What was found, for people."""
    head = f"{len(findings.networks):,} of {findings.asked:,} networks rated, in {findings.record.elapsed / 60:.1f} min"
    if not findings.rated:
        return f"{head}\nNothing has been compared yet: that takes {LEAST_NETWORKS} networks."
    rows = [row_of(findings, rating) for rating in (*findings.rated, *findings.beside)]
    return "\n".join([head, truth_of(findings), "", table(HEADER, rows), "", *notes(findings), verdict(findings)])


def truth_of(findings: Findings) -> str:
    """What the ratings are compared with, in a sentence."""
    truth = f"The truth is {findings.truth} of {Path(findings.source).name}"
    best = amount(findings.truth, min(findings.errors, default=0.0))
    return f"{truth}; the best of these networks has {best}." if findings.errors else f"{truth}."


def notes(findings: Findings) -> list[str]:
    """How to read the columns, a sentence each."""
    lines = [
        f"given {GIVEN}: the correlation that is left once what both owe to the multiply-accumulates is taken out",
        f"its best: the true {findings.truth} of the network that a score calls the best",
    ]
    if any(rating.failed for rating in findings.rated):
        lines.append("failed: networks without a finite score, which count as the worst")
    if any(rating.seconds is not None for rating in findings.rated):
        lines.append("seconds: of one network on one core, the median")
    if any(rating.together > 1 and rating.seconds is not None for rating in findings.rated):
        lines[-1] += "; * of several scores together, which one estimator gives"
    return lines + [f"{number:,} {reason}" for reason, number in reasons(findings.record.trials)[:MOST_REASONS]]


def verdict(findings: Findings) -> str:
    """Which ratings tell more than size, in a line."""
    counts = ", ".join(f"{rating.name} {rating.spearman.value:.2f}" for rating in findings.beside)
    if findings.beyond_size:
        names = ", ".join(rating.name for rating in findings.beyond_size)
        return f"Better than counting ({counts}), and more than size, as the interval given {GIVEN} is above 0: {names}"
    return f"No score is better than counting ({counts}) and more than size, with an interval given {GIVEN} above 0"


def ending_of(findings: Findings, ended: str) -> str:
    """What to say at the end of a study: what was found, where it is, and how to go on. `ended`: see `Study.run`."""
    folder = findings.record.folder
    lines = [text_of(findings), "", f"Page: {folder / 'rank.html'}"]
    if ended != "finished":
        lines.append(f"Stopped before its end; go on with: frugalnas resume {folder} --minutes ...")
    return "\n".join(lines)
