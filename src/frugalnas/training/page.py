"""The page of a trained model: curves, confusion matrix, figures for every class, and what to do next.

One file without scripts, which opens anywhere. Everything that came with the data or the settings is escaped.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from frugalnas.training.settings import Settings

MOST_CLASSES = 60  # with more of them a matrix is beyond reading: only the most frequent confusions are shown
MOST_CONFUSIONS = 15
_WIDTH, _HEIGHT = 380, 230  # of a chart in pixels, and its margins
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 14, 34
Metrics = Mapping[str, Any]


def page_of(folder: Path, settings: Settings, metrics: Metrics) -> str:
    """The whole page. `metrics`: the content of `metrics.json`."""
    part = "test" if metrics["test"] is not None else "validation"
    scored = metrics[part]
    space = settings.architecture.space
    facts = {
        f"{part} error": f"{scored['error']:.2%}",
        "parameters": f"{metrics['params']:,}",
        "MACs for one image": f"{metrics['macs']:,}",
        "images trained on": f"{metrics['images']:,}",
        "epochs": f"{len(metrics['epochs']):,}",
        "minutes": f"{metrics['seconds'] / 60:.1f}",
    }
    return Template(files("frugalnas.training").joinpath("page.html").read_text("utf-8")).substitute(
        name=escape(_name(settings)),
        data=escape(Path(settings.data.source).name),
        size=space.summary,
        facts="".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items()),
        meaning=escape(_meaning(part, scored, settings)),
        charts=_charts(metrics["epochs"]),
        matrix=_matrix(scored),
        confusions=_confusions(scored),
        classes=_classes(scored),
        commands=escape(_commands(folder)),
        epochs=_epochs(metrics["epochs"]),
        settings=escape(json.dumps(settings.to_json(), indent=1)),
    )


def _name(settings: Settings) -> str:
    source = settings.source
    return f"trial {source['trial']}" if "trial" in source else str(source.get("architecture", "a network"))


def _meaning(part: str, scored: Metrics, settings: Settings) -> str:
    """What the error is of, and how sure it is: Wilson's interval (1927) for a share, 95 %."""
    n, error, z = scored["images"], scored["error"], 1.96
    centre = (error + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(error * (1 - error) / n + z * z / (4 * n * n))
    sure = f"With so many images the true error is between {centre - reach:.1%} and {centre + reach:.1%} (95 %)."
    if part == "test":
        return f"Measured once, on {n:,} test images that neither the search nor the training has seen. {sure}"
    return (
        f"Measured on {n:,} validation images, which were kept out of this training, as the data has no test images; a "
        f"search has compared networks on them, so expect a little more on new images. {sure}"
    )


def _charts(epochs: Sequence[Metrics]) -> str:
    """The curves: mean training loss, learning rate, and validation error where it was measured."""
    curves = {"training loss": ("loss", "{:.3g}"), "learning rate": ("lr", "{:.3g}")}
    if all("validation_error" in epoch for epoch in epochs):
        curves["validation error"] = ("validation_error", "{:.1%}")
    return "".join(_chart(title, [float(e[key]) for e in epochs], words) for title, (key, words) in curves.items())


def _chart(title: str, values: Sequence[float], words: str) -> str:
    """One curve over the epochs."""
    low, high = min(values), max(values)
    if high - low < 1e-12:
        low, high = low - 0.5 * abs(low) - 1e-9, high + 0.5 * abs(high) + 1e-9
    across = (_WIDTH - _LEFT - _RIGHT) / max(len(values) - 1, 1)

    def place(epoch: float, value: float) -> tuple[float, float]:
        y = _TOP + (high - value) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)
        return round(_LEFT + across * (epoch - 1), 1), round(y, 1)

    points = [place(number, value) for number, value in enumerate(values, 1)]
    lines = ""
    for value in _ticks(low, high):
        y = place(1, value)[1]
        lines += f'<path class="grid" d="M{_LEFT} {y}H{_WIDTH - _RIGHT}"/>'
        lines += f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{words.format(value)}</text>'
    for number in dict.fromkeys((1, (len(values) + 1) // 2, len(values))):
        lines += f'<text x="{place(number, low)[0]}" y="{_HEIGHT - 16}" text-anchor="middle">{number}</text>'
    dots = "".join(
        f'<circle cx="{x}" cy="{y}" r="{3 if len(values) <= 60 else 1}"><title>epoch {number}: {words.format(value)}'
        "</title></circle>"
        for number, ((x, y), value) in enumerate(zip(points, values, strict=True), 1)
    )
    return (
        f"<figure><figcaption>{title}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">'
        f'{lines}<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 2}" text-anchor="end">epoch</text>'
        f'<path class="curve" d="M{"L".join(f"{x} {y}" for x, y in points)}"/>{dots}</svg></figure>'
    )


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round values between `low` and `high`."""
    power = 10.0 ** math.floor(math.log10((high - low) / 3))
    step = next(power * factor for factor in (5, 2, 1, 0.5) if (high - low) / (power * factor) >= 3 or factor == 0.5)
    return [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _matrix(scored: Metrics) -> str:
    """The confusion matrix as a table: rows are true classes; the redder, the larger the share of the row."""
    names, rows = scored["classes"], scored["confusion"]
    if len(names) > MOST_CLASSES:
        return f"<p>{len(names)} classes are too many to show as a matrix; all its numbers are in metrics.json.</p>"
    head = "".join(f"<th scope=col><span>{escape(name)}</span></th>" for name in names)
    body = ""
    for truth, row in enumerate(rows):
        cells = ""
        for guess, count in enumerate(row):
            share = count / max(sum(row), 1)
            level = math.ceil(9 * share) if guess == truth else math.ceil(9 * math.sqrt(share))
            words = f"{escape(names[truth])}, taken for {escape(names[guess])}: {count:,}, {share:.1%}"
            cells += f'<td class="{"r" if guess == truth else "w"}{level}" title="{words}">{count or ""}</td>'
        body += f"<tr><th scope=row>{escape(names[truth])}</th>{cells}</tr>"
    return f'<div class="scroll"><table class="matrix"><tr><td></td>{head}</tr>{body}</table></div>'


def _confusions(scored: Metrics) -> str:
    names, rows = scored["classes"], scored["confusion"]
    pairs = [(n, t, g) for t, row in enumerate(rows) for g, n in enumerate(row) if t != g and n]
    pairs.sort(key=lambda pair: -pair[0])
    lines = [
        f"<li>{escape(names[truth])} taken for {escape(names[guess])}: {count:,} of {sum(rows[truth]):,}</li>"
        for count, truth, guess in pairs[:MOST_CONFUSIONS]
    ]
    return f"<ol>{''.join(lines)}</ol>" if lines else "<p>No image was classified wrongly.</p>"


def _classes(scored: Metrics) -> str:
    names, rows = scored["classes"], scored["confusion"]
    guessed = [sum(column) for column in zip(*rows, strict=True)]
    lines = ""
    for label, name in enumerate(names):
        right, images = rows[label][label], sum(rows[label])
        recall, precision = (f"{right / total:.1%}" if total else "" for total in (images, guessed[label]))
        lines += f"<tr><td>{escape(name)}</td><td>{images:,}</td><td>{recall}</td><td>{precision}</td></tr>"
    head = "<tr><th>class</th><th>images</th><th>recall</th><th>precision</th></tr>"
    return f'<div class="scroll"><table>{head}{lines}</table></div>'


def _epochs(epochs: Sequence[Metrics]) -> str:
    names = [*epochs[0]] if epochs else []
    head = "".join(f"<th>{name.replace('_', ' ')}</th>" for name in names)
    rows = "".join(f"<tr>{''.join(f'<td>{e[name]:.6g}</td>' for name in names)}</tr>" for e in epochs)
    return f'<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>'


def _commands(folder: Path) -> str:
    where = shlex.quote(str(folder))
    return (
        f"frugalnas evaluate {where} --data path/to/labelled/images\n"
        f"frugalnas predict {where} path/to/images --out scores.csv\n"
        f"frugalnas export {where} --format onnx"
    )
