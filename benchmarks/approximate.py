"""How much slower approximate layers are than the same network's float32 convolutions, and whether they are exact.

    python benchmarks/approximate.py [--threads 1 2] [--batch 64] [--repeats 9] [--clock wall] [--data FOLDER]

Networks as large as ResNet-8 and MobileNet on images of 32x32, in channels-last order, in evaluation mode: all
convolutions and the classifier are made approximate; normalisations stay apart in both. Runs are interleaved, and the
figures are ratios of medians; with `--clock cpu` of the CPU time of the process, which other processes disturb less.

- factored: multipliers of ranks 1 to 5, on 8-bit integer convolutions where the CPU has them;
- float: the same in float32, as on CPUs without;
- table: look-ups by numba, whose speed depends on no multiplier; gather: torch indexing, on 2 images.

`--data`: a folder with `evoapprox/*.bin`: each sample multiplier on every path and kind of layer against the sums of
its table's entries, and its slow-down. Public tools, as published: TFApprox 77 to 122 times on a CPU (DATE 2020),
7 to 12 times on a GPU; TFApprox4IL 13.6 times (JETCAS 2023).
"""

from __future__ import annotations

import argparse
import copy
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from frugalnas.layers import integer, lookup
from frugalnas.layers.approximate import ApproximateConv2d, ApproximateLinear
from frugalnas.layers.packed import PATHS, Codes, pack
from frugalnas.layers.products import approximate_conv2d, sums
from frugalnas.multipliers import Multiplier

MEMBERS = {1: (1, 1, 0), 2: (0, 0, 1), 3: (0, 0, 2), 4: (0, 0, 3), 5: (0, 0, 4)}  # of each rank
LAYERS = {  # C, O, kernel, stride, padding, dilation, groups
    "plain": (6, 9, 3, 1, 0, 1, 1),
    "strided": (6, 9, 3, 2, 1, 1, 1),
    "padded": (6, 9, 5, 1, 3, 1, 1),
    "dilated": (6, 9, 3, 1, 2, 2, 1),
    "grouped": (6, 18, 3, 1, 1, 1, 3),
    "depthwise": (16, 16, 3, 1, 1, 1, 16),
    "linear": (40, 12, 1, 1, 0, 1, 1),
}


class Residual(nn.Module):
    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = convolution(channels, out, 3, stride), convolution(out, out, 3)
        self.shortcut = nn.Conv2d(channels, out, 1, stride, bias=False) if channels != out else None

    def forward(self, x: Tensor) -> Tensor:
        made = self.second(self.first(x).relu_())
        return made.add_(x if self.shortcut is None else self.shortcut(x)).relu_()


def convolution(channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out))


def resnet8() -> nn.Module:
    stages = (Residual(16, 16, 1), Residual(16, 32, 2), Residual(32, 64, 2))
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    return nn.Sequential(convolution(3, 16, 3), nn.ReLU(), *stages, *head)


def mobilenet() -> nn.Module:
    layers: list[nn.Module] = [convolution(3, 32, 3), nn.ReLU()]
    for channels, out, stride in ((32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1)):
        layers += [
            convolution(channels, channels, 3, stride, channels),
            nn.ReLU(),
            convolution(channels, out, 1),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10))


NETWORKS = {"ResNet-8": resnet8, "MobileNet": mobilenet}


def approximated(network: nn.Module, images: Tensor, multiplier: Multiplier, path: str) -> nn.Module:
    """A copy with all convolutions and linear layers approximate, with ranges from the images."""
    layers = {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    inputs: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_pre_hook(lambda _, given, name=name: inputs.update({name: given[0].clone()}))
        for name, layer in layers.items()
    ]
    network(images)
    for hook in hooks:
        hook.remove()
    made = copy.deepcopy(network)
    for name, layer in layers.items():
        kind = ApproximateLinear if isinstance(layer, nn.Linear) else ApproximateConv2d
        made.set_submodule(name, kind.from_float(layer, multiplier, inputs[name], path=path))
    return made.eval()


def interleaved(runs: list[Callable[[], object]], repeats: int, clock: Callable[[], float]) -> list[float]:
    """Median seconds of each."""
    times: list[list[float]] = [[] for _ in runs]
    for repeat in range(repeats + 1):
        for run, seconds in zip(runs, times, strict=True):
            start = clock()
            run()
            if repeat:
                seconds.append(clock() - start)
    return [median(seconds) for seconds in times]


def slow_downs(batch: int, repeats: int, clock: Callable[[], float]) -> None:
    for name, make in NETWORKS.items():
        torch.manual_seed(0)
        network = make().eval().to(memory_format=torch.channels_last)
        images = torch.randn(batch, 3, 32, 32).to(memory_format=torch.channels_last)
        kinds = [(path, rank) for path in ("factored", "float") for rank in MEMBERS]
        kinds += [("table", 4)] if lookup.available() else []
        networks = [network]
        networks += [approximated(network, images, Multiplier.family(*MEMBERS[rank]), path) for path, rank in kinds]
        seconds = interleaved([partial(net, images) for net in networks], repeats, clock)
        print(f"{name}: native {1000 * seconds[0]:.1f} ms for {batch} images; times as long:")
        for path in ("factored", "float", "table"):
            ratios = [
                f"rank {r} {s / seconds[0]:.2f}" for (p, r), s in zip(kinds, seconds[1:], strict=True) if p == path
            ]
            print(f"    {path:9}", ", ".join(ratios))
        few = images[:2]
        gather = approximated(network, images, Multiplier.family(*MEMBERS[4]), "gather")
        native, slow = interleaved([partial(net, few) for net in (network, gather)], min(repeats, 3), clock)
        print(f"    gather    any table {slow / native:.0f} (2 images)", flush=True)


def kernel_speed(clock: Callable[[], float]) -> None:
    """Multiplications a second of the look-up kernel."""
    rng, codes = np.random.default_rng(0), Codes(-128, 127, 0, 128)
    table = rng.integers(-16000, 16000, (256, 256)).astype(np.int32)
    multiplier = Multiplier("random", table, (True, True), 1.0, "given", "random")
    for channels, out, side, groups in (
        (16, 16, 32, 1),
        (32, 32, 16, 1),
        (64, 64, 8, 1),
        (128, 128, 16, 1),
        (64, 64, 32, 64),
    ):
        at = torch.from_numpy(rng.integers(0, 256, (64, channels, side, side)).astype(np.uint8))
        w = torch.from_numpy(rng.integers(-128, 128, (out, channels // groups, 3, 3)))
        packed = pack(w, multiplier, groups, "table", codes)
        (seconds,) = interleaved([lambda packed=packed, at=at: sums(packed, at, (1, 1), (1, 1), (1, 1))], 3, clock)
        macs = 64 * side * side * w.numel()
        kind = "depthwise" if groups > 1 else "dense"
        print(
            f"    table     {kind} 3x3 of {channels} channels, {side}x{side}: {macs / seconds / 1e9:.1f} GMAC/s",
            flush=True,
        )


def brute_force(x: Tensor, w: Tensor, table: Tensor, stride: int, padding: int, dilation: int, groups: int) -> Tensor:
    """Sums of table entries, by windows and output channels."""
    x = nn.functional.pad(x, (padding,) * 4)
    out, depth, kernel, _ = w.shape
    span = dilation * (kernel - 1) + 1
    windows = x.unfold(2, span, stride).unfold(3, span, stride)[..., ::dilation, ::dilation]
    each = [
        table[windows[:, (o // (out // groups)) * depth :][:, :depth] & 255, w[o, :, None, None] & (table.shape[1] - 1)]
        for o in range(out)
    ]
    return torch.stack([made.sum((1, 4, 5)) for made in each], 1)


def samples(folder: Path, repeats: int, clock: Callable[[], float]) -> None:
    """Every sample file on every path and kind of layer, plain unsigned and with signed weights."""
    network = resnet8().eval().to(memory_format=torch.channels_last)
    images = torch.randn(64, 3, 32, 32).to(memory_format=torch.channels_last)
    for file in sorted(folder.glob("evoapprox/*.bin")):
        loaded = Multiplier.load(file, signed=False, power_mw=1.0)
        done = wrong = 0
        for multiplier in (loaded, loaded.swap(), loaded.sign_magnitude()):
            for path in PATHS:
                if path in ("factored", "float") and multiplier.factors is None:
                    continue
                for channels, out, kernel, stride, padding, dilation, groups in LAYERS.values():
                    x = torch.randint(0, 256, (2, channels, 9, 9))
                    low, high = (-128, 128) if multiplier.signed[1] else (0, 256)
                    w = torch.randint(low, high, (out, channels // groups, kernel, kernel))
                    geometry = (stride, padding, dilation, groups)
                    made = approximate_conv2d(x, w, multiplier, *geometry, path=path)
                    expected = brute_force(x, w, torch.from_numpy(multiplier.table.astype(np.int64)), *geometry)
                    done, wrong = done + 1, wrong + (not torch.equal(made.long(), expected))
        signed = loaded.sign_magnitude()
        run = approximated(network, images, signed, "auto")
        native, slow = interleaved([partial(network, images), partial(run, images)], repeats, clock)
        path = next(m for m in run.modules() if isinstance(m, ApproximateConv2d)).ready().packed.choice
        kind = f"{path.path}, rank {path.rank}, {path.dtype}"
        print(
            f"    {file.stem}: {done - wrong} of {done} cases exact; {kind}: {slow / native:.2f} times as long",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    if len(given.threads) > 1:  # a process each, as torch reads the number when it starts
        for threads in given.threads:
            arguments = [f"--batch={given.batch}", f"--repeats={given.repeats}", f"--clock={given.clock}"]
            data = [f"--data={given.data}"] if given.data and threads == given.threads[0] else []
            subprocess.run([sys.executable, __file__, "--threads", str(threads), *arguments, *data], check=True)
        return
    torch.set_num_threads(given.threads[0])
    clock = time.perf_counter if given.clock == "wall" else time.process_time
    integers = "with" if integer.available() else "without"
    print(f"{given.threads[0]} threads, {given.clock} time, {integers} integer convolutions", flush=True)
    with torch.inference_mode():
        slow_downs(given.batch, given.repeats, clock)
        if lookup.available():
            kernel_speed(clock)
        if given.data:
            samples(given.data, given.repeats, clock)


if __name__ == "__main__":
    main()
