"""Untrained networks whose batch norms are as varied as those of trained ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["varied"]


def varied(net: nn.Module, x: Tensor, seed: int = 0) -> nn.Module:
    """``net`` in eval: gammas of both signs, shifted betas, statistics of the pictures ``x``."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for m in net.modules():
            if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) and m.affine:
                m.weight.copy_(0.3 + torch.randn(m.weight.shape, generator=random).abs())
                m.weight.mul_(torch.where(torch.rand(m.weight.shape, generator=random) < 0.15, -1.0, 1.0))
                m.bias.copy_(0.3 * torch.randn(m.bias.shape, generator=random))
        momenta = [(m, m.momentum) for m in net.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
        for m, _ in momenta:
            m.momentum = 1.0
        net.train()(x)
        for m, momentum in momenta:
            m.momentum = momentum
    return net.eval()
