"""Every format in its own runtime, on one small network with the usual traps in it; and the recipes of the docs."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

from frugalnas.export import FORMATS, check, export, missing, to_litert
from frugalnas.tasks.data import DataSource, load_test
from test_export import fresh, noise

PAGE = Path(__file__).parents[1] / "docs" / "export.md"
PREPARATION, *RECIPES = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
RUNTIMES = {
    "onnxruntime": "onnx",
    "torch.export": "torch-export",
    "executorch": "executorch",
    "ai_edge_litert": "litert-int8",
    "from network": "python",
}
API = "from frugalnas.export import export"
# means without padding at stride 2 on an even and on an odd side, shifts of both, a block of nothing, a residual,
# windows over the edge, and squeeze-and-excitation
NORMAL = [("none", 0), ("none", 1), ("inv_res_3x3", 0), ("avg_pool_3x3", 1), ("max_pool_2x2", 0), ("conv_1x1", 1)]
REDUCE = [("avg_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 0), ("dil_conv_3x3", 1)]
REDUCE += [("max_pool_2x2", 0), ("bottleneck_3x3", 1)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with all exports that can be made here, what became of each, and the model."""
    folder = tmp_path_factory.mktemp("exports")
    model = fresh(NORMAL, REDUCE, {"resolution": 10, "channels": 2, "squeeze": 2})
    norms = [module for module in model.network.cells[0].blocks[1].modules() if isinstance(module, nn.BatchNorm2d)]
    nn.init.constant_(norms[0].bias, -50)  # after its ReLU a map of nothing but zeros, the range of which is 0
    model.save(folder / "model.safetensors")
    images = noise(model)
    Image.fromarray(images.pixels[0, 0]).save(folder / "photo.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "TIMING_S", 0.0)
        there = [name for name in FORMATS if not missing(name)]
        found = export(model, there, folder / "export", images)
    return folder, {each.format: each for each in found}, model


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_runs_in_its_own_runtime(made, name):
    if missing(name):
        pytest.skip(missing(name))
    _, found, model = made
    logits = model.logits(noise(model).pixels)
    each = found[name]
    assert each.error == ""
    assert all(file.stat().st_size for file in each.files)
    if "int8" in name:
        assert 0 < each.largest_difference < 0.1 * np.ptp(logits)
    else:
        assert each.largest_difference < 1e-5
        assert each.agreement == 1.0


def test_dead_maps_get_a_range():
    seen = {"dead": {"min": np.zeros(1), "max": np.zeros(1)}, "alive": {"min": np.zeros(1), "max": np.ones(1) / 2}}
    assert {name: float(each["max"][0]) for name, each in to_litert._ranges(seen).items()} == {"dead": 1, "alive": 0.5}


def test_the_docs_have_a_recipe_for_each_runtime():
    words = [*RUNTIMES, API]
    assert len(RECIPES) == len(words)
    assert all(word in recipe for word, recipe in zip(words, RECIPES, strict=True))


@pytest.mark.parametrize("word", RUNTIMES)
def test_the_recipes_of_the_docs_work(made, word, monkeypatch, capsys):
    if missing(RUNTIMES[word]):
        pytest.skip(missing(RUNTIMES[word]))
    folder, _, model = made
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "network", raising=False)
    recipe = next(recipe for recipe in RECIPES if word in recipe)
    exec(compile(f"{PREPARATION}\n{recipe}", str(PAGE), "exec"), {"__name__": "page"})
    assert capsys.readouterr().out.strip() == model.classes[model.logits(noise(model).pixels[:1]).argmax()]


def test_the_recipe_for_python_works(tmp_path, monkeypatch, capsys):
    model = replace(fresh(NORMAL, REDUCE, {"resolution": 10}), classes=load_test(DataSource()).classes)
    model.save(tmp_path / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(check, "TIMING_S", 0.0)
    exec(compile(RECIPES[-1], str(PAGE), "exec"), {"__name__": "page"})
    pattern = r"onnx [\d,]+ bytes, 100.0% agreement\npython [\d,]+ bytes, 100.0% agreement\n"
    assert re.fullmatch(pattern, capsys.readouterr().out)
