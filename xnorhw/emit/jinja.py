"""The Jinja environment of the emitters: an undefined name is an error, nothing is escaped."""

from __future__ import annotations

import functools

import jinja2

from xnorhw import resources

__all__ = ["one_line", "render"]


def one_line(text: str) -> str:
    """A name as it may stand in a comment or a string of generated code: one printable line."""
    return "".join(c if c.isprintable() and c not in '"\\' else "_" for c in text)


def _flag(value: bool) -> str:
    return "1'b1" if value else "1'b0"


def _vector(value: int, bits: int) -> str:
    if not 0 <= value < 1 << bits:
        raise ValueError(f"{value:#x} does not fit in {bits} bits")
    return f"{bits}'h{value:0{-(-bits // 4)}X}"


def _load(name: str) -> str | None:
    try:
        return resources.read_text(f"templates/{name}")
    except FileNotFoundError:
        return None


@functools.lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_load),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        newline_sequence="\n",
    )
    environment.filters["flag"] = _flag
    environment.filters["one_line"] = one_line
    environment.filters["vector"] = _vector
    return environment


def render(template: str, **values: object) -> str:
    """The text of ``templates/<template>`` for ``values``; line ends are "\\n".

    Filters of its own: ``flag`` prints a bool as 1'b0 or 1'b1, ``vector(bits)`` an unsigned
    int as a sized hexadecimal literal, ``one_line`` a name as it may stand in a comment.
    """
    return _environment().get_template(template).render(**values)
