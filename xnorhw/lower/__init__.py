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
        lowered = rewrite(context, lowered)
        reference.check(lowered, rewrite.__name__)
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
            "where only the sums of binary layers and their signs can be built",
            module=name,
            remedy="Put BatchNorm2d (or 1d) and xnn.Sign between two binary layers; see docs/own-model.md",
        )
    what = "signs" if read.type.is_bipolar else "codes"
    return ModelError(
        f"({kind}) computes with the {what} of {read.name}, which only a binary layer, a max-pool or a "
        "flatten can read",
        module=name,
        remedy="Remove it: a sign has been taken already"
        if read.type.is_bipolar
        else "Put what leads to the first xnn.Sign directly behind the input, and pools behind the sign",
    )
