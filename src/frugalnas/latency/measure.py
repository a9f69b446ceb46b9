"""Time pieces of networks and whole networks on this device, and write the table that a search reads.

This file is part of FrugalNAS and stands alone: `frugalnas latency kit` copies it, with a plan of what to time, into a
folder for a device that has no FrugalNAS. It needs Python 3.10 or newer, and torch or onnxruntime, as the kit was made
for. On the device:

    python measure.py --out table.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Json = dict[str, Any]
Run = Callable[[], object]
Progress = Callable[[float], None]
Clock = Callable[[], float]
KIT, TABLE, VERSION = "frugalnas/latency-kit", "frugalnas/latency", 1
CALIBRATION = 15  # of the networks of a plan, these are fitted to; the others are held out
WARM, CALLS = 3, 3  # untimed and timed calls in each round; after the third, caches hold what one network needs
ROUNDS = (7, 101)  # at least and at most; between them time decides


def measured(plan: Json, build: Callable[[Json], Run], threads: int, seconds: float, progress: Progress) -> Json:
    """The table of a plan. `build` makes what is timed from an entry of the plan.

    Call it `within` the plan's runtime. `seconds`: about how long it takes; the least number of rounds may take longer.
    """
    start, pieces, networks = time.time(), plan["pieces"], plan["networks"]
    runs = [build(entry) for entry in (plan["empty"], *pieces, *networks)]
    empty, *times = timed(runs, clock_of(threads), seconds, progress)
    table = {
        "format": TABLE,
        "version": VERSION,
        "runtime": {"name": plan["runtime"], "version": _version(plan["runtime"])},
        "threads": threads,
        "clock": "thread" if clock_of(threads) is time.thread_time else "wall",
        "device": device(),
        "date": time.strftime("%Y-%m-%d"),
        "seconds": round(time.time() - start, 1),
        "space": plan["space"],
        "empty_ms": empty,
        "pieces": {
            entry["name"]: {"ms": ms, "elements": entry["elements"]}
            for entry, ms in zip(pieces, times[: len(pieces)], strict=True)
        },
    }
    rows = [
        {"genotype": entry["genotype"], "pieces": entry["pieces"], "measured_ms": ms}
        for entry, ms in zip(networks, times[len(pieces) :], strict=True)
    ]
    table["calibration"] = calibration(table, rows[:CALIBRATION])
    price = prices(table)
    for row in rows:
        row["predicted_ms"] = round(empty + sum(price[name] for name in row.pop("pieces")), 6)
    table |= {"fitted": rows[:CALIBRATION], "held_out": rows[CALIBRATION:]}
    table["error"] = error(table["held_out"])
    return signed(table)


def timed(runs: Sequence[Run], clock: Clock, seconds: float, progress: Progress) -> list[float]:
    """Median ms of each run. All take turns, in an order that is drawn anew for every round."""
    rng = random.Random(0)  # noqa: S311 (an order, no secret)
    times: list[list[float]] = [[] for _ in runs]
    order = list(range(len(runs)))
    start, (least, most) = time.perf_counter(), ROUNDS
    for number in range(most):
        spent = time.perf_counter() - start
        progress(min(1.0, max(number / most, min(number / least, spent / seconds if seconds else 1.0))))
        if number >= least and spent > seconds:
            break
        rng.shuffle(order)
        for place in order:
            run = runs[place]
            for _ in range(WARM):
                run()
            for _ in range(CALLS):
                begin = clock()
                run()
                times[place].append(clock() - begin)
    progress(1.0)
    return [round(1000 * statistics.median(each), 6) for each in times]


def clock_of(threads: int) -> Clock:
    """For one thread its own CPU time, which other programs hardly disturb and which on a free core is wall time."""
    return time.thread_time if threads == 1 and sys.platform != "win32" else time.perf_counter


def calibration(table: Json, networks: Sequence[Json]) -> Json:
    """Two numbers that bring the sums of pieces nearest to the networks: least mean relative deviation.

    A piece that is timed alone reads and writes its maps otherwise than within a network, where a runtime may keep
    them in another layout or in a cache: `ms_per_million_elements` is added for the elements that it reads and writes.
    Then all is multiplied by `scale`.
    """
    pieces, empty = table["pieces"], table["empty_ms"]
    names = [name for network in networks for name in network["pieces"]]
    alone = sum(max(0.0, pieces[name]["ms"] - empty) for name in names)
    per_million = alone / sum(pieces[name]["elements"] for name in names) * 1e6
    best: tuple[float, Json] = (float("inf"), {})
    for percent in range(-50, 51):
        tried = {"ms_per_million_elements": round(per_million * percent / 100, 6), "scale": 1.0}
        price = prices(table | {"calibration": tried})
        sums = [max(1e-9, sum(price[name] for name in network["pieces"])) for network in networks]
        ratios = [(network["measured_ms"] - empty) / total for network, total in zip(networks, sums, strict=True)]
        tried["scale"] = max(1e-6, round(statistics.median(ratios), 6))
        deviation = sum(
            abs((empty + tried["scale"] * total) / network["measured_ms"] - 1)
            for network, total in zip(networks, sums, strict=True)
        )
        best = min(best, (deviation, tried), key=lambda pair: pair[0])
    return best[1]


def prices(table: Json) -> dict[str, float]:
    """What each piece adds to a network, in ms; never less than nothing."""
    scale, per_million = (table["calibration"][key] for key in ("scale", "ms_per_million_elements"))
    return {
        name: scale * max(0.0, max(0.0, piece["ms"] - table["empty_ms"]) + per_million * piece["elements"] / 1e6)
        for name, piece in table["pieces"].items()
    }


def error(networks: Sequence[Json]) -> Json:
    """How well networks are predicted: rank correlation, median and largest relative error; `slower`: by how much the
    slowest of them, relative to its prediction, was slower than predicted."""
    predicted, times = ([network[key] for network in networks] for key in ("predicted_ms", "measured_ms"))
    off = [abs(p / m - 1) for p, m in zip(predicted, times, strict=True)]
    slower = max(0.0, *(m / max(p, 1e-9) - 1 for p, m in zip(predicted, times, strict=True)))
    values = {"median": statistics.median(off), "worst": max(off), "slower": slower}
    return {"spearman": round(spearman(predicted, times), 4)} | {key: round(v, 4) for key, v in values.items()}


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Rank correlation of two lists; equal values share their mean rank."""
    ranks = [[(sum(other < x for other in v) + sum(other <= x for other in v)) / 2 for x in v] for v in (a, b)]
    return statistics.correlation(*ranks) if all(len(set(each)) > 1 for each in ranks) else 0.0


def checksum(content: Mapping[str, Any]) -> str:
    """SHA-256 of the content as JSON with sorted keys and no spaces, without its own entry."""
    rest = {key: value for key, value in content.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def signed(content: Json) -> Json:
    """With its checksum, and as it is when read from a file again."""
    return content | {"checksum": checksum(content)}


def device() -> Json:
    """What this machine is."""
    model = platform.processor()
    for file, mark in (("/proc/device-tree/model", ""), ("/proc/cpuinfo", "model name")):
        if Path(file).is_file():
            lines = [line for line in Path(file).read_text(errors="replace").splitlines() if line.startswith(mark)]
            if lines:
                model = lines[0].rpartition(":")[2].strip("\0 \t")
                break
    return {"system": platform.system(), "machine": platform.machine(), "processor": model}


def _version(runtime: str) -> str:
    return str(__import__(runtime).__version__)


@contextmanager
def within(runtime: str, threads: int) -> Iterator[None]:
    """The runtime as it is when networks are used: `threads` threads, no gradients."""
    if runtime == "onnxruntime":  # its threads belong to a session
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)


def onnx_run(model: str | bytes, threads: int) -> Run:
    """An inference of an ONNX model, a file or its content, on random pixels of its own input shapes."""
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    rng = numpy.random.default_rng(0)
    feed = {entry.name: rng.random(entry.shape, dtype=numpy.float32) for entry in session.get_inputs()}
    return lambda: session.run(None, feed)


def torch_run(program: Json) -> Run:
    """An inference of a program (`frugalnas.latency.program`) on random pixels, with random weights, channels last."""
    import torch

    layout = torch.channels_last
    inputs = [torch.rand(1, *shape).contiguous(memory_format=layout) for shape in program["inputs"]]
    last = {value: number for number, step in enumerate(program["steps"]) for value in step["reads"]}
    steps = []
    for number, step in enumerate(program["steps"]):
        operation = _torch_operation(step)
        if isinstance(operation, torch.nn.Module):
            operation = operation.eval().to(memory_format=layout)
        steps.append((operation, step["reads"], [value for value in set(step["reads"]) if last[value] == number]))

    def run() -> object:
        values: list[Any] = [*inputs]
        for operation, reads, released in steps:
            result = operation(*[values[value] for value in reads])
            for value in released:
                values[value] = None
            values.append(result)
        return values[-1]

    return run


def _torch_operation(step: Json) -> Callable[..., Any]:
    import torch
    from torch import nn

    match step["op"]:
        case "conv":
            window = (step["kernel"], step["stride"], step["padding"], step["dilation"], step["groups"])
            return nn.Conv2d(step["inputs"], step["outputs"], *window, bias=False)
        case "batch_norm":
            return nn.BatchNorm2d(step["channels"])
        case "relu":
            return nn.ReLU(step["in_place"])
        case "max_pool":
            return nn.MaxPool2d(step["kernel"], step["stride"], step["padding"], ceil_mode=step["ceil"])
        case "avg_pool":
            return nn.AvgPool2d(step["kernel"], step["stride"], step["padding"], count_include_pad=False)
        case "global_pool":
            return nn.AdaptiveAvgPool2d(1)
        case "flatten":
            return nn.Flatten()
        case "linear":
            return nn.Linear(step["inputs"], step["outputs"])
        case "sigmoid":
            return nn.Sigmoid()
        case "sum":
            return lambda a, b: a + b
        case "product":
            return lambda a, b: a * b
        case "concatenation":
            return lambda *maps: torch.cat(maps, 1)
        case "zero":
            return lambda x: torch.zeros_like(x[:, :, :: step["stride"], :: step["stride"]])
        case "shift":
            border = (0, step["right"], 0, step["bottom"])
            return lambda x: nn.functional.pad(x[:, :, 1:, 1:], border) if any(border) else x[:, :, 1:, 1:]
        case "pad":
            return lambda x: nn.functional.pad(x, (0, 0, 0, 0, 0, step["channels"]))
        case "take":
            return lambda x: x[:, : step["channels"]]
        case unknown:
            raise ValueError(f"this measure.py does not know the operation {unknown!r} of the plan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("table.json"), help="the table to write")
    parser.add_argument("--threads", type=int, default=1, help="threads of an inference")
    parser.add_argument("--seconds", type=float, default=20.0, help="time to take; a slow device takes longer")
    options = parser.parse_args()
    folder = Path(__file__).resolve().parent
    plan = json.loads((folder / "plan.json").read_text())
    if plan.get("format") != KIT or plan.get("version") != VERSION or plan.get("checksum") != checksum(plan):
        sys.exit(f"{folder / 'plan.json'} is damaged or of another version: copy the folder again")
    runtime = plan["runtime"]
    if find_spec(runtime) is None:
        sys.exit(f"{runtime} is not installed: pip install {runtime}")

    def build(entry: Json) -> Run:
        if runtime == "torch":
            return torch_run(entry["program"])
        return onnx_run(str(folder / entry["file"]), options.threads)

    def progress(share: float) -> None:
        print(f"\r{100 * share:3.0f} %", end="", file=sys.stderr, flush=True)

    with within(runtime, options.threads):
        table = measured(plan, build, options.threads, options.seconds, progress)
    temporary = options.out.with_name(f".{options.out.name}.part")
    temporary.write_text(json.dumps(table, indent=1) + "\n")
    temporary.replace(options.out)
    print(f"\n{summary(table)}\nwritten: {options.out}")


def summary(table: Json) -> str:
    """What was measured and how exact it is, for people."""
    runtime, off = table["runtime"], table["error"]
    return (
        f"{len(table['pieces'])} pieces on {table['device']['processor'] or table['device']['machine']}, "
        f"{runtime['name']} {runtime['version']}, {table['threads']} thread(s), {table['seconds']:.0f} s\n"
        f"{len(table['held_out'])} held-out networks: Spearman {off['spearman']:.3f}, median error "
        f"{off['median']:.1%}, worst {off['worst']:.1%}"
    )


if __name__ == "__main__":
    main()
