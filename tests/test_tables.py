"""Tables of trained networks, in files as the benchmarks publish them, which the tests write; hostile ones too."""

from __future__ import annotations

import base64
import bz2
import csv
import gzip
import io
import itertools
import json
import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from frugalnas import config
from frugalnas.compare import equal
from frugalnas.compare.tables import searched, truth_of
from frugalnas.core import Candidate, InputError
from frugalnas.estimators.table import NotInTable, Table
from frugalnas.spaces import SPACES, darts
from frugalnas.spaces.cell import OPERATION_LISTS, CellSpace
from frugalnas.spaces.nasbench101 import NasBench101
from frugalnas.spaces.nasbench201 import NasBench201
from frugalnas.spaces.nasbench_macro import NasBenchMacro
from frugalnas.spaces.nats_size import NatsSize
from frugalnas.tables import Row, read
from table import rows, written


def saved(path: Path, lines: list[list[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


MACRO = [["arch", "acc1", "acc2", "acc3", "params", "flops"], ["22212220", 93, 93.2, 93.4, 1, 1]]
DARTS_CELLS = (
    "max_pool_3x3:0 skip_connect:1 sep_conv_3x3:2 sep_conv_5x5:0 sep_conv_3x3:1 max_pool_3x3:0 sep_conv_5x5:0 "
    "max_pool_3x3:2",
    "sep_conv_5x5:1 avg_pool_3x3:0 skip_connect:0 dil_conv_3x3:2 avg_pool_3x3:1 dil_conv_3x3:2 skip_connect:1 "
    "sep_conv_3x3:3",
)
DARTS = [["normal", "reduce", "test_acc_600", "best_test_acc"], [*DARTS_CELLS, 97.02, 97.06]]


def row_of(benchmark: Any, genotype: tuple[int, ...]) -> tuple[float, float]:
    row = benchmark.rows[benchmark.networks.canonical(genotype)]
    return row.error, row.test_error


# Text


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "macro"])
def test_a_table_of_nas_bench_macro_has_the_mean_of_three_trainings(tmp_path: Path, name: str) -> None:
    benchmark = read(saved(tmp_path / name, MACRO))
    assert (benchmark.kind, benchmark.validation, benchmark.test) == ("nasbench_macro", "mean_acc", "mean_acc")
    assert row_of(benchmark, (2, 2, 2, 1, 2, 2, 2, 0)) == pytest.approx((0.068, 0.068))
    assert row_of(benchmark, (2, 2, 2, 1, 2, 2, 0, 2)) == pytest.approx((0.068, 0.068))  # the same network
    other = read(str(tmp_path / name), "acc1", "acc2")
    assert row_of(other, (2, 2, 2, 1, 2, 2, 2, 0)) == pytest.approx((0.07, 0.068))


def test_the_json_of_nas_bench_macro_says_the_same(tmp_path: Path) -> None:
    content = {"22212220": {"test_acc": [93, 93.2, 93.4], "mean_acc": 93.2, "std": 0.1, "params": 1, "flops": 1}}
    (tmp_path / "t.json").write_text(json.dumps(content))
    assert read(str(tmp_path / "t.json")).rows == read(saved(tmp_path / "t.csv", MACRO)).rows
    assert read(str(tmp_path / "t.json"), "acc1").validation == "acc1"


def test_a_table_of_darts_networks_has_the_last_test_accuracy(tmp_path: Path) -> None:
    benchmark = read(saved(tmp_path / "t.csv", DARTS))
    genotype = darts.from_words(*DARTS_CELLS)
    assert (benchmark.kind, benchmark.networks) == ("darts", darts.DARTS)
    assert row_of(benchmark, genotype) == pytest.approx((0.0298, 0.0298))
    assert row_of(read(str(tmp_path / "t.csv"), "best_test_acc"), genotype) == pytest.approx((0.0294, 0.0298))


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_a_table_of_nas_bench_201(tmp_path: Path, name: str) -> None:
    benchmark = read(str(written(tmp_path / name, 50)))
    assert (benchmark.kind, benchmark.validation, benchmark.test) == ("nasbench201", "c10_val_200", "c10_test_200")
    assert benchmark.rows == {
        genes: Row((100 - validation) / 100, (100 - test) / 100) for genes, (validation, test) in rows(50).items()
    }


@pytest.mark.parametrize("lines", [MACRO, DARTS])
def test_the_space_of_a_table_is_a_section_of_a_configuration(tmp_path: Path, lines: list[list[object]]) -> None:
    benchmark = read(saved(tmp_path / "t.csv", lines))
    assert config.part("space", benchmark.space, "space") == benchmark.space
    facts = {"in_channels": 1, "classes": 7, "resolution": 8}
    space = config.make("space", benchmark.space, facts)
    assert space.domains == benchmark.networks.domains and space.classes == 7
    assert not {*facts} & {*benchmark.space} and benchmark.space["type"] in SPACES
    benchmark.check(space)


@pytest.mark.parametrize(
    ("lines", "columns", "message"),
    [
        ([*MACRO, ["22212202", 93, 93.2, 93.4, 1, 1]], (), ""),  # isomorphic, and the same accuracies
        ([*MACRO, ["22212202", 93, 93.2, 99, 1, 1]], (), "line 3: the network of line 2 again, with other accuracies"),
        ([*MACRO, ["22212220", 1, 2, 3, 1, 1]], (), "line 3: the network of line 2 again, with other accuracies"),
        (
            [*MACRO, ["2221222", 93, 93.2, 93.4, 1, 1]],
            (),
            "line 3: '2221222' is no architecture: expected eight digits",
        ),
        ([*MACRO, ["22212223", 93, 93.2, 93.4, 1, 1]], (), "line 3: '22212223' is no architecture"),
        ([*MACRO, ["22212221", 93, "nan", 93.4, 1, 1]], (), "line 3: 93, nan, 93.4: expected accuracies in per cent"),
        ([*MACRO, ["22212221", 93, 93.2, 93.4]], (), "line 3 has 4 cells: expected 6"),
        (MACRO, ("acc4",), "has no column 'acc4': did you mean 'acc"),
        (MACRO, ("mean",), "has no column 'mean': did you mean 'mean_acc'"),
        ([DARTS[0], ["max_pool_3x3:0", DARTS_CELLS[1], 97, 97]], (), "line 2: the normal cell has 1 edges: expected 8"),
        ([DARTS[0], [DARTS_CELLS[0], "none" + DARTS_CELLS[1], 97, 97]], (), "line 2: .* operation 'nonesep_conv_5x5'"),
        ([["architecture", "accuracy"], ["a", 1]], (), "columns are 'architecture, accuracy'; known are NAS-Bench-101"),
        ([["arch", "error"], ["a", 1]], (), "no known table: .*CSV with arch, acc1, acc2, acc3; networks of the DARTS"),
    ],
)
def test_wrong_lines_are_named(
    tmp_path: Path, lines: list[list[object]], columns: tuple[str, ...], message: str
) -> None:
    path = saved(tmp_path / "t.csv", lines)
    if not message:
        assert len(read(path, *columns).rows) == 1
        return
    with pytest.raises(InputError, match=message) as error:
        read(path, *columns)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no known table: its columns are ''"),
        ("{", "not the JSON of NAS-Bench-Macro: JSONDecodeError"),
        ("[1]", "no known table"),
        ("{}", "has no rows"),
        ('{"00000000": {"test_acc": [1, 2]}}', "not the JSON of NAS-Bench-Macro: ValueError"),
        ('{"00000000": {"acc": [1, 2, 3]}}', "not the JSON of NAS-Bench-Macro: KeyError 'test_acc'"),
        ('{"00000000": 3}', "not the JSON of NAS-Bench-Macro: TypeError"),
        ('{"0000": {"test_acc": [1, 2, 3]}}', "entry 1: '0000' is no architecture"),
        ('{"00000000": {"test_acc": [1, 2, 300]}}', "entry 1: 1, 2, 300: expected accuracies in per cent"),
        ("[" * 99_999, "no known table"),
        ('{"a":' * 99_999, "not the JSON of NAS-Bench-Macro: RecursionError"),
    ],
)
def test_other_texts_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read(str(tmp_path / "t"))
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000


# NAS-Bench-101

SPACE101 = NasBench101()
CHAIN = ([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["input", "conv3x3-bn-relu", "output"])
POOL = ([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["input", "maxpool3x3", "output"])
ONE = ([[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0] * 4], ["input", "conv1x1-bn-relu", "maxpool3x3", "output"])
SAME = ([[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0] * 4], ["input", "maxpool3x3", "conv1x1-bn-relu", "output"])


def checksum(data: bytes) -> int:
    """CRC-32C bit by bit, masked."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def framed(*records: bytes) -> bytes:
    heads = [struct.pack("<Q", len(record)) for record in records]
    return b"".join(
        head + struct.pack("<I", checksum(head)) + record + struct.pack("<I", checksum(record))
        for head, record in zip(heads, records, strict=True)
    )


def evaluation(validation: float, test: float) -> bytes:
    doubles = enumerate((108.0, 1155.8, 1.0, validation, test), start=1)
    message = b"".join(bytes([number << 3 | 1]) + struct.pack("<d", value) for number, value in doubles)
    message += b"\x32\x01x"  # a path
    return b"\x0a" + bytes([len(message)]) + message


def record(cell: Any, validation: float, test: float, epochs: int = 108) -> bytes:
    matrix, operations = cell
    evaluations = evaluation(0.1, 0.1) + evaluation(0.5, 0.5) + evaluation(validation, test)
    metrics = evaluations + b"\x10\x8a\xb9\xa4\x01" + b"\x19" + struct.pack("<d", 2000.0)  # parameters, time
    text = "".join(str(bit) for row in matrix for bit in row), ",".join(operations)
    return json.dumps(["hash", epochs, *text, base64.b64encode(metrics).decode()]).encode()


def test_the_checksum_is_the_published_one() -> None:
    crc = 0xE3069283  # of 123456789
    assert checksum(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_records_of_nas_bench_101(tmp_path: Path) -> None:
    path = tmp_path / "nasbench_only108.tfrecord"
    trained = [(CHAIN, 0.9, 0.8), (POOL, 0.5, 0.4), (CHAIN, 0.92, 0.82), (ONE, 0.7, 0.6), (CHAIN, 0.94, 0.84)]
    path.write_bytes(framed(*(record(*each) for each in trained), record(CHAIN, 0.3, 0.2, epochs=4)))
    benchmark = read(str(path))
    assert (benchmark.kind, benchmark.validation, len(benchmark.rows)) == ("nasbench101", "validation_108", 3)
    assert row_of(benchmark, SPACE101.encode(*CHAIN)) == pytest.approx((0.08, 0.18))
    assert row_of(benchmark, SPACE101.encode(*SAME)) == pytest.approx((0.3, 0.4))
    after4 = read(str(path), "validation_4", "test_4")
    assert list(after4.rows.values()) == [Row(pytest.approx(0.7), pytest.approx(0.8))]  # type: ignore[arg-type]
    values = Table(str(path)).evaluate(Candidate(SPACE101.encode(*SAME)), SPACE101, 0)
    assert values == {"error": pytest.approx(0.3), "test_error": pytest.approx(0.4)}


def test_many_records_are_checked_in_parts(tmp_path: Path) -> None:
    """More than are read at a time, of different lengths."""
    good = [record(CHAIN, 0.5, 0.5)] * 4999
    data = framed(good[0])
    path = tmp_path / "t"
    path.write_bytes(data * 4999 + framed(record(POOL, 0.75, 0.25)))
    assert row_of(read(str(path)), SPACE101.encode(*POOL)) == (0.25, 0.75)
    path = tmp_path / "damaged"
    path.write_bytes(data * 4500 + data[:-9] + b"?" + data[-8:] + data)
    with pytest.raises(InputError, match="the checksum of record 4501 is wrong"):
        read(str(path))


WHOLE = framed(record(CHAIN, 0.9, 0.8), record(POOL, 0.9, 0.8))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (WHOLE[:-3], "is cut off within a record"),
        (WHOLE + WHOLE[:9], "is damaged, or cut off"),
        (
            WHOLE + struct.pack("<Q", 1 << 60) + b"0000" + WHOLE,
            "is damaged, or cut off: a record of 1152921504606846976",
        ),
        (framed(b"{}"), "record 1 is none of NAS-Bench-101"),
        (framed(b"\xff"), "record 1 is none of NAS-Bench-101: UnicodeDecodeError"),
        (framed(b'["h",108,"0","input,output","AAAA"]'), "record 1 is none of NAS-Bench-101"),
        (framed(b'["h",108,"0","input,output","CgA="]'), "record 1 is none of NAS-Bench-101: IndexError"),
        (framed(b'["h",108,"0","input,output",3]'), "record 1 is none of NAS-Bench-101: TypeError"),
        (framed(b'["h",108,"0","input,output","Cv////////////8="]'), "record 1 is none of NAS-Bench-101: ValueError"),
        (framed(record(CHAIN, 0.9, 1.5)), "record 1 has an accuracy of 1.5: expected a share"),
        (framed(record(([[0, 1]], ["input", "output"]), 0.9, 0.8)), "a matrix of 2 bits for 2 operations: expected 4"),
        (framed(record((CHAIN[0], ["input", "conv5x5", "output"]), 0.9, 0.8)), "record 1: unknown operation 'conv5x5'"),
        (framed(record(([[0, 0]] * 2, ["input", "output"]), 0.9, 0.8)), "record 1: the cell has no path"),
        (framed(record(CHAIN, 0.9, 0.8, epochs=4)), "has no rows"),
    ],
)
def test_other_records_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "t").write_bytes(data)
    with pytest.raises(InputError, match=message) as error:
        read(str(tmp_path / "t"))
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


def test_a_column_that_nas_bench_101_lacks_is_named(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(WHOLE)
    with pytest.raises(InputError, match="has no column 'validation_100': did you mean 'validation_108'"):
        read(str(tmp_path / "t"), "validation_100")


# NAS-Bench-201 and NATS-Bench

BEST = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"


def trainings(name: str, number: int, epochs: tuple[str, ...], accuracy: float, exact: type = float) -> dict[str, Any]:
    """What the benchmark keeps of an architecture: by epochs, data set and seed accuracies after each epoch."""
    parts = {
        "cifar10-valid": ("x-valid", "ori-test"),
        "cifar10": ("ori-test",),
        "cifar100": ("x-valid", "x-test", "ori-test"),
        "ImageNet16-120": ("x-valid", "x-test", "ori-test"),
    }
    result = OrderedDict()
    for turn, hp in enumerate(epochs):
        last = {"less": 12, "full": 200}.get(hp) or int(hp)
        results = {}
        for place, (data, names) in enumerate(parts.items()):
            for seed in (777, 888):
                right = accuracy + 10 * turn - place + (seed - 777) / 111
                curve = {f"{part}@{last - 1}": exact(right + n) for n, part in enumerate(names)}
                curve |= {f"{part}@{epoch}": exact(3) for part in names for epoch in range(last - 1)}
                results[data, seed] = {
                    **{"name": data, "net_state_dict": None, "train_acc1es": {0: exact(1)}, "latency": [0.01]},
                    **{"eval_names": list(names), "eval_acc1es": curve, "epochs": last, "seed": str(seed)},
                }
        seeds = {data: [777, 888] for data in parts}
        result[hp] = {"arch_index": number, "arch_str": name, "all_results": results, "dataset_seed": seeds}
    return result


def packed(path: Path, content: object, protocol: int = 4) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bz2.compress(pickle.dumps(content, protocol)))
    return str(path)


@pytest.mark.parametrize(("protocol", "exact"), [(4, float), (4, np.float64), (2, np.float32), (5, np.float64)])
def test_a_folder_of_nats_bench(tmp_path: Path, protocol: int, exact: type) -> None:
    folder = tmp_path / "NATS-tss-v1_0-3ffb9-simple"
    meta = {"meta_archs": [BEST], "total_archs": 1, "arch2infos": None, "evaluated_indexes": {1}}
    packed(folder / "meta.pickle.pbz2", meta, protocol)
    packed(folder / "006111.pickle.pbz2", trainings(BEST, 6111, ("12", "200"), 60, exact), protocol)
    benchmark = read(str(folder))
    assert (benchmark.kind, benchmark.networks, benchmark.test) == ("nasbench201", NasBench201(), "c10_test_200")
    # the mean of two trainings: of data set i, split n after 200 epochs 70 - i + n + 0.5
    assert row_of(benchmark, (3, 3, 3, 1, 3, 2)) == pytest.approx((1 - 0.705, 1 - 0.695), abs=1e-7)
    other = read(str(folder), "c100_test_12", "in16_val_12")
    assert row_of(other, (3, 3, 3, 1, 3, 2)) == pytest.approx((1 - 0.595, 1 - 0.575), abs=1e-7)


def test_a_file_of_nats_bench_with_the_size_space(tmp_path: Path) -> None:
    names = ["8:8:8:8:8", "8:8:8:8:16"]
    infos = {number: trainings(name, number, ("01", "12", "90"), 40 + number) for number, name in enumerate(names)}
    content = {"meta_archs": names, "total_archs": 2, "arch2infos": infos, "evaluated_indexes": {0, 1}}
    benchmark = read(packed(tmp_path / "NATS-sss-v1_0-50262.pickle.pbz2", content))
    assert (benchmark.kind, benchmark.networks, benchmark.validation) == ("nats_size", NatsSize(), "c10_val_90")
    assert row_of(benchmark, (0, 0, 0, 0, 1)) == pytest.approx((1 - 0.615, 1 - 0.605))
    with pytest.raises(InputError, match="has no column 'c10_val_200': did you mean"):
        read(str(tmp_path / "NATS-sss-v1_0-50262.pickle.pbz2"), "c10_val_200")


@pytest.mark.parametrize("zipped", [False, True])
def test_a_file_of_nas_bench_201_that_torch_saved(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "NAS-Bench-201-v1_1-096897.pth"
    infos = {6111: trainings(BEST, 6111, ("less", "full"), 60)}
    content = {"meta_archs": [BEST], "total_archs": 1, "arch2infos": infos, "evaluated_indexes": {6111}}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert row_of(read(str(path)), (3, 3, 3, 1, 3, 2)) == pytest.approx((1 - 0.705, 1 - 0.695))
    assert row_of(read(str(path), "c10_val_12"), (3, 3, 3, 1, 3, 2)) == pytest.approx((1 - 0.605, 1 - 0.695))


class Runs:
    """A pickle that calls something when it is read."""

    def __init__(self, function: Any, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def hostile(marker: Path) -> list[object]:
    """What would make the file `marker`, or could be used to."""
    return [
        Runs(os.system, f"touch {marker}"),
        Runs(eval, f"open({str(marker)!r}, 'w')"),
        Runs(exec, f"open({str(marker)!r}, 'w')"),
        Runs(open, str(marker), "w"),
        Runs(getattr, OrderedDict, "fromkeys"),
        Runs(OrderedDict.fromkeys, "ab"),
        Runs(np.load, "x.npy"),
        Runs(torch.load, "x.pt"),
        {"arch2infos": {0: [Runs(Path.touch, marker)]}},
        np.arange(3),
        np.datetime64("2020-01-01"),
        torch.zeros(3),
        Path("x"),
    ]


@pytest.mark.parametrize("number", range(13))
@pytest.mark.parametrize("kind", ["folder", "bz2", "plain", "torch", "old torch"])
def test_a_pickle_that_would_run_something_is_refused_unrun(tmp_path: Path, kind: str, number: int) -> None:
    marker, path = tmp_path / "ran", tmp_path / "t"
    content = hostile(marker)[number]
    match kind:
        case "folder":
            packed(path / "000000.pickle.pbz2", content)
        case "bz2":
            packed(path, content)
        case "plain":
            path.write_bytes(pickle.dumps(content))
        case _:
            torch.save(content, path, _use_new_zipfile_serialization=kind == "torch")
    with pytest.raises(InputError) as error:
        read(str(path))
    assert not marker.exists() and "\n" not in str(error.value) and len(str(error.value)) < 500
    assert str(path) in str(error.value)


def test_what_a_refused_pickle_names_is_said(tmp_path: Path) -> None:
    path = packed(tmp_path / "t", Runs(os.system, "true"))
    with pytest.raises(InputError, match=r"t names posix\.system, which no table of a benchmark needs: it is refused"):
        read(path)


GOOD = {"arch2infos": {0: trainings(BEST, 0, ("12", "200"), 60)}}


def without(key: str) -> dict[str, Any]:
    content: dict[str, Any] = pickle.loads(pickle.dumps(GOOD))
    for results in content["arch2infos"][0].values():
        del results[key]
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "expected a file of NATS-Bench or NAS-Bench-201, with arch2infos"),
        ([1], "expected a file of NATS-Bench"),
        ({"arch2infos": {}}, "has no rows"),
        ({"arch2infos": {0: {}}}, "is not as NATS-Bench writes it: expected trainings by their epochs"),
        ({"arch2infos": {0: 3}}, "is not as NATS-Bench writes it: expected trainings by their epochs"),
        ({"arch2infos": {0: {"12": 3}}}, "is not as NATS-Bench writes it: TypeError"),
        (without("arch_str"), "is not as NATS-Bench writes it: KeyError 'arch_str'"),
        (without("all_results"), "is not as NATS-Bench writes it: KeyError 'all_results'"),
        (without("dataset_seed"), "is not as NATS-Bench writes it: KeyError 'dataset_seed'"),
        ({"arch2infos": {0: trainings("|a~0|", 0, ("12", "200"), 60)}}, "unknown operation 'a'"),
        ({"arch2infos": {0: trainings("8:9:8:8:8", 0, ("12", "90"), 60)}}, "'8:9:8:8:8' is no architecture"),
        (
            {"arch2infos": {0: trainings(BEST, 0, ("12", "200"), 95)}},
            r"architecture 0 has \[105.0, 106.0\] as c10_val_200",
        ),
        ({"arch2infos": {7: trainings(BEST, 0, ("12",), 60)}}, "no column 'c10_val_200': did you mean 'c10_val_12'"),
    ],
)
def test_pickles_of_something_else_are_refused(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        read(packed(tmp_path / "t", content))
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


def test_damaged_pickles_and_empty_folders_are_refused(tmp_path: Path) -> None:
    whole = pickle.dumps(GOOD)
    rng = np.random.default_rng(0)
    for number, cut in enumerate(rng.integers(1, len(whole), 30).tolist()):
        changed = bytearray(whole)
        changed[cut] ^= 255
        for kind, data in {"cut": whole[:cut], "changed": bytes(changed)}.items():
            path = tmp_path / f"{kind}{number}"
            path.write_bytes(data)
            try:
                read(str(path))
            except InputError as error:
                assert "\n" not in str(error)
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="a folder without files such as 000000.pickle.pbz2"):
        read(str(tmp_path / "folder"))
    packed(tmp_path / "folder" / "000000.pickle.pbz2", [])
    with pytest.raises(InputError, match="expected trainings by their epochs"):
        read(str(tmp_path / "folder"))


# What a table is for


def test_a_candidate_of_another_space_is_refused_and_one_of_another_size_is_not(tmp_path: Path) -> None:
    table = Table(saved(tmp_path / "t.csv", DARTS))
    genotype = darts.from_words(*DARTS_CELLS)
    small = CellSpace(darts.DARTS.operations, inputs="full", concat="all", channels=4, cells=3, classes=7)
    assert table.evaluate(Candidate(genotype), small, 0)["error"] == pytest.approx(0.0298)
    other = CellSpace(OPERATION_LISTS["darts"], inputs="full", concat="all")
    with pytest.raises(InputError, match="networks of the space 'cell' with operations = "):
        table.evaluate(Candidate((0,) * len(other.domains)), other, 0)
    with pytest.raises(InputError, match="with concat = all, not loose"):
        table.evaluate(Candidate(genotype), CellSpace(darts.DARTS.operations, inputs="full"), 0)
    with pytest.raises(InputError, match="'cell', not of NasBenchMacro"):
        table.evaluate(Candidate((0,) * 8), NasBenchMacro(), 0)
    with pytest.raises(NotInTable, match=r"the network 0 0 .* is not in the table t\.csv"):
        table.evaluate(Candidate((0,) * len(small.domains)), small, 0)


def test_methods_can_be_compared_on_any_table(tmp_path: Path) -> None:
    space = NasBenchMacro()
    lines: list[list[object]] = [MACRO[0]]
    for genotype in itertools.product(range(3), repeat=8):
        right = 60 + 2 * sum(genotype)
        lines.append([space.to_string(genotype), right, right, right, 1, 1])
    plan = equal.plan(["amoebanet"], layers=[{"trials": 30}], table={"path": saved(tmp_path / "t.csv", lines)})
    tree = plan.search("amoebanet", 0)
    assert tree["space"] == {"type": "nasbench_macro", "channels": 32}
    assert (tree["estimators"][0]["validation"], plan.referee) == ("mean_acc", "table (mean_acc)")
    run, truth = searched(tree), truth_of(tree)
    assert (run.spent_trials, run.failed) == (30, 0) and min(run.values)[0] < 0.3
    assert (truth.size, truth.space, truth.best[0]) == (3969, 3969, pytest.approx(0.08))
