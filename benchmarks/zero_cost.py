"""Our zero-cost scores beside published ones of the same networks of NAS-Bench-201, and both beside the accuracy.

The published are NASLib's for NAS-Bench-Suite-Zero (Krishnakumar et al., NeurIPS 2022), a table of 500 networks; its
tuple of operations is read in NASLib's numbering, and its parameters and multiply-accumulates are checked against ours.
Weights and images are not the same as theirs, so that even the same score agrees in rank only.

    python benchmarks/zero_cost.py --data PATH [--networks 60] [--images 64] [--seed 0] [--scores snip,zen]

Prints for each score Spearman's correlation of ours with theirs, of each with the validation accuracy, and the seconds
of ours per network on one thread.
"""

from __future__ import annotations

import argparse
import ast
import csv
import gzip
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from frugalnas.core import Genotype
from frugalnas.layers.initialise import draw_seed
from frugalnas.objectives.count import macs, params
from frugalnas.report import table
from frugalnas.scores.az import az_nas
from frugalnas.scores.rating import SCORES
from frugalnas.spaces.nasbench201 import EDGES, OPERATIONS, NasBench201

SPACE = NasBench201()
NASLIB_OPERATIONS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
NASLIB_EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
THEIRS = {"jacob_cov": "jacov", "more_params": "params", "more_macs": "flops"}  # where the name is another
AZ = ("az_expressivity", "az_progressivity", "az_trainability", "more_macs")


def genotype_of(text: str) -> Genotype:
    operations = dict(zip(NASLIB_EDGES, ast.literal_eval(text), strict=True))
    return tuple(OPERATIONS.index(NASLIB_OPERATIONS[operations[edge]]) for edge in EDGES)


def published(path: Path) -> list[dict[str, Any]]:
    """The rows for CIFAR-10, each with our genotype, whose parameters must be those of the table."""
    with gzip.open(path, "rt", newline="") as file:
        rows = [dict(row) for row in csv.DictReader(file) if row["dataset"] == "cifar10"]
    for row in rows:
        row["genotype"] = genotype_of(row["arch"])
        if not math.isclose(float(row["params"]) * 1e6, params(SPACE, row["genotype"]), abs_tol=1):
            raise SystemExit(f"{row['arch']}: {row['params']} M parameters, ours {params(SPACE, row['genotype'])}")
    return rows


def batch(path: Path, images: int) -> tuple[torch.Tensor, torch.Tensor]:
    with np.load(path) as file:
        pixels, labels = file["x_train"], file["y_train"]
    picks = np.random.default_rng(0).permutation(len(labels))[:images]
    mean, deviation = pixels.mean((0, 1, 2)) / 255, pixels.std((0, 1, 2)) / 255
    chosen = ((pixels[picks] / 255 - mean) / deviation).transpose(0, 3, 1, 2)
    return torch.from_numpy(chosen).float(), torch.from_numpy(labels[picks].astype(np.int64).ravel())


def rank(a: list[float], b: list[float]) -> str:
    """Spearman's correlation over the networks for which both are known; infinities count as last or first."""
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if not math.isnan(x) and not math.isnan(y)]
    return f"{spearmanr(*zip(*pairs, strict=True)).statistic:.3f}" if len(pairs) > 2 else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scores", default=",".join(SCORES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = options.scores.split(",")
    rows = published(options.data / "nasbench" / "zerocost_nasbench201_500.csv.gz")
    chosen = np.random.default_rng(options.seed).permutation(len(rows))[: options.networks]
    rows = [rows[place] for place in chosen]
    images, labels = batch(options.data / "cifar10_15k.npz", options.images)
    found: dict[str, list[float]] = {name: [] for name in names}
    seconds = dict.fromkeys(names, 0.0)
    for row in rows:
        torch.manual_seed(draw_seed(options.seed, 0))
        network = SPACE.build(row["genotype"]).to(memory_format=torch.channels_last)
        for name in names:
            start = time.perf_counter()
            value = SCORES[name](network, images, labels, torch.Generator().manual_seed(options.seed))
            seconds[name] += time.perf_counter() - start
            found[name].append(value)
    found |= {"more_params": [params(SPACE, row["genotype"]) for row in rows]}
    found |= {"more_macs": [macs(SPACE, row["genotype"]) for row in rows]}
    if all(name in found for name in AZ):
        found["az_nas"] = az_nas(np.array([found[name] for name in AZ]).T).tolist()
    accuracy = [float(row["val_accuracy"]) for row in rows]
    lines = []
    for name, ours in found.items():
        column = THEIRS.get(name, name)
        theirs = [float(row.get(column) or math.nan) for row in rows]
        known = sum(map(math.isfinite, ours))
        spent = f"{seconds[name] / len(rows):.2f}" if name in seconds else ""
        lines.append((name, rank(ours, theirs), rank(ours, accuracy), rank(theirs, accuracy), str(known), spent))
    print(f"{len(rows)} networks of NAS-Bench-201, CIFAR-10, {len(labels)} images")
    print(table(("score", "ours, theirs", "ours, accuracy", "theirs, accuracy", "finite", "seconds"), lines))


if __name__ == "__main__":
    main()
