"""Every path of approximate convolutions gives the sums that loops over the product table give, bit for bit."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalnas.core import InputError
from frugalnas.layers import integer, lookup
from frugalnas.layers.packed import Codes, code_range, pack
from frugalnas.layers.products import approximate_conv2d, approximate_linear, compare
from frugalnas.multipliers import Multiplier
from frugalnas.multipliers.factors import Factors
from frugalnas.multipliers.published import PUBLISHED

PATHS = ("factored", "float", "table", "gather")
LAYERS = {  # C, O, H, W, kernel, stride, padding, dilation, groups
    "plain": (5, 9, 7, 6, (3, 3), 1, 0, 1, 1),
    "strided": (4, 8, 9, 8, (3, 3), (2, 3), 1, 1, 1),
    "padded": (3, 10, 5, 4, (5, 3), 1, (2, 1), 1, 1),
    "dilated": (3, 5, 9, 9, (3, 3), 1, 2, (2, 3), 1),
    "grouped": (6, 18, 6, 6, (3, 3), 1, 1, 1, 2),
    "depthwise": (20, 20, 6, 5, (3, 3), 2, 1, 1, 20),
    "1x1": (17, 12, 3, 4, (1, 1), 1, 0, 1, 1),
}


def brute_force(x, w, table, stride, padding, dilation, groups, pad_code):
    """The definition, in loops over pixels and int64 sums of table entries."""
    pair = [(value, value) if isinstance(value, int) else value for value in (stride, padding, dilation)]
    (sy, sx), (py, px), (dy, dx) = pair
    x = np.pad(x, ((0, 0), (0, 0), (py, py), (px, px)), constant_values=pad_code)
    n, channels, height, width = x.shape
    out, depth, kh, kw = w.shape
    rows, cols = (height - dy * (kh - 1) - 1) // sy + 1, (width - dx * (kw - 1) - 1) // sx + 1
    result = np.zeros((n, out, rows, cols), dtype=np.int64)
    mask = table.shape[1] - 1
    for o, r, c in product(range(out), range(rows), range(cols)):
        first = o // (out // groups) * depth
        window = x[:, first : first + depth, r * sy : r * sy + dy * (kh - 1) + 1 : dy, :]
        window = window[:, :, :, c * sx : c * sx + dx * (kw - 1) + 1 : dx]
        result[:, o, r, c] = table[window & 255, w[o][None] & mask].astype(np.int64).sum((1, 2, 3))
    return result


def made_of(factors_rank, signed, rng, bits=8, zeros=True, entries=12):
    """A multiplier with a random table: of that rank, or of full rank for None; zeros: whether 0 * b is 0."""
    form = None
    if factors_rank is None:
        table = rng.integers(-20000, 20000, (256, 1 << bits))
        table[0] *= not zeros
    else:
        rows = rng.integers(-entries, entries + 1, (256, factors_rank)).astype(np.int32)
        rows[0] *= not zeros
        columns = rng.integers(-entries, entries + 1, (1 << bits, factors_rank)).astype(np.int32)
        table, form = rows @ columns.T, Factors(rows, columns)
    return Multiplier("random", table.astype(np.int32), (signed, signed), 1.0, "given", "random", form=form)


def random_codes(shape, bits, signed, rng):
    low, high = code_range(bits, signed)
    return rng.integers(low, high + 1, shape)


def check(multiplier, layer, rng, n=2, pad_code=0, paths=PATHS):
    channels, out, height, width, kernel, stride, padding, dilation, groups = layer
    x = random_codes((n, channels, height, width), 8, multiplier.signed[0], rng)
    w = random_codes((out, channels // groups, *kernel), multiplier.bits, multiplier.signed[1], rng)
    expected = brute_force(x, w, multiplier.table, stride, padding, dilation, groups, pad_code)
    for path in paths:
        if path == "table" and not lookup.available():
            continue
        if path in ("factored", "float") and multiplier.factors is None:
            continue
        made = approximate_conv2d(
            torch.from_numpy(x), torch.from_numpy(w), multiplier, stride, padding, dilation, groups, path, pad_code
        )
        assert made.dtype == (torch.int32 if np.abs(expected).max(initial=0) < 1 << 30 else made.dtype)
        np.testing.assert_array_equal(made.numpy(), expected, err_msg=f"{multiplier.name} {path}")


@pytest.mark.parametrize("design", PUBLISHED, ids=lambda design: design.name)
def test_published_designs_in_both_orders_on_every_path(design):
    rng = np.random.default_rng(1)
    one = Multiplier.family(design.ha, design.hb, design.v)
    for multiplier, layer in product((one, one.swap()), LAYERS.values()):
        check(multiplier, layer, rng)


members = st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(0, 16), st.booleans(), st.integers(2, 8))


@settings(max_examples=60, deadline=None)
@given(members, st.sampled_from(sorted(LAYERS)), st.integers(0, 1000), st.integers(0, 127))
def test_family_members_signed_and_unsigned(member, layer, seed, pad_code):
    ha, hb, v, signed, bits = member
    multiplier = Multiplier.family(ha, min(hb, bits), min(v, 8 + bits), signed, bits)
    check(multiplier, LAYERS[layer], np.random.default_rng(seed), pad_code=pad_code)


@settings(max_examples=25, deadline=None)
@given(
    *(st.sampled_from([1, 2, 5, 12, 16]), st.booleans(), st.sampled_from([2, 4, 8])),
    *(st.booleans(), st.sampled_from(sorted(LAYERS)), st.integers(0, 1000)),
)
def test_random_tables_of_small_rank(rank, signed, bits, zeros, layer, seed):
    rng = np.random.default_rng(seed)
    entries = int(rng.choice([2, 12, 130, 300]))
    check(made_of(rank, signed, rng, bits, zeros, entries), LAYERS[layer], rng, pad_code=int(rng.integers(0, 100)))


@pytest.mark.parametrize("signed", [False, True])
def test_random_tables_of_full_rank(signed):
    rng = np.random.default_rng(6)
    multiplier = made_of(None, signed, rng, zeros=False)
    for layer in LAYERS.values():
        check(multiplier, layer, rng, pad_code=3)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_random_shapes(data):
    groups = data.draw(st.sampled_from([1, 1, 2, 3, 8]))
    kernel = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilation = data.draw(st.tuples(st.integers(1, 2), st.integers(1, 3)))
    padding = data.draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    stride = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    sides = [
        data.draw(st.integers(max(1, d * (k - 1) + 1 - 2 * p), 10))
        for k, d, p in zip(kernel, dilation, padding, strict=True)
    ]
    depth, outputs = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 9))
    rng = np.random.default_rng(data.draw(st.integers(0, 100)))
    layer = (groups * depth, groups * outputs, *sides, kernel, stride, padding, dilation, groups)
    multiplier = Multiplier.family(*data.draw(st.sampled_from([(0, 0, 0), (2, 0, 5), (1, 1, 4)])))
    check(multiplier, layer, rng, n=data.draw(st.integers(0, 3)))


def test_sums_beyond_what_float32_holds():
    """Chunks in float32 on the factored path, 64-bit integers where int32 could overflow."""
    x, w = torch.full((1, 3000, 2, 2), 255), torch.full((3, 3000, 1, 1), 255)
    exact = Multiplier.family(0, 0, 0, signed=False)
    packed = pack(w, exact, 1, "factored", Codes(0, 255, 0, 0))
    assert packed.choice.chunks > 1
    assert packed.choice.bound < 1 << 24
    for path in PATHS:
        assert approximate_conv2d(x, w, exact, path=path).unique().tolist() == [3000 * 255 * 255]
    table = np.full((256, 256), 1 << 21, dtype=np.int32)
    large = Multiplier("large", table, (False, False), 1.0, "given", "constant")
    for path in PATHS:
        if large.factors is not None or path in ("table", "gather"):
            made = approximate_conv2d(x, w, large, path=path)
            assert made.dtype == torch.int64
            assert made.unique().tolist() == [3000 << 21]


def test_large_windows_are_exact_in_any_memory_order():
    rng = np.random.default_rng(3)
    x = torch.from_numpy(random_codes((4, 64, 12, 12), 8, True, rng))
    w = torch.from_numpy(random_codes((40, 64, 3, 3), 8, True, rng))
    for multiplier in (Multiplier.family(0, 0, 0), Multiplier.family(0, 0, 4)):
        expected = torch.nn.functional.conv2d(x.double(), w.double(), None, 1, 1) if multiplier.rank == 1 else None
        for codes, path in product((x, x.contiguous(memory_format=torch.channels_last)), PATHS[:3]):
            made = approximate_conv2d(codes, w, multiplier, padding=1, path=path)
            expected = made.double() if expected is None else expected
            assert torch.equal(made.double(), expected)


@pytest.mark.parametrize("path", PATHS)
def test_padding_is_multiplied_like_any_other_code(path):
    rng = np.random.default_rng(4)
    multiplier = made_of(3, True, rng, zeros=False)
    x, w = torch.zeros(1, 1, 1, 1, dtype=torch.int32), torch.from_numpy(random_codes((1, 1, 3, 3), 8, True, rng))
    made = approximate_conv2d(x, w, multiplier, padding=1, path=path)
    assert made.item() == multiplier.table[0, w.numpy() & 255].sum() != 0


@pytest.mark.parametrize("path", PATHS)
def test_linear(path):
    rng = np.random.default_rng(5)
    multiplier = Multiplier.family(1, 0, 4)
    x, w = random_codes((3, 4, 20), 8, True, rng), random_codes((7, 20), 8, True, rng)
    expected = multiplier.table[x[:, :, None] & 255, w & 255].sum(-1)
    made = approximate_linear(torch.from_numpy(x), torch.from_numpy(w), multiplier, path=path)
    np.testing.assert_array_equal(made.numpy(), expected)


def test_paths_that_cannot_run_and_codes_that_do_not_fit_say_why(monkeypatch):
    x, w = torch.zeros(1, 2, 4, 4, dtype=torch.int8), torch.zeros(2, 2, 3, 3, dtype=torch.int8)
    exact, full = Multiplier.family(0, 0, 0), made_of(None, True, np.random.default_rng(0))
    for message, arguments, named in [
        ("did you mean 'gather'", (x, w, exact), {"path": "gathered"}),
        ("no factors of rank <= 16", (x, w, full), {"path": "factored"}),
        ("from -128 to 127", (x.int() + 128, w, exact), {}),
        ("from -8 to 7", (x, w + 8, Multiplier.family(0, 0, 0, True, 4)), {}),
        ("expected integer codes", (x.float(), w, exact), {}),
        ("pad_code", (x, w, exact), {"pad_code": 128}),
        ("in 2 groups", (x, w, exact), {"groups": 2}),
        ("smaller than the kernel", (x, w, exact), {"dilation": 2}),
        ("stride", (x, w, exact), {"stride": 0}),
    ]:
        with pytest.raises(InputError, match=message):
            approximate_conv2d(*arguments, **named)
    with pytest.raises(InputError, match=r"\(O, C\)"):
        approximate_linear(x, w, exact)
    monkeypatch.setattr(lookup, "find_spec", lambda name: None)
    lookup.available.cache_clear()
    try:
        with pytest.raises(InputError, match=r"frugalnas\[approximate\]"):
            approximate_conv2d(x, w, exact, path="table")
        assert pack(w, full, 1, "auto", Codes(-128, 127, 0, 128)).choice.path == "gather"
    finally:
        monkeypatch.undo()
        lookup.available.cache_clear()


def test_the_choice_of_a_path_is_automatic():
    rng, w, codes = np.random.default_rng(0), torch.ones(9, 2, 3, 3, dtype=torch.int16), Codes(-128, 127, 0, 128)
    chosen = pack(w, Multiplier.family(0, 0, 4), 1, "auto", codes).choice
    assert (chosen.path, chosen.rank) == ("factored", 5)
    assert chosen.dtype == ("int8" if integer.available() else "float32")
    assert pack(w, Multiplier.family(0, 0, 4), 1, "float", codes).choice.dtype == "float32"
    assert pack(w, made_of(None, True, rng), 1, "auto", codes).choice.path == "table"


def test_the_check_of_devices():
    compare(torch.device("cpu"))
