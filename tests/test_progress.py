"""What a terminal shows of a search: how far it is, and in the end how to go on."""

from __future__ import annotations

import re
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

import frugalnas
from frugalnas import config, launch, progress
from tiny import OneProcess, images, run

SMALL = {
    "space": {"channels": 4, "cells": 3, "blocks": 1},
    "task": {"recipe": {"batch": 16}},
    "estimators": {"0": {"fidelity": {"width": 2, "depth": 3, "samples": 0.5, "resolution": None}}},
    "limits": {"params": 1e6},
}


class Seen:
    """Stands in for rich's live display: what it would show is asked for after each trial, in a wide terminal."""

    def __init__(self, get_renderable, **_):
        self.ask, Seen.now = get_renderable, self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def text(self) -> str:
        console = Console(width=200, file=StringIO())
        console.print(self.ask())
        return console.file.getvalue()


@pytest.mark.parametrize("budget", [{"trials": 8}, {"epochs": 4.0}, {"minutes": 600.0}])
def test_every_budget_says_how_far_the_search_is(budget, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(launch, "executor_of", OneProcess)
    monkeypatch.setattr(progress, "Live", Seen)
    monkeypatch.setattr(sys, "stderr", StringIO())
    shown = []
    data = str(images(tmp_path / "images.npz"))
    tree = config.resolve("random", layers=[SMALL, {"data": {"source": data}}, budget])
    with progress.live(tree) as told:
        assert "reading the images" in Seen.now.text()

        def look(study):
            told(study)
            shown.append(Seen.now.text().splitlines()[0])
            if study.rated == 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            launch.begin(tree, tmp_path / "run", look)
    assert [re.search(r"(\d) rated, 0 rejected, 0 failed", line)[1] for line in shown] == list("1234")
    assert all(re.search(r"networks/min +[\d.]+ min left", line) for line in shown)
    bars = [line.count("━") for line in shown]
    assert "minutes" in budget or bars[3] > bars[0]
    assert frugalnas.resume(tmp_path / "run", trials=5).study.rated == 5


LADDER = [
    part
    for key in ("space.channels=4", "space.cells=3", "space.blocks=1", "task.recipe.batch=16", "strategy.generations=1")
    for part in ("--set", key)
] + [
    part
    for rung in range(3)
    for key in ("width=2", "depth=3", "resolution=8")
    for part in ("--set", f"estimators.{rung}.fidelity.{key}")
]


def test_a_search_that_ends_below_the_last_rung_says_so_and_how_to_go_on(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(launch, "executor_of", OneProcess)
    out = tmp_path / "run"
    command = ["search", "--method", "relativenas", "--data", images(tmp_path / "images.npz"), "--out", out]
    assert run(*command, *LADDER, "--set", "strategy.population=4", "--limit", "params=1M", "--trials", 3) == 0
    way = f"values are of rung 0; go on with: frugalnas resume {out} --trials ..."
    assert capsys.readouterr().out.rstrip().endswith(way)
    assert run("resume", out, "--trials", 99) == 0
    said = capsys.readouterr().out
    assert "rung 2)" in said and "go on with" not in said and "Finished" in said
