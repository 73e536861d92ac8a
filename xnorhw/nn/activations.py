"""Activations on integers: codes of a few bits, numbers on a grid, ABC-Net's binary bases.

Each is a step function of what it reads; the backward is the straight-through estimator
that its paper gives, written out in the docstring.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["BasesActivation", "Grid", "QuantReLU"]

MAX_BASES = 8
_WHOLE = 2.0**24
"""float32 holds every integer up to here."""


class _Round(torch.autograd.Function):
    """clamp(round_half_even(x * gain), low, high); backward gain * 1_{low <= x * gain <= high}."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: float, low: float, high: float) -> Tensor:
        steps = x * gain
        ctx.save_for_backward((steps >= low) & (steps <= high))
        ctx.gain = gain
        return torch.clamp(torch.round(steps), low, high)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (inside,) = ctx.saved_tensors
        return grads[0] * inside * ctx.gain, None, None, None


class QuantReLU(nn.Module):
    """ReLU to codes of ``bits`` bits: q = clamp(round_half_even(x * float32(1 / scale)), 0, 2^bits - 1).

    Returns the integer codes q as numbers of x's dtype; a code is worth ``scale``, which the
    next layer gets as its ``in_scale``.  The default scale is 1 / (2^bits - 1), for which
    q * scale is DoReFa-Net's activation quantize_k(clip(x, 0, 1)) (section 2.3 and eq. 5).

    Backward (straight through inside the clip, zero outside):

        dC/dx = dC/dq * (1 / scale) * 1_{0 <= x / scale <= 2^bits - 1}

    ValueError: bits outside of 1 to 8, a scale that is not positive and finite.
    """

    def __init__(self, bits: int, scale: float | None = None) -> None:
        super().__init__()
        self.bits = operator.index(bits)
        if not 1 <= self.bits <= 8:
            raise ValueError(f"QuantReLU makes codes of 1 to 8 bits, not {bits}")
        self.set_scale(1.0 / self.levels if scale is None else scale)

    @property
    def levels(self) -> int:
        """The largest code, 2^bits - 1."""
        return (1 << self.bits) - 1

    @property
    def gain(self) -> float:
        """float32(1 / scale): what the input is multiplied by."""
        return float(np.float32(1.0 / self.scale))

    def set_scale(self, scale: float) -> None:
        """Take another scale; the layer behind needs the same as its ``in_scale``.

        It is kept in float64, for float32(1 / scale) of the default is 2^bits - 1 then.
        """
        value = float(scale)
        if not (value > 0 and 1e-30 < value < 1e30):
            raise ValueError(f"the scale of a QuantReLU is positive and finite, not {scale}")
        self.scale = value

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> codes 0 .. 2^bits - 1 of the same shape and dtype."""
        codes: Tensor = _Round.apply(x, self.gain, 0.0, float(self.levels))  # type: ignore[no-untyped-call]
        return codes

    def extra_repr(self) -> str:
        return f"{self.bits}, scale={self.scale:.6g}"


class Grid(nn.Module):
    """x on multiples of 2^-frac: clamp(round_half_even(x * 2^frac), -2^(bits-1), 2^(bits-1)-1) * 2^-frac.

    Stands in front of what adds, averages or takes the magnitude of real numbers, which are
    fixed-point numbers of ``bits`` bits then, exact in any order.  Backward:

        dC/dx = dC/dy * 1_{-2^(bits-1) <= x * 2^frac <= 2^(bits-1) - 1}

    ValueError: bits outside of 2 to 24 (what float32 holds exactly), frac outside of 0 to 30.
    """

    def __init__(self, bits: int, frac: int) -> None:
        super().__init__()
        self.bits, self.frac = operator.index(bits), operator.index(frac)
        if not 2 <= self.bits <= 24:
            raise ValueError(f"a Grid has 2 to 24 bits, not {bits}")
        if not 0 <= self.frac <= 30:
            raise ValueError(f"a Grid has 0 to 30 fraction bits, not {frac}")

    def forward(self, x: Tensor) -> Tensor:
        """Any shape and dtype kept."""
        half = float(1 << (self.bits - 1))
        steps: Tensor = _Round.apply(x, 2.0**self.frac, -half, half - 1)  # type: ignore[no-untyped-call]
        return steps * 2.0**-self.frac

    def extra_repr(self) -> str:
        return f"bits={self.bits}, frac={self.frac}"


class _Bases(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, betas: Tensor, shifts: Tensor) -> Tensor:
        ctx.save_for_backward(x, betas, shifts)
        return _combined(x, betas, shifts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, betas, shifts = ctx.saved_tensors
        g = grads[0]
        dx, dbetas, dshifts = torch.zeros_like(g), [], []
        for beta, shift in zip(betas.unbind(), shifts.unbind(), strict=True):
            moved = x + shift
            passed = g * ((moved >= 0) & (moved <= 1))
            dx = dx + passed * beta
            dbetas.append((g * _base(moved)).sum())
            dshifts.append(passed.sum() * beta)
        return dx, torch.stack(dbetas), torch.stack(dshifts)


def _base(moved: Tensor) -> Tensor:
    # clip(r, 0, 1) >= 0.5 where r >= 0.5
    return torch.where(moved >= 0.5, 1.0, -1.0).to(moved.dtype)


def _combined(x: Tensor, betas: Tensor, shifts: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    for beta, shift in zip(betas.unbind(), shifts.unbind(), strict=True):
        y = y + _base(x + shift) * beta
    return y


class BasesActivation(nn.Module):
    """ABC-Net's activation: y = sum_n beta_n A_n, A_n = +1 where clip(x + v_n, 0, 1) >= 0.5, else -1.

    Eqs. 7 to 9 of the paper.  ``betas`` and ``shifts`` (v) [bases] are trained with the
    network.  In eval the betas are rounded to multiples of 2^-frac, so that sums of y are
    exact; in training they are as they are.  Backward, with the clip's mask as the paper
    has it:

        dC/dx      = sum over n of dC/dy * beta_n * 1_{0 <= x + v_n <= 1}
        dC/dbeta_n = sum over x of dC/dy * A_n
        dC/dv_n    = sum over x of dC/dy * beta_n * 1_{0 <= x + v_n <= 1}

    They begin at beta_n = 1 / bases and thresholds 0.5 - v_n spread evenly around 0: bases
    that start alike would stay alike.  ValueError: bases outside of 1 to 8, frac outside of
    0 to 16, in eval betas that add up to 2^24 steps or more or shifts that are not finite.
    """

    def __init__(self, bases: int, frac: int = 8) -> None:
        super().__init__()
        self.bases, self.frac = operator.index(bases), operator.index(frac)
        if not 1 <= self.bases <= MAX_BASES:
            raise ValueError(f"an activation has 1 to {MAX_BASES} bases, not {bases}")
        if not 0 <= self.frac <= 16:
            raise ValueError(f"the betas have 0 to 16 fraction bits, not {frac}")
        thresholds = (2.0 * torch.arange(self.bases) + 1 - self.bases) / self.bases
        self.betas = nn.Parameter(torch.full((self.bases,), 1.0 / self.bases))
        self.shifts = nn.Parameter(0.5 - thresholds)

    @classmethod
    def from_frozen(cls, betas: Tensor, shifts: Tensor, frac: int) -> BasesActivation:
        """An activation, in eval, of known betas (int64 [N] in steps of 2^-frac) and shifts [N]."""
        made = cls(betas.numel(), frac)
        with torch.no_grad():
            made.betas.copy_(betas.to(torch.float64) * 2.0**-frac)
            made.shifts.copy_(shifts)
        return made.eval().requires_grad_(False)

    def steps(self) -> Tensor:
        """The betas in eval, int64 [bases] in steps of 2^-frac, in the order of ``betas``."""
        steps = torch.round(self.betas.detach().to(torch.float64) * 2.0**self.frac)
        if not bool(torch.isfinite(steps).all()) or float(steps.abs().sum()) >= _WHOLE:
            raise ValueError("the betas of a BasesActivation are finite and below 2^24 steps in all")
        return steps.to(torch.int64)

    def falling(self) -> tuple[Tensor, Tensor]:
        """(shifts float32 [bases] falling, betas int64 [bases] in their order).

        In this order A_1 .. A_N is a thermometer code: as many +1 in front as there are.
        """
        shifts = self.shifts.detach()
        if not bool(torch.isfinite(shifts).all()):
            raise ValueError("the shifts of a BasesActivation are finite")
        order = torch.argsort(shifts, descending=True, stable=True)
        return shifts[order], self.steps()[order]

    def forward(self, x: Tensor) -> Tensor:
        """Any shape and dtype kept."""
        if self.training:
            y: Tensor = _Bases.apply(x, self.betas, self.shifts)  # type: ignore[no-untyped-call]
            return y
        betas = (self.steps().to(torch.float64) * 2.0**-self.frac).to(x.dtype)
        y = _Bases.apply(x, betas, self.shifts)  # type: ignore[no-untyped-call]
        return y

    def extra_repr(self) -> str:
        return f"{self.bases}, frac={self.frac}"
