"""The command line: every verb of the way from images to a front. Bad input ends in one clear line and exit code 2."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from frugalnas import __version__
from frugalnas.core import InputError, nearest

if TYPE_CHECKING:
    from frugalnas.config import Tree
    from frugalnas.report import Record
    from frugalnas.launch import Result

app = typer.Typer(
    name="frugalnas",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="""Find small, accurate CNNs for your own images and your own device.

    [bold]frugalnas search[/]  searches on images that come with the package and prints the Pareto front.
    [bold]frugalnas search --data path/to/folder --limit params=200k[/]  searches on your images, under your budget.

    Look before you spend: [bold]frugalnas data check PATH[/] and [bold]frugalnas inspect[/].
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
Trials = Annotated[int | None, typer.Option(help="Networks to rate in all, rejected ones not counted.")]
Minutes = Annotated[float | None, typer.Option(help="Wall time in all, over every session.")]
Workers = Annotated[int | None, typer.Option(help="Processes that rate networks.", show_default="one per core")]
Seed = Annotated[int | None, typer.Option(help="Same seed, same machine: same journal.", show_default="0")]
Json = Annotated[bool, typer.Option("--json", help="Print facts as JSON.")]


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if show:
        print(f"frugalnas {__version__}")
        raise typer.Exit


@app.command()
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
    as_json: Json = False,
) -> None:
    """Search for a Pareto front of networks.

    Every finished network is in the journal at once: Ctrl-C and crashes lose nothing, 'frugalnas resume' goes on.
    """
    from frugalnas.launch import begin

    tree = _tree(method, preset, data, root, limit, trials, minutes, workers, seed, config, set_)
    _ended(*_watched(tree, lambda progress: begin(tree, out, progress)), as_json)


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(help="The folder of a search.")],
    trials: Trials = None,
    minutes: Minutes = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Go on with a search that was stopped, or give it a larger budget (budgets are totals)."""
    from frugalnas.launch import resume
    from frugalnas.store import read

    tree = {**read(run)[0]["config"]}
    tree |= {key: value for key, value in (("trials", trials), ("minutes", minutes)) if value is not None}
    _ended(
        *_watched(
            tree, lambda progress: resume(run, trials=trials, minutes=minutes, workers=workers, progress=progress)
        ),
        as_json,
    )


@app.command()
def report(run: Annotated[Path, typer.Argument(help="The folder of a search.")], as_json: Json = False) -> None:
    """Print the front of a search; write front.csv, trials.csv and report.html into its folder."""
    from frugalnas.report import write_report

    record = write_report(run)
    if as_json:
        _print_json(record.to_json())
    else:
        _print_front(record)


@app.command()
def inspect(
    method: Method = None,
    preset: Preset = None,
    data: Data = None,
    root: Root = None,
    limit: Limit = None,
    config: Config = None,
    set_: Set = None,
    samples: Annotated[int, typer.Option(min=1, help="Random genotypes to look at.")] = 2000,
    as_json: Json = False,
) -> None:
    """Before a search: how large its space is, what its networks cost, and how many of them the limits accept."""
    from frugalnas.report import amount
    from frugalnas.launch import problem_of, refuse_impossible, survey

    tree = _tree(method, preset, data, root, limit, None, None, None, None, config, set_)
    problem = problem_of(tree)
    found = survey(problem, samples)
    if as_json:
        costs = {
            name: dict(zip(("smallest", "median", "largest"), values, strict=True))
            for name, values in found.costs.items()
        }
        _print_json(
            {"config": tree, "genotypes": found.size, "samples": samples, "costs": costs}
            | {"accepted": found.accepted, "possible": found.possible, "rejected": found.rejected}
        )
    else:
        print(f"{found.size:.3g} genotypes; costs of {samples:,} random ones and the most uniform ones, at final size:")
        rows = [[name, *(amount(name, value) for value in values)] for name, values in found.costs.items()]
        _print_table(["cost", "smallest", "median", "largest"], rows)
        limits = ", ".join(f"{name} <= {amount(name, value)}" for name, value in tree["limits"].items())
        print(f"Limits: {limits or 'none'}; they accept {found.accepted:.1%} of random genotypes.")
    refuse_impossible(problem, found)


@app.command("list")
def list_(
    what: Annotated[
        str, typer.Argument(help="methods, presets, architectures, operations, objectives, strategies, spaces or data")
    ] = "methods",
    as_json: Json = False,
) -> None:
    """List what there is by name."""
    known = _listings()
    if what not in known:
        raise InputError(f"nothing to list by the name {what!r}: {nearest(what, [*known])}")
    entries = known[what]()
    if as_json:
        _print_json(entries)
    else:
        _print_table([what, ""], [[name, about] for name, about in entries.items()])


@app.command()
def show(
    architecture: Annotated[str, typer.Argument(help="A published name, a .json file, or the folder of a search.")],
    trial: Annotated[int | None, typer.Option(help="Which trial of a search.", show_default="the front's knee")] = None,
    svg: Annotated[Path | None, typer.Option(help="Also draw the cells into this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the architecture in the interchange format.")] = False,
) -> None:
    """Print an architecture: its cells, its size, and its JSON, from which 'frugalnas.build' makes the network."""
    from frugalnas.drawing import svg_of, text_of
    from frugalnas.launch import architecture_of
    from frugalnas.store import write_atomically

    found = architecture_of(architecture, trial)
    cells = found.space.describe(found.genotype)
    if svg:
        write_atomically(svg, svg_of(cells))
    if as_json:
        _print_json(found.to_json())
        return
    print(text_of(cells))
    count, space = found.space.count(found.genotype), found.space
    print(
        f"\n{space.cells} cells, {space.channels} channels, input {space.in_channels}x{space.resolution}x"
        f"{space.resolution}, {space.classes} classes\n"
        f"params {count.params:,}   MACs {count.macs:,} (convolutions and linear layers)   "
        f"model {count.model_bytes / 1024:,.0f} KiB   "
        f"peak activations {space.peak_bytes(found.genotype) / 1024:,.0f} KiB (batch 1, float32)"
    )


@data_app.command("check")
def data_check(
    path: Annotated[str, typer.Argument(help="A folder, a .npz file or a name, as for --data.")],
    root: Root = None,
    resolution: Annotated[int, typer.Option(help="Side in pixels to bring images to; 0 keeps them.")] = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse corrupt files rather than skip them.")] = False,
    as_json: Json = False,
) -> None:
    """Say what is found at PATH and what is wrong with it. Exit code 2 where a search would be refused."""
    from frugalnas.tasks.data import DataSource, check

    found = check(DataSource(path, root=root or "", resolution=resolution, strict=strict))
    if as_json:
        _print_json(found.to_json())
    else:
        print("\n".join(found.lines()))
    if not found.usable:
        raise typer.Exit(2)


def _tree(
    method: str | None,
    preset: str | None,
    data: str | None,
    root: str | None,
    limits: Sequence[str] | None,
    trials: int | None,
    minutes: float | None,
    workers: int | None,
    seed: int | None,
    config: Path | None,
    assignments: Sequence[str] | None,
) -> Tree:
    from frugalnas.config import assignment, limit, resolve

    given: Tree = {"data": {"source": data, "root": root}, "executor": {"workers": workers}}
    layer: Tree = {section: {k: v for k, v in keys.items() if v is not None} for section, keys in given.items()}
    layer |= {k: v for k, v in (("trials", trials), ("minutes", minutes), ("seed", seed)) if v is not None}
    layers = [*(assignment(text) for text in assignments or ()), layer, *(limit(text) for text in limits or ())]
    return resolve(method, preset, config, layers)


def _watched(tree: Tree, run: Any) -> tuple[Result, bool]:
    """Run a search under a live view on a terminal, quietly elsewhere."""
    if not sys.stderr.isatty():
        return run(None), False
    from frugalnas.progress import live

    with live(tree) as progress:
        return run(progress), True


def _ended(result: Result, watched: bool, as_json: bool) -> None:
    from frugalnas.report import load

    record = load(result.folder)
    if as_json:
        _print_json({"ended": result.ended, **record.to_json()})
        return
    _print_front(record)
    if result.ended == "minutes":
        print(f"Stopped at the time limit; go on with: frugalnas resume {result.folder} --minutes ...")


def _print_front(record: Record) -> None:
    from frugalnas.report import reasons, shown, summary

    print(summary(record))
    for reason, number in reasons(record.trials)[:5]:
        print(f"  {number:,} {reason}")
    front = record.front
    if not front:
        print("No front: no network was rated.")
        return
    print("\nPareto front (validation part)")
    _print_table(["trial", *record.objectives], [[str(trial.number), *shown(record, trial)] for trial in front])
    print(f"\nReport: {record.folder / 'report.html'}")
    print(f"Draw a network: frugalnas show {record.folder} --trial {front[0].number} --svg cells.svg")


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "left" if not header[-1] else "right"
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1))


def _listings() -> dict[str, Any]:
    from frugalnas import zoo
    from frugalnas.layers.plan import OPERATIONS
    from frugalnas.methods import METHODS
    from frugalnas.objectives.count import COSTS
    from frugalnas.spaces import SPACES
    from frugalnas.spaces.cell import OPERATION_LISTS
    from frugalnas.strategies import STRATEGIES
    from frugalnas.tasks.named import NAMES

    def first_line(thing: Any) -> str:
        return (thing.__doc__ or "").strip().splitlines()[0] if thing.__doc__ else ""

    def operations() -> dict[str, str]:
        return {name: ", ".join(key for key, names in OPERATION_LISTS.items() if name in names) for name in OPERATIONS}

    return {
        "methods": lambda: {name: module.SUMMARY for name, module in METHODS.items()},
        "presets": lambda: {
            f"{name} --preset {preset}": "" for name, module in METHODS.items() for preset in module.PRESETS
        },
        "architectures": lambda: {name: zoo.entry(name).title for name in zoo.names()},
        "operations": operations,
        "objectives": lambda: {
            "error": "share of validation images classified wrongly",
            **{n: first_line(c) for n, c in COSTS.items()},
        },
        "strategies": lambda: {name: first_line(sys.modules[kind.__module__]) for name, kind in STRATEGIES.items()},
        "spaces": lambda: {name: first_line(kind) for name, kind in SPACES.items()},
        "data": lambda: dict.fromkeys(NAMES, ""),
    }


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
        print("Interrupted; what was told is in the journal: go on with 'frugalnas resume'.", file=sys.stderr)
        code = 130
    except OSError as error:
        code = _complain(str(error))
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str) -> int:
    print(f"frugalnas: {' '.join(message.split())}", file=sys.stderr)
    return 2
