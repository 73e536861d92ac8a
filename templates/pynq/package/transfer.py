"""One transfer through the DMA: start, wait with a time limit, recover.

Registers of the AXI DMA in simple mode: PG021, tables "MM2S_DMACR" to "S2MM_LENGTH".
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from . import registers
from .description import Description
from .errors import BitstreamError, TransferError, TransferTimeoutError

__all__ = ["Engine", "dma_status_in_words", "reset_dma"]

SEND, RECEIVE = 0x00, 0x30
CONTROL, STATUS, LENGTH = 0x00, 0x04, 0x28
RUN, RESET = 0x0001, 0x0004
HALTED, IDLE, SCATTER_GATHER = 0x0001, 0x0002, 0x0008
ERRORS = 0x0070

_WORDS = (
    (0x0010, "internal error: a transfer of length 0, or a packet longer than its buffer"),
    (0x0020, "slave error: the memory refused an access"),
    (0x0040, "decode error: there is no memory at the address"),
    (0x0100, "scatter-gather internal error"),
    (0x0200, "scatter-gather slave error"),
    (0x0400, "scatter-gather decode error"),
)

RESET_SECONDS = 1.0
"""The DMA ends a reset when its open bus accesses have ended: microseconds, unless the bus is stuck."""


def dma_status_in_words(status: int) -> str:
    """A channel's status register (MM2S_DMASR, S2MM_DMASR) as a phrase."""
    words = [text for bit, text in _WORDS if status & bit]
    if status & HALTED:
        words.append("halted")
    elif status & IDLE:
        words.append("idle")
    else:
        words.append("transferring")
    return ", ".join(words)


def reset_dma(mmio: Any) -> None:
    """Reset both channels of the DMA whose registers are ``mmio``; TransferError where it does not end.

    pynq's own driver, made for a DMA that an error has halted, would wait for ever.
    """
    for offset in (SEND, RECEIVE):
        mmio.write(offset + CONTROL, RESET)
    for offset in (SEND, RECEIVE):
        _until_clear(mmio, offset + CONTROL, RESET, "the DMA does not come out of reset")


def _until_clear(mmio: Any, address: int, bit: int, reason: str) -> None:
    deadline = time.monotonic() + RESET_SECONDS
    while int(mmio.read(address)) & bit:
        if time.monotonic() > deadline:
            raise TransferError(reason, module="dma", remedy=_LOAD_ANEW)


@dataclass(frozen=True)
class _State:
    """What DMA and accelerator said at the time of an error."""

    send: int
    receive: int
    taken: int
    given: int
    errors: int

    def __str__(self) -> str:
        found = [e.description for e in registers.ERROR_BITS if self.errors >> e.bit & 1]
        return (
            f"send channel: {dma_status_in_words(self.send)}; "
            f"receive channel: {dma_status_in_words(self.receive)}; "
            f"accelerator: {self.taken} frames taken, {self.given} given, "
            + (", ".join(found) if found else "no error")
        )


class Engine:
    """Drives the DMA ``dma`` (pynq.lib.dma.DMA) and the accelerator's registers ``mmio``.

    ``timeout``: the longest time in seconds between two results.
    """

    def __init__(self, dma: Any, mmio: Any, description: Description, timeout: float) -> None:
        self.dma = dma
        self.mmio = mmio
        self.timeout = timeout
        self.in_flight = False
        self._description = description
        self._expected = 0
        # results since the last reset: what the counter reads before the next
        self._given = 0

    # ---- registers

    def read(self, register: registers.Register) -> int:
        """The value of one of the accelerator's registers."""
        return int(self.mmio.read(register.offset))

    def write(self, register: registers.Register, value: int) -> None:
        """Set one of the accelerator's registers."""
        self.mmio.write(register.offset, int(value))

    # ---- checks

    def check_identity(self) -> None:
        """Raise BitstreamError where the bitstream is not the one that this package was made for."""
        known = self._description
        found = self.read(registers.ID)
        if found != known.identity:
            raise BitstreamError(
                f"the identity register reads {found:#010x}, not {known.identity:#010x}: "
                "at this address is no accelerator of this kind",
                module="ID",
                remedy="Load the bitstream of this package; a .hwh of another design gives wrong addresses",
            )
        abi = self.read(registers.ABI)
        if abi >> 16 != known.abi_major or abi & 0xFFFF < known.abi_minor:
            raise BitstreamError(
                f"the bitstream has register interface {abi >> 16}.{abi & 0xFFFF}, "
                f"this driver needs {known.abi_major}.{known.abi_minor}",
                module="ABI",
                remedy="Build bitstream and package from the same build folder",
            )
        number = self.read(registers.BUILD_HASH1) << 32 | self.read(registers.BUILD_HASH0)
        if number != known.build_hash:
            raise BitstreamError(
                f"the bitstream is of build {number:016x}, this package of build {known.build_hash:016x}: "
                "other weights, another folding or another network",
                module="BUILD_HASH",
                remedy="In one build folder run make -C out/vivado bitstream, then make -C out/pynq wheel, "
                "and install that wheel",
            )
        for register, beats in (
            (registers.IN_BEATS, known.input.beats),
            (registers.OUT_BEATS, known.output.beats),
        ):
            found = self.read(register)
            if found != beats:
                raise BitstreamError(
                    f"a frame has {found} beats in the bitstream and {beats} in this package",
                    module=register.name,
                    remedy="Build bitstream and package from the same build folder",
                )

    def check_dma(self) -> None:
        """Raise BitstreamError where the DMA is not set up as the driver needs it."""
        for channel, name in ((self.dma.sendchannel, "send"), (self.dma.recvchannel, "receive")):
            if channel is None:
                raise BitstreamError(f"the DMA has no {name} channel", module="dma", remedy=_OWN_DESIGN)
        for offset in (SEND, RECEIVE):
            if self._status(offset) & SCATTER_GATHER:
                raise BitstreamError("the DMA has scatter-gather on", module="dma", remedy=_OWN_DESIGN)
        parameters = getattr(self.dma, "description", {}).get("parameters", {})
        for key in ("c_m_axi_mm2s_data_width", "c_m_axi_s2mm_data_width"):
            width = int(parameters.get(key, 0))
            if width and width != 8 * self._description.beat_bytes:
                raise BitstreamError(
                    f"{key} is {width}, the accelerator's streams are "
                    f"{8 * self._description.beat_bytes} bits wide",
                    module="dma",
                    remedy=_OWN_DESIGN,
                )

    @property
    def longest(self) -> int:
        """The longest transfer in bytes that the DMA's length register takes."""
        return int(self.dma.buffer_max_size)

    # ---- transfers

    def start(self, source: Any, target: Any) -> None:
        """Begin a batch: ``source`` and ``target`` are pynq buffers of whole frames.

        The receive channel first, so that no result finds nobody waiting.
        """
        for buffer, name in ((source, "input"), (target, "result")):
            if not 0 < buffer.nbytes <= self.longest:
                raise TransferError(
                    f"the {name} of a transfer has {buffer.nbytes} bytes, the DMA takes 1 to {self.longest}",
                    module="dma",
                    remedy="Open the accelerator with a smaller max_batch",
                )
            if buffer.physical_address % self._description.beat_bytes:
                raise TransferError(
                    f"the {name} buffer at {buffer.physical_address:#x} does not begin on a beat of "
                    f"{self._description.beat_bytes} bytes",
                    module="dma",
                    remedy="Report this: pynq allocates whole pages",
                )
        self.in_flight = True
        self._expected = target.nbytes
        try:
            self.dma.recvchannel.transfer(target)
            self.dma.sendchannel.transfer(source)
        except (RuntimeError, ValueError) as error:
            raise self._failed(f"the transfer could not start: {error}") from error

    def wait(self) -> None:
        """Wait for the batch that ``start`` began; on any error recover, then raise."""
        given = self._given
        deadline = time.monotonic() + self.timeout
        while True:
            send, receive = self._status(SEND), self._status(RECEIVE)
            if (send | receive) & ERRORS:
                raise self._failed("the DMA reports an error")
            if send & IDLE and receive & IDLE:
                break
            if time.monotonic() > deadline:
                before, given = given, self.read(registers.FRAMES_OUT)
                if given == before:
                    raise self._failed(f"no result came within {self.timeout:g} s", TransferTimeoutError)
                deadline = time.monotonic() + self.timeout
        received = int(self.dma.mmio.read(RECEIVE + LENGTH))
        if received != self._expected:
            raise self._failed(f"{received} bytes of results came instead of {self._expected}")
        # they see the channels idle; the receiving one makes the results visible to the processor
        self.dma.sendchannel.wait()
        self.dma.recvchannel.wait()
        if self.read(registers.ERRORS):
            raise self._failed("the accelerator reports an error")
        self._given = (self._given + self._expected // self._description.output.bytes) % (1 << 32)
        self.in_flight = False

    def await_sent(self) -> None:
        """Wait until the input of a batch is sent, or the time limit is over; results may be under way."""
        deadline = time.monotonic() + self.timeout
        while not self._status(SEND) & (IDLE | ERRORS) and time.monotonic() < deadline:
            pass

    def recover(self) -> None:
        """Reset both DMA channels, then the accelerator, and see that all is clear.

        The order matters: a buffer may be given back only when the DMA no longer writes, and
        the accelerator's streams are at rest only when nobody feeds them.
        """
        reset_dma(self.dma.mmio)
        self.write(registers.CONTROL, 1)
        self.read(registers.CONTROL)  # the write has arrived when the read returns
        self.write(registers.CONTROL, 0)
        if self.read(registers.ERRORS):
            raise TransferError(
                "the accelerator's errors stay set after a reset", module="accelerator", remedy=_LOAD_ANEW
            )
        for offset, channel in ((RECEIVE, self.dma.recvchannel), (SEND, self.dma.sendchannel)):
            self.dma.mmio.write(offset + CONTROL, RUN)
            _until_clear(self.dma.mmio, offset + STATUS, HALTED, "the DMA does not start after a reset")
            channel.start()
        self._given = 0
        self.in_flight = False

    def _status(self, offset: int) -> int:
        return int(self.dma.mmio.read(offset + STATUS))

    def _state(self) -> _State:
        return _State(
            self._status(SEND),
            self._status(RECEIVE),
            self.read(registers.FRAMES_IN),
            self.read(registers.FRAMES_OUT),
            self.read(registers.ERRORS),
        )

    def _failed(self, reason: str, kind: type[TransferError] = TransferError) -> TransferError:
        """The error for ``reason`` with the state as it was, after recovery."""
        state = self._state()
        try:
            self.recover()
        except TransferError as error:
            return kind(f"{reason}; {state}; then {error.reason}", module="accelerator", remedy=_LOAD_ANEW)
        return kind(
            f"{reason}; {state}; both were reset",
            module="accelerator",
            remedy="Call again; where it happens again, run self_test() or load the bitstream anew",
        )


_LOAD_ANEW = "Load the bitstream anew: close this object and open another"
_OWN_DESIGN = "Set the DMA up as vivado/design.tcl of the build does"
