"""Several methods on the same work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frugalnas.cli.app import app, say, watched
from frugalnas.cli.options import Config, Data, Epochs, Json, Limit, Minutes, Preset, Root, Set, Strict, Trials
from frugalnas.core import InputError

if TYPE_CHECKING:
    from frugalnas.compare import Outcome


@app.command(epilog="Example: frugalnas compare --methods eeea --data shoes/ --epochs 24 --seeds 8 --out runs/compared")
def compare(
    methods: Annotated[
        str, typer.Option(help="With commas between; the first one's preset is for all. 'random' is always added.")
    ] = "eeea",
    preset: Preset = None,
    data: Data = None,
    root: Root = None,
    limit: Limit = None,
    objectives: Annotated[
        str | None,
        typer.Option(
            help="What is minimised, with commas between.", show_default="the preset's; of a table error,params"
        ),
    ] = None,
    epochs: Epochs = None,
    trials: Trials = None,
    minutes: Minutes = None,
    seeds: Annotated[int, typer.Option(help="How often each method is run, with seeds 0, 1, ...")] = 5,
    table: Annotated[
        Path | None, typer.Option(help="Look networks up in this table of trained ones rather than train them.")
    ] = None,
    validation: Annotated[
        str | None, typer.Option(help="The table's column to search by.", show_default="the table's usual one")
    ] = None,
    test: Annotated[
        str | None, typer.Option(help="The table's column of test accuracy.", show_default="the table's usual one")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Runs at a time, each in a process.", show_default="one per core")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder for all files.", show_default="runs/compare-..., one for each plan")
    ] = None,
    config: Config = None,
    set_: Set = None,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Compare methods, each with its random twin, on the same space, data, budget and seeds.

    All get the same budget, the same last estimator and the same limits: those of the first method's preset unless
    options say otherwise; `--set METHOD.strategy.KEY=...` is for one method. After Ctrl-C, a crash or a power cut the
    same command again, or `frugalnas resume` with the folder, goes on.
    """
    from frugalnas.compare import compare, plan
    from frugalnas.config import assignment, options
    from frugalnas.config import limit as limit_of
    from frugalnas.progress import comparing

    given = options(data=data, root=root, trials=trials, minutes=minutes, epochs=epochs, strict=strict)
    layers = [*map(assignment, set_ or ()), given, *map(limit_of, limit or ())]
    if objectives is not None:
        layers.append({"objectives": _words(objectives)})
    source = {"path": table, "validation": validation, "test": test}
    columns = {key: str(value) for key, value in source.items() if value is not None}
    if table is None and columns:
        raise InputError(f"--{next(iter(columns))} names a column of a table: expected --table")
    asked = plan(_words(methods), preset, config, layers, seeds=seeds, table=columns or None)
    folder = out or asked.folder
    with watched(comparing()) as progress:
        outcome = compare(asked, folder, workers, progress)
    _print(outcome, folder, as_json)


def go_on(folder: Path, workers: int | None, as_json: bool) -> None:
    """Go on with the comparison in `folder`: what `frugalnas resume` does there."""
    from frugalnas.compare import resume
    from frugalnas.progress import comparing

    with watched(comparing()) as progress:
        outcome = resume(folder, workers, progress)
    _print(outcome, folder, as_json)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _print(outcome: Outcome, folder: Path, as_json: bool) -> None:
    from frugalnas.compare import ending_of

    say({"folder": str(folder), **outcome.to_json()} if as_json else ending_of(outcome, folder))
