"""A trained model on other images: labelled ones are rated, unlabelled ones predicted."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from frugalnas import zoo
from frugalnas.core import InputError
from frugalnas.model import Model
from frugalnas.tasks.data import DataSource, load_search, load_train
from frugalnas.tasks.images import with_channels
from frugalnas.tasks.labelled import load_labelled
from frugalnas.tasks.loop import Budget, Recipe, fit, measure
from frugalnas.tasks.unlabelled import batches, listed
from tiny import images, run

CLASSES = ("top-left", "top-right", "bottom-left", "bottom-right")
SIDE = 8


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that says which corner of a grey image is bright, in the folder of its training."""
    folder = tmp_path_factory.mktemp("model")
    given = load_train(DataSource(str(images(folder / "images.npz"))))
    pixels, labels = torch.from_numpy(given.pixels), torch.from_numpy(given.labels)
    architecture = zoo.load("EEEA-A", classes=4, in_channels=1, channels=4, cells=3, resolution=SIDE)
    torch.manual_seed(0)
    network = architecture.space.build(architecture.genotype)
    fit(network, pixels, labels, Recipe(batch=16, flip=False, crop_padding=0), Budget(epochs=3), seed=0)
    Model(architecture, network.eval(), CLASSES, measure(pixels)).save(folder / "model.safetensors")
    return folder


def other(path: Path, **arrays: object) -> Path:
    """Images that the model has not seen, with the names of their classes."""
    return images(path, seed=7, count=40, **{"class_names": np.array(CLASSES)} | arrays)


def pictures(root: Path, classes: tuple[str, ...] = CLASSES, each: int = 3, scale: int = 3) -> Path:
    """A folder of PNG files by class: enlarged colour pictures of what the model knows."""
    given = load_train(DataSource(str(other(root.with_suffix(".npz")))))
    for label, name in enumerate(CLASSES):
        for index in np.flatnonzero(given.labels == label)[: each if name in classes else 0]:
            path = root / name / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            large = given.pixels[index, 0].repeat(scale, 0).repeat(scale, 1)
            Image.fromarray(np.stack([large] * 3, axis=-1)).save(path)
    return root


def evaluated(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, object]:
    assert run("evaluate", *arguments, "--json") == 0
    return dict(json.loads(capsys.readouterr().out))


def predicted(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, str]]:
    assert run("predict", *arguments) == 0
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def test_a_good_model_is_rated_good_and_a_confused_one_by_what_it_confuses(model, tmp_path, capsys):
    found = evaluated(capsys, model, "--data", other(tmp_path / "other.npz"))
    assert found["part"] == "all" and found["images"] == 40
    assert found["error"] < 0.1 and found["loss"] < 0.5
    assert np.trace(found["confusion"]) == round(40 * (1 - found["error"]))
    swapped = np.array(CLASSES)[[1, 0, 2, 3]]  # names given to the wrong corners
    found = evaluated(capsys, model, "--data", other(tmp_path / "wrong.npz", class_names=swapped))
    assert 0.4 < found["error"] < 0.6
    assert found["confusion"][0][1] >= 9 and found["confusion"][2][2] >= 9
    assert run("evaluate", model, "--data", tmp_path / "wrong.npz") == 0
    said = capsys.readouterr().out
    assert "40 images (all)" in said and "top-left as top-right 10" in said
    rows = [line.split() for line in said.splitlines()]
    assert ["2", "bottom-left", "10", "100.0%", "100.0%", "0", "0", "10", "0"] in rows, said
    assert ["0", "top-left", "10", "0.0%", "0.0%", "0", "10", "0", "0"] in rows, said


def test_classes_are_matched_by_name_in_any_order_and_number(model, tmp_path, capsys):
    whole = load_train(DataSource(str(other(tmp_path / "other.npz"))))
    order = np.array([3, 1, 0, 2])  # new label of each class
    kept = whole.labels > 0  # no image of top-left
    names = np.array(CLASSES)[np.argsort(order)]
    path = other(
        tmp_path / "some.npz", x_train=whole.pixels[kept], y_train=order[whole.labels[kept]], class_names=names
    )
    found = evaluated(capsys, model, "--data", path)
    assert found["classes"] == list(CLASSES) and found["images"] == 30
    assert found["error"] < 0.1 and sum(found["confusion"][0]) == 0
    assert run("evaluate", model, "--data", path) == 0
    assert "0 top-left" in capsys.readouterr().out


def test_a_folder_of_some_classes_in_other_sizes_and_colours_is_rated(model, tmp_path, capsys):
    folder = pictures(tmp_path / "pictures", classes=CLASSES[2:])
    found = evaluated(capsys, model, "--data", folder)
    assert found["images"] == 6 and found["error"] == 0
    (folder / "bottom-left" / "bad.png").write_bytes(b"no image")
    assert run("evaluate", model, "--data", folder) == 0
    assert "left out bottom-left/bad.png: not an image" in capsys.readouterr().err
    assert run("evaluate", model, "--data", folder, "--strict") == 2


def test_a_class_that_the_model_has_not_is_named_unless_it_is_empty(model, tmp_path, capsys):
    folder = pictures(tmp_path / "pictures", each=1)
    (folder / "middle").mkdir()
    assert evaluated(capsys, model, "--data", folder)["images"] == 4
    (folder / "top-left").rename(folder / "top-lift")
    assert run("evaluate", model, "--data", folder) == 2
    assert "'top-lift', which is no class of the model: did you mean 'top-left'?" in capsys.readouterr().err


def test_the_part_is_the_one_asked_for(tmp_path):
    x, y = np.zeros((3, 12, SIDE, SIDE), np.uint8), np.arange(12) % 4
    x[1:] += np.array([1, 2], np.uint8)[:, None, None, None]
    path = other(tmp_path / "p.npz", x_train=x[0], y_train=y, x_val=x[1], y_val=y, x_test=x[2][:8], y_test=y[:8])
    source = DataSource(str(path))

    def values(share):
        part, found = load_labelled(source, CLASSES, 1, share)
        return part, sorted(set(found.pixels.flat)), len(found)

    assert values(None) == values("test") == ("test", [2], 8)
    assert values("validation") == ("validation", [1], 12) and values("train") == ("train", [0], 12)
    assert values("all") == ("all", [0, 1, 2], 32)


def test_without_parts_of_its_own_the_data_is_split_as_in_a_search(tmp_path):
    source = DataSource(str(other(tmp_path / "other.npz")))
    train, validation = load_search(source)
    assert np.array_equal(load_labelled(source, CLASSES, 1, "validation")[1].pixels, validation.pixels)
    assert np.array_equal(load_labelled(source, CLASSES, 1, "train")[1].labels, train.labels)
    with pytest.raises(InputError, match="no test part.*--part all"):
        load_labelled(source, CLASSES, 1, "test")


def test_channels_become_those_of_the_model():
    gray = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 1, 4, 4)
    colour = with_channels(gray, 3, "x")
    assert colour.shape == (2, 3, 4, 4) and (colour == gray).all()
    assert (with_channels(colour, 1, "x") == gray).all()
    red = np.zeros((1, 3, 1, 1), np.uint8)
    red[:, 0] = 200
    assert with_channels(red, 1, "x").item() == round(0.299 * 200)
    with pytest.raises(InputError, match="x has images of 5 channels: expected 3"):
        with_channels(np.zeros((1, 5, 2, 2), np.uint8), 3, "x")


def test_predictions_are_those_of_the_model_whatever_the_images_come_in(model, tmp_path, capsys):
    folder = pictures(tmp_path / "pictures")
    given = load_train(DataSource(str(tmp_path / "pictures.npz")))
    np.savez(tmp_path / "x.npz", x=given.pixels[:5, 0])
    file = folder / "top-left" / "0.png"
    rows = predicted(capsys, model, folder, tmp_path / "x.npz", file)
    assert list(rows[0]) == ["path", "class", "score", *(f"score_{name}" for name in CLASSES)]
    assert [row["path"] for row in rows[:12]] == sorted(str(path) for path in folder.rglob("*.png"))
    assert [row["path"] for row in rows[12:]] == [*(f"{tmp_path / 'x.npz'}[{i}]" for i in range(5)), str(file)]
    assert all(row["class"] in row["path"] for row in rows[:12])
    scores = np.array([[float(row[f"score_{name}"]) for name in CLASSES] for row in rows[12:17]])
    expected = Model.load(model).probabilities(given.pixels[:5])
    assert np.abs(scores - expected).max() < 1e-6
    assert [row["class"] for row in rows[12:17]] == [CLASSES[label] for label in expected.argmax(1)]
    assert all(float(row["score"]) == max(float(row[f"score_{name}"]) for name in CLASSES) for row in rows)


def test_the_best_classes_come_in_order_into_a_file(model, tmp_path, capsys):
    folder, out = pictures(tmp_path / "pictures"), tmp_path / "scores.csv"
    whole = predicted(capsys, model, folder)
    assert predicted(capsys, model, folder, "--top", 2, "--out", out) == []
    rows = list(csv.DictReader(out.open()))
    assert list(rows[0]) == ["path", "class", "score", "class_2", "score_2"]
    for row, all_scores in zip(rows, whole, strict=True):
        ranked = sorted(CLASSES, key=lambda name: -float(all_scores[f"score_{name}"]))
        assert [row["class"], row["class_2"]] == ranked[:2] and row["score_2"] == all_scores[f"score_{ranked[1]}"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pictures", "pictures.npz", "scores.csv"]
    assert list(predicted(capsys, model, folder, "--top", 99)[0])[-1] == "score_4"


def test_what_cannot_be_read_is_named_and_left_out(model, tmp_path, capsys):
    folder, out = pictures(tmp_path / "pictures", each=1), tmp_path / "scores.csv"
    bad, text = folder / "bad.png", folder / "notes.txt"
    bad.write_bytes(b"no image")
    text.write_text("no image")
    assert run("predict", model, folder) == 0
    said = capsys.readouterr()
    assert said.out.count("\n") == 5
    assert f"left out {text}: not an image file" in said.err and f"left out {bad}: not an image that" in said.err
    for arguments, message in (
        ((folder, "--strict"), "refused: "),
        ((bad,), "no image could be read"),
        ((folder / "none.png",), f"there is no file or folder '{folder / 'none.png'}'"),
        ((tmp_path / "pictures.npz",), "has no 'x'"),
    ):
        assert run("predict", model, *arguments, "--out", out) == 2
        assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("*.csv")) and not list(tmp_path.glob(".*")), "a file that is not whole has no name"


def test_files_are_read_only_when_their_turn_comes(tmp_path):
    folder = pictures(tmp_path / "pictures")
    files = listed([folder]).files
    found = batches(files, 1, SIDE, size=5)
    first = next(found)
    files[7].unlink()
    second, third = found
    assert [len(batch.names) for batch in (first, second, third)] == [5, 4, 2]
    assert first.pixels.shape == (5, 1, SIDE, SIDE)
    assert len(second.skipped) == 1 and second.skipped[0].startswith(f"{files[7]}: ")
    assert np.array_equal(second.pixels[2:], next(batches(files[8:10], 1, SIDE)).pixels), "the others keep their place"


def test_pictures_are_brought_to_the_size_as_in_training(tmp_path):
    folder = pictures(tmp_path / "pictures")
    training = load_train(DataSource(str(folder), resolution=SIDE))
    (batch,) = batches(listed([folder]).files, training.in_channels, SIDE)
    assert [str(folder / name) for name in training.files] == list(batch.names)
    assert np.array_equal(batch.pixels, training.pixels)


def test_a_model_of_other_channels_takes_arrays_only(tmp_path):
    folder = pictures(tmp_path / "pictures", each=1)
    with pytest.raises(InputError, match=r"the model takes 4 channels: expected an \.npz"):
        next(batches(listed([folder]).files, 4, SIDE))


def test_images_of_the_training_are_said_to_be(model, tmp_path, capsys):
    path = other(tmp_path / "other.npz", x_test=np.zeros((1, SIDE, SIDE), np.uint8), y_test=np.zeros(1, np.int64))
    loaded = Model.load(model)
    replace(loaded, notes={"data": {"source": str(path)}}).save(tmp_path / "model.safetensors")
    replace(loaded, notes={"data": "words"}).save(tmp_path / "odd.safetensors")
    assert evaluated(capsys, tmp_path / "odd.safetensors", "--data", path, "--part", "all")["seen"] is False
    for arguments, seen in (((), False), (("--part", "train"), True), (("--part", "all"), True)):
        assert evaluated(capsys, tmp_path, "--data", path, *arguments)["seen"] is seen
        assert run("evaluate", tmp_path, "--data", path, *arguments) == 0
        assert ("was trained on these images" in capsys.readouterr().out) == seen
    assert evaluated(capsys, model, "--data", path, "--part", "all")["seen"] is False
