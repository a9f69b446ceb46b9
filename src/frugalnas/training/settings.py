"""What a training was asked for, and the file in its folder that says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from frugalnas import __version__
from frugalnas.core import InputError
from frugalnas.schema import construct
from frugalnas.spaces.architecture import Architecture
from frugalnas.store import JOURNAL, regular, write_atomically
from frugalnas.tasks.data import DataSource
from frugalnas.tasks.recipe import Budget, Recipe

SETTINGS, CHECKPOINT, METRICS = "training.json", "checkpoint.safetensors", "metrics.json"
ARCHITECTURE, PAGE = "architecture.json", "model.html"
FORMAT, VERSION = "frugalnas/training", 1


@dataclass(frozen=True)
class Settings:
    """What a training was asked for: the arguments of `train`. Raises InputError for values out of range."""

    architecture: Architecture
    data: DataSource
    recipe: Recipe
    budget: Budget
    seed: int = 0
    device: str = "auto"
    validate: bool = False
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.budget.epochs == 0:
            raise InputError("epochs = 0: expected 1 or more")
        if self.seed < 0:
            raise InputError(f"seed = {self.seed}: expected 0 or more")

    def to_json(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "frugalnas": __version__,
            "architecture": self.architecture.to_json(),
            "data": asdict(self.data),
            "recipe": asdict(self.recipe),
            "budget": asdict(self.budget),
            "seed": self.seed,
            "device": self.device,
            "validate": self.validate,
            "source": dict(self.source),
        }

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> Settings:
        """What `to_json` gave. Raises InputError, LookupError, TypeError or ValueError for anything else."""
        if content["format"] != FORMAT or content["version"] != VERSION:
            raise InputError(f"format {content['format']!r} {content['version']!r}: expected {FORMAT!r} {VERSION}")
        return Settings(
            Architecture.from_json(content["architecture"]),
            construct(DataSource, content["data"]),
            construct(Recipe, content["recipe"]),
            construct(Budget, content["budget"]),
            int(content["seed"]),
            str(content["device"]),
            bool(content["validate"]),
            dict(content["source"]),
        )


def holds_training(folder: Path) -> bool:
    """Whether a training was begun in `folder`."""
    return (folder / SETTINGS).is_file()


def is_finished(folder: Path) -> bool:
    """Whether the training in `folder` has come to its end."""
    return holds_training(folder) and (folder / METRICS).exists()


def settings_of(folder: Path) -> Settings:
    """What the training in `folder` was asked for. Raises InputError where there is none or its file was damaged."""
    return Settings.from_json(_begun(folder))


def begin(folder: Path, settings: Settings, fingerprint: str) -> None:
    """Write down what a training is asked for, and the checksum of its images; or see that nothing has changed.

    Raises InputError where the images have.
    """
    if not holds_training(folder):
        content = settings.to_json() | {"images": fingerprint}
        write_atomically(folder / SETTINGS, json.dumps(content, indent=1) + "\n")
    elif _begun(folder)["images"] != fingerprint:
        raise InputError(f"the images of {settings.data.source!r} have changed since the training in {folder} began")


def refuse_another(folder: Path, settings: Settings) -> None:
    """Raise InputError where `folder` holds a search, or a training with other settings or of another version.

    Where the architecture is from does not matter, only what it is; a finished training may be of any version.
    """
    if (folder / JOURNAL).exists():
        raise InputError(f"{folder} holds a search: choose another --out")
    if not holds_training(folder):
        return
    begun = _begun(folder)
    if begun["frugalnas"] != __version__ and not is_finished(folder):
        raise InputError(
            f"{folder} was begun by version {begun['frugalnas']} of frugalnas and this is {__version__}, which may "
            f"train differently: go on with pip install frugalnas=={begun['frugalnas']}"
        )
    asked = json.loads(json.dumps(settings.to_json()))
    for name in ("architecture", "data", "recipe", "budget", "seed", "device", "validate"):
        if begun[name] != asked[name]:
            raise InputError(
                f"{folder} holds a training with {_difference(name, begun[name], asked[name])}: choose another --out, "
                f"or go on with 'frugalnas resume {folder}'"
            )


def _difference(name: str, begun: Any, asked: Any) -> str:
    """The first value that differs, in words."""
    if isinstance(asked, Mapping):
        key = next(key for key in asked if begun.get(key) != asked[key])
        return _difference(f"{name}.{key}", begun.get(key), asked[key])
    return f"{name} = {begun}, not {asked}"


def _begun(folder: Path) -> dict[str, Any]:
    """The content of `training.json`. Raises InputError for anything that no training wrote."""
    path = folder / SETTINGS
    try:
        content: dict[str, Any] = json.loads(regular(path).read_text(encoding="utf-8"))
        Settings.from_json(content)
        if not isinstance(content["images"], str) or not isinstance(content["frugalnas"], str):
            raise TypeError("images or frugalnas is no text")
    except FileNotFoundError:
        raise InputError(f"{folder} holds no training: there is no {SETTINGS} in it") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError) as error:
        reason = error if isinstance(error, InputError) else f"{type(error).__name__} {error}"
        raise InputError(f"{path} says nothing of a training: {' '.join(str(reason).split())[:300]}") from None
    return content
