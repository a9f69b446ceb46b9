"""Sums of products of an approximate multiplier over convolution windows, exact to the last bit.

Three paths give the same integers. "factored": the product table is a sum of few products U_r(a) * V_r(b), so that the
sum over a window is one ordinary convolution of stacked planes U_r(x) with weights V_r(w); floating point is exact
because no partial sum can leave the integers that it represents, whatever the order (`Choice.bound`). "table": a
compiled look-up kernel on the CPU (`layers.lookup`). "gather": torch indexing on any device, the reference.

Padding holds a code too (`pad_code`, what stands for the number 0) and goes through the multiplier like any other, so
that tables where 0 * b is not 0 are emulated as a circuit would compute them. All paths work on sums less what the
padding code would give in every place, `Packed.constant`: with that, padding is zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from frugalnas.core import InputError, nearest
from frugalnas.layers import lookup
from frugalnas.multipliers import Multiplier

Path = Literal["auto", "factored", "table", "gather"]
Size = int | tuple[int, int]
PATHS = ("auto", "factored", "table", "gather")
EXACT = {torch.float32: 1 << 24, torch.float64: 1 << 53}  # integers below are exact, and so are sums of them
GATHERED = 1 << 21  # products that the gather looks up at a time


@dataclass(frozen=True, slots=True)
class Choice:
    """How a layer sums its products. `bound`: no partial sum of a chunk is larger; `chunks`: parts of the window's sum
    that are convolved one by one, each exact in `dtype`. `rank`: None where the table has no factors in use."""

    path: Literal["factored", "table", "gather"]
    rank: int | None
    dtype: str
    bound: int
    chunks: int = 1

    def __str__(self) -> str:
        if self.path != "factored":
            return f"{self.path}, |sum| <= {self.bound}"
        parts = f" in {self.chunks} chunks" if self.chunks > 1 else ""
        return f"factored, rank {self.rank}, {self.dtype}{parts}, exact: |sum| <= {self.bound}"


@dataclass(frozen=True, eq=False)
class Packed:
    """Weights made ready for one multiplier. `shape`: (O, C / groups, kh, kw) of the codes.

    `weight`: for the factored path V_r(w) (O, R * C / groups, kh, kw), else bit patterns int16 (O, C / groups * kh * kw).
    `levels`: the factored path's U_r(a) - U_r(pad) float (256, R); else the table less its padding row, int32 (256, 2**N).
    `parts`: the planes of each chunk.
    `constant`: int64 (O,), the sum over a window full of padding. `narrow`: whether every sum fits int32.
    """

    choice: Choice
    shape: tuple[int, int, int, int]
    groups: int
    pad_code: int
    weight: Tensor
    levels: Tensor
    constant: Tensor
    narrow: bool
    parts: tuple[tuple[int, int], ...] = field(default=())


def pack(
    w_codes: Tensor,
    multiplier: Multiplier,
    groups: int = 1,
    path: Path = "auto",
    pad_code: int = 0,
    codes: tuple[int, int] | None = None,
) -> Packed:
    """Weight codes (O, C / groups, kh, kw) for `sums`. `codes`: the lowest and highest activation code; None is all.

    Raises InputError for codes out of the multiplier's range and for a path that cannot run.
    """
    low, high = codes or code_range(8, multiplier.signed[0])
    out, depth, height, width = w_codes.shape
    chosen = _path(path, multiplier, w_codes.device)
    patterns = (w_codes.long() & (multiplier.table.shape[1] - 1)).cpu()
    used = np.arange(min(low, pad_code), max(high, pad_code) + 1) & 255
    centred = multiplier.table.astype(np.int64) - multiplier.table[pad_code & 255]
    constant = torch.from_numpy(multiplier.table[pad_code & 255].astype(np.int64))[patterns].sum((1, 2, 3))
    shape = (out, depth, height, width)
    device = w_codes.device
    largest = torch.from_numpy(np.abs(centred[used]).max(0))
    reach = int(largest[patterns].sum((1, 2, 3)).max())
    narrow = reach + int(constant.abs().max()) < 1 << 31
    if chosen == "factored" and multiplier.factors is not None:
        rows = multiplier.factors.rows.astype(np.int64)
        rows = rows - rows[pad_code & 255]
        columns = torch.from_numpy(multiplier.factors.columns.astype(np.int64))
        planes = columns[patterns].permute(0, 4, 1, 2, 3)  # (O, R, C / groups, kh, kw)
        highest = torch.from_numpy(np.abs(rows[used]).max(0))
        weights = planes.abs().sum((3, 4)) * highest[:, None]  # the largest sum of each plane and channel
        parts, dtype = _parts(weights.flatten(1))
        bound = max((int(weights.flatten(1)[:, a:b].sum(1).max()) for a, b in parts), default=0)
        choice = Choice("factored", multiplier.rank, str(dtype).removeprefix("torch."), bound, max(1, len(parts)))
        weight = planes.reshape(out, -1, height, width).to(device, dtype)
        if height * width > 1:
            weight = weight.contiguous(memory_format=torch.channels_last)
        levels = torch.from_numpy(rows).to(device, dtype)
        return Packed(choice, shape, groups, pad_code, weight, levels, constant.to(device), narrow, parts)
    choice = Choice(chosen, multiplier.rank, "int32" if narrow else "int64", reach)
    weight = patterns.flatten(1).to(device, torch.int16)
    levels = torch.from_numpy(centred.astype(np.int32)).to(device)
    return Packed(choice, shape, groups, pad_code, weight, levels, constant.to(device), narrow)


def code_range(bits: int, signed: bool) -> tuple[int, int]:
    """The lowest and highest code of an operand."""
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


def _path(path: str, multiplier: Multiplier, device: torch.device) -> Literal["factored", "table", "gather"]:
    if path not in PATHS:
        raise InputError(f"unknown path {path!r}; {nearest(path, PATHS)}")
    if path == "factored" and multiplier.factors is None:
        raise InputError(f"path 'factored': {multiplier.name} has no factors of rank <= 16; 'table' and 'gather' run")
    if path == "table" and device.type != "cpu":
        raise InputError(f"path 'table' runs on the CPU, not on {device.type}; 'gather' runs everywhere")
    if path == "table":
        lookup.require()
    if path == "auto":
        if multiplier.factors is not None:
            return "factored"
        return "table" if device.type == "cpu" and lookup.available() else "gather"
    return path  # type: ignore[return-value]


def _parts(weights: Tensor) -> tuple[tuple[tuple[int, int], ...], torch.dtype]:
    """Runs of channels whose sums are exact, from the largest sum of each (O, channels): float32 if any such are."""
    if not weights.numel():
        return (), torch.float32
    if int(weights.max()) >= EXACT[torch.float32]:
        return ((0, weights.shape[1]),), torch.float64
    parts, start, total = [], 0, torch.zeros(len(weights), dtype=torch.int64)
    for place, column in enumerate(weights.T):
        total = total + column
        if int(total.max()) >= EXACT[torch.float32]:
            parts.append((start, place))
            start, total = place, column
    return (*parts, (start, weights.shape[1])), torch.float32


def planes(packed: Packed, x_codes: Tensor) -> Tensor:
    """U_r(x) - U_r(pad) of codes (N, C, H, W): (N, groups * R * C / groups, H, W) in channels-last order."""
    n, channels, height, width = x_codes.shape
    patterns = (x_codes.permute(0, 2, 3, 1) & 255).int()
    made = F.embedding(patterns, packed.levels)  # (N, H, W, C, R)
    rank = packed.levels.shape[1]
    made = made.view(n, height, width, packed.groups, channels // packed.groups, rank).transpose(4, 5)
    return made.reshape(n, height, width, channels * rank).permute(0, 3, 1, 2)


def convolved(packed: Packed, x_planes: Tensor, stride: Size, padding: Size, dilation: Size) -> Tensor:
    """The sums (N, O, H', W') of planes, less `constant`: integers in floating point, float32 unless chunked."""
    if not packed.weight.shape[1]:
        n, _, height, width = x_planes.shape
        sides = _sides((height, width), packed.shape[2:], _pair(stride), _pair(padding), _pair(dilation))
        return x_planes.new_zeros((n, packed.shape[0], *sides))
    with _exact(x_planes.device):
        return _convolved(packed, x_planes, stride, padding, dilation)


@contextmanager
def _exact(device: torch.device) -> Iterator[None]:
    """Without cuDNN, whose Winograd transforms round, and without TF32, on CUDA; other devices as they are."""
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _convolved(packed: Packed, x_planes: Tensor, stride: Size, padding: Size, dilation: Size) -> Tensor:
    groups, weight = packed.groups, packed.weight
    if len(packed.parts) == 1:
        return F.conv2d(x_planes, weight, None, stride, padding, dilation, groups)
    grouped = x_planes.view(x_planes.shape[0], groups, -1, *x_planes.shape[2:])
    total: Tensor | None = None
    for first, last in packed.parts:
        part = grouped[:, :, first:last].flatten(1, 2)
        made = F.conv2d(part, weight[:, first:last], None, stride, padding, dilation, groups).double()
        total = made if total is None else total.add_(made)
    if total is None:
        raise AssertionError
    return total


def sums(packed: Packed, x_codes: Tensor, stride: Size = 1, padding: Size = 0, dilation: Size = 1) -> Tensor:
    """The sums (N, O, H', W') of codes (N, C, H, W), less `packed.constant`: floating point or integers by the path."""
    if packed.choice.path == "factored":
        return convolved(packed, planes(packed, x_codes), stride, padding, dilation)
    if packed.choice.path == "table":
        return _table(packed, x_codes, _pair(stride), _pair(padding), _pair(dilation))
    return _gather(packed, x_codes, _pair(stride), _pair(padding), _pair(dilation))


def _pair(value: Size) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _sides(
    sides: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[int, int]:
    made = [
        (side + 2 * p - d * (k - 1) - 1) // s + 1
        for side, k, s, p, d in zip(sides, kernel, stride, padding, dilation, strict=True)
    ]
    return made[0], made[1]


def _table(
    packed: Packed, x_codes: Tensor, stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]
) -> Tensor:
    patterns = (x_codes & 255).to(torch.uint8)
    sides = _sides(x_codes.shape[2:], packed.shape[2:], stride, padding, dilation)
    result = torch.empty((len(x_codes), packed.shape[0], *sides), dtype=torch.int32 if packed.narrow else torch.int64)
    lookup.sums(patterns, packed, stride, padding, dilation, result)
    return result


def _gather(
    packed: Packed, x_codes: Tensor, stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]
) -> Tensor:
    out, depth, kh, kw = packed.shape
    n, groups = len(x_codes), packed.groups
    height, width = _sides(x_codes.shape[2:], packed.shape[2:], stride, padding, dilation)
    padded = F.pad(
        x_codes.to(torch.int32) & 255, (padding[1], padding[1], padding[0], padding[0]), value=packed.pad_code & 255
    ).contiguous()
    s = padded.stride()
    windows = padded.as_strided(
        (n, groups, depth, kh, kw, height, width),
        (s[0], s[1] * depth, s[1], s[2] * dilation[0], s[3] * dilation[1], s[2] * stride[0], s[3] * stride[1]),
    )
    columns, table = packed.levels.shape[1], packed.levels.flatten()
    weights = packed.weight.long().view(groups, out // groups, depth * kh * kw)
    result = torch.zeros((n, groups, out // groups, height * width), dtype=torch.int64, device=x_codes.device)
    at_a_time = max(1, GATHERED // max(1, depth * kh * kw * height * width))
    for image in range(n):
        places = windows[image].reshape(groups, depth * kh * kw, height * width).long() * columns
        for group in range(groups):
            for first in range(0, out // groups, at_a_time):
                chosen = weights[group, first : first + at_a_time, :, None] + places[group]
                result[image, group, first : first + at_a_time] = table[chosen].sum(1, dtype=torch.int64)
    result = result.view(n, out, height, width)
    return result.int() if packed.narrow else result


def approximate_conv2d(
    x_codes: Tensor,
    w_codes: Tensor,
    multiplier: Multiplier,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
    path: Path = "auto",
    pad_code: int = 0,
) -> Tensor:
    """`F.conv2d` on integer codes (N, C, H, W) and (O, C / groups, kh, kw) with the products of a multiplier.

    result[n, o, y, x] is the sum over the window of table[x & 255, w & mask], in int32, or int64 where int32 could
    overflow. Padding holds `pad_code` and is multiplied like any other code. The same integers on every path.
    Raises InputError for codes that are no integers or out of the multiplier's range, shapes that do not fit, and a path
    that cannot run here.
    """
    _check(x_codes, w_codes, multiplier, groups, pad_code)
    _check_sides(x_codes, w_codes, _pair(stride), _pair(padding), _pair(dilation))
    check_device(x_codes.device)
    packed = pack(w_codes, multiplier, groups, path, pad_code)
    made = sums(packed, x_codes, stride, padding, dilation)
    constant = packed.constant[:, None, None]
    return made.int() + constant.int() if packed.narrow else made.long() + constant


def approximate_linear(x_codes: Tensor, w_codes: Tensor, multiplier: Multiplier, path: Path = "auto") -> Tensor:
    """`F.linear` on integer codes (..., C) and (O, C): (..., O), as `approximate_conv2d`."""
    if w_codes.ndim != 2 or not x_codes.ndim or x_codes.shape[-1] != w_codes.shape[1]:
        raise InputError(
            f"codes {tuple(x_codes.shape)} and weights {tuple(w_codes.shape)}: expected (..., C) and (O, C)"
        )
    flat = x_codes.reshape(-1, w_codes.shape[1])
    made = approximate_conv2d(flat[:, :, None, None], w_codes[:, :, None, None], multiplier, path=path)
    return made.view(*x_codes.shape[:-1], len(w_codes))


def _check(x_codes: Tensor, w_codes: Tensor, multiplier: Multiplier, groups: int, pad_code: int) -> None:
    shapes = f"codes {tuple(x_codes.shape)} and weights {tuple(w_codes.shape)} in {groups} groups"
    if x_codes.ndim != 4 or w_codes.ndim != 4 or groups < 1:
        raise InputError(f"{shapes}: expected (N, C, H, W) and (O, C / groups, kh, kw)")
    if x_codes.shape[1] != w_codes.shape[1] * groups or w_codes.shape[0] % groups or not w_codes.numel():
        raise InputError(f"{shapes}: expected C / groups of the codes in the weights, and O a multiple of the groups")
    operands = (
        ("activations", x_codes, 8, multiplier.signed[0]),
        ("weights", w_codes, multiplier.bits, multiplier.signed[1]),
    )
    for what, codes, bits, signed in operands:
        low, high = code_range(bits, signed)
        if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
            raise InputError(f"{what} of {codes.dtype}: expected integer codes from {low} to {high}")
        if codes.numel() and not low <= int(codes.min()) <= int(codes.max()) <= high:
            found = f"{int(codes.min())} to {int(codes.max())}"
            raise InputError(f"{what} {found}: the codes of {multiplier.name} go from {low} to {high}")
    low, high = code_range(8, multiplier.signed[0])
    if not low <= pad_code <= high:
        raise InputError(f"pad_code {pad_code}: the codes of {multiplier.name} go from {low} to {high}")


def _check_sides(
    x_codes: Tensor, w_codes: Tensor, stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]
) -> None:
    if min(stride) < 1 or min(dilation) < 1 or min(padding) < 0:
        raise InputError(f"stride {stride}, padding {padding}, dilation {dilation}: expected at least 1, 0 and 1")
    if min(_sides(x_codes.shape[2:], w_codes.shape[2:], stride, padding, dilation)) < 1:
        raise InputError(f"a map of {tuple(x_codes.shape[2:])} is smaller than the kernel {tuple(w_codes.shape[2:])}")


def check_device(device: torch.device) -> None:
    """Compare the factored path with the reference once a process and device; the CPU's is what the tests test.

    Raises RuntimeError if a sum differs, as where a device rounds the operands of its convolutions.
    """
    if device.type != "cpu":
        _compared(device)


@cache
def _compared(device: torch.device) -> None:
    multiplier = Multiplier.family(0, 0, 3)
    maker = torch.Generator().manual_seed(0)
    x = torch.randint(-128, 128, (2, 64, 9, 9), generator=maker).to(device)
    w = torch.randint(-128, 128, (16, 64, 3, 3), generator=maker).to(device)
    results = [
        sums(pack(w, multiplier, path=path), x, padding=1).long()
        for path in ("factored", "gather")
    ]
    if not torch.equal(*results):
        raise RuntimeError(f"convolutions on {device} are not exact: the factored sums differ from the looked-up ones")
