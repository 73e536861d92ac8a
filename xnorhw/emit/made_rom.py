"""Plan and words -> SystemVerilog of the ROMs that are modules of their own.

Their columns are LUTs by name, or they are cut into parts for the device's block RAM.
"""

from __future__ import annotations

from dataclasses import dataclass

from xnorhw.emit.jinja import render
from xnorhw.emit.unit_parameters import classes_of
from xnorhw.emit.wiring import generated, identifiers, part_file, rom_file, rom_module
from xnorhw.pack.luts import rom_columns
from xnorhw.pack.parts import part_words
from xnorhw.plan.model import Memory, Plan, RomPart, StartRom, WeightRom
from xnorhw.plan.rom_parts import ROWS

__all__ = ["COLUMNS", "module", "modules"]

COLUMNS = "column_{}"
"""The bits of the part of that number that is in LUTs, as its module calls them."""


def modules(plan: Plan, prefix: str) -> dict[str, str]:
    """The module of each ROM of a plan that has one, by the name of its unit."""
    ids = identifiers(tuple(unit.name for unit in plan.units))
    roms = (unit for unit in plan.units if isinstance(unit, WeightRom | StartRom) and generated(unit))
    return {rom.name: rom_module(prefix, ids[rom.name]) for rom in roms}


def module(name: str, prefix: str, rom: WeightRom | StartRom, comment: str, words: list[int]) -> str:
    """The text of ``rom`` with ``words`` as the module ``name``; ``comment`` says in a line what they are."""
    if isinstance(rom, WeightRom) and rom.parts:
        return _in_parts(name, prefix, rom, comment, words)
    return render(
        "rtl/rom.sv.j2",
        module=name,
        comment=comment,
        rom=rom,
        depth=len(words),
        classed=classes_of(rom) if isinstance(rom, StartRom) else None,
        file=rom_file(prefix, rom),
        address_bits=max(1, (len(words) - 1).bit_length()),
        columns=rom_columns(words, rom.width),
    )


@dataclass(frozen=True)
class _Part:
    """A part as it is printed.

    ``word``: what it reads, a clock after its address.  ``holds``: the condition of an address that it has
    the word, "" where it has all.  Its words are in a ``file`` or in ``columns``.
    """

    low: int
    high: int
    first: int
    last: int
    width: int
    words: int
    address_bits: int
    word: str
    holds: str
    file: str
    columns: tuple[int, ...]


def _in_parts(name: str, prefix: str, rom: WeightRom, comment: str, words: list[int]) -> str:
    parts = [_printed(prefix, rom, i, part, words) for i, part in enumerate(rom.parts)]
    joined: dict[tuple[int, int], list[str]] = {}
    for part in parts:
        joined.setdefault((part.low, part.width), []).append(part.word)
    return render(
        "rtl/rom_parts.sv.j2",
        module=name,
        comment=comment,
        rom=rom,
        file=rom_file(prefix, rom),
        address_bits=max(1, (rom.depth - 1).bit_length()),
        parts=parts,
        joined=joined,
    )


def _printed(prefix: str, rom: WeightRom, index: int, part: RomPart, words: list[int]) -> _Part:
    in_luts = part.memory is Memory.LUT
    return _Part(
        part.low,
        part.low + part.width - 1,
        part.first,
        part.first + part.words - 1,
        part.width,
        part.words,
        max(1, (part.words - 1).bit_length()),
        f"word_{index}" if in_luts else f"word_{index}_q",
        "" if part.words == rom.depth else _condition(rom, part),
        "" if in_luts else part_file(prefix, rom, index),
        tuple(rom_columns(part_words(words, part), part.width)) if in_luts else (),
    )


def _condition(rom: WeightRom, part: RomPart) -> str:
    """Whether ``part`` has the word at ``address``: the bits above those of its own say so."""
    bits = (rom.depth - 1).bit_length()
    span = max((part.words - 1).bit_length(), (ROWS - 1).bit_length())
    assert part.first % (1 << span) == 0
    return f"address[{bits - 1}:{span}] == {bits - span}'d{part.first >> span}"
