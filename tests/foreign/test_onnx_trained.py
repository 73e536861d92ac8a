"""A trained network of the field in FINN's older dialect, with real images and known classes.

Where the environment variable XNORHW_NETWORKS names the folder that holds it.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import xnorhw
from xnorhw.sim.tools import missing_tools

FOLDER = Path(os.environ.get("XNORHW_NETWORKS", ""))
NAME = "tfc_w1a1_mnist"

pytestmark = pytest.mark.skipif(
    not (FOLDER / f"{NAME}.onnx").is_file(), reason=f"XNORHW_NETWORKS names no folder with {NAME}.onnx"
)


def test_its_classes() -> None:
    model = xnorhw.load(FOLDER / f"{NAME}.onnx")
    images = np.load(FOLDER / f"{NAME}_input.npy").reshape(-1, *model.graph.input.shape)
    classes = model.predict(images).argmax(axis=1)
    assert classes.tolist() == np.load(FOLDER / f"{NAME}_expected.npy").ravel().tolist() == [7, 2, 1, 0]


@pytest.mark.long
@pytest.mark.skipif(bool(missing_tools()), reason="needs Verilator, g++, make and perl")
def test_its_classes_in_hardware(tmp_path: Path) -> None:
    model = xnorhw.load(FOLDER / f"{NAME}.onnx")
    build = model.build("pynq-z2", tmp_path / "out", verify="none", frames=2)
    build.compare().require()
    images = np.load(FOLDER / f"{NAME}_input.npy").reshape(-1, *model.graph.input.shape)
    for form in ("golden", "c", "hls", "rtl"):
        assert build.predict(images, on=form).argmax(axis=1).tolist() == [7, 2, 1, 0], form
