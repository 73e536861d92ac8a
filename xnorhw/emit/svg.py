"""The report's drawings as inline SVG: bar charts and the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

__all__ = ["Bar", "Stage", "bars", "pipeline", "short_name"]

ROW = 26
LABEL = 150
PLOT = 560
VALUE = 120


@dataclass(frozen=True)
class Bar:
    """A row of a bar chart: segments (value, CSS class) side by side, and a tick at ``marker``."""

    label: str
    segments: tuple[tuple[float, str], ...]
    marker: float | None = None

    @property
    def total(self) -> float:
        """The row's length."""
        return sum(value for value, _ in self.segments)


@dataclass(frozen=True)
class Stage:
    """A box of the pipeline; ``kind`` is its CSS class."""

    title: str
    kind: str
    lines: tuple[str, ...]


def bars(rows: Sequence[Bar], *, limit: float | None = None, rule: float | None = None) -> Markup:
    """Horizontal bars with their values; the plot reaches to ``limit`` at least, ``rule`` draws
    a line through all rows."""
    top = max([limit or 0.0, *(row.total for row in rows), 1.0])
    height = ROW * len(rows) + 8
    out = [
        f'<svg class="bars" viewBox="0 0 {LABEL + PLOT + VALUE} {height}" role="img" '
        f'xmlns="http://www.w3.org/2000/svg">'
    ]
    values = []
    for i, row in enumerate(rows):
        y = 4 + i * ROW
        out.append(
            f'<text class="label" x="{LABEL - 10}" y="{y + 16}" text-anchor="end">'
            f"{escape(short_name(row.label, 20))}<title>{escape(row.label)}</title></text>"
        )
        x = float(LABEL)
        for value, kind in row.segments:
            length = PLOT * value / top
            out.append(
                f'<rect class="{kind}" x="{x:.1f}" y="{y + 3}" width="{length:.1f}" height="{ROW - 8}"/>'
            )
            x += length
        if row.marker is not None:
            at = LABEL + PLOT * row.marker / top
            out.append(f'<line class="marker" x1="{at:.1f}" y1="{y}" x2="{at:.1f}" y2="{y + ROW - 2}"/>')
        values.append(f'<text class="value" x="{x + 8:.1f}" y="{y + 16}">{row.total:,.0f}</text>')
    if rule is not None:
        at = LABEL + PLOT * rule / top
        out.append(f'<line class="rule" x1="{at:.1f}" y1="0" x2="{at:.1f}" y2="{height}"/>')
    return Markup("\n".join([*out, *values, "</svg>"]))


BOX_W = 150
BOX_H = 84
GAP_X = 34
GAP_Y = 40
PER_ROW = 5


def pipeline(stages: Sequence[Stage]) -> Markup:
    """The boxes in rows read left to right, arrows between them, a bent one between rows."""
    rows = -(-len(stages) // PER_ROW)
    columns = min(len(stages), PER_ROW)
    width = columns * BOX_W + (columns - 1) * GAP_X + 24
    height = rows * BOX_H + (rows - 1) * GAP_Y + 8
    out = [
        f'<svg class="pipeline" viewBox="0 0 {width} {height}" style="max-width:{width}px" role="img" '
        f'xmlns="http://www.w3.org/2000/svg">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 L8 4 L0 8 z"/></marker></defs>',
    ]
    for i, stage in enumerate(stages):
        x, y = _corner(i)
        out.append(f'<g class="{stage.kind}"><rect x="{x}" y="{y}" width="{BOX_W}" height="{BOX_H}" rx="6"/>')
        out.append(
            f'<text class="title" x="{x + BOX_W / 2}" y="{y + 22}">{escape(short_name(stage.title, 18))}'
            f"<title>{escape(stage.title)}</title></text>"
        )
        for k, line in enumerate(stage.lines):
            out.append(f'<text x="{x + BOX_W / 2}" y="{y + 42 + 16 * k}">{escape(line)}</text>')
        out.append("</g>")
        if i + 1 < len(stages):
            out.append(f'<path class="arrow" marker-end="url(#tip)" d="{_arrow(i)}"/>')
    out.append("</svg>")
    return Markup("\n".join(out))


def _corner(index: int) -> tuple[int, int]:
    row, column = divmod(index, PER_ROW)
    return 12 + column * (BOX_W + GAP_X), 4 + row * (BOX_H + GAP_Y)


def _arrow(index: int) -> str:
    x, y = _corner(index)
    to_x, to_y = _corner(index + 1)
    if to_y == y:
        return f"M{x + BOX_W} {y + BOX_H // 2} H{to_x - 1}"
    between = y + BOX_H + GAP_Y // 2
    return f"M{x + BOX_W // 2} {y + BOX_H} V{between} H{to_x + BOX_W // 2} V{to_y - 1}"


def short_name(text: str, length: int) -> str:
    """The end of a long name: module paths differ there."""
    return text if len(text) <= length else "…" + text[1 - length :]
