"""Options and arguments that several commands have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from frugalnas.core import InputError

Method = Annotated[
    str | None,
    typer.Option(help="How to search: eeea, econas, ... (see 'frugalnas list methods').", show_default="eeea"),
]
Preset = Annotated[str | None, typer.Option(help="The method's settings: laptop, paper, ...", show_default="laptop")]
Data = Annotated[
    str | None,
    typer.Option(
        help="A folder of images by class, a .npz file, or a name such as cifar10.", show_default="fashion-mini"
    ),
]
Root = Annotated[str | None, typer.Option(help="Where a named data set lies, or is downloaded to.")]
Limit = Annotated[
    list[str] | None,
    typer.Option(help="Reject networks beyond a cost before training, e.g. params=200k or macs=30M. Repeatable."),
]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override a key, e.g. space.channels=24. Repeatable.")]
Config = Annotated[Path | None, typer.Option(help="A TOML file; its keys lie over the preset's.")]
Trials = Annotated[int | None, typer.Option(help="Networks to rate, rejected ones free. Alone, the only budget.")]
Minutes = Annotated[float | None, typer.Option(help="Wall time in all, over every session. Alone, the only budget.")]
Epochs = Annotated[
    float | None, typer.Option(help="Passes over the training images, all networks together. Alone, the only budget.")
]
Workers = Annotated[int | None, typer.Option(help="Processes that rate networks.", show_default="one per core")]
Executor = Annotated[
    str | None,
    typer.Option(help="Where networks are rated: processes (of this machine) or ray.", show_default="processes"),
]
Address = Annotated[
    str | None,
    typer.Option(help="The Ray cluster: auto (that of this machine), HOST:PORT, or local to start one. Implies ray."),
]
Seed = Annotated[int | None, typer.Option(help="Same seed, same machine: same journal.", show_default="0")]
Tensorboard = Annotated[
    bool, typer.Option("--tensorboard", help="Log every trial for TensorBoard, into tensorboard/ of the run folder.")
]
Mlflow = Annotated[
    bool, typer.Option("--mlflow", help="Log every trial to MLflow: to MLFLOW_TRACKING_URI, or into the run folder.")
]
TrialNumber = Annotated[
    int | None, typer.Option("--trial", help="Which trial of a search.", show_default="the front's knee")
]
Pick = Annotated[
    str | None,
    typer.Option(
        help="Which trial, in words: knee, most-accurate, smallest, or the best within limits: 'params<200k'."
    ),
]
Processes = Annotated[
    str, typer.Option(help="Processes that share each batch of a training; auto is one for each GPU.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse corrupt files rather than skip them.")]
Json = Annotated[bool, typer.Option("--json", help="Print facts as JSON.")]


def refuse_taken(out: Path | None) -> None:
    """Raise InputError where the folder for a new run is that of a comparison, which would then hold both."""
    from frugalnas.compare import holds_comparison

    if out is not None and holds_comparison(out):
        raise InputError(f"{out} holds a comparison: choose another --out")


def refuse_no_search(folder: Path) -> None:
    """Raise InputError for the folder of something else than a search, which says where its searches are."""
    from frugalnas.store import JOURNAL

    if (folder / JOURNAL).exists():
        return
    from frugalnas import assign, compare, fit, training  # which import torch

    if compare.holds_comparison(folder):
        raise InputError(f"{folder} holds a comparison: expected one of its searches, {compare.searches_in(folder)}")
    if fit.holds_fit(folder):
        raise InputError(f"{folder} holds a fit: expected its search, {folder / fit.SEARCH}")
    if training.holds_training(folder):
        raise InputError(f"{folder} holds a training: expected the folder of a search")
    if assign.holds_job(folder):
        raise InputError(f"{folder} holds an assignment of multipliers: its page is {folder / assign.PAGE}")


def tree_of(
    method: str | None,
    preset: str | None,
    file: Path | None,
    assignments: Sequence[str] | None,
    options: Mapping[str, Any],
    limits: Sequence[str] | None = None,
    executor: str | None = None,
    address: str | None = None,
) -> dict[str, Any]:
    """The complete configuration that the options of a command describe: see `config.resolve`."""
    from frugalnas.config import assignment, limit, rated_by, resolve

    layers = [rated_by(executor, address), *map(assignment, assignments or ()), options, *map(limit, limits or ())]
    return resolve(method, preset, file, layers)
