"""How well cheap ratings order networks whose error is known: rows of a table, or those that a search trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from frugalnas.cli.app import app, complain, say, stoppable
from frugalnas.cli.options import Config, Json, Minutes, Root, Seed, Set, Strict, Workers
from frugalnas.core import InputError

if TYPE_CHECKING:
    from frugalnas.rank import Ranked
    from frugalnas.schema import Tree

Images = Annotated[
    str | None,
    typer.Option(
        "--data",
        "--images",
        help="What the networks are rated on: a folder of images by class, a .npz file, or a name such as cifar10.",
        show_default="the search's, or fashion-mini",
    ),
]


@app.command(
    epilog="Example: frugalnas rank --table nasbench201.csv.gz --data cifar10 --estimators random_weights --count 100"
)
def rank(
    run: Annotated[
        Path | None,
        typer.Argument(help="The folder of a search, whose trained networks are rated.", show_default=False),
    ] = None,
    table: Annotated[
        str | None, typer.Option(help="Instead of a search, a table of trained networks.", show_default=False)
    ] = None,
    data: Images = None,
    root: Root = None,
    estimators: Annotated[
        str,
        typer.Option(
            help="What to compare: estimators such as random_weights, with a fidelity in EcoNAS' notation such as "
            "train:c2r2s1e1, or zero-cost scores (see 'frugalnas list estimators').",
            show_default=False,
        ),
    ] = "",
    count: Annotated[
        int | None,
        typer.Option(help="Networks, drawn at random.", show_default="200 of a table, all of a search"),
    ] = None,
    truth: Annotated[
        str, typer.Option(help="The column of the table with the true accuracies.", show_default="its test accuracy")
    ] = "",
    minutes: Minutes = None,
    workers: Workers = None,
    seed: Seed = None,
    out: Annotated[
        Path | None, typer.Option(help="A new folder for the journal and the page.", show_default="runs/...")
    ] = None,
    config: Config = None,
    set_: Set = None,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Compare how estimators order networks whose error is known, beside counting parameters and MACs.

    Every network is rated by every estimator; settings of one are --set estimators.random_weights.draws=3, or tables
    `[[estimators]]` with a label in a --config file. Of each score there is its rank correlation with the true error,
    with an interval; what is left of that given the MACs; and the true error of the network that it prefers. Ctrl-C and
    crashes lose nothing: `frugalnas resume` goes on.
    """
    from frugalnas import rank as study
    from frugalnas.cli.options import refuse_taken
    from frugalnas.config import assignment, options

    refuse_taken(out)
    known = _truth(run, table, truth)
    if run is None and count is None:
        count = min(study.MOST, len(known.errors))
    given = options(data=data, root=root, minutes=minutes, workers=workers, seed=seed, strict=strict)
    tree, note = study.study_of(known, estimators, count, config, [*map(assignment, set_ or ()), given])
    if run is None and "source" not in given["data"] and config is None:
        complain("no --data: the networks are rated on the images that come with the package")
    with stoppable(), _watched(tree) as progress:
        ranked = study.begin(tree, note, out, progress)
    _print(ranked, as_json)


def _truth(run: Path | None, table: str | None, column: str) -> Any:
    from frugalnas import rank as study
    from frugalnas.cli.options import refuse_no_search

    if (run is None) == (table is None):
        raise InputError("expected either --table FILE or the folder of a search, whose networks are to be rated")
    if run is None:
        return study.from_table(str(table), column)
    if column:
        raise InputError(f"--truth {column}: a search has no columns; its truth is its first objective")
    refuse_no_search(run)
    return study.from_run(run)


def go_on(folder: Path, tree: Tree, as_json: bool, **budgets: Any) -> None:
    """Go on with the study in `folder`, whose configuration is `tree`: what `frugalnas resume` does there."""
    from frugalnas import rank as study

    if budgets.pop("epochs") is not None:
        raise InputError(f"{folder} holds a study of ratings, which has no epochs: expected --minutes or --trials")
    with stoppable(), _watched(tree) as progress:
        ranked = study.resume(folder, progress=progress, **budgets)
    _print(ranked, as_json)


def _watched(tree: Tree) -> Any:
    from frugalnas.progress import ratings
    from frugalnas.rank import ratings_in

    return ratings(ratings_in(tree))


def _print(ranked: Ranked, as_json: bool) -> None:
    """Print what a study found. Exit code 1 where it could not compare anything."""
    from frugalnas.rank import ending_of

    findings = ranked.findings
    say({"ended": ranked.ended, **findings.to_json()} if as_json else ending_of(findings, ranked.ended))
    if not findings.rated:
        raise typer.Exit(1)
