"""What it brings to share each batch of a training between two processes of one thread, beside one of two threads.

    torchrun --nproc-per-node 2 benchmarks/data_parallel.py [--images 1280] [--rounds 7]

Prints, for each network, the median milliseconds of a step of 64 images (28x28, gray): of one process alone with one
thread and with two; of both together; and of both with the statistics of batch normalisation each for its own part of
the batch, which shows what it costs to have them over the whole. The ways take turns, so that what else the machine
does is the same for all.
"""

from __future__ import annotations

import argparse
from statistics import median

import torch
import torch.distributed as dist

from frugalnas import zoo
from frugalnas.tasks.augment import measure
from frugalnas.tasks.data import DataSource, load_train
from frugalnas.tasks.loop import epochs, learner
from frugalnas.tasks.ranks import ALONE, Ranks, joined
from frugalnas.tasks.recipe import Budget, Recipe

NETWORKS = {"EEEA-A": (8, 6), "EEEA-C": (12, 8)}  # channels, cells
WAYS = {"1 process, 1 thread": 1, "1 process, 2 threads": 2, "2 processes": 1, "2 processes, own statistics": 1}


def seconds(name: str, way: str, images: torch.Tensor, labels: torch.Tensor, ranks: Ranks) -> float:
    """How long an epoch takes, after one batch to warm up; 0 where this process has nothing to do."""
    torch.set_num_threads(WAYS[way])
    sharing = ranks if way.startswith("2") else ALONE
    dist.barrier()
    if sharing is ALONE and not ranks.first:
        return 0.0
    channels, cells = NETWORKS[name]
    architecture = zoo.load(name, in_channels=1, resolution=28, channels=channels, cells=cells)
    torch.manual_seed(0)
    network = architecture.space.build(architecture.genotype).to(memory_format=torch.channels_last)
    network = sharing.joint(network, (1, 28, 28)) if way == "2 processes" else network
    recipe, normalise = Recipe(batch=64), measure(images)
    parts = learner(network, recipe)
    took = 0.0
    for count in (64, len(images)):
        given = parts, images[:count], labels[:count], recipe, Budget(1), 0, normalise
        (epoch,) = epochs(*given, ranks=sharing)
        took = epoch.seconds
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1280)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    data = load_train(DataSource())
    images, labels = (torch.from_numpy(part[: given.images]) for part in (data.pixels, data.labels))
    with joined(torch.device("cpu")) as ranks:
        for name in NETWORKS:
            rounds = [[seconds(name, way, images, labels, ranks) for way in WAYS] for _ in range(given.rounds)]
            if ranks.first:
                steps = given.images / 64
                for way, times in zip(WAYS, zip(*rounds, strict=True), strict=True):
                    print(f"{name:10}{way:30}{1000 * median(times) / steps:8.1f} ms a step", flush=True)


if __name__ == "__main__":
    main()
