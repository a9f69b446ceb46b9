"""Scores from how the output answers to the input: jacob_cov, SynFlow and Zen.

jacob_cov. Mellor, Turner, Storkey, Crowley: "Neural Architecture Search without Training", arXiv 2006.04647, version 1.
J holds the gradient of the sum of the logits by each image, one row an image; from the eigenvalues v of the correlation
matrix of the rows the score is - sum(log(v + k) + 1 / (v + k)), k = 1e-5.

SynFlow. Tanaka, Kunin, Yamins, Ganguli: "Pruning neural networks without any data by iteratively conserving synaptic
flow", NeurIPS 2020, arXiv 2006.05467. R is the sum of the logits for an image of ones, with all weights replaced by
their absolute values; the salience of a weight is w dR/dw (eq. 1, for R as in eq. 2).

Zen. Lin, Wang, Sun, Chen, Sun, Qian, Li, Jin: "Zen-NAS: A Zero-Shot NAS for High-Performance Deep Image Recognition",
ICCV 2021, arXiv 2102.01063, algorithm 1: with standard normal weights, x and e, log |f(x) - f(x + 0.01 e)| for the last
map f, plus for each batch normalisation the logarithm of the root of the mean variance of its channels.

Differences from the papers
- synflow is the logarithm of the sum, as NAS-Bench-Suite-Zero publishes it: the sum itself passes 1e30. It keeps the
  order. Batch normalisations are left out (identities), as Abdelfattah et al. (arXiv 2101.08134) do; in double
  precision. The paper prunes networks and has no score of a network.
- zen keeps all connections; the paper takes residual ones out, which in a space of cells are not told from others. One
  pair of Gaussian images for each image of the batch, one draw of the weights (32 in the paper). The variances are
  those of the batch x, as in the paper. (The released code reads the running ones, after two batches mostly their
  initial 1, and has the sum of absolute values in place of the norm.) A batch normalisation of a constant has no
  deviation and is left out.
- The eigenvalues of jacob_cov are clamped to 0 from below.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from frugalnas.scores.probe import gaussian, gradients, probe, weights

ALPHA = 0.01  # of Zen: the length of the step, in deviations of the image
K = 1e-5  # of jacob_cov


def jacob_cov(network: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> float:
    """How differently the network answers to changes of different images; nan where it does not answer to one."""
    subject = probe(network)
    inputs = images.detach().clone().requires_grad_(True)
    (rows,) = gradients(subject(inputs).sum(), [inputs])
    correlation = torch.corrcoef(rows.flatten(1).double())  # (N, N)
    if not correlation.isfinite().all():
        return float("nan")
    values = torch.linalg.eigvalsh(correlation).clamp(min=0) + K
    return -float((values.log() + 1 / values).sum())


def synflow(network: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> float:
    """The logarithm of the flow through all weights of a network of positive weights; -inf where nothing arrives."""
    subject = probe(network).double().eval()
    for module in subject.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda _module, inputs, _output: inputs[0])
    with torch.no_grad():
        for parameter in subject.parameters():
            parameter.abs_()
    kept = weights(subject)
    found = gradients(subject(torch.ones_like(images[:1], dtype=torch.float64)).sum(), kept)
    flow = [(weight.detach() * gradient).abs().sum() for weight, gradient in zip(kept, found, strict=True)]
    return float(torch.stack(flow).sum().log())


def zen(network: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> float:
    """How much the last map of a network with Gaussian weights moves with the image; -inf where it does not."""
    subject = probe(network)
    scales: list[Tensor] = []

    def note(_module: nn.Module, inputs: tuple[Tensor]) -> None:
        scales.append(inputs[0].var((0, 2, 3), correction=0).mean().sqrt())

    with torch.no_grad():
        for weight in weights(subject):
            weight.copy_(gaussian(weight, generator))
        first, step = gaussian(images, generator), gaussian(images, generator)
        hooks = [each.register_forward_pre_hook(note) for each in subject.modules() if isinstance(each, nn.BatchNorm2d)]
        before = subject.features(first)[-1]  # type: ignore[operator]
        for hook in hooks:
            hook.remove()
        after = subject.features(first + ALPHA * step)[-1]  # type: ignore[operator]
        moved = (after - before).flatten(1).norm(dim=1).mean()
    return float(moved.log()) + sum(float(scale.log()) for scale in scales if scale > 0)
