"""The nodes that make integers: Quant, BipolarQuant, MultiThreshold, QuantizeLinear."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from xnorhw.frontends.onnx.builder import Builder, Scaled
from xnorhw.frontends.onnx.constants import Const, quantiser_of
from xnorhw.frontends.onnx.flow import Flow, Pixels, Stored
from xnorhw.frontends.onnx.graph import Node
from xnorhw.frontends.onnx.quantisers import Quantiser, thresholds
from xnorhw.nn.activations import Grid, QuantReLU
from xnorhw.nn.foreign import MultiThreshold
from xnorhw.nn.quantizers import InputQuant, Sign

__all__ = ["MOST_BITS", "count", "note_of", "quantise", "store", "unstore"]

Float32 = npt.NDArray[np.float32]
MOST_BITS = 8


def note_of(node: Node) -> dict[str, Any]:
    """What xnorhw wrote behind the module's class in a node's doc_string."""
    _, _, text = node.note.partition(" ")
    try:
        found = json.loads(text) if text.startswith("{") else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def quantise(builder: Builder, node: Node, source: Flow | Pixels, quantiser: Quantiser) -> Flow:
    """What a quantiser makes of ``source``; its scale goes to the next layer."""
    scale = _one_scale(node, quantiser)
    if isinstance(source, Pixels):
        made = _scaled(quantiser, scale).codes(source.values)
        return _input_table(builder, node, source, made, quantiser.low, quantiser.high, float(scale))
    if _is_identity(builder, source, quantiser, scale):
        return source
    own = _own(builder, node, source, quantiser, scale)
    if own is not None:
        return own
    flow = builder.plain(node, source)
    if quantiser.bipolar:
        made_flow = builder.add(node, Sign(), flow, flow)
        return replace(made_flow, scale=float(scale))
    if quantiser.high - quantiser.low >= 1 << MOST_BITS:
        grid = _grid(quantiser, scale)
        if grid is None:
            node.refuse(
                f"makes {quantiser.high - quantiser.low + 1} codes, and activations here have 1 to 8 bits",
                "Use 8 bits or fewer, or a signed quantiser with a power of two as its scale",
            )
        return builder.add(node, grid, flow, flow)
    table = _table(node, _scaled(quantiser, scale))
    made_flow = builder.add(node, MultiThreshold(table, 1.0, float(quantiser.low)), flow, flow)
    return replace(made_flow, scale=float(scale))


def _scaled(quantiser: Quantiser, scale: np.float32) -> Quantiser:
    return replace(quantiser, scale=np.array([scale], np.float32))


def _one_scale(node: Node, quantiser: Quantiser) -> np.float32:
    found = np.unique(quantiser.scale)
    if found.size != 1:
        node.refuse(
            f"has {found.size} scales, one for each channel; the codes of one tensor share one scale here",
            "Quantise activations with one scale for the tensor; weights may have one for each output",
        )
    return np.float32(found[0])


def _table(node: Node, quantiser: Quantiser) -> Float32:
    table = thresholds(quantiser)
    if not np.isfinite(table).all():
        node.refuse(
            f"has the scale {float(quantiser.scale.reshape(-1)[0]):g}, with which no finite number reaches "
            "its largest code",
            "Train again, or use fewer bits",
        )
    return table[None]


def _is_identity(builder: Builder, source: Flow, quantiser: Quantiser, scale: np.float32) -> bool:
    """True where the network's input consists of values that the quantiser leaves as they are."""
    given = builder.values.get(":given")
    if source.name != "input" or source.scale != 1.0 or given is None:
        return False
    kind = given.type
    codes = np.array([-1, 1]) if kind.is_bipolar else np.arange(kind.min, kind.max + 1)
    values = (codes * given.scale).astype(np.float32)
    made = _scaled(quantiser, scale).codes(values) * scale
    return bool(np.array_equal(made.astype(np.float32), values))


def _own(builder: Builder, node: Node, source: Flow, quantiser: Quantiser, scale: np.float32) -> Flow | None:
    """The module that xnorhw wrote this node for, where the node says so and computes the same."""
    kind, note = node.note.split(" ")[0], note_of(node)
    if kind == "Grid" and source.scale == 1.0:
        grid = _grid(quantiser, scale)
        return None if grid is None else builder.add(node, grid, source, source)
    factor = note.get("scale")
    if kind != "QuantReLU" or not isinstance(factor, float) or not 1e-30 < factor < 1e30:
        return None
    ends = (quantiser.low, quantiser.zero) == (0, 0)
    plain = float(scale) == 1.0 and ends and quantiser.rounding in ("ROUND", "HALF_EVEN")
    bits = (quantiser.high + 1).bit_length() - 1
    if not plain or quantiser.high + 1 != 1 << bits or not 1 <= bits <= MOST_BITS:
        return None
    module = QuantReLU(bits, factor)
    gain = builder.last(source)
    if source.scale != 1.0 or module.gain == 1.0:
        # of integers the gain is the worth; one of 1 is not written
        known = source.scale == module.gain
        return replace(builder.add(node, module, source, source), scale=1.0) if known else None
    if not isinstance(gain, Scaled) or gain.divide or gain.bias is not None or gain.scale is None:
        return None
    if gain.scale.size != 1 or float(gain.scale[0]) != module.gain:
        return None
    if builder.steps[-1].name != source.name:
        return None
    # the module multiplies by the gain itself
    step = builder.steps.pop()
    del builder.made[step.name]
    return builder.add(node, module, replace(source, name=step.inputs[0]), source)


def _grid(quantiser: Quantiser, scale: np.float32) -> Grid | None:
    mantissa, exponent = math.frexp(float(scale))
    bits = (quantiser.high + 1).bit_length()
    whole = mantissa == 0.5 and 0 <= 1 - exponent <= 30 and 2 <= bits <= 24
    full = quantiser.high + 1 == 1 << (bits - 1) and quantiser.low == -(1 << (bits - 1))
    if not (whole and full and quantiser.zero == 0 and quantiser.rounding in ("ROUND", "HALF_EVEN")):
        return None
    return Grid(bits, 1 - exponent)


def count(builder: Builder, node: Node, source: Flow | Pixels, const: Const) -> Flow:
    """A MultiThreshold: how many thresholds a value reaches, as integers of a worth."""
    table = np.sort(np.asarray(const.values, np.float32), axis=-1)
    flow = source.flow if isinstance(source, Pixels) else source
    if table.ndim != 2 or not table.size:
        node.refuse(f"has thresholds of the shape {table.shape}", "Export the file again")
    if np.isnan(table).any() or not np.isfinite(table).all():
        node.refuse("has thresholds that are NaN or infinite", "Export the file again")
    if table.shape[0] not in (1, flow.shape[0]):
        node.refuse(
            f"has thresholds for {table.shape[0]} channels, and its input has {flow.shape[0]}",
            "Export the file again",
        )
    _check_layout(node, flow, table)
    if flow.order is not None and table.shape[0] > 1:
        table = table[np.argsort(flow.order)]
    step = float(np.float32(node.attributes.get("out_scale", 1.0)))
    bias = float(np.float32(node.attributes.get("out_bias", 0.0)))
    out_scale, out_bias, worth = _integers(node, step, bias)
    if isinstance(source, Pixels):
        counted = (source.values[:, :, None] >= table[:, None, :]).sum(axis=-1)
        made = (counted * out_scale + out_bias).astype(np.float32)
        low, high = int(out_bias), int(out_bias + out_scale * table.shape[1])
        return _input_table(builder, node, source, made, low, high, worth)
    flow = builder.plain(node, flow)
    module: nn.Module = MultiThreshold(table, out_scale, out_bias)
    if not table.any() and table.shape == (1, 1) and (out_scale, out_bias) == (2.0, -1.0):
        module = Sign()
    return replace(builder.add(node, module, flow, flow), scale=worth)


def _integers(node: Node, step: float, bias: float) -> tuple[float, float, float]:
    """(out_scale, out_bias, worth): whole numbers, and what one of them is worth."""
    if not (math.isfinite(step) and math.isfinite(bias) and step > 0):
        node.refuse(
            f"has out_scale {step:g} and out_bias {bias:g}; the scale is finite and positive",
            "Export the network again",
        )
    for part in (1.0, 2.0):
        worth = 1.0 if (step, bias) == (np.rint(step), np.rint(bias)) else step / part
        whole = step / worth, bias / worth
        if all(v == np.rint(v) and abs(v) < 1 << 16 for v in whole):
            divisor = math.gcd(*(int(v) for v in whole))
            return whole[0] / divisor, whole[1] / divisor, worth * divisor
    node.refuse(
        f"makes {step:g} times a count and {bias:g}: no multiples of one number",
        "Choose out_bias as a multiple of half of out_scale",
    )


def _check_layout(node: Node, flow: Flow, table: Float32) -> None:
    layout = str(node.attributes.get("data_layout", ""))
    if table.shape[0] == 1 or not layout:
        return
    if layout not in ("NC", "NCHW", "NHWC", "NCW", "NWC") or len(layout) != flow.rank:
        node.refuse(f"has the layout {layout!r} for {flow.rank} axes", "Export the file again")
    if (layout[-1] == "C") != (flow.last or flow.rank == 2):
        node.refuse(
            f"takes its channels as {layout}, and they lie elsewhere here", "Export it with NCHW tensors"
        )


def _input_table(
    builder: Builder, node: Node, source: Pixels, made: Float32, low: int, high: int, worth: float
) -> Flow:
    """The table pixel -> code as the network's first module, and the flatten that stood before it."""
    if (made == made[:1]).all() and not note_of(node):
        made = made[:1]
    bits, signed = _width(node, low, high, made)
    note = note_of(node).get("scale")
    told = note if isinstance(note, float) and note > 0 else worth
    module = InputQuant(made.astype(np.int64), bits=bits, signed=signed, scale=told)
    flow = source.flow
    start = replace(flow, name="input", shape=builder.values[":given"].shape)
    flow_of = builder.add(node, module, start, replace(start, scale=worth))
    if source.flat:
        flat = builder.add(node, nn.Flatten(), flow_of, flow, behind="_flatten")
        return replace(flat, scale=worth)
    return replace(flow, name=flow_of.name, scale=worth, whole=True)


def _width(node: Node, low: int, high: int, made: Float32) -> tuple[int, bool]:
    if (low, high) == (-1, 1) and not (made == 0).any():
        return 1, True
    kind = str(node.attributes.get("out_dtype", ""))
    if kind.lstrip("U").startswith("INT") and kind.lstrip("U")[3:].isdigit():
        bits = int(kind.lstrip("U")[3:])
        if 1 <= bits <= MOST_BITS and _holds(bits, not kind.startswith("U"), low, high):
            return bits, not kind.startswith("U")
    # a zero point may leave codes that no pixel makes
    for least, most in ((low, high), (int(made.min()), int(made.max()))):
        signed = least < 0
        for bits in range(2 if signed else 1, MOST_BITS + 1):
            if _holds(bits, signed, least, most):
                return bits, signed
    node.refuse(
        f"makes codes from {low} to {high} of the input, and a code has 1 to 8 bits",
        "Quantise the input to 8 bits",
    )


def _holds(bits: int, signed: bool, low: int, high: int) -> bool:
    least, most = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    return least <= low and high <= most


def store(node: Node, source: Flow | Pixels, inputs: list[Const | None]) -> Stored:
    """A QuantizeLinear of activations, which waits for its DequantizeLinear."""
    return Stored(source, quantiser_of(node, inputs), node)


def unstore(builder: Builder, node: Node, stored: Stored, inputs: list[Const | None]) -> Flow:
    """The DequantizeLinear: the same scale and zero point, else it says something else."""
    back = quantiser_of(replace(node, op="QuantizeLinear"), inputs)
    if not np.array_equal(back.scale, stored.quantiser.scale) or back.zero != stored.quantiser.zero:
        node.refuse(
            f"multiplies by another scale, or subtracts another zero point, than {stored.node.name} "
            "(QuantizeLinear) took",
            "Export the network again: a pair of the two shares scale and zero point",
        )
    return quantise(builder, stored.node, stored.flow, stored.quantiser)
