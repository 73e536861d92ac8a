"""pynq and torch want different versions of NumPy: neither environment holds the other's package."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest


def test_there_is_no_torch_here() -> None:
    assert importlib.util.find_spec("torch") is None
    assert importlib.util.find_spec("pynq") is not None


def test_the_device_needs_neither() -> None:
    """The adapter's module loads without pynq; pynq comes when a device is opened."""
    code = "import sys; import xnorhw.sim.pynq_device; print({'pynq', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_device_memory() -> None:
    from xnorhw.sim.pynq_device import DeviceMemory

    memory = DeviceMemory(0x1000, 4 * 4096)
    first, second = memory.take(1), memory.take(4097)
    assert (first, second) == (0x1000, 0x2000)
    with pytest.raises(MemoryError, match="no 8192 bytes in one piece"):
        memory.take(8192)
    memory.give(first, 1)
    memory.give(second, 4097)
    assert memory.take(4 * 4096) == 0x1000
