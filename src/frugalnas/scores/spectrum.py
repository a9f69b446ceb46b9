"""How richly the features of a network span its images: scores of the spectrum of a feature matrix.

Features (n, D) of n images, standardised, have the singular value decomposition U S V^T; the eigenvalues l = s^2 / n of
their covariance (or of the kernel of the images, whichever matrix is smaller) average 1 over the D features. Larger is
better for every score; labels play no part.

- `freedom`: effective degrees of freedom of ridge regression, sum of l / (l + penalty) (Hastie, Tibshirani, Friedman:
  "The Elements of Statistical Learning", 2nd ed. 2009, eq. 3.50): in how many directions the features vary at all.
- `log_determinant`: the mean of log(l + penalty) over the features.
- `effective_rank`: the exponential of the entropy of the shares of l (Roy and Vetterli, EUSIPCO 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

CONSTANT = 1e-6  # deviation of a feature, relative to the largest, that rounding alone makes


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues (r,) of the covariance of n images' features, r = min(n, D), and the images' eigenvectors (n, r)."""

    values: Tensor
    vectors: Tensor
    features: int  # D

    @property
    def images(self) -> int:
        return len(self.vectors)


def pooled(maps: Sequence[Tensor], side: int) -> Tensor:
    """Features (N, D) of maps (N, C_i, H_i, W_i): each averaged over a grid of at most `side` x `side` cells."""
    parts = [F.adaptive_avg_pool2d(each, (min(side, each.shape[2]), min(side, each.shape[3]))) for each in maps]
    return torch.cat([part.flatten(1) for part in parts], dim=1)


def standardise(known: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
    """Both (n, D) and (m, D) with the mean and deviation of `known`, as doubles; constant features become 0."""
    known, new = known.double(), new.double()
    mean, deviation = known.mean(0), known.std(0, correction=0)
    varies = deviation > CONSTANT * deviation.max().clamp(min=CONSTANT)
    scale = torch.where(varies, 1 / deviation, 0)
    return (known - mean) * scale, (new - mean) * scale


def spectrum(features: Tensor) -> Spectrum:
    """That of standardised features (n, D); one eigendecomposition of the smaller of D x D and n x n."""
    n, d = features.shape
    if n <= d:
        values, vectors = torch.linalg.eigh(features @ features.T / n)
        return Spectrum(values.clamp(min=0), vectors, d)
    values, vectors = torch.linalg.eigh(features.T @ features / n)
    values = values.clamp(min=0)
    roots = (n * values).sqrt()
    left = features @ vectors * torch.where(roots > 1e-9 * roots.max(), 1 / roots, 0)  # null directions have no image
    return Spectrum(values, left, d)


def freedom(found: Spectrum, penalty: float) -> float:
    """Effective degrees of freedom in [0, min(n - 1, D)]."""
    return float((found.values / (found.values + penalty)).sum())


def log_determinant(found: Spectrum, penalty: float) -> float:
    """Mean log eigenvalue, those of the D - r directions that the images leave out included."""
    missing = found.features - len(found.values)
    logs = (found.values + penalty).log().sum() + missing * torch.tensor(penalty).log()
    return float(logs) / found.features


def effective_rank(found: Spectrum) -> float:
    """In [1, min(n - 1, D)]; 0 where no feature varies."""
    total = found.values.sum()
    if not total > 0:
        return 0.0
    shares = found.values / total
    return float(torch.special.entr(shares).sum().exp())
