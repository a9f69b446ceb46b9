"""What a study found, from its journal alone: tables, a picture and a page. See docs/report.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from frugalnas import store
from frugalnas.core import Trial
from frugalnas.record import Record, load
from frugalnas.report.text import TITLES, amount, csv_of, ending_of, front_table, summary, table, text_of

__all__ = [
    "TITLES",
    "amount",
    "csv_of",
    "ending_of",
    "front_table",
    "summary",
    "table",
    "text_of",
    "write_report",
    "write_texts",
]


def write_report(folder: Path) -> Record:
    """Write `front.csv`, `trials.csv`, `front.svg` and `report.html` into the run folder.

    Works at any time, also while the search runs. Returns what they were made of. Raises InputError as `record.load`.
    """
    from frugalnas.report.page import page_of
    from frugalnas.report.picture import svg_of_front

    record = load(folder)
    picture = svg_of_front(record)
    told = sorted((*record.looks, *record.trials), key=_number) if record.looks else record.trials
    texts = {
        "front.csv": _csv(record, record.front),
        "trials.csv": _csv(record, told),
        "front.svg": picture,
        "report.html": page_of(record, picture),
    }
    write_texts(folder, texts)
    return record


def write_texts(folder: Path, texts: Mapping[str, str]) -> None:
    """Write files of a report into a folder, by name. Raises InputError where that cannot be."""
    for name, text in texts.items():  # a path may have bytes that are no UTF-8, which Python keeps as surrogates
        store.write_atomically(folder / name, text.encode("utf-8", "backslashreplace"))


def _csv(record: Record, trials: Sequence[Trial]) -> str:
    front, looks = {trial.number for trial in record.front}, {trial.number for trial in record.looks}
    rungs = ["rung"] if len(record.rungs) > 1 or looks else []
    columns = [*dict.fromkeys([*record.columns, *(name for trial in trials for name in trial.values)])]
    rows: list[Sequence[object]] = [["trial", "status", "front", *rungs, *columns, "seconds", "reason", "genotype"]]
    for trial in trials:
        values = [trial.values.get(name, "") for name in columns]
        genotype = " ".join(map(str, trial.candidate.genotype))
        seconds, reason = record.seconds.get(trial.number, ""), " ".join(trial.reason.split())
        rung = "look" if trial.number in looks else trial.candidate.rung
        facts = [trial.number, trial.status, int(trial.number in front), *[rung for _ in rungs]]
        rows.append([*facts, *values, seconds, reason, genotype])
    return csv_of(rows)


def _number(trial: Trial) -> int:
    return trial.number
