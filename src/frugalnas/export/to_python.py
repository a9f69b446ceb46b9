"""Python code of the network with its weights beside it, for a machine that has torch and no FrugalNAS."""

from __future__ import annotations

import io
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import torch

from frugalnas.export.runs import Floats, Run
from frugalnas.export.source import renamed, source
from frugalnas.model import Model
from frugalnas.store import write_atomically

CODE, WEIGHTS = "network.py", "weights.pt"


def float32(model: Model, folder: Path) -> None:
    """`network.py`, and `weights.pt` with a plain state dictionary, which torch reads with `weights_only=True`."""
    mean, std = model.normalise.mean.tolist(), model.normalise.std.tolist()
    state = model.network.state_dict().items()
    content = io.BytesIO()
    torch.save({renamed(key): each.contiguous() for key, each in state if not key.startswith("auxiliary.")}, content)
    write_atomically(folder / WEIGHTS, content.getvalue())
    write_atomically(folder / CODE, source(model.architecture, model.classes, mean, std))


def load(folder: Path) -> Run:
    """The network of the two files that `float32` just wrote, whose code is imported."""
    spec = spec_from_file_location("exported_network", folder / CODE)
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder / CODE} cannot be imported")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.load(str(folder / WEIGHTS))

    def run(pixels: Floats) -> Floats:
        with torch.inference_mode():
            logits: Floats = network(torch.from_numpy(pixels)).numpy()
        return logits

    return run
