"""Models, weights, multipliers, tables and the files of jobs from somebody else: read or refused, nothing else."""

from __future__ import annotations

import json
import pickle
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from torch import nn

import frugalnas
import frugalnas.assign.job
import frugalnas.compare.plan
import frugalnas.fit.settings
from frugalnas import config
from frugalnas.assign.files import read_assignment
from frugalnas.compare import runs
from frugalnas.core import InputError
from frugalnas.latency.table import Table
from frugalnas.model import Model
from frugalnas.multipliers import Multiplier
from frugalnas.proxies.rungs import with_ladder
from frugalnas.spaces.architecture import Architecture
from frugalnas.spaces.cell import CellSpace
from frugalnas.tables import read as read_table
from frugalnas.tasks import checkpoint
from frugalnas.tasks.augment import Normalise
from frugalnas.tasks.data import DataSource
from frugalnas.tasks.recipe import Recipe
from frugalnas.training.settings import Budget, Settings, settings_of
from frugalnas.weights import WeightSet
from hostile import MARKUP, TERMINAL, calm, changes, fuzz, soft, tensor_files
from tiny import images

jobs, plans, fits = (sys.modules[f"frugalnas.{name}"] for name in ("assign.job", "compare.plan", "fit.settings"))
SPACE = CellSpace(
    ("skip_connect", "max_pool_3x3"), blocks=1, channels=2, cells=3, in_channels=1, classes=4, resolution=8
)
ARCHITECTURE = Architecture(SPACE, (0,) * len(SPACE.domains))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good one of each file."""
    folder = tmp_path_factory.mktemp("good")
    network = SPACE.build(ARCHITECTURE.genotype).eval()
    classes = ("a", "b", "c", "d")
    Model(ARCHITECTURE, network, classes, Normalise(torch.zeros(1), torch.ones(1)), {"x": 1}).save(
        folder / "model.safetensors"
    )
    Multiplier.family(1, 0, 3).save(folder / "multiplier.safetensors")
    (folder / "checkpoint.safetensors").write_bytes(checkpoint.packed_weights(network, "x", {"a": 1}))
    weights = WeightSet(folder, 0)
    weights.begin(2)
    images(folder / "images.npz", count=8)
    return folder


def placed(here: Path, name: str, content: bytes | str) -> Path:
    folder = here / "bad"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return folder / name


@pytest.mark.parametrize("mean", [[None], [10**400], [float("nan")], ["0"], [0.0, 0.0], 0.0, []])
def test_a_model_of_no_normalisation(here, mean):
    with safe_open(here / "model.safetensors", framework="pt") as opened:
        content = json.loads(opened.metadata()["frugalnas"]) | {"mean": mean}
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    file = placed(here, "m.safetensors", checkpoint.save(tensors, {"frugalnas": json.dumps(content)}))
    with pytest.raises(InputError, match="expected 1 numbers each"):
        Model.load(file)


@fuzz(16)
@given(data=st.data())
def test_a_model_of_any_values(here, data):
    file = placed(
        here, "model.safetensors", data.draw(tensor_files((here / "model.safetensors").read_bytes(), ["frugalnas"]))
    )
    soft(Model.load, file)
    calm("predict", file, here / "images.npz")


@pytest.mark.parametrize("words", [MARKUP, TERMINAL])
def test_classes_of_a_model_have_any_name(here, tmp_path, words):
    model = Model.load(here / "model.safetensors")
    Model(model.architecture, model.network, (words, "=1+1", "c", "d"), model.normalise).save(
        tmp_path / "model.safetensors"
    )
    images(tmp_path / "images.npz", count=8, x=np.zeros((3, 8, 8), np.uint8))
    assert calm("predict", tmp_path / "model.safetensors", tmp_path / "images.npz").code == 0
    calm("evaluate", tmp_path / "model.safetensors", "--data", tmp_path / "images.npz")


@fuzz(30)
@given(data=st.data())
def test_weights_of_any_values(here, data):
    """Of trainings, and those that the networks of a search share."""
    file = placed(
        here, "c.safetensors", data.draw(tensor_files((here / "checkpoint.safetensors").read_bytes(), ["frugalnas"]))
    )
    soft(checkpoint.unpack_weights, file, SPACE.build(ARCHITECTURE.genotype), "x")
    shared = data.draw(tensor_files((here / "weights" / "shared.safetensors").read_bytes()))
    (here / "bad" / "weights").mkdir(exist_ok=True, parents=True)
    (here / "bad" / "weights" / "shared.safetensors").write_bytes(shared)
    before = sorted(here.rglob("*"))
    with suppress(InputError):
        WeightSet(here / "bad", 0).begin(2)
    assert sorted(here.rglob("*")) == before


@fuzz(20)
@given(data=st.data())
def test_weights_whose_checksum_adds_up(here, data):
    """Anybody can compute it: what they hold is another training's, or nothing of a training."""
    content = data.draw(changes({"training": 0, "content": {}, "averaged": None, "scaler": {}}))
    text = content.of({"training": checkpoint.zlib.crc32(b"x"), "content": {}, "averaged": None, "scaler": {}})
    names = data.draw(st.lists(st.sampled_from(["network.x", "average.x", "momentum.x", "x", ""]), unique=True))
    tensors = {name: torch.zeros(data.draw(st.integers(0, 3))) for name in names}
    metadata = {"frugalnas": text.encode("utf-8", "replace").decode(), "sum": ""}
    metadata["sum"] = checkpoint._checksum(tensors, metadata["frugalnas"])
    file = placed(here, "c.safetensors", checkpoint.save(tensors, metadata))
    soft(checkpoint.unpack_weights, file, nn.Linear(1, 1), "x")


@fuzz(8)
@given(data=st.data())
def test_a_multiplier_of_any_values(here, data):
    file = placed(
        here,
        "m.safetensors",
        data.draw(tensor_files((here / "multiplier.safetensors").read_bytes(), ["frugalnas.multiplier"])),
    )
    calm("show", file)
    for name in ("m.bin", "m.npy"):
        calm("show", placed(here, name, data.draw(st.binary(max_size=200))), "--power-mw", 1)


def _files() -> dict[str, tuple[Any, Any]]:
    """What the files of jobs hold, and what reads them."""
    data = {"data": {"source": "fashion-mini"}, "trials": 3}
    tree, twin = (config.resolve(name, layers=[data]) for name in ("eeea", "random"))
    formats = {module: {"format": module.FORMAT, "version": module.VERSION} for module in (plans, fits, jobs)}
    plan = {"searches": {"random": twin}, "seeds": 2}
    fit = {"search": tree, "minutes": 1.0, "epochs": 1, "recipe": asdict(Recipe()), "pick": "knee", "formats": []}
    job = asdict(jobs.Job("model", DataSource("fashion-mini")))
    run = runs.run_of(tree, [], "trials")
    settings = Settings(ARCHITECTURE, DataSource("fashion-mini"), Recipe(), Budget(1, None))
    version = frugalnas.__version__
    return {
        plans.FILE: (formats[plans] | {"frugalnas": version, "plan": plan}, lambda file: plans.read(file.parent)),
        fits.FILE: (formats[fits] | {"plan": fit, "done": {}, "seconds": 0.0}, lambda file: fits.read(file.parent)),
        jobs.FILE: (formats[jobs] | {"job": job}, lambda file: jobs.read(file.parent)),
        "training.json": (settings.to_json() | {"images": "x"}, lambda file: settings_of(file.parent)),
        "run.json": (asdict(run), lambda file: runs.read(file, tree)),
        "ladder.json": (
            {"format": "frugalnas/ladder", "version": 1, "fidelities": ["c4r2s1e1"], "space": tree["space"]},
            lambda file: with_ladder(tree, str(file)),
        ),
        "assignment.json": (
            {"format": "frugalnas/assignment", "version": 1},
            lambda file: read_assignment(file.parent),
        ),
        "latency.json": ({"format": "frugalnas/latency", "version": 1, "space": {}, "pieces": {}}, Table.load),
        "table.json": ({"format": "frugalnas/table", "space": {}, "networks": []}, lambda file: read_table(str(file))),
    }


FILES = _files()


@pytest.mark.parametrize("name", FILES)
def test_a_good_file_is_read(here, name):
    content, read = FILES[name]
    if name not in ("latency.json", "table.json", "assignment.json"):
        assert read(placed(here, name, json.dumps(content))) is not None


@pytest.mark.parametrize("name", FILES)
@fuzz(14)
@given(data=st.data())
def test_a_file_of_a_job_of_any_values(here, name, data):
    content, read = FILES[name]
    text = data.draw(changes(content)).of(content)
    read_table.cache_clear()
    soft(read, placed(here, name, text))


def test_a_training_of_an_infinite_seed(here):
    content, read = FILES["training.json"]
    with pytest.raises(InputError, match="says nothing of a training"):
        read(placed(here, "training.json", json.dumps(content | {"seed": float("inf")})))


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("owned",)


@fuzz(20)
@given(protocol=st.integers(0, 5), junk=st.binary(max_size=40), at=st.integers(0, 200), evil=st.booleans())
def test_a_pickled_table_is_plain_data_or_refused(here, protocol, junk, at, evil):
    content = pickle.dumps({"total_archs": 1, "x": Evil() if evil else [1.0]}, protocol)
    at %= len(content)
    for changed in (content, content[:at] + junk + content[at:]):
        read_table.cache_clear()
        soft(read_table, str(placed(here, "NATS-tss-v1_0-3ffb9.pickle.pbz2", changed)))


@pytest.mark.parametrize(
    "text", ["", "a,b\n" + "1," * 200_000, "\0", '"', "\x1f\x8b" + "x" * 50, "{" * 50_000, '{"a":' * 50_000]
)
def test_a_table_that_is_none(here, text):
    for name in ("table.csv", "table.json"):
        read_table.cache_clear()
        assert soft(read_table, str(placed(here, name, text))) is None
