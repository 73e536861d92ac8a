"""From nothing to a loaded design: the device, its lock, the overlay, the DMA and the accelerator in it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
LOCK_FOLDER = Path("/run/lock")
BOARD_FILE = Path("/proc/device-tree/chosen/pynq_board")


class Lock:
    """A DMA is driven by one object of one process; the system frees the lock when that ends.

    The C driver of the same build takes the same file.  The file stays when the lock is
    free: one that was taken away would be the lock of whoever has it open still.
    """

    def __init__(self, dma_base: int, device: Any) -> None:
        """Take the lock of the DMA at the bus address ``dma_base`` or raise DeviceBusyError."""
        # a simulated device has addresses of its own, and a folder for its lock
        folder = Path(getattr(device, "lock_folder", LOCK_FOLDER))
        self.path = folder / f"xnorhw-{dma_base:08x}.lock"
        self._file = self._open()
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(self._file, 32).decode("ascii", "replace").strip()
            self._close()
            raise DeviceBusyError(
                f"it is in use by {_owner(owner)}",
                module=f"device {getattr(device, 'tag', f'at {dma_base:#010x}')}",
                remedy="Call that Accelerator's close() first, or shut its notebook's kernel down",
            ) from error
        os.ftruncate(self._file, 0)
        os.write(self._file, str(os.getpid()).encode())

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            try:
                # Linux refuses O_CREAT, even to root, for another user's file in a folder like this one
                return os.open(self.path, flags)
            except FileNotFoundError:
                file = os.open(self.path, flags | os.O_CREAT, 0o666)
                with suppress(PermissionError):
                    os.fchmod(file, 0o666)  # whoever's umask made it
                return file
        except OSError as error:
            raise PermissionDeniedError(
                f"the lock file {self.path} cannot be opened ({error.strerror})",
                module="device",
                remedy=_AS_ROOT,
            ) from error

    def _close(self) -> None:
        os.close(self._file)
        self._file = -1

    def release(self) -> None:
        """Free the device; a second call does nothing."""
        if self._file >= 0:
            os.ftruncate(self._file, 0)
            self._close()


def _owner(number: str) -> str:
    """Who has the lock, from the process number in its file; one that ended is not who has it now."""
    if number == str(os.getpid()):
        return "this process, by another Accelerator"
    return f"process {number}" if number and Path("/proc", number).exists() else "another process"


@dataclass
class Opened:
    """A loaded design: the accelerator's registers and the DMA in front of it."""

    overlay: Any
    device: Any
    dma: Any
    mmio: Any
    lock: Lock


def open_overlay(
    description: Description, bitfile: str | os.PathLike[str] | None, device: Any, download: bool
) -> Opened:
    """Find the device, find accelerator and DMA in the overlay, lock them, load the overlay."""
    device = _device() if device is None else device
    if not hasattr(device, "tag"):
        raise DeviceMissingError(
            f"{device!r} is no pynq.Device",
            module="device",
            remedy="Leave it out: then it is the board's own",
        )
    path = _bitfile(description, bitfile, device)
    with _pynq_errors(path):
        # the metadata alone: whoever has the device keeps its design
        overlay = pynq.Overlay(path, download=False, device=device)
        names = _find(overlay, description)
        found = overlay.ip_dict[names[0]]
    lock = Lock(found["phys_addr"], device)
    try:
        with _pynq_errors(path):
            if download:
                overlay.download()
            reset_dma(pynq.MMIO(found["phys_addr"], found["addr_range"], device=device))
            dma, ip = (_attribute(overlay, name) for name in names)
        return Opened(overlay, device, dma, ip.mmio, lock)
    except BaseException:
        lock.release()
        raise


@contextmanager
def _pynq_errors(path: str) -> Iterator[None]:
    """What pynq raises, as the errors of this package."""
    try:
        yield
    except AcceleratorError:
        raise
    except PermissionError as error:
        raise PermissionDeniedError(
            f"the system refuses access ({error})", module="device", remedy=_AS_ROOT
        ) from error
    except OSError as error:
        if "ermission" in str(error):
            raise PermissionDeniedError(str(error).rstrip("."), module="device", remedy=_AS_ROOT) from error
        raise BitstreamError(str(error).rstrip("."), module=path, remedy=_MAKE_ONE) from error
    except RuntimeError as error:
        raise BitstreamError(f"pynq cannot load it ({error})", module=path, remedy=_MAKE_ONE) from error


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


def _bitfile(description: Description, bitfile: str | os.PathLike[str] | None, device: Any) -> str:
    if isinstance(bitfile, (str, os.PathLike)):
        return os.fspath(bitfile)
    if bitfile is not None:
        raise BitstreamError(
            f"{bitfile!r} is no path",
            module="bitfile",
            remedy="Pass the path of a .bit file with its .hwh beside it, or leave it out",
        )
    own = Path(bitstream.__file__).resolve().parent / f"{description.name}.bit"
    if own.is_file():
        return str(own)
    simulated = getattr(device, "bitfile", None)
    if simulated is not None:
        return str(simulated)
    raise BitstreamError(
        "this package was installed without its bitstream", module=own.name, remedy=_MAKE_ONE
    )


def _find(overlay: Any, description: Description) -> tuple[str, str]:
    """The names of DMA and accelerator, which lie side by side: at the top or in one hierarchy."""
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
    return beside[0], place


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
