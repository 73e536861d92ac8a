"""The first layer of a foreign network: real inputs there, integer codes here."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from xnorhw.frontends.foreign.base import InputSpec, ask_input, parse_input, refuse
from xnorhw.frontends.foreign.grids import grid_of, on_grid
from xnorhw.frontends.foreign.parts import Layers, Maker
from xnorhw.frontends.foreign.pixels import Pixels
from xnorhw.nn.full import FullConv2d, FullLinear
from xnorhw.nn.layers import FrozenBinaryConv2d, FrozenBinaryLinear
from xnorhw.nn.quantizers import InputQuant

__all__ = ["First", "first_layer", "input_of"]

_GRID_BITS = 24
"""As fine as float32 itself."""
_WEIGHT_BITS = 24
_EXACT = 53


def input_of(text: str | None, where: str, channels: int, example: str, usual: str | None) -> InputSpec:
    """What --input says, with the normalisation or the codes; refused where it is not said.

    ``channels`` that the first layer has (features of a linear one); ``example`` is a shape, and
    ``usual`` the normalisation in the project's own script.
    """
    if text is None:
        ask_input(where, example, usual)
    spec = parse_input(text)
    if spec.mean is None and spec.codes is None and not spec.bipolar:
        ask_input(where, text.strip(), usual)
    size = math.prod(spec.shape)
    if channels not in (spec.shape[0], size):
        refuse(
            "--input",
            f"{text!r} has {spec.shape[0]} channels and {size} values, and the first layer reads {channels}",
            f"Give the shape that the network was trained with, as {example}",
        )
    return spec


class First:
    """The weights of a first layer: [O, I, kh, kw] or [O, I], real or (``binary``) -1 and +1."""

    def __init__(
        self,
        name: str,
        weight: Tensor,
        bias: Tensor | None,
        stride: int = 1,
        padding: int = 0,
        binary: bool = False,
        scale: Tensor | None = None,
    ) -> None:
        self.name = name
        self.weight, self.bias, self.scale = weight, bias, scale
        self.stride, self.padding, self.binary = stride, padding, binary


def first_layer(maker: Maker, spec: InputSpec, first: First) -> Layers:
    """The modules from the input up to the first layer's result.

    Codes and -1 and +1 go in as they are.  Pixels without padding behind them: the normalisation
    goes into the layer's scale and bias.  With padding, whose zeros are normalised ones, a grid of
    24 bits holds the normalised pixels; with bits said, codes of so many.
    """
    flat = first.weight.dim() == 2
    flatten: Layers = [("flatten", nn.Flatten())] if flat and len(spec.shape) == 3 else []
    pixels = Pixels.of(spec)
    if pixels is None:
        return [*flatten, (first.name, _layer(first, first.weight, first.bias, 1.0))]
    if pixels.bits is None and not first.padding and (pixels.even or not first.binary):
        maker.decide(
            "input", "raw pixels", "the normalisation is part of the first layer's scale and bias, exactly"
        )
        means, stds = (torch.tensor(v, dtype=torch.float64) for v in (pixels.mean, pixels.std))
        table: Layers = [("quant", InputQuant(list(range(256)), bits=8, signed=False))]
        return [*table, *flatten, (first.name, _folded(first, means, stds))]
    names = ("quant", "normalise", "grid")
    front, worth, said = pixels.modules(len(spec.shape), _GRID_BITS, names, "input")
    maker.decide(said.what, said.value, said.why)
    on_grid_input = pixels.bits is None
    return [
        *front,
        *flatten,
        (first.name, _layer(first, first.weight, first.bias, worth, on_grid_input)),
    ]


def _folded(first: First, means: Tensor, stds: Tensor) -> nn.Module:
    """y = sum W (p / 255 - m) / s + b = sum (W / s) p / 255 + (b - sum W m / s)."""
    weight = first.weight.to(torch.float64)
    per_channel = weight.shape[1] // means.numel() if weight.dim() == 2 else 1
    shape = (1, -1, *[1] * (weight.dim() - 2))
    m, s = (v.repeat_interleave(per_channel).view(shape) for v in (means, stds))
    moved = (weight * m / s).flatten(1).sum(1)
    if first.scale is not None:
        moved = moved * first.scale.to(torch.float64)
    bias = -moved if first.bias is None else first.bias.to(torch.float64) - moved
    common = float(stds.max())
    folded = first.weight if first.binary else (weight * (common / s)).to(torch.float32)
    return _layer(first, folded, bias.to(torch.float32), 1.0 / (255.0 * common))


def _layer(
    first: First, weight: Tensor, bias: Tensor | None, in_scale: float, on_grid_input: bool = False
) -> nn.Module:
    flat = weight.dim() == 2
    if first.binary:
        if flat:
            return FrozenBinaryLinear(weight, first.scale, bias, in_scale)
        return FrozenBinaryConv2d(weight, first.scale, bias, first.stride, first.padding, 1, 1, 0, in_scale)
    bits = _EXACT - _GRID_BITS - math.ceil(math.log2(weight[0].numel())) if on_grid_input else _WEIGHT_BITS
    frac = grid_of(weight, min(_WEIGHT_BITS, bits))
    layer: FullConv2d | FullLinear
    if flat:
        layer = FullLinear(weight.shape[1], weight.shape[0], bias is not None, frac, None, in_scale)
    else:
        layer = FullConv2d(
            weight.shape[1],
            weight.shape[0],
            (weight.shape[2], weight.shape[3]),
            first.stride,
            first.padding,
            bias=bias is not None,
            frac=frac,
            in_scale=in_scale,
        )
    with torch.no_grad():
        layer.weight.copy_(on_grid(weight, frac))
        if layer.bias is not None and bias is not None:
            layer.bias.copy_(bias)
    return layer
