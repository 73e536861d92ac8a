"""A build, its package and its device, as the tests of this room hand them around."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["WORK", "Bench", "load_package", "quick"]

WORK = Path(__file__).resolve().parent.parent.parent / "work" / "devices"
"""Compiled devices, named after their contents: a second run compiles nothing."""


@dataclass
class Bench:
    """A build, the package in it and a simulated device that runs it."""

    folder: Path
    package: ModuleType
    device: Any

    def open(self, **options: Any) -> Any:
        """An accelerator on the device."""
        _activate(self.package)
        return self.package.Accelerator.open(device=self.device, **options)


def quick(engine: ModuleType) -> None:
    """Compile half as long; with the flags of a board the engine runs in the notebook's tests."""
    assert "-O3" in engine.FLAGS
    engine.FLAGS = tuple(flag.replace("-O3", "-O0") for flag in engine.FLAGS)


def load_package(folder: Path) -> ModuleType:
    """The package in a build's pynq folder, apart from those of other builds."""
    for name in [n for n in sys.modules if n.split(".")[0] == "xnorhw_accel"]:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    try:
        importlib.invalidate_caches()
        package = importlib.import_module("xnorhw_accel")
        for name in ("opening", "transfer", "ip"):
            importlib.import_module(f"xnorhw_accel.{name}")
        quick(sys.modules["xnorhw_accel.engine"])
        _MODULES[package] = {n: m for n, m in sys.modules.items() if n.split(".")[0] == "xnorhw_accel"}
        return package
    finally:
        sys.path.remove(str(folder))


_MODULES: dict[ModuleType, dict[str, ModuleType]] = {}


def _activate(package: ModuleType) -> None:
    """A program has one such package; type hints are looked up by name in the one that it has now."""
    for name in [n for n in sys.modules if n.split(".")[0] == "xnorhw_accel"]:
        del sys.modules[name]
    sys.modules.update(_MODULES[package])
