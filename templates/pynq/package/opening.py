"""From nothing to a loaded design: the device, its lock, the overlay, the DMA and the accelerator in it."""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pynq

from . import bitstream
from .description import Description
from .errors import (
    AcceleratorError,
    BitstreamError,
    DeviceBusyError,
    DeviceMissingError,
    PermissionDeniedError,
)
from .transfer import reset_dma

__all__ = ["Lock", "Opened", "board_name", "clock_mhz", "open_overlay"]

DMA_TYPE = "xilinx.com:ip:axi_dma:"
BOARD_FILE = Path("/proc/device-tree/chosen/pynq_board")


class Lock:
    """A device is driven by one object of one process; the system frees the lock when that ends."""

    def __init__(self, device: Any) -> None:
        """Take the lock of ``device`` or raise DeviceBusyError."""
        tag = re.sub(r"[^A-Za-z0-9_.-]", "_", str(getattr(device, "tag", "device")))
        folder = Path("/run/lock")
        if not os.access(folder, os.W_OK):
            folder = Path(tempfile.gettempdir())
        self.path = folder / f"xnorhw-{tag}.lock"
        self._file = self._take(tag)
        os.ftruncate(self._file, 0)
        os.write(self._file, str(os.getpid()).encode())

    def _take(self, tag: str) -> int:
        while True:
            try:
                file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except PermissionError as error:
                raise PermissionDeniedError(
                    f"{self.path} belongs to another user", module="device", remedy=_AS_ROOT
                ) from error
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                owner = os.read(file, 32).decode("ascii", "replace").strip()
                os.close(file)
                own = owner == str(os.getpid())
                who = "this process, by another Accelerator" if own else f"process {owner or '?'}"
                raise DeviceBusyError(
                    f"it is in use by {who}",
                    module=f"device {tag}",
                    remedy="Call that Accelerator's close() first, or shut its notebook's kernel down",
                ) from error
            # an owner that left in between has taken the file away: this is the lock of nothing
            try:
                if os.path.samestat(os.fstat(file), os.stat(self.path)):
                    return file
            except FileNotFoundError:
                pass
            os.close(file)

    def release(self) -> None:
        """Free the device; a second call does nothing."""
        if self._file >= 0:
            self.path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1


@dataclass
class Opened:
    """A loaded design: the accelerator's registers and the DMA in front of it."""

    overlay: Any
    device: Any
    dma: Any
    mmio: Any
    lock: Lock


def open_overlay(description: Description, bitfile: str | None, device: Any, download: bool) -> Opened:
    """Find the device, lock it, load the overlay and find accelerator and DMA in it."""
    device = _device() if device is None else device
    path = _bitfile(description, bitfile, device)
    lock = Lock(device)
    try:
        try:
            overlay = pynq.Overlay(path, download=download, device=device)
            dma, ip = _find(overlay, description, device)
        except AcceleratorError:
            raise
        except PermissionError as error:
            raise PermissionDeniedError(
                f"the system refuses access ({error})", module="device", remedy=_AS_ROOT
            ) from error
        except OSError as error:
            if "ermission" in str(error):
                raise PermissionDeniedError(
                    str(error).rstrip("."), module="device", remedy=_AS_ROOT
                ) from error
            raise BitstreamError(str(error).rstrip("."), module=path, remedy=_MAKE_ONE) from error
        except RuntimeError as error:
            raise BitstreamError(f"pynq cannot load it ({error})", module=path, remedy=_MAKE_ONE) from error
        return Opened(overlay, device, dma, ip.mmio, lock)
    except BaseException:
        lock.release()
        raise


def _device() -> Any:
    try:
        return pynq.Device.active_device
    except RuntimeError as error:
        raise DeviceMissingError(
            "pynq finds no device",
            module="device",
            remedy="Run this on the board, in PYNQ's own Python as root: in Jupyter it is so already, in a "
            "shell say sudo -i, then source /etc/profile.d/pynq_venv.sh and /etc/profile.d/xrt_setup.sh",
        ) from error


def _bitfile(description: Description, bitfile: str | None, device: Any) -> str:
    if bitfile is not None:
        return bitfile
    own = Path(bitstream.__file__).resolve().parent / f"{description.name}.bit"
    if own.is_file():
        return str(own)
    simulated = getattr(device, "bitfile", None)
    if simulated is not None:
        return str(simulated)
    raise BitstreamError(
        "this package was installed without its bitstream", module=own.name, remedy=_MAKE_ONE
    )


def _find(overlay: Any, description: Description, device: Any) -> tuple[Any, Any]:
    """The DMA and the accelerator, which lie side by side: at the top or in one hierarchy."""
    kind = description.vlnv.rpartition(":")[0] + ":"
    places = [name for name, ip in overlay.ip_dict.items() if str(ip.get("type", "")).startswith(kind)]
    if len(places) != 1:
        found = "no such IP" if not places else f"{len(places)} of it: {', '.join(sorted(places))}"
        raise BitstreamError(
            f"the design has {found}",
            module=description.vlnv,
            remedy="Load the bitstream of this build, with the .hwh that Vivado wrote beside it",
        )
    (place,) = places
    hierarchy = place.rpartition("/")[0]
    beside = [
        name
        for name, ip in overlay.ip_dict.items()
        if str(ip.get("type", "")).startswith(DMA_TYPE) and name.rpartition("/")[0] == hierarchy
    ]
    if len(beside) != 1:
        raise BitstreamError(
            f"beside the accelerator {place} there are {len(beside)} DMAs where one is due",
            module="dma",
            remedy="Keep accelerator and DMA in one hierarchy, as vivado/design.tcl of the build does",
        )
    found = overlay.ip_dict[beside[0]]
    reset_dma(pynq.MMIO(found["phys_addr"], found["addr_range"], device=device))
    return _attribute(overlay, beside[0]), _attribute(overlay, place)


def _attribute(overlay: Any, path: str) -> Any:
    found = overlay
    for name in path.split("/"):
        found = getattr(found, name)
    return found


def board_name(device: Any) -> str:
    """The name that PYNQ's image gave the board, such as Pynq-Z2; the device's own elsewhere."""
    try:
        return BOARD_FILE.read_text(encoding="ascii").rstrip("\0\n")
    except (OSError, UnicodeDecodeError):
        return str(getattr(device, "name", "unknown"))


def clock_mhz() -> float:
    """The first clock of the programmable logic in MHz, read back from the processing system."""
    return float(pynq.Clocks.fclk0_mhz)


_AS_ROOT = "Run as root in PYNQ's own Python: only root may map the registers"
_MAKE_ONE = "Make one on a machine with Vivado: make -C out/vivado bitstream, then make -C out/pynq wheel"
