"""Workers on Ray: what they answer, what dies and is rated again, what is shipped, and what is left behind."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
import toy
from frugalnas import config, launch, store
from frugalnas.core import Candidate, InputError, Objective, Problem, evaluate
from frugalnas.distribute import InProcess, MemoryLimit, ProcessPool, RayCluster, TimeLimit, session
from frugalnas.store import Journal
from frugalnas.strategies.nsga2 import NSGA2
from frugalnas.study import Study
from frugalnas.tasks import memory
from frugalnas.tasks.data import DataSource, load_search

ray = pytest.importorskip("ray", reason="Ray is not installed")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}  # for what is started here alone
PATHS = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])  # where workers find `toy`


@pytest.fixture(scope="module")
def here() -> Iterator[None]:
    """A Ray of four cores that this process is connected to, as a job of somebody else's would be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PATHS)
        assert session.join("local", session.Share(1, 0, None), 4)
        yield
        session.leave()


@pytest.fixture(scope="module")
def cluster(here: None) -> Iterator[RayCluster]:
    cluster = RayCluster(workers=2)
    yield cluster
    cluster.close()


def fail() -> None:
    raise ValueError("on purpose")


def environment() -> tuple[int, str]:
    return os.getpid(), os.environ["OMP_NUM_THREADS"]


def fill(gigabytes: float) -> None:
    held = np.ones(int(gigabytes * 1e9), dtype=np.uint8)
    time.sleep(600)
    held.sum()


def images_here(source: DataSource) -> tuple[int, bool]:
    train, _ = memory.parts(source)
    return int(train.pixels.sum()), train.pixels.flags.writeable


def searched(executor: Any, folder: Path) -> bytes:
    """The journal of a free search of which every number depends on those told before."""
    Journal.create(folder, {"seed": 3}).close()
    journal = Journal(folder)
    problem = toy.problem(limit=16)
    strategy = NSGA2(problem.space, problem.minimised, population=6)
    Study(problem, strategy, seed=3, journal=journal).run(executor, trials=30)
    journal.close()
    return (folder / store.JOURNAL).read_bytes()


def test_the_journal_is_that_of_the_process_pool(cluster, tmp_path):
    pool = ProcessPool(2)
    try:
        assert searched(cluster, tmp_path / "ray") == searched(pool, tmp_path / "processes")
    finally:
        pool.close()


def test_an_exception_comes_back_as_it_was_and_threads_are_pinned(cluster):
    error = cluster.submit(fail).exception(60)
    assert type(error) is ValueError and str(error) == "on purpose"
    answers = [cluster.submit(environment).result(60) for _ in range(4)]
    assert os.getpid() not in {pid for pid, _ in answers} and {threads for _, threads in answers} == {"1"}


def test_never_more_than_twice_the_workers_are_under_way(cluster):
    class Counting(toy.Listed):
        most = under_way = 0

        def ask(self, rng):
            candidate = super().ask(rng)
            self.under_way += candidate is not None
            self.most = max(self.most, self.under_way)
            return candidate

        def tell(self, trial):
            self.under_way -= 1
            super().tell(trial)

    strategy = Counting(*((gene, 0, other) for gene in range(4) for other in range(4)))
    Study(toy.problem(estimator=toy.Noisy(0.01), genes=3), strategy).run(cluster)
    assert strategy.most == cluster.window == 4 and len(strategy.told) > 8


@dataclass(frozen=True)
class Unpacked:
    """Says how often its process has unpacked one."""

    ballast: bytes

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        UNPACKED.append(1)

    def evaluate(self, candidate: Candidate, space: Any, seed: int) -> dict[str, float]:
        return {"error": float(len(UNPACKED))}


UNPACKED: list[int] = []


def test_a_problem_is_shipped_once_to_each_worker(cluster):
    heavy = Problem(toy.Digits(), (Objective("error"),), (Unpacked(b"0" * 1_000_000),))  # type: ignore[arg-type]
    asked = [cluster.submit(evaluate, heavy, n, Candidate((n % 4,) * 8), {}, n) for n in range(12)]
    assert {future.result(60)[0].values["error"] for future in asked} == {1.0}


def test_a_worker_that_dies_is_replaced_and_its_trial_rated_again_with_the_same_seed(cluster, tmp_path):
    problem = toy.problem(estimator=toy.Troubled(str(tmp_path / "marker")), genes=2, base=7)
    study = Study(problem, toy.Listed((6, 0), (0, 0), (4, 0), (0, 1)))
    study.run(cluster)
    assert [trial.status for trial in study.trials] == ["done", "done", "failed", "done"]
    assert study.trials[2].reason.startswith("WorkerDied: ")


def test_limits_end_a_trial_for_good_and_closing_the_rest(here):
    cluster = RayCluster(workers=1, time_limit_s=3.0, memory_gb=0.7)
    slow, big, quick = cluster.submit(time.sleep, 600), cluster.submit(fill, 1.0), cluster.submit(max, 1, 2)
    assert isinstance(slow.exception(60), TimeLimit)
    error = big.exception(60)
    assert isinstance(error, MemoryLimit) and str(error) == "needed more than 0.7 GB"
    assert quick.result(60) == 2
    futures = [cluster.submit(time.sleep, 600) for _ in range(3)]
    cluster.close()
    futures.append(cluster.submit(max, 1, 2))
    assert all(isinstance(future.exception(10), CancelledError) for future in futures)
    assert ray.is_initialized()  # it is not ours to end


def test_images_reach_workers_that_have_no_files_of_them(here, tmp_path):
    source = DataSource(str(tiny.images(tmp_path / "images.npz")))
    parts = load_search(source)
    Path(source.source).unlink()
    cluster = RayCluster(workers=1)
    cluster.prepare(memory.provide, source, parts)
    assert cluster.submit(images_here, source).result(60) == (int(parts[0].pixels.sum()), False)  # not even a copy
    cluster.close()


def test_where_no_worker_can_start_the_search_stops_and_can_go_on(here, tmp_path):
    cluster = RayCluster(workers=1)
    cluster.prepare(fail)
    Journal.create(tmp_path, {"seed": 3}).close()
    journal, problem = Journal(tmp_path), toy.problem()
    with pytest.raises(InputError, match="no worker can be started on the Ray cluster: .*on purpose"):
        Study(problem, toy.Listed((1,) * 8), seed=3, journal=journal).run(cluster)
    cluster.close()
    journal.close()
    study = Study(problem, toy.Listed((1,) * 8), seed=3, journal=Journal(tmp_path))
    study.run(InProcess())
    assert [trial.status for trial in study.trials] == ["done"]


def test_a_real_search_has_the_same_journal(cluster, tmp_path):
    data = {"data": {"source": str(tiny.images(tmp_path / "images.npz"))}, "trials": 4, "strategy": {"population": 2}}
    tree = config.resolve(layers=[*map(config.assignment, tiny.SMALL[1::2]), data])
    pool = ProcessPool(2)
    try:
        launch.begin(tree, tmp_path / "processes", executor=pool)
        elsewhere = config.changed(tree, config.rated_by("ray", None), {"executor": {"workers": 2}})
        launch.begin(tree, tmp_path / "ray", executor=launch.executor_of(elsewhere, tmp_path / "ray"))
    finally:
        pool.close()
    journals = [(tmp_path / name / store.JOURNAL).read_bytes() for name in ("processes", "ray")]
    assert journals[0] == journals[1] and journals[0].count(b'"status":"done"') == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"workers": 0}, "workers = 0: expected 1"),
        ({"cpus": 0.0}, "cpus = 0.0: expected more"),
        ({"gpus": 1.5}, "gpus = 1.5: expected a share up to 1"),
        ({"retries": -1}, "retries = -1: expected 0"),
        ({"time_limit_s": 0.0}, "time_limit_s = 0.0: expected more"),
        (
            {"gpus": 1.0},
            "no node of the Ray cluster has 1 CPUs, 1 GPUs for a worker; the most on a node: 4 CPUs, 0 GPUs",
        ),
    ],
)
def test_what_cannot_be_is_said(here, arguments, said):
    with pytest.raises(InputError, match=said):
        RayCluster(**arguments)


def test_as_many_workers_as_the_nodes_hold(here):
    cluster = RayCluster(cpus=1.5)
    assert cluster.window == 2 * 2
    cluster.close()


DRIVER = """
import sys
from frugalnas import cli
try:
    cli.main()
finally:
    print("torch" in sys.modules, file=open(sys.argv[sys.argv.index("--out") + 1] + ".torch", "w"))
"""


def test_ctrl_c_ends_in_one_line_and_a_study_that_goes_on(tmp_path):
    out, images = tmp_path / "run", tiny.images(tmp_path / "images.npz")
    (tmp_path / "driver.py").write_text(DRIVER)
    ask = ("search", "--data", images, *tiny.SMALL, "--set", "estimators.0.fidelity.epochs=5", "--trials", "200")
    command = [sys.executable, tmp_path / "driver.py", *ask, "--address", "local", "--workers", "1", "--out", out]
    with process(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as driver:
        until(lambda: (out / store.JOURNAL).exists() and b'"tell"' in (out / store.JOURNAL).read_bytes())
        os.killpg(driver.pid, signal.SIGINT)
        printed, said = driver.communicate(timeout=60)
    assert driver.returncode == 130
    assert said.strip().splitlines()[-1].endswith(f"stopped, go on with: frugalnas resume {out}")
    assert "Traceback" not in said and "raylet" not in printed + said
    assert (tmp_path / "run.torch").read_text() == "False\n"
    told = len([event for event in store.read(out)[1] if "tell" in event])
    study = launch.resume(out, trials=told + 1, executor=InProcess()).study
    assert len(study.trials) == told + 1 and all(trial.status == "done" for trial in study.trials)
    assert tiny.run("resume", out, "--executor", "processes", "--workers", 1, "--trials", told + 1) == 0
    assert tiny.run("resume", out, "--executor", "rya", "--trials", told + 1) == 2


def test_a_cluster_that_is_not_there_is_said_in_one_line(tmp_path):
    start = "from frugalnas.cli import main; main()"
    command = [
        sys.executable,
        "-c",
        start,
        "search",
        "--address",
        f"127.0.0.1:{free_port()}",
        "--out",
        tmp_path / "run",
    ]
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 2 and run.stderr.count("\n") == 1 and "no Ray cluster answers at 127.0.0.1" in run.stderr


@dataclass(frozen=True)
class Somewhere:
    """As `toy.Noisy`, and on which node: the pid of its raylet."""

    def evaluate(self, candidate: Candidate, space: Any, seed: int) -> dict[str, float]:
        return toy.Noisy(0.1).evaluate(candidate, space, seed) | {"node": float(os.getppid())}


def asked() -> Study:
    genotypes = [(a, b, c) for a in range(5) for b in range(a, 5) for c in range(b, 5)]  # no two of them equal
    return Study(toy.problem(estimator=Somewhere(), genes=3, base=5), toy.Listed(*genotypes))


TWO_NODES = """
import json, sys
from frugalnas.distribute import RayCluster

def told(study):
    trial = study.trials[-1]
    print(json.dumps([trial.number, trial.status, dict(trial.values)]), flush=True)

cluster = RayCluster(sys.argv[1])
from test_cluster import asked  # which imports Ray
asked().run(cluster, progress=told)
cluster.close()
"""


def test_a_node_joins_and_dies_and_every_trial_is_told_as_ever(tmp_path):
    (tmp_path / "driver.py").write_text(TWO_NODES)
    address = f"127.0.0.1:{free_port()}"
    with ExitStack() as ends:
        ends.enter_context(node("--head", "--port", address.split(":")[1], "--system-config", json.dumps(QUICK)))
        until(lambda: answers(address))
        command = [sys.executable, tmp_path / "driver.py", address]
        driver = ends.enter_context(process(command, stdout=subprocess.PIPE, text=True))
        second = ends.enter_context(node("--address", address))
        trials = []
        for line in driver.stdout:
            trials.append(json.loads(line))
            if len({values["node"] for _, _, values in trials}) == 2 and second.poll() is None:
                os.killpg(second.pid, signal.SIGKILL)
                second.wait()
        assert driver.wait(60) == 0
    alone = asked()
    alone.run(InProcess())
    assert second.poll() is not None
    assert [status for _, status, _ in trials] == ["done"] * len(alone.trials)
    for (number, _, values), trial in zip(trials, alone.trials, strict=True):
        assert number == trial.number and values["error"] == trial.values["error"]


QUICK = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 300,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
}


@contextmanager
def node(*arguments: str) -> Iterator[subprocess.Popen]:
    """A node of one core, in processes of its own."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus", "1", *arguments]
    quiet = ["--disable-usage-stats", "--min-worker-port", "0", "--max-worker-port", "0"]
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as place:  # a short path
        if "--head" in arguments:
            quiet += ["--include-dashboard", "false", "--temp-dir", place]
        with process([*command, *quiet], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as started:
            yield started


@contextmanager
def process(command: list[Any], **settings: Any) -> Iterator[subprocess.Popen]:
    """A process group that ends here at the latest."""
    environment = os.environ | {"PYTHONPATH": PATHS, "RAY_worker_niceness": "0", **TOKEN}
    started = subprocess.Popen(list(map(str, command)), env=environment, start_new_session=True, **settings)
    try:
        yield started
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def answers(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as asking:
        return asking.connect_ex((host, int(port))) == 0


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def until(condition) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "waited for two minutes"
        time.sleep(0.05)
