"""The network that the project trains itself, from its model file to the driver on the simulated board."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from hand_bench import WORK, load_package

from xnorhw import golden
from xnorhw.emit.store import read_build
from xnorhw.golden.codes import random_codes
from xnorhw.sim.pynq_device import open_device

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.long
def test_digits(builder: Path, tmp_path: Path) -> None:
    """The build as the command line makes it, by the environment that has torch."""
    model, out = tmp_path / "digits.pt", tmp_path / "out"
    for words in (
        ["train", "digits", "-o", model, "--epochs", "2"],
        ["build", "--board", "pynq-z2", model, "-o", out, "--verify", "none"],
    ):
        command = [builder, "-m", "xnorhw", *map(str, words)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    build = read_build(out)
    codes = np.concatenate([build.samples.codes, random_codes(build.graph, 84, seed=3)])
    expected = golden.scores(build.graph, golden.run(build.graph, codes)[build.graph.output])
    package = load_package(out / "pynq")
    with open_device(out, work=WORK) as device:
        with package.Accelerator.open(device=device, max_batch=32) as accelerator:
            report = accelerator.self_test()
            assert report.frames == 16 and report.accuracy is not None
            found = accelerator.predict_scores(codes.astype(np.uint8))
            assert np.array_equal(found.view(np.uint32), expected.view(np.uint32))
            assert build.samples.labels is not None
            right = np.mean(np.argmax(expected[:16], axis=1) == build.samples.labels)
            assert report.accuracy == right > 0.5
