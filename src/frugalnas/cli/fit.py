"""The whole way from images to a model in one command."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frugalnas.cli.app import app, say, stoppable
from frugalnas.cli.options import (
    Address,
    Config,
    Data,
    Executor,
    Json,
    Limit,
    Method,
    Preset,
    Root,
    Seed,
    Set,
    Strict,
    Workers,
    refuse_taken,
)

if TYPE_CHECKING:
    from frugalnas.fit import Fitted, Watch

MINUTES = 10.0


@app.command(epilog="Example: frugalnas fit --data shoes/ --limit params=200k --minutes 60 --format onnx-int8")
def fit(
    data: Data = None,
    root: Root = None,
    limit: Limit = None,
    minutes: Annotated[float | None, typer.Option(help="Wall time for everything.", show_default="10")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder for all files.", show_default="runs/fit-..., one for each plan")
    ] = None,
    pick: Annotated[
        str, typer.Option(help="Which network: knee, most-accurate, smallest, or limits such as 'params<100k'.")
    ] = "most-accurate",
    format_: Annotated[
        list[str] | None, typer.Option("--format", help="Export to this. Repeatable.", show_default="onnx")
    ] = None,
    method: Method = None,
    preset: Preset = None,
    config: Config = None,
    set_: Set = None,
    trials: Annotated[int | None, typer.Option(help="End the search at this many rated networks.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Train for this many epochs rather than by the time.")] = None,
    recipe: Annotated[str, typer.Option(help="How to train the network that was picked.")] = "short",
    workers: Workers = None,
    executor: Executor = None,
    address: Address = None,
    seed: Seed = None,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """From images to a trained, exported network within a number of minutes: all other commands in one.

    It looks at the images, searches (45 % of the time), picks the most accurate network within the limits, trains it
    (nearly all the rest), rates it on the test images, exports it and writes the reports. After Ctrl-C, a crash or a
    power cut the same command again, or `frugalnas resume` with the folder, goes on.
    """
    from frugalnas.config import assignment, options, rated_by
    from frugalnas.config import limit as limit_of
    from frugalnas.fit import fit, plan

    refuse_taken(out)
    given = options(data=data, root=root, workers=workers, seed=seed, strict=strict)
    asked = plan(
        method,
        preset,
        config,
        [rated_by(executor, address), *map(assignment, set_ or ()), given, *map(limit_of, limit or ())],
        minutes=MINUTES if minutes is None and None in (trials, epochs) else minutes,
        trials=trials,
        epochs=epochs,
        recipe=recipe,
        pick=pick,
        formats=tuple(format_ or ("onnx",)),
    )
    with _told(as_json) as watch:
        _print(fit(asked, out, watch), as_json)


def go_on(folder: Path, as_json: bool) -> None:
    """Go on with the fit in `folder`: what `frugalnas resume` does there."""
    from frugalnas.fit import resume

    with _told(as_json) as watch:
        _print(resume(folder, watch), as_json)


@contextmanager
def _told(as_json: bool) -> Iterator[Watch]:
    """Stages in lines on stdout, on stderr where stdout is for JSON. Ctrl-C ends in one line and exit code 130."""
    from frugalnas.fit import Watch

    def tell(line: str) -> None:
        say(line, aside=as_json)

    with stoppable():
        if sys.stderr.isatty():
            from frugalnas.cli.latency import measuring
            from frugalnas.progress import live, training

            yield Watch(tell, partial(measuring, "timing parts of networks for latency_ms"), live, training)
        else:
            yield Watch(tell)


def _print(fitted: Fitted, as_json: bool) -> None:
    say(fitted.to_json() if as_json else "\n".join(fitted.lines()))
