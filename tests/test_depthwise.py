"""Our depthwise convolution is torch's, forward and backward."""

import pytest
import torch
from torch import nn

from frugalnas.layers.depthwise import DepthwiseConv2d


@pytest.mark.parametrize("size", [7, 8, 14])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_values_and_gradients_are_those_of_torch(kernel, stride, dilation, size):
    torch.manual_seed(0)
    ours = DepthwiseConv2d(6, kernel, stride, dilation).double()
    theirs = nn.Conv2d(
        6, 6, kernel, stride, dilation * (kernel // 2), dilation, groups=6, bias=False, dtype=torch.double
    )
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 6, size, size, dtype=torch.double).to(memory_format=torch.channels_last)
    gradients = []
    for module in (ours, theirs):
        given = x.clone().requires_grad_()
        output = module(given)
        (output * torch.arange(output.numel(), dtype=torch.double).view_as(output).cos()).sum().backward()
        gradients.append((output.detach(), given.grad, module.weight.grad))
    for mine, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, expected)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), gradients[1][0])


def test_initial_weights_are_those_of_torch():
    torch.manual_seed(1)
    ours = DepthwiseConv2d(4, 5, 1, 2).weight
    torch.manual_seed(1)
    assert torch.equal(ours, nn.Conv2d(4, 4, 5, groups=4, bias=False).weight)
