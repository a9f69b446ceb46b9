"""Export a trained model to the runtimes of devices."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frugalnas.cli.app import app, complain, say
from frugalnas.cli.options import Json, Root
from frugalnas.core import InputError

if TYPE_CHECKING:
    from frugalnas.export import Exported
    from frugalnas.model import Model
    from frugalnas.tasks.images import Images


@app.command(epilog="Example: frugalnas export runs/shoes/trained/trial-17 --format onnx --format onnx-int8")
def export(
    model: Annotated[Path, typer.Argument(help="The folder of a training, or its model.safetensors.")],
    format_: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="onnx, onnx-int8, torch-export, executorch, executorch-int8, litert, litert-int8, python. Repeatable.",
            show_default="all that are installed",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder for the files.", show_default="export/ beside the model")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Images to check each export on, and to calibrate 8 bits with: a folder, a .npz file or a name.",
            show_default="those it was trained with",
        ),
    ] = None,
    root: Root = None,
    samples: Annotated[int, typer.Option(min=1, help="Check on so many images.")] = 1000,
    as_json: Json = False,
) -> None:
    """Write a trained model for other runtimes, run each file, and compare it with PyTorch.

    An exported network takes the pixels of images, 0 to 255, and gives a logit for each class. It is checked on the
    test images where there are any. The exit code is 1 where a format failed, 2 where one that was asked for is not
    installed.
    """
    from frugalnas.export import FORMATS, RECORD, missing
    from frugalnas.export import export as write

    absent = {name: line for name in format_ or FORMATS if (line := missing(name))}
    if format_ and absent:
        raise InputError("; ".join(absent.values()))
    from frugalnas.model import Model

    loaded = Model.load(model)
    folder = out or (model if model.is_dir() else model.parent) / "export"
    formats = format_ or [name for name in FORMATS if name not in absent]
    part, images, calibration = _images(loaded, data, root, samples, any("int8" in name for name in formats))
    with _shown() as progress:
        found = write(loaded, formats, folder, images, calibration, progress)
    if as_json:
        say(json.loads((folder / RECORD).read_text("utf-8")) | {"part": part, "not_installed": absent})
    else:
        say(_text(found, images, part, folder))
        for line in absent.values():
            complain(line)
    failed = [each for each in found if each.error]
    for each in failed:
        log = folder / f"{each.format}.log"
        complain(f"{each.format} failed: {each.error}" + (f" (see {log})" if log.exists() else ""))
    if failed:
        raise typer.Exit(1)


def _images(
    model: Model, data: str | None, root: str | None, samples: int, calibrates: bool
) -> tuple[str, Images, Images | None]:
    """The part of the data that exports are checked on, `samples` of its images, and the images to calibrate with."""
    import numpy as np

    from frugalnas.schema import construct
    from frugalnas.tasks.data import DataSource
    from frugalnas.tasks.labelled import load_labelled

    channels, side, _ = model.shape
    noted = model.notes.get("data") or {}
    settings = {"source": data, "root": root or ""} if data else {**noted, **({"root": root} if root else {})}
    source = construct(DataSource, {**settings, "resolution": side})
    try:
        part, images = load_labelled(source, model.classes, channels)
        calibration = load_labelled(source, model.classes, channels, "train")[1] if calibrates else None
    except InputError as error:
        if data:
            raise
        raise InputError(f"no images to check the export on: {error}; name some with --data") from None
    chosen = np.sort(np.random.default_rng(0).permutation(len(images))[:samples])
    return part, images.at(chosen), calibration


def _text(found: Sequence[Exported], images: Images, part: str, folder: Path) -> str:
    from frugalnas.report import amount, table

    good = [each for each in found if not each.error]
    rows = [
        [
            each.format,
            " + ".join(file.name for file in each.files),
            f"{each.bytes / 1024:,.0f}",
            f"{each.largest_difference:.1g}",
            f"{100 * each.agreement:.1f} %",
            amount("error", 1 - each.accuracy),
            f"{each.latency_ms:.2f}",
            f"{each.eager_ms:.2f}",
            f"{each.seconds:.1f}",
        ]
        for each in good
    ]
    header = ["format", "file", "KiB", "difference", "agreement", "error", "ms", "torch ms", "export s"]
    lines = [table(header, rows), ""] if rows else []
    torch = f", where torch has an error of {amount('error', 1 - good[0].eager_accuracy)}" if good else ""
    return "\n".join(
        [
            *lines,
            f"Checked on {len(images):,} images ({part}) of {images.name}{torch}. difference: the largest of a logit;",
            "agreement: images with torch's class; ms: one image, one thread, in turn with torch.",
            f"In {folder}; labels.txt has the classes, export.json all figures.",
        ]
    )


@contextmanager
def _shown() -> Iterator[Callable[[str], None] | None]:
    """Shows on a terminal what is being done, through a copy of stderr, as the export holds back what is printed."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    with os.fdopen(os.dup(sys.stderr.fileno()), "w") as copy, Console(file=copy).status("reading") as status:
        yield lambda words: status.update(f"exporting: {words}")
