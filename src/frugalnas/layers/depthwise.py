"""Depthwise convolution whose backward pass is fast on CPUs; the values are those of torch's, up to rounding.

oneDNN computes the gradients of dilated and of small depthwise kernels 3 to 40 times slower than the forward pass. Two
identities avoid most of that when training on a CPU. Where stride equals dilation the kernel reads only every
stride-th pixel, so it is a dense kernel on the subsampled map. With stride 1 the gradient of the input is itself a
forward pass, with the kernel turned by 180 degrees. The backward pass has derivatives itself.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DepthwiseConv2d(nn.Module):
    """(N, C, H, W) -> (N, C, ceil(H / stride), ceil(W / stride)): one k x k kernel a channel, k odd, no bias.

    `weight`: (C, 1, k, k), initialised as that of `nn.Conv2d`.
    """

    def __init__(self, channels: int, kernel: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.weight = nn.Conv2d(channels, channels, kernel, groups=channels, bias=False).weight
        self.stride, self.dilation = stride, dilation

    def forward(self, x: Tensor) -> Tensor:
        stride, dilation, groups = self.stride, self.dilation, len(self.weight)
        if torch.is_grad_enabled() and x.device.type == "cpu":
            if stride == dilation > 1:
                x, stride, dilation = x[:, :, ::stride, ::stride], 1, 1
            if stride == 1:
                weight = self.weight
                if torch.is_autocast_enabled("cpu"):  # which does not look into the function below
                    kind = torch.get_autocast_dtype("cpu")
                    x, weight = x.to(kind), weight.to(kind)
                result: Tensor = _Unstrided.apply(x, weight, dilation)
                return result
        return F.conv2d(x, self.weight, None, stride, dilation * (self.weight.shape[2] // 2), dilation, groups)

    def extra_repr(self) -> str:
        channels, _, kernel, _ = self.weight.shape
        return f"{channels}, kernel_size={kernel}, stride={self.stride}, dilation={self.dilation}"


class _Unstrided(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.dilation = dilation
        return F.conv2d(x, weight, None, 1, dilation * (weight.shape[2] // 2), dilation, len(weight))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        dilation, groups = ctx.dilation, len(weight)
        padding = dilation * (weight.shape[2] // 2)
        of_input = F.conv2d(grad, weight.flip(2, 3), None, 1, padding, dilation, groups)
        _, of_weight, _ = torch.ops.aten.convolution_backward(
            grad, x, weight, None, (1, 1), (padding,) * 2, (dilation,) * 2, False, (0, 0), groups, (False, True, False)
        )
        return of_input, of_weight, None
