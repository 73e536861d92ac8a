"""What all stages of the C++ core have in common, and the streams between them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["HlsStream", "StageBase"]


@dataclass(frozen=True)
class HlsStream:
    """A stream between two stages: ``width`` bits, ``depth`` words, ``words`` a frame.

    ``name`` is that of the stage that reads it, as its source number ``port``.  ``observed``
    names the tensor whose words travel on it as they are, or is "".
    """

    name: str
    width: int
    depth: int
    words: int
    tensor: str
    observed: str = ""
    port: int = 0


@dataclass(frozen=True)
class StageBase:
    """What all stages have: a name, the layer served, the streams in and out, clocks a frame at II 1."""

    name: str
    layer: str
    sources: tuple[HlsStream, ...]
    targets: tuple[HlsStream, ...]
    cycles: int

    @property
    def source(self) -> HlsStream:
        """The stream in, of a stage that has one."""
        (stream,) = self.sources
        return stream

    @property
    def target(self) -> HlsStream:
        """The stream out, of a stage that has one."""
        (stream,) = self.targets
        return stream
