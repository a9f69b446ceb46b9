"""The stages of a fit, one after the other; each goes on where an earlier session left it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frugalnas import launch, parts, store
from frugalnas.choose import architecture_of, choose
from frugalnas.core import InputError
from frugalnas.fit.settings import Plan, holds_fit, read, refuse_another, write
from frugalnas.record import load, reasons
from frugalnas.report import amount, summary, write_report
from frugalnas.schema import Tree, construct
from frugalnas.survey import refuse_impossible, survey
from frugalnas.tasks.data import DataSource, check, refuse_among_images
from frugalnas.tasks.labelled import load_labelled

if TYPE_CHECKING:
    from frugalnas.latency.measure import Progress as Measuring
    from frugalnas.training import Progress, Trained

SEARCH, MODEL, EXPORT, LOCK = "search", "model", "export", ".fit.lock"
REPORT_S, EXPORT_S = 4.0, 8.0  # what the training leaves for the report and for each export, about
LEAST_TRAINING = 0.1  # of the minutes, whatever the search took
CHECKED = 1000  # images that an export is compared with torch on
SAMPLES = 300  # random networks that the line about the space is from


def _silent(line: str) -> None:
    pass


def _unseen(tree: Tree) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True)
class Watch:
    """Who is told how a fit goes: `say` each stage in a line or more, the live views while something lasts."""

    say: Callable[[str], None] = _silent
    measuring: Callable[[], AbstractContextManager[Measuring | None]] = nullcontext
    search: Callable[[Tree], AbstractContextManager[launch.Progress | None]] = _unseen
    training: Callable[[], AbstractContextManager[Progress | None]] = nullcontext


UNWATCHED = Watch()


@dataclass(frozen=True)
class Fitted:
    """A finished fit: its folder, the trial that was picked, what metrics.json and export.json say, and its seconds."""

    folder: Path
    trial: int
    metrics: Mapping[str, Any]
    exports: Sequence[Mapping[str, Any]]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self) | {"folder": str(self.folder)}

    def lines(self) -> list[str]:
        """What was made and where it is, for people."""
        part = "test" if self.metrics["test"] else "validation"
        rated = self.metrics[part]
        macs, params = (amount(name, self.metrics[name]) for name in ("macs", "params"))
        error = f"{part} error {amount('error', rated['error'])} on {rated['images']:,} images"
        model = self.folder / MODEL
        return [
            f"finished  in {self.seconds / 60:.1f} min: {error}; {params} parameters, {macs} MACs",
            f"model     {model / 'model.safetensors'}",
            f"pages     {model / 'model.html'}, {self.folder / SEARCH / 'report.html'}",
            *(f"export    {self._exported(one)}" for one in self.exports),
            f"use it    frugalnas predict {model} IMAGES",
        ]

    def _exported(self, one: Mapping[str, Any]) -> str:
        if one["error"]:
            return f"{one['format']}: {one['error']}"
        files = ", ".join(str(self.folder / EXPORT / name) for name in one["files"])
        same = f"{one['agreement']:.1%} of images in the class that torch says"
        return f"{one['format']}: {files}, {amount('model_bytes', one['bytes'])}, {same}, {one['latency_ms']:.2f} ms"


@dataclass(frozen=True)
class _Job:
    """A fit before one of its stages. `done`: what the stages before said, `seconds`: how long they took."""

    plan: Plan
    folder: Path
    watch: Watch
    done: Mapping[str, Mapping[str, Any]]
    seconds: float

    @property
    def data(self) -> DataSource:
        source: DataSource = construct(DataSource, self.plan.search["data"])
        return source


def fit(plan: Plan, out: str | Path | None = None, watch: Watch = UNWATCHED) -> Fitted:
    """All that `plan` asks for, into the folder `out`; a fit that is there is gone on with, or given where finished.

    By default the folder is `plan.folder`. Nothing is written before the images and the limits are found good. Raises
    InputError for anything wrong, and where `out` holds something else.
    """
    began = time.monotonic()
    folder = Path(out) if out else plan.folder
    if holds_fit(folder):
        refuse_another(folder, plan)
    else:
        if taken := [name for name in (SEARCH, MODEL, EXPORT) if (folder / name).exists()]:
            raise InputError(f"{folder} has a folder {taken[0]!r} that is of no fit: choose another --out")
        job = _Job(plan, folder, watch, {}, 0.0)
        refuse_among_images(job.data, folder)
        _look(job)
        folder.mkdir(parents=True, exist_ok=True)
        write(folder, plan, {}, time.monotonic() - began)
    return resume(folder, watch)


def resume(folder: str | Path, watch: Watch = UNWATCHED) -> Fitted:
    """Go on with the fit in `folder`; one that is finished is only read. Raises InputError for any other folder."""
    folder = Path(folder)
    read(folder)  # which says what is wrong before the lock is a file
    with store.locked(folder / LOCK, f"{folder} is open in another process"):
        plan, done, seconds = read(folder)
        for name, stage in _STAGES.items():
            if name in done:
                continue
            began = time.monotonic()
            try:
                said = stage(_Job(plan, folder, watch, done, seconds))
            except KeyboardInterrupt:
                raise KeyboardInterrupt(f"stopped, go on with: frugalnas resume {folder}") from None
            seconds += max(time.monotonic() - began, said.get("seconds", 0.0))  # these are of all sessions
            done[name] = said
            write(folder, plan, done, seconds)
    metrics = json.loads((folder / MODEL / "metrics.json").read_text("utf-8"))
    exports = json.loads((folder / EXPORT / "export.json").read_text("utf-8"))["exports"] if plan.formats else []
    return Fitted(folder, done["pick"]["trial"], metrics, exports, seconds)


def _look(job: _Job) -> None:
    """Say what the images and the space are. Raises InputError where there is nothing to search on or within."""
    found, tree = check(job.data), job.plan.search
    for line in found.lines():
        job.watch.say(line)
    if not found.usable:
        raise InputError(f"{found.source} cannot be searched on: {found.problems[0]}")
    with job.watch.measuring() as progress:
        problem = parts.problem_of(tree, parts.table_of(tree, progress))
    refuse_impossible(problem)
    networks = survey(problem, SAMPLES)
    job.watch.say(f"space     {networks.number} networks; the limits accept {networks.share}")


def _search(job: _Job) -> dict[str, Any]:
    folder, tree, say = job.folder / SEARCH, job.plan.search, job.watch.say
    say(f"search    in {folder}")
    with job.watch.search(tree) as progress:
        if (folder / store.JOURNAL).exists():
            result = launch.resume(folder, progress=progress)
        else:
            result = launch.begin(tree, folder, progress)
        if result.ended == "minutes" and not result.front:
            say("          no network was rated in its share of the time: it goes on until one is")
            result = launch.resume(folder, trials=1, progress=progress)
    record = load(folder)
    say(f"          {summary(record)}")
    if not record.front:
        most = next((f"; most often: {reason}" for reason, _ in reasons(record.trials)), "")
        raise InputError(f"no network was rated in {folder}{most}")
    return {"ended": result.ended, "seconds": record.elapsed}


def _pick(job: _Job) -> dict[str, Any]:
    record = load(job.folder / SEARCH)
    trial = choose(record, job.plan.pick)
    values = ", ".join(f"{name} {amount(name, trial.values[name])}" for name in record.objectives)
    job.watch.say(f"pick      trial {trial.number}, {job.plan.pick}: {values}")
    return {"trial": trial.number}


def _train(job: _Job) -> dict[str, Any]:
    from frugalnas import training

    folder, epochs = job.folder / MODEL, job.plan.epochs
    with job.watch.training() as progress:
        if training.holds_training(folder):
            job.watch.say(f"training  goes on in {folder}")
            trained = training.resume(folder, progress)
        elif epochs is not None:
            trained = _trained(job, progress, epochs=epochs)
        else:
            minutes = _minutes_left(job)
            try:
                trained = _trained(job, progress, minutes=minutes)
            except training.TooShort as error:  # twice, as it is an estimate
                job.watch.say("          more time is needed to read the images and to score them")
                trained = _trained(job, progress, minutes=minutes + 2 * error.seconds / 60)
    return {"seconds": trained.metrics["seconds"]}


def _trained(job: _Job, progress: Progress | None, epochs: int | None = None, minutes: float | None = None) -> Trained:
    from frugalnas.training import train

    plan, folder, search, trial = job.plan, job.folder / MODEL, job.folder / SEARCH, job.done["pick"]["trial"]
    job.watch.say(f"training  in {folder}, " + (f"epochs: {epochs}" if minutes is None else f"{minutes:.1f} min"))
    return train(
        architecture_of(str(search), trial),
        job.data,
        plan.recipe,
        epochs=epochs,
        minutes=minutes,
        seed=plan.search["seed"],
        device=plan.search["task"]["device"],
        out=folder,
        source={"run": str(search.resolve()), "trial": trial},
        progress=progress,
    )


def _minutes_left(job: _Job) -> float:
    """What the training, with its test images, may take so that the rest is done in time."""
    minutes = job.plan.minutes or 0.0
    reserve = REPORT_S + EXPORT_S * len(job.plan.formats)
    return max(minutes - (job.seconds + reserve) / 60, LEAST_TRAINING * minutes)


def _export(job: _Job) -> dict[str, Any]:
    from frugalnas.model import Model

    if formats := job.plan.formats:
        from frugalnas.export import export

        folder = job.folder / EXPORT
        job.watch.say(f"export    {', '.join(formats)} in {folder}")
        shutil.rmtree(folder, ignore_errors=True)  # what a killed session left half made
        model = Model.load(job.folder / MODEL)
        source = replace(job.data, resolution=model.shape[1])
        _, images = load_labelled(source, model.classes, model.shape[0])
        _, training = load_labelled(source, model.classes, model.shape[0], "train")
        chosen = np.random.default_rng(0).permutation(len(images))[:CHECKED]
        export(model, formats, folder, images.at(chosen), training)
    write_report(job.folder / SEARCH)
    return {}


_STAGES: dict[str, Callable[[_Job], dict[str, Any]]] = {
    "search": _search,
    "pick": _pick,
    "train": _train,
    "export": _export,
}
