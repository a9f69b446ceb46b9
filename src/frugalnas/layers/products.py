"""Sums of products of an approximate multiplier over convolution windows, exact to the last bit.

Three paths give the same integers:
- "factored": the product table is a sum of few products U_r(a) * V_r(b), so that the sum over a window is an ordinary
  convolution of stacked planes U_r(x) with weights V_r(w). It runs on 8-bit integers where the CPU has fast ones
  (`layers.integer`), else, and with path "float", in floating point, which is exact as no partial sum can leave the
  integers that it represents, whatever the order (`Choice.bound`);
- "table": a compiled look-up kernel on the CPU (`layers.lookup`);
- "gather": torch indexing on any device, the reference.

Padding holds a code too, that of the number 0, and goes through the multiplier like any other, so that tables where
0 * b is not 0 are emulated as a circuit would compute them. All paths compute sums less what the zero point would give
in every place, `Packed.constant`: so padding is zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from frugalnas.core import InputError
from frugalnas.layers import integer, lookup
from frugalnas.layers.packed import Codes, Packed, Path, code_range, pack
from frugalnas.layers.planes import places, planes_at, planes_of
from frugalnas.multipliers import Multiplier

__all__ = ["Path", "approximate_conv2d", "approximate_linear", "check_device", "results", "sums"]

Size = int | tuple[int, int]
Two = tuple[int, int]
GATHERED = 1 << 21  # products that the gather looks up at a time
IMAGES = 64  # that an integer convolution takes at a time
EXACT = 1 << 24  # float32 holds smaller sums
CHUNK = 1 << 20  # values of stacked planes in floating point at a time, 4 MB


def results(
    packed: Packed, x: Tensor, inverse: float, scale: Tensor, offset: Tensor, stride: Two, padding: Two, dilation: Two
) -> Tensor:
    """Sums over the codes of floats (N, C, H, W), times scale (O,), plus offset (O,): float32 (N, O, H', W').

    Sum, product and total are each rounded to float32.
    `inverse`: of the scale of the input's codes. No gradients.
    """
    if packed.planes is None:
        made = sums(packed, places(x, inverse, packed.codes), stride, padding, dilation)
        made = made.contiguous(memory_format=torch.channels_last).float()
        _scaled(made, scale, offset, made)
        return made
    planes, channels = packed.planes, packed.planes.rank * x.shape[1]
    sides = _sides(x.shape[2:], packed.shape[2:], stride, padding, dilation)
    if planes.rank and packed.choice.dtype == "int8":
        stacked = planes_of(x, inverse, packed.codes, planes, torch.uint8, padding)
        return _integer(packed, stacked, scale, offset, stride, dilation)
    shape = (len(x), packed.shape[0], *sides)
    result = torch.empty(shape, dtype=torch.float32, device=x.device, memory_format=torch.channels_last)
    if not planes.rank:
        return result.copy_(offset[:, None, None])
    images = max(1, CHUNK // max(1, channels * x.shape[2] * x.shape[3])) if x.device.type == "cpu" else max(1, len(x))
    for part, into in zip(torch.split(x, images), torch.split(result, images), strict=True):
        if packed.apart:
            total = _apart(packed, part, inverse, stride, padding, dilation)
        else:
            stacked = planes_of(part, inverse, packed.codes, planes, torch.float32)
            total = _convolved(packed, stacked, stride, padding, dilation)
        _scaled(total, scale, offset, into)
    return result


def _scaled(total: Tensor, scale: Tensor, offset: Tensor, into: Tensor) -> None:
    """Sums (N, O, H, W) times scale (O,) plus offset (O,), by rows of pixels: vectors of O numbers are too short."""
    n, out, height, width = into.shape
    made = into.permute(0, 2, 3, 1).view(n * height, width * out)
    rows = total.permute(0, 2, 3, 1).reshape(n * height, width * out)
    torch.mul(rows, scale.repeat(width), out=made)
    made.add_(offset.repeat(width))


def _apart(packed: Packed, x: Tensor, inverse: float, stride: Two, padding: Two, dilation: Two) -> Tensor:
    planes = packed.planes
    if planes is None:
        raise AssertionError
    total: Tensor | None = None
    for r in range(planes.rank):
        plane = planes_of(x, inverse, packed.codes, planes.one(r), torch.float32)
        with exact(x.device):
            made = F.conv2d(plane, packed.weight[r], None, stride, padding, dilation, packed.groups)
        total = made if total is None else total.add_(made)
    return x.new_zeros(()) if total is None else total


def _integer(packed: Packed, stacked: Tensor, scale: Tensor, offset: Tensor, stride: Two, dilation: Two) -> Tensor:
    """Results of stacked planes in uint8, padded."""
    planes, raw = packed.planes, packed.raw
    if planes is None or raw is None:
        raise AssertionError
    if len(stacked) > IMAGES:  # as each shape is tried out before it is used
        parts = torch.split(stacked, IMAGES)
        return torch.cat([_integer(packed, part, scale, offset, stride, dilation) for part in parts])
    if not len(stacked) or integer.trusted(stacked, raw, planes.zero, stride, dilation, planes.groups):
        return integer.convolved(stacked, planes.zero, packed.weight, scale, offset, stride, dilation, planes.groups)
    kind = torch.float32 if packed.choice.bound < EXACT else torch.float64
    with exact(stacked.device):
        values = stacked.to(kind) - planes.zero
        made = F.conv2d(values, raw.to(kind), None, stride, 0, dilation, planes.groups).float()
    return made.mul_(scale[:, None, None]).add_(offset[:, None, None])


def _convolved(packed: Packed, stacked: Tensor, stride: Two, padding: Two, dilation: Two) -> Tensor:
    """The sums of stacked planes: float32, or float64 in chunks."""
    groups, weight = packed.groups, packed.weight
    stacked = stacked.to(weight.dtype)
    with exact(stacked.device):
        if len(packed.parts) == 1:
            return F.conv2d(stacked, weight, None, stride, padding, dilation, groups)
        grouped = stacked.contiguous().view(len(stacked), groups, -1, *stacked.shape[2:])
        parts = [
            F.conv2d(grouped[:, :, a:b].flatten(1, 2), weight[:, a:b], None, stride, padding, dilation, groups).double()
            for a, b in packed.parts
        ]
    return torch.stack(parts).sum(0)


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Convolutions in float32 proper: no TF32, no bfloat16, and on CUDA not cuDNN, whose Winograd transforms round."""
    if device.type == "cuda":
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = False
        try:
            with torch.backends.cudnn.flags(enabled=False), torch.autocast("cuda", enabled=False):
                yield
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before
    elif torch.is_autocast_enabled(device.type):
        with torch.autocast(device.type, enabled=False):
            yield
    else:
        yield


def sums(packed: Packed, at: Tensor, stride: Two, padding: Two, dilation: Two) -> Tensor:
    """The sums (N, O, H', W') of places uint8 (N, C, H, W), less `packed.constant`: floats on the factored path."""
    sides = _sides(at.shape[2:], packed.shape[2:], stride, padding, dilation)
    if packed.planes is None:
        if packed.choice.path == "table":
            return lookup.sums(at, packed, stride, padding, dilation, sides)
        return _gather(packed, at, stride, padding, dilation)
    if not packed.planes.rank:
        return torch.zeros((len(at), packed.shape[0], *sides), device=at.device)
    if packed.choice.dtype == "int8":
        ones, zeros = torch.ones(packed.shape[0]), torch.zeros(packed.shape[0])
        (py, px), zero = padding, packed.planes.zero
        stacked = F.pad(planes_at(at, packed.planes), (px, px, py, py), value=zero)
        return _integer(packed, stacked, ones, zeros, stride, dilation)
    if not packed.apart:
        return _convolved(packed, planes_at(at, packed.planes), stride, padding, dilation)
    made = []
    for r in range(packed.planes.rank):
        with exact(at.device):
            plane = planes_at(at, packed.planes.one(r))
            made.append(F.conv2d(plane, packed.weight[r], None, stride, padding, dilation, packed.groups))
    return torch.stack(made).sum(0)


def _gather(packed: Packed, at: Tensor, stride: Two, padding: Two, dilation: Two) -> Tensor:
    if packed.table is None:
        raise AssertionError
    out, depth, kh, kw = packed.shape
    n, groups, k = len(at), packed.groups, depth * kh * kw
    height, width = _sides(at.shape[2:], packed.shape[2:], stride, padding, dilation)
    zero = packed.codes.place
    padded = F.pad(at.int(), (padding[1], padding[1], padding[0], padding[0]), value=zero).contiguous()
    s = padded.stride()
    windows = padded.as_strided(
        (n, groups, depth, kh, kw, height, width),
        (s[0], s[1] * depth, s[1], s[2] * dilation[0], s[3] * dilation[1], s[2] * stride[0], s[3] * stride[1]),
    )
    columns, table = packed.table.shape[1], packed.table.flatten()
    weights = packed.weight.long().view(groups, out // groups, k)
    made = torch.zeros((n, groups, out // groups, height * width), dtype=torch.int64, device=at.device)
    at_a_time = max(1, GATHERED // (k * height * width))
    for image in range(n):
        rows = windows[image].reshape(groups, k, height * width).long() * columns
        for group in range(groups):
            for first in range(0, out // groups, at_a_time):
                chosen = weights[group, first : first + at_a_time, :, None] + rows[group]
                made[image, group, first : first + at_a_time] = table[chosen].sum(1, dtype=torch.int64)
    made = made.view(n, out, height, width)
    return made.int() if packed.narrow else made


def _pair(value: Size) -> Two:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _sides(sides: tuple[int, ...], kernel: tuple[int, ...], stride: Two, padding: Two, dilation: Two) -> Two:
    each = zip(sides, kernel, stride, padding, dilation, strict=True)
    height, width = ((side + 2 * p - d * (k - 1) - 1) // s + 1 for side, k, s, p, d in each)
    return height, width


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
    Raises InputError for codes that are no integers or out of the multiplier's range, shapes that do not fit, and a
    path that cannot run here.
    """
    _check(x_codes, w_codes, multiplier, groups, pad_code)
    steps = (_pair(stride), _pair(padding), _pair(dilation))
    _check_sides(x_codes, w_codes, *steps)
    check_device(x_codes.device)
    low, high = code_range(8, multiplier.signed[0])
    codes = Codes(low, high, pad_code, -low)
    packed = pack(w_codes, multiplier, groups, path, codes)
    made = sums(packed, (x_codes - low).to(torch.uint8) if low else x_codes.to(torch.uint8), *steps)
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
    return made.reshape(*x_codes.shape[:-1], len(w_codes))


def _check(x_codes: Tensor, w_codes: Tensor, multiplier: Multiplier, groups: int, pad_code: int) -> None:
    shapes = f"codes {tuple(x_codes.shape)} and weights {tuple(w_codes.shape)} in {groups} groups"
    if x_codes.ndim != 4 or w_codes.ndim != 4 or groups < 1:
        raise InputError(f"{shapes}: expected (N, C, H, W) and (O, C / groups, kh, kw)")
    if x_codes.shape[1] != w_codes.shape[1] * groups or w_codes.shape[0] % groups or not w_codes.numel():
        raise InputError(f"{shapes}: expected C / groups channels in the weights, and O a multiple of the groups")
    signed = multiplier.signed
    for what, codes, bits, both in (
        ("activations", x_codes, 8, signed[0]),
        ("weights", w_codes, multiplier.bits, signed[1]),
        ("pad_code", torch.tensor(pad_code), 8, signed[0]),
    ):
        low, high = code_range(bits, both)
        if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
            raise InputError(f"{what} of {codes.dtype}: expected integer codes from {low} to {high}")
        if codes.numel() and not low <= int(codes.min()) <= int(codes.max()) <= high:
            found = f"{int(codes.min())} to {int(codes.max())}"
            raise InputError(f"{what} {found}: the codes of {multiplier.name} go from {low} to {high}")


def _check_sides(x_codes: Tensor, w_codes: Tensor, stride: Two, padding: Two, dilation: Two) -> None:
    if min(stride) < 1 or min(dilation) < 1 or min(padding) < 0:
        raise InputError(f"stride {stride}, padding {padding}, dilation {dilation}: expected at least 1, 0 and 1")
    if min(_sides(x_codes.shape[2:], w_codes.shape[2:], stride, padding, dilation)) < 1:
        raise InputError(f"a map of {tuple(x_codes.shape[2:])} is smaller than the kernel {tuple(w_codes.shape[2:])}")


def check_device(device: torch.device) -> None:
    """Compare the factored path with the reference, once a process on every device but the CPU.

    Raises RuntimeError if a sum differs, as where a device rounds the operands of its convolutions.
    """
    if device.type != "cpu":
        compare(device)


@cache
def compare(device: torch.device) -> None:
    """As `check_device`, on any device."""
    multiplier, codes = Multiplier.family(0, 0, 3), Codes(-128, 127, 0, 128)
    maker = torch.Generator().manual_seed(0)
    at = torch.randint(0, 256, (2, 64, 9, 9), generator=maker).to(device, torch.uint8)
    w = torch.randint(-128, 128, (16, 64, 3, 3), generator=maker).to(device)
    paths: tuple[Path, Path] = ("float", "gather")
    one, two = (sums(pack(w, multiplier, 1, p, codes), at, (1, 1), (1, 1), (1, 1)).long() for p in paths)
    if not torch.equal(one, two):
        raise RuntimeError(f"convolutions on {device} are not exact: the factored sums differ from the looked-up ones")
