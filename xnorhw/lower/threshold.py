"""Fold everything between a layer's sum and its sign into one integer threshold a channel."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.ir.errors import ModelError
from xnorhw.ir.evaluator import Rounding
from xnorhw.ir.float_graph import BatchNorm, BipolarQuant, MaxPool2d, MultiThreshold, Quant
from xnorhw.ir.int_graph import (
    FullProduct,
    IntGraph,
    IntNode,
    IntOp,
    MaxPool,
    Product,
    Real,
    Reshape,
    RoundingDependent,
    Tensor,
    Threshold,
)
from xnorhw.ir.types import BIPOLAR
from xnorhw.lower.context import Context
from xnorhw.lower.search import ChainValues, Steps, Sums, find_steps
from xnorhw.lower.start import reachable_range

__all__ = ["fold_thresholds"]


def fold_thresholds(context: Context, graph: IntGraph) -> IntGraph:
    """Product -> (scale, bias, pools, batch norms, ...) -> Sign becomes Threshold -> pools.

    A max-pool moves behind the threshold: it is the maximum of the bits where the part of
    the chain behind the pool does not decrease, else their minimum.
    """
    nodes: list[IntNode] = []
    dependent: list[RoundingDependent] = []
    rest = list(graph.nodes)
    while rest:
        node = rest.pop(0)
        nodes.append(node)
        if not isinstance(node.op, Product | FullProduct):
            continue
        end = _sign_behind(context, rest)
        if end is None:
            continue
        chain = _Chain(context, graph, node, rest[:end])
        made, listed = chain.fold()
        nodes.extend(made)
        dependent.extend(listed)
        rest = rest[end:]
    return dataclasses.replace(graph, nodes=tuple(nodes), rounding_dependent=tuple(dependent))


def _sign_behind(context: Context, rest: list[IntNode]) -> int | None:
    """How many nodes of ``rest`` the chain up to its sign has; None where none follows."""
    for i, node in enumerate(rest):
        if isinstance(node.op, Product | FullProduct):
            return None
        if isinstance(node.op, Real) and not node.op.after_sum:
            op = context.op(node.op.node)
            if isinstance(op, BipolarQuant):
                return i + 1
            if isinstance(op, Quant | MultiThreshold):
                raise ModelError(
                    f"({context.graph.kind(node.op.node)}) makes activations of several bits; "
                    "between layers only signs can be built",
                    module=node.op.node,
                    remedy="Use xnn.Sign",
                )
    return None


class _Chain:
    """The nodes between one product and its sign."""

    def __init__(self, context: Context, graph: IntGraph, product: IntNode, nodes: list[IntNode]) -> None:
        self.context = context
        self.product = product
        self.nodes = nodes
        self.sign = nodes[-1].output.name
        assert isinstance(product.op, Product | FullProduct)
        source = graph.tensor(product.input).type or BIPOLAR
        self.low, self.high = reachable_range(product.op, source)
        self._check(graph)

    def _check(self, graph: IntGraph) -> None:
        flat = False
        for node in self.nodes:
            if isinstance(node.op, Reshape):
                flat = flat or graph.tensor(node.input).shape[1:] != (1, 1)
            elif isinstance(node.op, Real) and flat:
                op = self.context.op(node.op.node)
                if isinstance(op, BatchNorm):
                    raise ModelError(
                        "normalises each position of the map by itself, for it stands behind a flatten: "
                        "a threshold a position cannot be built",
                        module=node.op.node,
                        remedy="Put BatchNorm2d before the flatten",
                    )
            elif not isinstance(node.op, Real):
                raise ModelError(
                    f"{type(node.op).__name__} in front of a sign cannot be built",
                    module=node.output.name,
                    remedy="Put BatchNorm2d and xnn.Sign behind the binary layer",
                )

    def evaluate(self, sums: Sums, rounding: Rounding = "module") -> ChainValues:
        """Run the chain's modules on sums [R, C]; pools are passed by and their inputs kept."""
        x: npt.NDArray[Any] = sums[:, :, None, None].astype(np.float64)
        pools = []
        for node in self.nodes:
            if isinstance(node.op, Reshape):
                continue
            assert isinstance(node.op, Real)
            name = node.op.node
            if not node.op.after_sum and isinstance(self.context.op(name), MaxPool2d):
                pools.append(x[:, :, 0, 0])
                continue
            if node.op.in_scale != 1.0:
                x = x * node.op.in_scale
            x = self.context.call(name, x, node.op.after_sum, rounding)
            finite = np.isfinite(x[:, :, 0, 0])
            if not finite.all():
                row, channel = np.argwhere(~finite)[0]
                raise ModelError(
                    f"channel {channel} gives {x[row, channel, 0, 0]} at the sum {sums[row, channel]}",
                    module=name,
                    remedy="Look for an overflow or a variance of zero in the channel's batch norm",
                )
        return ChainValues(x[:, :, 0, 0] > 0, tuple(pools))

    def fold(self) -> tuple[list[IntNode], list[RoundingDependent]]:
        """The integer nodes that replace the chain, and the channels that rounding decides."""
        steps = find_steps(self.evaluate, self.low, self.high, self.sign)
        return self._emit(steps), self._rounding_dependent(steps)

    def _emit(self, steps: Steps) -> list[IntNode]:
        channels = len(steps.table)
        ops: list[IntOp] = [
            Threshold(
                steps.table.reshape(1, channels, 1),
                steps.direction,
                np.zeros(1, np.bool_),
                steps.constant,
            )
        ]
        shapes = [self.product.output.shape]
        pools = iter(steps.pool_minimum)
        for node in self.nodes:
            if isinstance(node.op, Reshape):
                ops.append(Reshape())
                shapes.append(node.output.shape)
            elif isinstance(node.op, Real) and not node.op.after_sum:
                op = self.context.op(node.op.node)
                if isinstance(op, MaxPool2d):
                    ops.append(MaxPool(op.geometry, next(pools)))
                    shapes.append(node.output.shape)
        result: list[IntNode] = []
        source = self.product.output.name
        for i, (op_, shape) in enumerate(zip(ops, shapes, strict=True)):
            name = self.sign if i == len(ops) - 1 else f"{self.sign}:{i}"
            result.append(IntNode(op_, source, Tensor(name, shape, BIPOLAR)))
            source = name
        return result

    def _rounding_dependent(self, steps: Steps) -> list[RoundingDependent]:
        """Repeat the search with a fused and an unfused x*a + b: list channels that move."""
        if not any(
            isinstance(n.op, Real) and not n.op.after_sum and self.context.is_batch_norm(n.op.node)
            for n in self.nodes
        ):
            return []
        variants: list[Rounding] = ["fused", "separate"]
        others = [
            find_steps(lambda s, r=r: self.evaluate(s, r), self.low, self.high, self.sign)  # type: ignore[misc]
            for r in variants
        ]
        moved = np.zeros(len(steps.table), np.bool_)
        for other in others:
            moved |= (other.table != steps.table) | (other.direction != steps.direction)
        return [
            RoundingDependent(self.sign, int(c), int(steps.table[c]), tuple(int(o.table[c]) for o in others))
            for c in np.flatnonzero(moved)
        ]
