"""The images that a process has in memory, read by itself or provided by another process."""

from dataclasses import replace

import numpy as np
import pytest

from frugalnas.core import Fidelity, InputError
from frugalnas.tasks import memory
from frugalnas.tasks.classification import Classification
from frugalnas.tasks.data import DataSource
from frugalnas.tasks.images import Images


@pytest.fixture(autouse=True)
def _forgotten():
    yield
    memory.forget()


def images(count: int, value: int) -> Images:
    pixels = np.full((count, 1, 8, 8), value, np.uint8)
    pixels.flags.writeable = False  # as arrays of an object store are
    return Images(pixels, np.arange(count, dtype=np.int64) % 2, ("a", "b"), "provided")


ELSEWHERE = DataSource("/nowhere/on/this/node.npz")


def test_images_that_are_provided_need_no_file():
    task = Classification(data=ELSEWHERE, device="cpu")
    with pytest.raises(InputError, match="there is no data set"):
        task.counts()
    memory.provide(ELSEWHERE, (images(6, 7), images(4, 9)))
    assert task.counts() == {"train": 6, "validation": 4}
    assert task.images("train", Fidelity())[0].unique().tolist() == [7]
    assert task.images("validation", Fidelity(resolution=4))[0].shape == (4, 1, 4, 4)
    memory.forget()
    with pytest.raises(InputError, match="there is no data set"):
        task.counts()


def test_other_images_take_the_place_of_all_that_was_made_of_the_first():
    task = Classification(data=ELSEWHERE, device="cpu")
    first = (images(6, 7), images(4, 9))
    memory.provide(ELSEWHERE, first)
    before, mean = task.images("train", Fidelity())[0], task.normalisation().mean
    memory.provide(ELSEWHERE, first)
    assert task.images("train", Fidelity())[0] is before, "the same images are made into tensors once"
    memory.provide(ELSEWHERE, (images(6, 70), images(4, 9)))
    assert task.images("train", Fidelity())[0].unique().tolist() == [70]
    assert task.normalisation().mean > 5 * mean


def test_images_are_read_once_until_they_are_forgotten(tmp_path):
    path = tmp_path / "data.npz"

    def write(value: int) -> None:
        part = {"x_train": np.full((8, 1, 8, 8), value, np.uint8), "y_train": np.arange(8) % 2}
        np.savez(path, **part)

    write(1)
    source = replace(ELSEWHERE, source=str(path))
    assert memory.parts(source)[0].pixels.max() == 1
    write(2)
    assert memory.parts(source)[0].pixels.max() == 1
    memory.forget()
    assert memory.parts(source)[0].pixels.max() == 2
