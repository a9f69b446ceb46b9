"""Use a trained model: evaluate it, and predict with it."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from frugalnas.cli.app import app, complain, say
from frugalnas.cli.options import Json, Root, Strict
from frugalnas.core import InputError, printable
from frugalnas.tasks.labelled import Share

if TYPE_CHECKING:
    from numpy.typing import NDArray

MATRIX = 20  # classes of which a terminal shows the whole confusion matrix
ModelPath = Annotated[Path, typer.Argument(help="The folder of a training, or its model.safetensors.")]


@app.command(epilog="Example: frugalnas evaluate runs/shoes/model --data more-shoes/ --part all")
def evaluate(
    model: ModelPath,
    data: Annotated[str, typer.Option(help="A folder of images by class, a .npz file, or a name such as cifar10.")],
    root: Root = None,
    part: Annotated[
        Share | None,
        typer.Option(help="Which images; train and validation are what a search sees.", show_default="test, else all"),
    ] = None,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Rate a trained model on labelled images: error, loss, figures for every class, and what is taken for what.

    Images are brought to the model's size and channels as in training. Classes are those of the same name: they may be
    in another order, and some may be missing, but the model must know them all.
    """
    import torch

    from frugalnas.model import Model
    from frugalnas.tasks.data import DataSource
    from frugalnas.tasks.labelled import load_labelled
    from frugalnas.tasks.tensors import rated

    trained = Model.load(model)
    channels, side, _ = trained.shape
    source = DataSource(data, root=root or "", resolution=side, strict=strict)
    part, images = load_labelled(source, trained.classes, channels, part)
    _complain(images.skipped, strict)
    found = rated(torch.from_numpy(trained.logits(images.pixels)), torch.from_numpy(images.labels), trained.classes)
    noted = trained.notes.get("data")  # a file may come from anywhere
    seen = part != "test" and isinstance(noted, dict) and noted.get("source") in (data, str(Path(data).resolve()))
    say({"data": data, "part": part, "seen": seen, **found} if as_json else _text(found, part, seen))


def _text(found: Mapping[str, Any], part: str, seen: bool) -> str:
    """What `rated` found, for people: with up to MATRIX classes what is taken for what, else what most often is."""
    from frugalnas.report import amount, table

    classes, confusion = found["classes"], found["confusion"]
    places = range(len(classes))
    guesses = [sum(row[label] for row in confusion) for label in places]
    shown = places if len(classes) <= MATRIX else ()
    rows = []
    for label, row in enumerate(confusion):
        shares = (_percent(row[label], sum(row)), _percent(row[label], guesses[label]))
        name = f"{label} {classes[label]}" if shown else classes[label]
        rows.append([name, f"{sum(row):,}", *shares, *(f"{row[guess]:,}" for guess in shown)])
    mistakes = [(confusion[i][j], i, j) for i in places for j in places if i != j and confusion[i][j]]
    most = [f"{classes[i]} as {classes[j]} {count:,}" for count, i, j in sorted(mistakes, reverse=True)[:5]]
    lines = [
        f"{found['images']:,} images ({part}): error {amount('error', found['error'])}, loss {found['loss']:.4g}",
        "",
        table(["class", "images", "recall", "precision", *(f"as {guess}" for guess in shown)], rows),
    ]
    if most:
        lines += ["", f"Most often taken for another: {', '.join(most)}"]
    if seen:
        lines += ["", "The model was trained on these images, or on some of them: on others it makes more errors."]
    return "\n".join(lines)


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


@app.command(epilog="Example: frugalnas predict runs/shoes/model photos/ --top 3 --out scores.csv")
def predict(
    model: ModelPath,
    images: Annotated[list[Path], typer.Argument(help="Image files, folders of them, .npz files with an array x.")],
    out: Annotated[Path | None, typer.Option(help="The CSV file.", show_default="stdout")] = None,
    top: Annotated[int | None, typer.Option(min=1, help="Only the K best classes.", show_default="all")] = None,
    strict: Strict = False,
) -> None:
    """Say what is on images: CSV with path, class and score, then the score of every class.

    Images are brought to the model's size as in training. Scores are probabilities, the softmax of the network's
    outputs. With --top K the other columns are class_2, score_2, ... up to K. Files that cannot be read are named on
    stderr and left out; the exit code is 0 as long as one image could be read.
    """
    from frugalnas.model import Model
    from frugalnas.tasks.unlabelled import batches, listed

    trained = Model.load(model)
    channels, side, _ = trained.shape
    classes = [*map(printable, trained.classes)]
    listing = listed(images)
    _complain(listing.skipped, strict)
    found = False
    with _opened(out) as file, _progress(listing.images) as advance:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_header(classes, top))
        for batch in batches(listing.files, channels, side):
            _complain(batch.skipped, strict)
            writer.writerows(_rows(batch.names, trained.probabilities(batch.pixels), classes, top))
            found = found or bool(batch.names)
            advance(len(batch.names) + len(batch.skipped))
        if not found:
            raise InputError(f"no image could be read in {', '.join(map(str, images))}")


def _header(classes: Sequence[str], top: int | None) -> list[str]:
    if top is None:
        return ["path", "class", "score", *(f"score_{name}" for name in classes)]
    places = range(2, min(top, len(classes)) + 1)
    return ["path", "class", "score", *(f"{name}_{place}" for place in places for name in ("class", "score"))]


def _rows(names: Sequence[str], scores: NDArray[Any], classes: Sequence[str], top: int | None) -> Iterator[list[str]]:
    order = (-scores).argsort(axis=1, kind="stable")[:, : top or 1]  # (N, K), the best first
    for name, row, best in zip(names, scores.tolist(), order.tolist(), strict=True):
        ranked = [cell for label in best for cell in (classes[label], f"{row[label]:.6f}")]
        yield [name, *ranked, *(f"{score:.6f}" for score in row if top is None)]


def _complain(skipped: Sequence[str], strict: bool) -> None:
    if strict and skipped:
        raise InputError(f"refused: {skipped[0]}")
    for line in skipped:
        complain(f"left out {line}")


@contextmanager
def _opened(out: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that gets its name when it is whole."""
    if out is None:
        yield sys.stdout
        return
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with temporary.open("x", encoding="utf-8", newline="") as file:
            yield file
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[[int], None]]:
    """A function to call with the number of images done; a bar on stderr where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), "images", TimeRemainingColumn())
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)
