"""LiteRT, which was TensorFlow Lite: a .tflite file for Android, microcontrollers and the accelerators that read it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from frugalnas.export.deployed import Deployed, deployed
from frugalnas.export.runs import Floats, Run, batches
from frugalnas.model import Model

FILE, INT8_FILE = "model.tflite", "model-int8.tflite"
SIGNATURE = "serving_default"


class _Named(nn.Module):
    """The network with names for what goes in and what comes out."""

    def __init__(self, network: Deployed) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        return {"logits": self.network(pixels)}


def float32(model: Model, folder: Path) -> None:
    """`model.tflite`, for one image at a time."""
    import litert_torch

    network = _Named(deployed(model, scaled_means=True)).eval()
    litert_torch.convert(network, sample_kwargs={"pixels": torch.zeros(1, *model.shape)}).export(str(folder / FILE))


def int8(model: Model, folder: Path, calibration: NDArray[np.uint8]) -> None:
    """`model-int8.tflite`: 8-bit weights, a scale for each channel, and 8-bit activations.

    Ranges are the least and largest value seen: the moving average that the quantiser takes by itself cut off a
    trained network's logits so far that 3 % fewer images had torch's class. In float32 stay what goes in and out, the
    normalisation (the only subtraction and division) and the last layer, whose logits must not be cut off at all.
    """
    from ai_edge_quantizer import calibrator, qtyping, quantizer, recipe_manager
    from ai_edge_quantizer.utils.qsv_utils import min_max_update

    if not (folder / FILE).exists():
        float32(model, folder)
    operations: Any = qtyping.TFLOperationName
    recipe = recipe_manager.RecipeManager()
    recipe.add_static_config(".*", operations.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
    for name in ("INPUT", "OUTPUT", "SUB", "DIV", "FULLY_CONNECTED"):
        recipe.add_quantization_config(".*", operations[name], algorithm_key="no_quantize")
    content = (folder / FILE).read_bytes()
    seen = calibrator.Calibrator(content, num_threads=1, qsv_update_func=min_max_update)
    seen.calibrate({SIGNATURE: [{"pixels": pixels} for pixels in batches(calibration, 1)]}, recipe)
    made = quantizer.Quantizer(content)
    made.load_quantization_recipe(recipe.get_quantization_recipe())
    (folder / INT8_FILE).write_bytes(made.quantize(_ranges(seen.get_model_qsvs())).quantized_model)


def _ranges(seen: Mapping[str, Any]) -> dict[str, Any]:
    """Those seen, but 0 to 1 for maps that were 0 on every image: XNNPACK refuses scales of next to nothing."""
    dead = {name for name, each in seen.items() if "max" in each and np.max(each["max"]) - np.min(each["min"]) < 1e-6}
    return {name: each | {"max": each["max"] + 1} if name in dead else each for name, each in seen.items()}


def load(folder: Path) -> Run:
    """The network in `model.tflite`, on one thread."""
    return _interpreter(folder / FILE)


def load_int8(folder: Path) -> Run:
    """The network in `model-int8.tflite`, on one thread."""
    return _interpreter(folder / INT8_FILE)


def _interpreter(path: Path) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    signature = interpreter.get_signature_runner(SIGNATURE)

    def run(pixels: Floats) -> Floats:
        return np.concatenate([signature(pixels=pixels[i : i + 1])["logits"] for i in range(len(pixels))])

    return run
