"""What rounding the weights of a network that was not snapped changes in its decisions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xnorhw.check.verdict import Approximation
from xnorhw.frontends import TorchEvaluator
from xnorhw.frontends.rounding import approximated, changed
from xnorhw.ir.float_graph import FloatGraph

__all__ = ["measure_approximation"]

CHUNK = 256


def measure_approximation(graph: FloatGraph, values: npt.NDArray[np.float32]) -> Approximation | None:
    """Compare the decisions of ``graph`` with those of ``approximated``; None where it is exact.

    ``values`` [N, *input.shape]: input values, N at least 1.
    """
    made = approximated(graph)
    if made is graph:
        return None
    trained, rounded = TorchEvaluator(graph), TorchEvaluator(made)
    differing = 0
    for start in range(0, len(values), CHUNK):
        part = np.ascontiguousarray(values[start : start + CHUNK], np.float32)
        decisions = [e.trace(part)[":scores"].argmax(axis=1) for e in (trained, rounded)]
        differing += int((decisions[0] != decisions[1]).sum())
    return Approximation(changed(graph, made), len(values), differing)
