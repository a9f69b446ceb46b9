"""Sums of looked-up products on CPU cores, by kernels that numba compiles; the one door to numba.

`pip install 'frugalnas[approximate]'` brings it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from frugalnas.core import InputError

if TYPE_CHECKING:
    from frugalnas.layers.packed import Packed

WIDE = 8  # output channels of a group from which products are looked up for all of them at once


@cache
def available() -> bool:
    """Whether numba is installed."""
    return find_spec("numba") is not None


def require() -> None:
    """Raises InputError where numba is missing."""
    if not available():
        raise InputError("path 'table' needs numba: pip install 'frugalnas[approximate]'; 'gather' runs without")


@cache
def compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The function in machine code, compiled at its first call with arguments of each type; frees the GIL."""
    import numba

    made: Callable[..., Any] = numba.njit(nogil=True)(kernel)
    return made


def sums(
    at: Tensor,
    packed: Packed,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    sides: tuple[int, int],
) -> Tensor:
    """The sums (N, O, *sides) of looked-up products of places uint8 (N, C, H, W): int32, or int64 where needed.

    Images are shared out among as many threads as torch uses.
    """
    if packed.table is None:
        raise AssertionError
    wide = packed.shape[0] // packed.groups >= WIDE and packed.narrow
    order = torch.channels_last if wide else torch.contiguous_format
    kind = torch.int32 if packed.narrow else torch.int64
    made = torch.empty((len(at), packed.shape[0], *sides), dtype=kind, memory_format=order)
    zero = packed.codes.place
    framed = F.pad(at, (padding[1], padding[1], padding[0], padding[0]), value=zero).contiguous(memory_format=order)
    x, out = (t.permute(0, 2, 3, 1).numpy() if wide else t.numpy() for t in (framed, made))
    n, channels, height, width = framed.shape
    table = packed.table.numpy()
    if not wide:
        table = np.ascontiguousarray(table.T)
    elif table.min() >= -(1 << 15) and table.max() < 1 << 15:
        table = table.astype(np.int16)
    # of each place in a window its channel, row and column, and how far that is from the window's first number
    strides = (1, width * channels, channels) if wide else (height * width, width, 1)
    each = np.stack(np.meshgrid(*map(np.arange, packed.shape[1:]), indexing="ij")).reshape(3, -1)
    offsets = each[0] * strides[0] + each[1] * dilation[0] * strides[1] + each[2] * dilation[1] * strides[2]
    steps = np.array((stride[0] * strides[1], stride[1] * strides[2]), dtype=np.int64)
    run, weights = compiled(_wide_sums if wide else _narrow_sums), packed.weight.numpy()
    threads = min(n, torch.get_num_threads())
    bounds = [n * i // threads for i in range(threads + 1)] if threads else [0]
    shares = [(x[a:b], weights, table, packed.groups, offsets, steps, out[a:b]) for a, b in pairwise(bounds)]
    if len(shares) < 2:
        for share in shares:
            run(*share)
        return made
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda share: run(*share), shares))
    return made


def _narrow_sums(x, weights, columns, groups, offsets, steps, out):  # type: ignore[no-untyped-def]
    """For each weight its column of products (256,), over rows of pixels; four weights at a time."""
    outputs, rows, cols = out.shape[1:]
    depth, per_group, count = x.shape[1] // groups, outputs // groups, offsets.size
    whole, step = count // 4 * 4, steps[1]
    for image in range(len(x)):
        for o in range(outputs):
            pixels = x[image, o // per_group * depth :].reshape(-1)
            total = out[image, o]
            total[:] = 0
            for k in range(0, whole, 4):
                one, two = columns[weights[o, k]], columns[weights[o, k + 1]]
                three, four = columns[weights[o, k + 2]], columns[weights[o, k + 3]]
                for r in range(rows):
                    a, b = pixels[offsets[k] + r * steps[0] :], pixels[offsets[k + 1] + r * steps[0] :]
                    c, d = pixels[offsets[k + 2] + r * steps[0] :], pixels[offsets[k + 3] + r * steps[0] :]
                    row = total[r]
                    if step == 1:
                        for p in range(cols):
                            row[p] += one[a[p]] + two[b[p]] + three[c[p]] + four[d[p]]
                    else:
                        for p in range(cols):
                            i = p * step
                            row[p] += one[a[i]] + two[b[i]] + three[c[i]] + four[d[i]]
            for k in range(whole, count):
                one = columns[weights[o, k]]
                for r in range(rows):
                    a = pixels[offsets[k] + r * steps[0] :]
                    for p in range(cols):
                        total[r, p] += one[a[p * step]]


def _wide_sums(x, weights, table, groups, offsets, steps, out):  # type: ignore[no-untyped-def]
    """For each place in the window the products of all codes with the weights of all output channels, (256, O); then of
    these one row for each pixel, additions of whole vectors without a look-up of each. Four places at a time."""
    n, rows, cols, outputs = out.shape
    depth, per_group, count = x.shape[3] // groups, outputs // groups, offsets.size
    image_size = x.shape[1] * x.shape[2] * x.shape[3]
    x = x.reshape(-1)
    pixels = n * rows * cols
    out = out.reshape(pixels, outputs)
    firsts = np.empty(pixels, dtype=np.int64)  # the first pixel of each window
    for image in range(n):
        for r in range(rows):
            for c in range(cols):
                firsts[(image * rows + r) * cols + c] = image * image_size + r * steps[0] + c * steps[1]
    block = min(pixels, 4096)
    products = np.zeros((4, 256, per_group), dtype=table.dtype)
    total = np.empty((block, per_group), dtype=out.dtype)
    for group in range(groups):
        chosen = weights[group * per_group : (group + 1) * per_group]
        for first in range(0, pixels, block):
            size = min(block, pixels - first)
            total[:] = 0
            for start in range(0, count, 4):
                for q in range(4):
                    if start + q >= count:
                        products[q] = 0
                    else:
                        for a in range(256):
                            for o in range(per_group):
                                products[q, a, o] = table[a, chosen[o, start + q]]
                last = count - 1
                a = group * depth + offsets[start]
                b = group * depth + offsets[min(start + 1, last)]
                c = group * depth + offsets[min(start + 2, last)]
                d = group * depth + offsets[min(start + 3, last)]
                for p in range(size):
                    at = firsts[first + p]
                    row = total[p]
                    one, two = products[0, x[at + a]], products[1, x[at + b]]
                    three, four = products[2, x[at + c]], products[3, x[at + d]]
                    for o in range(per_group):
                        row[o] += (np.int32(one[o]) + np.int32(two[o])) + (np.int32(three[o]) + np.int32(four[o]))
            for p in range(size):
                for o in range(per_group):
                    out[first + p, group * per_group + o] = total[p, o]
