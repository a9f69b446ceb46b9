"""What workers, machines and people do to a search, one fault at a time; `benchmarks/faults.py` does it at random."""

from __future__ import annotations

import os
import signal
import sys
import time

import numpy as np
import pytest

from frugalnas.core import InputError
from frugalnas.distribute import MemoryLimit, ProcessPool, TimeLimit, WorkerDied, gpus, limits

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="stops and kills by signal")


def fill(gb: float) -> int:
    memory = bytearray(int(gb * 1e9))  # which keeps Python's lock while it fills it
    time.sleep(3 * limits.LOOK_EVERY_S)
    return len(memory)


def stop_once(note: str) -> str:
    """Stops its own process, as a debugger or a lost disk would, the first time that it is tried."""
    try:
        os.close(os.open(note, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return "tried again"
    os.kill(os.getpid(), signal.SIGSTOP)
    return "went on"


def deaf() -> None:
    """A computation that ends for no signal that can be ignored, in code that never returns to Python."""
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    sum(range(10**15))  # one C loop


def work_a_little(seconds: float) -> float:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        np.sqrt(np.arange(300_000.0)).sum()
        time.sleep(0.02)
    return seconds


def seen() -> tuple[int, str | None]:
    return os.getpid(), os.environ.get(gpus.VISIBLE)


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
