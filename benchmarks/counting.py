"""Genotypes counted per second from formulas, beside building the network and beside torch's FLOP counter.

Random genotypes of EEEA-Net's space (9 operations, 5 blocks) at its final size: 36 channels, 20 cells, 32 px. Every way
gets parameters; the formulas and the FLOP counter also the multiply-accumulates, and both must agree on them.

    python benchmarks/counting.py [--genotypes 2000] [--built 3] [--repeats 5]

All ways take turns in each repeat, on one thread and on different genotypes; the median rate of the repeats is printed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from frugalnas.core import Genotype
from frugalnas.spaces.cell import OPERATION_LISTS, CellSpace

SPACE = CellSpace(OPERATION_LISTS["eeea"], blocks=5, channels=36, cells=20)


def formulas(genotype: Genotype) -> tuple[int, int]:
    counted = SPACE.count(genotype)
    return counted.params, counted.macs


def built_on(device: str) -> Callable[[Genotype], tuple[int, int]]:
    def built(genotype: Genotype) -> tuple[int, int]:
        with torch.device(device):
            return sum(parameter.numel() for parameter in SPACE.build(genotype).parameters()), 0

    return built


def flop_counter(genotype: Genotype) -> tuple[int, int]:
    with torch.device("meta"):
        network = SPACE.build(genotype).eval()
        image = torch.empty(1, 3, SPACE.resolution, SPACE.resolution)
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        network(image)
    return sum(parameter.numel() for parameter in network.parameters()), flops.get_total_flops() // 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genotypes", type=int, default=2000, help="counted from formulas in each repeat")
    parser.add_argument("--built", type=int, default=3, help="built in each repeat by each of the other ways")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)

    def draw(number: int) -> list[Genotype]:
        return [tuple(int(gene) for gene in rng.integers(SPACE.domains)) for _ in range(number)]

    ways: dict[str, tuple[Callable[[Genotype], object], int]] = {
        "formulas: params, MACs and the rest": (formulas, arguments.genotypes),
        "formulas: peak memory": (SPACE.peak_bytes, 20 * arguments.built),
        "canonical genotype": (SPACE.canonical, arguments.genotypes),
        "build on meta: params": (built_on("meta"), arguments.built),
        "build on the CPU: params": (built_on("cpu"), arguments.built),
        "torch FLOP counter on meta: params, MACs": (flop_counter, arguments.built),
    }
    genotype = draw(1)[0]
    if formulas(genotype) != flop_counter(genotype):
        raise SystemExit(f"formulas give {formulas(genotype)}, torch {flop_counter(genotype)}")
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.repeats):
        for name, (way, number) in ways.items():
            genotypes = draw(number)
            start = time.perf_counter()
            for each in genotypes:
                way(each)
            rates[name].append(number / (time.perf_counter() - start))
    fastest = median(rates["formulas: params, MACs and the rest"])
    print(f"{'20 cells, 36 channels, 32 px, one thread':42} {'genotypes/s':>12} {'ms each':>10} {'ratio':>9}")
    for name, values in rates.items():
        rate = median(values)
        print(f"{name:42} {rate:12,.1f} {1000 / rate:10.3f} {fastest / rate:8,.0f}x")


if __name__ == "__main__":
    main()
