"""The weight image: where each channel group's starts and weights lie, in order of consumption."""

from __future__ import annotations

from xnorhw.ir.geometry import ceil_div
from xnorhw.plan.assemble import JoinChoice, LayerChoice
from xnorhw.plan.design import join_tables, table_roms
from xnorhw.plan.model import Segment, WeightImage
from xnorhw.plan.starts import position_classes

__all__ = ["BURST_BYTES", "weight_image"]

BURST_BYTES = 64


def weight_image(choices: tuple[LayerChoice, ...], joins: tuple[JoinChoice, ...] = ()) -> WeightImage:
    """A segment for each (layer, channel group), each on a 64-byte burst.

    A group's start words, one for each position class and term, and the words of the table
    that makes codes of its sums stand before its weight words, a term's ``folds`` after
    another's; a word takes whole bytes.  Tables of a pool behind the layer are segments of its
    own, without weights, and so are those of what stands between layers, by the codes that they make.
    """
    segments = []
    offset = 0
    for choice in choices:
        layer, shape = choice.layer, choice.shape
        _, _, row_classes, column_classes = position_classes(layer, shape.made)
        classes = row_classes * column_classes * shape.terms
        start_bytes = classes * ceil_div(shape.pe * shape.made * choice.widths.start_bits, 8)
        weight_width = shape.pe * shape.simd * choice.widths.weight_bits
        weight_bytes = shape.terms * shape.folds * ceil_div(weight_width, 8)
        tables = table_roms(layer, shape, choice.widths)
        names = (layer.name, *(pool.name for pool in layer.pools))
        for i, (name, table) in enumerate(zip(names, tables, strict=True)):
            table_bytes = 0 if table is None else table.depth // shape.groups * ceil_div(table.width, 8)
            before, weights = (table_bytes, 0) if i else (start_bytes + table_bytes, weight_bytes)
            for group in range(shape.groups if before + weights else 0):
                segments.append(Segment(name, group, offset, before, weights))
                offset += ceil_div(before + weights, BURST_BYTES) * BURST_BYTES
    for join in joins:
        for codes, rom, groups in join_tables(join.join, join.shape):
            table_bytes = rom.depth // groups * ceil_div(rom.width, 8)
            for group in range(groups):
                segments.append(Segment(codes, group, offset, table_bytes, 0))
                offset += ceil_div(table_bytes, BURST_BYTES) * BURST_BYTES
    return WeightImage(tuple(segments), offset)
