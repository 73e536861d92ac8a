"""What the host computes, in front of the chip and behind it: by the CPU engine in C, or in NumPy.

Both give the golden model's numbers bit for bit; the engine is the faster where there are
layers with products, and needs a C compiler, once.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from .description import Description
from .engine import CpuEngine, is_compiled
from .errors import AcceleratorError, EngineError, TransferError
from .frames import Packer, Unpacker
from .reference.ir.int_graph import HostFull, IntGraph

__all__ = ["HOSTS", "Host", "HostLayers"]

HOSTS = ("auto", "engine", "numpy")

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class HostLayers:
    """What computes on the host: "NumPy", "CPU engine, path neon", or "nothing".

    ``front``: before the chip, packing apart; ``back``: behind it.  ``note``: why the engine
    does not, where it would be the faster.
    """

    front: str
    back: str
    note: str = ""

    def __str__(self) -> str:
        return f"front: {self.front}; back: {self.back}" + (f" ({self.note})" if self.note else "")


class Host:
    """The layers in front of the chip, with the packing, and those behind it.

    ``wished``: "engine" takes the CPU engine for all layers or raises EngineError; "numpy"
    never; "auto" takes it where there is more than a table in front or more than the scaling
    of the sums behind, unless it cannot be had: then ``layers`` says why.
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
        if any(by_engine):
            try:
                self._engine = _engine(wished)
            except EngineError as error:
                if wished == "engine":
                    raise
                by_engine, note = (False, False), error.reason
        self._front_by_engine, self._back_by_engine = by_engine
        self.layers = HostLayers(*map(self._who, some, by_engine), note)

    def _who(self, some: bool, by_engine: bool) -> str:
        if not some:
            return "nothing"
        return f"CPU engine, path {self._engine.path}" if by_engine and self._engine else "NumPy"

    def pack(self, x: np.ndarray, out: np.ndarray, layout: str) -> None:
        """Checked frames [N, *shape] to ``out`` uint8 [N, frame bytes], as the chip takes them."""
        if self._front_by_engine and self._engine is not None:
            self._engine.pack(x, out, layout)
        else:
            self._packer.pack(x, out, layout)

    def sums(self, data: np.ndarray, out: np.ndarray) -> None:
        """Result frames uint8 [N, frame bytes] to ``out`` int32 [N, C, H, W]."""
        self._unpacker.sums(self._unpacker.words(data), out)

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


def _engine(wished: str) -> CpuEngine:
    try:
        if not is_compiled():
            _LOG.warning("compiling the layers of the host, once for this build: minutes on a board")
        return CpuEngine()
    except EngineError as error:
        if wished == "auto":
            _LOG.warning("the layers of the host run in NumPy: %s", error)
        raise
