"""Measure how fast this device, or another, runs networks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from frugalnas.cli.app import app, say
from frugalnas.cli.options import Config, Data, Json, Method, Preset, Root, Set, Strict, refuse_no_search, tree_of
from frugalnas.core import InputError
from frugalnas.latency.settings import Latency, Runtime
from frugalnas.objectives.latency import LATENCY

if TYPE_CHECKING:
    from frugalnas.latency.table import Table
    from frugalnas.spaces.architecture import Architecture

latency_app = typer.Typer(no_args_is_help=True, help="Measure how fast this device, or another, runs networks.")
app.add_typer(latency_app, name="latency")

RuntimeOption = Annotated[Runtime | None, typer.Option(help="What runs the networks.", show_default="torch")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads of one inference.", show_default="1")]
SECONDS = 5.0  # that `measure` takes at least


@latency_app.command(epilog="Example: frugalnas latency build --data shoes/ --runtime onnxruntime --out laptop.json")
def build(
    method: Method = None,
    preset: Preset = None,
    data: Data = None,
    root: Root = None,
    config: Config = None,
    set_: Set = None,
    strict: Strict = False,
    runtime: RuntimeOption = None,
    threads: Threads = None,
    seconds: Annotated[float, typer.Option(min=0, help="How long to measure; a slow device takes longer.")] = 20.0,
    out: Annotated[Path, typer.Option(help="The table to write.")] = Path("table.json"),
    as_json: Json = False,
) -> None:
    """Time what the networks of a search are made of, on this device, and write the table that predicts them.

    The options are those of the search, whose space decides what is timed; images are read for their size only. Take
    care that nothing else runs. Then: frugalnas search ... --set latency.table=table.json --limit latency_ms=5
    """
    from frugalnas.latency import build as building
    from frugalnas.parts import space_of

    tree, settings = _settings(method, preset, data, root, config, set_, strict, runtime, threads)
    with measuring("timing parts of networks") as progress:
        table = building.build(space_of(tree), settings.runtime, settings.threads, seconds, progress)
    table.save(out)
    facts = {key: table.content[key] for key in ("runtime", "threads", "device", "seconds", "error", "checksum")}
    facts = {"table": str(out), "pieces": len(table.content["pieces"]), **facts}
    say(facts if as_json else f"{table.text()}\nwritten: {out}")


@latency_app.command(epilog="Example: frugalnas latency kit --data shoes/ --runtime onnxruntime --out kit")
def kit(
    out: Annotated[Path, typer.Option(help="A new folder, to copy to the device.")],
    method: Method = None,
    preset: Preset = None,
    data: Data = None,
    root: Root = None,
    config: Config = None,
    set_: Set = None,
    strict: Strict = False,
    runtime: RuntimeOption = None,
) -> None:
    """Write a folder with which a device that has no FrugalNAS makes its own table.

    The device needs Python and torch, or onnxruntime with numpy; README.txt in the folder says what to do there.
    """
    from frugalnas.latency.build import write_kit
    from frugalnas.parts import space_of

    tree, settings = _settings(method, preset, data, root, config, set_, strict, runtime, None)
    write_kit(space_of(tree), settings.runtime, out)
    say(f"Copy {out} to the device; there: python measure.py --out table.json. {out / 'README.txt'} says more.")


@latency_app.command(epilog="Example: frugalnas latency measure runs/shoes")
def measure(
    what: Annotated[
        list[str], typer.Argument(help="Folders of searches, of which the front; models; published names; .json files.")
    ],
    table: Annotated[Path | None, typer.Option(help="Predict by this table.", show_default="the search's")] = None,
    runtime: RuntimeOption = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Time whole networks on this device, now, beside what a search predicted, and say whether its limit holds.

    Also the memory that activations take at most (float32, from a formula) and the bytes of the weights.
    """
    from frugalnas.latency.runs import milliseconds
    from frugalnas.latency.table import Table

    given = Table.load(table) if table else None
    networks = [network for name in what for network in _networks(name, given)]
    first = networks[0].by
    runtime, threads = runtime or first.runtime, threads or first.threads
    with measuring("timing networks") as progress:
        times = milliseconds([each.architecture for each in networks], runtime, threads, SECONDS, progress)
    rows = [network.row(ms) for network, ms in zip(networks, times, strict=True)]
    facts = {"runtime": runtime, "threads": threads, "networks": rows}
    say(facts if as_json else _text(facts))


@dataclass(frozen=True)
class _Network:
    """What is to be measured. `by`: the runtime and threads of the search that it is from. Sizes are in bytes."""

    name: str
    architecture: Architecture
    by: Latency
    predicted: float | None = None
    limit: float | None = None
    file_bytes: int | None = None

    def row(self, ms: float) -> dict[str, Any]:
        space, genotype = self.architecture.space, self.architecture.genotype
        return {
            "network": self.name,
            "predicted_ms": self.predicted,
            "measured_ms": ms,
            "limit_ms": self.limit,
            "peak_bytes": space.peak_bytes(genotype),
            "model_bytes": space.count(genotype).model_bytes,
            "file_bytes": self.file_bytes,
        }


def _networks(name: str, table: Table | None) -> Iterator[_Network]:
    """The front of a search, or the one network of a model, a file or a published name."""
    from frugalnas.choose import architecture_of
    from frugalnas.latency.cost import table_in
    from frugalnas.launch import configuration_of
    from frugalnas.model import FILE, Model
    from frugalnas.record import load
    from frugalnas.schema import construct
    from frugalnas.store import JOURNAL

    path, by = Path(name), Latency()
    if table:
        by = Latency(runtime=table.runtime, threads=table.threads)
    if (path / JOURNAL).is_file():
        record, tree = load(path), configuration_of(path)
        own = table or table_in(path, record.header)
        by = Latency(runtime=own.runtime, threads=own.threads) if own else construct(Latency, tree["latency"])
        if not record.front:
            raise InputError(f"{path} has no rated network yet")
        for trial in record.front:
            found = architecture_of(name, trial.number)
            predicted = trial.values.get(LATENCY) if table is None else table.predict(found)
            yield _Network(f"trial {trial.number}", found, by, predicted, tree["limits"].get(LATENCY))
        return
    file = path / FILE if path.is_dir() else path
    is_model = file.suffix == ".safetensors"
    if not file.exists():
        refuse_no_search(path)
    found = Model.load(file).architecture if is_model else architecture_of(name)
    yield _Network(
        name, found, by, table.predict(found) if table else None, None, file.stat().st_size if is_model else None
    )


def _text(facts: dict[str, Any]) -> str:
    """The rows as a table, how well they were predicted, and whether the limit holds."""
    from frugalnas.latency.measure import error
    from frugalnas.report import amount
    from frugalnas.report import table as text_table

    rows = facts["networks"]
    columns = [key for key in rows[0] if any(row[key] is not None for row in rows)]
    cells = [
        [row["network"], *("" if row[key] is None else amount(key, row[key]) for key in columns[1:])] for row in rows
    ]
    lines = [
        f"{facts['runtime']}, {facts['threads']} thread(s), one image; medians",
        "",
        text_table(columns, cells),
    ]
    predicted = [row for row in rows if row["predicted_ms"] is not None]
    if len(predicted) > 2:
        off = error(predicted)
        lines += [
            "",
            f"Predicted: Spearman {off['spearman']:.3f}, median error {off['median']:.1%}, worst {off['worst']:.1%}",
        ]
    limited = [row for row in rows if row["limit_ms"] is not None]
    if limited:
        held = sum(row["measured_ms"] <= row["limit_ms"] for row in limited)
        lines.append(f"The limit holds for {held} of {len(limited)}.")
    return "\n".join(lines)


def _settings(
    method: str | None,
    preset: str | None,
    data: str | None,
    root: str | None,
    file: Path | None,
    assignments: Sequence[str] | None,
    strict: bool,
    runtime: Runtime | None,
    threads: int | None,
) -> tuple[dict[str, Any], Latency]:
    from frugalnas.config import options
    from frugalnas.schema import construct

    given = {key: value for key, value in (("runtime", runtime), ("threads", threads)) if value is not None}
    layer = options(data=data, root=root, strict=strict) | {"latency": given}
    tree = tree_of(method, preset, file, assignments, layer)
    return tree, construct(Latency, tree["latency"])


def make_table(tree: dict[str, Any]) -> None:
    """Make the latency table that a search needs and has no file of, under a bar; later it is at hand."""
    from frugalnas.parts import table_of

    with measuring("timing parts of networks for latency_ms") as progress:
        table_of(tree, progress)


@contextmanager
def measuring(words: str) -> Iterator[Callable[[float], None]]:
    """A function to call with the share that is done; a bar on stderr where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(words, total=1.0, visible=False)
        yield lambda share: bar.update(task, completed=share, visible=True)
