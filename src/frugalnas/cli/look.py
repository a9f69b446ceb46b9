"""What there is by name, architectures, and data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from frugalnas.cli.app import app, data_app, say
from frugalnas.cli.options import Json, Pick, Root, Strict, TrialNumber, refuse_no_search
from frugalnas.core import InputError, nearest
from frugalnas.layers.cost import Convention


@app.command("list", epilog="Example: frugalnas list objectives")
def list_(
    what: Annotated[
        str,
        typer.Argument(
            help="methods, presets, architectures, operations, objectives, strategies, estimators, scores, "
            "spaces, recipes, data"
        ),
    ] = "methods",
    as_json: Json = False,
) -> None:
    """List what there is by name."""
    from frugalnas.catalogue import FACTS, LISTINGS

    if what not in LISTINGS:
        raise InputError(f"nothing to list by the name {what!r}: {nearest(what, [*LISTINGS])}")
    if as_json:
        say(FACTS[what]() if what in FACTS else LISTINGS[what]())
        return
    entries = LISTINGS[what]()
    width = max(map(len, entries))
    say("\n".join(f"{name:{width}}  {about}".rstrip() for name, about in entries.items()))


@app.command(epilog="Example: frugalnas show EEEA-C --svg cells.svg")
def show(
    architecture: Annotated[str, typer.Argument(help="A published name, a .json file, or the folder of a search.")],
    trial: TrialNumber = None,
    pick: Pick = None,
    svg: Annotated[Path | None, typer.Option(help="Also draw the cells into this file.")] = None,
    convention: Annotated[Convention, typer.Option(help="How to count MACs.")] = "conv_linear",
    as_json: Annotated[bool, typer.Option("--json", help="Print the architecture in the interchange format.")] = False,
) -> None:
    """Print an architecture: its cells, its size, and its JSON, from which `frugalnas.create_model` builds it.

    Of a published one also where it is from and what was reported of it.
    """
    from frugalnas import zoo
    from frugalnas.choose import architecture_of
    from frugalnas.drawing import svg_of, text_of
    from frugalnas.store import write_atomically

    if Path(architecture).is_dir():
        refuse_no_search(Path(architecture))
    found = architecture_of(architecture, trial, pick)
    cells = found.space.describe(found.genotype)
    if svg:
        write_atomically(svg, svg_of(cells))
    published = zoo.is_name(architecture) and not Path(architecture).is_dir()
    about = f"{zoo.entry(architecture).about()}\n\n" if published else ""
    say(found.to_json() if as_json else f"{about}{text_of(cells)}\n\n{found.size(convention)}")


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
    say(found.to_json() if as_json else "\n".join(found.lines()))
    if not found.usable:
        raise typer.Exit(2)
