"""What trimming did to a plan's buffers, for the report."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from xnorhw.plan.model import Resources, TrimmedBuffer

__all__ = ["trimmed_json", "trimmed_text"]


def _saved(buffers: Sequence[TrimmedBuffer]) -> Resources:
    return reduce(Resources.__add__, (buffer.saved for buffer in buffers), Resources())


def trimmed_json(buffers: Sequence[TrimmedBuffer]) -> dict[str, Any]:
    """The part of report.json: each buffer's two depths in words, and what was saved by formula."""
    saved = _saved(buffers)
    return {
        "buffers": [{"name": b.name, "planned": b.planned, "depth": b.depth} for b in buffers],
        "saved": {"lut": saved.lut, "ff": saved.ff, "bram36": saved.bram36},
    }


def trimmed_text(buffers: Sequence[TrimmedBuffer]) -> str:
    """One line for a terminal and the report's page."""
    fewer = [buffer for buffer in buffers if buffer.depth < buffer.planned]
    if not fewer:
        return "rings and FIFOs: a simulation found none that can be shorter"
    saved = _saved(buffers)
    parts = [f"{saved.lut:,.0f} LUT", *([f"{saved.bram36:g} BRAM36"] if saved.bram36 else [])]
    names = ", ".join(f"{buffer.name} {buffer.planned} to {buffer.depth}" for buffer in fewer)
    return (
        f"rings and FIFOs: {len(fewer)} of {len(buffers)} trimmed by simulation, "
        f"{' and '.join(parts)} saved: {names}; "
        "folding.json keeps no depths, give --trim-fifos with it"
    )
