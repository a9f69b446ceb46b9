"""Rungs of one training: what they cost, what they keep in the run folder, and that nothing depends on it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import frugalnas
from frugalnas import config, launch, parts, store
from frugalnas.core import Candidate, Fidelity, InputError
from frugalnas.estimators.train import Train
from frugalnas.spaces.cell import CellSpace
from frugalnas.tasks.classification import Classification
from frugalnas.tasks.data import DataSource
from frugalnas.tasks.kept import remove_others
from frugalnas.tasks.recipe import Recipe
from tiny import SMALL, OneProcess, images, run

SPACE = CellSpace(
    ("sep_conv_3x3", "max_pool_3x3", "skip_connect"),
    channels=4,
    cells=3,
    blocks=1,
    in_channels=1,
    classes=4,
    resolution=8,
)
FIRST, SECOND = (Candidate((gene, *[0] * (len(SPACE.domains) - 1))) for gene in (0, 1))
RECIPE = Recipe(batch=16, cutout=2, drop_path=0.2, mixup=0.2)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    data = images(tmp_path_factory.mktemp("rungs") / "images.npz", count=60)
    return Classification(DataSource(str(data)), RECIPE, device="cpu")


def ladder(task, folder=None, stops=(2, 4, None), **settings):
    starts = (0, *stops[:-1])
    train = Train(task, Fidelity(epochs=6, width=3), folder=folder, **settings)
    return [replace(train, start=start, stop=stop) for start, stop in zip(starts, stops, strict=True)]


def files(folder):
    return sorted(path.name for path in folder.rglob("*.safetensors"))


def state(folder):
    return {path: path.read_bytes() for path in folder.rglob("*.safetensors")}


@pytest.mark.parametrize("recipe", [RECIPE, replace(RECIPE, ema=0.9, momentum=0.0)])
def test_three_rungs_are_one_training(task, tmp_path, recipe):
    task = replace(task, recipe=recipe)
    (whole,) = ladder(task, stops=(None,))
    expected = whole.evaluate(FIRST, SPACE, 3)
    kept, lost = ladder(task, tmp_path), ladder(task)
    for rung in range(3):
        found = kept[rung].evaluate(FIRST, SPACE, 3)
        assert found == lost[rung].evaluate(FIRST, SPACE, 3)
    assert {**found, "images": 3 * found["images"]} == expected
    assert kept[0].evaluate(FIRST, SPACE, 3)["loss"] != expected["loss"], "the rungs differ"


def test_a_rung_goes_on_where_the_one_below_stopped(task, tmp_path, monkeypatch):
    trained = []
    real = Classification.fit
    monkeypatch.setattr(
        Classification, "fit", lambda *given, **more: trained.append(real(*given, **more)) or trained[-1]
    )
    rungs = ladder(task, tmp_path)
    for rung in rungs:
        rung.evaluate(FIRST, SPACE, 3)
        assert len(files(tmp_path)) == 1, "one file for a training, and none for its end"
    assert [len(losses) for losses in trained] == [2, 2, 2]
    rungs[1].evaluate(FIRST, SPACE, 3)
    assert len(trained[-1]) == 0, "a trial that was trained, but not told, is only scored"
    rungs[0].evaluate(FIRST, SPACE, 3)
    assert len(trained[-1]) == 2, "nothing goes back"
    rungs[2].evaluate(FIRST, SPACE, 3)
    assert len(trained[-1]) == 4


def test_images_do_not_depend_on_what_was_kept(task, tmp_path):
    assert [rung.evaluate(FIRST, SPACE, 3)["images"] for rung in ladder(task)] == [2 * 48] * 3
    uneven = replace(task, recipe=replace(RECIPE, batch=47))  # a last batch of one image is left out
    assert Train(uneven, Fidelity(epochs=2)).evaluate(FIRST, SPACE, 3)["images"] == 2 * 47
    half = Train(task, Fidelity(epochs=3, samples=0.5), stop=2).evaluate(FIRST, SPACE, 3)
    assert half["images"] == 2 * 24
    assert Train(task, Fidelity(epochs=0)).evaluate(FIRST, SPACE, 3)["images"] == 0


@pytest.mark.parametrize("trouble", ["cut", "edited", "empty", "another network", "another recipe", "another size"])
def test_a_file_that_does_not_fit_is_as_none(task, tmp_path, trouble):
    low, high, _ = ladder(task, tmp_path)
    expected = ladder(task)[1].evaluate(FIRST, SPACE, 3)
    low.evaluate(FIRST, SPACE, 3)
    (file,) = tmp_path.rglob("*.safetensors")
    content = file.read_bytes()
    match trouble:
        case "cut":
            file.write_bytes(content[:-100])
        case "edited":
            file.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
        case "empty":
            file.write_bytes(b"")
        case "another network":
            low.evaluate(SECOND, SPACE, 3)
        case "another recipe":
            replace(low, task=replace(task, recipe=replace(RECIPE, lr=0.1))).evaluate(FIRST, SPACE, 3)
        case "another size":
            replace(low, fidelity=Fidelity(epochs=6, width=4)).evaluate(FIRST, SPACE, 3)
    assert file.read_bytes() != content and len(files(tmp_path)) == 1
    assert high.evaluate(FIRST, SPACE, 3) == expected
    high.evaluate(FIRST, SPACE, 3)
    ladder(task, tmp_path)[2].evaluate(FIRST, SPACE, 3)


def test_a_folder_that_cannot_be_written_fails_no_trial(task, tmp_path, caplog):
    (tmp_path / "checkpoints").write_text("in the way")
    low, high, _ = ladder(task, tmp_path)
    assert low.evaluate(FIRST, SPACE, 3) == ladder(task)[0].evaluate(FIRST, SPACE, 3)
    assert "will train from the beginning" in caplog.text


def test_a_training_without_a_rung_above_leaves_nothing(task, tmp_path):
    for stops in ((None,), (6,)):
        ladder(task, tmp_path, stops)[0].evaluate(FIRST, SPACE, 3)
    assert not list(tmp_path.iterdir())


def test_a_link_in_the_place_of_the_folder_is_left_alone(task, tmp_path, caplog):
    """A run folder may come from anybody: nothing outside of it is written or removed."""
    outside, run = tmp_path / "outside", tmp_path / "run"
    outside.mkdir()
    run.mkdir()
    (outside / "0000000000000003-0.safetensors").write_text("mine")
    (run / "checkpoints").symlink_to(outside)
    ladder(task, run)[0].evaluate(FIRST, SPACE, 3)
    remove_others(run, ())
    assert [path.read_text() for path in outside.iterdir()] == ["mine"] and "is a link" in caplog.text


def test_repeats_are_other_trainings(task, tmp_path):
    trains = [Train(task, Fidelity(epochs=2), stop=1, repeat=repeat, folder=tmp_path) for repeat in range(3)]
    losses = [train.evaluate(FIRST, SPACE, 3)["loss"] for train in trains]
    assert len(set(losses)) == 3 == len(files(tmp_path))
    assert losses == [replace(train, folder=None).evaluate(FIRST, SPACE, 3)["loss"] for train in trains]


def test_only_the_files_of_some_trials_stay(task, tmp_path):
    rung = Train(task, Fidelity(epochs=2), stop=1, folder=tmp_path)
    for seed in (3, 4, 2**62):
        for repeat in (0, 1):
            replace(rung, repeat=repeat).evaluate(FIRST, SPACE, seed)
    assert len(files(tmp_path)) == 6
    before = state(tmp_path)
    remove_others(tmp_path, {3, 2**62})
    after = state(tmp_path)
    assert len(after) == 4 and after.items() <= before.items()
    (tmp_path / "checkpoints" / ".0000000000000003-0.safetensors.123").write_text("half of it")
    remove_others(tmp_path, {3})
    assert len(list((tmp_path / "checkpoints").iterdir())) == 3, "a worker may be writing"
    remove_others(tmp_path, set())
    assert not (tmp_path / "checkpoints").exists()
    remove_others(tmp_path, set())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stop": 7}, "train.stop = 7: expected 0, where the rung before stops, to 6"),
        ({"stop": 2, "start": 3}, "train.stop = 2: expected 3, where the rung before stops"),
        ({"stop": -1}, "train.stop = -1"),
        ({"repeat": -1}, "train.repeat = -1: expected 0 or more"),
    ],
)
def test_refuses_numbers_out_of_range(task, settings, message):
    with pytest.raises(InputError, match=message):
        Train(task, Fidelity(epochs=6), **settings)


def test_a_ladder_knows_where_each_rung_begins():
    rung = {"type": "train", "fidelity": {"epochs": 6, "width": 4}}
    entries = [{**rung, "stop": 2}, {**rung, "stop": 5}, rung, {**rung, "fidelity": {"epochs": 9}}]
    tree = config.resolve(layers=[{"estimators": entries}])
    assert [estimator.start for estimator in parts.problem_of(tree).estimators] == [0, 2, 5, 0]
    with pytest.raises(InputError, match="start cannot be set"):
        config.resolve(layers=[{"estimators": [{**rung, "start": 1}]}])
    backwards = config.resolve(layers=[{"estimators": [entries[1], entries[0]]}])
    with pytest.raises(InputError, match="train.stop = 2: expected 5, where the rung before stops, to 6"):
        parts.problem_of(backwards)


def test_a_budget_of_epochs_ends_a_search(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(launch, "executor_of", OneProcess)
    data = images(tmp_path / "images.npz")
    command = ["search", "--data", data, "--out", tmp_path / "run", "--limit", "params=1M", *SMALL]
    assert run(*command, "--epochs", 3, "--set", "estimators.0.fidelity.resolution=8") == 0
    header, events = store.read(tmp_path / "run")
    told = [trial.values["images"] for trial in store.trials_of(events)]
    whole, half = header["images"]["train"], told[0]
    assert half == pytest.approx(whole / 2, abs=4) and set(told) == {half}
    assert sum(told[:-1]) < 3 * whole <= sum(told)
    assert run("resume", tmp_path / "run", "--epochs", 4) == 0
    assert 4 * whole <= sum(t.values["images"] for t in store.trials_of(store.read(tmp_path / "run")[1])) < 5 * whole


# --- a search with rungs

SETTINGS = {
    "strategy": {"population": 4, "promotions": [2, 1], "children": [2, 1, 1]},
    "space": {"channels": 4, "cells": 3, "blocks": 1},
    "task": {"recipe": {"batch": 16}},
    "estimators": {str(rung): {"fidelity": {"width": 2, "depth": 3, "resolution": None}} for rung in range(3)},
    "limits": {"params": 1e6},
}


class Ahead(OneProcess):
    """Rates candidates before those asked earlier are told, as workers do."""

    window = 3


KILLED = """
import os, signal, sys
import frugalnas
from frugalnas import launch
from frugalnas.estimators.train import Train
from test_rungs import SETTINGS, Ahead

launch.executor_of = Ahead
real, calls = Train.evaluate, []


def evaluate(self, candidate, space, seed):
    values = real(self, candidate, space, seed)
    calls.append(candidate.rung)
    if calls.count(1) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return values


Train.evaluate = evaluate
frugalnas.search("econas", data=sys.argv[1], out=sys.argv[2], trials=26, settings=[SETTINGS])
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A search by econas that nothing interrupts; what it kept is looked at whenever it tells."""
    place = tmp_path_factory.mktemp("whole")
    data, out = images(place / "images.npz", count=40), place / "run"
    seen = []

    def look(study):
        needed = {trial.number for trial in study.strategy.promotable} | study.under_way.keys()
        seeds = {study.seed_of(number) for number in needed}
        assert files(out) == sorted(f"{seed:016x}-0.safetensors" for seed in seeds)
        seen.append(len(seeds))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "executor_of", Ahead)
        frugalnas.search("econas", data=str(data), out=out, trials=26, settings=[SETTINGS], progress=look)
    assert len(seen) == 26 and 0 < max(seen) < 20
    return data, out


def test_a_search_that_a_budget_ended_keeps_what_may_rise_and_a_finished_one_nothing(whole, tmp_path, monkeypatch):
    _, out = whole
    rungs = [trial.candidate.rung for trial in store.trials_of(store.read(out)[1])]
    assert set(rungs) == {0, 1, 2} and files(out)
    trained, real = [], Classification.fit
    monkeypatch.setattr(
        Classification, "fit", lambda *given, **more: trained.append(len(real(*given, **more))) or [0.0] * trained[-1]
    )
    monkeypatch.setattr(launch, "executor_of", Ahead)
    data, short = images(tmp_path / "images.npz", count=40), tmp_path / "run"
    search = {"data": str(data), "settings": [SETTINGS, {"strategy": {"cycles": 1}}]}
    frugalnas.search("econas", out=short, trials=5, **search)
    assert files(short)
    assert frugalnas.resume(short, trials=1000).ended == "finished"
    assert trained and set(trained) == {1} and not (short / "checkpoints").exists()


@pytest.fixture(scope="module")
def killed(whole, tmp_path_factory):
    """The same search, killed when a network was trained on its second rung, and this not told yet."""
    data, _ = whole
    out = tmp_path_factory.mktemp("killed") / "run"
    paths = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    ended = subprocess.run([sys.executable, "-c", KILLED, data, out], env=paths, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    return out


@pytest.mark.parametrize("lost", [False, True])
def test_a_killed_search_goes_on_from_what_it_kept(whole, killed, tmp_path, monkeypatch, lost):
    out = tmp_path / "run"
    shutil.copytree(killed, out)
    told = len(store.trials_of(store.read(out)[1]))
    assert 0 < told < 26 and files(out)
    if lost:
        shutil.rmtree(out / "checkpoints")
    trained, real = [], Classification.fit
    monkeypatch.setattr(
        Classification, "fit", lambda *given, **more: trained.append(len(real(*given, **more))) or [0.0] * trained[-1]
    )
    monkeypatch.setattr(launch, "executor_of", Ahead)
    frugalnas.resume(out)
    assert (out / "journal.jsonl").read_bytes() == (whole[1] / "journal.jsonl").read_bytes()
    assert len(trained) == 26 - told and {*files(out)} <= {*files(whole[1])}
    assert lost or files(out) == files(whole[1])
    if lost:
        assert 2 in trained[:3] and sum(trained) > 26 - told
    else:
        assert 0 in trained[:3] and set(trained) == {0, 1}, "what was trained is scored only, all others go on"
        assert all(trained[3:])
