"""The images that a process has in memory: read once from their files, or provided by another process. Needs no torch.

What is made of them, such as tensors on a device, is `derived` and goes with them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import ParamSpec, TypeVar, cast

from frugalnas.tasks.data import DataSource, Images, load_search

Parts = tuple[Images, Images]
_Arguments = ParamSpec("_Arguments")
_Made = TypeVar("_Made")
_provided: dict[DataSource, Parts] = {}
_clear: list[Callable[[], None]] = []


def parts(source: DataSource) -> Parts:
    """The training and the validation images of `source`. Raises InputError as `load_search` does."""
    return _provided.get(source) or _read(source)


def provide(source: DataSource, images: Parts) -> None:
    """Make `images`, whose arrays may be read-only, the parts of `source` in this process, until they are forgotten.

    For a worker where the files are not. What was derived from other images is let go of; the same ones change nothing.
    """
    if _provided.get(source) is not images:
        forget()
        _provided[source] = images


def forget() -> None:
    """Let go of all images in memory: the next use reads them from their files again, which may have changed."""
    _provided.clear()
    for clear in (_read.cache_clear, *_clear):
        clear()


def derived(most: int) -> Callable[[Callable[_Arguments, _Made]], Callable[_Arguments, _Made]]:
    """Decorator of a function whose latest `most` results are kept until the images are forgotten."""

    def kept(function: Callable[_Arguments, _Made]) -> Callable[_Arguments, _Made]:
        cached = lru_cache(maxsize=most)(function)
        _clear.append(cached.cache_clear)
        return cast("Callable[_Arguments, _Made]", cached)

    return kept


@lru_cache(maxsize=2)
def _read(source: DataSource) -> Parts:
    return load_search(source)
