"""Multipliers as values: tables, errors, factors, operand order, signs, and the library by name."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalnas.core import InputError
from frugalnas.multipliers import Multiplier, library
from frugalnas.multipliers.factorise import factorise, rank_of
from frugalnas.multipliers.family import Family, codes, table
from frugalnas.multipliers.published import EXACT, PUBLISHED

EVERY = [pytest.param(design, figures, id=figures.name) for design, figures in PUBLISHED.items()]


def by_hand(design: Family) -> np.ndarray:
    """The sum of the partial products that are kept, one at a time."""
    a, b = np.arange(256), np.arange(1 << design.bits)
    total = np.zeros((256, 1 << design.bits), dtype=np.int64)
    for i in range(design.ha, 8):
        for j in range(design.hb, design.bits):
            if i + j >= design.v:
                negative = design.signed and (i == 7) != (j == design.bits - 1)
                total += np.outer(a >> i & 1, b >> j & 1) * (-1 if negative else 1) << (i + j)
    return total


def random_design(rng: np.random.Generator, signed: bool, bits: int = 8) -> Family:
    ha, hb, v = (int(rng.integers(high)) for high in (9, bits + 1, 9 + bits))
    return Family(ha, hb, v, signed, bits)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7, 8])
def test_tables_of_the_family_are_sums_of_kept_partial_products(signed, bits):
    rng = np.random.default_rng(bits)
    for _ in range(8):
        design = random_design(rng, signed, bits)
        member = Multiplier.family(design.ha, design.hb, design.v, signed, bits)
        assert np.array_equal(member.table, by_hand(design))
        assert member.factors is not None
        assert np.array_equal(member.factors.rows @ member.factors.columns.T, member.table)
        assert member.rank == member.exact_rank == np.linalg.matrix_rank(member.table)
        for column, shift in zip(member.factors.rows.T, member.factors.shifts, strict=True):
            assert np.array_equal(column, (codes(8, signed) >> shift) << shift)


@pytest.mark.parametrize(("design", "figures"), EVERY)
def test_published_designs_have_their_published_errors(design, figures):
    found = Multiplier.family(design.ha, design.hb, design.v).errors()

    def printed(value: float, digits: float) -> str:
        return f"{value:.4f}" if digits < 0.01 else f"{value:.3f}" if digits < 0.1 else f"{value:.2f}"

    assert printed(found.wce_percent, figures.wce) == printed(figures.wce, figures.wce)
    assert f"{found.mre_percent:.2f}" == f"{figures.mre:.2f}"
    assert f"{found.ep_percent:.2f}" == f"{figures.ep:.2f}"
    # their percentage is of the MAE rounded to one decimal: 1.25 is 1.2, and 0.0018 % of 2**16
    rounded = float(f"{found.mae:.1f}") / 655.36
    assert printed(rounded, figures.mae) == printed(figures.mae, figures.mae)


@pytest.mark.parametrize(("design", "figures"), EVERY)
def test_published_designs_have_their_published_power_in_either_operand_order(design, figures):
    for ha, hb in {(design.ha, design.hb), (design.hb, design.ha)}:
        member = Multiplier.family(ha, hb, design.v)
        assert (member.power_mw, member.area_um2, member.delay_ns) == (
            figures.power_mw,
            figures.area_um2,
            figures.delay_ns,
        )
        assert member.power_source == "published"


def test_errors_are_those_of_every_pair_one_at_a_time():
    member = Multiplier.family(2, 1, 6)
    found = member.errors()
    errors, relative = [], []
    for a in range(-128, 128):
        for b in range(-128, 128):
            error = int(member.table[a & 255, b & 255]) - a * b
            errors.append(error)
            if a * b:
                relative.append(abs(error) / abs(a * b))
    sizes = [abs(error) for error in errors]
    assert found.mae == pytest.approx(sum(sizes) / 65536)
    assert found.wce == max(sizes)
    assert found.ep == pytest.approx(sum(error != 0 for error in errors) / 65536)
    assert found.mse == pytest.approx(sum(error**2 for error in errors) / 65536)
    assert found.bias == pytest.approx(sum(errors) / 65536)
    assert found.mre == pytest.approx(sum(relative) / len(relative))


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [2, 5, 8])
def test_the_exact_multiplier_makes_no_error(signed, bits):
    exact = library.exact(signed, bits)
    assert exact.errors().wce == exact.errors().ep == exact.errors().bias == 0
    assert exact.table[255, 3] == (-1 if signed else 255) * (-1 if signed and bits == 2 else 3)
    assert exact.rank == 1


@pytest.mark.parametrize("name", ["8s-2-0-5", "8u-3-1-0", "8s-1-0-4"])
def test_swap_exchanges_the_operands_and_nothing_else(name):
    one = library.find(name)
    other = one.swap()
    assert np.array_equal(other.table, one.table.T)
    assert (other.name, other.swapped, other.power_mw) == (f"{name}+swap", True, one.power_mw)
    assert np.array_equal(other.factors.rows @ other.factors.columns.T, other.table)
    back = other.swap()
    assert (back.name, back.sha256, back.swapped) == (name, one.sha256, False)
    assert library.find(other.name).sha256 == other.sha256


def test_a_multiplier_without_operand_order_has_no_twin():
    member = library.find("8s-2-2-6")
    assert member.swap() is member
    assert library.find("8s-2-2-6+swap").name == "8s-2-2-6"


def test_a_multiplier_of_unequal_operands_cannot_be_swapped():
    with pytest.raises(InputError, match="8 and 4 bits"):
        library.find("8x4u-1-0-0+swap")


@pytest.mark.parametrize("name", ["8u-2-0-5", "8u-0-3-0", "8u-2-0-5+swap", "8x4u-0-0-3"])
def test_sign_magnitude_takes_the_sign_past_the_multiplier(name):
    unsigned = library.find(name)
    found = unsigned.sign_magnitude()
    assert found.signed == (False, True)
    half = 1 << (unsigned.bits - 1)
    for a in (0, 1, 77, 255):
        for w in (-half, -half + 1, -1, 0, 1, half - 1):
            sign = (w > 0) - (w < 0)
            assert found.table[a, w & (2 * half - 1)] == sign * unsigned.table[a, abs(w)]
    assert np.array_equal(found.factors.rows @ found.factors.columns.T, found.table)
    assert found.rank is not None
    assert library.find(found.name).sha256 == found.sha256
    assert library.find("8u-0-0-0+sign").errors().wce == 0
    with pytest.raises(InputError, match="signs"):
        found.sign_magnitude()


def test_a_table_cannot_be_written_to():
    for member in (library.find("8s-2-0-5"), library.find("8s-2-0-5+swap"), library.find("8u-2-0-5+sign")):
        with pytest.raises(ValueError, match="read-only"):
            member.table[0, 0] = 1


# --- factors of any table


def products_of_random_factors(rank: int, high: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    left, right = (rng.integers(-high, high + 1, (length, rank)) for length in (256, 64))
    return (left @ right.T).astype(np.int32)


@settings(max_examples=12, deadline=None)
@given(rank=st.integers(1, 16), high=st.sampled_from([1, 3, 20]), seed=st.integers(0, 2**32))
def test_every_table_of_rank_16_or_less_has_whole_factors(rank, high, seed):
    made = products_of_random_factors(rank, high, seed)
    found = factorise(made, np.multiply.outer(codes(8, True), codes(6, True)))
    assert found is not None
    assert found.rank == np.linalg.matrix_rank(made.astype(np.float64)) == rank_of(made)
    assert np.array_equal(found.rows.astype(np.int64) @ found.columns.T.astype(np.int64), made)
    assert found.shifts is None


def test_factors_that_are_hidden_in_a_coarser_lattice_are_found_small():
    rng = np.random.default_rng(3)
    rows, columns = rng.integers(0, 8, (256, 6)), rng.integers(0, 8, (256, 6))
    found = factorise((rows @ columns.T).astype(np.int32), np.multiply.outer(codes(8, False), codes(8, False)))
    assert found is not None
    assert found.rank == 6
    assert found.bound <= 6 * 7 * 7 * 4


@pytest.mark.parametrize("name", ["8s-0-0-4", "8s-2-0-5", "8u-0-0-8", "8x4u-1-0-3", "8s-8-8-0"])
def test_factors_without_the_closed_form_have_its_rank_and_a_like_bound(name):
    member = library.find(name)
    found = factorise(member.table, member.exact)
    assert found is not None
    assert found.rank == member.rank
    assert found.bound <= 2 * member.factors.bound


def test_a_small_error_is_factored_beside_the_exact_product():
    rng = np.random.default_rng(0)
    error = rng.integers(0, 2, (256, 3)) @ rng.integers(0, 4, (3, 256))
    exact = np.multiply.outer(codes(8, False), codes(8, False))
    found = factorise((exact + error).astype(np.int32), exact)
    assert found is not None
    assert found.rank == 4
    assert found.bound <= 255 * 255 + 40


def test_a_table_of_rank_17_has_no_factors_but_a_rank():
    made = products_of_random_factors(17, 3, 1)
    assert factorise(made, np.multiply.outer(codes(8, True), codes(6, True))) is None
    assert rank_of(made) == 17


def test_the_bound_of_factors_holds_for_every_product():
    factors = library.find("8s-0-0-5").factors
    terms = np.abs(factors.rows[:, None, :] * factors.columns[None, :, :]).sum(axis=2)
    assert terms.max() <= factors.bound < 2 * terms.max()


# --- the library


def test_the_family_has_120_designs_that_differ():
    members = library.family_members(True)
    assert len(members) == 120
    keys = {min(member.table.tobytes(), np.ascontiguousarray(member.table.T).tobytes()) for member in members}
    assert len(keys) == 120
    assert {member.design for member in members} >= set(PUBLISHED)
    assert all(member.design.ha >= member.design.hb for member in members)
    assert [member.power_mw for member in members] == sorted((member.power_mw for member in members), reverse=True)


@pytest.mark.parametrize(("signed", "bits"), [(True, 8), (False, 8), (False, 4), (True, 3)])
def test_usual_is_the_front_of_power_and_error(signed, bits):
    front = library.usual(signed, bits)
    assert front[0].name == library.exact(signed, bits).name
    points = [(member.power_mw, member.errors().mae) for member in front]
    assert points == sorted(points, key=lambda point: (-point[0], point[1]))
    assert all(one[1] < other[1] for one, other in pairwise(points))
    step = 0.005 * front[0].power_mw
    assert all(one[0] - other[0] >= step for one, other in pairwise(points))
    for member in library.family_members(signed, bits):
        power, mae = member.power_mw, member.errors().mae
        assert any(one[0] < power + step and one[1] <= mae for one in [*points, (0, nothing(member))])
    assert points[-1][1] < nothing(front[0])


def nothing(member: Multiplier) -> float:
    """The MAE of a product that is always 0."""
    return float(np.abs(member.exact).mean())


def test_names_lead_to_the_designs():
    for member in library.usual():
        assert library.find(member.name).sha256 == member.sha256
    for name, design in library.published_names().items():
        assert np.array_equal(library.find(name).table, table(design))
    assert library.find("mul8s_1KV8@master").errors().wce == 0
    assert library.find("mul8s_1KV8@v2022").errors().wce == 5
    assert len({*PUBLISHED, *EXACT}) == 20


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mul8s_1KV8", "mul8s_1KV8@v2022 or mul8s_1KV8@master"),
        ("mul8s_1KX5@v2021", "did you mean 'mul8s_1KX5@v2022'"),
        ("8s-2-0", "did you mean '8s-3-2-0'"),
        ("8s-2-0-99", "expected a whole number from 0 to 16"),
        ("8s-2-0-5+swop", "no multiplier '8s-2-0-5+swop'"),
        ("8s-2-0-5+sign", "only a multiplier of two unsigned operands"),
        ("", "no multiplier ''"),
        ("nothing.safetensors", "no such file"),
        ("8x8u-0-0-0", "no multiplier"),
    ],
)
def test_unknown_names_are_refused_in_one_line(name, said):
    with pytest.raises(InputError) as refused:
        library.find(name)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
