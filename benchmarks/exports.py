"""Every export of one trained network beside eager PyTorch: size, difference, agreement, error, latency, export time.

    python benchmarks/exports.py [--model runs/shoes/trained/trial-17]
    python benchmarks/exports.py [--minutes 5] [--network EEEA-C] [--channels 16] [--cells 8]

Without --model it trains a published network on the shipped images. Each format is checked on the shipped test images;
its latency is the median of one image on one thread, taken in turn with eager PyTorch. Formats that are not installed
are named. Prints a table in markdown. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from frugalnas import zoo
from frugalnas.export import FORMATS, Exported, export, missing
from frugalnas.model import Model
from frugalnas.tasks.data import DataSource
from frugalnas.tasks.labelled import load_labelled
from frugalnas.training import RECIPES, train

COLUMNS = ("format", "KiB", "largest difference", "agreement", "error", "ms", "eager ms", "eager / export", "export s")


def trained(options: argparse.Namespace, folder: Path) -> Model:
    if options.model:
        return Model.load(options.model)
    architecture = zoo.load(options.network, channels=options.channels, cells=options.cells)
    print(f"training {options.network} for {options.minutes} minutes", file=sys.stderr)
    recipe = RECIPES["short"].recipe
    return train(architecture, DataSource(), recipe, minutes=options.minutes, seed=options.seed, out=folder).model


def say(words: str) -> None:
    print(f"exporting {words}", file=sys.stderr)


def row(each: Exported) -> str:
    if each.error:
        return f"| {each.format} | {each.error} |" + " |" * (len(COLUMNS) - 2)
    cells = (
        each.format,
        f"{each.bytes / 1024:,.0f}",
        f"{each.largest_difference:.1g}",
        f"{100 * each.agreement:.2f} %",
        f"{100 * (1 - each.accuracy):.2f} %",
        f"{each.latency_ms:.2f}",
        f"{each.eager_ms:.2f}",
        f"{each.eager_ms / each.latency_ms:.1f}",
        f"{each.seconds:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a training's folder or model.safetensors, of shipped images")
    parser.add_argument("--minutes", type=float, default=5.0, help="of training, without --model")
    parser.add_argument("--network", default="EEEA-C")
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", action="append", choices=[*FORMATS], help="default: all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = trained(options, Path(folder) / "trained")
        source = DataSource(resolution=model.shape[1])
        _, images = load_labelled(source, model.classes, model.shape[0], "test")
        _, calibration = load_labelled(source, model.classes, model.shape[0], "train")
        formats = options.format or [*FORMATS]
        for line in filter(None, map(missing, formats)):
            print(line, file=sys.stderr)
        present = [name for name in formats if not missing(name)]
        found = export(model, present, Path(folder), images, calibration, say)
    count = model.architecture.space.count(model.architecture.genotype)
    print(f"{count.params:,} parameters ({count.model_bytes / 1024:,.0f} KiB of tensors), {count.macs:,} MACs")
    print(f"{len(images):,} test images")
    if good := [each for each in found if not each.error]:
        print(f"error of eager PyTorch: {100 * (1 - good[0].eager_accuracy):.2f} %")
    print(f"\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for each in found:
        print(row(each))


if __name__ == "__main__":
    main()
