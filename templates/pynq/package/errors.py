"""The errors of the accelerator's driver: what, why, and what to do."""

from __future__ import annotations

import operator

__all__ = [
    "AcceleratorError",
    "BatchError",
    "BitstreamError",
    "BufferExhaustedError",
    "DeviceBusyError",
    "DeviceMissingError",
    "EngineError",
    "PermissionDeniedError",
    "SelfTestError",
    "TransferError",
    "TransferTimeoutError",
    "whole_number",
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


class EngineError(AcceleratorError):
    """The CPU engine could not be compiled or loaded, or it refused a frame."""


class BatchError(AcceleratorError, ValueError):
    """Frames of a wrong dtype, shape, range or layout; nothing was transferred."""


class TransferError(AcceleratorError):
    """The DMA or the accelerator reported an error; both were reset."""


class TransferTimeoutError(TransferError):
    """A result did not come within the time limit; DMA and accelerator were reset."""


class SelfTestError(AcceleratorError):
    """The device computes something else than the golden model."""


def whole_number(value: object, name: str) -> int:
    """``value`` as an int, or AcceleratorError that names the argument ``name``."""
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise AcceleratorError(
            f"{value!r} is no whole number", module=name, remedy="Pass an int, such as 16"
        ) from None
