"""Several pixels a clock: a map's rows as words of neighbouring pixels, and windows over these words.

``pixels`` pixels of a row side by side are one word of so many times the channels; the order of the
elements on a stream stays what it is.  A window of ``made`` output pixels at once then moves over words.
"""

from __future__ import annotations

from dataclasses import dataclass

from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.plan.layers import ChipLayer, ChipPool
from xnorhw.plan.unit_model import Spread

__all__ = [
    "RowView",
    "legal_pixels",
    "pool_pixels",
    "pool_view",
    "pools_and_pixels",
    "row_view",
    "row_views",
    "spread_of",
]

Size = tuple[int, int, int]
"""Channels, height and width of a map."""


@dataclass(frozen=True)
class RowView:
    """A window over words of ``pixels`` pixels, which makes ``made`` output pixels at each of its places.

    ``geometry`` counts pixels in y and words in x; ``width`` and ``out_width`` are words a row.
    ``first``: which pixel of a row of the window is the first output pixel's first tap.
    """

    pixels: int
    made: int
    geometry: WindowGeometry
    width: int
    out_width: int
    first: int


def row_view(geometry: WindowGeometry, source: Size, output: Size, pixels: int) -> RowView | None:
    """The view of a window from ``source`` to ``output``; None where its rows are no words of ``pixels``.

    A word is wholly on the map or off it, so ``pixels`` divides its width; where the window moves by
    fewer pixels than a word has it makes several output pixels at once, which must fill their words.
    """
    wide, out_wide = source[2], output[2]
    stride, left = geometry.stride[1], geometry.pads.left
    made = max(1, pixels // stride)
    if wide % pixels or max(pixels, stride) % min(pixels, stride) or out_wide % made:
        return None
    begins = -(left // pixels) - (left % pixels > 0)
    ends = ((made - 1) * stride + (geometry.kernel[1] - 1) * geometry.dilation[1] - left) // pixels
    width, out_width, step = wide // pixels, out_wide // made, max(1, stride // pixels)
    kernel = (geometry.kernel[0], ends - begins + 1)
    reach = (kernel[0] - 1) * geometry.dilation[0]
    # the first window must reach the map, and none may start beyond the word after a row
    if (reach - geometry.pads.top) * width + ends < 0 or (out_width - 1) * step > width - begins:
        return None
    beyond = (out_width - 1) * step + ends + 1 - width
    pads = Pads(-begins, max(0, beyond), geometry.pads.top, geometry.pads.bottom)
    over = WindowGeometry(kernel, (geometry.stride[0], step), pads, (geometry.dilation[0], 1))
    return RowView(pixels, made, over, width, out_width, -begins * pixels - left)


def pool_view(pool: ChipPool, pixels: int) -> RowView | None:
    """``row_view`` of a pool."""
    return row_view(pool.op.geometry, pool.source.shape, pool.pooled.shape, pixels)


def row_views(layer: ChipLayer, pixels: int) -> tuple[RowView | None, ...] | None:
    """The views of the layer's window and of its pools', None for one that takes a pixel at a time.

    None where one of them has no view.
    """
    view = row_view(layer.geometry, layer.source.shape, layer.sums.shape, pixels)
    found: list[RowView | None] = [view]
    made = 0 if view is None else view.made
    for pool in layer.pools:
        view = pool_view(pool, made) if made > 1 else None
        if made > 1:
            made = 0 if view is None else view.made
        found.append(view)
    return tuple(found) if made else None


def pool_pixels(layer: ChipLayer, pixels: int) -> tuple[int, ...]:
    """The pixels a word that enter each of the layer's pools, and those that leave the last one."""
    if pixels == 1:
        return (1,) * (len(layer.pools) + 1)
    views = row_views(layer, pixels)
    assert views is not None
    return tuple(1 if view is None else view.made for view in views)


def pools_and_pixels(layer: ChipLayer, pixels: int) -> list[tuple[ChipPool, int]]:
    """The layer's pools with the pixels a word that enter each, where the layer takes ``pixels``."""
    return list(zip(layer.pools, pool_pixels(layer, pixels)[:-1], strict=True))


def legal_pixels(layer: ChipLayer) -> list[int]:
    """The pixels a clock that the layer can take, rising; one is always possible.

    More take the whole window and every output at once: what has groups, several terms or planes, or
    covers its whole map, has not.
    """
    alone = layer.groups == layer.terms == 1 and not (layer.weighted or layer.planes or layer.whole_map)
    width = layer.source.shape[2] if alone else 1
    more = (m for m in range(2, width + 1) if width % m == 0)
    return [1, *(m for m in more if row_views(layer, m) is not None)]


def spread_of(view: RowView, geometry: WindowGeometry, taps_outer: bool) -> Spread:
    """Where the taps of each output pixel of a window of ``geometry`` lie in the words of ``view``."""
    return Spread(
        pixels=view.made,
        kernel=geometry.kernel,
        row=view.geometry.kernel[1] * view.pixels,
        first=view.first,
        stride=geometry.stride[1],
        dilation=geometry.dilation[1],
        taps_outer=taps_outer,
    )
