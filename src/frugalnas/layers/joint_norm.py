"""Batch normalisation over a batch that several processes share, so that it gives what one process would.

torch's `SyncBatchNorm` takes tensors of GPUs only; here is the same for a CPU, with the same collectives: one sum of
2 C + 1 numbers forward, one of 2 C backward. The sums are in float64, as a variance from sums loses digits.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F


def synchronised(network: nn.Module) -> nn.Module:
    """`network` with every `BatchNorm2d` replaced by one over all processes, which shares its weights and buffers.

    In evaluation mode, and in the names of the weights, nothing changes. Every process must run it on its part of the
    same batch, which may be empty, as long as one has images.
    """
    if next(network.parameters()).is_cuda:
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-any-return, no-untyped-call]
    for module in [*network.modules()]:
        for name, child in [*module.named_children()]:
            if type(child) is nn.BatchNorm2d:
                setattr(module, name, JointBatchNorm(child))
    return network


class JointBatchNorm(nn.BatchNorm2d):
    """(N, C, H, W) -> the same shape, normalised in training mode by mean and variance over all processes."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, device="meta")
        self.weight, self.bias = norm.weight, norm.bias
        for name, buffer in norm.named_buffers():
            setattr(self, name, buffer)

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        result, mean, variance, count = _Joint.apply(input, self.weight, self.bias, self.eps)
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.num_batches_tracked += 1
            rate = self.momentum if self.momentum is not None else 1 / int(self.num_batches_tracked)
            self.running_mean.lerp_(mean, rate)
            self.running_var.lerp_(variance * (count / max(count - 1, 1)), rate)
        return result  # type: ignore[no-any-return]


class _Joint(torch.autograd.Function):
    """Gives the normalised part of the batch, mean (C,) and biased variance (C,) of all of it, and pixels a channel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, int]:
        channels, pixels = x.shape[1], x.numel() // x.shape[1]
        sums = x.new_zeros(2 * channels + 1, dtype=torch.float64)
        if pixels:
            mean, variance = (t.double() for t in torch.batch_norm_update_stats(x.float(), None, None, 0.0))
            sums = torch.cat((pixels * mean, pixels * (variance + mean.square()), sums.new_tensor([pixels])))
        dist.all_reduce(sums)
        count = int(sums[-1])
        mean, square = (sums[:-1] / count).chunk(2)
        variance = (square - mean.square()).clamp_(min=0).float()
        mean = mean.float()
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.eps, ctx.count = eps, count
        ctx.mark_non_differentiable(mean, variance)
        return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps), mean, variance, count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        gradient, (x, weight, mean, variance) = gradients[0], ctx.saved_tensors
        deviation = (variance + ctx.eps).rsqrt()  # (C,), to the power of -1
        if x.numel():
            to_input, to_weight, to_bias = torch.ops.aten.native_batch_norm_backward(
                gradient, x, weight, mean, variance, mean, deviation, False, ctx.eps, [True, True, True]
            )  # as if mean and variance were constants
        else:
            to_input, to_weight, to_bias = torch.zeros_like(x), torch.zeros_like(mean), torch.zeros_like(mean)
        sums = torch.cat((to_weight, to_bias)).double()
        dist.all_reduce(sums)
        through_variance, through_mean = (-(weight * deviation / ctx.count) * s.float() for s in sums.chunk(2))
        centred, slope = x - mean[:, None, None], through_variance * deviation
        to_input = (to_input + through_mean[:, None, None]).addcmul_(centred, slope[:, None, None])
        return to_input.to(x.dtype), to_weight, to_bias, None
