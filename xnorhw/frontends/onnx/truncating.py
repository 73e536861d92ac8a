"""QONNX Trunc: low bits cut off an integer, as Brevitas' average pools do it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.frontends.onnx.builder import Builder
from xnorhw.frontends.onnx.constants import Const, one_integer, rounding_of, scale_of
from xnorhw.frontends.onnx.flow import Flow, Pixels
from xnorhw.frontends.onnx.graph import Node
from xnorhw.frontends.onnx.quantisers import ROUNDINGS, Float32, Quantiser, integer
from xnorhw.frontends.onnx.quantising import MOST_BITS, quantise

__all__ = ["Truncation", "truncate"]


@dataclass(frozen=True)
class Truncation(Quantiser):
    """x -> round(clamp(round(x / unit) / 2^shift)): ``unit`` is what an integer of the input is worth."""

    unit: np.float32 = np.float32(1)
    shift: int = 0

    def codes(self, x: Float32) -> Float32:
        """As qonnx's executor of Trunc, version 2, does it in float32."""
        with np.errstate(over="ignore"):
            q = np.rint(x / self.unit) / np.float32(2.0**self.shift)
        q = np.clip(q, np.float32(self.low), np.float32(self.high))
        return np.asarray(ROUNDINGS[self.rounding](q), np.float32)


def truncate(builder: Builder, node: Node, source: Flow | Pixels, inputs: list[Const | None]) -> Flow:
    """A Trunc with the constants ``inputs`` behind its first one: a quantiser of its own."""
    if len(inputs) != 5:
        node.refuse(
            "is of version 1, which says neither the scale of its result nor whether that has a sign",
            "Export the network with a newer Brevitas, as 0.13, whose Trunc has six inputs",
        )
    given, zero, _, wanted, bits = inputs
    unit, scale = _one(node, given, "scale"), _one(node, wanted, "output scale")
    if one_integer(node, zero, "zero point", -(1 << 15), 1 << 15) != 0:
        node.refuse("cuts bits off a number with a zero point", "Quantise with the zero point 0")
    width = one_integer(node, bits, "output bit width", 1, MOST_BITS)
    signed, narrow = bool(node.attributes.get("signed", 1)), bool(node.attributes.get("narrow", 0))
    if width == 1:
        node.refuse("leaves one bit", "Use BipolarQuant for one bit")
    plain = integer(scale, 0, width, signed, narrow, rounding_of(node, "FLOOR"))
    shift = int(np.rint(math.log2(float(scale[0]) / float(unit[0]))))
    made = Truncation(scale, plain.low, plain.high, 0, plain.rounding, False, np.float32(unit[0]), shift)
    return quantise(builder, node, source, made)


def _one(node: Node, const: Const | None, what: str) -> npt.NDArray[Any]:
    found = np.unique(scale_of(node, const, what))
    if found.size != 1:
        node.refuse(f"has {found.size} of its {what}s", f"Use one {what} for the tensor")
    return found
