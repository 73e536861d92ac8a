"""How block ROMs are cut: each bit of each word in one part, and what is gained by it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnorhw.plan.memory_cost import block_ram, block_rom, block_rom_mux
from xnorhw.plan.model import Memory, WeightRom
from xnorhw.plan.resources import unit_resources
from xnorhw.plan.rom_parts import ROWS, parts_resources, rom_parts


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 700), st.integers(1, 40_000), st.sampled_from([Memory.TALL, Memory.MIXED]))
def test_each_bit_is_in_one_part(width: int, depth: int, memory: Memory) -> None:
    parts = rom_parts(width, depth, memory)
    if not parts:
        return
    # corners suffice: parts are as wide as the ROM or as deep
    held = np.zeros((width, depth), np.uint8)
    for part in parts:
        held[part.low : part.low + part.width, part.first : part.first + part.words] += 1
        if part.memory is Memory.BLOCK:
            assert block_rom_mux(part.width, part.words) == 0
        else:
            assert part.words <= 256 and memory is Memory.MIXED
        if part.words < depth:
            # the upper bits of the address name the part
            assert part.width == width and part.first % ROWS == 0
            span = max((part.words - 1).bit_length(), (ROWS - 1).bit_length())
            assert part.first % (1 << span) == 0
            others = [p for p in parts if p is not part]
            assert all(p.first >> span != part.first >> span for p in others)
    assert (held == 1).all()


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 300), st.integers(257, 40_000))
def test_a_cut_gains(width: int, depth: int) -> None:
    whole = unit_resources(WeightRom("u", width, depth, Memory.BLOCK, "f"))
    tall, mixed = (rom_parts(width, depth, memory) for memory in (Memory.TALL, Memory.MIXED))
    if tall:
        assert parts_resources(depth, tall).lut < whole.lut
    if mixed:
        found = parts_resources(depth, mixed)
        assert (found.bram36, found.lut) < (whole.bram36, whole.lut)


@pytest.mark.parametrize(
    ("width", "depth", "memory", "bram36"),
    [
        (128, 2592, Memory.BLOCK, 11.0),  # three rows of 1,024: 384 columns of 18 bits a RAMB18
        (128, 2592, Memory.TALL, 14.5),  # 14 columns of 9 bits and one of 2
        (128, 2592, Memory.MIXED, 9.5),  # 2,048 words, 512, and 32 in LUTs
        (27, 22_446, Memory.MIXED, 16.5),  # five rows of 4,096 and one of 2,048
        (384, 192, Memory.MIXED, 2.5),  # 180 of the columns
    ],
)
def test_blocks_by_hand(width: int, depth: int, memory: Memory, bram36: float) -> None:
    rom = WeightRom("u", width, depth, memory, "f", parts=rom_parts(width, depth, memory))
    assert unit_resources(rom).bram36 == bram36


def test_no_cut_where_one_block_is_high_enough() -> None:
    assert rom_parts(64, 512, Memory.TALL) == ()
    assert rom_parts(512, 288, Memory.MIXED) == ()  # its ports take the blocks
    assert rom_parts(4, 40_000, Memory.TALL) == ()  # higher than any block
    assert rom_parts(400, 15, Memory.MIXED) == ()  # few words are LUTs
    assert rom_parts(60, 100, Memory.MIXED) == ()  # half of a block is the least
    assert rom_parts(36, 1500, Memory.BLOCK) == rom_parts(36, 1500, Memory.LUT) == ()


def test_columns_share_a_block_where_nobody_writes() -> None:
    assert (block_ram(16, 16_384), block_rom(16, 16_384)) == (8.0, 7.5)
    assert (block_ram(4, 4500), block_rom(4, 4500)) == (1.0, 0.5)
