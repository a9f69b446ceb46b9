"""How exactly a table predicts latency, and whether the front of a search under a limit meets it: tables in Markdown.

    python benchmarks/latency.py [--quick] [--runtimes torch onnxruntime] [--trials 48] [--seconds 20]

For each runtime a table of the laptop preset's space is made, 20 random networks that it has not seen are predicted and
measured, and a search is run whose limit is the median of the space; the networks of its front are measured again.
Then memory: the formulas beside torch's allocator and beside a file. Run it on an idle machine. --quick: a tiny space
and few trials, to see that it works.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

import frugalnas
from frugalnas import config, launch, parts
from frugalnas.core import Genotype, screen
from frugalnas.latency import measure
from frugalnas.latency.build import build
from frugalnas.latency.runs import milliseconds, network_run
from frugalnas.latency.table import Table
from frugalnas.spaces.architecture import Architecture
from frugalnas.spaces.cell import CellSpace
from frugalnas.variation import random_genotype

QUICK: dict[str, Any] = {
    "space": {"channels": 4, "cells": 3},
    "estimators": {"0": {"fidelity": {"samples": 0.05, "width": 2, "depth": 3}}},
}


def drawn(space: CellSpace, number: int, seed: int = 1) -> list[Genotype]:
    rng = np.random.default_rng(seed)
    return [random_genotype(rng, space.domains) for _ in range(number)]


def row(*cells: object) -> None:
    print("|", " | ".join(map(str, cells)), "|", flush=True)


def head(title: str, *columns: str) -> None:
    print(f"\n### {title}\n")
    row(*columns)
    row(*["---"] * len(columns))


def formats_and_clocks(space: CellSpace, seconds: float) -> None:
    """Why maps are channels last, and why the clock is the thread's: the same networks, each way."""
    found = drawn(space, 10)
    image = torch.rand(1, space.in_channels, space.resolution, space.resolution)
    head("One image with torch, 10 networks, median ms", "memory format", "CPU time of the thread", "wall time")
    for name, layout in (("channels last", torch.channels_last), ("contiguous", torch.contiguous_format)):
        pixels = image.contiguous(memory_format=layout)
        networks = [space.build(genotype).eval().to(memory_format=layout) for genotype in found]
        runs = [partial(network, pixels) for network in networks]
        with measure.within("torch", 1):
            times = [
                statistics.median(measure.timed(runs, clock, seconds / 4, lambda share: None))
                for clock in (time.thread_time, time.perf_counter)
            ]
        row(name, *(f"{ms:.3f}" for ms in times))


def predictions(space: CellSpace, table: Table, seconds: float) -> None:
    """Predicted and measured, on networks that were not drawn for the table."""
    found = [Architecture(space, genotype) for genotype in drawn(space, 20)]
    times = milliseconds(found, table.runtime, 1, seconds)
    rows = [{"predicted_ms": table.predict(a), "measured_ms": ms} for a, ms in zip(found, times, strict=True)]
    head(f"{table.runtime}: 20 networks, ms", "predicted", "measured", "error")
    for each in sorted(rows, key=lambda each: each["measured_ms"]):
        off = each["predicted_ms"] / each["measured_ms"] - 1
        row(f"{each['predicted_ms']:.3f}", f"{each['measured_ms']:.3f}", f"{off:+.1%}")
    off = measure.error(rows)
    print(f"\nSpearman {off['spearman']:.3f}, median error {off['median']:.1%}, worst {off['worst']:.1%}.")


def limited_search(tree: config.Tree, table: Path, trials: int, folder: Path, seconds: float) -> None:
    """A search whose limit is the median of its space, and its front measured again."""
    opened = Table.load(table)
    work = parts.problem_of(tree | {"limits": {}}, opened)
    limit = round(statistics.median(opened.cost(work.space, genotype) for genotype in drawn(work.space, 500)), 3)
    tree = config.changed(
        tree,
        {"latency": {"table": str(table)}, "limits": {"params": float("inf"), "latency_ms": limit}},
        {"objectives": ["error", "latency_ms", "params"], "trials": trials},
    )
    work = parts.problem_of(tree)
    start = time.perf_counter()
    rejected = sum(bool(screen(work, genotype)[1]) for genotype in drawn(work.space, 10_000))
    took = time.perf_counter() - start
    result = launch.begin(tree, folder)
    front = [result.architecture(trial) for trial in result.front]
    times = milliseconds(front, opened.runtime, 1, seconds)
    head(
        f"{opened.runtime}: the front of a search with latency_ms <= {limit}",
        "trial",
        "predicted",
        "measured",
        "meets it",
    )
    for trial, ms in zip(result.front, times, strict=True):
        row(trial.number, f"{trial.values['latency_ms']:.3f}", f"{ms:.3f}", "yes" if ms <= limit else "no")
    held = sum(ms <= limit for ms in times)
    statuses = [trial.status for trial in result.study.trials]
    print(
        f"\n{held} of {len(times)} meet the limit; {statuses.count('done')} networks rated, "
        f"{statuses.count('rejected')} rejected. The margin is {opened.slower:.1%}. Of 10,000 random genotypes "
        f"{rejected:,} were rejected in {took:.1f} s."
    )


def allocated(space: CellSpace, genotype: Genotype, folder: Path) -> int:
    """The most bytes that torch's allocator holds in an inference, the image included."""
    from torch.profiler import ProfilerActivity, profile

    infer = network_run(space, genotype, "torch", 1)
    with measure.within("torch", 1):
        infer()
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
            infer()
    seen.export_chrome_trace(str(folder / "trace.json"))
    events = [e for e in json.loads((folder / "trace.json").read_text())["traceEvents"] if e["name"] == "[memory]"]
    now = np.cumsum([event["args"]["Bytes"] for event in sorted(events, key=lambda event: event["ts"])])
    return 4 * space.in_channels * space.resolution**2 + int(now.max())


def memory(space: CellSpace, folder: Path) -> None:
    head("Memory of one image in bytes", "peak_bytes", "allocated", "ratio", "model_bytes", "safetensors file", "ratio")
    for genotype in drawn(space, 10):
        peak, most = space.peak_bytes(genotype), allocated(space, genotype, folder)
        size, file = space.count(genotype).model_bytes, len(save(space.build(genotype).state_dict()))
        row(peak, most, f"{most / peak:.3f}", size, file, f"{file / size:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tiny space, few trials, the least number of rounds")
    parser.add_argument("--runtimes", nargs="+", choices=("torch", "onnxruntime"), default=["torch", "onnxruntime"])
    parser.add_argument("--trials", type=int, default=48, help="of each search")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    options = parser.parse_args()
    seconds, trials = (0.0, 4) if options.quick else (options.seconds, options.trials)
    tree = config.resolve(layers=[QUICK] if options.quick else [])
    space = parts.space_of(tree)
    print(
        f"FrugalNAS {frugalnas.__version__}, {measure.device()['processor']}, {os.cpu_count()} cores, one thread used"
    )
    with tempfile.TemporaryDirectory() as name:
        folder, tables = Path(name), {}
        head("Tables", "runtime", "pieces", "seconds", "Spearman", "median error", "worst", "margin")
        for runtime in options.runtimes:
            start = time.perf_counter()
            table = tables[runtime] = build(space, runtime, seconds=seconds)
            took, off = time.perf_counter() - start, table.content["error"]
            shares = (f"{off[key]:.1%}" for key in ("median", "worst", "slower"))
            row(runtime, len(table.content["pieces"]), f"{took:.0f}", f"{off['spearman']:.3f}", *shares)
            table.save(folder / f"{runtime}.json")
        for table in tables.values():
            predictions(space, table, seconds / 2)
        for runtime in options.runtimes:
            limited_search(tree, folder / f"{runtime}.json", trials, folder / runtime, seconds / 2)
        memory(space, folder)
        formats_and_clocks(space, seconds)


if __name__ == "__main__":
    main()
