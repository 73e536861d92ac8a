"""The float graph: the trained network as an acyclic graph of named values.

A value is named after the PyTorch module that makes it (``features.3``); a functional call
gets the name of its function and a number (``relu_1``).  The vocabulary is closed: a
frontend turns a model file into these nodes or refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Union

import numpy as np
import numpy.typing as npt

from xnorhw.ir.foreign_ops import Affine, MultiThreshold
from xnorhw.ir.geometry import WindowGeometry
from xnorhw.ir.types import BIPOLAR, IntType, code

__all__ = [
    # graph
    "FloatGraph",
    "FloatNode",
    "Input",
    "Value",
    # nodes
    "Add",
    "Affine",
    "AvgPool2d",
    "BasesConv2d",
    "BasesLinear",
    "BasesQuant",
    "BatchNorm",
    "BinaryConv2d",
    "BinaryLinear",
    "BipolarQuant",
    "Concat",
    "Flatten",
    "FloatOp",
    "FullConv2d",
    "FullLinear",
    "Grid",
    "GridLine",
    "Hardtanh",
    "InputQuant",
    "MaxPool2d",
    "MultiThreshold",
    "Quant",
    "QuantRelu",
    "Relu",
    "ScaledBinaryConv2d",
]

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]
SignArray = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Input:
    """What a network is fed.

    ``shape`` is without the batch: (channels, height, width) or (features,).  A value is
    an integer code times ``scale`` (a power of two).  ``encoding`` is "code" (``bits``
    wide, ``signed`` or not) or "bipolar" (-1 and +1).  A network that begins with an
    ``InputQuant`` is fed raw pixels: ``Input(shape)``.
    """

    shape: tuple[int, ...]
    bits: int = 8
    signed: bool = False
    scale: float = 1.0
    encoding: Literal["code", "bipolar"] = "code"

    @property
    def type(self) -> IntType:
        """The integer type of the codes."""
        return BIPOLAR if self.encoding == "bipolar" else code(self.bits, self.signed)


@dataclass(frozen=True)
class Value:
    """A tensor of the graph: its name and its shape without the batch.

    ``layout`` is "CHW" for feature maps (torch's N, C, H, W) and "C" for vectors (N, C).
    """

    name: str
    shape: tuple[int, ...]
    layout: Literal["CHW", "C"]


@dataclass(frozen=True)
class InputQuant:
    """uint8 pixel -> integer code by a table [1 or C][256]; ``scale`` belongs to the next layer.

    A table of -1 and +1 alone has ``bits`` 1: the codes are bipolar.
    """

    table: IntArray
    bits: int
    signed: bool
    scale: float

    @property
    def type(self) -> IntType:
        """The integer type of the codes."""
        return BIPOLAR if self.bits == 1 else code(self.bits, self.signed)


@dataclass(frozen=True)
class BinaryConv2d:
    """y = (x conv W) * (scale * in_scale) + bias with W in {-1, +1}; weight [O, I/groups, kh, kw].

    ``scale`` is float32 [1] or [O], or None for no scale.  ``pad_value`` is the value of
    padded taps in x's domain.
    """

    weight: SignArray
    scale: FloatArray | None
    bias: FloatArray | None
    in_scale: float
    geometry: WindowGeometry
    groups: int
    pad_value: float


@dataclass(frozen=True)
class BinaryLinear:
    """y = (x W^T) * (scale * in_scale) + bias with W in {-1, +1}; weight [O, I]."""

    weight: SignArray
    scale: FloatArray | None
    bias: FloatArray | None
    in_scale: float


@dataclass(frozen=True)
class BasesConv2d:
    """y = (x conv sum_m c_m B_m) * 2^-frac * (scale * in_scale) + bias with B_m in {-1, +1}.

    ``weight`` [M, O, I/groups, kh, kw], ``coefficients`` int64 [M]: powers of two for the
    bit planes of a k-bit weight (DoReFa-Net), alphas in steps of 2^-frac for weight bases
    (ABC-Net).
    """

    weight: SignArray
    coefficients: npt.NDArray[np.int64]
    frac: int
    scale: FloatArray | None
    bias: FloatArray | None
    in_scale: float
    geometry: WindowGeometry
    groups: int


@dataclass(frozen=True)
class BasesLinear:
    """y = (x (sum_m c_m B_m)^T) * 2^-frac * (scale * in_scale) + bias; weight [M, O, I]."""

    weight: SignArray
    coefficients: npt.NDArray[np.int64]
    frac: int
    scale: FloatArray | None
    bias: FloatArray | None
    in_scale: float


@dataclass(frozen=True)
class ScaledBinaryConv2d:
    """XNOR-Net's convolution with the input scale (eq. 11): y = (sign(x) conv W) * K * scale + bias.

    x lies on the grid of 2^-frac of the ``Grid`` in front of it.  K is the sum of |x| over the
    channels and the window, padded taps counting 0; ``scale`` float32 [1] or [O] holds
    alpha / (channels * taps).  The product sign-sum times K is exact and scaled once.
    """

    weight: SignArray
    scale: FloatArray
    bias: FloatArray | None
    geometry: WindowGeometry


@dataclass(frozen=True)
class FullConv2d:
    """y = (x conv W) * in_scale + bias in full precision; weight float32 [O, I/groups, kh, kw].

    A build takes weights that are multiples of 2^-frac.  Padded taps read 0.
    """

    weight: FloatArray
    bias: FloatArray | None
    frac: int
    in_scale: float
    geometry: WindowGeometry
    groups: int


@dataclass(frozen=True)
class FullLinear:
    """y = (x W^T) * in_scale + bias in full precision; weight float32 [O, I].

    A build takes weights that are multiples of 2^-frac.  With ``in_frac`` x is rounded to
    multiples of 2^-in_frac first, ties to even, and may be real.
    """

    weight: FloatArray
    bias: FloatArray | None
    frac: int
    in_frac: int | None
    in_scale: float


@dataclass(frozen=True)
class BatchNorm:
    """y = (x - mean) / sqrt(var + eps) * gamma + beta per channel; all float32 [C].

    ``rank`` is the rank torch's module takes: 2 (BatchNorm1d) or 4 (BatchNorm2d).
    """

    gamma: FloatArray | None
    beta: FloatArray | None
    mean: FloatArray
    var: FloatArray
    eps: float
    rank: int


@dataclass(frozen=True)
class GridLine:
    """clamp((x * 2^point * multiplier + addend) >> shift, low, high) * 2^-frac per channel, in integers.

    What a build that approximates makes of a batch norm in front of a ``Grid``; no file holds one.
    x is a multiple of 2^-point below 2^24 of them; ``multiplier`` and ``addend`` int64 [C].
    """

    multiplier: npt.NDArray[np.int64]
    addend: npt.NDArray[np.int64]
    shift: int
    point: int
    low: int
    high: int
    frac: int


@dataclass(frozen=True)
class BipolarQuant:
    """(x >= 0 ? +1 : -1) * scale; our ``Sign`` is scale 1 (QONNX BipolarQuant)."""

    scale: float = 1.0


@dataclass(frozen=True)
class Quant:
    """Uniform quantiser (QONNX Quant): clamp, round, back to real by ``scale``."""

    scale: float
    zero_point: float
    bits: int
    signed: bool
    narrow: bool
    rounding: str


@dataclass(frozen=True)
class QuantRelu:
    """The code clamp(round_half_even(x * float32(1 / scale)), 0, 2^bits - 1), as float32.

    ``scale`` is what one code is worth; the next layer has it as its ``in_scale``.
    """

    bits: int
    scale: float


@dataclass(frozen=True)
class Grid:
    """x on the grid of 2^-frac: clamp(round_half_even(x * 2^frac), -2^(bits-1), 2^(bits-1)-1) * 2^-frac."""

    bits: int
    frac: int


@dataclass(frozen=True)
class BasesQuant:
    """ABC-Net's activation: sum_n beta_n A_n, A_n = +1 where x + shift_n >= 0.5, else -1.

    ``shifts`` float32 [N] falling, so that (A_1 .. A_N) is a thermometer code;
    ``betas`` int64 [N] in steps of 2^-frac.
    """

    shifts: FloatArray
    betas: npt.NDArray[np.int64]
    frac: int


@dataclass(frozen=True)
class Relu:
    """max(x, 0)."""


@dataclass(frozen=True)
class Hardtanh:
    """min(max(x, low), high)."""

    low: float
    high: float


@dataclass(frozen=True)
class MaxPool2d:
    """Maximum over windows; padding never wins."""

    geometry: WindowGeometry


@dataclass(frozen=True)
class AvgPool2d:
    """Average over windows, padded taps counted as 0; a global average has the kernel H x W."""

    geometry: WindowGeometry


@dataclass(frozen=True)
class Add:
    """Sum of its inputs (a residual connection)."""


@dataclass(frozen=True)
class Concat:
    """Its inputs one behind the other along the channels."""


@dataclass(frozen=True)
class Flatten:
    """[N, C, H, W] -> [N, C*H*W] in torch's order."""


FloatOp = Union[
    InputQuant,
    BinaryConv2d,
    BinaryLinear,
    BasesConv2d,
    BasesLinear,
    ScaledBinaryConv2d,
    FullConv2d,
    FullLinear,
    BatchNorm,
    GridLine,
    BipolarQuant,
    Quant,
    QuantRelu,
    Grid,
    BasesQuant,
    MultiThreshold,
    Affine,
    Relu,
    Hardtanh,
    MaxPool2d,
    AvgPool2d,
    Add,
    Concat,
    Flatten,
]


@dataclass(frozen=True)
class FloatNode:
    """One operation: reads the value ``input``, then ``others`` where it takes several, makes ``output``."""

    op: FloatOp
    input: str
    output: Value
    others: tuple[str, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """Every value that the node reads, in order."""
        return (self.input, *self.others)


@dataclass(frozen=True)
class FloatGraph:
    """A network: nodes in topological order.  The input value is named ``input``.

    ``kinds`` gives, for a node's name, the class name of the PyTorch module it came from,
    for messages.
    """

    input: Input
    nodes: tuple[FloatNode, ...]
    output: str
    kinds: tuple[tuple[str, str], ...] = ()

    INPUT_NAME = "input"

    def node(self, name: str) -> FloatNode:
        """The node that makes value ``name``."""
        for node in self.nodes:
            if node.output.name == name:
                return node
        raise KeyError(name)

    def users(self, name: str) -> tuple[FloatNode, ...]:
        """The nodes that read value ``name``."""
        return tuple(n for n in self.nodes if name in n.inputs)

    def kind(self, name: str) -> str:
        """The class name of the module behind ``name``, or the operation's."""
        for key, kind in self.kinds:
            if key == name:
                return kind
        return type(self.node(name).op).__name__
