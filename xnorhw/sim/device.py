"""A build as a device: its RTL in Verilator behind a DMA, with registers, memory and a clock.

Imports neither torch nor pynq.  ``docs/device.md`` describes what the model keeps and what not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.emit.folder import edited
from xnorhw.emit.store import StoredBuild, read_build
from xnorhw.emit.vivado import LENGTH_BITS, BlockDesign, Segment
from xnorhw.ir.errors import ToolError, XnorhwError
from xnorhw.plan.model import Plan
from xnorhw.sim.compiled import Stalls
from xnorhw.sim.mailbox import CONTROL_BYTES, MAGIC, BusError, DeviceError, Mailbox
from xnorhw.sim.model import compile_device, read_sources

__all__ = ["AddressMap", "BusError", "DeviceError", "SimDevice", "address_map", "prepare"]

MEMORY_BYTES = 64 << 20
MEMORY_BASE = 0x10000000
"""Where the simulated memory lies by default: past the kernel, within the DDR of every board."""

_PAGE = 4096
_START_LIMIT_S = 60.0


class AddressMap:
    """Where a build's block design puts things: bus addresses and sizes in bytes.

    Raises XnorhwError where ``design`` has no registers of the accelerator or no DMA.
    """

    def __init__(self, design: BlockDesign) -> None:
        self.ip = self._segment(design, "accel/")
        self.dma = self._segment(design, "dma/S_AXI_LITE")
        memory = [s for s in design.segments if s.space.startswith("dma/")]
        if not memory:
            raise self._none("memory")
        self.memory = memory[0]
        settings = dict(next((c.settings for c in design.cells if c.name == "dma"), ()))
        self.length_bits = int(settings.get("c_sg_length_width", str(LENGTH_BITS)))
        self.address_bits = int(settings.get("c_addr_width", "32"))

    @classmethod
    def _segment(cls, design: BlockDesign, name: str) -> Segment:
        for segment in design.segments:
            if segment.space.startswith("ps/") and segment.name.startswith(name):
                return segment
        raise cls._none(name.rstrip("/"))

    @staticmethod
    def _none(what: str) -> XnorhwError:
        return XnorhwError(
            f"the block design has no address for {what}",
            module="vivado/design.json",
            remedy="Build again with xnorhw build",
        )


def address_map(stored: StoredBuild) -> AddressMap:
    """The addresses of a build.  Raises XnorhwError for a folder from before there was a block design."""
    if stored.design is None:
        raise XnorhwError(
            "was built before there was a block design, so nothing has an address",
            module=str(stored.folder),
            remedy="Build again with xnorhw build",
        )
    return AddressMap(stored.design)


def prepare(build: Path | StoredBuild, work: Path | None = None) -> Path:
    """The device's program, compiled in ``work`` (by default the build's work/) or found there.

    An environment without Verilator runs what this compiled elsewhere.  Raises ToolError
    where it would have to compile and a tool is missing.
    """
    folder = build.folder if isinstance(build, StoredBuild) else build
    sources = read_sources(folder)
    if "sim/device.cpp" not in sources:
        raise XnorhwError(
            "was built before there was a simulated device",
            module=str(folder),
            remedy="Build again with xnorhw build",
        )
    return compile_device(sources, folder / "work" if work is None else work)


def _read(folder: Path) -> StoredBuild:
    changed = edited(folder)
    if changed:
        warnings.warn(f"{folder}: edited since the build: {', '.join(changed)}", stacklevel=3)
    return read_build(folder)


class SimDevice:
    """A build on a simulated board; a context manager.  One process, ended with this one or by ``close``.

    ``build``: a build folder, which is warned of where files in it were edited, or what
    ``read_build`` gave.  ``stalls``: random pauses of memory in
    both directions and their seed.  ``memory_bytes`` and ``memory_base``: the simulated part
    of the DDR, by default 64 MB within the part that the DMA reaches.  ``access_clocks``: the
    time of a register access; ``latency_clocks``: memory's.  ``work``: where the program is
    compiled.  ``time_limit_s``: the longest wait for an answer of the process.

    Simulated time passes in ``read32``, ``write32`` and ``run_clocks`` alone.  ``memory`` is the device's
    memory, separate from any host buffer: copy into it to make data visible to the DMA.
    Another program may take over through ``folder`` after ``release``.

    Raises ToolError where Verilator is missing, DeviceError where the device does not start.
    """

    def __init__(
        self,
        build: str | Path | StoredBuild,
        *,
        stalls: Stalls | None = None,
        memory_bytes: int = MEMORY_BYTES,
        memory_base: int | None = None,
        access_clocks: int = 16,
        latency_clocks: int = 30,
        work: Path | None = None,
        time_limit_s: float = 60.0,
    ) -> None:
        self._attach = threading.Lock()
        self._client: Mailbox | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._owner = os.getpid()
        self.stored = build if isinstance(build, StoredBuild) else _read(Path(build))
        self.addresses = address_map(self.stored)
        self._limit = time_limit_s
        base = self._memory_base(memory_base, memory_bytes)
        program = prepare(self.stored, work)
        values = {
            "parent": os.getpid(),
            "beat_bytes": self.plan.input_frame.beat_bits // 8,
            "ip_base": self.addresses.ip.offset,
            "dma_base": self.addresses.dma.offset,
            "window": min(self.addresses.ip.size, self.addresses.dma.size),
            "memory_base": base,
            "memory_bytes": memory_bytes,
            "length_bits": self.addresses.length_bits,
            "address_bits": self.addresses.address_bits,
            "access": access_clocks,
            "latency": latency_clocks,
        }
        if stalls is not None:
            values |= {
                "seed": stalls.seed,
                "source": stalls.source_percent,
                "sink": stalls.sink_percent,
                "hold": stalls.hold,
            }
        try:
            self._start(program, values, memory_bytes)
        except BaseException:
            self.close()
            raise

    @property
    def plan(self) -> Plan:
        """The build's plan."""
        return self.stored.plan

    @property
    def folder(self) -> Path:
        """The mailbox: a folder with the files ``control`` and ``memory``."""
        if self._folder is None:
            raise self._closed()
        return self._folder

    def read32(self, address: int) -> int:
        """The 32-bit word at a bus address.  Raises BusError where nothing answers."""
        return self.client.read32(address)

    def write32(self, address: int, value: int) -> None:
        """Write a 32-bit word.  Raises BusError where nothing answers, ValueError beyond 32 bits."""
        self.client.write32(address, value)

    def run_clocks(self, clocks: int, *, until_interrupt: bool = True) -> int:
        """Let ``clocks`` pass, or fewer where an interrupt line rises; gives the clocks that passed."""
        return self.client.run_clocks(clocks, until_interrupt=until_interrupt)

    def inject(self, **faults: bool) -> None:
        """Plant faults (``Mailbox.inject``): hang, slave_error, read_error, write_error; none clears."""
        self.client.inject(**faults)

    @property
    def memory(self) -> npt.NDArray[np.uint8]:
        """The device's memory, uint8 [memory_bytes], from bus address ``memory_base``."""
        return self.client.memory

    @property
    def memory_base(self) -> int:
        """The bus address of ``memory[0]``."""
        return self.client.memory_base

    @property
    def ip_base(self) -> int:
        """The bus address of the accelerator's registers."""
        return self.addresses.ip.offset

    @property
    def dma_base(self) -> int:
        """The bus address of the DMA's registers."""
        return self.addresses.dma.offset

    @property
    def clock(self) -> int:
        """Clocks since the device was switched on."""
        return self.client.clock

    @property
    def interrupts(self) -> int:
        """The DMA's interrupt lines: bit 0 MM2S, bit 1 S2MM."""
        return self.client.interrupts

    @property
    def client(self) -> Mailbox:
        """This process as the device's client; taken up at the first access and after ``release``."""
        if self._folder is None:
            raise self._closed()
        with self._attach:
            if self._client is None:
                self._client = Mailbox(self._folder, time_limit_s=self._limit, alive=self._alive)
            return self._client

    def release(self) -> None:
        """Leave the device to a client in another process, until the next access from here."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def close(self) -> None:
        """End the device and remove its mailbox."""
        if self._owner != os.getpid():  # a forked process has the object, not the device
            return
        try:
            if self._client is not None and self._alive():
                self._client.stop()
        except DeviceError:
            pass
        self.release()
        if self._process is not None:
            if self._process.poll() is None:
                self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __enter__(self) -> SimDevice:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if self.__dict__.get("_process") is not None:
            self.close()

    def _memory_base(self, wanted: int | None, size: int) -> int:
        reached = self.addresses.memory
        base = min(MEMORY_BASE, reached.offset + reached.size - size) if wanted is None else wanted
        if size <= 0 or size % _PAGE or base % _PAGE:
            raise ValueError(f"memory comes in pages of {_PAGE} bytes, not {size} bytes at {base:#x}")
        if base < reached.offset or base + size > reached.offset + reached.size:
            raise ValueError(
                f"{size} bytes at {base:#x} are not within the {reached.size} bytes from "
                f"{reached.offset:#x} that the DMA reaches"
            )
        return base

    def _start(self, program: Path, values: dict[str, Any], memory_bytes: int) -> None:
        self._folder = folder = Path(tempfile.mkdtemp(prefix="xnorhw-device-"))
        for name, size in (("control", CONTROL_BYTES), ("memory", memory_bytes)):
            with open(folder / name, "wb") as file:
                file.truncate(size)
        arguments = [f"folder={folder}", *(f"{key}={value}" for key, value in values.items())]
        with open(folder / "server.log", "wb") as log:
            try:
                self._process = subprocess.Popen(
                    [os.fspath(program.resolve()), *arguments],
                    cwd=self.stored.folder / "rom",
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # an interrupt from the keyboard is for the client
                )
            except OSError as error:
                raise ToolError(
                    f"the simulated device could not be started ({error.strerror})",
                    module=str(program),
                    remedy="Remove the build's work folder, so that it is compiled again",
                ) from None
        self._await_ready(folder)

    def _await_ready(self, folder: Path) -> None:
        end = time.monotonic() + _START_LIMIT_S
        words = np.memmap(folder / "control", "<u4", "r")
        pause = 0.0005
        while words[12] != MAGIC:
            if not self._alive() or time.monotonic() > end:
                text = (folder / "server.log").read_text(errors="replace")
                said = " / ".join(line.strip() for line in text.splitlines()[-3:] if line.strip())
                raise DeviceError(
                    "the device did not start" + (f": {said}" if said else ""),
                    module="simulated device",
                    remedy="See `xnorhw doctor` for the tools, or verify the build",
                )
            time.sleep(pause)
            pause = min(2 * pause, 0.02)

    def _alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _closed(self) -> DeviceError:
        return DeviceError("was closed", module="simulated device", remedy="Start it again")
