"""The client's side of a simulated device: commands through a file, the device's memory through another.

``templates/sim/device.cpp`` describes the words.  Needs NumPy alone.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xnorhw.ir.errors import XnorhwError

__all__ = ["BusError", "DeviceError", "Mailbox"]

MAGIC = 0x58484456
VERSION = 1
CONTROL_BYTES = 4096

_REQUEST, _DONE, _COMMAND, _ADDRESS_LOW, _ADDRESS_HIGH, _VALUE, _STATUS, _RESULT = range(8)
_CLOCK_LOW, _CLOCK_HIGH, _LINES, _SERVER, _MAGIC, _VERSION, _MEMORY_LOW, _MEMORY_HIGH = range(8, 16)
_MEMORY_BYTES, _IP_BASE, _DMA_BASE, _WINDOW = range(16, 20)

_READ, _WRITE, _RUN, _STOP, _INJECT = range(1, 6)

_SPINS = 2000
# a large network takes a millisecond a clock: short enough for the time limit
_RUN_CHUNK = 1 << 14


class DeviceError(XnorhwError):
    """The simulated device ended, does not answer, or belongs to somebody else."""


class BusError(XnorhwError):
    """An access to an address where nothing answers; on the board the process gets a SIGBUS."""


class Mailbox:
    """A client of the device whose mailbox is ``folder``; one at a time.

    ``memory_base``, ``ip_base`` and ``dma_base`` are bus addresses; each register window has
    ``window`` bytes; ``memory`` uint8 [memory_bytes] is the device's DDR itself, shared with it.
    ``alive`` tells whether the server still runs; without it its process number is asked.

    Raises DeviceError where there is no device, it is of another version or another client has it.
    """

    def __init__(
        self, folder: Path, *, time_limit_s: float = 60.0, alive: Callable[[], bool] | None = None
    ) -> None:
        self.folder = folder
        self._limit = time_limit_s
        self._alive = alive or self._process_lives
        self._one_at_a_time = threading.Lock()
        self._order = threading.Lock()
        try:
            self._file = os.open(folder / "control", os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise DeviceError(
                f"there is no simulated device ({(error.strerror or str(error)).lower()})",
                module=str(folder),
                remedy="Start one with xnorhw.sim.device.SimDevice",
            ) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise DeviceError(
                "the device is in use by another client",
                module=str(folder),
                remedy="End the other program first",
            ) from None
        self._map: mmap.mmap | None = None
        self._memory_map: mmap.mmap | None = None
        try:
            self._map = mmap.mmap(self._file, CONTROL_BYTES)
            words = np.frombuffer(self._map, "<u4")
            if words[_MAGIC] != MAGIC or words[_VERSION] != VERSION:
                raise DeviceError(
                    f"the device speaks version {words[_VERSION]} of its protocol, this is version {VERSION}"
                    if words[_MAGIC] == MAGIC
                    else "the file holds no device that is ready",
                    module=str(folder / "control"),
                    remedy="Build again and start the device with this xnorhw",
                )
            self._words = words
            self.memory_base = int(words[_MEMORY_LOW]) | int(words[_MEMORY_HIGH]) << 32
            self.ip_base, self.dma_base = int(words[_IP_BASE]), int(words[_DMA_BASE])
            self.window = int(words[_WINDOW])
            with open(folder / "memory", "r+b") as file:
                self._memory_map = mmap.mmap(file.fileno(), int(words[_MEMORY_BYTES]))
            self.memory: npt.NDArray[np.uint8] = np.frombuffer(self._memory_map, np.uint8)
        except BaseException:
            self.close()
            raise

    def read32(self, address: int) -> int:
        """The 32-bit word at a bus address.  Raises BusError where nothing answers."""
        return self._command(_READ, address, 0)

    def write32(self, address: int, value: int) -> None:
        """Write a 32-bit word.  Raises BusError where nothing answers, ValueError beyond 32 bits."""
        if not 0 <= value < 1 << 32:
            raise ValueError(f"{value:#x} is no 32-bit word")
        self._command(_WRITE, address, value)

    def run_clocks(self, clocks: int, *, until_interrupt: bool = True) -> int:
        """Let ``clocks`` pass, or fewer where an interrupt line rises; gives the clocks that passed."""
        passed = 0
        while passed < clocks:
            chunk = min(clocks - passed, _RUN_CHUNK)
            before = self.interrupts
            ran = self._command(_RUN, 0, chunk)
            passed += ran
            if until_interrupt and (ran < chunk or self.interrupts & ~before):
                break
        return passed

    def inject(
        self,
        *,
        hang: bool = False,
        slave_error: bool = False,
        read_error: bool = False,
        write_error: bool = False,
    ) -> None:
        """Plant faults, in place of those planted before; without arguments the device is sound again.

        ``hang``: the accelerator gives no result, for ever.  The others make memory answer
        one burst with a slave error: the next of either channel, of MM2S, or of S2MM.
        """
        value = hang | slave_error << 1 | read_error << 2 | write_error << 3
        self._command(_INJECT, 0, int(value))

    @property
    def clock(self) -> int:
        """Clocks since the device was switched on."""
        return int(self._words[_CLOCK_LOW]) | int(self._words[_CLOCK_HIGH]) << 32

    @property
    def interrupts(self) -> int:
        """The DMA's interrupt lines: bit 0 MM2S, bit 1 S2MM."""
        return int(self._words[_LINES])

    @property
    def server(self) -> int:
        """The number of the device's process."""
        return int(self._words[_SERVER])

    def stop(self) -> None:
        """End the device's process."""
        self._command(_STOP, 0, 0)

    def close(self) -> None:
        """Leave the device to the next client.  Views of ``memory`` that others keep stay valid."""
        self.__dict__.pop("memory", None)
        self.__dict__.pop("_words", None)
        for place in (self._memory_map, self._map):
            try:
                if place is not None:
                    place.close()
            except BufferError:  # somebody keeps a view; the mapping ends with it
                pass
        self._map = self._memory_map = None
        if self._file >= 0:
            # a process forked from this one may hold the file, and with it the lock, for longer
            fcntl.flock(self._file, fcntl.LOCK_UN)
            os.close(self._file)
            self._file = -1

    def _command(self, command: int, address: int, value: int) -> int:
        if self._file < 0:
            raise DeviceError("was closed", module=str(self.folder), remedy="Open it again")
        if not 0 <= address < 1 << 64:
            raise self._bus_error(address)
        with self._one_at_a_time:
            words = self._words
            words[_COMMAND] = command
            words[_ADDRESS_LOW] = address & 0xFFFFFFFF
            words[_ADDRESS_HIGH] = address >> 32
            words[_VALUE] = value
            self._barrier()
            number = (int(words[_REQUEST]) + 1) & 0xFFFFFFFF
            words[_REQUEST] = number
            self._wait(number)
            self._barrier()
            if words[_STATUS]:
                raise self._bus_error(address)
            return int(words[_RESULT])

    def _bus_error(self, address: int) -> BusError:
        return BusError(
            f"nothing answers at address {address:#010x}",
            module="simulated device",
            remedy=f"Registers are at {self.ip_base:#010x} and {self.dma_base:#010x}, "
            f"{self.window:#x} bytes each, in aligned 32-bit words",
        )

    def _barrier(self) -> None:
        # a lock's own atomic operations order the accesses around it on every processor
        with self._order:
            pass

    def _wait(self, number: int) -> None:
        words = self._words
        for turn in range(_SPINS):
            if words[_DONE] == number:
                return
            if turn >= _SPINS // 10:
                os.sched_yield()
        end = time.monotonic() + self._limit
        while words[_DONE] != number:
            if not self._alive() and words[_DONE] != number:
                raise DeviceError(
                    f"the device's process ended{self._last_words()}",
                    module="simulated device",
                    remedy="Start it again; if it stays, verify the build",
                )
            if time.monotonic() > end:
                raise DeviceError(
                    f"the device did not answer within {self._limit:g} s",
                    module="simulated device",
                    remedy="Start it again, or give it more time with time_limit_s",
                )
            time.sleep(0.00005)

    def _last_words(self) -> str:
        try:
            text = (self.folder / "server.log").read_text(errors="replace")
        except OSError:
            return ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return ": " + " / ".join(lines[-3:]) if lines else ""

    def _process_lives(self) -> bool:
        try:
            os.kill(self.server, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        try:
            state = Path(f"/proc/{self.server}/stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            return True
        # ended, but not yet waited for by its parent
        return state[:1] != ["Z"]
