"""What a study found, in plain text: tables, amounts with units, and how to go on."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence

from frugalnas import pareto
from frugalnas.core import Trial
from frugalnas.record import Record, reasons

TITLES = {
    "error": "validation error",
    "loss": "validation loss",
    "images": "training images for it",
    "params": "parameters",
    "macs": "multiply-accumulates for one image",
    "model_bytes": "model size in bytes",
    "peak_bytes": "peak activation memory in bytes",
    "latency_ms": "latency in milliseconds",
    "energy_uj": "energy for one image in microjoules",
    "energy": "energy in exact 8-bit multiplications",
    "relative_energy": "energy relative to exact 8-bit multipliers",
    "float_error": "validation error in floating point",
}
UNITS = {"_bytes": "B", "_ms": "ms", "_uj": "µJ"}
"""The unit that the end of a name says; only bytes take a prefix."""
SHARES = ("error", "test_error", "float_error", "regret", "hypervolume")
"""Names of values that are written in per cent."""
MOST = 1e15  # from here on an amount is written with an exponent


def amount(name: str, value: float) -> str:
    """A value for people: an error or another share in per cent, a count or bytes with their unit prefix."""
    if name in SHARES and abs(value) < MOST:
        return f"{100 * value:.2f} %"
    unit = next((unit for end, unit in UNITS.items() if name.endswith(end)), "")
    prefixes = (("G", 1e9), ("M", 1e6), ("k", 1e3)) if unit in ("", "B") else ()
    if abs(value) >= MOST:
        return f"{value:.3e} {unit}".rstrip()
    prefix, size = next((p for p in prefixes if abs(value) >= max(p[1], 1e4)), ("", 1.0))
    scaled = value / size
    number = f"{scaled:,.4g}" if abs(scaled) < 9999.5 else f"{scaled:,.0f}"  # which .4g would write as 1e+04
    return f"{number} {prefix}{unit}".rstrip()


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Plain text: the first column to the left, the others, which are numbers, to the right."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    texts = [
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    ]
    return "\n".join(text.rstrip() for text in [texts[0], "-" * len(texts[0]), *texts[1:]])


def csv_of(rows: Iterable[Sequence[object]]) -> str:
    """Rows, the first of which is the header, as CSV.

    Words that a spreadsheet would take for a formula, as they may be from somebody else's run, get a quote before them.
    """
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([_inert(cell) for cell in row] for row in rows)
    return file.getvalue()


def _inert(cell: object) -> object:
    if not isinstance(cell, str) or not cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def front_table(front: Sequence[Trial], objectives: Sequence[str], shown: Sequence[Trial] | None = None) -> str:
    """The front, or those of it that are `shown`, as plain text, a network a line; the front's knee is marked."""
    knee = pareto.knee(front, objectives).number if front else None
    rows = [
        [f"{trial.number}{' (knee)' if trial.number == knee else ''}", *amounts(trial, objectives)]
        for trial in (front if shown is None else shown)
    ]
    return table(["trial", *objectives], rows)


def amounts(trial: Trial, names: Sequence[str]) -> list[str]:
    """The trial's values by these names, for people; "" for one that it does not have."""
    return [amount(name, trial.values[name]) if name in trial.values else "" for name in names]


def text_of(record: Record, pick: int | None = None) -> str:
    """What a study found, for people: how many networks, why not more of them, and the front or `pick` of it."""
    lines = [
        summary(record),
        *(f"  {number:,} {reason}" for reason, number in reasons((*record.trials, *record.looks))[:5]),
    ]
    if not record.front:
        return "\n".join([*lines, "No front: no network was rated."])
    shown = record.pick(pick)
    part = "" if pick is None else f", {len(shown)} of {len(record.front)}"
    rows = front_table(record.front, record.objectives, shown)
    rung = f", rung {record.front[0].candidate.rung}" if len(record.rungs) > 1 else ""
    return "\n".join([*lines, "", f"Pareto front (validation part{rung}){part}", rows])


def ending_of(record: Record, ended: str) -> str:
    """What to say at the end of a search: what was found, where it is, and how to go on. `ended` as in `Result`."""
    lines = [text_of(record), "", f"Report: {record.folder / 'report.html'}"]
    if record.front:
        lines.append(f"Draw a network: frugalnas show {record.folder} --svg cells.svg (the knee; any other: --trial N)")
        lines.append(f"Train it for good: frugalnas train {record.folder} --pick knee")
    if ended == "finished":
        return "\n".join([*lines, "Finished: the strategy has nothing more to ask."])
    option, early = {"images": "epochs"}.get(ended, ended), ""
    last = len(record.header["config"]["estimators"]) - 1
    if record.front and (rung := record.front[0].candidate.rung) < last:
        early = f" before any network came to rung {last} of the ladder, so that these values are of rung {rung}"
    if early or ended != "trials":
        way = f"go on with: frugalnas resume {record.folder} --{option} ..."
        lines.append(f"Stopped at the limit of {option}{early}; {way}")
    return "\n".join(lines)


def summary(record: Record) -> str:
    """How many networks were rated, rejected and failed, and how long it took, in one line.

    With several rungs a network counts on each, and how many were rated on which is said too. Where networks were
    pre-screened, how many were looked at comes first.
    """
    count = Counter(trial.status for trial in record.trials)
    looks = f"{len(record.looks):,} looks, " if record.looks else ""
    words = f"networks rated ({by_rung(record)})" if len(record.rungs) > 1 else "networks rated"
    counted = (
        f"{looks}{count['done']:,} {words}, {count['rejected']:,} rejected before training, {count['failed']:,} failed"
    )
    return f"{counted}, in {record.elapsed / 60:.1f} min"


def by_rung(record: Record) -> str:
    """How many networks were rated on each rung."""
    rated = Counter(trial.candidate.rung for trial in record.trials if trial.status == "done")
    return ", ".join(f"rung {rung}: {rated[rung]:,}" for rung in record.rungs)
