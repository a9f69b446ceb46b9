"""The journal: what is written is read back; what is torn is cut; what is edited is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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
        assert journal.events == events[:whole]
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
    lines = path.read_bytes().count(b"\n")
    try:
        _, events = store.read(folder)
    except InputError:
        return
    # only damage in the last line may pass, as a torn tail
    assert len(events) < 6 and at >= raw.rindex(b"\n", 0, len(raw) - 1) - 120 and lines <= 7


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
    assert journal.cut == 0 and journal.events[-1]["ask"] == 4 + (len(journal.events) - 10)
    journal.append(ask_event(99, Candidate((1, 2))))
    journal.close()


def test_atomic_writing_keeps_the_old_file_when_it_fails(tmp_path):
    target = tmp_path / "front.csv"
    write_atomically(target, "old")
    blocked = tmp_path / "missing" / "front.csv"
    with pytest.raises(InputError, match="cannot write"):
        write_atomically(blocked, "new")
    write_atomically(target, b"new")
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]
