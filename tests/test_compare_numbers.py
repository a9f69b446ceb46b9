"""The statistics and curves of a comparison, against values computed by hand."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from frugalnas.compare.outcome import Outcome, Truth, incumbents, volumes
from frugalnas.compare.runs import Run, read, run_of, write
from frugalnas.compare.significance import contrasts, enough, holm, least_p, mean_ranks, signed_rank
from frugalnas.compare.text import text_of, verdict
from frugalnas.core import Candidate, InputError, Trial


def run(method: str, seed: int, told: list[tuple[float, ...]], tests: list[float] | None = None) -> Run:
    """A run that was told these values, one after each of its trials, an epoch and six seconds each."""
    n = len(told)
    return Run(
        method=method,
        seed=seed,
        ended="trials",
        epochs=tuple(float(i + 1) for i in range(n)),
        trials=tuple(range(1, n + 1)),
        minutes=tuple((i + 1) / 10 for i in range(n)),
        values=tuple(told),
        test_errors=tuple(tests or [None] * n),
        genotypes=((0,),) * n,
        spent_epochs=float(n),
        spent_images=100.0 * n,
        spent_trials=n,
        seconds=6.0 * n,
        networks=n,
        rejected=0,
        failed=0,
    )


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1, 2, 3, 4, 5], 2 / 32),  # all 5 of a sign: 2 of 2**5 ways
        ([1, 2, 3, 4, 5, 6], 2 / 64),
        ([1, 2, 3, -4], 14 / 16),  # ranks against: 4; sums of at most 4 are {}, 1, 2, 3, 4, 1+2, 1+3: 7, two-sided
        ([-1, -2, -3, -4, -5, 6], 28 / 64),  # 14 ways to a sum of at most 6
        ([1, 0, 2, 0, 3, 4, 5], 2 / 32),  # equal pairs say nothing
        ([0, 0, 0], 1.0),
        ([1e-15, 0.0], 1.0),  # the last bits of a float are no difference
    ],
)
def test_the_signed_rank_test_is_exact(differences: list[float], p: float) -> None:
    base = np.full(len(differences), 0.25)
    assert signed_rank(base + np.array(differences), base) == pytest.approx(p)
    assert signed_rank(base, base + np.array(differences)) == pytest.approx(p)


def test_holm_corrects_step_by_step() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_contrast_counts_wins_and_is_corrected_within_its_family() -> None:
    a = np.array([1.0, 2, 3, 4, 5, 6])
    values = {"a": a, "b": a + np.array([1, 2, 3, 4, 5, 6]), "c": a + np.array([0, 0, 1, -1, 2, 3])}
    first, second = contrasts(values, [("a", "b"), ("c", "a")])
    assert (first.wins, first.losses, first.difference) == (6, 0, -3.5)
    assert (second.wins, second.losses, second.difference) == (1, 3, 0.5)
    assert first.p == pytest.approx(2 / 64)
    assert first.adjusted == pytest.approx(2 * first.p)


def test_how_many_seeds_are_enough() -> None:
    assert [least_p(5, 1), least_p(6, 1), least_p(8, 5)] == [0.0625, 0.03125, 5 / 128]
    assert [enough(1), enough(2), enough(5)] == [6, 7, 8]


def test_equal_ones_share_the_mean_of_their_ranks() -> None:
    ranks = mean_ranks({"a": np.array([1.0, 2.0]), "b": np.array([1.0, 1.0]), "c": np.array([3.0, 0.0])})
    assert ranks == {"a": 2.25, "b": 1.75, "c": 2.0}


def test_the_hypervolume_grows_point_by_point() -> None:
    points = [(0.5, 0.5), (0.25, 0.75), (0.6, 0.9), (2.0, 2.0), (0.0, 0.0)]
    assert volumes(points, (0, 0), (1, 1)).tolist() == pytest.approx([0.25, 0.3125, 0.3125, 0.3125, 1.0])
    assert volumes([(5.0, 30.0)], (0, 10), (10, 50)).tolist() == pytest.approx([0.25])


def test_the_incumbent_is_chosen_by_validation() -> None:
    told = run("a", 0, [(0.3,), (0.2,), (0.25,), (0.1,)], [0.5, 0.1, 0.05, 0.2])
    assert incumbents(told).tolist() == [0.5, 0.1, 0.1, 0.2]


def outcome(runs: list[Run], budget: float, unit: str = "trials", truth: Truth | None = None) -> Outcome:
    objectives = ("error", "params")[: len(runs[0].values[0])]
    return Outcome("a on toys", "train", objectives, unit, budget, tuple(runs), truth)  # type: ignore[arg-type]


def test_a_network_counts_from_when_its_cost_has_been_paid() -> None:
    runs = [run("a", 0, [(0.4,), (0.2,), (0.3,), (0.1,)]), run("random", 0, [(0.5,), (0.5,), (0.5,), (0.4,)])]
    (curve,) = outcome(runs, 4).curves
    values = curve.values["a"][0]
    assert values[[0, 24, 25, 49, 50, 75, 99, 100]].tolist() == [math.inf, math.inf, 0.4, 0.4, 0.2, 0.2, 0.2, 0.1]
    (curve,) = outcome(runs, 3, "epochs").curves  # the fourth was begun within the budget and ended beyond it
    assert curve.values["a"][0][-1] == 0.2
    (curve,) = outcome(runs, 0.2, "minutes").curves
    assert curve.values["a"][0][[50, 100]].tolist() == [0.4, 0.2]


def test_quartiles_are_over_seeds_and_nothing_rated_is_worse_than_anything() -> None:
    runs = [run("a", seed, [(error,)]) for seed, error in enumerate((0.1, 0.2, 0.4, 0.8))]
    late = [replace(each, method="random", trials=(9,)) for each in runs]
    (curve,) = outcome([*runs, *late], 2).curves
    assert curve.quartiles("a")[:, -1].tolist() == pytest.approx([0.175, 0.3, 0.5])
    assert np.isinf(curve.quartiles("random")[:, -1]).all()
    assert curve.quartiles("a")[:, 0].tolist() == [math.inf] * 3
    (twin,) = outcome([*runs, *late], 2).tests["error"][0]
    assert (twin.wins, twin.losses) == (4, 0)


def test_more_hypervolume_is_better() -> None:
    runs = [
        *(run("a", seed, [(0.1, 10.0), (0.2, 5.0)]) for seed in range(6)),
        *(run("random", seed, [(0.3, 20.0), (0.4, 10.0)]) for seed in range(6)),
    ]
    found = outcome(runs, 2)
    assert found.reference == ((0.1, 5.0), (0.4, 20.0))
    error, volume = found.curves
    # scaled: (0, 1/3) and (1/3, 0) leave a square of 1/9 out
    assert volume.values["a"][0][[0, 50, 100]].tolist() == pytest.approx([0.0, 2 / 3, 8 / 9])
    assert volume.values["random"][0][-1] == 0.0
    ((twin,), pairs) = found.tests["hypervolume"]
    assert (twin.wins, twin.losses, twin.adjusted) == (6, 0, pytest.approx(2 / 64))
    assert pairs == []
    assert found.ranks["hypervolume"] == {"a": 1.0, "random": 2.0}
    assert "hypervolume" not in [curve.name for curve in outcome([run("random", 0, [(0.5,)])], 1).curves]


def test_a_sentence_names_those_that_differ_from_random() -> None:
    errors = {"a": 0.1, "b": 0.9, "c": 0.5, "random": 0.5}
    for seeds, sentence in (
        (9, "At p <= 0.05, corrected, better than random: a; worse than random: b."),
        (3, "At p <= 0.05, corrected, no method differs from random."),
    ):
        found = outcome([run(name, seed, [(error,)]) for name, error in errors.items() for seed in range(seeds)], 1)
        assert verdict(found, found.curves[0]) == sentence
        assert sentence in text_of(found)


def test_a_table_has_a_regret_and_a_share_of_the_true_front() -> None:
    truth = Truth(0.05, (0.0, 0.0), (1.0, 10.0), 0.5, 3, 80, 100)
    runs = [run("random", 0, [(0.5, 5.0), (0.25, 7.5)], [0.3, 0.1])]
    _, volume, regret = outcome(runs, 2, truth=truth).curves
    assert volume.values["random"][0][[50, 100]].tolist() == pytest.approx([0.5, 0.625])
    assert regret.values["random"][0][[50, 100]].tolist() == pytest.approx([0.25, 0.05])
    assert "20 of 100" in text_of(outcome(runs, 2, truth=truth))


@pytest.mark.parametrize(
    ("seeds", "others", "words"),
    [
        (1, 1, "With 1 seed no difference can be significant: the smallest p that the test can give here is 1."),
        (5, 1, "With 5 seeds no difference .* is 0.062. 6 seeds or more can reach 0.05 against random.$"),
        (6, 3, "With 6 seeds no difference .* is 0.094. 7 seeds or more can reach 0.05 against random.$"),
        (
            4,
            4,
            "With 4 seeds no difference .* is 0.5. 8 seeds or more can reach 0.05 against random, 8 between all pairs.",
        ),
        (9, 5, "With 9 seeds the smallest p .* against random is 0.02.$"),
        (8, 5, "is 0.039. Between all pairs none can be significant before 9 seeds."),
    ],
)
def test_too_few_seeds_are_called_too_few(seeds: int, others: int, words: str) -> None:
    names = [*(f"m{i}" for i in range(others)), "random"]
    found = outcome([run(name, seed, [(0.5,)]) for name in names for seed in range(seeds)], 1)
    assert re.search(words, found.caution), found.caution


TREE = {"method": "a", "seed": 3, "objectives": ["error", "params"], "estimators": [{}, {}]}


def test_a_run_counts_what_it_spent_and_keeps_the_last_rung() -> None:
    def trial(number: int, gene: int, rung: int, status: str = "done", images: float = 50.0, reason: str = "") -> Trial:
        values = {"error": 0.1 * number, "params": 1.0, "images": images}
        return Trial(number, Candidate((gene,), rung), status, values, reason)  # type: ignore[arg-type]

    told = [
        trial(0, 0, 0),
        trial(1, 1, 0, "rejected", 0.0, "params"),
        trial(2, 0, 1, images=100.0),
        trial(3, 2, 0, "failed", 25.0, "error is nan"),
        trial(4, 0, 1, images=100.0, reason="same as trial 2"),
        trial(5, 2, 0, "failed", 25.0, "same as trial 3: error is nan"),
        trial(6, 3, 1, images=100.0),
    ]
    found = run_of(TREE, told, "images", 50, {0: 6.0, 2: 30.0, 6: 60.0}, 12.5)
    assert found.trials == (2, 6)
    assert found.epochs == (3.0, 5.5)
    assert found.minutes == (0.5, 1.0)
    assert found.values == ((0.2, 1.0), (pytest.approx(0.6), 1.0))
    assert (found.spent_images, found.spent_epochs, found.spent_trials, found.seconds) == (275.0, 5.5, 6, 12.5)
    assert (found.networks, found.rejected, found.failed) == (2, 1, 2)


def test_a_run_is_read_as_it_was_written_and_never_as_another(tmp_path) -> None:
    file = tmp_path / "a" / "seed-3.json"
    written = run("a", 3, [(0.5, 1.0), (0.25, 2.0)], [0.5, 0.25])
    assert read(file, TREE) is None
    write(file, written)
    assert read(file, TREE) == written
    with pytest.raises(InputError, match="of another run: a, seed 3"):
        read(file, TREE | {"seed": 4})
    with pytest.raises(InputError, match="of another run"):
        read(file, TREE | {"objectives": ["error"]})
    text = file.read_text()
    for change in (('"epochs":[1.0,2.0]', '"epochs":[1.0]'), ("0.25", "1e999"), ('"seed":3', '"seed":"x"'), ("{", "[")):
        file.write_text(text.replace(*change))
        with pytest.raises(InputError, match="is of no comparison"):
            read(file, TREE)


def test_the_tables_for_other_programs_have_all_numbers() -> None:
    runs = [run(method, seed, [(0.5, 4.0), (0.25, 8.0)]) for method in ("a", "random") for seed in range(3)]
    found = outcome(runs, 2)
    rows = list(csv.DictReader(io.StringIO(found.runs_csv())))
    assert [(row["method"], row["seed"]) for row in rows] == [(run.method, str(run.seed)) for run in runs]
    assert rows[0]["error_25"] == ""
    assert (rows[0]["error_50"], rows[0]["error_100"]) == ("0.5", "0.25")
    assert (rows[0]["epochs"], rows[0]["images"], rows[0]["seconds"], rows[0]["networks"]) == ("2", "200", "12", "2")
    rows = list(csv.DictReader(io.StringIO(found.curves_csv())))
    assert len(rows) == 2 * 101
    assert (rows[75]["trials"], rows[75]["error_median"], rows[100]["error_q75"]) == ("1.5", "0.5", "0.25")
