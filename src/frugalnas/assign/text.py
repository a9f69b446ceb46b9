"""What `frugalnas approximate` says at its end, for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frugalnas.assign.files import ASSIGNMENT, WEIGHTS
from frugalnas.assign.outcome import Approximated
from frugalnas.report import amount, table

PAGE = "report.html"
Notes = Mapping[str, Any]  # what `assignment.json` says beside its layers
_WORDS = {
    "float": "float",
    "exact": "8-bit, exact multipliers",
    "chosen": "8-bit, chosen multipliers",
    "finetuned": "the same, trained on",
}


def header_of(notes: Notes) -> list[str]:
    """Of `rows_of`."""
    tuning, test = notes["tuning"], notes["test"]
    tested = f"error, {test['images']:,} test images" if test else "test error"
    return ["network", f"error, {tuning['images']:,} {tuning['part']} images", tested, "energy"]


def rows_of(notes: Notes) -> list[list[str]]:
    """Name, error on the tuning images and on the test images, relative energy, of each network."""
    tuning, test = notes["tuning"]["errors"], (notes["test"] or {}).get("errors", {})
    spent = {"float": "", "exact": "100.0%"}
    return [
        [
            words,
            amount("error", tuning[name]),
            amount("error", test[name]) if name in test else "",
            spent.get(name, f"{notes['relative_energy']:.1%}"),
        ]
        for name, words in _WORDS.items()
        if name in tuning
    ]


def remarks_on(notes: Notes) -> list[str]:
    """How far to trust the errors, a sentence each."""
    remarks = [
        f"The assignment was chosen on the {notes['tuning']['part']} images: expect a little more error on others."
    ]
    if notes["tuning"]["seen"]:
        remarks.append("The network may have been trained on these images too: what it loses on others may be more.")
    if notes["test"] is None:
        remarks.append("The data has no test images.")
    if "activity" in notes:
        share = f"{notes['activity']['relative_energy']:.1%}"
        remarks.append(f"For the operands that the layers really have, the energy is {share} of that with exact ones.")
    return remarks


def text_of(folder: Path, found: Approximated, notes: Notes) -> str:
    """What was found, for people."""
    lines = [found.summary(), "", table(header_of(notes), rows_of(notes)), *remarks_on(notes)]
    lines += ["", f"Page: {folder / PAGE}", f"Assignment: {folder / ASSIGNMENT}, weights: {folder / WEIGHTS}"]
    if found.ended == "minutes":
        lines.append(f"Stopped at the limit of minutes; go on with: frugalnas resume {folder} --minutes ...")
    return "\n".join(lines)


def json_of(folder: Path, found: Approximated, notes: Notes) -> dict[str, Any]:
    """The same as plain JSON values."""
    layers = [
        {"name": one.name, "multiplications": one.multiplications, "multiplier": one.multiplier, "power": one.power}
        for one in found.loads()
    ]
    front = [{"trial": trial.number, "values": dict(trial.values)} for trial in found.front]
    return {"folder": str(folder), **notes, "trials": len(found.trials), "front": front, "layers": layers}
