"""Kernels compiled by numba: sums of looked-up products on CPU cores. Needs `pip install 'frugalnas[approximate]'`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from frugalnas.core import InputError

if TYPE_CHECKING:
    from frugalnas.layers.products import Packed


@cache
def available() -> bool:
    """Whether numba is installed."""
    return find_spec("numba") is not None


def require() -> None:
    """Raises InputError where numba is missing."""
    if not available():
        raise InputError("path 'table' needs numba: pip install 'frugalnas[approximate]'; 'gather' runs without")


@cache
def _compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
    import numba

    compiled: Callable[..., Any] = numba.njit(nogil=True, boundscheck=False)(kernel)
    return compiled


def sums(
    patterns: Tensor,
    packed: Packed,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    result: Tensor,
) -> None:
    """Into `result` (N, O, H', W'), int32 or int64, the sums of looked-up products of uint8 patterns (N, C, H, W)."""
    x = patterns.contiguous().numpy()
    weights = packed.weight.numpy()
    columns = np.ascontiguousarray(packed.levels.numpy().T)
    kernel = (*packed.shape[2:], *stride, *padding, *dilation)
    _compiled(_column_sums)(
        x, weights, columns, packed.groups, np.array(kernel, dtype=np.int64), packed.pad_code & 255, result.numpy()
    )


def _column_sums(x, weights, columns, groups, kernel, pad, result):  # type: ignore[no-untyped-def]
    """Of each image: its windows as a matrix (K, P), then for each weight one column of the table over the pixels."""
    kh, kw, sy, sx, py, px, dy, dx = kernel
    n, channels, height, width = x.shape
    out, rows, cols = result.shape[1:]
    depth, per_group = channels // groups, out // groups
    windows = np.empty((depth * kh * kw, rows * cols), dtype=np.uint8)
    total = np.empty(rows * cols, dtype=result.dtype)
    for image in range(n):
        for group in range(groups):
            for channel in range(depth):
                for i in range(kh):
                    for j in range(kw):
                        window = windows[(channel * kh + i) * kw + j]
                        for r in range(rows):
                            y = r * sy - py + i * dy
                            for c in range(cols):
                                z = c * sx - px + j * dx
                                inside = 0 <= y < height and 0 <= z < width
                                window[r * cols + c] = x[image, group * depth + channel, y, z] if inside else pad
            for o in range(group * per_group, (group + 1) * per_group):
                total[:] = 0
                for k in range(depth * kh * kw):
                    column = columns[weights[o, k]]
                    window = windows[k]
                    for p in range(rows * cols):
                        total[p] += column[window[p]]
                result[image, o] = total.reshape(rows, cols)
