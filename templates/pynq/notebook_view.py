"""What the notebook shows: HTML for a browser, text for a terminal.  NumPy and the standard library only."""

from __future__ import annotations

import base64
import html
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .driver import Accelerator
    from .engine import EngineTiming
    from .reports import Counters, Throughput

__all__ = ["Page", "Run", "confusion", "counters", "device", "frames", "png", "speeds"]

LINKS = ("golden", "c", "hls", "rtl")
MOST_CLASSES = 24
MOST_MAPS = 16
MOST_PICTURES = 64

STYLE = f"<style>{(Path(__file__).parent / 'view.css').read_text(encoding='utf-8')}</style>"


@dataclass(frozen=True)
class Page:
    """A cell's output: a browser shows ``html``, a terminal ``text``."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return f'{STYLE}<div class="xh">{self.html}</div>'

    def __repr__(self) -> str:
        return self.text


# ---- the device


def device(accelerator: Accelerator) -> Page:
    """On what this runs, in large letters; which build it is; what of it was verified."""
    known, planned = accelerator.description, accelerator.planned
    kind = "SIMULATED" if accelerator.simulated else accelerator.kind.upper()
    note = (
        "no board: the accelerator's RTL in a simulator; times are its clocks at the planned frequency, "
        "nothing here was measured on hardware"
        if accelerator.simulated
        else "a board: what follows is measured on it"
    )
    given = known.given
    rows = [
        ("made for", known.title),
        ("input", f"{' x '.join(map(str, given.shape))}, {given.dtype} from {given.low} to {given.high}"),
        ("classes", f"{known.classes:,}"),
        ("build", f"{known.build_hash:016x}"),
        ("on the host", str(accelerator.host)),
        ("clock", f"{accelerator.clock_mhz:g} MHz read back, {planned.clock_mhz:g} MHz planned"),
        (
            "planned",
            f"{planned.cycles_per_frame:,} clocks a frame, {planned.fps:,.0f} frames a second (formula)",
        ),
    ]
    links = _links(accelerator.verdict)
    table = "".join(f"<tr><th>{html.escape(a)}</th><td>{html.escape(b)}</td></tr>" for a, b in rows)
    table += "".join(
        f'<tr><th>verified: {name}</th><td class="{mark}">{html.escape(text)}</td></tr>'
        for name, text, mark in links
    )
    simulated = " simulated" if accelerator.simulated else ""
    lines = [
        kind,
        note,
        *(f"{a}: {b}" for a, b in rows),
        *(f"verified: {name}: {text}" for name, text, _ in links),
    ]
    head = f'<b class="kind{simulated}">{html.escape(kind)}</b><div class="dim">{html.escape(note)}</div>'
    return Page(f"{head}<table>{table}</table>", "\n".join(lines))


def _links(verdict: dict[str, Any] | None) -> list[tuple[str, str, str]]:
    """Each link of the chain with what the last verification found, and how to colour it."""
    if verdict is None:
        return [(name, "not run: no verdict came with this package", "dim") for name in LINKS]
    found = []
    approximate = verdict.get("approximate")
    if approximate:
        found.append(("not exact", str(approximate["text"]), "bad"))
    for name in [*LINKS, *sorted(set(verdict["chain"]) - set(LINKS))]:
        ran = verdict["chain"].get(name, "not run")
        numbers = verdict["links"].get(name)
        if numbers is None:
            why = verdict.get("not_run", {}).get(name, "")
            found.append((name, f"not run: {why}" if why else "not run", "dim"))
            continue
        differ = numbers["mismatches"]
        count = f"{numbers['values']:,} values in {numbers['tensors']:,} tensors"
        text = f"{differ:,} of {count} differ" if differ else f"{count} are equal"
        found.append((name, f"{text} ({ran})", "bad" if differ else "good"))
    return found


# ---- pictures


def frames(
    inputs: np.ndarray,
    classes: np.ndarray,
    labels: np.ndarray | None = None,
    names: Sequence[str] | None = None,
) -> Page:
    """Frames [N, C, H, W] or [N, features] as pictures, each with its predicted class.

    ``labels`` [M <= N] are the right classes of the first frames; the others are shown as random
    ones.  One channel is drawn in grey, three in colour, any other number as heat maps.
    """
    shown = min(len(inputs), MOST_PICTURES)
    marks = [] if labels is None else list(labels)
    low, high = (int(inputs[:shown].min()), int(inputs[:shown].max())) if shown else (0, 1)
    figures, lines = [], []
    for i in range(shown):
        found = _name(classes[i], names)
        if i < len(marks):
            right = int(classes[i]) == int(marks[i])
            kind, note = ("", "right") if right else ("wrong", f"label {_name(marks[i], names)}")
            mark = "good" if right else "bad"
        else:
            kind, note, mark = "free", "no label", "dim"
        data = base64.b64encode(png(picture(inputs[i], low, high))).decode("ascii")
        figures.append(
            f'<figure class="{kind}"><img alt="frame {i}" src="data:image/png;base64,{data}">'
            f'<figcaption><b>{html.escape(found)}</b><br><span class="{mark}">{html.escape(note)}</span>'
            "</figcaption></figure>"
        )
        lines.append(f"frame {i}: {found} ({note})")
    rest = f"and {len(inputs) - shown} more" if len(inputs) > shown else ""
    return Page(
        f'<div class="gallery">{"".join(figures)}</div><div class="dim">{rest}</div>',
        "\n".join([*lines, *([rest] if rest else [])]),
    )


def _name(index: object, names: Sequence[str] | None) -> str:
    return str(int(index)) if names is None else str(names[int(index)])  # type: ignore[call-overload]


def picture(frame: np.ndarray, low: int, high: int) -> np.ndarray:
    """A frame [C, H, W] or [features] of values low..high as pixels uint8 [H, W] or [H, W, 3]."""
    if frame.ndim == 1 or frame.shape[1:] == (1, 1):
        # a vector: the nearest to a square, filled row by row
        values = frame.reshape(-1)
        width = int(np.ceil(np.sqrt(len(values))))
        square = np.full(width * -(-len(values) // width), low, np.int64)
        square[: len(values)] = values
        return _heat(square.reshape(-1, width), low, high)
    if frame.shape[0] == 1:
        return _bytes(frame[0], low, high)
    if frame.shape[0] == 3:
        return _bytes(frame.transpose(1, 2, 0), low, high)
    maps = frame[:MOST_MAPS]
    across = int(np.ceil(np.sqrt(len(maps))))
    down = -(-len(maps) // across)
    height, width = maps.shape[1:]
    board = np.full((down * (height + 1) - 1, across * (width + 1) - 1, 3), 255, np.uint8)
    for i, values in enumerate(maps):
        y, x = i // across * (height + 1), i % across * (width + 1)
        board[y : y + height, x : x + width] = _heat(values, low, high)
    return board


def _bytes(values: np.ndarray, low: int, high: int) -> np.ndarray:
    span = max(1, high - low)
    return ((values.astype(np.int64) - low) * 255 // span).astype(np.uint8)


def _heat(values: np.ndarray, low: int, high: int) -> np.ndarray:
    """Blue below zero, white at zero, red above; from white to blue where nothing is negative."""
    v = values.astype(np.float64)
    if low < 0:
        limit = max(-low, high, 1)
        share = np.clip(v / limit, -1, 1)[..., None]
        ends = np.where(share < 0, np.array([36.0, 92.0, 170.0]), np.array([178.0, 42.0, 48.0]))
        share = np.abs(share)
    else:
        share = np.clip((v - low) / max(1, high - low), 0, 1)[..., None]
        ends = np.broadcast_to(np.array([14.0, 52.0, 105.0]), (*v.shape, 3))
    return np.rint(250 + (ends - 250) * share).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """uint8 [H, W] (grey) or [H, W, 3] (RGB) as a PNG file (ISO/IEC 15948)."""
    height, width = pixels.shape[:2]
    colour = 2 if pixels.ndim == 3 else 0
    rows = np.ascontiguousarray(pixels).reshape(height, -1)
    raw = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


# ---- classes


def confusion(truth: np.ndarray, found: np.ndarray, classes: int, names: Sequence[str] | None = None) -> Page:
    """How often class ``truth`` [N] was called class ``found`` [N], a row each true class.

    Where there are more ``classes`` than a screen holds, those that occur are shown.
    """
    truth, found = np.asarray(truth), np.asarray(found)
    present = list(range(classes))
    if classes > MOST_CLASSES:
        present = sorted({int(c) for c in truth} | {int(c) for c in found})
    left_out = present[MOST_CLASSES:]
    present = present[:MOST_CLASSES]
    count = {(t, f): int(np.sum((truth == t) & (found == f))) for t in present for f in present}
    largest = max([1, *count.values()])
    head = "".join(f"<th>{html.escape(_name(c, names))}</th>" for c in present)
    rows, lines = [], []
    for t in present:
        cells = "".join(_cell(count[t, f], largest, t == f) for f in present)
        rows.append(f'<tr><th class="side">{html.escape(_name(t, names))}</th>{cells}</tr>')
        lines.append(f"{_name(t, names):>10} " + " ".join(f"{count[t, f]:4d}" for f in present))
    right = int(np.sum(truth == found))
    total = f"{right} of {len(truth)} right: {right / max(1, len(truth)):.2%}"
    note = f"; {len(left_out)} more classes are not shown" if left_out else ""
    text = "\n".join([" " * 11 + " ".join(f"{_name(c, names):>4}" for c in present), *lines, total + note])
    caption = (
        f'<div><b>{total}</b><span class="dim"> (rows: true class, columns: predicted{note})</span></div>'
    )
    return Page(f'<table class="matrix"><tr><th></th>{head}</tr>{"".join(rows)}</table>{caption}', text)


def _cell(count: int, largest: int, right: bool) -> str:
    if not count:
        return "<td></td>"
    colour = "47, 109, 179" if right else "192, 57, 43"
    return f'<td style="background: rgba({colour}, {0.18 + 0.5 * count / largest:.2f})">{count}</td>'


# ---- speed


def speeds(measured: Throughput, cpu: EngineTiming | None = None) -> Page:
    """The accelerator beside the CPU engine: frames a second and the time of a single frame."""
    clock = measured.clock_mhz * 1e6
    source = f"the chip alone: simulated clocks at {measured.clock_mhz:g} MHz, not measured"
    if not measured.simulated:
        source = f"the chip alone: its counter of busy clocks, {measured.clock_mhz:g} MHz"
    rows = [("accelerator", measured.fps_by_clock, measured.latency_cycles / clock, source)]
    if not measured.simulated:
        way = "measured, from NumPy to NumPy: packing, transfers and the host's layers included"
        rows.append(("accelerator with host", measured.fps, measured.latency_seconds, way))
    if cpu is not None:
        way = f"measured on this machine's processor ({cpu.machine}), path {cpu.path}, one thread"
        rows.append(("CPU engine", cpu.fps, cpu.latency_seconds, way))
    largest = max(row[1] for row in rows)
    body, lines = [], []
    for name, fps, latency, way in rows:
        kind = "bar two" if name == "CPU engine" else "bar"
        bar = f'<i class="{kind}" style="width: {max(1, 220 * fps / largest):.0f}px"></i>'
        body.append(
            f'<tr><th>{name}</th><td class="number">{fps:,.0f}</td><td>{bar}</td>'
            f'<td class="number">{latency * 1e6:,.1f} µs</td><td class="dim">{html.escape(way)}</td></tr>'
        )
        lines.append(f"{name:24}{fps:14,.0f} frames/s {latency * 1e6:12,.1f} us a single frame; {way}")
    head = "<tr><th></th><th>frames/s</th><th></th><th>one frame</th><th>how</th></tr>"
    note = f"planned: {measured.planned_fps:,.0f} frames/s (formula)"
    if cpu is not None:
        share = measured.fps_by_clock / cpu.fps
        way = f"{share:,.1f} times" if share >= 1 else f"{share:.2f} times"
        caution = (
            ", one simulated, the other measured on another kind of processor" if measured.simulated else ""
        )
        note += f"; the chip alone gives {way} the CPU engine's frames a second{caution}"
    table = f"<table>{head}{''.join(body)}</table>"
    return Page(f'{table}<div class="dim">{html.escape(note)}</div>', "\n".join([*lines, note]))


# ---- counters


@dataclass(frozen=True)
class Run:
    """What the accelerator counted during one batch of ``frames`` frames; clocks."""

    frames: int
    busy: int
    input_stalls: int
    output_stalls: int

    @classmethod
    def between(cls, before: Counters, after: Counters) -> Run:
        """The difference of two readings; the counters wrap at 2^32."""
        names = ("frames_out", "busy_cycles", "input_stalls", "output_stalls")
        frames, busy, inputs, outputs = ((getattr(after, n) - getattr(before, n)) % (1 << 32) for n in names)
        return cls(frames, busy, inputs, outputs)


_SERIES = (
    ("busy", "busy", "busy"),
    ("input_stalls", "in", "an input beat waited for the accelerator"),
    ("output_stalls", "out", "a result beat waited for the DMA"),
)


def counters(runs: Sequence[Run], cycles_per_frame: int) -> Page:
    """Clocks a frame over the size of the batch: busy, and waited on either side."""
    left, top, width, height, foot = 56, 14, 640, 220, 38
    each = [[getattr(run, key) / max(1, run.frames) for key, _, _ in _SERIES] for run in runs]
    highest = max([float(cycles_per_frame), *(v for values in each for v in values)]) * 1.08
    group = (width - left) / max(1, len(runs))
    bar = min(34.0, group / 4.2)
    marks = []
    for tick in _ticks(highest):
        y = top + height * (1 - tick / highest)
        marks.append(f'<line class="grid" x1="{left}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}"/>')
        marks.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:,.0f}</text>')
    for i, (run, values) in enumerate(zip(runs, each, strict=True)):
        middle = left + group * (i + 0.5)
        for k, ((_, name, _), value) in enumerate(zip(_SERIES, values, strict=True)):
            x, tall = middle + (k - 1.5) * bar, height * value / highest
            marks.append(
                f'<rect class="{name}" x="{x:.1f}" y="{top + height - tall:.1f}" width="{bar - 2:.1f}" '
                f'height="{max(tall, 0.5):.1f}"><title>{value:,.1f} clocks a frame</title></rect>'
            )
        batch = "1 frame" if run.frames == 1 else f"{run.frames} frames"
        marks.append(f'<text x="{middle:.1f}" y="{top + height + 20}" text-anchor="middle">{batch}</text>')
    y = top + height * (1 - cycles_per_frame / highest)
    plan = f"planned: {cycles_per_frame:,}"
    marks.append(f'<line class="plan" x1="{left}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}"/>')
    marks.append(f'<text class="plan" x="{width + 8}" y="{y + 4:.1f}">{plan}</text>')
    key = "".join(f'<i class="{name}"></i>{text}' for _, name, text in _SERIES)
    svg = f'<svg viewBox="0 0 {width + 120} {top + height + foot}" role="img">{"".join(marks)}</svg>'
    lines = [
        f"{run.frames:4d} frames: {run.busy:,} clocks busy, {values[0]:,.1f} a frame, "
        f"planned {cycles_per_frame:,}; "
        f"{run.input_stalls:,} with the input waiting, {run.output_stalls:,} with a result waiting"
        for run, values in zip(runs, each, strict=True)
    ]
    return Page(f'{svg}<div class="dim key"><b>clocks a frame</b>{key}</div>', "\n".join(lines))


def _ticks(highest: float) -> list[float]:
    """Four to eight round numbers from 0 up to ``highest``."""
    step = 10.0 ** np.floor(np.log10(highest))
    while highest / step < 4:
        step /= 2
    return [i * step for i in range(int(highest / step) + 1)]
