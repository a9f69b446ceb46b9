"""The power of multipliers for the operands that a layer really has, which are not uniformly random.

A multiplier's published power is that of random operands. Codes after a ReLU are non-negative and often 0, weights are
near 0: fewer gates switch. The order of the multiplications is that of a weight-stationary array: a multiplier holds
one weight while the inputs of successive pixels and images stream past.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from frugalnas.core import InputError
from frugalnas.layers.approximate import ApproximateConv2d
from frugalnas.layers.approximated import Batches, approximate_layers, run

Codes = NDArray[np.int64]
RUNS = 64  # weights, at least, whose inputs are looked at


@torch.no_grad()
def activity(network: nn.Module, batches: Batches, pairs: int = 20_000, seed: int = 0) -> dict[str, float]:
    """The power in mW of one multiplier in each approximate layer of a converted network, by the layer's name.

    `Multiplier.power_of` about `pairs` multiplications of a layer, in the order of a weight-stationary array; `batches`
    are normalised images. A multiplier whose gates are not known, as with a sign past an unsigned one, has its power
    for random operands. Raises InputError for too few pairs.
    """
    if pairs < 2:
        raise InputError(f"pairs = {pairs}: expected 2 or more")
    layers = approximate_layers(network)
    several = 1 if isinstance(batches, Tensor) else len(batches)
    seen: dict[str, list[tuple[Codes, Codes]]] = {name: [] for name in layers}

    def read(name: str, place: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            rng = np.random.default_rng((seed, place, len(seen[name])))
            seen[name].append(operands(layers[name], inputs[0], max(2, pairs // several), rng))

        return hook

    circuits = {name: layer for name, layer in layers.items() if layer.multiplier.design}
    hooks = [layer.register_forward_pre_hook(read(name, place)) for place, (name, layer) in enumerate(circuits.items())]
    run(network, batches, hooks)
    return {name: _power(layer, seen[name]) for name, layer in layers.items() if seen[name] or name not in circuits}


def _power(layer: ApproximateConv2d, seen: list[tuple[Codes, Codes]]) -> float:
    if layer.multiplier.design is None:
        return layer.multiplier.power_mw
    return layer.multiplier.power_of(*(np.concatenate(codes) for codes in zip(*seen, strict=True)))


def operands(layer: ApproximateConv2d, x: Tensor, pairs: int, rng: np.random.Generator) -> tuple[Codes, Codes]:
    """About so many multiplications of the layer on inputs (N, C, H, W): the codes of both operands, int64 (pairs,).

    Runs of successive pixels, and images, with one weight each; the weights are drawn at random.
    """
    weights = layer.ready().weights.codes  # (O, C / groups, kh, kw)
    top, bottom, left, right = layer.padding
    codes = F.pad(layer.range.codes(x), (left, right, top, bottom), value=layer.range.zero_point)
    outputs, depth, *kernel = weights.shape
    height, width = (
        (size - dilation * (side - 1) - 1) // stride + 1
        for size, side, stride, dilation in zip(codes.shape[2:], kernel, layer.stride, layer.dilation, strict=True)
    )
    length = min(len(x) * height * width, max(1, pairs // RUNS))
    a, b = list[Codes](), list[Codes]()
    for _ in range(-(-pairs // length)):
        output, channel, row, column = (int(rng.integers(size)) for size in (outputs, depth, *kernel))
        channel_in = output // (outputs // layer.groups) * depth + channel
        first_row, first_column = row * layer.dilation[0], column * layer.dilation[1]
        plane = codes[:, channel_in, first_row :: layer.stride[0], first_column :: layer.stride[1]]
        stream = plane[:, :height, :width].reshape(-1)
        start = int(rng.integers(len(stream) - length + 1))
        a.append(stream[start : start + length].cpu().numpy().astype(np.int64))
        b.append(np.full(length, int(weights[output, channel, row, column]), np.int64))
    return np.concatenate(a), np.concatenate(b)
