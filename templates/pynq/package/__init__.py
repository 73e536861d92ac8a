"""A binary neural network on this board's programmable logic.

from xnorhw_accel import Accelerator
with Accelerator.open() as accelerator:
    print(accelerator.self_test())
    print(accelerator.predict(frames))
"""

from .description import Description, Samples
from .driver import Accelerator, load
from .errors import (
    AcceleratorError,
    BatchError,
    BitstreamError,
    BufferExhaustedError,
    DeviceBusyError,
    DeviceMissingError,
    EngineError,
    PermissionDeniedError,
    SelfTestError,
    TransferError,
    TransferTimeoutError,
)
from .host import HostLayers
from .reports import Counters, SelfTestReport, Throughput

__all__ = [
    "Accelerator",
    "AcceleratorError",
    "BatchError",
    "BitstreamError",
    "BufferExhaustedError",
    "Counters",
    "Description",
    "DeviceBusyError",
    "DeviceMissingError",
    "EngineError",
    "HostLayers",
    "PermissionDeniedError",
    "Samples",
    "SelfTestError",
    "SelfTestReport",
    "Throughput",
    "TransferError",
    "TransferTimeoutError",
    "load",
]
