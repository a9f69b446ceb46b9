"""The official files of NAS-Bench-101, `nasbench_only108.tfrecord` and `nasbench_full.tfrecord`, without TensorFlow.

Ying et al., ICML 2019. A TFRecord file is a list of records: their length (8 bytes), its checksum, the bytes, their
checksum, all little-endian; checksums are CRC-32C, rotated by 15 bits and with a constant added. Here each record is a
training as JSON: the hash of the cell, epochs, adjacency matrix, operations, and base64 of a protocol buffer with the
accuracies at the begin, halfway and at the end. A cell was trained three times for 108 epochs, in the full file also
for 4, 12 and 36; the mean counts.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalnas.core import Genotype, InputError, nearest
from frugalnas.spaces.nasbench101 import NasBench101
from frugalnas.tables.benchmark import Benchmark, Entry, Row, benchmark_of

EPOCHS = (108, 36, 12, 4)
SPLITS = {"validation": 4, "test": 5}  # columns without their epochs: numbers of fields of the protocol buffer
FINAL = 2  # the last of the three evaluations of a training
MOST_BYTES = 1 << 20  # of a record; those of the benchmark have some 400
_BATCH = 1 << 12  # records whose checksums are computed together
_HEAD = 12  # bytes of a length and its checksum

Cell = tuple[str, str]  # adjacency matrix and operations as they stand in a record


def is_records(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a TFRecord file."""
    return len(head) >= _HEAD and _checksums([head[:8]])[0] == struct.unpack("<I", head[8:_HEAD])[0]


def read_records(path: Path, validation: str, test: str) -> Benchmark:
    """The benchmark in a file; "" stands for the columns after 108 epochs. Raises InputError."""
    columns = validation or "validation_108", test or "test_108"
    known = [f"{split}_{epochs}" for epochs in EPOCHS for split in SPLITS]
    for column in columns:
        if column not in known:
            raise InputError(f"{path} has no column {column!r}: {nearest(column, known)}")
    wanted = [(SPLITS[split], int(epochs)) for split, _, epochs in (column.partition("_") for column in columns)]
    space, sums = NasBench101(), dict[Cell, list[float]]()
    numbers: dict[Cell, int] = {}
    for number, record in enumerate(_records(path), start=1):
        cell, epochs, evaluation = _training(record, f"{path} record {number}")
        total = sums.setdefault(cell, [0.0] * 4)  # sum and number of each column
        numbers.setdefault(cell, number)
        for place, (field, after) in enumerate(wanted):
            if epochs == after:
                right = evaluation.get(field, -1.0)
                if not 0 <= right <= 1:
                    raise InputError(f"{path} record {number} has an accuracy of {right}: expected a share from 0 to 1")
                total[2 * place] += right
                total[2 * place + 1] += 1
    entries = (
        Entry(numbers[cell], _genotype(space, cell, f"{path} record {numbers[cell]}"), Row(*_errors(total)))
        for cell, total in sums.items()
        if total[1] and total[3]
    )
    return benchmark_of("nasbench101", space, entries, columns, str(path), "record")


def _errors(total: Sequence[float]) -> tuple[float, float]:
    return 1 - total[0] / total[1], 1 - total[2] / total[3]


def _genotype(space: NasBench101, cell: Cell, place: str) -> Genotype:
    bits, words = cell
    operations = words.split(",")
    size = len(operations)
    if len(bits) != size**2 or not {*bits} <= {"0", "1"}:
        raise InputError(f"{place} has a matrix of {len(bits)} bits for {size} operations: expected {size**2}")
    try:
        return space.encode([[int(bit) for bit in bits[row * size :][:size]] for row in range(size)], operations)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None


def _training(record: bytes, place: str) -> tuple[Cell, int, dict[int, float]]:
    """The cell, for how many epochs it was trained, and the doubles of the last evaluation by field."""
    try:
        _, epochs, matrix, operations, metrics = json.loads(record)
        evaluations = [value for field, value in _fields(base64.b64decode(metrics)) if field == 1]
        final = {field: value for field, value in _fields(evaluations[FINAL]) if isinstance(value, float)}
        if not (isinstance(epochs, int) and isinstance(matrix, str) and isinstance(operations, str)):
            raise TypeError("a cell of another type")
    except (ValueError, TypeError, LookupError, struct.error, RecursionError) as error:
        raise InputError(f"{place} is none of NAS-Bench-101: {type(error).__name__} {error}"[:300]) from None
    return (matrix, operations), epochs, final


def _fields(message: Any) -> Iterator[tuple[int, float | bytes | int]]:
    """The fields of a protocol buffer: doubles, bytes (also messages and texts), whole numbers."""
    if not isinstance(message, bytes):
        raise TypeError("expected a message")
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        match key & 7:
            case 0:
                whole, place = _varint(message, place)
                yield key >> 3, whole
            case 1:
                yield key >> 3, float(struct.unpack_from("<d", message, place)[0])
                place += 8
            case 2:
                length, place = _varint(message, place)
                if place + length > len(message):
                    raise ValueError("a field beyond the end")
                yield key >> 3, message[place : place + length]
                place += length
            case 5:
                place += 4
            case kind:
                raise ValueError(f"a field of the kind {kind}")


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """A whole number, seven bits a byte, and the place behind it."""
    value = 0
    for number, byte in enumerate(message[place : place + 10]):
        value |= (byte & 127) << 7 * number
        if byte < 128:
            return value, place + number + 1
    raise ValueError("a number without an end")


def _records(path: Path) -> Iterator[bytes]:
    """The records of a file, whose checksums are right."""
    with path.open("rb") as file:
        framed = iter(lambda: file.read(_HEAD), b"")
        number = 0
        while heads := [*islice(_framed(framed, file, path), _BATCH)]:
            lengths, records = zip(*heads, strict=True)
            found = [_checksums([head[:8] for head in lengths]), _checksums([record[:-4] for record in records])]
            said = [[head[8:] for head in lengths], [record[-4:] for record in records]]
            wrong = np.zeros(len(heads), bool)
            for right, words in zip(found, said, strict=True):
                wrong |= right != np.frombuffer(b"".join(words), "<u4")
            if wrong.any():
                raise InputError(
                    f"{path} is damaged: the checksum of record {number + int(wrong.argmax()) + 1} is wrong"
                )
            yield from (record[:-4] for record in records)
            number += len(heads)


def _framed(heads: Iterator[bytes], file: Any, path: Path) -> Iterator[tuple[bytes, bytes]]:
    """The head of each record, and the record with its checksum."""
    for head in heads:
        length = int.from_bytes(head[:8], "little")
        if len(head) < _HEAD or length > MOST_BYTES:
            raise InputError(f"{path} is damaged, or cut off: a record of {length} bytes")
        record = file.read(length + 4)
        if len(record) < length + 4:
            raise InputError(f"{path} is cut off within a record")
        yield head, record


@cache
def _table() -> NDArray[np.uint32]:
    """What a byte does to a checksum (CRC-32C, reversed polynomial 82F63B78)."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ np.uint32(0x82F63B78), table >> 1).astype(np.uint32)
    return table


def _checksums(blocks: Sequence[bytes]) -> NDArray[np.uint32]:
    """The masked checksum of each block, all computed at the same time, byte after byte: (blocks,)."""
    lengths = np.array([len(block) for block in blocks])
    longest = int(lengths.max())
    padded = b"".join(block.ljust(longest, b"\0") for block in blocks)
    columns = np.frombuffer(padded, np.uint8).reshape(len(blocks), longest).T  # (bytes, blocks)
    table = _table()
    crc: NDArray[Any] = np.full(len(blocks), 0xFFFFFFFF, np.uint32)
    for place, column in enumerate(columns):
        crc = np.where(place < lengths, table[(crc ^ column) & 0xFF] ^ crc >> 8, crc)
    crc = crc ^ np.uint32(0xFFFFFFFF)
    return np.asarray((crc >> 15 | crc << 17) + np.uint32(0xA282EAD8), np.uint32)
