"""Seconds per pair of RelativeNAS beside a version that builds both networks and copies whole state dicts.

A pair is two networks that inherit the shared weights, train for an epoch, are compared, and are written back: here as
paths through one supernet, with files that outlive a crash; there, as in the released code, each network has all
operations on all edges (1,987,194 weights at the paper's size), loads the whole state dict, and the update is made of
whole state dicts, in memory only. Same pairs, same images, same recipe, taking turns; every operation has been written
back before, as late in a search. What is not training and validation is overhead. Peak memory is that of a process of
its own for each.

    python benchmarks/pairs.py [--repeats 5] [--images 128] [--channels 16] [--cells 8]
"""

from __future__ import annotations

import argparse
import copy
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn

from frugalnas.core import Candidate, Fidelity, Genotype, trial_seed
from frugalnas.estimators import shared_weights
from frugalnas.estimators.shared_weights import SharedWeights
from frugalnas.layers.cell import CellNetwork
from frugalnas.layers.ops import module
from frugalnas.layers.plan import Layers
from frugalnas.layers.supernet import Supernet
from frugalnas.spaces.cell import OPERATION_LISTS, CellSpace
from frugalnas.tasks.classification import Classification
from frugalnas.tasks.data import DataSource
from frugalnas.tasks.recipe import Recipe
from frugalnas.variation import random_genotype
from frugalnas.weights import WeightSet, leave_snapshot

GENERATIONS = 50
training = 0.0  # seconds in training and validation since it was set to 0


@contextmanager
def counted():
    global training
    start = time.perf_counter()
    yield
    training += time.perf_counter() - start


class Timed(Classification):
    def fit(self, *arguments, **options):
        with counted():
            return super().fit(*arguments, **options)

    def score(self, *arguments):
        with counted():
            return super().score(*arguments)


def timed_predict(*arguments, predict=shared_weights.predict):
    with counted():
        return predict(*arguments)


shared_weights.predict = timed_predict


def covering(space: CellSpace) -> list[Genotype]:
    """Genotypes that have every operation on every edge between them."""
    edges = [
        list(product(range(space.domains[4 * block]), range(space.domains[4 * block + 1])))
        for block in range(space.blocks)
    ]
    most = max(map(len, edges))
    genotypes = []
    for turn in range(-(-most // 2)):
        half = [each[(2 * turn + place) % len(each)] for each in edges for place in range(2)]
        genotypes.append(tuple(gene for edge in half * 2 for gene in edge))
    return genotypes


class Ours:
    def __init__(self, space: CellSpace, task: Timed, fidelity: Fidelity, folder: Path) -> None:
        self.space, self.folder, self.seen = space, folder, 1
        self.weight_set = WeightSet(folder, 0)
        self.weight_set.begin(GENERATIONS)
        self.estimator = SharedWeights(task, fidelity, folder=folder)
        whole = Supernet(0)
        tensors = [whole.path(space.at(fidelity).network(genotype)).tensors() for genotype in covering(space)]
        known = {name: tensor.numpy() for each in tensors for name, tensor in each.items()}
        leave_snapshot(folder, trial_seed(0, 10**6), known)
        self.weight_set.write_back(1, 10**6, None, 0)

    def pair(self, first: Genotype, second: Genotype, number: int) -> None:
        losses = []
        for turn, genotype in enumerate((first, second)):
            candidate = Candidate(genotype, inherits=self.seen)
            seed = trial_seed(0, 2 * number + turn)
            losses.append(self.estimator.evaluate(candidate, self.space, seed)["loss"])
        fast = int(losses[1] < losses[0])
        self.seen += 1
        self.weight_set.write_back(self.seen, 2 * number + fast, 2 * number + 1 - fast, 0)


class AllOperations(nn.Module):
    """A network that has all operations on all edges and runs its own. `used`: the places that it runs."""

    def __init__(self, space: CellSpace, genotype: Genotype) -> None:
        super().__init__()
        plan = space.network(genotype)
        self.everything = nn.ModuleDict()
        for number, (_, site) in enumerate(plan.cells):
            for block in range(space.blocks):
                for edge in product(space.operations, range(2 + block)):
                    name = f"cells/{number}/blocks/{block}/{edge[0]}/{edge[1]}"
                    self.everything[name] = module(site.operation(edge))
        self.used: set[str] = set()
        self.network = CellNetwork(plan, self._at)

    def _at(self, place: str, layers: Layers) -> nn.Module:
        name = place.replace(".", "/")
        self.used.add(name)
        if name not in self.everything:  # what all networks share
            self.everything[name] = module(layers)
        return self.everything[name]

    def weights(self) -> dict[str, torch.Tensor]:
        return self.everything.state_dict()

    def touched(self, name: str) -> bool:
        return name.split(".")[0] in self.used


class Straightforward:
    def __init__(self, space: CellSpace, task: Timed, fidelity: Fidelity, _: Path) -> None:
        self.space, self.task, self.fidelity = space.at(fidelity), task, fidelity
        self.shared = AllOperations(self.space, covering(space)[0]).weights()

    def pair(self, first: Genotype, second: Genotype, number: int) -> None:
        networks, losses = [], []
        for turn, genotype in enumerate((first, second)):
            model = AllOperations(self.space, genotype)
            model.everything.load_state_dict(self.shared)
            self.task.attach(model)
            parts = self.task.learner(model.network)
            schedule = Fidelity(**{**vars_of(self.fidelity), "epochs": GENERATIONS})
            self.task.fit(parts, schedule, trial_seed(0, 2 * number + turn), done=0, stop=1)
            losses.append(self.task.score(model.network, self.fidelity)["loss"])
            networks.append(model)
        fast, slow = networks if losses[0] <= losses[1] else networks[::-1]
        ours, theirs = copy.deepcopy(fast.weights()), copy.deepcopy(slow.weights())
        for name in self.shared:
            if fast.touched(name):
                self.shared[name] = ours[name]
            elif slow.touched(name):
                self.shared[name] = theirs[name]


def vars_of(fidelity: Fidelity) -> dict[str, object]:
    return {name: getattr(fidelity, name) for name in fidelity.__slots__}


RIVALS: dict[str, Callable[..., Ours | Straightforward]] = {"ours": Ours, "straightforward": Straightforward}


def parts(options: argparse.Namespace) -> tuple[CellSpace, Timed, Fidelity]:
    torch.set_num_threads(options.threads)
    task = Timed(
        DataSource(validation=0.05), Recipe(batch=options.batch, lr=0.1, lr_end=0.001, cutout=16, drop_path=0.3)
    )
    facts = task.facts()
    space = CellSpace(
        OPERATION_LISTS["relativenas"], 4, "full", "all", channels=options.channels, cells=options.cells, **facts
    )
    return space, task, Fidelity(samples=options.images / task.counts()["train"], resolution=options.resolution)


def pairs(space: CellSpace, count: int) -> list[tuple[Genotype, Genotype]]:
    rng = np.random.default_rng(0)
    return [(random_genotype(rng, space.domains), random_genotype(rng, space.domains)) for _ in range(count)]


def memory(name: str) -> float:
    """MB, by the kernel's name: VmRSS now, VmHWM at most so far (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) / 1024


def peak(options: argparse.Namespace) -> None:
    """Prints the memory in MB before two pairs, and the most that they took in all."""
    space, task, fidelity = parts(options)
    for part in ("train", "validation"):
        task.images(part, fidelity)
    task.normalisation()
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak that reading the images left
    before = memory("VmRSS")
    with tempfile.TemporaryDirectory(dir=".") as folder:
        rival = RIVALS[options.memory_of](space, task, fidelity, Path(folder))
        for number, pair in enumerate(pairs(space, 2)):
            rival.pair(*pair, number)
    print(before, memory("VmHWM"))


def main() -> None:
    global training
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=128, help="training images of an epoch")
    parser.add_argument("--resolution", type=int, default=16)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory-of", choices=RIVALS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        peak(options)
        return
    space, task, fidelity = parts(options)
    overheads: dict[str, list[float]] = {name: [] for name in RIVALS}
    totals: dict[str, list[float]] = {name: [] for name in RIVALS}
    with tempfile.TemporaryDirectory(dir=".") as folder:
        rivals = {name: kind(space, task, fidelity, Path(folder)) for name, kind in RIVALS.items()}
        for number, pair in enumerate(pairs(space, options.repeats + 1)):
            for name, rival in rivals.items():
                training, start = 0.0, time.perf_counter()
                rival.pair(*pair, number)
                total = time.perf_counter() - start
                if number:  # the first warms up
                    totals[name].append(total)
                    overheads[name].append(total - training)
    print(f"{'':18}{'s/pair':>9}{'overhead s':>12}{'ratio':>8}{'peak MB':>10}{'before pairs':>14}")
    for name in RIVALS:
        command = [sys.executable, *sys.argv, "--memory-of", name]
        before, most = map(float, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
        ratio = median(overheads[name]) / median(overheads["ours"])
        print(
            f"{name:18}{median(totals[name]):9.3f}{median(overheads[name]):12.3f}{ratio:8.2f}{most:10.0f}{before:14.0f}"
        )


if __name__ == "__main__":
    main()
