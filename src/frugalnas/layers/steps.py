"""A network as a flat list of steps, read by `torch.fx`: what `layers.frozen` rewrites and runs."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from frugalnas.layers import kernels
from frugalnas.layers.depthwise import DepthwiseConv2d
from frugalnas.layers.ops import Shift, Zero


@dataclass(frozen=True, eq=False)
class Conv:
    """A convolution of a map (N, C, H, W); `bias` (K,) or None."""

    weight: Tensor  # (K, C / groups, kh, kw)
    bias: Tensor | None
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    def scaled(self, scale: Tensor, shift: Tensor) -> Conv:
        """The convolution whose output is `scale` times this one's, plus `shift`, both (K,)."""
        bias = shift if self.bias is None else self.bias * scale + shift
        return replace(self, weight=self.weight * scale[:, None, None, None], bias=bias)

    def run(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


@dataclass(frozen=True, eq=False)
class Pointwise:
    """A sum of 1x1 convolutions, one of each map read: of every `strides[i]`-th pixel, after `shifts[i]` if any."""

    weights: tuple[Tensor, ...]  # (C_i, K)
    bias: Tensor | None
    strides: tuple[int, ...]
    shifts: tuple[Shift | None, ...]

    def run(self, *maps: Tensor) -> Tensor:
        parts = []
        for x, stride, shift in zip(maps, self.strides, self.shifts, strict=True):
            moved = x if shift is None else shift(x)
            parts.append(moved if stride == 1 else moved[:, :, ::stride, ::stride])
        return kernels.pointwise(parts, self.weights, self.bias)


@dataclass(frozen=True, eq=False)
class Norm:
    """Batch normalisation by its module: by the statistics of the batch if that is in training mode."""

    module: nn.BatchNorm2d

    def run(self, x: Tensor) -> Tensor:
        result: Tensor = self.module(x)
        return result


@dataclass(frozen=True, eq=False)
class Affine:
    """`scale` times a map, plus `shift`, both (C,)."""

    scale: Tensor
    shift: Tensor

    def run(self, x: Tensor) -> Tensor:
        nought, one = torch.zeros_like(self.scale), torch.ones_like(self.scale)
        return F.batch_norm(x, nought, one, self.scale, self.shift, eps=0.0)  # reads and writes the map once


@dataclass(frozen=True)
class MaxPool:
    kernel: int
    stride: int
    padding: int
    ceil: bool

    def run(self, x: Tensor) -> Tensor:
        return kernels.max_pool(x, self.kernel, self.stride, self.padding, self.ceil)


@dataclass(frozen=True)
class AvgPool:
    """Average pooling; padding is left out of the mean."""

    kernel: int
    stride: int
    padding: int

    def run(self, x: Tensor) -> Tensor:
        return kernels.avg_pool(x, self.kernel, self.stride, self.padding)


@dataclass(frozen=True)
class Rectify:
    def run(self, x: Tensor) -> Tensor:
        return F.relu(x)


@dataclass(frozen=True, eq=False)
class Add:
    def run(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


@dataclass(frozen=True, eq=False)
class Concat:
    def run(self, *maps: Tensor) -> Tensor:
        return torch.cat(maps, dim=1)


@dataclass(frozen=True, eq=False)
class Call:
    """Anything else. Unlike all others it may return what it reads, or a view of it."""

    function: Callable[..., Any]

    def run(self, *values: Any) -> Any:
        return self.function(*values)


Operation = Conv | Pointwise | Norm | Affine | MaxPool | AvgPool | Rectify | Add | Concat | Call


@dataclass(frozen=True)
class Step:
    """Make a value of others. `rectified`: the result, in place."""

    operation: Operation
    reads: tuple[int, ...]
    rectified: bool = False


@dataclass
class Steps:
    """In order, the steps by the number of the value that each makes. Value 0 is the input, `results` are wanted."""

    made: dict[int, Step]
    results: tuple[int, ...]

    def readers(self) -> Counter[int]:
        """How often each value is read; a result counts once more."""
        return Counter([read for step in self.made.values() for read in step.reads] + [*self.results])

    def of(self, value: int, kind: type[Any]) -> bool:
        """Whether a step of that kind makes the value, which is not rectified."""
        return value in self.made and isinstance(self.made[value].operation, kind) and not self.made[value].rectified

    def without(self, same: dict[int, int]) -> Steps:
        """With every value that is another one replaced by that, and without steps whose value nobody reads.

        A batch normalisation stays, as it may collect statistics.
        """

        def root(value: int) -> int:
            while value in same:
                value = same[value]
            return value

        kept: dict[int, Step] = {}
        needed = {*map(root, self.results)}
        for number, step in reversed(self.made.items()):
            if number in needed or isinstance(step.operation, Norm):
                kept[number] = replace(step, reads=tuple(map(root, step.reads)))
                needed |= {*kept[number].reads}
        return Steps(dict(reversed(kept.items())), tuple(map(root, self.results)))


class _Tracer(fx.Tracer):
    traced_func_name = "features"

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, DepthwiseConv2d | Shift | Zero) or super().is_leaf_module(module, name)


def read(network: nn.Module) -> Steps:
    """The steps of `network.features`, which must do the same for every input.

    Equal poolings and rectifications are one. Raises torch.fx.proxy.TraceError where what is done depends on the input.
    """
    nodes = _Tracer().trace(network).nodes
    values: dict[fx.Node, int] = {}
    once: dict[tuple[Operation, tuple[int, ...]], int] = {}
    steps = Steps({}, ())
    for node in nodes:
        if node.op == "placeholder":
            values[node] = 0
            continue
        reads = tuple(values[each] for each in node.all_input_nodes)
        if node.op == "output":
            steps.results = tuple(values[each] for each in node.args[0])
            continue
        operation = _operation(node, network)
        if operation is None:
            values[node] = reads[0]
        elif (operation, reads) in once:
            values[node] = once[operation, reads]
        else:
            values[node] = number = len(steps.made) + 1
            if isinstance(operation, Add | Concat):
                reads = tuple(values[each] for each in _listed(node))
            elif isinstance(operation, Rectify | MaxPool | AvgPool):
                once[operation, reads] = number
            steps.made[number] = Step(operation, reads)
    return steps


def _listed(node: fx.Node) -> list[fx.Node]:
    """The maps that a sum or a concatenation reads, one that is read twice also twice."""
    listed: Any = node.args if node.target in _SUMS else node.args[0]
    return list(listed)


_SUMS = (operator.add, torch.add)


def _operation(node: fx.Node, network: nn.Module) -> Operation | None:
    """That of a node; None for one that gives back what it reads."""
    if node.op == "call_module":
        return _of_module(network.get_submodule(str(node.target)))
    if node.target in _SUMS and len(node.args) == 2 and all(isinstance(each, fx.Node) for each in node.args):
        return Add()
    if node.target is torch.cat and node.kwargs == {"dim": 1}:
        return Concat()
    places = {each: place for place, each in enumerate(node.all_input_nodes)}

    def call(*given: Any) -> Any:
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda each: given[places[each]])
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        return node.target(*args, **kwargs)  # type: ignore[operator]

    return Call(call)


def _of_module(module: nn.Module) -> Operation | None:
    match module:
        case nn.Identity():
            return None
        case nn.Conv2d(padding_mode="zeros") if not isinstance(module.padding, str):
            window = _pair(module.stride), _pair(module.padding), _pair(module.dilation)
            return Conv(module.weight.detach(), _detached(module.bias), *window, module.groups)
        case DepthwiseConv2d():
            stride, dilation, weight = module.stride, module.dilation, module.weight.detach()
            padding = dilation * (weight.shape[2] // 2)
            return Conv(weight, None, (stride,) * 2, (padding,) * 2, (dilation,) * 2, len(weight))
        case nn.BatchNorm2d(affine=True, track_running_stats=True):
            return Norm(module)
        case nn.ReLU():
            return Rectify()
        case nn.MaxPool2d(dilation=1, return_indices=False):
            return MaxPool(*_window(module), module.ceil_mode)
        case nn.AvgPool2d(count_include_pad=False, ceil_mode=False, divisor_override=None):
            return AvgPool(*_window(module))
        case _:
            return Call(module)


def _detached(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach()


def _window(pool: nn.MaxPool2d | nn.AvgPool2d) -> tuple[int, int, int]:
    """Kernel, stride and padding of a pool with a square window."""
    return tuple(_pair(value)[0] for value in (pool.kernel_size, pool.stride, pool.padding))  # type: ignore[return-value]


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
