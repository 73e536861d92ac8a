"""A folding as decided, and the pixel loops that it makes of a network."""

from __future__ import annotations

from dataclasses import dataclass

from xnorhw.ir.geometry import WindowGeometry, ceil_div
from xnorhw.plan.columns import column_stages
from xnorhw.plan.geometry import LayerShape
from xnorhw.plan.joins import JoinShape
from xnorhw.plan.layers import ChipJoin, ChipLayer, ChipPool
from xnorhw.plan.network import Network
from xnorhw.plan.rows import RowView, pool_view, pools_and_pixels, row_views
from xnorhw.plan.schedule import (
    INPUT,
    Ring,
    Stage,
    code_latency,
    column_latency,
    hold_latency,
    join_latency,
    pool_latency,
    product_latency,
    quantiser_latency,
    terms_latency,
    window_ring,
)
from xnorhw.plan.starts import AccumulatorWidths
from xnorhw.plan.unit_model import shares_codes, takes_dsp
from xnorhw.plan.units import count_stages

__all__ = ["Pick", "join_stage", "layer_line", "stages"]


@dataclass(frozen=True)
class Pick:
    """A layer's folding as decided; memories are "auto", "lut" or "block", pools in order.

    ``dsp_pes``: so many PEs add codes in DSPs.  ``pixels`` of its map a clock.
    """

    pe: int
    simd: int
    memory: str
    ring: str
    pool_taps: tuple[int, ...]
    pool_rings: tuple[str, ...]
    dsp_pes: int = 0
    pixels: int = 1


def stages(
    network: Network, shapes: tuple[LayerShape, ...], picks: tuple[Pick, ...], joins: dict[int, JoinShape]
) -> tuple[Stage, ...]:
    """The pixel loops from input to output, each behind what it reads."""
    made_by = {network.source.name: INPUT}
    line: list[Stage] = []
    for stage in network.stages:
        if isinstance(stage, ChipLayer):
            at, source = stage.index, made_by[stage.source.name]
            loops = layer_line(stage, shapes[at], network.widths[at], picks[at], source)
        else:
            sources = tuple(made_by[source.name] for source in stage.sources)
            loops = _join_line(stage, joins[stage.index], sources)
        line += loops
        made_by[stage.output.name] = loops[-1].name
    return tuple(line)


def layer_line(
    layer: ChipLayer, shape: LayerShape, widths: AccumulatorWidths, pick: Pick, source: str = INPUT
) -> list[Stage]:
    """A layer's loop and its pools', which reads from the stage ``source``."""
    line = [_layer_stage(layer, shape, widths, pick, source)]
    pools = pools_and_pixels(layer, shape.pixels)
    for (pool, pixels), taps in zip(pools, pick.pool_taps, strict=True):
        line.append(_pool_stage(pool, pick.pe, taps, line[-1].name, pixels))
    return line


def join_stage(join: ChipJoin) -> str:
    """The name of a join's own loop, which no layer and no pool has."""
    return f"{join.name}:join"


def _join_line(join: ChipJoin, shape: JoinShape, sources: tuple[str, ...]) -> list[Stage]:
    line: list[Stage] = []
    source = sources[0]
    if join.op is not None or join.quantiser is not None:
        later = join_latency()
        if join.quantiser is not None:
            later += quantiser_latency(join.quantiser)
        inputs = tuple((s, join.pixels * words) for s, words in zip(sources, shape.words, strict=True))
        name = source = join_stage(join)
        line.append(Stage(name, None, inputs, join.pixels, float(shape.words_per_pixel), later))
    for pool, taps in zip(join.pools, shape.pool_taps, strict=True):
        line.append(_pool_stage(pool, shape.pool_lanes, taps, source))
        source = pool.name
    return line


def _pool_stage(pool: ChipPool, lanes: int, taps: int, source: str, pixels: int = 1) -> Stage:
    words = ceil_div(pool.source.shape[0], lanes)
    _, height, width = pool.source.shape
    view = pool_view(pool, pixels) if pixels > 1 else None
    if view is not None:
        ring = _view_ring(view, height, pool.pooled.shape[1])
    else:
        ring = window_ring(pool.op.geometry, height, width, *pool.pooled.shape[1:], words)
    cost = words * pool.op.geometry.taps // taps
    later = pool_latency(pool.bits, pool.quantiser is not None, taps)
    if pool.quantiser is not None:
        later += quantiser_latency(pool.quantiser)
    if pool.numbers:
        later += join_latency()
    out_words = pool.out_pixels if view is None else pool.out_pixels // view.made
    return Stage(pool.name, ring, ((source, ring.words),), out_words, float(cost), later)


def _view_ring(view: RowView, height: int, out_height: int) -> Ring:
    """The ring of a window over the words of ``view``."""
    return window_ring(view.geometry, height, view.width, out_height, view.out_width, 1)


def _layer_stage(
    layer: ChipLayer, shape: LayerShape, widths: AccumulatorWidths, pick: Pick, source: str
) -> Stage:
    ring = None
    if shape.flat and shape.windowed:
        # all words of the frame for each of its channel groups
        whole = WindowGeometry(kernel=(1, shape.in_words))
        ring = window_ring(whole, 1, shape.in_words, 1, 1, 1)
    elif shape.windowed:
        _, height, width = layer.source.shape
        views = row_views(layer, shape.pixels) if shape.pixels > 1 else None
        if views is not None and views[0] is not None:
            ring = _view_ring(views[0], height, layer.sums.shape[1])
        else:
            ring = window_ring(layer.geometry, height, width, *layer.sums.shape[1:], shape.words_per_pixel)
    later = terms_latency(layer.coefficients) if layer.weighted else 0
    if shape.windowed and shape.copies < shape.taps_per_word:
        later += hold_latency(shape.taps_per_word // shape.copies)
    if layer.full and not layer.matrix_bipolar:
        later += product_latency(takes_dsp(layer.act_bits, widths.weight_bits))
    elif not layer.matrix_bipolar and shares_codes(shape.pe, shape.simd):
        later += code_latency()
        if pick.dsp_pes:
            later += column_latency(column_stages(shape.simd))
    later += count_stages(layer, shape, widths)
    if layer.quantiser is not None and not layer.in_matrix:
        later += quantiser_latency(layer.quantiser)
    cost = float(shape.turns * shape.folds)
    return Stage(layer.name, ring, ((source, shape.in_words),), layer.out_pixels // shape.made, cost, later)
