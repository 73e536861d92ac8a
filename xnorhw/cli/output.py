"""What commands print: tables, progress, verdicts."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from xnorhw.check import Verdict

__all__ = ["Progress", "show", "synthesis_text", "table", "verdict_text"]


def show(as_json: bool, tree: Any, text: str) -> None:
    """Print ``tree`` as JSON, or ``text``."""
    click.echo(json.dumps(tree, indent=1, sort_keys=True, allow_nan=False) if as_json else text)


class Progress:
    """Tells what goes on, on standard error: one line that changes, or lines in a log.

    A log gets a line for each step, and for a step that counts one every two seconds.
    """

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._step = ""
        self._time = 0.0

    def __call__(self, text: str) -> None:
        step, now = re.sub(r"\d+", "#", text), time.monotonic()
        if self._live:
            click.echo(f"\r\x1b[Kxnorhw: {text}", nl=False, err=True)
        elif step != self._step or now > self._time + 2:
            click.echo(f"xnorhw: {text}", err=True)
            self._step, self._time = step, now

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            click.echo("\r\x1b[K", nl=False, err=True)


def verdict_text(verdict: Verdict, *, headed: bool = True) -> str:
    """The links of a verdict and its figures; ``headed``: what was rounded comes first."""
    head = [f"{verdict.approximation}", ""] if headed and verdict.approximation is not None else []
    rows = [("link", "tensors", "values", "mismatches", "what ran")]
    for x in verdict.links:
        counts = (f"{x.tensors:,}", f"{x.values:,}", f"{x.mismatches:,}") if x.ran else ("", "", "")
        rows.append((x.name, *counts, str(x)))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in (1, 2, 3)), row[4]])
        for row in rows
    ]
    lines += [
        "",
        f"{verdict.frames} frames ({verdict.real} real, {verdict.random} random), "
        f"{verdict.mismatches or 'no'} values differ",
    ]
    for a in verdict.accuracy:
        unlike = f", {len(a.differs)} unlike torch" if a.differs else ""
        lines.append(f"{a.form}: {a.right} of {a.labelled} labelled frames right{unlike}")
    if verdict.cycles_per_frame is not None:
        lines.append(
            f"simulated: {verdict.cycles_per_frame:,.1f} cycles a frame "
            f"(bound {verdict.bound_cycles:,}), latency {verdict.latency_cycles:,}"
        )
    if verdict.edited:
        lines.append(f"edited since the build: {', '.join(verdict.edited)}")
    return "\n".join([*head, *lines])


def synthesis_text(tree: dict[str, Any]) -> str:
    """The figures of synthesis, a paragraph a tool."""
    return "\n\n".join("\n".join(_tool_lines(tool)) for tool in tree.values())


def _tool_lines(tool: dict[str, Any]) -> list[str]:
    used = tool["resources"]
    kinds = (("lut", "LUT"), ("ff", "FF"), ("bram36", "BRAM36"), ("uram", "URAM"), ("dsp", "DSP"))
    lines = [tool["source"], "  ".join(f"{used[kind]:,g} {name}" for kind, name in kinds)]
    if "units" in tool:
        lines += _layer_lines(tool)
    elif "wns_ns" in tool:
        lines.append(
            f"{tool['clock_mhz']:g} MHz, setup slack {tool['wns_ns']:g} ns, hold slack {tool['whs_ns']:g} ns"
        )
    else:
        cycles = tool["cycles_per_frame"]
        lines.append(
            f"{tool['clock_mhz']:g} MHz asked for, {tool['estimated_clock_mhz']:g} MHz estimated, "
            f"{'unknown' if cycles is None else format(cycles, ',')} cycles a frame"
        )
        rows = [("stage", "layer", "II", "LUT", "FF", "BRAM36")]
        for s in tool["stages"]:
            cost = s["resources"]
            numbers = (f"{cost[k]:,g}" for k in ("lut", "ff", "bram36"))
            rows.append((s["name"], s["layer"], str(s["ii"] or ""), *numbers))
        lines += ["", table(rows, left=2)]
    return lines


def _layer_lines(tool: dict[str, Any]) -> list[str]:
    """What yosys found by layer, beside the formulas."""
    rows: list[tuple[str, ...]] = [
        ("layer", "LUT", "formula", "FF", "formula", "BRAM36", "formula", "DSP", "formula")
    ]
    for layer in tool["layers"]:
        pairs = [(layer["resources"][k], layer["formula"][k]) for k in ("lut", "ff", "bram36", "dsp")]
        counts = [f"{count:,.1f}" if count % 1 == 0.5 else f"{count:,.0f}" for p in pairs for count in p]
        rows.append((layer["name"] or "(ends)", *counts))
    shell = tool["shell"]
    around = f"{shell['lut']:,g} LUT and {shell['ff']:,g} FF"
    return [
        f"beside these the registers and the protocol around the network: {around}",
        "",
        table(rows, left=1),
    ]


def table(rows: Sequence[tuple[str, ...]], left: int) -> str:
    """Columns of text, the first ``left`` of them aligned to the left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
