"""Weight quantizers of more than a sign: DoReFa-Net's k bits, ABC-Net's bases, BinaryConnect.

Those of several bits are modules that give the real quantised weight with its gradient
(``forward``, for training) and the same weight as binary tensors times integers (``bases``,
for eval).  Each keeps its paper's notation.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from xnorhw.nn.quantizers import layer_scale

__all__ = [
    "BasesWeight",
    "BinaryConnectWeight",
    "DoReFaWeight",
    "WeightBases",
    "WeightQuantizer",
    "hard_sigmoid",
]

MAX_BASES = 8


@dataclass(frozen=True)
class WeightBases:
    """W ~ scale * 2^-frac * sum_m coefficients[m] * weight[m].

    ``weight`` [M, O, ...] holds -1 and +1 in the latent weight's dtype, ``coefficients`` int64
    [M]; ``scale`` [1] or [O], or None.
    """

    weight: Tensor
    coefficients: Tensor
    frac: int
    scale: Tensor | None

    def whole(self) -> Tensor:
        """sum_m coefficients[m] * weight[m], integers in float64 [O, ...]."""
        shape = (-1, *[1] * (self.weight.dim() - 1))
        return (self.coefficients.to(torch.float64).view(shape) * self.weight.to(torch.float64)).sum(dim=0)


class WeightQuantizer(nn.Module):
    """A quantiser of latent weights [O, ...]: real values for training, bases for eval."""

    frac: int

    def forward(self, weight: Tensor) -> Tensor:
        """The quantised weight [O, ...], with its gradient."""
        raise NotImplementedError

    def bases(self, weight: Tensor) -> WeightBases:
        """The quantised weight as binary tensors times integers; no gradient."""
        raise NotImplementedError


class _Through(torch.autograd.Function):
    """The second tensor in forward; its gradient goes to the first, times ``gain``."""

    @staticmethod
    def forward(ctx: Any, latent: Tensor, value: Tensor, gain: float) -> Tensor:
        ctx.gain = gain
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0] * ctx.gain, None, None


def _through(latent: Tensor, value: Tensor, gain: float = 1.0) -> Tensor:
    made: Tensor = _Through.apply(latent, value.detach(), gain)  # type: ignore[no-untyped-call]
    return made


def _signs(x: Tensor) -> Tensor:
    return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)


class DoReFaWeight(WeightQuantizer):
    """DoReFa-Net's weights of ``bits`` bits (section 2.2 of the paper).

    With quantize_k(r) = round_half_even((2^k - 1) r) / (2^k - 1):

        k > 1 (eq. 9):  W~ = 2 quantize_k(tanh(W) / (2 max |tanh(W)|) + 1/2) - 1
        k = 1 (eq. 7):  W~ = sign(W) * E(|W|), the mean over the whole layer

    Backward: quantize_k passes its gradient straight through (eq. 6), the rest is the chain
    rule.  With t = tanh(W), m = max |t|, i* where the maximum stands and g = dC/dW~:

        k > 1:  dC/dW_i = (1 - t_i^2) (g_i / m - 1_{i = i*} sign(t_i) sum_j g_j t_j / m^2)
        k = 1:  dC/dW_i = g_i E(|W|) + sign(W_i) / n * sum_j g_j sign(W_j)

    (for k = 1 the sign passes everything, without a clip).  The codes are Wq = (2^k - 1)
    quantize_k(...) and v = 2 Wq - (2^k - 1) = sum_j 2^j b_j with b_j = -1 or +1 the bits of
    Wq: k bases, scale 1 / (2^k - 1).  ValueError: bits outside of 1 to 8.
    """

    frac = 0

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = operator.index(bits)
        if not 1 <= self.bits <= 8:
            raise ValueError(f"DoReFaWeight makes weights of 1 to 8 bits, not {bits}")

    @property
    def levels(self) -> int:
        """2^bits - 1, the largest code."""
        return (1 << self.bits) - 1

    def _unit(self, weight: Tensor) -> Tensor:
        t = torch.tanh(weight)
        # a layer of zeros has no largest weight; its codes are those of 0
        peak = t.abs().max().clamp_min(torch.finfo(weight.dtype).tiny)
        return t / (2 * peak) + 0.5

    def _codes(self, unit: Tensor) -> Tensor:
        return torch.clamp(torch.round(unit * self.levels), 0, self.levels)

    def forward(self, weight: Tensor) -> Tensor:
        """[O, ...] -> values in [-1, 1] (k > 1) or -E and +E."""
        if self.bits == 1:
            return _through(weight, _signs(weight)) * layer_scale(weight)
        unit = self._unit(weight)
        return 2 * _through(unit, self._codes(unit) / self.levels) - 1

    def bases(self, weight: Tensor) -> WeightBases:
        """k bit planes with the coefficients 1, 2, 4, ...; see the class."""
        weight = weight.detach()
        coefficients = 2 ** torch.arange(self.bits, device=weight.device)
        if self.bits == 1:
            return WeightBases(_signs(weight)[None], coefficients, 0, layer_scale(weight))
        codes = self._codes(self._unit(weight)).to(torch.int64)
        planes = torch.stack([2 * ((codes >> j) & 1) - 1 for j in range(self.bits)])
        scale = torch.full((1,), 1.0 / self.levels, dtype=weight.dtype, device=weight.device)
        return WeightBases(planes.to(weight.dtype), coefficients, 0, scale)

    def extra_repr(self) -> str:
        return f"{self.bits}"


class BasesWeight(WeightQuantizer):
    """ABC-Net's weights: W ~ sum_m alpha_m B_m, with one set of alphas for the whole layer.

        B_m = sign(Wbar + u_m std(W)),  Wbar = W - mean(W),  u_m = -1 + (m - 1) * 2 / (M - 1)

    (eqs. 2 and 3 of the paper; u_1 = 0 for M = 1) and alpha the least-squares solution of
    min |W - B alpha|^2 (eq. 4), found afresh in every forward by the pseudoinverse of B^T B:
    bases of a small layer may coincide.  An alpha may be negative.

    Backward (eq. 5), the alphas held constant and each sign passing its gradient straight
    through:  dC/dW = sum_m alpha_m dO/dB_m dC/dO = (sum_m alpha_m) dC/dW~.

    In training the alphas are as they are; in eval they are rounded to steps of a * 2^-frac
    with a = max |alpha_m|, the layer's scale: integers of frac + 2 bits whatever the size of the
    weights.  ValueError: bases outside of 1 to 8, frac outside of 0 to 16.
    """

    def __init__(self, bases: int, frac: int = 8) -> None:
        super().__init__()
        self.count, self.frac = operator.index(bases), operator.index(frac)
        if not 1 <= self.count <= MAX_BASES:
            raise ValueError(f"a weight has 1 to {MAX_BASES} bases, not {bases}")
        if not 0 <= self.frac <= 16:
            raise ValueError(f"the alphas have 0 to 16 fraction bits, not {frac}")

    def offsets(self) -> list[float]:
        """u_1 .. u_M."""
        if self.count == 1:
            return [0.0]
        return [-1 + 2 * m / (self.count - 1) for m in range(self.count)]

    def split(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """(B [M, O, ...] of -1 and +1 in the weight's dtype, alphas float64 [M])."""
        latent = weight.detach()
        centred = latent - latent.mean()
        std = latent.std(unbiased=False)
        signs = torch.stack([_signs(centred + u * std) for u in self.offsets()])
        # u rises, so each base holds every +1 of the one before: B_i B_j follows from their sums
        sums = torch.stack([b.sum(dtype=torch.float64) for b in signs])
        gram = latent.numel() - (sums[:, None] - sums).abs()
        shares = torch.stack([(b * latent).sum(dtype=torch.float64) for b in signs])
        return signs, torch.linalg.pinv(gram, hermitian=True) @ shares

    def forward(self, weight: Tensor) -> Tensor:
        """[O, ...] -> sum_m alpha_m B_m."""
        signs, alphas = self.split(weight)
        shape = (-1, *[1] * weight.dim())
        value = (signs * alphas.to(weight.dtype).view(shape)).sum(dim=0)
        return _through(weight, value, float(alphas.sum()))

    def bases(self, weight: Tensor) -> WeightBases:
        """M bases with coefficients in steps of 2^-frac and the scale a [1]."""
        signs, alphas = self.split(weight)
        peak = alphas.abs().max().to(weight.dtype)
        peak = torch.where(peak > 0, peak, torch.ones_like(peak))  # weights of 0: every coefficient is 0
        steps = torch.round(alphas / peak.to(torch.float64) * 2.0**self.frac)
        return WeightBases(signs, steps.to(torch.int64), self.frac, peak.reshape(1))

    def extra_repr(self) -> str:
        return f"{self.count}, frac={self.frac}"


def hard_sigmoid(x: Tensor) -> Tensor:
    """clip((x + 1) / 2, 0, 1) (BinaryConnect, eq. 3)."""
    return torch.clamp((x + 1) / 2, 0, 1)


class BinaryConnectWeight(nn.Module):
    """BinaryConnect's weights: latent weight -> (signs, None), for ``BinaryConv2d(weight=...)``.

    Deterministic (eq. 1): Wb = sign(W), sign(0) = +1.  ``stochastic`` (eq. 2): in training
    Wb = +1 with probability hard_sigmoid(W) = clip((W + 1) / 2, 0, 1), else -1, drawn anew in
    every forward from torch's random state.

    Backward: dC/dW = dC/dWb (algorithm 1), without a clip; the latent weights are clipped to
    [-1, 1] after each step instead, which ``BinaryConnectStep`` does.

    In eval a stochastically trained layer decides by its signs, ``test`` "sign".  With
    ``test`` "sample" it goes on drawing (the third method of section 2.6): such a network has no
    fixed decisions and cannot be saved for a build (``draws_in_eval``).  The paper's second
    method, the real weights, is a float network and has no place here.
    """

    scale = None

    def __init__(self, stochastic: bool = False, test: Literal["sign", "sample"] = "sign") -> None:
        super().__init__()
        if test not in ("sign", "sample"):
            raise ValueError(f'test is "sign" or "sample", not {test!r}')
        self.stochastic = bool(stochastic)
        self.test = test

    @property
    def draws_in_eval(self) -> bool:
        """True where the weights are random in eval too: no hardware computes the same twice."""
        return self.stochastic and self.test == "sample"

    def forward(self, weight: Tensor) -> tuple[Tensor, None]:
        """[O, ...] -> (signs [O, ...], None)."""
        latent = weight.detach()
        if self.stochastic and (self.training or self.draws_in_eval):
            drawn = torch.rand_like(latent) < hard_sigmoid(latent)
            signs = torch.where(drawn, 1.0, -1.0).to(latent.dtype)
        else:
            signs = _signs(latent)
        return _through(weight, signs), None

    def extra_repr(self) -> str:
        return f"stochastic={self.stochastic}, test={self.test!r}"
