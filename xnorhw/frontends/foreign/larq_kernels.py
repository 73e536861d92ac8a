"""larq's quantisers: how a file names them, and what they make of latent kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xnorhw.frontends.foreign.arrays import Array
from xnorhw.frontends.foreign.base import refuse
from xnorhw.frontends.foreign.keras_file import KerasLayer
from xnorhw.nn.weights import DoReFaWeight, WeightBases, WeightQuantizer

__all__ = ["Kernel", "Quantizer", "kernel_of", "quantizer_of"]

_ALIASES = {
    "ste_sign": "SteSign",
    "approx_sign": "ApproxSign",
    "swish_sign": "SwishSign",
    "magnitude_aware_sign": "MagnitudeAwareSign",
    "ste_heaviside": "SteHeaviside",
    "ste_tern": "SteTern",
    "dorefa_quantizer": "DoReFa",
    "DoReFaQuantizer": "DoReFa",
    "NoOpQuantizer": "NoOp",
}


@dataclass(frozen=True)
class Quantizer:
    """A quantiser: its class, without aliases, and its options."""

    kind: str
    config: dict[str, Any]


@dataclass(frozen=True)
class Kernel:
    """Weights [O, I, ...] as a layer takes them: ``signs`` with a scale or none, latent, or real."""

    weight: Array
    signs: bool = False
    scale: Array | None = None
    quantizer: WeightQuantizer | None = None


class Ternary(WeightQuantizer):
    """larq's ternary kernels: (B1 + B2) / 2 of two binary ones, whose halves cancel where W is 0."""

    frac = 1

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def bases(self, weight: Tensor) -> WeightBases:
        """+1 from the threshold on, -1 up to its negative, else 0."""
        latent = weight.detach()
        upper = torch.where(latent - self.threshold >= 0, 1.0, -1.0)
        lower = torch.where(latent + self.threshold <= 0, -1.0, 1.0)
        return WeightBases(torch.stack([lower, upper]), torch.ones(2, dtype=torch.int64), 1, None)

    def forward(self, weight: Tensor) -> Tensor:
        """[O, ...] -> -1, 0 and +1."""
        return (self.bases(weight).whole() / 2).to(weight.dtype)


def quantizer_of(layer: KerasLayer, option: str) -> Quantizer | None:
    """The quantiser that ``option`` of a layer names; None where there is none."""
    given = layer.config.get(option)
    if given is None:
        return None
    name: Any = given
    config: Any = {}
    if isinstance(given, dict):
        name, config = given.get("class_name"), given.get("config")
        if name == "function":
            name, config = config, {}
    if not isinstance(name, str) or not isinstance(config, dict):
        refuse(layer.label, f"has {option} = {str(given)[:40]}", "Use a quantiser of larq")
    name = name.rpartition(">")[2]
    return Quantizer(_ALIASES.get(name, name), config)


def kernel_of(layer: KerasLayer, weight: Array, depthwise: bool) -> Kernel:
    """What ``layer`` makes of its latent weight [O, I, ...]."""
    quantizer = quantizer_of(layer, "depthwise_quantizer" if depthwise else "kernel_quantizer")
    if quantizer is None or quantizer.kind == "NoOp":
        return Kernel(weight)
    kind = quantizer.kind
    signs = np.where(weight >= 0, np.float32(1), np.float32(-1))
    if kind in ("SteSign", "ApproxSign", "SwishSign"):
        return Kernel(signs, signs=True)
    if kind == "MagnitudeAwareSign" and not depthwise:
        scale = np.abs(weight).reshape(len(weight), -1).mean(axis=1, dtype=np.float64)
        return Kernel(signs, signs=True, scale=scale.astype(np.float32))
    if kind == "SteTern":
        threshold = np.float32(quantizer.config.get("threshold_value", 0.05))
        if quantizer.config.get("ternary_weight_networks"):
            threshold = np.float32(0.7 * np.abs(weight).mean(dtype=np.float64))
        return Kernel(weight, quantizer=Ternary(float(threshold)))
    if kind == "DoReFa" and quantizer.config.get("mode") == "weights":
        return _dorefa(layer, weight, quantizer.config.get("k_bit", 2))
    refuse(
        layer.label,
        f"has the quantiser {kind} on its weights, which is not known there",
        "Known are SteSign, ApproxSign, SwishSign, MagnitudeAwareSign, SteTern and DoReFa(mode='weights')",
    )


def _dorefa(layer: KerasLayer, weight: Array, bits: Any) -> Kernel:
    if not (isinstance(bits, int) and 1 <= bits <= 8):
        refuse(layer.label, f"has weights of {bits} bits", "1 to 8 bits can be imported")
    if bits > 1:
        return Kernel(weight, quantizer=DoReFaWeight(bits))
    # one bit is no special case in larq: round(1/2) = 0 makes -1 of what lies in the middle
    t = np.tanh(weight)
    peak = np.abs(t).max()
    unit = (t / (np.float32(2) * peak) if peak else np.zeros_like(t)) + np.float32(0.5)
    return Kernel(np.where(unit > 0.5, np.float32(1), np.float32(-1)), signs=True)
