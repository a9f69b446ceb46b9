"""Long studies: taken up from a snapshot as from the whole journal, and holding no more than they need."""

from __future__ import annotations

import json
import shutil
import zlib
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest

from frugalnas import history, snapshot, study
from frugalnas.core import Candidate, Trial
from frugalnas.history import History
from frugalnas.pareto import front
from frugalnas.record import Record
from frugalnas.report import shown as showing
from frugalnas.report.shown import shown, words_on
from frugalnas.store import JOURNAL, Journal, header_of, stream
from frugalnas.strategies.nsga2 import NSGA2
from frugalnas.study import Study
from test_strategies import EVERY, done, make, steps
from test_study import Given, searched
from toy import problem

BEFORE, TRIALS = 57, 70  # networks rated when the last snapshot of a test is left, and in the end


def history_of(trials: list[Trial], space: object) -> History:
    """As a study has it after these trials."""
    told = History(problem(), 0)
    for trial in trials:
        told.ask(trial.candidate, space.canonical(trial.candidate.genotype))  # type: ignore[attr-defined]
        told.tell(trial)
    return told


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("count", [0, 23, 61])
def test_every_strategy_goes_on_from_a_snapshot_as_if_it_had_never_stopped(tmp_path, name, count):
    strategy, again = make(name), make(name)
    told = history_of([done(*item) for item in enumerate(steps(strategy, count))], strategy.space)
    snapshot.write(tmp_path, told, strategy, 2 * count, 5)
    known = snapshot.read(tmp_path)
    assert known is not None and (known.events, known.checksum) == (2 * count, 5)
    assert snapshot.restore(again, known.state, told) and repr(again) == repr(strategy)
    assert steps(again, 40, start=count) == steps(strategy, 40, start=count)
    for field in fields(strategy):
        assert field.init or getattr(again, field.name) == getattr(strategy, field.name)


def test_a_snapshot_is_of_this_package_s_strategies_and_of_no_shared_weights(tmp_path):
    snapshot.write(tmp_path, History(problem(), 0), Given(), 0, 0)
    assert not (tmp_path / snapshot.FILE).exists()
    inheriting = History(problem(), 0)
    inheriting.ask(Candidate((0,) * 8, inherits=3))
    snapshot.write(tmp_path, inheriting, make("random"), 1, 0)
    assert not (tmp_path / snapshot.FILE).exists()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A study that nothing interrupts, and one that ended with a snapshot: their folders."""
    place = tmp_path_factory.mktemp("whole")
    searched(new(place / "whole"), TRIALS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "LEAST", 1)
        searched(new(place / "early"), BEFORE)
    return place / "whole", place / "early"


def new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def asks_of_a_resume(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Resume to `TRIALS`: the trials that the strategy was asked for."""
    asked, real = [], study.rng_for

    def noting(seed, number):
        asked.append(number)
        return real(seed, number)

    monkeypatch.setattr(study, "rng_for", noting)
    monkeypatch.setattr("frugalnas.replay.rng_for", noting)
    searched(folder, TRIALS)
    return asked


@pytest.mark.parametrize("beyond", [0, 1, 9])
def test_a_study_resumes_from_its_snapshot_and_the_events_after_it(whole, tmp_path, monkeypatch, beyond):
    """Where it was cut after the snapshot makes no difference."""
    expected = (whole[0] / JOURNAL).read_bytes()
    early = (whole[1] / JOURNAL).read_bytes()
    assert expected.startswith(early)
    folder = tmp_path / "run"
    shutil.copytree(whole[1], folder)
    lines = expected[len(early) :].splitlines(keepends=True)
    (folder / JOURNAL).write_bytes(early + b"".join(lines[:beyond]) + lines[beyond][:7])
    asked = asks_of_a_resume(folder, monkeypatch)
    assert (folder / JOURNAL).read_bytes() == expected
    known = sum("ask" in event for event in list(stream(whole[1]))[1:])
    assert asked[0] == known and len(asked) < known, "what the snapshot knows is bred again"


FORGED = {
    "architectures": [[1]],
    "state": {"_parents": [10**6]},
    "format": "other",
    "checksum": 0,
    "events": float("inf"),
}


@pytest.mark.parametrize("fault", ["absent", "torn", "flipped", "longer journal", "other journal", *FORGED, "no state"])
def test_a_snapshot_that_does_not_fit_is_passed_over(whole, tmp_path, monkeypatch, fault):
    folder = tmp_path / "run"
    shutil.copytree(whole[1], folder)
    file = folder / snapshot.FILE
    content = file.read_bytes()
    if fault == "absent":
        file.unlink()
    elif fault == "torn":
        file.write_bytes(content[:-20])
    elif fault == "flipped":
        file.write_bytes(content.replace(b"[", b"{", 3))
    elif fault == "longer journal":  # than the one that is there
        first = (folder / JOURNAL).read_bytes().splitlines(keepends=True)[:9]
        (folder / JOURNAL).write_bytes(b"".join(first))
    elif fault == "other journal":
        (folder / JOURNAL).unlink()
        searched(folder, 3, seed=1)
    else:
        made = json.loads(content.partition(b"\n")[2])
        made |= {fault: FORGED[fault]} if fault in FORGED else {"state": 7}
        body = json.dumps(made).encode()
        file.write_bytes(b"%08x\n" % zlib.crc32(body) + body)
    if fault == "other journal":
        searched(folder, TRIALS, seed=1)
        searched(new(tmp_path / "plain"), TRIALS, seed=1)
        assert (folder / JOURNAL).read_bytes() == (tmp_path / "plain" / JOURNAL).read_bytes()
        return
    assert asks_of_a_resume(folder, monkeypatch)[0] == 0
    assert (folder / JOURNAL).read_bytes() == (whole[0] / JOURNAL).read_bytes()


def test_snapshots_within_a_session_are_as_many_as_the_logarithm_of_its_length(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(study, "BETWEEN", 10)
    monkeypatch.setattr(snapshot, "write", lambda folder, told, *_: written.append(told.asked))
    searched(tmp_path, 1000, limit=float("inf"))
    assert written[:5] == [10, 20, 30, 40, 50] and 20 < len(written) < 50
    assert all(later >= 1.1 * earlier - 2 for earlier, later in pairwise(written[9:]))


def test_a_study_holds_neither_futures_nor_events(tmp_path):
    told, _ = searched(tmp_path, 40)
    assert not told._rating and len(told.trials) > 40
    journal = Journal(tmp_path)
    space = problem().space
    again = Study(problem(14.0), NSGA2(space, problem().minimised, population=8), journal=journal)
    assert not again._rating and [*vars(journal)].count("events") == 0
    assert not [value for value in vars(journal).values() if isinstance(value, list | tuple)]
    journal.close()


def test_one_tuple_serves_where_a_genotype_is_canonical():
    told = History(problem(genes=2), 0)
    for genotype in ((0, 1), (1, 0)):
        told.ask(Candidate(genotype))
    assert told.architectures[0] is told.candidates[0].genotype and told.architectures[1] == (0, 1)


def test_the_seed_and_the_answers_of_a_rejected_architecture_take_no_room():
    told = History(problem(), 0)
    for number in range(5):
        told.ask(Candidate((number % 4,) * 8))
        told.tell(Trial(number, told.candidates[number], "rejected", {"total": 99.0}, "total 99 > 9"))
    assert not told._first and not told._told and not told.untold and told.statuses == {"rejected": 5}


def test_the_front_is_found_among_the_last_one_and_what_is_new(monkeypatch):
    compared, told = [], History(problem(), 0)

    def counting(trials, objectives):
        given = list(trials)
        compared.append(len(given))
        return front(given, objectives)

    monkeypatch.setattr(history, "front", counting)
    for number in range(400):
        rung = int(number > 300)
        values = {"error": (number * 37 % 101) / 101, "total": number * 53 % 97}
        told.ask(Candidate((0,) * 8, rung, inherits=number))
        told.tell(Trial(number, told.candidates[number], "done", values))
        assert told.front == front(told.trials, told.problem.minimised)
        assert told.front is not told.front
    assert len(compared) == 400 and max(compared) < 30, "all trials are compared again each time"


def test_a_header_is_read_without_its_events(tmp_path):
    _, record = searched(tmp_path, 10, seed=3)
    (tmp_path / JOURNAL).write_bytes(record[:-9] + b"!!!!!!!!\n")
    assert header_of(tmp_path)["seed"] == 3


def test_a_page_of_very_many_networks_draws_the_front_the_ways_to_it_and_a_part_of_the_rest(monkeypatch, tmp_path):
    monkeypatch.setattr(showing, "MOST", 50)
    parents = [(n - 7,) if n % 7 == 3 and n > 7 else () for n in range(501)]
    trials = [Trial(n, Candidate((n,), 0, parents[n]), "done", {"error": 1 - n / 1000}) for n in range(501)]
    header = {"config": {"objectives": ["error"]}}
    record = Record(tmp_path, header, tuple(trials), {}, 0.0)
    drawn, step = shown(record)
    numbers = {trial.number for trial in drawn}
    assert step == 11 and 500 in numbers and {n for n in range(501) if n % 7 == 3} <= numbers
    assert {n for n in range(501) if n % 11 == 0} <= numbers and len(drawn) < 501 / 11 + 501 / 7 + 2
    assert words_on(step, len(drawn), 501).startswith(f" Drawn are {len(drawn)} of 501 networks")
    few = Record(tmp_path, header, tuple(trials[:50]), {}, 0.0)
    assert shown(few) == (trials[:50], 1) and words_on(1, 50, 50) == ""
