"""Images, networks and a command line that are small enough for whole searches in a test."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from frugalnas import cli
from frugalnas.distribute import InProcess
from frugalnas.parts import executor_of
from frugalnas.schema import Tree

SMALL = (
    *("--set", "space.channels=4", "--set", "space.cells=3", "--set", "task.recipe.batch=16"),
    *("--set", "estimators.0.fidelity.width=2", "--set", "estimators.0.fidelity.depth=3"),
)


def images(path: Path, *, seed: int = 0, count: int = 120, side: int = 8, **arrays: object) -> Path:
    """An .npz of grey squares, the class being the corner that is bright; `arrays` replace or add to it."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    pixels = rng.integers(0, 120, (count, side, side)).astype(np.uint8)
    half = side // 2
    for image, label in zip(pixels, labels, strict=True):
        y, x = half * (label // 2), half * (label % 2)
        image[y : y + half, x : x + half] += 100
    np.savez(path, **{"x_train": pixels, "y_train": labels, **arrays})  # type: ignore[arg-type]
    return path


def run(*arguments: object) -> int:
    """The exit code of the command line with these arguments, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["frugalnas", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return int(ended.value.code or 0)


class OneProcess(InProcess):
    """In place of the executor that a configuration names: this process."""

    def __init__(self, tree: Tree, folder: Path) -> None:
        executor_of(tree, folder).close()  # for what it says of wrong arguments; it starts nothing yet
