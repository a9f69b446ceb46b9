"""Choose one network of a search, by its number or in words."""

from __future__ import annotations

import re
from pathlib import Path

from frugalnas import __version__, config, pareto, zoo
from frugalnas.core import InputError, Trial, nearest
from frugalnas.record import Record, load
from frugalnas.spaces.architecture import Architecture

WORDS = ("knee", "most-accurate", "smallest")
SIZES = ("params", "model_bytes", "macs", "peak_bytes", "latency_ms")  # what "smallest" goes by: the first there is


def choose(record: Record, words: str) -> Trial:
    """One trial of a search, by `words`.

    "knee": where giving up a little of one objective stops buying much of another (see `pareto.knee`).
    "most-accurate": the lowest error. "smallest": the front's network of the fewest parameters or, where the search has
    not counted them, of the least of what it has. Or limits, such as "params<200000" or "latency_ms<5, params<200k" (at
    most; k, M and G are thousands, millions and so on): the lowest error within all of them, also off the front.
    Raises InputError for other words, for a value that the search has not, and where no network is within the limits.
    """
    if not record.front:
        raise InputError(f"{record.folder} has no rated network yet")
    if words == "knee":
        return pareto.knee(record.front, record.objectives)
    if words == "smallest":
        name = next((size for size in SIZES if size in record.front[0].values), None)
        if name is None:
            raise InputError(f"--pick smallest: {record.folder} knows no size of its networks: {', '.join(SIZES)}")
        return min(record.front, key=lambda trial: trial.values[name])
    limits = limits_of(words)
    if "error" not in record.front[0].values:
        raise InputError(f"--pick {words}: {record.folder} has no error, only {', '.join(record.columns)}")
    unknown = [name for name in limits if name not in record.columns]
    if unknown:
        near = nearest(unknown[0], record.columns)
        raise InputError(f"--pick {words}: no value {unknown[0]!r} in {record.folder}: {near}")
    best = pareto.front(record.trials, [*dict.fromkeys(("error", *limits, *record.objectives))])
    within = [trial for trial in best if all(trial.values[name] <= limit for name, limit in limits.items())]
    if not within:
        least = ", ".join(f"{name} {min(trial.values[name] for trial in best):,.6g}" for name in limits)
        raise InputError(f"--pick {words}: no network is within that; the least there are: {least}")
    return within[0]


def limits_of(words: str) -> dict[str, float]:
    """The limits in `words`, by the name of the value, none in a name. Raises InputError for words of no meaning."""
    if words in WORDS:
        return {}
    if not re.search("[<=]", words):
        raise InputError(f"--pick {words}: {nearest(words, WORDS)}; or limits, such as params<200k")
    limits: dict[str, float] = {}
    for part in words.split(","):
        try:
            limits |= config.limit(part)["limits"]
        except InputError:
            raise InputError(f"--pick {words}: {part.strip()!r} is no limit, such as params<200k") from None
    return limits


def architecture_of(name: str, trial: int | None = None, pick: str | None = None) -> Architecture:
    """An architecture from a run folder, as `trial_in` has it, or else as `zoo.architecture_of` finds it.

    Of a run only the journal is read; the data need not be there. Raises InputError.
    """
    if not name.lstrip().startswith("{") and Path(name).is_dir():
        record = load(Path(name))
        return _architecture_in(record, trial_in(record, trial, pick))
    if trial is not None or pick is not None:
        given = f"--pick {pick}" if trial is None else f"--trial {trial}"
        raise InputError(f"{given}: {name!r} is not the folder of a search")
    return zoo.architecture_of(name)


def trial_in(record: Record, trial: int | None = None, pick: str | None = None) -> Trial:
    """The trial of that number, or the one that `choose` finds for the words `pick`, or the front's knee.

    Raises InputError where there is none, and where both are given.
    """
    if trial is None:
        return choose(record, pick or "knee")
    if pick is not None:
        raise InputError(f"--trial {trial} and --pick {pick}: expected one of them")
    found = next((each for each in (*record.trials, *record.looks) if each.number == trial), None)
    if found is None:
        raise InputError(
            f"{record.folder} has no trial {trial}: it has {len(record.trials) + len(record.looks)}, numbered from 0"
        )
    return found


def _architecture_in(record: Record, trial: Trial) -> Architecture:
    try:
        section = config.part("space", record.header["config"].get("space"), "space")
        space = config.make("space", section, record.header["facts"])
        return Architecture(space, trial.candidate.genotype)
    except InputError as error:
        version = record.header["version"]
        raise InputError(f"{record.folder}, of version {version}, has no network for {__version__}: {error}") from None
