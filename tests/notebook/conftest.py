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
    """A small build of the digits network, three epochs old, its simulated device compiled."""
    folder = tmp_path_factory.mktemp("digits")
    model, out = str(folder / "digits.pt"), str(folder / "out")
    commands = (
        ["train", "digits", "--epochs", "3", "-o", model],
        ["build", "--board", "pynq-z2", "--target-fps", "20000", model, "-o", out],
    )
    # one process, for torch takes seconds to load
    code = "from xnorhw.cli import cli\n"
    code += "".join(f"cli.main({words!r}, standalone_mode=False)\n" for words in commands)
    ended = subprocess.run([str(builder), "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    with pytest.MonkeyPatch.context() as patched:
        if " " not in str(ROOT):
            cache = ROOT / "tests" / "pynq" / "object_cache.sh"
            patched.setenv("OBJCACHE", f"sh {cache} {devices / 'objects'}")
        prepare(folder / "out", devices)
    return folder / "out"
