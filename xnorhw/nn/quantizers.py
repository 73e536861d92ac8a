"""Quantizers: the parts that binary layers are composed of, each usable by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["BinaryWeight", "InputQuant", "ScaleKind", "Sign", "channel_scale", "layer_scale", "sign"]

ScaleKind = Literal["channel", "layer"] | None
"""Which scale a binary weight carries: none, one per output channel, one per layer."""


class _SignSTE(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        clipped: Tensor = grads[0] * (x.abs() <= 1)
        return clipped


def sign(x: Tensor) -> Tensor:
    """+1 where x >= 0 (zero and -0.0 included), else -1; any shape, dtype kept.

    Backward is the straight-through estimator with its clip, XNOR-Net section 3.1:
    d sign(x) / dx = 1 where |x| <= 1, else 0.
    """
    out: Tensor = _SignSTE.apply(x)  # type: ignore[no-untyped-call]
    return out


def _magnitude(weight: Tensor) -> Tensor:
    # |W| as W * sign(W): the gradient at W = 0 is then sign(0) = +1, as in forward
    return weight * torch.where(weight.detach() >= 0, 1.0, -1.0).to(weight.dtype)


def channel_scale(weight: Tensor) -> Tensor:
    """alpha_o = (1/n) sum |W_o| over all axes but the first (XNOR-Net eq. 6); [O, ...] -> [O].

    Backward: d alpha_o / d W_i = sign(W_i) / n.
    """
    return _magnitude(weight).flatten(1).mean(dim=1)


def layer_scale(weight: Tensor) -> Tensor:
    """alpha = mean of |W| over the whole tensor (DoReFa-Net, 1-bit weights); [O, ...] -> [1]."""
    return _magnitude(weight).mean().reshape(1)


class Sign(nn.Module):
    """y = sign(x), sign(0) = +1, trained by the clipped straight-through estimator."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape; values -1.0 and +1.0."""
        return sign(x)


class BinaryWeight(nn.Module):
    """W ~ alpha * sign(W): latent weight -> (signs, alpha).

    ``scale`` None: alpha is absent (BNN); "channel": alpha [O]; "layer": alpha [1].
    With y = (x * sign(W)) alpha, autograd gives the gradient of the scaled weight
    W~ = alpha sign(W) as the chain rule has it:

        dC/dW_i = sign(W_i)/n * sum_j dC/dW~_j sign(W_j)  +  dC/dW~_i * alpha * 1_{|W_i| <= 1}
    """

    def __init__(self, scale: ScaleKind = None) -> None:
        super().__init__()
        if scale not in (None, "channel", "layer"):
            raise ValueError(f'scale is None, "channel" or "layer", not {scale!r}')
        self.scale = scale

    def forward(self, weight: Tensor) -> tuple[Tensor, Tensor | None]:
        """[O, ...] -> (signs [O, ...], alpha [O] or [1] or None)."""
        alpha = None
        if self.scale == "channel":
            alpha = channel_scale(weight)
        elif self.scale == "layer":
            alpha = layer_scale(weight)
        return sign(weight), alpha

    def extra_repr(self) -> str:
        return f"scale={self.scale!r}"


class InputQuant(nn.Module):
    """uint8 pixel -> integer code by a table, per channel or shared; zero point 0.

    Either ``table``: 256 integers, or one such row per channel.  A table of -1 and +1
    alone makes bipolar codes of one bit.  Or ``mean`` and ``std`` (numbers, or one per
    channel) of the usual normalisation v = (p / 255 - mean) / std, which is quantised
    with one scale for all channels:

        code = clamp(round_half_even(v / scale)),   scale = max |v| / (largest code)

    ``forward`` takes raw pixels 0..255 of any dtype, [N, C, ...], and returns the codes as
    float32 of the same shape.  ``scale`` (float, exact in float32) is what one code is
    worth; give it to the first layer as ``in_scale``, which multiplies it in after the sum.
    ValueError: a table that ``bits`` cannot hold, or pixels that are no whole numbers in 0..255.
    """

    table: Tensor

    def __init__(
        self,
        table: Sequence[int] | Sequence[Sequence[int]] | np.ndarray[Any, Any] | Tensor | None = None,
        *,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        bits: int = 8,
        signed: bool = True,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        if table is None:
            if mean is None or std is None:
                raise ValueError("InputQuant takes either a table, or mean and std")
            codes, scale = _normalised(mean, std, bits, signed)
        else:
            if mean is not None or std is not None:
                raise ValueError("InputQuant takes either a table, or mean and std, not both")
            codes = _whole_table(table)
            if set(np.unique(codes)) <= {-1, 1}:
                bits, signed = 1, True
        _check_range(codes, bits, signed)
        if not (np.isfinite(scale) and scale > 0):
            raise ValueError(f"the scale of an InputQuant is positive and finite, not {scale}")
        self.bits = bits
        self.signed = signed
        self.scale = float(np.float32(scale))
        self.register_buffer("table", torch.from_numpy(codes.astype(np.int32)))

    def forward(self, x: Tensor) -> Tensor:
        """Raw pixels [N, C, ...] -> codes, float32, same shape."""
        index = x.to(torch.long)
        if x.is_floating_point() and not torch.equal(index.to(x.dtype), x):
            raise ValueError("InputQuant takes raw pixels: whole numbers from 0 to 255, not fractions")
        if x.numel() and (int(index.min()) < 0 or int(index.max()) > 255):
            raise ValueError("InputQuant takes raw pixels: whole numbers from 0 to 255")
        rows = self.table.size(0)
        if rows > 1:
            if x.dim() < 2 or x.size(1) != rows:
                raise ValueError(
                    f"this InputQuant has a table for {rows} channels; the input is {list(x.shape)}"
                )
            offset = torch.arange(rows, device=x.device) * 256
            index = index + offset.view(-1, *[1] * (x.dim() - 2))
        return self.table.flatten()[index].to(torch.float32)

    def extra_repr(self) -> str:
        return (
            f"channels={self.table.size(0)}, bits={self.bits}, signed={self.signed}, scale={self.scale:.6g}"
        )


def _whole_table(table: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    values = table.detach().cpu().numpy() if isinstance(table, Tensor) else np.asarray(table)
    if values.ndim == 1:
        values = values[None]
    if values.ndim != 2 or values.shape[1] != 256 or values.shape[0] == 0:
        raise ValueError(f"the table of an InputQuant is [256] or [channels, 256], not {list(values.shape)}")
    codes = values.astype(np.int64)
    if not np.array_equal(codes, values):
        raise ValueError("the table of an InputQuant holds integers")
    return codes


def _normalised(
    mean: Any, std: Any, bits: int, signed: bool
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], float]:
    if not 2 <= bits <= 8:
        raise ValueError(
            f"mean and std are quantised to 2 to 8 bits, not {bits}; give a table of -1 and +1 for one bit"
        )
    means = np.atleast_1d(np.asarray(mean, np.float64))
    stds = np.atleast_1d(np.asarray(std, np.float64))
    means, stds = np.broadcast_arrays(means, stds)
    if means.ndim != 1 or not (np.isfinite(means).all() and np.isfinite(stds).all() and (stds > 0).all()):
        raise ValueError("mean is a finite number and std a positive one, or one of each per channel")
    values = (np.arange(256) / 255 - means[:, None]) / stds[:, None]
    if not signed and values.min() < 0:
        raise ValueError(
            "the normalised pixels are partly negative: unsigned codes with zero point 0 cannot hold them"
        )
    top = (1 << (bits - 1)) - 1 if signed else (1 << bits) - 1
    scale = float(np.float32(np.abs(values).max() / top))
    low = -top - 1 if signed else 0
    return np.clip(np.rint(values / scale), low, top).astype(np.int64), scale


def _check_range(codes: np.ndarray[Any, np.dtype[np.int64]], bits: int, signed: bool) -> None:
    if not 1 <= bits <= 8:
        raise ValueError(f"an input code has 1 to 8 bits, not {bits}")
    if bits == 1:
        if not (signed and set(np.unique(codes)) <= {-1, 1}):
            raise ValueError("a one-bit input code is -1 or +1; for other codes give bits=2 or more")
        return
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    if codes.min() < low or codes.max() > high:
        kind = "signed" if signed else "unsigned"
        raise ValueError(
            f"the table holds {codes.min()}..{codes.max()}, which {bits} {kind} bits ({low}..{high}) cannot"
        )
