"""FrugalClassifier: scikit-learn's manners, arrays and folders in, labels out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import frugalnas
from frugalnas import FrugalClassifier, InputError, launch
from frugalnas.fit import run as stages
from tiny import OneProcess, images

CORNERS = np.array(["top-left", "top-right", "bottom-left", "bottom-right"])
PLAIN = {"batch": 16, "flip": False, "crop_padding": 0, "lr": 0.05}  # a mirrored corner is another one
TINY: tuple[dict[str, Any], ...] = (
    {"space": {"channels": 4, "cells": 3}, "strategy": {"population": 4}, "task": {"recipe": PLAIN}},
    {"estimators": {"0": {"fidelity": {"width": 2, "depth": 3, "samples": 0.5, "resolution": None}}}},
    {"recipe": PLAIN},
)
QUICK: dict[str, Any] = {"minutes": None, "trials": 2, "epochs": 5, "limits": {"params": 9000}, "settings": TINY}


@pytest.fixture(autouse=True, scope="module")
def _in_this_process():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "executor_of", OneProcess)
        patch.setattr(stages, "SAMPLES", 20)  # a line about the space needs no more here
        yield


@pytest.fixture(scope="module")
def corners(tmp_path_factory):
    """Pixels (N, H, W) and the names of their bright corners."""
    with np.load(images(tmp_path_factory.mktemp("corners") / "images.npz")) as file:
        return file["x_train"], CORNERS[file["y_train"]]


@pytest.fixture(scope="module")
def fitted(corners):
    return FrugalClassifier(**QUICK).fit(*corners)


def unseen(tmp_path: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(images(tmp_path / "unseen.npz", seed=9, count=40)) as file:
        return file["x_train"], CORNERS[file["y_train"]]


def test_it_learns_and_answers_in_the_users_labels(fitted, corners, tmp_path):
    x, y = unseen(tmp_path)
    assert fitted.classes_.tolist() == sorted(CORNERS)
    assert fitted.score(x, y) > 0.8 and fitted.score(x, np.roll(y, 1)) < 0.4
    proba = fitted.predict_proba(x)
    assert proba.shape == (40, 4) and np.allclose(proba.sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(fitted.predict(x), fitted.classes_[proba.argmax(axis=1)])
    assert isinstance(fitted.predict(x)[0], str)


@pytest.mark.parametrize(
    ("method", "strategy"),
    [
        ("econas", {"population": 2, "promotions": [1, 1], "children": [1, 1, 1], "cycles": 2}),
        ("relativenas", {"population": 2, "generations": 1, "finalists": 1, "retrained": 1}),
    ],
)
def test_a_method_whose_networks_go_up_a_ladder_fits_too(method, strategy, corners):
    sizes = {str(rung): {"fidelity": {"width": 2, "depth": 3, "resolution": None}} for rung in range(3)}
    settings = (TINY[0] | {"strategy": strategy, "estimators": sizes}, TINY[2])
    found = FrugalClassifier(**QUICK | {"method": method, "trials": 99, "epochs": 1, "settings": settings})
    found.fit(*corners)
    assert {trial.candidate.rung for trial in found.front_} == {2}
    assert found.predict(corners[0]).shape == (120,)


def test_what_was_found_stays(fitted):
    assert fitted.front_ and all(trial.values["params"] <= 9000 for trial in fitted.front_)
    assert frugalnas.count(fitted.model_.architecture).params == fitted.metrics_["params"] <= 9000
    assert len(fitted.metrics_["epochs"]) == 5 and fitted.metrics_["validation"]["images"] == 24


def test_the_same_seed_gives_the_same_model_in_any_layout_and_number_type(fitted, corners, tmp_path):
    x, y = corners
    again = FrugalClassifier(**QUICK).fit((x / 255)[..., None], list(y))
    seen, _ = unseen(tmp_path)
    assert np.array_equal(again.predict_proba(seen / 255), fitted.predict_proba(seen))
    dark = np.ones((1, 8, 8))  # white, as the pixels in training were at most 1
    assert np.array_equal(again.predict_proba(dark), fitted.predict_proba(np.full((1, 8, 8), 255)))
    assert np.array_equal(fitted.predict_proba(seen[:, None]), fitted.predict_proba(seen))


def test_a_saved_classifier_is_the_same_one(fitted, tmp_path):
    x, _ = unseen(tmp_path)
    fitted.save(tmp_path / "corners.safetensors")
    loaded = FrugalClassifier.load(tmp_path / "corners.safetensors")
    assert np.array_equal(loaded.predict(x), fitted.predict(x)) and loaded.classes_.tolist() == sorted(CORNERS)
    loaded.scale_ = 1  # as after fitting floats in [0, 255]: an image may well be nearly black
    assert np.array_equal(loaded.predict_proba(x // 128 * 1.0), fitted.predict_proba(x // 128))


def test_labels_that_are_numbers_stay_numbers(corners, tmp_path):
    x, y = corners
    numbers = np.unique(y, return_inverse=True)[1] * 2 + 3
    numbered = FrugalClassifier(**{**QUICK, "trials": 1, "epochs": 1}).fit(x, numbers)
    numbered.save(tmp_path / "numbered.safetensors")
    loaded = FrugalClassifier.load(tmp_path / "numbered.safetensors")
    assert loaded.classes_.tolist() == [3, 5, 7, 9] and loaded.classes_.dtype == numbers.dtype
    assert np.array_equal(loaded.predict(x), numbered.predict(x))


@pytest.mark.parametrize(
    "kept", ["words", {}, {"labels": ["a"], "scale": 1}, {"labels": sorted(CORNERS), "scale": "x"}]
)
def test_a_file_that_no_classifier_saved_is_refused(fitted, tmp_path, kept):
    replace(fitted.model_, notes={"classifier": kept}).save(tmp_path / "odd.safetensors")
    with pytest.raises(InputError, match="was saved by no FrugalClassifier"):
        FrugalClassifier.load(tmp_path / "odd.safetensors")


def test_folders_and_files_in(fitted, corners, tmp_path):
    x, y = corners
    for index, (image, name) in enumerate(zip(x, y, strict=True)):
        path = tmp_path / "pictures" / name / f"{index:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    of_folder = FrugalClassifier(**QUICK, resolution=8, out=tmp_path / "out").fit(tmp_path / "pictures")
    assert of_folder.classes_.tolist() == sorted(CORNERS)
    assert of_folder.score(tmp_path / "pictures") > 0.8
    names = [path.parent.name for path in sorted((tmp_path / "pictures").rglob("*.png"))]
    assert np.mean(of_folder.predict(tmp_path / "pictures") == names) == of_folder.score(tmp_path / "pictures")
    assert np.array_equal(FrugalClassifier.load(tmp_path / "out" / "model").classes_, of_folder.classes_)
    (tmp_path / "pictures" / "bad.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"bad\.png: not an image.*rows would not be those of the files"):
        of_folder.predict(tmp_path / "pictures")


def test_a_named_folder_keeps_a_fit_and_refuses_another(corners, tmp_path, monkeypatch):
    x, y = corners
    first = FrugalClassifier(**QUICK, out=tmp_path / "out").fit(x, y)
    monkeypatch.setattr(launch, "begin", None)  # nothing may be searched again
    again = FrugalClassifier(**QUICK, out=tmp_path / "out").fit(x, y)
    assert np.array_equal(again.predict_proba(x), first.predict_proba(x))
    with pytest.raises(InputError, match=r"holds a fit with search\.data\.source = .*images-"):
        FrugalClassifier(**QUICK, out=tmp_path / "out").fit(255 - x, y)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((4, 8, 8)), None, "y is missing"),
        (np.zeros((4, 8, 8)), np.zeros(3, int), r"y is int64 of shape \(3,\): expected .* of shape \(4,\)"),
        (np.zeros((4, 8, 8)), np.array([0.5, 1, 1, 0]), "y is float64"),
        (np.zeros((4, 8, 8)), np.array([None, 1, "a", 0]), "y is object"),
        (np.zeros((4, 64)), np.zeros(4, int), r"X has shape \(4, 64\): expected images as"),
        (np.full((4, 8, 8), np.nan), np.zeros(4, int), "X holds 256 NaN"),
        (np.zeros((4, 8, 8)), np.zeros(4, int), "one class, '0'"),
        ("fashion-mini", np.zeros(4, int), "which has its own labels"),
        ("fashion-mani", None, "did you mean 'fashion-mini'"),
    ],
)
def test_wrong_images_and_labels_are_named(x, y, message):
    with pytest.raises(InputError, match=message) as error:
        FrugalClassifier(**QUICK).fit(x, y)
    assert "\n" not in str(error.value)


def test_wrong_arguments_are_named(fitted, corners):
    with pytest.raises(InputError, match="nothing ends the fit"):
        FrugalClassifier(minutes=None).fit(*corners)
    with pytest.raises(InputError, match="unknown objective 'prams'.*'params'"):
        FrugalClassifier(**{**QUICK, "limits": {"prams": 1}}).fit(*corners)
    with pytest.raises(InputError, match="unknown parameter 'minuets': did you mean 'minutes'"):
        FrugalClassifier().set_params(minuets=1)
    with pytest.raises(InputError, match="not fitted"):
        FrugalClassifier().predict(corners[0])
    with pytest.raises(InputError, match=r"expected uint8 \(N, \(1, 8, 8\)\)"):
        fitted.predict(np.zeros((2, 8, 8, 3), np.uint8))


def test_arguments_are_only_stored(fitted):
    given = {**QUICK, "seed": 4, "out": "somewhere"}
    made = FrugalClassifier(**given)
    assert all(made.get_params()[name] is value for name, value in given.items())
    assert made.set_params(seed=5) is made and made.get_params()["seed"] == made.seed == 5
    assert not [name for name in vars(made) if name.endswith("_")]
    assert "classes_" in vars(fitted) and "classes_" not in fitted.get_params()


def test_scikit_learn_clones_and_cross_validates_it(fitted, corners):
    pytest.importorskip("sklearn", reason="scikit-learn is in the extra [dev]")
    from sklearn.base import clone, is_classifier
    from sklearn.model_selection import cross_val_score
    from sklearn.utils.validation import check_is_fitted

    assert is_classifier(fitted)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params() and "model_" not in vars(copy)
    check_is_fitted(fitted)
    with pytest.raises(Exception, match="not fitted"):
        check_is_fitted(copy)
    scores = cross_val_score(FrugalClassifier(**QUICK), *corners, cv=2, error_score="raise")
    assert scores.shape == (2,) and scores.min() > 0.4
