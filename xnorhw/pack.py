"""Weights, thresholds and frames to words, and back.  docs/layout.md has a worked example.

Lane 0 of a word lies in its lowest bits; bit 1 is +1.  Output channel r lives in PE r mod
PE, channel group r // PE.  A weight row is flattened (ky, kx, channel).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.ir.geometry import ceil_div
from xnorhw.ir.int_graph import IntGraph, Product
from xnorhw.ir.types import IntType
from xnorhw.plan.layers import ChipLayer, chip_layers
from xnorhw.plan.model import MatrixUnit, Plan, StartRom, Stream, Unit, WeightRom
from xnorhw.plan.starts import flipped_weights, start_values

__all__ = [
    "bits_from_words",
    "lanes_from_words",
    "pack_frames",
    "split_words",
    "start_lanes",
    "start_words",
    "stream_words",
    "unpack_results",
    "unpack_stream",
    "unpack_weight_words",
    "weight_image",
    "weight_words",
    "words_from_bits",
    "words_from_lanes",
]

Bits = npt.NDArray[np.uint8]
Values = npt.NDArray[np.int64]
BURST = 64
RESULT_BYTES = 4


@dataclass(frozen=True)
class _Layer:
    """A layer as the chip has it, and its matrix unit."""

    chip: ChipLayer
    matrix: MatrixUnit


def _layer_of(plan: Plan, graph: IntGraph, rom: Unit) -> _Layer:
    """The layer that ``rom`` feeds."""
    matrix = next(e.target for e in plan.edges if e.source == rom.name)
    name = next(layer.name for layer in plan.layers if layer.matrix == matrix)
    unit = plan.unit(matrix)
    assert isinstance(unit, MatrixUnit)
    return _Layer(next(layer for layer in chip_layers(graph) if layer.name == name), unit)


# --- weights -----------------------------------------------------------------------------


def _lane_bits(layer: _Layer) -> Bits:
    """Weight bits [groups, folds, PE, SIMD] in the order in which a matrix unit reads them."""
    unit = layer.matrix
    weights = flipped_weights(layer.chip)
    out, channels = weights.shape[:2]
    taps = layer.chip.product.geometry.taps
    per_tap = unit.simd * unit.folds // taps
    rows = np.ones((unit.groups * unit.pe, taps, per_tap), np.uint8)  # a padded lane's weight is 1
    rows[:out, :, :channels] = (weights > 0).transpose(0, 2, 3, 1).reshape(out, taps, channels)
    lanes = rows.reshape(unit.groups, unit.pe, unit.folds, unit.simd)
    return np.ascontiguousarray(lanes.transpose(0, 2, 1, 3))


def weight_words(plan: Plan, graph: IntGraph, rom: WeightRom) -> list[int]:
    """The words of ``rom``, ``rom.width`` bits each: channel groups outermost, then folds."""
    bits = _lane_bits(_layer_of(plan, graph, rom))
    return words_from_bits(bits.reshape(-1, rom.width))


def unpack_weight_words(words: list[int], unit: MatrixUnit, product: Product) -> npt.NDArray[np.int8]:
    """The inverse of ``weight_words``: the (flipped) weights [O, I, kh, kw] in {-1, +1}."""
    out, channels, kh, kw = product.terms[0].weight.shape
    bits = bits_from_words(words, unit.pe * unit.simd).reshape(unit.groups, unit.folds, unit.pe, unit.simd)
    rows = bits.transpose(0, 2, 1, 3).reshape(unit.groups * unit.pe, kh * kw, -1)
    weights = rows[:out, :, :channels].reshape(out, kh, kw, channels).transpose(0, 3, 1, 2)
    return (2 * weights.astype(np.int8) - 1).astype(np.int8)


# --- accumulator starts --------------------------------------------------------------------


def start_lanes(plan: Plan, graph: IntGraph, rom: StartRom) -> Values:
    """The start values of ``rom`` [words, PE]: for each position class the channel groups."""
    layer = _layer_of(plan, graph, rom)
    unit = layer.matrix
    table = start_values(layer.chip)
    if table.shape[0] != rom.classes:
        raise AssertionError(f"{rom.name}: {table.shape[0]} position classes, the plan has {rom.classes}")
    lanes = np.zeros((rom.classes, unit.groups * unit.pe), np.int64)
    lanes[:, : table.shape[1]] = table
    return lanes.reshape(-1, unit.pe)


def start_words(plan: Plan, graph: IntGraph, rom: StartRom) -> list[int]:
    """``start_lanes`` as words of ``rom.width`` bits."""
    lanes = start_lanes(plan, graph, rom)
    bits = rom.width // lanes.shape[1]
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    if lanes.min() < low or lanes.max() > high:
        raise AssertionError(f"{rom.name}: a start value does not fit into {bits} bits")
    return words_from_lanes(lanes, bits)


# --- the weight image ----------------------------------------------------------------------


def weight_image(plan: Plan, graph: IntGraph) -> bytes:
    """All layers' starts and weights in the order of consumption; see ``plan.image``."""
    image = bytearray(plan.image.total_bytes)
    roms = {e.target: {} for e in plan.edges if e.port in ("weights", "starts")}  # type: dict[str, dict[str, Any]]
    for edge in plan.edges:
        if edge.port in ("weights", "starts"):
            roms[edge.target][edge.port] = plan.unit(edge.source)
    cache: dict[str, tuple[list[int], list[int]]] = {}
    for segment in plan.image.segments:
        layer = next(x for x in plan.layers if x.name == segment.layer)
        weights, starts = roms[layer.matrix]["weights"], roms[layer.matrix]["starts"]
        if layer.name not in cache:
            cache[layer.name] = weight_words(plan, graph, weights), start_words(plan, graph, starts)
        weight_list, start_list = cache[layer.name]
        unit = plan.unit(layer.matrix)
        assert isinstance(unit, MatrixUnit)
        own = weight_list[segment.group * unit.folds : (segment.group + 1) * unit.folds]
        data = _bytes(start_list[segment.group :: unit.groups], starts.width, segment.start_bytes)
        data += _bytes(own, weights.width, segment.weight_bytes)
        image[segment.offset : segment.offset + len(data)] = data
    return bytes(image)


def _bytes(words: list[int], width: int, size: int) -> bytes:
    word_bytes = ceil_div(width, 8)
    data = b"".join(w.to_bytes(word_bytes, "little") for w in words)
    if len(data) > size:
        raise AssertionError(f"a group's {len(data)} bytes do not fit into its {size}")
    return data.ljust(size, b"\0")


# --- words ---------------------------------------------------------------------------------


def words_from_bits(bits: Bits) -> list[int]:
    """[words, width] bits, lowest first -> integers."""
    packed = np.packbits(bits, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def bits_from_words(words: list[int], width: int) -> Bits:
    """The inverse of ``words_from_bits``: [words, width]."""
    size = ceil_div(width, 8)
    mask = (1 << width) - 1
    data = b"".join((w & mask).to_bytes(size, "little") for w in words)
    rows = np.frombuffer(data, np.uint8).reshape(len(words), size)
    return np.unpackbits(rows, axis=1, count=width, bitorder="little")


def split_words(words: list[int], lanes: int, bits: int) -> list[list[int]]:
    """Words of ``lanes`` lanes -> for each lane its ``bits`` bits of every word, unsigned."""
    mask = (1 << bits) - 1
    return [[(word >> (lane * bits)) & mask for word in words] for lane in range(lanes)]


def words_from_lanes(lanes: Values, bits: int) -> list[int]:
    """[words, lanes] integers -> words of ``bits`` bits a lane, two's complement."""
    shifts = np.arange(bits, dtype=np.int64)
    spread = ((lanes[:, :, None] >> shifts) & 1).astype(np.uint8)
    return words_from_bits(spread.reshape(len(lanes), -1))


def lanes_from_words(words: list[int], lanes: int, bits: int, signed: bool) -> Values:
    """The inverse of ``words_from_lanes``: [words, lanes]."""
    spread = bits_from_words(words, lanes * bits).reshape(len(words), lanes, bits).astype(np.int64)
    values: Values = (spread << np.arange(bits, dtype=np.int64)).sum(axis=2)
    if signed:
        values -= spread[:, :, -1] << bits
    return values


# --- tensors on streams --------------------------------------------------------------------


def _codes(values: npt.NDArray[Any], bipolar: bool) -> Values:
    """Values -> codes: +1 is 1, -1 is 0."""
    codes = values.astype(np.int64)
    return (codes + 1) // 2 if bipolar else codes


def stream_words(stream: Stream, values: npt.NDArray[Any], bipolar: bool) -> list[int]:
    """Values [N, C, H, W] as the words of ``stream``, padded lanes zero."""
    codes = _codes(values, bipolar).transpose(0, 2, 3, 1).reshape(-1, stream.channels)
    lanes = np.zeros((len(codes), stream.words_per_pixel * stream.lanes), np.int64)
    lanes[:, : stream.channels] = codes
    return words_from_lanes(lanes.reshape(-1, stream.lanes), stream.bits)


def unpack_stream(stream: Stream, words: list[int], shape: tuple[int, int, int], kind: IntType) -> Values:
    """The inverse of ``stream_words`` for whole frames: values [N, C, H, W]; padded lanes dropped."""
    frames, rest = divmod(len(words), stream.words)
    if rest:
        raise ValueError(f"{len(words)} words are no whole frames of {stream.words}")
    signed = kind.signed and not kind.is_bipolar
    lanes = lanes_from_words(words, stream.lanes, stream.bits, signed)
    channels, height, width = shape
    codes = lanes.reshape(frames, height, width, -1)[..., :channels].transpose(0, 3, 1, 2)
    return 2 * codes - 1 if kind.is_bipolar else codes


# --- frames at the IP's edge -----------------------------------------------------------------


def pack_frames(plan: Plan, values: npt.NDArray[Any], kind: IntType) -> npt.NDArray[np.uint8]:
    """Input values [N, C, H, W] -> frames uint8 [N, beats * beat bytes].

    Raster order, channels innermost; one-bit codes are packed lowest first through the
    whole frame, wider codes take a byte each; the frame is zero-padded to whole beats.
    """
    frame = plan.input_frame
    codes = _codes(values, kind.is_bipolar).transpose(0, 2, 3, 1).reshape(len(values), -1)
    if frame.element_bits == 1:
        data = np.packbits(codes.astype(np.uint8), axis=1, bitorder="little")
    else:
        data = (codes & 0xFF).astype(np.uint8)
    result = np.zeros((len(values), frame.beats * frame.beat_bits // 8), np.uint8)
    result[:, : data.shape[1]] = data
    return result


def unpack_results(plan: Plan, data: npt.NDArray[np.uint8], shape: tuple[int, int, int]) -> Values:
    """Result frames uint8 [N, bytes] -> int64 sums [N, C, H, W]."""
    channels, height, width = shape
    count = channels * height * width
    used = np.ascontiguousarray(data[:, : count * RESULT_BYTES]).view("<i4")
    return used.reshape(-1, height, width, channels).transpose(0, 3, 1, 2).astype(np.int64)
