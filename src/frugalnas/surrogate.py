"""What a network's error will be, predicted from the networks that were trained: regression on its genes, its costs and
what is cheaply known of it.

Each model learns normal scores, z = Phi^-1((rank - 1/2) / n), instead of errors: errors are skewed, with a tail of
networks that learnt nothing, and a search wants their order. Predictions are brought back to errors along lines between
those seen.

- `ridge`: linear regression with an L2 penalty, chosen by the leave-one-out error, which has a closed form (Hastie,
  Tibshirani, Friedman: The Elements of Statistical Learning, 2009, eq. 7.64). The penalty is lighter for a cost or a
  rating than for one gene of many: few networks teach what the former say sooner than what every gene does.
- `trees`: gradient-boosted regression trees (Friedman, Annals of Statistics 29(5), 2001), by scikit-learn.
- `ensemble`: bagged trees (Breiman: Random Forests, Machine Learning 45, 2001) and ridge, stacked (Breiman: Stacked
  Regressions, Machine Learning 24, 1996): weighted so that predictions of networks that a member has not seen, out of
  the bag of the one and left out of the other, have the least squared error.

Differences from the papers
- Standard deviations are those of Student's t, and scaled so that errors of unseen networks are as large as they say:
  those of the ensemble by what is out of the bag, those of ridge by what is left out, those of the trees by five folds.
- The weights of the ensemble are drawn towards equal ones, as if some more networks had said so.
- The spread of the ensemble's trees at a point is averaged with their mean spread, as that of a few trees is noisy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from frugalnas.core import Genotype, InputError, nearest

Vectors = NDArray[np.float64]
Prediction = tuple[Vectors, Vectors]  # means and standard deviations, (m,) each
Model = Literal["ridge", "trees", "ensemble"]
LEAST = 8  # networks that anything can be learnt from
PENALTIES = 10.0 ** np.arange(-5, 4)  # of ridge, for each network
MEMBERS = 24  # trees in the ensemble
PRIOR = 10  # networks that speak for equal weights in the ensemble
FOLDS = 5


@dataclass(frozen=True)
class Features:
    """What is known of n networks: a `table` (n, d) and the `names` of its columns."""

    names: tuple[str, ...]
    table: Vectors


def features(
    genotypes: Sequence[Genotype],
    domains: Sequence[int],
    counts: Mapping[str, ArrayLike] | None = None,
    values: Mapping[str, ArrayLike] | None = None,
) -> Features:
    """The features of n canonical genotypes, in an order that depends on the names only.

    A column for each value that a gene may have, 1 where it has it. `counts` are such as parameters, n numbers each, of
    which the logarithm is taken; `values` are taken as they are. What is not known is NaN, and so is the logarithm of
    0. Raises InputError for columns of another length, and genes beyond their domains.
    """
    inside = (len(each) == len(domains) and all(map(_within, each, domains)) for each in genotypes)
    if not all(inside):
        raise InputError(f"genotypes of another space: expected genes within {tuple(domains)}")
    genes = np.array(genotypes, dtype=np.int64).reshape(len(genotypes), len(domains))
    names = [f"gene {gene} = {value}" for gene, size in enumerate(domains) for value in range(size)]
    columns = [genes[:, gene] == value for gene, size in enumerate(domains) for value in range(size)]
    for prefix, given in (("log ", counts or {}), ("", values or {})):
        for name in sorted(given):
            column = np.asarray(given[name], dtype=float)
            if column.shape != (len(genotypes),):
                raise InputError(f"{name} has the shape {column.shape}: expected ({len(genotypes)},)")
            names.append(prefix + name)
            columns.append(np.log(column, where=column > 0, out=np.full_like(column, np.nan)) if prefix else column)
    return Features(tuple(names), np.array(columns, dtype=float).T.reshape(len(genotypes), len(names)))


class Predictor(Protocol):
    """A model that was fitted."""

    def predict(self, table: Vectors) -> Prediction:
        """Means and standard deviations (m,) of the errors of networks with these features (m, d)."""
        ...


_Regression = Callable[[Vectors], Prediction]  # of normal scores, from standardised features


@dataclass(frozen=True)
class _Fitted:
    """A regression between the scales of features and errors."""

    columns: _Columns
    scores: _Scores
    regression: _Regression
    spread: float  # of what is predicted, in standard deviations that a regression gives

    def predict(self, table: Vectors) -> Prediction:
        mean, deviation = self.regression(self.columns.standardised(table))
        deviation = self.spread * deviation
        low, middle, high = (self.scores.errors(mean + sign * deviation) for sign in (-1, 0, 1))
        return middle, (high - low) / 2


@dataclass(frozen=True)
class _Columns:
    """The scale of features (d,); those that the fitted networks have in common say nothing and are left out.

    All columns of 0 and 1, which are those of genes, together have the variance of one other.
    """

    kept: NDArray[np.int64]
    mean: Vectors
    deviation: Vectors

    @staticmethod
    def of(table: Vectors) -> _Columns:
        known = np.where(np.isfinite(table), table, np.nan)
        seen = np.isfinite(known).sum(0).clip(1)
        mean = np.nansum(known, 0) / seen
        deviation = np.sqrt(np.nansum((known - mean) ** 2, 0) / seen)
        kept = np.flatnonzero(deviation > 1e-12 * (1 + np.abs(mean)))
        genes = [place for place in kept.tolist() if set(table[:, place].tolist()) <= {0.0, 1.0}]
        deviation[genes] *= math.sqrt(max(1, len(genes)))
        return _Columns(kept, mean[kept], deviation[kept])

    def standardised(self, table: Vectors) -> Vectors:
        """(m, kept), in which what is not known has the mean."""
        scaled: Vectors = (table[:, self.kept] - self.mean) / self.deviation
        scaled[~np.isfinite(scaled)] = 0.0
        return scaled


@dataclass(frozen=True)
class _Scores:
    """Errors that were seen, ascending and each once, and their normal scores."""

    known: Vectors
    scores: Vectors

    @staticmethod
    def of(errors: Vectors) -> tuple[_Scores, Vectors]:
        """The scale of these errors (n,), and the normal score of each."""
        from scipy.special import ndtri
        from scipy.stats import rankdata

        each = ndtri((rankdata(errors) - 0.5) / len(errors))
        known, places = np.unique(errors, return_index=True)
        return _Scores(known, each[places]), each

    def errors(self, scores: Vectors) -> Vectors:
        """The errors at these scores: on straight lines between those seen, and beyond them as steep as on average."""
        low, high = self.scores[0], self.scores[-1]
        slope = (self.known[-1] - self.known[0]) / max(high - low, 1e-12)
        beyond = scores - np.clip(scores, low, high)
        errors: Vectors = np.interp(scores, self.scores, self.known) + slope * beyond
        return errors


def check_model(name: str) -> None:
    """Raise InputError, with the nearest, where there is no model of that name."""
    if name not in get_args(Model):
        raise InputError(f"unknown model {name!r}: {nearest(name, get_args(Model))}")


def fit(model: Model, table: Vectors, errors: ArrayLike, rng: np.random.Generator) -> Predictor:
    """The model, fitted to networks with these features (n, d) and errors (n,).

    The same generator gives the same predictor. Raises InputError for fewer than LEAST networks, errors that are not
    finite, and an unknown model.
    """
    known = np.asarray(errors, dtype=float)
    check_model(model)
    if table.ndim != 2 or known.shape != table.shape[:1] or not np.isfinite(known).all():
        raise InputError(f"features {table.shape}, errors {known.shape}: expected (n, d) and n finite ones")
    if len(known) < LEAST:
        raise InputError(f"{len(known)} trained networks: expected {LEAST} or more to learn from")
    columns, (scores, targets) = _Columns.of(table), _Scores.of(known)
    regression = MODELS[model](columns.standardised(table), targets, rng)
    n = len(known)
    return _Fitted(columns, scores, regression, math.sqrt((n - 1) / (n - 3)))  # Student's t, as n is small


def _ridge(X: Vectors, z: Vectors, rng: np.random.Generator) -> _Regression:
    line = _line(X, z)
    deviation = _size(z - line.left_out)
    return lambda X: (line.at(X), np.full(len(X), deviation))


@dataclass(frozen=True)
class _Line:
    """A linear function of features (d,); `left_out`: what one without it would say of each fitted network (n,)."""

    offset: float
    slopes: Vectors
    left_out: Vectors

    def at(self, X: Vectors) -> Vectors:
        return self.offset + X @ self.slopes


def _line(X: Vectors, z: Vectors) -> _Line:
    offset, n = float(z.mean()), len(z)
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    along, centred = U.T @ (z - offset), z - offset
    best: tuple[float, _Line] | None = None
    for penalty in PENALTIES * n:
        shrunk = s**2 / (s**2 + penalty)
        leverage = 1 / n + (U**2 * shrunk).sum(1)
        residual = (centred - U @ (shrunk * along)) / np.maximum(1 - leverage, 1e-6)  # leave-one-out (eq. 7.64)
        loss = float(residual @ residual)
        if best is None or loss < best[0]:
            best = loss, _Line(offset, Vt.T @ (s / (s**2 + penalty) * along), z - residual)
    assert best is not None  # noqa: S101
    return best[1]


def _trees(X: Vectors, z: Vectors, rng: np.random.Generator) -> _Regression:
    from sklearn.ensemble import GradientBoostingRegressor

    def boosted(rows: NDArray[np.int64]) -> Any:
        trees = GradientBoostingRegressor(subsample=0.8, min_samples_leaf=2, random_state=_seed(rng))
        return trees.fit(X[rows], z[rows])

    everything, residuals = np.arange(len(z)), np.empty(len(z))
    whole = boosted(everything)
    for fold in np.array_split(rng.permutation(len(z)), FOLDS):
        residuals[fold] = z[fold] - boosted(np.setdiff1d(everything, fold)).predict(X[fold])
    deviation = _size(residuals)
    return lambda X: (whole.predict(X), np.full(len(X), deviation))


def _ensemble(X: Vectors, z: Vectors, rng: np.random.Generator) -> _Regression:
    from sklearn.tree import DecisionTreeRegressor

    line, n, narrow = _line(X, z), len(z), X.astype(np.float32)
    trees, seen = [], np.zeros((MEMBERS, n), dtype=bool)
    for member in seen:
        drawn = rng.integers(n, size=n)
        member[drawn] = True
        tree = DecisionTreeRegressor(max_features=1 / 3, min_samples_leaf=2, random_state=_seed(rng))
        trees.append(tree.fit(narrow[drawn], z[drawn], check_input=False))

    def grown(X: Vectors) -> Vectors:
        narrow = X.astype(np.float32)
        return np.array([tree.predict(narrow, check_input=False) for tree in trees])  # (members, m)

    own = np.ma.masked_array(grown(X), seen)  # what trees say of networks that they were not grown on
    left_out, spread = own.mean(0).filled(line.offset), own.var(0).filled(0.0)
    apart = left_out - line.left_out
    prior = PRIOR * max(float(apart @ apart) / n, 1e-12)
    share = float((z - line.left_out) @ apart + prior / 2) / (float(apart @ apart) + prior)  # of the trees
    share = min(max(share, 0.0), 1.0)
    typical = max(float(spread.mean()), 1e-6)
    residual = z - share * left_out - (1 - share) * line.left_out
    scale = float(np.mean(residual**2 / ((spread + typical) / 2)))

    def regression(X: Vectors) -> Prediction:
        each = grown(X)
        mean = share * each.mean(0) + (1 - share) * line.at(X)
        return mean, np.sqrt(scale * (each.var(0) + typical) / 2)

    return regression


MODELS: dict[str, Callable[[Vectors, Vectors, np.random.Generator], _Regression]] = {
    "ridge": _ridge,
    "trees": _trees,
    "ensemble": _ensemble,
}


def _size(residuals: Vectors) -> float:
    return float(np.sqrt(np.mean(residuals**2)))


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _within(gene: int, size: int) -> bool:
    return 0 <= gene < size
