"""The grid on which full-precision weights must lie to be summed exactly."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from xnorhw.ir.float_graph import FloatGraph, FloatNode, FullConv2d, FullLinear

__all__ = ["grid_steps", "off_grid", "round_to_grid"]


def grid_steps(weight: npt.NDArray[np.float32], frac: int) -> npt.NDArray[np.float64]:
    """``weight`` * 2^frac, exactly: whole numbers where the weight lies on the grid."""
    return weight.astype(np.float64) * 2.0**frac


def off_grid(graph: FloatGraph) -> tuple[str, ...]:
    """The names of the full-precision layers with a weight that is no multiple of 2^-frac."""
    return tuple(node.output.name for node in graph.nodes if _is_off(node))


def round_to_grid(graph: FloatGraph) -> FloatGraph:
    """``graph`` with the weights of its full-precision layers rounded to 2^-frac, ties to even.

    ``graph`` itself where all lie on their grid.
    """
    if not off_grid(graph):
        return graph
    return dataclasses.replace(graph, nodes=tuple(_rounded(node) for node in graph.nodes))


def _is_off(node: FloatNode) -> bool:
    if not isinstance(node.op, FullConv2d | FullLinear):
        return False
    steps = grid_steps(node.op.weight, node.op.frac)
    return not np.array_equal(steps, np.rint(steps))


def _rounded(node: FloatNode) -> FloatNode:
    if not isinstance(node.op, FullConv2d | FullLinear):
        return node
    steps = np.rint(grid_steps(node.op.weight, node.op.frac))
    weight = (steps * 2.0**-node.op.frac).astype(np.float32)
    return dataclasses.replace(node, op=dataclasses.replace(node.op, weight=weight))
