"""The integer graph: what every target computes.  Golden runs it; emitters print it.

Tensors are integer *values* in torch's layout [N, C, H, W]; a vector is C x 1 x 1.  A
one-bit bipolar tensor holds -1 and +1, a thermometer code the number of its ones.  The value v
of a type with a binary point stands for the real number v * 2^-point; the sum of a product has
the point of what the product reads.  Names are those of the PyTorch modules whose
result (or, for a product, whose sum before scale and bias) a tensor equals.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Union

import numpy as np
import numpy.typing as npt

from xnorhw.ir.float_graph import Input
from xnorhw.ir.geometry import WindowGeometry
from xnorhw.ir.serial import later
from xnorhw.ir.types import IntType

__all__ = [
    # graph
    "IntGraph",
    "IntNode",
    "RoundingDependent",
    "Tensor",
    # operations
    "Add",
    "BoxSum",
    "Concat",
    "FullProduct",
    "IntOp",
    "Lookup",
    "MaxPool",
    "Multiply",
    "Product",
    "Real",
    "Requant",
    "Reshape",
    "SumPool",
    "Term",
    "Threshold",
    # host operations behind the last sum
    "HostAffine",
    "HostBatchNorm",
    "HostClamp",
    "HostFull",
    "HostOp",
]


@dataclass(frozen=True)
class Tensor:
    """A named integer tensor; ``shape`` is (C, H, W) without the batch.

    ``type`` is None only while a network is being lowered, for values still real.
    """

    name: str
    shape: tuple[int, int, int]
    type: IntType | None


@dataclass(frozen=True)
class Lookup:
    """y = table[c][x - x.min]; int32 [1 or C][number of values of x's type].  Runs on the host."""

    table: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Term:
    """coefficient * (a conv weight); int8 weights in {-1, +1}, [O, I/groups, kh, kw].

    a is x itself where ``plane`` is None, else the bipolar plane of a thermometer code:
    +1 where x > plane, -1 elsewhere (ABC-Net's base number ``plane`` + 1 of the activations).
    """

    coefficient: int
    weight: npt.NDArray[np.int8]
    plane: int | None = None


@dataclass(frozen=True)
class Product:
    """Sum of terms of binary-weight convolutions; a linear layer has a kernel of H x W.

    ``pad_value`` is the integer value of padded taps in x's domain; with planes padded taps
    contribute 0 to every term and ``pad_value`` is 0.
    """

    terms: tuple[Term, ...]
    geometry: WindowGeometry
    groups: int
    pad_value: int


@dataclass(frozen=True)
class FullProduct:
    """x conv weight of a full-precision layer, in units of 2^-frac.

    ``weight`` int32 [O, I/groups, kh, kw] is the real weight times 2^frac; a linear layer has
    a kernel of H x W.  Every partial sum lies below 2^53, so float64 forms it in any order.
    ``pad_value`` is the integer value of padded taps in x's domain.  ``on_chip``: a planner has
    put it on the chip; else the host runs it.
    """

    weight: npt.NDArray[np.int32]
    frac: int
    geometry: WindowGeometry
    groups: int
    pad_value: int
    on_chip: bool = later(False)


@dataclass(frozen=True)
class Threshold:
    """Integer sum -> code: the number of levels that the sum has passed.

    ``table`` int64 [H*W or 1][C][levels] (a table a position, or one for all);
    ``direction`` int8 [C], or [H*W][C] where the positions of a channel differ, is +1 where a
    level is passed by s >= t (or s > t), -1 by s <= t (or s < t); ``strict`` bool [levels]
    selects > and <.  ``constant`` bool [C] marks channels planned constant.  With one level
    and a bipolar output the code q is the value 2q - 1.
    """

    table: npt.NDArray[np.int64]
    direction: npt.NDArray[np.int8]
    strict: npt.NDArray[np.bool_]
    constant: npt.NDArray[np.bool_]

    @property
    def levels(self) -> int:
        """Number of thresholds per channel."""
        return int(self.table.shape[2])

    @property
    def positions(self) -> int:
        """1, or H * W where each position has a table of its own."""
        return int(self.table.shape[0])

    @property
    def directions(self) -> npt.NDArray[np.int8]:
        """``direction`` as int8 [1 or H*W][C]."""
        return self.direction.reshape(-1, self.table.shape[1])

    @property
    def mixed(self) -> bool:
        """True where the positions of a channel differ in direction."""
        return len(self.directions) > 1


@dataclass(frozen=True)
class Requant:
    """y = clamp((x * multiplier + addend) >> shift, low, high), the shift rounding down.

    ``multiplier`` and ``addend`` int64 [C], or both [H*W][C] where the positions of a channel
    differ.  It takes the place of a threshold of many levels where one multiplication makes the
    same codes at every sum that can be reached.

    ``even``, with a shift of at least 1: where all ``shift`` bits that are dropped are 0, an odd y
    is one less, in front of the clamp.  With the half 2^(shift - 1) in the addend these are the
    ties, which the shift has rounded up, and go to the even neighbour.
    """

    multiplier: npt.NDArray[np.int64]
    addend: npt.NDArray[np.int64]
    shift: int
    low: int
    high: int
    even: bool = later(False)

    @property
    def positions(self) -> int:
        """1, or H * W where each position has factors of its own."""
        return self.multiplier.shape[0] if self.multiplier.ndim > 1 else 1


@dataclass(frozen=True)
class Add:
    """Sum of the inputs, input i times 2^shifts[i]; all of one shape (a residual connection)."""

    shifts: tuple[int, ...]


@dataclass(frozen=True)
class Concat:
    """The inputs one behind the other along the channels; all of one type."""


@dataclass(frozen=True)
class SumPool:
    """Per channel the sum over windows; padded taps count 0 (an average before its division)."""

    geometry: WindowGeometry


@dataclass(frozen=True)
class BoxSum:
    """Sum of |x| over all channels and a window: [C, H, W] -> [1, H', W']; padded taps count 0.

    XNOR-Net's input scale K (eq. 11) before its division by channels and taps.
    """

    geometry: WindowGeometry


@dataclass(frozen=True)
class Multiply:
    """x * k: input 0 [C, H, W] times input 1 [1, H, W], a map for all channels."""


@dataclass(frozen=True)
class MaxPool:
    """Per channel the maximum, or the minimum where ``minimum`` bool [C]; padding never wins."""

    geometry: WindowGeometry
    minimum: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Reshape:
    """[C, H, W] -> [C*H*W, 1, 1] in torch's order."""


@dataclass(frozen=True)
class Real:
    """A module of the float graph not yet lowered: run by the evaluator.

    ``after_sum`` True: the part of the product module ``node`` behind its integer sum.
    ``in_scale`` (a power of two) is what one unit of the integers read here, or of those
    that the product read, is worth to the module.
    Never left in a lowered graph.
    """

    node: str
    after_sum: bool = False
    in_scale: float = 1.0


IntOp = Union[
    Lookup,
    Product,
    FullProduct,
    Threshold,
    Requant,
    Add,
    Concat,
    SumPool,
    BoxSum,
    Multiply,
    MaxPool,
    Reshape,
    Real,
]


@dataclass(frozen=True)
class IntNode:
    """One operation: reads tensor ``input``, then ``others`` where it takes several, makes ``output``."""

    op: IntOp
    input: str
    output: Tensor
    others: tuple[str, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """Every tensor that the node reads, in order."""
        return (self.input, *self.others)


@dataclass(frozen=True)
class HostAffine:
    """float32, two roundings: y = x * scale (skipped where None), then + bias (where not None).

    Arrays float32 [1 or C].
    """

    name: str
    scale: npt.NDArray[np.float32] | None
    bias: npt.NDArray[np.float32] | None


@dataclass(frozen=True)
class HostBatchNorm:
    """float32: y = x * a + b with a = gamma * (1 / sqrt(var + eps)), b = beta - mean * a; [C].

    ``shift`` is mean * a: a processor with fused multiply-add does not round it by itself, so
    it counts among the terms that bound how far torch's scores may lie from these.
    """

    name: str
    a: npt.NDArray[np.float32]
    b: npt.NDArray[np.float32]
    shift: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class HostClamp:
    """float32: min(max(x, low), high); ReLU has high = infinity."""

    name: str
    low: float
    high: float


@dataclass(frozen=True)
class HostFull:
    """A full-precision linear layer on real values: float32 [C, H, W] in, float32 [O, 1, 1] out.

    q = rint(x * 2^in_frac), ties to even; y = float32(sum of q * weight) * 2^-(in_frac + frac),
    then + bias where there is one.  ``weight`` int32 [O, C*H*W] in torch's order is the real
    weight times 2^frac; the sum is an exact integer below 2^53, rounded to float32 once.
    """

    name: str
    weight: npt.NDArray[np.int32]
    frac: int
    in_frac: int
    bias: npt.NDArray[np.float32] | None


HostOp = Union[HostAffine, HostBatchNorm, HostClamp, HostFull]


@dataclass(frozen=True)
class RoundingDependent:
    """A channel whose integer threshold depends on how a batch norm rounds."""

    tensor: str
    channel: int
    stored: int
    others: tuple[int, ...]


@dataclass(frozen=True)
class IntGraph:
    """A lowered network.

    ``nodes`` are in topological order and read ``input_tensor`` first.  ``output`` names
    the last integer tensor (the sums); ``host`` are the float32 operations that turn it
    into scores of shape ``score_shape`` (without the batch).  ``module_layers`` maps a
    tensor to the module that a message should name.
    """

    input: Input
    input_tensor: Tensor
    nodes: tuple[IntNode, ...]
    output: str
    host: tuple[HostOp, ...]
    score_shape: tuple[int, ...]
    rounding_dependent: tuple[RoundingDependent, ...] = ()

    def node(self, name: str) -> IntNode:
        """The node that makes tensor ``name``."""
        for node in self.nodes:
            if node.output.name == name:
                return node
        raise KeyError(name)

    def tensor(self, name: str) -> Tensor:
        """The tensor ``name``, the input included."""
        if name == self.input_tensor.name:
            return self.input_tensor
        return self.node(name).output

    def front(self, name: str) -> IntGraph:
        """The graph up to tensor ``name``: what the host runs before the chip takes it."""
        names = [node.output.name for node in self.nodes]
        count = names.index(name) + 1 if name in names else 0
        return dataclasses.replace(self, nodes=self.nodes[:count], output=name, host=())

    def back(self, name: str) -> IntGraph:
        """The graph behind tensor ``name``, its input then: what the host runs on the chip's result."""
        names = [node.output.name for node in self.nodes]
        count = names.index(name) + 1 if name in names else 0
        return dataclasses.replace(self, nodes=self.nodes[count:], input_tensor=self.tensor(name))

    def users(self, name: str) -> tuple[IntNode, ...]:
        """The nodes that read tensor ``name``."""
        return tuple(n for n in self.nodes if name in n.inputs)
