"""The journal: what is written is read back; what is torn is cut; what is edited is refused."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalnas import store
from frugalnas.core import Candidate, InputError, Trial
from frugalnas.store import Journal, ask_event, tell_event, write_atomically


def written(folder: Path, count: int = 5) -> Path:
    journal = Journal.create(folder, {"config": {"seed": 7}})
    for n in range(count):
        candidate = Candidate((n, n + 1), parents=(n - 1,) if n else ())
        journal.append(ask_event(n, candidate))
        journal.append(tell_event(Trial(n, candidate, "done", {"error": n / 3})), durable=True)
        journal.time(n, 0.5)
    journal.close()
    return folder / store.JOURNAL


def test_trials_come_back_as_they_were_told(tmp_path):
    written(tmp_path)
    header, events = store.read(tmp_path)
    assert header["config"] == {"seed": 7}
    trials = store.trials_of(events)
    assert trials == [
        Trial(n, Candidate((n, n + 1), 0, (n - 1,) if n else ()), "done", {"error": n / 3}) for n in range(5)
    ]


def test_every_cut_is_a_prefix_of_the_events(tmp_path):
    path = written(tmp_path)
    data = path.read_bytes()
    _, events = store.read(tmp_path)
    first = data.index(b"\n") + 1
    for size in range(first, len(data) + 1):
        path.write_bytes(data[:size])
        whole = data[:size].count(b"\n") - 1
        journal = Journal(tmp_path)
        journal.close()
        assert [event for event, _ in journal.recorded()] == events[:whole]
        assert path.read_bytes() == data[: data[:size].rindex(b"\n") + 1]
        assert journal.cut == size - path.stat().st_size


@pytest.mark.parametrize("size", [0, 1, 20])
def test_a_cut_inside_the_header_is_refused(tmp_path, size):
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match="not a FrugalNAS journal"):
        store.read(tmp_path)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_seen(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("run")
    path = written(folder, 3)
    raw = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != raw[at]))
    path.write_bytes(raw)
    try:
        _, events = store.read(folder)
    except InputError:
        return
    # only without its end is the last line a torn tail
    assert len(events) == 5 and at == len(raw) - 1


def test_a_last_line_that_is_whole_but_wrong_is_no_torn_tail(tmp_path):
    path = written(tmp_path)
    before = path.read_bytes()
    path.write_bytes(before[:-4] + b'0"}\n' if before[-4:-3] != b"0" else before[:-4] + b'1"}\n')
    edited = path.read_bytes()
    with pytest.raises(InputError, match="line 11 does not match its checksum"):
        Journal(tmp_path)
    assert path.read_bytes() == edited


def test_an_edited_value_is_named_by_its_line(tmp_path):
    path = written(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"error":0.0', b'"error":0.1'))
    with pytest.raises(InputError, match=r"line 3 does not match its checksum"):
        Journal(tmp_path)


def test_a_removed_line_is_seen(tmp_path):
    path = written(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2] + lines[3:]))
    with pytest.raises(InputError, match="line 3"):
        store.read(tmp_path)


def test_a_folder_with_another_study_is_refused(tmp_path):
    written(tmp_path)
    with pytest.raises(InputError, match="already holds a study.*frugalnas resume"):
        Journal.create(tmp_path, {})


def test_of_studies_started_at_once_in_one_folder_one_wins(tmp_path, monkeypatch):
    write = store.write_atomically

    def write_when_another_comes(path, content):
        monkeypatch.setattr(store.journal, "write_atomically", write)
        with pytest.raises(InputError, match="open in another process|already holds a study"):
            Journal.create(tmp_path, {"starter": 2}).append(ask_event(0, Candidate((2,))))
        write(path, content)

    monkeypatch.setattr(store.journal, "write_atomically", write_when_another_comes)
    journal = Journal.create(tmp_path, {"starter": 1})
    journal.append(ask_event(0, Candidate((1,))))
    journal.close()
    header, events = store.read(tmp_path)
    assert header["starter"] == 1 and [event["genotype"] for event in events] == [[1]]


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be synchronised")
def test_a_new_journal_is_on_the_disk_with_its_name(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(stat.S_ISDIR(os.fstat(file).st_mode)))
    Journal.create(tmp_path / "run", {}).close()
    assert synced == [False, True]


def test_a_folder_without_a_study_is_named(tmp_path):
    with pytest.raises(InputError, match="holds no study"):
        Journal(tmp_path)


def test_a_second_process_is_refused_with_the_owner(tmp_path):
    written(tmp_path)
    journal = Journal(tmp_path)
    code = f"from pathlib import Path; from frugalnas.store import Journal; Journal(Path({str(tmp_path)!r}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert f"open in another process (pid {os.getpid()} on" in run.stderr
    journal.close()
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_time_adds_up_over_sessions(tmp_path):
    written(tmp_path)
    with (tmp_path / store.TIMES).open("a") as file:
        file.write(json.dumps({"tell": 5, "seconds": 1.0, "elapsed": 100.0}) + '\n{"torn')
    journal = Journal(tmp_path)
    assert 100 <= journal.age < 110
    journal.close()


def test_a_session_without_a_tell_counts_in_the_age(tmp_path):
    journal = Journal.create(tmp_path, {})
    time.sleep(0.05)
    journal.close()
    journal = Journal(tmp_path)
    assert 0.05 <= journal.elapsed < 30
    journal.close()


FILL = """
import resource, signal, sys
from pathlib import Path
from frugalnas.core import Candidate
from frugalnas.store import Journal, ask_event
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
for number in range(5, 100):
    journal.append(ask_event(number, Candidate((number,))))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits the file size through setrlimit")
def test_a_disk_without_space_loses_nothing_told(tmp_path):
    path = written(tmp_path)
    before = path.read_bytes()
    run = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path), str(len(before) + 300)], capture_output=True, text=True, check=False
    )
    assert "nothing told is lost, continue with 'frugalnas resume" in run.stderr
    after = path.read_bytes()
    assert after.startswith(before) and after.endswith(b"\n") and len(before) < len(after) <= len(before) + 300
    journal = Journal(tmp_path)
    events = [event for event, _ in journal.recorded()]
    assert journal.cut == 0 and events[-1]["ask"] == 4 + (len(events) - 10)
    journal.append(ask_event(99, Candidate((1, 2))))
    journal.close()


def failing(monkeypatch, file, error, *, after=False):
    """Make writing to `file` raise `error`, with `after` once it is written."""
    write = os.write

    def fail(to, data):
        if to != file:
            return write(to, data)
        if after:
            write(to, data)
        raise error

    monkeypatch.setattr(os, "write", fail)


def test_times_that_cannot_be_written_end_in_one_line_and_free_the_folder(tmp_path, monkeypatch):
    written(tmp_path)
    journal = Journal(tmp_path)
    with monkeypatch.context() as patch:
        failing(patch, journal._times, OSError(errno.ENOSPC, "No space left on device"))
        with pytest.raises(InputError, match=r"times.jsonl: No space left .* continue with 'frugalnas resume"):
            journal.time(5, 1.0)
        journal.close()
    Journal(tmp_path).close()


@pytest.mark.parametrize(("error", "after"), [(OSError(28, "No space left"), False), (KeyboardInterrupt(), True)])
def test_after_a_write_that_broke_off_nothing_is_appended(tmp_path, monkeypatch, error, after):
    path = written(tmp_path)
    before = path.read_bytes()
    journal = Journal(tmp_path)
    with monkeypatch.context() as patch:
        failing(patch, journal._file, error, after=after)
        with pytest.raises((InputError, KeyboardInterrupt)):
            journal.append(ask_event(5, Candidate((5, 6))))
    with pytest.raises(InputError, match="nothing told is lost, continue with 'frugalnas resume"):
        journal.append(ask_event(5, Candidate((5, 6))))
    journal.close()
    reopened = Journal(tmp_path)
    assert len([*reopened.recorded()]) == 10 + after and path.read_bytes().startswith(before)
    reopened.close()


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
@pytest.mark.parametrize("name", [store.JOURNAL, store.TIMES, store.LOCK])
def test_a_link_out_of_the_folder_is_refused(tmp_path, name):
    folder, outside = tmp_path / "run", tmp_path / "outside"
    path = written(folder)
    outside.write_bytes(path.read_bytes() if name == store.JOURNAL else b"precious")
    before = outside.read_bytes()
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(outside)
    with pytest.raises(InputError, match=f"{name} is a link to another file"):
        Journal(folder)
    assert outside.read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_atomic_writing_does_not_follow_a_link_that_waits(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("precious")
    (tmp_path / f".front.csv.{os.getpid()}").symlink_to(outside)
    write_atomically(tmp_path / "front.csv", "new")
    assert outside.read_text() == "precious" and (tmp_path / "front.csv").read_text() == "new"


@pytest.mark.parametrize(
    "entry",
    [
        '{"elapsed": null}',
        '{"elapsed": "9"}',
        '{"elapsed": 1e999}',
        '{"elapsed": NaN}',
        '{"elapsed": -5}',
        '{"elapsed": 1' + "0" * 400 + "}",
        '{"elapsed": 100, "pid": 1}',
        '{"elapsed": 100, "pid": 1, "host": "a\\nb"}',
        '{"elapsed": 100, "tell": [0], "seconds": 1}',
        '{"elapsed": 100, "tell": 1}',
        "[" * 100_000,
        "[]",
    ],
)
def test_times_of_something_else_are_passed_over(tmp_path, entry):
    written(tmp_path)
    whole = store.times(tmp_path)
    with (tmp_path / store.TIMES).open("a") as file:
        file.write(entry + "\n")
    assert store.times(tmp_path) == whole
    journal = Journal(tmp_path)
    assert journal.elapsed < 30
    journal.close()


def test_a_line_that_nests_without_end_is_refused(tmp_path):
    path = written(tmp_path)
    last = int(path.read_bytes()[-11:-3], 16)
    body = b'{"ask":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with path.open("ab") as file:
        file.write(body[:-1] + b',"sum":"%08x"}\n' % zlib.crc32(body, last))
    with pytest.raises(InputError, match="line 12"):
        store.read(tmp_path)


DONE = {"tell": 0, "status": "done", "values": {"error": 0.5}, "reason": ""}


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "fine"},
        {"status": ["done"]},
        {"values": [0.5]},
        {"values": {"error": "0.5"}},
        {"values": {"error": None}},
        {"values": {"error": float("nan")}},
        {"values": {"error": 10**400}},
        {"values": {"error": True}},
        {"reason": 3},
        {"status": "rejected", "values": {}},
    ],
)
def test_a_tell_that_no_study_writes_is_refused(changes):
    assert store.trial_of(DONE, Candidate((0,))).values == {"error": 0.5}
    with pytest.raises(TypeError):
        store.trial_of(DONE | changes, Candidate((0,)))


@pytest.mark.parametrize(
    "changes",
    [{"ask": "0"}, {"genotype": [0.5]}, {"genotype": [[1]]}, {"genotype": 3}, {"rung": None}, {"parents": "x"}],
)
def test_an_ask_that_no_study_writes_is_refused(changes):
    event = ask_event(0, Candidate((1, 2), 1, (0,)))
    assert store.candidate_of(event) == Candidate((1, 2), 1, (0,))
    with pytest.raises(TypeError):
        store.candidate_of(event | changes)


def test_a_trial_is_told_once(tmp_path):
    with pytest.raises(KeyError):
        store.trials_of([ask_event(0, Candidate((0,))), DONE, DONE])


def test_atomic_writing_keeps_the_old_file_when_it_fails(tmp_path):
    target = tmp_path / "front.csv"
    write_atomically(target, "old")
    blocked = tmp_path / "missing" / "front.csv"
    with pytest.raises(InputError, match="cannot write"):
        write_atomically(blocked, "new")
    write_atomically(target, b"new")
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]
