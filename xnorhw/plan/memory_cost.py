"""What memories cost: block RAM, RAM and ROM of LUTs, FIFOs, by formula (``plan.resources`` says of what)."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, expm1, log2

from xnorhw.ir.geometry import ceil_div
from xnorhw.plan.model import Fifo, Memory, Resources, StartRom

__all__ = [
    "MOST_LUT_WORDS",
    "block_mux",
    "block_ram",
    "block_rom",
    "block_rom_mux",
    "clog2",
    "fifo_in_block_ram",
    "fifo_resources",
    "lut_ram",
    "lut_rom",
    "lut_table",
    "luts_by_name",
    "mux",
    "ring_resources",
    "rom_resources",
    "start_resources",
]

# width -> depth of a RAMB18 (UG473, table 1-14); wider words are cut into columns
_RAMB18 = ((1, 16384), (2, 8192), (4, 4096), (9, 2048), (18, 1024), (36, 512))

# columns of a LUT6_2, words of a LUT6, words of the four that MUXF7 and MUXF8 join
_PAIR_WORDS, _LUT_WORDS, MOST_LUT_WORDS = 32, 64, 256


def clog2(n: int) -> int:
    """Bits that tell n values apart, 0 for one."""
    return (n - 1).bit_length()


def mux(inputs: int) -> float:
    """LUTs of a multiplexer a bit: trees of 4:1 while few inputs, a logarithmic shifter beyond."""
    if inputs <= 1:
        return 0.0
    return min(ceil((inputs - 1) / 3), 1.5 * log2(inputs))


def block_ram(width: int, depth: int) -> float:
    """BRAM36 of a memory of ``depth`` words of ``width`` bits: the cheapest tiling by RAMB18."""
    return _tiling(width, depth)[0] / 2


def block_mux(width: int, depth: int) -> float:
    """LUTs that choose among the block RAMs that stand one above the other in that tiling."""
    stack = _tiling(width, depth)[1]
    return width * mux(stack) + (stack if stack > 1 else 0)


def block_rom(width: int, depth: int) -> float:
    """BRAM36 of a ROM: where nobody writes, columns that stand one above the other share a block as well."""
    return _folded(width, depth)[0] / 2


def block_rom_mux(width: int, depth: int) -> float:
    """LUTs that choose among the columns that stand one above the other in a ROM."""
    stack = _folded(width, depth)[1]
    if stack > 8:
        # yosys makes trees of these that are larger than they would have to be
        return width * (4.85 if stack <= 16 else 1.17 * mux(stack))
    return width * mux(stack) + (0 if stack & (stack - 1) == 0 else stack)


def _tiling(width: int, depth: int) -> tuple[int, int]:
    """The fewest RAMB18, and of their columns the lowest stack."""
    # a RAMB36 is two of half the depth
    tilings = [(halves * ceil_div(width, w), halves * d) for w, d in _RAMB18 for halves in (1, 2)]
    return min((columns * ceil_div(depth, d), ceil_div(depth, d)) for columns, d in tilings)


@lru_cache(maxsize=65536)
def _folded(width: int, depth: int) -> tuple[int, int]:
    """The same of a ROM."""
    stacks = [(halves, w, ceil_div(depth, halves * d)) for w, d in _RAMB18 for halves in (1, 2)]
    return min((halves * ceil_div(width * stack, w), stack) for halves, w, stack in stacks)


def lut_rom(width: int, depth: int) -> float:
    """LUTs of a ROM whose columns are LUTs by name: two columns of up to 32 words or one of 64 are a LUT,
    and the multiplexers beside the LUTs join four of them."""
    return ceil_div(width, 2) if depth <= _PAIR_WORDS else width * ceil_div(depth, _LUT_WORDS)


def luts_by_name(width: int, depth: int) -> bool:
    """Whether a ROM is smaller with its columns as LUTs by name than as a table.

    Few words leave few different columns, of which a synthesiser builds each once.
    """
    return depth <= MOST_LUT_WORDS and lut_rom(width, depth) < lut_table(width, depth)


def distinct(width: int, depth: int) -> float:
    """How many of ``width`` columns of random bits differ; equal ones are built once."""
    kinds = 2.0 ** min(depth, 64)
    return kinds * -expm1(-width / kinds) if depth > 1 else 0.0


def lut_table(width: int, depth: int) -> float:
    """LUTs of a table that a synthesiser finds logic for.

    A column is a LUT while it has five inputs or fewer, and less where few different ones exist; for
    deeper ones yosys finds between one and three LUTs where the device needs one, by the contents:
    this is what it takes for many columns of random bits.
    """
    columns = distinct(width, depth)
    if depth <= 1:
        return 0.0
    if depth <= 4:
        return columns / 2
    if depth <= 10:
        return 0.9 * columns
    if depth <= 48:
        return 1.08 * columns
    return columns * (2.4 if depth <= _LUT_WORDS else 1.6 * ceil_div(depth, _LUT_WORDS))


def lut_ram(width: int, depth: int) -> float:
    """LUTs of a RAM with one write and one read port: 4 LUTs hold 32 x 6 or 64 x 3."""
    return min(
        _lut_blocks(width, 4 * ceil_div(width, 6), ceil_div(depth, 32)),
        _lut_blocks(width, 4 * ceil_div(width, 3), ceil_div(depth, 64)),
    )


def _lut_blocks(width: int, block: int, blocks: int) -> float:
    """LUTs of ``blocks`` RAMs of ``block`` LUTs and of what chooses among them."""
    return block * blocks + width * mux(blocks) + (blocks if blocks > 1 else 0)


def fifo_in_block_ram(width: int, depth: int) -> bool:
    """Whether the ring of a FIFO of ``depth`` words of ``width`` bits is a block RAM (RTL ``xh_fifo``)."""
    return depth > 128 and width * depth >= 8192


def fifo_resources(width: int, storage: Fifo) -> Resources:
    """A FIFO: nothing, a register slice, or a ring in LUT RAM or block RAM."""
    if storage.depth == 0:
        return Resources()
    if storage.depth == 1:
        return Resources(lut=2, ff=width + 1)
    if storage.depth == 2:
        return Resources(lut=width + 3, ff=2 * width + 2)
    bits = clog2(storage.depth)
    if fifo_in_block_ram(width, storage.depth):
        # places that are no power of two are compared with the last one, and go back to the first
        wraps = 1.5 * bits if storage.depth & (storage.depth - 1) else 0
        return Resources(
            lut=2 * bits + 8 + wraps + block_mux(width, storage.depth),
            ff=3 * bits + 4,
            bram36=block_ram(width, storage.depth),
        )
    return Resources(lut=lut_ram(width, storage.depth) + 3 * bits + 2, ff=4 * bits + 3)


def ring_resources(width: int, depth: int, copies: int, memory: Memory) -> Resources:
    """A window's ring: ``copies`` memories of ``depth`` words with a read register each."""
    if memory is Memory.BLOCK:
        return Resources(bram36=copies * block_ram(width, depth))
    return Resources(lut=copies * lut_ram(width, depth), ff=copies * width)


def rom_resources(width: int, depth: int, memory: Memory, luts: bool = True) -> Resources:
    """A weight ROM with its address counter; a block ROM has a register behind it.

    ``luts``: a ROM of LUTs has its columns by name.  Else yosys moves the address register behind
    the table.  Weights that are built into the adders are counted with the matrix unit.
    """
    if memory is Memory.LEAF:
        return Resources()
    bits = clog2(depth)
    counter = 1.0 if depth & (depth - 1) == 0 else 0.65 * bits
    if memory is Memory.BLOCK:
        lut = counter + block_rom_mux(width, depth)
        return Resources(lut=lut, ff=bits + 2 + width, bram36=block_rom(width, depth))
    if luts and luts_by_name(width, depth):
        return Resources(lut=lut_rom(width, depth) + counter, ff=bits + 1)
    return Resources(lut=lut_table(width, depth) + bits, ff=distinct(width, depth) + bits + 1)


def start_resources(unit: StartRom) -> Resources:
    """A table; with position classes a counter for each axis and the tables behind them."""
    lines = unit.groups * unit.classes
    bits = clog2(lines)
    columns = 0.0 if unit.luts else distinct(unit.width, lines)
    table = lut_rom(unit.width, lines) if unit.luts else lut_table(unit.width, lines)
    if unit.classes == 1:
        return Resources(lut=table + 2 * bits, ff=2 * bits + 1 + columns)
    position = clog2(len(unit.row_class)) + clog2(len(unit.column_class))
    return Resources(
        lut=table + 2 * bits + 2 * position,
        ff=bits + clog2(unit.groups) + position + 1 + columns,
    )
