"""xh_weight_rom and xh_start_rom: contents, order, position classes, full rate, reset."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import cocotb

from rtl_tests.reference import join, starts
from rtl_tests.runner import Case, Port, bits, run_bench
from rtl_tests.streams import STALLS, Bench, Stalls, named


@dataclass(frozen=True)
class Weights:
    """A weight ROM."""

    width: int
    depth: int
    block: bool

    def __str__(self) -> str:
        return f"w{self.width}x{self.depth}{'block' if self.block else 'lut'}"


@dataclass(frozen=True)
class Starts:
    """A start ROM: the class of each output row and column, and how many there are."""

    width: int
    groups: int
    row_class: tuple[int, ...]
    column_class: tuple[int, ...]

    def __str__(self) -> str:
        return f"s{self.width}g{self.groups}y{len(self.row_class)}x{len(self.column_class)}c{self.columns}"

    @property
    def rows(self) -> int:
        return max(self.row_class) + 1

    @property
    def columns(self) -> int:
        return max(self.column_class) + 1


WEIGHTS = tuple(
    Weights(width, depth, block)
    for width, depth in ((1, 1), (5, 2), (64, 9), (130, 16), (7, 37))
    for block in (False, True)
)
STARTS = (
    Starts(8, 1, (0,), (0,)),
    Starts(9, 5, (0,) * 4, (0,) * 3),
    Starts(8, 1, (0, 1, 1, 2), (0, 1, 1, 1, 2)),
    Starts(12, 3, (0, 1, 2), (0, 1, 1, 2)),
    Starts(70, 4, (0, 1, 1, 1), (0,)),
    Starts(7, 2, (0,), (0, 1, 2, 3, 4)),
    Starts(3, 2, (0, 1, 2, 1, 0), (0, 0, 1)),
)


def _lines(name: str, width: int, count: int) -> list[int]:
    generator = random.Random(name)
    return [generator.getrandbits(width) for _ in range(count)]


def _frame(rom: Weights | Starts) -> list[int]:
    if isinstance(rom, Weights):
        return _lines(str(rom), rom.width, rom.depth)
    lines = _lines(str(rom), rom.width, rom.rows * rom.columns * rom.groups)
    return starts(lines, rom.groups, rom.row_class, rom.column_class, rom.columns)


@cocotb.test()
@cocotb.parametrize(rom=named((*WEIGHTS, *STARTS)), stalls=named((STALLS[0], STALLS[2], STALLS[4])))
async def contents(dut: Any, rom: Weights | Starts, stalls: Stalls) -> None:
    """Three rounds of the words in their order; again from the start after a reset in between."""
    bench = Bench(dut, str(rom), stalls, sources=())
    await bench.start()
    frame = _frame(rom)
    for count in (len(frame) + 1, 3 * len(frame)):
        assert await bench.receive(count, 100 + 100 * count) == (frame * 3)[:count]
        await bench.reset()


@cocotb.test()
@cocotb.parametrize(rom=named((*WEIGHTS, *STARTS)))
async def rate(dut: Any, rom: Weights | Starts) -> None:
    """A word every clock, from round to round."""
    bench = Bench(dut, str(rom), STALLS[0], sources=())
    await bench.start()
    count = 3 * len(_frame(rom))
    await bench.receive(count, 10 + 2 * count)
    clocks = bench.sink.clocks[:count]
    assert clocks[-1] - clocks[0] == count - 1


def _weight_case(rom: Weights) -> Case:
    parameters = {
        "WIDTH": str(rom.width),
        "DEPTH": str(rom.depth),
        "BLOCK_ROM": f"1'b{int(rom.block)}",
        "FILE": f'"{rom}.mem"',
    }
    return Case(str(rom), "xh_weight_rom", parameters, (Port("m", rom.width, False),))


def _start_case(rom: Starts) -> Case:
    class_bits = max(1, (max(rom.rows, rom.columns) - 1).bit_length())
    parameters = {
        "WIDTH": str(rom.width),
        "GROUPS": str(rom.groups),
        "OUT_HEIGHT": str(len(rom.row_class)),
        "OUT_WIDTH": str(len(rom.column_class)),
        "ROW_CLASSES": str(rom.rows),
        "COLUMN_CLASSES": str(rom.columns),
        "CLASS_BITS": str(class_bits),
        "ROW_CLASS": bits(join(rom.row_class, class_bits), len(rom.row_class) * class_bits),
        "COLUMN_CLASS": bits(join(rom.column_class, class_bits), len(rom.column_class) * class_bits),
        "FILE": f'"{rom}.mem"',
    }
    return Case(str(rom), "xh_start_rom", parameters, (Port("m", rom.width, False),))


def cases() -> list[Case]:
    """Every instance of the bench."""
    return [*(_weight_case(rom) for rom in WEIGHTS), *(_start_case(rom) for rom in STARTS)]


def memories() -> dict[str, str]:
    """The ROMs' files."""
    files = {}
    for rom in (*WEIGHTS, *STARTS):
        count = rom.depth if isinstance(rom, Weights) else rom.rows * rom.columns * rom.groups
        lines = _lines(str(rom), rom.width, count)
        files[f"{rom}.mem"] = "".join(f"{line:0{-(-rom.width // 4)}x}\n" for line in lines)
    return files


def test_roms() -> None:
    run_bench("roms", __name__, cases(), files=memories())
