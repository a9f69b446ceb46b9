"""The final training: its folder, its end in time, and that nothing stops it for good."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from safetensors import safe_open
from safetensors.torch import load_file

from frugalnas.core import InputError
from frugalnas.model import Model
from frugalnas.spaces.architecture import Architecture
from frugalnas.spaces.cell import CellSpace
from frugalnas.tasks import checkpoint, loop
from frugalnas.tasks.data import DataSource, load_test
from frugalnas.tasks.recipe import Budget, Recipe
from frugalnas.training import Trained, resume, run, train, work
from tiny import images

RECIPE = Recipe(batch=32, lr=0.1, crop_padding=1, ema=0.9, drop_path=0.2, mixup=0.2)
SPACE = CellSpace(("sep_conv_3x3", "conv_7x1_1x7"), blocks=1, channels=4, cells=3)
ARCHITECTURE = Architecture(SPACE, (0, 0, 1, 0, 0, 0, 1, 0))
FILES = {"training.json", "metrics.json", "model.safetensors", "architecture.json", "model.html", ".lock"}


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as the bits of a sum depend on their number
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> DataSource:
    """100 training and 40 test images of four classes."""
    folder = tmp_path_factory.mktemp("data")
    with np.load(images(folder / "test.npz", seed=1, count=40)) as other:
        tests = {"x_test": other["x_train"], "y_test": other["y_train"]}
    return DataSource(str(images(folder / "squares.npz", count=100, **tests)))


def begun(data: DataSource, out: Path, /, **changes: Any) -> Trained:
    given: dict[str, Any] = {"epochs": 4, "seed": 3, "source": {"trial": 7}} | changes
    recipe = given.pop("recipe", RECIPE)
    return train(given.pop("architecture", ARCHITECTURE), data, recipe, out=out, **given)


@pytest.fixture(scope="module")
def whole(source: DataSource, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """An uninterrupted training."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    trained = begun(source, tmp_path_factory.mktemp("whole") / "out")
    torch.set_num_threads(before)
    return trained


def curve(trained: Trained) -> list[tuple[Any, ...]]:
    return [(e["epoch"], e["loss"], e["lr"], e["images"]) for e in trained.metrics["epochs"]]


def assert_same(trained: Trained, whole: Trained) -> None:
    """The same curve, figures, and bits of weights; and the folder is that of a finished training."""
    assert curve(trained) == curve(whole)
    assert trained.metrics["test"] == whole.metrics["test"]
    ours, theirs = (load_file(t.folder / "model.safetensors") for t in (trained, whole))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert {path.name for path in trained.folder.iterdir()} == FILES


# --- what a training leaves


def test_the_folder_holds_a_model_that_has_the_reported_test_error(whole: Trained, source: DataSource) -> None:
    assert {path.name for path in whole.folder.iterdir()} == FILES
    metrics = json.loads((whole.folder / "metrics.json").read_text())
    assert metrics == json.loads(json.dumps(whole.metrics))
    model, test = Model.load(whole.folder), load_test(source)
    guesses = model.logits(test.pixels).argmax(1)
    confusion = np.zeros((4, 4), int)
    np.add.at(confusion, (test.labels, guesses), 1)
    assert metrics["test"]["confusion"] == confusion.tolist()
    assert metrics["test"]["error"] == pytest.approx((guesses != test.labels).mean())
    assert metrics["test"]["images"] == 40 and metrics["test"]["classes"] == ["0", "1", "2", "3"]
    assert metrics["validation"] is None and metrics["images"] == 100
    assert metrics["source"] == {"trial": 7} and metrics["format"] == "frugalnas/metrics" and metrics["version"] == 1
    count = model.architecture.space.count(model.architecture.genotype)
    assert (metrics["params"], metrics["macs"]) == (count.params, count.macs)
    assert [epoch["epoch"] for epoch in metrics["epochs"]] == [1, 2, 3, 4]
    assert metrics["epochs"][0]["loss"] > metrics["epochs"][-1]["loss"]
    assert Architecture.load(whole.folder / "architecture.json") == model.architecture
    assert (model.architecture.space.in_channels, model.architecture.space.resolution) == (1, 8)
    assert model.notes["recipe"]["ema"] == 0.9 and model.notes["seed"] == 3


def test_validation_images_are_kept_out_and_measured_every_epoch(source: DataSource, tmp_path: Path) -> None:
    metrics = begun(source, tmp_path / "out", validate=True, epochs=2).metrics
    assert metrics["images"] == 80 and metrics["validation"]["images"] == 20 and metrics["test"]["images"] == 40
    errors = [epoch["validation_error"] for epoch in metrics["epochs"]]
    assert len(errors) == 2 and errors[-1] == metrics["validation"]["error"]


def test_without_test_images_the_validation_part_is_scored_in_their_place(tmp_path: Path) -> None:
    source = DataSource(str(images(tmp_path / "some.npz", count=60)))
    trained = begun(source, tmp_path / "out", epochs=1)
    assert trained.metrics["test"] is None and trained.metrics["images"] == 48
    assert trained.metrics["validation"]["images"] == 12
    assert "no test images" in (trained.folder / "model.html").read_text()


def test_an_auxiliary_head_is_trained_with_and_left_out_of_the_model(source: DataSource, tmp_path: Path) -> None:
    recipe = replace(RECIPE, auxiliary=0.4)
    trained = begun(replace(source, resolution=16), tmp_path / "out", recipe=recipe, epochs=1)
    names = load_file(trained.folder / "model.safetensors").keys()
    assert not [name for name in names if "auxiliary" in name]
    assert not trained.model.architecture.space.auxiliary and trained.model.shape == (1, 16, 16)


def test_the_pixels_of_a_recipe_are_scaled_to_the_images(
    source: DataSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes = []
    real = run.epochs_of
    monkeypatch.setattr(run, "epochs_of", lambda *given, **rest: recipes.append(given[3]) or real(*given, **rest))
    begun(source, tmp_path / "a", recipe=Recipe(batch=64, cutout=16, crop_padding=4, resolution=32), epochs=1)
    begun(source, tmp_path / "b", recipe=Recipe(batch=64, cutout=3, crop_padding=2), epochs=1)
    assert [(recipe.cutout, recipe.crop_padding) for recipe in recipes] == [(4, 1), (3, 2)]


def test_progress_tells_how_far_it_is(source: DataSource, tmp_path: Path) -> None:
    told: list[Any] = []
    begun(source, tmp_path / "out", epochs=2, validate=True, progress=told.append)
    assert [entry["epoch"] for entry in told] == [1, 1, 1, 2, 2, 2]
    assert [entry["progress"] for entry in told] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1])
    assert told[0]["validation_error"] is None and 0 <= told[-1]["validation_error"] <= 1
    assert told[-1]["left"] == 0 < told[0]["left"] and told[-1]["seconds"] > told[0]["seconds"]


# --- how it goes on


class Killed(BaseException):
    """What a SIGKILL is to the code: nothing after it writes anything any more."""


def kill_at(monkeypatch: pytest.MonkeyPatch, number: int, after: bool) -> None:
    """Let the process die just before, or just `after`, file `number` gets its name."""
    real, written = Path.replace, [0]

    def replaced(self: Path, target: Path) -> Path:
        written[0] += 1
        if written[0] > number or (written[0] == number and not after):
            raise Killed
        real(self, target)
        if written[0] == number:
            written[0] += 1
            raise Killed
        return Path(target)

    monkeypatch.setattr(Path, "replace", replaced)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(1, 10))
def test_killed_at_any_file_it_ends_with_the_same_bits(
    number: int, after: bool, source: DataSource, whole: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    with monkeypatch.context() as dying, pytest.raises(Killed):
        kill_at(dying, number, after)
        begun(source, tmp_path / "out")
    if number == 1 and not after:
        with pytest.raises(InputError, match="holds no training"):
            resume(tmp_path / "out")
    trained = begun(source, tmp_path / "out") if number % 2 else resume(tmp_path / "out")
    assert_same(trained, whole)


SCRIPT = """
import sys, time, torch
from pathlib import Path
torch.set_num_threads(1)
from frugalnas import training
from frugalnas.training import run
from test_training_folder import ARCHITECTURE, RECIPE
from frugalnas.tasks.data import DataSource
run.SECONDS_BETWEEN_CHECKPOINTS = 0.0
pause = lambda told: time.sleep(0.1)  # so that the kill comes in time
training.train(ARCHITECTURE, DataSource(sys.argv[1]), RECIPE, epochs=4, seed=3, out=Path(sys.argv[2]), progress=pause)
"""


def test_a_real_sigkill_costs_no_more_than_the_epoch(source: DataSource, whole: Trained, tmp_path: Path) -> None:
    out = tmp_path / "out"
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, source.source, str(out)], env=environment)
    try:
        deadline = time.monotonic() + 60
        while epochs_in(out) < 2 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL and 2 <= epochs_in(out) < 4
    assert_same(resume(out), whole)


def epochs_in(folder: Path) -> int:
    try:
        with safe_open(folder / "checkpoint.safetensors", framework="pt") as opened:
            return len(json.loads(opened.metadata()["frugalnas"])["content"]["epochs"])
    except FileNotFoundError:
        return 0


def stop_in(epoch: int, with_: BaseException) -> Callable[[Any], None]:
    def progress(told: Any) -> None:
        if told["epoch"] == epoch:
            raise with_

    return progress


def test_control_c_keeps_every_whole_epoch(source: DataSource, whole: Trained, tmp_path: Path) -> None:
    for epoch in (2, 2, 4):  # the second time is at once after the first
        with pytest.raises(KeyboardInterrupt, match=rf"go on with: frugalnas resume {tmp_path}"):
            begun(source, tmp_path / "out", progress=stop_in(epoch, KeyboardInterrupt()))
        assert epochs_in(tmp_path / "out") == epoch - 1
    assert_same(resume(tmp_path / "out"), whole)


def test_a_full_disk_loses_nothing(
    source: DataSource, whole: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    real, written = os.fsync, [0]

    def full(file: int) -> None:
        written[0] += 1
        if written[0] > 6:  # training.json and two epochs, each with its name
            raise OSError(28, "No space left on device")
        real(file)

    with monkeypatch.context() as patch, pytest.raises(InputError, match="cannot write .*No space left"):
        patch.setattr("os.fsync", full)
        begun(source, tmp_path / "out")
    assert epochs_in(tmp_path / "out") == 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"training.json", "checkpoint.safetensors", ".lock"}
    assert_same(resume(tmp_path / "out"), whole)


def test_a_finished_training_is_only_read(whole: Trained, source: DataSource, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.folder.iterdir() if path.name != ".lock"}
    monkeypatch.setattr(run, "prepared", lambda *_: pytest.fail("trained again"))
    for again in (resume(whole.folder), begun(source, whole.folder), begun(source, whole.folder, source={"trial": 8})):
        assert again.metrics == json.loads(json.dumps(whole.metrics))
    assert before == {path: path.stat().st_mtime_ns for path in before}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 5}, "budget.epochs = 4, not 5"),
        ({"epochs": None, "minutes": 1.0}, "budget.epochs = 4, not None"),
        ({"seed": 4}, "seed = 3, not 4"),
        ({"recipe": replace(RECIPE, lr=0.2)}, "recipe.lr = 0.1, not 0.2"),
        ({"validate": True}, "validate = False, not True"),
        ({"architecture": Architecture(replace(SPACE, channels=5), ARCHITECTURE.genotype)}, "architecture.space.chann"),
    ],
)
def test_other_settings_are_refused(changes: Any, words: str, whole: Trained, source: DataSource) -> None:
    with pytest.raises(InputError, match=f"holds a training with {words}.*another --out"):
        begun(source, whole.folder, **changes)


def test_changed_images_are_refused(source: DataSource, tmp_path: Path) -> None:
    copy = tmp_path / "copy.npz"
    for name in ("x_train", "x_test"):
        copy.write_bytes(Path(source.source).read_bytes())
        with pytest.raises(KeyboardInterrupt):
            begun(DataSource(str(copy)), tmp_path / name, progress=stop_in(2, KeyboardInterrupt()))
        with np.load(copy) as old:
            arrays = {key: old[key].copy() for key in old}
        arrays[name][0, 0, 0] ^= 1
        np.savez(copy, **arrays)
        with pytest.raises(InputError, match="images of .*copy.npz' have changed"):
            resume(tmp_path / name)


def test_a_second_process_is_refused(source: DataSource, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"), pytest.raises(InputError, match="another process is training there"):
        begun(source, tmp_path / "out")


def test_a_damaged_checkpoint_is_named(source: DataSource, tmp_path: Path) -> None:
    out, file = tmp_path / "out", tmp_path / "out" / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        begun(source, out, progress=stop_in(3, KeyboardInterrupt()))
    sound = file.read_bytes()
    for damaged in (b"", sound[:-1], sound[: len(sound) // 2], b"x" * 100):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match=r"checkpoint\.safetensors is damaged"):
            resume(out)
    for place in (len(sound) // 2, len(sound) - 1):
        file.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
        with pytest.raises(InputError, match="does not match its checksum"):
            resume(out)
    with pytest.raises(KeyboardInterrupt):
        begun(source, tmp_path / "other", seed=4, progress=stop_in(3, KeyboardInterrupt()))
    file.write_bytes((tmp_path / "other" / "checkpoint.safetensors").read_bytes())
    with pytest.raises(InputError, match="belongs to another training"):
        resume(out)


@pytest.mark.parametrize(
    "forged",
    [
        {"epochs": [{"epoch": 1}]},
        {"epochs": [{"epoch": 7, "loss": 1.0, "lr": 0.1, "seconds": 1.0, "images": 100}]},
        {"epochs": [{"epoch": 1, "loss": "<script>", "lr": 0.1, "seconds": 1.0, "images": 100}]},
        {"epochs": 7},
        {"seconds": 1e999},
        {"budget": {"epochs": 10, "hours": 3}},
    ],
)
def test_a_checkpoint_that_adds_up_and_is_untrue_is_refused(
    forged: dict[str, Any], source: DataSource, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        begun(source, tmp_path, progress=stop_in(2, KeyboardInterrupt()))
    path = tmp_path / "checkpoint.safetensors"
    with safe_open(path, framework="pt") as opened:
        state = json.loads(opened.metadata()["frugalnas"])
    state["content"] |= forged
    tensors, text = load_file(path), json.dumps(state)
    path.write_bytes(checkpoint.save(tensors, {"frugalnas": text, "sum": checkpoint._checksum(tensors, text)}))
    with pytest.raises(InputError, match="checkpoint.safetensors holds no training"):
        resume(tmp_path)


@pytest.mark.parametrize("content", ["", "{}", "[]", "nonsense", '{"format": "frugalnas/training", "version": 2}'])
def test_a_damaged_settings_file_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "training.json").write_text(content)
    with pytest.raises(InputError, match="says nothing of a training"):
        resume(tmp_path)


def test_a_training_of_another_version_does_not_go_on(source: DataSource, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        begun(source, tmp_path / "out", progress=stop_in(2, KeyboardInterrupt()))
    file = tmp_path / "out" / "training.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"frugalnas": "0.0.9"}))
    with pytest.raises(InputError, match=r"pip install frugalnas==0\.0\.9"):
        resume(tmp_path / "out")


def test_nothing_is_written_where_something_is_wrong_with_the_arguments(source: DataSource, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for changes, words in (
        ({"epochs": 0}, "epochs = 0"),
        ({"epochs": None}, "either epochs or minutes"),
        ({"minutes": 1.0}, "either epochs or minutes"),
        ({"epochs": None, "minutes": 0.01}, "minutes = 0.01: reading the images and scoring them takes"),
        ({"seed": -1}, "seed = -1"),
        ({"device": "cuda:77"}, "device 'cuda:77'"),
    ):
        with pytest.raises(InputError, match=words):
            begun(source, out, **changes)
    with pytest.raises(InputError, match="no data set, folder or file"):
        begun(DataSource("fashion-minni"), out)
    assert not out.exists()
    (out).mkdir()
    (out / "journal.jsonl").touch()
    with pytest.raises(InputError, match="holds a search"):
        begun(source, out)


@pytest.mark.parametrize(("batch", "words"), [(32, "loss became"), (128, "the training made .* NaN or infinite")])
def test_a_loss_that_is_not_a_number_leaves_the_last_good_epoch(
    batch: int, words: str, source: DataSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(loop, "rate", lambda recipe, progress: 0.01 if progress < 0.5 else 1e39)
    with pytest.raises(InputError, match=f"{words}.*recipe.lr is 0.1: a lower one"):
        begun(source, tmp_path / "out", recipe=replace(RECIPE, batch=batch, clip=0.0))
    assert epochs_in(tmp_path / "out") == 2


# --- how long it takes


def test_minutes_are_kept_with_the_cosine_at_its_end(source: DataSource, tmp_path: Path) -> None:
    start = time.monotonic()
    metrics = begun(source, tmp_path / "out", epochs=None, minutes=3 / 60).metrics
    assert metrics["seconds"] <= time.monotonic() - start < 3.3
    assert metrics["seconds"] > 1.5 and len(metrics["epochs"]) > 2
    rates = [epoch["lr"] for epoch in metrics["epochs"]]
    assert rates == sorted(rates, reverse=True) and rates[-1] < 0.02 * RECIPE.lr


def test_a_resumed_training_has_only_what_is_left_of_its_minutes(
    source: DataSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "WRITING", 0.0)
    budget = {"epochs": None, "minutes": 0.05}
    with pytest.raises(KeyboardInterrupt):
        begun(source, tmp_path / "out", **budget, progress=stop_at(0.6))
    time.sleep(0.5)  # does not count
    told: list[Any] = []
    trained = train(ARCHITECTURE, source, RECIPE, minutes=0.05, seed=3, out=tmp_path / "out", progress=told.append)
    assert told[0]["progress"] > 0.4
    assert trained.metrics["seconds"] > 2.5


def stop_at(share: float) -> Callable[[Any], None]:
    def progress(told: Any) -> None:
        if told["progress"] >= share:
            raise KeyboardInterrupt

    return progress


def test_an_epoch_that_does_not_fit_is_cut() -> None:
    pixels = torch.randint(0, 256, (20_000, 1, 8, 8), dtype=torch.uint8)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 4))
    recipe = Recipe(batch=2, crop_padding=0)
    start = time.monotonic()
    (epoch,) = loop.fit(network, pixels, torch.zeros(20_000, dtype=torch.long), recipe, Budget(minutes=0.01), 0)
    assert time.monotonic() - start < 2 and 2 <= epoch.images < 20_000 and epoch.lr < 0.01 * recipe.lr
