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
            "multipliers, spaces, recipes, data"
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


@app.command(epilog="Examples: frugalnas show EEEA-C --svg cells.svg; frugalnas show 8s-2-0-5 --svg errors.svg")
def show(
    name: Annotated[
        str,
        typer.Argument(
            help="A published name, a .json file, the folder of a search; or a multiplier: a name of 'frugalnas list "
            "multipliers', or a table of products as .bin, .npy or .safetensors."
        ),
    ],
    trial: TrialNumber = None,
    pick: Pick = None,
    svg: Annotated[Path | None, typer.Option(help="Also draw the cells, or the error map, into this file.")] = None,
    convention: Annotated[Convention, typer.Option(help="How to count MACs.")] = "conv_linear",
    power_mw: Annotated[float | None, typer.Option(help="Of one multiplier of the table in the file.")] = None,
    signed: Annotated[bool, typer.Option("--signed", help="The table's operands are signed.")] = False,
    bits: Annotated[int, typer.Option(help="Of the table's second operand, 2 to 8.")] = 8,
    save: Annotated[Path | None, typer.Option(help="Keep the multiplier as this .safetensors file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the architecture in the interchange format.")] = False,
) -> None:
    """Print an architecture: its cells, its size, and its JSON, from which `frugalnas.create_model` builds it.

    Of a published one also where it is from and what was reported of it. Of a multiplier its power, its errors over all
    operands, and how layers compute it.
    """
    from frugalnas.multipliers import library

    if library.looks_like_one(name) and not Path(name).is_dir():
        if trial is not None or pick is not None:
            raise InputError(f"{name} is a multiplier: it has no trials")
        show_multiplier(name, power_mw, signed, bits, svg, save, as_json)
    elif power_mw is not None or signed or bits != 8 or save:
        raise InputError(f"{name} is no multiplier: --power-mw, --signed, --bits and --save are of tables of products")
    else:
        show_architecture(name, trial, pick, svg, convention, as_json)


def show_architecture(
    architecture: str, trial: int | None, pick: str | None, svg: Path | None, convention: Convention, as_json: bool
) -> None:
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


def show_multiplier(
    name: str, power_mw: float | None, signed: bool, bits: int, svg: Path | None, save: Path | None, as_json: bool
) -> None:
    from frugalnas.multipliers import Multiplier, library
    from frugalnas.multipliers.about import facts, text_of
    from frugalnas.multipliers.picture import error_map
    from frugalnas.store import write_atomically

    of_table = name.endswith((".bin", ".npy"))
    if not of_table and (power_mw is not None or signed or bits != 8):
        raise InputError(f"{name}: --power-mw, --signed and --bits are of tables of products, as .bin or .npy")
    found = Multiplier.load(name, signed, power_mw, bits) if of_table else library.find(name)
    if svg:
        write_atomically(svg, error_map(found))
    if save:
        found.save(save)
    say(facts(found) if as_json else text_of(found))


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
