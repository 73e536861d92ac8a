"""The stages of the C++ core at which streams part and meet."""

from __future__ import annotations

from dataclasses import dataclass

from xnorhw.plan.branch_model import AbsSumUnit, AddUnit, ConcatUnit, ForkUnit, MultiplyUnit
from xnorhw.plan.hls_stage import StageBase

__all__ = ["AbsSum", "Add", "Concat", "Fork", "Multiply"]


@dataclass(frozen=True)
class Fork(StageBase):
    """Writes each of ``words`` words to every target, to all in one turn."""

    unit: ForkUnit
    words: int
    kind: str = "fork"


@dataclass(frozen=True)
class Add(StageBase):
    """An add unit over ``words`` words of each source."""

    unit: AddUnit
    words: int
    kind: str = "add"

    @property
    def operands(self) -> tuple[tuple[int, bool, bool, int], ...]:
        """Of each source: bits of an element, whether signed, whether signs, the shift."""
        u = self.unit
        return tuple(zip(u.in_bits, u.in_signed, u.in_bipolar, u.shifts, strict=True))


@dataclass(frozen=True)
class Concat(StageBase):
    """A concat unit over ``pixels`` pixels."""

    unit: ConcatUnit
    pixels: int
    kind: str = "concat"

    @property
    def ends(self) -> tuple[int, ...]:
        """For each source the words of a pixel that it and those in front of it give."""
        return tuple(sum(self.unit.words[: i + 1]) for i in range(len(self.unit.words)))


@dataclass(frozen=True)
class AbsSum(StageBase):
    """A unit of magnitudes' sums over ``pixels`` pixels."""

    unit: AbsSumUnit
    pixels: int
    kind: str = "abs_sum"

    @property
    def word_bits(self) -> int:
        """Bits of a signed number that holds the magnitudes of one word."""
        return self.unit.in_bits + 1 + (self.unit.lanes - 1).bit_length()


@dataclass(frozen=True)
class Multiply(StageBase):
    """A multiply unit over ``pixels`` pixels: the factors come from the second source."""

    unit: MultiplyUnit
    pixels: int
    kind: str = "multiply"
