"""Export a trained model to the runtimes of devices; every file is run before it is called good.

An exported network takes pixels as they are in an image file, float32 (N, C, H, W) from 0 to 255, and gives logits
(N, classes): the normalisation is part of it. One module here is one runtime.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from math import isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalnas.core import InputError, nearest

if TYPE_CHECKING:
    from frugalnas.export.check import Progress
    from frugalnas.model import Model
    from frugalnas.tasks.images import Images

RECORD, LABELS = "export.json", "labels.txt"


@dataclass(frozen=True)
class Format:
    """`about`: one line for people. `files`: what is written. `exact`: float32, so that logits must be those of torch.

    `extra`: what pip must install of this package for it, and `modules`, which that brings; "" where torch is enough.
    """

    about: str
    files: tuple[str, ...]
    exact: bool = True
    extra: str = ""
    modules: tuple[str, ...] = ()


_ONNX = ("onnx", "onnxruntime")
_EXECUTORCH = ("executorch", "torchao")
_LITERT = ("litert_torch", "ai_edge_litert", "ai_edge_quantizer")
_FORMATS: Mapping[str, Format] = {
    "onnx": Format("ONNX, for onnxruntime and most compilers", ("model.onnx",), True, "export", _ONNX),
    "onnx-int8": Format("ONNX in 8 bits", ("model-int8.onnx",), False, "export", _ONNX),
    "torch-export": Format("an ExportedProgram of torch, .pt2", ("model.pt2",)),
    "executorch": Format("ExecuTorch with XNNPACK, .pte", ("model.pte",), True, "executorch", _EXECUTORCH),
    "executorch-int8": Format("ExecuTorch in 8 bits", ("model-int8.pte",), False, "executorch", _EXECUTORCH),
    "litert": Format("LiteRT, was TensorFlow Lite", ("model.tflite",), True, "litert", _LITERT),
    "litert-int8": Format("LiteRT in 8 bits", ("model-int8.tflite",), False, "litert", _LITERT),
    "python": Format("Python code and weights that need only torch", ("network.py", "weights.pt")),
}
FORMATS: Mapping[str, str] = {name: each.about for name, each in _FORMATS.items()}
"""What can be exported to, with one line about it."""


@dataclass(frozen=True)
class Exported:
    """What became of one format. `error`: why there is no file, or "".

    `bytes`: of all `files`. `largest_difference`: of a logit from torch's, on all images; `agreement`: the share of
    images for which both rank the same class first. `accuracy` and `eager_accuracy`: the share of images whose label
    the exported network, and torch, rank first. `latency_ms` and `eager_ms`: median of one image on one thread, of the
    two in turn, where torch runs the network as it was trained. `seconds`: to export.
    """

    format: str
    files: tuple[Path, ...] = ()
    bytes: int = 0
    largest_difference: float = nan
    agreement: float = nan
    accuracy: float = nan
    eager_accuracy: float = nan
    latency_ms: float = nan
    eager_ms: float = nan
    seconds: float = nan
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values: names of files, and null for what is not known."""
        values = asdict(self) | {"files": [file.name for file in self.files]}
        return {name: None if isinstance(value, float) and isnan(value) else value for name, value in values.items()}


def missing(name: str) -> str:
    """What to install for a format, in one line; "" where nothing is missing. Raises InputError for an unknown one."""
    if name not in _FORMATS:
        raise InputError(f"unknown format {name!r}: {nearest(name, [*_FORMATS])}")
    wanted = _FORMATS[name]
    absent = [module for module in wanted.modules if find_spec(module) is None]
    if not absent:
        return ""
    return f"{name} needs {' and '.join(absent)}: pip install 'frugalnas[{wanted.extra}]'"


def export(
    model: Model,
    formats: Sequence[str],
    out: Path,
    images: Images,
    calibration: Images | None = None,
    progress: Progress | None = None,
) -> list[Exported]:
    """Write the model in each format into the folder `out`, run each there is, and say how it compares with torch.

    Each is checked on all of `images`; 8-bit formats are calibrated on some of `calibration`, by default of `images`.
    `out` also gets `labels.txt` and `export.json`. A format that is not installed, fails, or in float32 gives other
    logits than torch, leaves no file, and its `error` says why. `progress` is told what is being done. Raises
    InputError for an unknown format, images of another shape or other classes, and where `out` cannot be written.
    """
    from frugalnas.export.check import exports

    for name in formats:
        missing(name)
    for each in (images, calibration or images):
        if each.pixels.shape[1:] != model.shape or each.classes != model.classes:
            raise InputError(
                f"{each.name}: images of {each.pixels.shape[1:]} and {len(each.classes)} classes, expected those of "
                f"the model, {model.shape} and {', '.join(model.classes)}"
            )
    chosen = {name: _FORMATS[name] for name in dict.fromkeys(formats)}
    return exports(model, chosen, out, images, calibration or images, progress or (lambda words: None))
