"""Frames through the simulated device, moved as a driver moves them: by registers, DMA and memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xnorhw.emit.sim import timeout_cycles
from xnorhw.emit.store import StoredBuild
from xnorhw.ir.errors import VerifyError
from xnorhw.ir.registers import ABI_MAJOR, IDENTITY, REGISTERS
from xnorhw.sim.compiled import Stalls
from xnorhw.sim.device import SimDevice

__all__ = ["DeviceRun", "DeviceSession", "DmaError", "DmaTimeout", "run_device", "status_words"]

Frames = npt.NDArray[np.uint8]
Progress = Callable[[int, int], None]
"""Called with (frames finished, frames in all)."""

_REGISTER = {r.name: r.offset for r in REGISTERS}

# PG021, direct register mode
_MM2S, _S2MM = 0x00, 0x30
_CONTROL, _STATUS, _ADDRESS, _ADDRESS_HIGH, _LENGTH = 0x00, 0x04, 0x18, 0x1C, 0x28
_RUN, _RESET, _IOC, _ERROR = 1 << 0, 1 << 2, 1 << 12, 1 << 14
_LINES = {_MM2S: 1 << 0, _S2MM: 1 << 1}
_STATUS_BITS = {
    0: "Halted",
    1: "Idle",
    4: "DMAIntErr",
    5: "DMASlvErr",
    6: "DMADecErr",
    12: "IOC_Irq",
    14: "Err_Irq",
}
_ERRORS = 0x70


class DmaError(VerifyError):
    """A channel of the DMA stopped with an error bit."""


class DmaTimeout(VerifyError):
    """A transfer did not end."""


@dataclass(frozen=True)
class DeviceRun:
    """What came back from N frames, and what moving them took.

    ``results`` uint8 [N, bytes of a result frame]; ``clocks`` simulated, from the first register access
    to the last; ``bus_reads`` and ``bus_writes`` 32-bit register accesses; ``bytes_copied``
    between host and device memory, both ways; ``counters`` the IP's registers by name.
    """

    results: Frames
    clocks: int
    bus_reads: int
    bus_writes: int
    bytes_copied: int
    counters: dict[str, int]

    @property
    def bus_operations_per_frame(self) -> float:
        """Register accesses a frame."""
        return (self.bus_reads + self.bus_writes) / max(1, len(self.results))


def status_words(status: int) -> str:
    """A DMASR in PG021's words, such as "Halted, DMADecErr, Err_Irq"."""
    return ", ".join(name for bit, name in _STATUS_BITS.items() if status >> bit & 1) or "running"


class DeviceSession:
    """A driver of an opened device: a send and a receive buffer of ``batch`` frames in its memory.

    Raises VerifyError where the accelerator is not the one of the build, ValueError where
    the buffers do not fit into the memory or one transfer does not fit the length register.
    """

    def __init__(self, device: SimDevice, batch: int = 1) -> None:
        if batch < 1:
            raise ValueError(f"a batch has at least one frame, not {batch}")
        plan = device.plan
        self.device = device
        self.batch = batch
        self.in_bytes = plan.input_frame.beats * plan.input_frame.beat_bits // 8
        self.out_bytes = plan.output_frame.beats * plan.output_frame.beat_bits // 8
        self.reads = self.writes = self.copied = 0
        longest = max(self.in_bytes, self.out_bytes) * batch
        if longest >= 1 << device.addresses.length_bits:
            raise ValueError(f"{batch} frames are {longest} bytes, more than one transfer of the DMA moves")
        page = 4096
        self._send = 0
        self._receive = -(-self.in_bytes * batch // page) * page
        if self._receive + self.out_bytes * batch > len(device.memory):
            raise ValueError(f"{batch} frames do not fit into {len(device.memory)} bytes of device memory")
        self._check_identity()
        self.recover()

    def run(self, frames: Frames) -> Frames:
        """Send uint8 [1..batch, bytes of an input frame] as one transfer each way; the result frames.

        Raises DmaError or DmaTimeout; the device is reset by then and takes the next frames.
        """
        count = len(frames)
        if frames.dtype != np.uint8 or frames.ndim != 2 or frames.shape[1] != self.in_bytes:
            raise ValueError(f"frames are uint8 [N, {self.in_bytes}], not {frames.dtype} {frames.shape}")
        if not 1 <= count <= self.batch:
            raise ValueError(f"one transfer takes 1 to {self.batch} frames, not {count}")
        sent, wanted = count * self.in_bytes, count * self.out_bytes
        memory = self.device.memory
        memory[self._send : self._send + sent] = frames.reshape(-1)
        self.copied += sent
        try:
            self._start(_S2MM, self._receive, wanted)
            self._start(_MM2S, self._send, sent)
            self._wait(sent, wanted, count)
            got = self._dma_read(_S2MM + _LENGTH)
            if got != wanted:
                raise DmaError(
                    f"the result packet of {count} frames has {got} bytes instead of {wanted}",
                    module="DMA",
                    remedy="Verify the build: xnorhw verify",
                )
        except (DmaError, DmaTimeout):
            self.recover()
            raise
        results = memory[self._receive : self._receive + wanted].reshape(count, -1).copy()
        self.copied += wanted
        return results

    def recover(self) -> None:
        """Reset both DMA channels, soft-reset the accelerator, read its errors as clear, start the channels.

        In this order: the DMA must have let go of its buffers before anything else moves.
        Raises DmaTimeout where the DMA's reset does not end, VerifyError where errors stay.
        """
        self._dma_write(_MM2S + _CONTROL, _RESET)
        for channel in (_MM2S, _S2MM):
            for _ in range(1000):
                if not self._dma_read(channel + _CONTROL) & _RESET:
                    break
            else:
                raise DmaTimeout(
                    "the DMA's reset does not end", module="DMA", remedy="Start the device again"
                )
        self._write("CONTROL", 1)
        self._write("CONTROL", 0)
        errors = self._read("ERRORS")
        if errors:
            raise VerifyError(
                f"the accelerator's ERRORS register reads {errors:#x} after a soft reset",
                module="accelerator",
                remedy="Verify the build: xnorhw verify",
            )
        for channel in (_S2MM, _MM2S):
            self._dma_write(channel + _CONTROL, _RUN | _IOC | _ERROR)

    def counters(self) -> dict[str, int]:
        """The accelerator's registers by name."""
        return {name: self._read(name) for name in _REGISTER}

    def _check_identity(self) -> None:
        number = self.device.stored.info.build_hash
        found = self._read("BUILD_HASH1") << 32 | self._read("BUILD_HASH0")
        for what, value, wanted in (
            ("identity", self._read("ID"), IDENTITY),
            ("ABI", self._read("ABI") >> 16, ABI_MAJOR),
            ("build hash", found, number),
        ):
            if value != wanted:
                raise VerifyError(
                    f"the accelerator's {what} is {value:#x}, the build's is {wanted:#x}",
                    module=str(self.device.stored.folder),
                    remedy="Build again with xnorhw build",
                )

    def _start(self, channel: int, offset: int, length: int) -> None:
        address = self.device.memory_base + offset
        self._dma_write(channel + _STATUS, _IOC | _ERROR)
        self._dma_write(channel + _ADDRESS, address & 0xFFFFFFFF)
        if self.device.addresses.address_bits > 32:
            self._dma_write(channel + _ADDRESS_HIGH, address >> 32)
        self._dma_write(channel + _LENGTH, length)

    def _wait(self, sent: int, wanted: int, frames: int) -> None:
        """Sleep from interrupt to interrupt until both channels have ended."""
        device = self.device
        clocks = timeout_cycles(device.plan) * frames
        limit = device.clock + clocks
        waiting = {_MM2S: f"sending {sent} bytes", _S2MM: f"receiving {wanted} bytes"}
        while waiting:
            for channel in [c for c in waiting if device.interrupts & _LINES[c]]:
                status = self._dma_read(channel + _STATUS)
                if status & _ERRORS:
                    raise DmaError(
                        f"{waiting[channel]} stopped: {status_words(status)}",
                        module="DMA",
                        remedy="Check the buffer's address and length; docs/device.md explains the bits",
                    )
                if status & _IOC:
                    del waiting[channel]
            # an interrupt during the reads above has risen already
            if not any(device.interrupts & _LINES[c] for c in waiting) and waiting:
                if device.clock >= limit:
                    raise self._timeout(waiting, clocks)
                device.run_clocks(limit - device.clock)

    def _timeout(self, waiting: dict[int, str], clocks: int) -> DmaTimeout:
        statuses = [status_words(self._dma_read(channel + _STATUS)) for channel in waiting]
        return DmaTimeout(
            f"{' and '.join(waiting.values())} did not end within {clocks} clocks "
            f"(DMA: {'; '.join(statuses)}; accelerator: {self._read('FRAMES_IN')} frames in, "
            f"{self._read('FRAMES_OUT')} out, ERRORS {self._read('ERRORS'):#x})",
            module="DMA",
            remedy="Verify the build: xnorhw verify",
        )

    def _dma_read(self, offset: int) -> int:
        self.reads += 1
        return self.device.read32(self.device.dma_base + offset)

    def _dma_write(self, offset: int, value: int) -> None:
        self.writes += 1
        self.device.write32(self.device.dma_base + offset, value)

    def _read(self, name: str) -> int:
        self.reads += 1
        return self.device.read32(self.device.ip_base + _REGISTER[name])

    def _write(self, name: str, value: int) -> None:
        self.writes += 1
        self.device.write32(self.device.ip_base + _REGISTER[name], value)


def run_device(
    build: str | Path | StoredBuild,
    frames: Frames,
    *,
    stalls: Stalls | None = None,
    batch: int | None = None,
    work: Path | None = None,
    progress: Progress | None = None,
) -> DeviceRun:
    """Send packed frames, uint8 [N, bytes of an input frame], through a build on the simulated device.

    ``batch`` frames make one transfer each way; by default 16 at most.  ``work`` is where the
    device is compiled, by default in the build.  The figures count the
    transfers alone, not the opening of the device.

    Raises ToolError where a tool is missing, DmaError, DmaTimeout and VerifyError where the
    device misbehaves, DeviceError where it ends.
    """
    with SimDevice(build, stalls=stalls, work=work) as device:
        session = DeviceSession(device, min(16, max(1, len(frames))) if batch is None else batch)
        reads, writes, begin = session.reads, session.writes, device.clock
        parts: list[Frames] = []
        for first in range(0, len(frames), session.batch):
            parts.append(session.run(frames[first : first + session.batch]))
            if progress is not None:
                progress(min(first + session.batch, len(frames)), len(frames))
        reads, writes, clocks = session.reads - reads, session.writes - writes, device.clock - begin
        results = np.concatenate([np.zeros((0, session.out_bytes), np.uint8), *parts])
        return DeviceRun(results, clocks, reads, writes, session.copied, session.counters())
