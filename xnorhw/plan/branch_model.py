"""The hardware units that take a network apart and join it again (``plan.unit_model`` has the others)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AbsSumUnit", "AddUnit", "ConcatUnit", "ForkUnit", "MultiplyUnit"]


@dataclass(frozen=True)
class ForkUnit:
    """Gives each word to ``copies`` targets (RTL ``xh_fork``).

    Each target takes a word when it can; the next word comes when all have it.  The edges that
    leave the unit, in the plan's order, are its outputs.
    """

    name: str
    width: int
    copies: int


@dataclass(frozen=True)
class AddUnit:
    """Per lane the sum of input i times 2^shifts[i] (RTL ``xh_add``).

    Takes on each port "data0", "data1", ... one word of ``lanes`` elements of ``in_bits[i]`` bits:
    two's complement where ``in_signed[i]``, signs where ``in_bipolar[i]`` (bit 1 is +1, bit 0 is
    -1), else unsigned.  Gives one word of ``lanes`` signed sums of ``out_bits`` bits.
    """

    name: str
    lanes: int
    in_bits: tuple[int, ...]
    in_signed: tuple[bool, ...]
    in_bipolar: tuple[bool, ...]
    shifts: tuple[int, ...]
    out_bits: int


@dataclass(frozen=True)
class ConcatUnit:
    """The channels of several maps one behind the other (RTL ``xh_concat``).

    For each pixel takes ``words[0]`` words of ``lanes`` x ``bits`` on port "data0" and gives them
    as they are, then ``words[1]`` words from "data1", and so on.
    """

    name: str
    lanes: int
    bits: int
    words: tuple[int, ...]


@dataclass(frozen=True)
class AbsSumUnit:
    """The sum of a pixel's magnitudes over all its channels (RTL ``xh_abs_sum``).

    Takes ``words_per_pixel`` words of ``lanes`` signed elements of ``in_bits`` bits, of which the
    last word has ``last_lanes`` real ones, gives one word of ``out_bits`` bits, signed.
    """

    name: str
    lanes: int
    in_bits: int
    words_per_pixel: int
    last_lanes: int
    out_bits: int


@dataclass(frozen=True)
class MultiplyUnit:
    """A map times a factor a pixel (RTL ``xh_multiply``): XNOR-Net's input scale K (eq. 11).

    Takes ``words_per_pixel`` words of ``lanes`` signed elements of ``in_bits`` bits on port
    "data0" and one word of ``factor_bits`` bits, signed, on port "data1" a pixel; gives the
    products, signed, ``out_bits`` wide.
    """

    name: str
    lanes: int
    in_bits: int
    factor_bits: int
    words_per_pixel: int
    out_bits: int
