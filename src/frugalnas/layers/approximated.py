"""Whole networks with approximate multipliers: calibrated, converted, and put right where multiplying shifted them.

The order of things: `ranges` of the trained float network, `approximated`, then `correct_bias` or `re_estimate`, then
perhaps some training through the approximate forward pass, for which any training loop will do. `correct` chooses
between the corrections. `batches` are always normalised images, one float tensor (N, C, H, W) or several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

from frugalnas.core import InputError, nearest
from frugalnas.layers.approximate import ApproximateConv2d, ApproximateLinear
from frugalnas.layers.correction import Correction, check_correction
from frugalnas.layers.depthwise import DepthwiseConv2d
from frugalnas.layers.packed import Path
from frugalnas.layers.quantise import Range, range_of
from frugalnas.layers.straight_through import Gradient
from frugalnas.multipliers import Multiplier

Batches = Tensor | Sequence[Tensor]
_FLOAT = (nn.Conv2d, DepthwiseConv2d, nn.Linear)
_APPROXIMATE = (ApproximateConv2d, ApproximateLinear)
_BINS = 4096  # of the histogram of a layer's inputs


def layers_of(network: nn.Module) -> dict[str, nn.Module]:
    """The layers that can have a multiplier, by name, as registered: in our networks that is the order they run in.

    Convolutions that pad with anything but zeros, and subclasses of torch's layers, which may compute something else,
    are none of them.
    """
    return {
        name: module
        for name, module in network.named_modules()
        if type(module) in _FLOAT and getattr(module, "padding_mode", "zeros") == "zeros"
    }


def ranges(network: nn.Module, batches: Batches, signed: bool = True, share: float = 1.0) -> dict[str, Range]:
    """The range of the inputs of every layer of `layers_of` that runs, by the layer's name, in running order.

    The network runs in evaluation mode and is left as it was. `signed`: whether the codes are two's complement.
    `share` of the values lie within the range, the rest is clipped; 1: from the least to the greatest. Raises
    InputError for inputs that are not finite.
    """
    if not 0.5 < share <= 1:
        raise InputError(f"share = {share}: expected more than 0.5 and at most 1")
    lows: dict[str, float] = {}
    highs: dict[str, float] = {}
    layers = layers_of(network)

    def reach(name: str, x: Tensor) -> None:
        low, high = (float(end) for end in torch.aminmax(x))
        if not -float("inf") < low <= high < float("inf"):
            raise InputError(f"layer {name}: its inputs are from {low} to {high}, expected finite numbers")
        lows[name], highs[name] = min(low, lows.get(name, low)), max(high, highs.get(name, high))

    _read_inputs(network, layers, batches, reach)
    if share < 1:
        counts = {name: torch.zeros(_BINS) for name in lows}

        def spread(name: str, x: Tensor) -> None:
            if highs[name] > lows[name]:
                counts[name] += torch.histc(x.float(), _BINS, lows[name], highs[name]).cpu()

        _read_inputs(network, layers, batches, spread)
        for name, count in counts.items():
            lows[name], highs[name] = _clipped(count, lows[name], highs[name], share)
    return {name: range_of(lows[name], highs[name], signed) for name in lows}


def _clipped(count: Tensor, low: float, high: float, share: float) -> tuple[float, float]:
    """The ends between which `share` of the values lie, as many above as below; an end at 0 stays."""
    if not count.any():
        return low, high
    below = count.double().cumsum(0) / count.double().sum()
    outside = (1 - share) / (1 if low >= 0 or high <= 0 else 2)
    width = (high - low) / len(count)
    first = int((below <= outside).sum()) if low < 0 else 0
    last = int((below < 1 - outside).sum()) if high > 0 else len(count) - 1
    return low + first * width, low + (last + 1) * width


def approximated(
    network: nn.Module,
    multipliers: Mapping[str, Multiplier],
    ranges: Mapping[str, Range],
    path: Path = "auto",
    gradient: Gradient = "factors",
    per_channel: bool = True,
) -> nn.Module:
    """A copy of the network, which it shares nothing with, whose layers named in `multipliers` multiply with these.

    The others stay float. Where a range of `ranges` is of the other signedness, the one of the same numbers is taken.
    Raises InputError for a name that is none of `layers_of`, and for one without a range, as it did not run.
    """
    layers = layers_of(network)
    for name in multipliers:
        if name not in layers:
            raise InputError(f"the network has no convolution or linear layer {name!r}: {nearest(name, [*layers])}")
        if name not in ranges:
            raise InputError(f"layer {name!r} has no range of inputs: it did not run when they were measured")
    made = deepcopy(network)
    for name, multiplier in multipliers.items():
        kind = ApproximateLinear if isinstance(layers[name], nn.Linear) else ApproximateConv2d
        layer = kind.from_float(
            made.get_submodule(name),
            multiplier,
            _fitting(ranges[name], multiplier.signed[0]),
            path=path,
            gradient=gradient,
            per_channel=per_channel,
        )
        if not name:
            return layer
        made.set_submodule(name, layer)
    return made


def _fitting(taken: Range, signed: bool) -> Range:
    """The range itself or, where its codes are not `signed` as they have to be, that of the same numbers."""
    if taken.high <= 127 if signed else taken.low >= 0 and taken.high > 127:
        return taken
    low, high = ((code - taken.zero_point) * taken.scale for code in (taken.low, taken.high))
    return range_of(low, high, signed)


def assigned(names: Iterable[str], nodes: Mapping[int, Multiplier], otherwise: Multiplier) -> dict[str, Multiplier]:
    """The multiplier of each layer of a `GraphNetwork`: that of its node where `nodes` names one, else `otherwise`."""
    made = {}
    for name in names:
        place = name.split(".")
        node = int(place[1]) if place[0] == "nodes" and place[1].isdigit() else -1
        made[name] = nodes.get(node, otherwise)
    return made


def approximate_layers(network: nn.Module) -> dict[str, ApproximateConv2d]:
    """The approximate layers of a converted network, a linear one as the convolution it is, by the names they had."""
    found = {name: module for name, module in network.named_modules() if isinstance(module, _APPROXIMATE)}
    inner = {id(module.inner) for module in found.values() if isinstance(module, ApproximateLinear)}
    return {
        name: module.inner if isinstance(module, ApproximateLinear) else module
        for name, module in found.items()
        if id(module) not in inner
    }


def correct(network: nn.Module, batches: Batches, correction: Correction = "auto") -> None:
    """Put right, without labels, what its multipliers shifted in a converted network.

    "statistics" is `re_estimate`, "bias" `correct_bias`, "both" the bias first. "auto" is "statistics" where there are
    batch normalisations, which recovers more, else "bias".
    """
    check_correction(correction)
    if correction == "auto":
        correction = "statistics" if any(isinstance(each, _BatchNorm) for each in network.modules()) else "bias"
    if correction in ("bias", "both"):
        correct_bias(network, batches)
    if correction in ("statistics", "both"):
        re_estimate(network, batches)


@torch.no_grad()
def correct_bias(network: nn.Module, batches: Batches) -> None:
    """Add to the bias of every approximate layer what its multiplier takes off its outputs, on the mean.

    Per output channel the mean, over images and pixels, of what an exact multiplier makes of the same codes less what
    the layer makes. The layers take turns in running order, each reading what the corrected ones before it give; with
    several batches these are corrected by what was seen so far. A layer without a bias gets one.
    """
    layers = approximate_layers(network)
    seen = dict.fromkeys(layers, 0)
    sums: dict[str, Tensor] = {}

    def corrected(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], made: Tensor) -> Tensor:
            difference = (exact_output(layers[name], inputs[0]) - made).double()
            total = difference.sum((0, 2, 3))
            sums[name] = sums[name] + total if name in sums else total
            seen[name] += difference[:, 0].numel()
            return made + (sums[name] / seen[name]).float()[:, None, None]

        return hook

    run(network, batches, [module.register_forward_hook(corrected(name)) for name, module in layers.items()])
    for name, total in sums.items():
        layer, shift = layers[name], (total / seen[name]).float()
        if layer.bias is None:
            layer.bias = nn.Parameter(shift, requires_grad=layer.weight.requires_grad)
        else:
            layer.bias.add_(shift)


def exact_output(layer: ApproximateConv2d, x: Tensor) -> Tensor:
    """What an exact multiplier would make in the place of the layer's own, of the same codes: (N, O, H', W')."""
    weights = layer.ready().weights
    weight = weights.codes.float() * weights.scales.view(-1, 1, 1, 1)
    top, bottom, left, right = layer.padding
    values = F.pad(layer.range.values(layer.range.codes(x)), (left, right, top, bottom))
    return F.conv2d(values, weight, layer.bias, layer.stride, 0, layer.dilation, layer.groups)


@torch.no_grad()
def re_estimate(network: nn.Module, batches: Batches) -> None:
    """Set the statistics of all batch normalisations to their averages over `batches`, in one pass.

    Each normalises by the batch at hand in that pass, as in training; everything else is in evaluation mode. Without
    batch normalisations nothing changes.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for the average of all batches since the reset
    try:
        run(network, batches, [], training=norms)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


@torch.no_grad()
def multiplications(network: nn.Module, image_shape: Sequence[int]) -> dict[str, int]:
    """How many multiplications each layer takes for one image (C, H, W), by the layer's name, in running order.

    Of the layers of `layers_of` and the approximate ones; padding is multiplied like everything else. A layer that runs
    twice counts twice.
    """
    layers = {**layers_of(network), **approximate_layers(network)}
    found: dict[str, int] = {}

    def counted(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], made: Tensor) -> None:
            each: Tensor = module.weight[0]  # type: ignore[index]
            found[name] = found.get(name, 0) + made.numel() * each.numel()

        return hook

    weight = next(network.parameters())
    image = torch.zeros(1, *image_shape, dtype=weight.dtype, device=weight.device)
    run(network, image, [module.register_forward_hook(counted(name)) for name, module in layers.items()])
    return found


@torch.no_grad()
def _read_inputs(
    network: nn.Module, layers: Mapping[str, nn.Module], batches: Batches, read: Callable[[str, Tensor], None]
) -> None:
    """Call `read` with the name and the input of each layer each time that it runs."""

    def reader(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda module, inputs: read(name, inputs[0])

    run(network, batches, [layer.register_forward_pre_hook(reader(name)) for name, layer in layers.items()])


def run(
    network: nn.Module, batches: Batches, hooks: Sequence[RemovableHandle], training: Sequence[nn.Module] = ()
) -> None:
    """Run the network on batches, in evaluation mode but for some modules, and remove the hooks."""
    try:
        with _modes(network):
            network.eval()
            for module in training:
                module.train()
            for batch in [batches] if isinstance(batches, Tensor) else batches:
                network(batch)
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _modes(network: nn.Module) -> Iterator[None]:
    """The mode of every module is afterwards what it was."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
