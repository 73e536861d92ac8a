"""A float graph -> QONNX, so that other programs of the field can read and draw it.

Every operation is written so that it computes what our module computes: sums of integers
first, the scale behind them.  A node's name is the PyTorch module's, its doc_string the class
and, as JSON, what ONNX has no place for; with it the file is read back as the same network.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from xnorhw.frontends.model_file import write
from xnorhw.frontends.onnx.export_layers import product
from xnorhw.frontends.onnx.writer import Writer, int_type, layout, window
from xnorhw.ir import float_graph as fg
from xnorhw.ir.errors import ModelError

__all__ = ["export_onnx", "onnx_model"]


def export_onnx(graph: fg.FloatGraph, path: str | os.PathLike[str]) -> None:
    """Write ``graph`` to ``path`` as QONNX.  The same graph gives the same bytes.

    ModelError: onnx is not installed, an operation that ONNX cannot say exactly, a path that
    cannot be written.
    """
    write(Path(path), onnx_model(graph).SerializeToString(deterministic=True))


def onnx_model(graph: fg.FloatGraph) -> Any:
    """The same as an onnx.ModelProto, of one frame."""
    writer = Writer(graph)
    for node in graph.nodes:
        write_node = _WRITERS.get(type(node.op))
        if write_node is None:
            why, way_out = _WITHOUT.get(type(node.op), ("", "Export networks of the layers named there"))
            raise ModelError(
                f"({graph.kind(node.output.name)}) has no exact form in QONNX{why}",
                module=node.output.name,
                remedy=f"{way_out}; docs/import-onnx.md. A build of the model file itself needs no export",
            )
        write_node(writer, node)
    return writer.model()


_WITHOUT: dict[type, tuple[str, str]] = {
    fg.ScaledBinaryConv2d: (
        ": the scale of each output pixel is computed from the input, and QONNX has constant ones",
        'Use xnn.Sign and xnn.BinaryConv2d(..., scale="channel"), XNOR-Net without the input\'s scales, and '
        "train again",
    ),
}
"""Why an operation cannot be exported, and what to do instead."""


def _input_quant(w: Writer, node: fg.FloatNode) -> None:
    op, name = node.op, node.output.name
    assert isinstance(op, fg.InputQuant)
    least, most = int(op.table.min()), int(op.table.max())
    if op.bits == 1:
        least, most = -1, 1
    steps = np.diff(op.table, axis=1)
    falls = np.any(steps < 0, axis=1)
    if least == most or bool(np.any(falls & np.any(steps > 0, axis=1))):
        raise ModelError(
            "has a table that rises and falls, or is the same for all pixels, and a count of thresholds does "
            "not",
            module=name,
            remedy="Save the network without its InputQuant and with the codes as its input, "
            "xnorhw.Input(shape, bits=..., signed=...), and export that",
        )
    step = 2 if op.bits == 1 else 1
    wanted = np.arange(least + step, most + 1, step)
    # the first pixel with at least that code; past 255 where there is none
    table = (op.table[:, :, None] < wanted).sum(axis=1)
    read = node.input
    if falls.any():
        # where codes fall, minus the last pixel that has one
        table = np.where(falls[:, None], table - 255, table)
        turned = np.where(falls, np.float32(-1), np.float32(1))
        factor = w.constant(f"{name}:direction", w.per_channel(node, turned))
        read = w.emit("Mul", f"{name}_direction", [read, factor], f"{name}:turned")
    kind = "BIPOLAR" if op.bits == 1 else int_type(op.bits, op.signed)
    limits = w.constant(f"{name}:thresholds", table)
    note = w.note(node, scale=float(op.scale))
    w.emit("MultiThreshold", name, [read, limits], name, note,
           out_dtype=kind, out_scale=float(step), out_bias=float(least), **layout(w, node))  # fmt: skip
    w.types[name] = kind


def _batch_norm(w: Writer, node: fg.FloatNode) -> None:
    op, name = node.op, node.output.name
    assert isinstance(op, fg.BatchNorm)
    extra: dict[str, Any] = {"eps": op.eps}
    extra.update({field: False for field, a in (("weight", op.gamma), ("bias", op.beta)) if a is None})
    arrays = {
        "weight": np.ones_like(op.mean) if op.gamma is None else op.gamma,
        "bias": np.zeros_like(op.mean) if op.beta is None else op.beta,
        "running_mean": op.mean,
        "running_var": op.var,
    }
    inputs = [node.input, *(w.constant(f"{name}:{field}", array) for field, array in arrays.items())]
    w.emit("BatchNormalization", name, inputs, name, w.note(node, **extra), epsilon=op.eps)


def _bipolar(w: Writer, node: fg.FloatNode) -> None:
    op, name = node.op, node.output.name
    assert isinstance(op, fg.BipolarQuant)
    scale = w.constant(f"{name}:scale", np.float32(op.scale))
    w.emit("BipolarQuant", name, [node.input, scale], name, w.note(node))
    if op.scale == 1.0:
        w.types[name] = "BIPOLAR"


def _quant_relu(w: Writer, node: fg.FloatNode) -> None:
    op, name = node.op, node.output.name
    assert isinstance(op, fg.QuantRelu)
    read, gain = node.input, np.float32(1.0 / op.scale)
    if gain != 1:
        factor = w.constant(f"{name}:gain", gain)
        read = w.emit("Mul", f"{name}_gain", [read, factor], f"{name}:steps")
    made = {"scale": np.float32(1), "zero": np.float32(0), "bits": np.float32(op.bits), "signed": 0}
    w.quantiser(read, name, name, w.note(node, scale=op.scale), made)
    w.types[name] = int_type(op.bits, False)


def _grid(w: Writer, node: fg.FloatNode) -> None:
    op, name = node.op, node.output.name
    assert isinstance(op, fg.Grid)
    made = {"scale": math.ldexp(1.0, -op.frac), "zero": 0.0, "bits": float(op.bits), "signed": 1}
    w.quantiser(node.input, name, name, w.note(node), made)


def _multi_threshold(w: Writer, node: fg.FloatNode) -> None:
    op, name = node.op, node.output.name
    assert isinstance(op, fg.MultiThreshold)
    kind = op.type
    text = "BIPOLAR" if kind.is_bipolar else int_type(kind.bits, kind.signed)
    limits = w.constant(f"{name}:thresholds", op.thresholds)
    w.emit("MultiThreshold", name, [node.input, limits], name, w.note(node),
           out_dtype=text, out_scale=op.out_scale, out_bias=op.out_bias, **layout(w, node))  # fmt: skip
    w.types[name] = text


def _bases_quant(w: Writer, node: fg.FloatNode) -> None:
    op, name = node.op, node.output.name
    assert isinstance(op, fg.BasesQuant)
    half, last = w.constant(f"{name}:half", [[0.5]]), len(op.shifts) - 1
    betas = np.ldexp(op.betas.astype(np.float64), -op.frac)
    whole, total = w.note(node, frac=op.frac), ""
    for k, (shift, beta) in enumerate(zip(op.shifts, betas, strict=True)):
        moved = [node.input, w.constant(f"{name}:shift_{k}", np.float32(shift))]
        read = w.emit("Add", f"{name}_shift_{k}", moved, f"{name}:moved_{k}", w.note(node))
        read = w.emit("MultiThreshold", f"{name}_sign_{k}", [read, half], f"{name}:sign_{k}", w.note(node),
                      out_dtype="BIPOLAR", out_scale=2.0, out_bias=-1.0, **layout(w, node))  # fmt: skip
        w.types[read] = "BIPOLAR"
        alone = last == 0
        weighed = [read, w.constant(f"{name}:beta_{k}", np.float32(beta))]
        part = w.emit("Mul", name if alone else f"{name}_beta_{k}", weighed,
                      name if alone else f"{name}:part_{k}", whole if alone else w.note(node))  # fmt: skip
        if k:
            ends = k == last
            part = w.emit("Add", name if ends else f"{name}_sum_{k}", [total, part],
                          name if ends else f"{name}:sum_{k}", whole if ends else w.note(node))  # fmt: skip
        total = part


def _affine(w: Writer, node: fg.FloatNode) -> None:
    op, name = node.op, node.output.name
    assert isinstance(op, fg.Affine)
    steps: list[Callable[[str, str, str], str]] = []
    if op.scale is not None:
        scale = w.constant(f"{name}:scale", w.per_channel(node, op.scale))
        kind = "Div" if op.divide else "Mul"
        steps.append(lambda label, x, made: w.emit(kind, label, [x, scale], made, w.note(node)))
    if op.bias is not None:
        bias = w.constant(f"{name}:bias", w.per_channel(node, op.bias))
        steps.append(lambda label, x, made: w.emit("Add", label, [x, bias], made, w.note(node)))
    w.chain(node, steps or [lambda label, x, made: w.emit("Identity", label, [x], made)])


def _relu(w: Writer, node: fg.FloatNode) -> None:
    w.emit("Relu", node.output.name, [node.input], node.output.name, w.note(node))


def _hardtanh(w: Writer, node: fg.FloatNode) -> None:
    op, name = node.op, node.output.name
    assert isinstance(op, fg.Hardtanh)
    limits = [w.constant(f"{name}:low", np.float32(op.low)), w.constant(f"{name}:high", np.float32(op.high))]
    w.emit("Clip", name, [node.input, *limits], name, w.note(node))


def _max_pool(w: Writer, node: fg.FloatNode) -> None:
    op, name = node.op, node.output.name
    assert isinstance(op, fg.MaxPool2d)
    geometry = op.geometry
    w.emit("MaxPool", name, [node.input], name, w.note(node), dilations=list(geometry.dilation),
           ceil_mode=int(geometry.ceil_mode), **window(geometry))  # fmt: skip


def _average_pool(w: Writer, node: fg.FloatNode) -> None:
    op, name = node.op, node.output.name
    assert isinstance(op, fg.AvgPool2d)
    w.emit("AveragePool", name, [node.input], name, w.note(node), count_include_pad=1, **window(op.geometry))


def _add(w: Writer, node: fg.FloatNode) -> None:
    name = node.output.name
    read = node.input
    for i, other in enumerate(node.others):
        last = i == len(node.others) - 1
        label = name if i == 0 else f"{name}_{i}"
        read = w.emit("Add", label, [read, other], name if last else f"{name}:{i}", w.note(node))


def _concat(w: Writer, node: fg.FloatNode) -> None:
    w.emit("Concat", node.output.name, list(node.inputs), node.output.name, w.note(node), axis=1)


def _flatten(w: Writer, node: fg.FloatNode) -> None:
    w.emit("Flatten", node.output.name, [node.input], node.output.name, w.note(node), axis=1)


_WRITERS: dict[type, Callable[[Writer, fg.FloatNode], None]] = {
    fg.InputQuant: _input_quant,
    **dict.fromkeys((fg.BinaryConv2d, fg.BinaryLinear, fg.BasesConv2d, fg.BasesLinear), product),
    **dict.fromkeys((fg.FullConv2d, fg.FullLinear), product),
    fg.BatchNorm: _batch_norm,
    fg.BipolarQuant: _bipolar,
    fg.QuantRelu: _quant_relu,
    fg.Grid: _grid,
    fg.BasesQuant: _bases_quant,
    fg.MultiThreshold: _multi_threshold,
    fg.Affine: _affine,
    fg.Relu: _relu,
    fg.Hardtanh: _hardtanh,
    fg.MaxPool2d: _max_pool,
    fg.AvgPool2d: _average_pool,
    fg.Add: _add,
    fg.Concat: _concat,
    fg.Flatten: _flatten,
}
