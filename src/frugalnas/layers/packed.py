"""Weights made ready for an approximate multiplier, with the proof that their sums of products are exact."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from frugalnas.core import InputError, nearest
from frugalnas.layers import integer, lookup
from frugalnas.multipliers import Multiplier

Path = Literal["auto", "factored", "float", "table", "gather"]
PATHS = ("auto", "factored", "float", "table", "gather")
LIMITS = {"float32": 1 << 24, "float64": 1 << 53, "int8": 1 << 31}  # sums below are exact in any order
NARROW = 16  # channels of a group below which stacked planes are slow


@dataclass(frozen=True, slots=True)
class Choice:
    """How products are summed.

    `bound`: no partial sum of a chunk is larger; `chunks`: parts of a window that are summed one by one, each exact in
    `dtype`. `rank`: of the multiplier, None where it has no factors.
    """

    path: Literal["factored", "table", "gather"]
    rank: int | None
    dtype: str
    bound: int
    chunks: int = 1

    def __str__(self) -> str:
        name = f"{self.path}, rank {self.rank}" if self.path == "factored" else self.path
        chunks = f" in {self.chunks} chunks" if self.chunks > 1 else ""
        return f"{name}, {self.dtype}{chunks}, exact: |sum| <= {self.bound}"


@dataclass(frozen=True, slots=True)
class Codes:
    """Which activation codes occur, and where they are in tables: code c at `c + shift`, from 0 to 255."""

    low: int
    high: int
    zero_point: int
    shift: int

    @property
    def patterns(self) -> NDArray[np.int64]:
        """The bit pattern of the code at each place (256,)."""
        return (np.arange(256) - self.shift) & 255

    @property
    def place(self) -> int:
        """Of the zero point."""
        return self.zero_point + self.shift

    @property
    def used(self) -> slice:
        """The places of codes that occur, the zero point among them."""
        return slice(min(self.low, self.zero_point) + self.shift, max(self.high, self.zero_point) + self.shift + 1)


@dataclass(frozen=True, eq=False)
class Planes:
    """How a place u of a code becomes R channels: (u & masks[r]) + adds[r], or levels[r, u] where no masks do it.

    In uint8 the number 0 is `zero`, in floating point it is 0. `groups`: channels are (groups, R, C / groups).
    """

    levels: Tensor
    masks: Tensor | None
    adds: Tensor
    zero: int
    groups: int

    @property
    def rank(self) -> int:
        return len(self.levels)

    def one(self, r: int) -> Planes:
        """Only channel r of each."""
        masks = None if self.masks is None else self.masks[r : r + 1]
        return Planes(self.levels[r : r + 1], masks, self.adds[r : r + 1], self.zero, self.groups)


@dataclass(frozen=True, eq=False)
class Packed:
    """Weights made ready. `shape`: (O, C / groups, kh, kw) of their codes.

    `weight`: on the factored path the planes V_r(w) as its convolution takes them, else bit patterns int16 (O, K).
    `table`: of the other paths, int32 (256, 2**N) by place of the activation code, less the row of the zero point.
    `constant`: int64 (O,), the sum over a window full of the zero point, which all sums lack.
    `narrow`: whether all sums fit int32. `parts`: the channels of each chunk of a group's planes.
    `apart`: whether planes are convolved one by one. `raw`: the integer convolution's weights, int8, as they are.
    """

    choice: Choice
    shape: tuple[int, int, int, int]
    groups: int
    codes: Codes
    constant: Tensor
    narrow: bool
    weight: Tensor
    table: Tensor | None = None
    planes: Planes | None = None
    parts: tuple[tuple[int, int], ...] = ()
    apart: bool = False
    raw: Tensor | None = None


def code_range(bits: int, signed: bool) -> tuple[int, int]:
    """The lowest and highest code of an operand."""
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


@dataclass(frozen=True, eq=False)
class _Tables:
    """What depends on a multiplier and its activations' codes only, for each bit pattern of a weight (2**N,).

    `of_zero`: the product with the zero point; `reach`: the largest distance from it. `table`: as in `Packed`. Of the
    factors: V_r (R, 2**N), U_r(a) - U_r(zero) (R, 256) by place, the largest of these that occur (R,); the sums over r
    of |V_r|, and of these times |V_r|.
    """

    of_zero: Tensor
    reach: Tensor
    table: Tensor
    columns: Tensor
    levels: Tensor
    highest: Tensor
    sizes: Tensor
    products: Tensor
    lowest: int
    fits: bool


@lru_cache(maxsize=64)
def _tables(multiplier: Multiplier, codes: Codes) -> _Tables:
    rows, place, factors = multiplier.table[codes.patterns].astype(np.int64), codes.place, multiplier.factors
    centred = rows - rows[place]
    levels = np.zeros((0, 256), dtype=np.int64) if factors is None else factors.rows[codes.patterns].astype(np.int64).T
    columns = np.zeros((0, rows.shape[1]), dtype=np.int64) if factors is None else factors.columns.astype(np.int64).T
    levels = levels - levels[:, place : place + 1]
    used = levels[:, codes.used]
    highest = np.abs(used).max(1, initial=0)
    lowest = min(int(used.min(initial=0)), 0 if factors is None or factors.shifts is None else -place)
    fits = int(used.max(initial=0)) - lowest <= 255 and columns.min(initial=0) >= -128 and columns.max(initial=0) <= 127
    return _Tables(
        of_zero=torch.from_numpy(rows[place]),
        reach=torch.from_numpy(np.abs(centred[codes.used]).max(0)),
        table=torch.from_numpy(centred.astype(np.int32)),
        columns=torch.from_numpy(columns.astype(np.float32)),
        levels=torch.from_numpy(levels),
        highest=torch.from_numpy(highest),
        sizes=torch.from_numpy(np.abs(columns).sum(0)),
        products=torch.from_numpy((np.abs(columns) * highest[:, None]).sum(0)),
        lowest=lowest,
        fits=bool(fits),
    )


def _largest(each: Tensor, weights: Tensor) -> int:
    """The largest sum of an output channel."""
    return int(each[weights].sum((1, 2, 3)).max())


def pack(
    w_codes: Tensor, multiplier: Multiplier, groups: int, path: Path, codes: Codes, rounded: bool = False
) -> Packed:
    """Weight codes (O, C / groups, kh, kw) for one path. `rounded`: complete sums may be rounded to float32.

    Raises InputError for a path that cannot run.
    """
    device = w_codes.device
    chosen = _path(path, multiplier, device)
    weights = (w_codes.to(torch.int32) & (multiplier.table.shape[1] - 1)).cpu()
    tables = _tables(multiplier, codes)
    constant = tables.of_zero[weights].sum((1, 2, 3))
    reach = _largest(tables.reach, weights)
    out, depth, height, width = weights.shape
    narrow = reach + int(constant.abs().max()) < 1 << 31
    base = ((out, depth, height, width), groups, codes, constant.to(device), narrow)
    if chosen in ("factored", "float"):
        if chosen == "factored" and device.type == "cpu" and tables.fits:
            made = _integer(base, weights, multiplier, tables, rounded)
            if made is not None:
                return made
        return _floating(base, weights, multiplier, tables, device)
    choice = Choice(chosen, multiplier.rank, "int32" if narrow else "int64", reach)  # type: ignore[arg-type]
    return Packed(choice, *base, weights.flatten(1).to(device, torch.int16), tables.table.to(device))


def _path(path: str, multiplier: Multiplier, device: torch.device) -> str:
    if path not in PATHS:
        raise InputError(f"unknown path {path!r}; {nearest(path, PATHS)}")
    if path in ("factored", "float") and multiplier.factors is None:
        raise InputError(f"path {path!r}: {multiplier.name} has no factors of rank <= 16; 'table' and 'gather' run")
    if path == "table" and device.type != "cpu":
        raise InputError(f"path 'table' runs on the CPU, not on {device.type}; 'gather' runs everywhere")
    if path == "table":
        lookup.require()
    if path != "auto":
        return path
    if multiplier.factors is not None:
        return "factored"
    return "table" if device.type == "cpu" and lookup.available() else "gather"


Base = tuple[tuple[int, int, int, int], int, Codes, Tensor, bool]


def _integer(base: Base, weights: Tensor, multiplier: Multiplier, tables: _Tables, rounded: bool) -> Packed | None:
    """For integer convolutions; None where they are missing or not exact."""
    shape, groups, codes, *_ = base
    total, raw, zero = _largest(tables.products, weights), 255 * _largest(tables.sizes, weights), -tables.lowest
    float32 = LIMITS["float32"]  # in which oneDNN takes off the zero point
    whole = raw < float32 if zero else (total < float32 or (rounded and raw < LIMITS["int8"]))
    if not (whole and integer.available()):
        return None
    masks = masks_of(multiplier)
    merged = _merged(groups, shape[1], len(tables.levels))
    weight = _blocks(tables.columns.to(torch.int8)[:, weights].transpose(0, 1), groups, merged).flatten(1, 2)
    levels = (tables.levels + zero).clamp_(0, 255).to(torch.uint8)
    adds = torch.zeros(len(levels), dtype=torch.uint8) if masks is None else codes.place & ~masks
    made = integer.packed(weight, zero, merged) if len(levels) else weight
    choice = Choice("factored", multiplier.rank, "int8", total)
    return Packed(choice, *base, made, planes=Planes(levels, masks, adds, zero, merged), raw=weight)


def _floating(base: Base, weights: Tensor, multiplier: Multiplier, tables: _Tables, device: torch.device) -> Packed:
    shape, groups, codes, *_ = base
    planes = tables.columns[:, weights].transpose(0, 1)  # (O, R, C / groups, kh, kw)
    sizes = planes.abs().sum((3, 4), dtype=torch.float64) * tables.highest[:, None]  # of each channel's part of a sum
    sizes = sizes.flatten(1)
    parts, dtype = _parts(sizes)
    bound = max((int(sizes[:, a:b].sum(1).max()) for a, b in parts), default=0)
    apart = groups > 1 and shape[1] < NARROW and len(tables.levels) > 1 and len(parts) == 1
    weight = (planes.transpose(0, 1) if apart else planes.flatten(1, 2)).to(device, dtype)
    if not apart:
        weight = weight.contiguous(memory_format=torch.channels_last)
    levels, masks = tables.levels.to(device, torch.float32), masks_of(multiplier)
    adds = levels[:, codes.place] if masks is None else ((codes.place & ~masks).float() - codes.place).to(device)
    choice = Choice("factored", multiplier.rank, str(dtype).removeprefix("torch."), bound, max(1, len(parts)))
    made = Planes(levels, masks, adds, 0, groups)
    return Packed(choice, *base, weight, planes=made, parts=parts, apart=apart)


def masks_of(multiplier: Multiplier) -> Tensor | None:
    """uint8 (R,) where the rows' factors are codes without their lowest bits."""
    if multiplier.factors is None or multiplier.factors.shifts is None:
        return None
    return torch.tensor([256 - (1 << shift) for shift in multiplier.factors.shifts], dtype=torch.uint8)


def _parts(sizes: Tensor) -> tuple[tuple[tuple[int, int], ...], torch.dtype]:
    """Runs of channels whose sums are exact, from the largest sum of each (O, channels): in float32 if any are."""
    if not sizes.numel():
        return (), torch.float32
    limit = LIMITS["float32"]
    if float(sizes.sum(1).max()) < limit:
        return ((0, sizes.shape[1]),), torch.float32
    if float(sizes.max()) >= limit:
        return ((0, sizes.shape[1]),), torch.float64
    parts, start, total = [], 0, torch.zeros(len(sizes), dtype=sizes.dtype)
    for place, column in enumerate(sizes.T):
        total = total + column
        if float(total.max()) >= limit:
            parts.append((start, place))
            start, total = place, column
    return (*parts, (start, sizes.shape[1])), torch.float32


def _merged(groups: int, depth: int, rank: int) -> int:
    """How many groups the integer convolution has: narrow ones of several planes are faster as wide ones with zeros."""
    if rank < 2 or groups == 1 or depth >= NARROW:
        return groups
    widths = [n for n in range(1, groups + 1) if groups % n == 0 and depth * n >= 2 * NARROW] or [groups]
    return groups // widths[0] if depth * widths[0] <= 8 * NARROW else groups


def _blocks(planes: Tensor, groups: int, merged: int) -> Tensor:
    """Planes (O, R, C / groups, kh, kw) of groups as those of fewer groups, with zeros between."""
    if groups == merged:
        return planes
    out, rank, depth, *kernel = planes.shape
    width = groups // merged
    wide = planes.new_zeros((out, rank, width, depth, *kernel))
    place = torch.arange(out) // (out // groups) % width
    wide[torch.arange(out), :, place] = planes
    return wide.flatten(2, 3)
