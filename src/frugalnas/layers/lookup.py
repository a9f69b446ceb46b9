"""Kernels compiled by numba: codes of activations, and sums of looked-up products, on CPU cores.

`pip install 'frugalnas[approximate]'` brings numba; without it `planes` runs on torch, and there is no `sums`.
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
    from frugalnas.layers.packed import Codes, Packed, Planes

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
def _compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
    import numba

    compiled: Callable[..., Any] = numba.njit(nogil=True)(kernel)
    return compiled


def planes(
    x: Tensor, inverse: float, codes: Codes, planes: Planes, dtype: torch.dtype, padding: tuple[int, int] = (0, 0)
) -> Tensor:
    """The planes of floats (N, C, H, W) in a frame of 0: (N, groups * R * C / groups, H', W') in channels-last order.

    Codes are rounded as `quantise.Range` defines; of a number that is not one it is the lowest.
    """
    n, channels, height, width = x.shape
    numbers = (
        inverse,
        codes.place + 0.5,
        float(codes.low + codes.shift),
        float(codes.high + codes.shift),
    )
    top, left = padding
    shape = (n, height + 2 * top, width + 2 * left, channels * planes.rank)
    made = torch.empty(shape, dtype=dtype, device=x.device)
    flat = x.detach().float().permute(0, 2, 3, 1)
    if not available() or x.device.type != "cpu":
        if top or left:
            made.fill_(planes.zero)
        _by_torch(flat, numbers, planes, made[:, top : top + height, left : left + width])
        return made.permute(0, 3, 1, 2)
    rows = flat.contiguous().numpy().reshape(n, height, width * channels)
    given = (rows, *map(np.float32, numbers), channels, planes.groups)
    out, frame = made.numpy(), (planes.zero, top, left)
    if planes.masks is None:
        _compiled(_looked_up)(*given, planes.levels.numpy(), *frame, out)
        return made.permute(0, 3, 1, 2)
    masks, adds = planes.masks.numpy(), planes.adds.numpy()
    if planes.rank == 1:
        _compiled(_masked)(*given, masks[0], adds[0], *frame, out)
    elif dtype == torch.uint8 and channels // planes.groups % 8 == 0:
        words = (np.repeat(values, 8).view(np.uint64) for values in (masks, adds))
        _compiled(_words_masked)(*given, *words, *frame, out)
    else:
        _compiled(_all_masked)(*given, masks, adds, *frame, out)
    return made.permute(0, 3, 1, 2)


def _by_torch(x: Tensor, numbers: tuple[float, ...], planes: Planes, made: Tensor) -> None:
    """Into `made` (N, H, W, channels) the planes of x (N, H, W, C)."""
    inverse, offset, low, high = numbers
    places = torch.mul(x, inverse).add_(offset).nan_to_num_(low).clamp_(low, high).to(torch.uint8)
    width = x.shape[3] // planes.groups
    for group in range(planes.groups):
        at = places[..., group * width : (group + 1) * width]
        for r in range(planes.rank):
            into = made[..., (group * planes.rank + r) * width :][..., :width]
            if planes.masks is None:
                into.copy_(planes.levels[r][at.int()])
            else:
                into.copy_(at & int(planes.masks[r])).add_(planes.adds[r])


# In the kernels x is float32 (N, H, W * C), and out (N, H', W', channels) has a frame: (zero, top, left).


def _masked(x, inverse, offset, low, high, channels, groups, mask, add, zero, top, left, out):  # type: ignore[no-untyped-def]
    n, height, size = x.shape
    first = left * channels
    for image in range(n):
        out[image, :top] = zero
        out[image, top + height :] = zero
        for y in range(height):
            row, into = x[image, y], out[image, top + y].reshape(-1)
            into[:first] = zero
            into[first + size :] = zero
            into = into[first : first + size]
            for i in range(size):
                place = np.uint8(np.int32(min(max(np.float32(row[i] * inverse) + offset, low), high)))
                into[i] = (place & mask) + add


def _all_masked(x, inverse, offset, low, high, channels, groups, masks, adds, zero, top, left, out):  # type: ignore[no-untyped-def]
    n, height, size = x.shape
    pixels, width, rank = size // channels, channels // groups, masks.size
    places = np.empty(size, dtype=np.uint8)
    for image in range(n):
        out[image, :top] = zero
        out[image, top + height :] = zero
        for y in range(height):
            row = x[image, y]
            for i in range(size):
                places[i] = np.uint8(np.int32(min(max(np.float32(row[i] * inverse) + offset, low), high)))
            out[image, top + y, :left] = zero
            out[image, top + y, left + pixels :] = zero
            for p in range(pixels):
                into = out[image, top + y, left + p]
                for g in range(groups):
                    for r in range(rank):
                        start = (g * rank + r) * width
                        for c in range(width):
                            into[start + c] = (places[p * channels + g * width + c] & masks[r]) + adds[r]


def _words_masked(x, inverse, offset, low, high, channels, groups, masks, adds, zero, top, left, out):  # type: ignore[no-untyped-def]
    """Eight places at a time; no sum carries into the next one."""
    n, height, size = x.shape
    pixels, width, rank = size // channels, channels // groups // 8, masks.size
    places = np.empty(size, dtype=np.uint8)
    words = places.view(np.uint64)
    for image in range(n):
        out[image, :top] = zero
        out[image, top + height :] = zero
        for y in range(height):
            row = x[image, y]
            for i in range(size):
                places[i] = np.uint8(np.int32(min(max(np.float32(row[i] * inverse) + offset, low), high)))
            out[image, top + y, :left] = zero
            out[image, top + y, left + pixels :] = zero
            into = out[image, top + y, left : left + pixels].reshape(-1).view(np.uint64)
            for p in range(pixels * groups):
                for r in range(rank):
                    mask, add = masks[r], adds[r]
                    for c in range(width):
                        into[(p * rank + r) * width + c] = (words[p * width + c] & mask) + add


def _looked_up(x, inverse, offset, low, high, channels, groups, levels, zero, top, left, out):  # type: ignore[no-untyped-def]
    n, height, size = x.shape
    pixels, width, rank = size // channels, channels // groups, len(levels)
    places = np.empty(size, dtype=np.uint8)
    for image in range(n):
        out[image, :top] = zero
        out[image, top + height :] = zero
        for y in range(height):
            row = x[image, y]
            for i in range(size):
                places[i] = np.uint8(np.int32(min(max(np.float32(row[i] * inverse) + offset, low), high)))
            out[image, top + y, :left] = zero
            out[image, top + y, left + pixels :] = zero
            for p in range(pixels):
                into = out[image, top + y, left + p]
                for g in range(groups):
                    for r in range(rank):
                        level = levels[r]
                        start = (g * rank + r) * width
                        for c in range(width):
                            into[start + c] = level[places[p * channels + g * width + c]]


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
    run, weights = _compiled(_wide_sums if wide else _narrow_sums), packed.weight.numpy()
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
                    for p in range(cols):
                        i = p * step
                        total[r, p] += one[a[i]] + two[b[i]] + three[c[i]] + four[d[i]]
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
