"""Automatic folding: for a number of clocks a frame the cheapest (PE, SIMD) of every layer."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache

from xnorhw.ir.geometry import ceil_div
from xnorhw.ir.int_graph import MaxPool
from xnorhw.plan.assemble import input_frame, output_frame
from xnorhw.plan.design import LUT_ROM_DEPTH, Design, Pick, Prices, design, table_roms
from xnorhw.plan.geometry import (
    RESULT_BITS,
    WIDEST_WORD,
    LayerShape,
    divisors,
    layer_shape,
    legal_pe,
    legal_taps,
    pool_cycles,
    word_bits,
)
from xnorhw.plan.joins import slowest_join
from xnorhw.plan.layers import ChipLayer
from xnorhw.plan.model import Converter, Memory, Resources, Stream
from xnorhw.plan.network import Network
from xnorhw.plan.resources import ring_resources, rom_resources, unit_resources
from xnorhw.plan.schedule import window_ring
from xnorhw.plan.streams import conversion
from xnorhw.plan.units import matrix_unit, plane_unit, pool_unit, quantisers, terms_unit

__all__ = ["Limits", "Search", "pool_taps"]

# How much dearer block RAM is made, until a mix of LUT and block memories fits.
_BRAM_WEIGHTS = (1.0, 4.0, 0.25, 16.0, 0.06)
_NEIGHBOURS = 40
_SWEEPS = 2
_INPUT, _JOIN = -1, -2


@dataclass(frozen=True)
class Limits:
    """What a design may take."""

    lut: float
    ff: float
    bram36: float
    dsp: float

    def hold(self, cost: Resources) -> bool:
        """True where ``cost`` fits."""
        fabric = cost.lut <= self.lut and cost.ff <= self.ff
        return fabric and cost.bram36 <= self.bram36 and cost.dsp <= self.dsp

    def prices(self, bram_weight: float = 1.0) -> Prices:
        """A share of each kind is worth the same, block RAM ``bram_weight`` times as much."""
        bram36, dsp = max(self.bram36, 0.5), max(self.dsp, 1.0)
        return Prices(1 / self.lut, 0.25 / self.ff, bram_weight / bram36, 1 / dsp)


@dataclass(frozen=True)
class _Option:
    """A layer's candidate and its shape; neighbours are reached by words of ``shape.lanes`` and PE."""

    pick: Pick
    shape: LayerShape


def pool_taps(layer: ChipLayer, pe: int, period: int) -> tuple[int, ...] | None:
    """The fewest taps a clock with which each pool behind a layer keeps up; None where none does."""
    chosen = []
    for pool in layer.pools:
        fitting = [t for t in legal_taps(pool) if pool_cycles(pool, pe, t) <= period]
        if not fitting:
            return None
        chosen.append(fitting[0])
    return tuple(chosen)


class Search:
    """Folding of one network on one board."""

    def __init__(
        self,
        network: Network,
        beat_bits: int,
        limits: Limits,
        least_period: int,
    ) -> None:
        self._network = network
        self._layers = layers = network.layers
        self._widths = network.widths
        self._feeders = _feeders(network)
        self._beat_bits = beat_bits
        self._limits = limits
        self._least = least_period
        self._simds = tuple(_useful_simd(layer) for layer in layers)
        self._spans = tuple(_span(layer) for layer in layers)
        self._local = lru_cache(maxsize=None)(self._local_parts)
        self._between = lru_cache(maxsize=None)(self._between_cost)
        self._joins = slowest_join(network.stages)

    def periods(self) -> list[int]:
        """Every number of clocks a frame that some folding has, not below what the edges need."""
        found = {self._floor()}
        for layer, simds in zip(self._layers, self._simds, strict=True):
            for simd in simds:
                one = layer_shape(layer, layer.outputs // layer.groups, simd)
                found.update(
                    max(one.in_words, layer.out_pixels * one.folds * layer.terms * groups)
                    for groups in _group_counts(layer)
                )
        return sorted(p for p in found if p >= self._floor())

    def _floor(self) -> int:
        beats_in = input_frame(self._network.source, self._beat_bits).beats
        beats_out = output_frame(self._network.result, self._beat_bits).beats
        return max(self._least, beats_in, beats_out, self._joins)

    def fastest(self) -> Design | None:
        """The design with the fewest clocks a frame that fits, None where not even the slowest does.

        Fewer clocks mostly cost more, so a bisection comes close; but a faster folding can fall
        on better divisors and cost less, so the next faster periods are tried one by one.
        """
        periods = self.periods()
        fits: dict[int, Design] = {}

        def fails(index: int) -> bool:
            found = self.at(periods[index])
            if found is not None and self._limits.hold(found.total):
                fits[index] = found
                return False
            return True

        first = bisect_left(range(len(periods)), True, key=lambda i: not fails(i))
        for faster in range(max(0, first - _NEIGHBOURS), first):
            if not fails(faster):
                return fits[faster]
        return fits.get(first)

    def at(self, period: int) -> Design | None:
        """The cheapest design of at most ``period`` clocks a frame; None where no folding is so fast.

        The first one that fits is taken, or the one that misses least.
        """
        best: Design | None = None
        for weight in _BRAM_WEIGHTS:
            prices = self._limits.prices(weight)
            picks = self._picks(period, prices)
            if picks is None:
                return None
            found = design(self._network, picks, self._beat_bits, prices, self._least)
            if self._limits.hold(found.total):
                return found
            if best is None or self._excess(found) < self._excess(best):
                best = found
        return best

    def _excess(self, found: Design) -> float:
        limits, total = self._limits, found.total
        fabric = max(total.lut / limits.lut, total.ff / limits.ff)
        return max(fabric, total.bram36 / max(limits.bram36, 0.5), total.dsp / max(limits.dsp, 0.5))

    def _picks(self, period: int, prices: Prices) -> tuple[Pick, ...] | None:
        """Cheapest by layer first, then again with the converters between neighbours counted."""
        options = [self._options(i, period) for i in range(len(self._layers))]
        if not all(options):
            return None
        own = [[prices.of(self._alone(i, o, prices)) for o in group] for i, group in enumerate(options)]
        chosen = [min(range(len(cost)), key=cost.__getitem__) for cost in own]
        for _ in range(_SWEEPS):
            for i, group in enumerate(options):
                pes = [options[j][chosen[j]].shape.pe for j in range(len(options))]
                behind = [(j, options[j][chosen[j]].shape) for j, f in enumerate(self._feeders) if f == i]
                total = [
                    own[i][k] + prices.of(self._links(i, pes, option, behind))
                    for k, option in enumerate(group)
                ]
                chosen[i] = min(range(len(total)), key=total.__getitem__)
        return tuple(group[k].pick for group, k in zip(options, chosen, strict=True))

    def _options(self, index: int, period: int) -> list[_Option]:
        """For each useful SIMD the least PE that meets ``period``, and the next divisor.

        None whose words are wider than the C++ core can express.
        """
        layer = self._layers[index]
        found = []
        for simd in self._simds[index]:
            one = layer_shape(layer, layer.outputs // layer.groups, simd)
            groups = min(layer.outputs, period // (layer.out_pixels * one.folds * layer.terms))
            if groups < layer.groups or one.in_words > period:
                continue
            least = ceil_div(layer.outputs, groups)
            whole = next(d for d in divisors(layer.outputs // layer.groups) if d >= least)
            for pe in sorted({least, whole} if layer.groups == 1 else {whole}):
                taps, shape = pool_taps(layer, pe, period), layer_shape(layer, pe, simd)
                if taps is not None and word_bits(layer, shape) <= WIDEST_WORD:
                    pick = Pick(pe, simd, "auto", "auto", taps, ("auto",) * len(taps))
                    found.append(_Option(pick, shape))
        return found

    def _alone(self, index: int, option: _Option, prices: Prices) -> Resources:
        """A layer's cost without converters, its memories being the cheaper ones."""
        fixed, memories = self._local(index, option)
        total = fixed
        for lut, block in memories:
            total = total + (lut if prices.cheaper(lut, block) is Memory.LUT else block)
        return total

    def _local_parts(
        self, index: int, option: _Option
    ) -> tuple[Resources, tuple[tuple[Resources, Resources], ...]]:
        layer, shape, widths = self._layers[index], option.shape, self._widths[index]
        fixed = unit_resources(matrix_unit(layer, shape, widths))
        for unit in (plane_unit(layer, shape), terms_unit(layer, shape, widths)):
            fixed = fixed if unit is None else fixed + unit_resources(unit)
        memories = [_both_roms(shape.pe * shape.simd * widths.weight_bits, shape.turns * shape.folds)]
        if shape.windowed:
            # twice the frame for a whole map: one frame is replayed while the next arrives
            depth = 2 * shape.in_words if shape.flat else self._spans[index] * shape.words_per_pixel
            memories.append(_both_rings(shape.lanes * layer.act_bits, depth, shape.taps_per_word))
        for i, (pool, taps) in enumerate(zip(layer.pools, option.pick.pool_taps, strict=True)):
            height, width = pool.source.shape[1:]
            words = ceil_div(layer.outputs, shape.pe)
            ring = window_ring(pool.op.geometry, height, width, *pool.pooled.shape[1:], words)
            memories.append(_both_rings(shape.pe * pool.bits, ring.least_depth, taps))
            if not isinstance(pool.op, MaxPool) or pool.bits > 1:
                fixed = fixed + unit_resources(pool_unit(f"pool{i}", pool, shape.pe, taps))
        for behind, _ in quantisers(layer, shape, widths):
            fixed = fixed if behind is None else fixed + unit_resources(behind)
        for table in table_roms(layer, shape, widths):
            if table is not None:
                memories.append(_both_roms(table.width, table.depth))
        return fixed, tuple(memories)

    def _links(
        self, index: int, pes: list[int], option: _Option, behind: list[tuple[int, LayerShape]]
    ) -> Resources:
        """The converters around a layer: in front of it, and in front of the layers that it feeds."""
        feeder, shape = self._feeders[index], option.shape
        cost = Resources()
        if feeder != _JOIN:
            cost = self._between(index, None if feeder == _INPUT else pes[feeder], shape)
        for reader, its in behind:
            cost = cost + self._between(reader, shape.pe, its)
        if self._layers[index].last:
            cost = cost + self._result_cost(shape.pe)
        return cost

    def _between_cost(self, index: int, pe: int | None, shape: LayerShape) -> Resources:
        """The converters in front of layer ``index``, fed by ``pe`` lanes or by the core's input."""
        layer = self._layers[index]
        name, channels, pixels = layer.source.name, layer.channels, layer.in_pixels
        if pe is None:
            frame = input_frame(layer.source, self._beat_bits)
            bits = frame.element_bits
            have = Stream(name, frame.beat_bits // bits, bits, frame.elements, 1)
        else:
            bits = layer.act_bits
            have = Stream(name, pe, bits, channels, pixels)
        if shape.flat:
            want = Stream(name, shape.lanes, bits, channels * layer.taps, 1)
        else:
            want = Stream(name, shape.lanes, bits, channels, pixels)
        return _steps_cost(have, pe is None, want, shape.flat)

    def _result_cost(self, pe: int) -> Resources:
        layer = self._layers[-1]
        frame = output_frame(layer.sums, self._beat_bits)
        have = Stream("", pe, RESULT_BITS, layer.outputs, layer.out_pixels)
        want = Stream("", frame.beat_bits // RESULT_BITS, RESULT_BITS, frame.elements, 1)
        return _steps_cost(have, False, want, True)


def _steps_cost(have: Stream, have_packed: bool, want: Stream, want_packed: bool) -> Resources:
    cost = Resources()
    for step in conversion(have, have_packed, want, want_packed):
        cost = cost + unit_resources(Converter("", step.in_bits, step.out_bits, step.packet_bits))
    return cost


def _both_roms(width: int, depth: int) -> tuple[Resources, Resources]:
    block = rom_resources(width, depth, Memory.BLOCK)
    return block if depth > LUT_ROM_DEPTH else rom_resources(width, depth, Memory.LUT), block


def _both_rings(width: int, depth: int, copies: int) -> tuple[Resources, Resources]:
    return ring_resources(width, depth, copies, Memory.LUT), ring_resources(
        width, depth, copies, Memory.BLOCK
    )


def _span(layer: ChipLayer) -> int:
    """The least ring depth at one word a pixel."""
    _, height, width = layer.source.shape
    return window_ring(layer.geometry, height, width, *layer.sums.shape[1:], 1).least_depth


def _group_counts(layer: ChipLayer) -> list[int]:
    """The numbers of channel groups that some PE gives."""
    return sorted({ceil_div(layer.outputs, pe) for pe in legal_pe(layer)})


def _feeders(network: Network) -> tuple[int, ...]:
    """For each layer the layer whose output it reads, or what stands there instead."""
    made = {layer.output.name: layer.index for layer in network.layers}
    made[network.source.name] = _INPUT
    return tuple(made.get(layer.source.name, _JOIN) for layer in network.layers)


def _useful_simd(layer: ChipLayer) -> list[int]:
    """For each number of folds the least SIMD that reaches it, then C times divisors of the taps."""
    c = layer.slice_channels
    least = set(divisors(c))
    if layer.groups == 1:
        least |= {ceil_div(c, n) for n in range(1, int(c**0.5) + 2)}
    by_words: dict[int, int] = {}
    for simd in sorted(least):
        by_words.setdefault(ceil_div(c, simd), simd)
    return sorted(by_words.values()) + [c * d for d in divisors(layer.taps) if d > 1]
