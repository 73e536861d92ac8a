"""A saved network with the few numbers rounded that no integers express, for a build that approximates it."""

from __future__ import annotations

from dataclasses import replace

import torch

from xnorhw.frontends.exact_norms import exact_norms, largest_sum
from xnorhw.frontends.steps import Step, Steps, of_graph
from xnorhw.ir.float_graph import FloatGraph, FloatNode, FullConv2d, FullLinear, Grid
from xnorhw.ir.grid import off_grid, round_to_grid
from xnorhw.nn.full import grid_frac

__all__ = ["approximated", "changed"]

_TABLE = 2.0**15
"""Sums up to here have 16 bits: a table takes them whatever rounds behind them."""
_LEVELS = 1023
"""As many steps are thresholds, where the codes are not negative."""


def approximated(graph: FloatGraph) -> FloatGraph:
    """``graph`` with its full-precision weights, and the norms that need it, put into steps of integers.

    Every weight that is on no grid is rounded to the finest one that 16 bits allow.  A layer's own
    frac, if finer, stays, and so does a layer that lies on its grid: what was trained or snapped
    with is no choice of a build's.  Finer steps cost nothing, for these layers are read as weights
    of 16 bits, and each factor of two in a step halves the decisions that change.  Then the batch
    norms in front of a ``Grid`` for which lowering has neither a table nor thresholds become
    exact, as ``snap`` makes all of them.  ``graph`` itself where all weights lie on their grids: such
    a network is built as it is, or refused, so that a file alone says what a build of it computes.
    """
    off = set(off_grid(graph))
    if not off:
        return graph
    fine = round_to_grid(replace(graph, nodes=tuple(map(_finest, graph.nodes))))
    pairs = zip(graph.nodes, fine.nodes, strict=True)
    graph = replace(graph, nodes=tuple(b if a.output.name in off else a for a, b in pairs))
    steps = of_graph(graph)
    ops = exact_norms(steps, needed=lambda step: _beyond_tables(steps, step)).ops
    nodes = tuple(replace(n, op=ops.get(n.output.name, n.op)) for n in graph.nodes)
    return replace(graph, nodes=nodes)


def changed(before: FloatGraph, after: FloatGraph) -> tuple[str, ...]:
    """The modules of ``before`` that ``approximated`` gave other numbers; ``after`` is its result."""
    pairs = zip(before.nodes, after.nodes, strict=True)
    return tuple(a.output.name for a, b in pairs if a.op is not b.op)


def _finest(node: FloatNode) -> FloatNode:
    op = node.op
    if not isinstance(op, FullConv2d | FullLinear):
        return node
    frac = max(op.frac, grid_frac(torch.from_numpy(op.weight)))
    return replace(node, op=replace(op, frac=frac))


def _beyond_tables(steps: Steps, quantiser: Step) -> bool:
    """True where nothing but one multiplication can make the codes of ``quantiser``."""
    if not isinstance(quantiser.op, Grid) or largest_sum(steps, quantiser) < _TABLE:
        return False
    step = steps.source(quantiser)
    while step.kind in ("pool", "pass", "flatten"):
        step = steps.source(step)
    return not (step.kind == "relu" and (1 << (quantiser.op.bits - 1)) - 1 <= _LEVELS)
