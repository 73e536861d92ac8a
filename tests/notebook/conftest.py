"""A network trained on real digits, built by the environment with torch, driven from the one with pynq."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from xnorhw.sim.device import prepare

ROOT = Path(__file__).resolve().parent.parent.parent
WORK = ROOT / "work" / "devices"
"""Compiled devices, named after their contents: a second run compiles nothing."""


@pytest.fixture(scope="session")
def devices() -> Path:
    """The folder in which devices are compiled."""
    WORK.mkdir(parents=True, exist_ok=True)
    return WORK


@pytest.fixture(scope="session")
def digits(builder: Path, devices: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of the digits network, three epochs old, its simulated device compiled."""
    folder = tmp_path_factory.mktemp("digits")
    xnorhw = [str(builder), "-m", "xnorhw"]
    for command in (
        [*xnorhw, "train", "digits", "--epochs", "3", "-o", str(folder / "digits.pt")],
        [*xnorhw, "build", "--board", "pynq-z2", str(folder / "digits.pt"), "-o", str(folder / "out")],
    ):
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
    prepare(folder / "out", devices)
    return folder / "out"
