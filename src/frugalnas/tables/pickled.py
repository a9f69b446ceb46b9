"""The one door for pickles, as which the official files of NATS-Bench and NAS-Bench-201 come: plain data and no more.

Unpickling runs what a pickle names. Here it can name ordered dictionaries, sets and numbers of NumPy, which are all
that these files need, and for the numbers stand-ins are called. Everything else is refused before it is looked up.
"""

from __future__ import annotations

import bz2
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from frugalnas.core import InputError

_TORCH_MAGIC = 0x1950A86A20F9469CFC6C  # the first of the pickles in a file that torch.save wrote before version 1.6
_NUMBERS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")


class _Kind:
    """Stands in for numpy.dtype."""

    def __init__(self, code: str, *_: object) -> None:
        self.code = code

    def __setstate__(self, state: tuple[object, ...]) -> None:
        if state[1] not in ("<", "|"):
            raise pickle.UnpicklingError("numbers in another byte order")


def _number(kind: _Kind, raw: bytes) -> Any:
    """Stands in for what makes a number of NumPy."""
    if type(kind) is not _Kind or kind.code not in _NUMBERS or type(raw) is not bytes:
        raise pickle.UnpicklingError("a value of NumPy that is no number")
    return np.frombuffer(raw, f"<{kind.code}", 1)[0].item()


def _encoded(text: str, codec: str) -> bytes:
    """Bytes, as the second version of the protocol writes them."""
    if type(text) is not str or codec not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("a text that is no bytes")
    return text.encode("latin-1")


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("numpy", "dtype"): _Kind,
    ("numpy.core.multiarray", "scalar"): _number,
    ("numpy._core.multiarray", "scalar"): _number,
    ("_codecs", "encode"): _encoded,
}


class _Refused(Exception):
    """The pickle names what it must not."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """What a pickle may name; refuses all else without importing it."""
        if (module, name) not in _ALLOWED:
            raise _Refused(f"names {module}.{name}"[:120])
        return _ALLOWED[module, name]

    def persistent_load(self, pid: object) -> Any:
        raise _Refused("has the weights of networks")


def read_pickle(path: Path) -> Any:
    """The content of a pickle, also compressed by bzip2, or of a file that torch.save wrote.

    Raises InputError where it needs anything but plain data, and for what is no such file.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
            file.seek(0)
            if start.startswith(b"BZh"):
                with bz2.BZ2File(file) as content:
                    return _loaded(content)
            if start.startswith(b"PK"):
                return _zipped(file)
            return _loaded(file)
    except _Refused as error:
        raise InputError(f"{path} {error}, which no table of a benchmark needs: it is refused") from None
    except (OSError, EOFError, MemoryError) as error:
        raise InputError(f"{path} is no table: {error}") from None
    except Exception as error:  # a damaged pickle fails in any way
        raise InputError(f"{path} is no table: {type(error).__name__} {error}"[:300]) from None


def _loaded(file: Any) -> Any:
    first = _Unpickler(file).load()
    if first != _TORCH_MAGIC:
        return first
    for _ in range(2):  # the version of the format, and of the system
        _Unpickler(file).load()
    return _Unpickler(file).load()


def _zipped(file: BinaryIO) -> Any:
    """The content of a file as torch.save writes it now."""
    with zipfile.ZipFile(file) as archive:
        name = next((name for name in archive.namelist() if name.endswith("data.pkl")), None)
        if name is None:
            raise InputError("a zip file without data.pkl")
        with archive.open(name) as content:
            return _Unpickler(content).load()
