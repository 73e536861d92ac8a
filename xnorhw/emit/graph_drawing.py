"""The pipeline of a network with branches as inline SVG: columns by depth, an arrow for each stream.

A stage stands one column behind the last stage that it reads.  Rows of columns are broken into
bands as wide as a page; a stream that passes a column has a line of its own in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from xnorhw.emit.svg import Stage, pipeline, short_name
from xnorhw.plan.model import Plan

__all__ = ["graph_pipeline", "stage_arrows"]

BOX_W = 150
BOX_H = 84
GAP_X = 40
GAP_Y = 26
LINE_H = 14  # of a row that no box stands in
PER_ROW = 5
STEP = 7  # between lines that run side by side


def stage_arrows(plan: Plan, stages: Mapping[str, int]) -> tuple[tuple[int, int], ...]:
    """Which stage feeds which: ``stages`` gives the stage of a unit, of "input" and of "output".

    A unit without one (a fork, a window, a converter) hands on what reaches it.  Each pair once,
    in rising order.
    """
    feeding: dict[str, set[int]] = {}
    behind: dict[str, list[str]] = {}
    for edge in plan.edges:
        behind.setdefault(edge.source, []).append(edge.target)
    found: set[tuple[int, int]] = set()
    for source in ("input", *(unit.name for unit in plan.units)):
        given = {stages[source]} if source in stages else feeding.get(source, set())
        for target in behind.get(source, ()):
            if target in stages:
                found |= {(stage, stages[target]) for stage in given if stage != stages[target]}
            else:
                feeding.setdefault(target, set()).update(given)
    return tuple(sorted(found))


@dataclass(frozen=True)
class _Place:
    column: int
    row: int


@dataclass(frozen=True)
class _Sheet:
    """Where columns and rows lie; ``wraps`` are the streams that go on in the next band."""

    rows: tuple[tuple[bool, ...], ...]  # of each band: whether boxes stand in the row
    wraps: int

    @property
    def left(self) -> int:
        """Room for what comes from the band above."""
        return 12 + STEP * self.wraps

    def x(self, column: int) -> int:
        """Left side of a column."""
        return self.left + column % PER_ROW * (BOX_W + GAP_X)

    def band_top(self, band: int) -> int:
        """Upper end of a band."""
        heights = [sum(_height(box) + GAP_Y for box in rows) for rows in self.rows[:band]]
        return 4 + sum(heights) + band * STEP * (self.wraps + 1)

    def y(self, place: _Place) -> int:
        """Upper side of a row."""
        rows = self.rows[place.column // PER_ROW]
        above = sum(_height(box) + GAP_Y for box in rows[: place.row])
        return self.band_top(place.column // PER_ROW) + above

    def middle(self, place: _Place) -> int:
        """Where a stream crosses a row."""
        return self.y(place) + _height(self.rows[place.column // PER_ROW][place.row]) // 2


def _height(box: bool) -> int:
    return BOX_H if box else LINE_H


def graph_pipeline(stages: Sequence[Stage], arrows: Sequence[tuple[int, int]]) -> Markup:
    """The boxes and the arrows between them, pairs of indices into ``stages`` with the smaller first.

    A chain is drawn by ``pipeline``.  Raises ValueError for an arrow that leads back or nowhere.
    """
    if any(not 0 <= source < target < len(stages) for source, target in arrows):
        raise ValueError(f"an arrow leads from a stage to a later one, not {tuple(arrows)}")
    if tuple(sorted(arrows)) == tuple((i, i + 1) for i in range(len(stages) - 1)):
        return pipeline(stages)
    places, lines = _places(len(stages), arrows)
    columns = 1 + max(place.column for place in places)
    bands = -(-columns // PER_ROW)
    boxes = {(place.column // PER_ROW, place.row) for place in places}
    passing = {(p.column // PER_ROW, p.row) for line in lines for p in line}
    rows = tuple(
        tuple((band, row) in boxes for row in range(1 + max(r for b, r in boxes | passing if b == band)))
        for band in range(bands)
    )
    crossing = [
        sum(_breaks(a, b) == band for line in lines for a, b in _pairs(line)) for band in range(bands)
    ]
    sheet = _Sheet(rows, max(crossing))
    width = sheet.x(min(columns, PER_ROW) - 1) + BOX_W + sheet.left
    height = sheet.band_top(bands) - (STEP * (sheet.wraps + 1)) + 8
    out = [
        f'<svg class="pipeline" viewBox="0 0 {width} {height}" style="max-width:{width}px" role="img" '
        f'xmlns="http://www.w3.org/2000/svg">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 L8 4 L0 8 z"/></marker></defs>',
    ]
    out += [_box(stage, sheet.x(p.column), sheet.y(p)) for stage, p in zip(stages, places, strict=True)]
    out += [f'<path class="arrow" marker-end="url(#tip)" d="{d}"/>' for d in _paths(sheet, arrows, lines)]
    return Markup("\n".join([*out, "</svg>"]))


def _box(stage: Stage, x: int, y: int) -> str:
    title = f"{escape(short_name(stage.title, 18))}<title>{escape(stage.title)}</title>"
    texts = [f'<text class="title" x="{x + BOX_W / 2}" y="{y + 22}">{title}</text>']
    texts += [
        f'<text x="{x + BOX_W / 2}" y="{y + 42 + 16 * k}">{escape(line)}</text>'
        for k, line in enumerate(stage.lines)
    ]
    rect = f'<rect x="{x}" y="{y}" width="{BOX_W}" height="{BOX_H}" rx="6"/>'
    return f'<g class="{stage.kind}">{rect}{"".join(texts)}</g>'


def _places(count: int, arrows: Sequence[tuple[int, int]]) -> tuple[list[_Place], list[list[_Place]]]:
    """The place of each stage, and for each arrow the places that it passes, its ends included."""
    columns = [0] * count
    for stage in range(count):
        before = [columns[source] + 1 for source, target in arrows if target == stage]
        columns[stage] = max(before, default=0)
    taken: set[tuple[int, int]] = set()

    def take(column: int, wish: int) -> _Place:
        rows = (row for row in range(wish, wish + len(taken) + 1) if (column, row) not in taken)
        row = next(rows)
        taken.add((column, row))
        return _Place(column, row)

    # the first stream out of a stage goes straight on; boxes are put before what only passes
    rows: dict[int, int] = {}
    for stage in range(count):
        sources = [source for source, target in arrows if target == stage]
        straight = [rows[s] for s in sources if columns[s] + 1 == columns[stage]]
        place = take(columns[stage], min(straight, default=0))
        rows[stage] = place.row
    places = [_Place(columns[stage], rows[stage]) for stage in range(count)]
    lines = []
    for source, target in arrows:
        line = [places[source]]
        for column in range(columns[source] + 1, columns[target]):
            line.append(take(column, max(line[-1].row, rows[target], 1)))
        lines.append([*line, places[target]])
    return places, lines


def _pairs(line: Sequence[_Place]) -> Iterator[tuple[_Place, _Place]]:
    return zip(line, line[1:], strict=False)


def _breaks(here: _Place, there: _Place) -> int:
    """The band behind which a stream goes on in the next one; -1 within a band."""
    band = here.column // PER_ROW
    return -1 if band == there.column // PER_ROW else band


def _spread(index: int, count: int) -> int:
    """Where the ``index``-th of ``count`` arrows meets the side of a box, from its middle."""
    return round(BOX_H * ((index + 1) / (count + 1) - 0.5))


def _paths(sheet: _Sheet, arrows: Sequence[tuple[int, int]], lines: Sequence[Sequence[_Place]]) -> list[str]:
    bends: dict[int, int] = {}  # lines that already turn behind a column
    wraps: dict[int, int] = {}  # streams that already go round behind a band
    result = []
    for index, line in enumerate(lines):
        source, target = arrows[index]
        leaving = [i for i, arrow in enumerate(arrows) if arrow[0] == source]
        coming = [i for i, arrow in enumerate(arrows) if arrow[1] == target]
        y = sheet.middle(line[0]) + _spread(leaving.index(index), len(leaving))
        path = f"M{sheet.x(line[0].column) + BOX_W} {y}"
        for here, there in _pairs(line):
            to_y = sheet.middle(there)
            if there is line[-1]:
                to_y += _spread(coming.index(index), len(coming))
            right, left = sheet.x(here.column) + BOX_W, sheet.x(there.column)
            band = _breaks(here, there)
            if band >= 0:
                number = wraps[band] = wraps.get(band, -1) + 1
                below = sheet.band_top(band + 1) - STEP * (number + 1)
                path += f" H{right + 6 + STEP * number} V{below} H{left - 6 - STEP * number} V{to_y}"
            elif y != to_y:
                number = bends[here.column] = bends.get(here.column, -1) + 1
                path += f" H{right + 6 + STEP * (number % 4)} V{to_y}"
            y = to_y
            path += f" H{left - 1 if there is line[-1] else left + BOX_W}"
        result.append(path)
    return result
