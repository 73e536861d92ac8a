"""XNOR-Net's convolution with the scale map K of its input."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xnorhw.nn.geometry import Padding, Size, pads_of, pair_of
from xnorhw.nn.quantizers import BinaryWeight, ScaleKind, sign

__all__ = ["FrozenScaledBinaryConv2d", "ScaledBinaryConv2d", "ScaledConvBase"]


class ScaledConvBase(nn.Module):
    """The geometry and the exact sum, trained and frozen."""

    weight: Tensor
    bias: Tensor | None
    stride: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilation: tuple[int, int]

    def _set_geometry(self, stride: Size, padding: Padding, dilation: Size) -> None:
        self.stride = pair_of(stride, "stride", 1)
        self.pads = pads_of(padding)
        self.dilation = pair_of(dilation, "dilation", 1)

    def binarised(self) -> tuple[Tensor, Tensor]:
        """(weights -1.0 and +1.0, scale [O] or [1]: alpha / (channels * taps))."""
        raise NotImplementedError

    def sum(self, x: Tensor) -> Tensor:
        """(sign(x) conv sign(W)) * K, K = sum of |x| over channels and window; [N, O, OH, OW].

        Padded taps count 0 in both.  In eval float64, in which it is exact for x on a grid;
        in training the framework's plain sum with its gradient.
        """
        signs, _ = self.binarised()
        dtype = x.dtype if self.training else torch.float64
        if not x.is_floating_point():
            dtype = signs.dtype if self.training else torch.float64
        x = x.to(dtype)
        # the sign is taken in front of the padding: sign(0) would be +1
        left, right, top, bottom = self.pads
        negatives, magnitudes = F.pad(sign(x), self.pads), F.pad(_magnitude(x), self.pads)
        s = F.conv2d(negatives, signs.to(dtype), None, self.stride, 0, self.dilation)
        box = torch.ones((1, 1, *signs.shape[2:]), dtype=dtype, device=x.device)
        k = F.conv2d(magnitudes.sum(dim=1, keepdim=True), box, None, self.stride, 0, self.dilation)
        return s * k

    def after_sum(self, s: Tensor) -> Tensor:
        """float32(s) * scale + bias on sums [N, O, OH, OW] of any dtype."""
        signs, scale = self.binarised()
        y = s.to(signs.dtype) * scale.view(-1, 1, 1)
        return y if self.bias is None else y + self.bias.view(-1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``after_sum(sum(x))``."""
        return self.after_sum(self.sum(x))

    def extra_repr(self) -> str:
        out, channels, height, width = self.weight.shape
        return (
            f"{channels}, {out}, kernel_size=({height}, {width}), stride={self.stride}, pads={self.pads}, "
            f"dilation={self.dilation}, bias={self.bias is not None}"
        )


class ScaledBinaryConv2d(ScaledConvBase):
    """XNOR-Net's binary convolution of real numbers (eq. 11): y = (sign(x) conv sign(W)) * K * alpha + bias.

    K = A conv k with A = mean over channels of |x| and k the box filter of 1 / (kh kw), in the
    convolution's own geometry.  Here the sum of |x| over channels and window is multiplied with
    the sum of signs, exactly, and the divisor channels * kh * kw lies in ``scale`` = alpha /
    (channels * kh * kw).  It takes the sign itself: put ``Grid`` in front of it, no ``Sign``.
    ``scale`` "channel" (alpha = mean |W| of a filter, eq. 6), "layer", or None for alpha = 1.

    Backward by the chain rule, with S the sum of signs, s = scale and g = dC/dy:

        dC/dx = 1_{|x| <= 1} * convT(g K s, sign(W)) + sign(x) * convT(sum_o g_o S_o s_o, 1)
        dC/dW = 1_{|W| <= 1} * (sign(x) corr g K s) + sign(W) / n^2 * sum g S K   (n taps of a filter)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        bias: bool = False,
        scale: ScaleKind = "channel",
    ) -> None:
        super().__init__()
        if min(in_channels, out_channels) < 1:
            raise ValueError(f"a convolution of {in_channels} to {out_channels} channels is none")
        self._set_geometry(stride, padding, dilation)
        self.quant = BinaryWeight(scale)
        self.weight = nn.Parameter(
            torch.empty(out_channels, in_channels, *pair_of(kernel_size, "kernel_size", 1))
        )
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        nn.init.xavier_uniform_(self.weight)

    def binarised(self) -> tuple[Tensor, Tensor]:
        """(sign(W), scale), computed from the latent weight."""
        signs, alpha = self.quant(self.weight)
        alpha = torch.ones_like(signs.flatten()[:1]) if alpha is None else alpha
        return signs, alpha / signs[0].numel()

    def freeze(self) -> FrozenScaledBinaryConv2d:
        """The same layer with signs and scale as they are now, in eval."""
        with torch.no_grad():
            signs, scale = self.binarised()
        return FrozenScaledBinaryConv2d(signs, scale, self.bias, self.stride, self.pads, self.dilation).eval()


class FrozenScaledBinaryConv2d(ScaledConvBase):
    """The same of known weights -1 and +1 [O, I, kh, kw] and a known scale [O] or [1]."""

    scale: Tensor

    def __init__(
        self,
        weight: Tensor,
        scale: Tensor,
        bias: Tensor | None = None,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
    ) -> None:
        super().__init__()
        values = weight.detach()
        if values.dim() != 4 or not bool(((values == 1) | (values == -1)).all()):
            raise ValueError("frozen weights [O, I, kh, kw] are -1 and +1 alone")
        outputs = values.size(0)
        for name, value, sizes in (("scale", scale, (1, outputs)), ("bias", bias, (outputs,))):
            if value is not None and (value.dim() != 1 or value.size(0) not in sizes):
                raise ValueError(f"the {name} of {outputs} outputs has the shape {list(value.shape)}")
        self._set_geometry(stride, padding, dilation)
        dtype = values.dtype if values.is_floating_point() else torch.float32
        self.register_buffer("weight", values.to(dtype).clone())
        self.register_buffer("scale", scale.detach().to(dtype).clone())
        self.register_buffer("bias", None if bias is None else bias.detach().to(dtype).clone())

    def binarised(self) -> tuple[Tensor, Tensor]:
        """The stored (signs, scale)."""
        return self.weight, self.scale

    def freeze(self) -> FrozenScaledBinaryConv2d:
        """Itself."""
        return self


def _magnitude(x: Tensor) -> Tensor:
    # |x| as x * sign(x): the gradient at 0 is then sign(0) = +1, as in forward
    return x * torch.where(x.detach() >= 0, 1.0, -1.0).to(x.dtype)
