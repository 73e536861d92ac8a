"""How a block ROM is cut where one memory of its width and depth is not what serves best.

A device's block RAM has a few shapes, and a ROM that is a little deeper or wider than one of them pays
for it: with multiplexers between memories that stand one above the other, or with a block for the last
words or columns.  Two cuts are offered beside the memory that a synthesiser makes of the whole:

``TALL``: columns so narrow that one block RAM holds all of their words; nothing is chosen between.
``MIXED``: as few blocks as there can be.  A deep ROM is a stack of parts that a block RAM's height fills,
and of its last words, where these are few, in LUTs; of a shallow one half of the columns are in LUTs.
"""

from __future__ import annotations

from functools import lru_cache

from xnorhw.ir.geometry import ceil_div
from xnorhw.plan.memory_cost import MOST_LUT_WORDS, block_rom, block_rom_mux, clog2, lut_rom
from xnorhw.plan.model import Memory, Resources, RomPart

__all__ = ["ROWS", "parts_resources", "rom_parts"]

ROWS = 512
"""Words of the lowest block RAM: a part begins at a multiple of it, and one behind which another stands
ends at one."""

# width -> depth of a RAMB36 (UG473, table 1-13; 72 bits wide with one port to read)
_RAMB36 = ((72, 512), (36, 1024), (18, 2048), (9, 4096), (4, 8192), (2, 16384), (1, 32768))

# The columns of half a RAMB36, which is the least that is taken away or left.
_COLUMNS = 36

# The most parts of one height above one another.
_MOST_PARTS = 16

# Of fewer words a column is a LUT or less: what a block RAM is never for.
_LEAST_WORDS = 16


@lru_cache(maxsize=65536)
def rom_parts(width: int, depth: int, memory: Memory) -> tuple[RomPart, ...]:
    """The parts of a ROM of ``depth`` words of ``width`` bits in ``memory``; () where it has no such cut,
    or where that would save nothing."""
    if memory is Memory.TALL:
        return _tall(width, depth)
    if memory is Memory.MIXED:
        return _stacked(width, depth) if depth > MOST_LUT_WORDS else _narrow(width, depth)
    return ()


def _tall(width: int, depth: int) -> tuple[RomPart, ...]:
    column = max((w for w, d in _RAMB36 if d >= depth), default=0)
    if column == 0 or block_rom_mux(width, depth) == 0:
        return ()
    parts = tuple(
        RomPart(low, min(column, width - low), 0, depth, Memory.BLOCK) for low in range(0, width, column)
    )
    return parts if _plain(parts) else ()


def _stacked(width: int, depth: int) -> tuple[RomPart, ...]:
    """Of the stacks with the fewest blocks that with the fewest LUTs."""
    found = [
        tuple(RomPart(0, width, *part) for part in _heights(depth, high, rest))
        for _, high in _RAMB36
        # what joins more parts than this is larger than what it saves
        if depth <= _MOST_PARTS * high and (depth < high or block_rom_mux(width, high) == 0)
        for rest in (False, True)
    ]

    def cost(parts: tuple[RomPart, ...]) -> tuple[float, float]:
        made = parts_resources(depth, parts)
        return made.bram36, made.lut

    least = min((parts for parts in found if _plain(parts)), key=cost, default=())
    whole = (RomPart(0, width, 0, depth, Memory.BLOCK),)
    return least if least and cost(least) < cost(whole) else ()


def _plain(parts: tuple[RomPart, ...]) -> bool:
    """Whether each part is as high as its block RAMs: no synthesiser then has a better shape for it."""
    return all(
        part.memory is not Memory.BLOCK or block_rom_mux(part.width, part.words) == 0 for part in parts
    )


def _heights(depth: int, high: int, rest: bool) -> list[tuple[int, int, Memory]]:
    """The first word, the words and the memory of parts of ``high`` words, and of what is left.

    ``rest``: what of that fills no row of block RAMs is in LUTs, where these hold so many words and what is
    before them is as high as a block RAM.  So the upper bits of an address name the part.
    """
    parts = [(first, high, Memory.BLOCK) for first in range(0, depth - high + 1, high)]
    first = len(parts) * high
    left = depth - first
    rows, last = divmod(left, ROWS)
    if not rest or last > MOST_LUT_WORDS or rows & (rows - 1):
        last = 0
    if left > last:
        parts.append((first, left - last, Memory.BLOCK))
    if last:
        parts.append((depth - last, last, Memory.LUT))
    return parts


def _narrow(width: int, depth: int) -> tuple[RomPart, ...]:
    """Half of the block RAMs, and the columns that these do not hold in LUTs."""
    kept = width // (2 * _COLUMNS) * _COLUMNS
    if kept == 0 or depth < _LEAST_WORDS:
        return ()
    return (
        RomPart(0, kept, 0, depth, Memory.BLOCK),
        RomPart(kept, width - kept, 0, depth, Memory.LUT),
    )


def parts_resources(depth: int, parts: tuple[RomPart, ...]) -> Resources:
    """A ROM in ``parts``: their memories, the counter, the register behind them, and where words are
    divided between them the OR that joins them and what says which one reads."""
    bits = clog2(depth)
    width = max(part.low + part.width for part in parts)
    lut = 1.0 if depth & (depth - 1) == 0 else 0.65 * bits
    ff = bits + 2.0 + width
    bram36, joined = 0.0, 0
    for part in parts:
        divided = part.words < depth
        joined += divided
        if part.memory is Memory.BLOCK:
            lut += block_rom_mux(part.width, part.words) + 1.5 * divided
            bram36 += block_rom(part.width, part.words)
        else:
            # its address waits for the block RAM's register, and no reset makes its word 0
            lut += lut_rom(part.width, part.words) + divided
            ff += clog2(part.words) + divided
            joined += divided
    if joined > 1:
        lut += width * (1 if joined <= 6 else ceil_div(joined - 1, 5) + 1)
    return Resources(lut=lut, ff=ff, bram36=bram36)
