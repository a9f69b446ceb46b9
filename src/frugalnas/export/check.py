"""Write each format, run what was written, and compare it with torch on images."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from warnings import catch_warnings, simplefilter

import numpy as np
import torch
from numpy.typing import NDArray

from frugalnas import __version__
from frugalnas.core import InputError
from frugalnas.export import (
    LABELS,
    RECORD,
    Exported,
    Format,
    missing,
    to_executorch,
    to_litert,
    to_onnx,
    to_python,
    to_torch,
)
from frugalnas.export.runs import Floats, Run, batches
from frugalnas.model import Model
from frugalnas.store import write_atomically
from frugalnas.tasks.images import Images

Progress = Callable[[str], None]
Write = Callable[[Model, Path, NDArray[np.uint8]], None]

CALIBRATION = 256  # images
BATCH = 32  # images at a time in a runtime that takes more than one
TOLERANCE = 1e-4  # of the largest logit, at least of 1: 100 times what the order of float32 sums makes
TIMING_S, ROUNDS = 1.0, (11, 200)  # about so long for each format, but at least and at most so often


def _float(write: Callable[[Model, Path], None]) -> Write:
    return lambda model, folder, calibration: write(model, folder)


RUNTIMES: Mapping[str, tuple[Write, Callable[[Path], Run]]] = {
    "onnx": (_float(to_onnx.float32), to_onnx.load),
    "onnx-int8": (to_onnx.int8, to_onnx.load_int8),
    "torch-export": (_float(to_torch.float32), to_torch.load),
    "executorch": (_float(to_executorch.float32), to_executorch.load),
    "executorch-int8": (to_executorch.int8, to_executorch.load_int8),
    "litert": (_float(to_litert.float32), to_litert.load),
    "litert-int8": (to_litert.int8, to_litert.load_int8),
    "python": (_float(to_python.float32), to_python.load),
}
"""How each format is written into a folder, and what is there is run."""


def exports(
    model: Model,
    formats: Mapping[str, Format],
    out: Path,
    images: Images,
    calibration: Images,
    progress: Progress,
) -> list[Exported]:
    """See `frugalnas.export.export`, which checks the arguments."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for file in (file for name, each in formats.items() for file in (*each.files, f"{name}.log")):
            (out / file).unlink(missing_ok=True)  # of an earlier export, perhaps of another model
    except OSError as error:
        raise InputError(f"cannot write into {out}: {error.strerror}") from None
    order = np.random.default_rng(0).permutation(len(calibration))[:CALIBRATION]
    expected = model.logits(images.pixels)
    found = []
    with TemporaryDirectory(dir=out, prefix=".exporting-") as folder:
        for number, (name, each) in enumerate(formats.items(), 1):
            progress(f"{name} ({number} of {len(formats)})")
            result = _exported(name, each, model, Path(folder), images, expected, calibration.pixels[order])
            for file in (f"{name}.log",) if result.error else each.files:
                if (Path(folder) / file).exists():  # a format that is not installed has not even a log
                    write_atomically(out / file, (Path(folder) / file).read_bytes())
            found.append(replace(result, files=() if result.error else tuple(out / file for file in each.files)))
    write_atomically(out / LABELS, "".join(f"{name}\n" for name in model.classes))
    write_atomically(out / RECORD, json.dumps(_record(model, images, found), indent=1) + "\n")
    return found


def _exported(
    name: str,
    wanted: Format,
    model: Model,
    folder: Path,
    images: Images,
    expected: Floats,
    calibration: NDArray[np.uint8],
) -> Exported:
    """Write and run one format. Never raises what a library does."""
    if line := missing(name):
        return Exported(name, error=line)
    write, load = RUNTIMES[name]
    start = time.perf_counter()
    try:
        with quiet(folder / f"{name}.log"):
            write(model, folder, calibration)
            seconds = time.perf_counter() - start
            run = load(folder)
            logits = np.concatenate([run(pixels) for pixels in batches(images.pixels, BATCH)])
            latency_ms, eager_ms = _latencies(run, model, images.pixels[:1])
    except Exception as error:
        return Exported(name, error=f"{type(error).__name__}: {error}".splitlines()[0][:300])
    difference = float(np.abs(logits - expected).max())
    tolerance = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    result = Exported(
        name,
        bytes=sum((folder / file).stat().st_size for file in wanted.files),
        largest_difference=difference,
        agreement=float((logits.argmax(1) == expected.argmax(1)).mean()),
        accuracy=float((logits.argmax(1) == images.labels).mean()),
        eager_accuracy=float((expected.argmax(1) == images.labels).mean()),
        latency_ms=latency_ms,
        eager_ms=eager_ms,
        seconds=seconds,
    )
    if not np.isfinite(logits).all():
        return replace(result, error="gives logits that are not finite")
    if wanted.exact and not difference <= tolerance:
        return replace(result, error=f"a logit differs by {difference:.2g} from torch: at most {tolerance:.2g} may be")
    return result


def _latencies(run: Run, model: Model, image: NDArray[np.uint8]) -> tuple[float, float]:
    """Median ms for one image, of the runtime and of torch as it runs the trained network, in turn, on one thread."""
    pixels, before = image.astype(np.float32), torch.get_num_threads()
    times: list[tuple[float, float]] = []
    torch.set_num_threads(1)
    try:
        start = time.perf_counter()
        while len(times) < ROUNDS[0] or (len(times) < ROUNDS[1] and time.perf_counter() - start < TIMING_S):
            begin = time.perf_counter()
            run(pixels)
            middle = time.perf_counter()
            model.logits(image)
            times.append((middle - begin, time.perf_counter() - middle))
    finally:
        torch.set_num_threads(before)
    warm = np.array(times[len(times) // 10 + 1 :])  # the first ones are slow
    latency_ms, eager_ms = (1000 * np.median(warm, axis=0)).tolist()
    return latency_ms, eager_ms


@contextmanager
def quiet(log: Path) -> Iterator[None]:
    """Send what is printed, also by libraries that are not Python, into `log`, and the traceback of an exception."""
    sys.stdout.flush()
    sys.stderr.flush()
    before = os.dup(1), os.dup(2)
    with log.open("w", encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file), catch_warnings():
        simplefilter("ignore")
        try:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            yield
        except Exception:
            traceback.print_exc()
            raise
        finally:
            file.flush()
            for number, descriptor in enumerate(before, 1):
                os.dup2(descriptor, number)
                os.close(descriptor)


def _record(model: Model, images: Images, found: list[Exported]) -> dict[str, object]:
    return {
        "format": "frugalnas/export",
        "version": 1,
        "frugalnas": __version__,
        "input": {"name": "pixels", "type": "float32", "shape": ["N", *model.shape], "values": "0 to 255"},
        "output": {"name": "logits", "type": "float32", "shape": ["N", len(model.classes)]},
        "classes": list(model.classes),
        "images": {"source": images.name, "count": len(images)},
        "exports": [each.to_json() for each in found],
    }
