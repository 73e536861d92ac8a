"""What the preprocessor may do: include guards, includes, AP_INT_MAX_W.  Nothing is hidden from Vitis."""

from __future__ import annotations

import re

from tests.hls_rules.model import Program
from tests.hls_rules.pragmas import logical_lines

DIRECTIVE = re.compile(r"^\s*#\s*(\w+)\b\s*(.*)$")
CONDITIONS = {"if", "ifdef", "ifndef", "elif", "else", "endif", "elifdef", "elifndef"}


def check(program: Program) -> None:
    """Rule ``conditional``: no text is there for one compiler and not for another."""
    for file, text in sorted(program.texts.items()):
        lines = [(number, line) for number, line in logical_lines(text) if line.strip()]
        matches = [(number, DIRECTIVE.match(line)) for number, line in lines]
        found = [(number, m.group(1), m.group(2).split()) for number, m in matches if m is not None]
        guard = _guard(found, lines)
        for number, name, words in found:
            if name in CONDITIONS and number not in guard:
                said = " ".join(["#" + name, *words])
                program.add(file, number, "conditional", f"{said}: some tools would read another text")
            if name == "define" and words and "__SYNTHESIS__" in words[0]:
                program.add(file, number, "conditional", "__SYNTHESIS__ is the vendor's to define")


def _guard(found: list[tuple[int, str, list[str]]], lines: list[tuple[int, str]]) -> set[int]:
    """The lines of an include guard around the whole file: #ifndef X, #define X ... #endif."""
    if len(found) < 3 or not lines:
        return set()
    (first, name, words), (_, second, defined), (last, end, _) = found[0], found[1], found[-1]
    whole = first == lines[0][0] and last == lines[-1][0]
    if whole and (name, second, end) == ("ifndef", "define", "endif") and words == defined:
        return {first, last}
    return set()
