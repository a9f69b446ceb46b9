"""The published architectures: data that agrees with the spaces, and loading by name."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest
import torch

from frugalnas import zoo
from frugalnas.core import InputError
from frugalnas.spaces.architecture import Architecture

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
