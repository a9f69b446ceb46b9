"""From a file to the benchmark in it, whatever its name: what a file is, its first bytes and its header say."""

from __future__ import annotations

import gzip
import zlib
from functools import lru_cache
from pathlib import Path

from frugalnas.core import InputError, nearest
from frugalnas.tables.benchmark import Benchmark
from frugalnas.tables.separated import read_csv

_GZIP = b"\x1f\x8b"


@lru_cache(maxsize=4)
def read(path: str, validation: str = "", test: str = "") -> Benchmark:
    """The benchmark in a file; read once in a process.

    `validation` and `test` are the columns that errors and test errors are made from, "" the usual ones of its kind.
    Raises InputError for a file or a column that is not there, and for what is no such table.
    """
    return read_csv(_text(Path(path)), path, validation, test)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if data.startswith(_GZIP) else data).decode("utf-8-sig")
    except FileNotFoundError:
        near = sorted(each.name for each in path.parent.glob("*"))
        raise InputError(f"no table {path}" + (f": {nearest(path.name, near)}" if near else "")) from None
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise InputError(f"{path} is no table: {error}") from None
