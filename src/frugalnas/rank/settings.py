"""What a study of ratings is asked for, as the configuration of a search: listed networks, each on every rung."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from frugalnas import config, parts
from frugalnas.core import InputError
from frugalnas.proxies.settings import size_of
from frugalnas.rank.rungs import Rung, entries, placed
from frugalnas.rank.truth import Truth
from frugalnas.report.effort import BASELINES
from frugalnas.schema import Tree

METHOD = NOTE = "rank"  # the latter is the key of the header that says what the configuration does not
MOST = 200  # networks of a table, unless it is told otherwise
_SECTIONS: Tree = {"task": {"type": "classification"}, "data": {}, "executor": {}, "latency": {}}
_FIRST: Tree = {"estimators": [{"type": "train"}]}  # to have a complete configuration before the estimators are known


def study_of(
    truth: Truth,
    estimators: str = "",
    count: int | None = None,
    file: Path | None = None,
    layers: Sequence[Mapping[str, Any]] = (),
) -> tuple[Tree, Tree]:
    """The configuration of the study, and what the header of its journal notes beside.

    `estimators`: see `rungs.entries`; `count`: networks, None = all that the truth knows. `file` (TOML), whose
    `estimators` may have a `label`, and each of `layers` are laid over what is known of the networks. Reads the
    training images, for their facts. Raises InputError.
    """
    written = config.read(file) if file else {}
    tables = written.pop("estimators", [])
    if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables):
        raise InputError(f"{file}: estimators: expected tables, each headed by [[estimators]]")
    own = {"method": METHOD, "preset": _origin(truth), "objectives": [*BASELINES]}
    budgets: Tree = dict.fromkeys(("trials", "minutes", "epochs"))
    base = _SECTIONS | truth.tree | budgets | {"limits": {}, "strategy": {"type": "every_rung"}} | own | _FIRST
    general = [written, *({key: value for key, value in layer.items() if key != "estimators"} for layer in layers)]
    tree = config.changed(base, *general, own)
    chosen = entries(estimators, tables, lambda: size_of(tree))
    genotypes = truth.drawn(count, tree["seed"])
    strategy = {"type": "every_rung", "genotypes": [*map(list, genotypes)]}
    tree = config.changed(
        tree | {"estimators": [*chosen.values()], "strategy": strategy},
        *({"estimators": placed(layer["estimators"], chosen)} for layer in layers if "estimators" in layer),
    )
    problem = parts.problem_of(tree)
    rungs = [Rung(label, tuple(part.values)) for label, part in zip(chosen, problem.estimators, strict=True)]
    _check_names(rungs)
    errors = [truth.errors[genotype] for genotype in genotypes]
    return tree, {
        NOTE: {"truth": truth.name, "source": truth.source, "errors": errors, "rungs": [*map(astuple, rungs)]}
    }


def _origin(truth: Truth) -> str:
    tree = truth.tree
    return f"{tree['method']} {tree['preset']}" if "method" in tree else str(tree["space"]["type"])


def _check_names(rungs: Sequence[Rung]) -> None:
    """Raise InputError where two scores are called the same."""
    names = [*BASELINES, *(name for rung in rungs for name in rung.scores.values())]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"estimators: two scores are called {twice!r}: expected another label, in a --config file")


def is_ranking(tree: Tree) -> bool:
    """Whether a configuration is that of a study of ratings."""
    return bool(tree["method"] == METHOD)


def ratings_in(tree: Tree) -> int:
    """How many ratings the study that `tree` describes takes."""
    return len(tree["strategy"]["genotypes"]) * len(tree["estimators"])
