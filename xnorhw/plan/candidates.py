"""What every layer can be, and what each of these costs at least, as arrays.

A layer's *option* is (PE, SIMD, taps of its pools); beside it stands where its weights and its
rings live.  Costs are what a design with that option has in any case: rings of the least depth that
a window can work with.  What depends on the other layers is left out, but for the converters
between two layers, which depend on these two alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise, product

import numpy as np
import numpy.typing as npt

from xnorhw.ir.geometry import ceil_div
from xnorhw.plan.assemble import input_frame, output_frame
from xnorhw.plan.columns import SHARES, column_pes
from xnorhw.plan.design import table_roms
from xnorhw.plan.fabric import Fabric
from xnorhw.plan.geometry import (
    RESULT_BITS,
    WIDEST_WORD,
    LayerShape,
    divisors,
    layer_shape,
    legal_pe,
    legal_simd,
    legal_taps,
    pool_cycles,
    word_bits,
)
from xnorhw.plan.layers import ChipLayer, ChipPool, wire_bits
from xnorhw.plan.memories import LUT_ROM_DEPTH, Form, placed, weight_options
from xnorhw.plan.model import Converter, Fifo, Memory, Resources, StartRom, Stream, Window
from xnorhw.plan.network import Network
from xnorhw.plan.resources import fifo_resources, ring_resources, rom_resources, unit_resources
from xnorhw.plan.rows import legal_pixels, pool_pixels, pools_and_pixels
from xnorhw.plan.schedule import window_ring
from xnorhw.plan.starts import position_classes
from xnorhw.plan.streams import conversion
from xnorhw.plan.trim import ring_of
from xnorhw.plan.units import (
    layer_window,
    matrix_unit,
    plane_unit,
    pool_unit,
    pool_window,
    quantisers,
    terms_unit,
)

__all__ = [
    "INPUT",
    "JOIN",
    "KINDS",
    "Candidates",
    "Costs",
    "Links",
    "Matrix",
    "Slot",
    "candidates",
    "feeders",
    "links",
    "vector",
]

Matrix = npt.NDArray[np.float64]

Slot = tuple[Memory, int]
"""Where weights live, and the share (of ``columns.SHARES``) of PEs whose sums DSPs form."""

KINDS = ("lut", "ff", "bram36", "dsp")
"""The kinds of resource, in the order of a cost vector."""

INPUT, JOIN = -1, -2
"""What may stand in front of a layer in place of another: the core's port, what joins streams."""

# Up to so many outputs or channels every PE or SIMD is tried, not only the least of equal speed.
_ALL = 16
# Of more values of PE or SIMD those are left out that are less than this share above another.
_MANY, _SPACING = 64, 1.06
_WEIGHTS = (Memory.LEAF, Memory.LUT, Memory.BLOCK, Memory.TALL, Memory.MIXED)
_RINGS = (Memory.LUT, Memory.BLOCK)
_SLICE = Fifo(2)


def vector(cost: Resources) -> list[float]:
    """``cost`` as numbers in the order of KINDS."""
    return [cost.lut, cost.ff, cost.bram36, cost.dsp]


@dataclass(frozen=True, eq=False)
class Candidates:
    """A layer's options, those that ask for the same words in front of them side by side.

    ``cycles`` [n]: clocks a frame of an option's slowest unit.  ``cost`` [n, m, 4]: what it costs with
    each of the ``memories``: the weights', with the share of PEs in DSPs that ``fabric`` has, and the rings',
    its own and the pools'; inf where it cannot have them.  ``pe`` [n] is the place in ``pes`` of the lanes
    that leave it: its PE, or every output of several pixels; ``want`` [n] that of the words (lanes, flat)
    that it takes in ``wants``.  ``pixels`` [n] a clock.
    """

    layer: ChipLayer
    shapes: tuple[LayerShape, ...]
    taps: tuple[tuple[int, ...], ...]
    memories: tuple[tuple[Slot, tuple[Memory, ...]], ...]
    fabric: Fabric
    cycles: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.int64]
    cost: Matrix
    pe: npt.NDArray[np.int64]
    want: npt.NDArray[np.int64]
    pes: tuple[int, ...]
    wants: tuple[tuple[int, bool], ...]

    def form(self, option: int, memory: int) -> Form:
        """Where the weights of an option live in the memories of number ``memory``, and its PEs in DSPs."""
        kind, share = self.memories[memory][0]
        return Form(kind, column_pes(self.layer, self.shapes[option], self.fabric, share))

    def place(self, option: int, form: Form, rings: tuple[Memory, ...]) -> int:
        """The number of an option's memories; what stands for the ring of no window is all the same."""
        ring, *pools = rings
        kinds = (ring if self.shapes[option].windowed else Memory.LUT, *pools)
        same = (i for i, slot in enumerate(self.memories) if slot[1] == kinds)
        return next(i for i in same if self.form(option, i) == form)


@dataclass(frozen=True, eq=False)
class Links:
    """Converters: ``front`` [p, w, 4] between the feeder's PE p and want w, ``back`` [pe, 4] behind the last.

    In front of a layer that no other feeds p is 0 alone.
    """

    feeder: int
    front: Matrix
    back: Matrix | None


def feeders(network: Network) -> tuple[int, ...]:
    """For each layer the layer whose output it reads, or what stands there instead."""
    made = {layer.output.name: layer.index for layer in network.layers}
    made[network.source.name] = INPUT
    return tuple(made.get(layer.source.name, JOIN) for layer in network.layers)


def candidates(costs: Costs, slowest: float, most_lanes: float) -> Candidates:
    """The options of a layer of at most ``slowest`` clocks a frame and ``most_lanes`` lanes.

    Of equal numbers of channel groups, and of folds, the least PE and SIMD, and of large layers not
    all that are nearly alike; none whose words are wider than the C++ core can express.
    """
    layer = costs.layer
    found: list[tuple[LayerShape, tuple[int, ...], int]] = []
    shapes = [layer_shape(layer, pe, simd) for simd, pe in product(_simds(layer), _pes(layer))]
    whole = layer.outputs, layer.slice_channels * layer.taps
    shapes += [layer_shape(layer, *whole, pixels) for pixels in legal_pixels(layer)[1:]]
    for shape in shapes:
        lanes = shape.pe * shape.simd * shape.made
        if shape.cycles > slowest or lanes > most_lanes or word_bits(layer, shape) > WIDEST_WORD:
            continue
        found += [(shape, taps, clocks) for taps, clocks in _taps(layer, shape, slowest)]
    found.sort(key=lambda option: (option[0].lanes, option[0].flat))
    wants = sorted({(shape.lanes, shape.flat) for shape, _, _ in found})
    leaving = [shape.pe * pool_pixels(layer, shape.pixels)[-1] for shape, _, _ in found]
    pes = sorted(set(leaving))
    want = np.array([wants.index((s.lanes, s.flat)) for s, _, _ in found], np.int64)
    rows = [costs.of(shape, taps) for shape, taps, _ in found]
    return Candidates(
        layer,
        tuple(shape for shape, _, _ in found),
        tuple(taps for _, taps, _ in found),
        costs.memories,
        costs.fabric,
        np.array([clocks for _, _, clocks in found], np.int64),
        np.array([shape.pixels for shape, _, _ in found], np.int64),
        np.array(rows, np.float64).reshape(len(found), len(costs.memories), len(KINDS)),
        np.array([pes.index(lanes) for lanes in leaving], np.int64),
        want,
        tuple(pes),
        tuple(wants),
    )


def _pes(layer: ChipLayer) -> list[int]:
    if layer.groups > 1 or layer.outputs <= _ALL:
        return legal_pe(layer)
    groups = {ceil_div(layer.outputs, pe) for pe in legal_pe(layer)}
    return _spaced({ceil_div(layer.outputs, g) for g in groups}, layer.outputs)


def _simds(layer: ChipLayer) -> list[int]:
    c = layer.slice_channels
    if layer.groups > 1 or c <= _ALL:
        return legal_simd(layer)
    least = {ceil_div(c, ceil_div(c, simd)) for simd in range(1, c + 1)} | set(divisors(c))
    return _spaced(least, c) + [c * d for d in divisors(layer.taps) if d > 1]


def _spaced(values: set[int], whole: int) -> list[int]:
    """``values`` rising; of very many the divisors of ``whole``, and of the others no near neighbours."""
    if len(values) <= _MANY:
        return sorted(values)
    kept = divisors(whole)
    last = 0.0
    for value in sorted(values - set(kept)):
        if value >= last * _SPACING:
            kept.append(value)
            last = value
    return sorted(kept)


def _taps(layer: ChipLayer, shape: LayerShape, slowest: float) -> list[tuple[tuple[int, ...], int]]:
    """The taps a clock of the layer's pools, and the clocks of the slowest unit; no more than it gains."""
    found: dict[int, tuple[int, ...]] = {}
    pools = pools_and_pixels(layer, shape.pixels)
    for taps in product(*(legal_taps(pool, pixels) for pool, pixels in pools)):
        clocks = [pool_cycles(pool, shape.pe, t, m) for (pool, m), t in zip(pools, taps, strict=True)]
        slowest_unit = max(shape.cycles, *clocks, 0)
        if slowest_unit <= slowest and slowest_unit not in found:
            found[slowest_unit] = taps
    return [(taps, clocks) for clocks, taps in found.items()]


class Costs:
    """What the options of layer ``index`` cost; what was asked for once is known."""

    def __init__(self, network: Network, index: int) -> None:
        self._network, self._index = network, index
        self.layer, self._widths = network.layers[index], network.widths[index]
        self._pools = range(len(self.layer.pools))
        self.fabric = network.fabric
        shares = range(SHARES + 1) if self._adds_codes() else range(1)
        self._slots = tuple(product(_WEIGHTS, shares))
        rings = tuple(product(_RINGS, *(_RINGS for _ in self._pools)))
        self.memories = tuple(product(self._slots, rings))
        self._classes = lru_cache(maxsize=None)(partial(position_classes, self.layer))
        self._window = lru_cache(maxsize=None)(self._window_cost)
        self._pool = lru_cache(maxsize=None)(self._pool_cost)
        self.of = lru_cache(maxsize=None)(self._of)
        self._bases: dict[bool, Window] = {}
        self._span = _span(self.layer)

    def _of(self, shape: LayerShape, taps: tuple[int, ...]) -> Matrix:
        """[m, 4]: the cost of an option with each of ``memories``."""
        slots = [self._weights(shape)]
        if shape.windowed and shape.pixels > 1:
            window = layer_window(self.layer, shape, 1, Memory.LUT)
            slots.append(_least_window(window, ring_of(window).least_depth))
        elif shape.windowed:
            slots.append(
                self._window(
                    shape.lanes,
                    shape.words_per_pixel,
                    shape.taps_per_word,
                    shape.turns,
                    shape.flat,
                    shape.slices,
                )
            )
        else:
            slots.append(np.zeros((len(_RINGS), len(KINDS))))
        beside = tuple(pairwise(pool_pixels(self.layer, shape.pixels)))
        slots += [self._pool(i, shape.pe, taps[i], *beside[i]) for i in self._pools]
        total = np.array(vector(self._fixed(shape)))
        for slot in slots:
            total = total[..., None, :] + slot
        return total.reshape(-1, len(KINDS))

    def _adds_codes(self) -> bool:
        """Whether DSPs may add for the layer at all."""
        layer = self.layer
        return self.fabric.columns and self.fabric.dsps > 0 and not layer.full and not layer.matrix_bipolar

    def _weights(self, shape: LayerShape) -> Matrix:
        """[s, 4]: the cost of the weights and the matrix unit in each of the slots."""
        found: dict[Slot, Resources] = {}
        seen = set()
        for share in sorted({share for _, share in self._slots}):
            pes = column_pes(self.layer, shape, self.fabric, share)
            if pes not in seen:
                seen.add(pes)
                options = weight_options(self._network, self._index, shape, pes)
                found |= {(kind, share): cost for kind, cost in options}
        return _slot([found.get(slot) for slot in self._slots])

    def _fixed(self, shape: LayerShape) -> Resources:
        layer, widths = self.layer, self._widths
        turns = shape.turns
        matrix = matrix_unit(layer, shape, widths)
        starts = StartRom("", matrix.rows * widths.start_bits, turns, *self._classes(shape.made), "")
        cost = unit_resources(placed(starts, self._network))
        for unit in (plane_unit(layer, shape), terms_unit(layer, shape, widths)):
            cost = cost if unit is None else cost + unit_resources(unit)
        for behind, _ in quantisers(layer, shape, widths):
            cost = cost if behind is None else cost + unit_resources(behind)
        for table in table_roms(layer, shape, widths):
            if table is not None:
                cost = cost + _least_rom(table.width, table.depth)
        made = matrix.out_bits
        if layer.bits is not None and layer.bits.type is not None:
            made = wire_bits(layer.bits.type)
        return cost + fifo_resources(matrix.rows * made, _SLICE)

    def _window_cost(self, lanes: int, words: int, taps: int, turns: int, flat: bool, slices: int) -> Matrix:
        depth = words if flat else self._span * words
        window = replace(
            self._base(flat),
            lanes=lanes,
            words_per_pixel=words,
            taps_per_word=taps,
            repeats=turns // slices,
            depth=depth,
            slices=slices,
        )
        return _least_window(window, depth)

    def _base(self, flat: bool) -> Window:
        if flat not in self._bases:
            shapes = (layer_shape(self.layer, 1, simd) for simd in legal_simd(self.layer))
            shape = next(shape for shape in shapes if shape.flat == flat)
            self._bases[flat] = layer_window(self.layer, shape, 1, Memory.LUT)
        return self._bases[flat]

    def _pool_cost(self, index: int, pe: int, taps: int, pixels: int, made: int) -> Matrix:
        pool = self.layer.pools[index]
        unit = pool_unit("", pool, pe * made, taps, made)
        cost = unit_resources(unit) + fifo_resources(pe * made * _pool_bits(pool), _SLICE)
        window = pool_window("", pool, pe * pixels, taps, 1, Memory.LUT, pixels)
        whole: Matrix = _least_window(window, ring_of(window).least_depth) + np.array(vector(cost))
        return whole


def _pool_bits(pool: ChipPool) -> int:
    assert pool.output.type is not None
    return wire_bits(pool.output.type)


def _slot(costs: list[Resources | None]) -> Matrix:
    return np.array([[np.inf] * len(KINDS) if c is None else vector(c) for c in costs])


def _least_rom(width: int, depth: int) -> Resources:
    """Of each kind of resource the less that a table in LUTs or in block RAM takes."""
    block = rom_resources(width, depth, Memory.BLOCK)
    if depth > LUT_ROM_DEPTH:
        return block
    lut = rom_resources(width, depth, Memory.LUT)
    return Resources(min(lut.lut, block.lut), min(lut.ff, block.ff))


def _least_window(window: Window, depth: int) -> Matrix:
    """[2, 4]: a window's least cost in each kind of memory, its ring no shorter than ``depth``.

    A ring whose depth is a power of two needs less around it than a shorter one.
    """
    width, copies = window.lanes * window.bits, window.copies
    found = []
    for memory in _RINGS:
        around: list[Matrix] = []
        for words in {depth, 1 << (depth - 1).bit_length()}:
            whole = unit_resources(replace(window, depth=words, memory=memory))
            around.append(np.subtract(vector(whole), vector(ring_resources(width, words, copies, memory))))
        ring = vector(ring_resources(width, depth, copies, memory))
        found.append(np.min(around, axis=0) + ring)
    return np.array(found)


def _span(layer: ChipLayer) -> int:
    """The least ring depth at one word a pixel."""
    _, height, width = layer.source.shape
    return window_ring(layer.geometry, height, width, *layer.sums.shape[1:], 1).least_depth


def links(network: Network, index: int, found: tuple[Candidates, ...], beat_bits: int) -> Links:
    """The converters in front of layer ``index``, and behind the last one."""
    layer, feeder = network.layers[index], feeders(network)[index]
    wants = found[index].wants
    in_front: tuple[int | None, ...] = (None,) if feeder < 0 else found[feeder].pes
    front = np.zeros((len(in_front), len(wants), len(KINDS)))
    if feeder != JOIN:
        for p, pe in enumerate(in_front):
            for w, (lanes, flat) in enumerate(wants):
                front[p, w] = _between(network, layer, pe, lanes, flat, beat_bits)
    back = None
    if layer.last:
        back = np.array([_behind(layer, pe, beat_bits) for pe in found[index].pes])
    return Links(feeder, front, back)


def _between(
    network: Network, layer: ChipLayer, pe: int | None, lanes: int, flat: bool, beat_bits: int
) -> list[float]:
    """The converters in front of a layer, fed by ``pe`` lanes or by the core's input."""
    channels, pixels = layer.channels, layer.in_pixels
    if pe is None:
        frame = input_frame(network.source, beat_bits)
        bits = frame.element_bits
        have = Stream("", frame.beat_bits // bits, bits, frame.elements, 1)
    else:
        bits = layer.act_bits
        have = _stream(pe, bits, channels, pixels)
    want = (
        Stream("", lanes, bits, channels * layer.taps, 1) if flat else _stream(lanes, bits, channels, pixels)
    )
    return _steps_cost(have, pe is None, want, flat)


def _stream(lanes: int, bits: int, channels: int, pixels: int) -> Stream:
    """A stream of ``lanes`` lanes; more of them than ``channels`` are those of several pixels."""
    beside = max(1, lanes // channels)
    return Stream("", lanes, bits, channels * beside, pixels // beside)


def _behind(layer: ChipLayer, pe: int, beat_bits: int) -> list[float]:
    frame = output_frame(layer.sums, beat_bits)
    have = _stream(pe, RESULT_BITS, layer.outputs, layer.out_pixels)
    want = Stream("", frame.beat_bits // RESULT_BITS, RESULT_BITS, frame.elements, 1)
    return _steps_cost(have, False, want, True)


def _steps_cost(have: Stream, have_packed: bool, want: Stream, want_packed: bool) -> list[float]:
    cost = Resources()
    for step in conversion(have, have_packed, want, want_packed):
        cost = cost + unit_resources(Converter("", step.in_bits, step.out_bits, step.packet_bits))
    return vector(cost)
