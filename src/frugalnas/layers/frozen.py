"""Networks that are not trained, as fast as torch runs them on a CPU core, without compiling anything.

The steps of the network are rewritten:
- a batch normalisation with fixed statistics is folded into the convolution before it, also through a concatenation;
- a 1x1 convolution is a matrix product of the channels-last map; one that reads a concatenation is a sum of products,
  so that the maps are never joined, and two of them that are added up are one such sum;
- a map is rectified once for all that read it so, and in place if nobody reads it otherwise;
- pooling is that of `layers.kernels`; a sum is written where an operand is that nobody needs any more;
- images run in chunks whose maps stay in the cache of a core.
Values are those of the network itself up to rounding.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from frugalnas.layers.ops import Shift, Zero
from frugalnas.layers.steps import (
    Add,
    Affine,
    AvgPool,
    Call,
    Concat,
    Conv,
    MaxPool,
    Norm,
    Pointwise,
    Rectify,
    Step,
    Steps,
    read,
)

CHUNK = 1 << 15  # pixels of the input that run at a time: 32 images of 32x32


class Flat(nn.Module):
    """The steps of a network, run one after another. `network` gives the classifier; `pixels`: as CHUNK; 0 is all."""

    def __init__(self, network: nn.Module, steps: Steps, pixels: int = 0) -> None:
        super().__init__()
        self.network = network
        self.pixels = pixels
        self.results = steps.results
        self.steps = _scheduled(steps)

    def forward(self, x: Tensor) -> Tensor:
        """The logits (N, classes)."""
        logits: Tensor = self.network.classifier(self.embed(x))  # type: ignore[operator]
        return logits

    def embed(self, x: Tensor) -> Tensor:
        """The last map of images (N, C, H, W), averaged over its pixels: (N, D)."""
        return F.adaptive_avg_pool2d(self.features(x)[-1], 1).flatten(1)

    def features(self, x: Tensor) -> list[Tensor]:
        """The last map (N, C_i, H_i, W_i) of each size, the largest first."""
        if not self.pixels or not len(x):
            return self._run(x)
        parts = torch.split(x, max(1, self.pixels // prod(x.shape[2:])))
        return [torch.cat(maps) for maps in zip(*map(self._run, parts), strict=True)]

    def _run(self, x: Tensor) -> list[Tensor]:
        values = {0: x}
        for number, step, over, gone in self.steps:
            maps = [values[value] for value in step.reads]
            for value in gone:
                del values[value]
            made: Tensor = step.operation.run(*maps) if over is None else maps[over].add_(maps[1 - over])
            values[number] = made.relu_() if step.rectified else made
        return [values[value] for value in self.results]


def frozen(network: nn.Module) -> nn.Module:
    """The network in evaluation mode with the weights and statistics that it has now: `features`, `embed` and calls, no
    gradients.

    The network must not change while this is in use, as it shares some weights. A network that is not on a CPU, or that
    does different things to different inputs, is returned as it is, in evaluation mode.
    """
    network.eval()
    steps = _read(network)
    if steps is None:
        return network
    for change in (_folded, _multiplied, _unjoined, _summed, _rectified):
        steps = change(steps)
    return Flat(network, steps, CHUNK).eval()


def live(network: nn.Module) -> nn.Module:
    """The network with its own batch normalisations, in the mode they are in, for whole batches; no gradients.

    What cannot be read is returned as it is, as by `frozen`.
    """
    steps = _read(network)
    if steps is None:
        return network
    for change in (_multiplied, _unjoined, _rectified):
        steps = change(steps)
    return Flat(network, steps).train(network.training)


def _read(network: nn.Module) -> Steps | None:
    if any(parameter.device.type != "cpu" for parameter in network.parameters()):
        return None
    try:
        return read(network)
    except fx.proxy.TraceError:
        return None


def _folded(steps: Steps) -> Steps:
    """Fixed batch normalisations into the convolutions before them, where nobody else reads these."""
    made, same, readers = dict(steps.made), dict[int, int](), steps.readers()

    def foldable(value: int) -> bool:
        return readers[value] == 1 and steps.of(value, Conv)

    for number, step in steps.made.items():
        if not isinstance(step.operation, Norm):
            continue
        scale, shift = _affine(step.operation.module)
        (before,) = step.reads
        joined = readers[before] == 1 and steps.of(before, Concat)
        parts = steps.made[before].reads if joined else (before,)
        if not all(map(foldable, parts)):
            made[number] = replace(step, operation=Affine(scale, shift))
            continue
        start = 0
        for part in parts:
            match made[part].operation:
                case Conv(weight) as conv:
                    places = slice(start, start := start + len(weight))
                    made[part] = replace(made[part], operation=conv.scaled(scale[places], shift[places]))
        same[number] = before
        del made[number]
    return Steps(made, steps.results).without(same)


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """What a batch normalisation with fixed statistics multiplies by and adds, both (C,)."""
    mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    scale = norm.weight.detach() * (variance + norm.eps).rsqrt()
    return scale, norm.bias.detach() - mean * scale


def _multiplied(steps: Steps) -> Steps:
    """1x1 convolutions as matrix products; a shift before one becomes part of it."""
    made = dict(steps.made)
    for number, step in steps.made.items():
        match step.operation:
            case Conv(weight, bias, (stride, across), (0, 0), _, 1) if weight.shape[2:] == (1, 1) and stride == across:
                reads, shift = step.reads, None
                before = steps.made.get(reads[0])
                if before and isinstance(before.operation, Call) and isinstance(before.operation.function, Shift):
                    reads, shift = before.reads, before.operation.function
                product = Pointwise((weight[:, :, 0, 0].T.contiguous(),), bias, (stride,), (shift,))
                made[number] = Step(product, reads)
    return Steps(made, steps.results).without({})


def _unjoined(steps: Steps) -> Steps:
    """Products of the parts of a concatenation instead of one of the whole, where nothing else needs that."""
    channels, left_out = _channels(steps), _only_multiplied(steps)
    rectify = {step.reads[0]: number for number, step in steps.made.items() if isinstance(step.operation, Rectify)}
    parts: dict[int, tuple[int, ...]] = {}  # of a concatenation, rectified or not, that is left out
    made: dict[int, Step] = {}
    for number, step in steps.made.items():
        if number in made:
            continue
        if number in left_out and isinstance(step.operation, Concat) and all(part in channels for part in step.reads):
            parts[number] = step.reads
        elif number in left_out and step.reads[0] in parts:
            for part in parts[step.reads[0]]:
                rectify.setdefault(part, max(*steps.made, *made, *rectify.values()) + 1)
                made[rectify[part]] = Step(Rectify(), (part,))
                channels[rectify[part]] = channels[part]
            parts[number] = tuple(rectify[part] for part in parts[step.reads[0]])
        else:
            made[number] = _of_parts(step, parts, channels)
    return Steps(made, steps.results).without({})


def _channels(steps: Steps) -> dict[int, int]:
    """The channels of every value of which the steps tell."""
    known: dict[int, int] = {}
    for number, step in steps.made.items():
        match step.operation:
            case Conv(weight):
                known[number] = weight.shape[0]
            case Pointwise(weights):
                known[number] = weights[0].shape[1]
            case Affine(scale):
                known[number] = len(scale)
            case Norm(module):
                known[number] = module.num_features
            case Concat() if all(value in known for value in step.reads):
                known[number] = sum(known[value] for value in step.reads)
            case MaxPool() | AvgPool() | Rectify() | Add() | Call(Zero()) if step.reads[0] in known:
                known[number] = known[step.reads[0]]
    return known


def _only_multiplied(steps: Steps) -> set[int]:
    """Concatenations that only products read, some perhaps rectified, and these rectified maps."""
    by: dict[int, list[int]] = {value: [0] for value in steps.results}
    for number, step in steps.made.items():
        for value in step.reads:
            by.setdefault(value, []).append(number)
    multiplied = {value for value in steps.made if all(steps.of(reader, Pointwise) for reader in by.get(value, [0]))}
    found = set[int]()
    for number in steps.made:
        if steps.of(number, Concat):
            rectified = {reader for reader in by.get(number, []) if steps.of(reader, Rectify) and reader in multiplied}
            if all(reader in rectified or steps.of(reader, Pointwise) for reader in by.get(number, [0])):
                found |= {number, *rectified}
    return found


def _of_parts(step: Step, parts: dict[int, tuple[int, ...]], channels: dict[int, int]) -> Step:
    """A product that reads the parts of what it read."""
    operation = step.operation
    if not isinstance(operation, Pointwise) or parts.keys().isdisjoint(step.reads):
        return step
    (read_,) = step.reads
    sizes = [channels[part] for part in parts[read_]]
    weights = torch.split(operation.weights[0], sizes)
    several = len(sizes)
    product = Pointwise(weights, operation.bias, operation.strides * several, operation.shifts * several)
    return Step(product, parts[read_])


def _summed(steps: Steps) -> Steps:
    """The sum of two products that nobody else reads as one, and the sum of two averages as that of the sum."""
    made, readers = dict[int, Step](), steps.readers()
    fresh = max(steps.made, default=0)
    for number, step in steps.made.items():
        made[number] = step
        if not steps.of(number, Add) or any(readers[value] > 1 or value not in made for value in step.reads):
            continue
        one, other = (made[value] for value in step.reads)
        match one.operation, other.operation:
            case Pointwise(), Pointwise():
                made[number] = Step(_sum(one.operation, other.operation), one.reads + other.reads)
            case AvgPool(), AvgPool() if one.operation == other.operation:
                fresh += 1
                made = {key: value for key, value in made.items() if key != number}
                made[fresh] = Step(Add(), one.reads + other.reads)
                made[number] = Step(one.operation, (fresh,))
    return Steps(made, steps.results).without({})


def _sum(one: Pointwise, other: Pointwise) -> Pointwise:
    biases = [each.bias for each in (one, other) if each.bias is not None]
    return Pointwise(
        one.weights + other.weights,
        sum(biases[1:], biases[0]) if biases else None,
        one.strides + other.strides,
        one.shifts + other.shifts,
    )


def _rectified(steps: Steps) -> Steps:
    """Rectified in place where nobody else reads what is rectified."""
    made, same, readers = dict(steps.made), dict[int, int](), steps.readers()
    for number, step in steps.made.items():
        if isinstance(step.operation, Rectify):
            (before,) = step.reads
            if readers[before] == 1 and before in made and not isinstance(made[before].operation, Call):
                made[before] = replace(made[before], rectified=True)
                same[number] = before
    return Steps(made, steps.results).without(same)


def _scheduled(steps: Steps) -> list[tuple[int, Step, int | None, tuple[int, ...]]]:
    """Each step with its number, the operand that a sum may overwrite, and the values that nobody reads after it."""
    viewed = {value for step in steps.made.values() if isinstance(step.operation, Call) for value in step.reads}
    final = {value: number for number, step in steps.made.items() for value in step.reads}
    schedule = []
    for number, step in steps.made.items():
        gone = tuple(value for value, last in final.items() if last == number and value not in steps.results)
        own = [
            place
            for place, value in enumerate(step.reads)
            if value in gone and value not in viewed and value in steps.made and not steps.of(value, Call)
        ]
        over = own[0] if own and isinstance(step.operation, Add) and len({*step.reads}) == 2 else None
        schedule.append((number, step, over, gone))
    return schedule
