"""The table of a network's layers: shapes, precisions, memory, multiply-accumulates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xnorhw.ir.float_graph import (
    BatchNorm,
    BinaryConv2d,
    BinaryLinear,
    BipolarQuant,
    FloatGraph,
    FloatNode,
    FullConv2d,
    FullLinear,
    InputQuant,
    MultiThreshold,
)
from xnorhw.ir.types import IntType

__all__ = ["LayerSummary", "Summary", "summarize", "summary_json", "summary_text"]

FLOAT_BITS = 32


@dataclass(frozen=True)
class LayerSummary:
    """One module: ``shape`` of its output without the batch; ``input_bits`` of what a layer
    multiplies, 0 where it is real; ``binary_bits`` and ``other_bits`` of its parameters; ``macs``
    a frame."""

    name: str
    kind: str
    shape: tuple[int, ...]
    input_bits: int
    binary_bits: int
    other_bits: int
    macs: int


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
        return sum(layer.macs for layer in self.layers if layer.input_bits == 1 and layer.binary_bits)


def summarize(graph: FloatGraph) -> Summary:
    """The summary of a float graph."""
    return Summary(graph.input.shape, tuple(_layer(graph, node) for node in graph.nodes))


def _layer(graph: FloatGraph, node: FloatNode) -> LayerSummary:
    op = node.op
    binary = other = macs = bits = 0
    if isinstance(op, BinaryConv2d | BinaryLinear):
        binary = op.weight.size
        other = sum(FLOAT_BITS * a.size for a in (op.scale, op.bias) if a is not None)
        outputs = node.output.shape
        pixels = outputs[1] * outputs[2] if len(outputs) == 3 else 1
        macs = binary * pixels
        bits = _bits(graph, node)
    elif isinstance(op, FullConv2d | FullLinear):
        other = sum(FLOAT_BITS * a.size for a in (op.weight, op.bias) if a is not None)
        outputs = node.output.shape
        macs = op.weight.size * (outputs[1] * outputs[2] if len(outputs) == 3 else 1)
        bits = _bits(graph, node)
    elif isinstance(op, BatchNorm):
        arrays = [a for a in (op.gamma, op.beta, op.mean, op.var) if a is not None]
        other = sum(FLOAT_BITS * a.size for a in arrays)
    elif isinstance(op, MultiThreshold):
        other = FLOAT_BITS * op.thresholds.size
    elif isinstance(op, InputQuant):
        other = op.type.bits * op.table.size
    name = node.output.name
    return LayerSummary(name, graph.kind(name), node.output.shape, bits, binary, other, macs)


def _bits(graph: FloatGraph, node: FloatNode) -> int:
    """Bits of the activations that ``node`` multiplies; 0 where they are real."""
    name = node.input
    while name != FloatGraph.INPUT_NAME:
        source = graph.node(name)
        if isinstance(source.op, BipolarQuant):
            return 1
        kind: IntType | None = source.op.type if isinstance(source.op, InputQuant) else None
        if kind is not None:
            return kind.bits
        if isinstance(source.op, BinaryConv2d | BinaryLinear | FullConv2d | FullLinear | BatchNorm):
            return 0
        name = source.input
    return graph.input.type.bits


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
