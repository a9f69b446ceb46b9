"""What is timed on this device, as it is when it is used: one image, evaluation mode, with torch channels last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec

from frugalnas.core import Genotype, InputError
from frugalnas.latency import measure
from frugalnas.latency.onnx_file import model
from frugalnas.latency.program import Program, of_network, of_piece
from frugalnas.latency.settings import Runtime
from frugalnas.objectives.latency import Piece
from frugalnas.spaces import AnySpace
from frugalnas.spaces.architecture import Architecture, resized

SECONDS = 0.2  # that a network in a search is measured for, at least


@dataclass(frozen=True)
class MeasuredCost:
    """The cost `latency_ms` for `core.Objective`: the median of a few inferences of the network itself, now.

    A network is measured once in a process; what describes the same network has the same latency.
    """

    runtime: Runtime
    threads: int

    def __call__(self, space: AnySpace, genotype: Genotype) -> float:
        return _milliseconds(space, space.canonical(genotype), self.runtime, self.threads)


@lru_cache(maxsize=1 << 14)
def _milliseconds(space: AnySpace, genotype: Genotype, runtime: Runtime, threads: int) -> float:
    return milliseconds([Architecture(space, genotype)], runtime, threads, SECONDS)[0]


def milliseconds(
    architectures: Sequence[Architecture],
    runtime: Runtime = "torch",
    threads: int = 1,
    seconds: float = 0.0,
    progress: measure.Progress = lambda share: None,
) -> list[float]:
    """The median latency of networks on this device, in ms for one image; they take turns.

    `seconds`: about how long to measure; 0 is the least number of rounds. Raises InputError where the runtime is not
    installed.
    """
    with measure.within(installed(runtime), threads):
        runs = [network_run(each.space, each.genotype, runtime, threads) for each in architectures]
        return measure.timed(runs, measure.clock_of(threads), seconds, progress)


def installed(runtime: Runtime) -> Runtime:
    """The name itself. Raises InputError where a package that it needs is not installed."""
    missing = [name for name in ("onnx", "onnxruntime") if runtime == "onnxruntime" and find_spec(name) is None]
    if missing:
        raise InputError(f"latency with onnxruntime needs {' and '.join(missing)}: pip install 'frugalnas[export]'")
    return runtime


def network_run(space: AnySpace, genotype: Genotype, runtime: Runtime, threads: int) -> measure.Run:
    """An inference of a network with random weights."""
    if runtime == "onnxruntime":
        return program_run(of_network(space.network(genotype)), runtime, threads)
    import torch

    network = resized(space, auxiliary=False).build(genotype).eval().to(memory_format=torch.channels_last)
    image = torch.rand(1, space.in_channels, space.resolution, space.resolution)
    image = image.contiguous(memory_format=torch.channels_last)
    return lambda: network(image)


def piece_run(piece: Piece, runtime: Runtime, threads: int) -> measure.Run:
    """A piece with random weights, made of the modules that networks have."""
    if runtime == "onnxruntime" or piece.kind != "layers":
        return program_run(of_piece(piece), runtime, threads)
    import torch

    from frugalnas.layers.ops import module

    part = module(piece.layers).eval().to(memory_format=torch.channels_last)
    maps = torch.rand(1, *piece.inputs[0]).contiguous(memory_format=torch.channels_last)
    return lambda: part(maps)


def program_run(program: Program, runtime: Runtime, threads: int) -> measure.Run:
    """A program with random weights."""
    return measure.torch_run(program) if runtime == "torch" else measure.onnx_run(model(program), threads)
