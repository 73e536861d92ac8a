"""Weights, thresholds and frames to words, and back.  docs/layout.md has a worked example.

Lane 0 of a word lies in its lowest bits; bit 1 is +1.  Output channel r lives in PE r mod
PE, channel group r // PE.  A weight row is flattened (ky, kx, channel).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Union

import numpy as np
import numpy.typing as npt

from xnorhw.ir.geometry import ceil_div
from xnorhw.ir.int_graph import FullProduct, IntGraph, Product, Threshold
from xnorhw.ir.types import IntType
from xnorhw.plan.layers import ChipLayer
from xnorhw.plan.model import (
    Job,
    LevelUnit,
    MatrixUnit,
    Plan,
    RequantUnit,
    StartRom,
    Stream,
    Unit,
    WeightRom,
)
from xnorhw.plan.stages import chip_layers, chip_stages
from xnorhw.plan.starts import column_classes, flipped_weights, position_classes, start_values
from xnorhw.plan.tables import level_values, quantiser_of

__all__ = [
    "Words",
    "bits_from_words",
    "lanes_from_words",
    "pack_frames",
    "split_words",
    "start_lanes",
    "start_words",
    "stream_words",
    "table_words",
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
Words = Union[list[int], Bits]
"""Words of a stream: numbers, or uint8 [words, bytes], the lowest byte first."""
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


def _weight_lanes(layer: _Layer) -> Values:
    """Weights [groups, terms, folds, PE, SIMD] in the order in which a matrix unit reads them.

    Of binary weights the bits; a padded lane's is 1, an integer one's 0.
    """
    unit, terms = layer.matrix, layer.chip.terms
    groups, taps = unit.groups // terms, layer.chip.geometry.taps
    per_tap = unit.simd * unit.folds // taps
    rows = np.full((terms, groups * unit.pe, taps, per_tap), 0 if unit.full else 1, np.int64)
    for term in range(terms):
        weights = flipped_weights(layer.chip, term).astype(np.int64)
        out, channels = weights.shape[:2]
        lanes = weights if unit.full else weights > 0
        rows[term, :out, :, :channels] = lanes.transpose(0, 2, 3, 1).reshape(out, taps, channels)
    words = rows.reshape(terms, groups, unit.pe, unit.folds, unit.simd)
    return np.ascontiguousarray(words.transpose(1, 0, 3, 2, 4))


def weight_words(plan: Plan, graph: IntGraph, rom: WeightRom) -> list[int]:
    """The words of ``rom``, ``rom.width`` bits each: channel groups outermost, then terms, then folds.

    Where the rom feeds what makes codes of sums these are ``table_words``.
    """
    if next(e.port for e in plan.edges if e.source == rom.name) != "weights":
        return table_words(plan, graph, rom)
    layer = _layer_of(plan, graph, rom)
    lanes, bits = _weight_lanes(layer), layer.matrix.weight_bits
    if layer.matrix.full and (lanes.min() < -(1 << (bits - 1)) or lanes.max() >= 1 << (bits - 1)):
        raise AssertionError(f"{rom.name}: a weight does not fit into {bits} bits")
    return words_from_lanes(lanes.reshape(-1, layer.matrix.pe * layer.matrix.simd), bits)


def unpack_weight_words(
    words: list[int], unit: MatrixUnit, product: Product | FullProduct, term: int = 0
) -> npt.NDArray[np.int8]:
    """The inverse of ``weight_words``: a term's (flipped) weights [O, I, kh, kw], +-1 or integers."""
    full = isinstance(product, FullProduct)
    terms = 1 if isinstance(product, FullProduct) else len(product.terms)
    shape = product.weight.shape if isinstance(product, FullProduct) else product.terms[0].weight.shape
    out, channels, kh, kw = shape
    flat = lanes_from_words(words, unit.pe * unit.simd, unit.weight_bits, signed=full)
    lanes = flat.reshape(unit.groups // terms, terms, unit.folds, unit.pe, unit.simd)[:, term]
    rows = lanes.transpose(0, 2, 1, 3).reshape(unit.groups // terms * unit.pe, kh * kw, -1)
    weights = rows[:out, :, :channels].reshape(out, kh, kw, channels).transpose(0, 3, 1, 2)
    return (weights if full else 2 * weights - 1).astype(np.int8)


# --- accumulator starts --------------------------------------------------------------------


def start_lanes(plan: Plan, graph: IntGraph, rom: StartRom) -> Values:
    """The start values of ``rom`` [words, PE]: for each position class the channel groups' terms.

    Of a unit of several pixels a word has the starts of all of them, pixel by pixel.
    """
    layer = _layer_of(plan, graph, rom)
    unit, terms = layer.matrix, layer.chip.terms
    lanes = np.zeros((rom.classes, terms, unit.groups // terms * unit.rows), np.int64)
    for term in range(terms):
        table = start_values(layer.chip, term)
        if unit.pixels > 1:
            table = _beside(layer.chip, table, unit.pixels)
        if table.shape[0] != rom.classes:
            raise AssertionError(f"{rom.name}: {table.shape[0]} position classes, the plan has {rom.classes}")
        lanes[:, term, : table.shape[1]] = table
    shaped = lanes.reshape(rom.classes, terms, unit.groups // terms, unit.rows)
    return np.ascontiguousarray(shaped.transpose(0, 2, 1, 3)).reshape(-1, unit.rows)


def _beside(chip: ChipLayer, table: Values, pixels: int) -> Values:
    """Starts [position classes, O] -> [row classes x classes of ``pixels`` columns, pixels x O]."""
    _, _, rows, columns = position_classes(chip)
    kinds = np.array(column_classes(chip, pixels))
    by_pixel = table.reshape(rows, columns, -1)[:, kinds]
    return by_pixel.reshape(rows * len(kinds), -1)


def start_words(plan: Plan, graph: IntGraph, rom: StartRom) -> list[int]:
    """``start_lanes`` as words of ``rom.width`` bits."""
    lanes = start_lanes(plan, graph, rom)
    bits = rom.width // lanes.shape[1]
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    if lanes.min() < low or lanes.max() > high:
        raise AssertionError(f"{rom.name}: a start value does not fit into {bits} bits")
    return words_from_lanes(lanes, bits)


# --- tables --------------------------------------------------------------------------------


def table_words(plan: Plan, graph: IntGraph, rom: WeightRom) -> list[int]:
    """The words of a table of levels or factors: positions outermost, then channel groups.

    ``plan.model.LevelUnit`` and ``RequantUnit`` say how a lane is packed.
    """
    target = next(e.target for e in plan.edges if e.source == rom.name)
    unit = plan.unit(target)
    assert isinstance(unit, LevelUnit | RequantUnit)
    codes = next(job.writes for job in plan.jobs if job.unit == target)
    quantiser, (low, high) = quantiser_of(chip_stages(graph), codes)
    # a lane past the last channel is all zeros
    if isinstance(quantiser, Threshold):
        assert isinstance(unit, LevelUnit)
        levels, flip = level_values(quantiser, low, high)
        flips = np.broadcast_to(flip.astype(np.int64)[:, :, None], (*levels.shape[:2], 1))
        fields = [(levels, unit.in_bits), (flips, 1)]
    else:
        assert isinstance(unit, RequantUnit)
        rows = (quantiser.positions, -1, 1)
        fields = [
            (quantiser.multiplier.reshape(rows), unit.multiplier_bits),
            (quantiser.addend.reshape(rows), unit.addend_bits),
        ]
    positions, channels = fields[0][0].shape[:2]
    parts = [_spread(values, bits).reshape(positions, channels, -1) for values, bits in fields]
    lanes = np.concatenate(parts, axis=2)
    if unit.lanes > channels:
        # several pixels at once, each at a position of its own where they differ
        beside = unit.lanes // channels
        lanes = np.repeat(lanes, beside, axis=0) if positions == 1 else lanes
        positions, channels = len(lanes) // beside, unit.lanes
        lanes = lanes.reshape(positions, channels, -1)
    padded = np.zeros((positions, ceil_div(channels, unit.lanes) * unit.lanes, lanes.shape[2]), np.uint8)
    padded[:, :channels] = lanes
    return words_from_bits(padded.reshape(rom.depth, rom.width))


# --- the weight image ----------------------------------------------------------------------


def weight_image(plan: Plan, graph: IntGraph) -> bytes:
    """All layers' starts, tables and weights in the order of consumption; see ``plan.image``."""
    image = bytearray(plan.image.total_bytes)
    groups: dict[str, int] = {}
    for segment in plan.image.segments:
        groups[segment.layer] = segment.group + 1
    roms = {name: _roms_of(plan, graph, name) for name in groups}
    for segment in plan.image.segments:
        data = b""
        for rom in roms[segment.layer]:
            own = rom.of_group(segment.group, groups[segment.layer])
            data += b"".join(word.to_bytes(ceil_div(rom.width, 8), "little") for word in own)
        if len(data) != segment.start_bytes + segment.weight_bytes:
            raise AssertionError(f"{segment.layer}: a group's words are not the bytes of its segment")
        image[segment.offset : segment.offset + len(data)] = data
    return bytes(image)


@dataclass(frozen=True)
class _Rom:
    """A ROM's words: for each position class the channel groups, ``run`` words each."""

    width: int
    words: list[int]
    run: int

    def of_group(self, group: int, groups: int) -> list[int]:
        """The words of one group, class after class."""
        step = groups * self.run
        starts = range(group * self.run, len(self.words), step)
        return [word for at in starts for word in self.words[at : at + self.run]]


def _roms_of(plan: Plan, graph: IntGraph, name: str) -> list[_Rom]:
    """The ROMs of a layer, or those of a pool, in the order of a segment: weights come last."""
    found: list[_Rom] = []
    weights: list[_Rom] = []
    matrices = {layer.matrix: layer.name for layer in plan.layers}
    jobs = {job.unit: job for job in plan.jobs}
    for edge in plan.edges:
        rom = None if edge.source == "input" else plan.unit(edge.source)
        if matrices.get(edge.target) == name and isinstance(rom, WeightRom | StartRom):
            layer = _layer_of(plan, graph, rom)
            terms = layer.chip.terms
            if isinstance(rom, StartRom):
                found.append(_Rom(rom.width, start_words(plan, graph, rom), terms))
            else:
                run = terms * layer.matrix.folds
                weights.append(_Rom(rom.width, weight_words(plan, graph, rom), run))
        elif edge.port in ("levels", "factors") and name == _segment_name(jobs[edge.target], plan):
            assert isinstance(rom, WeightRom)
            found.append(_Rom(rom.width, table_words(plan, graph, rom), 1))
    return [*found, *weights]


def _segment_name(job: Job, plan: Plan) -> str:
    """Where the table of ``job``'s unit lies: a layer's is by what it reads, any other by what it makes."""
    return job.reads if job.layer in {layer.name for layer in plan.layers} else job.writes


# --- words ---------------------------------------------------------------------------------


def words_from_bits(bits: Bits) -> list[int]:
    """[words, width] bits, lowest first -> integers."""
    packed = np.packbits(bits, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def bits_from_words(words: Words, width: int) -> Bits:
    """The inverse of ``words_from_bits``: [words, width]."""
    size = ceil_div(width, 8)
    if not isinstance(words, list):
        return np.unpackbits(words[:, :size], axis=1, count=width, bitorder="little")
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
    return words_from_bits(_spread(lanes, bits).reshape(len(lanes), -1))


def _spread(values: Values, bits: int) -> Bits:
    """The bits of each value, two's complement, lowest first: one axis more."""
    shifts = np.arange(bits, dtype=np.int64)
    return ((values[..., None] >> shifts) & 1).astype(np.uint8)


def lanes_from_words(words: Words, lanes: int, bits: int, signed: bool) -> Values:
    """The inverse of ``words_from_lanes``: [words, lanes]."""
    spread = bits_from_words(words, lanes * bits).reshape(len(words), lanes, bits).astype(np.int64)
    if bits == 1 and not signed:
        return spread[:, :, 0]
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


def unpack_stream(stream: Stream, words: Words, shape: tuple[int, int, int], kind: IntType) -> Values:
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
    whole frame, wider codes take one byte or two each; the frame is zero-padded to whole beats.
    """
    frame = plan.input_frame
    codes = _codes(values, kind.is_bipolar).transpose(0, 2, 3, 1).reshape(len(values), -1)
    if frame.element_bits == 1:
        data = np.packbits(codes.astype(np.uint8), axis=1, bitorder="little")
    elif frame.element_bits == 8:
        data = (codes & 0xFF).astype(np.uint8)
    else:
        data = (codes & 0xFFFF).astype("<u2").view(np.uint8)
    result = np.zeros((len(values), frame.beats * frame.beat_bits // 8), np.uint8)
    result[:, : data.shape[1]] = data
    return result


def unpack_results(plan: Plan, data: npt.NDArray[np.uint8], shape: tuple[int, int, int]) -> Values:
    """Result frames uint8 [N, bytes] -> int64 sums [N, C, H, W]."""
    channels, height, width = shape
    count = channels * height * width
    used = np.ascontiguousarray(data[:, : count * RESULT_BYTES]).view("<i4")
    return used.reshape(-1, height, width, channels).transpose(0, 3, 1, 2).astype(np.int64)
