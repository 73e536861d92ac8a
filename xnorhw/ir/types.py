"""Integer types: what a tensor's elements may be and how they are written in bits."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["BIPOLAR", "Encoding", "IntType", "code", "twos_complement", "type_for_range"]


class Encoding(enum.Enum):
    """How an integer value is written as bits.

    ``BIPOLAR``: the code q stands for the value 2q - (2^bits - 1); with one bit, 0 is -1
    and 1 is +1.  ``CODE``: an unsigned or two's complement quantiser code (activations).
    ``TWOS``: a two's complement number (sums).  ``THERMOMETER``: a unary code whose value
    is the number of ones.
    """

    BIPOLAR = "bipolar"
    CODE = "code"
    TWOS = "twos"
    THERMOMETER = "thermometer"


@dataclass(frozen=True)
class IntType:
    """An integer type: ``bits`` wide, its sign, its encoding and its binary point.

    The real number that a value v stands for is v * 2^-point.
    """

    bits: int
    signed: bool
    encoding: Encoding
    point: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 64:
            raise ValueError(f"an integer type has 1 to 64 bits, not {self.bits}")

    @property
    def min(self) -> int:
        """The smallest value."""
        if self.encoding is Encoding.BIPOLAR:
            return 1 - (1 << self.bits)
        if self.signed:
            return -(1 << (self.bits - 1))
        return 0

    @property
    def max(self) -> int:
        """The largest value."""
        if self.encoding is Encoding.BIPOLAR:
            return (1 << self.bits) - 1
        if self.encoding is Encoding.THERMOMETER:
            return self.bits
        if self.signed:
            return (1 << (self.bits - 1)) - 1
        return (1 << self.bits) - 1

    @property
    def is_bipolar(self) -> bool:
        """True for the one-bit type whose values are -1 and +1."""
        return self.encoding is Encoding.BIPOLAR and self.bits == 1

    def __str__(self) -> str:
        sign = "s" if self.signed else "u"
        point = f".{self.point}" if self.point else ""
        return f"{self.encoding.value}:{sign}{self.bits}{point}"


BIPOLAR = IntType(1, True, Encoding.BIPOLAR)


def code(bits: int, signed: bool) -> IntType:
    """The type of a quantiser's codes."""
    return IntType(bits, signed, Encoding.CODE)


def twos_complement(bits: int) -> IntType:
    """The type of a signed number of ``bits`` bits."""
    return IntType(bits, True, Encoding.TWOS)


def type_for_range(low: int, high: int) -> IntType:
    """The narrowest two's complement type that holds ``low`` and ``high``."""
    bits = max(1 + (v if v >= 0 else ~v).bit_length() for v in (low, high))
    return twos_complement(bits)
