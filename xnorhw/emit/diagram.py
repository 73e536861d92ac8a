"""A block design as inline SVG: boxes in columns, an arrow for each interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

__all__ = ["Arrow", "Box", "diagram"]

WIDTH, HEIGHT = 150, 62
GAP_X, GAP_Y = 120, 56
MARGIN = 12


@dataclass(frozen=True)
class Box:
    """A box: its name, a line below it, and whether it is the one that matters."""

    name: str
    line: str
    own: bool = False


@dataclass(frozen=True)
class Arrow:
    """From box ``source`` to box ``target``; ``label`` is written where it begins."""

    source: str
    target: str
    label: str


def diagram(boxes: Sequence[Box], arrows: Sequence[Arrow]) -> Markup:
    """The boxes in columns by how far they are from the first one; arrows back to it run below."""
    places = _places([box.name for box in boxes], arrows)
    columns = 1 + max(column for column, _ in places.values())
    rows = 1 + max(row for _, row in places.values())
    width = columns * WIDTH + (columns - 1) * GAP_X + 2 * MARGIN
    height = rows * HEIGHT + (rows - 1) * GAP_Y + 2 * MARGIN + 34
    out = [
        f'<svg class="pipeline" viewBox="0 0 {width} {height}" style="max-width:{width}px" role="img" '
        f'xmlns="http://www.w3.org/2000/svg">',
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 L8 4 L0 8 z"/></marker></defs>',
    ]
    for box in boxes:
        x, y = _corner(places[box.name])
        kind = "own" if box.own else "cell"
        out.append(f'<g class="{kind}"><rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>')
        out.append(f'<text class="title" x="{x + WIDTH / 2}" y="{y + 26}">{escape(box.name)}</text>')
        out.append(f'<text x="{x + WIDTH / 2}" y="{y + 46}">{escape(box.line)}</text></g>')
    out += [_drawn(arrow, index, places, arrows, height) for index, arrow in enumerate(arrows)]
    out.append("</svg>")
    return Markup("\n".join(out))


def _places(names: list[str], arrows: Sequence[Arrow]) -> dict[str, tuple[int, int]]:
    """(column, row) of each box; one without arrows stands below the first."""
    columns = {names[0]: 0}
    waiting = [names[0]]
    while waiting:
        here = waiting.pop(0)
        for arrow in arrows:
            if arrow.source == here and arrow.target not in columns:
                columns[arrow.target] = columns[here] + 1
                waiting.append(arrow.target)
    taken: dict[int, int] = {}
    places = {}
    for name in names:
        column = columns.get(name, 0)
        places[name] = column, taken.get(column, 0)
        taken[column] = places[name][1] + 1
    return places


def _corner(place: tuple[int, int]) -> tuple[int, int]:
    column, row = place
    return MARGIN + column * (WIDTH + GAP_X), MARGIN + row * (HEIGHT + GAP_Y)


def _spread(index: int, count: int, length: int) -> float:
    """Where the ``index``-th of ``count`` arrows stands on a side."""
    return length * (index + 1) / (count + 1)


def _drawn(
    arrow: Arrow, index: int, places: dict[str, tuple[int, int]], arrows: Sequence[Arrow], height: int
) -> str:
    here, there = places[arrow.source], places[arrow.target]
    (x, y), (to_x, to_y) = _corner(here), _corner(there)
    if here[0] == there[0]:
        ends = {arrow.source, arrow.target}
        alike = [i for i, a in enumerate(arrows) if {a.source, a.target} == ends]
        at = x + _spread(alike.index(index), len(alike), WIDTH)
        low, high = (y + HEIGHT, to_y - 1) if there[1] > here[1] else (y, to_y + HEIGHT + 1)
        left = alike.index(index) == 0 and len(alike) > 1
        spot = at - 5 if left else at + 5
        return _path(f"M{at:.0f} {low} V{high}", spot, (low + high) / 2 + 4, arrow.label, left)
    if there[0] > here[0]:
        leaving = [
            i for i, a in enumerate(arrows) if a.source == arrow.source and places[a.target][0] > here[0]
        ]
        coming = [
            i for i, a in enumerate(arrows) if a.target == arrow.target and places[a.source][0] < there[0]
        ]
        begin = y + _spread(leaving.index(index), len(leaving), HEIGHT)
        end = to_y + _spread(coming.index(index), len(coming), HEIGHT)
        bend = x + WIDTH + GAP_X - 14 - 10 * leaving.index(index)
        path = f"M{x + WIDTH} {begin:.0f} H{bend} V{end:.0f} H{to_x - 1}"
        return _path(path, x + WIDTH + 5, begin - 4, arrow.label)
    below = height - MARGIN
    side, level = to_x + WIDTH, to_y + HEIGHT - 10
    path = f"M{x + WIDTH / 2} {y + HEIGHT} V{below} H{side + 24} V{level} H{side + 1}"
    return _path(path, x + WIDTH / 2 + 5, y + HEIGHT + 14, arrow.label)


def _path(path: str, x: float, y: float, label: str, left: bool = False) -> str:
    kind = "wire left" if left else "wire"
    text = f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}">{escape(label)}</text>'
    return f'<path class="arrow" marker-end="url(#head)" d="{path}"/>{text}'
