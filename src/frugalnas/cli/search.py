"""Search, go on, report, and look before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frugalnas.cli.app import app, complain, say, watched
from frugalnas.cli.options import (
    Address,
    Config,
    Data,
    Epochs,
    Executor,
    Json,
    Limit,
    Method,
    Minutes,
    Mlflow,
    Preset,
    Processes,
    Root,
    Seed,
    Set,
    Strict,
    Tensorboard,
    Trials,
    Workers,
    refuse_no_search,
    refuse_taken,
    tree_of,
)
from frugalnas.core import InputError

if TYPE_CHECKING:
    from frugalnas.launch import Result


@app.command(epilog="Example: frugalnas search --data shoes/ --limit params=200k --minutes 30 --out runs/shoes")
def search(
    method: Method = None,
    preset: Preset = None,
    data: Data = None,
    root: Root = None,
    limit: Limit = None,
    trials: Trials = None,
    minutes: Minutes = None,
    epochs: Epochs = None,
    workers: Workers = None,
    executor: Executor = None,
    address: Address = None,
    seed: Seed = None,
    out: Annotated[
        Path | None, typer.Option(help="A new folder for the journal and the report.", show_default="runs/...")
    ] = None,
    config: Config = None,
    set_: Set = None,
    ladder: Annotated[
        str | None,
        typer.Option(
            help="What rates the networks: fidelities in EcoNAS' notation, from cheap to careful, such as c4r2s1e1; or "
            "the folder of a study by 'frugalnas proxies'.",
            show_default="the method's",
        ),
    ] = None,
    prescreen: Annotated[
        int | None,
        typer.Option(help="Look at so many networks for each that is trained, and train the most promising one."),
    ] = None,
    tensorboard: Tensorboard = False,
    mlflow: Mlflow = False,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Search for a Pareto front of networks.

    The preset has a number of trials, which --trials, --minutes, --epochs or several of them replace.
    Every finished network is in the journal at once: Ctrl-C and crashes lose nothing, `frugalnas resume` goes on.
    """
    from frugalnas.cli.latency import make_table
    from frugalnas.config import options
    from frugalnas.launch import begin, new_folder
    from frugalnas.loggers import logged
    from frugalnas.progress import live

    refuse_taken(out)
    given = options(
        data=data,
        root=root,
        trials=trials,
        minutes=minutes,
        epochs=epochs,
        workers=workers,
        seed=seed,
        strict=strict,
        prescreen=prescreen,
    )
    tree = tree_of(method, preset, config, set_, given, limit, executor, address)
    if ladder is not None:
        from frugalnas.proxies import with_ladder

        tree = with_ladder(tree, ladder)
    make_table(tree)
    folder = out or new_folder(tree)
    with watched(live(tree)) as progress, logged(folder, tree, progress, tensorboard, mlflow) as told:
        result = begin(tree, folder, told)
    _print_result(result, as_json)


@app.command(epilog="Example: frugalnas resume runs/shoes --trials 100")
def resume(
    run: Annotated[Path, typer.Argument(help="The folder of a search, or of anything else that can go on.")],
    trials: Trials = None,
    minutes: Minutes = None,
    epochs: Epochs = None,
    workers: Workers = None,
    executor: Executor = None,
    address: Address = None,
    tensorboard: Tensorboard = False,
    mlflow: Mlflow = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="First cut a damaged journal before the damage. A copy is kept.")
    ] = False,
    processes: Processes = "1",
    as_json: Json = False,
) -> None:
    """Go on with a search or a study of proxies or ratings, or give it a larger budget; or with a training, a fit or a
    comparison.

    Budgets are totals over all sessions. A new one replaces the old ones; without any, those of the search hold.
    Trainings, fits and comparisons keep their own. A training may go on in another number of processes.
    """
    from frugalnas import fit, launch, proxies, rank
    from frugalnas.config import changed, options
    from frugalnas.loggers import logged
    from frugalnas.progress import live
    from frugalnas.repair import repair as cut_damage
    from frugalnas.store import JOURNAL

    if repair:
        cut_damage(run)
    if (executor or address) and not _holds_search(run):
        raise InputError(f"{run} holds no search: what goes on with it are the workers that it had, without --executor")
    if (tensorboard or mlflow) and not _holds_search(run):
        raise InputError(f"{run} holds no search: --tensorboard and --mlflow are for searches")
    if fit.holds_fit(run):
        from frugalnas.cli.fit import go_on

        if any(given is not None for given in (trials, minutes, epochs, workers)):
            raise InputError(f"{run} holds a fit, whose time cannot be changed: expected no other option")
        go_on(run, as_json)
        return
    if not (run / JOURNAL).exists() and _goes_on(run, as_json, trials, minutes, epochs, workers, processes):
        return
    tree = changed(launch.configuration_of(run), options(trials=trials, minutes=minutes, epochs=epochs))
    if proxies.is_study(tree):
        from frugalnas.cli.proxies import go_on as go_on_studying

        go_on_studying(run, tree, as_json, trials=trials, minutes=minutes, epochs=epochs, workers=workers)
        return
    if rank.is_ranking(tree):
        from frugalnas.cli.rank import go_on as go_on_ranking

        go_on_ranking(run, tree, as_json, trials=trials, minutes=minutes, epochs=epochs, workers=workers)
        return
    with watched(live(tree)) as progress, logged(run, tree, progress, tensorboard, mlflow) as told:
        result = launch.resume(
            run,
            trials=trials,
            minutes=minutes,
            epochs=epochs,
            workers=workers,
            where=executor,
            address=address,
            progress=told,
        )
    _print_result(result, as_json)


def _goes_on(
    run: Path,
    as_json: bool,
    trials: int | None,
    minutes: float | None,
    epochs: float | None,
    workers: int | None,
    processes: str,
) -> bool:
    """Go on with a comparison, a training or an assignment, whose folders hold no journal; whether there is one."""
    from frugalnas import assign, compare, training  # which import torch

    if compare.holds_comparison(run):
        from frugalnas.cli.compare import go_on as go_on_comparing

        if any(given is not None for given in (trials, minutes, epochs)):
            raise InputError(f"{run} holds a comparison, whose budget cannot be changed: expected no such option")
        go_on_comparing(run, workers, as_json)
        return True
    if training.holds_training(run):
        from frugalnas.cli.train import go_on as go_on_training

        if any(given is not None for given in (trials, minutes, epochs, workers)):
            raise InputError(f"{run} holds a training, whose length cannot be changed: expected only --processes")
        go_on_training(run, processes, as_json)
        return True
    if assign.holds_job(run):
        from frugalnas.cli.approximate import go_on as go_on_assigning

        if any(given is not None for given in (epochs, workers)):
            raise InputError(f"{run} holds an assignment: expected --trials or --minutes")
        go_on_assigning(run, as_json, trials, minutes)
        return True
    return False


@app.command(epilog="Example: frugalnas report runs/shoes")
def report(
    run: Annotated[Path, typer.Argument(help="The folder of a search, a study or a comparison.")],
    pick: Annotated[int | None, typer.Option(help="Show this many networks, spread evenly along the front.")] = None,
    as_json: Json = False,
) -> None:
    """Print the front of a search; write report.html, front.svg, front.csv and trials.csv into its folder.

    Works at any time, also while the search is running. Of a study of proxies or ratings it writes that one's files,
    and of a comparison what has ended of it.
    """
    from frugalnas import proxies, rank
    from frugalnas.record import header_in
    from frugalnas.report import text_of, write_report
    from frugalnas.store import JOURNAL

    if not (run / JOURNAL).exists():
        from frugalnas import compare  # which imports torch

        if compare.holds_comparison(run):
            outcome = compare.write_outcome(run)
            say(outcome.to_json() if as_json else compare.text_of(outcome))
            return
        refuse_no_search(run)
    tree = header_in(run)["config"]
    if proxies.is_study(tree):
        findings = proxies.write_findings(run)
        say(findings.to_json() if as_json else proxies.text_of(findings))
        return
    if rank.is_ranking(tree):
        ranked = rank.write_findings(run)
        say(ranked.to_json() if as_json else rank.text_of(ranked))
        return
    record = write_report(run)
    say(record.to_json(pick) if as_json else text_of(record, pick))


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
    from frugalnas.cli.latency import make_table
    from frugalnas.config import options
    from frugalnas.parts import problem_of
    from frugalnas.survey import impossible, survey

    tree = tree_of(method, preset, config, set_, options(data=data, root=root, strict=strict), limit)
    make_table(tree)
    problem = problem_of(tree)
    found = survey(problem, samples)
    say({"config": tree, **found.to_json()} if as_json else found.text(tree["limits"]))
    if not found.possible:
        raise impossible(problem, found)


def _holds_search(run: Path) -> bool:
    """Whether a run is a search, and neither made of several nor a study of how networks are rated."""
    from frugalnas import proxies, rank
    from frugalnas.record import header_in
    from frugalnas.store import JOURNAL

    if not (run / JOURNAL).exists():
        return False
    tree = header_in(run)["config"]
    return not proxies.is_study(tree) and not rank.is_ranking(tree)


def _print_result(result: Result, as_json: bool) -> None:
    """Print what a search found. Exit code 1 where it rated no network."""
    from frugalnas.record import load, reasons
    from frugalnas.report import ending_of

    record = load(result.folder)
    say({"ended": result.ended, **record.to_json()} if as_json else ending_of(record, result.ended))
    if not record.front:
        most = next((f"; most often: {reason}" for reason, _ in reasons(record.trials)), "")
        raise typer.Exit(complain(f"no network was rated{most}", 1))
