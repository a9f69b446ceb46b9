"""Programs as ONNX models, for timing: a few kilobytes each, as their weights are made up when a model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from frugalnas.core import InputError
from frugalnas.latency.program import Program, Step

OPSET, IR_VERSION = 17, 8  # old enough for any onnxruntime since 1.14


def model(program: Program) -> bytes:
    """The ONNX model of a program. Batch normalisation is left for the runtime to fold into the convolutions.

    Each weight is constant, but unlike all others: of equal ones onnxruntime would leave out the repeated work.
    Raises InputError where onnx is not installed.
    """
    helper, tensors = _onnx().helper, _onnx().TensorProto
    graph = _Graph()
    names = [f"input{number}" for number in range(len(program["inputs"]))]
    values = [*names]
    for step in program["steps"]:
        values.append(graph.step(step, [values[read] for read in step["reads"]]))
    inputs = [
        helper.make_tensor_value_info(name, tensors.FLOAT, [1, *shape])
        for name, shape in zip(names, program["inputs"], strict=True)
    ]
    rank = 2 if any(step["op"] == "flatten" for step in program["steps"]) else 4
    output = helper.make_tensor_value_info(values[-1], tensors.FLOAT, [None] * rank)
    made = helper.make_graph(graph.nodes, "timed", inputs, [output], graph.constants)
    opset = helper.make_opsetid("", OPSET)
    content: bytes = helper.make_model(made, opset_imports=[opset], ir_version=IR_VERSION).SerializeToString()
    return content


def _onnx() -> Any:
    try:
        import onnx
    except ImportError:
        raise InputError("latency with onnxruntime needs the package onnx: pip install 'frugalnas[export]'") from None
    return onnx


class _Graph:
    """The nodes and constants so far; every value has the number of its node as its name."""

    def __init__(self) -> None:
        self.onnx = _onnx()
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.weights = 0

    def step(self, step: Step, reads: Sequence[str]) -> str:
        """Append the nodes of a step; returns the name of its result."""
        match step["op"]:
            case "conv":
                kernel, (down, right) = step["kernel"], step["padding"]
                fan_in = step["inputs"] // step["groups"] * kernel[0] * kernel[1]
                weight = self._weight([step["outputs"], step["inputs"] // step["groups"], *kernel], 1 / fan_in)
                window = {"kernel_shape": kernel, "strides": step["stride"], "pads": [down, right, down, right]}
                return self._node(
                    "Conv", [*reads, weight], window | {"dilations": [step["dilation"]] * 2, "group": step["groups"]}
                )
            case "batch_norm":
                numbers = [self._weight([step["channels"]], value) for value in (1.0, 0.01, 0.01, 1.0)]
                return self._node("BatchNormalization", [*reads, *numbers])
            case "max_pool" | "avg_pool":
                kernel, stride = [step["kernel"]] * 2, [step["stride"]] * 2
                window = {"kernel_shape": kernel, "strides": stride, "pads": [step["padding"]] * 4}
                if step["op"] == "max_pool":
                    return self._node("MaxPool", reads, window | {"ceil_mode": int(step["ceil"])})
                return self._node("AveragePool", reads, window | {"count_include_pad": 0})
            case "linear":
                weight = self._weight([step["outputs"], step["inputs"]], 1 / step["inputs"])
                return self._node("Gemm", [*reads, weight, self._weight([step["outputs"]], 0.01)], {"transB": 1})
            case "shift":
                places = [self._constant(np.array(each, np.int64)) for each in ([1, 1], [2**31, 2**31], [2, 3])]
                cut = self._node("Slice", [*reads, *places])
                if not step["bottom"] and not step["right"]:
                    return cut
                border = np.array([0, 0, 0, 0, 0, 0, step["bottom"], step["right"]], np.int64)
                return self._node("Pad", [cut, self._constant(border)])
            case "take":
                ends = [self._constant(np.array(each, np.int64)) for each in ([0], [step["channels"]], [1])]
                return self._node("Slice", [*reads, *ends])
            case "pad":
                border = np.array([0, 0, 0, 0, 0, step["channels"], 0, 0], np.int64)
                return self._node("Pad", [*reads, self._constant(border)])
            case "zero":
                return self._node("Identity", [self._weight([1, *step["shape"]], 0.0)])
            case "concatenation":
                return self._node("Concat", reads, {"axis": 1})
            case op:
                return self._node(_SAME[op], reads)

    def _node(self, op: str, reads: Sequence[str], attributes: dict[str, Any] | None = None) -> str:
        name = f"value{len(self.nodes)}"
        node = self.onnx.helper.make_node(op, list(reads), [name])
        node.attribute.extend(self.onnx.helper.make_attribute(k, v) for k, v in (attributes or {}).items())
        self.nodes.append(node)
        return name

    def _weight(self, shape: list[int], value: float) -> str:
        self.weights += 1
        unlike = value * (1 + self.weights / 1e5)
        content = self.onnx.helper.make_tensor("value", self.onnx.TensorProto.FLOAT, [1], [unlike])
        return self._node("ConstantOfShape", [self._constant(np.array(shape, np.int64))], {"value": content})

    def _constant(self, array: Any) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name


_SAME = {"relu": "Relu", "global_pool": "GlobalAveragePool", "flatten": "Flatten", "sum": "Add"}
_SAME |= {"sigmoid": "Sigmoid", "product": "Mul"}
"""Operations that need nothing but what they read."""
