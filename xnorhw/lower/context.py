"""What every rewrite needs: the float graph, the evaluator, and layouts between the two."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.ir.errors import ModelError
from xnorhw.ir.evaluator import Evaluator, Rounding
from xnorhw.ir.float_graph import BatchNorm, BipolarQuant, FloatGraph, FloatNode, FloatOp, Grid, Value
from xnorhw.ir.int_graph import Real

__all__ = ["Context", "map_shape"]


def map_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """A value's shape as (C, H, W); a vector is C x 1 x 1."""
    if len(shape) == 1:
        return shape[0], 1, 1
    channels, height, width = shape
    return channels, height, width


class Context:
    """The network being lowered and the means to run its modules on [N, C, H, W] arrays."""

    def __init__(self, graph: FloatGraph, evaluator: Evaluator) -> None:
        self.graph = graph
        self.evaluator = evaluator
        self._check_nodes()
        self._check_input_scale()

    def _check_nodes(self) -> None:
        if not self.graph.nodes:
            raise ModelError(
                "the network has no layers",
                module="model",
                remedy="Build it of BinaryConv2d and BinaryLinear",
            )
        if self.graph.output != self.graph.nodes[-1].output.name:
            raise ModelError(
                "modules follow the output", module=self.graph.output, remedy="Save the network again"
            )

    def _check_input_scale(self) -> None:
        scale = self.graph.input.scale
        if not (scale > 0 and math.isfinite(scale) and math.frexp(scale)[0] == 0.5):
            raise ModelError(
                f"the input's scale is {scale}, not a power of two: sums of scaled inputs would round",
                module="input",
                remedy="Let the network begin with xnn.InputQuant, which feeds integer codes and hands "
                "its scale to the first layer as in_scale",
            )

    def float_input(self, node: FloatNode) -> Value:
        """The value that ``node`` reads."""
        if node.input == FloatGraph.INPUT_NAME:
            shape = self.graph.input.shape
            return Value(node.input, shape, "CHW" if len(shape) == 3 else "C")
        return self.graph.node(node.input).output

    def op(self, name: str) -> FloatOp:
        """The operation that makes value ``name``."""
        return self.graph.node(name).op

    def call(
        self, name: str, x: npt.NDArray[Any], after_sum: bool = False, rounding: Rounding = "module"
    ) -> npt.NDArray[Any]:
        """Run the module ``name`` on [N, C, H, W], in the rank that it takes itself."""
        node = self.graph.node(name)
        value = node.output if after_sum else self.float_input(node)
        if value.layout == "C":
            x = x.reshape(x.shape[0], -1)
        x = np.ascontiguousarray(x, dtype=np.float32 if not after_sum else np.float64)
        if after_sum:
            result = self.evaluator.after_sum(name, x)
        else:
            result = self.evaluator.call(name, x, rounding)
        return result.reshape(*result.shape, 1, 1) if result.ndim == 2 else result

    def run_real(self, op: Real, x: npt.NDArray[Any], rounding: Rounding = "module") -> npt.NDArray[Any]:
        """Run a module not yet lowered on integers or on real values; a quantiser's result as integers."""
        result = self.call(op.node, x * op.in_scale if op.in_scale != 1.0 else x, op.after_sum, rounding)
        made = self.op(op.node)
        if isinstance(made, Grid):
            return result * 2.0**made.frac
        return np.where(result > 0, 1, -1) if isinstance(made, BipolarQuant) else result

    def is_batch_norm(self, name: str) -> bool:
        """True where value ``name`` comes out of a batch norm."""
        return isinstance(self.op(name), BatchNorm)
