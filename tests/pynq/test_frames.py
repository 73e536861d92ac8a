"""Packing and unpacking alone, in NumPy and in C, against bytes put together one by one."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hand_bench import Bench

from benchmarks import packing

Benches = Callable[[str], Bench]

TABLES = ("none", "shift", "wrap", "any", "channels")
SHAPES = ((1, 6, 6), (3, 5, 4), (9, 2, 3), (77, 1, 1))


@pytest.fixture
def room(bench: Benches) -> tuple[ModuleType, Any, Any]:
    """frames.py, the integer graph's vocabulary and a description, as a package has them."""
    package = bench("table").package
    # by its own functions: another test may have loaded the package once more
    graphs = SimpleNamespace(**package.frames.IntGraph.front.__globals__)
    return package.frames, graphs, package.description.load_description()


def table(kind: str, channels: int, bits: int) -> np.ndarray | None:
    rng = np.random.default_rng(3)
    if kind == "none":
        return None
    if kind == "shift":
        return np.arange(-128, 128)[None]
    if kind == "wrap":  # adds a number modulo 256
        return (np.arange(256) + 77)[None] & 0xFF
    rows = channels if kind == "channels" else 1
    found = rng.integers(0, 2 if bits == 1 else 256, (rows, 256))
    found[:, :2] = [0, 1]  # both are there
    return found


def packer(room: Any, shape: tuple[int, int, int], kind: str, bits: int) -> tuple[Any, Any]:
    """A packer for pixels of ``shape``, and the description of all."""
    frames, graphs, known = room
    codes = table(kind, shape[0], bits)
    elements = int(np.prod(shape))
    size = -(-elements * bits // 64) * 8 + 8
    given = dataclasses.replace(known.given, shape=shape, chw=shape, dtype="uint8", low=0, high=255)
    frame = dataclasses.replace(known.input, chw=shape, element_bits=bits, bipolar=False, bytes=size)
    description = dataclasses.replace(known, given=given, input=frame)
    tensor = graphs.Tensor("input", shape, None)
    nodes = ()
    if codes is not None:
        nodes = (
            graphs.IntNode(graphs.Lookup(codes.astype(np.int32)), "input", graphs.Tensor("t", shape, None)),
        )
    front = graphs.IntGraph(None, tensor, nodes, "t" if nodes else "input", (), shape)
    return frames.Packer(description, front), description


def by_hand(frame: Any, x: np.ndarray, codes: np.ndarray | None) -> bytes:
    """One frame [C, H, W], byte by byte."""
    last = [(c, int(x[c, i, j])) for i in range(x.shape[1]) for j in range(x.shape[2]) for c in range(len(x))]
    if codes is not None:
        last = [(c, int(codes[c % len(codes)][value])) for c, value in last]
    found = bytearray(frame.bytes)
    for place, (_, value) in enumerate(last):
        if frame.element_bits == 1:
            found[place // 8] |= (value & 1) << place % 8
        else:
            found[place] = value & 0xFF
    return bytes(found)


@pytest.mark.parametrize("bits", [1, 8])
@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("shape", SHAPES)
def test_packing(shape: tuple[int, int, int], kind: str, bits: int, room: Any, monkeypatch: Any) -> None:
    """In parts of any size, and in both layouts."""
    subject, description = packer(room, shape, kind, bits)
    frame = description.input
    x = np.random.default_rng(1).integers(0, 256, (7, *shape), np.uint8)
    expected = [by_hand(frame, one, table(kind, shape[0], bits)) for one in x]
    for part in (1, 3 * x[0].size, 1 << 16):
        monkeypatch.setattr(room[0], "CACHED_BYTES", part)
        for layout, given in (("CHW", x), ("HWC", np.ascontiguousarray(x.transpose(0, 2, 3, 1)))):
            out = np.zeros((9, frame.bytes), np.uint8)
            subject.pack(given, out[:7], layout)
            assert [row.tobytes() for row in out[:7]] == expected
            assert not out[7:].any()


@pytest.mark.parametrize("bits", [1, 8])
@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("shape", SHAPES)
def test_packing_in_c(
    shape: tuple[int, int, int], kind: str, bits: int, room: Any, bench: Benches, monkeypatch: Any
) -> None:
    """The same bytes on each path, of frames that may be written to or not, with and without filling."""
    subject, description = packer(room, shape, kind, bits)
    x = np.random.default_rng(1).integers(0, 256, (7, *shape), np.uint8)
    expected = [by_hand(description.input, one, table(kind, shape[0], bits)) for one in x]
    full = -(-int(np.prod(shape)) * bits // 8)
    for path, fill in itertools.product(("", "plain"), (True, False)):
        monkeypatch.setenv("XH_PATH", path)
        size = description.input.bytes if fill else full
        known = dataclasses.replace(description, input=dataclasses.replace(description.input, bytes=size))
        moves = bench("table").package.layout.Layout(known, subject.tables)
        assert moves.path == (path or moves.path)
        for layout, given in (("CHW", x.copy()), ("HWC", x.transpose(0, 2, 3, 1).copy(order="C"))):
            for writable in (True, False):
                given.setflags(write=writable)
                out = np.zeros((9, size), np.uint8)
                moves.pack(given, out[:7], layout)
                assert [row.tobytes() for row in out[:7]] == [row[:size] for row in expected]
                assert not out[7:].any()


@pytest.mark.parametrize("shape", SHAPES)
def test_two_bytes_an_element(shape: tuple[int, int, int], room: Any) -> None:
    """Numbers of more than 8 bits, sign-extended, the lower byte first."""
    _, description = packer(room, shape, "none", 16)
    given = dataclasses.replace(description.given, dtype="int16", low=-300, high=300)
    known = dataclasses.replace(description, given=given)
    front = SimpleNamespace(nodes=(), output="input")
    subject = room[0].Packer(known, front)
    x = np.random.default_rng(1).integers(-300, 301, (3, *shape)).astype(np.int16)
    for layout, values in (("CHW", x), ("HWC", np.ascontiguousarray(x.transpose(0, 2, 3, 1)))):
        out = np.zeros((4, known.input.bytes), np.uint8)
        subject.pack(values, out[:3], layout)
        wanted = x.transpose(0, 2, 3, 1).reshape(3, -1).astype("<i2").view(np.uint8)
        assert np.array_equal(out[:3, : wanted.shape[1]], wanted) and not out[:3, wanted.shape[1] :].any()
        assert not out[3:].any()


def test_signs_and_codes_in_c(room: Any, bench: Benches) -> None:
    """-1 and +1 by their sign, codes of one bit by their lowest."""
    _, description = packer(room, (3, 5, 4), "none", 1)
    for bipolar, values in ((True, [-1, 1]), (False, [-1, 0])):
        given = dataclasses.replace(description.given, dtype="int8", low=-1, high=values[1], bipolar=bipolar)
        frame = dataclasses.replace(description.input, bipolar=bipolar)
        known = dataclasses.replace(description, given=given, input=frame)
        x = np.random.default_rng(1).choice(np.array(values, np.int8), (4, 3, 5, 4))
        empty = SimpleNamespace(nodes=(), output="input")
        both = [np.zeros((4, frame.bytes), np.uint8) for _ in range(2)]
        room[0].Packer(known, empty).pack(x, both[0])
        bench("table").package.layout.Layout(known, None).pack(x, both[1])
        assert both[0].any() and np.array_equal(*both)


def test_what_c_takes(room: Any, bench: Benches) -> None:
    """Elements of a byte, and no more channels than its room is for."""
    _, description = packer(room, (1024, 2, 2), "none", 8)
    takes = bench("table").package.layout.Layout.takes
    assert takes(description)
    for change in ({"dtype": "int16"}, {"chw": (1025, 2, 2)}):
        assert not takes(
            dataclasses.replace(description, given=dataclasses.replace(description.given, **change))
        )


def test_no_such_path_in_c(room: Any, bench: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    _, description = packer(room, (1, 6, 6), "none", 8)
    package = bench("table").package
    monkeypatch.setenv("XH_PATH", "quantum")
    with pytest.raises(package.EngineError, match="XH_PATH names, or there is none of that name"):
        package.layout.Layout(description, None)


def test_the_sum_is_taken_for_the_table(room: Any, bench: Benches) -> None:
    """A table that adds a number is not looked up, and only such a one."""
    in_c = bench("table").package.layout._shift
    for kind, sums in (("shift", True), ("wrap", True), ("any", False), ("channels", False)):
        subject, _ = packer(room, (1, 6, 6), kind, 8)
        assert [one._shift is not None for one in subject._tables] == [sums]
        assert [in_c(row) == row[0] for row in subject.tables] == [sums]
    rows = table("shift", 1, 8)
    assert rows is not None
    rows[0, 200] += 1
    assert room[0]._Table((rows[0] & 0xFF).astype(np.uint8))._shift is None


@pytest.mark.parametrize("shape", SHAPES)
def test_unpacking(shape: tuple[int, int, int], room: Any, bench: Benches) -> None:
    frames, graphs, known = room
    elements = int(np.prod(shape))
    output = dataclasses.replace(known.output, chw=shape, bytes=-(-elements // 2) * 8 + 8)
    front = graphs.IntGraph(None, graphs.Tensor("t", shape, None), (), "t", (), shape)
    subject = frames.Unpacker(dataclasses.replace(known, output=output), front)
    data = np.random.default_rng(2).integers(0, 256, (5, output.bytes), np.uint8)
    found = np.empty((5, *shape), np.int32)
    subject.sums(subject.words(data), found)
    channels, height, width = shape
    for n in range(5):
        for place in range(elements):
            word = int.from_bytes(data[n, 4 * place : 4 * place + 4].tobytes(), "little", signed=True)
            pixel, c = divmod(place, channels)
            assert found[n, c, pixel // width, pixel % width] == word
    for size in (output.bytes, 4 * elements):  # with and without what fills up the last beat
        known = dataclasses.replace(known, output=dataclasses.replace(output, bytes=size))
        in_c = np.empty_like(found)
        moves = bench("table").package.layout.Layout(known, None)
        moves.sums(np.ascontiguousarray(data[:, :size]).view("<i4"), in_c)
        assert np.array_equal(in_c, found)
    words = subject.words_of(found)
    assert words.shape == (5, elements) and words.dtype == np.int32
    assert np.array_equal(words, data.view("<i4")[:, :elements])


def test_the_benchmark(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It measures this very code; the frames are those that it names."""
    monkeypatch.setattr(packing, "BATCHES", (1, 3))
    loaded = {name: module for name, module in sys.modules.items() if name.startswith("xnorhw_accel")}
    try:
        packing.main(["--repetitions", "1", "--json"])
    finally:
        for name in [n for n in sys.modules if n.startswith("xnorhw_accel")]:
            del sys.modules[name]
        sys.modules.update(loaded)
    found = json.loads(capsys.readouterr().out)
    sizes = {(row["case"], row["bytes"], row["batch"]) for row in found["packing"]}
    assert len(sizes) == len(found["packing"]) == 2 * len(packing.CASES)
    assert {("codes, 8x8", 64, 3), ("table, 3x32x32", 3072, 1), ("bits, 784", 784, 3)} <= sizes
    assert [row["batch"] for row in found["results"]] == [1, 3]
    for row in [*found["packing"], *found["results"]]:
        assert row["copy_seconds"] > 0 and row["c"] > 0 and row["numpy"] > 0
