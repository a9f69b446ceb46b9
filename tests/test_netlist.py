"""The unit-gate model: circuits that compute what their tables say, and power from how often they switch."""

from __future__ import annotations

from statistics import median

import numpy as np
import pytest

from frugalnas.core import InputError
from frugalnas.multipliers import Multiplier, library
from frugalnas.multipliers.circuits import netlist_of
from frugalnas.multipliers.family import Family, codes, table
from frugalnas.multipliers.gates import ONE, ZERO, Growing, Netlist, live, measured, nets, products, switched, toggles
from frugalnas.multipliers.netlist import array, estimate, power_mw
from frugalnas.multipliers.published import EXACT, PUBLISHED


def all_pairs(bits: int) -> tuple[np.ndarray, np.ndarray]:
    return np.divmod(np.arange(256 << bits), 1 << bits)


@pytest.mark.parametrize("signed", [True, False])
def test_circuits_of_the_family_compute_their_tables(signed):
    for member in library.family_members(signed):
        found = products(array(member.design), *all_pairs(8), signed)
        assert np.array_equal(found.reshape(256, 256), member.table), member.name


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("signed", [True, False])
def test_circuits_of_narrow_weights_compute_their_tables(bits, signed):
    for cuts in ((0, 0, 0), (1, 1, 0), (0, 0, 5), (3, 0, 4), (0, bits, 0)):
        design = Family(*cuts, signed, bits)
        found = products(array(design), *all_pairs(bits), signed)
        assert np.array_equal(found.reshape(256, -1), table(design)), design.name


def test_constants_fold_and_equal_gates_are_shared():
    made = Growing(4)  # two inputs, nets 2 and 3
    x, y = 2, 3
    nand = made.gate("nand", x, y)
    assert made.gate("nand", y, x) == nand
    assert (
        made.gate("and", x, ONE) == made.gate("or", x, ZERO) == made.gate("xor", ZERO, x) == made.gate("and", x, x) == x
    )
    assert made.gate("and", ZERO, y) == made.gate("xor", y, y) == made.gate("nor", y, ONE) == ZERO
    assert made.gate("xnor", y, y) == made.gate("or", ONE, x) == made.gate("nand", x, ZERO) == ONE
    assert len(made.gates) == 1
    inverse = made.gate("xor", x, ONE)
    assert made.gate("nand", x, x) == made.gate("not", x, x) == made.gate("xnor", ZERO, x) == inverse
    assert made.gate("not", inverse, inverse) == x
    assert made.gate("and", x, inverse) == ZERO
    assert made.gate("or", inverse, x) == made.gate("xor", x, inverse) == ONE
    assert [kind for kind, _, _ in made.gates] == ["nand", "not"]


def test_gates_that_no_output_needs_are_dropped():
    netlist = Netlist((1, 1), (("and", 2, 3), ("xor", 2, 3), ("or", 5, 2), ("nor", 4, 4)), (6,))
    assert live(netlist) == Netlist((1, 1), (("xor", 2, 3), ("or", 4, 2)), (5,))


@pytest.mark.parametrize("kind", ["and", "nand", "or", "nor", "xor", "xnor", "not"])
def test_gates_do_what_their_names_say(kind):
    truth = {"and": [0, 0, 0, 1], "or": [0, 1, 1, 1], "xor": [0, 1, 1, 0], "not": [1, 1, 0, 0]}
    truth |= {
        f"n{name}" if name != "xor" else "xnor": [1 - bit for bit in truth[name]] for name in ("and", "or", "xor")
    }
    netlist = Netlist((1, 1), ((kind, 2, 2 if kind == "not" else 3),), (4,))
    assert products(netlist, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), False).tolist() == truth[kind]


@pytest.mark.parametrize("length", [2, 63, 64, 65, 128, 129, 1000])
def test_toggles_are_counted_from_pair_to_pair(length):
    rng = np.random.default_rng(length)
    a, b = rng.integers(-128, 128, (2, length))
    netlist = array(Family(1, 0, 4))
    values = np.unpackbits(nets(netlist, a, b).astype("<u8").view(np.uint8), axis=1, bitorder="little")[:, :length]
    expected = (values[:, 1:] != values[:, :-1]).sum(axis=1)
    assert np.array_equal(toggles(nets(netlist, a, b), length), expected)
    load = np.zeros(len(values))
    for kind, x, y in netlist.gates:
        for net in {x, y}:
            load[net] += {"not": 0.5, "xor": 2}.get(kind, 1)
    for net in netlist.outputs:
        load[net] += 1
    assert switched(netlist, a, b) == pytest.approx((expected * load)[18:].sum() / (length - 1))


def test_modelled_power_is_near_the_published():
    pairs = [(estimate(design).power_mw, figures.power_mw) for design, figures in PUBLISHED.items()]
    errors = [abs(model / known - 1) for model, known in pairs]
    assert median(errors) < 0.03
    assert max(errors) < 0.2
    assert [known for _, known in sorted(pairs)] == sorted(known for _, known in pairs)
    assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.998


def test_modelled_power_of_narrow_exact_ones_follows_from_the_gates_of_the_wide():
    """The scale of 8x8 and the exponent alone, without the published figure of that width."""
    whole = EXACT[Family(0, 0, 0, False)].power_mw
    capacitance = measured(array(Family(0, 0, 0, False)))[0]
    for bits in (5, 6, 7):
        model = whole * (measured(array(Family(0, 0, 0, False, bits)))[0] / capacitance) ** 1.15
        assert model == pytest.approx(EXACT[Family(0, 0, 0, False, bits)].power_mw, rel=0.05)


def test_modelled_area_and_delay_are_near_the_published():
    for design, figures in PUBLISHED.items():
        assert estimate(design).area_um2 == pytest.approx(figures.area_um2, rel=0.06)
        assert estimate(design).delay_ns == pytest.approx(figures.delay_ns, rel=0.07)


def test_fewer_partial_products_take_less_power():
    for signed in (True, False):
        assert np.all(np.diff([estimate(Family(cut, cut, 0, signed)).power_mw for cut in range(9)]) < 0)
        assert estimate(Family(8, 0, 0, signed)).power_mw == 0


def test_power_is_the_same_for_both_operand_orders():
    assert estimate(Family(3, 1, 6)) == estimate(Family(1, 3, 6))
    a, b = np.random.default_rng(0).integers(-128, 128, (2, 500))
    assert power_mw(Family(3, 1, 6), a, b) == power_mw(Family(1, 3, 6), b, a) != power_mw(Family(3, 1, 6), b, a)


def test_power_of_random_operands_is_that_of_the_model():
    a, b = np.random.default_rng(9).integers(-128, 128, (2, 20_000))
    for member in (library.find("8s-2-0-5"), library.find("8s-1-1-6")):
        assert member.power_of(a, b) == pytest.approx(member.power_mw, rel=0.03)


def test_power_follows_what_the_operands_do():
    member = library.exact()
    rng = np.random.default_rng(0)
    activations = np.maximum(rng.normal(0, 20, 5000), 0).astype(int)  # of a ReLU: half of them 0
    weights = rng.integers(-128, 128, 5000)
    assert member.power_of(np.full(100, 3), np.full(100, -7)) == 0
    assert member.power_of(activations, np.full(5000, 37)) < member.power_of(activations, weights) < member.power_mw
    assert member.power_of(activations & 255, weights & 255) == member.power_of(activations, weights)


@pytest.mark.parametrize(
    ("a", "b"), [([1], [2]), ([1, 2], [1, 2, 3]), ([[1, 2]], [[1, 2]]), ([], [])], ids=["one", "lengths", "2-D", "none"]
)
def test_sequences_that_are_none_are_refused(a, b):
    with pytest.raises(InputError, match="two of one length"):
        power_mw(Family(0, 0, 0), np.array(a, dtype=int), np.array(b, dtype=int))


@pytest.mark.parametrize("name", ["8u-1-0-3", "8u-3-0-4+swap", "8x4u-0-0-2"])
def test_with_signs_that_go_past_it_a_circuit_sees_the_sizes_of_weights(name):
    plain, signed = library.find(name), library.find(f"{name}+sign")
    half = 1 << (plain.bits - 1)
    rng = np.random.default_rng(0)
    activations, weights = rng.integers(0, 256, 500), rng.integers(-half, half, 500)
    assert signed.power_of(activations, weights) == plain.power_of(activations, np.abs(weights))
    assert signed.power_of(activations, weights & (2 * half - 1)) == signed.power_of(activations, weights)


def test_power_for_given_operands_needs_the_gates():
    a = np.arange(10)
    with pytest.raises(InputError, match="gates are not known"):
        library.find("8u-1-0-3+sign").swap().power_of(a, a)


# --- circuits of others


def chromosome_of(netlist: Netlist) -> str:
    """In the notation of ariths-gen and of EvoApproxLib's CGP files."""
    numbers = {"not": 1, "and": 2, "or": 3, "xor": 4, "nand": 5, "nor": 6, "xnor": 7}
    nodes = "".join(
        f"([{n}]{x},{y},{numbers[kind]})" for n, (kind, x, y) in enumerate(netlist.gates, start=netlist.first)
    )
    head = f"{sum(netlist.widths)},{len(netlist.outputs)},1,{len(netlist.gates)},2,1,0"
    return f"{{{head}}}{nodes}({','.join(map(str, netlist.outputs))})"


def test_chromosomes_are_read_as_they_are_written():
    netlist = array(Family(1, 0, 5))
    assert netlist_of(chromosome_of(netlist), (8, 8)) == netlist


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{16,16,1,0,2,1,0}",
        "{8,8,1,0,2,1,0}(2,3)",
        "{16,1,1,1,2,1,0}([18]2,99,2)(18)",
        "{16,1,1,1,2,1,0}([18]2,3,42)(18)",
    ],
)
def test_chromosomes_that_are_none_are_refused(text):
    with pytest.raises(InputError, match="cannot be read"):
        netlist_of(text, (8, 8))


def test_circuits_of_ariths_gen_are_members_of_the_family():
    circuits = pytest.importorskip("ariths_gen.multi_bit_circuits.approximate_multipliers")
    bus = pytest.importorskip("ariths_gen.wire_components").Bus
    for cut in (1, 3, 6):
        circuit = circuits.UnsignedTruncatedArrayMultiplier(bus("a", 8), bus("b", 8), truncation_cut=cut)
        found = Multiplier.from_circuit(circuit)
        assert np.array_equal(found.table, table(Family(cut, cut, 0, signed=False)))
        assert found.rank == 1
        assert found.power_source == "model"
        assert found.power_mw == pytest.approx(estimate(Family(cut, cut, 0, signed=False)).power_mw, rel=0.1)
    for horizontal, vertical in ((0, 4), (2, 5), (3, 8)):
        circuit = circuits.UnsignedBrokenArrayMultiplier(
            bus("a", 8), bus("b", 8), horizontal_cut=horizontal, vertical_cut=vertical
        )
        found = Multiplier.from_circuit(circuit, power_mw=0.25, name="broken")
        assert np.array_equal(found.table, table(Family(0, horizontal, vertical, signed=False)))
        assert (found.name, found.power_mw, found.power_source) == ("broken", 0.25, "given")


def test_signed_circuits_of_ariths_gen():
    circuits = pytest.importorskip("ariths_gen.multi_bit_circuits.multipliers")
    bus = pytest.importorskip("ariths_gen.wire_components").Bus
    found = Multiplier.from_circuit(circuits.SignedArrayMultiplier(bus("a", 8), bus("b", 8)), signed=True)
    assert found.errors().wce == 0
    assert found.power_mw == pytest.approx(0.425, rel=0.1)
    with pytest.raises(InputError, match="pass signed"):
        Multiplier.from_circuit(circuits.SignedArrayMultiplier(bus("a", 8), bus("b", 8)), signed=False)
    with pytest.raises(InputError, match="operands of 6 and 6 bits"):
        Multiplier.from_circuit(circuits.UnsignedArrayMultiplier(bus("a", 6), bus("b", 6)))


def test_what_is_no_circuit_is_refused():
    with pytest.raises(InputError, match="expected a multiplier of ariths-gen"):
        Multiplier.from_circuit("multiplier")
    assert codes(8, True)[200] == -56
