"""One training, from the images to the files in its folder; and how it goes on after whatever ended it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from frugalnas.core import InputError
from frugalnas.model import FILE as MODEL
from frugalnas.model import Model, load_weights
from frugalnas.spaces.architecture import Architecture
from frugalnas.store import LOCK, locked, regular, write_atomically
from frugalnas.tasks.augment import Normalise
from frugalnas.tasks.checkpoint import packed, unpack
from frugalnas.tasks.data import DataSource, absolute, refuse_among_images
from frugalnas.tasks.device import device_of
from frugalnas.tasks.loop import Epoch, Watch
from frugalnas.tasks.loop import epochs as epochs_of
from frugalnas.tasks.ranks import Ranks, joined
from frugalnas.tasks.recipe import Budget, Recipe
from frugalnas.tasks.tensors import rated, scores
from frugalnas.training.page import page_of
from frugalnas.training.settings import (
    ARCHITECTURE,
    CHECKPOINT,
    METRICS,
    PAGE,
    SETTINGS,
    Settings,
    begin,
    is_finished,
    refuse_another,
    settings_of,
)
from frugalnas.training.work import Work, on, prepared

SECONDS_BETWEEN_CHECKPOINTS = 10.0
Progress = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, eq=False)
class Trained:
    """A finished training: its folder, the model, and what `metrics.json` says."""

    folder: Path
    model: Model
    metrics: Mapping[str, Any]


def train(
    architecture: Architecture,
    data: DataSource,
    recipe: Recipe,
    *,
    epochs: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    device: str = "auto",
    validate: bool = False,
    out: Path,
    source: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Train `architecture`, made to fit the images of `data`, for exactly one of `epochs` and `minutes`, into `out`.

    All images but the test images are trained on. With `validate` the validation part is kept out, and its error is
    measured after every epoch. The test images are scored once, at the end; where the data has none, the validation
    part is kept out and scored at the end in their place. `source`: where the architecture is from, plain JSON values
    for `metrics.json`. `progress` is called whenever the loss is looked at, with `epoch` (from 1), `progress` (the
    share that is over), `loss` (mean of the epoch so far), `lr`, `seconds`, `left` (seconds), `validation_error` (None
    where there is none yet).

    Goes on where a training with the same settings was interrupted; one that is finished is only read. Raises
    InputError for a folder with another training, for what is wrong with the arguments or the images, and where the
    loss becomes NaN or infinite.

    In processes that torchrun has started, all of which are to call this with the same arguments, each trains on its
    part of every batch; the first alone writes files, and all return the same.
    """
    refuse_among_images(data, out)
    budget = Budget(epochs, minutes)
    settings = Settings(architecture, absolute(data), recipe, budget, seed, device, validate, source or {})
    return _run(out, settings, progress)


def resume(folder: Path, progress: Progress | None = None) -> Trained:
    """Go on with the training in `folder`; one that is finished is only read. Raises InputError as `train` does."""
    return _run(folder, settings_of(folder), progress)


def _run(folder: Path, settings: Settings, progress: Progress | None) -> Trained:
    began = time.monotonic()
    with joined(device_of(settings.device)) as ranks, ExitStack() as held:
        if ranks.yes(lambda: _is_over(folder, settings)):
            return _finished(folder, ranks)
        work = ranks.together(lambda: prepared(settings, began, ranks))
        ranks.alone(lambda: held.enter_context(_locked(folder)))
        if ranks.yes(lambda: is_finished(folder)):  # by another process, in the meantime
            return _finished(folder, ranks)
        ranks.alone(lambda: begin(folder, settings, work.fingerprint()))
        try:
            with torch.random.fork_rng(devices=[]):
                done = _trained(folder, work, began, progress, ranks)
                ranks.alone(lambda: _score(folder, work, *done))
        except FloatingPointError as error:
            lower = f"a lower one, such as --set recipe.lr={settings.recipe.lr / 4:g}, may help (in another --out)"
            raise ranks.error(f"{error}; recipe.lr is {settings.recipe.lr:g}: {lower}") from None
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"stopped, go on with: frugalnas resume {folder}") from None
        return _finished(folder, ranks)


def _is_over(folder: Path, settings: Settings) -> bool:
    """Whether the training was finished before. Raises InputError where `folder` holds another one."""
    refuse_another(folder, settings)
    return is_finished(folder)


def _finished(folder: Path, ranks: Ranks) -> Trained:
    """Read what a finished training left."""
    ranks.alone(lambda: (folder / CHECKPOINT).unlink(missing_ok=True))  # it may have been killed just before that
    with ranks.file(folder / MODEL) as model, ranks.file(folder / METRICS) as metrics:
        return ranks.together(lambda: Trained(folder, Model.load(model or folder), _read(metrics or folder / METRICS)))


def _read(path: Path) -> dict[str, Any]:
    try:
        metrics: dict[str, Any] = json.loads(regular(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    return metrics


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The folder, made where needed, for this process alone."""
    with locked(folder / LOCK, f"{folder} is in use: another process is training there"):
        for name in (SETTINGS, CHECKPOINT, MODEL, ARCHITECTURE, PAGE, METRICS):
            for torn in folder.glob(f".{name}.[0-9]*"):  # half a file, of a process that was killed while it wrote
                torn.unlink()
        yield


def _trained(
    folder: Path, work: Work, began: float, progress: Progress | None, ranks: Ranks
) -> tuple[list[dict[str, Any]], float]:
    """Train to the end, from the checkpoint where there is one. `began`: when this session did.

    Returns what each epoch was, and when the training would have begun had it run in one go. The state after every
    epoch is packed at once, but written at most every ten seconds, and when the training ends in whatever way.
    """
    settings, images, budget = work.settings, work.train, work.budget
    asked = json.dumps(settings.to_json() | {"source": None})  # where it is from makes it no other training
    history: list[dict[str, Any]] = []
    with ranks.file(folder / CHECKPOINT) as file:
        if file is not None:
            history, budget, seconds = ranks.together(lambda: _earlier(file, unpack(file, work.learner, asked)))
            began -= seconds
    running = epochs_of(
        work.learner,
        *on(work.device, images),
        settings.recipe.at(images.resolution, images.resolution),
        budget,
        settings.seed,
        work.normalise,
        done=len(history),
        seconds=time.monotonic() - began,
        watch=_watch(progress, history, settings.budget, began),
        ranks=ranks,
    )
    unwritten, written = b"", time.monotonic()
    try:
        with ranks.listening():
            for epoch in running:
                history.append(asdict(epoch))
                if ranks.first and work.validation is not None and settings.validate:
                    history[-1]["validation_error"] = scores(*work.logits(work.validation))["error"]
                state = {"epochs": history, "seconds": time.monotonic() - began, "budget": asdict(budget)}
                unwritten = packed(work.learner, asked, state)
                if ranks.first and time.monotonic() - written >= SECONDS_BETWEEN_CHECKPOINTS:
                    write_atomically(folder / CHECKPOINT, unwritten)
                    unwritten, written = b"", time.monotonic()
    finally:
        if ranks.first and unwritten:
            write_atomically(folder / CHECKPOINT, unwritten)
    return history, began


def _earlier(path: Path, state: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Budget, float]:
    """What a checkpoint says of earlier sessions: epochs, budget, seconds. Raises InputError where it is untrue."""
    try:
        history, seconds = [dict(epoch) for epoch in state["epochs"]], state["seconds"]
        for number, epoch in enumerate(history, start=1):
            values = [epoch[field.name] for field in fields(Epoch)] + [epoch.get("validation_error", 0.0), seconds]
            if epoch["epoch"] != number or not all(type(v) in (int, float) and math.isfinite(v) for v in values):
                raise ValueError("no epoch of a training")
        return history, Budget(**state["budget"]), float(seconds)
    except (LookupError, TypeError, ValueError, OverflowError):
        raise InputError(f"{path} holds no training") from None


def _watch(
    progress: Progress | None, history: Sequence[Mapping[str, Any]], budget: Budget, began: float
) -> Watch | None:
    """What the loop is to call so that `progress` is told."""
    if progress is None:
        return None

    def watch(share: float, loss: float, lr: float) -> None:
        seconds = time.monotonic() - began
        left = 60 * budget.minutes - seconds if budget.minutes else seconds * (1 - share) / share
        error = history[-1].get("validation_error") if history else None
        told = {"epoch": len(history) + 1, "progress": share, "loss": loss, "lr": lr, "validation_error": error}
        progress(told | {"seconds": seconds, "left": max(left, 0.0)})

    return watch


def _score(folder: Path, work: Work, history: list[dict[str, Any]], began: float) -> None:
    """Score the result, once, and write all files of a finished training."""
    architecture, settings = work.architecture, work.settings
    network = architecture.space.build(architecture.genotype)
    state = work.learner.result.state_dict()
    load_weights(network, {k: tensor.cpu() for k, tensor in state.items() if not k.startswith("auxiliary.")})
    normalise = Normalise(work.normalise.mean.cpu(), work.normalise.std.cpu())
    asked = settings.to_json()
    notes = {name: asked[name] for name in ("data", "recipe", "budget", "seed", "validate", "source")}
    model = Model(architecture, network.eval(), work.train.classes, normalise, notes)
    count = architecture.space.count(architecture.genotype)
    parts = {"test": work.test, "validation": work.validation}
    scored = {
        name: None if images is None else rated(*work.logits(images), images.classes) for name, images in parts.items()
    }
    metrics: dict[str, Any] = {
        "format": "frugalnas/metrics",
        "version": 1,
        "params": count.params,
        "macs": count.macs,
        "seconds": round(time.monotonic() - began, 3),
        "images": len(work.train),
        "epochs": history,
        **scored,
        "source": dict(settings.source),
    }
    model.save(folder / MODEL)
    architecture.save(folder / ARCHITECTURE)
    write_atomically(folder / PAGE, page_of(folder, settings, metrics))
    write_atomically(folder / METRICS, json.dumps(metrics, indent=1) + "\n")
