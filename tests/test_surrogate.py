"""Surrogates: what they learn from, how well they order what they have not seen, and how far they know it."""

import subprocess
import sys

import numpy as np
import pytest

from frugalnas import surrogate
from frugalnas.core import InputError
from frugalnas.ranking import spearman
from frugalnas.surrogate import LEAST, MODELS, features, fit

DOMAINS = (4, 3, 2, 5)


def genotypes(count, seed=0):
    return [tuple(row) for row in np.random.default_rng(seed).integers(DOMAINS, size=(count, len(DOMAINS))).tolist()]


def problem(count, seed=0, noise=0.05):
    """Features of random genotypes, and errors in which genes add up, two of them interact, and some noise is."""
    known = genotypes(count, seed)
    rng = np.random.default_rng(seed + 1)
    weights = np.random.default_rng(9).normal(size=(len(DOMAINS), max(DOMAINS)))
    value = np.array(
        [sum(weights[i, gene] for i, gene in enumerate(genes)) + (genes[0] == genes[1]) for genes in known]
    )
    errors = np.exp(0.4 * value + noise * rng.normal(size=count))
    return features(known, DOMAINS, values={"cheap": value + rng.normal(size=count)}).table, errors


class TestFeatures:
    def test_a_column_for_each_value_of_a_gene_then_costs_as_logarithms_then_values(self):
        found = features([(1, 0), (0, 2)], (2, 3), {"params": [10, 1000], "macs": [1, 1]}, {"rating": [-0.5, 2]})
        assert found.names == (
            *("gene 0 = 0", "gene 0 = 1", "gene 1 = 0", "gene 1 = 1", "gene 1 = 2"),
            *("log macs", "log params", "rating"),
        )
        assert found.table.tolist() == [
            [0, 1, 1, 0, 0, 0, np.log(10), -0.5],
            [1, 0, 0, 0, 1, 0, np.log(1000), 2],
        ]

    def test_the_order_in_which_columns_are_given_does_not_matter(self):
        one = features([(1,)], (2,), {"a": [1], "b": [2]}, {"c": [3], "d": [4]})
        other = features([(1,)], (2,), {"b": [2], "a": [1]}, {"d": [4], "c": [3]})
        assert one.names == other.names and one.table.tolist() == other.table.tolist()

    def test_no_networks_have_as_many_columns_and_a_count_of_nothing_is_not_known(self):
        assert features([], DOMAINS, {"params": []}).table.shape == (0, sum(DOMAINS) + 1)
        assert np.isnan(features([(0,)], (1,), {"params": [0]}).table[0, 1])

    @pytest.mark.parametrize(
        ("genes", "values", "message"),
        [
            ([(0, 3)], {}, r"genotypes of another space: expected genes within \(2, 3\)"),
            ([(0, -1)], {}, "genotypes of another space"),
            ([(0, 0, 0)], {}, "genotypes of another space"),
            ([(0, 0)], {"rating": [1, 2]}, r"rating has the shape \(2,\): expected \(1,\)"),
        ],
    )
    def test_refuses_what_does_not_fit(self, genes, values, message):
        with pytest.raises(InputError, match=message):
            features(genes, (2, 3), values=values)


@pytest.mark.parametrize("model", MODELS)
class TestModels:
    def test_orders_what_it_has_not_seen(self, model):
        (table, errors), (rest, others) = problem(80), problem(400, seed=5)
        mean, _ = fit(model, table, errors, np.random.default_rng(0)).predict(rest)
        assert spearman(mean, others) > 0.85

    def test_ten_networks_say_something_already(self, model):
        found = []
        for seed in range(4):
            (table, errors), (rest, others) = problem(10, seed=10 * seed), problem(300, seed=999)
            mean, _ = fit(model, table, errors, np.random.default_rng(0)).predict(rest)
            found.append(spearman(mean, others))
        assert np.mean(found) > 0.3

    @pytest.mark.parametrize("size", [20, 100])
    def test_errors_are_as_large_as_it_says(self, model, size):
        """Of the networks that it has not seen about 95 % are within two standard deviations."""
        inside = []
        for seed in range(3):
            (table, errors), (rest, others) = (
                problem(size, seed=10 * seed, noise=0.2),
                problem(300, seed=999, noise=0.2),
            )
            mean, deviation = fit(model, table, errors, np.random.default_rng(0)).predict(rest)
            assert (deviation > 0).all()
            inside.append(np.mean(np.abs(others - mean) <= 2 * deviation))
        assert 0.85 < np.mean(inside) <= 0.995

    def test_the_same_generator_gives_the_same_bits(self, model):
        table, errors = problem(30)
        before = fit(model, table, errors, np.random.default_rng(3)).predict(table)
        state = np.random.get_state()[1].tolist()  # noqa: NPY002
        again = fit(model, table, errors, np.random.default_rng(3)).predict(table)
        assert [each.tolist() for each in before] == [each.tolist() for each in again]
        assert np.random.get_state()[1].tolist() == state  # noqa: NPY002

    def test_unknown_values_and_constant_columns_are_survived(self, model):
        table, errors = problem(30)
        table = np.column_stack([table, np.full(30, 7.0), np.full(30, np.nan)])
        table[::4, -3] = np.nan
        mean, deviation = fit(model, table, errors, np.random.default_rng(0)).predict(table)
        assert np.isfinite(mean).all() and np.isfinite(deviation).all()
        assert spearman(mean, errors) > 0.7

    def test_equal_errors_are_predicted_as_they_are(self, model):
        table, _ = problem(12)
        mean, deviation = fit(model, table, np.full(12, 0.5), np.random.default_rng(0)).predict(table)
        assert mean == pytest.approx(0.5) and deviation == pytest.approx(0.0, abs=1e-6)

    def test_outliers_do_not_spoil_the_order(self, model):
        """A network that learnt nothing has an error far from all others; what is learnt is the order."""
        (table, errors), (rest, others) = problem(60), problem(300, seed=5)
        errors[:3] *= 1000
        mean, _ = fit(model, table, errors, np.random.default_rng(0)).predict(rest)
        assert spearman(mean, others) > 0.6


def test_the_ensemble_follows_whichever_member_is_right():
    """Sums of genes are for ridge, an interaction is for trees; the ensemble is nearly as good as the better one."""
    rng = np.random.default_rng(0)
    X, rest = rng.normal(size=(120, 6)), rng.normal(size=(500, 6))
    for truth in (lambda X: X.sum(1), lambda X: np.abs(X[:, 0])):
        rho = {}
        for model in ("ridge", "ensemble"):
            mean, _ = fit(model, X, truth(X), np.random.default_rng(0)).predict(rest)
            rho[model] = spearman(mean, truth(rest))
        assert rho["ensemble"] > rho["ridge"] - 0.02
    assert rho["ensemble"] > 0.5 > 0.3 > rho["ridge"]


def test_it_knows_less_of_networks_unlike_those_that_it_learnt_from():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, 2, 100), rng.normal(size=100)])
    noise = np.where(X[:, 0] == 1, 2.0, 0.05)  # the errors of half of the networks are luck
    z = X[:, 1] + noise * rng.normal(size=100)
    _, deviation = fit("ensemble", X, z, np.random.default_rng(0)).predict(X)
    assert deviation[X[:, 0] == 1].mean() > 1.2 * deviation[X[:, 0] == 0].mean()


@pytest.mark.parametrize(
    ("model", "errors", "message"),
    [
        ("ridge", range(LEAST - 1), f"{LEAST - 1} trained networks: expected {LEAST} or more"),
        ("ridge", [0.1] * 9 + [np.nan], "expected .* finite"),
        ("esemble", range(10), "unknown model 'esemble': did you mean 'ensemble'?"),
    ],
)
def test_refuses_what_nothing_can_be_learnt_from(model, errors, message):
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        fit(model, problem(len(errors))[0], list(errors), np.random.default_rng(0))


def test_it_starts_no_process_and_no_thread():
    code = (
        "import numpy as np, threading, multiprocessing\n"
        "from frugalnas import surrogate\n"
        "for model in surrogate.MODELS:\n"
        "    surrogate.fit(model, np.random.rand(30, 4), np.random.rand(30), np.random.default_rng(0))\n"
        "print(threading.active_count(), len(multiprocessing.active_children()))\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["1", "0"]


def test_scikit_learn_is_imported_by_the_models_that_need_it_only():
    code = "import sys, frugalnas.surrogate, frugalnas.strategies; print('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
    assert surrogate.MODELS.keys() == {"ridge", "trees", "ensemble"}
