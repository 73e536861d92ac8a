"""ROMs that are modules of their own, of LUTs by name or in parts: contents, order, rate, reset, however
LUTs and parts are joined."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import cocotb

from rtl_tests.reference import starts
from rtl_tests.runner import Case, Port, run_bench
from rtl_tests.streams import STALLS, Bench, Stalls, named
from xnorhw.emit.made_rom import module
from xnorhw.emit.wiring import part_file
from xnorhw.pack.parts import part_words
from xnorhw.plan.model import Memory, StartRom, WeightRom
from xnorhw.plan.rom_parts import rom_parts


@dataclass(frozen=True)
class Rom:
    """A ROM of ``depth`` words of ``width`` bits."""

    width: int
    depth: int

    def __str__(self) -> str:
        return f"w{self.width}x{self.depth}"

    @property
    def words(self) -> list[int]:
        generator = random.Random(str(self))
        return [generator.getrandbits(self.width) for _ in range(self.depth)]

    @property
    def frame(self) -> list[int]:
        """The words in the order in which they are given."""
        return self.words

    @property
    def unit(self) -> WeightRom | StartRom:
        """As the emitter takes it."""
        return WeightRom(str(self), self.width, self.depth, Memory.LUT, f"{self}.mem", luts=True)


@dataclass(frozen=True)
class Starts(Rom):
    """A ROM of starts: ``depth`` lines of classes x groups."""

    groups: int
    row_class: tuple[int, ...]
    column_class: tuple[int, ...]

    @property
    def frame(self) -> list[int]:
        columns = max(self.column_class) + 1
        return starts(self.words, self.groups, self.row_class, self.column_class, columns)

    @property
    def unit(self) -> WeightRom | StartRom:
        sizes = self.groups, self.row_class, self.column_class
        classes = max(self.row_class) + 1, max(self.column_class) + 1
        return StartRom(str(self), self.width, *sizes, *classes, f"{self}.mem", luts=True)


@dataclass(frozen=True)
class Cut(Rom):
    """A block ROM in parts."""

    cut: Memory

    def __str__(self) -> str:
        return f"{self.cut.value}{self.width}x{self.depth}"

    @property
    def unit(self) -> WeightRom:
        parts = rom_parts(self.width, self.depth, self.cut)
        assert parts
        return WeightRom(str(self), self.width, self.depth, self.cut, f"{self}.mem", parts=parts)


# columns of one width and a narrower last one; stacks that end in LUTs behind two rows and behind a whole
# block, in one word; columns in LUTs by pairs and one by one
CUTS = (
    Cut(32, 1200, Memory.TALL),
    Cut(40, 2100, Memory.TALL),
    Cut(27, 5200, Memory.MIXED),
    Cut(9, 2049, Memory.MIXED),
    Cut(8, 2080, Memory.MIXED),
    Cut(36, 1200, Memory.MIXED),
    Cut(75, 30, Memory.MIXED),
    Cut(150, 70, Memory.MIXED),
)

ROMS: tuple[Rom, ...] = tuple(
    Rom(width, depth)
    for width, depth in (
        (1, 1),
        (5, 2),
        (8, 17),
        (64, 32),
        (7, 33),
        (130, 64),
        (9, 65),
        (4, 128),
        (5, 129),
        (3, 192),
        (6, 193),
        (2, 256),
    )
) + (
    Starts(11, 6, 6, (0,) * 3, (0,) * 4),
    Starts(8, 18, 2, (0, 1, 1, 2), (0, 1, 1, 1, 2)),
    Starts(7, 72, 8, (0, 1, 2), (0, 1, 1, 2)),
    *CUTS,
)


@cocotb.test()
@cocotb.parametrize(rom=named(ROMS), stalls=named((STALLS[0], STALLS[2], STALLS[4])))
async def contents(dut: Any, rom: Rom, stalls: Stalls) -> None:
    """Three rounds of the words in their order; again from the start after a reset in between."""
    bench = Bench(dut, str(rom), stalls, sources=())
    await bench.start()
    for count in (len(rom.frame) + 1, 3 * len(rom.frame)):
        assert await bench.receive(count, 100 + 100 * count) == (rom.frame * 3)[:count]
        await bench.reset()


@cocotb.test()
@cocotb.parametrize(rom=named(ROMS))
async def rate(dut: Any, rom: Rom) -> None:
    """A word a clock from the first on."""
    bench = Bench(dut, str(rom), STALLS[0], sources=())
    await bench.start()
    count = 2 * len(rom.frame) + 3
    await bench.receive(count, 10 + 2 * count)
    clocks = bench.sink.clocks
    assert clocks[-1] - clocks[0] == count - 1


def _modules() -> dict[str, str]:
    found = {}
    for rom in ROMS:
        found[f"rom_{rom}.sv"] = module(f"rom_{rom}", "test", rom.unit, "drawn", rom.words)
    return found


def _memories() -> dict[str, str]:
    found = {}
    for rom in CUTS:
        for i, part in enumerate(rom.unit.parts):
            if part.memory is Memory.BLOCK:
                words = part_words(rom.words, part)
                found[part_file("test", rom.unit, i)] = "".join(f"{word:x}\n" for word in words)
    return found


def cases() -> list[Case]:
    """Every instance of the bench."""
    return [Case(str(rom), f"rom_{rom}", {}, (Port("m", rom.width, False),)) for rom in ROMS]


def test_lut_roms() -> None:
    run_bench("lut_roms", __name__, cases(), modules=_modules(), files=_memories())
