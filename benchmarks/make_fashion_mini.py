"""Make the data set that ships with FrugalNAS: a balanced subset of Fashion-MNIST, the first images of every class.

    python benchmarks/make_fashion_mini.py /usr/share/datasets/fashion-mnist

The folder holds the four original idx files (Debian: `apt install dataset-fashion-mnist`). Training images come from
the original training part and test images from the original test part, in their original order; the output is the same
for the same numpy and zlib. Plain npz takes 436 bytes an image; PNG sheets take 389 and lossless WebP 376, which is
not worth a second format.
"""

import sys
from pathlib import Path

import numpy as np

from frugalnas.tasks.named import FASHION_CLASSES, read_idx_part

OUTPUT = Path(__file__).parents[1] / "src/frugalnas/tasks/shipped/fashion_mini.npz"
PER_CLASS = {"train": 1000, "test": 250}


def first_of_each_class(labels: np.ndarray, count: int) -> np.ndarray:
    """Indices, ascending, of the first `count` images of every class."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]))


def main(folder: Path) -> None:
    members: dict[str, np.ndarray] = {"class_names": np.array(FASHION_CLASSES)}
    for part, count in PER_CLASS.items():
        pixels, labels = read_idx_part(folder, "train" if part == "train" else "test")
        keep = first_of_each_class(labels, count)
        members |= {f"x_{part}": pixels[keep], f"y_{part}": labels[keep]}
    np.savez_compressed(OUTPUT, **members)
    print(f"{OUTPUT.name}: {OUTPUT.stat().st_size:,} bytes, {[len(members[f'y_{part}']) for part in PER_CLASS]} images")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: make_fashion_mini.py FOLDER_OF_IDX_FILES")
    main(Path(sys.argv[1]))
