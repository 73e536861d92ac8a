"""The notebook of the overlay package and what it shows with: pictures, plots, the CPU engine.

The notebook's text is a Python file with a line ``# %% name`` above each cell, which a person
can read and a linter check; printed here as nbformat 4.5 JSON, without outputs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from xnorhw import resources
from xnorhw.emit.jinja import one_line, render

__all__ = ["Cell", "cells", "files", "notebook_json"]

CELL = re.compile(r"# %% (?P<markdown>\[markdown\] )?(?P<name>[a-z][a-z0-9-]*)")


@dataclass(frozen=True)
class Cell:
    """One cell: its name, which is its id in the notebook, its kind and its text."""

    name: str
    markdown: bool
    text: str


def files(host: Mapping[str, str], *, title: str, package: str, prefix: str = "accel") -> dict[str, str]:
    """Path in the build folder -> text: notebook, view, and the C sources of the CPU engine.

    ``host``: the CPU engine's files as ``emit.engine.files`` gives them; the package takes along
    what a compiler needs.  ``title``: the board's name.  ``package``: the Python package's name.
    """
    text = render("pynq/notebook.py.j2", title=one_line(title), package=package)
    header = f"host/{prefix}_engine.h"
    wanted = [name for name in host if name == header or name.startswith("host/engine/")]
    folder = f"pynq/{package}"
    return {
        f"{folder}/notebooks/{prefix}.ipynb": notebook_json(cells(text)),
        f"{folder}/view.css": resources.read_text("templates/pynq/notebook.css"),
        f"{folder}/view.py": resources.read_text("templates/pynq/notebook_view.py"),
        f"{folder}/cpu/{prefix}_batch.c": render("pynq/batch.c.j2", prefix=prefix, P=prefix.upper()),
        **{f"{folder}/cpu/{name.removeprefix('host/')}": host[name] for name in sorted(wanted)},
    }


def cells(text: str) -> tuple[Cell, ...]:
    """The cells of a Python file in which a line ``# %% name`` or ``# %% [markdown] name`` begins each.

    Raises ValueError for text in front of the first cell, a name that occurs twice, or a line
    of a Markdown cell that is no comment.
    """
    found: list[tuple[re.Match[str], list[str]]] = []
    for line in text.splitlines():
        match = CELL.fullmatch(line)
        if match:
            found.append((match, []))
        elif found:
            found[-1][1].append(line)
        else:
            raise ValueError(f"text in front of the first cell: {line!r}")
    result = tuple(_cell(match, lines) for match, lines in found)
    names = [cell.name for cell in result]
    if len(set(names)) != len(names):
        raise ValueError(f"a cell's name occurs twice: {', '.join(names)}")
    return result


def _cell(match: re.Match[str], lines: list[str]) -> Cell:
    markdown = match["markdown"] is not None
    if markdown:
        for line in lines:
            if line != "#" and not line.startswith("# "):
                raise ValueError(f"cell {match['name']}: no comment in a Markdown cell: {line!r}")
        lines = [line[2:] for line in lines]
    return Cell(match["name"], markdown, "\n".join(lines).strip("\n"))


def notebook_json(cells: tuple[Cell, ...]) -> str:
    """A notebook of nbformat 4.5 with these cells; the same cells give the same text."""
    tree = {
        "cells": [_tree(cell) for cell in cells],
        "metadata": {
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(tree, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _tree(cell: Cell) -> dict[str, object]:
    source = cell.text.splitlines(keepends=True)
    if cell.markdown:
        return {"cell_type": "markdown", "id": cell.name, "metadata": {}, "source": source}
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": cell.name,
        "metadata": {},
        "outputs": [],
        "source": source,
    }
