"""Frames to the chip's bytes and its results to scores, in NumPy.

A frame is laid out in raster order, channels innermost; one-bit codes are packed lowest bit
first, wider ones take a byte each; results are 32-bit integers, little-endian.  Both are
padded to whole beats.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .description import Description
from .errors import BatchError
from .reference.golden import run as golden
from .reference.ir.int_graph import IntGraph, Lookup

__all__ = ["Checker", "Packer", "Unpacker"]

LAYOUTS = ("CHW", "HWC")


class Checker:
    """Checks frames before anything is transferred."""

    def __init__(self, description: Description) -> None:
        self._given = description.given

    def check(self, x: object, layout: str = "CHW") -> np.ndarray:
        """``x`` as an array [N, *shape], or BatchError: dtype, shape, range, contiguity, emptiness."""
        given = self._given
        if not isinstance(x, np.ndarray):
            raise BatchError(
                f"the batch is a {type(x).__name__}", module="input", remedy="Pass a NumPy array"
            )
        if not isinstance(layout, str) or layout not in LAYOUTS:
            raise BatchError(f"there is no layout {layout!r}", module="input", remedy="Take CHW or HWC")
        if x.dtype != np.dtype(given.dtype):
            what = "integer codes: values divided by the scale" if given.scale != 1 else "them unscaled"
            raise BatchError(
                f"the batch holds {x.dtype}, the network takes {given.dtype}",
                module="input",
                remedy=f"Pass {what}, as x.astype(np.{given.dtype})",
            )
        shape = self.shape(layout)
        if x.shape[1:] != shape or x.ndim != len(shape) + 1:
            single = "x[None] makes a batch of a single frame" if x.shape == shape else "Pass frames first"
            raise BatchError(
                f"the batch has shape {x.shape}, the network takes (N, {', '.join(map(str, shape))})",
                module="input",
                remedy=single,
            )
        if len(x) == 0:
            raise BatchError("the batch is empty", module="input", remedy="Pass at least one frame")
        if not x.flags.c_contiguous:
            raise BatchError(
                "the batch is not contiguous in memory", module="input", remedy="Pass np.ascontiguousarray(x)"
            )
        self._check_range(x)
        return x

    def shape(self, layout: str) -> tuple[int, ...]:
        """The shape of a frame in ``layout``."""
        return self._given.shape if layout == "CHW" else _hwc(self._given.chw)

    def _check_range(self, x: np.ndarray) -> None:
        given, limits = self._given, np.iinfo(self._given.dtype)
        if (given.low, given.high) == (limits.min, limits.max):
            return
        # neither makes an array as long as the batch, as a comparison would
        if x.min() >= given.low and x.max() <= given.high:
            if not given.bipolar or np.count_nonzero(x) == x.size:
                return
        wrong = (x < given.low) | (x > given.high)
        if given.bipolar:
            wrong |= x == 0
        allowed = "-1 and +1" if given.bipolar else f"{given.low} to {given.high}"
        raise BatchError(
            f"the batch holds {int(x[wrong].flat[0])}, the network takes {allowed}",
            module="input",
            remedy="Pass what the network was declared to take",
        )


class Packer:
    """Writes checked frames, as the chip takes them, straight into a DMA buffer.

    ``tables``: what lies in front of the chip where that is a table of bytes, uint8 [1 or C, 256],
    by the byte of the input; else None.
    """

    def __init__(self, description: Description, front: IntGraph) -> None:
        self._given = description.given
        self._frame = description.input
        self._front = front
        # the values behind a single table are the bytes of a table
        self.tables = self._byte_table()
        self._tables = None if self.tables is None else tuple(_Table(row) for row in self.tables)
        self._copies = self.tables is None and not front.nodes and self._frame.element_bits == 8
        self._elements = self._frame.elements
        self._one_channel = self._given.chw[0] == 1

    @property
    def computes(self) -> bool:
        """True where more lies in front of the chip than a table of bytes."""
        return bool(self._front.nodes) and self._tables is None

    def pack(self, x: np.ndarray, out: np.ndarray, layout: str = "CHW") -> None:
        """Write frames [N, *shape] into ``out`` uint8 [N, frame bytes].

        Bytes behind a frame's last element are left alone: they are zero from the beginning.
        """
        if self._copies and (self._one_channel or layout == "HWC"):
            out[:, : self._elements] = x.reshape(len(x), -1)
            return
        frame = self._frame
        x = x.reshape(-1, *(self._given.chw if layout == "CHW" else _hwc(self._given.chw)))
        if self.computes:
            given = x if layout == "CHW" else x.transpose(0, 3, 1, 2)
            x, layout = _in_blocks(lambda v: golden.run(self._front, v)[self._front.output], given), "CHW"
        elif x.dtype.itemsize == 1 and frame.element_bits == 8:
            x = x.view(np.uint8)
        if layout == "CHW" and frame.chw[0] == 1:
            x, layout = x.reshape(-1, *_hwc(frame.chw)), "HWC"  # the same bytes
        if frame.element_bits == 1:
            self._pack_bits(x, out, layout)
        elif frame.element_bits == 8:
            self._pack_codes(x, out[:, : self._elements].reshape(len(x), *_hwc(frame.chw)), layout)
        else:
            places = out[:, : 2 * self._elements].view("<i2").reshape(len(x), *_hwc(frame.chw))
            _channels_last(x, places, layout)

    def _pack_codes(self, codes: np.ndarray, places: np.ndarray, layout: str) -> None:
        """Codes in ``layout`` to ``places`` [N, H, W, C], through the tables where there are some."""
        tables = self._tables
        if tables is None:
            _channels_last(codes, places, layout)
        elif len(tables) == 1:
            for i in _blocks(codes):
                tables[0].look_up(codes[i], places[i], layout)
        else:
            for c in range(places.shape[3]):
                channel = codes[..., c] if layout == "HWC" else codes[:, c]
                for i in _blocks(channel):
                    tables[c].look_up(channel[i], places[i, ..., c])

    def _pack_bits(self, x: np.ndarray, out: np.ndarray, layout: str) -> None:
        for i in _blocks(x):
            values = x[i]
            if self._tables is None:
                ones = self._ones(values)
            else:
                ones = np.empty(values.shape, np.uint8)
                for c, table in enumerate(self._tables):
                    place = (slice(None), c) if layout == "CHW" else (..., c)
                    if len(self._tables) == 1:
                        place = (...,)
                    table.look_up(values[place], ones[place])
            if layout == "CHW":
                ones = ones.transpose(0, 2, 3, 1)
            bits = np.packbits(ones.reshape(len(values), -1), axis=1, bitorder="little")
            out[i, : bits.shape[1]] = bits

    def _ones(self, x: np.ndarray) -> np.ndarray:
        """Which one-bit values are a 1 on the stream: +1 of -1 and +1, else the lowest bit of the code."""
        return x > 0 if self._frame.bipolar else (x & 1) == 1

    def _byte_table(self) -> np.ndarray | None:
        """A single table in front of the chip, by the byte of the input: uint8 [1 or C, 256]."""
        nodes, given = self._front.nodes, self._given
        bytes_in = np.dtype(given.dtype).itemsize == 1 and self._frame.element_bits <= 8
        if len(nodes) != 1 or not isinstance(nodes[0].op, Lookup) or not bytes_in:
            return None
        table = nodes[0].op.table
        result = np.zeros((len(table), 256), np.int64)
        values = np.arange(given.low, given.low + table.shape[1])
        result[:, values & 0xFF] = table
        if self._frame.element_bits == 1:
            return self._ones(result).astype(np.uint8)
        return (result & 0xFF).astype(np.uint8)


class _Table:
    """table[x] for bytes; uint8 [256].

    A table that adds a number (pixels less 128) is that sum, written where the bytes belong.
    Another is translated by Python's own routine for bytes, a part at a time that stays in the
    cache: indexing and np.take, also into the place where the bytes belong, make each byte a
    word-wide index first and take one and a half times as long.
    """

    def __init__(self, table: np.ndarray) -> None:
        self._bytes = table.tobytes()
        self._shift = np.uint8(table[0]) if (np.diff(table) == 1).all() else None

    def look_up(self, x: np.ndarray, places: np.ndarray, layout: str = "HWC") -> None:
        """Write table[x] to ``places`` [N, H, W, C]; ``x`` in ``layout``."""
        x = x.view(np.uint8)
        if self._shift is not None and layout == "HWC":
            np.add(x, self._shift, out=places)
            return
        # of an array with gaps tobytes makes one byte at a time
        found = np.ascontiguousarray(x).tobytes().translate(self._bytes)
        _channels_last(np.frombuffer(found, np.uint8).reshape(x.shape), places, layout)


GOLDEN_FRAMES = 16
"""Frames that the golden model runs at once: its windows take many times the frames' memory."""

CACHED_BYTES = 1 << 16
"""Elements packed at once where that takes a copy between: it is still in the cache when it is read."""

FEW_CHANNELS = 8
"""Up to here copying channel by channel is quicker than NumPy's own transposition: 1.7 GB/s to 0.2 at 3."""


def _blocks(x: np.ndarray) -> list[slice]:
    step = max(1, CACHED_BYTES // x[0].size)
    return [slice(i, i + step) for i in range(0, len(x), step)]


def _in_blocks(run: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    return np.concatenate([run(x[i : i + GOLDEN_FRAMES]) for i in range(0, len(x), GOLDEN_FRAMES)])


def _channels_last(values: np.ndarray, places: np.ndarray, layout: str) -> None:
    """Copy values, once, to places [N, H, W, C]; of a wider integer the lowest byte."""
    if layout == "HWC":
        places[...] = values
    elif values.shape[1] <= FEW_CHANNELS:
        for c in range(values.shape[1]):
            places[..., c] = values[:, c]
    else:
        places[...] = values.transpose(0, 2, 3, 1)


def _hwc(chw: tuple[int, int, int]) -> tuple[int, int, int]:
    channels, height, width = chw
    return (height, width, channels)


class Unpacker:
    """The chip's result frames to sums, and sums to scores.

    ``words`` int32 [N, C*H*W or more] are sums in the chip's order, channels innermost; what
    lies behind them in a row fills up the last beat.
    """

    def __init__(self, description: Description, back: IntGraph) -> None:
        self._frame = description.output
        self._back = back

    def words(self, data: np.ndarray) -> np.ndarray:
        """Result frames uint8 [N, frame bytes] as words, without a copy."""
        return data.view("<i4")

    def words_of(self, sums: np.ndarray) -> np.ndarray:
        """Sums [N, C, H, W] as words."""
        return np.ascontiguousarray(sums.transpose(0, 2, 3, 1), np.int32).reshape(len(sums), -1)

    def sums(self, words: np.ndarray, out: np.ndarray) -> None:
        """Copy words to ``out`` int32 [N, C, H, W], once: the buffer takes the next batch."""
        last = self._last(words)
        if self._frame.chw[0] <= FEW_CHANNELS and last[0, ..., 0].size > 1:
            for c in range(self._frame.chw[0]):
                out[:, c] = last[..., c]
        else:
            out[...] = last.transpose(0, 3, 1, 2)

    def scores(self, words: np.ndarray, out: np.ndarray) -> None:
        """Words to ``out`` float32 [N, classes], equal to the golden model's scores bit for bit."""
        back = self._back
        values = self._last(words).transpose(0, 3, 1, 2).astype(np.int64)
        if back.nodes:
            values = _in_blocks(lambda v: golden.run(back, v)[back.output], values)
        out[...] = golden.scores(back, values).reshape(len(words), -1)

    def _last(self, words: np.ndarray) -> np.ndarray:
        return words[:, : self._frame.elements].reshape(len(words), *_hwc(self._frame.chw))
