"""The vote of scores: places among references, references that are kept, the rating of an untrained network."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from frugalnas.core import Candidate, Fidelity, InputError, Objective, Problem, evaluate
from frugalnas.estimators import ESTIMATORS
from frugalnas.estimators.auto import FILE, Auto, place
from frugalnas.scores.rating import rate
from frugalnas.spaces.cell import CellSpace
from frugalnas.spaces.nasbench201 import NasBench201
from frugalnas.tasks import memory
from frugalnas.tasks.classification import Classification

TASK = Classification()
SPACE = NasBench201(channels=4, cells=1, **TASK.facts())
QUICK = Auto(TASK, Fidelity(resolution=16), scores=("meco", "synflow", "more_macs"), images=16, references=6)
GOOD, POOR, DEAD = (Candidate(genes) for genes in ((3, 3, 3, 3, 3, 3), (0, 0, 0, 4, 0, 0), (0,) * 6))


def test_places_among_references_by_hand() -> None:
    references = (3.0, 1.0, 2.0)
    assert [place(score, references) for score in (1.0, 2.0, 3.0)] == [0.25, 0.5, 0.75]
    assert place(1.5, references) == 0.375
    assert place(5.0, references) == pytest.approx((3 + 0.5) / 4), "one spread beyond the best: half way to the end"
    assert place(-1.0, references) == pytest.approx(0.5 / 4)


def test_equal_references_share_their_places() -> None:
    assert place(1.0, (0.0, 1.0, 1.0, 1.0)) == pytest.approx(3 / 5)
    assert place(7.0, (7.0, 7.0, 7.0)) == pytest.approx(2 / 4)
    assert place(8.0, (7.0, 7.0, 7.0)) > 3 / 4


def test_what_is_not_finite_is_below_everything() -> None:
    references = (-math.inf, math.nan, 1.0, 2.0)
    assert place(1.0, references) == pytest.approx(3 / 5), "third of four"
    assert place(math.nan, references) == place(-math.inf, references) == pytest.approx(0.5 / 5)
    assert place(0.9, references) > 2 / 5
    assert place(1.0, (math.nan,) * 4) == pytest.approx(0.5 / 5)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=20),
    st.floats(-1e7, 1e7),
    st.floats(min_value=1e-3, max_value=1e6),
)
def test_a_better_score_has_a_place_that_is_no_worse(references: list[float], score: float, more: float) -> None:
    lower, higher = place(score, references), place(score + more, references)
    assert 0 < lower <= higher < 1 or (higher == pytest.approx(1) and lower <= higher)


def test_the_rating_is_the_mean_of_the_logarithms_of_places() -> None:
    values = QUICK.evaluate(GOOD, SPACE, 3)
    assert tuple(values) == QUICK.values == ("rating", "meco", "synflow", "more_macs")
    images, labels = TASK.sample("train", QUICK.fidelity, 16)
    batch = TASK.normalisation()(images), labels
    own = rate(QUICK.scores, SPACE, SPACE.at(QUICK.fidelity), GOOD.genotype, TASK.attach, batch, 3, most=16)
    known = QUICK.rate_references(SPACE)
    assert all(len(column) == 6 for column in known.values())
    expected = -np.mean([math.log(place(own[name], known[name])) for name in QUICK.scores])
    assert values["rating"] == pytest.approx(expected)
    assert values["more_macs"] == -SPACE.count(GOOD.genotype).macs


def test_it_tells_a_network_that_computes_from_one_that_hardly_does() -> None:
    good, poor, dead = (QUICK.evaluate(candidate, SPACE, 3)["rating"] for candidate in (GOOD, POOR, DEAD))
    assert 0 < good < poor < dead


def test_a_network_without_a_path_is_rated_last_and_fails_no_trial() -> None:
    values = QUICK.evaluate(DEAD, SPACE, 3)
    assert "synflow" not in values and math.isfinite(values["rating"])
    problem = Problem(SPACE, (Objective("rating"),), (QUICK,))
    trial, _ = evaluate(problem, 0, DEAD, {}, 3)
    assert trial.status == "done" and trial.values["rating"] == values["rating"]


def test_the_same_seed_gives_the_same_rating_and_no_generator_moves() -> None:
    state = torch.random.get_rng_state()
    first = QUICK.evaluate(GOOD, SPACE, 3)
    assert torch.equal(torch.random.get_rng_state(), state)
    memory.forget()
    torch.rand(5)
    assert QUICK.evaluate(GOOD, SPACE, 3) == first != QUICK.evaluate(GOOD, SPACE, 4)


def test_references_are_kept_in_the_run_folder(tmp_path, monkeypatch) -> None:
    kept = replace(QUICK, folder=tmp_path)
    first = kept.evaluate(GOOD, SPACE, 3)
    assert first == QUICK.evaluate(GOOD, SPACE, 3), "a folder changes no value"
    assert [each.name for each in tmp_path.iterdir()] == [FILE]
    monkeypatch.setattr(Auto, "rate_references", lambda *_: pytest.fail("rated once more"))
    memory.forget()
    assert kept.evaluate(GOOD, SPACE, 3) == first


@pytest.mark.parametrize(
    "content", [b"", b"[", b"[]", b'{"of": 1}', b'{"of": "x", "scores": {"meco": [1]}}', b"[" * 10**5]
)
def test_references_of_something_else_are_rated_anew(tmp_path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    kept = replace(QUICK, folder=tmp_path)
    assert kept.evaluate(GOOD, SPACE, 3) == QUICK.evaluate(GOOD, SPACE, 3)
    assert set(json.loads((tmp_path / FILE).read_bytes())["scores"]) == set(QUICK.scores)
    other = replace(kept, images=12)
    assert other.evaluate(GOOD, SPACE, 3) == replace(other, folder=None).evaluate(GOOD, SPACE, 3)


def test_a_folder_that_cannot_be_written_to_does_not_matter(tmp_path) -> None:
    gone = replace(QUICK, folder=tmp_path / "gone")
    assert gone.evaluate(GOOD, SPACE, 3) == QUICK.evaluate(GOOD, SPACE, 3)


def test_a_space_smaller_than_the_references_gives_all_that_it_has() -> None:
    space = CellSpace(("skip_connect",), blocks=1, inputs="full", channels=2, cells=3, **TASK.facts())
    known = replace(QUICK, scores=("more_macs",), references=200).rate_references(space)
    different = {space.canonical(genotype) for genotype in product(*map(range, space.domains))}
    assert len(known["more_macs"]) == len(different) == 9


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scores": ("mecco",)}, "did you mean 'meco'"),
        ({"scores": ("az_nas",)}, "ranks the networks of a population"),
        ({"scores": ()}, "auto.scores = : expected one or more"),
        ({"references": 3}, "auto.references = 3: expected 4 or more"),
        ({"images": 1}, "auto.images = 1: expected 4 or more"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Auto(TASK, **wrong)


def test_names() -> None:
    assert ESTIMATORS["auto"] is Auto
