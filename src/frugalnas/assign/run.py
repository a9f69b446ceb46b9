"""The command: from the file of a trained model to an assignment, its test error and its page, in one folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from frugalnas.assign.estimate import CALIBRATION, Subject
from frugalnas.assign.files import write_assignment
from frugalnas.assign.job import Job, begin, budgeted, listed, read
from frugalnas.assign.network import assigned, evolved
from frugalnas.assign.outcome import Approximated
from frugalnas.assign.page import page_of
from frugalnas.assign.search import Progress
from frugalnas.assign.text import PAGE
from frugalnas.assign.tune import Told, recipe_of, tune
from frugalnas.core import InputError
from frugalnas.layers.activity import activity
from frugalnas.model import Model
from frugalnas.report import csv_of, write_texts
from frugalnas.store import locked
from frugalnas.tasks.data import absolute, refuse_among_images
from frugalnas.tasks.images import Images
from frugalnas.tasks.labelled import Share, load_labelled
from frugalnas.tasks.loop import predict
from frugalnas.tasks.tensors import scores

SEARCH, TRIALS, LOCK = "search", "trials.csv", ".approximate.lock"
BATCH = 100


def _silent(line: str) -> None:
    pass


def _unseen(trials: int) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True)
class Watch:
    """Who is told how it goes: `say` each stage in a line, the live views while a search or a training lasts."""

    say: Callable[[str], None] = _silent
    search: Callable[[int], AbstractContextManager[Progress | None]] = _unseen
    training: Callable[[], AbstractContextManager[Told | None]] = nullcontext


UNWATCHED = Watch()


@dataclass(frozen=True, eq=False)
class Assigned:
    """An assignment in its folder. `notes`: what `assignment.json` says beside its layers."""

    folder: Path
    approximated: Approximated
    notes: Mapping[str, Any]


def run(job: Job, out: Path, watch: Watch = UNWATCHED) -> Assigned:
    """All that `job` asks for, into `out`; what an earlier session rated there is not rated again.

    Raises InputError for anything wrong, and where `out` holds another job.
    """
    job = replace(job, data=absolute(job.data), model=str(Path(job.model).resolve()))
    refuse_among_images(job.data, out)
    model, multipliers = Model.load(job.model), listed(job) if job.multipliers else None
    part, images = _tuning(job, model)
    with locked(out / LOCK, f"{out} is open in another process"):
        begin(out, job)
        subject = _subject(job, model, images)
        own = evolved(model.architecture, subject)
        which = "the usual" if multipliers is None else f"{len(multipliers)}"
        also = ", from those that it evolved with" if own else ""
        watch.say(f"search    {len(images):,} {part} images, {which} multipliers{also}, in {out}")
        try:
            with watch.search(job.settings.trials) as progress:
                settings = replace(job.settings, source=Path(job.data.source).name)
                found = assigned(subject, multipliers, own, settings, out / SEARCH, progress)
            return _finished(job, out, model, found, part, watch)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"stopped, go on with: frugalnas resume {out}") from None


def resume(folder: Path, watch: Watch = UNWATCHED, **budget: float | None) -> Assigned:
    """Go on in `folder`, with another budget where that is given. Raises InputError for a folder of something else."""
    return run(budgeted(read(folder), budget), folder, watch)


def _tuning(job: Job, model: Model) -> tuple[Share, Images]:
    """Validation images: some at random, the same ones always."""
    part, images = _labelled(job, model, "validation")
    chosen = np.random.default_rng(job.settings.seed).permutation(len(images))[: job.images]
    return part, images.at(np.sort(chosen))


def _labelled(job: Job, model: Model, part: Share) -> tuple[Share, Images]:
    channels, side, _ = model.shape
    return load_labelled(replace(job.data, resolution=side), model.classes, channels, part)


def _subject(job: Job, model: Model, images: Images) -> Subject:
    pixels = model.normalise(torch.from_numpy(np.require(images.pixels, requirements="W")))
    return Subject(model.network, pixels, torch.from_numpy(images.labels), BATCH, job.correction)


def _finished(job: Job, out: Path, model: Model, found: Approximated, part: Share, watch: Watch) -> Assigned:
    """Train on where asked for, rate on the test images, once, and write all files."""
    watch.say(f"chosen    {_in_short(found)}")
    network, subject = found.network(), found.subject
    errors = {"float": subject.rated(subject.network)["error"]}
    errors |= {"exact": found.exact.values["error"], "chosen": found.chosen.values["error"]}
    candidates = {"float": subject.network, "exact": found.network(found.exact.number), "chosen": network}
    if job.finetune:
        _, training = _labelled(job, model, "train")
        watch.say(f"training  {job.finetune} epochs on {len(training):,} images, through the approximate multipliers")
        network = found.network()
        pixels = torch.from_numpy(np.require(training.pixels, requirements="W"))
        recipe = recipe_of(model.notes)
        with watch.training() as told:
            labels = torch.from_numpy(training.labels)
            tune(network, pixels, labels, recipe, job.finetune, job.settings.seed, model.normalise, told)
        candidates["finetuned"], errors["finetuned"] = network, subject.rated(network)["error"]
    chosen = found.chosen
    notes: dict[str, Any] = {
        "model": job.model,
        "data": asdict(job.data),
        "trial": chosen.number,
        "ended": found.ended,
        "max_loss": job.settings.max_loss,
        "correction": job.correction,
        "finetune": job.finetune,
        "energy": chosen.values["energy"],
        "relative_energy": chosen.values["relative_energy"],
        "tuning": {"part": part, "images": len(subject.labels), "seen": _seen(job, model), "errors": errors},
        "test": _tested(job, model, candidates, watch),
    }
    if job.activity:
        watch.say("activity  of the multipliers, by the layers' own operands")
        notes["activity"] = _activity(found, network, candidates["exact"])
    loads = {load.name: load for load in found.loads()}
    write_assignment(out, network, loads, notes)
    write_texts(out, {TRIALS: _csv(found), PAGE: page_of(out.resolve().name, found, notes)})
    return Assigned(out, found, notes)


def _activity(found: Approximated, network: nn.Module, exact: nn.Module) -> dict[str, Any]:
    """Power of one multiplier of each layer in mW for the operands that it has, and the relative energy by these."""
    batches = found.subject.first(CALIBRATION)
    powers, least = activity(network, batches), activity(exact, batches)
    spent = {layer.name: layer.multiplications for layer in found.space.layers}
    sums = [sum(spent[name] * power for name, power in each.items()) for each in (powers, least)]
    return {"relative_energy": sums[0] / sums[1], "power_mw": powers, "exact_power_mw": least}


def _in_short(found: Approximated) -> str:
    values = found.chosen.values
    return f"trial {found.chosen.number}, energy {values['relative_energy']:.1%} of that with exact multipliers"


def _seen(job: Job, model: Model) -> bool:
    """Whether the model may have been trained on the validation images, as it was on all but the test images."""
    noted = model.notes.get("data")
    same = isinstance(noted, dict) and noted.get("source") in (job.data.source, str(Path(job.data.source).resolve()))
    return same and model.notes.get("validate") is not True


def _tested(job: Job, model: Model, candidates: Mapping[str, nn.Module], watch: Watch) -> dict[str, Any] | None:
    """Errors on the test images, of all candidates; None where the data has none."""
    try:
        _, images = _labelled(job, model, "test")
    except InputError:
        watch.say("test      the data has no test images: the errors are those on the images that chose")
        return None
    watch.say(f"test      {len(images):,} images")
    pixels = torch.from_numpy(np.require(images.pixels, requirements="W"))
    labels = torch.from_numpy(images.labels)
    errors = {
        name: scores(predict(network, pixels, model.normalise, BATCH), labels)["error"]
        for name, network in candidates.items()
    }
    return {"images": len(images), "errors": errors}


def _csv(found: Approximated) -> str:
    """A row for each assignment: its values, and the multiplier of each layer."""
    front = {trial.number for trial in found.front}
    names = ("error", "loss", "rated_on", "energy", "relative_energy")
    rows: list[list[object]] = [
        ["trial", "status", "front", "chosen", *names, "reason", *(layer.name for layer in found.space.layers)]
    ]
    for trial in found.trials:
        facts = [trial.number, trial.status, int(trial.number in front), int(trial is found.chosen)]
        values = [trial.values.get(name, "") for name in names]
        chosen = [found.space.multipliers[gene].name for gene in trial.candidate.genotype]
        rows.append([*facts, *values, " ".join(trial.reason.split()), *chosen])
    return csv_of(rows)
