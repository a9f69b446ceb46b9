"""What there is by name: the contents of the dictionaries that the parts are looked up in."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from frugalnas import zoo
from frugalnas.estimators import ESTIMATORS
from frugalnas.layers.plan import OPERATIONS
from frugalnas.methods import METHODS
from frugalnas.multipliers import about
from frugalnas.objectives.count import COSTS
from frugalnas.objectives.latency import LATENCY
from frugalnas.spaces import SPACES
from frugalnas.spaces.cell import OPERATION_LISTS
from frugalnas.strategies import STRATEGIES
from frugalnas.tasks.named import NAMES
from frugalnas.tasks.recipe import RECIPES


def _first_line(thing: Any) -> str:
    return (thing.__doc__ or "").strip().partition("\n")[0]


def _scores() -> dict[str, str]:
    from frugalnas.scores import SIZES
    from frugalnas.scores.rating import SCORES  # which imports torch

    return {name: _first_line(score) for name, score in {**SCORES, **SIZES}.items()}


LISTINGS: dict[str, Callable[[], dict[str, str]]] = {
    "methods": lambda: {name: method.SUMMARY for name, method in METHODS.items()},
    "presets": lambda: {
        f"{name} --preset {preset}": "" for name, method in METHODS.items() for preset in method.PRESETS
    },
    "architectures": lambda: {name: zoo.entry(name).line() for name in zoo.names()},
    "operations": lambda: {
        name: ", ".join(key for key, names in OPERATION_LISTS.items() if name in names) for name in OPERATIONS
    },
    "objectives": lambda: (
        {"error": "Share of validation images that are classified wrongly."}
        | {name: _first_line(cost) for name, cost in COSTS.items()}
        | {LATENCY: "Milliseconds of one inference of one image, by a table of this or another device, or measured."}
    ),
    "strategies": lambda: {name: _first_line(sys.modules[kind.__module__]) for name, kind in STRATEGIES.items()},
    "estimators": lambda: {name: _first_line(sys.modules[kind.__module__]) for name, kind in ESTIMATORS.items()},
    "scores": _scores,
    "multipliers": lambda: {multiplier.name: about.line(multiplier) for multiplier in about.listed()},
    "spaces": lambda: {name: _first_line(kind) for name, kind in SPACES.items()},
    "recipes": lambda: {name: f"{named.summary}; {named.epochs} epochs" for name, named in RECIPES.items()},
    "data": lambda: dict.fromkeys(NAMES, ""),
}
"""Names with a line about each."""

FACTS: dict[str, Callable[[], dict[str, dict[str, Any]]]] = {
    "architectures": lambda: {name: zoo.entry(name).facts() for name in zoo.names()},
    "multipliers": lambda: {multiplier.name: about.facts(multiplier) for multiplier in about.listed()},
}
"""For programs, instead of the lines."""
