"""An assignment as files: `assignment.json`, the weights, and tables that no library has; and the network from them.

Files are read, never executed; every table is checked against the checksum in `assignment.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from frugalnas import __version__
from frugalnas.core import InputError
from frugalnas.layers.approximated import approximate_layers, approximated
from frugalnas.layers.quantise import Range
from frugalnas.model import Model, load_weights
from frugalnas.multipliers import Multiplier
from frugalnas.multipliers.library import find
from frugalnas.report.multiplier_map import Load
from frugalnas.store import regular, write_atomically

FORMAT, VERSION = "frugalnas/assignment", 1
ASSIGNMENT, WEIGHTS, TABLES = "assignment.json", "network.safetensors", "multipliers"


def write_assignment(folder: Path, network: nn.Module, loads: Mapping[str, Load], notes: Mapping[str, Any]) -> None:
    """Write the files of an approximate network. `loads`: the work of each layer by its name.

    `notes`: what else is to be known, as JSON; of them `model` is the path by which `load` finds the float network.
    """
    folder.mkdir(parents=True, exist_ok=True)
    layers = approximate_layers(network)
    entries = [_entry(folder, loads[name], layer.multiplier, layer.range) for name, layer in layers.items()]
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_atomically(folder / WEIGHTS, save(state))
    content = {"format": FORMAT, "version": VERSION, "frugalnas": __version__, **notes, "layers": entries}
    write_atomically(folder / ASSIGNMENT, json.dumps(content, indent=1, allow_nan=False) + "\n")


def _entry(folder: Path, load: Load, multiplier: Multiplier, taken: Range) -> dict[str, Any]:
    """A layer as JSON. The table is written beside it unless the library has it by its name."""
    design = multiplier.design
    return {
        "name": load.name,
        "kind": load.kind,
        "multiplications": load.multiplications,
        "energy": load.energy,
        "range": {name: getattr(taken, name) for name in ("scale", "zero_point", "low", "high")},
        "multiplier": {
            "name": multiplier.name,
            "family": None if design is None else asdict(design),
            "source": multiplier.source,
            "sha256": multiplier.sha256,
            "swapped": multiplier.swapped,
            "signed": list(multiplier.signed),
            "power_mw": multiplier.power_mw,
            "power_source": multiplier.power_source,
            "relative_power": load.power,
            "table": None if _known(multiplier) else _saved(folder, multiplier),
        },
    }


def _known(multiplier: Multiplier) -> bool:
    """Whether the library finds this very table by the multiplier's name."""
    try:
        return find(multiplier.name).sha256 == multiplier.sha256
    except InputError:
        return False


def _saved(folder: Path, multiplier: Multiplier) -> str:
    (folder / TABLES).mkdir(exist_ok=True)
    path = folder / TABLES / f"{multiplier.sha256[:16]}.safetensors"
    multiplier.save(path)
    return f"{TABLES}/{path.name}"


def read_assignment(folder: Path) -> dict[str, Any]:
    """The content of `assignment.json`. Raises InputError where there is none, or of another format."""
    path = folder / ASSIGNMENT
    try:
        content = json.loads(regular(path).read_text(encoding="utf-8"))
        if (content["format"], content["version"]) != (FORMAT, VERSION):
            raise InputError(f"format {content['format']!r} {content['version']!r}: expected {FORMAT!r} {VERSION}")
    except FileNotFoundError:
        raise InputError(f"{folder} holds no assignment: there is no {ASSIGNMENT} in it") from None
    except (OSError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is no assignment: {_one_line(error)}") from None
    return dict(content)


def load(folder: str | Path, network: nn.Module | Model | None = None) -> nn.Module:
    """The approximate network that is in `folder`, in evaluation mode: the same logits as when it was written.

    `network`: the float network that it was made of; by default the model that it notes. Raises InputError for files
    of something else, for a multiplier that is not the one that was written, and for another network.
    """
    folder = Path(folder)
    content = read_assignment(folder)
    if network is None:
        if not isinstance(content.get("model"), str):
            raise InputError(f"{folder} does not say of which model it is: expected the float network as well")
        network = Model.load(content["model"])
    module = network.network if isinstance(network, Model) else network
    try:
        chosen = {entry["name"]: _multiplier(folder, entry["multiplier"]) for entry in content["layers"]}
        ranges = {entry["name"]: Range(**entry["range"]) for entry in content["layers"]}
        made = approximated(module, chosen, ranges).eval()
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise InputError(f"{folder / ASSIGNMENT} is no assignment of this network: {_one_line(error)}") from None
    load_weights(made, _with_biases(made, _weights(folder)))
    return made.eval()


def _multiplier(folder: Path, entry: Mapping[str, Any]) -> Multiplier:
    table = entry["table"]
    if table is None:
        found = find(str(entry["name"]))
    elif not re.fullmatch(f"{TABLES}/[0-9a-f]{{16}}.safetensors", table):
        raise InputError(f"the table {table!r} is not in {TABLES}")
    else:
        found = Multiplier.load(folder / table)
    if found.sha256 != entry["sha256"]:
        raise InputError(f"multiplier {entry['name']!r} has the table {found.sha256[:12]}, not {entry['sha256'][:12]}")
    return found


def _weights(folder: Path) -> dict[str, Tensor]:
    try:
        return load_file(regular(folder / WEIGHTS, None))
    except (OSError, SafetensorError) as error:
        raise InputError(f"{folder / WEIGHTS} cannot be read: {_one_line(error)}") from None


def _with_biases(network: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors; layers get the bias that a correction gave them."""
    names = {id(module): name for name, module in network.named_modules()}
    for layer in approximate_layers(network).values():
        bias = tensors.get(f"{names[id(layer)]}.bias" if names[id(layer)] else "bias")
        if layer.bias is None and bias is not None and bias.shape == layer.weight.shape[:1]:
            layer.bias = nn.Parameter(torch.zeros_like(bias))
    return tensors


def _one_line(error: BaseException) -> str:
    words = f"{error}" if isinstance(error, InputError) else f"{type(error).__name__} {error}"
    return " ".join(words.split())[:300]


def loads_in(content: Mapping[str, Any]) -> tuple[Load, ...]:
    """The work of each layer, of the content of `assignment.json`."""
    return tuple(
        Load(
            str(entry["name"]),
            str(entry["kind"]),
            int(entry["multiplications"]),
            str(entry["multiplier"]["name"]),
            float(entry["multiplier"]["relative_power"]),
        )
        for entry in content["layers"]
    )
