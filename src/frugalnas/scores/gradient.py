"""Scores from the gradient of the loss at initialisation: grad_norm, SNIP, GraSP, Fisher and ZiCo.

Abdelfattah, Mehrotra, Dudziak, Lane: "Zero-Cost Proxies for Lightweight NAS", ICLR 2021, arXiv 2101.08134, who made
scores of networks of saliences of weights: Lee, Ajanthan, Torr: "SNIP: Single-shot Network Pruning Based on Connection
Sensitivity", ICLR 2019, arXiv 1810.02340; Wang, Zhang, Grosse: "Picking Winning Tickets Before Training by Preserving
Gradient Flow" (GraSP), ICLR 2020, arXiv 2002.07376; Turner, Crowley, O'Boyle, Storkey, Gray: "BlockSwap:
Fisher-guided Block Substitution for Network Compression on a Budget", ICLR 2020, arXiv 1906.04113. And Li, Yang,
Bhardwaj, Marculescu: "ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on Gradients", ICLR 2023, arXiv
2301.11300.

With the mean cross-entropy L of the batch and the weights w of convolutions and linear layers, biases and batch
normalisations left out; a weight that the loss does not depend on counts as 0:

- grad_norm: the sum over layers of |dL/dw|, the Euclidean norm.
- snip: the sum over weights of |w dL/dw|.
- grasp: the sum over weights of -w (H g), where g = dL/dw and H is the Hessian of L.
- fisher: the sum over layers and their channels of 1/2 the mean over images of (sum over pixels of a dL/da) squared,
  where a is what the layer gives, times the number of weights of the channel.
- zico: the sum over layers of the logarithm of the sum over weights of E|g| / sqrt(Var g), over several batches.

Differences from the papers
- fisher counts a channel once for each of its weights, as the code of Abdelfattah et al. does and published tables have
  it. BlockSwap adds up channels, of what blocks give.
- ZiCo's batches are the two halves of the batch, the least number of batches that the paper uses. Each has a gradient
  of its own, as in the paper. (The released code adds that of the first to that of the second.) The variance is that of
  the signed gradient, as in the code. Weights without deviation are left out, and layers without any weight that is
  left, as in the code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from frugalnas.scores.probe import gradients, loss, probe, weighted, weights


def grad_norm(network: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> float:
    """The sum over layers of the norm of the gradient of their weights."""
    subject = probe(network)
    found = gradients(loss(subject, images, labels), weights(subject))
    return sum(float(gradient.norm()) for gradient in found)


def snip(network: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> float:
    """How much the loss changes, to first order, as each connection is taken out: the sum of |w dL/dw|."""
    subject = probe(network)
    kept = weights(subject)
    found = gradients(loss(subject, images, labels), kept)
    return sum(float((weight.detach() * gradient).abs().sum()) for weight, gradient in zip(kept, found, strict=True))


def grasp(network: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> float:
    """How much the norm of the gradient changes, to first order, with the weights: the sum of -w (H g)."""
    # On a CPU the second derivatives of convolutions are about twice as fast with channels first.
    subject = probe(network).to(memory_format=torch.contiguous_format)
    kept = weights(subject)
    first = gradients(loss(subject, images, labels), kept, differentiable=True)
    second = gradients(torch.stack([(each.detach() * each).sum() for each in first]).sum(), kept)  # H g
    return -sum(float((weight.detach() * gradient).sum()) for weight, gradient in zip(kept, second, strict=True))


def fisher(network: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> float:
    """How much the loss changes, to second order, as each channel is taken out."""
    subject = probe(network)
    given: list[tuple[int, Tensor]] = []  # the weights of a channel, what the layer gave

    def note(layer: nn.Module, _inputs: object, output: Tensor) -> None:
        given.append((layer.weight[0].numel(), output))  # type: ignore[index]

    for layer in weighted(subject):
        layer.register_forward_hook(note)
    found = gradients(loss(subject, images, labels), [output for _, output in given])
    total = 0.0
    for (size, output), gradient in zip(given, found, strict=True):
        effects = output.detach() * gradient
        effects = effects.flatten(2).sum(2) if effects.ndim > 2 else effects  # (N, C)
        total += size * float(effects.square().mean(0).sum()) / 2
    return total


def zico(network: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> float:
    """How steady the gradient of each weight is from batch to batch, in proportion to its size."""
    subject = probe(network)
    kept = weights(subject)
    halves = zip(images.tensor_split(2), labels.tensor_split(2), strict=True)
    found = [gradients(loss(subject, *half), kept) for half in halves]
    total = 0.0
    for pair in zip(*found, strict=True):
        stacked = torch.stack(pair).double()  # (2, ...)
        deviation = stacked.std(0, correction=0)
        steady = stacked.abs().mean(0)[deviation > 0] / deviation[deviation > 0]
        total += float(steady.sum().log()) if len(steady) else 0.0
    return total
