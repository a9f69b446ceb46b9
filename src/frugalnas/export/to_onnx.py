"""ONNX: one file that runs almost everywhere, with onnxruntime or a device's own compiler.

torch has two exporters. The older one, which traces, takes 0.3 to 1.3 s for a network of this package, the newer one,
which goes through `torch.export`, 4 to 10 s; they write the same nodes. So the older one it is. It is deprecated: where
it fails, or a later torch has it no more, the newer one takes its place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from frugalnas.export.deployed import Deployed, deployed
from frugalnas.export.runs import Floats, Run, batches
from frugalnas.model import Model

FILE, INT8_FILE = "model.onnx", "model-int8.onnx"
OPSET = 18  # of 2022: onnxruntime since 1.14
CALIBRATION_BATCH = 32
_NAMES: dict[str, Any] = {"input_names": ["pixels"], "output_names": ["logits"]}


def float32(model: Model, folder: Path) -> None:
    """`model.onnx`, for batches of any size; the names of the classes are in its metadata."""
    import onnx

    network, path = deployed(model), folder / FILE
    try:
        _traced(network, model.shape, path)
    except Exception:  # whatever a version of torch without that exporter raises
        _exported(network, model.shape, path)
    graph = onnx.load(path)
    facts = {"classes": json.dumps(model.classes), "shape": json.dumps(model.shape), "pixels": "0 to 255, RGB or gray"}
    onnx.helper.set_model_props(graph, facts)
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, path)


def _traced(network: Deployed, shape: tuple[int, int, int], path: Path) -> None:
    axes = {"pixels": {0: "batch"}, "logits": {0: "batch"}}
    example = (torch.zeros(2, *shape),)
    torch.onnx.export(network, example, path, dynamo=False, opset_version=OPSET, dynamic_axes=axes, **_NAMES)


def _exported(network: Deployed, shape: tuple[int, int, int], path: Path) -> None:
    batch = ({0: torch.export.Dim("batch")},)
    example = (torch.zeros(2, *shape),)
    torch.onnx.export(network, example, path, dynamo=True, dynamic_shapes=batch, external_data=False, **_NAMES)


def int8(model: Model, folder: Path, calibration: NDArray[np.uint8]) -> None:
    """`model-int8.onnx`: weights and activations of 8 bits, with scales from the calibration images.

    Ranges are the least and largest value seen: on trained networks entropy and percentiles agreed with float32 no
    more often and took 2 to 5 times as long. Activations are unsigned, as a ReLU in front of a convolution then costs
    nothing: with signed ones a third of the convolutions stay in float32. The normalisation stays in float32, and so do
    the logits: the range of the calibration images would cut off those of others.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    if not (folder / FILE).exists():
        float32(model, folder)
    quantize_static(
        folder / FILE,
        folder / INT8_FILE,
        _Reader(calibration),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QUInt8,
        calibrate_method=CalibrationMethod.MinMax,
        extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm"]},
    )
    graph = onnx.load(folder / INT8_FILE)
    _shorten(graph.graph)
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, folder / INT8_FILE)


class _Reader:
    """The calibration images as onnxruntime asks for them."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self.left: Iterator[Floats] = batches(images, CALIBRATION_BATCH)

    def get_next(self) -> dict[str, Floats] | None:
        pixels = next(self.left, None)
        return None if pixels is None else {"pixels": pixels}


def _shorten(graph: Any) -> None:
    """Number the tensors: the names that the quantiser makes up are longer than the weights of a small network."""
    kept = {value.name for value in (*graph.input, *graph.output)} | {""}
    inside = [name for node in graph.node for name in (*node.input, *node.output) if name not in kept]
    names = {name: str(number) for number, name in enumerate(dict.fromkeys(inside))} | {name: name for name in kept}
    for node in graph.node:
        node.name = ""
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    for constant in graph.initializer:
        constant.name = names[constant.name]
    del graph.value_info[:]


def load(folder: Path) -> Run:
    """The network in `model.onnx`, on one thread."""
    return _session(folder / FILE)


def load_int8(folder: Path) -> Run:
    """The network in `model-int8.onnx`, on one thread."""
    return _session(folder / INT8_FILE)


def _session(path: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(pixels: Floats) -> Floats:
        logits: Floats = session.run(["logits"], {"pixels": pixels})[0]
        return logits

    return run
