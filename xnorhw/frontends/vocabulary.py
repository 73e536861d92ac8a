"""What tracing knows about calls: the layers that are ours, sizes, and the place of a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn, Union

from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import FloatOp, Value
from xnorhw.nn import activations, foreign, full, gradients, layers, quant_layers, quantizers, scaled

__all__ = ["BATCH", "OUR_LAYERS", "SUPPORTED", "Batch", "Made", "Place", "Result", "Size"]

OUR_LAYERS = (
    quantizers.InputQuant,
    quantizers.Sign,
    activations.QuantReLU,
    activations.Grid,
    activations.BasesActivation,
    gradients.GradientQuant,
    layers.BinaryConv2d,
    layers.BinaryLinear,
    layers.FrozenBinaryConv2d,
    layers.FrozenBinaryLinear,
    quant_layers.QuantConv2d,
    quant_layers.QuantLinear,
    quant_layers.FrozenQuantConv2d,
    quant_layers.FrozenQuantLinear,
    scaled.ScaledBinaryConv2d,
    scaled.FrozenScaledBinaryConv2d,
    full.FullConv2d,
    full.FullLinear,
    foreign.MultiThreshold,
    foreign.Affine,
)

SUPPORTED = (
    "Known are xnorhw.nn.BinaryConv2d, BinaryLinear, QuantConv2d, QuantLinear, ScaledBinaryConv2d, "
    "FullConv2d, FullLinear, Sign, QuantReLU, Grid, BasesActivation and InputQuant; "
    "torch.nn.BatchNorm1d, BatchNorm2d, ReLU, Hardtanh, MaxPool2d, AvgPool2d, AdaptiveAvgPool2d(1), "
    "Flatten, Dropout and Identity; relu, hardtanh, max_pool2d, avg_pool2d, flatten, view or reshape to "
    "(N, -1) and dropout as functions; and the sum of two tensors, torch.cat(dim=1) and the mean over "
    "height and width"
)


class Batch:
    """The size of the batch in a shape: known only as a symbol."""


BATCH = Batch()
Size = Union[int, Batch, tuple[Union[int, Batch], ...]]


@dataclass(frozen=True)
class Place:
    """Where a call stands: its value's name, what is called, and the source line (or "")."""

    name: str
    kind: str
    line: str

    def refuse(self, reason: str, remedy: str) -> NoReturn:
        """Raise the ModelError for this call."""
        at = f" (at {self.line})" if self.line else ""
        raise ModelError(f"{self.kind} {reason}{at}", module=self.name, remedy=remedy)


@dataclass(frozen=True)
class Made:
    """Several operations in a row, the first on ``sources``."""

    ops: tuple[FloatOp, ...]
    sources: tuple[Value, ...]


Result = Union[FloatOp, Made, Size, None]
"""What a call makes: an operation on its first argument, operations on named sources, a size, or
None for its own first argument."""
