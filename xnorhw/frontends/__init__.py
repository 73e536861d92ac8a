"""A trained network or its model file -> the float graph, and torch behind the Evaluator protocol."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xnorhw.frontends.calibrating import CalibrationReport, calibrate, calibrate_file
    from xnorhw.frontends.evaluator import TorchEvaluator
    from xnorhw.frontends.model_file import ModelFile, load_model_file, save
    from xnorhw.frontends.snapping import SnapReport, snap, snap_file

__all__ = [
    "CalibrationReport",
    "ModelFile",
    "SnapReport",
    "TorchEvaluator",
    "calibrate",
    "calibrate_file",
    "load_model_file",
    "save",
    "snap",
    "snap_file",
]

_WHERE = {
    "CalibrationReport": "calibrating",
    "calibrate": "calibrating",
    "calibrate_file": "calibrating",
    "ModelFile": "model_file",
    "TorchEvaluator": "evaluator",
    "load_model_file": "model_file",
    "save": "model_file",
    "SnapReport": "snapping",
    "snap": "snapping",
    "snap_file": "snapping",
}


def __getattr__(name: str) -> Any:
    # torch takes seconds to import: only who asks for a name waits
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
