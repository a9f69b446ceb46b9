"""The whole path: a search, its knee and its most accurate network trained for minutes, beside networks off the shelf.

All networks get the same images (training and validation part), recipe ("short"), loop and wall time, a process and
`--seeds` seeds each; the test error is measured once, at the end of each training.

    python benchmarks/whole_path.py [--search-minutes 5] [--train-minutes 10] [--seeds 3] [--jobs 2] [--data NAME]
                                    [--run DIR] [--out runs/whole_path]
    python benchmarks/whole_path.py --fit-minutes 1 2 5      # `frugalnas fit` instead: does it end in its time?

Rivals: MobileNetV3-Small (torchvision; the first convolution takes the images' channels and has stride 1, as is usual
for small images), ResNet-20 as He et al. (2016) have it for CIFAR, and a plain stack of 3x3 convolutions that is as
wide as the knee's MACs allow. MACs are half of what torch's flop counter counts, at batch 1. `--jobs 2` trains two
networks at a time with one thread each, `--jobs 1` one with torch's own number of threads. `--run`: a search that is
there already. Results are lines in --out/results.jsonl; what is there is not trained again. Needs the extra [vision].
Prints a markdown table. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import frugalnas
from frugalnas import launch, record, store
from frugalnas.choose import architecture_of, choose
from frugalnas.tasks.data import DataSource, load_test, load_train
from frugalnas.tasks.loop import Budget, fit, measure, predict
from frugalnas.tasks.recipe import RECIPES

FOUND = ("knee", "most-accurate")
RIVALS = ("MobileNetV3-Small", "ResNet-20", "plain CNN")


class Basic(nn.Module):
    """The block of ResNet-20: two 3x3 convolutions around a shortcut without weights (option A of He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.stride = outputs // inputs
        self.layers = nn.Sequential(*convolution(inputs, outputs, self.stride), *convolution(outputs, outputs)[:-1])

    def forward(self, x: Tensor) -> Tensor:
        short = x[:, :, :: self.stride, :: self.stride]
        missing = x.shape[1] * (self.stride - 1)
        return F.relu(self.layers(x) + F.pad(short, (0, 0, 0, 0, 0, missing)))


def convolution(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]


def head(width: int, classes: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)]


def resnet20(channels: int, classes: int) -> nn.Module:
    widths = [16] * 4 + [32] * 3 + [64] * 3
    blocks = [Basic(inputs, outputs) for inputs, outputs in pairwise(widths)]
    return nn.Sequential(*convolution(channels, 16), *blocks, *head(64, classes))


def plain(channels: int, classes: int, width: int) -> nn.Module:
    widths = [channels, width, width, 2 * width, 2 * width, 4 * width, 4 * width]
    layers = []
    for number, (inputs, outputs) in enumerate(pairwise(widths)):
        layers += convolution(inputs, outputs, 2 if number in (2, 4) else 1)
    return nn.Sequential(*layers, *head(4 * width, classes))


def mobilenet(channels: int, classes: int) -> nn.Module:
    from torchvision.models import mobilenet_v3_small

    network = mobilenet_v3_small(num_classes=classes)
    network.features[0][0] = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
    return network


def macs(network: nn.Module, shape: tuple[int, int, int]) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, *shape))
    return int(counter.get_total_flops()) // 2


def built(name: str, found: dict[str, Any], shape: tuple[int, int, int], classes: int) -> nn.Module:
    """The network called `name`, with fresh weights; `found`: the search's architectures as JSON."""
    if name in found:
        return frugalnas.create_model(found[name], classes, shape[0], resolution=shape[1])
    if name == "plain CNN":
        target = macs(built("knee", found, shape, classes), shape)
        width = min(range(1, 200), key=lambda width: abs(macs(plain(shape[0], classes, width), shape) - target))
        return plain(shape[0], classes, width)
    return (resnet20 if name == "ResNet-20" else mobilenet)(shape[0], classes)


def trained(what: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Train one network on all images but those of the test part, and measure its test error."""
    torch.set_num_threads(what["threads"])
    source, seed = DataSource(what["data"]), what["seed"]
    train, test = load_train(source), load_test(source)
    pixels, labels = torch.from_numpy(train.pixels), torch.from_numpy(train.labels)
    normalise, shape = measure(pixels), (train.in_channels, train.resolution, train.resolution)
    recipe = RECIPES["short"].recipe.at(train.resolution, train.resolution)
    torch.manual_seed(seed)
    network = built(what["network"], found, shape, len(train.classes))
    counted = macs(network, shape)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    epochs = fit(network, pixels, labels, recipe, Budget(minutes=what["minutes"]), seed, normalise)
    wrong = predict(network, torch.from_numpy(test.pixels), normalise, 256).argmax(1) != torch.from_numpy(test.labels)
    return {
        **what,
        "params": sum(weight.numel() for weight in network.parameters()),
        "macs": counted,
        "epochs": sum(epoch.images for epoch in epochs) / len(train),
        "seconds": sum(epoch.seconds for epoch in epochs),
        "test_error": wrong.float().mean().item(),
    }


def searched(folder: Path, data: str, minutes: float) -> None:
    """Search in `folder`, or go on there, until the search is `minutes` old."""
    if not (folder / store.JOURNAL).exists():
        launch.search(data=data, minutes=minutes, out=folder)
    elif minutes * 60 > record.load(folder).elapsed:
        launch.resume(folder, minutes=minutes)


def architectures(folder: Path) -> dict[str, Any]:
    """The knee and the most accurate network of a search as JSON."""
    found = record.load(folder)
    trials = {words: choose(found, words) for words in FOUND}
    for words, trial in trials.items():
        print(f"{words}: trial {trial.number} of {len(found.trials)}, {dict(trial.values)}", flush=True)
    return {words: architecture_of(str(folder), trial.number).to_json() for words, trial in trials.items()}


def time_fit(minutes: float, data: str) -> None:
    """Run `frugalnas fit` as a user does, in a new folder, and print how long it took in all."""
    command = [Path(sys.executable).with_name("frugalnas"), "fit", "--data", data, "--minutes", str(minutes), "--json"]
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        done = subprocess.run([*command, "--out", folder], capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - start
    error = json.loads(done.stdout)["metrics"]["test"]["error"]
    print(
        f"fit --minutes {minutes:g}: {seconds:.1f} s, {seconds / minutes / 60:.1%} of it; error {error:.2%}", flush=True
    )


def identity(result: dict[str, Any]) -> str:
    """What makes a result the one that is wanted again."""
    return json.dumps([result[key] for key in ("network", "genotype", "seed", "data", "minutes", "threads")])


def table(results: Sequence[dict[str, Any]]) -> str:
    lines = ["| network | params | MACs | epochs done | test error |", "|---|---|---|---|---|"]
    for name in dict.fromkeys(result["network"] for result in results):
        own = [result for result in results if result["network"] == name]
        errors = [100 * result["test_error"] for result in own]
        spread = f" ± {stdev(errors):.2f}" if len(errors) > 1 else ""
        done = mean(result["epochs"] for result in own)
        size = f"{own[0]['params']:,} | {own[0]['macs'] / 1e6:.1f} M"
        lines.append(f"| {name} | {size} | {done:.1f} | {mean(errors):.2f} %{spread} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--search-minutes", type=float, default=5)
    parser.add_argument("--train-minutes", type=float, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--data", default="fashion-mini")
    parser.add_argument("--run", type=Path)
    parser.add_argument("--fit-minutes", type=float, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("runs/whole_path"))
    given = parser.parse_args()
    if given.fit_minutes:
        for minutes in given.fit_minutes:
            time_fit(minutes, given.data)
        return
    given.out.mkdir(parents=True, exist_ok=True)
    if not given.run:
        searched(given.out / "search", given.data, given.search_minutes)
    found = architectures(given.run or given.out / "search")
    if found["knee"] == found["most-accurate"]:
        print("the knee is the most accurate network")
        del found["most-accurate"]
    file = given.out / "results.jsonl"
    results = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    known = {identity(result): result for result in results}
    threads = 1 if given.jobs > 1 else torch.get_num_threads()
    wanted = [
        {"network": name, "genotype": found[name]["genotype"] if name in found else None, "seed": seed}
        | {"data": given.data, "minutes": given.train_minutes, "threads": threads}
        for seed in range(given.seeds)
        for name in (*found, *RIVALS)
    ]
    missing = [what for what in wanted if identity(what) not in known]
    with ProcessPoolExecutor(given.jobs, get_context("spawn")) as pool:
        for future in as_completed(pool.submit(trained, what, found) for what in missing):
            result = future.result()
            known[identity(result)] = result
            with file.open("a") as results_file:
                results_file.write(json.dumps(result) + "\n")
            print(f"{result['network']}, seed {result['seed']}: {100 * result['test_error']:.2f} %", flush=True)
    print(table([known[identity(what)] for what in wanted]))


if __name__ == "__main__":
    main()
