"""Run folders from somebody who means harm: any journal, any file of times, with checksums that add up."""

from __future__ import annotations

import json
import os
import shutil
import xml.etree.ElementTree
import zlib
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import frugalnas.study
from frugalnas import launch, record, snapshot, store
from frugalnas.config import assignment, resolve
from frugalnas.core import Candidate, InputError, Trial
from frugalnas.distribute import InProcess
from frugalnas.launch import begin
from frugalnas.report import csv_of
from hostile import MARKUP, TERMINAL, Change, bodies_of, calm, changes, fuzz, inert, journal_of, places
from tiny import SMALL, OneProcess, images


class NoWorker(OneProcess):
    """Rates nothing."""

    def submit(self, function: Any, /, *arguments: Any) -> Future[Any]:
        failed: Future[Any] = Future()
        failed.set_exception(RuntimeError("no worker"))
        return failed


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short search by the real commands' own road: its folder."""
    folder = tmp_path_factory.mktemp("study")
    data = images(folder / "images.npz", count=40)
    sets = [assignment(value) for key, value in zip(SMALL[::2], SMALL[1::2], strict=True) if key == "--set"]
    budget = {"trials": 5, "limits": {"params": 10000.0}, "data": {"source": str(data)}, "strategy": {"population": 4}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frugalnas.study, "LEAST", 1)  # candidates that are worth a snapshot
        begin(resolve("eeea", layers=[*sets, budget]), folder / "run", executor=InProcess())
    return folder / "run"


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "executor_of", NoWorker)


def placed(study: Path, folder: Path, journal: bytes, times: bytes | None = None) -> Path:
    """A copy of the study in a new folder, with another journal."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / store.JOURNAL).write_bytes(journal)
    (folder / store.TIMES).write_bytes((study / store.TIMES).read_bytes() if times is None else times)
    return folder


def read_by_all(folder: Path, resume: bool) -> None:
    """The commands that read a journal, on one that may be anything."""
    before = (folder / store.JOURNAL).read_bytes()
    shown = calm("show", folder, "--svg", folder.parent / "cells.svg", writes=[folder.parent])
    if shown.code == 0:
        xml.etree.ElementTree.parse(folder.parent / "cells.svg")
    if calm("report", folder, writes=[folder]).code == 0:
        inert((folder / "report.html").read_text("utf-8"))
        xml.etree.ElementTree.parse(folder / "front.svg")
    assert (folder / store.JOURNAL).read_bytes() == before
    if resume:
        calm("resume", folder, "--trials", 1, writes=[folder])
        assert (folder / store.JOURNAL).read_bytes().startswith(before[: before.rfind(b"\n") + 1])


SELDOM = st.integers(0, 4).map(lambda number: number == 0)


@fuzz(8)
@given(
    junk=st.binary(max_size=300), start=st.integers(0, 2), at=st.integers(0, 10**6), over=st.booleans(), resume=SELDOM
)
def test_a_journal_of_any_bytes(study, idle, tmp_path, junk, start, at, over, resume):
    good = (study / store.JOURNAL).read_bytes() if start else b""
    at %= len(good) + 1
    read_by_all(placed(study, tmp_path / "run", good[:at] + junk + good[at + (len(junk) if over else 0) :]), resume)


def _lines(study: Path) -> list[Any]:
    """The header, and an ask and a tell of each kind."""
    bodies = bodies_of(study / store.JOURNAL)
    kinds = {("ask" if "ask" in body else body.get("status", "header")): place for place, body in enumerate(bodies)}
    return sorted({0, 1, 2, *kinds.values()})


@fuzz(24)
@given(data=st.data())
def test_a_journal_of_any_values_whose_checksums_add_up(study, idle, tmp_path, data):
    bodies = bodies_of(study / store.JOURNAL)
    texts = [json.dumps(body) for body in bodies]
    for _ in range(data.draw(st.integers(1, 2))):
        line = data.draw(st.sampled_from(_lines(study)))
        texts[line] = data.draw(changes(bodies[line])).of(bodies[line])
    read_by_all(placed(study, tmp_path / "run", journal_of(texts)), data.draw(SELDOM))


@fuzz(4)
@given(data=st.data())
def test_events_in_any_order(study, idle, tmp_path, data):
    head, *texts = map(json.dumps, bodies_of(study / store.JOURNAL))
    order = data.draw(st.lists(st.sampled_from(texts), max_size=len(texts)))
    read_by_all(placed(study, tmp_path / "run", journal_of([head, *order])), data.draw(SELDOM))


@fuzz(8)
@given(data=st.data())
def test_times_of_any_values(study, idle, tmp_path, data):
    lines = [json.loads(line) for line in (study / store.TIMES).read_text().splitlines()]
    line = data.draw(st.sampled_from(range(len(lines))))
    texts = [json.dumps(entry) for entry in lines]
    texts[line] = data.draw(changes(lines[line])).of(lines[line])
    times = "\n".join(texts).encode("utf-8", "surrogatepass") + data.draw(st.binary(max_size=20))
    read_by_all(placed(study, tmp_path / "run", (study / store.JOURNAL).read_bytes(), times), resume=False)


@fuzz(10)
@given(data=st.data())
def test_a_snapshot_of_any_values(study, idle, tmp_path, data):
    """Whose checksum adds up: the search goes on from it, or without it."""
    folder = tmp_path / "run"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(study, folder)
    content = json.loads((study / snapshot.FILE).read_bytes().partition(b"\n")[2])
    body = data.draw(changes(content)).of(content).encode("utf-8", "surrogatepass")
    (folder / snapshot.FILE).write_bytes(b"%08x\n" % zlib.crc32(body) + body)
    calm("resume", folder, "--trials", 8, writes=[folder])


READERS = {  # which commands come to a file
    **dict.fromkeys(("journal.jsonl", "times.jsonl"), ("report", "show")),
    "snapshot.json": ("resume",),
    **dict.fromkeys(("fit.json", "training.json", "compare.json", "approximate.json"), ("resume",)),
    "model.safetensors": ("export",),
    "ladder.json": ("search",),
}


@pytest.mark.parametrize("kind", ["pipe", "device", "loop", "folder", "sparse"])
def test_what_is_no_file_in_a_run_folder_is_not_waited_for(study, idle, tmp_path, kind):
    for name, commands in READERS.items():
        folder = tmp_path / "run"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(study, folder)
        (folder / name).unlink(missing_ok=True)
        if kind == "pipe":
            os.mkfifo(folder / name)
        elif kind == "device":
            (folder / name).symlink_to("/dev/zero")
        elif kind == "loop":
            (folder / name).symlink_to(folder / name)
        elif kind == "folder":
            (folder / name).mkdir()
        else:
            with (folder / name).open("wb") as file:
                file.truncate(2**36)
        more = {"resume": [folder, "--trials", 1], "search": ["--ladder", folder, "--out", tmp_path / "out"]}
        for command in commands:
            calm(command, *more.get(command, [folder]), writes=[folder])


@pytest.mark.parametrize("words", [MARKUP, TERMINAL])
def test_words_that_reach_pages_pictures_and_terminals(study, tmp_path, words):
    """At every place of the journal where any word is let in, and as the name of a value."""
    bodies, let_in = bodies_of(study / store.JOURNAL), 0
    for line in _lines(study):
        for path in places(bodies[line]):
            if path and not isinstance(_at(bodies[line], path), dict | list):
                changed = [
                    *bodies[:line],
                    json.loads(Change(path, json.dumps(words)).of(bodies[line])),
                    *bodies[line + 1 :],
                ]
                folder = placed(study, tmp_path / "run", journal_of([json.dumps(body) for body in changed]))
                with suppress(InputError):
                    record.load(folder)
                    bodies, let_in = changed, let_in + 1
    last = next(body for body in reversed(bodies) if body.get("status") == "done")
    last["values"][words] = 1.0
    assert let_in > 20
    folder = placed(study, tmp_path / "run", journal_of([json.dumps(body) for body in bodies]))
    assert calm("report", folder, writes=[folder]).code == 0
    inert((folder / "report.html").read_text("utf-8"))
    xml.etree.ElementTree.parse(folder / "front.svg")


@pytest.mark.parametrize("command", [("show",), ("report",), ("report", "--json"), ("resume",), ("train",), ("rank",)])
def test_no_terminal_obeys_what_a_run_says(tmp_path, command):
    words = TERMINAL + MARKUP
    config = {"method": words, "preset": words, "objectives": ["error", words], "limits": {words: 1.0}, "seed": words}
    header = {"version": words, "facts": {}, "data": words, "config": config | {"data": {"source": words}}}
    journal = store.Journal.create(tmp_path / "run", header)
    for number, status in enumerate(("done", "done", "failed", "rejected")):
        candidate = Candidate((number,))
        journal.append(store.ask_event(number, candidate))
        trial = Trial(
            number, candidate, status, {"error": 0.5 - number / 10, words: 1.0 + number}, "" if number < 2 else words
        )
        journal.append(store.tell_event(trial))
    journal.close()
    said = calm(command[0], tmp_path / "run", *command[1:], writes=[tmp_path / "run"])
    assert "owned" in said.out + said.err and "pip install" not in said.err


def test_a_spreadsheet_gets_no_formulas(tmp_path):
    assert csv_of([["=1+1", "@x", "-2", "-x", "+1e3", 5, "a=b"]]) == "'=1+1,'@x,-2,'-x,+1e3,5,a=b\n"


def _at(tree: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        tree = tree[step]
    return tree
