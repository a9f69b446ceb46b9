"""Training throughput: our loop beside bare loops, memory formats, and how to share two cores between networks.

    python benchmarks/throughput.py [loop] [format] [processes] [--channels 8] [--cells 5] [--batch 64] [--repeats 5]

Rivals take turns, one short run each, `--repeats` times; figures are medians. Everything runs on the CPU, on networks
of the EEEA-Net space that `--genotype-seed` draws, and on the shipped images. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from frugalnas.core import Candidate, Fidelity, Genotype
from frugalnas.estimators.train import Train
from frugalnas.spaces.cell import OPERATION_LISTS, CellSpace
from frugalnas.tasks.augment import Normalise, measure
from frugalnas.tasks.classification import Classification
from frugalnas.tasks.loop import fit
from frugalnas.tasks.recipe import Budget, Recipe

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def space_of(options: argparse.Namespace) -> CellSpace:
    sizes = {"channels": options.channels, "cells": options.cells}
    return CellSpace(OPERATION_LISTS["eeea"], **sizes, **Classification().facts())


def drawn(space: CellSpace, seed: int) -> Genotype:
    rng = random.Random(seed)
    return tuple(rng.randrange(domain) for domain in space.domains)


def interleaved(
    rivals: dict[Any, Callable[[], None]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[Any, float]:
    """Median seconds of each rival; one warm-up each, then they take turns, every other round backwards."""
    for run in rivals.values():
        run()
    seconds: dict[Any, list[float]] = {name: [] for name in rivals}
    for turn in range(repeats):
        for name in list(rivals)[:: 1 if turn % 2 == 0 else -1]:
            start = clock()
            rivals[name]()
            seconds[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def bare_loop(model: nn.Module, batches: list[tuple[torch.Tensor, torch.Tensor]], recipe: Recipe) -> None:
    """The least that trains: ready batches of floats, forward, backward, SGD step."""
    optimiser = torch.optim.SGD(model.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay)
    model.train()
    for x, y in batches:
        optimiser.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimiser.step()


class PerImage(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """One image at a time, as torchvision's transforms work: pad, crop, flip, to float, normalise."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, normalise: Normalise) -> None:
        self.images, self.labels = images, labels.tolist()
        self.mean, self.std = normalise.mean[:, None, None], normalise.std[:, None, None]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        side = self.images.shape[2]
        padded = F.pad(self.images[index], (4, 4, 4, 4))
        top, left = random.randint(0, 8), random.randint(0, 8)
        image = padded[:, top : top + side, left : left + side]
        image = image.flip(2) if random.random() < 0.5 else image
        return (image.float() / 255 - self.mean) / self.std, self.labels[index]


def loop_table(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    space = space_of(options)
    recipe = Recipe(batch=options.batch, cutout=8)
    unclipped = replace(recipe, clip=0.0)
    images, labels = Classification().images("train", Fidelity())
    images, labels = images[: options.images], labels[: options.images]
    normalise = measure(images)
    ready = [
        (normalise(x), y)
        for x, y in zip(images.split(options.batch), labels.split(options.batch), strict=True)
    ]  # fmt: skip
    print(f"\n{len(images)} images, batch {options.batch}, {options.threads} thread(s): images/s (share of bare)")
    print(f"{'network':>8} {'bare loop':>12} {'ours':>18} {'ours, no clip':>18} {'per-image loader':>18}")
    for seed in options.genotype_seeds:
        model = space.build(drawn(space, seed)).to(memory_format=torch.channels_last)
        loader = torch.utils.data.DataLoader(PerImage(images, labels, normalise), options.batch, shuffle=True)

        def ours(recipe: Recipe, model: nn.Module = model) -> None:
            fit(model, images, labels, recipe, Budget(1), 0, normalise)

        seconds = interleaved(
            {
                "bare": lambda model=model: bare_loop(model, ready, recipe),
                "ours": lambda ours=ours: ours(recipe),
                "unclipped": lambda ours=ours: ours(unclipped),
                "loader": lambda model=model, loader=loader: bare_loop(model, loader, recipe),
            },
            options.repeats,
            CLOCKS[options.clock],
        )
        rates = [f"{len(images) / seconds['bare']:12.0f}"] + [
            f"{len(images) / seconds[name]:9.0f} ({100 * seconds['bare'] / seconds[name]:5.1f} %)"
            for name in ("ours", "unclipped", "loader")
        ]
        print(f"{seed:8d} {' '.join(rates)}", flush=True)


def format_table(options: argparse.Namespace) -> None:
    space = space_of(options)
    task = Classification()
    images, labels = task.images("train", Fidelity())
    x, y = task.normalisation()(images[: options.batch]), labels[: options.batch]
    formats = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
    print(f"\nMemory format, batch {options.batch}: images/s")
    print(f"{'network':>8} {'threads':>8} {'train NCHW':>12} {'train c.last':>13} {'fwd NCHW':>10} {'fwd c.last':>11}")
    for seed in options.genotype_seeds:
        models = {
            name: (space.build(drawn(space, seed)).to(memory_format=form), x.clone(memory_format=form))
            for name, form in formats.items()
        }

        def train(name: str, models: dict[str, tuple[nn.Module, torch.Tensor]] = models) -> None:
            model, inputs = models[name]
            bare_loop(model, [(inputs, y)] * options.steps, Recipe())

        @torch.inference_mode()
        def forward(name: str, models: dict[str, tuple[nn.Module, torch.Tensor]] = models) -> None:
            model, inputs = models[name]
            model.eval()
            for _ in range(options.steps):
                model(inputs)

        for threads in (1, 2):
            torch.set_num_threads(threads)
            rivals = {
                (kind.__name__, name): lambda kind=kind, name=name: kind(name)
                for kind in (train, forward)
                for name in formats
            }
            seconds = interleaved(rivals, options.repeats, CLOCKS[options.clock])
            rates = [options.steps * len(x) / value for value in seconds.values()]
            print(
                f"{seed:8d} {threads:8d} {rates[0]:12.0f} {rates[1]:13.0f} {rates[2]:10.0f} {rates[3]:11.0f}",
                flush=True,
            )


def rate(space: CellSpace, share: float, batch: int, threads: int, seed: int) -> float:
    torch.set_num_threads(threads)
    task = Classification(recipe=Recipe(batch=batch))
    return Train(task, Fidelity(samples=share)).evaluate(Candidate(drawn(space, seed)), space, seed)["error"]


def processes_table(options: argparse.Namespace) -> None:
    space = space_of(options)
    share, networks = options.images / 8000, 2 * len(options.genotype_seeds)
    print(f"\n{networks} networks trained on {options.images} images and scored: networks per minute")
    layouts = {(1, 2): "1 process x 2 threads", (2, 1): "2 processes x 1 thread"}
    pools = {layout: ProcessPoolExecutor(layout[0], mp_context=get_context("spawn")) for layout in layouts}

    def run(layout: tuple[int, int]) -> None:
        seeds = [seed for seed in options.genotype_seeds for _ in range(2)]
        list(
            pools[layout].map(
                rate, *zip(*[(space, share, options.batch, layout[1], seed) for seed in seeds], strict=True)
            )
        )

    seconds = interleaved(
        {name: lambda layout=layout: run(layout) for layout, name in layouts.items()}, options.repeats
    )
    for name, value in seconds.items():
        print(f"{name:>24} {60 * networks / value:8.1f}")
    for pool in pools.values():
        pool.shutdown()


TABLES = {"loop": loop_table, "format": format_table, "processes": processes_table}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", help=f"of {', '.join(TABLES)}; all by default")
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--cells", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", type=int, default=1024, help="training images a run")
    parser.add_argument("--steps", type=int, default=4, help="steps a run, for the memory formats")
    parser.add_argument("--threads", type=int, default=1, help="of the loops compared")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: where other programs disturb; 1 thread")
    parser.add_argument("--genotype-seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    unknown = set(options.tables) - set(TABLES)
    if unknown:
        parser.error(f"unknown table {', '.join(sorted(unknown))}: expected {', '.join(TABLES)}")
    for name in options.tables or TABLES:
        TABLES[name](options)


if __name__ == "__main__":
    main()
