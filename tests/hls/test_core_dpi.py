"""The C++ core behind a SystemVerilog module: the rules of its streams under pauses and resets."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from xnorhw.emit.jinja import render
from xnorhw.sim.tools import missing_tools, verilator_environment

ROOT = Path(__file__).resolve().parents[2]
STANDINS = ROOT / "templates" / "hls" / "sim"
SOURCES = Path(__file__).resolve().parent / "standins"
FRAMES = 25


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of the chain of two stages with its bench."""
    if missing_tools() and not os.environ.get("CI"):
        pytest.skip("; ".join(f"{tool.name} is missing: {tool.remedy}" for tool in missing_tools()))
    place = tmp_path_factory.mktemp("core")
    (place / "tiny_core.sv").write_text(render("hls/sim/core_dpi.sv.j2", prefix="tiny", beat_bits=64))
    for source in (SOURCES / "core_bench.cpp", SOURCES / "chain" / "network.h", *STANDINS.glob("*.[ch]*")):
        shutil.copy(source, place)
    command = ["verilator", "--cc", "--exe", "--build", "-j", "2", "-Wall", "--vpi", "--assert"]
    command += [
        "--no-timing",
        "--x-assign",
        "unique",
        "--x-initial",
        "unique",
        "-Mdir",
        "obj",
        "-o",
        "../bench",
    ]
    command += ["-CFLAGS", f"-I{place}", "tiny_core.sv", "core_bench.cpp", "dpi.cpp", "xh_scheduler.cpp"]
    done = subprocess.run(command, cwd=place, env=verilator_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "bench"


def beats(count: int) -> list[str]:
    """What comes back: one more in each part of 16 bits."""
    sent = [1000 * (beat // 2) + beat % 2 for beat in range(2 * count)]
    return [f"{sum((((word >> 16 * i) + 1) & 0xFFFF) << 16 * i for i in range(4)):016x}" for word in sent]


def parts(count: int) -> list[str]:
    sent = [1000 * (beat // 2) + beat % 2 for beat in range(2 * count)]
    return [f"{word >> 16 * i & 0xFFFF:04x}" for word in sent for i in range(4)]


@pytest.mark.parametrize(("seed", "source", "sink"), [(1, 0, 0), (2, 60, 20), (3, 20, 70), (4, 50, 50)])
def test_frames_pass(bench: Path, tmp_path: Path, seed: int, source: int, sink: int) -> None:
    command = [str(bench), str(FRAMES), str(seed), str(source), str(sink), "-1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.split() == beats(FRAMES)
    assert (tmp_path / "tiny_parts.hex").read_text().split() == parts(FRAMES)


@pytest.mark.parametrize("clock", [8, 9, 17, 18, 19, 40, 60])
def test_reset_begins_again(bench: Path, tmp_path: Path, clock: int) -> None:
    """In a pause as well as inside a frame; what came before the reset is the beginning."""
    command = [str(bench), str(FRAMES), str(clock), "30", "60", str(clock)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    before, after = re.split(r"reset\n", done.stdout)
    assert after.split() == beats(FRAMES)
    assert before.split() == beats(FRAMES)[: len(before.split())]
    words = (tmp_path / "tiny_parts.hex").read_text()
    lost, logged = words.split("reset\n")
    assert logged.split() == parts(FRAMES)
    assert lost.split() == parts(FRAMES)[: len(lost.split())]
