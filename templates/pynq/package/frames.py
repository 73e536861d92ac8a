"""Frames to the chip's bytes and its results to scores, in NumPy.

A frame is laid out in raster order, channels innermost; one-bit codes are packed lowest bit
first, wider ones take a byte each; results are 32-bit integers, little-endian.  Both are
padded to whole beats.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .description import Description
from .errors import BatchError, TransferError
from .reference.golden import run as golden
from .reference.ir.int_graph import IntGraph, Lookup

__all__ = ["Packer", "Unpacker"]

LAYOUTS = ("CHW", "HWC")


class Packer:
    """Checks frames and writes them, as the chip takes them, straight into a DMA buffer."""

    def __init__(self, description: Description, front: IntGraph) -> None:
        self._given = description.given
        self._frame = description.input
        self._front = front
        # the values behind a single table are the bytes of a table
        self._table = self._byte_table()

    def check(self, x: object, layout: str = "CHW") -> np.ndarray:
        """``x`` as an array [N, *shape], or BatchError: dtype, shape, range, contiguity, emptiness."""
        given = self._given
        if not isinstance(x, np.ndarray):
            raise BatchError(
                f"the batch is a {type(x).__name__}", module="input", remedy="Pass a NumPy array"
            )
        if layout not in LAYOUTS:
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
        if layout == "CHW":
            return self._given.shape
        channels, height, width = self._given.chw
        return (height, width, channels)

    def _check_range(self, x: np.ndarray) -> None:
        given, limits = self._given, np.iinfo(self._given.dtype)
        if given.bipolar:
            wrong = x[(x != 1) & (x != -1)]
        elif (given.low, given.high) == (limits.min, limits.max):
            return
        elif x.min() >= given.low and x.max() <= given.high:
            return
        else:
            wrong = x[(x < given.low) | (x > given.high)]
        if wrong.size:
            allowed = "-1 and +1" if given.bipolar else f"{given.low} to {given.high}"
            raise BatchError(
                f"the batch holds {int(wrong.flat[0])}, the network takes {allowed}",
                module="input",
                remedy="Pass what the network was declared to take",
            )

    def pack(self, x: np.ndarray, out: np.ndarray, layout: str = "CHW") -> None:
        """Write checked frames [N, *shape] into ``out`` uint8 [N, frame bytes].

        Bytes behind a frame's last element are left alone: they are zero from the beginning.
        """
        frame = self._frame
        x = x.reshape(-1, *(self._given.chw if layout == "CHW" else _hwc(self._given.chw)))
        if self._table is not None:
            x = self._look_up(x, layout)
        elif self._front.nodes:
            given = x if layout == "CHW" else x.transpose(0, 3, 1, 2)
            x, layout = _in_blocks(lambda v: golden.run(self._front, v)[self._front.output], given), "CHW"
        if frame.element_bits == 1:
            ones = self._ones(x)
            ones = ones if layout == "HWC" else ones.transpose(0, 2, 3, 1)
            bits = np.packbits(ones.reshape(len(x), -1), axis=1, bitorder="little")
            out[:, : bits.shape[1]] = bits
        else:
            codes = x.view(np.uint8) if x.dtype.itemsize == 1 else (x & 0xFF).astype(np.uint8)
            _write(codes, out[:, : frame.elements].reshape(len(x), *_hwc(frame.chw)), layout)

    def _ones(self, x: np.ndarray) -> np.ndarray:
        """Which one-bit values are a 1 on the stream: +1 of -1 and +1, else the lowest bit of the code."""
        return x > 0 if self._frame.bipolar else (x & 1) == 1

    def _byte_table(self) -> np.ndarray | None:
        """A single table in front of the chip, by the byte of the input: uint8 [1 or C, 256]."""
        nodes, given = self._front.nodes, self._given
        if len(nodes) != 1 or not isinstance(nodes[0].op, Lookup) or np.dtype(given.dtype).itemsize != 1:
            return None
        table = nodes[0].op.table
        result = np.zeros((len(table), 256), np.int64)
        values = np.arange(given.low, given.low + table.shape[1])
        result[:, values & 0xFF] = table
        if self._frame.element_bits == 1:
            return self._ones(result).astype(np.uint8)
        return (result & 0xFF).astype(np.uint8)

    def _look_up(self, x: np.ndarray, layout: str) -> np.ndarray:
        assert self._table is not None
        if len(self._table) == 1:
            return _translate(x, self._table[0])
        result = np.empty(x.shape, np.uint8)
        for c, table in enumerate(self._table):
            place = (slice(None), c) if layout == "CHW" else (..., c)
            result[place] = _translate(x[place], table)
        return result


BLOCK = 16
"""Frames that the golden model runs at once: its windows take many times the frames' memory."""

FEW_CHANNELS = 8
"""Up to here copying channel by channel is quicker than NumPy's own transposition: 1.7 GB/s to 0.2 at 3."""


def _in_blocks(run: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    return np.concatenate([run(x[i : i + BLOCK]) for i in range(0, len(x), BLOCK)])


def _translate(x: np.ndarray, table: np.ndarray) -> np.ndarray:
    """table[x] for bytes.

    Indexing and np.take, also into the place where the bytes belong, make each byte a 64-bit
    index first: slower by a third to four fifths than this with its two copies, which cost little.
    """
    return np.frombuffer(x.tobytes().translate(table.tobytes()), np.uint8).reshape(x.shape)


def _write(codes: np.ndarray, places: np.ndarray, layout: str) -> None:
    """Copy codes, once, to places [N, H, W, C]."""
    if layout == "HWC":
        places[...] = codes
    elif codes.shape[1] <= FEW_CHANNELS:
        for c in range(codes.shape[1]):
            places[..., c] = codes[:, c]
    else:
        places[...] = codes.transpose(0, 2, 3, 1)


def _hwc(chw: tuple[int, int, int]) -> tuple[int, int, int]:
    channels, height, width = chw
    return (height, width, channels)


class Unpacker:
    """The chip's result frames to sums, and sums to scores."""

    def __init__(self, description: Description, back: IntGraph) -> None:
        self._frame = description.output
        self._back = back

    def sums(self, data: np.ndarray) -> np.ndarray:
        """Result frames uint8 [N, frame bytes] -> int32 sums [N, C, H, W]."""
        words = data.view("<i4")[:, : self._frame.elements]
        last = words.reshape(len(data), *_hwc(self._frame.chw))
        # always a copy: the buffer takes the next batch
        return np.array(last.transpose(0, 3, 1, 2), np.int32, order="C")

    def scores(self, sums: np.ndarray) -> np.ndarray:
        """int32 sums [N, C, H, W] -> float32 scores [N, classes], equal to the golden model's bit for bit."""
        back = self._back
        values = sums.astype(np.int64)
        if back.nodes:
            kind = back.input_tensor.type
            assert kind is not None
            if values.min() < kind.min or values.max() > kind.max:
                raise TransferError(
                    f"the chip gave a sum outside of {kind.min} to {kind.max}",
                    module="accelerator",
                    remedy="Run self_test(), which says what to check",
                )
            values = _in_blocks(lambda v: golden.run(back, v)[back.output], values)
        return golden.scores(back, values).reshape(len(sums), -1)
