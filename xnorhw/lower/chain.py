"""The real modules between an integer tensor and a quantiser, run on integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.ir.errors import ModelError
from xnorhw.ir.evaluator import Rounding
from xnorhw.ir.float_graph import BatchNorm, MaxPool2d
from xnorhw.ir.int_graph import IntNode, Real, Reshape, Tensor
from xnorhw.lower.context import Context
from xnorhw.lower.ranges import Range
from xnorhw.lower.search import ChainValues, Sums

__all__ = ["Chain", "is_quantiser", "nodes_behind_integers"]

Shape = tuple[int, int, int]


def is_quantiser(node: IntNode) -> bool:
    """True for a module not yet lowered that makes integers."""
    return isinstance(node.op, Real) and node.output.type is not None


def nodes_behind_integers(made: dict[str, IntNode], last: IntNode) -> tuple[str, list[IntNode]]:
    """(the integer tensor that ``last`` hangs on, the nodes from there to ``last``).

    ``made`` maps a tensor to its node.
    """
    nodes = [last]
    while nodes[0].input in made and made[nodes[0].input].output.type is None:
        nodes.insert(0, made[nodes[0].input])
    return nodes[0].input, nodes


class Chain:
    """The nodes from one integer tensor to a quantiser.

    With a batch norm behind a flatten, which normalises every position of the map by itself,
    each position is a channel of its own: ``features`` is True then, ``map_shape`` the map
    in front of the flatten.
    """

    def __init__(self, context: Context, source: Tensor, reach: Range, nodes: list[IntNode]) -> None:
        self.context = context
        self.source = source
        self.nodes = nodes
        self.quantiser = nodes[-1].output
        self.features = False
        self.map_shape: Shape = (source.shape[0], 1, 1)
        shape, flat = source.shape, False
        for node in nodes:
            if isinstance(node.op, Reshape):
                flat = flat or shape[1:] != (1, 1)
                self.map_shape = shape if flat else self.map_shape
            elif flat and isinstance(node.op, Real) and isinstance(context.op(node.op.node), BatchNorm):
                self.features = True
            shape = node.output.shape
        if not self.features:
            self.map_shape = (source.shape[0], 1, 1)
        pixels = self.map_shape[1] * self.map_shape[2]
        self.low, self.high = np.repeat(reach[0], pixels), np.repeat(reach[1], pixels)

    @property
    def pools(self) -> list[tuple[int, MaxPool2d]]:
        """The max-pools among the nodes, with their places."""
        found = []
        for i, node in enumerate(self.nodes):
            if isinstance(node.op, Real) and not node.op.after_sum:
                op = self.context.op(node.op.node)
                if isinstance(op, MaxPool2d):
                    found.append((i, op))
        return found

    @property
    def codes(self) -> tuple[int, int]:
        """The smallest and the largest code; a sign has 0 and 1."""
        kind = self.quantiser.type
        assert kind is not None
        return (0, 1) if kind.is_bipolar else (kind.min, kind.max)

    @property
    def normalised(self) -> bool:
        """True where a batch norm is among the nodes."""
        return any(
            isinstance(n.op, Real) and not n.op.after_sum and self.context.is_batch_norm(n.op.node)
            for n in self.nodes
        )

    def evaluate(self, sums: Sums, rounding: Rounding = "module") -> ChainValues:
        """Run the modules on sums [R, C]; pools are passed by and their inputs kept."""
        rows = len(sums)
        x: npt.NDArray[Any] = sums.reshape(rows, *self.map_shape).astype(np.float64)
        pools = {i for i, _ in self.pools}
        at_pools = []
        for i, node in enumerate(self.nodes):
            if isinstance(node.op, Reshape):
                x = x.reshape(rows, -1, 1, 1) if self.features else x
                continue
            if i in pools:
                at_pools.append(x.reshape(rows, -1))
                continue
            assert isinstance(node.op, Real)
            x = self.context.run_real(node.op, x, rounding)
            finite = np.isfinite(x).reshape(rows, -1)
            if not finite.all():
                row, channel = np.argwhere(~finite)[0]
                raise ModelError(
                    f"channel {channel} gives {x.reshape(rows, -1)[row, channel]} at the sum "
                    f"{sums[row, channel]}",
                    module=node.op.node,
                    remedy="Look for an overflow or a variance of zero in the channel's batch norm",
                )
        x = x.reshape(rows, -1)
        kind = self.quantiser.type
        assert kind is not None
        return ChainValues(x > 0 if kind.is_bipolar else x, tuple(at_pools))
