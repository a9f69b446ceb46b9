"""ExecuTorch: a .pte file for PyTorch's runtime on phones and small devices, with XNNPACK for the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from frugalnas.export.deployed import deployed
from frugalnas.export.runs import Floats, Run, batches
from frugalnas.model import Model

FILE, INT8_FILE = "model.pte", "model-int8.pte"
CALIBRATION_BATCH = 32


def float32(model: Model, folder: Path) -> None:
    """`model.pte`, for one image at a time."""
    _lower(deployed(model), model, folder / FILE)


def int8(model: Model, folder: Path, calibration: NDArray[np.uint8]) -> None:
    """`model-int8.pte`: XNNPACK's symmetric 8-bit quantisation, a scale for each channel of the weights.

    The last layer stays in float32: the range of the calibration images would cut off the logits of others.
    """
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    shapes = ({0: torch.export.Dim("batch")},)
    network = torch.export.export(deployed(model), (torch.zeros(2, *model.shape),), dynamic_shapes=shapes).module()
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    quantizer.set_module_type(torch.nn.Linear, None)
    observed = prepare_pt2e(network, quantizer)
    with torch.no_grad():
        for pixels in batches(calibration, CALIBRATION_BATCH):
            observed(torch.from_numpy(pixels))
    _lower(convert_pt2e(observed), model, folder / INT8_FILE)


def _lower(network: torch.nn.Module, model: Model, path: Path) -> None:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.export(network, (torch.zeros(1, *model.shape),))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    with path.open("wb") as file:
        lowered.write_to_file(file)


def load(folder: Path) -> Run:
    """The network in `model.pte`, on one thread."""
    return _method(folder / FILE)


def load_int8(folder: Path) -> Run:
    """The network in `model-int8.pte`, on one thread."""
    return _method(folder / INT8_FILE)


def _method(path: Path) -> Run:
    from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
    from executorch.runtime import Runtime

    _unsafe_reset_threadpool(1)
    method = Runtime.get().load_program(path).load_method("forward")

    def run(pixels: Floats) -> Floats:
        images = [torch.from_numpy(pixels[i : i + 1]) for i in range(len(pixels))]
        # the next call overwrites the result of this one
        return np.concatenate([method.execute([image])[0].numpy().copy() for image in images])

    return run
