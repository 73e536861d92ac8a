"""Float graph -> integer graph: one rewrite a file, re-executed after each."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from xnorhw.ir.errors import ModelError
from xnorhw.ir.evaluator import Evaluator
from xnorhw.ir.float_graph import FloatGraph
from xnorhw.ir.int_graph import IntGraph, IntNode, Real
from xnorhw.lower.context import Context
from xnorhw.lower.flatten import absorb_reshapes
from xnorhw.lower.lookup import fold_lookups
from xnorhw.lower.reexecute import Reference
from xnorhw.lower.start import start
from xnorhw.lower.tail import move_tail_to_host
from xnorhw.lower.threshold import fold_thresholds

__all__ = ["lower"]

REWRITES = (fold_lookups, fold_thresholds, absorb_reshapes, move_tail_to_host)


def lower(graph: FloatGraph, evaluator: Evaluator, samples: npt.NDArray[Any] | None = None) -> IntGraph:
    """Lower a trained network to integers, exactly.

    ``samples``: real input values [N, ...] in the network's own layout, used beside random
    ones when the graph is executed again after each rewrite.  Raises ModelError, naming the
    module, for what cannot be kept exact.
    """
    context = Context(graph, evaluator)
    reference = Reference(context, samples)
    lowered = start(context)
    reference.check(lowered, "start")
    for rewrite in REWRITES:
        rewritten = rewrite(context, lowered)
        if rewritten is not lowered:
            reference.check(rewritten, rewrite.__name__)
        lowered = rewritten
    for node in lowered.nodes:
        if isinstance(node.op, Real):
            raise _left_over(context, lowered, node)
    return lowered


def _left_over(context: Context, graph: IntGraph, node: IntNode) -> ModelError:
    """The refusal of a module that no rewrite took."""
    assert isinstance(node.op, Real)
    name = node.op.node
    kind = context.graph.kind(name)
    read = graph.tensor(node.input)
    if read.type is None:
        return ModelError(
            f"({kind}) leaves a real value inside of the network, "
            "where only integer sums and what quantises them can be built",
            module=name,
            remedy="Put BatchNorm2d (or 1d) and xnn.Sign or xnn.QuantReLU between two binary layers; see "
            "docs/own-model.md",
        )
    what = "signs" if read.type.is_bipolar else "codes"
    return ModelError(
        f"({kind}) computes with the {what} of {read.name} and is not quantised again",
        module=name,
        remedy="Put xnn.Sign, xnn.QuantReLU or xnn.Grid behind it",
    )
