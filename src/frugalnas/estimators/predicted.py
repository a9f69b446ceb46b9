"""Predict a candidate's error from networks that are trained already: those of a search, or of a table.

What is learnt are the genes and the costs of a network, by one of the models of `frugalnas.surrogate`; nothing is built
and no image is read. Predictors of this kind are the cheap estimators of, among others, PNAS (Liu et al., ECCV 2018,
arXiv 1712.00559) and NSGANetV2 (Lu et al., ECCV 2020, arXiv 2007.10396).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import lru_cache
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from frugalnas import store, surrogate
from frugalnas.core import Candidate, Genotype, InputError, Space
from frugalnas.objectives.count import COSTS
from frugalnas.schema import construct
from frugalnas.spaces import SPACES, AnySpace, name_of
from frugalnas.tables import read

COUNTS = ("params", "macs")  # that are learnt from
# Arguments of a space that say how large a network is, not what its genotype means.
_SIZES = ("channels", "cells", "in_channels", "classes", "resolution", "auxiliary", "increment", "squeeze", "stem")


@dataclass(frozen=True)
class Predicted:
    """`error` and its standard deviation `error_std` as a surrogate predicts them from the networks in `source`.

    `source`: the folder of a search, whose networks of the highest rung are learnt from, or a table as
    `frugalnas.tables` reads it, of which `validation` is the column of the errors ("": the usual one). `model`: see
    `frugalnas.surrogate`. Of more than `most` networks so many are drawn, by `seed`, which decides the model's random
    choices too. Fitted once in a process. A search in `source` should have ended: with other networks in it the
    predictions are others.

    With a `space`, it is checked at once. Raises InputError where the source is missing, is of networks of another
    space (their size may differ: then errors are those at the size of the source), or has too few of them.
    """

    values: ClassVar[tuple[str, ...]] = ("error", "error_std")

    source: str
    model: surrogate.Model = "ensemble"
    seed: int = 0
    most: int = 1000
    validation: str = ""
    space: Space | None = None

    def __post_init__(self) -> None:
        for name, least in (("most", surrogate.LEAST), ("seed", 0)):
            if getattr(self, name) < least:
                raise InputError(f"predicted.{name} = {getattr(self, name)}: expected {least} or more")
        surrogate.check_model(self.model)
        trained = _trained(self.source, self.validation)
        if len(trained.errors) < surrogate.LEAST:
            found = f"{self.source} has {len(trained.errors)} trained networks"
            raise InputError(f"{found}: expected {surrogate.LEAST} or more to learn from")
        if self.space is not None:
            _check(trained.networks, self.space, self.source)

    def evaluate(self, candidate: Candidate, space: Space, seed: int) -> dict[str, float]:
        """`error`, a share in [0, 1], and `error_std`. Raises InputError for a space of other networks."""
        _check(_trained(self.source, self.validation).networks, space, self.source)
        predictor = _predictor(self.source, self.validation, self.model, self.seed, self.most, space)  # type: ignore[arg-type]
        mean, deviation = predictor.predict(_table(space, [space.canonical(candidate.genotype)]))
        return {"error": min(max(float(mean[0]), 0.0), 1.0), "error_std": float(deviation[0])}


@dataclass(frozen=True)
class _Trained:
    """Errors of trained networks, by canonical genotype, and the space that they are of."""

    networks: AnySpace
    errors: Mapping[Genotype, float]


@lru_cache(maxsize=4)
def _trained(source: str, validation: str) -> _Trained:
    path = Path(source)
    if not path.exists():
        near = get_close_matches(path.name, [each.name for each in path.absolute().parent.glob("*")], n=1)
        raise InputError(f"no search and no table in {source}" + (f": did you mean {near[0]!r}?" if near else ""))
    if not (path / store.JOURNAL).exists():
        try:
            benchmark = read(source, validation)
        except InputError as error:
            raise InputError(f"{source} holds no search" if path.is_dir() else str(error)) from None
        return _Trained(benchmark.networks, {genotype: row.error for genotype, row in benchmark.rows.items()})
    if validation:
        raise InputError(f"predicted.validation = {validation!r}: {source} is a search, which has no columns")
    return _searched(path)


def _searched(folder: Path) -> _Trained:
    """The networks of a search that its highest rung rated."""
    header, events = store.read(folder)
    try:
        space, looks = _space_of(header), bool(header["config"].get("prescreen"))
        done = [trial for trial in store.trials_of(events) if trial.status == "done" and trial.candidate.rung >= looks]
        top = max((trial.candidate.rung for trial in done), default=0)
        errors = {
            space.canonical(trial.candidate.genotype): trial.values["error"]
            for trial in done
            if trial.candidate.rung == top and "error" in trial.values
        }
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        cause = f"{error}" if isinstance(error, InputError) else f"{type(error).__name__} {error}"
        raise InputError(f"{folder} holds a journal of no search: {' '.join(cause.split())[:300]}") from None
    return _Trained(space, errors)


def _space_of(header: Mapping[str, Any]) -> AnySpace:
    section = header["config"]["space"]
    kind = SPACES[section["type"]]
    facts = {key: value for key, value in header["facts"].items() if key in signature(kind).parameters}
    return construct(kind, {key: value for key, value in section.items() if key != "type"}, facts)  # type: ignore[no-any-return]


def _check(networks: AnySpace, space: Any, source: str) -> None:
    """Raise InputError where genotypes of `space` have another meaning than those of `networks`."""
    if type(space) is not type(networks):
        raise InputError(f"{source} has networks of the space {name_of(networks)!r}, not of {type(space).__name__}")
    for key, value in asdict(networks).items():
        if key not in _SIZES and getattr(space, key) != value:
            raise InputError(f"{source} has networks of space.{key} = {value}, not {getattr(space, key)}")


@lru_cache(maxsize=4)
def _predictor(
    source: str, validation: str, model: surrogate.Model, seed: int, most: int, space: Any
) -> surrogate.Predictor:
    errors = _trained(source, validation).errors
    rng, genotypes = np.random.default_rng(seed), sorted(errors)
    drawn = [genotypes[place] for place in sorted(rng.permutation(len(genotypes))[:most].tolist())]
    return surrogate.fit(model, _table(space, drawn), [errors[genotype] for genotype in drawn], rng)


def _table(space: Any, genotypes: Sequence[Genotype]) -> surrogate.Vectors:
    counts = {name: [COSTS[name](space, genotype) for genotype in genotypes] for name in COUNTS}
    return surrogate.features(genotypes, space.domains, counts).table
