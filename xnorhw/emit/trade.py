"""Frames a second against area: a table for a terminal, a tree for machines, the report's picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, floor, log10
from typing import Any

from markupsafe import Markup

from xnorhw.plan.model import Plan, Resources, Trade

__all__ = ["trade_json", "trade_picture", "trade_text"]

LEFT, RIGHT, TOP, BOTTOM = 56, 24, 16, 44
WIDTH, HEIGHT = 830, 320
MOST = 1.25
"""Shares of a kind of resource above this leave the picture."""
RADIUS = 3.5
KINDS = (("lut", "LUT"), ("bram36", "BRAM36"))


def trade_json(trade: Trade) -> dict[str, Any]:
    """The tree that ``estimate --sweep --json`` prints."""
    points = [{**vars(point), "resources": vars(point.resources)} for point in trade.points]
    return {"limits": vars(trade.limits), "points": points, "source": "formula"}


def trade_text(trade: Trade) -> str:
    """A line for each rate, the fastest first."""
    rows = [("cycles", "frames/s", "latency", "LUT", "FF", "BRAM36", "DSP", "fits")]
    for p in trade.points:
        r = p.resources
        numbers = (f"{p.cycles_per_frame:,}", _rate(p.fps), f"{p.latency_cycles:,}", f"{r.lut:,.0f}")
        rows.append((*numbers, f"{r.ff:,.0f}", f"{r.bram36:g}", f"{r.dsp:,.0f}", "yes" if p.fits else "no"))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "-" * len(lines[0]))
    limits = trade.limits
    lines += [
        "",
        "The smallest design of each rate, without the shell; the planner fills at most "
        f"{limits.lut:,.0f} LUT, {limits.ff:,.0f} FF, {limits.bram36:g} BRAM36 and {limits.dsp:,.0f} DSP.",
        "Each is found nearly: of a rate that hardly fits, `estimate --target-fps` may find a smaller one.",
        "All of these are formulas, not measurements.",
    ]
    return "\n".join(lines)


def _rate(fps: float) -> str:
    return f"{fps:,.0f}" if fps >= 100 else f"{fps:,.1f}"


def trade_picture(plan: Plan) -> Markup | None:
    """LUT and BRAM36 as shares of the board over frames a second; None where there is nothing to draw.

    The plan's own rate and cost are marked.  The shell is in every share, for the board holds it.
    """
    if plan.trade is None or not plan.trade.points:
        return None
    points, figures = plan.trade.points, plan.figures
    rates = [*(p.fps for p in points), figures.fps]
    low, high = floor(3 * log10(min(rates))) / 3, ceil(3 * log10(max(rates))) / 3
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)

    def x(fps: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (log10(fps) - low) / (high - low)

    def y(share: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(share, MOST * 2) / MOST

    def share(of: Resources, kind: str) -> float:
        budget = getattr(figures.budget, kind)
        return (getattr(of, kind) + getattr(figures.shell, kind)) / budget if budget else 0.0

    out = [
        f'<svg class="trade" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" xmlns="http://www.w3.org/2000/svg">',
        '<defs><clipPath id="plot">'
        f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"/>'
        "</clipPath></defs>",
        *_axes(low, high, x, y),
    ]
    out += ['<g clip-path="url(#plot)">', _line("board", LEFT, y(1), WIDTH - RIGHT, y(1))]
    for kind, name in KINDS:
        limit = y(share(plan.trade.limits, kind))
        out.append(_line(f"limit {kind}", LEFT, limit, WIDTH - RIGHT, limit))
        places = [(x(p.fps), y(share(p.resources, kind))) for p in points]
        path = " ".join(f"{'L' if i else 'M'}{a:.1f} {b:.1f}" for i, (a, b) in enumerate(places))
        out.append(f'<path class="curve {kind}" d="{path}"/>')
        for (a, b), p in zip(places, points, strict=True):
            state = "" if p.fits else " over"
            out.append(
                f'<circle class="{kind}{state}" cx="{a:.1f}" cy="{b:.1f}" r="{RADIUS}"><title>'
                f"{_rate(p.fps)} frames/s, {getattr(p.resources, kind):,g} {name}</title></circle>"
            )
    at = x(figures.fps)
    out.append(_line("chosen", at, TOP, at, HEIGHT - BOTTOM))
    for kind, _ in KINDS:
        place = y(share(figures.resources, kind))
        out.append(f'<circle class="chosen {kind}" cx="{at:.1f}" cy="{place:.1f}" r="{2 * RADIUS}"/>')
    return Markup("\n".join([*out, "</g>", "</svg>"]))


def _axes(low: float, high: float, x: Callable[[float], float], y: Callable[[float], float]) -> list[str]:
    out = []
    for percent in (0, 25, 50, 75, 100, 125):
        at = y(percent / 100)
        out.append(_line("grid", LEFT, at, WIDTH - RIGHT, at))
        out.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{percent} %</text>')
    for fps in _ticks(low, high):
        at = x(fps)
        out.append(_line("grid", at, TOP, at, HEIGHT - BOTTOM))
        out.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{_short(fps)}</text>')
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    out.append(f'<text x="{middle:.1f}" y="{HEIGHT - 6}" text-anchor="middle">frames a second</text>')
    return out


def _ticks(low: float, high: float) -> Sequence[float]:
    """1, 2, 5, 10, ... between 10^low and 10^high; powers of ten alone where these are many."""
    steps = (1, 2, 5) if high - low <= 3 else (1,)
    wide = [m * 10.0**e for e in range(floor(low) - 1, ceil(high) + 1) for m in steps]
    return [v for v in wide if low - 1e-9 <= log10(v) <= high + 1e-9]


def _short(fps: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if fps >= size:
            return f"{fps / size:g} {letter}"
    return f"{fps:g}"


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
