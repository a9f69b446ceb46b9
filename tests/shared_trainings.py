"""Trainings that the processes share which torchrun starts this in, each with a fault or none.

    torchrun --nproc-per-node 2 tests/shared_trainings.py FOLDER

FOLDER holds images.npz, and half/, a training that was interrupted. Every process writes FOLDER/<rank>.json: what each
training came to, by its name.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from frugalnas.core import InputError
from frugalnas.layers.joint_norm import synchronised
from frugalnas.spaces.architecture import Architecture
from frugalnas.spaces.cell import CellSpace
from frugalnas.spaces.nasbench201 import NasBench201
from frugalnas.tasks import loop
from frugalnas.tasks.augment import measure
from frugalnas.tasks.data import DataSource
from frugalnas.tasks.ranks import Lost, joined
from frugalnas.tasks.recipe import Budget, Recipe
from frugalnas.training import train

RECIPE = Recipe(batch=32, lr=0.02, crop_padding=1, ema=0.9, drop_path=0.2, mixup=0.2, cutmix=0.2)
CELLS = Architecture(
    CellSpace(("sep_conv_3x3", "conv_7x1_1x7"), blocks=1, channels=4, cells=3), (0, 0, 1, 0, 0, 0, 1, 0)
)
NONES = Architecture(NasBench201(channels=4, cells=1), (3, 3, 0, 1, 0, 3))  # of edge 0 nothing comes out
TRAININGS: Mapping[str, Mapping[str, Any]] = {
    "whole": {},
    "parts": {"recipe": replace(RECIPE, accumulate=3, precision="bfloat16"), "epochs": 1},
    "nones": {"architecture": NONES, "epochs": 1},
}
CPU = torch.device("cpu")


def begun(folder: Path, name: str, progress: Any = None) -> Mapping[str, Any]:
    """Begin or go on with a training in the folder of its name; its figures."""
    given = {"architecture": CELLS, "recipe": RECIPE, "epochs": 4} | TRAININGS.get(name, {})
    data = DataSource(str(folder / "images.npz"))
    trained = train(**given, data=data, seed=3, device="cpu", validate=True, out=folder / name, progress=progress)
    assert not trained.model.network.training
    return trained.metrics


def stopped(folder: Path, rank: int) -> str:
    """A training that the first process is asked to end in its third epoch."""

    def ask(told: Mapping[str, Any]) -> None:
        if told["epoch"] == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        begun(folder, "stopped", ask)
    except KeyboardInterrupt as interrupt:
        return str(interrupt)
    return "not stopped"


def poisoned(folder: Path, rank: int) -> tuple[str, str]:
    """A training whose loss becomes NaN in the second process."""
    real, seen = loop._loss, []

    def poison(*given: Any) -> torch.Tensor:
        seen.append(given)
        return real(*given) * (float("nan") if rank == 1 and len(seen) > 8 else 1.0)

    loop._loss = poison
    try:
        begun(folder, "poisoned")
    except InputError as error:
        return type(error).__name__, str(error)
    finally:
        loop._loss = real
    return "", ""


def timed(rank: int) -> int:
    """How many images a training of a second has seen; the clock of the second process says that it is long over."""
    torch.manual_seed(0)
    images, labels = torch.randint(256, (64, 3, 8, 8), dtype=torch.uint8), torch.arange(64) % 3
    with joined(CPU) as ranks:
        network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 3))
        parts = loop.learner(network, Recipe(batch=16))
        budget, late = Budget(minutes=1 / 60), 3600.0 * rank
        given = parts, images, labels, Recipe(batch=16), budget, 0, measure(images)
        return sum(epoch.images for epoch in loop.epochs(*given, seconds=late, ranks=ranks))


def normalised(rank: int) -> float:
    """The largest difference, relative to the largest value, between joint and plain batch normalisation."""
    torch.manual_seed(0)
    with joined(CPU):
        plain = nn.BatchNorm2d(5)
        nn.init.normal_(plain.weight)
        both, far = nn.Sequential(nn.BatchNorm2d(5)), 0.0
        both.load_state_dict({f"0.{name}": tensor.clone() for name, tensor in plain.state_dict().items()})
        shared = synchronised(both)
        for count in (7, 2, 1):  # of the last, the second process has nothing
            x = 3 + 2 * torch.randn(count, 5, 4, 3).contiguous(memory_format=torch.channels_last)
            slope = torch.randn(count, 5, 4, 3)
            here = x.tensor_split(2)[rank].clone().requires_grad_()
            whole = x.clone().requires_grad_()
            (shared(here) * slope.tensor_split(2)[rank]).sum().backward()
            (plain(whole) * slope).sum().backward()
            pairs = [(here.grad, whole.grad.tensor_split(2)[rank])]
            pairs += [(shared.state_dict()[f"0.{name}"], tensor) for name, tensor in plain.state_dict().items()]
            weights = [(shared[0].weight, plain.weight), (shared[0].bias, plain.bias)]
            for own, its in weights:
                torch.distributed.all_reduce(own.grad)
                pairs.append((own.grad.clone(), its.grad.clone()))
                own.grad = its.grad = None
            far = max(
                far, *((a - b).abs().max().item() / max(1.0, b.abs().max().item()) for a, b in pairs if a.numel())
            )
        return far


def main() -> None:
    folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])
    found: dict[str, Any] = {name: begun(folder, name) for name in (*TRAININGS, "half")}
    found["again"] = begun(folder, "whole")
    found |= {"stopped": stopped(folder, rank), "poisoned": poisoned(folder, rank)}
    found |= {"timed": timed(rank), "normalised": normalised(rank)}
    (folder / f"{rank}.json").write_text(json.dumps(found))
    with joined(CPU) as ranks:
        if rank == 1:
            os._exit(0)
        try:
            ranks.agreed(0.5)
        except Lost:
            (folder / "lost").touch()


if __name__ == "__main__":
    main()
