"""Constants of a graph and what is computed of them alone: weights, scales, shapes.

A weight behind a quantiser keeps its integers and their scale beside its float32 values, for
dividing them again would round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.frontends.onnx.graph import Node
from xnorhw.frontends.onnx.quantisers import ROUNDINGS, Quantiser, bipolar, integer

__all__ = [
    "FOLDED",
    "Const",
    "axes_of",
    "fold",
    "one_integer",
    "quantiser_of",
    "rounding_of",
    "scale_of",
    "whole",
]

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Const:
    """A constant: its values, and how they came about.

    ``origin`` is the name of the tensor of the file that it began with.  ``codes`` and ``scale``
    (of codes' rank, broadcasting) are there for a quantised one: values = codes * scale.
    ``factors`` are those of a product of two constants, ``bases`` (bases [M, ...], coefficients
    [M]) what a sum of weighed bases was made of.
    """

    values: Array
    origin: str = ""
    codes: Array | None = None
    scale: Float32 | None = None
    factors: tuple[Const, Const] | None = None
    bases: tuple[Array, Array] | None = None

    def moved(self, change: Callable[[Array], Array]) -> Const:
        """The same behind a change of shape."""
        if self.codes is None or self.scale is None:
            return Const(change(self.values), self.origin)
        codes = change(self.codes)
        if self.scale.size == 1:
            scale = self.scale.reshape((1,) * codes.ndim)
        else:
            scale = np.asarray(change(np.broadcast_to(self.scale, self.codes.shape)), np.float32)
        return Const(change(self.values), self.origin, codes, scale)


def fold(node: Node, inputs: list[Const | None]) -> Const:
    """What ``node`` makes of constants alone.  ModelError where it cannot be told."""
    handler = FOLDED.get(node.op)
    if handler is None:
        node.refuse(
            "computes with constants alone in a way that is not known",
            "Fold the constants before: onnxsim, or qonnx.transformation.fold_constants",
        )
    try:
        with np.errstate(all="ignore"):
            return handler(node, inputs)
    except (ValueError, IndexError, TypeError, AttributeError, KeyError, ZeroDivisionError) as error:
        node.refuse(f"cannot be computed: {error}", "Export the file again")


def whole(node: Node, const: Const | None, what: str) -> list[int]:
    """A constant of integers, as Python's."""
    if const is None:
        node.refuse(f"has no constant {what}", "Export the network with fixed shapes")
    return [int(v) for v in np.asarray(const.values).reshape(-1)]


def axes_of(node: Node, inputs: list[Const | None], place: int = 1) -> list[int] | None:
    """The axes of a node: an attribute in older files, an input in newer ones; None where not said."""
    if "axes" in node.attributes:
        return [int(a) for a in node.attributes["axes"]]
    if len(inputs) > place and inputs[place] is not None:
        return whole(node, inputs[place], "axes")
    return None


def scale_of(node: Node, const: Const | None, place: str = "scale") -> Float32:
    """The scale of a quantiser, float32.  ModelError where one is not finite and positive."""
    if const is None:
        node.refuse(
            f"takes its {place} from the network itself, so it is another for each frame",
            "Export the network with fixed scales (in Brevitas: in eval, with stored statistics)",
        )
    values = np.asarray(const.values, np.float32)
    if not values.size:
        node.refuse(f"has an empty {place}", "Export the file again")
    if not (np.isfinite(values) & (values > 0)).all():
        stray = float(values[~(np.isfinite(values) & (values > 0))].reshape(-1)[0])
        node.refuse(
            f"has the {place} {stray:g}, and a quantiser's scale is finite and positive: what it makes is no "
            "number (Brevitas exports so an integer quantiser with bit_width=1)",
            "Use a bipolar quantiser for one bit (CommonQuant with QuantType.BINARY in Brevitas), or train "
            "and export the network again",
        )
    return values


def quantiser_of(node: Node, inputs: list[Const | None]) -> Quantiser:
    """The quantiser of a Quant (IntQuant), BipolarQuant or QuantizeLinear; its inputs as constants."""
    if node.op == "BipolarQuant":
        return bipolar(scale_of(node, inputs[1]))
    if node.op == "QuantizeLinear":
        return _linear(node, inputs)
    if node.op not in ("Quant", "IntQuant"):
        node.refuse("is no quantiser", "Use QONNX's Quant or BipolarQuant")
    scale = scale_of(node, inputs[1])
    zero = one_integer(node, inputs[2], "zero point", -(1 << 15), 1 << 15)
    signed, narrow = bool(node.attributes.get("signed", 1)), bool(node.attributes.get("narrow", 0))
    bits = one_integer(node, inputs[3], "bit width", 1, 24)
    rounding = rounding_of(node, "ROUND")
    if bits == 1 and not signed and narrow:
        node.refuse("makes one value alone: one narrow unsigned bit", "Use BipolarQuant for one bit")
    return integer(scale, zero, bits, signed, narrow, rounding)


def rounding_of(node: Node, default: str) -> str:
    """How a node rounds, a name of ``ROUNDINGS``."""
    rounding = str(node.attributes.get("rounding_mode", default)).upper()
    if rounding not in ROUNDINGS:
        node.refuse(f"rounds by {rounding!r}", f"Use one of {', '.join(sorted(ROUNDINGS))}")
    return rounding


def _linear(node: Node, inputs: list[Const | None]) -> Quantiser:
    point = inputs[2] if len(inputs) > 2 else None
    kind = np.dtype(np.uint8) if point is None else point.values.dtype
    if kind not in (np.dtype(np.uint8), np.dtype(np.int8), np.dtype(np.int16), np.dtype(np.uint16)):
        if kind.name not in ("int4", "uint4", "int2", "uint2"):
            node.refuse(f"makes numbers of the type {kind}", "Quantise to int8 or uint8")
    bits = int(kind.name.lstrip("uint")) if "int" in kind.name else 8
    zero = 0 if point is None else one_integer(node, point, "zero point", -(1 << 15), 1 << 16)
    return integer(scale_of(node, inputs[1]), zero, bits, not kind.name.startswith("u"), False)


def one_integer(node: Node, const: Const | None, what: str, low: int, high: int) -> int:
    """A constant that is one whole number from ``low`` to ``high``; ModelError otherwise."""
    if const is None:
        node.refuse(f"takes its {what} from the network itself", "Export it with a fixed one")
    found = np.unique(np.asarray(const.values, np.float64))
    if found.size != 1 or found[0] != np.rint(found[0]) or not low <= found[0] <= high:
        node.refuse(
            f"has the {what} {', '.join(f'{v:g}' for v in found[:3])}, not one whole number from {low} to "
            f"{high} for the whole tensor",
            f"Use one {what} for the tensor",
        )
    return int(found[0])


# --- the operations --------------------------------------------------------------------------


def _first(inputs: list[Const | None]) -> Const:
    const = inputs[0]
    if const is None:
        raise ValueError("its first input is missing")
    return const


def _both(inputs: list[Const | None]) -> tuple[Const, Const]:
    a, b = inputs[0], inputs[1]
    if a is None or b is None:
        raise ValueError("one of its two inputs is missing")
    return a, b


def _constant(node: Node, inputs: list[Const | None]) -> Const:
    for name, kind in (("value", None), ("value_float", np.float32), ("value_floats", np.float32),
                       ("value_int", np.int64), ("value_ints", np.int64)):  # fmt: skip
        if name in node.attributes:
            return Const(np.asarray(node.attributes[name], kind), node.name)
    raise ValueError("it has no value")


def _multiplied(node: Node, inputs: list[Const | None]) -> Const:
    a, b = _both(inputs)
    values = np.asarray(a.values * b.values)
    for one, other in ((a, b), (b, a)):
        if one.codes is not None and one.scale is not None and other.codes is None:
            scale = np.asarray(one.scale * other.values, np.float32)
            if np.broadcast_shapes(scale.shape, one.codes.shape) == one.codes.shape:
                return Const(values, one.origin, one.codes, scale)
    return Const(values, a.origin, factors=(a, b))


def _summed(node: Node, inputs: list[Const | None]) -> Const:
    const = _first(inputs)
    axes = axes_of(node, inputs)
    kept = bool(node.attributes.get("keepdims", 1))
    values = const.values.sum(axis=None if axes is None else tuple(axes), keepdims=kept)
    bases = None
    if axes == [0] and not kept and const.factors is not None:
        weights, coefficients = (f.values for f in const.factors)
        if coefficients.size == len(weights):
            bases = weights, coefficients.reshape(-1)
    return Const(np.asarray(values), const.origin, bases=bases)


def _quantised(node: Node, inputs: list[Const | None]) -> Const:
    const, quantiser = _first(inputs), quantiser_of(node, inputs)
    x = np.asarray(const.values, np.float32)
    if not np.isfinite(x).all():
        node.refuse("quantises a weight that is NaN or infinite", "Train again, or load the last checkpoint")
    if quantiser.scale.size > 1 and np.broadcast_shapes(quantiser.scale.shape, x.shape) != x.shape:
        node.refuse(
            f"has scales of the shape {quantiser.scale.shape} for a tensor of the shape {x.shape}",
            "Export the file again",
        )
    codes = quantiser.codes(x)
    scale = quantiser.scale.reshape((1,) * x.ndim) if quantiser.scale.size == 1 else quantiser.scale
    return Const(
        np.asarray(codes * scale, np.float32),
        const.origin,
        codes.astype(np.int8 if quantiser.low >= -128 and quantiser.high < 128 else np.int32),
        np.asarray(scale, np.float32),
    )


def _linear_codes(node: Node, inputs: list[Const | None]) -> Const:
    const = _first(inputs)
    point = inputs[2] if len(inputs) > 2 else None
    quantiser = replace(_linear(node, inputs), scale=_along(node, inputs[1], const.values))
    stored = quantiser.codes(np.asarray(const.values, np.float32)) + quantiser.zero
    kind = np.dtype(np.uint8) if point is None else point.values.dtype
    return Const(stored.astype(np.int64).astype(kind), const.origin)


def _along(node: Node, const: Const | None, values: Array, place: str = "scale") -> Float32:
    """Scales of QuantizeLinear: one, or one for each index of the axis."""
    scale = scale_of(node, const, place)
    if scale.size == 1:
        return scale.reshape((1,) * values.ndim)
    axis = int(node.attributes.get("axis", 1)) % max(1, values.ndim)
    if scale.ndim != 1 or scale.size != values.shape[axis]:
        node.refuse(f"has scales of the shape {scale.shape}", "Use one scale, or one along an axis")
    return scale.reshape([-1 if i == axis else 1 for i in range(values.ndim)])


def _dequantised(node: Node, inputs: list[Const | None]) -> Const:
    const = _first(inputs)
    point = inputs[2] if len(inputs) > 2 else None
    zero = 0 if point is None else one_integer(node, point, "zero point", -(1 << 31), 1 << 31)
    codes = const.values.astype(np.int64) - zero
    scale = _along(node, inputs[1], codes)
    return Const(np.asarray(codes.astype(np.float32) * scale, np.float32), const.origin, codes, scale)


def _clipped(node: Node, inputs: list[Const | None]) -> Const:
    low = node.attributes.get("min") if len(inputs) < 2 or inputs[1] is None else inputs[1].values
    high = node.attributes.get("max") if len(inputs) < 3 or inputs[2] is None else inputs[2].values
    const = _first(inputs)
    return Const(np.asarray(np.clip(const.values, low, high), const.values.dtype), const.origin)


def _reshaped(node: Node, inputs: list[Const | None]) -> Const:
    const = _first(inputs)
    sizes = whole(node, inputs[1], "shape")
    kept = not node.attributes.get("allowzero", 0)
    shape = [const.values.shape[i] if s == 0 and kept else s for i, s in enumerate(sizes)]
    return const.moved(lambda a: a.reshape(shape))


def _flattened(node: Node, inputs: list[Const | None]) -> Const:
    axis = int(node.attributes.get("axis", 1))
    return _first(inputs).moved(lambda a: a.reshape(int(np.prod(a.shape[:axis])), -1))


def _transposed(node: Node, inputs: list[Const | None]) -> Const:
    const, perm = _first(inputs), node.attributes.get("perm")
    moved = const.moved(lambda a: a.transpose(perm))
    if const.bases is not None and const.values.ndim == 2:
        bases, coefficients = const.bases
        turned = bases if perm == [0, 1] else bases.transpose(0, 2, 1)
        moved = replace(moved, bases=(turned, coefficients))
    return moved


def _unsqueezed(node: Node, inputs: list[Const | None]) -> Const:
    axes = axes_of(node, inputs) or []
    return _first(inputs).moved(lambda a: np.expand_dims(a, tuple(axes)))


def _squeezed(node: Node, inputs: list[Const | None]) -> Const:
    axes = axes_of(node, inputs)
    return _first(inputs).moved(lambda a: np.squeeze(a, None if axes is None else tuple(axes)))


def _cast(node: Node, inputs: list[Const | None]) -> Const:
    from xnorhw.frontends.onnx.graph import import_onnx

    onnx = import_onnx()
    const = _first(inputs)
    kind = onnx.helper.tensor_dtype_to_np_dtype(int(node.attributes["to"]))
    return replace(const, values=const.values.astype(kind))


def _plain(function: Callable[..., Any]) -> Callable[[Node, list[Const | None]], Const]:
    def folded(node: Node, inputs: list[Const | None]) -> Const:
        known = [c for c in inputs if c is not None]
        return Const(np.asarray(function(*(c.values for c in known))), known[0].origin)

    return folded


def _gathered(node: Node, inputs: list[Const | None]) -> Const:
    a, b = _both(inputs)
    return Const(np.take(a.values, b.values, axis=int(node.attributes.get("axis", 0))), a.origin)


def _joined(node: Node, inputs: list[Const | None]) -> Const:
    known = [c for c in inputs if c is not None]
    values = np.concatenate([c.values for c in known], axis=int(node.attributes["axis"]))
    return Const(values, known[0].origin)


FOLDED: dict[str, Callable[[Node, list[Const | None]], Const]] = {
    "Constant": _constant,
    "Identity": lambda node, inputs: _first(inputs),
    "Cast": _cast,
    "Transpose": _transposed,
    "Reshape": _reshaped,
    "Flatten": _flattened,
    "Unsqueeze": _unsqueezed,
    "Squeeze": _squeezed,
    "Mul": _multiplied,
    "Div": _plain(lambda a, b: a // b if a.dtype.kind in "iu" else a / b),
    "Add": _plain(np.add),
    "Sub": _plain(np.subtract),
    "Pow": _plain(np.power),
    "Sqrt": _plain(np.sqrt),
    "Reciprocal": _plain(lambda a: np.asarray(1, a.dtype) / a),
    "Neg": _plain(np.negative),
    "Log": _plain(np.log),
    "Ceil": _plain(np.ceil),
    "ReduceSum": _summed,
    "Gather": _gathered,
    "Concat": _joined,
    "Clip": _clipped,
    "Quant": _quantised,
    "IntQuant": _quantised,
    "BipolarQuant": _quantised,
    "QuantizeLinear": _linear_codes,
    "DequantizeLinear": _dequantised,
}
"""The operations that are computed where all they read is constant."""
