"""Train a network for good."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from frugalnas.cli.app import app, say, watched
from frugalnas.cli.options import Json, Pick, Processes, Root, TrialNumber, refuse_no_search
from frugalnas.core import InputError, nearest

if TYPE_CHECKING:
    from frugalnas.spaces.architecture import Architecture
    from frugalnas.training import Trained


@app.command(epilog="Example: frugalnas train runs/shoes --pick 'params<200k' --minutes 10")
def train(
    architecture: Annotated[str, typer.Argument(help="The folder of a search, a published name, or a .json file.")],
    trial: TrialNumber = None,
    pick: Pick = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="A folder of images by class, a .npz file, or a name such as cifar10.",
            show_default="those of the search, or fashion-mini",
        ),
    ] = None,
    root: Root = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the training images.", show_default="those of the recipe")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Wall time in all, the scoring at the end included.")] = None,
    recipe: Annotated[str, typer.Option(help="How to train: see 'frugalnas list recipes'.")] = "short",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a key, e.g. recipe.lr=0.05. Repeatable.")
    ] = None,
    channels: Annotated[int | None, typer.Option(help="Initial width, rather than the architecture's own.")] = None,
    cells: Annotated[int | None, typer.Option(help="Number of cells, rather than the architecture's own.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, epochs and threads, same machine: same weights.")] = 0,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", show_default="that of the search, or auto")
    ] = None,
    validate: Annotated[
        bool, typer.Option("--validate", help="Keep the validation images out, and show their error every epoch.")
    ] = False,
    processes: Processes = "1",
    out: Annotated[
        Path | None, typer.Option(help="The folder for all files.", show_default="RUN/trained/trial-N or runs/...")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train one network to the end, and score it once on the test images.

    The images are those of the search, or --data. All but the test images are trained on. OUT gets the weights
    (model.safetensors), the figures (metrics.json) and a page with curves and confusion matrix (model.html). After
    Ctrl-C, a crash or a power cut the same command again, or `frugalnas resume OUT`, goes on from the last epoch.

    With several GPUs, `--processes auto` or torchrun trains on all of them, to the same result.

    --set changes the recipe, e.g. --set recipe.lr=0.05 --set recipe.cutmix=1.0, or how the images are read, e.g.
    --set data.resolution=64.
    """
    from frugalnas import training
    from frugalnas.schema import construct, filled
    from frugalnas.spaces.architecture import resized
    from frugalnas.tasks.data import DataSource
    from frugalnas.tasks.recipe import Recipe

    if recipe not in training.RECIPES:
        raise InputError(f"unknown recipe {recipe!r}: {nearest(recipe, [*training.RECIPES])}")
    named = training.RECIPES[recipe]
    given = _given(architecture, trial, pick)
    space = resized(given.architecture.space, channels=channels, cells=cells)
    tables = _tables({"data": _images(given.data, data, root), "recipe": asdict(named.recipe)}, set_ or ())
    source = construct(DataSource, filled(DataSource, tables["data"], "data"))
    how = construct(Recipe, filled(Recipe, tables["recipe"], "recipe"))
    folder = out or given.out
    _spread(folder, processes, () if out else ("--out", str(folder)))
    with _watched(folder) as progress:
        trained = training.train(
            replace(given.architecture, space=space),
            source,
            how,
            epochs=named.epochs if epochs is None and minutes is None else epochs,
            minutes=minutes,
            seed=seed,
            device=device or given.device,
            validate=validate,
            out=folder,
            source=given.source,
            progress=progress,
        )
    _print(trained, as_json)


@dataclass(frozen=True)
class _Given:
    """What the architecture of a training brings with it: where it is from, and of a search the images and device."""

    architecture: Architecture
    data: Mapping[str, Any]
    device: str
    source: Mapping[str, Any]
    out: Path


def _given(name: str, trial: int | None, pick: str | None) -> _Given:
    from frugalnas.choose import architecture_of, trial_in
    from frugalnas.record import load

    if not Path(name).is_dir():
        folder = Path("runs") / f"{datetime.now():%Y-%m-%d-%H%M%S}-train-{Path(name).stem}"
        return _Given(architecture_of(name, trial, pick), {}, "auto", {"architecture": name}, folder)
    refuse_no_search(Path(name))
    record = load(Path(name))
    number = trial_in(record, trial, pick).number
    config = record.header["config"]
    return _Given(
        architecture_of(name, number),
        config["data"],
        str(config.get("task", {}).get("device", "auto")),
        {"run": str(Path(name).resolve()), "trial": number},
        Path(name) / "trained" / f"trial-{number}",
    )


def _images(own: Mapping[str, Any], data: str | None, root: str | None) -> dict[str, Any]:
    """The table of the images: those of the search, unless there are options."""
    if data is not None:
        return {**own, "source": data, "root": root or ""}
    return {**own, "root": root} if root is not None else dict(own)


def _tables(tables: dict[str, dict[str, Any]], assignments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`tables` with the keys that --set changes."""
    from frugalnas.config import assignment
    from frugalnas.schema import as_table

    for text in assignments:
        for section, keys in assignment(text).items():
            if section not in tables:
                raise InputError(f"--set {text}: unknown key {section!r}: {nearest(section, [*tables])}")
            tables[section] |= as_table(keys, section)
    return tables


def go_on(folder: Path, processes: str, as_json: bool) -> None:
    """Go on with the training in `folder`: what `frugalnas resume` does there."""
    from frugalnas.training import resume

    _spread(folder, processes)
    with _watched(folder) as progress:
        trained = resume(folder, progress)
    _print(trained, as_json)


def _spread(folder: Path, processes: str, more: Sequence[str] = ()) -> None:
    """Where several processes are asked for, let them run this command, with `more` arguments, and end as they do."""
    from frugalnas.training import processes as running

    if not running.started() and (count := running.number(processes)) > 1:
        raise typer.Exit(running.run(count, (*sys.argv[1:], *more), f"frugalnas resume {folder}"))


@contextmanager
def _watched(folder: Path) -> Iterator[Any]:
    """A live view of a training on a terminal, none elsewhere; Ctrl-C ends in one line and exit code 130.

    Of several processes the first alone speaks.
    """
    from frugalnas.progress import training
    from frugalnas.tasks.ranks import Elsewhere, Lost
    from frugalnas.training import is_finished
    from frugalnas.training.processes import INTERRUPTED, LOST, WRONG, is_first

    try:
        if not is_first():
            yield None
            return
        finished = is_finished(folder)
        with watched(training()) as progress:
            yield progress
        if finished:
            print(f"frugalnas: {folder} was trained before: nothing was left to do", file=sys.stderr)
    except Elsewhere:
        raise typer.Exit(WRONG) from None
    except Lost:
        raise typer.Exit(LOST) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _print(trained: Trained, as_json: bool) -> None:
    """Print what a training came to, and where its files are."""
    from frugalnas.training.processes import is_first

    if not is_first():
        return
    if as_json:
        say({"folder": str(trained.folder), **trained.metrics})
        return
    metrics, folder = trained.metrics, trained.folder
    lines = []
    for part in ("test", "validation"):
        if metrics[part] is not None:
            lines.append(f"{part} error {metrics[part]['error']:.2%} on {metrics[part]['images']:,} images")
    if metrics["test"] is None:
        lines.append("the data has no test part: the validation images were kept out of the training in its place")
    lines += [
        f"{metrics['params']:,} parameters, {metrics['macs']:,} MACs; trained on {metrics['images']:,} images, "
        f"{len(metrics['epochs'])} epochs, {metrics['seconds'] / 60:.1f} min",
        "",
        f"Model: {folder / 'model.safetensors'}",
        f"Curves, confusion matrix, every class: {folder / 'model.html'}",
        f"Use it: frugalnas predict {folder} IMAGES; frugalnas export {folder}",
    ]
    say("\n".join(lines))
