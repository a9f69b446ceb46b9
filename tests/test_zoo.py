"""The published architectures: data that agrees with the spaces, and loading by name."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch

import frugalnas
from frugalnas import zoo
from frugalnas.core import InputError
from frugalnas.model import Model
from frugalnas.spaces.architecture import Architecture
from frugalnas.tasks.loop import Normalise

STORED: dict[str, Any] = json.loads(files("frugalnas.zoo").joinpath("cells.json").read_text("utf-8"))


def test_every_paper_is_there() -> None:
    assert zoo.names() == (
        *("EA", "EEEA-A", "EEEA-B", "EEEA-C", "RelativeNAS", "DARTS-V1", "DARTS-V2", "NSGANet"),
        *("EcoNAS", "EcoNAS-commented", "AmoebaNet-A", "NASNet-A", "PNASNet-5"),
    )


@pytest.mark.parametrize("name", zoo.names())
def test_a_cell_is_the_published_one(name: str) -> None:
    """Edges survive the genotype, and the space's rule gives the concatenation that was published."""
    stored = STORED[name]
    architecture = zoo.entry(name).architecture
    cells = architecture.space.describe(architecture.genotype)
    for kind in ("normal",) if stored["space"]["shared"] else ("normal", "reduce"):
        assert [[list(edge) for edge in block] for block in cells[kind].blocks] == stored[kind]["blocks"]
        assert list(cells[kind].concat) == stored[kind]["concat"]


def test_only_econas_needs_its_concatenation_spelled_out() -> None:
    spelled = {name for name in zoo.names() if not isinstance(zoo.entry(name).architecture.space.concat, str)}
    assert spelled == {"EcoNAS", "EcoNAS-commented"}
    for name in spelled:
        architecture = zoo.entry(name).architecture
        for policy in ("all", "loose", "unused"):
            derived = replace(architecture.space, concat=policy).describe(architecture.genotype)
            assert [list(derived[kind].concat) for kind in derived] != [
                STORED[name][kind]["concat"] for kind in ("normal", "reduce")
            ]


@pytest.mark.parametrize("name", zoo.names())
def test_counted_figures_are_current_and_reported_ones_have_a_source(name: str) -> None:
    entry = zoo.entry(name)
    assert entry.name == name
    assert entry.title
    assert "arXiv" in entry.source
    assert any(figure.label == "counted" and not figure.settings for figure in entry.figures)
    for figure in entry.figures:
        assert figure.source
        if figure.label == "counted":
            architecture = zoo.load(name, **figure.settings)
            counted = architecture.space.count(architecture.genotype, architecture.space.auxiliary)
            assert all(getattr(counted, quantity) == value for quantity, value in figure.values.items())
        else:
            assert figure.label == "reported"


@pytest.mark.parametrize("name", zoo.names())
def test_every_architecture_runs_on_your_images(name: str) -> None:
    architecture = zoo.load(name, classes=4, in_channels=1, channels=2, cells=3, resolution=9)
    network = architecture.space.build(architecture.genotype).eval()
    assert network(torch.zeros(2, 1, 9, 9)).shape == (2, 4)
    assert Architecture.from_json(json.loads(json.dumps(architecture.to_json()))) == architecture


def test_the_four_eeea_cells_are_in_the_papers_space() -> None:
    """Nine operations, five blocks that read states 0..b, loose ends joined."""
    spaces = {zoo.entry(name).architecture.space for name in ("EA", "EEEA-A", "EEEA-B", "EEEA-C")}
    assert len(spaces) == 1
    assert spaces.pop().size == pytest.approx(2.5e27, rel=0.02)


@pytest.mark.parametrize("spelling", ["EEEA-C", "eeea-c", "eeea_c", "Eeea_C"])
def test_spelling_does_not_matter(spelling: str) -> None:
    assert zoo.load(spelling) == zoo.load("EEEA-C")


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown architecture 'EEEA-D': did you mean 'eeea-") as error:
        zoo.load("EEEA-D")
    assert "\n" not in str(error.value)


def test_a_size_out_of_range_is_refused() -> None:
    with pytest.raises(InputError, match="channels = 0"):
        zoo.load("EA", channels=0)


def trained(path: Path, **sizes: Any) -> Path:
    """A model file of EEEA-A at tiny sizes."""
    architecture = zoo.load("EEEA-A", **{"classes": 3, "in_channels": 1, "channels": 2, "cells": 3} | sizes)
    torch.manual_seed(1)
    network = architecture.space.build(architecture.genotype).eval()
    one = torch.ones(architecture.space.in_channels)
    Model(architecture, network, ("a", "b", "c"), Normalise(one, one)).save(path)
    return path


def test_a_model_has_the_sizes_asked_for_and_else_the_published_ones() -> None:
    model = frugalnas.create_model("EEEA-A", num_classes=3, in_channels=1, channels=2, cells=3, resolution=9)
    assert isinstance(model, torch.nn.Module)
    assert model(torch.zeros(2, 1, 9, 9)).shape == (2, 3)
    assert str(frugalnas.create_model("EEEA-A")) == str(zoo.load("EEEA-A").space.build(zoo.load("EEEA-A").genotype))


def test_a_found_network_keeps_the_sizes_of_its_json() -> None:
    found = zoo.load("EA", classes=4, in_channels=1, channels=2, cells=3, auxiliary=True)
    text = json.dumps(found.to_json())
    assert str(frugalnas.create_model(text)) == str(found.space.build(found.genotype))
    wider = frugalnas.create_model(text, 5, channels=3, auxiliary=False)
    larger = Architecture(replace(found.space, classes=5, channels=3, auxiliary=False), found.genotype)
    assert sum(parameter.numel() for parameter in wider.parameters()) == zoo.count(larger).params


def test_weights_of_a_training_make_the_trained_network_at_any_resolution(tmp_path: Path) -> None:
    path = trained(tmp_path / "model.safetensors")
    network = frugalnas.create_model("EEEA-A", 3, 1, path, channels=2, cells=3, resolution=64).eval()
    images = torch.rand(2, 1, 9, 9)
    assert torch.equal(network(images), Model.load(path).network(images))
    folder = frugalnas.create_model(Model.load(path).architecture, weights=tmp_path)
    assert all(map(torch.equal, folder.state_dict().values(), network.state_dict().values()))


@pytest.mark.parametrize(
    ("name", "sizes", "message"),
    [
        ("EEEA-A", {"num_classes": 4}, "with num_classes=3, in_channels=1, not num_classes=4, in_channels=3"),
        ("EEEA-A", {"num_classes": 3, "in_channels": 1, "cells": 4}, "with cells=3, not cells=4"),
        ("EEEA-B", {"num_classes": 3, "in_channels": 1}, "with other cells"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path: Path, name: str, sizes: Any, message: str) -> None:
    path = trained(tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=message) as error:
        frugalnas.create_model(name, weights=path, **{"channels": 2, "cells": 3} | sizes)
    assert str(path) in str(error.value)


def test_weights_that_are_no_model_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file .*none\.safetensors"):
        frugalnas.create_model("EEEA-A", weights=tmp_path / "none.safetensors")
