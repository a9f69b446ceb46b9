"""The official files of NAS-Bench-201 and NATS-Bench: accuracies of every epoch of every training.

Dong and Yang, ICLR 2020; Dong, Liu, Musial and Gabrys, IEEE TPAMI 2021. Read are the folders `NATS-tss-...-simple` and
`NATS-sss-...-simple`, in which each architecture has a file; the files `NATS-...pickle.pbz2`, which have all of them;
and `NAS-Bench-201-v1_0-....pth`, `...v1_1-....pth`. Columns are named as in the tables as CSV: data set, split, epochs
of the training, so `c10_val_200`; the accuracy is that after the last epoch, the mean of all trainings.

The validation accuracy on CIFAR-10 is of networks trained on half of the training set, the test accuracy of networks
trained on all of it, as in the papers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from frugalnas.core import InputError, nearest
from frugalnas.spaces.nasbench201 import NasBench201
from frugalnas.spaces.nats_size import NatsSize
from frugalnas.tables.benchmark import Benchmark, Entry, Row, benchmark_of
from frugalnas.tables.pickled import read_pickle

SUFFIX = ".pickle.pbz2"
SPLITS = {
    "c10_val": ("cifar10-valid", "x-valid"),
    "c10_test": ("cifar10", "ori-test"),
    "c100_val": ("cifar100", "x-valid"),
    "c100_test": ("cifar100", "x-test"),
    "in16_val": ("ImageNet16-120", "x-valid"),
    "in16_test": ("ImageNet16-120", "x-test"),
}
"""Columns without their epochs: what the networks were trained on, and what the accuracy is of."""
TRAININGS = {"less": "12", "full": "200"}  # epochs of what NAS-Bench-201 calls so
USUAL = {"nasbench201": ("c10_val_200", "c10_test_200"), "nats_size": ("c10_val_90", "c10_test_90")}
SPACES: dict[str, NasBench201 | NatsSize] = {"nasbench201": NasBench201(), "nats_size": NatsSize()}

Trainings = Mapping[str, Mapping[str, Any]]  # of one architecture, by their epochs
Architecture = tuple[int, str, Trainings]  # with its number and its name


def read_nats(path: Path, validation: str, test: str) -> Benchmark:
    """The benchmark in a folder or a file; "" stands for the usual columns. Raises InputError."""
    architectures = _of_folder(path) if path.is_dir() else _of_file(path)
    try:
        first = next(architectures, None)
        if first is None:
            raise InputError(f"{path} has no rows")
        kind = "nats_size" if ":" in first[1] else "nasbench201"
        columns = validation or USUAL[kind][0], test or USUAL[kind][1]
        known = [f"{split}_{epochs}" for epochs in first[2] for split in SPLITS]
        for column in columns:
            if column not in known:
                raise InputError(f"{path} has no column {column!r}: {nearest(column, known)}")
        entries = (_entry(SPACES[kind], each, columns, path) for each in chain([first], architectures))
        return benchmark_of(kind, SPACES[kind], entries, columns, str(path), "architecture")
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not as NATS-Bench writes it: {type(error).__name__} {error}"[:300]) from None


def _entry(space: NasBench201 | NatsSize, architecture: Architecture, columns: Sequence[str], path: Path) -> Entry:
    number, name, trainings = architecture
    errors = [_error(trainings, column, f"{path} architecture {number}") for column in columns]
    return Entry(number, space.from_string(name), Row(*errors))


def _error(trainings: Trainings, column: str, place: str) -> float:
    """The share that the mean accuracy leaves."""
    split, _, epochs = column.rpartition("_")
    data, part = SPLITS[split]
    results = trainings[epochs]
    seeds = results["dataset_seed"].get(data, ())
    right = [_last(results["all_results"][data, seed], part) for seed in seeds]
    if not right or not all(0 <= each <= 100 for each in right):
        raise InputError(f"{place} has {right} as {column}: expected accuracies in per cent, 0 to 100")
    return (100 - sum(right) / len(right)) / 100


def _last(result: Mapping[str, Any], part: str) -> float:
    """The accuracy after the last epoch, in per cent."""
    return float(result["eval_acc1es"][f"{part}@{result['epochs'] - 1}"])


def _of_folder(path: Path) -> Iterator[Architecture]:
    files = sorted(file for file in path.glob(f"*{SUFFIX}") if file.name.removesuffix(SUFFIX).isdecimal())
    if not files:
        raise InputError(f"{path} is a folder without files such as 000000{SUFFIX}: expected NATS-...-simple")
    for file in files:
        yield _architecture(int(file.name.removesuffix(SUFFIX)), read_pickle(file), file)


def _of_file(path: Path) -> Iterator[Architecture]:
    content = read_pickle(path)
    architectures = content.get("arch2infos") if isinstance(content, Mapping) else None
    if not isinstance(architectures, Mapping):
        raise InputError(f"{path} is no table: expected a file of NATS-Bench or NAS-Bench-201, with arch2infos")
    for number, trainings in architectures.items():
        yield _architecture(number, trainings, path)


def _architecture(number: int, trainings: object, path: Path) -> Architecture:
    if not isinstance(trainings, Mapping) or not trainings:
        raise InputError(f"{path} is not as NATS-Bench writes it: expected trainings by their epochs")
    named = {TRAININGS.get(str(epochs), str(epochs)): results for epochs, results in trainings.items()}
    return number, str(next(iter(named.values()))["arch_str"]), named
