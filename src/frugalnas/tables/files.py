"""From a file to the benchmark in it, whatever its name: what a file is, its first bytes and its header say."""

from __future__ import annotations

import gzip
import zlib
from functools import lru_cache
from pathlib import Path

from frugalnas.core import InputError, nearest
from frugalnas.tables.benchmark import Benchmark
from frugalnas.tables.nasbench101 import is_records, read_records
from frugalnas.tables.nats import read_nats
from frugalnas.tables.separated import read_csv, read_json

_SUFFIXES = (".csv", ".gz", ".json", ".tfrecord", ".pbz2", ".pth")  # of what a mistyped name may stand for
_GZIP, _PICKLES = b"\x1f\x8b", (b"BZh", b"PK\x03\x04", b"\x80")


@lru_cache(maxsize=4)
def read(path: str, validation: str = "", test: str = "") -> Benchmark:
    """The benchmark in a file or folder, of a kind in `tables.benchmark.KINDS`; read once in a process.

    `validation` and `test` are the columns that errors and test errors are made from, "" the usual ones of its kind.
    Raises InputError for a file or a column that is not there, and for what is no such table. Nothing in a file is
    executed, not even in a pickle.
    """
    place = Path(path)
    try:
        if place.is_dir():
            return read_nats(place, validation, test)
        with place.open("rb") as file:
            head = file.read(16)
        if head.startswith(_PICKLES):
            return read_nats(place, validation, test)
        if is_records(head):
            return read_records(place, validation, test)
        text = _text(place.read_bytes())
    except FileNotFoundError:
        near = sorted(each.name for each in place.parent.glob("*") if each.suffix in _SUFFIXES)[:20]
        raise InputError(f"no table {path}" + (f": {nearest(place.name, near)}" if near else "")) from None
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise InputError(f"{path} is no table: {error}") from None
    reader = read_json if text.lstrip().startswith("{") else read_csv
    return reader(text, path, validation, test)


def _text(data: bytes) -> str:
    return (gzip.decompress(data) if data.startswith(_GZIP) else data).decode("utf-8-sig")
