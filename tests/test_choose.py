"""Choosing one network of a search in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from frugalnas.choose import choose
from frugalnas.core import Candidate, InputError, Trial
from frugalnas.record import Record

VALUES = [
    {"error": 0.10, "params": 900_000.0, "macs": 3e6, "latency_ms": 9.0},
    {"error": 0.12, "params": 300_000.0, "macs": 2e6, "latency_ms": 4.0},
    {"error": 0.20, "params": 150_000.0, "macs": 9e5, "latency_ms": 6.0},
    {"error": 0.40, "params": 100_000.0, "macs": 8e5, "latency_ms": 2.0},
    {"error": 0.13, "params": 310_000.0, "macs": 2e6, "latency_ms": 3.0},  # on no front of error and params
]


def record(objectives: tuple[str, ...] = ("error", "params"), values: list[dict[str, float]] = VALUES) -> Record:
    trials = [Trial(number, Candidate((number,)), "done", each) for number, each in enumerate(values)]
    trials.append(Trial(5, Candidate((5,)), "rejected", {"params": 1.0}, "params 1 > 0"))
    trials.append(Trial(6, Candidate((6,)), "failed", {"params": 1.0}, "broken"))
    return Record(Path("runs/x"), {"config": {"objectives": list(objectives)}}, tuple(trials), {}, 0.0)


@pytest.mark.parametrize(
    ("words", "number"),
    [
        *(("knee", 1), ("most-accurate", 0), ("smallest", 3)),
        *(("params<200000", 2), ("params<=300k", 1), ("params < 0.3M", 1), ("params=1M", 0), ("params<1e5", 3)),
        *(("latency_ms<5", 1), ("latency_ms<3.5,params<400k", 4), ("error<0.5, macs<1M", 2)),
    ],
)
def test_words_name_a_trial(words: str, number: int) -> None:
    assert choose(record(), words).number == number


def test_of_equal_errors_the_one_that_is_smaller_is_taken() -> None:
    equal = [{"error": 0.1, "params": size} for size in (3.0, 1.0, 2.0)]
    assert choose(record(values=equal), "params<5").number == 1
    assert choose(record(values=equal), "most-accurate").number == 1
    fast = [each | {"latency_ms": 4 - each["params"]} for each in equal]
    assert choose(record(values=fast), "latency_ms<9").number == 0, "by the limit first"


def test_smallest_goes_by_what_was_counted() -> None:
    values = [{"error": 0.1, "macs": 5.0}, {"error": 0.2, "macs": 4.0}]
    assert choose(record(("error", "macs"), values), "smallest").number == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("kne", "--pick kne: did you mean 'knee'"),
        ("", "--pick .*known: knee, most-accurate, smallest"),
        ("parms<200k", "no value 'parms' in runs/x: did you mean 'params'"),
        ("params<", "'params<' is no limit, such as params<200k"),
        ("params<200k,", "'' is no limit"),
        ("params<99k", "no network is within that; the least there are: params 100,000"),
    ],
)
def test_other_words_are_answered(words: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose(record(), words)


def test_there_must_be_something_to_choose_from() -> None:
    with pytest.raises(InputError, match="runs/x has no rated network yet"):
        choose(record(values=[]), "knee")
    with pytest.raises(InputError, match="knows no size"):
        choose(record(("error",), [{"error": 0.1}]), "smallest")
    with pytest.raises(InputError, match="has no error, only loss"):
        choose(record(("loss",), [{"loss": 0.1}]), "most-accurate")
