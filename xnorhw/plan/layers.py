"""What the chip runs, piece by piece: layers, what joins their streams, and the pools behind."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Union

import numpy as np
import numpy.typing as npt

from xnorhw.ir.geometry import WindowGeometry
from xnorhw.ir.int_graph import (
    Add,
    BoxSum,
    Concat,
    FullProduct,
    MaxPool,
    Multiply,
    Product,
    Requant,
    SumPool,
    Tensor,
    Term,
    Threshold,
)
from xnorhw.ir.types import Encoding, IntType

__all__ = [
    "MOST_WEIGHT_BITS",
    "ChipJoin",
    "ChipLayer",
    "ChipPool",
    "ChipStage",
    "Joining",
    "Quantiser",
    "wire_bits",
]

MOST_WEIGHT_BITS = 8
"""Bits of the widest integer weight that a matrix unit takes."""

Quantiser = Union[Threshold, Requant]
"""What makes codes of integer sums."""


Joining = Union[Add, Concat, Multiply, BoxSum]
"""What makes one stream of several, or of one stream another that no layer makes."""


NUMBER_BITS = 2
"""Bits of a sign that became a number: -1, 0 and 1."""


def wire_bits(kind: IntType) -> int:
    """Bits of an element on a wire; of a thermometer code its number of ones travels.

    A signed number has one more than it needs: a level past the largest is then one as well.
    """
    if kind.encoding is Encoding.THERMOMETER:
        return kind.bits.bit_length()
    return kind.bits + 1 if kind.encoding is Encoding.TWOS else kind.bits


def _kind(tensor: Tensor) -> IntType:
    assert tensor.type is not None
    return tensor.type


@dataclass(frozen=True)
class ChipPool:
    """A pool behind a layer: its operation, its input tensor and what it makes of it.

    ``quantiser`` makes codes of a sum pool's sums: ``output`` then, else ``pooled``.
    """

    op: MaxPool | SumPool
    source: Tensor
    pooled: Tensor
    quantiser: Quantiser | None
    output: Tensor

    @property
    def name(self) -> str:
        """The pool's name: that of the tensor it makes."""
        return self.pooled.name

    @property
    def act(self) -> IntType:
        """The type of what it reads."""
        return _kind(self.source)

    @property
    def numbers(self) -> bool:
        """True where signs become numbers in front of the window: padding counts 0, which is no sign."""
        return isinstance(self.op, SumPool) and self.act.is_bipolar and self.op.geometry.pads.any()

    @property
    def bits(self) -> int:
        """Bits of an element in its window."""
        return NUMBER_BITS if self.numbers else wire_bits(self.act)

    @property
    def sums_range(self) -> tuple[int, int]:
        """The least and the largest sum of a window; padded taps count 0."""
        taps = self.op.geometry.taps
        return min(0, taps * self.act.min), max(0, taps * self.act.max)

    @property
    def in_pixels(self) -> int:
        """Input pixels of a frame."""
        return self.source.shape[1] * self.source.shape[2]

    @property
    def out_pixels(self) -> int:
        """Output pixels of a frame."""
        return self.pooled.shape[1] * self.pooled.shape[2]


@dataclass(frozen=True)
class ChipLayer:
    """A product of binary or of integer weights, what makes codes of its sums, the pools behind.

    ``bits`` is the tensor of the codes; it and ``quantiser`` are None where the sums leave: on the
    last layer, ``last``, and where several read them or something joins them.  No threshold is
    strict here.
    """

    index: int
    source: Tensor
    product: Product | FullProduct
    sums: Tensor
    quantiser: Quantiser | None
    bits: Tensor | None
    pools: tuple[ChipPool, ...]
    last: bool = True

    @property
    def name(self) -> str:
        """The layer's name: that of its product's tensor."""
        return self.sums.name

    @property
    def act(self) -> IntType:
        """The activations' type."""
        return _kind(self.source)

    @property
    def act_bits(self) -> int:
        """Bits of an activation in the window and in the matrix unit."""
        return self.act.bits if self.act.encoding is Encoding.TWOS else wire_bits(self.act)

    @property
    def threshold(self) -> Threshold | None:
        """The quantiser where it is a threshold."""
        return self.quantiser if isinstance(self.quantiser, Threshold) else None

    @property
    def terms(self) -> int:
        """Products that the matrix unit forms one after the other."""
        return 1 if isinstance(self.product, FullProduct) else len(self.product.terms)

    @property
    def planes(self) -> tuple[int, ...]:
        """For each term the plane of the activations that it takes; empty where it takes them whole."""
        return () if self.full else tuple(t.plane for t in self._terms if t.plane is not None)

    @property
    def coefficients(self) -> tuple[int, ...]:
        """What each term is weighed by."""
        return (1,) if self.full else tuple(t.coefficient for t in self._terms)

    @property
    def _terms(self) -> tuple[Term, ...]:
        assert isinstance(self.product, Product)
        return self.product.terms

    @property
    def full(self) -> bool:
        """True where the weights are integers of several bits."""
        return isinstance(self.product, FullProduct)

    def weights(self, term: int = 0) -> npt.NDArray[np.int8] | npt.NDArray[np.int32]:
        """A term's weights [O, I/groups, kh, kw]."""
        if isinstance(self.product, FullProduct):
            return self.product.weight
        return self.product.terms[term].weight

    @cached_property
    def heaviest(self) -> int:
        """No input counts more than this often in a sum."""
        if isinstance(self.product, FullProduct):
            return int(np.abs(self.product.weight.astype(np.int64)).max())
        return sum(map(abs, self.coefficients))

    @property
    def matrix_bipolar(self) -> bool:
        """True where the matrix unit takes signs: of the activations, or of planes of codes."""
        return self.act.is_bipolar or bool(self.planes)

    @property
    def popcounts(self) -> bool:
        """True where the matrix unit multiplies +-1 by +-1, counts ones and doubles what leaves."""
        return self.matrix_bipolar and not self.full

    @property
    def weighted(self) -> bool:
        """True where terms are weighed and summed behind the matrix unit."""
        return self.coefficients != (1,)

    @property
    def in_matrix(self) -> bool:
        """True where the matrix unit thresholds: one level, on the sum as it stands.

        It compares by >= alone, with the weights of falling channels turned round: a channel that
        falls at some positions alone takes a unit of its own.
        """
        plain = self.threshold is not None and self.threshold.levels == 1 and not self.threshold.mixed
        return plain and not self.weighted and self._turns

    @cached_property
    def _turns(self) -> bool:
        """Integer weights stay within MOST_WEIGHT_BITS where those of falling channels are negated."""
        if not isinstance(self.product, FullProduct) or self.threshold is None:
            return True
        falling = self.product.weight[(self.threshold.directions < 0).any(axis=0)]
        return not bool((falling <= -(1 << (MOST_WEIGHT_BITS - 1))).any())

    @property
    def by_position(self) -> bool:
        """True where each output pixel has thresholds of its own."""
        return self.threshold is not None and self.threshold.table.shape[0] > 1

    @property
    def geometry(self) -> WindowGeometry:
        """The product's window."""
        return self.product.geometry

    @property
    def taps(self) -> int:
        """Kernel taps."""
        return self.product.geometry.taps

    @property
    def channels(self) -> int:
        """Input channels."""
        return self.source.shape[0]

    @property
    def groups(self) -> int:
        """Groups of the convolution."""
        return self.product.groups

    @property
    def slice_channels(self) -> int:
        """Input channels that an output channel reads."""
        return self.channels // self.groups

    @property
    def outputs(self) -> int:
        """Output channels."""
        return self.sums.shape[0]

    @property
    def in_pixels(self) -> int:
        """Input pixels of a frame."""
        return self.source.shape[1] * self.source.shape[2]

    @property
    def out_pixels(self) -> int:
        """Output pixels of a frame."""
        return self.sums.shape[1] * self.sums.shape[2]

    @property
    def whole_map(self) -> bool:
        """True where the kernel is the whole map: a linear layer on channels x taps values.

        The window's order is then the order in which the map arrives.
        """
        _, height, width = self.source.shape
        geometry = self.geometry
        dense = all(d == 1 or k == 1 for d, k in zip(geometry.dilation, geometry.kernel, strict=True))
        return geometry.kernel == (height, width) and dense and not geometry.pads.any()

    @property
    def pointwise(self) -> bool:
        """True where each output pixel reads the input pixel at its place alone."""
        return self.taps == 1 and self.geometry.stride == (1, 1) and not self.geometry.pads.any()

    @property
    def pad_classes(self) -> bool:
        """True where padded taps count 0, which bipolar lanes cannot say: starts correct it."""
        return self.matrix_bipolar and self.product.pad_value == 0 and self.geometry.pads.any()

    @property
    def output(self) -> Tensor:
        """The tensor that leaves the layer and its pools."""
        if self.pools:
            return self.pools[-1].output
        return self.sums if self.bits is None else self.bits

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a frame, those of each term."""
        return self.out_pixels * self.outputs * self.slice_channels * self.taps * self.terms


@dataclass(frozen=True)
class ChipJoin:
    """A stream made of others, or read by several: ``op`` on ``sources``, codes of it, pools behind.

    ``op`` None takes ``sources[0]`` as it is: what a fork's branch begins with.  ``joined`` is what
    ``op`` makes; of a box sum the sum of magnitudes at each pixel, whose windows the first pool
    sums.
    """

    index: int
    sources: tuple[Tensor, ...]
    op: Joining | None
    joined: Tensor
    quantiser: Quantiser | None
    bits: Tensor | None
    pools: tuple[ChipPool, ...]
    last: bool

    @property
    def name(self) -> str:
        """The name of what it makes first."""
        if isinstance(self.op, BoxSum):
            return self.pools[0].name
        if self.op is not None:
            return self.joined.name
        return self.pools[0].name if self.bits is None else self.bits.name

    @property
    def kind(self) -> IntType:
        """The type of what is joined."""
        return _kind(self.joined)

    @property
    def channels(self) -> int:
        """Channels of what is joined, of a box sum those that it sums."""
        return self.sources[0].shape[0] if isinstance(self.op, BoxSum) else self.joined.shape[0]

    @property
    def pixels(self) -> int:
        """Pixels of a frame."""
        return self.joined.shape[1] * self.joined.shape[2]

    @property
    def output(self) -> Tensor:
        """The tensor that leaves it and its pools."""
        if self.pools:
            return self.pools[-1].output
        return self.joined if self.bits is None else self.bits

    @property
    def makes_values(self) -> bool:
        """True where codes or signs become signed numbers before levels are compared with them."""
        return self.quantiser is not None and self.kind.encoding is not Encoding.TWOS

    @property
    def level_bits(self) -> int:
        """Bits of what the quantiser reads: every number, and a level past the largest."""
        return wire_bits(self.kind) + (2 if self.makes_values else 0)


ChipStage = Union[ChipLayer, ChipJoin]
"""A piece of the chip's part, in the order in which data passes."""
