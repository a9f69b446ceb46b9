"""Which cheap training can stand in for a careful one, measured on the user's own images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from frugalnas.cli.app import app, complain, say, stoppable
from frugalnas.cli.options import Config, Data, Json, Limit, Method, Minutes, Preset, Root, Seed, Set, Strict, Workers

if TYPE_CHECKING:
    from frugalnas.proxies import Studied
    from frugalnas.schema import Tree


@app.command(
    epilog='Example: frugalnas proxies --data shoes/ --networks 20 --grid "c2,c4 x r0,r2 x e1,e3" --out runs/p'
)
def proxies(
    data: Data = None,
    root: Root = None,
    networks: Annotated[
        int | None,
        typer.Option(help="Random networks, 4 or more; with fewer than 20 little is sure.", show_default="16"),
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option(help="The proxies, as lists of indices.", show_default="c2,c4 x r2,r4 x s1,s2 x e1"),
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="The careful training that they are compared with.", show_default="c2r2s1e4")
    ] = None,
    limit: Limit = None,
    minutes: Minutes = None,
    workers: Workers = None,
    seed: Seed = None,
    out: Annotated[
        Path | None, typer.Option(help="A new folder for the journal and the page.", show_default="runs/...")
    ] = None,
    method: Method = None,
    preset: Preset = None,
    config: Config = None,
    set_: Set = None,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Find cheap trainings that order networks as a careful one does, for `frugalnas search --ladder`.

    Fidelities are in EcoNAS' notation: c and r halve channels and pixels at every second index, s halves the share of
    the images at every index, e is the number of epochs; 0 reduces nothing. Random networks of the space of a method,
    within the limits, are trained with every proxy and twice with the reference. Ctrl-C and crashes lose nothing:
    `frugalnas resume` goes on.
    """
    from frugalnas import proxies as study
    from frugalnas.cli.latency import make_table
    from frugalnas.cli.options import refuse_taken, tree_of
    from frugalnas.config import options

    refuse_taken(out)
    given = options(data=data, root=root, minutes=minutes, workers=workers, seed=seed, strict=strict)
    asked: dict[str, Any] = {"networks": networks, "reference": reference, "grid": grid}
    wanted = {name: value for name, value in asked.items() if value is not None}
    tree = study.study_of(tree_of(method, preset, config, set_, given, limit), **wanted)
    make_table(tree)
    ahead = study.outlook(tree)
    for note in ahead.notes:
        complain(note)
    say(ahead.text(), aside=as_json)
    with stoppable(), _watched(tree, ahead.images) as progress:
        studied = study.begin(tree, out, progress)
    _print(studied, as_json)


def go_on(folder: Path, tree: Tree, as_json: bool, **budgets: Any) -> None:
    """Go on with the study in `folder`, whose configuration is `tree`: what `frugalnas resume` does there."""
    from frugalnas import proxies as study
    from frugalnas.record import load

    images = study.images_of(tree, load(folder).header["images"]["train"])
    with stoppable(), _watched(tree, images) as progress:
        studied = study.resume(folder, progress=progress, **budgets)
    _print(studied, as_json)


def _watched(tree: Tree, images: int) -> Any:
    from frugalnas.progress import trainings

    return trainings(tree["strategy"]["networks"] * len(tree["estimators"]), images)


def _print(studied: Studied, as_json: bool) -> None:
    """Print what a study found. Exit code 1 where it could not compare a single proxy."""
    from frugalnas.proxies import ending_of

    findings = studied.findings
    say({"ended": studied.ended, **findings.to_json()} if as_json else ending_of(findings, studied.ended))
    if not findings.rated:
        raise typer.Exit(1)
