"""How well cheap estimators order trained networks, on three tables: NAS-Bench-201, NAS-Bench-Macro, 150 DARTS cells.

    python benchmarks/ranking.py --data DATA                 the table of all estimators
    python benchmarks/ranking.py --data DATA --study 100     which choices of random-weight evaluation matter

DATA holds cifar10_15k.npz and nasbench/*.csv.gz. Networks are rated on CIFAR-10 images, at the size at which they were
trained; those of DARTS at 16 channels and 8 cells. Every part is a study of `frugalnas rank` in a folder of its own,
with a page; one that is there already goes on. The ceiling on DARTS cells is what a second training of the same
networks reaches, Spearman 0.758.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from frugalnas import config, rank
from frugalnas.store import JOURNAL

CHEAP = (
    *("grad_norm", "snip", "fisher", "zico", "jacob_cov", "synflow", "zen", "naswot", "swap", "meco"),
    *("az_expressivity", "az_progressivity", "az_trainability"),
)
SPANNED = ("fit", "freedom", "log_determinant", "effective_rank")
TABLES = {
    "nasbench201": ("nasbench201_10000.csv.gz", 300, {}),
    "macro": ("nasbench_macro_cifar10.csv.gz", 120, {}),
    "darts": ("darts_150.csv", 150, {"width": 16, "depth": 8}),
}
SHALLOW = {"fidelity": {"depth": 1}}  # one cell a stage, a fifth of the time
AS_PUBLISHED = {"scores": ["error", "fit"], "features": "last", "pool": 1, "images": 1024, "head": "sgd"}
STUDY = {  # one choice is changed at a time
    "one cell a stage": {},
    "five cells a stage": {"fidelity": {}},
    "half the width": {"fidelity": {"depth": 1, "width": 8}},
    "16 pixels": {"fidelity": {"depth": 1, "resolution": 16}},
    "128 images": {"images": 128},
    "1024 images": {"images": 1024},
    "last maps": {"features": "last"},
    "averaged to 1x1": {"pool": 1},
    "statistics of the batch": {"normalisation": "batch"},
    "running statistics 0 and 1": {"normalisation": "default"},
    "default initialisation": {"init": "default"},
    "orthogonal": {"init": "orthogonal"},
    "penalty 1e-2": {"penalty": 1e-2},
    "3 draws": {"draws": 3},
    "as published": AS_PUBLISHED,
    "as published, five cells": AS_PUBLISHED | {"fidelity": {}},
}


def estimators(fidelity: dict[str, int]) -> dict[str, dict[str, object]]:
    """Sections of a configuration by label. Half the usual batch at DARTS' cells, which take long."""
    few = {"images": 32} if fidelity else {}
    return {
        "zero_cost": {"type": "zero_cost", "scores": [*CHEAP], "fidelity": fidelity} | few,
        "random_weights": {"type": "random_weights", "scores": [*SPANNED], "fidelity": fidelity},
        "auto": {"type": "auto", "fidelity": fidelity},
    }


def study() -> dict[str, dict[str, object]]:
    """Random-weight evaluation in many ways, by label."""
    return {label: {"type": "random_weights", "scores": [*SPANNED]} | SHALLOW | given for label, given in STUDY.items()}


def ranked(table: Path, images: Path, asked: dict[str, dict[str, object]], count: int, out: Path) -> str:
    """What a study finds, as text; it is begun in `out`, or goes on there."""
    if (out / JOURNAL).exists():
        found = rank.resume(out)
    else:
        tables = "\n".join(_toml(label, section) for label, section in asked.items())
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "estimators.toml"
            file.write_text(tables, encoding="utf-8")
            given = config.options(data=str(images))
            tree, note = rank.study_of(rank.from_table(str(table)), "", count, file, [given])
        found = rank.begin(tree, note, out)
    return rank.ending_of(found.findings, found.ended)


def _toml(label: str, section: dict[str, object]) -> str:
    lines = [f"{key} = {_value(value)}" for key, value in {**section, "label": label}.items()]
    return "\n".join(["[[estimators]]", *lines])


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with images and tables")
    parser.add_argument("--out", type=Path, default=Path("runs/ranking"), help="where the studies go")
    parser.add_argument("--tables", nargs="+", choices=[*TABLES], default=[*TABLES])
    parser.add_argument("--count", type=int, help="networks of each table, instead of 300, 120 and 150")
    parser.add_argument("--study", type=int, metavar="N", help="instead: the study, on N networks of NAS-Bench-201")
    given = parser.parse_args()
    images, folder = given.data / "cifar10_15k.npz", given.data / "nasbench"
    if given.study:
        print(ranked(folder / TABLES["nasbench201"][0], images, study(), given.study, given.out / "study"))
        return
    for name in given.tables:
        file, count, fidelity = TABLES[name]
        print(f"\n{name}\n")
        print(ranked(folder / file, images, estimators(fidelity), given.count or count, given.out / name))


if __name__ == "__main__":
    main()
