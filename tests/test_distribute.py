"""Executors: what they answer, and what becomes of workers whose driver, or script, goes wrong."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import CancelledError
from pathlib import Path

import pebble
import pytest

from frugalnas.core import InputError, MachineError
from frugalnas.distribute import InProcess, ProcessPool, TimeLimit, WorkerDied, cores


def environment() -> tuple[int, str]:
    return os.getpid(), os.environ["OMP_NUM_THREADS"]


def torch_threads() -> int:
    import torch

    return torch.get_num_threads()


def fail() -> None:
    raise ValueError("on purpose")


def run_out() -> None:
    raise TimeoutError("the function's own")


class TwoArguments(Exception):
    """Cannot be unpickled by the process that it is sent to."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__("one message")


def unreadable() -> None:
    raise TwoArguments(1, 2)


@pytest.fixture(scope="module")
def pool():
    pool = ProcessPool(2, threads=1)
    yield pool
    pool.close()


def test_in_process_runs_at_once_and_keeps_the_exception():
    executor = InProcess()
    assert executor.submit(max, 2, 3).result() == 3
    assert isinstance(executor.submit(fail).exception(), ValueError)


def test_a_pool_answers_from_other_processes_with_pinned_threads(pool):
    answers = [pool.submit(environment).result(60) for _ in range(4)]
    assert os.getpid() not in {pid for pid, _ in answers}
    assert {threads for _, threads in answers} == {"1"}
    assert pool.submit(torch_threads).result(60) == 1


def test_an_exception_comes_back_as_it_was(pool):
    with pytest.raises(ValueError, match="on purpose"):
        pool.submit(fail).result(60)
    assert pool.submit(max, 1, 2).result(60) == 2


@pytest.mark.parametrize("time_limit_s", [None, 60.0])
def test_a_timeout_of_the_function_itself_is_its_own_error(time_limit_s):
    pool = ProcessPool(1, time_limit_s=time_limit_s)
    error = pool.submit(run_out).exception(60)
    assert isinstance(error, TimeoutError) and str(error) == "the function's own"
    pool.close()


def test_a_time_limit_ends_a_function_and_the_next_one_runs():
    pool = ProcessPool(1, time_limit_s=0.5)
    slow, quick = pool.submit(time.sleep, 60), pool.submit(max, 1, 2)
    assert isinstance(slow.exception(60), TimeLimit) and quick.result(60) == 2
    pool.close()


def test_an_answer_that_cannot_be_read_ends_its_future(pool):
    assert isinstance(pool.submit(unreadable).exception(60), WorkerDied)
    assert pool.submit(max, 1, 2).result(60) == 2


def test_a_machine_without_room_for_a_process_ends_the_future(monkeypatch):
    pool = ProcessPool(1)

    def full(*arguments, **settings):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    with monkeypatch.context() as patch:
        patch.setattr(pebble.ProcessPool, "schedule", full)
        error = pool.submit(max, 1, 2).exception(10)
    assert isinstance(error, MachineError) and "Cannot allocate memory" in str(error)
    assert pool.submit(max, 1, 2).result(60) == 2
    pool.close()


def test_close_ends_what_runs_what_waits_and_what_comes_after():
    pool = ProcessPool(2)
    assert pool.submit(max, 1, 2).result(60) == 2
    futures = [pool.submit(time.sleep, 600) for _ in range(5)]
    start = time.monotonic()
    pool.close()
    futures.append(pool.submit(max, 1, 2))
    assert all(isinstance(future.exception(10), CancelledError) for future in futures)
    assert time.monotonic() - start < 30


SCRIPT = """
import torch
from frugalnas.distribute import ProcessPool

if __name__ == "__main__":
    pool = ProcessPool(1, threads=1)
    print(torch.get_num_threads(), pool.submit(torch.get_num_threads).result(120))
    pool.close()
"""


def test_threads_are_pinned_also_where_the_script_imports_torch_first(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = os.environ | {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    command = [sys.executable, str(tmp_path / "script.py")]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=True)
    assert run.stdout.split() == ["2", "1"]


def test_as_many_workers_as_fit_by_default():
    assert ProcessPool(threads=1).window == 2 * cores()
    assert ProcessPool(threads=10_000).window == 2


@pytest.mark.parametrize(("arguments", "name"), [((0,), "workers"), ((1, 0), "threads"), ((1, 1, 0.0), "time_limit_s")])
def test_values_out_of_range_are_named(arguments, name):
    with pytest.raises(InputError, match=f"^{name} = 0"):
        ProcessPool(*arguments)


def test_a_script_without_main_guard_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("from frugalnas.distribute import ProcessPool\nProcessPool(1).submit(abs, -1).result(60)\n")
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode != 0
    assert "put it under if __name__ == '__main__'" in run.stderr and "WorkerDied" in run.stderr


DRIVER = """
import os, sys, time
from frugalnas.distribute import ProcessPool

def named(path):
    open(path, "w").write(str(os.getpid()))
    time.sleep(600)

if __name__ == "__main__":
    ProcessPool(1).submit(named, sys.argv[1]).result()
"""


def test_workers_that_die_idle_are_replaced():
    pool = ProcessPool(2)
    before = {pool.submit(environment).result(60)[0] for _ in range(8)}
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    after = {pool.submit(environment).result(60)[0] for _ in range(8)}
    pool.close()
    assert before and after and not before & after


def leave():
    os._exit(3)


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files in /proc")
def test_workers_that_died_leave_no_files_open():
    pool, opened = ProcessPool(1), []
    for _ in range(5):
        with pytest.raises(WorkerDied):
            pool.submit(leave).result(60)
        opened.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208
    until(lambda: len(os.listdir("/proc/self/fd")) <= opened[0] + 4)  # noqa: PTH208
    pool.close()


@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
def test_workers_end_with_their_driver(tmp_path):
    (tmp_path / "driver.py").write_text(DRIVER)
    note = tmp_path / "pid"
    driver = subprocess.Popen([sys.executable, str(tmp_path / "driver.py"), str(note)])
    until(lambda: note.exists() and note.read_text())
    worker = int(note.read_text())
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    until(lambda: not alive(worker))


def until(condition) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited for a minute"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
