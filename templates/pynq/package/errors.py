"""The errors of the accelerator's driver: what, why, and what to do."""

from __future__ import annotations

__all__ = [
    "AcceleratorError",
    "BatchError",
    "BitstreamError",
    "BufferExhaustedError",
    "DeviceBusyError",
    "DeviceMissingError",
    "PermissionDeniedError",
    "SelfTestError",
    "TransferError",
    "TransferTimeoutError",
]


class AcceleratorError(Exception):
    """An error with its place, its reason and its remedy.

    ``module``: the part concerned.  ``reason``: what is wrong and why.  ``remedy``: what to
    do.  No class here is pynq's UnsupportedConfiguration, which pynq swallows.
    """

    def __init__(self, reason: str, *, module: str = "", remedy: str = "") -> None:
        self.module = module
        self.reason = reason
        self.remedy = remedy
        where = f"{module}: " if module else ""
        super().__init__(f"{where}{reason}." + (f" {remedy}." if remedy else ""))


class DeviceMissingError(AcceleratorError):
    """pynq finds no device."""


class PermissionDeniedError(AcceleratorError):
    """The process may not reach the hardware."""


class DeviceBusyError(AcceleratorError):
    """Another process, or another object of this one, drives the device."""


class BitstreamError(AcceleratorError):
    """There is no bitstream, or it is of another design, another build or another register interface."""


class BufferExhaustedError(AcceleratorError):
    """The memory for the DMA's buffers is used up."""


class BatchError(AcceleratorError, ValueError):
    """Frames of a wrong dtype, shape, range or layout; nothing was transferred."""


class TransferError(AcceleratorError):
    """The DMA or the accelerator reported an error; both were reset."""


class TransferTimeoutError(TransferError):
    """A result did not come within the time limit; DMA and accelerator were reset."""


class SelfTestError(AcceleratorError):
    """The device computes something else than the golden model."""
