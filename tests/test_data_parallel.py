"""One training in several processes: the same curve as in one, whatever happens to them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from torch import nn

from frugalnas.model import Model
from frugalnas.tasks.augment import measure
from frugalnas.tasks.loop import fit
from frugalnas.tasks.ranks import Ranks
from frugalnas.tasks.recipe import Budget, Recipe
from frugalnas.training import resume
from shared_trainings import NONES, TRAININGS, begun
from tiny import images

CLOSE = 1e-3  # relative: the order of the sums over a batch differs, and 20 steps make more of that
FILES = {"training.json", "metrics.json", "model.safetensors", "architecture.json", "model.html", ".lock"}
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}


class Stop(BaseException):
    """Ends a training at once."""


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, the trainings of one process in alone/, and those that two have shared."""
    folder = tmp_path_factory.mktemp("shared")
    with np.load(images(folder / "test.npz", seed=1, count=40)) as other:
        tests = {"x_test": other["x_train"], "y_test": other["y_train"]}
    images(folder / "images.npz", count=130, **tests)  # of which 104 are trained on: the last batch has 8

    def stop(told: Mapping[str, Any]) -> None:
        if told["epoch"] == 3:
            raise Stop

    with pytest.raises(Stop):
        begun(folder, "half", stop)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    script = Path(__file__).with_name("shared_trainings.py")
    done = subprocess.run([*torchrun, script, folder], env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, Mapping[str, Any]]:
    """What the trainings come to in one process."""
    (folder / "alone").mkdir()
    (folder / "alone" / "images.npz").hardlink_to(folder / "images.npz")
    return {name: begun(folder / "alone", name) for name in TRAININGS}


@pytest.fixture(scope="module")
def shared(folder: Path) -> list[dict[str, Any]]:
    """What the trainings came to, in each of the two processes."""
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def losses(metrics: Mapping[str, Any]) -> list[float]:
    return [value for epoch in metrics["epochs"] for value in (epoch["loss"], 1 + epoch["validation_error"])]


@pytest.mark.parametrize(("name", "close"), [("whole", CLOSE), ("half", CLOSE), ("nones", CLOSE), ("parts", 0.02)])
def test_two_processes_have_the_curve_of_one(
    name: str, close: float, folder: Path, alone: dict[str, Mapping[str, Any]], shared: list[dict[str, Any]]
) -> None:
    """`half` was begun by one process, `nones` has weights without a gradient, `parts` has bfloat16, which rounds."""
    one, two = alone["whole" if name == "half" else name], shared[0][name]
    assert losses(two) == pytest.approx(losses(one), rel=close)
    assert two["test"]["loss"] == pytest.approx(one["test"]["loss"], rel=10 * close)
    assert [epoch["images"] for epoch in two["epochs"]] == [104] * len(one["epochs"])
    assert shared[1][name] == two
    assert {path.name for path in (folder / name).iterdir()} == FILES


def test_a_finished_training_is_the_same_in_all_processes(shared: list[dict[str, Any]]) -> None:
    assert shared[0]["again"] == shared[1]["again"] == shared[0]["whole"]


def test_a_training_that_was_stopped_goes_on_in_one_process(
    folder: Path, alone: dict[str, Mapping[str, Any]], shared: list[dict[str, Any]]
) -> None:
    """SIGTERM to the first process ended both, after the same step."""
    assert all(f"frugalnas resume {folder / 'stopped'}" in each["stopped"] for each in shared)
    with pytest.raises(Stop):
        resume(folder / "stopped", lambda told: at(told, 3))
    assert losses(resume(folder / "stopped").metrics) == pytest.approx(losses(alone["whole"]), rel=CLOSE)


def at(told: Mapping[str, Any], epoch: int) -> None:
    """Stop, having seen that this is the epoch that the training goes on with."""
    assert told["epoch"] == epoch
    raise Stop


def test_a_loss_that_is_nan_in_one_process_ends_all_with_one_line(shared: list[dict[str, Any]]) -> None:
    (kind, line), (other_kind, other_line) = (each["poisoned"] for each in shared)
    assert (kind, other_kind) == ("InputError", "Elsewhere") and line == other_line
    assert re.match(r"the training loss became nan \(epoch 2, step 5\).*--set recipe.lr=0.005", line)


def test_the_first_process_says_when_the_time_is_over(shared: list[dict[str, Any]]) -> None:
    assert shared[0]["timed"] == shared[1]["timed"] > 64


def test_batch_normalisation_is_over_the_images_of_all_processes(shared: list[dict[str, Any]]) -> None:
    assert max(each["normalised"] for each in shared) < 1e-5


def test_a_process_sees_that_another_is_gone(folder: Path, shared: list[dict[str, Any]]) -> None:
    assert (folder / "lost").exists()


def test_a_process_that_is_killed_ends_the_command_in_one_line_and_the_training_goes_on(folder: Path) -> None:
    out = folder / "killed"
    command = ["-m", "frugalnas", "train", "EEEA-C", "--channels", "4", "--cells", "3", "--data"]
    options = ["--epochs", "10000", "--processes", "2", "--out", str(out)]
    running = subprocess.Popen(
        [sys.executable, *command, str(folder / "images.npz"), *options],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not (out / "training.json").exists() and time.monotonic() < deadline and running.poll() is None:
            time.sleep(0.05)
        ranks = {child.environ().get("RANK"): child for child in psutil.Process(running.pid).children()}
        ranks["1"].kill()
        _, said = running.communicate(timeout=60)
    finally:
        running.kill()
    assert said == f"frugalnas: process 1 of the training was ended by SIGKILL; go on with: frugalnas resume {out}\n"
    assert running.returncode == 1 and not ranks["0"].is_running()
    with pytest.raises(Stop):
        resume(out, lambda told: at(told, 1))


def test_gradients_that_are_added_up_are_those_of_the_whole_batch_without_batch_normalisation() -> None:
    pixels = torch.randint(256, (50, 3, 8, 8), dtype=torch.uint8, generator=torch.manual_seed(0))
    recipe, weights = Recipe(batch=16, mixup=0.5, cutmix=0.5, crop_padding=1), []
    for norm in (nn.Identity, nn.BatchNorm2d):
        for accumulate in (1, 8):
            torch.manual_seed(0)
            network = nn.Sequential(nn.Conv2d(3, 4, 3), norm(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
            its = Recipe(**(vars(recipe) | {"accumulate": accumulate}))
            fit(network, pixels, torch.arange(50) % 3, its, Budget(3), 0, measure(pixels))
            weights.append(network[-1].weight.detach())
    assert torch.allclose(weights[0], weights[1], atol=1e-5)
    assert not torch.allclose(weights[2], weights[3], atol=1e-3)


def test_every_image_is_in_the_part_of_one_process() -> None:
    places = torch.arange(7)
    parts = [Ranks(rank, 3).part(places) for rank in range(3)]
    assert torch.equal(torch.cat([part for part, _, _ in parts]), places)
    for part, before, after in parts:
        assert (before, after) == (int(part[0]), 6 - int(part[-1]))


def test_weights_without_a_gradient_are_known() -> None:
    network = NONES.space.build(NONES.genotype)
    network(torch.zeros(2, 3, 32, 32)).sum().backward()
    without = {name for name, weight in network.named_parameters() if weight.grad is None}
    joint = Ranks(0, 2).joint(NONES.space.build(NONES.genotype), (3, 32, 32))
    assert without == {name for name, weight in joint.named_parameters() if not weight.requires_grad} != set()


def test_a_model_is_the_same_file_whoever_trained_it(folder: Path, shared: list[dict[str, Any]]) -> None:
    model = Model.load(folder / "whole")
    assert not [name for name in model.network.state_dict() if name.startswith("module.")]
