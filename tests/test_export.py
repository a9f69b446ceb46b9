"""Every network exports, every export is run, and what is wrong with one is said and not shipped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from frugalnas import export as exporting
from frugalnas.core import InputError
from frugalnas.export import FORMATS, check, export, missing, to_onnx
from frugalnas.export.deployed import deployed
from frugalnas.export.source import renamed, source
from frugalnas.layers.plan import OPERATIONS
from frugalnas.model import Model
from frugalnas.spaces.architecture import Architecture
from frugalnas.spaces.cell import CellSpace
from frugalnas.spaces.macro import MacroSpace
from frugalnas.spaces.nasbench101 import NasBench101
from frugalnas.spaces.nasbench201 import NasBench201
from frugalnas.spaces.nasbench_macro import NasBenchMacro
from frugalnas.spaces.nats_size import NatsSize
from frugalnas.tasks.augment import Normalise, measure
from frugalnas.tasks.data import DataSource, load_test, load_train
from frugalnas.tasks.images import Images
from tiny import run

ALL = tuple(OPERATIONS)
PAIRS = ALL + ALL[: len(ALL) % 2]
EVERY = [(name, place % 2) for place, name in enumerate(PAIRS)]  # stride 1 in the normal cell, 2 in the reduction cell
NOTHING = [("none", 0), ("none", 1), ("skip_connect", 0), ("none", 1), ("avg_pool_3x3", 2), ("max_pool_3x3", 1)]
LARGE = {"stem": "imagenet", "in_channels": 3, "resolution": 37, "auxiliary": True}
NETWORKS = {
    "every operation": (EVERY, EVERY, {"cells": 4, "in_channels": 3, "resolution": 15}),
    "every operation, one channel": (EVERY, EVERY, {"channels": 1, "classes": 2, "resolution": 8}),
    "every operation, imagenet stem": (EVERY, EVERY, LARGE),
    "zeros": (NOTHING, NOTHING, {"resolution": 7}),
    "squeeze-and-excitation": (EVERY[2:8], EVERY[2:8], {"cells": 4, "increment": 2, "squeeze": 4}),
    "squeeze-and-excitation of few channels": (EVERY[2:8], EVERY[2:8], {"squeeze": 64}),
    "inputs in the output": (NOTHING, EVERY[:6], {"concat": ((0, 3, 4), (1, 2, 0)), "resolution": 9}),
    "not all states used": (EVERY[:6], NOTHING, {"concat": ((2,), (1,)), "classes": 37}),
}

for name in ("onnx", "onnxruntime"):
    pytest.importorskip(name, reason="ONNX is an extra: pip install 'frugalnas[export]'")


@pytest.fixture(autouse=True)
def short_timing(monkeypatch):
    monkeypatch.setattr(check, "TIMING_S", 0.0)


def fresh(normal, reduce, settings) -> Model:
    """A network of two cells, as `fresh_of` has it."""
    usual = {"channels": 3, "cells": 3, "in_channels": 1, "resolution": 12}
    space = CellSpace(ALL, **{**usual, **settings}, blocks=len(normal) // 2, inputs="full")
    return fresh_of(space, space.encode(normal, reduce))


def fresh_of(space, genotype) -> Model:
    """A network with random weights and, so that folding them matters, random statistics of its normalisations."""
    torch.manual_seed(0)
    network = space.build(genotype)
    for norm in (module for module in network.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.running_mean.normal_(0, 0.3)
        norm.running_var.uniform_(0.5, 2)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, 0, 0.3)
    normalise = Normalise(torch.linspace(0.2, 0.5, space.in_channels), torch.linspace(0.2, 0.4, space.in_channels))
    classes = tuple(f"class {number}" for number in range(space.classes))
    architecture = Architecture(space, genotype)
    return Model(architecture, network.eval().to(memory_format=torch.channels_last), classes, normalise)


def noise(model: Model, count: int = 20) -> Images:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, *model.shape)).astype(np.uint8)
    return Images(pixels, rng.integers(0, len(model.classes), count), model.classes, "noise")


def trained() -> Model:
    """A small network that knows most of the shipped clothes."""
    images = load_train(DataSource(resolution=14))
    normal = [("sep_conv_3x3", 0), ("max_pool_3x3", 1), ("inv_res_3x3", 1), ("avg_pool_3x3", 2)]
    reduce = [("dil_conv_3x3", 0), ("avg_pool_3x3", 1), ("conv_7x1_1x7", 1), ("skip_connect", 0)]
    space = CellSpace(ALL, blocks=2, inputs="full", channels=8, cells=3, in_channels=1, resolution=14)
    torch.manual_seed(0)
    network = space.build(space.encode(normal, reduce))
    pixels, labels = torch.from_numpy(images.pixels.copy()), torch.from_numpy(images.labels.copy())
    normalise = measure(pixels)
    optimiser = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    for picks in torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0)).split(64)[:60]:
        optimiser.zero_grad()
        F.cross_entropy(network(normalise(pixels[picks])), labels[picks]).backward()
        optimiser.step()
    notes = {"data": {"source": "fashion-mini"}}
    architecture = Architecture(space, space.encode(normal, reduce))
    return Model(architecture, network.eval(), images.classes, normalise, notes)


@pytest.fixture(scope="module")
def model() -> Model:
    return trained()


@pytest.fixture(scope="module")
def clothes() -> Images:
    return load_test(DataSource(resolution=14)).at(np.arange(400))


@pytest.fixture
def folder(model, tmp_path) -> Path:
    (tmp_path / "model").mkdir()
    model.save(tmp_path / "model" / "model.safetensors")
    return tmp_path / "model"


def test_the_networks_of_this_test_have_every_operation_at_both_strides():
    for edges in (EVERY, [*EVERY, *NOTHING]):
        assert {name for name, _ in edges} == set(OPERATIONS)
    assert ("none", 0) in NOTHING[:2]  # a block of nothing else


SMALL = {"channels": 4, "in_channels": 1, "resolution": 9}
GRAPHS = {
    "macro, residual": (MacroSpace(nodes=3, **SMALL), (1, 1, 0, 1, 1, 0, 1, 0, 0, 0, 0, 1)),
    "macro, dense": (MacroSpace(nodes=3, decoder="dense", **SMALL), (1, 0, 1, 0, 1, 1, 1, 1, 0, 1, 0, 1)),
    "macro, no phase": (MacroSpace(nodes=2, **SMALL), (0, 1) * 3),
    "nasbench101, channels taken": (NasBench101(vertices=5, cells=1, **SMALL), (1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 0, 1, 2)),
    "nasbench201": (NasBench201(cells=1, **SMALL), (3, 4, 1, 0, 2, 1)),
    "nasbench201, zeros and edges that do not run": (NasBench201(cells=1, **SMALL), (0, 1, 2, 3, 4, 0)),
    "nasbench_macro": (NasBenchMacro(**SMALL), (0, 1, 1, 2, 0, 2, 2, 1)),
    "nats_size": (NatsSize(**SMALL), (0, 7, 3, 3, 5)),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_networks_of_every_kind_of_graph_export(name, tmp_path):
    model = fresh_of(*GRAPHS[name])
    found = export(model, ["onnx", "onnx-int8", "torch-export", "python"], tmp_path, noise(model))
    spread = np.ptp(model.logits(noise(model).pixels))
    for each in found:
        assert each.error == ""
        assert each.largest_difference < (0.1 * spread if each.format == "onnx-int8" else 1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_exports_to_onnx_and_python(name, tmp_path):
    model = fresh(*NETWORKS[name])
    images = noise(model)
    found = export(model, ["onnx", "python"], tmp_path, images)
    expected = model.logits(images.pixels)
    assert np.ptp(expected, axis=0).max() > 1e-3  # the logits depend on the image
    for each in found:
        assert each.error == ""
        assert each.largest_difference < 1e-5
        assert each.agreement == 1.0
        assert each.bytes == sum(file.stat().st_size for file in each.files)
        assert each.latency_ms > 0


def test_torch_export_takes_batches_of_any_size(tmp_path):
    model = fresh(EVERY, EVERY, {})
    (each,) = export(model, ["torch-export"], tmp_path, noise(model))
    assert each.error == ""
    assert each.largest_difference < 1e-5
    network = torch.export.load(tmp_path / "model.pt2").module()
    assert [len(network(torch.zeros(count, *model.shape))) for count in (1, 2, 5)] == [1, 2, 5]


def test_the_deployed_network_is_the_same_without_batch_normalisation():
    model = fresh(EVERY, EVERY, LARGE)
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    for scaled_means in (False, True):
        network = deployed(model, scaled_means)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
        assert not any("auxiliary" in key for key in network.state_dict())
        logits = network(torch.from_numpy(noise(model).pixels).float())
        assert np.abs(logits.numpy() - model.logits(noise(model).pixels)).max() < 1e-5
    assert all(torch.equal(before[name], tensor) for name, tensor in model.network.state_dict().items())


def test_onnx_has_a_free_batch_folded_convolutions_and_its_classes(model, clothes, tmp_path):
    import onnx
    import onnxruntime

    export(model, ["onnx"], tmp_path, clothes)
    graph = onnx.load(tmp_path / "model.onnx")
    assert "BatchNormalization" not in {node.op_type for node in graph.graph.node}
    assert json.loads({each.key: each.value for each in graph.metadata_props}["classes"]) == list(model.classes)
    assert graph.opset_import[0].version == to_onnx.OPSET
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for count in (1, 7):
        (logits,) = session.run(["logits"], {"pixels": clothes.pixels[:count].astype(np.float32)})
        assert np.abs(logits - model.logits(clothes.pixels[:count])).max() < 1e-4


def test_onnx_is_written_without_the_deprecated_exporter(tmp_path, monkeypatch):
    def gone(*_):
        raise TypeError("export() got an unexpected keyword argument 'dynamo'")

    monkeypatch.setattr(to_onnx, "_traced", gone)
    model = fresh(*NETWORKS["zeros"])
    (each,) = export(model, ["onnx"], tmp_path, noise(model))
    assert each.error == ""
    assert each.largest_difference < 1e-5
    assert [file.name for file in tmp_path.glob("model.onnx*")] == ["model.onnx"]  # no second file with the weights


def test_int8_onnx_is_integers_and_nearly_as_good(model, clothes, tmp_path):
    import onnx
    import onnxruntime

    whole, small = export(model, ["onnx", "onnx-int8"], tmp_path, clothes, load_train(DataSource(resolution=14)))
    assert small.error == ""
    assert whole.accuracy == whole.eager_accuracy > 0.6
    assert small.agreement > 0.95
    assert small.accuracy > whole.accuracy - 0.03
    assert 0 < small.largest_difference < 0.1 * np.abs(model.logits(clothes.pixels)).max()
    assert small.bytes < 0.6 * whole.bytes
    graph = onnx.load(tmp_path / "model-int8.onnx").graph
    types = {constant.name: constant.data_type for constant in graph.initializer}
    made = {node.output[0]: node for node in graph.node}
    weights = [made[node.input[1]] for node in graph.node if node.op_type == "Conv"]
    assert weights
    assert {types[node.input[0]] for node in weights} == {onnx.TensorProto.INT8}
    sizes = {constant.name: list(constant.dims) for constant in graph.initializer}
    assert all(sizes[node.input[1]] == sizes[node.input[0]][:1] for node in weights)  # a scale for each channel
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(tmp_path / "model-int8.onnx", options, providers=["CPUExecutionProvider"])
    run_as = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert "Conv" not in run_as  # none is left in float32
    assert run_as.count("QLinearConv") == len(weights)


def test_int8_onnx_leaves_the_logits_of_unusual_images_alone(model, clothes, tmp_path):
    calm = clothes.at(np.argsort(np.abs(model.logits(clothes.pixels)).max(1))[:100])  # images of small logits
    (each,) = export(model, ["onnx-int8"], tmp_path, clothes, calm)
    assert each.largest_difference < 0.3 * np.abs(model.logits(clothes.pixels)).max()
    network = to_onnx.load_int8(tmp_path)
    largest = network(clothes.pixels.astype(np.float32)).max()
    assert largest > 1.05 * network(calm.pixels.astype(np.float32)).max()


def test_python_code_needs_torch_alone(model, clothes, tmp_path):
    hostile = replace(model, classes=('quo"te', "it's", '"""', "new\nline", "\\", "日本", "{x}", "", " ", "é"))
    export(hostile, ["python"], tmp_path, replace(clothes, classes=hostile.classes))
    np.save(tmp_path / "pixels.npy", clothes.pixels[:50].astype(np.float32))
    program = (
        "import sys; sys.modules['frugalnas'] = None; sys.path.insert(0, sys.argv[1])\n"
        "import json, numpy, torch\n"
        "from network import CLASSES, Network, load\n"
        "assert isinstance(load('weights.pt'), Network) and not Network()(torch.zeros(1, 1, 14, 14)).isnan().any()\n"
        "with torch.inference_mode(): logits = load('weights.pt')(torch.from_numpy(numpy.load('pixels.npy')))\n"
        "numpy.save('logits.npy', logits.numpy()); print(json.dumps(CLASSES))\n"
    )
    command = [sys.executable, "-I", "-c", program, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert tuple(json.loads(done.stdout)) == hostile.classes
    assert np.abs(np.load(tmp_path / "logits.npy") - model.logits(clothes.pixels[:50])).max() < 1e-5


@pytest.mark.parametrize("name", NETWORKS)
def test_source_is_formatted_and_has_every_weight(name, tmp_path):
    model = fresh(*NETWORKS[name])
    text = source(model.architecture, model.classes, [0.5], [0.25])
    (tmp_path / "network.py").write_text(text)
    for command in (["format", "--check"], ["check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--isolated", tmp_path]
        done = subprocess.run(ruff, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    keys = [renamed(key) for key in model.network.state_dict()]
    assert len(set(keys)) == len(keys)
    assert "frugalnas" not in text.replace("FrugalNAS", "")


def test_source_alone_takes_normalised_images(tmp_path, monkeypatch):
    model = fresh(*NETWORKS["every operation"])
    (tmp_path / "plain_network.py").write_text(source(model.architecture))
    monkeypatch.syspath_prepend(tmp_path)
    network = import_module("plain_network").Network().eval()
    network.load_state_dict({renamed(key): tensor for key, tensor in model.network.state_dict().items()})
    images = torch.randn(3, *model.shape)
    assert torch.allclose(network(images), model.network(images), atol=1e-5)


def test_an_inexact_export_is_an_error_and_leaves_no_file(model, clothes, tmp_path, monkeypatch):
    write, load = check.RUNTIMES["onnx"]
    wrong = {**check.RUNTIMES, "onnx": (write, lambda folder: lambda pixels: load(folder)(pixels) + 0.02)}
    monkeypatch.setattr(check, "RUNTIMES", wrong)
    (tmp_path / "model.onnx").write_text("an earlier one")
    (each,) = export(model, ["onnx"], tmp_path, clothes)
    assert "differs by 0.02 from torch" in each.error
    assert each.files == ()
    assert not (tmp_path / "model.onnx").exists()
    (recorded,) = json.loads((tmp_path / "export.json").read_text())["exports"]
    assert recorded["error"] == each.error
    assert recorded["largest_difference"] == pytest.approx(0.02, rel=0.1)


def test_logits_that_are_not_numbers_are_an_error(model, clothes, tmp_path, monkeypatch):
    write, load = check.RUNTIMES["onnx-int8"]
    wrong = {**check.RUNTIMES, "onnx-int8": (write, lambda folder: lambda pixels: load(folder)(pixels) * np.nan)}
    monkeypatch.setattr(check, "RUNTIMES", wrong)
    (each,) = export(model, ["onnx-int8"], tmp_path, clothes)
    assert each.error == "gives logits that are not finite"
    assert [path.name for path in tmp_path.glob("model*")] == []


def test_a_format_that_crashes_is_told_and_the_others_go_on(folder, monkeypatch, capfd):
    def crash(model, out, calibration):
        os.write(1, b"noise of a library\n")
        os.write(2, b"more noise\n")
        print("and of Python")
        raise ValueError("no such operator\nsecond line")

    monkeypatch.setattr(check, "RUNTIMES", {**check.RUNTIMES, "onnx": (crash, to_onnx.load)})
    assert run("export", folder, "--format", "onnx", "--format", "python", "--samples", "50") == 1
    printed = capfd.readouterr()
    log = folder / "export" / "onnx.log"
    assert printed.err == f"frugalnas: onnx failed: ValueError: no such operator (see {log})\n"
    assert "python" in printed.out
    assert "noise" not in printed.out
    for line in ("noise of a library", "more noise", "and of Python", "second line", "Traceback"):
        assert line in log.read_text()
    assert (folder / "export" / "network.py").exists()
    assert run("export", folder, "--format", "onnx", "--samples", "50") == 1
    monkeypatch.undo()
    assert run("export", folder, "--format", "onnx", "--samples", "50") == 0
    assert not log.exists()


def test_a_format_that_is_not_installed_says_what_to_install(folder, monkeypatch, capsys):
    there = exporting.find_spec
    gone = ("executorch", "torchao", "onnxruntime", "litert_torch", "ai_edge_litert", "ai_edge_quantizer")
    monkeypatch.setattr(exporting, "find_spec", lambda name: None if name in gone else there(name))
    assert missing("onnx") == "onnx needs onnxruntime: pip install 'frugalnas[export]'"
    assert run("export", folder, "--format", "executorch", "--format", "python") == 2
    assert "executorch needs executorch and torchao: pip install 'frugalnas[executorch]'" in capsys.readouterr().err
    assert not (folder / "export").exists()
    assert run("export", folder, "--samples", "20") == 0  # all that are installed
    printed = capsys.readouterr()
    assert "torch-export" in printed.out
    assert len([line for line in printed.err.splitlines() if "pip install" in line]) == 6
    model = Model.load(folder)
    (each,) = export(model, ["litert"], folder / "again", noise(model))
    assert (
        each.error
        == "litert needs litert_torch and ai_edge_litert and ai_edge_quantizer: pip install 'frugalnas[litert]'"
    )


def test_the_command_writes_beside_the_model_and_prints_facts(folder, capsys):
    assert run("export", folder / "model.safetensors", "--format", "onnx", "--samples", "60", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["part"] == "test"
    assert facts["images"] == {"source": "fashion-mini", "count": 60}
    assert facts["input"]["shape"] == ["N", 1, 14, 14]
    (each,) = facts["exports"]
    assert each["files"] == ["model.onnx"]
    assert 0.5 < each["accuracy"] < 1
    assert (folder / "export" / "labels.txt").read_text().splitlines()[1] == "Trouser"
    assert sorted(path.name for path in (folder / "export").iterdir()) == ["export.json", "labels.txt", "model.onnx"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "onyx"], "unknown format 'onyx': did you mean 'onnx'?"),
        (["--data", "no/such/folder"], "there is no data set, folder or file 'no/such/folder'"),
        (["--format", "python", "--out", "/dev/null/x"], "cannot write"),
    ],
)
def test_bad_input_is_one_line(folder, capsys, arguments, said):
    assert run("export", folder, *arguments) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1


def test_a_model_whose_images_are_gone_asks_for_others(model, tmp_path, capsys):
    replace(model, notes={"data": {"source": "gone/away"}}).save(tmp_path / "model.safetensors")
    assert run("export", tmp_path, "--format", "python") == 2
    assert "name some with --data" in capsys.readouterr().err
    assert run("export", tmp_path, "--format", "python", "--data", "fashion-mini", "--samples", "20") == 0


def test_images_of_another_size_or_other_classes_are_refused(model, tmp_path):
    with pytest.raises(InputError, match="images of"):
        export(model, ["python"], tmp_path, load_test(DataSource(resolution=16)))
    with pytest.raises(InputError, match="expected those of the model"):
        export(model, ["python"], tmp_path, noise(fresh(*NETWORKS["zeros"])))


def test_formats_and_runtimes_are_the_same():
    assert list(FORMATS) == list(check.RUNTIMES)
