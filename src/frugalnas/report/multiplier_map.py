"""Which multiplier each layer of a network has, and what that saves: a row for each layer, in the order they run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from frugalnas.core import Genotype
from frugalnas.layers import plan
from frugalnas.layers.cost import count
from frugalnas.layers.graph import merged
from frugalnas.objectives.energy import power_of
from frugalnas.report.text import amount
from frugalnas.spaces.multiplied import Assigning

_ROW, _TOP, _FOOT = 22, 44, 8  # heights in pixels
_NAME, _KIND, _BAR, _WORDS, _END = 0, 176, 352, 628, 840  # where the columns begin
_MOST_LETTERS = 25  # of a name or a kind; of a longer name the end tells more
_BAR_INK, _EDGE, _QUIET, _INK = "#0b5cad", "#a9b4c2", "#5a6878", "#1c2733"


@dataclass(frozen=True)
class Load:
    """The work of one layer. `kind`: what it is, such as "conv 3x3, 16 to 32"; `multiplications` of one inference.

    `power`: of one of its multipliers relative to an exact 8-bit one of the same signedness.
    """

    name: str
    kind: str
    multiplications: int
    multiplier: str
    power: float

    @property
    def energy(self) -> float:
        """In exact 8-bit multiplications."""
        return self.multiplications * self.power


def svg_of_loads(loads: Sequence[Load]) -> str:
    """An SVG document: of each layer a bar as long as its multiplications, filled as far as its energy.

    The stronger the colour, the more power one multiplier takes. Classes as in `drawing.svg_of`, so that a page can
    give it other colours.
    """
    most = max((load.multiplications for load in loads), default=0) or 1
    whole, spent = sum(load.multiplications for load in loads), sum(load.energy for load in loads)
    rows = "".join(_row(load, place, most, whole) for place, load in enumerate(loads))
    height = _TOP + _ROW * len(loads) + _FOOT
    label = f"{amount('energy', spent)} of {amount('energy', whole)} exact 8-bit multiplications"
    title = f"multipliers: {label}{f', {spent / whole:.1%}' if whole else ''}"
    heads = (("layer", _NAME), ("kind", _KIND), ("multiplications (filled: energy)", _BAR))
    words = "".join(f'<text x="{at}" y="36">{head}</text>' for head, at in (*heads, ("multiplier", _WORDS)))
    words += f'<text x="{_END}" y="36" text-anchor="end">energy</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_END} {height}" width="{_END}" height="{height}" '
        f'role="img" aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="12" class="words" '
        f'fill="{_INK}"><rect width="100%" height="100%" class="paper" fill="#fff"/>'
        f'<text x="0" y="14" font-weight="600">{escape(title)}</text>'
        f'<g class="heads" fill="{_QUIET}">{words}</g>{rows}</svg>\n'
    )


def _row(load: Load, place: int, most: int, whole: int) -> str:
    top = _TOP + _ROW * place
    width = (_WORDS - _BAR - 70) * load.multiplications / most
    filled = width * min(max(load.power, 0.0), 1.0)
    strength = 0.3 + 0.7 * min(max(load.power, 0.0), 1.0)
    tip = (
        f"{load.name}, {load.kind}: {load.multiplications:,} multiplications by {load.multiplier}, "
        f"which takes {load.power:.1%} of the power of an exact one"
    )
    name = load.name if len(load.name) <= _MOST_LETTERS else f"…{load.name[1 - _MOST_LETTERS :]}"
    kind = load.kind if len(load.kind) <= _MOST_LETTERS else f"{load.kind[: _MOST_LETTERS - 1]}…"
    share = f"{load.energy / whole:.1%}" if whole else ""  # of all the energy with exact multipliers
    return (
        f'<g class="load"><title>{escape(tip)}</title><text x="{_NAME}" y="{top + 14}">{escape(name)}</text>'
        f'<text x="{_KIND}" y="{top + 14}">{escape(kind)}</text>'
        f'<rect class="whole" x="{_BAR}" y="{top + 3}" width="{width:.1f}" height="{_ROW - 7}" fill="none" '
        f'stroke="{_EDGE}"/>'
        f'<rect class="spent" x="{_BAR}" y="{top + 3}" width="{filled:.1f}" height="{_ROW - 7}" fill="{_BAR_INK}" '
        f'fill-opacity="{strength:.2f}"/>'
        f'<text x="{_BAR + width + 6:.1f}" y="{top + 14}">{amount("macs", load.multiplications)}</text>'
        f'<text x="{_WORDS}" y="{top + 14}">{escape(load.multiplier)} ({load.power:.0%})</text>'
        f'<text x="{_END}" y="{top + 14}" text-anchor="end">{share}</text></g>'
    )


def loads_of(space: Assigning, genotype: Genotype) -> tuple[Load, ...]:
    """The layers of a network of a space whose genotypes choose multipliers; none where it has no genes for them."""
    if not space.multipliers:
        return ()
    graph = space.network(genotype)
    loads = []
    for number, multiplier in space.assignment(genotype):
        node = graph.nodes[number]
        macs = count(node.layers, merged(node, graph.shapes)).macs
        loads.append(Load(f"node {number}", _kind(node.layers), macs, multiplier, power_of(multiplier)))
    macs = count(graph.classifier, graph.output).macs
    return (*loads, Load("classifier", _kind(graph.classifier), macs, space.multipliers[0], 1.0))


def _kind(layers: plan.Layers) -> str:
    """The layers that multiply, in words: of several the kernels and the first and last number of channels."""
    found = [*_multiplying(layers)]
    if not found:
        return ""
    kernels = [f"{one.kernel[0]}x{one.kernel[1]}" if isinstance(one, plan.Conv) else "linear" for one in found]
    words = ", ".join(dict.fromkeys(kernels))
    if isinstance(found[0], plan.Conv):
        words = f"{len(found)} convs {words}" if len(found) > 1 else f"conv {words}"
    return f"{words}, {found[0].inputs} to {found[-1].outputs}"


def _multiplying(layers: plan.Layers) -> Iterator[plan.Conv | plan.Linear]:
    for layer in layers:
        if isinstance(layer, plan.Conv | plan.Linear):
            yield layer
        elif isinstance(layer, plan.Residual | plan.Gate):
            yield from _multiplying(layer.layers)
        elif isinstance(layer, plan.Parallel):
            for branch in layer.branches:
                yield from _multiplying(branch)
