"""Run the graph again after each rewrite: every tensor it still has must be what it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw import golden
from xnorhw.golden.codes import in_steps, random_codes, values_of
from xnorhw.ir.errors import ModelError
from xnorhw.ir.int_graph import IntGraph
from xnorhw.lower.context import Context

__all__ = ["Reference"]

RANDOM_FRAMES = 3


_REMEDY = (
    "Move the batch norm's beta of that channel by a little if its threshold hangs on rounding; "
    "otherwise report it with the model file"
)


class Reference:
    """The tensors of the network as the model's own modules compute them."""

    def __init__(self, context: Context, samples: npt.NDArray[Any] | None) -> None:
        self._context = context
        self._samples = samples
        self._codes: npt.NDArray[np.int64] | None = None
        self._tensors: dict[str, npt.NDArray[Any]] = {}

    def _prepare(self, graph: IntGraph) -> npt.NDArray[np.int64]:
        if self._codes is None:
            codes = random_codes(graph, RANDOM_FRAMES, seed=0)
            if self._samples is not None and len(self._samples):
                scaled = np.asarray(self._samples, np.float64) / graph.input.scale
                real = np.rint(scaled).astype(np.int64).reshape(-1, *graph.input_tensor.shape)
                codes = np.concatenate([codes, real])
            self._codes = codes
            self._tensors = trace(self._context, graph, codes)
        return self._codes

    def check(self, graph: IntGraph, step: str) -> None:
        """Raise ModelError where a tensor of ``graph`` differs from the model's own."""
        codes = self._prepare(graph)
        tensors = golden.run(graph, codes, self._context.run_real)
        for node in graph.nodes:
            name = node.output.name
            found, expected = tensors[name], self._tensors.get(name)
            if expected is None:
                continue
            expected = expected.reshape(found.shape)
            if not np.array_equal(expected, found):
                where = np.argwhere(expected != found)[0]
                raise ModelError(
                    f"after the rewrite {step!r} frame {where[0]}, channel {where[1]}, pixel "
                    f"({where[2]}, {where[3]}) is {found[tuple(where)]} where the model has "
                    f"{expected[tuple(where)]}{_why(graph, name, int(where[1]))}",
                    module=name,
                    remedy=_REMEDY,
                )


def _why(graph: IntGraph, name: str, channel: int) -> str:
    """The one known reason for a difference, where it applies."""
    if any((c.tensor, c.channel) == (name, channel) for c in graph.rounding_dependent):
        return ": its threshold hangs on how this machine's batch norm rounds"
    return ""


def trace(context: Context, graph: IntGraph, codes: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
    """Every value of the model for integer input values."""
    return in_steps(graph, context.evaluator.trace(values_of(graph, codes)))
