"""How many threads one training should have, and whether they should spin while they wait for each other.

    python benchmarks/threads.py [--seconds 20] [--repeats 2] [--busy 0]

Each row is a process of its own, as torch reads these settings when it starts. `--busy N`: with N other processes that
keep a core busy each, as on a machine that is in use. Prints milliseconds of a step of 64 images (28x28, gray).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

SETTINGS = {
    "1 thread": {"OMP_NUM_THREADS": "1"},
    "all threads": {},
    "all threads, passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "all threads, spinning little": {"GOMP_SPINCOUNT": "1000"},
}
NETWORKS = {"EEEA-A": (8, 6), "EEEA-C": (12, 8)}  # channels, cells


def measured(seconds: float) -> None:
    """Train each of NETWORKS so long, and print the milliseconds of a step."""
    import torch

    from frugalnas import zoo
    from frugalnas.tasks.data import DataSource, load_train
    from frugalnas.tasks.loop import fit
    from frugalnas.tasks.recipe import Budget, Recipe

    images = load_train(DataSource())
    pixels, labels = torch.from_numpy(images.pixels), torch.from_numpy(images.labels)
    recipe = Recipe(batch=64)
    for name, (channels, cells) in NETWORKS.items():
        architecture = zoo.load(name, in_channels=1, resolution=28, channels=channels, cells=cells)
        torch.manual_seed(0)
        network = architecture.space.build(architecture.genotype).to(memory_format=torch.channels_last)
        fit(network, pixels[:256], labels[:256], recipe, Budget(1), 0)
        done = fit(network, pixels, labels, recipe, Budget(minutes=seconds / 60), 0)
        steps = sum(epoch.images for epoch in done) / recipe.batch
        print(f"{1000 * sum(epoch.seconds for epoch in done) / steps:10.1f}", end="")
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measured(given.seconds)
        return
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(given.busy)]
    try:
        print(f"{given.busy} busy processes, {os.cpu_count()} cores; ms a step".ljust(40), *NETWORKS)
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_"))}
        for _ in range(given.repeats):
            for name, settings in SETTINGS.items():
                print(name.ljust(34), end="", flush=True)
                command = [sys.executable, __file__, "--measure", "--seconds", str(given.seconds)]
                subprocess.run(command, env=clean | settings, check=True)
    finally:
        for process in busy:
            process.kill()


if __name__ == "__main__":
    main()
