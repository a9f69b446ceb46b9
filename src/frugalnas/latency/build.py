"""Make a table: what of a space is timed, on this device, or by a kit on one that has no FrugalNAS."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from frugalnas.core import Genotype, InputError
from frugalnas.latency import measure
from frugalnas.latency.onnx_file import model
from frugalnas.latency.program import Program, of_network, of_piece
from frugalnas.latency.runs import installed, network_run, piece_run, program_run
from frugalnas.latency.settings import Runtime
from frugalnas.latency.table import Table
from frugalnas.objectives.latency import pieces, pieces_of
from frugalnas.spaces import AnySpace
from frugalnas.spaces.architecture import Architecture
from frugalnas.store import write_atomically
from frugalnas.variation import random_genotype

HELD_OUT = 20
WAYS, STEPS = 30, 300  # from random networks down to small ones, and changes that are tried on each
SECONDS = 20.0
_RELU: Program = {"inputs": [[1, 1, 1]], "steps": [{"op": "relu", "reads": [0], "in_place": False}]}
_EMPTY: dict[Runtime, Program] = {"torch": {"inputs": [[1, 1, 1]], "steps": []}, "onnxruntime": _RELU}
"""Next to nothing: what it takes is in the time of every piece, and a network pays it once."""

README = """A kit of FrugalNAS, which times networks and parts of them on a device

1. Copy this folder to the device. It needs Python 3.10 or newer, and: pip install {packages}
2. There, with nothing else running: python measure.py --out table.json
3. Copy table.json back. Then: frugalnas search ... --set latency.table=table.json --limit latency_ms=5

python measure.py --help names the options. It reads this folder and writes the table, and nothing else.
"""


def build(
    space: AnySpace,
    runtime: Runtime = "torch",
    threads: int = 1,
    seconds: float = SECONDS,
    progress: measure.Progress = lambda share: None,
) -> Table:
    """The table of this device for a space. `seconds`: about how long to measure; a slow device takes longer.

    Raises InputError where the runtime is not installed.
    """
    plan, parts = plan_of(space, installed(runtime)), pieces_of(space)

    def run_of(entry: measure.Json) -> measure.Run:
        if "genotype" in entry:
            return network_run(space, tuple(entry["genotype"]), runtime, threads)
        if "name" in entry:
            return piece_run(parts[entry["name"]], runtime, threads)
        return program_run(_EMPTY[runtime], runtime, threads)

    with measure.within(runtime, threads):
        return Table(measure.measured(plan, run_of, threads, seconds, progress))


def write_kit(space: AnySpace, runtime: Runtime, out: Path) -> None:
    """Write a folder for a device: `measure.py`, the plan with all programs, and for onnxruntime the models.

    Raises InputError where the folder is there already, or onnx is not installed and needed.
    """
    plan, parts = plan_of(space, runtime), pieces_of(space)
    plan["empty"]["program"] = _EMPTY[runtime]
    for entry in plan["pieces"]:
        entry["program"] = of_piece(parts[entry["name"]])
    for entry in plan["networks"]:
        entry["program"] = of_network(space.network(tuple(entry["genotype"])))
    models: dict[str, bytes] = {}
    if runtime == "onnxruntime":
        for number, entry in enumerate((plan["empty"], *plan["pieces"], *plan["networks"])):
            entry["file"] = f"models/{number:03}.onnx"
            models[entry["file"]] = model(entry.pop("program"))
    try:
        (out / "models" if models else out).mkdir(parents=True)
    except FileExistsError:
        raise InputError(f"{out} is there already: choose another --out") from None
    except OSError as error:
        raise InputError(f"cannot make the folder {out}: {error.strerror}") from None
    packages = "onnxruntime numpy" if models else "torch"
    texts = {
        "README.txt": README.format(packages=packages),
        "measure.py": Path(measure.__file__).read_text(encoding="utf-8"),
        "plan.json": json.dumps(measure.signed(plan)),
    }
    contents: dict[str, str | bytes] = {**models, **texts}
    for name, content in contents.items():
        write_atomically(out / name, content)


def plan_of(space: AnySpace, runtime: Runtime) -> measure.Json:
    """What is to be timed: the pieces of the space, and networks by which to calibrate and to judge their sums."""
    return {
        "format": measure.KIT,
        "version": measure.VERSION,
        "runtime": runtime,
        "space": Architecture(space, (0,) * len(space.domains)).to_json()["space"],
        "empty": {},
        "pieces": [{"name": name, "elements": piece.elements} for name, piece in pieces_of(space).items()],
        "networks": [
            {"genotype": list(genotype), "pieces": [piece.name for piece in pieces(space.network(genotype))]}
            for genotype in _networks(space)
        ],
    }


def _networks(space: AnySpace) -> list[Genotype]:
    """Those to calibrate on, evenly from the smallest to the largest, and then the held-out ones.

    A search under a limit ends among networks that are smaller than random ones. So half of the held-out ones, and many
    of the others, are on the way from a random network down.
    """
    rng = np.random.default_rng(0)
    ways = [_way_down(space, rng) for _ in range(WAYS)]
    held_out = [way[0] for way in ways[: HELD_OUT // 2]] + [
        way[len(way) // 2] for way in ways[HELD_OUT // 2 : HELD_OUT]
    ]
    others = {genotype: space.count(genotype).macs for way in ways[HELD_OUT:] for genotype in way}
    sizes = np.linspace(min(others.values()), max(others.values()), measure.CALIBRATION)
    return [*(min(others, key=lambda genotype: abs(others[genotype] - size)) for size in sizes), *held_out]


def _way_down(space: AnySpace, rng: np.random.Generator) -> list[Genotype]:
    """A random genotype and, step by step, ones of fewer MACs, each with one gene changed."""
    way = [random_genotype(rng, space.domains)]
    for _ in range(STEPS):
        gene, drawn = int(rng.integers(len(space.domains))), random_genotype(rng, space.domains)
        changed = (*way[-1][:gene], drawn[gene], *way[-1][gene + 1 :])
        if space.count(changed).macs < space.count(way[-1]).macs:
            way.append(changed)
    return way
