"""A layer and its folding -> the units that compute it, each by itself: sizes and widths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from xnorhw.ir.geometry import ceil_div
from xnorhw.ir.int_graph import MaxPool, Tensor, Threshold
from xnorhw.ir.types import IntType, type_for_range
from xnorhw.plan.columns import packed_pes
from xnorhw.plan.geometry import RESULT_BITS, LayerShape, pool_sum_bits
from xnorhw.plan.joins import JoinShape
from xnorhw.plan.layers import ChipJoin, ChipLayer, ChipPool, Quantiser, wire_bits
from xnorhw.plan.model import (
    LevelUnit,
    MatrixUnit,
    Memory,
    PlaneUnit,
    PoolUnit,
    RequantUnit,
    SumPoolUnit,
    TermsUnit,
    WeightRom,
    Window,
)
from xnorhw.plan.rows import pool_pixels, pool_view, row_views, spread_of
from xnorhw.plan.starts import AccumulatorWidths

__all__ = [
    "join_quantisers",
    "layer_window",
    "leaving_bits",
    "matrix_unit",
    "packed_word",
    "plane_unit",
    "pool_unit",
    "pool_window",
    "quantiser_unit",
    "quantisers",
    "table_rom",
    "terms_unit",
]


def packed_word(values: npt.NDArray[np.int64], bits: int) -> str:
    """Values [C] as one word in hex, value 0 lowest, ``bits`` bits of two's complement each."""
    word = 0
    for i, value in enumerate(values.tolist()):
        word |= (value & ((1 << bits) - 1)) << (i * bits)
    return format(word, "x")


def layer_window(layer: ChipLayer, shape: LayerShape, depth: int, ring: Memory) -> Window:
    """The window of a layer: a ring of ``depth`` words in ``ring`` memory."""
    channels, height, width = layer.source.shape
    _, out_height, out_width = layer.sums.shape
    geometry = layer.geometry
    if shape.flat:
        height = width = 1
        geometry = replace(geometry, kernel=(1, 1), stride=(1, 1), dilation=(1, 1))
    pad = layer.product.pad_value if geometry.pads.any() else 0
    if layer.matrix_bipolar:
        # a zero reads as bit 0; the start table takes away what that adds
        pad = 1 if pad == 1 else 0
    spread = None
    views = row_views(layer, shape.pixels) if shape.pixels > 1 else None
    if views is not None and views[0] is not None:
        view, channels = views[0], shape.lanes
        spread = spread_of(view, geometry, taps_outer=False)
        geometry, width, out_width = view.geometry, view.width, view.out_width
    return Window(
        name=f"l{layer.index}_window",
        bits=layer.act_bits,
        lanes=shape.lanes,
        words_per_pixel=shape.words_per_pixel,
        height=height,
        width=width,
        geometry=geometry,
        out_height=out_height,
        out_width=out_width,
        taps_per_word=shape.taps_per_word,
        repeats=shape.turns // shape.slices,
        channels_outer=False,
        depth=depth,
        pad_word=packed_word(np.full(channels, pad, np.int64), layer.act_bits),
        memory=ring,
        slices=shape.slices,
        spread=spread,
    )


def leaving_bits(layer: ChipLayer, bits: int) -> int:
    """Bits of the layer's sums, which ``bits`` hold, on the wire behind what makes them."""
    if layer.quantiser is not None:
        return bits
    if layer.last:
        return RESULT_BITS
    assert layer.sums.type is not None
    # what reads them takes their type's bits
    return max(bits, wire_bits(layer.sums.type))


def count_stages(layer: ChipLayer, shape: LayerShape, widths: AccumulatorWidths) -> int:
    """Registers inside of the counts of the layer's matrix unit."""
    return widths.fabric.count_stages(shape.simd) if layer.popcounts else 0


def matrix_unit(
    layer: ChipLayer,
    shape: LayerShape,
    widths: AccumulatorWidths,
    memory: Memory = Memory.LUT,
    dsp_pes: int = 0,
) -> MatrixUnit:
    """The matrix unit of a layer whose weights live in ``memory``; ``dsp_pes`` PEs add codes in DSPs."""
    if layer.in_matrix:
        out_bits = 1
    else:
        out_bits = widths.sum_bits if layer.weighted else leaving_bits(layer, widths.sum_bits)
    return MatrixUnit(
        name=f"l{layer.index}_mvu",
        pe=shape.pe,
        simd=shape.simd,
        act_bits=1 if layer.matrix_bipolar else layer.act_bits,
        act_signed=layer.act.signed and not layer.matrix_bipolar,
        act_bipolar=layer.matrix_bipolar,
        folds=shape.folds,
        groups=shape.turns,
        start_bits=widths.start_bits,
        acc_bits=widths.acc_bits,
        thresholded=layer.in_matrix,
        out_bits=out_bits,
        weight_bits=widths.weight_bits,
        leaf=memory is Memory.LEAF,
        lut6_2=layer.popcounts and widths.fabric.lut6_2,
        count_stages=count_stages(layer, shape, widths),
        dsp_pes=dsp_pes,
        packed=packed_pes(layer.act_bits, layer.act.signed, shape.simd) if dsp_pes else 0,
        pixels=shape.made,
    )


def terms_unit(layer: ChipLayer, shape: LayerShape, widths: AccumulatorWidths) -> TermsUnit | None:
    """What weighs and sums a layer's terms; None where there is one, of weight 1."""
    if not layer.weighted:
        return None
    out_bits = leaving_bits(layer, widths.total_bits)
    return TermsUnit(f"l{layer.index}_terms", shape.pe, widths.sum_bits, layer.coefficients, out_bits)


def plane_unit(layer: ChipLayer, shape: LayerShape) -> PlaneUnit | None:
    """What takes planes of a layer's activations; None where its terms take them whole."""
    if not layer.planes:
        return None
    return PlaneUnit(f"l{layer.index}_plane", shape.simd, layer.act_bits, shape.folds, layer.planes)


def quantiser_unit(
    name: str, quantiser: Quantiser, codes: Tensor, lanes: int, in_bits: int
) -> LevelUnit | RequantUnit:
    """The unit that makes ``codes`` of ``lanes`` sums of ``in_bits`` bits at a time."""
    assert codes.type is not None
    out_bits = wire_bits(codes.type)
    if isinstance(quantiser, Threshold):
        return LevelUnit(f"{name}_levels", lanes, in_bits, quantiser.levels, out_bits)
    multiplier, addend = (
        type_for_range(min(0, int(v.min())), max(0, int(v.max()))).bits
        for v in (quantiser.multiplier, quantiser.addend)
    )
    return RequantUnit(
        f"{name}_requant",
        lanes,
        in_bits,
        multiplier,
        addend,
        quantiser.shift,
        quantiser.low,
        quantiser.high,
        out_bits,
        quantiser.even,
    )


def table_rom(
    unit: LevelUnit | RequantUnit, quantiser: Quantiser, groups: int, memory: Memory, pixels: int = 1
) -> WeightRom:
    """The table of a quantiser's unit: a word for each channel group, of each position where they differ.

    Of ``pixels`` at once a word is that of all of them.
    """
    if isinstance(unit, LevelUnit):
        width = unit.levels * unit.in_bits + 1
    else:
        width = unit.multiplier_bits + unit.addend_bits
    name = f"{unit.name}_table"
    depth = ceil_div(quantiser.positions, pixels) * groups
    return WeightRom(name, unit.lanes * width, depth, memory, f"{name}.mem")


def quantisers(
    layer: ChipLayer, shape: LayerShape, widths: AccumulatorWidths
) -> tuple[tuple[LevelUnit | RequantUnit, Quantiser] | tuple[None, None], ...]:
    """The unit and the operation that make codes of the layer's sums and of each pool's; None for none."""
    found: list[tuple[LevelUnit | RequantUnit, Quantiser] | tuple[None, None]] = [(None, None)]
    prefix = f"l{layer.index}"
    if layer.quantiser is not None and not layer.in_matrix:
        assert layer.bits is not None
        in_bits = widths.total_bits if layer.weighted else widths.sum_bits
        lanes = shape.pe * shape.made
        found = [(quantiser_unit(prefix, layer.quantiser, layer.bits, lanes, in_bits), layer.quantiser)]
    lanes_behind = [shape.pe * pixels for pixels in pool_pixels(layer, shape.pixels)[1:]]
    return (*found, *_pool_quantisers(prefix, layer.pools, lanes_behind))


def join_quantisers(
    join: ChipJoin, shape: JoinShape
) -> tuple[tuple[LevelUnit | RequantUnit, Quantiser] | tuple[None, None], ...]:
    """``quantisers`` of a join and its pools."""
    found: list[tuple[LevelUnit | RequantUnit, Quantiser] | tuple[None, None]] = [(None, None)]
    prefix = f"j{join.index}"
    if join.quantiser is not None:
        assert join.bits is not None
        unit = quantiser_unit(prefix, join.quantiser, join.bits, shape.lanes, join.level_bits)
        found = [(unit, join.quantiser)]
    return (*found, *_pool_quantisers(prefix, join.pools, [shape.pool_lanes] * len(join.pools)))


def _pool_quantisers(
    prefix: str, pools: tuple[ChipPool, ...], lanes: list[int]
) -> list[tuple[LevelUnit | RequantUnit, Quantiser] | tuple[None, None]]:
    found: list[tuple[LevelUnit | RequantUnit, Quantiser] | tuple[None, None]] = []
    for i, (pool, count) in enumerate(zip(pools, lanes, strict=True)):
        if pool.quantiser is None:
            found.append((None, None))
        else:
            bits = pool_sum_bits(pool)
            unit = quantiser_unit(f"{prefix}_pool{i}", pool.quantiser, pool.output, count, bits)
            found.append((unit, pool.quantiser))
    return found


def pool_unit(name: str, pool: ChipPool, lanes: int, taps: int, pixels: int = 1) -> PoolUnit | SumPoolUnit:
    """The unit of a pool of ``lanes`` channels and ``taps`` taps at a time; of ``pixels`` at once they are so
    many times the channels."""
    groups, words = pool.op.geometry.taps // taps, ceil_div(pool.source.shape[0] * pixels, lanes)
    if isinstance(pool.op, MaxPool):
        invert = packed_word(np.tile(pool.op.minimum.astype(np.int64), pixels), 1)
        return PoolUnit(name, lanes, taps, groups, words, invert, pool.bits, _signed(pool.act))
    bits = pool_sum_bits(pool)
    signed, bipolar = pool.numbers or _signed(pool.act), pool.act.is_bipolar and not pool.numbers
    return SumPoolUnit(name, lanes, pool.bits, signed, bipolar, taps, groups, words, bits)


def _signed(kind: IntType) -> bool:
    return kind.signed and not kind.is_bipolar


def pool_window(
    name: str, pool: ChipPool, lanes: int, taps: int, depth: int, ring: Memory, pixels: int = 1
) -> Window:
    """The window of the pool called ``name``; padded taps read what never wins, or 0 in a sum.

    ``pixels`` of them in a word of ``lanes``.
    """
    channels, height, width = pool.source.shape
    _, out_height, out_width = pool.pooled.shape
    geometry, spread = pool.op.geometry, None
    view = pool_view(pool, pixels) if pixels > 1 else None
    if view is not None:
        spread = spread_of(view, geometry, taps_outer=True)
        geometry, width, out_width, taps = view.geometry, view.width, view.out_width, view.geometry.taps
    pad = np.zeros(channels, np.int64)
    if isinstance(pool.op, MaxPool):
        # the least code, and the largest where the minimum is taken
        least = -(1 << (pool.bits - 1)) if _signed(pool.act) else 0
        pad = pool.op.minimum.astype(np.int64) * ((1 << pool.bits) - 1) + least
    return Window(
        name=f"{name}_window",
        bits=pool.bits,
        lanes=lanes,
        words_per_pixel=ceil_div(channels * pixels, lanes),
        height=height,
        width=width,
        geometry=geometry,
        out_height=out_height,
        out_width=out_width,
        taps_per_word=taps,
        repeats=1,
        channels_outer=True,
        depth=depth,
        pad_word=packed_word(np.tile(pad, pixels), pool.bits),
        memory=ring,
        spread=spread,
    )
