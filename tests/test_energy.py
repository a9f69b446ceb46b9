"""The energy of multiplications: of genotypes by formulas, of networks, and of the operands that layers really have."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from frugalnas import parts
from frugalnas.core import Genotype, InputError, Objective, Problem, screen
from frugalnas.layers.activity import activity, operands
from frugalnas.layers.approximate import ApproximateConv2d
from frugalnas.layers.approximated import approximate_layers, approximated, assigned, multiplications, ranges
from frugalnas.layers.depthwise import DepthwiseConv2d
from frugalnas.multipliers import Multiplier
from frugalnas.multipliers.library import find, relative_power
from frugalnas.objectives.count import COSTS, costs_of
from frugalnas.objectives.energy import energy, layer_energies, power_of, relative_energy
from frugalnas.spaces.cgp import CGPSpace
from frugalnas.spaces.nats_size import NatsSize

EXACT = Multiplier.family(0, 0, 0)
LIBRARY = ("8s-0-0-0", "8s-1-0-0", "8s-2-0-5", "8s-3-3-0")
SPACE = CGPSpace(rows=2, cols=4, levels_back=2, multipliers=LIBRARY, channels=4, in_channels=1, classes=4, resolution=8)


def genotypes(count: int, space: CGPSpace = SPACE) -> list[Genotype]:
    rng = random.Random(1)
    return [tuple(rng.randrange(size) for size in space.domains) for _ in range(count)]


def test_a_multiplier_has_the_power_of_its_data_sheet_relative_to_the_exact_one():
    assert power_of("8s-0-0-0") == relative_power(EXACT) == 1.0
    assert power_of("8s-2-0-5") == power_of("8s-2-0-5+swap") == 0.289 / 0.425
    assert power_of("8u-0-0-0") == 1.0, "of the same signedness"
    assert power_of("8s-3-3-0") == pytest.approx(0.126 / 0.425)
    with pytest.raises(InputError):
        power_of("8s-no-such")


def test_the_energy_of_exact_multipliers_is_the_macs():
    exact = CGPSpace(rows=2, cols=4, levels_back=2, channels=4, in_channels=1, classes=4, resolution=8)
    alone = CGPSpace(**{**vars_of(exact), "multipliers": ("8s-0-0-0",)})
    for space in (exact, alone):
        for genotype in genotypes(10, space):
            assert energy(space, genotype) == space.count(genotype).macs and relative_energy(space, genotype) == 1
    plain = NatsSize(channels=4, in_channels=1, classes=4, resolution=8)
    assert energy(plain, (1,) * 5) == plain.count((1,) * 5).macs and relative_energy(plain, (1,) * 5) == 1
    assert "energy" not in costs_of(plain) and {*costs_of(SPACE)} == {*COSTS}


def vars_of(space: CGPSpace) -> dict[str, object]:
    return {name: getattr(space, name) for name in space.__dataclass_fields__}


def test_the_formula_is_the_sum_over_the_layers_of_the_network():
    different = set()
    for genotype in genotypes(12):
        torch.manual_seed(0)
        network = SPACE.build(genotype).eval()
        x = torch.randn(2, 1, 8, 8)
        found = ranges(network, x)
        chosen = assigned(found, {node: find(name) for node, name in SPACE.assignment(genotype)}, EXACT)
        made = approximated(network, chosen, found)
        powers = {name: relative_power(layer.multiplier) for name, layer in approximate_layers(made).items()}
        each = layer_energies(multiplications(made, (1, 8, 8)), powers)
        assert sum(each.values()) == pytest.approx(energy(SPACE, genotype))
        assert energy(SPACE, genotype) == pytest.approx(relative_energy(SPACE, genotype) * SPACE.count(genotype).macs)
        different.add(relative_energy(SPACE, genotype))
    assert len(different) > 4 and 0.29 < min(different) < max(different) <= 1
    assert layer_energies({"a": 10, "b": 5}, {"a": 0.5}) == {"a": 5.0, "b": 5.0}


def test_energy_is_an_objective_that_can_be_limited():
    problem = Problem(SPACE, (Objective("energy", COSTS["energy"], 1.0),), ())
    values, broken = screen(problem, genotypes(1)[0])
    assert values["energy"] > 1 and broken.startswith("energy")


def converted(x, layers, multiplier):
    network = nn.Sequential(*layers).eval()
    found = ranges(network, x)
    return approximated(network, dict.fromkeys(found, multiplier), found)


def test_operands_are_runs_of_what_a_weight_multiplies():
    torch.manual_seed(0)
    x = torch.arange(2 * 2 * 5 * 4, dtype=torch.float32).view(2, 2, 5, 4)
    made = converted(x, [nn.Conv2d(2, 6, 3, (2, 1), 1, groups=2)], EXACT)[0]
    a, b = operands(made, x, 600, np.random.default_rng(0))
    assert len(a) == len(b) >= 600
    runs = np.split(a, np.flatnonzero(np.diff(b)) + 1)
    codes = nn.functional.pad(made.range.codes(x), (1, 1, 1, 1)).numpy()
    streams = {
        tuple(codes[:, channel, row : row + 5 : 2, column : column + 4].reshape(-1))
        for channel in range(2)
        for row in range(3)
        for column in range(3)
    }
    texts = [",".join(map(str, stream)) for stream in streams]
    assert len(runs) > 30 and all(
        any(",".join(map(str, run)) in text for text in texts) for run in runs if len(run) <= 9
    )


@pytest.mark.parametrize("kind", ["depthwise", "linear", "padded"])
def test_operands_come_from_every_kind_of_layer(kind):
    layers = {
        "depthwise": [DepthwiseConv2d(3, 3, 2)],
        "linear": [nn.Flatten(), nn.Linear(3 * 36, 5)],
        "padded": [nn.Conv2d(3, 4, (2, 5), padding="same", dilation=2)],
    }[kind]
    x = torch.rand(4, 3, 6, 6)
    made = converted(x, layers, EXACT)
    (power,) = activity(made, x).values()
    assert 0.01 < power < 0.425


def test_power_follows_what_the_operands_do():
    torch.manual_seed(0)
    x = torch.randn(8, 4, 12, 12)
    layer = nn.Conv2d(4, 8, 3, padding=1)
    exact, cut = (converted(x, [layer], Multiplier.family(*design)) for design in ((0, 0, 0), (3, 3, 0)))
    noise = activity(exact, x)["0"]
    assert activity(exact, x)["0"] == noise != activity(exact, x, seed=1)["0"], "the seed decides"
    assert activity(exact, x, seed=1)["0"] == pytest.approx(noise, rel=0.15)
    assert activity(exact, [x[:4], x[4:]])["0"] == pytest.approx(noise, rel=0.15)
    assert activity(exact, torch.full_like(x, 0.5))["0"] < 0.5 * noise, "what does not change hardly switches"
    sparse = torch.where(torch.rand_like(x) < 0.8, torch.zeros_like(x), x.abs())
    assert activity(exact, sparse)["0"] < 0.8 * noise
    assert activity(cut, x)["0"] < 0.6 * noise


def test_a_table_of_no_known_circuit_has_the_power_that_was_given():
    x = torch.randn(2, 1, 6, 6)
    table = Multiplier("mine", EXACT.table, (True, True), 0.25, "given", "test")
    made = converted(x, [nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3)], table)
    assert activity(made, x) == {"0": 0.25, "2": 0.25}
    with pytest.raises(InputError, match="pairs = 1"):
        activity(made, x, pairs=1)


def test_swapped_operands_are_those_of_the_circuit():
    """With both orders of exact operands the same circuit takes about the same: weights stand still in either."""
    torch.manual_seed(0)
    x, layer = torch.randn(4, 4, 10, 10), nn.Conv2d(4, 4, 3)
    one = converted(x, [layer], Multiplier.family(2, 0, 5))
    other = converted(x, [layer], Multiplier.family(2, 0, 5).swap())
    assert isinstance(one[0], ApproximateConv2d)
    assert 0.5 < activity(one, x)["0"] / activity(other, x)["0"] < 2 and activity(one, x) != activity(other, x)


def test_a_configuration_takes_energy_among_objectives_and_limits():
    assert {"energy", "relative_energy"} <= {*parts.COSTS}
