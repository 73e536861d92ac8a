"""What each unit of a plan does with words, by the plan's own description of it, and nothing else.

The words run through the units one after the other as whole streams; memories come from
``pack``.  What leaves on an observed edge is what the golden model must have there.
"""

from __future__ import annotations

from itertools import cycle, islice

import numpy as np
import numpy.typing as npt

from xnorhw import golden, pack
from xnorhw.emit.sim import observed_edges
from xnorhw.ir.int_graph import IntGraph
from xnorhw.plan.model import (
    Converter,
    Edge,
    LevelUnit,
    MatrixUnit,
    Plan,
    PlaneUnit,
    PoolUnit,
    RequantUnit,
    Spread,
    StartRom,
    SumPoolUnit,
    TermsUnit,
    WeightRom,
    Window,
)
from xnorhw.plan.stages import chip_layers

__all__ = ["differing", "run"]

Lanes = npt.NDArray[np.int64]


def run(plan: Plan, graph: IntGraph, frames: npt.NDArray[np.uint8]) -> dict[str, list[int]]:
    """The words on each observed edge, by tensor, and the result's under ""; ``frames`` [N, bytes]."""
    data = {e.source: e for e in plan.edges if e.port == "data"}
    size = plan.input_frame.beat_bits // 8
    words = [int.from_bytes(row.tobytes(), "little") for row in frames.reshape(-1, size)]
    seen: dict[str, list[int]] = {}
    edge = data["input"]
    while edge.target != "output":
        words = _unit(plan, graph, edge, words)
        edge = data[edge.target]
        if edge.observed:
            seen[edge.observed] = words
    return {**seen, "": words}


def differing(plan: Plan, graph: IntGraph, x: Lanes) -> list[str]:
    """The tensors that the units fed by the packed words do not make as golden does."""
    tensors = golden.run(graph, x)
    kind = graph.tensor(plan.input_tensor).type
    assert kind is not None
    seen = run(plan, graph, pack.pack_frames(plan, tensors[plan.input_tensor], kind))
    edges = observed_edges(plan)
    # every tensor of the graph is seen but the sums that a matrix unit thresholds itself
    hidden = {layer.name for layer in chip_layers(graph) if layer.in_matrix}
    assert set(edges) == {n.output.name for n in graph.nodes} - hidden
    wrong = []
    for name, edge in edges.items():
        tensor = graph.tensor(name)
        assert tensor.type is not None
        found = pack.unpack_stream(edge.stream, seen[name], tensor.shape, tensor.type)
        wrong += [] if np.array_equal(found, tensors[name]) else [name]
    size = plan.output_frame.beat_bits // 8
    data = np.frombuffer(b"".join(w.to_bytes(size, "little") for w in seen[""]), np.uint8)
    result = pack.unpack_results(plan, data.reshape(len(x), -1), graph.tensor(graph.output).shape)
    return wrong if np.array_equal(result, tensors[graph.output]) else [*wrong, "the result"]


def _signed(words: list[int], lanes: int, bits: int) -> Lanes:
    return pack.lanes_from_words(words, lanes, bits, signed=True)


def _unsigned(words: list[int], lanes: int, bits: int) -> Lanes:
    return pack.lanes_from_words(words, lanes, bits, signed=False)


def _unit(plan: Plan, graph: IntGraph, edge: Edge, words: list[int]) -> list[int]:
    unit = plan.unit(edge.target)
    if isinstance(unit, Converter):
        return _convert(unit, words)
    bits = {
        Window: lambda u: u.bits,
        MatrixUnit: lambda u: u.act_bits,
        PlaneUnit: lambda u: u.bits,
    }.get(type(unit))
    if bits is not None and bits(unit) < edge.stream.bits:
        lanes = _unsigned(words, edge.stream.lanes, edge.stream.bits)
        words = pack.words_from_lanes(lanes, bits(unit))
    if isinstance(unit, Window):
        given = _window(unit, words)
        return given if unit.spread is None else _spread(unit, unit.spread, given)
    if isinstance(unit, MatrixUnit):
        return _matrix(plan, graph, unit, words)
    if isinstance(unit, PlaneUnit):
        codes = _unsigned(words, unit.lanes, unit.bits)
        planes = np.repeat(unit.planes, unit.folds)
        rounds = codes.reshape(-1, len(planes), unit.lanes)
        return pack.words_from_lanes((rounds > planes[None, :, None]).reshape(-1, unit.lanes) * 1, 1)
    if isinstance(unit, TermsUnit):
        sums = _signed(words, unit.lanes, unit.in_bits).reshape(-1, len(unit.coefficients), unit.lanes)
        total = (sums * np.array(unit.coefficients)[None, :, None]).sum(axis=1)
        # a lane past the last channel may not fit: nothing looks at it
        return pack.words_from_lanes(total, unit.out_bits)
    if isinstance(unit, LevelUnit | RequantUnit):
        return _quantise(plan, graph, unit, words)
    if isinstance(unit, SumPoolUnit):
        taps = unit.taps_per_word * unit.tap_groups
        codes = _unsigned(words, unit.taps_per_word * unit.lanes, unit.in_bits)
        if unit.in_bipolar:
            codes = 2 * codes - 1
        elif unit.in_signed:
            codes = _signed(words, unit.taps_per_word * unit.lanes, unit.in_bits)
        return pack.words_from_lanes(codes.reshape(-1, taps, unit.lanes).sum(axis=1), unit.out_bits)
    assert isinstance(unit, PoolUnit)
    taps = unit.taps_per_word * unit.tap_groups
    codes = _unsigned(words, unit.taps_per_word * unit.lanes, unit.bits).reshape(-1, taps, unit.lanes)
    flags = _unsigned([int(unit.invert, 16)], unit.words_per_pixel * unit.lanes, 1)
    least = np.resize(flags.reshape(unit.words_per_pixel, unit.lanes), (len(codes), unit.lanes))
    return pack.words_from_lanes(np.where(least == 1, codes.min(axis=1), codes.max(axis=1)), unit.bits)


def _convert(unit: Converter, words: list[int]) -> list[int]:
    each = -(-unit.packet_bits // unit.in_bits)
    assert len(words) % each == 0
    result = []
    for at in range(0, len(words), each):
        packet = sum(word << (i * unit.in_bits) for i, word in enumerate(words[at : at + each]))
        packet &= (1 << unit.packet_bits) - 1
        for i in range(-(-unit.packet_bits // unit.out_bits)):
            result.append(packet >> (i * unit.out_bits) & (1 << unit.out_bits) - 1)
    return result


def _window(unit: Window, words: list[int]) -> list[int]:
    geometry, n = unit.geometry, unit.words_per_pixel
    width = unit.lanes * unit.bits
    pad = [int(unit.pad_word, 16) >> (i * width) & (1 << width) - 1 for i in range(n)]
    frame = unit.height * unit.width * n
    assert len(words) % frame == 0
    taps = [(y, x) for y in range(geometry.kernel[0]) for x in range(geometry.kernel[1])]
    result = []
    for first in range(0, len(words), frame):
        for oy in range(unit.out_height):
            for ox in range(unit.out_width):
                pixel = []
                for ky, kx in taps:
                    y = oy * geometry.stride[0] - geometry.pads.top + ky * geometry.dilation[0]
                    x = ox * geometry.stride[1] - geometry.pads.left + kx * geometry.dilation[1]
                    inside = 0 <= y < unit.height and 0 <= x < unit.width
                    at = first + (y * unit.width + x) * n
                    pixel.append(words[at : at + n] if inside else pad)
                groups = [
                    taken
                    for g in range(0, len(taps), unit.taps_per_word)
                    for taken in [pixel[g : g + unit.taps_per_word]]
                ]
                joined = [
                    [sum(tap[c] << (i * width) for i, tap in enumerate(group)) for c in range(n)]
                    for group in groups
                ]
                if unit.channels_outer:
                    result += [group[c] for c in range(n) for group in joined]
                else:
                    result += [word for group in joined for word in group] * unit.repeats
    return result


def _spread(unit: Window, spread: Spread, words: list[int]) -> list[int]:
    """The taps of each output pixel out of windows over words of pixels."""
    rows = spread.kernel[0]
    pixels = _unsigned(words, unit.geometry.taps * unit.lanes, unit.bits).reshape(
        len(words), rows, spread.row, -1
    )
    first = spread.first + spread.stride * np.arange(spread.pixels)
    columns = first[:, None] + spread.dilation * np.arange(spread.kernel[1])
    taken = pixels[:, :, columns]  # [word, row, pixel, tap, channel]
    order = (0, 1, 3, 2, 4) if spread.taps_outer else (0, 2, 1, 3, 4)
    return pack.words_from_lanes(taken.transpose(order).reshape(len(words), -1), unit.bits)


def _matrix(plan: Plan, graph: IntGraph, unit: MatrixUnit, words: list[int]) -> list[int]:
    roms = {e.port: plan.unit(e.source) for e in plan.edges if e.target == unit.name and e.port != "data"}
    weights, starts = roms["weights"], roms["starts"]
    assert isinstance(weights, WeightRom) and isinstance(starts, StartRom)
    rows = pack.weight_words(plan, graph, weights)
    assert len(rows) == weights.depth == unit.groups * unit.folds
    signs = 2 * _unsigned(rows, unit.pe * unit.simd, 1).reshape(-1, unit.folds, unit.pe, unit.simd) - 1
    codes = _unsigned(words, unit.pixels * unit.simd, unit.act_bits)
    if unit.act_signed:
        codes = _signed(words, unit.pixels * unit.simd, unit.act_bits)
    if unit.act_bipolar:
        codes = 2 * codes - 1
    # several pixels at once are as one after the other
    lanes = codes.reshape(-1, unit.groups, unit.folds, unit.simd)
    if unit.act_bipolar:
        agree = lanes[:, :, :, None, :] == signs[None]
        sums = agree.sum(axis=(2, 4))
    else:
        sums = (lanes[:, :, :, None, :] * signs[None]).sum(axis=(2, 4))
    table = _signed(pack.start_words(plan, graph, starts), unit.rows, unit.start_bits)
    table = table.reshape(starts.classes, unit.groups, unit.rows)
    classes = [r * starts.column_classes + c for r in starts.row_class for c in starts.column_class]
    sums = sums.reshape(-1, unit.groups, unit.rows)
    start = table[np.resize(classes, len(sums))] if starts.classes > 1 else table[np.zeros(len(sums), int)]
    if unit.thresholded:
        bits = (sums + start >= 0).astype(np.int64)
        return pack.words_from_lanes(bits.reshape(-1, unit.rows), 1)
    total = (2 * sums if unit.act_bipolar else sums) + start
    return pack.words_from_lanes(total.reshape(-1, unit.rows), unit.out_bits)


def _quantise(plan: Plan, graph: IntGraph, unit: LevelUnit | RequantUnit, words: list[int]) -> list[int]:
    rom = plan.unit(next(e.source for e in plan.edges if e.target == unit.name and e.port != "data"))
    assert isinstance(rom, WeightRom)
    lines = pack.table_words(plan, graph, rom)
    assert len(lines) == rom.depth and max(lines) < 1 << rom.width
    size = rom.width // unit.lanes
    sums = _signed(words, unit.lanes, unit.in_bits)
    result = []
    for row, line in zip(sums, islice(cycle(lines), len(sums)), strict=True):
        word = 0
        for lane, s in enumerate(row.tolist()):
            entry = line >> (lane * size) & (1 << size) - 1
            word |= _code(unit, s, entry) << (lane * unit.out_bits)
        result.append(word)
    return result


def _number(bits: int, value: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def _code(unit: LevelUnit | RequantUnit, s: int, entry: int) -> int:
    if isinstance(unit, LevelUnit):
        flip = entry >> (unit.levels * unit.in_bits) & 1
        mask = (1 << unit.in_bits) - 1
        levels = [_number(unit.in_bits, entry >> (i * unit.in_bits) & mask) for i in range(unit.levels)]
        assert levels == sorted(levels) or entry == 0
        return sum((s >= level) != bool(flip) for level in levels)
    multiplier = _number(unit.multiplier_bits, entry & (1 << unit.multiplier_bits) - 1)
    addend = _number(unit.addend_bits, entry >> unit.multiplier_bits)
    scaled = s * multiplier + addend
    code = scaled >> unit.shift
    if unit.even and scaled == code << unit.shift:
        code &= ~1
    return min(max(code, unit.low), unit.high)
