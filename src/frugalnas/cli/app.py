"""The command line as an object, and how it speaks: facts on stdout, complaints on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Annotated, Any, TypeVar

import typer

from frugalnas import __version__
from frugalnas.core import printable

MOST = 2000  # characters of a complaint

T = TypeVar("T")
app = typer.Typer(
    name="frugalnas",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""Find small, accurate CNNs for your own images and your own device.

    From images to a device:

    - `frugalnas data check shoes/`: what is in your images, and what is wrong with them

    - `frugalnas inspect --data shoes/ --limit params=200k`: what can be built, and what it costs

    - `frugalnas search --data shoes/ --limit params=200k --out runs/shoes`: the Pareto front

    - `frugalnas watch runs/shoes`: how far it is and what it has found, in a browser

    - `frugalnas train runs/shoes --pick knee --minutes 10`: one network trained for good, and its test error

    - `frugalnas export runs/shoes/trained/trial-17`: files for the runtimes of devices, each checked

    - `frugalnas fit --data shoes/ --limit params=200k --minutes 60`: all of it in one step

    - `frugalnas approximate runs/shoes/trained/trial-17 --data shoes/`: approximate multipliers for its layers

    Which search, and how far to trust it:

    - `frugalnas compare --methods eeea,econas --data shoes/`: which method is best on your images, beside random search

    - `frugalnas proxies --data shoes/`: which cheap training orders networks as a careful one does

    - `frugalnas rank runs/shoes --estimators random_weights`: how well cheap ratings order networks

    Without `--data` every command works on images that come with the package.
    """,
)
data_app = typer.Typer(no_args_is_help=True, help="Look at a data set before anything is spent on it.")
app.add_typer(data_app, name="data")


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if show:
        print(f"frugalnas {__version__}")
        raise typer.Exit


def say(value: str | Mapping[str, Any], aside: bool = False) -> None:
    """Print facts; `aside` on stderr, where stdout is for the JSON that follows."""
    text = printable(value) if isinstance(value, str) else json.dumps(value, indent=1)
    print(text, file=sys.stderr if aside else sys.stdout, flush=True)


def complain(message: str, code: int = 2) -> int:
    line = printable(" ".join(message.split()))
    if len(line) > MOST:  # what is wrong stands at the beginning, what was expected at the end
        line = f"{line[: MOST // 2]} ... {line[-MOST // 2 :]}"
    print(f"frugalnas: {line}", file=sys.stderr)
    return code


@contextmanager
def stoppable() -> Iterator[None]:
    """Within it Ctrl-C ends in one line, which says how to go on, and exit code 130."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise typer.Exit(complain(str(interrupt) or "stopped", 130)) from None


@contextmanager
def watched(view: AbstractContextManager[T]) -> Iterator[T | None]:
    """`view`, which shows how far something is, on a terminal, None elsewhere; Ctrl-C as in `stoppable`."""
    with stoppable():
        if sys.stderr.isatty():
            with view as progress:
                yield progress
        else:
            yield None
