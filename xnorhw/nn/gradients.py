"""DoReFa-Net's stochastic quantisation of gradients; it changes training alone."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["GradientQuant", "quantize_gradient"]


def quantize_gradient(gradient: Tensor, bits: int, noise: Tensor) -> Tensor:
    """f(dr) = 2 max0|dr| [quantize_k(dr / (2 max0|dr|) + 1/2 + N) - 1/2] (DoReFa-Net eq. 12).

    max0 is the maximum over all axes but the batch, per frame; N = ``noise`` / (2^k - 1) with
    ``noise`` of the gradient's shape, uniform in [-0.5, 0.5).  quantize_k clips to [0, 1].  A
    frame without a gradient stays without.
    """
    levels = (1 << bits) - 1
    peak = gradient.abs().flatten(1).amax(dim=1).view(-1, *[1] * (gradient.dim() - 1))
    safe = torch.where(peak > 0, peak, torch.ones_like(peak))
    unit = gradient / (2 * safe) + 0.5 + noise / levels
    codes = torch.clamp(torch.round(unit * levels), 0, levels)
    return torch.where(peak > 0, 2 * peak * (codes / levels - 0.5), torch.zeros_like(gradient))


class _Quantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bits: int, generator: torch.Generator | None) -> Tensor:
        ctx.bits, ctx.generator = bits, generator
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        g = grads[0]
        noise = torch.rand(g.shape, generator=ctx.generator, dtype=g.dtype, device=g.device) - 0.5
        return quantize_gradient(g, ctx.bits, noise), None, None


class GradientQuant(nn.Module):
    """The identity forward; backward the gradient in ``bits`` bits with noise (DoReFa-Net section 2.5).

    Put it behind a layer whose incoming gradient is to be of k bits.  The noise makes it
    unbiased: E f(dr) = dr.  It comes from ``generator``, else from torch's random state.  A
    built network does not contain it.  ValueError: bits outside of 1 to 16.
    """

    def __init__(self, bits: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.bits = operator.index(bits)
        if not 1 <= self.bits <= 16:
            raise ValueError(f"a gradient has 1 to 16 bits, not {bits}")
        self.generator = generator

    def forward(self, x: Tensor) -> Tensor:
        """[N, ...], unchanged."""
        if not (self.training and torch.is_grad_enabled()):
            return x
        y: Tensor = _Quantize.apply(x, self.bits, self.generator)  # type: ignore[no-untyped-call]
        return y

    def __deepcopy__(self, memo: dict[int, Any]) -> GradientQuant:
        # a generator cannot be copied in every torch; a copy draws from the same one
        made = GradientQuant(self.bits, self.generator).train(self.training)
        memo[id(self)] = made
        return made

    def extra_repr(self) -> str:
        return f"{self.bits}"
