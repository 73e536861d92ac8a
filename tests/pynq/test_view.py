"""What the notebook shows: pictures of any input, tables, the plot of the counters."""

from __future__ import annotations

import importlib.util
import re
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest


@pytest.fixture(scope="module")
def view(build: Callable[..., Path]) -> Iterator[ModuleType]:
    """view.py of a package by itself: it needs nothing of the rest."""
    path = build("table") / "pynq/xnorhw_accel/view.py"
    spec = importlib.util.spec_from_file_location("view_alone", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["view_alone"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["view_alone"]


def decoded(data: bytes) -> np.ndarray:
    """The pixels of a PNG file without filters or interlacing, its checksums checked."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = {}, 8
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        assert struct.unpack_from(">I", data, place + 8 + length)[0] == zlib.crc32(kind + body)
        chunks[kind] = body
        place += 12 + length
    width, height, bits, colour, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert bits == 8 and rest == [0, 0, 0]
    lanes = {0: 1, 2: 3}[colour]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + width * lanes)
    assert not rows[:, 0].any()
    pixels = rows[:, 1:].reshape(height, width, lanes)
    return pixels[..., 0] if lanes == 1 else pixels


def test_png(view: ModuleType) -> None:
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (5, 7), (3, 4, 3)):
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        assert np.array_equal(decoded(view.png(pixels)), pixels)
    turned = rng.integers(0, 256, (6, 4), dtype=np.uint8).T
    assert np.array_equal(decoded(view.png(turned)), turned)


def test_pictures(view: ModuleType) -> None:
    """Grey, colour, heat maps, and a vector as near to a square as it goes."""
    grey = np.arange(12).reshape(1, 3, 4)
    assert np.array_equal(view.picture(grey, 0, 11)[0], [0, 23, 46, 69])
    colour = np.stack([np.zeros((2, 2)), np.full((2, 2), 8), np.full((2, 2), 16)]).astype(np.uint8)
    assert np.array_equal(view.picture(colour, 0, 16)[0, 0], [0, 127, 255])
    signed = np.int8([[[-4, 0, 4]]])
    left, middle, right = view.picture(np.repeat(signed, 2, axis=0), -4, 4)[0, :3].astype(int)
    assert left[2] > left[0] and right[0] > right[2] and np.all(middle == 250)
    assert view.picture(np.zeros((2, 3, 5), np.int8), -1, 1).shape == (3, 11, 3)
    assert view.picture(np.zeros((64, 3, 5), np.int8), -1, 1).shape == (4 * 4 - 1, 4 * 6 - 1, 3)
    for vector in (np.zeros(784, np.uint8), np.zeros((784, 1, 1), np.uint8)):
        assert view.picture(vector, 0, 1).shape == (28, 28, 3)
    assert view.picture(np.arange(77), 0, 76).shape == (9, 9, 3)
    assert view.picture(np.zeros((1, 2, 2), np.int8), 0, 0).dtype == np.uint8  # all of one value


def test_gallery(view: ModuleType) -> None:
    inputs = np.arange(4 * 9, dtype=np.uint8).reshape(4, 1, 3, 3)
    page = view.frames(inputs, np.array([1, 0, 2, 1]), np.array([1, 2]), names=("cat", "<dog>", "cow"))
    assert page.text.splitlines() == [
        "frame 0: <dog> (right)",
        "frame 1: cat (label cow)",
        "frame 2: cow (no label)",
        "frame 3: <dog> (no label)",
    ]
    assert repr(page) == page.text and page._repr_html_().startswith("<style>")
    assert "<dog>" not in page.html and "&lt;dog&gt;" in page.html
    assert page.html.count('class="wrong"') == 1 and page.html.count('class="free"') == 2
    many = view.frames(np.zeros((70, 1, 2, 2), np.uint8), np.zeros(70, int))
    assert "and 6 more" in many.text and many.html.count("<img") == 64


def test_confusion(view: ModuleType) -> None:
    page = view.confusion(np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 2, 0]), 4)
    rows = [line.split() for line in page.text.splitlines()]
    assert rows[:5] == [
        ["0", "1", "2", "3"],
        ["0", "1", "1", "0", "0"],
        ["1", "0", "1", "0", "0"],
        ["2", "1", "0", "1", "0"],
        ["3", "0", "0", "0", "0"],
    ]
    assert "3 of 5 right: 60.00%" in page.html and page.html.count("192, 57, 43") == 2
    # more classes than a screen holds: those that occur, and how many are left out
    few = view.confusion(np.array([7, 900]), np.array([7, 7]), 1000)
    assert few.text.splitlines()[0].split() == ["7", "900"]
    wide = view.confusion(np.arange(30), np.arange(30), 1000)
    assert "6 more classes are not shown" in wide.html and "30 of 30 right" in wide.html


@dataclass(frozen=True)
class Reading:
    frames_out: int
    busy_cycles: int
    input_stalls: int
    output_stalls: int


def test_counters(view: ModuleType) -> None:
    """Differences of counters that wrap; bars as high as what they stand for."""
    run = view.Run.between(Reading(5, (1 << 32) - 10, 3, 0), Reading(7, 246, 3, (1 << 32) - 1))
    assert run == view.Run(2, 256, 0, (1 << 32) - 1)
    page = view.counters([view.Run(1, 400, 80, 0), view.Run(4, 800, 400, 40)], 100)
    svg = ElementTree.fromstring(re.search(r"<svg.*</svg>", page.html)[0])
    heights = {}
    for bar in svg.iter("rect"):
        heights.setdefault(bar.get("class"), []).append(float(bar.get("height")))
    assert heights["busy"][0] == pytest.approx(2 * heights["busy"][1], rel=0.01)
    assert heights["in"] == pytest.approx([heights["busy"][0] / 5, heights["busy"][1] / 2], abs=0.1)
    assert heights["out"][1] == pytest.approx(heights["busy"][1] / 20, abs=0.1)
    assert (
        "planned: 100" in page.html and "4 frames: 800 clocks busy, 200.0 a frame, planned 100" in page.text
    )


MEASURED = SimpleNamespace(
    simulated=True, clock_mhz=100.0, fps_by_clock=5000.0, fps=10.0, latency_cycles=400, latency_seconds=0.1,
    planned_fps=6000.0,
)  # fmt: skip
CPU = SimpleNamespace(machine="armv7l", path="neon", fps=250.0, latency_seconds=0.005)


def test_speeds(view: ModuleType) -> None:
    """What was simulated is called so; on a board the host's own time is a line, too."""
    page = view.speeds(MEASURED, CPU)
    assert (
        "accelerator with host" not in page.text and "simulated clocks at 100 MHz, not measured" in page.text
    )
    assert "4.0 us a single frame" in page.text and "20.0 times the CPU engine" in page.text
    assert "path neon" in page.html and "another kind of processor" in page.html
    board = SimpleNamespace(**{**vars(MEASURED), "simulated": False, "fps": 100.0})
    page = view.speeds(board)
    assert (
        "accelerator with host" in page.text
        and "simulated" not in page.text
        and "CPU engine" not in page.text
    )
    assert "0.10 times" in view.speeds(SimpleNamespace(**{**vars(board), "fps_by_clock": 25.0}), CPU).text


def accelerator(view: ModuleType, verdict: dict[str, Any] | None, simulated: bool) -> Any:
    given = SimpleNamespace(shape=(1, 6, 6), dtype="uint8", low=0, high=255)
    known = SimpleNamespace(title="TUL PYNQ-Z2", given=given, classes=5, build_hash=0xABC)
    planned = SimpleNamespace(clock_mhz=100.0, cycles_per_frame=128, fps=781250.0)
    return SimpleNamespace(
        description=known,
        planned=planned,
        simulated=simulated,
        kind="Pynq-Z2",
        clock_mhz=99.999,
        verdict=verdict,
        host="front: NumPy; back: nothing",
    )


def test_device(view: ModuleType) -> None:
    """Where it runs, in letters that nobody overlooks; no verdict is "not run", never a pass."""
    board = view.device(accelerator(view, None, False))
    assert '<b class="kind">PYNQ-Z2</b>' in board.html and "SIMULATED" not in board.html
    assert board.text.count("not run: no verdict came with this package") == 4 and "equal" not in board.text
    assert "on the host: front: NumPy; back: nothing" in board.text
    assert "99.999 MHz read back, 100 MHz planned" in board.text and "0000000000000abc" in board.text
    verdict = {
        "chain": {"golden": "NumPy", "extra": "new"},
        "links": {"golden": {"values": 3, "tensors": 1, "mismatches": 0}},
    }
    simulated = view.device(accelerator(view, verdict, True))
    assert simulated.text.startswith("SIMULATED\n")
    lines = simulated.text.splitlines()
    assert "verified: golden: 3 values in 1 tensors are equal (NumPy)" in lines
    assert [x for x in lines if x.endswith("not run")] == [
        f"verified: {name}: not run" for name in ("c", "hls", "rtl", "extra")
    ]
    verdict["approximate"] = {"text": "3 of 100 decisions differ"}
    page = view.device(accelerator(view, verdict, True))
    assert '<th>verified: not exact</th><td class="bad">3 of 100 decisions differ</td>' in page.html


def test_reading_is_a_counters(build: Callable[..., Path], view: ModuleType) -> None:
    """The names that ``Run.between`` reads are the driver's own."""
    text = (build("table") / "pynq/xnorhw_accel/reports.py").read_text()
    for name in Reading.__dataclass_fields__:
        assert f"    {name}: int\n" in text
