"""A saved network with the few numbers rounded that no integers express, for a build that approximates it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from xnorhw.frontends.exact_norms import exact_norms, largest_sum
from xnorhw.frontends.steps import Step, Steps, of_graph
from xnorhw.ir.float_graph import (
    BasesQuant,
    BipolarQuant,
    FloatGraph,
    FloatNode,
    FullConv2d,
    FullLinear,
    Grid,
    MultiThreshold,
    Quant,
    QuantRelu,
)
from xnorhw.ir.grid import off_grid, round_to_grid
from xnorhw.nn.full import grid_frac

__all__ = ["approximated", "changed"]

_TABLE = 2.0**15
"""Sums up to here have 16 bits: a table takes them whatever rounds behind them."""
_WIDE = 31
"""Bits of a weight: two limbs of 16 bits hold it in the engine."""
_FINEST = 40
"""Fraction bits of one: finer than a layer's own grid may be, which is 2^-30."""
_SUM_BITS = 52
_QUANTISERS = (BipolarQuant, QuantRelu, Grid, BasesQuant, MultiThreshold, Quant)
_LEVELS = 1023
"""As many steps are thresholds, where the codes are not negative."""


def approximated(graph: FloatGraph) -> FloatGraph:
    """``graph`` with its full-precision weights, and the norms that need it, put into steps of integers.

    Every weight that is on no grid is rounded to the finest one that 31 bits allow, with sums below
    2^53; 16 bits of a layer that no decision follows but the class, or that reads real values.  A
    layer's own frac, if finer, stays, and so does a layer that lies on its grid: what was trained or
    snapped with is no choice of a build's.  Each factor of two in a step halves the decisions that
    change, and behind a first layer each of them changes others in every layer that follows.  Then
    the batch norms in front of a ``Grid`` for which lowering has neither a table nor thresholds become
    lines of integers.  ``graph`` itself where all weights lie on their grids: such
    a network is built as it is, or refused, so that a file alone says what a build of it computes.
    """
    off = set(off_grid(graph))
    if not off:
        return graph
    steps, deciding = of_graph(graph), _deciding(graph)
    nodes = tuple(_finest(node, steps, node.output.name in deciding) for node in graph.nodes)
    fine = round_to_grid(replace(graph, nodes=nodes))
    pairs = zip(graph.nodes, fine.nodes, strict=True)
    graph = replace(graph, nodes=tuple(b if a.output.name in off else a for a, b in pairs))
    steps = of_graph(graph)
    ops = exact_norms(steps, needed=lambda step: _beyond_tables(steps, step), lines=True).ops
    nodes = tuple(replace(n, op=ops.get(n.output.name, n.op)) for n in graph.nodes)
    return replace(graph, nodes=nodes)


def changed(before: FloatGraph, after: FloatGraph) -> tuple[str, ...]:
    """The modules of ``before`` that ``approximated`` gave other numbers; ``after`` is its result."""
    pairs = zip(before.nodes, after.nodes, strict=True)
    return tuple(a.output.name for a, b in pairs if a.op is not b.op)


def _deciding(graph: FloatGraph) -> set[str]:
    """The values that some quantiser depends on."""
    found: set[str] = set()
    for node in reversed(graph.nodes):
        if node.output.name in found or isinstance(node.op, _QUANTISERS):
            found.update(node.inputs)
    return found


def _finest(node: FloatNode, steps: Steps, deciding: bool) -> FloatNode:
    op = node.op
    if not isinstance(op, FullConv2d | FullLinear):
        return node
    weight = torch.from_numpy(op.weight)
    frac = max(op.frac, grid_frac(weight))
    known = steps.integers(steps[node.input])
    real = isinstance(op, FullLinear) and op.in_frac is not None
    if deciding and not real and known is not None and known.peak is not None:
        sizes = np.abs(op.weight.astype(np.float64)).reshape(len(op.weight), -1)
        wide = _WIDE - 1 - math.frexp(float(sizes.max()))[1]
        # half of what float64 holds: rounding moves the weights, too
        reach = float(sizes.sum(axis=1).max()) * math.ldexp(known.peak, known.point)
        room = _SUM_BITS - math.frexp(reach)[1]
        frac = max(frac, min(_FINEST, wide, room))
    return replace(node, op=replace(op, frac=frac))


def _beyond_tables(steps: Steps, quantiser: Step) -> bool:
    """True where nothing but one multiplication can make the codes of ``quantiser``."""
    if not isinstance(quantiser.op, Grid) or largest_sum(steps, quantiser) < _TABLE:
        return False
    step = steps.source(quantiser)
    while step.kind in ("pool", "pass", "flatten"):
        step = steps.source(step)
    return not (step.kind == "relu" and (1 << (quantiser.op.bits - 1)) - 1 <= _LEVELS)
