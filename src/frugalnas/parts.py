"""From a configuration to the parts that it names: the task, the space, the problem on the ladder, the strategy."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from frugalnas import config
from frugalnas.core import IMAGES, OWN_IMAGES, Fidelity, InputError, Objective, Problem, Strategy, nearest
from frugalnas.distribute import Distant, Executor
from frugalnas.latency import cost as latency
from frugalnas.latency.settings import Latency
from frugalnas.latency.table import Table
from frugalnas.objectives.count import COSTS
from frugalnas.objectives.latency import LATENCY
from frugalnas.schema import Tree, construct
from frugalnas.spaces import AnySpace, name_of
from frugalnas.strategies import STRATEGIES
from frugalnas.strategies.prescreened import Prescreened
from frugalnas.tasks import memory
from frugalnas.tasks.data import DataSource
from frugalnas.weights import WeightSet, refuse_elsewhere

_LEARNT = {name: COSTS[name] for name in ("params", "macs")}  # costs that a surrogate learns from
_log = logging.getLogger(__name__)  # which, unless told otherwise, prints warnings on stderr


def task_of(tree: Tree) -> Any:
    """The task of a completed configuration, on its images, none of which is read yet."""
    return config.make("task", tree["task"], {"data": construct(DataSource, tree["data"])})


def executor_of(tree: Tree, folder: Path) -> Executor:
    """Where the candidates of a completed configuration are rated, for the run in `folder`. It must be closed.

    Workers that may be elsewhere get the images from this process.
    """
    section = tree["executor"]
    if section.get("gpus", ()) is None and tree["task"].get("device") != "auto":  # no device is left to the executor
        section = section | {"gpus": []}
    memory.parts(construct(DataSource, tree["data"]))  # whatever is wrong with them is said before workers start
    executor: Executor = config.make("executor", section, {})
    if isinstance(executor, Distant):
        send_images(tree, executor)
        if _shares(tree["estimators"][0]):
            executor.prepare(refuse_elsewhere, folder)
    return executor


def send_images(tree: Tree, executor: Distant) -> None:
    """Have the workers of `executor` get the images of a completed configuration from this process."""
    source = construct(DataSource, tree["data"])
    executor.prepare(memory.provide, source, memory.parts(source))


def space_of(tree: Tree) -> AnySpace:
    """The space of a completed configuration. Reads the training images, for their facts."""
    return config.make("space", tree["space"], task_of(tree).facts())  # type: ignore[no-any-return]


def table_of(tree: Tree, progress: latency.Progress | None = None) -> Table | None:
    """The latency table that a search needs; None where it asks for no latency, or measures it.

    Where the configuration names no file, it is made here, once in a process: see `latency.cost.table_for`.
    """
    if LATENCY not in (*tree["objectives"], *tree["limits"]):
        return None
    return latency.table_for(construct(Latency, tree["latency"]), space_of(tree), progress)


def problem_of(tree: Tree, table: Table | None = None, folder: Path | None = None) -> Problem:
    """The problem that a completed configuration describes. Reads the training images, for their facts.

    `table`: that of the latency, by default `table_of` the configuration. `folder`: that of the run, where estimators
    may keep what they go on from; without one they keep nothing. Raises InputError for what no network could
    be built or rated with. What a user should know of the images, such as files that were skipped, is logged as a
    warning.
    """
    task, space = task_of(tree), space_of(tree)
    for note in task.notes():
        _log.warning("frugalnas: %s", note)
    if task.recipe.auxiliary and not space.auxiliary:
        can = "auxiliary" in tree["space"]
        needs = "needs --set space.auxiliary=true" if can else f"is for no network of the space {name_of(space)!r}"
        raise InputError(f"task.recipe.auxiliary = {task.recipe.auxiliary}: the loss of an auxiliary head {needs}")
    given = {"task": task, "space": space, "folder": folder}
    ladder = [*zip(tree["estimators"], _starts(tree["estimators"]), strict=True)]
    estimators = tuple(config.make("estimators", entry, given | {"start": start}) for entry, start in ladder)
    look = [tree["prescreen"]["estimator"]] if tree["prescreen"] else []
    looks = tuple(config.make("estimators", entry, given) for entry in look)
    for entry in (*look, *tree["estimators"]):
        if entry.get("fidelity"):
            space.at(construct(Fidelity, entry["fidelity"]))  # refuses a size that cannot be built
    for name in objective_names(tree):
        for place, estimator in enumerate(estimators):
            known = [*COSTS, LATENCY, *estimator.values]
            if name not in known:
                gives = f"neither a cost nor a value of estimators.{place}"
                raise InputError(f"unknown objective {name!r}, {gives}: {nearest(name, known)}")
        if name in tree["limits"] and name not in (*COSTS, LATENCY):
            known = [*COSTS, LATENCY]
            raise InputError(f"limits.{name}: only what is known before training can be limited: {', '.join(known)}")
    return Problem(space, objectives_of(tree, table), (*looks, *estimators), len(looks))


def _starts(ladder: Sequence[Tree]) -> Iterator[int]:
    """For each rung after how many epochs it begins: one that trains as the rung below, only longer, goes on there."""
    for below, rung in zip([{}, *ladder], ladder, strict=False):
        same = {**below, "stop": None} == {**rung, "stop": None}
        yield (same and below.get("stop")) or 0


def objective_names(tree: Tree) -> list[str]:
    """The names of all that is minimised, then of what is only limited."""
    return [*tree["objectives"], *(name for name in tree["limits"] if name not in tree["objectives"])]


def objectives_of(tree: Tree, table: Table | None = None) -> tuple[Objective, ...]:
    """The objectives in the order in which limits are looked at: a latency that must be measured comes last."""
    settings: Latency = construct(Latency, tree["latency"])

    def objective(name: str) -> Objective:
        limit, minimise = tree["limits"].get(name, math.inf), name in tree["objectives"]
        if name == LATENCY:
            return latency.objective(settings, table or table_of(tree), limit, minimise)
        return Objective(name, COSTS.get(name), limit, minimise)

    late = LATENCY if settings.source == "measured" else ""
    return tuple(objective(name) for name in sorted(objective_names(tree), key=lambda name: name == late))


def strategy_of(tree: Tree, problem: Problem, folder: Path | None = None) -> Strategy:
    """A new strategy as the configuration says.

    `folder`: that of the run, where weights that candidates share are kept; without one nothing is written back. Raises
    InputError where the strategy does not fit the ladder: it would leave rungs unused, or weights that nobody takes up.
    """
    ladder = tree["estimators"]
    _check_ladder(ladder, tree["strategy"]["type"])
    given = {
        "space": problem.space,
        "objectives": problem.minimised,
        "rungs": len(problem.estimators) - problem.looks,
        "weight_set": WeightSet(folder, tree["seed"]) if folder and _shares(ladder[0]) else None,
    }
    strategy: Strategy = config.make("strategy", tree["strategy"], given)
    return _prescreened(tree, problem, strategy) if tree["prescreen"] else strategy


# Strategies that nothing can be chosen for, and why.
_NO_PRESCREEN = {
    "slow_fast": "its networks learn from each other in pairs, of which both have to be rated",
    "every_rung": "it is there to rate every network that it draws",
    "truncation": "it takes a network that is not trained for one of error 1",
}


def _prescreened(tree: Tree, problem: Problem, strategy: Strategy) -> Strategy:
    """The strategy with pre-screening around it. Raises InputError for one that it cannot work with."""
    if why := _NO_PRESCREEN.get(tree["strategy"]["type"]):
        can = ", ".join(name for name in STRATEGIES if name not in _NO_PRESCREEN)
        raise InputError(f"prescreen: not with strategy.type = {tree['strategy']['type']!r}, as {why}: expected {can}")
    ratings = tuple(name for name in problem.estimators[0].values if name not in (IMAGES, OWN_IMAGES))
    costs = tuple(each.name for each in problem.objectives if each.cost)
    settings = {key: value for key, value in tree["prescreen"].items() if key != "estimator"}
    given = {"inner": strategy, "space": problem.space, "objectives": problem.minimised, "ratings": ratings}
    return construct(Prescreened, settings, given | {"costs": costs, "counts": _LEARNT})  # type: ignore[no-any-return]


def _shares(rung: Tree) -> bool:
    return bool(rung["type"] == "shared_weights")


def _check_ladder(ladder: Sequence[Tree], strategy: str) -> None:
    """Raise InputError where the strategy would leave rungs unused, or weights that nobody writes back."""
    takes = {name: signature(kind).parameters for name, kind in STRATEGIES.items()}
    shared = [place for place, rung in enumerate(ladder) if _shares(rung)]
    if shared and "weight_set" not in takes[strategy]:
        raise InputError(
            f"strategy.type = {strategy!r} shares no weights between networks, as the estimator 'shared_weights' "
            "needs: expected 'slow_fast'"
        )
    if len(ladder) > 1 and "rungs" not in takes[strategy]:
        use = ", ".join(name for name in takes if "rungs" in takes[name])
        raise InputError(
            f"strategy.type = {strategy!r} rates every network on one rung and estimators has {len(ladder)}: expected "
            f"one of them, or a strategy that uses rungs: {use}"
        )
    if shared and (shared[0] or not ladder[0]["fidelity"]["epochs"]):
        raise InputError(
            "estimators.0: the first rung trains the shared weights: expected type = 'shared_weights' with "
            "fidelity.epochs = 1 or more"
        )
    for place in shared[1:]:
        if ladder[place]["fidelity"]["epochs"]:
            raise InputError(
                f"estimators.{place}: after the first rung the shared weights are frozen: expected fidelity.epochs = 0"
            )
