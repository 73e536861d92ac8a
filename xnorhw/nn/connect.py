"""The training step of BinaryConnect and BinaryNet around any torch optimizer."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from xnorhw.nn.layers import BinaryConv2d, BinaryLinear
from xnorhw.nn.scaled import ScaledBinaryConv2d

__all__ = ["BinaryConnectStep", "glorot_gain"]

_LAYERS = (BinaryConv2d, BinaryLinear, ScaledBinaryConv2d)


def glorot_gain(weight: torch.Tensor) -> float:
    """1 / sqrt(1.5 / (fan_in + fan_out)) for a weight [O, I, ...]: what the reference scales steps by."""
    taps = weight[0, 0].numel()
    return float((taps * (weight.size(0) + weight.size(1)) / 1.5) ** 0.5)


class BinaryConnectStep:
    """Latent weights kept in [-1, 1], as BinaryConnect (algorithm 1) and BinaryNet train them.

    Use ``step(optimizer)`` in place of ``optimizer.step()``.  For the latent weight W of each
    binary layer of ``net`` and the optimizer's proposal W':

        W := clip(W + gain * (W' - W), -1, 1)

    ``glorot`` True: gain = 1 / sqrt(1.5 / (fan_in + fan_out)) of each layer, as both reference
    implementations have it (their learning rates, 1e-3 falling to 3e-7 with Adam, are meant for
    it); False: 1.  Other parameters take the optimizer's step as it is.  ValueError where ``net``
    has no binary layer.
    """

    def __init__(self, net: nn.Module, *, glorot: bool = True) -> None:
        self._layers = [m for m in net.modules() if isinstance(m, _LAYERS)]
        if not self._layers:
            raise ValueError("BinaryConnectStep found no BinaryConv2d and no BinaryLinear")
        self._gains = [glorot_gain(m.weight) if glorot else 1.0 for m in self._layers]
        self.project()

    def project(self) -> None:
        """Clip the latent weights in place."""
        with torch.no_grad():
            for layer in self._layers:
                layer.weight.clamp_(-1.0, 1.0)

    def step(self, optimizer: torch.optim.Optimizer) -> Any:
        """``optimizer.step()``, then gain and clip; returns what the optimizer returns."""
        before = [layer.weight.detach().clone() for layer in self._layers]
        result = optimizer.step()
        with torch.no_grad():
            for layer, old, gain in zip(self._layers, before, self._gains, strict=True):
                if gain != 1.0:
                    layer.weight.copy_(old + gain * (layer.weight - old))
        self.project()
        return result
