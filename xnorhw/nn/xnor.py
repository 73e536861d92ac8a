"""The XNOR-Net training step around any torch optimizer."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from xnorhw.nn.layers import BinaryConv2d, BinaryLinear
from xnorhw.nn.scaled import ScaledBinaryConv2d

__all__ = ["XnorStep"]

_LAYERS = (BinaryConv2d, BinaryLinear, ScaledBinaryConv2d)


class XnorStep:
    """Centring, clamping and gradient gain of XNOR-Net's training on every binary layer of ``net``.

    Use ``step(optimizer)`` in place of ``optimizer.step()``::

        xnor = XnorStep(net)
        loss.backward()
        xnor.step(optimizer)

    After each step (and once at the start) the latent weights are

    - centred: W -= mean of W over the input-channel axis, for each output and each tap;
    - clamped to [-1, 1].

    The network is so always in the state that the reference implementation reaches at the
    start of its forward; nothing is saved and restored, because the layers binarise in
    forward and keep the latent weight.  The gradient that reaches ``weight.grad`` is the
    chain rule's (see ``BinaryWeight``).  With ``gain`` it is multiplied, as in the reference,
    by n (1 - 1/c), where c is the number of input channels of a group and n = c kh kw: the
    factor 1 - 1/c is the diagonal of the centring's own derivative, and n undoes the 1/n of
    the scale, which keeps adaptive optimizers above their eps.

    Centring a layer with c = 1 (depthwise, or one input channel) would make every weight 0:
    such layers are left uncentred, with gain n, and are named in ``uncentred``.

    ValueError where ``net`` has no binary layer.
    """

    def __init__(self, net: nn.Module, *, centre: bool = True, clamp: bool = True, gain: bool = True) -> None:
        named = [(name, m) for name, m in net.named_modules() if isinstance(m, _LAYERS)]
        if not named:
            raise ValueError("XnorStep found no BinaryConv2d and no BinaryLinear")
        self._layers = [m for _, m in named]
        self._centre = centre
        self._clamp = clamp
        self._gain = gain
        self.uncentred: tuple[str, ...] = tuple(name for name, m in named if centre and m.weight.size(1) == 1)
        self.project()

    def project(self) -> None:
        """Centre and clamp the latent weights in place."""
        with torch.no_grad():
            for layer in self._layers:
                weight = layer.weight
                if self._centre and weight.size(1) > 1:
                    weight.sub_(weight.mean(dim=1, keepdim=True))
                if self._clamp:
                    weight.clamp_(-1.0, 1.0)

    def scale_gradients(self) -> None:
        """Multiply each latent weight's gradient by n (1 - 1/c); without ``gain`` nothing."""
        if not self._gain:
            return
        for layer in self._layers:
            if layer.weight.grad is None:
                continue
            channels = layer.weight.size(1)
            factor = float(layer.weight[0].numel())
            if self._centre and channels > 1:
                factor *= 1.0 - 1.0 / channels
            layer.weight.grad.mul_(factor)

    def step(self, optimizer: torch.optim.Optimizer) -> Any:
        """``scale_gradients``, ``optimizer.step()``, ``project``; returns what the optimizer returns."""
        self.scale_gradients()
        result = optimizer.step()
        self.project()
        return result
