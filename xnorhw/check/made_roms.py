"""The words of ROMs that are modules of their own, read back from the SystemVerilog of a build."""

from __future__ import annotations

import re

from xnorhw.emit import made_rom
from xnorhw.emit.build import PREFIX
from xnorhw.emit.store import StoredBuild
from xnorhw.emit.wiring import part_file
from xnorhw.ir.errors import VerifyError
from xnorhw.pack.luts import rom_words
from xnorhw.pack.parts import joined_words
from xnorhw.plan.model import Memory, RomPart, StartRom, WeightRom

__all__ = ["memory_words", "read_made_rom"]

_PAIR = re.compile(
    r"xh_rom_pair #\(\s*\.DEPTH\((?P<depth>\d+)\),"
    r" \.LOW\(\d+'h(?P<low>[0-9A-F]+)\), \.HIGH\(\d+'h(?P<high>[0-9A-F]+)\)\s*\) \w+ \("
    r"\s*\.address_i\(\w+\),\s*\.low_o\((?P<even>[^()]+)\),\s*\.high_o\((?P<odd>[^()]+)\)\s*\);"
)
_COLUMN = re.compile(
    r"xh_rom_column #\(\.DEPTH\((?P<depth>\d+)\), \.BITS\(\d+'h(?P<bits>[0-9A-F]+)\)\)"
    r"\s*\w+ \(\.address_i\(\w+\), \.bit_o\((?P<out>[^()]+)\)\);"
)


def read_made_rom(stored: StoredBuild, rom: WeightRom | StartRom, layer: str) -> list[int]:
    """The words that the LUTs of ``rom`` hold, or its parts.

    Raises VerifyError, naming ``layer``, where the module or a part's file cannot be read or is not as
    deep and wide as the plan says.
    """
    path = f"rtl/{made_rom.modules(stored.plan, PREFIX)[rom.name]}.sv"
    try:
        text = (stored.folder / path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise VerifyError(
            f"its ROM {path} cannot be read: {error}", module=layer, remedy="Build again"
        ) from None
    if isinstance(rom, WeightRom) and rom.parts:
        held = [(part, _part_words(stored, rom, i, text, path, layer)) for i, part in enumerate(rom.parts)]
        words = joined_words(held, rom.depth)
        _check_text(stored, rom, words, text, path, layer)
        return words
    depth = rom.depth if isinstance(rom, WeightRom) else rom.classes * rom.groups
    return _column_words(text, "m_data_o", rom.width, depth, path, layer)


def _part_words(
    stored: StoredBuild, rom: WeightRom, index: int, text: str, path: str, layer: str
) -> list[int]:
    part: RomPart = rom.parts[index]
    if part.memory is Memory.LUT:
        return _column_words(text, made_rom.COLUMNS.format(index), part.width, part.words, path, layer)
    return memory_words(stored, part_file(PREFIX, rom, index), layer, part.words)


def _check_text(
    stored: StoredBuild, rom: WeightRom, words: list[int], text: str, path: str, layer: str
) -> None:
    """VerifyError where ``text`` is not the module of a ROM with these words: what joins parts counts too."""
    name = made_rom.modules(stored.plan, PREFIX)[rom.name]
    comment = text.partition("\n")[0].removeprefix(f"// {name}: ")
    if text != made_rom.module(name, PREFIX, rom, comment, words):
        raise VerifyError(
            f"its ROM {path} does not join its parts as the plan has them", module=layer, remedy="Build again"
        )


def _column_words(text: str, out: str, width: int, depth: int, path: str, layer: str) -> list[int]:
    """The words of the columns whose bits are those of the vector ``out``."""
    columns: dict[str, int] = {}
    depths: set[int] = set()
    for found in _PAIR.finditer(text):
        columns |= {found["even"]: int(found["low"], 16), found["odd"]: int(found["high"], 16)}
        depths.add(int(found["depth"]))
    for found in _COLUMN.finditer(text):
        columns[found["out"]] = int(found["bits"], 16)
        depths.add(int(found["depth"]))
    columns.pop("spare", None)
    places = [f"{out}[{i}]" for i in range(width)]
    if depths != {depth} or sorted(columns) != sorted(places):
        raise VerifyError(
            f"its ROM {path} does not have {depth} words of {width} bits",
            module=layer,
            remedy="Build again",
        )
    return rom_words([columns[place] for place in places], depth)


def memory_words(stored: StoredBuild, name: str, layer: str, count: int) -> list[int]:
    """The words of the memory file ``name``; VerifyError, naming ``layer``, where these are not ``count``."""
    try:
        lines = (stored.folder / "rom" / name).read_text(encoding="utf-8").splitlines()
        words = [int(line, 16) for line in lines if line.strip() and not line.startswith("//")]
    except (OSError, ValueError) as error:
        raise VerifyError(
            f"its memory file rom/{name} cannot be read: {error}", module=layer, remedy="Build again"
        ) from None
    if len(words) != count:
        raise VerifyError(
            f"its memory file rom/{name} has {len(words)} words, the plan has {count}",
            module=layer,
            remedy="Build again",
        )
    return words
