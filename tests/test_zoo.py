"""The published architectures: data that agrees with spaces, sources and built networks, and loading by name."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import frugalnas
from frugalnas import zoo
from frugalnas.catalogue import FACTS, LISTINGS
from frugalnas.core import InputError
from frugalnas.model import Model
from frugalnas.spaces.architecture import Architecture
from frugalnas.spaces.cell import CellSpace
from frugalnas.tasks.loop import Normalise
from tiny import run

STORED: dict[str, Any] = json.loads(files("frugalnas.zoo").joinpath("architectures.json").read_text("utf-8"))
PAGE = (Path(__file__).parents[1] / "docs" / "architectures.md").read_text(encoding="utf-8")
CELLS = [name for name in zoo.names() if isinstance(zoo.entry(name).architecture.space, CellSpace)]
RELEASED = {  # of the normal and the reduction cell: operations, states that they read, states left out of the output
    "AmoebaNet-A": (
        "avg3 max3 sep3 none none avg3 sep3 sep5 avg3 sep3; 0 0 1 1 0 1 0 2 5 0; 1 0 1 0 0 1 0",
        "sep3 avg3 max3 sep7 max3 max3 sep3 1x7_7x1 avg3 sep7; 1 0 0 2 1 0 4 0 1 0; 1 1 0 0 0 0 0",
    ),
    "AmoebaNet-B": (
        "1x1 max3 none sep3 1x1 sep3 1x1 none avg3 1x1; 1 1 1 0 1 0 2 2 1 5; 0 1 1 0 0 1 0",
        "max2 max3 none 3x3 dil2 max3 none sep3 avg3 1x1; 0 0 2 1 2 2 3 1 4 3; 1 1 1 1 1 0 0",
    ),
    "AmoebaNet-C": (
        "avg3 sep3 none sep3 avg3 sep3 none sep3 avg3 sep3; 0 0 0 0 2 1 0 1 3 0; 1 0 0 1 0 0 0",
        "max3 max3 sep7 sep3 sep7 max3 sep5 sep5 max3 sep3; 0 0 2 0 0 1 4 4 1 1; 0 1 0 0 0 0 0",
    ),
    "AmoebaNet-D": (
        "1x1 max3 none 1x7_7x1 1x1 1x7_7x1 max3 none avg3 1x1; 1 1 1 0 0 0 2 2 1 5; 0 1 1 0 0 1 0",
        "max2 max3 none 3x3 1x7_7x1 max3 none max2 avg3 1x1; 0 0 2 1 2 2 3 1 2 3; 1 1 1 1 0 0 0",
    ),
    "NASNet-A": (
        "sep5 sep3 sep5 sep3 avg3 none avg3 avg3 sep3 none; 0 1 1 1 0 1 1 1 0 0; 1 0 0 0 0 0 0",
        "sep5 sep7 max3 sep7 avg3 sep5 none avg3 sep3 max3; 0 1 0 1 0 1 3 2 2 0; 1 1 1 0 0 0 0",
    ),
}
WORDS = {"none": "skip_connect", "1x1": "conv_1x1", "3x3": "bottleneck_3x3", "1x7_7x1": "bottleneck_1x7_7x1"}
WORDS |= {"dil2": "dil_2_sep_conv_5x5", "avg3": "avg_pool_3x3"} | {f"max{k}": f"max_pool_{k}x{k}" for k in (2, 3)}
WORDS |= {f"sep{k}": f"sep_conv_{k}x{k}" for k in (3, 5, 7)}


def test_every_paper_is_there() -> None:
    assert zoo.names() == (
        *("EA", "EEEA-A", "EEEA-B", "EEEA-C", "RelativeNAS", "RelativeNAS-C100", "DARTS-V1", "DARTS-V2"),
        *("NSGANet", "NSGANet-pyramid-C26-SE", "NSGANet-pyramid-C34", "NSGANet-pyramid-C36-SE", "NSGANet-macro"),
        *("EcoNAS", "EcoNAS-commented", "AmoebaNet-A", "AmoebaNet-A-darts"),
        *("AmoebaNet-B", "AmoebaNet-C", "AmoebaNet-D", "NASNet-A", "NASNet-A-darts", "PNASNet-5"),
    )


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_is_the_published_one(name: str) -> None:
    """Edges survive the genotype, and the space's rule gives the concatenation that was published."""
    stored = STORED[name]
    architecture = zoo.entry(name).architecture
    cells = architecture.space.describe(architecture.genotype)
    for kind in ("normal",) if stored["space"]["shared"] else ("normal", "reduce"):
        assert [[list(edge) for edge in block] for block in cells[kind].blocks] == stored[kind]["blocks"]
        assert list(cells[kind].concat) == stored[kind]["concat"]


@pytest.mark.parametrize("name", RELEASED)
def test_released_cells_are_in_our_numbering(name: str) -> None:
    """In Google's code state 0 is the output of the cell before and 1 that of the one before it; ours are swapped."""
    ours = {0: 1, 1: 0} | {state: state for state in range(2, 7)}
    architecture = zoo.entry(name).architecture
    for cell, text in zip(architecture.space.describe(architecture.genotype).values(), RELEASED[name], strict=True):
        operations, reads, used = (part.split() for part in text.split(";"))
        edges = [(WORDS[word], ours[int(state)]) for word, state in zip(operations, reads, strict=True)]
        assert [edge for block in cell.blocks for edge in block] == edges
        assert set(cell.concat) == {ours[state] for state, mark in enumerate(used) if mark == "0"}


def test_nasnet_ends_with_as_many_channels_as_published() -> None:
    """6 @ 768: six normal cells in each of three parts, 768 channels at the end."""
    architecture = zoo.load("NASNet-A")
    network = architecture.space.network(architecture.genotype)
    assert network.output[0] == 768
    assert [site.reduction for _, site in network.cells].index(True) == 6


def test_concatenations_are_spelled_out_only_where_no_rule_gives_them() -> None:
    spelled = {name for name in CELLS if not isinstance(zoo.entry(name).architecture.space.concat, str)}
    assert spelled == {"EcoNAS", "EcoNAS-commented", *RELEASED}
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
            head = {"auxiliary": True} if architecture.space.auxiliary else {}
            counted = architecture.space.count(architecture.genotype, **head)
            assert all(getattr(counted, quantity) == value for quantity, value in figure.values.items())
        else:
            assert figure.label == "reported"


@pytest.mark.parametrize("name", zoo.names())
def test_every_architecture_runs_on_your_images(name: str) -> None:
    sizes = {"channels": 4, "resolution": 32} | ({"cells": 3} if name in CELLS else {})
    architecture = zoo.load(name, classes=4, in_channels=1, **sizes)
    network = frugalnas.create_model(name, num_classes=4, in_channels=1, **sizes).eval()
    assert network(torch.zeros(2, 1, 9, 9)).shape == (2, 4)
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        assert network(torch.zeros(1, 1, 32, 32)).shape == (1, 4)
    count = zoo.count(architecture)
    assert count.params == sum(parameter.numel() for parameter in network.parameters())
    assert count.macs == flops.get_total_flops() / 2
    assert Architecture.from_json(json.loads(json.dumps(architecture.to_json()))) == architecture


@pytest.mark.parametrize("name", ["NSGANet-pyramid-C26-SE", "AmoebaNet-B"])
def test_the_network_in_full_size_is_the_counted_one(name: str) -> None:
    figure = next(each for each in zoo.entry(name).figures if each.label == "counted" and not each.settings)
    with torch.device("meta"):
        network, image = frugalnas.create_model(name).eval(), torch.empty(1, 3, 32, 32)
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        network(image)
    built = {"params": sum(parameter.numel() for parameter in network.parameters())}
    assert figure.values == built | {"macs": flops.get_total_flops() / 2}


def test_the_published_error_is_of_cifar_10_where_there_is_one() -> None:
    errors = {name: zoo.entry(name).error for name in zoo.names()}
    assert errors["RelativeNAS"] == (2.26, "CIFAR-10")
    assert errors["NSGANet-pyramid-C36-SE"] == (2.02, "CIFAR-10")
    assert errors["EcoNAS"] == (25.2, "ImageNet")
    unknown = {"RelativeNAS-C100", "AmoebaNet-A-darts", "NASNet-A-darts", "AmoebaNet-C", "AmoebaNet-D"}
    assert {name for name, error in errors.items() if error is None} == unknown


def test_the_list_is_aligned_and_says_what_is_known() -> None:
    lines, facts = LISTINGS["architectures"](), FACTS["architectures"]()
    assert list(lines) == list(facts) == list(zoo.names())
    assert len({tuple(line.index(word) for word in (" M params", " M MACs", "arXiv")) for line in lines.values()}) == 1
    assert lines["EEEA-C"].split("  ")[0].strip() == "3.51 M params"
    assert "563 M MACs   2.46 % error  " in lines["EEEA-C"]
    assert "25.20 % error (ImageNet)" in lines["EcoNAS"] and "error" not in lines["AmoebaNet-D"]
    for name, entry in facts.items():
        count = zoo.count(name)
        assert (entry["params"], entry["macs"]) == (count.params, count.macs)
        assert entry["source"] and entry["title"] in lines[name] and entry["figures"] == STORED[name]["figures"]
    assert facts["NSGANet-macro"]["space"] == "macro"


def test_the_page_shows_what_is_listed_and_its_code_runs(capsys: Any) -> None:
    command, lines, code, commands = re.findall(r"^```(?:python)?\n(.*?)^```$", PAGE, re.M | re.S)
    assert run(*command.split()[1:]) == 0
    assert set(lines.splitlines()) <= set(capsys.readouterr().out.splitlines())
    with torch.device("meta"):
        exec(code, {})
    assert all(zoo.is_name(word) for word in re.findall(r"EEEA-A|AmoebaNet-B|NSGANet\b", commands))


def test_show_tells_source_note_and_figures_of_a_published_network(capsys: Any, tmp_path: Path) -> None:
    assert run("show", "amoebanet_b") == 0
    said = capsys.readouterr().out
    for text in ("AmoebaNet-B: AmoebaNet-B as released", "official/amoeba_net", "reads no", "error_percent 2.55"):
        assert text in said
    assert "counted: params 2,826,082, macs 441,654,912\n" in said
    assert "bottleneck_3x3(cell k-2)" in said
    assert run("show", "RelativeNAS") == 0
    assert "counted at classes=100: params 3,980,152, macs 616,884,480\n" in capsys.readouterr().out
    zoo.load("AmoebaNet-B").save(tmp_path / "b.json")
    assert run("show", tmp_path / "b.json") == 0
    assert "reported" not in capsys.readouterr().out


def test_a_size_that_networks_of_a_kind_do_not_have_is_refused() -> None:
    with pytest.raises(InputError, match="cells = 3.*'macro'"):
        frugalnas.create_model("NSGANet-macro", cells=3)


def test_a_pyramid_keeps_its_increment_at_every_width() -> None:
    space = zoo.load("NSGANet-pyramid-C26-SE", channels=4, cells=6).space
    sites = [site for _, site in space.network(zoo.load("NSGANet").genotype).cells]
    assert [site.channels for site in sites] == [4, 8, 12, 16, 20, 24]
    assert [site.size for site in sites] == [(32, 32)] * 2 + [(16, 16)] * 2 + [(8, 8)] * 2


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
