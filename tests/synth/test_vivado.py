"""``--synth vivado``: the figures that are read and what fails.

The figures are written by hand, and the tool is a stand-in that puts them where Vivado's scripts do.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import xnorhw
from tests.emit.test_vivado import base, tcl
from tests.synth.conftest import VENDOR, program, require_tclsh
from xnorhw import resources
from xnorhw.board import load_board
from xnorhw.emit import vivado as emit_vivado
from xnorhw.ir.errors import ToolError, VerifyError
from xnorhw.synth import read_synthesis
from xnorhw.synth.vivado import read_vivado

DESIGN = {
    "source": "synthesised",
    "pe": "rtl",
    "board": "pynq-z2",
    "part": "xc7z020clg400-1",
    "vivado": "2023.2",
}
TIMING = {**DESIGN, "wns_ns": 0.25, "whs_ns": 0.031, "clock_mhz": 125.0}
COUNTS = {**DESIGN, "lut": 6100, "ff": 8200, "bram36": 5.5, "uram": 0, "dsp": 0}


def write(pynq: Path, timing: Any = TIMING, counts: Any = COUNTS) -> None:
    pynq.mkdir(parents=True, exist_ok=True)
    (pynq / "timing.json").write_text(json.dumps(timing))
    (pynq / "utilisation.json").write_text(json.dumps(counts))


def test_the_figures(build: xnorhw.Build, tmp_path: Path) -> None:
    write(tmp_path)
    figures = read_vivado(tmp_path, build.plan, "rtl", "2023.2")
    tree = figures.to_json()
    assert tree["source"] == "synthesised (Vivado 2023.2, placed and routed)"
    assert (tree["wns_ns"], tree["whs_ns"], tree["clock_mhz"]) == (0.25, 0.031, 125.0)
    assert tree["resources"] == {"lut": 6100, "ff": 8200, "bram36": 5.5, "uram": 0, "dsp": 0}
    assert tree["core"] == "rtl"


def test_negative_slack_fails(build: xnorhw.Build, tmp_path: Path) -> None:
    write(tmp_path, {**TIMING, "wns_ns": -1.0})
    with pytest.raises(VerifyError, match="the setup slack is -1 ns at 125 MHz") as caught:
        read_vivado(tmp_path, build.plan, "rtl", "2023.2")
    # 8 ns and one more
    assert caught.value.remedy == "Build with --clock 111 or less"
    write(tmp_path, {**TIMING, "whs_ns": -0.01})
    with pytest.raises(VerifyError, match="the hold slack is -0.01 ns"):
        read_vivado(tmp_path, build.plan, "rtl", "2023.2")


def without(tree: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in tree.items() if k != key}


@pytest.mark.parametrize(
    ("timing", "counts", "said"),
    [
        ([], COUNTS, "timing.json holds no table"),
        (without(TIMING, "wns_ns"), COUNTS, "None for wns_ns"),
        ({**TIMING, "whs_ns": "0.1"}, COUNTS, "'0.1' for whs_ns"),
        ({**TIMING, "wns_ns": True}, COUNTS, "True for wns_ns"),
        ({**TIMING, "wns_ns": float("nan")}, COUNTS, "nan for wns_ns"),
        ({**TIMING, "clock_mhz": 0}, COUNTS, "a clock of 0 MHz"),
        ({**TIMING, "part": "xc7a35tcpg236-1"}, COUNTS, "of the part 'xc7a35tcpg236-1'"),
        ({**TIMING, "pe": "hls"}, COUNTS, "of the pe 'hls', not of rtl"),
        (TIMING, without(COUNTS, "lut"), "utilisation.json has None for lut"),
        (TIMING, without(COUNTS, "part"), "of the part None"),
    ],
)
def test_figures_that_are_not_known(
    build: xnorhw.Build, tmp_path: Path, timing: Any, counts: Any, said: str
) -> None:
    write(tmp_path, timing, counts)
    with pytest.raises(ToolError, match=re.escape(said)) as caught:
        read_vivado(tmp_path, build.plan, "rtl", "2023.2")
    assert caught.value.remedy and caught.value.module == "Vivado"


def test_figures_that_are_missing(build: xnorhw.Build, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="no such file"):
        read_vivado(tmp_path, build.plan, "rtl", "2023.2")
    write(tmp_path)
    (tmp_path / "timing.json").write_text("{")
    with pytest.raises(ToolError, match="is no JSON"):
        read_vivado(tmp_path, build.plan, "rtl", "2023.2")


@pytest.fixture
def vivado(build: xnorhw.Build, tools: Path, tmp_path: Path) -> Callable[..., None]:
    """Puts a stand-in on PATH that does ``action`` after it has left ``timing`` where the scripts do."""

    def make(action: str = "true", timing: Any = TIMING, version: str = "2023.2") -> None:
        write(tmp_path / "ready", timing)
        (build.folder / "vivado").mkdir(exist_ok=True)
        (build.folder / "vivado" / "Makefile").write_text(resources.read_text("templates/vivado/Makefile"))
        copies = f'mkdir -p "{build.folder}/pynq"; cp "{tmp_path}/ready/"*.json "{build.folder}/pynq/"'
        tells = f'if [ "$1" = -version ]; then echo "vivado v{version} (64-bit)"; exit 0; fi'
        program(tools, "vivado", f"{tells}\n{action}\n{copies}")

    return make


def test_synthesise(build: xnorhw.Build, vivado: Callable[..., None]) -> None:
    vivado()
    tree = build.synthesise("vivado")
    assert tree == read_synthesis(build.folder)
    assert tree["vivado"]["wns_ns"] == 0.25
    html = (build.folder / "report.html").read_text()
    assert "synthesised (Vivado 2023.2, placed and routed)" in html and "0.25 ns of setup slack" in html


@pytest.mark.parametrize(
    ("action", "timing", "version", "said"),
    [
        ("true", TIMING, "2021.2", "is version 2021.2, and the scripts need 2022.2"),
        (
            'echo "ERROR: [Synth 8-1] bad"; echo "xnorhw: error: timing: it misses. Do this." >&2; exit 1',
            TIMING,
            "2023.2",
            r"the tool failed: \[Synth 8-1\] bad / timing: it misses. Do this",
        ),
        ("kill -KILL $$", TIMING, "2023.2", "the tool was killed"),
        ("exit 0", TIMING, "2023.2", "no such file"),
        ("true", {**TIMING, "wns_ns": -2}, "2023.2", "the setup slack is -2 ns"),
    ],
)
def test_what_goes_wrong(
    build: xnorhw.Build, vivado: Callable[..., None], action: str, timing: Any, version: str, said: str
) -> None:
    vivado(action, timing, version)
    with pytest.raises((ToolError, VerifyError), match=said) as caught:
        build.synthesise("vivado")
    assert "\n" not in str(caught.value) and caught.value.remedy
    assert read_synthesis(build.folder) is None


def test_the_figures_of_two_tools_stand_side_by_side(
    build: xnorhw.Build, vitis: Path, vivado: Callable[..., None]
) -> None:
    vivado()
    build.synthesise("vitis")
    tree = build.synthesise("vivado")
    assert sorted(tree) == ["vitis", "vivado"]
    html = (build.folder / "report.html").read_text()
    assert html.index("Vitis HLS 2023.2") < html.index("Vivado 2023.2")


def test_no_vivado(build: xnorhw.Build, tools: Path) -> None:
    with pytest.raises(ToolError, match="vivado is not on PATH") as caught:
        build.synthesise("vivado")
    assert "Vivado 2022.2 or newer" in caught.value.remedy


# --- with the scripts of the build ------------------------------------------------------------


@pytest.fixture
def real_scripts(build: xnorhw.Build, tools: Path, tmp_path: Path) -> Callable[..., None]:
    """The build's own scripts under the stand-in that knows Vivado's commands and IPs."""
    require_tclsh()
    board = load_board("pynq-z2")
    for name, text in emit_vivado.files(build.plan, board).items():
        path = build.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def make(**more: object) -> None:
        (tmp_path / "scenario.tcl").write_text(tcl({**base(build.plan, board), "period": 8.0, **more})[1:-1])
        tells = 'if [ "$1" = -version ]; then echo "vivado v2023.2 (64-bit)"; exit 0; fi'
        files = f'"{VENDOR}/vivado.tcl" "{tmp_path}/scenario.tcl" "{tmp_path}/record.json"'
        program(tools, "vivado", f'{tells}\nexec tclsh {files} "$@"')

    return make


def test_the_builds_own_scripts_end_to_end(build: xnorhw.Build, real_scripts: Callable[..., None]) -> None:
    real_scripts()
    tool = build.synthesise("vivado")["vivado"]
    assert (tool["part"], tool["core"], tool["clock_mhz"]) == ("xc7z020clg400-1", "rtl", 125.0)
    assert tool["wns_ns"] > 0 and tool["whs_ns"] > 0 and tool["resources"]["lut"] > 0
    assert (build.folder / "pynq" / "accel.bit").is_file()


def test_build_synth_vivado(
    small_model: Path, build: xnorhw.Build, real_scripts: Callable[..., None], tmp_path: Path
) -> None:
    """The command line, from the model to the bitstream of the stand-in."""
    real_scripts()
    out = tmp_path / "new"
    command = [sys.executable, "-m", "xnorhw", "build", "--board", "pynq-z2", "--synth", "vivado"]
    command += ["--clock", f"{build.plan.clock_mhz}", "--folding", build.folder / "folding.json"]
    done = subprocess.run([*command, small_model, "-o", out], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "synthesised (Vivado 2023.2, placed and routed)" in done.stdout
    assert (out / "pynq" / "accel.bit").is_file() and (out / "pynq" / "accel.hwh").is_file()
    assert json.loads((out / "report.json").read_text())["synthesised"]["vivado"]["core"] == "rtl"


def test_timing_that_fails_names_the_stage(build: xnorhw.Build, real_scripts: Callable[..., None]) -> None:
    real_scripts(wns=-0.5)
    with pytest.raises(ToolError, match="the tool failed: timing: at 125.000 MHz") as caught:
        build.synthesise("vivado")
    assert "misses by 0.5 ns" in str(caught.value) and "Build with --clock 11" in str(caught.value)
    assert not (build.folder / "pynq" / "accel.bit").exists()
    assert read_synthesis(build.folder) is None
