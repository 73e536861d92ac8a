"""The weight image: where each channel group's starts and weights lie, in order of consumption."""

from __future__ import annotations

from xnorhw.ir.geometry import ceil_div
from xnorhw.plan.assemble import LayerChoice
from xnorhw.plan.model import Segment, WeightImage
from xnorhw.plan.starts import position_classes

__all__ = ["BURST_BYTES", "weight_image"]

BURST_BYTES = 64


def weight_image(choices: tuple[LayerChoice, ...]) -> WeightImage:
    """A segment for each (layer, channel group), each on a 64-byte burst.

    A group's start words, one for each position class, stand before its ``folds`` weight
    words; a word takes whole bytes.
    """
    segments = []
    offset = 0
    for choice in choices:
        shape = choice.shape
        _, _, row_classes, column_classes = position_classes(choice.layer)
        start_bytes = row_classes * column_classes * ceil_div(shape.pe * choice.widths.start_bits, 8)
        weight_bytes = shape.folds * ceil_div(shape.pe * shape.simd, 8)
        for group in range(shape.groups):
            segments.append(Segment(choice.layer.name, group, offset, start_bytes, weight_bytes))
            offset += ceil_div(start_bytes + weight_bytes, BURST_BYTES) * BURST_BYTES
    return WeightImage(tuple(segments), offset)
