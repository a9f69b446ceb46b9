"""The forward passes that rate an untrained network: calibrate batch normalisations, embed images, and what limits it.

    python benchmarks/forward.py [--networks 6] [--images 256] [--calibration 128] [--repeats 3] [--rivals]

Random networks of three spaces at 32x32 pixels, one thread. Microseconds of CPU time (of the thread; in brackets wall
time) an image; variants take turns, figures are medians. "bound" is the least that this core could need: the larger of
two times, that of the multiply-accumulates at the measured rate of a 1024x1024 matrix product, and that of the bytes
that all steps, as they are after rewriting, read and write at the measured rate of copies within the cache. No
depthwise convolution reaches it. `--rivals` adds what was tried and is not used: torch.jit, bfloat16, onnxruntime and
OpenVINO with the same weights, with the milliseconds of CPU time that they need to get ready. One evaluation of
`--evaluation` images (calibrated on, embedded) is put together from the medians, getting ready included: before, of
the plain network in batches of 256; now, calibrated in batches of 64, embedded by the frozen network.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from frugalnas.layers import steps as ops
from frugalnas.layers.frozen import Flat, frozen
from frugalnas.layers.initialise import initialise
from frugalnas.layers.steps import read
from frugalnas.spaces.cell import OPERATION_LISTS, CellSpace
from frugalnas.spaces.nasbench201 import NasBench201
from frugalnas.tasks import statistics as calibration
from frugalnas.tasks.augment import Normalise, measure

SPACES: dict[str, Any] = {
    "cell, eeea": CellSpace(OPERATION_LISTS["eeea"]),
    "cell, darts": CellSpace(OPERATION_LISTS["darts"], inputs="full", concat="all"),
    "nasbench201": NasBench201(),
}
Times = dict[str, list[tuple[float, float]]]


def built(space: Any, genotype: tuple[int, ...]) -> nn.Module:
    torch.manual_seed(0)
    network = space.build(genotype).to(memory_format=torch.channels_last)
    initialise(network, "kaiming_normal")
    return network


def rates() -> tuple[float, float]:
    """Multiply-accumulates a second of a matrix product; bytes a second, read and written, of copies of 256 KB."""
    a, b, out = (torch.randn(1024, 1024) for _ in range(3))
    source, target = torch.ones(1 << 16), torch.empty(1 << 16)
    product = min(seconds(lambda: torch.mm(a, b, out=out))[0] for _ in range(9))
    copies = min(seconds(lambda: [target.copy_(source) for _ in range(100)])[0] for _ in range(9))
    return 1024**3 / product, 100 * 2 * source.nbytes / copies


def seconds(run: Callable[[], object]) -> tuple[float, float]:
    thread, wall = time.thread_time(), time.perf_counter()
    run()
    return time.thread_time() - thread, time.perf_counter() - wall


@torch.inference_mode()
def bytes_moved(network: nn.Module, image: Tensor) -> int:
    """Of one image (1, C, H, W): what the steps of the frozen network read and write, their weights apart."""
    fast = frozen(network)
    assert isinstance(fast, Flat)
    values, moved = {0: image}, 0
    for number, step, _, _ in fast.steps:
        maps = [values[value] for value in step.reads]
        values[number] = step.operation.run(*maps)
        moved += sum(each.nbytes for each in (*maps, values[number]))
    return moved


@contextlib.contextmanager
def plain_calibration() -> Iterator[None]:
    """`calibrate` as it was: the module itself runs."""
    kept, calibration.live = calibration.live, lambda model: model
    try:
        yield
    finally:
        calibration.live = kept


class Bench:
    """One network, its images, and what takes turns."""

    def __init__(self, space: Any, genotype: tuple[int, ...], options: argparse.Namespace) -> None:
        generator = torch.Generator().manual_seed(0)
        shape = (max(options.images, options.calibration), space.in_channels, space.resolution, space.resolution)
        self.pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        self.normalise: Normalise = measure(self.pixels)
        self.options, self.start = options, dict[str, float]()
        self.network = built(space, genotype)
        calibration.calibrate(self.network, self.pixels[: options.calibration], self.normalise, 64)
        self.network.eval()
        self.runs: dict[str, tuple[int, Callable[[], object]]] = {}
        self._calibrations()
        self._embeddings()
        if options.rivals:
            self._rivals()

    def _calibrations(self) -> None:
        images = self.pixels[: self.options.calibration]

        def plain() -> None:
            with plain_calibration():
                calibration.calibrate(self.network, images, self.normalise, 256)

        def ours(batch: int) -> None:
            calibration.calibrate(self.network, images, self.normalise, batch)

        self.runs["calibrate, plain, 256"] = len(images), plain
        for batch in (256, 64):
            self.runs[f"calibrate, {batch}"] = len(images), lambda batch=batch: ours(batch)

    def _embeddings(self) -> None:
        for batch in (256, 32):
            self._embed(f"embed, plain, {batch}", self.network, batch)
        self._embed("embed, frozen", self._ready("embed, frozen", lambda: frozen(self.network)), 256)

    def _ready(self, name: str, make: Callable[[], Any]) -> Any:
        thread = time.process_time()
        made = make()
        self.start[name] = 1000 * (time.process_time() - thread)
        return made

    def _embed(self, name: str, model: nn.Module, batch: int) -> None:
        images = self.pixels[: self.options.images]

        def run() -> Tensor:
            return calibration.embed(model, images, self.normalise, batch, batch_statistics=False)

        self._add(name, run)

    def _add(self, name: str, run: Callable[[], Tensor], tolerance: float = 1e-3) -> None:
        images = self.pixels[: self.options.images]
        want = calibration.embed(self.network, images, self.normalise, 256, batch_statistics=False)
        error = float((run().float() - want).abs().max() / want.abs().max())
        if error > tolerance:
            print(f"   {name}: deviates by {error:.1e} of the largest value")
        self.runs[name] = len(images), run

    def _rivals(self) -> None:
        x = self.normalise(self.pixels[: self.options.images])
        half = self._ready("embed, bfloat16", lambda: in_bfloat16(frozen(self.network)))
        with torch.inference_mode():
            self._add("embed, bfloat16", torch.inference_mode()(lambda: half.embed(x.bfloat16())), 0.05)
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            traced = self._ready("embed, jit", lambda: jitted(self.network, x[:32]))
            self._add("embed, jit", torch.inference_mode()(lambda: torch.cat([*map(traced, x.split(32))])))
        for name, package, make in (
            ("embed, onnxruntime", "onnxruntime", onnxruntime_session),
            ("embed, openvino", "openvino", openvino_session),
        ):
            if find_spec(package) is None or find_spec("onnx") is None:
                print(f"   {name}: skipped, needs {package} and onnx")
                continue
            run = self._ready(name, lambda make=make: make(self.network, x[:32]))
            self._add(name, lambda run=run: torch.cat([torch.from_numpy(run(part.numpy())) for part in x.split(32)]))

    def measured(self) -> dict[str, tuple[float, float]]:
        """Median thread and wall microseconds an image, by the name of the variant."""
        times: Times = {name: [] for name in self.runs}
        for turn in range(self.options.repeats):
            for name in list(self.runs)[:: 1 if turn % 2 == 0 else -1]:
                images, run = self.runs[name]
                times[name].append(tuple(1e6 * value / images for value in seconds(run)))  # type: ignore[arg-type]
        return {name: tuple(map(statistics.median, zip(*each, strict=True))) for name, each in times.items()}


def in_bfloat16(model: nn.Module) -> nn.Module:
    """The frozen network with all numbers in bfloat16."""
    assert isinstance(model, Flat)

    def cast(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.bfloat16()
        return tuple(map(cast, value)) if isinstance(value, tuple) else value

    for place, (number, step, over, gone) in enumerate(model.steps):
        if isinstance(step.operation, ops.Conv | ops.Pointwise | ops.Affine):
            changed = {each.name: cast(getattr(step.operation, each.name)) for each in fields(step.operation)}
            model.steps[place] = number, replace(step, operation=replace(step.operation, **changed)), over, gone
    return model


class Embedding(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.network.embed(x)  # type: ignore[operator]
        return result


def jitted(network: nn.Module, x: Tensor) -> Callable[[Tensor], Tensor]:
    traced = torch.jit.trace(Embedding(network).eval(), x, check_trace=False)
    ready: Callable[[Tensor], Tensor] = torch.jit.optimize_for_inference(torch.jit.freeze(traced))
    for _ in range(2):  # the first calls specialise it
        ready(x)
    return ready


@torch.inference_mode()
def onnx_model(network: nn.Module, x: Tensor) -> bytes:
    """The embedding of the network as an ONNX model, written from its steps, batch normalisation included."""
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(tensor: Tensor) -> str:
        constants.append(numpy_helper.from_array(tensor.detach().contiguous().numpy(), f"constant{len(constants)}"))
        return str(constants[-1].name)

    steps = read(network)
    shape = tuple(x.shape)
    values: dict[int, Tensor] = {0: x[:1].contiguous()}
    for number, step in steps.made.items():
        operation, reads = step.operation, [f"value{value}" for value in step.reads]
        values[number] = operation.run(*(values[value] for value in step.reads))
        op, extra, attributes = "Identity", [], {}
        match operation:
            case ops.Conv(weight, _, stride, padding, dilation, groups):
                op, extra = "Conv", [constant(weight)]
                attributes = {"strides": stride, "pads": padding * 2, "dilations": dilation, "group": groups}
            case ops.Norm(norm):
                op = "BatchNormalization"
                extra = [constant(each) for each in (norm.weight, norm.bias, norm.running_mean, norm.running_var)]
                attributes = {"epsilon": norm.eps}
            case ops.MaxPool(kernel, pace, border, ceil):
                op, attributes = "MaxPool", {"ceil_mode": int(ceil)}
                attributes |= {"kernel_shape": (kernel,) * 2, "strides": (pace,) * 2, "pads": (border,) * 4}
            case ops.AvgPool(kernel, pace, border):
                op, attributes = "AveragePool", {"count_include_pad": 0}
                attributes |= {"kernel_shape": (kernel,) * 2, "strides": (pace,) * 2, "pads": (border,) * 4}
            case ops.Rectify():
                op = "Relu"
            case ops.Add():
                op = "Add"
            case ops.Concat():
                op, attributes = "Concat", {"axis": 1}
            case ops.Call() if values[number].ndim == 2:
                op = "Flatten"
            case ops.Call() if values[number].shape[2:] == (1, 1):
                op = "GlobalAveragePool"
            case ops.Call() if not values[number].any():
                reads = [constant(values[number].expand(len(x), -1, -1, -1))]
            case _:  # a shift of even sides
                op, extra = "Slice", [constant(torch.tensor(each)) for each in ([1, 1], [2**31, 2**31], [2, 3])]
        nodes.append(helper.make_node(op, [*reads, *extra], [f"value{number}"], **attributes))
    nodes.append(helper.make_node("GlobalAveragePool", [f"value{steps.results[-1]}"], ["mean"]))
    nodes.append(helper.make_node("Flatten", ["mean"], ["embedding"]))
    inputs = [helper.make_tensor_value_info("value0", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "embedding", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def onnxruntime_session(network: nn.Module, x: Tensor) -> Callable[[Any], Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    model = onnx_model(network, x)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda part: session.run(None, {"value0": part})[0]


def openvino_session(network: nn.Module, x: Tensor) -> Callable[[Any], Any]:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    core = openvino.Core()
    request = core.compile_model(core.read_model(onnx_model(network, x)), "CPU", settings).create_infer_request()
    return lambda part: request.infer([part])[0].copy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=6, help="of each of cells and NAS-Bench-201")
    parser.add_argument("--images", type=int, default=256, help="embedded in a turn; a multiple of 32")
    parser.add_argument("--calibration", type=int, default=256, help="images calibrated on in a turn")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rivals", action="store_true", help="also what is not used")
    parser.add_argument("--evaluation", type=int, nargs=2, default=(1024, 4048), metavar=("CALIBRATE", "EMBED"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    macs_rate, bytes_rate = rates()
    print(f"matrix product {macs_rate / 1e9:.0f} GMAC/s, copies {bytes_rate / 1e9:.0f} GB/s", flush=True)
    for kind, space in SPACES.items():
        gains: list[float] = []
        for seed in range(options.networks // (2 if "cell" in kind else 1)):
            rng = random.Random(seed)
            genotype = tuple(rng.randrange(size) for size in space.domains)
            macs = space.count(genotype).macs
            moved = bytes_moved(built(space, genotype), torch.zeros(1, 3, space.resolution, space.resolution))
            bound = 1e6 * max(macs / macs_rate, moved / bytes_rate)
            print(f"\n{kind} {seed}: {macs / 1e6:.1f} MMACs, {moved / 1e6:.1f} MB, bound {bound:.0f} us an image")
            bench = Bench(space, genotype, options)
            times = bench.measured()
            for name, (thread, wall) in times.items():
                start = f", ready in {bench.start[name]:.0f} ms" if name in bench.start else ""
                print(f"   {name:24} {thread:7.0f} ({wall:7.0f}) us, {100 * bound / thread:3.0f} % of bound{start}")
            first, then = options.evaluation
            before = first * times["calibrate, plain, 256"][0] + then * times["embed, plain, 256"][0]
            after = first * times["calibrate, 64"][0] + then * times["embed, frozen"][0]
            after += 1000 * bench.start["embed, frozen"]
            gains.append(before / after)
            print(
                f"   one evaluation: {before / 1e6:.2f} s, now {after / 1e6:.2f} s: {gains[-1]:.2f} times", flush=True
            )
        print(f"\n{kind}: {statistics.median(gains):.2f} times as fast (median)", flush=True)


if __name__ == "__main__":
    main()
