"""The command line: every verb of the way from images to a front. Bad input ends in one clear line and exit code 2."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from frugalnas import __version__
from frugalnas.core import InputError, nearest
from frugalnas.layers.cost import Convention

if TYPE_CHECKING:
    from frugalnas.launch import Result

app = typer.Typer(
    name="frugalnas",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""Find small, accurate CNNs for your own images and your own device.

    From images to networks:

    - `frugalnas data check shoes/`: what is in your images, and what is wrong with them

    - `frugalnas inspect --data shoes/ --limit params=200k`: what can be built, and what it costs

    - `frugalnas search --data shoes/ --limit params=200k --out runs/shoes`: the Pareto front

    - `frugalnas show runs/shoes --trial 17 --json`: one network, to build and to train

    Without `--data` every command works on images that come with the package.
    """,
)
data_app = typer.Typer(no_args_is_help=True, help="Look at a data set before anything is spent on it.")
app.add_typer(data_app, name="data")

Method = Annotated[
    str | None, typer.Option(help="How to search: eeea, random (see 'frugalnas list methods').", show_default="eeea")
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
Workers = Annotated[int | None, typer.Option(help="Processes that rate networks.", show_default="one per core")]
Seed = Annotated[int | None, typer.Option(help="Same seed, same machine: same journal.", show_default="0")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse corrupt files rather than skip them.")]
Run = Annotated[Path, typer.Argument(help="The folder of a search.")]
Json = Annotated[bool, typer.Option("--json", help="Print facts as JSON.")]


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if show:
        print(f"frugalnas {__version__}")
        raise typer.Exit


@app.command(epilog="Example: frugalnas search --data shoes/ --limit params=200k --minutes 30 --out runs/shoes")
def search(
    method: Method = None,
    preset: Preset = None,
    data: Data = None,
    root: Root = None,
    limit: Limit = None,
    trials: Trials = None,
    minutes: Minutes = None,
    workers: Workers = None,
    seed: Seed = None,
    out: Annotated[
        Path | None, typer.Option(help="A new folder for the journal and the report.", show_default="runs/...")
    ] = None,
    config: Config = None,
    set_: Set = None,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Search for a Pareto front of networks.

    The preset has a number of trials, which --trials, --minutes or both replace.
    Every finished network is in the journal at once: Ctrl-C and crashes lose nothing, `frugalnas resume` goes on.
    """
    from frugalnas.config import options
    from frugalnas.launch import begin

    given = options(data=data, root=root, trials=trials, minutes=minutes, workers=workers, seed=seed, strict=strict)
    tree = _tree(method, preset, config, set_, given, limit)
    with _watched(tree) as progress:
        result = begin(tree, out, progress)
    _print_result(result, as_json)


@app.command(epilog="Example: frugalnas resume runs/shoes --trials 100")
def resume(
    run: Run,
    trials: Trials = None,
    minutes: Minutes = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Go on with a search that was stopped, or give it a larger budget.

    Budgets are totals over all sessions. A new one replaces the old ones; without any, those of the search hold.
    """
    from frugalnas import launch
    from frugalnas.config import changed, options

    tree = changed(launch.configuration_of(run), options(trials=trials, minutes=minutes))
    with _watched(tree) as progress:
        result = launch.resume(run, trials=trials, minutes=minutes, workers=workers, progress=progress)
    _print_result(result, as_json)


@app.command(epilog="Example: frugalnas report runs/shoes")
def report(
    run: Run,
    pick: Annotated[int | None, typer.Option(help="Show this many networks, spread evenly along the front.")] = None,
    as_json: Json = False,
) -> None:
    """Print the front of a search; write front.csv, trials.csv and report.html into its folder.

    Works at any time, also while the search is running.
    """
    from frugalnas.report import text_of, write_report

    record = write_report(run)
    _print(record.to_json(pick) if as_json else text_of(record, pick))


@app.command(epilog="Example: frugalnas inspect --data shoes/ --limit params=200k --set space.channels=12")
def inspect(
    method: Method = None,
    preset: Preset = None,
    data: Data = None,
    root: Root = None,
    limit: Limit = None,
    config: Config = None,
    set_: Set = None,
    strict: Strict = False,
    samples: Annotated[int, typer.Option(min=1, max=1_000_000, help="Random genotypes to look at.")] = 2000,
    as_json: Json = False,
) -> None:
    """Before a search: how large its space is, what its networks cost, and how many of them the limits accept."""
    from frugalnas.config import options
    from frugalnas.launch import problem_of
    from frugalnas.survey import impossible, survey

    tree = _tree(method, preset, config, set_, options(data=data, root=root, strict=strict), limit)
    problem = problem_of(tree)
    found = survey(problem, samples)
    _print({"config": tree, **found.to_json()} if as_json else found.text(tree["limits"]))
    if not found.possible:
        raise impossible(problem, found)


@app.command("list", epilog="Example: frugalnas list objectives")
def list_(
    what: Annotated[
        str,
        typer.Argument(
            help="methods, presets, architectures, operations, objectives, strategies, estimators, spaces, data"
        ),
    ] = "methods",
    as_json: Json = False,
) -> None:
    """List what there is by name."""
    from frugalnas.catalogue import LISTINGS

    if what not in LISTINGS:
        raise InputError(f"nothing to list by the name {what!r}: {nearest(what, [*LISTINGS])}")
    entries = LISTINGS[what]()
    width = max(map(len, entries))
    lines = [f"{name:{width}}  {about}".rstrip() for name, about in entries.items()]
    _print(entries if as_json else "\n".join(lines))


@app.command(epilog="Example: frugalnas show EEEA-C --svg cells.svg")
def show(
    architecture: Annotated[str, typer.Argument(help="A published name, a .json file, or the folder of a search.")],
    trial: Annotated[int | None, typer.Option(help="Which trial of a search.", show_default="the front's knee")] = None,
    svg: Annotated[Path | None, typer.Option(help="Also draw the cells into this file.")] = None,
    convention: Annotated[Convention, typer.Option(help="How to count MACs.")] = "conv_linear",
    as_json: Annotated[bool, typer.Option("--json", help="Print the architecture in the interchange format.")] = False,
) -> None:
    """Print an architecture: its cells, its size, and its JSON, from which `frugalnas.build` makes the network."""
    from frugalnas.drawing import svg_of, text_of
    from frugalnas.launch import architecture_of
    from frugalnas.store import write_atomically

    found = architecture_of(architecture, trial)
    cells = found.space.describe(found.genotype)
    if svg:
        write_atomically(svg, svg_of(cells))
    _print(found.to_json() if as_json else f"{text_of(cells)}\n\n{found.size(convention)}")


@data_app.command("check", epilog="Example: frugalnas data check shoes/")
def data_check(
    path: Annotated[str, typer.Argument(help="A folder, a .npz file or a name, as for --data.")],
    root: Root = None,
    resolution: Annotated[int, typer.Option(help="Side in pixels to bring images to; 0 keeps them.")] = 0,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Say what is found at PATH and what is wrong with it. Exit code 2 where a search would be refused."""
    from frugalnas.tasks.data import DataSource, check

    found = check(DataSource(path, root=root or "", resolution=resolution, strict=strict))
    _print(found.to_json() if as_json else "\n".join(found.lines()))
    if not found.usable:
        raise typer.Exit(2)


def _tree(
    method: str | None,
    preset: str | None,
    file: Path | None,
    assignments: Sequence[str] | None,
    options: Mapping[str, Any],
    limits: Sequence[str] | None,
) -> dict[str, Any]:
    from frugalnas.config import assignment, limit, resolve

    layers = [*map(assignment, assignments or ()), options, *map(limit, limits or ())]
    return resolve(method, preset, file, layers)


@contextmanager
def _watched(tree: dict[str, Any]) -> Iterator[Any]:
    """A live view of the search on a terminal, none elsewhere; Ctrl-C ends in one line and exit code 130."""
    try:
        if sys.stderr.isatty():
            from frugalnas.progress import live

            with live(tree) as progress:
                yield progress
        else:
            yield None
    except KeyboardInterrupt as interrupt:
        print(f"frugalnas: {interrupt}" if interrupt.args else "frugalnas: stopped", file=sys.stderr)
        raise typer.Exit(130) from None


def _print_result(result: Result, as_json: bool) -> None:
    """Print what a search found. Exit code 1 where it rated no network."""
    from frugalnas.record import load, reasons
    from frugalnas.report import ending_of

    record = load(result.folder)
    _print({"ended": result.ended, **record.to_json()} if as_json else ending_of(record, result.ended))
    if not record.front:
        most = next((f"; most often: {reason}" for reason, _ in reasons(record.trials)), "")
        raise typer.Exit(_complain(f"no network was rated{most}", 1))


def _print(value: str | Mapping[str, Any]) -> None:
    print(value if isinstance(value, str) else json.dumps(value, indent=1))


def main() -> None:
    """Run the command line; turns what the user can mend into one line on stderr and exit code 2."""
    # the parent of all usage errors, by a road that is there whether typer brings click along or imports it
    usage_error: Any = typer.BadParameter.__mro__[2]
    try:
        code = app(standalone_mode=False)
    except InputError as error:
        code = _complain(str(error))
    except usage_error as error:
        code = _complain(f"{error.format_message()} (try: frugalnas --help)")
    except (typer.Abort, KeyboardInterrupt):
        code = 130  # before anything was begun
    except OSError as error:
        code = _complain(str(error))
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str, code: int = 2) -> int:
    print(f"frugalnas: {' '.join(message.split())}", file=sys.stderr)
    return code
