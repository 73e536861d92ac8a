"""Words of weights -> the tables of LUTs that hold them, and back."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt

from xnorhw.pack import bits_from_words, words_from_bits
from xnorhw.plan.lut_netlist import Kind, Lut

__all__ = ["leaf_init", "leaf_tables", "leaf_weights", "rom_columns", "rom_words"]

Bits = npt.NDArray[np.uint8]


def rom_columns(words: list[int], width: int) -> list[int]:
    """The words of a ROM by bit, the lowest first: bit i of a number is word i's."""
    return words_from_bits(bits_from_words(words, width).T)


def rom_words(columns: list[int], depth: int) -> list[int]:
    """The inverse of ``rom_columns``."""
    return words_from_bits(bits_from_words(columns, depth).T)


def leaf_tables(words: list[int], pe: int, simd: int, leaves: tuple[Lut, ...]) -> list[list[int]]:
    """For each PE the INITs of ``leaves``, the LUTs that read lanes, with these weight words built in."""
    lanes = bits_from_words(words, pe * simd).reshape(len(words), pe, simd)
    return [[leaf_init(lut, lanes[:, p]) for lut in leaves] for p in range(pe)]


def leaf_init(lut: Lut, weights: Bits) -> int:
    """The INIT of ``lut``, which counts lanes as if their weights were 1, with ``weights`` built in.

    ``weights``: uint8 [words, lanes of the netlist].  A lane whose weight is 0 reads its activation
    inverted.  Addresses past the last word repeat it.
    """
    lanes = [net.index for net in lut.pins if net.kind is Kind.ACTIVATION]
    kinds = "".join(net.kind.value for net in lut.pins)
    return _turned(lut.table, kinds, tuple(tuple(row) for row in weights[:, lanes].tolist()))


def leaf_weights(lut: Lut, init: int, words: int) -> Bits | None:
    """The inverse of ``leaf_init``: uint8 [words, lanes of the LUT]; None where no weights have this INIT."""
    kinds = "".join(net.kind.value for net in lut.pins)
    lanes, address = kinds.count(Kind.ACTIVATION.value), kinds.count(Kind.ADDRESS.value)
    places = [i for i, kind in enumerate(kinds) if kind == Kind.ADDRESS.value]
    found = []
    for word in range(words):
        mask = sum(
            1 << i for i in range(64) if all((i >> p & 1) == (word >> b & 1) for b, p in enumerate(places))
        )
        rows = [
            row
            for row in product((0, 1), repeat=lanes)
            if not (_turned(lut.table, kinds, (row,)) ^ init) & mask
        ]
        found += rows[:1]
    weights = np.array(found, np.uint8)
    known = len(found) == words and address == (words - 1).bit_length()
    return weights if known and _turned(lut.table, kinds, tuple(found)) == init else None


@cache
def _turned(table: int, kinds: str, words: tuple[tuple[int, ...], ...]) -> int:
    """``table`` with the lanes of weight 0 inverted; ``kinds`` are its pins', pin 0 first."""
    lanes = [i for i, kind in enumerate(kinds) if kind == Kind.ACTIVATION.value]
    address = [i for i, kind in enumerate(kinds) if kind == Kind.ADDRESS.value]
    result = 0
    for index in range(64):
        at = sum((index >> pin & 1) << bit for bit, pin in enumerate(address))
        word = words[min(at, len(words) - 1)]
        read = index ^ sum((1 - bit) << pin for bit, pin in zip(word, lanes, strict=True))
        result |= (table >> read & 1) << index
    return result
