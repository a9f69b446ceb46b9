"""Codes of activations, and what the factors of a multiplier make of them, for convolutions.

On a CPU with numba that is one pass over the floats; elsewhere torch does the same in several.
"""

# mypy: disable-error-code="no-untyped-def"
# In the kernels x is float32 (N, H, W * C), and out (N, H', W', channels) has a frame: (zero, top, left).

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from frugalnas.layers import lookup
from frugalnas.layers.packed import Codes, Planes


def places(x: Tensor, inverse: float, codes: Codes) -> Tensor:
    """Where the codes of floats are in tables: uint8, any shape. A number that is not one gets the lowest."""
    low, high = codes.low + codes.shift, codes.high + codes.shift
    made = torch.mul(x, inverse).add_(codes.place + 0.5)
    return made.nan_to_num_(low).clamp_(low, high).to(torch.uint8)


def planes_at(at: Tensor, planes: Planes) -> Tensor:
    """The planes of places (N, C, H, W): (N, groups * R * C / groups, H, W), in channels-last order."""
    n, channels, height, width = at.shape
    made = planes.levels[:, at.permute(0, 2, 3, 1).int()]  # (R, N, H, W, C)
    made = made.view(planes.rank, n, height, width, planes.groups, channels // planes.groups).permute(1, 2, 3, 4, 0, 5)
    return made.reshape(n, height, width, channels * planes.rank).permute(0, 3, 1, 2)


def planes_of(
    x: Tensor, inverse: float, codes: Codes, planes: Planes, dtype: torch.dtype, padding: tuple[int, int] = (0, 0)
) -> Tensor:
    """The planes of floats (N, C, H, W) in a frame of 0: (N, groups * R * C / groups, H', W') in channels-last order.

    Codes are rounded as `quantise.Range` defines; of a number that is not one it is the lowest.
    """
    n, channels, height, width = x.shape
    top, left = padding
    shape = (n, height + 2 * top, width + 2 * left, channels * planes.rank)
    made = torch.empty(shape, dtype=dtype, device=x.device)
    flat = x.detach().float().permute(0, 2, 3, 1)
    if not lookup.available() or x.device.type != "cpu":
        if top or left:
            made.fill_(planes.zero)
        _by_torch(places(flat, inverse, codes), planes, made[:, top : top + height, left : left + width])
        return made.permute(0, 3, 1, 2)
    rows = flat.contiguous().numpy().reshape(n, height, width * channels)
    numbers = (inverse, codes.place + 0.5, codes.low + codes.shift, codes.high + codes.shift)
    given = (rows, *map(np.float32, numbers), channels, planes.groups)
    out, frame = made.numpy(), (planes.zero, top, left)
    if planes.masks is None:
        lookup.compiled(_looked_up)(*given, planes.levels.numpy(), *frame, out)
        return made.permute(0, 3, 1, 2)
    masks, adds = planes.masks.numpy(), planes.adds.numpy()
    if planes.rank == 1:
        lookup.compiled(_masked)(*given, masks[0], adds[0], *frame, out)
    elif dtype == torch.uint8 and channels // planes.groups % 8 == 0:
        words = (np.repeat(values, 8).view(np.uint64) for values in (masks, adds))
        lookup.compiled(_words_masked)(*given, *words, *frame, out)
    else:
        lookup.compiled(_all_masked)(*given, masks, adds, *frame, out)
    return made.permute(0, 3, 1, 2)


def _by_torch(whole: Tensor, planes: Planes, made: Tensor) -> None:
    """Into `made` (N, H, W, channels) the planes of places uint8 (N, H, W, C)."""
    width = whole.shape[3] // planes.groups
    for group in range(planes.groups):
        at = whole[..., group * width : (group + 1) * width]
        for r in range(planes.rank):
            into = made[..., (group * planes.rank + r) * width :][..., :width]
            if planes.masks is None:
                into.copy_(planes.levels[r][at.int()])
            else:
                into.copy_(at & int(planes.masks[r])).add_(planes.adds[r])


def _masked(x, inverse, offset, low, high, channels, groups, mask, add, zero, top, left, out):
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


def _all_masked(x, inverse, offset, low, high, channels, groups, masks, adds, zero, top, left, out):
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


def _words_masked(x, inverse, offset, low, high, channels, groups, masks, adds, zero, top, left, out):
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


def _looked_up(x, inverse, offset, low, high, channels, groups, levels, zero, top, left, out):
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
