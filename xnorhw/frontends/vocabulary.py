"""What tracing knows about calls: the layers that are ours, sizes, and the place of a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn, Union

from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import FloatOp
from xnorhw.nn import full, layers, quantizers

__all__ = ["BATCH", "OUR_LAYERS", "SUPPORTED", "Batch", "Place", "Result", "Size"]

OUR_LAYERS = (
    quantizers.InputQuant,
    quantizers.Sign,
    layers.BinaryConv2d,
    layers.BinaryLinear,
    layers.FrozenBinaryConv2d,
    layers.FrozenBinaryLinear,
    full.FullConv2d,
    full.FullLinear,
)

SUPPORTED = (
    "Known are xnorhw.nn.BinaryConv2d, BinaryLinear, FullConv2d, FullLinear, Sign and InputQuant; "
    "torch.nn.BatchNorm1d, BatchNorm2d, ReLU, Hardtanh, MaxPool2d, Flatten, Dropout and Identity; "
    "and relu, hardtanh, max_pool2d, flatten, view or reshape to (N, -1) and dropout as functions"
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


Result = Union[FloatOp, Size, None]
"""What a call makes: an operation, a size, or None for its own first argument."""
