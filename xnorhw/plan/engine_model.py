"""A network as the CPU engine runs it: the structs of templates/engine/xh_layers.h, as data."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Union

import numpy as np
import numpy.typing as npt

from xnorhw.ir.geometry import WindowGeometry
from xnorhw.ir.int_graph import HostOp, Lookup

__all__ = [
    # network
    "EngineLayer",
    "EngineNetwork",
    "EngineTensor",
    "Format",
    # steps
    "AddStep",
    "BoxSumStep",
    "ConcatStep",
    "EngineTerm",
    "FullStep",
    "LevelsStep",
    "LookupStep",
    "MultiplyStep",
    "PlanesStep",
    "PoolStep",
    "ProductStep",
    "RequantStep",
    "ReshapeStep",
    "SignStep",
    "SignTable",
    "Step",
    "SumPoolStep",
]


class Format(enum.Enum):
    """How a tensor's elements lie in memory; the value is the name in xh_layers.h."""

    BITS = "XH_BITS"
    U8 = "XH_U8"
    I8 = "XH_I8"
    U16 = "XH_U16"
    I16 = "XH_I16"
    I32 = "XH_I32"
    I64 = "XH_I64"


@dataclass(frozen=True)
class EngineTensor:
    """A tensor of ``shape`` (C, H, W).

    ``golden`` is False for one that the integer graph has not: a map whose bits are put
    together as a vector for the linear layer behind.
    """

    name: str
    shape: tuple[int, int, int]
    format: Format
    golden: bool = True


def _rows(flags: npt.NDArray[Any] | None) -> int:
    return len(flags) if flags is not None and flags.ndim > 1 else 0


@dataclass(frozen=True)
class SignTable:
    """bit = (sum >= at) ^ flip.

    ``at`` int32 [positions][padded channels]; ``flip`` uint32 [ceil(C / 32)], or
    [positions][ceil(C / 32)] where positions differ, or None where no channel is flipped.
    """

    at: npt.NDArray[np.int32]
    flip: npt.NDArray[np.uint32] | None

    @property
    def flips(self) -> int:
        """Rows of ``flip`` where each position has its own, else 0."""
        return _rows(self.flip)


@dataclass(frozen=True)
class EngineTerm:
    """A term's weights, packed: ``bits`` uint32 for an input of bits, ``lanes`` uint16 for one of codes."""

    coefficient: int
    bits: npt.NDArray[np.uint32] | None
    lanes: npt.NDArray[np.uint16] | None


@dataclass(frozen=True)
class LookupStep:
    """y = table[x - first]."""

    op: Lookup
    first: int


@dataclass(frozen=True)
class ProductStep:
    """A binary product, with its ``sign`` where that is fused; ``sums`` is then the sums' tensor, else -1."""

    terms: tuple[EngineTerm, ...]
    geometry: WindowGeometry
    groups: int
    pad_value: int
    sign: SignTable | None
    sums: int


@dataclass(frozen=True)
class PlanesStep:
    """A binary product of codes by planes of bits.

    ``planes`` has for each term the number p of its plane x > p, or -1 for x itself, which
    has ``bits`` bits.
    """

    terms: tuple[EngineTerm, ...]
    planes: tuple[int, ...]
    bits: int
    geometry: WindowGeometry
    groups: int
    pad_value: int


@dataclass(frozen=True)
class FullStep:
    """A product with integer weights int32 [O, kh, kw, I / groups]."""

    weight: npt.NDArray[np.int32]
    geometry: WindowGeometry
    groups: int
    pad_value: int


@dataclass(frozen=True)
class SignStep:
    """One threshold a channel that stands alone."""

    sign: SignTable


@dataclass(frozen=True)
class LevelsStep:
    """Thresholds as "x >= at", ascending: [positions][levels][C]; from 16 levels on [positions][C][levels].

    ``at`` int32, or ``wide`` int64 where the values take more; ``falling`` uint8 [C], [positions][C]
    where positions differ, or None: the channels whose code is the number of levels not reached.
    """

    at: npt.NDArray[np.int32] | None
    wide: npt.NDArray[np.int64] | None
    falling: npt.NDArray[np.uint8] | None
    positions: int
    levels: int

    @property
    def flips(self) -> int:
        """Rows of ``falling`` where each position has its own, else 0."""
        return _rows(self.falling)


@dataclass(frozen=True)
class RequantStep:
    """y = clamp((x * multiplier + addend) >> shift, low, high); arrays [C] or [positions][C], None where
    not used.

    ``multiplier`` and ``addend`` int32 where 32 bits hold the whole sum; ``multiplier`` with
    ``wide_addend`` int64 where they hold factors and result; else both wide.  ``even``: where all
    bits that the shift drops are 0, an odd y is one less in front of the clamp.
    """

    multiplier: npt.NDArray[np.int32] | None
    addend: npt.NDArray[np.int32] | None
    wide_multiplier: npt.NDArray[np.int64] | None
    wide_addend: npt.NDArray[np.int64] | None
    shift: int
    low: int
    high: int
    even: bool

    @property
    def positions(self) -> int:
        """Rows of the arrays where each position has its own, else 0."""
        return _rows(self.wide_multiplier if self.multiplier is None else self.multiplier)


@dataclass(frozen=True)
class AddStep:
    """Sum of the layer's inputs, each times 2^shift."""

    shifts: tuple[int, ...]


@dataclass(frozen=True)
class ConcatStep:
    """The layer's inputs, one behind the other along the channels."""


@dataclass(frozen=True)
class MultiplyStep:
    """The layer's first input times its second, which has one channel."""


@dataclass(frozen=True)
class SumPoolStep:
    """Per channel the sum over windows."""

    geometry: WindowGeometry


@dataclass(frozen=True)
class BoxSumStep:
    """The sum of |x| over windows and all channels."""

    geometry: WindowGeometry


@dataclass(frozen=True)
class PoolStep:
    """A pool; ``minimum`` uint32 [ceil(C / 32)], or None where every channel takes the maximum."""

    geometry: WindowGeometry
    minimum: npt.NDArray[np.uint32] | None


@dataclass(frozen=True)
class ReshapeStep:
    """[C, H, W] -> [C*H*W, 1, 1] in torch's order."""


Step = Union[
    LookupStep,
    ProductStep,
    PlanesStep,
    FullStep,
    SignStep,
    LevelsStep,
    RequantStep,
    AddStep,
    ConcatStep,
    MultiplyStep,
    PoolStep,
    SumPoolStep,
    BoxSumStep,
    ReshapeStep,
]


@dataclass(frozen=True)
class EngineLayer:
    """One step: reads tensor ``input``, then ``others``, makes tensor ``output``; all indices."""

    step: Step
    input: int
    output: int
    others: tuple[int, ...] = ()

    @property
    def inputs(self) -> tuple[int, ...]:
        """Every tensor that the layer reads."""
        return (self.input, *self.others)


@dataclass(frozen=True)
class EngineNetwork:
    """What the generated C holds.

    ``front_layers`` layers run before an accelerator, those from ``back_layer`` on behind it;
    ``chip_input`` and ``chip_output`` are the indices of the tensors that enter and leave it,
    -1 where there is none; ``chip_bits`` is 1, 8 or 16, the bits of an element of its frame.
    ``scores`` is their number.  Input values lie between
    ``input_low`` and ``input_high``; both are 0 where the input's format holds no others.
    ``buffers`` says for each tensor in which memory it lies, -1 for one that only a trace sees.
    """

    tensors: tuple[EngineTensor, ...]
    layers: tuple[EngineLayer, ...]
    host: tuple[HostOp, ...]
    scores: int
    front_layers: int
    back_layer: int
    chip_input: int
    chip_output: int
    chip_bits: int
    input_low: int
    input_high: int
    buffers: tuple[int, ...] = ()
