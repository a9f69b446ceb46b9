"""A table of NAS-Bench-201 that is small enough for a test."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import numpy as np

from frugalnas.spaces.nasbench201 import NasBench201

SPACE = NasBench201()
COLUMNS = ("index", "arch_str", "params_M", "c10_test_200", "c10_val_200", "c10_val_12")


def rows(count: int = 2000) -> dict[tuple[int, ...], tuple[float, float]]:
    """Validation and test accuracy in per cent of `count` different genotypes: more convolutions, fewer errors."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(5**6, count, replace=False)
    genotypes = [tuple(int(n) // 5**place % 5 for place in range(6)) for n in drawn]
    noise = rng.normal(0, 0.5, (count, 2))
    return {
        genes: (round(60 + 5 * sum(gene in (2, 3) for gene in genes) + a, 4), round(59 + 5 * genes.count(3) + b, 4))
        for genes, (a, b) in zip(genotypes, noise.tolist(), strict=True)
    }


def written(path: Path, count: int = 2000) -> Path:
    """The same as a file, compressed where its name says so."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, (genes, (validation, test)) in enumerate(rows(count).items()):
        writer.writerow([number, SPACE.to_string(genes), "0.1", test, validation, validation - 10])
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path
