"""Exact integer factors of a table of products, with small entries.

The integer combinations of the table's rows are a lattice; a reduced basis of it (Lenstra, Lenstra, Lovasz 1982) is the
factor of the columns, and the whole numbers that make each row from it are the factor of the rows.
"""

from __future__ import annotations

from math import gcd

import numpy as np
from numpy.typing import NDArray

from frugalnas.multipliers.factors import Factors

MOST = 16  # ranks beyond this are slower than a look-up
_PRIME = 2_147_483_647
_LIMIT = 1 << 31  # entries are int32
_STEPS = 20_000  # of LLL: a few hundred are usual

Whole = NDArray[np.int64]


def rank_of(table: NDArray[np.int32]) -> int:
    """Over the rational numbers; by elimination modulo a large prime."""
    return len(_independent(table.astype(np.int64), table.shape[0]))


def factorise(table: NDArray[np.int32], exact: NDArray[np.int32]) -> Factors | None:
    """Factors of the table with as few columns as there can be, of small bound; None where that is over 16.

    The table is also tried as the exact products plus the factors of what is left.
    """
    found = [factors for factors in (_factors(table), _factors(table.T, turned=True)) if factors]
    rest = table - exact
    most = min([MOST, *(factors.rank for factors in found)]) - 1
    for factors in (_factors(rest, most), _factors(rest.T, most, turned=True)):
        if factors:
            rows = np.column_stack([exact[:, 1], factors.rows])
            columns = np.column_stack([exact[1], factors.columns])
            found.append(Factors(_narrow(rows), _narrow(columns)))
    right = [factors for factors in found if factors.bound < _LIMIT and np.array_equal(_product(factors), table)]
    return min(right, key=lambda factors: (factors.rank, factors.bound), default=None)


def _product(factors: Factors) -> Whole:
    return factors.rows.astype(np.int64) @ factors.columns.astype(np.int64).T


def _factors(table: NDArray[np.int32], most: int = MOST, turned: bool = False) -> Factors | None:
    """By the lattice of the rows; `turned`: the table is transposed, so that factors go the other way round."""
    rows = np.unique(table, axis=0).astype(np.int64)
    chosen = _independent(rows, most + 1)
    if len(chosen) > most:
        return None
    basis = _lattice(rows, reduced(rows[chosen]))
    if basis is None:
        return None
    whole = _nearest(table.astype(np.int64), basis)
    if (
        not np.array_equal(whole @ basis, table)
        or max(np.abs(whole).max(initial=0), np.abs(basis).max(initial=0)) >= _LIMIT
    ):
        return None
    made = _narrow(whole), _narrow(basis.T)
    return Factors(*(made[::-1] if turned else made))


def _narrow(values: Whole) -> NDArray[np.int32]:
    return np.ascontiguousarray(values, dtype=np.int32)


def _independent(rows: Whole, most: int) -> list[int]:
    """The first rows, at most so many, of which none is a combination of those before it (modulo a prime)."""
    left = rows % _PRIME
    chosen: list[int] = []
    while len(chosen) < most:
        alive = np.flatnonzero(left.any(axis=1))
        if not len(alive):
            break
        pivot = int(alive[0])
        at = int(np.flatnonzero(left[pivot])[0])
        line = left[pivot] * pow(int(left[pivot, at]), -1, _PRIME) % _PRIME
        left = (left - left[:, at : at + 1] * line) % _PRIME
        chosen.append(pivot)
    return chosen


def _nearest(rows: Whole, basis: Whole) -> Whole:
    """The whole numbers by which the basis comes nearest to each row."""
    if not len(basis):
        return np.zeros((len(rows), 0), dtype=np.int64)
    found = np.linalg.lstsq(basis.T.astype(np.float64), rows.T.astype(np.float64), rcond=None)[0].T
    return np.asarray(np.rint(found), dtype=np.int64)


def _lattice(rows: Whole, basis: Whole) -> Whole | None:
    """A reduced basis of all whole combinations of the rows, from one of some of them. None where it is not found."""
    for _ in range(200):  # each round at least halves the volume of a cell of the lattice
        missing = np.flatnonzero((_nearest(rows, basis) @ basis != rows).any(axis=1))
        if not len(missing):
            return basis
        row = rows[missing[0]]
        whole, scale = _solved(row, basis)
        if scale < 2 or not np.array_equal(
            np.array(whole, dtype=object) @ basis.astype(object), row.astype(object) * scale
        ):
            return None
        basis = reduced(_finer(basis, whole, scale))
    return None


def _solved(row: Whole, basis: Whole) -> tuple[list[int], int]:
    """Whole numbers w and s with w @ basis == s * row, s > 0 and least; (w, 0) where elimination fails."""
    size = len(basis)
    at = _independent(np.ascontiguousarray(basis.T), size)
    left = [[int(value) for value in (*basis[:, column], row[column])] for column in at]
    divisor = 1
    for k in range(size):  # Bareiss 1968, Gauss-Jordan: every division is exact
        swap = next((i for i in range(k, len(left)) if left[i][k]), None)
        if swap is None:
            return [], 0
        left[k], left[swap] = left[swap], left[k]
        pivot = left[k]
        for i, line in enumerate(left):
            if i != k:
                left[i] = [(pivot[k] * x - line[k] * y) // divisor for x, y in zip(line, pivot, strict=True)]
        divisor = pivot[k]
    common = gcd(divisor, *(line[size] for line in left)) * (1 if divisor > 0 else -1)
    return [line[size] // common for line in left], divisor // common


def _finer(basis: Whole, whole: list[int], scale: int) -> Whole:
    """A basis of the lattice that also has sum(whole * basis) / scale: by a triangular form, in units of 1 / scale."""
    size = len(basis)
    square = [[scale * (i == j) for j in range(size)] for i in range(size)]
    extra = [value % scale for value in whole]
    for i in range(size):  # row i of the square is (0.. 0, pivot, ...); Euclid between it and the extra row
        while extra[i]:
            times = square[i][i] // extra[i]
            square[i], extra = extra, [x - times * y for x, y in zip(square[i], extra, strict=True)]
            extra = extra[: i + 1] + [value % scale for value in extra[i + 1 :]]
    made = np.array(square, dtype=object) @ basis.astype(object)
    return np.asarray(made // scale, dtype=np.int64)


def reduced(basis: Whole, delta: float = 0.99) -> Whole:
    """The same lattice by short vectors: LLL, its sizes and angles in floating point, its steps in whole numbers."""
    basis = basis.copy()
    at = 1
    for _ in range(_STEPS):
        if at >= len(basis):
            break
        triangle = np.asarray(np.linalg.qr(basis[: at + 1].T.astype(np.float64), mode="r"))
        steps = np.zeros(at, dtype=np.int64)
        column = triangle[:, at].copy()
        for j in range(at - 1, -1, -1):
            steps[j] = round(column[j] / triangle[j, j])
            column[: j + 1] -= steps[j] * triangle[: j + 1, j]
        if steps.any():
            basis[at] -= steps @ basis[:at]
            if np.abs(steps).max() > 1 << 20:  # rounding may have left something: look again
                continue
        if column[at] ** 2 + column[at - 1] ** 2 < delta * triangle[at - 1, at - 1] ** 2:
            basis[[at - 1, at]] = basis[[at, at - 1]]
            at = max(at - 1, 1)
        else:
            at += 1
    return basis
