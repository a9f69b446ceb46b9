"""How richly untrained features span a batch of images: scores of random-weight evaluation without a classifier.

Features are the last maps of every size, averaged over a grid of GRID x GRID cells, with batch normalisations by the
batch; the scores are those of `scores.spectrum`, with PENALTY. They want some hundred images, better more than there
are features. Found by measurements, see docs/estimators.md; `estimators.random_weights` has them with more choices.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from frugalnas.layers.frozen import live
from frugalnas.scores import spectrum
from frugalnas.scores.probe import probe
from frugalnas.scores.spectrum import Spectrum

PENALTY, GRID = 1e-4, 2


def freedom(network: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> float:
    """Effective degrees of freedom of the features: in how many directions they vary at all."""
    return _score(network, images, lambda found: spectrum.freedom(found, PENALTY))


def log_determinant(network: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> float:
    """The mean logarithm of the eigenvalues of the features' covariance."""
    return _score(network, images, lambda found: spectrum.log_determinant(found, PENALTY))


def effective_rank(network: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> float:
    """The exponential of the entropy of the shares of the eigenvalues of the features' covariance."""
    return _score(network, images, spectrum.effective_rank)


def _score(network: nn.Module, images: Tensor, of: Callable[[Spectrum], float]) -> float:
    with torch.inference_mode():
        maps: list[Tensor] = live(probe(network).train()).features(images)  # type: ignore[operator]
        features = spectrum.pooled(maps, GRID).cpu()
        if not features.isfinite().all():
            return math.nan
        known, _ = spectrum.standardise(features, features[:0])
        return of(spectrum.spectrum(known))
