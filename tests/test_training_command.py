"""`frugalnas train`, and what the other commands do with its folder."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from frugalnas import choose, launch, progress, zoo
from frugalnas.core import InputError
from frugalnas.model import Model
from frugalnas.record import load
from frugalnas.tasks.recipe import RECIPES, Budget
from frugalnas.training import Settings, settings_of
from frugalnas.training import run as training_run
from frugalnas.training.page import page_of
from tiny import SMALL, OneProcess, images, run

SIZE = ("--channels", 2, "--cells", 3, "--set", "recipe.batch=32")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small search, beside its images, which have a test part."""
    folder = tmp_path_factory.mktemp("searched")
    with np.load(images(folder / "test.npz", seed=1, count=40)) as other:
        tests = {"x_test": other["x_train"], "y_test": other["y_train"]}
    data = images(folder / "images.npz", class_names=np.array(["a", "<b>", "c&c", "d"]), **tests)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "executor_of", OneProcess)
        assert run("search", "--data", data, "--out", folder / "run", "--trials", 3, "--seed", 1, *SMALL) == 0
    return folder / "run"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "some.npz")
    yield tmp_path


def test_a_network_of_a_search_is_trained_on_its_images(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", searched, "--pick", "most-accurate", "--epochs", 2, "--set", "recipe.batch=32") == 0
    said = capsys.readouterr()
    best = load(searched).front[0]
    out = searched / "trained" / f"trial-{best.number}"
    metrics = json.loads((out / "metrics.json").read_text())
    assert f"test error {metrics['test']['error']:.2%} on 40 images" in said.out and str(out / "model.html") in said.out
    assert metrics["source"] == {"run": str(searched.resolve()), "trial": best.number}
    assert metrics["images"] == 120 and metrics["test"]["classes"] == ["a", "<b>", "c&c", "d"]
    model = Model.load(out)
    assert model.architecture == choose.architecture_of(str(searched), best.number)
    assert settings_of(out).recipe == replace(RECIPES["short"].recipe, batch=32)
    before = (out / "metrics.json").stat().st_mtime_ns
    assert run("train", searched, "--trial", best.number, "--epochs", 2, "--set", "recipe.batch=32", "--json") == 0
    again = capsys.readouterr()
    assert f"{out} was trained before" in again.err and (out / "metrics.json").stat().st_mtime_ns == before
    assert json.loads(again.out) == {"folder": str(out), **metrics}
    assert run("train", searched, "--trial", best.number, "--epochs", 3) == 2
    assert re.search("holds a training with recipe.batch = 32, not 64", capsys.readouterr().err)


def test_options_lie_over_what_the_search_had(searched: Path, here: Path) -> None:
    given = ("--data", "some.npz", "--set", "data.resolution=12", "--set", "data.validation=0.5", "--recipe", "econas")
    sizes = ("--channels", 3, "--cells", 4, "--seed", 5, "--validate", "--device", "cpu", "--set", "recipe.lr=0.5")
    assert run("train", searched, "--out", "out", "--epochs", 1, *given, *sizes) == 0
    settings = settings_of(here / "out")
    assert settings.data.source == str(here / "some.npz") and settings.data.resolution == 12
    assert (settings.seed, settings.device, settings.validate, settings.budget) == (5, "cpu", True, Budget(1))
    assert settings.recipe == replace(RECIPES["econas"].recipe, lr=0.5)
    space = Model.load(here / "out").architecture.space
    assert (space.channels, space.cells, space.resolution) == (3, 4, 12)


def test_a_published_network_and_a_file_of_one_are_trained_alike(here: Path) -> None:
    architecture = zoo.load("EEEA-A", channels=2, cells=3)
    architecture.save(here / "mine.json")
    for name, extra in (("EEEA-A", SIZE), ("mine.json", SIZE[4:])):
        assert run("train", name, "--data", "some.npz", "--epochs", 1, *extra) == 0
    (first,), (second,) = (list(here.glob(f"runs/*-train-{name}")) for name in ("EEEA-A", "mine"))
    assert (first / "metrics.json").exists() and Model.load(first).architecture == Model.load(second).architecture
    assert json.loads((first / "metrics.json").read_text())["source"] == {"architecture": "EEEA-A"}


def test_without_a_budget_the_recipe_has_its_own(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def train(*_: Any, **given: Any) -> None:
        asked.append(given)
        raise InputError("enough")

    monkeypatch.setattr("frugalnas.training.train", train)
    for arguments in ((), ("--recipe", "darts"), ("--minutes", 2)):
        assert run("train", "EEEA-A", *arguments) == 2
    assert [(given["epochs"], given["minutes"]) for given in asked] == [
        (RECIPES["short"].epochs, None),
        (600, None),
        (None, 2.0),
    ]


def test_control_c_and_resume(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    real = training_run.epochs_of

    def interrupted(*given: Any, **rest: Any) -> Any:
        running = real(*given, **rest)
        yield next(running)
        raise KeyboardInterrupt

    command = ("train", "EEEA-A", "--data", "some.npz", "--epochs", 3, "--out", "out", *SIZE)
    with monkeypatch.context() as patch:
        patch.setattr(training_run, "epochs_of", interrupted)
        assert run(*command) == 130
    assert capsys.readouterr().err == "frugalnas: stopped, go on with: frugalnas resume out\n"
    assert run("resume", "out", "--minutes", 3) == 2
    assert "a training, whose length cannot be changed" in capsys.readouterr().err
    assert run("resume", "out") == 0
    assert "3 epochs" in capsys.readouterr().out and (here / "out" / "metrics.json").exists()
    for verb in ("report", "show", "train"):
        assert run(verb, "out") == 2
        assert capsys.readouterr().err == "frugalnas: out holds a training: expected the folder of a search\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("EEEA-Z",), "unknown architecture 'EEEA-Z'"),
        (("EEEA-A", "--trial", 3), "--trial 3: 'EEEA-A' is not the folder of a search"),
        (("EEEA-A", "--pick", "knee"), "--pick knee: 'EEEA-A' is not the folder of a search"),
        (("EEEA-A", "--recipe", "shrot"), "unknown recipe 'shrot': did you mean 'short'"),
        (("EEEA-A", "--set", "recipe.lrr=1"), "unknown key 'recipe.lrr': did you mean 'lr'"),
        (("EEEA-A", "--set", "recipes.lr=1"), "unknown key 'recipes': did you mean 'recipe'"),
        (("EEEA-A", "--set", "recipe.lr=-1"), "recipe.lr = -1"),
        (("EEEA-A", "--epochs", 1, "--minutes", 1), "either epochs or minutes"),
        (("EEEA-A", "--channels", 0), "channels = 0"),
        ((".",), "holds no study"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    arguments: tuple[Any, ...], words: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", *arguments) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1


def test_a_trial_and_words_together_are_refused(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("train", "show"):
        assert run(command, searched, "--trial", 0, "--pick", "knee") == 2
        assert "expected one of them" in capsys.readouterr().err
    assert run("show", searched, "--pick", "smallest", "--json") == 0
    smallest = min(load(searched).front, key=lambda trial: trial.values["params"])
    assert json.loads(capsys.readouterr().out)["genotype"] == list(smallest.candidate.genotype)


def test_a_terminal_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    monkeypatch.setattr(progress, "Console", lambda file: console)
    with progress.training() as tell:
        told = {"epoch": 3, "progress": 0.25, "loss": 0.5, "lr": 0.05, "validation_error": None, "left": 90.0}
        tell(told)
        tell(told | {"validation_error": 0.125, "left": 30.0})
    assert "epoch 3   loss 0.5000   lr 0.05   validation error 12.50%   30 s left" in screen.getvalue()


def test_recipes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "recipes", "--json") == 0
    assert json.loads(capsys.readouterr().out).keys() == RECIPES.keys()


def test_the_page_shows_the_figures_and_escapes_the_names(searched: Path) -> None:
    metrics = {
        **{"params": 1234, "macs": 56789, "images": 120, "seconds": 90.0, "validation": None},
        "epochs": [
            {"epoch": n, "loss": 1 / n, "lr": 0.1 / n, "seconds": 1.5, "images": 120, "validation_error": 0.5 / n}
            for n in (1, 2, 3)
        ],
        "test": {
            **{"error": 0.1, "loss": 0.3, "images": 100, "classes": ["a", "<b>"]},
            "confusion": [[49, 1], [9, 41]],
        },
    }
    architecture = zoo.load("EEEA-A", channels=2, cells=3)
    settings = Settings(architecture, load_source(searched), RECIPES["short"].recipe, Budget(3), source={"trial": 4})
    page = page_of(Path("runs/my shoes"), settings, metrics)
    assert "<b>" not in page and "&lt;b&gt;" in page and "<script" not in page and "://" not in page
    assert "trial 4" in page and "10.00%" in page and "1,234" in page and "5.5% and 17.4%" in page
    assert page.count("<figure>") == 3 and page.count("<circle") == 9 and "epoch 2: 25.0%" in page
    assert "&lt;b&gt; taken for a: 9 of 50" in page and "82.0%" in page and "97.6%" in page  # recall, precision
    assert "frugalnas predict 'runs/my shoes'" in page.replace("&#x27;", "'")
    many = [str(name) for name in range(200)]
    metrics["test"] |= {"classes": many, "confusion": np.eye(200, dtype=int).tolist()}
    page = page_of(Path("runs/shoes"), settings, metrics)
    assert "too many to show as a matrix" in page and "No image was classified wrongly" in page


def load_source(searched: Path) -> Any:
    from frugalnas.schema import construct
    from frugalnas.tasks.data import DataSource

    return construct(DataSource, load(searched).header["config"]["data"])
