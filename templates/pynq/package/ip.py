"""What pynq binds by itself when it loads an overlay with this network in it."""

from __future__ import annotations

from typing import Any

from pynq import MMIO, DefaultHierarchy, DefaultIP

from .description import load_description
from .driver import Accelerator
from .opening import DMA_TYPE, Lock, Opened
from .transfer import reset_dma

__all__ = ["AcceleratorIP", "NetworkHierarchy"]

_DESCRIPTION = load_description()
_OURS = _DESCRIPTION.vlnv.rpartition(":")[0] + ":"


class AcceleratorIP(DefaultIP):
    """The accelerator's registers; ``register_map`` has them by name."""

    bindto = [_DESCRIPTION.vlnv]


class NetworkHierarchy(DefaultHierarchy):
    """A hierarchy of the block design that holds a DMA and the accelerator, whatever their names.

    ``accelerator()`` makes the driver; its errors are real ones, not swallowed in binding.
    """

    @staticmethod
    def checkhierarchy(description: dict[str, Any]) -> bool:
        """True for exactly one accelerator beside exactly one DMA."""
        kinds = [str(ip.get("type", "")) for ip in description["ip"].values()]
        return (
            sum(k.startswith(_OURS) for k in kinds) == 1 and sum(k.startswith(DMA_TYPE) for k in kinds) == 1
        )

    def accelerator(self, **options: Any) -> Accelerator:
        """The driver for this hierarchy; ``options`` as of ``Accelerator``."""
        kinds = {name: str(ip["type"]) for name, ip in self.description["ip"].items()}
        dma = next(name for name, kind in kinds.items() if kind.startswith(DMA_TYPE))
        ip = next(name for name, kind in kinds.items() if kind.startswith(_OURS))
        device = self.description["device"]
        found = self.description["ip"][dma]
        lock = Lock(found["phys_addr"], device)
        try:
            reset_dma(MMIO(found["phys_addr"], found["addr_range"], device=device))
            overlay = self.description.get("overlay")
            opened = Opened(overlay, device, getattr(self, dma), getattr(self, ip).mmio, lock)
            return Accelerator(opened, **options)
        except BaseException:
            lock.release()
            raise
