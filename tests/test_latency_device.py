"""Latency that is really measured, on this device, by both runtimes: tables, kits, whole networks."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from frugalnas import choose, launch, store
from frugalnas.core import InputError
from frugalnas.latency import build, measure, onnx_file, runs
from frugalnas.latency.program import of_network, of_piece
from frugalnas.latency.table import Table
from frugalnas.layers.plan import OPERATIONS
from frugalnas.model import Model
from frugalnas.objectives.latency import pieces_of
from frugalnas.spaces.architecture import Architecture
from frugalnas.spaces.cell import CellSpace
from frugalnas.tasks.loop import Normalise
from test_latency import drawn, made_up, small_space
from tiny import SMALL, OneProcess, images, run

RUNTIMES = ("torch", "onnxruntime")
NEEDS = {"torch": ("torch",), "onnxruntime": ("onnx", "onnxruntime")}
ALONE = """
import runpy, sys
for name in sys.argv.pop(1).split():
    sys.modules[name] = None  # an import of it fails
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


@pytest.fixture(params=RUNTIMES)
def runtime(request) -> str:
    for package in NEEDS[request.param]:
        pytest.importorskip(package, reason=f"{request.param} is not installed")
    return str(request.param)


@pytest.fixture(autouse=True)
def hurried(monkeypatch) -> None:
    """As few calls as make a median; only what a kit does in a process of its own takes its time."""
    monkeypatch.setattr(measure, "ROUNDS", (2, 2))
    monkeypatch.setattr(measure, "WARM", 1)


def check(table: Table, space: CellSpace) -> None:
    """What any measurement of this space must have."""
    table.check(space)
    content = table.content
    assert content["pieces"].keys() == pieces_of(space).keys()
    assert all(0 < piece["ms"] < 1000 for piece in content["pieces"].values())
    assert (len(content["fitted"]), len(content["held_out"])) == (measure.CALIBRATION, build.HELD_OUT)
    for network in [*content["fitted"], *content["held_out"]]:
        assert table.cost(space, tuple(network["genotype"])) == pytest.approx(network["predicted_ms"], abs=1e-6)
        assert network["measured_ms"] > 0
    assert content["error"] == measure.error(content["held_out"]) and table.slower >= 0
    assert content["calibration"]["scale"] > 0


def test_a_table_of_this_device(runtime):
    space, told = small_space(), []
    table = build.build(space, runtime, progress=told.append)
    check(table, space)
    assert table.runtime == runtime and table.threads == 1 and runtime in table.text()
    assert told == sorted(told) and told[-1] == 1.0
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_larger_networks_take_longer(runtime):
    """The one comparison that no disturbance hides: a hundred times the work."""
    small = small_space()
    large = CellSpace(small.operations, blocks=2, channels=32, cells=9, in_channels=1, classes=4, resolution=32)
    a, b = runs.milliseconds([Architecture(s, (0,) * len(small.domains)) for s in (small, large)], runtime)
    assert 0 < a < b / 2


def test_a_measured_cost_is_that_of_the_network_and_leaves_torch_as_it_was(runtime):
    space, threads = small_space(), torch.get_num_threads()
    measured = runs.MeasuredCost(runtime, 1)
    (genotype,) = drawn(space, 1, seed=3)
    assert 0 < measured(space, genotype) < 1000 and measured(space, genotype) == measured(space, genotype)
    assert torch.get_num_threads() == threads and not torch.is_inference_mode_enabled()


def test_a_kit_needs_nothing_but_its_runtime(runtime, tmp_path):
    space = replace(small_space(), blocks=1)
    build.write_kit(space, runtime, tmp_path / "kit")
    blocked = "frugalnas pydantic " + ("torch onnx" if runtime == "onnxruntime" else "onnxruntime onnx numpy")
    command = [sys.executable, "-c", ALONE, blocked, "kit/measure.py", "--out", "t.json", "--seconds", "0"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "held-out networks: Spearman" in ended.stdout and "written: t.json" in ended.stdout
    table = Table.load(tmp_path / "t.json")
    check(table, space)
    assert table.runtime == runtime
    assert not list(tmp_path.rglob("*.part"))
    assert ("models" in {path.name for path in (tmp_path / "kit").iterdir()}) == (runtime == "onnxruntime")
    size = sum(path.stat().st_size for path in (tmp_path / "kit").rglob("*") if path.is_file())
    assert size < 3e6, "a kit is small"


def test_a_damaged_kit_is_refused(tmp_path):
    build.write_kit(small_space(), "torch", tmp_path / "kit")
    plan = tmp_path / "kit" / "plan.json"
    plan.write_text(plan.read_text().replace('"relu"', '"none"', 1))
    command = [sys.executable, "kit/measure.py", "--out", "t.json"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1 and "damaged" in ended.stderr and not (tmp_path / "t.json").exists()
    with pytest.raises(InputError, match="is there already"):
        build.write_kit(small_space(), "torch", tmp_path / "kit")


def test_onnx_models_do_all_the_work_of_the_network(tmp_path):
    """As onnxruntime runs them: no convolution is left out as a repeated one, batch normalisation is folded."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    sizes = {"channels": 5, "cells": 4, "resolution": 13, "increment": 2, "squeeze": 4}
    space = CellSpace(tuple(OPERATIONS), blocks=3, inputs="full", concat="unused", **sizes)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "optimised.onnx"), 3
    for genotype in drawn(space, 8):
        program = of_network(space.network(genotype))
        content = onnx_file.model(program)
        onnx.checker.check_model(content, full_check=True)
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        (logits,) = session.run(None, {"input0": np.ones((1, 3, 13, 13), np.float32)})
        assert logits.shape == (1, 10) and np.isfinite(logits).all()
        done = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
        steps = Counter(step["op"] for step in program["steps"])
        assert done["Conv"] + done["FusedConv"] == steps["conv"]
        assert done["ConstantOfShape"] == 0 and done["BatchNormalization"] <= steps["shift"]
        assert done["AveragePool"] <= steps["avg_pool"], "an equal pooling of the same map is done once"
        assert done["Mul"] == steps["product"] == steps["sigmoid"] == 4


def test_every_piece_as_an_onnx_model_has_its_shape():
    pytest.importorskip("onnx", reason="onnx is not installed")
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    space = CellSpace(tuple(OPERATIONS), 2, channels=5, cells=3, stem="imagenet", resolution=50, squeeze=2)
    for piece in pieces_of(space).values():
        session = onnxruntime.InferenceSession(onnx_file.model(of_piece(piece)), providers=["CPUExecutionProvider"])
        feed = {each.name: np.ones(each.shape, np.float32) for each in session.get_inputs()}
        (result,) = session.run(None, feed)
        assert (1, *piece.output) == result.shape + (1, 1) * (result.ndim == 2)


def test_a_missing_runtime_names_the_extra(monkeypatch):
    monkeypatch.setattr(runs, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs onnx and onnxruntime: pip install 'frugalnas\[export\]'"):
        build.build(small_space(), "onnxruntime")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"pip install 'frugalnas\[export\]'"):
        build.write_kit(small_space(), "onnxruntime", Path("unwritten"))


# The command line


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("device")
    images(folder / "images.npz")
    return folder


def test_a_search_makes_its_own_table_and_its_front_is_measured_again(place, capsys, monkeypatch):
    monkeypatch.setattr(launch, "executor_of", OneProcess)
    arguments = ("--data", place / "images.npz", *SMALL, "--set", "space.operations=['max_pool_3x3', 'sep_conv_3x3']")
    arguments += ("--set", "objectives=['error', 'latency_ms']", "--limit", "latency_ms<1000", "--trials", 4)
    assert run("search", *arguments, "--out", place / "run", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    table = Table.load(place / "run" / "latency.json")
    assert store.read(place / "run")[0]["latency"] == table.fingerprint
    space = choose.architecture_of(str(place / "run"), 0).space
    check(table, space)
    for trial in found["front"]:
        assert trial["values"]["latency_ms"] == table.cost(space, tuple(trial["genotype"]))
    assert run("latency", "measure", place / "run", "--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert [row["network"] for row in again["networks"]] == [f"trial {trial['trial']}" for trial in found["front"]]
    for row, trial in zip(again["networks"], found["front"], strict=True):
        assert row["predicted_ms"] == trial["values"]["latency_ms"] and row["limit_ms"] == 1000
        assert 0 < row["measured_ms"] < 1000
        assert row["peak_bytes"] == space.peak_bytes(tuple(trial["genotype"]))
    assert run("latency", "measure", place / "run") == 0
    said = capsys.readouterr().out
    assert (
        f"The limit holds for {len(found['front'])} of {len(found['front'])}." in said and "torch, 1 thread(s)" in said
    )


def test_build_and_kit_by_command(place, runtime, capsys):
    arguments = ("--data", place / "images.npz", *SMALL[:4], "--set", "space.operations=['skip_connect']")
    out = place / f"{runtime}.json"
    assert run("latency", "build", *arguments, "--runtime", runtime, "--out", out) == 0
    said = capsys.readouterr().out
    assert f"written: {out}" in said and "20 held-out networks: Spearman" in said
    assert Table.load(out).runtime == runtime
    assert run("latency", "kit", *arguments, "--runtime", runtime, "--out", place / f"{runtime}-kit") == 0
    assert "python measure.py" in (place / f"{runtime}-kit" / "README.txt").read_text()
    assert (place / f"{runtime}-kit" / "measure.py").read_text() == Path(measure.__file__).read_text()


def test_models_and_names_are_measured_with_their_sizes(capsys, tmp_path):
    space = small_space()
    architecture = Architecture(space, (0,) * len(space.domains))
    network = space.build(architecture.genotype).eval()
    one = Normalise(torch.zeros(1), torch.ones(1))
    Model(architecture, network, ("a", "b", "c", "d"), one).save(tmp_path / "model.safetensors")
    architecture.save(tmp_path / "a.json")
    made_up(space).save(tmp_path / "t.json")
    what = (tmp_path, tmp_path / "model.safetensors", tmp_path / "a.json")
    assert run("latency", "measure", *what, "--table", tmp_path / "t.json", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["networks"]
    predicted = made_up(space).cost(space, architecture.genotype)
    assert [row["predicted_ms"] for row in rows] == [predicted] * 3
    assert {row["model_bytes"] for row in rows} == {space.count(architecture.genotype).model_bytes}
    size = (tmp_path / "model.safetensors").stat().st_size
    assert [row["file_bytes"] for row in rows] == [size, size, None]
    assert rows[0]["model_bytes"] < size < rows[0]["model_bytes"] + 40_000, "the tensors, and what says which they are"
    assert run("latency", "measure", "EEEA-A", "--table", tmp_path / "t.json") == 2
    assert "t.json has no piece" in capsys.readouterr().err
    assert run("latency", "measure", "EEEA-X") == 2
    assert run("search", "--limit", "latency_ms=5", "--set", "latency.table=absent.json") == 2
    assert "there is no latency table absent.json" in capsys.readouterr().err


def test_peak_memory_is_little_below_what_the_allocator_sees(tmp_path):
    """By torch's profiler, which sees every allocation, also those within a kernel, which the formula leaves out."""
    from torch.profiler import ProfilerActivity, profile

    space = CellSpace(("sep_conv_3x3", "inv_res_3x3", "avg_pool_3x3", "skip_connect"), channels=16, cells=5)
    for genotype in drawn(space, 2):
        infer = runs.network_run(space, genotype, "torch", 1)
        with measure.within("torch", 1):
            infer()
            with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
                infer()
        seen.export_chrome_trace(str(tmp_path / "trace.json"))
        events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
        allocated = [event for event in events if event["name"] == "[memory]"]
        now = np.cumsum([e["args"]["Bytes"] for e in sorted(allocated, key=lambda event: event["ts"])])
        image = 4 * math.prod((3, 32, 32))
        assert 1.0 <= (image + int(now.max())) / space.peak_bytes(genotype) < 1.25
