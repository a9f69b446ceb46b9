"""What calibration, corrections and training through approximate multipliers recover of a network's error.

A residual network (ResNet-8: three stages of 16, 32 and 64 channels, one block each) is trained in float, then
converted to 8 bits with each multiplier in all of its layers but the classifier, which stays exact. Columns: as it is;
with corrected biases; with batch normalisations measured anew; and from there after some epochs through the
approximate forward pass, with the gradients of exact multipliers and with those of the multiplier's factors. The rows
of the exact multiplier, 8s-0-0-0, tell what the epochs alone are worth.

    python benchmarks/recovery.py [--data PATH] [--images 4000] [--epochs 8] [--finetune 2] [--seeds 3]

Prints a table in Markdown with validation errors in percent, means over the seeds and, with several, half the range.
With --energy instead the energy of the multiplications of one inference relative to exact multipliers, of the network
of the first seed: by the power for random operands, and by that for the operands that its layers really have.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from statistics import fmean

import torch
from torch import Tensor, nn

from frugalnas.core import Fidelity
from frugalnas.layers.activity import activity
from frugalnas.layers.approximated import approximated, correct_bias, multiplications, ranges, re_estimate
from frugalnas.layers.quantise import Range
from frugalnas.layers.straight_through import Gradient
from frugalnas.multipliers import Multiplier
from frugalnas.multipliers.library import find, relative_power
from frugalnas.objectives.energy import layer_energies
from frugalnas.tasks.classification import Classification
from frugalnas.tasks.data import DataSource
from frugalnas.tasks.recipe import Recipe

NAMES = ("8s-0-0-0", "8s-1-1-0", "8s-2-2-0", "8s-3-3-0", "8s-2-0-5", "8s-2-0-5+swap")
COLUMNS = ("as it is", "bias", "statistics", "exact gradients", "factor gradients")
TUNED_LR = 0.01


class Block(nn.Module):
    """relu(x + two 3x3 convolutions), with a 1x1 convolution on x where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        changes = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.path = nn.Identity() if inputs == outputs and stride == 1 else changes

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.path(x) + self.layers(x))


class ResNet8(nn.Module):
    """(N, C, H, W) -> logits (N, classes)."""

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(in_channels, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2))
        self.classifier = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.blocks(self.stem(x)).mean((2, 3)))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Setting:
    """What is trained on, for how long."""

    task: Classification
    float_training: Fidelity
    tuning: Fidelity

    def batches(self, count: int = 512) -> list[Tensor]:
        """Calibration images, normalised."""
        pixels, _ = self.task.sample("train", self.float_training, count)
        return [self.task.normalisation()(part) for part in torch.split(pixels, 64)]

    def error(self, network: nn.Module) -> float:
        """In percent, on the validation part."""
        return 100 * self.task.score(network, self.float_training)["error"]

    def trained(self, seed: int) -> nn.Module:
        """The float network."""
        torch.manual_seed(seed)
        facts = self.task.facts()
        parts = self.task.learner(self.task.attach(ResNet8(facts["in_channels"], facts["classes"])))
        self.task.fit(parts, self.float_training, seed)
        return parts.result.eval()

    def tuned(self, network: nn.Module, seed: int) -> nn.Module:
        """A copy of the network after some epochs more, through the forward pass that it has."""
        recipe = replace(self.task.recipe, lr=TUNED_LR, warmup=0.0)
        task = replace(self.task, recipe=recipe)
        parts = task.learner(deepcopy(network).train())
        task.fit(parts, self.tuning, seed)
        return parts.result


def recovered(setting: Setting, network: nn.Module, multiplier: Multiplier, seed: int) -> list[float]:
    """The errors of `COLUMNS`."""
    batches = setting.batches()
    found = ranges(network, batches)
    convert = converter(network, multiplier, found)
    plain, biased, measured = convert("factors"), convert("factors"), convert("factors")
    correct_bias(biased, batches)
    re_estimate(measured, batches)
    errors = [setting.error(each) for each in (plain, biased, measured)]
    for gradient in ("exact", "factors"):
        start = convert(gradient)
        re_estimate(start, batches)
        errors.append(setting.error(setting.tuned(start, seed)))
    return errors


def converter(network: nn.Module, multiplier: Multiplier, found: dict[str, Range]) -> Callable[[Gradient], nn.Module]:
    """A function from the kind of gradients to the converted network."""
    chosen = {name: multiplier for name in found if name != "classifier"} | {"classifier": find("8s-0-0-0")}
    return lambda gradient: approximated(network, chosen, found, gradient=gradient)


def energies(setting: Setting, names: Sequence[str]) -> list[tuple[str, float, float]]:
    """Of each multiplier the relative energy for random operands and for those of the network."""
    network, batches = setting.trained(0), setting.batches(128)
    found = ranges(network, batches)
    times = multiplications(network, batches[0].shape[1:])

    def of(name: str) -> Mapping[str, float]:
        made = approximated(network, dict.fromkeys(found, find(name)), found)
        re_estimate(made, batches)
        return activity(made, batches)

    exact = of("8s-0-0-0")
    rows = []
    for name in names:
        powers = {layer: power / exact[layer] for layer, power in of(name).items()}
        energy = sum(layer_energies(times, powers).values()) / sum(times.values())
        rows.append((name, relative_power(find(name)), energy))
    return rows


def words(values: Sequence[float]) -> str:
    """A mean and half the range."""
    spread = f" ± {(max(values) - min(values)) / 2:.1f}" if len(values) > 1 else ""
    return f"{fmean(values):.1f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fashion-mini", help="a data set's name, a folder or an .npz file")
    parser.add_argument("--images", type=int, default=4000, help="training images, at most")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--finetune", type=int, default=2, help="epochs through the approximate forward pass")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--multipliers", default=",".join(NAMES))
    parser.add_argument("--energy", action="store_true", help="energies instead of errors")
    given = parser.parse_args()
    task = Classification(DataSource(given.data), Recipe(batch=64, lr=0.1), device="cpu")
    share = min(1.0, given.images / task.counts()["train"])
    fidelity = Fidelity(epochs=given.epochs, samples=share)
    setting = Setting(task, fidelity, replace(fidelity, epochs=given.finetune))
    if given.energy:
        print("| multiplier | random operands | operands of the network |\n|---|---|---|")
        for name, uniform, real in energies(setting, given.multipliers.split(",")):
            print(f"| {name} | {uniform:.2f} | {real:.2f} |")
        return
    began, floats = time.monotonic(), list[float]()
    rows: dict[str, list[list[float]]] = {name: [] for name in given.multipliers.split(",")}
    for seed in range(given.seeds):
        network = setting.trained(seed)
        floats.append(setting.error(network))
        for name in rows:
            rows[name].append(recovered(setting, network, find(name), seed))
            print(f"seed {seed}, {name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    trained = len(task.images("train", fidelity)[1])
    print(
        f"{given.data}: {trained:,} training images, {task.counts()['validation']:,} validation images, {given.epochs} "
        f"epochs in float, {given.finetune} through the multipliers, {given.seeds} seeds, "
        f"{(time.monotonic() - began) / 60:.0f} min; float error {words(floats)} %\n"
    )
    print(f"| multiplier | {' | '.join(COLUMNS)} |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for name, errors in rows.items():
        print(f"| {name} | {' | '.join(map(words, zip(*errors, strict=True)))} |")


if __name__ == "__main__":
    main()
