"""Cells as pictures: an SVG drawing of cards and curves, and the same in plain text."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from frugalnas.layers.plan import Cell

_CARD, _LINE, _ACROSS, _DOWN = 132, 18, 190, 62  # widths, heights and distances in pixels
_INK = {
    "max": "#7a5c00",
    "avg": "#7a5c00",
    "ski": "#5a6878",
    "non": "#a9b4c2",
    "sep": "#0b5cad",
    "dil": "#007a5e",
    "inv": "#a3186b",
}


def state_name(state: int) -> str:
    """0 and 1 are the outputs of the two cells before, the others are blocks of this cell."""
    return ("cell k-2", "cell k-1")[state] if state < 2 else f"block {state}"


def text_of(cells: Mapping[str, Cell]) -> str:
    """A few lines per cell: what every block adds up, and which states make the output."""
    lines = []
    for name, cell in cells.items():
        lines.append(f"{name} cell")
        for number, block in enumerate(cell.blocks, start=2):
            terms = " + ".join(f"{operation}({state_name(state)})" for operation, state in block)
            lines.append(f"  block {number} = {terms}")
        lines.append(f"  output  = concat({', '.join(state_name(state) for state in cell.concat)})")
    return "\n".join(lines)


def svg_of(cells: Mapping[str, Cell]) -> str:
    """An SVG document: per cell the inputs on the left, blocks by depth, the output on the right."""
    parts, top, width = [], 0, 0
    for name, cell in cells.items():
        body, right, bottom = _cell(cell)
        parts.append(
            f'<text x="16" y="{top + 26}" font-weight="600">{escape(name)} cell</text>'
            f'<g transform="translate(16 {top + 40})">{body}</g>'
        )
        top, width = top + bottom + 60, max(width, right + 32)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" width="{width}" height="{top}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="#1c2733">'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _cell(cell: Cell) -> tuple[str, int, int]:
    """The SVG elements of one cell, and its width and height."""
    depth = {0: 0, 1: 0}
    for number, block in enumerate(cell.blocks, start=2):
        depth[number] = 1 + max(depth[state] for _, state in block)
    output = len(depth)
    depth[output] = 1 + max(depth.values())
    rows: dict[int, int] = {}
    place = {}
    for state, column in depth.items():
        place[state] = (column * _ACROSS, rows.get(column, 0) * _DOWN)
        rows[column] = rows.get(column, 0) + 1
    lines = {0: ["cell k-2"], 1: ["cell k-1"], output: ["output"]}
    lines |= {number: [operation for operation, _ in block] for number, block in enumerate(cell.blocks, start=2)}
    sources = {number: [state for _, state in block] for number, block in enumerate(cell.blocks, start=2)}
    curves = [
        _curve(place[source], place[state], line, lines[source])
        for state, read in sources.items()
        for line, source in enumerate(read)
    ]
    curves += [_curve(place[source], place[output], 0, lines[source], "#a9b4c2") for source in cell.concat]
    cards = [_card(*place[state], state, lines[state], 2 <= state < output) for state in depth]
    return "".join(curves + cards), depth[output] * _ACROSS + _CARD, max(rows.values()) * _DOWN


def _card(x: int, y: int, state: int, lines: list[str], is_block: bool) -> str:
    height = _LINE * len(lines) + 8
    words = "".join(
        f'<text x="{x + 10}" y="{y + 17 + _LINE * i}" fill="{_INK.get(line[:3], "#1c2733")}">{escape(line)}</text>'
        for i, line in enumerate(lines)
    )
    number = (
        f'<text x="{x + _CARD - 8}" y="{y + 17}" text-anchor="end" fill="#5a6878">{state}</text>' if is_block else ""
    )
    box = f'<rect x="{x}" y="{y}" width="{_CARD}" height="{height}" rx="6" fill="#f3f5f8" stroke="#a9b4c2"/>'
    return box + words + number


def _curve(
    start: tuple[int, int], end: tuple[int, int], line: int, source_lines: list[str], colour: str = "#5a6878"
) -> str:
    x1, y1 = start[0] + _CARD, start[1] + (_LINE * len(source_lines) + 8) // 2
    x2, y2 = end[0], end[1] + 13 + _LINE * line
    bend = max(24, (x2 - x1) // 2)
    path = f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.4"/>'
