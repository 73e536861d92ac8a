"""Frames to the chip's bytes and results out of them, in C: what frames.py does, at memory's speed.

A part of the CPU engine's sources, compiled by itself: in seconds on a board, where the whole
engine takes minutes.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np

from .description import Description
from .engine import SOURCES, build_library
from .errors import EngineError

__all__ = ["Layout"]

MOST_CHANNELS = 1024
"""Of a frame that is not laid out channels last already, or has a table a channel: XH_LAYOUT_CHANNELS."""


class Layout:
    """Packs checked frames, and takes results out of their buffer; NumPy's numbers, byte for byte.

    ``tables``: uint8 [1 or channels, 256], what each byte of the input becomes, or None.
    ``compiler`` and ``cache`` as of ``CpuEngine``.  Raises EngineError where there is no compiler,
    or XH_PATH names instructions that this processor lacks.
    """

    def __init__(
        self,
        description: Description,
        tables: np.ndarray | None,
        compiler: str | None = None,
        cache: Path | None = None,
    ) -> None:
        given, self._input, self._output = description.given, description.input, description.output
        self._library = build_library(SOURCES / "engine", compiler, cache, "xh_layout")
        self._call = {name: getattr(self._library, f"xh_layout_{name}") for name in _CALLS}
        for name, (result, arguments) in _CALLS.items():
            self._call[name].restype, self._call[name].argtypes = result, arguments
        self._moves = self._call["choose"](None)
        if not self._moves:
            raise EngineError(
                "this processor lacks the path that XH_PATH names, or there is none of that name",
                module="layout",
                remedy="Leave XH_PATH out of the environment to have one chosen",
            )
        channels, height, width = given.chw
        self._planar = channels > 1 and height * width > 1
        rows = np.zeros((0, 256), np.uint8) if tables is None else np.ascontiguousarray(tables)
        # what is pointed at stays alive with this object
        self._kept = (rows, np.array([_shift(row) for row in rows], np.int32))
        self._layout = _Layout(
            channels,
            height * width,
            self._input.bytes,
            self._input.element_bits,
            tables is None and self._input.bipolar,
            len(rows),
            *(array.ctypes.data for array in reversed(self._kept)),
        )
        self._at = ctypes.byref(self._layout)
        # the same bytes in the same order: one copy, which NumPy makes as well
        self._copies = (
            tables is None and self._input.element_bits != 1 and self._input.bytes == self._input.elements
        )
        one_pixel_or_channel = self._output.elements in (
            self._output.chw[0],
            self._output.chw[1] * self._output.chw[2],
        )
        self._copies_sums = one_pixel_or_channel and self._output.bytes == 4 * self._output.elements

    @staticmethod
    def takes(description: Description) -> bool:
        """Whether frames are of bytes and of no more channels than the C code takes."""
        given = description.given
        bytes_alone = np.dtype(given.dtype).itemsize == 1 and description.input.element_bits <= 8
        return bytes_alone and given.chw[0] <= MOST_CHANNELS

    @property
    def path(self) -> str:
        """The instructions in use: "avx512", "neon", ..., "plain"."""
        return bytes(self._call["name"](self._moves)).decode("ascii")

    def pack(self, x: np.ndarray, out: np.ndarray, layout: str = "CHW") -> None:
        """Write frames [N, *shape] into ``out`` uint8 [N, frame bytes], as ``Packer.pack`` does."""
        planar = self._planar and layout == "CHW"
        if self._copies and not planar:
            out[...] = x.view(np.uint8).reshape(out.shape)
            return
        assert out.shape == (len(x), self._input.bytes)
        self._call["pack"](self._moves, self._at, _data(x), len(x), planar, _data(out))

    def sums(self, words: np.ndarray, out: np.ndarray) -> None:
        """Copy words to ``out`` int32 [N, C, H, W], as ``Unpacker.sums`` does."""
        if self._copies_sums:
            out.reshape(words.shape)[...] = words
            return
        assert len(words) == len(out)
        channels, height, width = self._output.chw
        size = height * width
        stride = words.shape[1]
        self._call["results"](self._moves, _data(words), stride, len(out), channels, size, _data(out))


class _Layout(ctypes.Structure):
    """xh_layout of xh_layout.h."""

    _fields_ = [
        ("channels", ctypes.c_size_t),
        ("pixels", ctypes.c_size_t),
        ("stride", ctypes.c_size_t),
        ("bits", ctypes.c_int32),
        ("signs", ctypes.c_int32),
        ("tables", ctypes.c_int32),
        ("shift", ctypes.c_void_p),
        ("table", ctypes.c_void_p),
    ]


_POINTER, _SIZE, _INT = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
_CALLS = {
    "choose": (_POINTER, [ctypes.c_char_p]),
    "name": (ctypes.c_char_p, [_POINTER]),
    "pack": (None, [_POINTER, _POINTER, _POINTER, _SIZE, _INT, _POINTER]),
    "results": (None, [_POINTER, _POINTER, _SIZE, _SIZE, _SIZE, _SIZE, _POINTER]),
}


def _shift(row: np.ndarray) -> int:
    """What the table adds to each byte, modulo 256 (pixels less 128), or -1 where it must be looked up."""
    return int(row[0]) if (row == np.arange(256, dtype=np.uint8) + row[0]).all() else -1


def _data(array: np.ndarray) -> Any:
    """Where the elements lie, one behind the other, as an argument.

    In a third of the time of ``array.ctypes.data``, which a frame that may not be written to needs.
    """
    if array.flags.writeable:
        return ctypes.byref(ctypes.c_char.from_buffer(array))
    assert array.flags.c_contiguous
    return array.ctypes.data
