"""A tiny search with shared weights that is killed at chosen writes, or moments, and resumed.

    python tests/killed.py FOLDER write:5 write:12 after:0.2 ...

Runs the search once whole, in FOLDER/whole, then once for each kill: SIGKILL hits it right before its fifth write (a
file of weights opened, renamed or removed), or after 0.2 s, and another process resumes it. Prints a JSON object for
each: the kill, trials told at that time, whether the journal and the weight set are those of the whole run, which files
there are, and how many candidates the second process rated.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import torch

from frugalnas import store
from frugalnas.core import Fidelity, Objective, Problem
from frugalnas.distribute import InProcess
from frugalnas.estimators.shared_weights import SharedWeights
from frugalnas.estimators.train import Train
from frugalnas.spaces.cell import CellSpace
from frugalnas.store import Journal
from frugalnas.strategies.slow_fast import SlowFast
from frugalnas.study import Study
from frugalnas.tasks.classification import Classification
from frugalnas.tasks.data import DataSource
from frugalnas.tasks.recipe import Recipe
from frugalnas.weights import FOLDER, WeightSet

SEED = 7


def search(folder: Path, images: Path) -> int:
    """Start or resume the search in `folder`; how many candidates were rated."""
    task = Classification(DataSource(str(images)), Recipe(batch=20, lr=0.1, lr_end=0.001, drop_path=0.2))
    space = CellSpace(("sep_conv_3x3", "max_pool_3x3"), 1, "full", "all", channels=2, cells=3, **task.facts())
    small = Fidelity(epochs=1)
    ladder = SharedWeights(task, small, folder=folder), SharedWeights(task, Fidelity(epochs=0), folder=folder)
    problem = Problem(space, (Objective("error"),), (*ladder, Train(task, small)))
    if not (folder / store.JOURNAL).exists():
        Journal.create(folder, {"seed": SEED}).close()
    weight_set = WeightSet(folder, SEED)
    strategy = SlowFast(space, ("error",), 3, weight_set, population=4, generations=2, finalists=2, retrained=1)
    journal = Journal(folder)
    study = Study(problem, strategy, seed=SEED, journal=journal)
    before = len(study.trials)
    study.run(InProcess())
    journal.close()
    return len(study.trials) - before


def die_before(write: int) -> None:
    """SIGKILL this process right before so many writes of weights."""
    seen = 0

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        writes = event in ("os.rename", "os.remove") or (event == "open" and "x" in str(arguments[1]))
        if writes and f"{os.sep}{FOLDER}{os.sep}" in str(arguments[0]):
            seen += 1
            if seen == write:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def forked(folder: Path, images: Path, kill: str = "") -> tuple[bool, int]:
    """Search in a process of its own: whether it was killed, and how many candidates it rated."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        kind, _, when = kill.partition(":")
        if kind == "write":
            die_before(int(when))
        elif kind == "after":
            threading.Thread(
                target=lambda: (time.sleep(float(when)), os.kill(os.getpid(), signal.SIGKILL)), daemon=True
            ).start()
        os.write(writing, b"%d" % search(folder, images))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        rated = int(answer.read() or 0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1]), rated


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in [folder / store.JOURNAL, *(folder / FOLDER).iterdir()]}


def main() -> None:
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], fused=True)  # imports for a second, here once for all
    scratch, images = Path(sys.argv[1]), Path(sys.argv[1]) / "images.npz"
    forked(scratch / "whole", images)
    whole = files(scratch / "whole")
    for kill in sys.argv[2:]:
        folder = scratch / kill.replace(":", "-")
        was_killed, _ = forked(folder, images, kill)
        journal = folder / store.JOURNAL
        events = store.read(folder)[1] if journal.exists() else []
        told = sum("tell" in event for event in events)
        _, rated = forked(folder, images)
        facts = {"kill": kill, "killed": was_killed, "told": told, "rated": rated, "same": files(folder) == whole}
        print(json.dumps(facts | {"files": sorted(files(folder))}), flush=True)


if __name__ == "__main__":
    main()
