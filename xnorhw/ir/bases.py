"""Where thresholds around 0 are read as bases, sums of -1 and +1, and where as plain integers."""

from __future__ import annotations

from xnorhw.ir.float_graph import (
    BasesConv2d,
    BasesLinear,
    BasesQuant,
    BinaryConv2d,
    BinaryLinear,
    Flatten,
    FloatGraph,
    FloatNode,
    MaxPool2d,
    MultiThreshold,
)

__all__ = ["bases_of"]


def bases_of(graph: FloatGraph, node: FloatNode) -> BasesQuant | None:
    """The bases that ``node`` makes, or None where it makes none.

    -1, 0 and +1 are half of A_1 + A_2 with A_n = -1 or +1, which layers with binary weights
    multiply bit by bit.  Whatever else reads such values reads integers.  The shifts of
    thresholds that are bases are not kept here: they are 0.
    """
    op = node.op
    if isinstance(op, BasesQuant):
        return op
    if not isinstance(op, MultiThreshold) or op.bases is None:
        return None
    if not _read_by_layers(graph, node.output.name):
        return None
    betas, frac = op.bases
    return BasesQuant(op.thresholds[0] * 0, betas, frac)


def _read_by_layers(graph: FloatGraph, name: str) -> bool:
    """True where binary layers alone read the value, behind max-pools and a flatten at most."""
    users = graph.users(name)
    if not users or name == graph.output:
        return False
    for user in users:
        op = user.op
        if isinstance(op, MaxPool2d | Flatten):
            if not _read_by_layers(graph, user.output.name):
                return False
        elif isinstance(op, BinaryConv2d):
            if op.pad_value != 0 and op.geometry.pads.any():
                return False
        elif not isinstance(op, BinaryLinear | BasesConv2d | BasesLinear):
            return False
    return True
