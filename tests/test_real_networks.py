"""The layer tables of two networks of the field, from the model file to the C++ and the RTL.

With seeded random weights always; with the trained weights and their known integers where the
environment variable XNORHW_NETWORKS names the folder that holds them.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import xnorhw
from benchmarks.networks import INPUTS, NETWORKS, SHAPES, load, random_arrays
from benchmarks.real_networks import EXPECTED
from xnorhw.emit.store import read_build
from xnorhw.sim.tools import missing_tools

FOLDER = os.environ.get("XNORHW_NETWORKS", "")
FPS = {"lfc": 20000.0, "cnv": 3000.0}
FRAMES = 2

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason="needs Verilator, g++, make and perl")


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_layer_table(name: str, tmp_path: Path) -> None:
    trained = bool(FOLDER)
    arrays = load(Path(FOLDER), name) if trained else random_arrays(name)
    samples = None
    if trained:
        samples = arrays["image_u8"].astype(np.float32).reshape(1, *INPUTS[name].shape)
    xnorhw.save(NETWORKS[name](arrays), tmp_path / "model.pt", INPUTS[name], samples=samples)
    build = xnorhw.load(tmp_path / "model.pt").build(
        "pynq-z2", tmp_path / "out", target_fps=FPS[name], frames=FRAMES, verify="none"
    )
    verdict = build.compare()
    verdict.require()
    links = {link.name: link for link in verdict.links}
    assert all(links[name].values > 0 for name in ("golden", "hls", "rtl"))
    assert verdict.cycles_per_frame is not None
    assert verdict.cycles_per_frame <= 1.01 * build.plan.figures.bound_cycles
    weights = sum(int(np.prod(shape)) for shape in SHAPES[name])
    assert build.report.weights.binary_bits == weights
    assert build.report.weights.float32_bytes == 4 * weights
    if trained:
        known = arrays[EXPECTED[name]].ravel()
        assert np.array_equal(read_build(build.folder).samples.sums[0].ravel(), known)
        assert samples is not None
        for form in ("hls", "rtl"):
            assert np.array_equal(build.predict(samples, on=form).ravel(), known.astype(np.float32))
