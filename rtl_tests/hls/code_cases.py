"""Cases of the units around sums: terms and planes, what makes codes, sum pools; see ``unit_cases``."""

from __future__ import annotations

from itertools import cycle

import numpy as np

from rtl_tests import reference
from rtl_tests.hls.unit_cases import FRAMES, UNIT, UnitCase, in_frames, unit_plan
from rtl_tests.reference import join
from rtl_tests.units import test_codes, test_sum_pool, test_terms
from xnorhw.plan.model import (
    LevelUnit,
    Memory,
    PlaneUnit,
    RequantUnit,
    Stream,
    SumPoolUnit,
    TermsUnit,
    Unit,
    WeightRom,
)

__all__ = ["quantisers", "sum_pools", "terms"]


def sum_pools() -> list[UnitCase]:
    """The bench's units; a frame is a third of its pixels, rounded down."""
    return [_sum_pool(shape) for shape in test_sum_pool.SHAPES]


def _sum_pool(shape: test_sum_pool.Shape) -> UnitCase:
    pixels = test_sum_pool.PIXELS // FRAMES
    taken, given = test_sum_pool._pixels(shape, str(shape))
    taken, given = (
        taken[: FRAMES * pixels * shape.words * shape.groups],
        given[: FRAMES * pixels * shape.words],
    )
    unit = SumPoolUnit(
        UNIT, shape.lanes, shape.in_bits, shape.taps_are[0] == "s", shape.bipolar, shape.taps, shape.groups,
        shape.words, shape.width,
    )  # fmt: skip
    channels = shape.lanes * shape.words
    into = Stream("input", shape.lanes * shape.taps, shape.in_bits, channels, pixels)
    out = Stream("output", shape.lanes, shape.width, channels, pixels)
    plan = unit_plan(unit, into, out, (len(taken) // FRAMES, len(given) // FRAMES))
    return UnitCase(f"sum {shape}", plan, in_frames(taken), in_frames(given))


# --- terms and what makes codes --------------------------------------------------------------


def terms() -> list[UnitCase]:
    """The bench's plane units and terms units."""
    return [_terms(unit) for unit in test_terms.UNITS]


def _terms(unit: test_terms.Planes | test_terms.Terms) -> UnitCase:
    work = test_terms._work(unit, str(unit))
    words = len(work.taken) // FRAMES, len(work.given) // FRAMES
    planned: Unit
    if isinstance(unit, test_terms.Planes):
        planned = PlaneUnit(UNIT, unit.lanes, unit.bits, unit.folds, unit.planes)
        bits, out_bits = unit.bits, 1
    else:
        planned = TermsUnit(UNIT, unit.lanes, unit.in_bits, unit.coefficients, unit.width)
        bits, out_bits = unit.in_bits, unit.width
    into = Stream("input", unit.lanes, bits, unit.lanes, words[0])
    out = Stream("output", unit.lanes, out_bits, unit.lanes, words[1])
    plan = unit_plan(planned, into, out, words)
    return UnitCase(str(unit), plan, in_frames(work.taken), in_frames(work.given))


CODE_TABLES = ((1, 9), (4, 3), (12, 1))
"""Words of a table, and how often a frame goes through it."""


def quantisers() -> list[UnitCase]:
    """The bench's units with tables of one word, of several, and of a frame's length, in turn."""
    cases = []
    for unit, table in zip(test_codes.UNITS, cycle(CODE_TABLES)):
        cases.append(_levels(unit, *table) if isinstance(unit, test_codes.Levels) else _requant(unit, *table))
    return cases


def _levels(unit: test_codes.Levels, depth: int, rounds: int) -> UnitCase:
    generator = np.random.default_rng(list(f"{unit} {depth}".encode()))
    size = (depth, unit.lanes)
    half = 1 << (unit.in_bits - 1)
    table = np.sort(test_codes._signed(generator, unit.in_bits, (*size, unit.levels)), axis=2)
    flip = generator.integers(0, 2, size)
    # sums close to a level, exact ties among them, and others
    chosen = generator.integers(0, unit.levels, (FRAMES * rounds, *size, 1))
    near = np.take_along_axis(np.broadcast_to(table, (FRAMES * rounds, *table.shape)), chosen, axis=3)[..., 0]
    near = np.clip(near + generator.integers(-1, 2, near.shape), -half, half - 1)
    wild = test_codes._signed(generator, unit.in_bits, near.shape)
    sums = np.where(generator.random(near.shape) < 0.7, near, wild)
    given = [reference.levels(part, table, flip) for part in sums]
    lanes = [
        [
            join(list(row), unit.in_bits) | int(f) << (unit.levels * unit.in_bits)
            for row, f in zip(rows, flips, strict=True)
        ]
        for rows, flips in zip(table, flip, strict=True)
    ]
    planned = LevelUnit(UNIT, unit.lanes, unit.in_bits, unit.levels, unit.out_bits)
    words = np.concatenate(given)
    return _quantiser(
        unit, planned, "levels", rounds, sums.reshape(-1, unit.lanes).tolist(), lanes, words.tolist()
    )


def _requant(unit: test_codes.Requant, depth: int, rounds: int) -> UnitCase:
    generator = np.random.default_rng(list(f"{unit} {depth}".encode()))
    size = (depth, unit.lanes)
    sums = test_codes._signed(generator, unit.in_bits, (FRAMES * rounds, *size)).tolist()
    multipliers = test_codes._signed(generator, unit.multiplier_bits, size).tolist()
    addends = test_codes._signed(generator, unit.addend_bits, size).tolist()
    smallest, largest = -(1 << (unit.addend_bits - 1)), (1 << (unit.addend_bits - 1)) - 1
    for word in range(depth):
        for lane in range(unit.lanes):
            if generator.random() < 0.6:
                # the code of one of the sums next to a bound
                target = int(generator.choice([unit.low - 1, unit.low, unit.high, unit.high + 1]))
                some = sums[int(generator.integers(len(sums)))][word][lane]
                if unit.even and generator.random() < 0.5:
                    target = (some * multipliers[word][lane] >> unit.shift) + int(generator.integers(0, 2))
                off = int(generator.integers(-1 if unit.even else 0, 2))
                addend = (target << unit.shift) - off - some * multipliers[word][lane]
                addends[word][lane] = min(max(addend, smallest), largest)
    given = [
        [
            reference.requant(s, m, a, unit.shift, unit.low, unit.high, unit.even)
            for s, m, a in zip(part[word], multipliers[word], addends[word], strict=True)
        ]
        for part in sums
        for word in range(depth)
    ]
    lanes = [
        [
            join([m], unit.multiplier_bits) | join([a], unit.addend_bits) << unit.multiplier_bits
            for m, a in zip(ms, rest, strict=True)
        ]
        for ms, rest in zip(multipliers, addends, strict=True)
    ]
    planned = RequantUnit(
        UNIT, unit.lanes, unit.in_bits, unit.multiplier_bits, unit.addend_bits, unit.shift, unit.low,
        unit.high, unit.out_bits, unit.even,
    )  # fmt: skip
    return _quantiser(unit, planned, "factors", rounds, [w for part in sums for w in part], lanes, given)


def _quantiser(
    unit: test_codes.Unit,
    planned: LevelUnit | RequantUnit,
    port: str,
    rounds: int,
    sums: list[list[int]],
    table: list[list[int]],
    given: list[list[int]],
) -> UnitCase:
    depth = len(table)
    width = unit.lanes * unit.constant_bits
    memory = Memory.BLOCK if depth > 4 else Memory.LUT
    rom = WeightRom(port, width, depth, memory, port)
    words = depth * rounds
    into = Stream("input", unit.lanes, unit.in_bits, unit.lanes * depth, rounds)
    out = Stream("output", unit.lanes, unit.out_bits, unit.lanes * depth, rounds)
    plan = unit_plan(planned, into, out, (words, words), roms=(rom,))
    return UnitCase(
        f"{unit}d{depth}",
        plan,
        in_frames([join(word, unit.in_bits) for word in sums]),
        in_frames([join(word, unit.out_bits) for word in given]),
        table=tuple(join(word, unit.constant_bits) for word in table),
    )
