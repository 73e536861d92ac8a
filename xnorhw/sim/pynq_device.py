"""The simulated device as a pynq.Device: pynq's own Overlay, DefaultIP and DMA run on it unchanged.

pynq is imported when a device is made, not with this module; it lives in an environment of
its own, without torch.

    from xnorhw.sim.pynq_device import open_device
    device = open_device("out")
    pynq.Device.active_device = device
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.board import load_board
from xnorhw.emit.store import StoredBuild, read_build
from xnorhw.ir.errors import ToolError, XnorhwError
from xnorhw.sim.device import MEMORY_BYTES, SimDevice

__all__ = ["DeviceMemory", "open_device"]

PAGE = 4096

_SLCR = 0xF8000000
_CRL = 0xFF5E0000
_CRF = 0xFD1A0000

# (address, value): every PLL at the multiple of the reference clock that the boards run it at, the
# first clock of the logic at a 10th, so that a design's own divisors show (UG585, SLCR; UG1087, CRL_APB)
_ZYNQ_CLOCKS = (
    *((_SLCR + offset, fdiv << 12) for offset, fdiv in ((0x100, 26), (0x104, 21), (0x108, 20))),
    (_SLCR + 0x120, 2 << 8),
    *((_SLCR + 0x170 + 16 * n, 1 << 20 | 10 << 8) for n in range(4)),
)
_ULTRASCALE_CLOCKS = (
    (_CRL + 0x20, 45 << 8),
    (_CRL + 0x30, 45 << 8),
    (_CRF + 0x20, 72 << 8),
    (_CRF + 0x2C, 64 << 8),
    (_CRF + 0x38, 90 << 8),
    (_CRF + 0x60, 1 << 8),
    *((_CRL + 0xC0 + 4 * n, 1 << 24 | 1 << 16 | 10 << 8) for n in range(4)),
)


class DeviceMemory:
    """Hands out pages of the device's memory, lowest first; the host's copies are other memory."""

    def __init__(self, base: int, size: int) -> None:
        self._free = [(base, size)]

    def take(self, size: int) -> int:
        """The bus address of ``size`` bytes.  Raises MemoryError."""
        size = max(PAGE, -(-size // PAGE) * PAGE)
        for i, (base, length) in enumerate(self._free):
            if length >= size:
                self._free[i : i + 1] = [(base + size, length - size)] if length > size else []
                return base
        raise MemoryError(f"the device's memory has no {size} bytes in one piece")

    def give(self, base: int, size: int) -> None:
        """Take back what ``take`` gave."""
        size = max(PAGE, -(-size // PAGE) * PAGE)
        merged: list[tuple[int, int]] = []
        for start, length in sorted([*self._free, (base, size)]):
            if merged and sum(merged[-1]) == start:
                merged[-1] = (merged[-1][0], merged[-1][1] + length)
            else:
                merged.append((start, length))
        self._free = merged


class _Pointer:
    """What a buffer returns to its memory when nobody holds it any more."""

    def __init__(self, address: int, size: int) -> None:
        self.address = address
        self.size = size


def open_device(build: str | Path | StoredBuild, *, memory_bytes: int = MEMORY_BYTES, **options: Any) -> Any:
    """A pynq.Device that runs the build of ``build``; ``options`` go to SimDevice.

    It has ``simulated`` True, ``sim`` (the SimDevice), ``bitfile`` (an empty bitstream with the
    build's .hwh beside it, which pynq loads) and ``close()``; it is a context manager.
    Raises ToolError where pynq is missing.
    """
    try:
        kind = _device_class()
    except ImportError as error:
        raise ToolError(
            f"pynq cannot be imported here ({error})",
            module="pynq",
            remedy="Use the second environment, which make test creates: pynq needs another NumPy than torch",
        ) from error
    stored = build if isinstance(build, StoredBuild) else read_build(Path(build))
    return kind(stored, memory_bytes, options)


@functools.lru_cache(maxsize=1)
def _device_class() -> type:
    """The class, made when first asked for: its base is pynq's."""
    pynq: Any = importlib.import_module("pynq")
    buffers: Any = importlib.import_module("pynq.buffer")
    parsers: Any = importlib.import_module("pynq.metadata.runtime_metadata_parser")
    metadata: Any = importlib.import_module("pynqmetadata.frontends")
    base: Any = pynq.Device

    class SimulatedDevice(base):  # type: ignore[misc]
        """One simulated board as pynq sees it."""

        simulated = True

        def __init__(self, stored: StoredBuild, memory_bytes: int, options: dict[str, Any]) -> None:
            board = load_board(stored.info.board)
            handoff = _handoff(stored.folder)
            self.sim = SimDevice(stored, memory_bytes=memory_bytes, **options)
            # removed with the device, however its process ends
            self._folder = self.sim.folder
            super().__init__(f"simulated-{self.sim.client.folder.name}")
            self.name = board.title
            self.zynq7 = board.ps.ip == "processing_system7"
            self.arch = "armv7l" if self.zynq7 else "aarch64"
            self.capabilities = {"REGISTER_RW": True}
            self.bitfile = self._bitstream(handoff)
            self._memory = DeviceMemory(self.sim.memory_base, memory_bytes)
            self._clocks = dict(_ZYNQ_CLOCKS if self.zynq7 else _ULTRASCALE_CLOCKS)
            self.lock_folder = self.sim.folder
            self.timestamp = ""
            self.bitfile_name = ""

        def _bitstream(self, hwh: Path) -> str:
            shutil.copyfile(hwh, self._folder / hwh.name)
            bitfile = (self._folder / hwh.name).with_suffix(".bit")
            bitfile.write_bytes(b"")
            return str(bitfile)

        # ---- registers

        def read_registers(self, address: int, length: int) -> bytes:
            """``length`` bytes from the bus address ``address``, in words."""
            words = range(address, address + length, 4)
            return b"".join(self._read(word).to_bytes(4, "little") for word in words)[:length]

        def write_registers(self, address: int, data: bytes) -> None:
            """Write whole words from the bus address ``address`` on."""
            for i in range(0, len(data), 4):
                word = int.from_bytes(bytes(data[i : i + 4]), "little")
                if self._is_system(address + i):
                    self._clocks[address + i] = word
                else:
                    self.sim.write32(address + i, word)

        def _read(self, address: int) -> int:
            if self._is_system(address):
                return self._clocks.get(address, 0)
            return self.sim.read32(address)

        def _is_system(self, address: int) -> bool:
            """True for the processing system's clock registers, which pynq reads and sets."""
            bases = (_SLCR,) if self.zynq7 else (_CRL, _CRF)
            return any(base <= address < base + 0x200 for base in bases)

        # ---- memory

        def allocate(self, shape: Any, dtype: Any, cacheable: int = 0, **_: Any) -> Any:
            """A buffer of the host, and pages of the device that flush and invalidate copy to and from.

            One that no cache holds, pynq's default, is the device's memory itself.
            """
            shape = (shape,) if isinstance(shape, int) else tuple(shape)
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            address = self._memory.take(size)
            pages = self._device_bytes(address, 0, size)
            buffer = buffers.PynqBuffer(
                shape,
                dtype,
                buffer=None if cacheable else pages,
                device=self,
                device_address=address,
                bo=address,
                coherent=False,
            )
            buffer.pointer = _Pointer(address, size)
            buffer.return_to = self
            buffer.memory = self
            # what the memory held before is what a program finds that forgets to write or to flush
            rng = np.random.default_rng(address)
            pages[:] = rng.integers(0, 256, size, np.uint8)
            if cacheable:
                buffer.view(np.ndarray).reshape(-1).view(np.uint8)[:] = 0xA5
            return buffer

        def return_pointer(self, pointer: _Pointer) -> None:
            """Take a buffer's pages back; pynq calls it when the buffer ends."""
            self._memory.give(pointer.address, pointer.size)

        def flush(self, bo: int, offset: int, address: int, size: int) -> None:
            """Copy the host's bytes to the device."""
            self._device_bytes(bo, offset, size)[:] = _host_bytes(address, size)

        def invalidate(self, bo: int, offset: int, address: int, size: int) -> None:
            """Copy the device's bytes to the host."""
            _host_bytes(address, size)[:] = self._device_bytes(bo, offset, size)

        def _device_bytes(self, bo: int, offset: int, size: int) -> npt.NDArray[np.uint8]:
            begin = bo + offset - self.sim.memory_base
            return self.sim.memory[begin : begin + size]

        # ---- overlays

        def get_bitfile_metadata(self, bitfile_name: str, partial: bool = False) -> Any:
            """What pynq's own parser reads in the .hwh beside the bitstream."""
            # pynq keeps the clock registers of the first device it met; on a board there is one
            if "_real_instance" in vars(pynq.Clocks):
                del pynq.Clocks._real_instance
            self._clocks_of_pynq_3_0()
            return parsers.RuntimeMetadataParser(
                metadata.Metadata(input=Path(bitfile_name).with_suffix(".hwh"))
            )

        def _clocks_of_pynq_3_0(self) -> None:
            """Make the clocks of this device those that are read and set.

            That release asks the processor that it runs on which registers there are, and reaches
            them through the active device.
            """
            if hasattr(pynq.Clocks, "device"):
                return
            before = vars(base).get("_active_device")
            pynq.ps.CPU_ARCH, base.active_device = self.arch, self
            try:
                _ = pynq.Clocks._instance
            finally:
                if before is None:
                    del base._active_device
                else:
                    base.active_device = before

        def download(self, bitstream: Any, parser: Any = None) -> None:
            """Nothing is programmed: the design is the build's."""
            self.post_download(bitstream, parser, self.name)

        def close(self) -> None:
            """End the simulation."""
            self.sim.close()
            if (
                vars(base.__class__).get("_active_device") is self
                or base.__dict__.get("_active_device") is self
            ):
                del base._active_device

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            self.close()

    return SimulatedDevice


def _handoff(folder: Path) -> Path:
    """The .hwh for simulation in a build."""
    found = sorted((folder / "sim").glob("*.hwh"))
    if not found:
        raise XnorhwError(
            "was built before there was a hardware handoff for simulation",
            module=str(folder),
            remedy="Build again with xnorhw build",
        )
    return found[0]


def _host_bytes(address: int, size: int) -> npt.NDArray[np.uint8]:
    """The host's memory at a virtual address, as pynq names a buffer to its device."""

    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
