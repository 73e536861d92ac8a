"""Sums that are exact whatever kernel forms them.

Winograd, FFT and TF32 kernels do not return integers for integer inputs.  A sum of
fixed-point numbers with weights -1 and +1 is a multiple of the inputs' grid, so rounding to
that grid restores it, provided that the kernel's own error is below half a step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["exact_sum", "lowest_bit"]

_FLOAT32_EXACT = 2.0**24
_FLOAT64_EXACT = 2.0**53
_KERNEL_EXACT = 2.0**16
"""Up to this many grid steps a float32 Winograd kernel errs by less than half a step; above it
the sum is formed in float64, for which no library uses such kernels."""
_TF32_EXACT = 2.0**11
"""TF32 keeps 11 significant bits of each factor."""


def lowest_bit(x: Tensor) -> int | None:
    """The exponent of the lowest set bit over all elements; None where all are zero.

    ``x`` is finite float32 or float64: each element is a multiple of 2^lowest_bit.
    """
    digits = 24 if x.dtype == torch.float32 else 53
    mantissa, exponent = torch.frexp(x)
    whole = (mantissa.to(torch.float64) * 2.0**digits).to(torch.int64)
    low = whole & -whole  # the lowest set bit, a power of two
    log = torch.frexp(low.to(torch.float64))[1] - 1
    bits = (exponent - digits + log)[whole != 0]
    return int(bits.min()) if bits.numel() else None


class _RoundToGrid(torch.autograd.Function):
    """Rounds to multiples of ``step``; the gradient passes, as the exact sum's would."""

    @staticmethod
    def forward(ctx: Any, s: Tensor, step: float) -> Tensor:
        return torch.round(s / step) * step

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def exact_sum(x: Tensor, count: int, form: Callable[[torch.dtype], Tensor]) -> Tensor:
    """The sum ``form(dtype)`` of ``count`` elements of ``x`` with weights -1 and +1, made exact.

    ``form`` computes it in the given dtype; ``x`` is float32 or float64 and holds every
    element summed but zeros.  Returns float32 where that holds every reachable sum, else
    float64.  An input that is no fixed-point number (a sum would need more than 53 bits)
    or not finite has no exact sum: ``form(x.dtype)`` is returned as it is.
    """
    detached = x.detach()
    if x.dtype not in (torch.float32, torch.float64) or not bool(torch.isfinite(detached).all()):
        return form(x.dtype)
    peak = float(detached.abs().max()) if x.numel() else 0.0
    if peak == 0.0:
        return form(x.dtype)
    if peak < _FLOAT32_EXACT and torch.equal(detached.round(), detached):
        step = 1.0  # whole numbers: any grid that divides them all will do
    else:
        exponent = lowest_bit(detached)
        if exponent is None or exponent < -126:
            return form(x.dtype)
        step = 2.0**exponent
    steps = peak / step
    if count * steps > _FLOAT64_EXACT:
        return form(x.dtype)
    narrow = count * steps <= _KERNEL_EXACT and steps <= _TF32_EXACT
    s: Tensor = _RoundToGrid.apply(form(torch.float32 if narrow else torch.float64), step)  # type: ignore[no-untyped-call]
    return s if count * steps > _FLOAT32_EXACT else s.to(torch.float32)
