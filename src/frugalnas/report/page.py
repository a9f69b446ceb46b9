"""The report as one page: what a reader sees without scripts, and the data that its scripts draw from.

Everything from the run folder is escaped, and scripts run by their checksum only: markup that found a way in would not.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any
from urllib.parse import quote

from frugalnas import config, pareto
from frugalnas.core import Genotype, InputError, Trial
from frugalnas.drawing import svg_of
from frugalnas.record import Record, reasons, trainings
from frugalnas.report.effort import Growth, agreement, costs, duration, growth
from frugalnas.report.multiplier_map import loads_of, svg_of_loads
from frugalnas.report.shown import shown, words_on
from frugalnas.report.text import TITLES, amount, amounts, by_rung
from frugalnas.spaces.architecture import Architecture
from frugalnas.spaces.multiplied import Assigning

MOST_DRAWN = 200  # networks of the front whose cells are in the page
_MEANING = (
    "A network is on the front if no other is better in one of {} without being worse in another. The knee is where "
    "giving up a little of one stops buying much of another."
)
_BEST = "With {} as the only objective, the front is the best network, and any that equal it."


def page_of(record: Record, picture: str) -> str:
    """The whole report: one file, which needs no other and no network. `picture`: what is seen without scripts."""
    style, script = page_file("page.css"), "\n".join(map(page_file, ("scale.js", "chart.js", "page.js")))
    grown, header = growth(record), record.header
    settings = header["config"]
    space = space_of(record)
    drawn, step = shown(record)
    data = _data(record, space, grown, drawn)
    limits = ", ".join(f"{name} ≤ {amount(name, float(value))}" for name, value in settings["limits"].items())
    facts = f"preset {settings['preset']}; limits: {limits or 'none'}; seed {settings['seed']}"
    meaning = (_MEANING if len(record.objectives) > 1 else _BEST).format(", ".join(record.objectives))
    meaning += words_on(step, len(drawn), sum(trial.status == "done" for trial in record.trials))
    return Template(page_file("page.html")).substitute(
        script_hash=checksum(script),
        style_hash=checksum(style),
        name=escape(record.folder.resolve().name),
        style=style,
        heading=escape(f"{settings['method']} on {settings['data']['source']}"),
        facts=escape(facts),
        stats=_stats(record),
        meaning=escape(meaning) if record.front else "No network was rated.",
        rungs=f'<p class="quiet">{escape(_rungs(record))}</p>' if record.front and len(record.rungs) > 1 else "",
        cheap=_cheap(record, space),
        picture=picture if record.front else "",
        front=_front(record),
        growth=escape(_growth(record, grown)),
        costs=table_of("prose", [], [[escape(name), escape(words)] for name, words in costs(record)]),
        trained=_trained(record),
        reasons=_reasons(record),
        versions=escape(versions_of(record)),
        config=escape(json.dumps(settings, indent=1)),
        drawings=_drawings(record, space),
        data=json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        script=script,
    )


def page_file(name: str) -> str:
    """A file that the page is made of."""
    return files("frugalnas.report").joinpath(name).read_text("utf-8")


def checksum(text: str) -> str:
    """By which a content policy knows a script or a style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _data(record: Record, space: Any, grown: Growth | None, rated: Sequence[Trial]) -> dict[str, Any]:
    """What the scripts draw: the `rated` trials by columns, which are shorter than rows."""
    best = record.front[0].candidate.genotype if space and record.front else None
    empty = Architecture(space, best).to_json() | {"genotype": None} if best else None
    limits = {name: _number(value) for name, value in record.header["config"]["limits"].items()}
    return {
        "run": shlex.quote(str(record.folder)),
        "objectives": list(record.objectives),
        "columns": list(record.columns),
        "titles": {name: TITLES[name] for name in record.columns if name in TITLES},
        "limits": {name: value for name, value in limits.items() if value is not None},
        "front": [trial.number for trial in record.front],
        "knee": record.knee.number if record.knee else None,
        "growth": {"rated": grown.rated, "shares": [_number(share) for share in grown.shares]} if grown else None,
        "architecture": empty,
        "trials": {
            "number": [trial.number for trial in rated],
            "rung": [trial.candidate.rung for trial in rated],
            "parents": [trial.candidate.parents for trial in rated],
            "genotype": [trial.candidate.genotype for trial in rated],
            "seconds": [_number(record.seconds.get(trial.number)) for trial in rated],
            "note": [trial.reason for trial in rated],
            "values": {name: [_number(trial.values.get(name)) for trial in rated] for name in record.columns},
        },
    }


def _number(value: float | None) -> float | int | None:
    """A number as short as a picture needs it; what JSON has no word for as None."""
    if value is None or not abs(value) < float("inf"):
        return None
    return int(value) if value == int(value) and abs(value) < 2**53 else float(f"{value:.7g}")


def space_of(record: Record) -> Any:
    """The space of the search; None where this version of FrugalNAS cannot make it, or its genotypes do not fit."""
    try:
        section = config.part("space", record.header["config"].get("space"), "space")
        space = config.make("space", section, record.header["facts"])
        for trial in record.front:
            space.describe(trial.candidate.genotype)
        return space
    except (InputError, TypeError):
        return None


def table_of(kind: str, header: Sequence[str], rows: Iterable[Sequence[str]], attributes: Sequence[str] = ()) -> str:
    """A table of cells that are markup already; `attributes` of its rows."""
    head = f"<tr>{''.join(f'<th>{cell}</th>' for cell in header)}</tr>" if header else ""
    lines = [f"{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows]
    starts = [f"<tr{' ' + words if words else ''}>" for words in attributes] or ["<tr>"] * len(lines)
    body = "".join(start + line for start, line in zip(starts, lines, strict=True))
    return f'<div class="scroll {kind}"><table>{head}{body}</table></div>' if lines else ""


def _stats(record: Record) -> str:
    count = Counter(trial.status for trial in record.trials)
    entries = {
        "networks rated": f"{count['done']:,}",
        **({"looked at before": f"{len(record.looks):,}"} if record.looks else {}),
        "on the front": f"{len(record.front):,}",
        "rejected before training": f"{count['rejected']:,}",
        "failed": f"{count['failed']:,}",
        "wall time": duration(record.elapsed),
    }
    return "".join(f"<div><dt>{name}</dt><dd>{words}</dd></div>" for name, words in entries.items())


def _rungs(record: Record) -> str:
    """Which rung is compared."""
    return (
        f"The networks were rated on {len(record.rungs)} rungs, from cheap to careful ({by_rung(record)}). Values of "
        f"different rungs do not compare: the front and the charts are those of rung {record.front[0].candidate.rung}."
    )


def _cheap(record: Record, space: Any) -> str:
    """How far values of the rungs below, or of looks, order networks as the rung that is compared does."""
    found = agreement(record, space) if record.front else ()
    rows = [
        [
            f"{each.name} of {each.place}" if each.place else each.name,
            f"{each.networks:,}",
            f"{each.spearman}",
        ]
        for each in found
    ]
    if not rows:
        return ""
    meaning = (
        f"How well cheaper ratings order networks as the {record.objectives[0]} of rung "
        f"{record.front[0].candidate.rung} does, from those that both rated: 1 is the same order, 0 none in common. "
        "Below them is what counting reaches without any rating, more being better. Only the best by a "
        "cheap rating come to the careful one, and these differ less: among all networks they may agree better."
    )
    table = table_of("", ["order by", "networks", "Spearman (95 %)"], [[*map(escape, row)] for row in rows])
    return f'<h2>How well cheap ratings told</h2><p class="quiet">{escape(meaning)}</p>{table}'


def _front(record: Record) -> str:
    """The front as a table, whose buttons pick a network as a click on its point does."""
    knee = record.knee.number if record.knee else None
    header = ["trial", *(escape(TITLES.get(name, name)) for name in record.columns)]
    rows, attributes = [], []
    for trial in record.front:
        name, kind = (f"{trial.number} knee", ' class="knee"') if trial.number == knee else (str(trial.number), "")
        rows.append([_button(trial.number, name), *amounts(trial, record.columns)])
        attributes.append(f'data-trial="{trial.number}"{kind}')
    return table_of("long", header, rows, attributes)


def _button(trial: int, words: str) -> str:
    return f'<button type="button" data-trial="{trial}">{words}</button>'


def _growth(record: Record, grown: Growth | None) -> str:
    if grown is None:
        return "The hypervolume is computed for two rated networks or more, and for at most five objectives."
    ends = [
        f"{name} from {amount(name, low)} to {amount(name, high)}"
        for name, low, high in zip(record.objectives, grown.best, grown.worst, strict=True)
    ]
    return (
        "The hypervolume of the front so far: the share of the box between the best and the worst value of each "
        f"objective that the front dominates. The box of this search: {', '.join(ends)}; the reference point is its "
        "worst corner. A curve that has become flat says that more trials will bring little."
    )


def _trained(record: Record) -> str:
    """The networks of this search that were trained for good."""
    rows, attributes = [], []
    for training in trainings(record.folder):
        page = record.folder / training.folder / "model.html"
        name = escape(training.folder)
        link = f'<a href="{quote(os.fsencode(training.folder))}/model.html">{name}</a>' if page.is_file() else name
        errors = [
            "" if error is None else amount("error", error)
            for error in (training.test_error, training.validation_error)
        ]
        size = [amount("params", training.params), f"{training.epochs:,}", f"{training.images:,}"]
        rows.append([_button(training.trial, str(training.trial)), *errors, *size, duration(training.seconds), link])
        attributes.append(f'data-trial="{training.trial}"')
    header = ["trial", "test error", "validation error", "parameters", "epochs", "images", "time", "folder"]
    return "<h2>Trained networks</h2>" + table_of("", header, rows, attributes) if rows else ""


def _reasons(record: Record) -> str:
    causes = reasons((*record.trials, *record.looks))
    if not causes:
        return ""
    more = f'<p class="quiet">and {len(causes) - 20:,} more reasons: see trials.csv</p>' if len(causes) > 20 else ""
    rows = [[f"{number:,}", escape(reason)] for reason, number in causes[:20]]
    return f"<h2>Rejected and failed</h2>{table_of('prose', [], rows)}{more}"


def versions_of(record: Record) -> str:
    """What the study was made with, in a line."""
    versions = record.header.get("versions")
    others = versions.items() if isinstance(versions, dict) else ()
    return ", ".join([f"FrugalNAS {record.header['version']}", *(f"{name} {version}" for name, version in others)])


def _drawings(record: Record, space: Any) -> str:
    """The cells of the front's networks, each in a template that costs nothing until it is shown."""
    if space is None or record.knee is None:
        return ""
    drawn = {trial.number: trial for trial in pareto.evenly_spread(record.front, record.objectives, MOST_DRAWN)}
    for trial in (record.knee, *(min(record.front, key=lambda t: t.values[name]) for name in record.objectives)):
        drawn[trial.number] = trial
    return "".join(
        f'<template id="cells-{number}">{_cells(space.describe(genotype))}{_multipliers(space, genotype)}</template>'
        for number, genotype in ((number, trial.candidate.genotype) for number, trial in drawn.items())
    )


def _cells(cells: dict[str, Any]) -> str:
    return "".join(f"<div>{svg_of({name: cell})}</div>" for name, cell in cells.items())


def _multipliers(space: Any, genotype: Genotype) -> str:
    """Which multiplier each layer has; nothing of a space whose genotypes choose none."""
    loads = loads_of(space, genotype) if isinstance(space, Assigning) else ()
    return f'<div class="map">{svg_of_loads(loads)}</div>' if loads else ""
