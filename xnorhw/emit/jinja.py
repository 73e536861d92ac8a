"""The Jinja environment of the emitters: an undefined name is an error, nothing is escaped."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from xnorhw import resources

if TYPE_CHECKING:
    import jinja2

__all__ = ["one_line", "render", "tcl_word"]


def one_line(text: str) -> str:
    """A name as it may stand in a comment or a string of generated code: one printable line."""
    return "".join(c if c.isprintable() and c not in '"\\' else "_" for c in text)


_TCL_PLAIN = re.compile(r"[A-Za-z0-9_./:*+-]+")
_TCL_BRACED = re.compile(r"[ -~]*")


def tcl_word(text: str) -> str:
    """``text`` as one word of a Tcl command or list: bare, in braces, or with each sign escaped.

    Braces inside of a braced word would have to be in pairs, and what is not ASCII would come
    in the encoding of the reader's locale; Tcl's escapes end at four hexadecimal digits, past
    which a character becomes U+FFFD.
    """
    if _TCL_PLAIN.fullmatch(text):
        return text
    if _TCL_BRACED.fullmatch(text) and not set(text) & set("{}\\"):
        return "{" + text + "}"
    return "".join(map(_tcl_escape, text))


def _tcl_escape(char: str) -> str:
    if _TCL_PLAIN.fullmatch(char):
        return char
    if " " <= char <= "~":
        return f"\\{char}"
    code = ord(char)
    return f"\\u{code if code <= 0xFFFF else 0xFFFD:04x}"


def _flag(value: bool) -> str:
    return "1'b1" if value else "1'b0"


def _vector(value: int, bits: int) -> str:
    if not 0 <= value < 1 << bits:
        raise ValueError(f"{value:#x} does not fit in {bits} bits")
    return f"{bits}'h{value:0{-(-bits // 4)}X}"


def _bits(largest: int) -> int:
    return max(1, largest.bit_length())


def _load(name: str) -> str | None:
    try:
        return resources.read_text(f"templates/{name}")
    except FileNotFoundError:
        return None


@functools.lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    # what reads a build runs where nothing is rendered: beside pynq, on the board
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_load),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        newline_sequence="\n",
    )
    environment.filters["bits"] = _bits
    environment.filters["flag"] = _flag
    environment.filters["one_line"] = one_line
    environment.filters["tcl"] = tcl_word
    environment.filters["vector"] = _vector
    return environment


def render(template: str, **values: object) -> str:
    """The text of ``templates/<template>`` for ``values``; line ends are "\\n".

    Filters of its own: ``bits`` gives the width of an unsigned number up to an int, ``flag``
    prints a bool as 1'b0 or 1'b1, ``vector(bits)`` an unsigned int as a sized hexadecimal
    literal, ``one_line`` a name as it may stand in a comment, ``tcl`` one as a word of Tcl.
    """
    return _environment().get_template(template).render(**values)
