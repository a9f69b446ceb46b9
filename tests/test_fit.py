"""The whole way in one command: what it leaves, what it does not do twice, and whatever ends it."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from frugalnas import fit, launch, record, store, training
from frugalnas.choose import choose
from frugalnas.core import InputError
from frugalnas.fit import run as stages
from frugalnas.fit import settings
from frugalnas.model import Model
from frugalnas.tasks.data import DataSource, load_test
from tiny import SMALL, OneProcess, images, run

QUICK = (
    *("--limit", "params=9000", "--trials", 3, "--epochs", 3, "--seed", 1, "--set", "strategy.population=4", *SMALL),
    *("--set", "recipe.batch=16", "--set", "recipe.flip=false", "--set", "recipe.crop_padding=0"),
)
FORMATS = ("--format", "onnx")


def fitting(*more: object, data: object, out: object = "out") -> tuple[object, ...]:
    return ("fit", "--data", data, "--out", out, *QUICK, *more)


@pytest.fixture(autouse=True, scope="module")
def _in_this_process():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "executor_of", OneProcess)
        patch.setattr(stages, "SAMPLES", 20)  # a line about the space needs no more here
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    with np.load(images(folder / "unseen.npz", seed=8, count=40)) as test:
        return images(folder / "corners.npz", x_test=test["x_train"], y_test=test["y_train"])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def seen_on_a_terminal():
    return Terminal()


@pytest.fixture(scope="module")
def fitted(data, tmp_path_factory, seen_on_a_terminal):
    """A fit by the command line; its folder and what it printed."""
    folder, said = tmp_path_factory.mktemp("fit"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm")
        patch.setattr(sys, "stdout", said)
        patch.setattr(sys, "stderr", seen_on_a_terminal)
        assert run(*fitting(*FORMATS, data=data, out=folder / "out")) == 0
    return folder / "out", said.getvalue()


def complaint(capsys, *arguments, code=2):
    assert run(*arguments) == code
    said = capsys.readouterr()
    assert said.err.startswith("frugalnas: ") and said.err.count("\n") == 1, said.err
    return said.err.removeprefix("frugalnas: ")


def test_it_searches_picks_trains_exports_and_says_where(fitted, data):
    out, said = fitted
    found = record.load(out / "search")
    trial = choose(found, "most-accurate")
    assert len([t for t in found.trials if t.status == "done"]) == 3 and trial.values["params"] <= 9000
    model = Model.load(out / "model")
    assert model.architecture.genotype == trial.candidate.genotype
    metrics = json.loads((out / "model" / "metrics.json").read_text())
    assert metrics["source"]["trial"] == trial.number and len(metrics["epochs"]) == 3 and metrics["images"] == 120
    test = load_test(DataSource(str(data)))
    assert metrics["test"]["error"] == np.mean(model.logits(test.pixels).argmax(1) != test.labels)
    assert (out / "export" / "model.onnx").is_file() and (out / "search" / "report.html").is_file()
    assert 'href="../model/model.html"' in (out / "search" / "report.html").read_text()
    assert "120 train, 40 test" in said and "the limits accept" in said
    assert f"pick      trial {trial.number}, most-accurate" in said
    for path in ("model/model.safetensors", "model/model.html", "search/report.html", "export/model.onnx"):
        assert str(out / path) in said
    assert f"test error {100 * metrics['test']['error']:.2f} % on 40 images" in said


def test_a_terminal_sees_the_search_and_the_training(fitted, seen_on_a_terminal):
    seen = seen_on_a_terminal.getvalue()
    assert "networks/min" in seen and "epoch 3" in seen and "pick" not in seen


def test_the_same_command_again_only_reads(fitted, data, capsys, monkeypatch):
    out, said = fitted
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for module, name in ((launch, "begin"), (launch, "resume"), (training, "train"), (training, "resume")):
        monkeypatch.setattr(module, name, None)
    assert run(*fitting(*FORMATS, data=data, out=out)) == 0
    again = capsys.readouterr().out
    assert again.startswith("finished") and said.endswith(again)
    assert run("resume", out, "--json") == 0
    assert json.loads(capsys.readouterr().out)["folder"] == str(out)
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("more", "difference"),
    [
        (("--seed", 2), r"search\.seed = 1, not 2"),
        (("--epochs", 4), "epochs = 3, not 4"),
        (("--pick", "knee"), "pick = most-accurate, not knee"),
        (("--set", "recipe.lr=0.2"), r"recipe\.lr = 0\.1, not 0\.2"),
    ],
)
def test_another_plan_does_not_go_into_the_same_folder(fitted, data, capsys, more, difference):
    out, _ = fitted
    said = complaint(capsys, *fitting(*FORMATS, *more, data=data, out=out))
    assert "choose another --out" in said
    assert re.search(difference, said), said


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--recipe", "shrot"), "unknown recipe 'shrot': did you mean 'short'?"),
        (("--pick", "knie"), "did you mean 'knee'?"),
        (("--format", "onx"), "unknown format 'onx': did you mean 'onnx'?"),
        (("--minutes", "0"), "minutes = 0"),
        (("--limit", "params=10"), "no network is found within the limits params <= 10"),
        (("--set", "recipe.batsch=3"), "unknown key 'recipe.batsch': did you mean 'batch'?"),
        (("--set", "spcae.cells=3"), "unknown key 'spcae': did you mean 'space'?"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_made(data, capsys, tmp_path, more, message):
    assert message in complaint(capsys, *fitting(*more, data=data, out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_else_is_left_alone(data, capsys, tmp_path):
    (tmp_path / "out" / "search").mkdir(parents=True)
    assert "'search' that is of no fit" in complaint(capsys, *fitting(data=data, out=tmp_path / "out"))
    with pytest.raises(InputError, match="holds no fit"):
        fit.resume(tmp_path)
    among = tmp_path / "pictures" / "cat"
    among.mkdir(parents=True)
    assert "as if it were a class" in complaint(capsys, *fitting(data=among.parent, out=among.parent / "out"))


@pytest.mark.parametrize(
    "change",
    [
        lambda content: "no json",
        lambda content: json.dumps({**content, "version": 2}),
        lambda content: json.dumps({**content, "plan": {**content["plan"], "minutes": "many"}}),
        lambda content: json.dumps({**content, "plan": {**content["plan"], "search": {"method": "eeea"}}}),
        lambda content: json.dumps({**content, "done": {**content["done"], "pick": 3}}),
        lambda content: "[" * 100_000,
    ],
)
def test_a_damaged_state_is_refused_in_one_line(fitted, tmp_path, capsys, change):
    out, _ = fitted
    shutil.copytree(out, tmp_path / "out")
    file = tmp_path / "out" / "fit.json"
    file.write_text(change(json.loads(file.read_text())))
    assert f"{file}" in complaint(capsys, "resume", tmp_path / "out")


def test_a_fit_is_no_search(fitted, capsys):
    out, _ = fitted
    for verb in ("report", "show", "train"):
        assert f"{out} holds a fit: expected its search, {out / 'search'}" in complaint(capsys, verb, out)


KILLABLE = """
import sys
from frugalnas import cli, launch
from tiny import OneProcess
launch.executor_of = OneProcess
cli.main()
"""


def killed(command: tuple[object, ...], milestone) -> None:
    """Run a command in a process of its own, and kill that as soon as it has come to a milestone."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen([sys.executable, "-c", KILLABLE, *map(str, command)], env=environment)
    end = time.monotonic() + 60
    while not milestone() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was over before"


def test_a_fit_that_is_killed_in_its_search_and_in_its_training_ends_as_if_it_had_not(fitted, data, tmp_path):
    twin, out = fitted[0], tmp_path / "out"
    journal, settings = out / "search" / store.JOURNAL, out / "model" / training.SETTINGS
    command = fitting(*FORMATS, data=data, out=out)
    killed(command, lambda: journal.exists() and '"tell":0' in journal.read_text())
    assert "search" not in json.loads((out / "fit.json").read_text())["done"]
    killed(("resume", out), settings.exists)
    assert "train" not in json.loads((out / "fit.json").read_text())["done"]
    assert run(*command) == 0
    assert journal.read_text() == (twin / "search" / store.JOURNAL).read_text()
    weights, expected = (Model.load(folder / "model").network.state_dict() for folder in (out, twin))
    assert all((weights[name] == expected[name]).all() for name in expected)


def test_ctrl_c_names_the_folder_that_goes_on(data, tmp_path, capsys, monkeypatch):
    def interrupted(*arguments, **named):
        raise KeyboardInterrupt("stopped, go on with: frugalnas resume elsewhere")

    monkeypatch.setattr(training, "train", interrupted)
    assert run(*fitting(data=data, out=tmp_path / "out")) == 130
    assert capsys.readouterr().err == f"frugalnas: stopped, go on with: frugalnas resume {tmp_path / 'out'}\n"
    monkeypatch.undo()
    monkeypatch.setattr(launch, "begin", None)  # the search is over
    assert run("resume", tmp_path / "out") == 0


def test_the_time_is_shared_and_what_the_search_leaves_is_for_the_training():
    plan = fit.plan(minutes=60)
    assert plan.search["minutes"] == 27 and plan.search["trials"] is None

    def left(minutes: float, seconds: float) -> float:
        session = SimpleNamespace(plan=fit.plan(minutes=minutes), seconds=seconds)
        return stages._minutes_left(session) * 60

    assert 3600 - 1700 - 60 < left(60, 1700) < 3600 - 1700
    assert left(60, 300) - left(60, 1700) == pytest.approx(1400)
    assert left(1, 59) == pytest.approx(6), "however long the search took, there is a training"


def test_a_search_that_rated_nothing_in_its_time_goes_on_until_it_has(data, tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "SEARCH_SHARE", 1e-9)
    assert run("fit", "--data", data, "--out", tmp_path / "out", "--minutes", 1, "--epochs", 1, *SMALL) == 0
    assert len(record.load(tmp_path / "out" / "search").front) == 1


def test_a_second_process_is_refused(fitted, capsys):
    out, _ = fitted
    with store.locked(out / stages.LOCK, "held by the test"):
        assert f"{out} is open in another process" in complaint(capsys, "resume", out)


def test_a_training_for_which_no_time_is_left_takes_some_more(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(stages, "_minutes_left", lambda job: 0.01)
    quick = ("--trials", 1, "--minutes", 1, *SMALL, "--set", "recipe.batch=16")
    assert run("fit", "--data", data, "--out", tmp_path / "out", *quick) == 0
    assert "more time is needed to read the images" in capsys.readouterr().out
    metrics = json.loads((tmp_path / "out" / "model" / "metrics.json").read_text())
    assert metrics["epochs"] and 0.6 < metrics["seconds"] < 30
