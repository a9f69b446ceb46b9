"""A trained network with all that is needed to use it, in one `.safetensors` file.

The file's metadata says, as JSON, which architecture it is, the names of the classes and the normalisation: so pixels
go in as they are in an image file, and class names come out. Files are read, never executed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from frugalnas import __version__
from frugalnas.core import InputError
from frugalnas.spaces.architecture import Architecture
from frugalnas.store import regular, write_atomically
from frugalnas.tasks.augment import Normalise
from frugalnas.tasks.loop import predict

FORMAT, VERSION = "frugalnas/model", 1
FILE = "model.safetensors"
_KEY = "frugalnas"  # of the metadata of the file, whose values are text


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network. `network` is on the CPU in evaluation mode, without an auxiliary head.

    `classes`: names by label. `normalise`: mean and deviation per channel of the training images. `notes`: what made
    it (data, recipe, seed, version, where the architecture is from), plain JSON values for people to read.
    Raises InputError where the parts do not fit each other.
    """

    architecture: Architecture
    network: nn.Module
    classes: tuple[str, ...]
    normalise: Normalise
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        space = self.architecture.space
        if len(self.classes) != space.classes:
            raise InputError(f"{len(self.classes)} class names for a network of {space.classes} classes")
        for name in ("mean", "std"):
            if getattr(self.normalise, name).shape != (space.in_channels,):
                raise InputError(f"normalise.{name} is not one number for each of {space.in_channels} channels")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images that it takes."""
        space = self.architecture.space
        return space.in_channels, space.resolution, space.resolution

    def logits(self, images: NDArray[np.uint8], batch: int = 256) -> NDArray[np.float32]:
        """float32 (N, classes) of uint8 images (N, C, H, W). Raises InputError for images of another kind or shape."""
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != self.shape:
            raise InputError(f"images are {images.dtype} {images.shape}: expected uint8 (N, {self.shape})")
        if not len(images):
            return np.zeros((0, len(self.classes)), dtype=np.float32)
        pixels = torch.from_numpy(np.require(images, requirements="W"))
        result: NDArray[np.float32] = predict(self.network, pixels, self.normalise, batch).numpy()
        return result

    def probabilities(self, images: NDArray[np.uint8], batch: int = 256) -> NDArray[np.float32]:
        """float32 (N, classes), rows add up to 1: the softmax of `logits`."""
        result: NDArray[np.float32] = torch.from_numpy(self.logits(images, batch)).softmax(1).numpy()
        return result

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        content = {
            "format": FORMAT,
            "version": VERSION,
            "architecture": self.architecture.to_json(),
            "classes": list(self.classes),
            "mean": self.normalise.mean.tolist(),
            "std": self.normalise.std.tolist(),
            "notes": {"frugalnas": __version__, **self.notes},
        }
        write_atomically(path, save(_tensors(self.network), {_KEY: json.dumps(content)}))

    @staticmethod
    def load(path: str | Path) -> Model:
        """Read a file that `save` wrote, or the folder of a training that has one. Raises InputError for any other."""
        file = Path(path)
        if file.is_dir():
            file = file / FILE
            if not file.exists():
                raise InputError(f"{path} has no {FILE}: expected the folder of a finished 'frugalnas train'")
        try:
            with safe_open(regular(file, None), framework="pt") as opened:
                content = json.loads((opened.metadata() or {})[_KEY])
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (it is no mapping)
            return _model_of(content, tensors)
        except FileNotFoundError:
            raise InputError(f"there is no file {file}") from None
        except (OSError, SafetensorError) as error:
            raise InputError(f"{file} is not a .safetensors file: {error}") from None
        except (InputError, LookupError, TypeError, ValueError, RecursionError) as error:
            reason = error if isinstance(error, InputError) else f"{type(error).__name__} {error}"
            raise InputError(f"{file} holds no model of FrugalNAS: {' '.join(str(reason).split())[:300]}") from None


def _model_of(content: Any, tensors: Mapping[str, Tensor]) -> Model:
    if content["format"] != FORMAT or content["version"] != VERSION:
        raise InputError(f"format {content['format']!r} {content['version']!r}: expected {FORMAT!r} {VERSION}")
    architecture = Architecture.from_json(content["architecture"])
    classes = tuple(map(str, content["classes"]))
    normalise = Normalise(*(_of_channels(content[name], architecture.space.in_channels) for name in ("mean", "std")))
    network = architecture.space.build(architecture.genotype)
    load_weights(network, tensors)
    return Model(architecture, network.eval(), classes, normalise, dict(content["notes"]))


def _of_channels(values: Any, channels: int) -> Tensor:
    """A number for each channel (C,), from JSON. Raises InputError."""
    numbers = isinstance(values, list) and all(type(value) in (int, float) and abs(value) < 1e30 for value in values)
    if not numbers or len(values) != channels:
        raise InputError(f"mean and std of the images: expected {channels} numbers each")
    return torch.tensor(values, dtype=torch.float32)


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy `tensors` into `network`. Raises InputError unless names, shapes and kinds are the same."""
    own = _tensors(network)
    for name in sorted(own.keys() | tensors.keys()):
        if name not in own or name not in tensors:
            raise InputError(f"weights of another network: {name} is only in {'it' if name in own else 'the file'}")
        if own[name].shape != tensors[name].shape or own[name].dtype != tensors[name].dtype:
            raise InputError(f"weights of another network: {name} is {tuple(tensors[name].shape)}")
    network.load_state_dict(dict(tensors), strict=False)  # what is not in `own` is an auxiliary head


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    """The state of the network on the CPU, without an auxiliary head, which only training uses."""
    state = network.state_dict()
    return {name: tensor.cpu().contiguous() for name, tensor in state.items() if not name.startswith("auxiliary.")}
