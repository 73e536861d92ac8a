"""The table of a network's layers: shapes, precisions, memory, multiply-accumulates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xnorhw.ir.float_graph import (
    Add,
    Affine,
    BasesConv2d,
    BasesLinear,
    BasesQuant,
    BatchNorm,
    BinaryConv2d,
    BinaryLinear,
    BipolarQuant,
    Concat,
    Flatten,
    FloatGraph,
    FloatNode,
    FullConv2d,
    FullLinear,
    Grid,
    Hardtanh,
    InputQuant,
    MaxPool2d,
    MultiThreshold,
    QuantRelu,
    Relu,
    ScaledBinaryConv2d,
)

__all__ = ["LayerSummary", "Summary", "summarize", "summary_json", "summary_text"]

FLOAT_BITS = 32
COEFFICIENT_BITS = 32
BINARY = (BinaryConv2d, BinaryLinear, BasesConv2d, BasesLinear, ScaledBinaryConv2d)


@dataclass(frozen=True)
class LayerSummary:
    """One module: ``shape`` of its output without the batch; ``input_bits`` of what a layer
    multiplies, 0 where it is real; ``binary_bits`` and ``other_bits`` of its parameters; ``macs``
    a frame; ``weight_bits`` of one of its weights (the number of bases), 0 without any."""

    name: str
    kind: str
    shape: tuple[int, ...]
    input_bits: int
    binary_bits: int
    other_bits: int
    macs: int
    weight_bits: int = 0


@dataclass(frozen=True)
class Summary:
    """A network's layers and totals.

    ``binarised_macs`` are those whose weights and activations both have one bit.
    """

    input_shape: tuple[int, ...]
    layers: tuple[LayerSummary, ...]

    @property
    def binary_bits(self) -> int:
        """One-bit parameters."""
        return sum(layer.binary_bits for layer in self.layers)

    @property
    def other_bits(self) -> int:
        """Bits of every other parameter: scales, biases, batch norms."""
        return sum(layer.other_bits for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one frame."""
        return sum(layer.macs for layer in self.layers)

    @property
    def binarised_macs(self) -> int:
        """Multiply-accumulates of one-bit weights and one-bit activations."""
        return sum(x.macs for x in self.layers if x.input_bits == 1 and x.weight_bits == 1)


def summarize(graph: FloatGraph) -> Summary:
    """The summary of a float graph."""
    return Summary(graph.input.shape, tuple(_layer(graph, node) for node in graph.nodes))


def _layer(graph: FloatGraph, node: FloatNode) -> LayerSummary:
    op = node.op
    binary = other = macs = bits = weight_bits = 0
    if isinstance(op, BINARY):
        binary = op.weight.size
        other = sum(FLOAT_BITS * a.size for a in (op.scale, op.bias) if a is not None)
        if isinstance(op, BasesConv2d | BasesLinear):
            other += COEFFICIENT_BITS * op.coefficients.size
        outputs = node.output.shape
        pixels = outputs[1] * outputs[2] if len(outputs) == 3 else 1
        weight_bits = len(op.weight) if isinstance(op, BasesConv2d | BasesLinear) else 1
        macs = binary // weight_bits * pixels
        bits = 1 if isinstance(op, ScaledBinaryConv2d) else _bits(graph, node.input)
    elif isinstance(op, FullConv2d | FullLinear):
        other = sum(FLOAT_BITS * a.size for a in (op.weight, op.bias) if a is not None)
        outputs = node.output.shape
        weight_bits = FLOAT_BITS
        macs = op.weight.size * (outputs[1] * outputs[2] if len(outputs) == 3 else 1)
        bits = _bits(graph, node.input)
    elif isinstance(op, BatchNorm):
        arrays = [a for a in (op.gamma, op.beta, op.mean, op.var) if a is not None]
        other = sum(FLOAT_BITS * a.size for a in arrays)
    elif isinstance(op, MultiThreshold):
        other = FLOAT_BITS * op.thresholds.size
    elif isinstance(op, Affine):
        other = sum(FLOAT_BITS * a.size for a in (op.scale, op.bias) if a is not None)
    elif isinstance(op, InputQuant):
        other = op.type.bits * op.table.size
    elif isinstance(op, BasesQuant):
        other = FLOAT_BITS * op.shifts.size + COEFFICIENT_BITS * op.betas.size
    name = node.output.name
    return LayerSummary(name, graph.kind(name), node.output.shape, bits, binary, other, macs, weight_bits)


def _bits(graph: FloatGraph, name: str) -> int:
    """Bits of the activations that the value ``name`` holds; 0 where they are real."""
    if name == FloatGraph.INPUT_NAME:
        return graph.input.type.bits
    node = graph.node(name)
    op = node.op
    if isinstance(op, BipolarQuant):
        return 1
    if isinstance(op, InputQuant | MultiThreshold):
        return op.type.bits
    if isinstance(op, QuantRelu | Grid):
        return op.bits
    if isinstance(op, BasesQuant):
        return len(op.shifts)
    if isinstance(op, Add | Concat):
        bits = [_bits(graph, read) for read in node.inputs]
        return 0 if 0 in bits else max(bits) + isinstance(op, Add)
    return _bits(graph, node.input) if isinstance(op, MaxPool2d | Flatten | Relu | Hardtanh) else 0


def summary_json(summary: Summary) -> dict[str, Any]:
    """The same for machines; bits are numbers of bits, MACs a frame."""
    return {
        "input_shape": list(summary.input_shape),
        "layers": [{**vars(layer), "shape": list(layer.shape)} for layer in summary.layers],
        "binary_bits": summary.binary_bits,
        "other_bits": summary.other_bits,
        "macs": summary.macs,
        "binarised_macs": summary.binarised_macs,
    }


def summary_text(summary: Summary) -> str:
    """The table as text; its widths follow its contents."""
    rows = [("layer", "kind", "output", "input bits", "1-bit params", "other params", "MACs")]
    rows.append(("input", "", _shape(summary.input_shape), "", "", "", ""))
    for x in summary.layers:
        rows.append(
            (
                x.name,
                x.kind,
                _shape(x.shape),
                str(x.input_bits) if x.input_bits else "",
                f"{x.binary_bits:,}" if x.binary_bits else "",
                f"{x.other_bits // 8:,} B" if x.other_bits else "",
                f"{x.macs:,}" if x.macs else "",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(_cells(row, widths)).rstrip() for row in rows]
    lines.insert(1, "-" * len(lines[0]))
    share = 100 * summary.binarised_macs / summary.macs if summary.macs else 0.0
    lines += [
        "",
        f"weights      {summary.binary_bits:,} of 1 bit: {_bytes(summary.binary_bits / 8)} "
        f"({_bytes(4 * summary.binary_bits)} in float32)",
        f"others       {_bytes(summary.other_bits / 8)} "
        "(full-precision weights, scales, biases, batch norms, tables)",
        f"MACs         {summary.macs:,} a frame, {share:.1f} % of them 1 bit x 1 bit",
    ]
    return "\n".join(lines)


def _cells(row: tuple[str, ...], widths: list[int]) -> list[str]:
    # names and shapes to the left, numbers to the right
    return [
        cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
    ]


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _bytes(size: float) -> str:
    return f"{size / 1024:,.1f} KiB" if size >= 1024 else f"{size:,.0f} B"
