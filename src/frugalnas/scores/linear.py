"""Linear classifiers fitted to the features of a network, which are not trained themselves."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from frugalnas.scores.spectrum import Spectrum


def wrong(logits: Tensor, labels: Tensor) -> float:
    """The share of logits (n, classes) whose largest is not the label's (n,)."""
    return float((logits.argmax(1) != labels).double().mean())


def ridge(
    features: Tensor, labels: Tensor, classes: int, penalties: tuple[float, ...], found: Spectrum
) -> tuple[Tensor, Tensor]:
    """Weights (D, classes) and bias (classes,) of ridge regression on +-1 targets, best penalty by `leave_one_out`.

    Minimises |features W + bias - targets|^2 + n penalty |W|^2 for centred `features` (n, D), whose spectrum is
    `found`; the bias is free. With the kernel's eigenvectors U: W = features^T U (n l + n penalty)^-1 U^T targets.
    """
    targets = 2 * F.one_hot(labels, classes).to(features.dtype) - 1  # (n, classes)
    losses = [leave_one_out(found, targets, penalty) for penalty in penalties]
    best = penalties[losses.index(min(losses))]
    damping = found.images * (found.values + best)  # (r,)
    return features.T @ (found.vectors @ ((found.vectors.T @ targets) / damping[:, None])), targets.mean(0)


def leave_one_out(found: Spectrum, targets: Tensor, penalty: float) -> float:
    """Mean squared error of predicting each target from a fit to all others; exact, without refitting.

    The residual without observation i is its residual divided by 1 - h_i, h the diagonal of the hat matrix, which has
    1 / n for the free bias (Allen 1974; Golub, Heath and Wahba 1979). The penalty stays n times `penalty`.
    """
    shrink = found.values / (found.values + penalty)  # (r,)
    fitted = targets.mean(0) + (found.vectors * shrink) @ (found.vectors.T @ targets)
    hat = 1 / found.images + (found.vectors.square() * shrink).sum(1)  # (n,)
    return float(((targets - fitted) / (1 - hat)[:, None]).square().mean())


def softmax_regression(features: Tensor, labels: Tensor, classes: int, epochs: int, lr: float) -> tuple[Tensor, Tensor]:
    """Weights (D, classes) and bias (classes,) by SGD on the cross-entropy: batch 512, momentum 0.9, cosine to 0.

    The order of the images comes from torch's global generator; the gradient is written out: softmax - one-hot.
    """
    inputs = torch.cat([features, torch.ones_like(features[:, :1])], dim=1)  # (n, D + 1), the last for the bias
    targets = F.one_hot(labels, classes).to(features.dtype)
    weights = inputs.new_zeros(inputs.shape[1], classes)
    velocity = torch.zeros_like(weights)
    for epoch in range(epochs):
        rate = lr * (1 + math.cos(math.pi * epoch / epochs)) / 2
        for picks in torch.split(torch.randperm(len(labels)), 512):
            x = inputs[picks]
            velocity = 0.9 * velocity + x.T @ ((x @ weights).softmax(1) - targets[picks]) / len(picks)
            weights = weights - rate * velocity
    return weights[:-1], weights[-1]
