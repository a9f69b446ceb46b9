"""EcoNAS' notation of fidelities."""

from __future__ import annotations

import pytest

from frugalnas.core import Fidelity, InputError
from frugalnas.ladder import name_of, parse


def test_the_paper_s_own_settings():
    assert parse("c4r4s0e60", 36, 32) == Fidelity(epochs=60, samples=1.0, resolution=8, width=9)
    assert parse("c0r0s0e600", 36, 32) == Fidelity(epochs=600, samples=1.0, resolution=32, width=36)


@pytest.mark.parametrize(("index", "width"), [(0, 36), (1, 25), (2, 18), (3, 13), (4, 9), (5, 6), (6, 4), (10, 1)])
def test_channels_and_pixels_shrink_by_the_root_of_two(index, width):
    assert parse(f"c{index}r0s0e1", 36, 32).width == width
    assert parse(f"c0r{index}s0e1", 8, 36).resolution == width


def test_samples_are_halved():
    assert [parse(f"c0r0s{index}e1", 8, 8).samples for index in range(4)] == [1, 0.5, 0.25, 0.125]


@pytest.mark.parametrize(("channels", "resolution"), [(36, 32), (16, 28), (8, 16)])
def test_names_are_read_back(channels, resolution):
    for c in range(5):
        for s in range(3):
            text = f"c{c}r{4 - c}s{s}e{7 * c}"
            assert name_of(parse(text, channels, resolution), channels, resolution) == text


def test_what_a_fidelity_leaves_to_the_space_is_whole():
    assert name_of(Fidelity(epochs=3, samples=0.5), 16, 28) == "c0r0s1e3"
    assert name_of(Fidelity(epochs=3, width=8, depth=5), 16, 28) == "c2r0s0e3"


def test_of_equal_widths_the_smallest_index_is_the_name():
    assert parse("c5r0s0e1", 5, 8).width == parse("c4r0s0e1", 5, 8).width
    assert name_of(parse("c5r0s0e1", 5, 8), 5, 8) == "c4r0s0e1"


@pytest.mark.parametrize("text", ["", "c4r4e60", "c4r4s0e60x", "c-1r0s0e1", "c0.5r0s0e1", "c4r4s0e", "c4 r4 s0 e60"])
def test_other_texts_are_refused_with_an_example(text):
    with pytest.raises(InputError, match="expected cArBsCeD, such as c4r4s0e60"):
        parse(text, 36, 32)


def test_an_index_that_leaves_nothing_is_refused():
    with pytest.raises(InputError, match="'c12r0s0e1': 8 channels and 32 pixels become 0 and 32, expected 1 or more"):
        parse("c12r0s0e1", 8, 32)


@pytest.mark.parametrize(
    ("fidelity", "message"),
    [
        (Fidelity(width=30), "width = 30 of 36: .* the nearest are 36, 25"),
        (Fidelity(width=40), "width = 40 of 36: .* the nearest are 36"),
        (Fidelity(resolution=20), "resolution = 20 of 32"),
        (Fidelity(samples=0.3), "samples = 0.3: .* 1, 1/2, 1/4"),
    ],
)
def test_sizes_between_the_indices_have_no_name(fidelity, message):
    with pytest.raises(InputError, match=message):
        name_of(fidelity, 36, 32)
