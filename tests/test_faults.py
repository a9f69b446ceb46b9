"""What workers, machines and people do to a search, one fault at a time; `benchmarks/faults.py` does it at random."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from awry import deaf, fill, seen, stop_once, work_a_little
from frugalnas import config, launch, parts, store
from frugalnas.core import Candidate, InputError, MachineError
from frugalnas.distribute import InProcess, MemoryLimit, ProcessPool, TimeLimit, WorkerDied, cores, gpus, limits
from frugalnas.repair import repair
from frugalnas.store import Journal, ask_event
from frugalnas.strategies.random import RandomSearch
from frugalnas.study import Study
from frugalnas.weights import FOLDER, WeightSet
from tiny import SMALL, OneProcess, images, run
from toy import Noisy, problem

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="stops and kills by signal")


@pytest.fixture(scope="module")
def pool():
    """One worker with every limit."""
    pool = ProcessPool(1, time_limit_s=2.0, memory_gb=0.5, idle_limit_s=1.0)
    assert pool.submit(max, 1, 2).result(60) == 2
    yield pool
    pool.close()


def test_more_memory_than_allowed_fails_one_trial_at_once(pool):
    too_much, next_one = pool.submit(fill, 0.6), pool.submit(fill, 0.01)
    error = too_much.exception(60)
    assert isinstance(error, MemoryLimit) and str(error) == "needed more than 0.5 GB"
    assert next_one.result(60) == 10_000_000


def test_a_worker_that_does_nothing_is_replaced_and_its_candidate_tried_again(pool, tmp_path):
    assert pool.submit(stop_once, str(tmp_path / "stopped")).result(60) == "tried again"
    error = pool.submit(time.sleep, 600).exception(60)
    assert isinstance(error, WorkerDied) and str(error) == "used no processor for 1 s"


def test_a_worker_that_works_is_not_idle(pool):
    assert pool.submit(work_a_little, 1.5).result(60) == 1.5


def test_a_worker_that_listens_to_no_signal_is_killed_at_the_time_limit(pool):
    error = pool.submit(deaf).exception(60)
    assert isinstance(error, TimeLimit) and str(error) == "stopped after 2 s"
    assert pool.submit(max, 1, 2).result(60) == 2


def test_limits_of_time_know_nothing_of_the_wall_clock(pool, monkeypatch):
    real = time.time
    quick = pool.submit(work_a_little, 0.8)
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: real() + 1e6)
        assert quick.result(60) == 0.8
    endless = pool.submit(work_a_little, 600)
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: real() - 1e6)
        assert isinstance(endless.exception(60), TimeLimit)


def test_time_in_which_the_driver_did_not_run_does_not_count():
    vigil, awake = limits.Vigil(time_limit_s=5.0), limits.Waking()
    assert vigil.broken(awake.look(), begun=True, pid=None) is None
    awake._before -= 3600  # Ctrl-Z an hour ago, or a closed lid
    assert vigil.broken(awake.look(), begun=True, pid=None) is None
    for _ in range(5):
        awake._before -= 1
        awake.look()
    assert isinstance(vigil.broken(awake.look(), begun=True, pid=None), TimeLimit)


def test_each_worker_sees_its_own_gpu_and_one_that_replaces_it_the_same(monkeypatch):
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    pool = ProcessPool(gpus=(1, "GPU-3c"))
    assert pool.window == 4
    before = dict(future.result(60) for future in [pool.submit(seen), pool.submit(seen)])  # both are starting
    assert sorted(before.values()) == ["1", "GPU-3c"]
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    after = dict(future.result(60) for future in [pool.submit(seen), pool.submit(seen)])
    pool.close()
    assert not before.keys() & after.keys() and sorted(after.values()) == ["1", "GPU-3c"]


def test_workers_without_gpus_of_their_own_see_those_of_the_driver(monkeypatch):
    monkeypatch.setenv(gpus.VISIBLE, "5,6")
    pool = ProcessPool(1, gpus=())
    assert pool.submit(seen).result(60)[1] == "5,6"
    pool.close()


@pytest.mark.parametrize(("device", "workers"), [("auto", 3), ("cpu", cores()), ("cuda:1", cores())])
def test_gpus_are_dealt_out_where_the_device_is_left_open(monkeypatch, tmp_path, device, workers):
    tree = config.resolve()
    monkeypatch.setattr(gpus, "visible", lambda: ("0", "1", "2"))
    pool = parts.executor_of(tree | {"task": tree["task"] | {"device": device}}, tmp_path)
    assert pool.window == 2 * workers
    pool.close()


@pytest.mark.parametrize(
    ("variable", "version", "expected"),
    [
        ("2,5", "2.9.0", ("2", "5")),
        ("", "2.9.0", ()),
        ("0,-1,2", "2.9.0", ("0",)),
        ("2,5", "2.9.0+cpu", ()),
        (None, "2.9.0+cu128", ("0", "1", "2")),
    ],
)
def test_the_visible_gpus_are_found_without_torch(monkeypatch, tmp_path, variable, version, expected):
    for gpu in ("0000:01:00.0", "0000:02:00.0", "0000:03:00.0"):
        (tmp_path / gpu).mkdir()
    monkeypatch.setattr(gpus, "_DRIVER", tmp_path)
    monkeypatch.setattr(gpus.metadata, "version", lambda name: version)
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    if variable is not None:
        monkeypatch.setenv(gpus.VISIBLE, variable)
    assert gpus.visible() == expected


def test_nvidia_smi_is_asked_where_the_driver_has_no_folder(monkeypatch, tmp_path):
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: GPU-1)'\necho 'GPU 1: A (UUID: GPU-2)'\n")
    smi.chmod(0o755)
    monkeypatch.setattr(gpus, "_DRIVER", tmp_path / "none")
    monkeypatch.setattr(gpus.metadata, "version", lambda name: "2.9.0")
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus.visible() == ("0", "1")
    smi.write_text("#!/bin/sh\nexit 9\n")
    assert gpus.visible() == ()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gpus": (0, 7)}, "gpus: 7 is not in CUDA_VISIBLE_DEVICES, which shows 0, 1"),
        ({"gpus": ("0", 0)}, "gpus = 0, 0: one of them stands there twice"),
        ({"gpus": (-1,)}, "gpus: '-1' is no id of a GPU"),
        ({"memory_gb": 0.0}, "memory_gb = 0.0: expected more than 0 GB"),
        ({"idle_limit_s": 0.0}, "idle_limit_s = 0.0: expected more than 0 seconds"),
    ],
)
def test_limits_and_gpus_that_make_no_sense_are_named(monkeypatch, given, message):
    monkeypatch.setenv(gpus.VISIBLE, "0, 1")
    with pytest.raises(InputError, match=f"^{message}"):
        ProcessPool(1, **given)


class FullDisk(Noisy):
    """Cannot write what it has to, as long as there is no file `room`."""

    def __init__(self, room) -> None:
        self.room = room

    def evaluate(self, candidate, space, seed):
        if seed % 3 == 0 and not self.room.exists():
            raise MachineError("cannot write weights/x.safetensors: No space left on device")
        return super().evaluate(candidate, space, seed)


def searched(folder, estimator=None, trials=20):
    """The journal of a small search, begun or gone on with."""
    if not (folder / store.JOURNAL).exists():
        Journal.create(folder, {"seed": 0}).close()
    journal, work = Journal(folder), problem(estimator=estimator)
    try:
        Study(work, RandomSearch(work.space), journal=journal).run(InProcess(), trials=trials)
    finally:
        journal.close()
    return (folder / store.JOURNAL).read_bytes()


def test_a_worker_that_cannot_write_ends_the_search_and_fails_no_trial(tmp_path):
    whole, folder = searched(tmp_path / "twin"), tmp_path / "run"
    with pytest.raises(MachineError, match="No space left on device; nothing told is lost, continue with 'frugalnas"):
        searched(folder, FullDisk(tmp_path / "room"))
    assert whole.startswith((folder / store.JOURNAL).read_bytes())
    (tmp_path / "room").touch()
    assert searched(folder, FullDisk(tmp_path / "room")) == whole


def damage(path, line):
    """Change a byte of a line, counted from 1."""
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line - 1] = lines[line - 1].replace(b"e", b"x", 1)
    path.write_bytes(b"".join(lines))
    return path.read_bytes(), b"".join(lines[: line - 1])


def test_a_damaged_journal_is_cut_before_the_damage_and_goes_on_to_its_twin(tmp_path, caplog):
    whole, path = searched(tmp_path), tmp_path / store.JOURNAL
    for turn, line in enumerate((17, 2), start=1):
        damaged, before = damage(path, line)
        with pytest.raises(InputError, match=f"line {line} does not match .*'frugalnas resume {tmp_path} --repair'"):
            Journal(tmp_path)
        assert repair(tmp_path) == line - 1
        assert path.read_bytes() == before
        assert (tmp_path / f"{store.JOURNAL}.damaged-{turn}").read_bytes() == damaged
        assert searched(tmp_path) == whole
    assert [said.count("was damaged in line") for said in caplog.messages] == [1, 1]
    assert repair(tmp_path) == whole.count(b"\n") and "nothing to repair" in caplog.messages[-1]
    assert path.read_bytes() == whole


def test_what_cannot_be_repaired_is_left_alone(tmp_path):
    searched(tmp_path)
    journal = Journal(tmp_path)
    with pytest.raises(InputError, match="is open in another process"):
        repair(tmp_path)
    journal.close()
    damaged, _ = damage(tmp_path / store.JOURNAL, 1)
    with pytest.raises(InputError, match="line 1 is damaged, which says what the study is"):
        repair(tmp_path)
    assert (tmp_path / store.JOURNAL).read_bytes() == damaged
    with pytest.raises(InputError, match="holds no study"):
        repair(tmp_path / "elsewhere")


@pytest.mark.parametrize(("lost", "kept"), [(True, False), (False, True)])
def test_shared_weights_that_know_more_than_the_kept_lines_are_set_aside(tmp_path, lost, kept):
    journal = Journal.create(tmp_path, {"seed": 0})
    for number, inherits in enumerate((0, 0, 1, 1)):
        journal.append(ask_event(number, Candidate((1, 2), inherits=inherits)))
    journal.close()
    weights = WeightSet(tmp_path, 0)
    weights.begin(3)
    weights.write_back(1, None, None, 1)
    damage(tmp_path / store.JOURNAL, 4 if lost else 5)
    repair(tmp_path)
    assert ((tmp_path / FOLDER).exists(), (tmp_path / f"{FOLDER}.damaged-1").exists()) == (kept, lost)


def test_the_command_repairs_and_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(launch, "executor_of", OneProcess)
    data, folder = images(tmp_path / "images.npz"), tmp_path / "run"
    assert run("search", "--data", data, "--out", folder, "--trials", 2, *SMALL) == 0
    path = folder / store.JOURNAL
    whole = path.read_bytes()
    damage(path, 4)
    assert run("resume", folder) == 2 and f"frugalnas resume {folder} --repair" in capsys.readouterr().err
    assert run("resume", folder, "--repair") == 0
    assert path.read_bytes() == whole


READ_ONLY = """
mount -t tmpfs frugalnas "$1" && cp -r "$2" "$1/run" && mount -o remount,ro "$1" || exit 99
"$3" -c "import sys, pathlib; from frugalnas.store import Journal; Journal(pathlib.Path(sys.argv[1]))" "$1/run"
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="makes a file system of its own with unshare")
def test_a_read_only_folder_is_named(tmp_path):
    searched(tmp_path / "run")
    (tmp_path / "disk").mkdir()
    flags = ["-m"] if os.geteuid() == 0 else ["-U", "-r", "-m"]
    command = ["unshare", *flags, "sh", "-c", READ_ONLY, "sh", tmp_path / "disk", tmp_path / "run", sys.executable]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode in (1, 99) and "InputError" not in ended.stderr:
        pytest.skip(f"no right to mount a file system: {ended.stderr.strip()}")
    assert f"InputError: cannot write in {tmp_path / 'disk' / 'run'}: Read-only file system" in ended.stderr
