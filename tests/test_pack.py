"""Packing against its inverse, and the packed words against the golden model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plan.networks import Conv, Linear, Pool, network
from xnorhw import golden, pack
from xnorhw.board import load_board
from xnorhw.golden.codes import random_codes
from xnorhw.golden.run import windows
from xnorhw.ir.geometry import Pads
from xnorhw.ir.int_graph import IntGraph, Product, Threshold
from xnorhw.ir.types import BIPOLAR, IntType, code
from xnorhw.plan import Folding, make_plan
from xnorhw.plan.folding import LayerFolding
from xnorhw.plan.model import MatrixUnit, Plan, StartRom, Stream, WeightRom

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)


@st.composite
def planned(draw: st.DrawFn) -> tuple[IntGraph, Plan]:
    """A network of two layers with a folding that mostly divides nothing."""
    kind = draw(st.sampled_from([BIPOLAR, code(8, True), code(3, False)]))
    channels, outputs, classes = (draw(st.integers(1, 9)) for _ in range(3))
    kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    # a window that lies on padding alone has no place in the hardware
    pads = Pads(*(draw(st.integers(0, min(1, k - 1))) for k in (kernel[1], kernel[1], kernel[0], kernel[0])))
    stride = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    pad_value = draw(st.sampled_from([-1, 0, 1])) if kind.is_bipolar else 0
    layers: list[Conv | Linear | Pool] = [Conv(outputs, kernel, pads, stride, (1, 1), pad_value)]
    layers.append(Linear(classes))
    graph = network((channels, 5, 4), layers, kind, seed=draw(st.integers(0, 2**16)))
    foldings = []
    for name, count, width, taps in _sizes(graph):
        wide = [width * d for d in range(1, taps + 1) if taps % d == 0]
        simd = draw(st.sampled_from(sorted({*range(1, width + 1), *wide})))
        foldings.append(LayerFolding(name, draw(st.integers(1, count)), simd))
    plan = make_plan(graph, load_board("zcu104"), folding=Folding(tuple(foldings)))
    return graph, plan


def _sizes(graph: IntGraph) -> list[tuple[str, int, int, int]]:
    found = []
    for node in graph.nodes:
        if isinstance(node.op, Product):
            out, channels = node.op.terms[0].weight.shape[:2]
            found.append((node.output.name, out, channels, node.op.geometry.taps))
    return found


def rom(plan: Plan, matrix: str, port: str) -> WeightRom | StartRom:
    unit = plan.unit(next(e.source for e in plan.edges if e.target == matrix and e.port == port))
    assert isinstance(unit, WeightRom | StartRom)
    return unit


@SETTINGS
@given(planned())
def test_unpacking_inverts_packing(drawn: tuple[IntGraph, Plan]) -> None:
    graph, plan = drawn
    for layer in plan.layers:
        unit, product = plan.unit(layer.matrix), graph.node(layer.name).op
        assert isinstance(unit, MatrixUnit) and isinstance(product, Product)
        memory = rom(plan, layer.matrix, "weights")
        assert isinstance(memory, WeightRom)
        words = pack.weight_words(plan, graph, memory)
        assert len(words) == memory.depth == unit.groups * unit.folds
        users = graph.users(layer.name)
        direction = np.ones(product.terms[0].weight.shape[0], np.int8)
        if users:
            assert isinstance(users[0].op, Threshold)
            direction = users[0].op.direction
        expected = product.terms[0].weight * direction[:, None, None, None]
        assert np.array_equal(pack.unpack_weight_words(words, unit, product), expected)


@SETTINGS
@given(planned())
def test_words_and_starts_make_the_golden_models_decisions(drawn: tuple[IntGraph, Plan]) -> None:
    """Do what the hardware does, with the packed words alone, and compare with the integer graph."""
    graph, plan = drawn
    tensors = golden.run(graph, random_codes(graph, 2, seed=3))
    for layer in plan.layers:
        sums = hardware_sums(graph, plan, layer.name, layer.matrix, tensors[graph.node(layer.name).input])
        users = graph.users(layer.name)
        if users:
            assert np.array_equal(np.where(sums >= 0, 1, -1), tensors[users[0].output.name])
        else:
            assert np.array_equal(sums, tensors[layer.name])


def hardware_sums(graph: IntGraph, plan: Plan, name: str, matrix: str, x: np.ndarray) -> np.ndarray:
    """The accumulators' last values [N, O, H, W]: start + popcount, or 2 popcount + start, or + codes."""
    unit, product = plan.unit(matrix), graph.node(name).op
    assert isinstance(unit, MatrixUnit) and isinstance(product, Product)
    weights, starts = rom(plan, matrix, "weights"), rom(plan, matrix, "starts")
    assert isinstance(weights, WeightRom) and isinstance(starts, StartRom)
    lanes = pack.bits_from_words(pack.weight_words(plan, graph, weights), weights.width)
    lanes = lanes.reshape(unit.groups, unit.folds, unit.pe, unit.simd)
    table = pack.lanes_from_words(
        pack.start_words(plan, graph, starts), unit.pe, unit.start_bits, signed=True
    ).reshape(starts.classes, unit.groups * unit.pe)
    geometry = product.geometry
    bipolar_pad = unit.act_bipolar and product.pad_value == 0
    pad = np.full(x.shape[1], -1 if bipolar_pad else product.pad_value)
    taken = windows(x, geometry, pad).transpose(0, 2, 3, 4, 5, 1)
    n, out_h, out_w = taken.shape[:3]
    taps = geometry.taps
    per_tap = unit.simd * unit.folds // taps
    rows = np.full((n, out_h, out_w, taps, per_tap), -1 if unit.act_bipolar else 0)
    rows[..., : x.shape[1]] = taken.reshape(n, out_h, out_w, taps, -1)
    folded = rows.reshape(n, out_h, out_w, unit.folds, unit.simd)
    signs = 2 * lanes.astype(np.int64) - 1
    if unit.act_bipolar:  # equal bits are the XNOR's ones
        per_lane = (folded[:, :, :, None, :, None, :] == signs).astype(np.int64)
    else:
        per_lane = folded[:, :, :, None, :, None, :] * signs
    total = per_lane.sum(axis=(4, 6)).reshape(n, out_h, out_w, -1)
    classes = np.zeros((out_h, out_w), np.int64)
    if starts.classes > 1:
        classes = np.array(starts.row_class)[:, None] * starts.column_classes + np.array(starts.column_class)
    start = table[classes]
    result = 2 * total + start if unit.act_bipolar and not unit.thresholded else total + start
    return result[..., : product.terms[0].weight.shape[0]].transpose(0, 3, 1, 2)


@SETTINGS
@given(planned())
def test_the_weight_image_holds_the_roms(drawn: tuple[IntGraph, Plan]) -> None:
    graph, plan = drawn
    image = pack.weight_image(plan, graph)
    assert len(image) == plan.image.total_bytes
    for segment in plan.image.segments:
        layer = next(x for x in plan.layers if x.name == segment.layer)
        memory = rom(plan, layer.matrix, "weights")
        unit = plan.unit(layer.matrix)
        assert isinstance(memory, WeightRom) and isinstance(unit, MatrixUnit)
        assert segment.offset % pack.BURST == 0
        word_bytes = -(-memory.width // 8)
        at = segment.offset + segment.start_bytes
        words = pack.weight_words(plan, graph, memory)
        for fold in range(unit.folds):
            data = image[at + fold * word_bytes : at + (fold + 1) * word_bytes]
            assert int.from_bytes(data, "little") == words[segment.group * unit.folds + fold]


@SETTINGS
@given(st.integers(1, 70), st.integers(1, 20), st.integers(1, 33), st.booleans(), st.integers(0, 2**16))
def test_lanes_round_trip(count: int, lanes: int, bits: int, signed: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if signed else (0, 1 << bits)
    values = rng.integers(low, high, (count, lanes))
    words = pack.words_from_lanes(values, bits)
    assert max(words) < 1 << (lanes * bits)
    assert np.array_equal(pack.lanes_from_words(words, lanes, bits, signed), values)


@pytest.mark.parametrize("kind", [BIPOLAR, code(4, True), code(8, False)], ids=str)
@pytest.mark.parametrize("lanes", [1, 3, 5, 8])
def test_streams_round_trip(kind: IntType, lanes: int) -> None:
    rng = np.random.default_rng(lanes)
    values = rng.integers(0, 2, (3, 5, 2, 4)) * 2 - 1
    if not kind.is_bipolar:
        values = rng.integers(kind.min, kind.max + 1, (3, 5, 2, 4))
    stream = Stream("x", lanes, kind.bits, channels=5, pixels=8)
    words = pack.stream_words(stream, values, kind.is_bipolar)
    assert len(words) == 3 * stream.words
    assert np.array_equal(pack.unpack_stream(stream, words, (5, 2, 4), kind), values)
    # channel 0 of the first pixel lies in the lowest bits of the first word
    first = int(values[0, 0, 0, 0])
    lowest = words[0] & ((1 << kind.bits) - 1)
    assert lowest == ((first + 1) // 2 if kind.is_bipolar else first & ((1 << kind.bits) - 1))


def test_frames_are_padded_to_beats() -> None:
    graph = network((1, 28, 28), [Linear(10)])
    plan = make_plan(graph, load_board("pynq-z2"))
    codes = random_codes(graph, 2, seed=0)
    frames = pack.pack_frames(plan, codes, BIPOLAR)
    assert frames.shape == (2, 104)  # 784 bits are 13 beats of 8 bytes
    bits = np.unpackbits(frames, axis=1, bitorder="little")
    assert np.array_equal(bits[:, :784], (codes.reshape(2, 784) > 0))
    assert not bits[:, 784:].any()
