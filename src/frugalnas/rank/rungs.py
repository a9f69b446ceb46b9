"""Which estimators are compared: the words of `--estimators` and the tables of a file, as the rungs of a study."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from frugalnas.core import InputError, nearest
from frugalnas.ladder import parse
from frugalnas.report.effort import BASELINES, is_score
from frugalnas.schema import Tree

SCORES = "zero_cost"  # the estimator whose values are known by their own names
SHARED = "shared_weights"  # which networks of a search have only together
Size = Callable[[], tuple[int, int]]


@dataclass(frozen=True)
class Rung:
    """An estimator that is compared. `label`: what it is called; `values`: the names of what it gives."""

    label: str
    values: tuple[str, ...]

    @property
    def scores(self) -> dict[str, str]:
        """Of each value that orders networks what it is called among all scores."""
        values = [value for value in self.values if is_score(value)]
        if self.label == SCORES:
            return {value: value for value in values}
        return {value: f"{self.label}:{value}" if len(values) > 1 else self.label for value in values}


def alone() -> dict[str, Any]:
    """The estimators that rate a network on its own, by name."""
    from frugalnas.estimators import ESTIMATORS  # these import torch

    return {name: kind for name, kind in ESTIMATORS.items() if name != SHARED}


def entries(words: str, tables: Sequence[Mapping[str, Any]], size: Size) -> dict[str, Tree]:
    """The estimators' sections, not yet completed, by label.

    `words`: names with commas between: of estimators, such as random_weights; with a fidelity in EcoNAS' notation, such
    as train:c2r2s1e1; or of zero-cost scores, which are one estimator together. `tables`: sections with a `label` where
    it is not their type's name. `size`: channels and pixels that a fidelity is counted from. Raises InputError.
    """
    found: dict[str, Tree] = {}
    for table in tables:
        _add(found, str(table.get("label", table.get("type"))), {k: v for k, v in table.items() if k != "label"})
    kinds, scores = alone(), []
    for word in [word.strip() for word in words.split(",") if word.strip()]:
        name, _, fidelity = word.partition(":")
        if name in kinds:
            _add(found, word, {"type": name} | ({"fidelity": _fidelity(word, kinds[name], size)} if fidelity else {}))
        elif word not in BASELINES:
            _check_score(word, kinds)
            scores.append(word)
    if scores:
        found[SCORES] = found.get(SCORES, {"type": SCORES}) | {"scores": [*dict.fromkeys(scores)]}
    if not found:
        raise InputError("--estimators: expected one or more, such as random_weights,train:c2r2s1e1")
    return found


def _check_score(word: str, kinds: Mapping[str, Any]) -> None:
    """Raise InputError for what is neither an estimator nor a score, which `zero_cost` knows best."""
    unknown = f"--estimators: {word!r} is no estimator, {nearest(word, [*kinds])}"
    if SCORES not in kinds:
        raise InputError(unknown)
    try:
        kinds[SCORES](scores=(word,))
    except InputError as error:
        raise InputError(f"{unknown}; as a zero-cost score: {error}") from None


def _add(found: dict[str, Tree], label: str, entry: Tree) -> None:
    if label in found:
        raise InputError(f"estimators: two are called {label!r}: expected a label for each, in a --config file")
    found[label] = entry


def _fidelity(word: str, kind: Any, size: Size) -> Tree:
    name, _, notation = word.partition(":")
    if "fidelity" not in inspect.signature(kind).parameters:
        raise InputError(f"--estimators: {word!r}: {name!r} has no fidelity, expected {name}")
    return asdict(parse(notation, *size()))


def placed(given: Any, found: Mapping[str, Tree]) -> Tree:
    """Settings of estimators that are told by label, or by type for all of that type, as settings of their places."""
    if not isinstance(given, Mapping):
        raise InputError(f"estimators = {given!r}: expected keys of one, such as estimators.random_weights.draws=3")
    places: Tree = {}
    for key, settings in given.items():
        meant = [place for place, (label, entry) in enumerate(found.items()) if key in (label, entry.get("type"))]
        if not meant:
            raise InputError(f"estimators.{key}: {nearest(str(key), [*found])}")
        places |= {str(place): settings for place in meant}
    return places
