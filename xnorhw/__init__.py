"""Trained binary neural networks to proven, bit-exact FPGA accelerators.

The public names are resolved when they are first used, so that ``import xnorhw`` loads
neither torch nor anything else that is slow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xnorhw import nn
    from xnorhw.api import (
        Board,
        BoardError,
        Build,
        FitError,
        Input,
        Model,
        ModelError,
        ToolError,
        VerifyError,
        XnorhwError,
        boards,
        calibrate,
        load,
        save,
        snap,
        verify,
    )

__version__ = "0.1.0"

__all__ = [
    "Board",
    "BoardError",
    "Build",
    "FitError",
    "Input",
    "Model",
    "ModelError",
    "ToolError",
    "VerifyError",
    "XnorhwError",
    "boards",
    "calibrate",
    "load",
    "nn",
    "save",
    "snap",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name == "nn":
        return importlib.import_module("xnorhw.nn")
    if name not in __all__:
        raise AttributeError(f"module 'xnorhw' has no attribute {name!r}")
    value = getattr(importlib.import_module("xnorhw.api"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
