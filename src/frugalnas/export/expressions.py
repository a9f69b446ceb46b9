"""Layers as the Python expressions that make them with torch, laid out as `ruff format` and `black` would."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from frugalnas.layers import plan
from frugalnas.layers.plan import Layers, Pair

WIDTH = 88  # of a line: what formatters have without being told


@dataclass(frozen=True)
class Name:
    """A number that is a variable in the code; what the plan computes from it becomes an expression."""

    text: str

    def __str__(self) -> str:
        return self.text

    def __add__(self, other: int) -> Name:
        return Name(f"({self} + {other})")

    def __floordiv__(self, other: int) -> Name:
        return Name(f"{self} // {other}")

    def __sub__(self, other: Name) -> Name:
        return Name(f"{self} - {other}")


def variable(name: str) -> int:
    """A variable in the place of a number of channels, for the functions of `layers.plan`."""
    return cast(int, Name(name))


@dataclass(frozen=True)
class Call:
    """A call with its arguments, or with an empty name a list of them."""

    name: str
    arguments: tuple[str | Call, ...] = ()

    def __str__(self) -> str:
        start, end = ("(", ")") if self.name else ("[", "]")
        return f"{self.name}{start}{', '.join(map(str, self.arguments))}{end}"

    def lines(self, indent: int, before: str = "", after: str = "") -> Iterator[str]:
        """The call between `before` and `after`: on one line, its arguments on one, or each argument on its own."""
        space, line, inner = " " * indent, f"{before}{self}{after}", ", ".join(map(str, self.arguments))
        if indent + len(line) <= WIDTH:
            yield space + line
            return
        start, end = ("(", ")") if self.name else ("[", "]")
        yield f"{space}{before}{self.name}{start}"
        nested = any(isinstance(argument, Call) for argument in self.arguments)
        if not nested and indent + 4 + len(inner) <= WIDTH:
            yield f"{space}    {inner}"
        else:
            for argument in self.arguments:
                call = argument if isinstance(argument, Call) else None
                yield from call.lines(indent + 4, after=",") if call else (f"{space}    {argument},",)
        yield f"{space}{end}{after}"


def quoted(text: str) -> str:
    """A string literal for any text, in the quotes that formatters prefer."""
    literal = repr(text)
    return f'"{literal[1:-1]}"' if literal[0] == "'" and '"' not in literal else literal


def sequential(layers: Layers) -> Call:
    """The module that `layers.ops.module` makes of layers."""
    return Call("nn.Sequential", tuple(map(expression, layers)))


def expression(layer: plan.Layer) -> Call:
    """The module of one layer; those that torch has not, such as `Shift`, are those of `layers.ops`."""
    match layer:
        case plan.Conv():
            return _convolution(layer)
        case plan.BatchNorm(channels):
            return Call("nn.BatchNorm2d", (str(channels),))
        case plan.ReLU(in_place):
            return Call("nn.ReLU", ("inplace=True",) if in_place else ())
        case plan.Sigmoid():
            return Call("nn.Sigmoid")
        case plan.MaxPool(kernel, stride, padding, ceil):
            keywords = (f"stride={stride}", f"padding={padding}", *(("ceil_mode=True",) if ceil else ()))
            return Call("nn.MaxPool2d", (str(kernel), *keywords))
        case plan.AvgPool(kernel, stride, padding):
            window = (f"stride={stride}", f"padding={padding}")
            return Call("nn.AvgPool2d", (str(kernel), *window, "count_include_pad=False"))
        case plan.AdaptivePool(side):
            return Call("nn.AdaptiveAvgPool2d", (str(side),))
        case plan.Shift(fill):
            return Call("Shift", () if fill else ("fill=False",))
        case plan.Take(channels):
            return Call("Take", (f"channels={channels}",))
        case plan.Pad(channels):
            return Call("Pad", (f"channels={channels}",))
        case plan.Zero(stride):
            return Call("Zero", (f"stride={stride}",))
        case plan.Flatten():
            return Call("nn.Flatten")
        case plan.Linear(inputs, outputs):
            return Call("nn.Linear", (str(inputs), str(outputs)))
        case plan.Residual(layers):
            return Call("Residual", (sequential(layers),))
        case plan.Gate(layers):
            return Call("Gate", (sequential(layers),))
        case plan.Parallel(branches):
            return Call("Parallel", (Call("", tuple(map(sequential, branches))),))


def _convolution(layer: plan.Conv) -> Call:
    keywords = {
        "stride": (_short(layer.stride), "1"),
        "padding": (_short(layer.padding), "0"),
        "dilation": (str(layer.dilation), "1"),
        "groups": (str(layer.groups), "1"),
    }
    said = [f"{name}={value}" for name, (value, usual) in keywords.items() if value != usual]
    return Call("nn.Conv2d", (str(layer.inputs), str(layer.outputs), _short(layer.kernel), *said, "bias=False"))


def _short(pair: Pair) -> str:
    return str(pair[0] if pair[0] == pair[1] else pair)
