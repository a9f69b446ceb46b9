"""Cells and phases as pictures: an SVG drawing of cards and curves, and the same in plain text."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from frugalnas.layers.diagram import Box, Diagram
from frugalnas.layers.plan import Cell

_CARD, _LINE, _GAP, _DOWN = 152, 18, 68, 62  # the least width of a card, heights and distances in pixels
_LETTER = 6.6  # its width in pixels, about
_INK = {
    "max": "#7a5c00",
    "avg": "#7a5c00",
    "ski": "#5a6878",
    "non": "#a9b4c2",
    "sep": "#0b5cad",
    "dil": "#007a5e",
    "inv": "#a3186b",
}
_EDGE, _OUT = "#5a6878", "#a9b4c2"


Part = Cell | Diagram  # what `describe` of a space gives by name


def text_of(parts: Mapping[str, Part]) -> str:
    """A few lines per part: what every block adds up, and which states make the output."""
    lines = []
    for name, part in parts.items():
        title, diagram = _diagram(name, part)
        lines.append(title)
        for box in diagram.boxes:
            terms = " + ".join(
                f"{word}({', '.join(map(diagram.name, states))})" for word, states in box.lines if states
            )
            remarks = "".join(f"  {word}" for word, states in box.lines if not states)
            lines.append(f"  {box.name} = {terms}{remarks}")
        whole = ", ".join(map(diagram.name, diagram.output))
        lines.append(f"  output  = {f'concat({whole})' if len(diagram.output) > 1 else whole}")
    return "\n".join(lines)


def _diagram(name: str, part: Part) -> tuple[str, Diagram]:
    """The title of a part, and the part as a diagram. A cell reads the outputs of the two cells before it."""
    if isinstance(part, Diagram):
        return name, part
    boxes = tuple(
        Box(f"block {number}", tuple((operation, (state,)) for operation, state in block))
        for number, block in enumerate(part.blocks, start=2)
    )
    return f"{name} cell", Diagram(("cell k-2", "cell k-1"), boxes, part.concat)


def svg_of(parts: Mapping[str, Part]) -> str:
    """An SVG document: per part the inputs on the left, blocks by depth, the output on the right.

    Its groups have classes (paper, edges, to-output, cards, words, quiet), so that a page can give it other colours.
    """
    drawn, top, width = [], 0, 0
    for name, part in parts.items():
        title, diagram = _diagram(name, part)
        body, right, bottom = _drawn(diagram)
        drawn.append(
            f'<text x="16" y="{top + 26}" font-weight="600">{escape(title)}</text>'
            f'<g transform="translate(16 {top + 40})">{body}</g>'
        )
        top, width = top + bottom + 50, max(width, right + 32)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" width="{width}" height="{top}" '
        f'font-family="system-ui, sans-serif" font-size="12" class="words" fill="#1c2733">'
        f'<rect width="100%" height="100%" class="paper" fill="#fff"/>{"".join(drawn)}</svg>\n'
    )


def _drawn(diagram: Diagram) -> tuple[str, int, int]:
    """The SVG elements of one part, and its width and height."""
    output = len(diagram.inputs) + len(diagram.boxes)
    boxes = dict(enumerate(diagram.boxes, start=len(diagram.inputs)))
    inward = [
        (state, line, source)
        for state, box in boxes.items()
        for line, (_, read) in enumerate(box.lines)
        for source in read
    ]
    read = {state: [source for to, _, source in inward if to == state] for state in boxes} | {output: [*diagram.output]}
    columns, rows = _places(read, len(diagram.inputs))
    lines = {state: [name] for state, name in enumerate(diagram.inputs)} | {output: ["output"]}
    lines |= {state: [word for word, _ in box.lines] for state, box in boxes.items()}
    down = max(_DOWN, 26 + _LINE * max(map(len, lines.values())))
    wide = max(_CARD, round(44 + _LETTER * max(len(word) for words in lines.values() for word in words)))
    across = wide + _GAP
    place = {state: (columns[state] * across, rows[state] * down) for state in columns}
    edges = "".join(_curve(place[source], place[state], line, wide) for state, line, source in inward)
    ends = "".join(_curve(place[source], place[output], 0, wide) for source in read[output])
    cards = "".join(
        f'<rect x="{x}" y="{y}" width="{wide}" height="{_LINE * len(lines[state]) + 8}" rx="6"/>'
        for state, (x, y) in place.items()
    )
    words = "".join(
        f'<text x="{x + 10}" y="{y + 17 + _LINE * line}"{_colour(word)}>{escape(word)}</text>'
        for state, (x, y) in place.items()
        for line, word in enumerate(lines[state])
    )
    numbers = "".join(
        f'<text x="{place[state][0] + wide - 8}" y="{place[state][1] + 17}">{escape(box.name.split()[-1])}</text>'
        for state, box in boxes.items()
    )
    drawn = (
        f'<g fill="none" stroke-width="1.4"><path d="{ends}" class="to-output" stroke="{_OUT}"/>'
        f'<path d="{edges}" class="edges" stroke="{_EDGE}"/></g>'
        f'<g class="cards" fill="#f3f5f8" stroke="{_OUT}">{cards}</g>{words}'
        f'<g class="quiet" fill="{_EDGE}" text-anchor="end">{numbers}</g>'
    )
    return drawn, columns[output] * across + wide, (1 + max(rows.values())) * down


def _places(read: Mapping[int, list[int]], inputs: int = 2) -> tuple[dict[int, int], dict[int, int]]:
    """Column and row of each state, from the states that each one reads; the first so many are inputs.

    A curve runs along the row of its source and bends only in the gap before its target's column; so a row is taken
    from a state's column to the one before its last reader's, and no curve passes behind a card.
    """
    columns = dict.fromkeys(range(inputs), 0)
    for state, sources in read.items():
        columns[state] = 1 + max(columns[source] for source in sources)
    output = max(read)
    columns[output] = 1 + max(column for state, column in columns.items() if state != output)
    taken: list[int] = []  # of each row the last column that is taken
    rows = {}
    for state in sorted(columns, key=lambda state: (columns[state], state)):
        row = next((row for row, last in enumerate(taken) if last < columns[state]), len(taken))
        readers = [columns[reader] - 1 for reader, sources in read.items() if state in sources]
        taken[row : row + 1] = [max([columns[state], *readers])]
        rows[state] = row
    return columns, rows


def _colour(word: str) -> str:
    kind = word[:3]
    return f' class="op-{kind}" fill="{_INK[kind]}"' if kind in _INK else ""


def _curve(start: tuple[int, int], end: tuple[int, int], line: int, wide: int) -> str:
    """From the right side of a card, along its row, to a line of another card."""
    x1, y1 = start[0] + wide, start[1] + _LINE // 2 + 4
    x2, y2 = end[0], end[1] + _LINE // 2 + 4 + _LINE * line
    bend, middle = x2 - _GAP, x2 - _GAP // 2
    return f"M{x1} {y1}H{bend}C{middle} {y1} {middle} {y2} {x2} {y2}"
