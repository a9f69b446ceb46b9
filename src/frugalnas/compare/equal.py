"""Configurations that differ in nothing but strategy and ladder, so that what they lead to can be compared.

Held equal: data, task, space, objectives, limits, budget, seeds, one thread, and the last estimator of every ladder,
the referee, as values compare only where the same estimator gave them. A method keeps its own strategy, its own look at
networks before they are rated, and the rungs below: those that stop part-way through a training become parts of the
referee's, those that share weights keep their kind at the referee's size.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from frugalnas import config
from frugalnas.compare.outcome import RANDOM
from frugalnas.compare.plan import Plan
from frugalnas.compare.runs import UNITS
from frugalnas.core import InputError, nearest
from frugalnas.estimators.table import Table
from frugalnas.methods import METHODS
from frugalnas.objectives.latency import LATENCY
from frugalnas.schema import Tree, as_table

TABLE_OBJECTIVES = ["error", "params"]
_TRAINING = ("data", "space", "task", "estimators", "prescreen", "executor", "latency")  # that a table has no use for
_SIZES = ("resolution", "width", "depth")  # of a network, among the keys of a fidelity


def plan(
    methods: Sequence[str],
    preset: str | None = None,
    file: Path | None = None,
    layers: Sequence[Mapping[str, Any]] = (),
    *,
    seeds: int = 5,
    table: Mapping[str, Any] | None = None,
) -> Plan:
    """The plan of a comparison: what all share is the first method's preset with `layers` over it.

    A layer may also have a section of a method's name, whose `strategy` is laid over that of this method only. Where a
    method cuts the referee's training into parts, the training has as many epochs at least. Without a budget it is the
    epochs that the preset's number of networks takes at the referee, in a table that number. With `table`, the
    arguments of `estimators.table.Table`, the space is that of the table, and every rung looks up. Raises InputError
    for what cannot be made equal.
    """
    names = [*dict.fromkeys([*methods, RANDOM])]
    if names == [RANDOM]:
        raise InputError("random search is what the others are compared with: expected another method")
    for name in names:
        if name not in METHODS:
            raise InputError(f"unknown method {name!r}: {nearest(name, [*METHODS])}")
    written = [config.read(file) if file else {}, *layers]
    shared = [{key: value for key, value in layer.items() if key not in METHODS} for layer in written]
    for key in ("strategy", "seed", "method", "preset"):
        if any(key in layer for layer in shared):
            words = f"each method keeps its own, expected {names[0]}.strategy" if key == "strategy" else "not to be set"
            raise InputError(f"{key}: {words}")
    if table is not None:
        if other := next((key for layer in shared for key, value in layer.items() if value and key in _TRAINING), None):
            raise InputError(f"{other} is of no use with a table, which takes the place of images and trainings")
        shared = [{"objectives": TABLE_OBJECTIVES}, *shared]
    own = {name: config.resolve(name, _preset(name, preset)) for name in names[1:]}
    own = {names[0]: config.resolve(names[0], preset, layers=shared), **own}
    base = _shared(own[names[0]], shared, table, max(_parts(each["estimators"]) for each in own.values()))
    searches = {}
    for name in names:
        try:
            searches[name] = _searched(
                name, own[name], base, [as_table(layer.get(name, {}), name) for layer in written]
            )
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
    return Plan(searches, seeds)


def _preset(method: str, preset: str | None) -> str | None:
    return preset if preset in METHODS[method].PRESETS else None


def _shared(first: Tree, layers: Sequence[Mapping[str, Any]], table: Mapping[str, Any] | None, parts: int) -> Tree:
    """What all methods have in common, from the first one's configuration; the ladder has the referee only.

    `parts`: into how many a method cuts the referee's training, which is made long enough unless `layers` say how long.
    """
    given = [unit for unit in UNITS if any(layer.get(unit) is not None for layer in layers)]
    referee = {**first["estimators"][-1]}
    if referee.get("stop") == (referee.get("fidelity") or {}).get("epochs"):
        referee = {key: value for key, value in referee.items() if key != "stop"}
    said = any('"epochs"' in json.dumps(layer.get("estimators", {}), default=str) for layer in layers)
    if referee["type"] == "train" and not said:
        fidelity = referee["fidelity"]
        referee["fidelity"] = {**fidelity, "epochs": max(parts, fidelity["epochs"])}
    tree = {**first, "executor": first["executor"] | {"workers": 1, "threads": 1}, "estimators": [referee], "seed": 0}
    if not any(layer.get("prescreen") for layer in layers):
        tree["prescreen"] = None  # a method's own
    if table is not None:
        benchmark = Table(**table).benchmark
        columns = {"validation": benchmark.validation, "test": benchmark.test}
        tree |= {"space": benchmark.space, "estimators": [{"type": "table", **table, **columns}]}
        # those of the preset are for other networks
        tree["limits"] = {name: value for layer in layers for name, value in layer.get("limits", {}).items()}
        if not given:
            tree["epochs"] = None
    elif not given and first["trials"]:
        tree |= {"trials": None, "epochs": first["trials"] * _epochs(referee)}
    if LATENCY in (*tree["objectives"], *tree["limits"]) and not tree["latency"]["table"]:
        raise InputError(
            f"{LATENCY} would be measured anew by every run: expected --set latency.table=FILE, a table that "
            "'frugalnas latency build' wrote"
        )
    return config.placed(config.complete(tree | {"strategy": {"type": RANDOM}}))


def _searched(name: str, own: Tree, base: Tree, layers: Sequence[Mapping[str, Any]]) -> Tree:
    """The configuration of a method: what all share, its own strategy, its own rungs below the referee."""
    strategy = own["strategy"]
    for layer in layers:
        if unknown := next((key for key in layer if key != "strategy"), None):
            raise InputError(f"{unknown} is the same for all methods: expected {name}.strategy")
        given = as_table(layer.get("strategy", {}), "strategy")
        other = given.get("type", strategy["type"]) != strategy["type"]  # whose keys are others
        strategy = {**({} if other else strategy), **given}
    referee = base["estimators"][-1]
    if name == RANDOM:
        strategy, ladder = base["strategy"], [referee]
    elif referee["type"] == "table":
        strategy, ladder = _on_one_rung(strategy), [referee]
    else:
        _check_trains(own["estimators"][-1]["type"], referee["type"])
        ladder = [*_rungs(own["estimators"], referee), referee]
    looks = own["prescreen"] if referee["type"] != "table" and name != RANDOM else None
    own_way = {"strategy": strategy, "estimators": ladder, "prescreen": base["prescreen"] or looks}
    tree = base | {"method": name, "preset": own["preset"]} | own_way
    return config.complete({**tree, "strategy": _paced(config.complete(tree))})


def _check_trains(last: str, referee: str) -> None:
    """Raise InputError for a method that never trains, which the referee would make into another."""
    if last not in ("train", referee):
        raise InputError(f"its networks are rated by {last!r} alone: expected a preset whose last estimator is 'train'")


def _paced(tree: Tree) -> Tree:
    """The strategy, made to last as long as the budget does: most go on for ever.

    Slow-fast learning ends with a selection, whose last rung alone compares: its generations are as many as the budget
    pays for beside that.
    """
    strategy: Tree = tree["strategy"]
    if strategy["type"] != "slow_fast":
        return {**strategy, **{key: None for key in ("generations", "cycles") if key in strategy}}
    if tree["minutes"] is not None:
        raise InputError(
            "how many generations fit into a time is not known before, and its last rung comes after them: expected a "
            "budget of epochs or trials"
        )
    budget = tree["trials"] if tree["epochs"] is None else tree["epochs"]
    costs = [1.0 if tree["epochs"] is None else _epochs(rung) for rung in tree["estimators"]]
    if len(costs) == 1:
        return {**strategy, "generations": math.ceil(budget / (strategy["population"] * costs[0]))}
    numbers = (strategy["finalists"], strategy["retrained"])[: len(costs) - 1]
    selection = sum(number * cost for number, cost in zip(numbers, costs[1:], strict=True))
    generations = math.floor((budget - selection) / (strategy["population"] * costs[0]) + 1e-9)
    if generations < 1:
        raise InputError(
            f"a budget of {budget:.4g} pays for no generation: the last selection takes {selection:.4g}, a generation "
            f"{strategy['population'] * costs[0]:.4g}; expected more, or a smaller {tree['method']}.strategy.retrained"
        )
    return {**strategy, "generations": generations}


def _epochs(rung: Tree) -> float:
    """Passes over the training images that rating a network there takes, as far as the configuration tells."""
    fidelity = rung.get("fidelity") or {}
    return float(fidelity.get("epochs", 1) * fidelity.get("samples", 1.0))


def _on_one_rung(strategy: Tree) -> Tree:
    """A strategy where nothing is trained part-way: hierarchical evolution becomes its own single-proxy variant."""
    if strategy["type"] != "hierarchical":
        return strategy
    return {**strategy, "promotions": [], "children": [sum(strategy["children"])]}


def _parts(ladder: Sequence[Tree]) -> int:
    """How many rungs of a ladder are parts of one training."""
    return 1 + len([rung for rung in ladder[:-1] if rung["type"] == "train" and rung["stop"] is not None])


def _rungs(ladder: Sequence[Tree], referee: Tree) -> list[Tree]:
    """The rungs below the last one, fitted to the referee."""
    fitted: list[Tree] = []
    for place, rung in enumerate(ladder[:-1]):
        if rung["type"] == "train" and rung["stop"] is not None:
            fitted.append(_part(referee, _parts(ladder[: place + 1]), _parts(ladder)))
        elif rung["type"] == "shared_weights" and rung.get("fidelity") and referee.get("fidelity"):
            size = {key: referee["fidelity"][key] for key in _SIZES}
            fitted.append({**rung, "fidelity": {**rung["fidelity"], **size}})
        else:
            fitted.append(rung)
    return fitted


def _part(referee: Tree, place: int, parts: int) -> Tree:
    """The rung that ends after the first `place` of `parts` equal parts of the referee's training."""
    if referee["type"] != "train":
        raise InputError(f"its rungs are parts of a training, but the last estimator is {referee['type']!r}")
    epochs = referee["fidelity"]["epochs"]
    if epochs < parts:
        raise InputError(
            f"its {parts} rungs are parts of one training, which has {epochs} epoch{'s' * (epochs != 1)}: expected "
            f"{parts} or more, as by --set estimators.0.fidelity.epochs={parts}"
        )
    return {**referee, "stop": place * epochs // parts}
