"""What the host computes, in front of the chip and behind it: by the CPU engine in C, or in NumPy.

Both give the golden model's numbers bit for bit; the engine is the faster where there are
layers with products, and needs a C compiler, once.  So does packing: in C at memory's speed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from .description import Description
from .engine import CpuEngine, is_compiled
from .errors import AcceleratorError, EngineError, TransferError
from .frames import Packer, Unpacker
from .layout import Layout
from .reference.ir.int_graph import HostFull, IntGraph

__all__ = ["HOSTS", "Host", "HostLayers"]

HOSTS = ("auto", "engine", "numpy")

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class HostLayers:
    """What computes on the host: "NumPy", "C, path neon", "CPU engine, path neon", or "nothing".

    ``front``: before the chip, packing apart; ``back``: behind it; ``packing``: what lays frames
    and results out, and looks them up where a table is all of the front.  ``note``: why it is not C
    where that would be the faster.
    """

    front: str
    back: str
    packing: str
    note: str = ""

    def __str__(self) -> str:
        text = f"front: {self.front}; back: {self.back}; packing: {self.packing}"
        return text + (f" ({self.note})" if self.note else "")


class Host:
    """The layers in front of the chip, with the packing, and those behind it.

    ``wished``: "engine" takes the CPU engine for all layers or raises EngineError; "numpy"
    never; "auto" takes it where there is more than a table in front or more than the scaling
    of the sums behind, unless it cannot be had: then ``layers`` says why.  Frames are packed in C
    with the first and the last, on the same terms.
    """

    def __init__(self, description: Description, front: IntGraph, back: IntGraph, wished: str) -> None:
        if not isinstance(wished, str) or wished not in HOSTS:
            raise AcceleratorError(
                f"there is no host {wished!r}", module="host", remedy=f"Take one of {', '.join(HOSTS)}"
            )
        self._packer = Packer(description, front)
        self._unpacker = Unpacker(description, back)
        self._elements = description.output.elements
        self._sums = back.input_tensor.type if back.nodes else None
        self._engine: CpuEngine | None = None
        some = (bool(front.nodes), bool(back.nodes or back.host))
        by_engine = (False, False)
        if wished == "engine":
            by_engine = some
        elif wished == "auto":
            by_engine = (
                self._packer.computes,
                bool(back.nodes) or any(isinstance(op, HostFull) for op in back.host),
            )
        note = ""
        try:
            if any(by_engine):
                self._engine = _engine()
        except EngineError as error:
            note = self._without(wished, "the layers of the host run in NumPy", error)
            by_engine = (False, False)
        self._front_by_engine, self._back_by_engine = by_engine
        self._layout: Layout | None = None
        golden_in_front = self._packer.computes and not by_engine[0]
        try:
            if wished != "numpy" and not golden_in_front and Layout.takes(description):
                self._layout = Layout(description, self._packer.tables)
        except EngineError as error:
            note = self._without(wished, "frames are packed by NumPy", error)
        self.layers = HostLayers(
            self._who(some[0], by_engine[0], not self._packer.computes),
            self._who(some[1], by_engine[1], False),
            self._in_c(),
            note,
        )

    def _who(self, some: bool, by_engine: bool, by_table: bool) -> str:
        if not some:
            return "nothing"
        if by_engine and self._engine is not None:
            return f"CPU engine, path {self._engine.path}"
        return self._in_c() if by_table else "NumPy"

    def _in_c(self) -> str:
        return "NumPy" if self._layout is None else f"C, path {self._layout.path}"

    def _without(self, wished: str, what: str, error: EngineError) -> str:
        """Why there is no C, said to whoever left the choice to the driver and raised to whoever did not."""
        if wished == "engine":
            self.close()
            raise error
        _LOG.warning("%s: %s", what, error)
        return error.reason

    def pack(self, x: np.ndarray, out: np.ndarray, layout: str) -> None:
        """Checked frames [N, *shape] to ``out`` uint8 [N, frame bytes], as the chip takes them."""
        if self._front_by_engine and self._engine is not None:
            self._engine.pack(x, out, layout)
        elif self._layout is not None and not self._packer.computes:
            self._layout.pack(x, out, layout)
        else:
            self._packer.pack(x, out, layout)

    def sums(self, data: np.ndarray, out: np.ndarray) -> None:
        """Result frames uint8 [N, frame bytes] to ``out`` int32 [N, C, H, W]."""
        (self._layout or self._unpacker).sums(self._unpacker.words(data), out)

    def scores(self, data: np.ndarray, out: np.ndarray) -> None:
        """Result frames uint8 [N, frame bytes] to ``out`` float32 [N, classes]."""
        self._scores(self._unpacker.words(data), out)

    def scores_of(self, sums: np.ndarray, out: np.ndarray) -> None:
        """Sums int32 [N, C, H, W] to ``out`` float32 [N, classes]."""
        self._scores(self._unpacker.words_of(sums), out)

    def _scores(self, words: np.ndarray, out: np.ndarray) -> None:
        kind, sums = self._sums, words[:, : self._elements]
        if kind is not None and (sums.min() < kind.min or sums.max() > kind.max):
            raise TransferError(
                f"the chip gave a sum outside of {kind.min} to {kind.max}",
                module="accelerator",
                remedy="Run self_test(), which says what to check",
            )
        if self._back_by_engine and self._engine is not None:
            self._engine.scores(words, out)
        else:
            self._unpacker.scores(words, out)

    def close(self) -> None:
        """Give the engine's memory back."""
        if self._engine is not None:
            self._engine.close()


def _engine() -> CpuEngine:
    if not is_compiled():
        _LOG.warning("compiling the layers of the host, once for this build: minutes on a board")
    return CpuEngine()
