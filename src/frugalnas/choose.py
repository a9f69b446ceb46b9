"""Choose one network of a search in words."""

from __future__ import annotations

import re

from frugalnas import pareto
from frugalnas.config import limit
from frugalnas.core import InputError, Trial, nearest
from frugalnas.record import Record

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
    best = pareto.front(record.trials, ("error", *(name for name in limits if name != "error")))
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
            limits |= limit(part)["limits"]
        except InputError:
            raise InputError(f"--pick {words}: {part.strip()!r} is no limit, such as params<200k") from None
    return limits
