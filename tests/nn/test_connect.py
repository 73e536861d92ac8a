from __future__ import annotations

import pytest
import torch
from torch import nn

from xnorhw import nn as xnn
from xnorhw.nn.connect import glorot_gain


@pytest.mark.parametrize("glorot", [True, False])
def test_a_step_is_scaled_and_clipped(glorot: bool) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        xnn.BinaryConv2d(3, 8, 3, weight=xnn.BinaryConnectWeight()),
        nn.Flatten(),
        xnn.BinaryLinear(8, 2),
        nn.Linear(2, 2),
    )
    conv, linear, real = net[0], net[2], net[3]
    with torch.no_grad():
        conv.weight.mul_(8)  # some beyond 1
    step = xnn.BinaryConnectStep(net, glorot=glorot)
    assert float(conv.weight.detach().abs().max()) == 1
    before = [m.weight.detach().clone() for m in (conv, linear, real)]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3)
    net(torch.randn(16, 3, 3, 3)).square().mean().backward()
    step.step(optimizer)
    gains = [(9 * 11 / 1.5) ** 0.5, (10 / 1.5) ** 0.5] if glorot else [1.0, 1.0]
    assert [glorot_gain(m.weight) for m in (conv, linear)] == pytest.approx(
        [(9 * 11 / 1.5) ** 0.5, (10 / 1.5) ** 0.5]
    )
    for layer, old, gain in zip((conv, linear), before, gains, strict=False):
        expected = (old - gain * 0.3 * layer.weight.grad).clamp(-1, 1)
        assert torch.allclose(layer.weight, expected, atol=1e-6)
    assert torch.allclose(real.weight, before[2] - 0.3 * real.weight.grad)
    assert bool((conv.weight.abs() == 1).any()) and bool((conv.weight.abs() < 1).any())


def test_it_returns_the_closures_loss_and_wants_binary_layers() -> None:
    class Fixed(torch.optim.SGD):
        def step(self, closure: object = None) -> float:  # type: ignore[override]
            return 3.5

    net = nn.Sequential(xnn.BinaryLinear(2, 2))
    assert xnn.BinaryConnectStep(net).step(Fixed(net.parameters(), lr=1)) == 3.5
    with pytest.raises(ValueError, match="no BinaryConv2d"):
        xnn.BinaryConnectStep(nn.Linear(2, 2))
