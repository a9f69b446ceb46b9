"""Approximate multipliers for the layers of a trained model."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from frugalnas.cli.app import app, say, stoppable
from frugalnas.cli.options import Json, Root, Strict, refuse_taken
from frugalnas.cli.use import ModelPath
from frugalnas.core import InputError

if TYPE_CHECKING:
    from frugalnas.assign import Assigned, Watch


@app.command(
    epilog="Example: frugalnas approximate runs/shoes/model --data shoes/ --max-loss 0.01 --out runs/shoes-8bit"
)
def approximate(
    model: ModelPath,
    data: Annotated[str, typer.Option(help="A folder of images by class, a .npz file, or a name such as cifar10.")],
    root: Root = None,
    multiplier: Annotated[
        list[str] | None,
        typer.Option(
            help="One to choose among: a name (see 'frugalnas list multipliers'), or FILE=MILLIWATTS for a .bin or "
            ".npy with a table of products. Repeatable.",
            show_default="about ten of the library",
        ),
    ] = None,
    power_mw: Annotated[
        float | None, typer.Option(help="Power of multipliers that are files without one.", show_default=False)
    ] = None,
    signed: Annotated[bool, typer.Option("--signed", help="Tables in .bin files are of signed operands.")] = False,
    max_loss: Annotated[
        float, typer.Option(help="What the error may rise by beside exact 8-bit multipliers; 0.01 is one point.")
    ] = 0.01,
    trials: Annotated[int, typer.Option(help="Assignments to rate.")] = 200,
    minutes: Annotated[
        float | None, typer.Option(help="Wall time of the search in all, over every session.", show_default=False)
    ] = None,
    images: Annotated[int, typer.Option(help="Validation images that assignments are compared on.")] = 1000,
    finetune: Annotated[int, typer.Option(help="Epochs of training the chosen network, with its multipliers.")] = 0,
    correction: Annotated[
        Literal["auto", "statistics", "bias", "both", "none"],
        typer.Option(help="How to make up for the mean of what multipliers take off, before any training."),
    ] = "auto",
    activity: Annotated[
        bool, typer.Option("--activity", help="Say the energy also for the operands that the layers really have.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Same seed, same machine: same assignment.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="The folder for all files.", show_default="runs/...-approximate")
    ] = None,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Give each layer of a trained model the multiplier that saves most energy within a limit of the error.

    The network is quantised to 8 bits; an evolutionary search then tries assignments of approximate multipliers on
    validation images, as exactly as the circuits would compute. The one of the lowest energy within the limit is
    rated on the test images, once. After Ctrl-C the same command with the same --out, or `frugalnas resume`, goes on.
    """
    from frugalnas.assign import Job, Settings, run
    from frugalnas.assign.job import placed
    from frugalnas.tasks.data import DataSource

    refuse_taken(out)
    job = Job(
        str(model),
        DataSource(data, root=root or "", strict=strict),
        Settings(max_loss, trials, minutes, seed),
        placed(multiplier or (), Path.cwd()),
        power_mw,
        signed,
        images,
        finetune,
        activity,
        correction=correction,
    )
    folder = out or Path("runs") / f"{datetime.now():%Y-%m-%d-%H%M%S}-approximate"
    refuse_another_kind(folder)
    with _told(as_json) as watch:
        _print(run(job, folder, watch), as_json)


def refuse_another_kind(folder: Path) -> None:
    """Raise InputError where a folder is that of a search, a training or a fit."""
    from frugalnas import fit, training
    from frugalnas.store import JOURNAL

    if (folder / JOURNAL).exists() or fit.holds_fit(folder) or training.holds_training(folder):
        raise InputError(f"{folder} holds something else than an assignment: choose another --out")


def go_on(folder: Path, as_json: bool, trials: int | None = None, minutes: float | None = None) -> None:
    """Go on with the assignment in `folder`: what `frugalnas resume` does there."""
    from frugalnas.assign import resume

    with _told(as_json) as watch:
        _print(resume(folder, watch, trials=trials, minutes=minutes), as_json)


@contextmanager
def _told(as_json: bool) -> Iterator[Watch]:
    """Stages in lines on stdout, on stderr where stdout is for JSON. Ctrl-C ends in one line and exit code 130."""
    from frugalnas.assign import Watch
    from frugalnas.progress import assignments, training

    def tell(line: str) -> None:
        say(line, aside=as_json)

    with stoppable():
        yield Watch(tell, assignments, training) if sys.stderr.isatty() else Watch(tell, assignments)


def _print(assigned: Assigned, as_json: bool) -> None:
    from frugalnas.assign import json_of, text_of

    parts = assigned.folder, assigned.approximated, assigned.notes
    say(json_of(*parts) if as_json else f"\n{text_of(*parts)}")
