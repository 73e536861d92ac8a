"""The words of a ROM that is cut into parts -> those of each part, and back."""

from __future__ import annotations

from collections.abc import Sequence

from xnorhw.plan.model import RomPart

__all__ = ["joined_words", "part_words"]


def part_words(words: Sequence[int], part: RomPart) -> list[int]:
    """What ``part`` holds of a ROM's ``words``, its lowest bit first."""
    mask = (1 << part.width) - 1
    return [word >> part.low & mask for word in words[part.first : part.first + part.words]]


def joined_words(parts: Sequence[tuple[RomPart, Sequence[int]]], depth: int) -> list[int]:
    """The inverse: the ROM's ``depth`` words of what its parts hold."""
    words = [0] * depth
    for part, held in parts:
        for i, word in enumerate(held):
            words[part.first + i] |= word << part.low
    return words
