"""The page of an assignment: one file without scripts, which opens anywhere.

Everything from the model and the data is escaped, and styles apply by their checksum only, as in all reports.
"""

from __future__ import annotations

import json
import math
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from frugalnas.assign.outcome import Approximated
from frugalnas.assign.text import Notes, header_of, remarks_on, rows_of
from frugalnas.core import Trial
from frugalnas.report import amount, still
from frugalnas.report.multiplier_map import svg_of_loads
from frugalnas.report.page import table_of
from frugalnas.report.picture import Axis, radius

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 380, 60, 20, 34, 48  # of the chart in pixels, and its margins
_BEYOND = 3.0  # what the error axis shows, as a multiple of what may be lost; assignments beyond lie at its end
_LEAST = 0.02  # of what the error axis shows


def page_of(name: str, found: Approximated, notes: Notes) -> str:
    """The whole page. `name`: of the folder."""
    facts = (
        f"{len(found.space.layers)} layers, {found.space.multiplications:,} multiplications for an image; "
        f"{len(found.space.multipliers)} multipliers to choose among. The error may rise by "
        f"{amount('error', found.settings.max_loss)} beside exact 8-bit multipliers."
    )
    remarks = "".join(f"<p>{escape(line)}</p>" for line in remarks_on(notes))
    body = Template(files("frugalnas.assign").joinpath("page.html").read_text("utf-8")).substitute(
        model=escape(Path(str(notes["model"])).name),
        facts=escape(facts),
        stats=_stats(found, notes),
        errors=table_of("", header_of(notes), [[*map(escape, row)] for row in rows_of(notes)]),
        remarks=f'<div class="quiet">{remarks}</div>',
        part=escape(str(notes["tuning"]["part"])),
        chart=chart(found),
        map=svg_of_loads(found.loads()),
        multipliers=_multipliers(found),
        settings=escape(json.dumps(dict(notes), indent=1)),
    )
    return still.page(f"multipliers in {name}", body)


def _stats(found: Approximated, notes: Notes) -> str:
    errors = (notes["test"] or notes["tuning"])["errors"]
    part = "test" if notes["test"] else str(notes["tuning"]["part"])
    last = errors.get("finetuned", errors["chosen"])
    entries = {
        "energy, of exact 8-bit multipliers": f"{notes['relative_energy']:.1%}",
        f"{part} error": amount("error", last),
        f"{part} error with exact ones": amount("error", errors["exact"]),
        "assignments rated": f"{sum(trial.status == 'done' for trial in found.trials):,}",
        "on the front": f"{len(found.front):,}",
    }
    return still.stats(entries)


def _multipliers(found: Approximated) -> str:
    """What is known of each multiplier that is in the network."""
    used = {one.name: one for one in found.assignment().values()}
    header = ["multiplier", "layers", "power (mW)", "by", "from", "SHA-256 of its table"]
    chosen = [one.name for one in found.assignment().values()]
    rows = [
        [
            *(escape(name), f"{chosen.count(name):,}", f"{one.power_mw:.3g}", escape(one.power_source)),
            *(escape(one.source), f"<code>{one.sha256[:16]}</code>"),
        ]
        for name, one in sorted(used.items(), key=lambda item: -item[1].power_mw)
    ]
    return table_of("", header, rows)


def chart(found: Approximated) -> str:
    """Error, across, against relative energy; assignments whose error is far beyond the limit lie at the right edge."""
    done = [trial for trial in found.trials if trial.status == "done"]
    errors = [trial.values["error"] for trial in done]
    start = min(errors)
    most = max(found.exact.values["error"] + max(_LEAST, _BEYOND * found.settings.max_loss), start + 1e-6)
    x = Axis("error", start - 0.03 * (most - start), most, _LEFT, _WIDTH - _RIGHT)
    y = Axis.around("energy", [*(t.values["relative_energy"] for t in done), 0.0], math.inf, _HEIGHT - _BOTTOM, _TOP)

    def place(trial: Trial) -> tuple[float, float]:
        return x.place(min(trial.values["error"], most)), y.place(trial.values["relative_energy"])

    front = [trial for trial in found.front if trial.values["error"] <= most]
    uniform = {*found.space.uniform}
    size = radius(len(done), 2, 3.5)
    dots = "".join(
        _mark(place(trial), "best" if trial in front else "dot", size, trial.candidate.genotype in uniform, _tip(trial))
        for trial in sorted(done, key=lambda trial: trial in front)
    )
    at, height = place(found.chosen)
    ring = f'<circle class="rung" cx="{at:g}" cy="{height:g}" r="9"/>'
    words = "chosen" if at < _WIDTH - 120 else ""
    ring += f'<text class="named" x="{at + 13:g}" y="{height + 4:g}">{words}</text>' if words else ""
    limit = x.place(found.limit)
    return (
        f'<figure class="wide"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="energy against error">'
        f'{_frame(x, y)}<path class="level" d="M{limit:g} {_TOP}V{_HEIGHT - _BOTTOM}"/>{dots}{ring}</svg></figure>'
    )


def _mark(place: tuple[float, float], kind: str, size: float, square: bool, tip: str) -> str:
    a, b = place
    if square:
        side = 2 * size
        shape = f'<rect x="{a - size:g}" y="{b - size:g}" width="{side:g}" height="{side:g}">'
        return f'<g class="{kind}">{shape}<title>{escape(tip)}</title></rect></g>'
    return f'<g class="{kind}"><circle cx="{a:g}" cy="{b:g}" r="{size:g}"><title>{escape(tip)}</title></circle></g>'


def _tip(trial: Trial) -> str:
    values = trial.values
    return f"trial {trial.number}: error {amount('error', values['error'])}, energy {values['relative_energy']:.1%}"


def _frame(x: Axis, y: Axis) -> str:
    lines = ""
    for at, word in x.ticks():
        lines += f'<path class="grid" d="M{at:g} {_TOP}V{_HEIGHT - _BOTTOM}"/>'
        lines += f'<text x="{at:g}" y="{_HEIGHT - _BOTTOM + 18}" class="middle">{word}</text>'
    for at, word in y.ticks():
        share = f"{float(word):.0%}"
        lines += f'<path class="grid" d="M{_LEFT} {at:g}H{_WIDTH - _RIGHT}"/>'
        lines += f'<text x="{_LEFT - 8}" y="{at + 4:g}" class="end">{share}</text>'
    lines += f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2:g}" y="{_HEIGHT - 8}" class="middle">error</text>'
    return f'{lines}<text x="{_LEFT - 48}" y="{_TOP - 14}">energy, share of that with exact 8-bit multipliers</text>'
