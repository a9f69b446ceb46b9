"""TensorBoard and MLflow hear of every trial, over all sessions, and cannot hold up or end a search."""

from __future__ import annotations

import json
import logging
import sys
import threading

import pytest

from frugalnas import launch, loggers, record, store
from frugalnas.core import Candidate, InputError
from frugalnas.distribute import InProcess
from frugalnas.loggers.record import telling
from frugalnas.pareto import front
from frugalnas.study import Study
from tiny import SMALL, OneProcess, images, run
from toy import Troubled, problem

TREE = {"trials": 6, "space": {"channels": 8, "operations": ["a", "b"]}, "minutes": None}


class Drawn:
    """Genotypes at random."""

    def ask(self, rng):
        return Candidate(tuple(rng.integers(0, 4, 8).tolist()))

    def tell(self, trial):
        pass


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_ALLOW_FILE_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


def session(folder, trials, tensorboard=True, mlflow=True, tested=None):
    """Open the study in `folder`, or begin it, and go on until so many trials are rated."""
    begun = (folder / store.JOURNAL).exists()
    journal = store.Journal(folder) if begun else store.Journal.create(folder, {})
    try:
        with loggers.logged(folder, TREE, None, tensorboard, mlflow) as told:
            study = Study(tested or problem(limit=14), Drawn(), journal=journal)
            assert study.run(InProcess(), trials=trials, progress=told) == "trials"
    finally:
        journal.close()
    return study


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """A study of two sessions, the second of which goes on."""
    folder = tmp_path_factory.mktemp("logged") / "shoes"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        session(folder, 5)
        yield folder, session(folder, 9)


def expected(study):
    """By name the step and value of all that is told."""
    values, counts = {}, {"done": 0, "rejected": 0, "failed": 0}
    for step, trial in enumerate(study.trials, start=1):
        counts[trial.status] += 1
        whole = {"study/front": len(front(study.trials[:step], study.problem.minimised))}
        whole |= {f"study/{name}": count for name, count in counts.items()}
        for name, value in ({f"trial/{name}": v for name, v in trial.values.items()} | whole).items():
            values.setdefault(name, []).append((step, pytest.approx(value, rel=1e-6)))
    return values


def test_tensorboard_reads_back_every_trial_of_both_sessions(twice):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, study = twice
    read = EventAccumulator(str(folder / "tensorboard"))
    read.Reload()
    for name, values in expected(study).items():
        assert [(event.step, event.value) for event in read.Scalars(name)] == values, name
    shares = [event.value for event in read.Scalars("study/hypervolume")]
    assert len(shares) == len(study.trials) and 0 < shares[-1] <= 1
    seconds = [event.value for event in read.Scalars("study/seconds")]
    assert len(seconds) == len(study.trials) and seconds == sorted(seconds)
    words = read.Tensors("front")[-1].tensor_proto.string_val[0].decode()
    assert words.count("\n") == 1 + len(study.front) and f"| {study.front[0].number} |" in words
    assert "space.operations.1 = b" in read.Tensors("settings")[0].tensor_proto.string_val[0].decode()


def test_mlflow_has_one_run_with_every_trial_of_both_sessions(twice):
    from mlflow import MlflowClient

    folder, study = twice
    client = MlflowClient((folder / "mlflow").as_uri())
    experiment = client.get_experiment_by_name("frugalnas")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED" and found.info.run_name == "shoes"
    assert found.data.params["space.channels"] == "8" and found.data.params["space.operations.0"] == "a"
    for name, values in expected(study).items():
        history = client.get_metric_history(found.info.run_id, name)
        assert sorted((metric.step, metric.value) for metric in history) == values, name
    assert found.data.tags["mlflow.note.content"].count("\n") == 1 + len(study.front)


def test_a_logger_that_comes_later_hears_of_all_trials(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    session(tmp_path, 3, tensorboard=False, mlflow=False)
    assert not (tmp_path / "tensorboard").exists()
    study = session(tmp_path, 6, mlflow=False)
    read = EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    assert [event.step for event in read.Scalars("study/done")] == [*range(1, len(study.trials) + 1)]


def test_a_run_that_is_gone_or_elsewhere_is_begun_anew(tmp_path, monkeypatch):
    from mlflow import MlflowClient

    session(tmp_path / "run", 2, tensorboard=False)
    first = json.loads((tmp_path / "run" / "mlflow.json").read_text())["run_id"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "other").as_uri())
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    for noted in (None, b"{", b'{"tracking_uri": "x", "run_id": "../.."}'):
        if noted:
            (tmp_path / "run" / "mlflow.json").write_bytes(noted)
        study = session(tmp_path / "run", 3 + bool(noted), tensorboard=False)
    client = MlflowClient((tmp_path / "other").as_uri())
    runs = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
    assert len(runs) == 2 and first not in {each.info.run_id for each in runs}, "the last had nothing to tell"
    steps = [metric.step for metric in client.get_metric_history(runs[0].info.run_id, "study/done")]
    assert sorted(steps) == [*range(1, len(study.trials) + 1)]


def test_what_goes_wrong_with_a_logger_is_one_warning(tmp_path, caplog, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "tensorboard").write_text("in the way")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    study = session(tmp_path / "run", 5, tested=problem(estimator=Troubled()))
    assert study.rated == 5
    said = [entry.message for entry in caplog.records if entry.name == "frugalnas"]
    assert sorted(line.split(",")[0] for line in said) == [
        f"frugalnas: nothing more goes to {n}" for n in ("MLflow", "TensorBoard")
    ]
    assert all("\n" not in line for line in said)


def test_a_logger_that_hangs_holds_nothing_up(tmp_path, caplog, monkeypatch):
    ended = threading.Event()

    class Hanging:
        def open(self, told):
            ended.wait(60)
            return 0

    monkeypatch.setattr("frugalnas.loggers.record.PATIENCE_S", 0.1)
    with caplog.at_level(logging.WARNING), telling({"it": Hanging()}, "x", TREE) as told:
        study = Study(problem(), Drawn())
        study.run(InProcess(), trials=20, progress=told)
    assert study.rated == 20 and "nothing more goes to it" in caplog.text and "did not finish" in caplog.text
    ended.set()


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_missing_library_and_a_link_are_one_line_before_the_search(tmp_path, monkeypatch, name):
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is a link"), loggers.logged(tmp_path, TREE, None, **asked(name)):
        pass
    monkeypatch.setitem(sys.modules, name, None)
    with (
        pytest.raises(InputError, match=rf"--{name} needs .*frugalnas\[{name}\]"),
        loggers.logged(tmp_path, TREE, None, **asked(name)),
    ):
        pass


def asked(name):
    return {each: each == name for each in ("tensorboard", "mlflow")}


def test_search_and_resume_have_the_options(tmp_path, monkeypatch, capsys):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr(launch, "executor_of", OneProcess)
    monkeypatch.chdir(tmp_path)
    data = images(tmp_path / "good.npz", count=40)
    assert run("search", "--data", data, "--out", "run", "--trials", 1, "--tensorboard", *SMALL) == 0
    assert run("resume", "run", "--trials", 2, "--tensorboard") == 0
    read = EventAccumulator("run/tensorboard")
    read.Reload()
    told = record.load(tmp_path / "run").trials
    assert [event.value for event in read.Scalars("trial/error")] == pytest.approx([t.values["error"] for t in told])
    assert run("resume", tmp_path, "--mlflow") == 2
    assert "are for searches" in capsys.readouterr().err
