"""Do to small real searches what machines and people do, at random moments, and look whether anything was lost.

Every search is a process of its own with a pool of two workers: mostly `benchmarks/faulty.py`, a free problem of which
every eighth trial fails, and with --trainings also the command `frugalnas search` on generated images. Whatever is done
to it, what was told before must still be there after, a search that goes on, or is resumed, must end with the journal
of its undisturbed twin byte for byte, no process may print a traceback, and one that gives up must say so in one line
with exit code 2.

    python benchmarks/faults.py [--minutes 10] [--only disk,clock] [--no-trainings] [--seed 0]

Prints a table: fault, runs, faults injected, told trials lost, journals that differ, tracebacks, verdict. Exit code 1
unless all is well. The full disk and the read-only folder need file systems of their own (Linux, `unshare`), the lost
node Ray; where these are missing a line says so.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import damaged
import disturbed
from undisturbed import Bench, Row, generated_images

FAULTS: dict[str, tuple[float, str, Callable[[Bench, Row], None]]] = {
    "driver": (3.0, "driver killed", disturbed.driver_killed),
    "worker": (2.0, "worker killed", disturbed.worker_killed),
    "stopped": (1.5, "worker stopped", disturbed.worker_stopped),
    "hang": (1.0, "worker hangs", disturbed.worker_hangs),
    "memory": (1.0, "memory exceeded", disturbed.too_much_memory),
    "nan": (0.5, "NaN values", disturbed.values_that_are_no_numbers),
    "build": (0.5, "exceptions in build", disturbed.networks_that_cannot_be_built),
    "disk": (1.5, "full disk", damaged.full_disk),
    "readonly": (1.0, "read-only folder", damaged.read_only_folder),
    "cut": (1.0, "journal cut", damaged.journal_cut),
    "garbled": (1.5, "journal garbled", damaged.journal_garbled),
    "two": (1.0, "two processes", disturbed.two_on_one),
    "clock": (0.5, "clock jumps", disturbed.clock_jumps),
    "node": (1.5, "Ray node lost", disturbed.node_lost),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", help="some of " + ", ".join(FAULTS))
    parser.add_argument("--no-trainings", action="store_true", help="searches on the free problem only")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    logging.getLogger("frugalnas").setLevel(logging.ERROR)  # repairs say what they did
    names = given.only.split(",") if given.only else [*FAULTS]
    share = given.minutes * 60 / sum(FAULTS[name][0] for name in names)
    well = True
    print(f"{'fault':<20}{'runs':>6}{'faults':>8}{'lost':>6}{'differ':>8}{'tracebacks':>12}  verdict", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        images = generated_images(Path(scratch) / "images.npz")
        bench = Bench(Path(scratch), random.Random(given.seed), images, not given.no_trainings)
        for name in names:
            weight, title, do = FAULTS[name]
            bench.deadline = time.monotonic() + share * weight
            row = Row()
            do(bench, row)
            well &= row.well
            verdict = row.note or ("well" if row.well else f"NOT WELL: {(row.wrong or ['see above'])[0]}")
            counts = f"{row.runs:>6}{row.injected:>8}{row.lost:>6}{row.differ:>8}{row.tracebacks:>12}"
            print(f"{title:<20}{counts}  {verdict}", flush=True)
    return int(not well)


if __name__ == "__main__":
    sys.exit(main())
