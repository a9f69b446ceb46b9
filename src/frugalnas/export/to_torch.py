"""The network as an ExportedProgram of torch: a .pt2 file, which needs torch and not the code of the network."""

from __future__ import annotations

from pathlib import Path

import torch

from frugalnas.export.deployed import deployed
from frugalnas.export.runs import Floats, Run
from frugalnas.model import Model

FILE = "model.pt2"


def float32(model: Model, folder: Path) -> None:
    """`model.pt2`, for batches of any size."""
    example = torch.zeros(2, *model.shape)  # of one image torch would take the batch for a constant
    program = torch.export.export(deployed(model), (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, folder / FILE)


def load(folder: Path) -> Run:
    """The program in `model.pt2`. Loading a .pt2 may execute what its writer wants: only for what was just written."""
    network = torch.export.load(folder / FILE).module()

    def run(pixels: Floats) -> Floats:
        with torch.inference_mode():
            logits: Floats = network(torch.from_numpy(pixels)).numpy()
        return logits

    return run
