"""The ladder that a study recommends as a file, and any ladder as the estimators of a search."""

from __future__ import annotations

import inspect
import itertools
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from frugalnas import __version__, config, store
from frugalnas.core import Fidelity, InputError
from frugalnas.methods import METHODS
from frugalnas.proxies.findings import LEAST_BOUND, LEAST_RATIO, MOST_RUNGS, Findings
from frugalnas.proxies.settings import fidelity_of, size_of
from frugalnas.schema import Tree
from frugalnas.strategies import STRATEGIES

FILE = "ladder.json"
FORMAT, VERSION = "frugalnas/ladder", 1
RULE = (
    "of the proxies on the Pareto set of cost and Spearman's correlation, those whose 95 % interval is above "
    f"{LEAST_BOUND:g} and whose correlation is stronger than those of params and macs: the cheapest, then the next "
    f"that costs {LEAST_RATIO:g} times as much or more, at most {MOST_RUNGS}; without any, the reference"
)
_log = logging.getLogger(__name__)  # which, unless told otherwise, prints warnings on stderr


def content_of(findings: Findings) -> str:
    """The file of the recommended ladder."""
    tree = findings.record.header["config"]
    content = {
        "format": FORMAT,
        "version": VERSION,
        "frugalnas": __version__,
        "fidelities": list(findings.ladder),
        "reliable": bool(findings.reliable),
        "rule": RULE,
        "reference": findings.reference,
        "networks": findings.networks,
        "space": tree["space"],
        "data": tree["data"]["source"],
    }
    return json.dumps(content, indent=1) + "\n"


def with_ladder(tree: Tree, ladder: str) -> Tree:
    """The configuration of a search whose networks are rated by the fidelities of `ladder`, from cheap to careful.

    `ladder`: fidelities in EcoNAS' notation with commas between, or the folder or `ladder.json` of a study of proxies.
    Consecutive ones that differ only in epochs are one training, which goes on from rung to rung. A strategy with more
    rungs than the ladder loses its highest: the parents that it drew there come from the last that is left. Reads the
    training images, for their resolution. Raises InputError for a ladder that the method has no use for.
    """
    names = _read(Path(ladder), tree) if ladder and Path(ladder).exists() else [n.strip() for n in ladder.split(",")]
    if "weight_set" in _arguments(tree["strategy"]):
        raise InputError(f"--ladder: the networks of method {tree['method']!r} share weights, none is trained alone")
    size = size_of(tree)
    try:
        rungs = [fidelity_of(name, *size) for name in names]
    except InputError as error:
        raise InputError(f"--ladder: {error}; or else the folder of a study by 'frugalnas proxies'") from None
    estimators = _estimators(rungs, names)
    return config.complete(tree | {"estimators": estimators, "strategy": _with_rungs(tree, len(names))})


def _estimators(rungs: Sequence[Fidelity], names: Sequence[str]) -> list[Tree]:
    """Neighbours that differ only in epochs are one training of the length of the longest, at which the others stop."""
    estimators = []
    numbered = zip(names, rungs, strict=True)
    for _, group in itertools.groupby(numbered, key=lambda each: replace(each[1], epochs=1)):
        same = [*group]
        for (below, shorter), (name, longer) in itertools.pairwise(same):
            if shorter.epochs >= longer.epochs:
                raise InputError(f"--ladder: {name} after {below}: expected more epochs, or another c, r or s")
        whole = same[-1][1]
        for _, rung in same:
            stop = rung.epochs if rung.epochs < whole.epochs else None
            estimators.append({"type": "train", "fidelity": asdict(whole), "stop": stop})
    return estimators


def _with_rungs(tree: Tree, rungs: int) -> Tree:
    """The strategy of a search for a ladder of so many rungs."""
    strategy: Tree = tree["strategy"]
    method = tree["method"]
    if rungs > 1 and "rungs" not in _arguments(strategy):
        strategies = {name: next(iter(m.PRESETS.values()))["strategy"] for name, m in METHODS.items()}
        fitting = [name for name, s in strategies.items() if {"rungs", "weight_set"} & _arguments(s) == {"rungs"}]
        raise InputError(
            f"--ladder has {rungs} fidelities, and method {method!r} rates every network by one: give one of them, or "
            f"a method that uses rungs: {', '.join(fitting)}"
        )
    promotions, children = strategy.get("promotions", ()), strategy.get("children", ())
    if not children or len(children) == rungs:
        return strategy
    if rungs > len(children):
        raise InputError(
            f"--ladder has {rungs} fidelities, and method {method!r} {len(children)} rungs: leave some out, or --set "
            "strategy.promotions and strategy.children for as many"
        )
    above = sum(children[rungs:])
    return strategy | {
        "promotions": promotions[: rungs - 1],
        "children": [*children[: rungs - 1], children[rungs - 1] + above],
    }


def _arguments(strategy: Tree) -> set[str]:
    return {*inspect.signature(STRATEGIES[strategy["type"]]).parameters}


def _read(path: Path, tree: Tree) -> list[str]:
    """The fidelities in the file of a ladder, or in the one of that folder. Raises InputError for any other file."""
    file = path / FILE if path.is_dir() else path
    try:
        content: Any = json.loads(store.regular(file).read_text("utf-8"))
        if (content["format"], content["version"]) != (FORMAT, VERSION):
            raise ValueError(f"format {content['format']!r} {content['version']!r}")
        names, space = content["fidelities"], content["space"]
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise TypeError(f"fidelities {names!r}")
    except FileNotFoundError:
        raise InputError(
            f"--ladder {path}: there is no {FILE} in it, which a study by 'frugalnas proxies' writes"
        ) from None
    except OSError as error:
        raise InputError(f"--ladder {path}: cannot read {file}: {error.strerror}") from None
    except (LookupError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise InputError(f"--ladder {path}: {file} holds no ladder of a study of proxies ({error})") from None
    if space != tree["space"]:
        _log.warning("frugalnas: --ladder: %s is of a study on another space than that of this search", path)
    return names
