"""What a network holds and computes, counted on its own modules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from xnorhw.nn.activations import BasesActivation
from xnorhw.nn.full import FullBase
from xnorhw.nn.layers import BinaryConv2d, BinaryLinear
from xnorhw.nn.quant_layers import QuantBase
from xnorhw.nn.weights import BasesWeight

__all__ = ["Figures", "counted"]

_LAYERS = (BinaryConv2d, BinaryLinear, QuantBase, FullBase, nn.Conv2d, nn.Linear)


@dataclass(frozen=True)
class Figures:
    """What a network holds and computes.

    ``layers`` with weights; ``weights`` in all, biases and norms left out; ``binary_bits`` of them,
    a bit a weight (M bases or k bits take M or k).  Multiply-accumulates a frame: 1 bit by 1
    bit (bases counted M N times), binary or k-bit weights on codes of several bits, full precision.
    """

    layers: int
    weights: int
    binary_bits: int
    macs_1bit: int
    macs_kbit: int
    macs_full: int


def counted(net: nn.Module, shape: tuple[int, int, int]) -> Figures:
    """The figures of ``net`` on one frame of ``shape`` (C, H, W); it is run once, in eval."""
    layers: list[tuple[Tensor, nn.Module]] = []
    for module in net.modules():
        if isinstance(module, _LAYERS):
            made: Any = module
            layers.append((made.weight, module))
    weights = sum(w.numel() for w, _ in layers)
    bits = sum(w.numel() * _copies(m) for w, m in layers if not _full(m))
    bases = max((m.bases for m in net.modules() if isinstance(m, BasesActivation)), default=1)
    macs = {"1bit": 0, "kbit": 0, "full": 0}

    def seen(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        count = layer.weight.numel() * (output[0, 0].numel() if output.dim() == 4 else 1)
        if _full(layer):
            macs["full"] += count
        elif isinstance(layer, QuantBase) and isinstance(layer.quant, BasesWeight):
            macs["1bit"] += count * _copies(layer) * bases
        else:
            macs["1bit" if bool((inputs[0].abs() == 1).all()) else "kbit"] += count

    hooks = [m.register_forward_hook(seen) for _, m in layers]
    training = net.training
    try:
        with torch.inference_mode():
            net.eval()(torch.zeros(1, *shape))
    finally:
        net.train(training)
        for hook in hooks:
            hook.remove()
    return Figures(len(layers), weights, bits, macs["1bit"], macs["kbit"], macs["full"])


def _full(layer: nn.Module) -> bool:
    return not isinstance(layer, BinaryConv2d | BinaryLinear | QuantBase)


def _copies(layer: nn.Module) -> int:
    """Binary tensors that a layer's weight is stored as."""
    if isinstance(layer, QuantBase):
        quant: Any = layer.quant
        return int(quant.count if isinstance(quant, BasesWeight) else quant.bits)
    return 1
