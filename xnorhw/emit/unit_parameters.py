"""What an instance of a unit is told: the widths of its ports, its numbers as vectors, its comment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xnorhw.ir.types import type_for_range
from xnorhw.plan.model import (
    AbsSumUnit,
    AddUnit,
    ConcatUnit,
    Converter,
    ForkUnit,
    LevelUnit,
    MatrixUnit,
    MultiplyUnit,
    PlaneUnit,
    PoolUnit,
    RequantUnit,
    StartRom,
    SumPoolUnit,
    TermsUnit,
    Unit,
    WeightRom,
    Window,
)

__all__ = [
    "Classes",
    "Summands",
    "classes_of",
    "comment_of",
    "input_bits",
    "output_bits",
    "ports_of",
    "summands_of",
    "vector_of",
]

# of a number in the vectors of an adder's parameters, and of a concatenation's
SUMMAND_BITS = 8
WORDS_BITS = 16


@dataclass(frozen=True)
class Classes:
    """A start ROM's position classes as vectors: entry i at bits [i*bits +: bits]."""

    bits: int
    rows: int
    columns: int


@dataclass(frozen=True)
class Summands:
    """An adder's inputs as vectors, input 0 lowest: eight bits each of ``bits`` and ``shifts``, one of
    the others; ``width`` bits have all inputs' words."""

    bits: int
    shifts: int
    signed: int
    bipolar: int
    width: int


def input_bits(unit: Unit, port: str) -> tuple[int, int]:
    """(word width, element width) that a unit's port takes; element width 0: any."""
    if isinstance(unit, Converter) and port == "data":
        return unit.in_bits, 0
    if isinstance(unit, Window) and port == "data":
        return unit.lanes * unit.bits, unit.bits
    if isinstance(unit, PoolUnit) and port == "data":
        return unit.taps_per_word * unit.lanes * unit.bits, unit.bits
    if isinstance(unit, SumPoolUnit) and port == "data":
        return unit.taps_per_word * unit.lanes * unit.in_bits, unit.in_bits
    if isinstance(unit, PlaneUnit) and port == "data":
        return unit.lanes * unit.bits, unit.bits
    if isinstance(unit, TermsUnit | LevelUnit | RequantUnit) and port == "data":
        return unit.lanes * unit.in_bits, unit.in_bits
    if isinstance(unit, LevelUnit) and port == "levels":
        return unit.lanes * (unit.levels * unit.in_bits + 1), 0
    if isinstance(unit, RequantUnit) and port == "factors":
        return unit.lanes * (unit.multiplier_bits + unit.addend_bits), 0
    if isinstance(unit, ForkUnit) and port == "data":
        return unit.width, 0
    if isinstance(unit, AbsSumUnit) and port == "data":
        return unit.lanes * unit.in_bits, unit.in_bits
    if isinstance(unit, AddUnit | ConcatUnit | MultiplyUnit) and port in _joined(unit):
        return _joined(unit)[port]
    if isinstance(unit, MatrixUnit):
        if port == "data":
            return unit.pixels * unit.simd * unit.act_bits, unit.act_bits
        if port == "weights":
            return unit.pe * unit.simd * unit.weight_bits, 0
        if port == "starts":
            return unit.rows * unit.start_bits, 0
    raise ValueError(f"{unit.name}: a {type(unit).__name__} has no input port {port!r}")


def _joined(unit: AddUnit | ConcatUnit | MultiplyUnit) -> dict[str, tuple[int, int]]:
    """(word width, element width) of each port of a unit that joins streams."""
    if isinstance(unit, AddUnit):
        sizes = [(unit.lanes * bits, bits) for bits in unit.in_bits]
    elif isinstance(unit, ConcatUnit):
        sizes = [(unit.lanes * unit.bits, unit.bits)] * len(unit.words)
    else:
        sizes = [(unit.lanes * unit.in_bits, unit.in_bits), (unit.factor_bits, unit.factor_bits)]
    return {f"data{i}": size for i, size in enumerate(sizes)}


def ports_of(unit: Unit) -> tuple[str, ...]:
    """Every port of a unit that must be fed."""
    if isinstance(unit, AddUnit | ConcatUnit | MultiplyUnit):
        return tuple(_joined(unit))
    if isinstance(unit, MatrixUnit):
        return ("data", "starts") if unit.leaf else ("data", "weights", "starts")
    if isinstance(unit, LevelUnit):
        return "data", "levels"
    if isinstance(unit, RequantUnit):
        return "data", "factors"
    return () if isinstance(unit, WeightRom | StartRom) else ("data",)


def output_bits(unit: Unit) -> int:
    """Bits of the words that a unit gives, of each copy of a fork."""
    if isinstance(unit, Converter):
        return unit.out_bits
    if isinstance(unit, Window):
        return unit.out_lanes * unit.bits
    if isinstance(unit, MatrixUnit):
        return unit.rows * unit.out_bits
    if isinstance(unit, PoolUnit | ConcatUnit):
        return unit.lanes * unit.bits
    if isinstance(unit, AbsSumUnit):
        return unit.out_bits
    if isinstance(unit, PlaneUnit):
        return unit.lanes
    if isinstance(unit, TermsUnit | LevelUnit | RequantUnit | SumPoolUnit | AddUnit | MultiplyUnit):
        return unit.lanes * unit.out_bits
    return unit.width


def classes_of(rom: StartRom) -> Classes:
    """A start ROM's position classes as vectors."""
    bits = max(1, (max(rom.row_classes, rom.column_classes) - 1).bit_length())
    rows = sum(c << (i * bits) for i, c in enumerate(rom.row_class))
    columns = sum(c << (i * bits) for i, c in enumerate(rom.column_class))
    return Classes(bits, rows, columns)


def comment_of(unit: Unit, what: str, turns: str) -> str:
    """What a unit does, in a line.

    ``what``: what a ROM's words are; ``turns``: what a matrix unit does one after the other.
    """
    if isinstance(unit, Converter):
        return f"words of {unit.in_bits} bits to words of {unit.out_bits}, cut every {unit.packet_bits} bits"
    if isinstance(unit, Window):
        kernel = "x".join(str(k) for k in unit.geometry.kernel)
        ring = f"{kernel} over a ring of {unit.depth} words"
        if unit.spread is not None:
            beside = unit.spread.row // unit.geometry.kernel[1]
            ring += f" of {beside} pixels, {unit.spread.pixels} pixels made"
        return f"map {unit.height} x {unit.width} to {unit.out_height} x {unit.out_width}, {ring}"
    if isinstance(unit, MatrixUnit):
        end = "thresholds" if unit.thresholded else "sums"
        end = f"weights of {unit.weight_bits} bits, {end}" if unit.full else end
        end = f"weights in its adders, {end}" if unit.leaf else end
        end = f"{unit.dsp_pes} PEs in DSPs, {end}" if unit.dsp_pes else end
        end = f"{unit.pixels} pixels at once, {end}" if unit.pixels > 1 else end
        return f"PE {unit.pe} x SIMD {unit.simd}, {unit.folds} folds, {unit.groups} {turns}, {end}"
    if isinstance(unit, WeightRom):
        return f"{unit.depth} {what} words of {unit.width} bits"
    if isinstance(unit, StartRom):
        return f"accumulator starts: {unit.classes} position classes x {unit.groups} {turns}"
    if isinstance(unit, PlaneUnit):
        return f"code > {', '.join(map(str, unit.planes))} in turn, {unit.folds} words each"
    if isinstance(unit, TermsUnit):
        return f"terms weighed by {', '.join(map(str, unit.coefficients))} and summed, {unit.lanes} lanes"
    if isinstance(unit, LevelUnit):
        return f"{unit.levels} levels to codes of {unit.out_bits} bits, {unit.lanes} lanes"
    if isinstance(unit, RequantUnit):
        end = f"codes of {unit.out_bits} bits, {unit.lanes} lanes"
        shifted = f">> {unit.shift}{', ties to even' if unit.even else ''}"
        return f"times {unit.multiplier_bits} bits, plus {unit.addend_bits}, {shifted}, to {end}"
    if isinstance(unit, ForkUnit):
        return f"words of {unit.width} bits to {unit.copies} targets"
    if isinstance(unit, AddUnit):
        summands = [f"{bits} bits << {shift}" for bits, shift in zip(unit.in_bits, unit.shifts, strict=True)]
        return f"sums of {', '.join(summands)}, {unit.lanes} lanes"
    if isinstance(unit, ConcatUnit):
        return f"{', '.join(map(str, unit.words))} words of {unit.lanes} lanes one behind the other"
    if isinstance(unit, AbsSumUnit):
        return f"magnitudes summed, {unit.words_per_pixel} x {unit.lanes} lanes a pixel"
    if isinstance(unit, MultiplyUnit):
        size = f"{unit.words_per_pixel} x {unit.lanes} lanes a factor"
        return f"{unit.in_bits} bits times {unit.factor_bits} bits, {size}"
    return f"{unit.taps_per_word} of {unit.taps_per_word * unit.tap_groups} taps a clock, {unit.lanes} lanes"


def vector_of(unit: Unit) -> tuple[int, int]:
    """A unit's row of numbers as one vector, the first lowest, and the bits of one (0: said elsewhere)."""
    if isinstance(unit, Window):
        return int(unit.pad_word, 16), 0
    if isinstance(unit, PoolUnit):
        return int(unit.invert, 16), 0
    if isinstance(unit, PlaneUnit):
        return _packed(unit.planes, unit.bits), unit.bits
    if isinstance(unit, TermsUnit):
        bits = type_for_range(min(unit.coefficients), max(unit.coefficients)).bits
        return _packed(unit.coefficients, bits), bits
    if isinstance(unit, ConcatUnit):
        return _packed(unit.words, WORDS_BITS), WORDS_BITS
    return 0, 0


def summands_of(unit: AddUnit) -> Summands:
    """What an adder takes as vectors; ValueError where a number has no place in them."""
    if not len(unit.in_bits) == len(unit.in_signed) == len(unit.in_bipolar) == len(unit.shifts):
        raise ValueError(f"{unit.name}: its inputs are not as many as their shifts, signs and encodings")
    return Summands(
        bits=_packed(unit.in_bits, SUMMAND_BITS),
        shifts=_packed(unit.shifts, SUMMAND_BITS),
        signed=_packed(unit.in_signed, 1),
        bipolar=_packed(unit.in_bipolar, 1),
        width=unit.lanes * sum(unit.in_bits),
    )


def _packed(numbers: Sequence[int], bits: int) -> int:
    if min(numbers) < -(1 << (bits - 1)) or max(numbers) >= 1 << bits:
        raise ValueError(f"a number of {tuple(numbers)} does not fit in {bits} bits")
    return sum((n & ((1 << bits) - 1)) << (i * bits) for i, n in enumerate(numbers))
