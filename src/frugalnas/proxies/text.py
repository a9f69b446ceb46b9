"""What a study of proxies found, in plain text."""

from __future__ import annotations

import shlex

from frugalnas.proxies.findings import LEAST_BOUND, Findings, Rating
from frugalnas.proxies.settings import LEAST_NETWORKS
from frugalnas.report import table

HEADER = (
    "score",
    "Spearman (95 %)",
    "Kendall (95 %)",
    "best quarter",
    "error",
    "images",
    "MACs x images",
    "seconds",
    "speed-up",
    "",
)


def row_of(findings: Findings, rating: Rating) -> list[str]:
    """A line of the table, under HEADER: what a score is worth, and its cost as shares of the reference's."""
    costs = [""] * 4
    if rating.cost and rating.relative:
        seconds, share = rating.cost.seconds, rating.relative.seconds
        costs = [f"{rating.relative.images:.1%}", f"{rating.relative.work:.1%}"]
        costs += [f"{seconds:.1f}" if seconds else "", f"{1 / share:.1f}x" if share else ""]
    return [
        rating.name,
        str(rating.spearman),
        str(rating.kendall),
        f"{rating.overlap:.0%}",
        "" if rating.error is None else f"{rating.error:.1%}",
        *costs,
        standing(findings, rating),
    ]


def standing(findings: Findings, rating: Rating) -> str:
    """In a word what a proxy is good for."""
    if rating.name in findings.ladder:
        return "ladder"
    if rating in findings.reliable:
        return "reliable"
    return "front" if rating in findings.front else ""


def text_of(findings: Findings) -> str:
    """What was found, for people."""
    asked = findings.record.header["config"]["strategy"]["networks"]
    head = f"{findings.networks} of {asked} networks trained with the reference {findings.reference}"
    head += f", in {findings.record.elapsed / 60:.1f} min"
    if not findings.rated:
        return f"{head}\nNo proxy has been compared yet: that takes {LEAST_NETWORKS} networks."
    rows = [row_of(findings, rating) for rating in (*findings.rated, *findings.beside)]
    by = "measured seconds" if findings.unit == "seconds" else "MACs x images"
    return "\n".join(
        [
            head,
            "",
            "Agreement with the errors of the reference, and cost as shares of it; params and macs train nothing",
            table(HEADER, rows),
            "",
            f"front: no other proxy is both cheaper ({by}) and orders the networks better",
            verdict(findings),
        ]
    )


def verdict(findings: Findings) -> str:
    """Which ladder is recommended, in a line, and whether the reference is good enough to judge by."""
    again = next((rating.spearman for rating in findings.beside if rating.cost), None)
    doubt = ""
    if again and again.value < LEAST_BOUND:
        doubt = (
            f". The reference agrees with itself by {again.value:.2f} only, so that nothing can be judged by it: it "
            "needs more epochs or images"
        )
    if findings.reliable:
        return f"ladder, from cheap to careful: {','.join(findings.ladder)}{doubt}"
    return (
        f"No proxy is reliable: none of the front has its interval above {LEAST_BOUND:g} and tells more than params "
        f"and macs do. More networks narrow the intervals; until then the ladder is the reference, {findings.reference}"
        f"{doubt}"
    )


def ending_of(findings: Findings, ended: str) -> str:
    """What to say at the end of a study: what was found, where it is, and how to go on. `ended` as in `Studied`."""
    folder = findings.record.folder
    lines = [text_of(findings), "", f"Page: {folder / 'proxies.html'}"]
    if findings.reliable:
        lines.append(f"Use the ladder: {command_of(findings)}")
    if ended != "finished":
        lines.append(f"Stopped before its end; go on with: frugalnas resume {folder} --minutes ...")
    return "\n".join(lines)


def command_of(findings: Findings) -> str:
    """How to search with the recommended ladder."""
    method = "--method econas " if len(findings.ladder) > 1 else ""
    source, folder = findings.record.header["config"]["data"]["source"], findings.record.folder
    return f"frugalnas search {method}--data {shlex.quote(source)} --ladder {shlex.quote(str(folder))}"
