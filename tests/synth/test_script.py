"""hls/synth.tcl and hls/Makefile under a stand-in for Vitis HLS: they run, and every line matters."""

from __future__ import annotations

import concurrent.futures
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

import xnorhw
from tests.synth.conftest import CLOCK_MHZ, VENDOR, one_turn_plan, program, require_tclsh
from xnorhw.board import board_names, load_board
from xnorhw.emit import hls_project
from xnorhw.ir.errors import ToolError, XnorhwError
from xnorhw.plan import make_plan
from xnorhw.synth.csynth import read_csynth
from xnorhw.synth.vitis import vitis_figures

REPORT = "work/accel_hls/solution/syn/report/csynth.xml"
SYN = "work/accel_hls/solution/syn"
STAMP = "work/accel_hls/solution/synthesised"
FACTS = ["project accel_hls", "flow vivado", "solution solution", "csim", "csynth"]


def script(hls: Path, text: str | None = None, name: str = "synth.tcl", **scene: str) -> tuple[int, str]:
    """Run the script, or ``text`` in its place, as the Makefile does; exit code and what it printed."""
    if text is not None:
        (hls / name).write_text(text)
    (hls / "work").mkdir(exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STANDIN_")}
    environment |= {f"STANDIN_{key.upper()}": value for key, value in scene.items()}
    environment["STANDIN_RECORD"] = str(hls / "work" / "record")
    done = subprocess.run(
        [require_tclsh(), str(VENDOR / "vitis_hls.tcl"), "-f", f"../{name}"],
        cwd=hls / "work",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def record(hls: Path) -> list[str]:
    path = hls / "work" / "record"
    return path.read_text().split("\n")[:-1] if path.is_file() else []


def test_the_script_runs(build: xnorhw.Build) -> None:
    hls = build.folder / "hls"
    code, printed = script(hls)
    assert code == 0, printed
    assert record(hls) == FACTS
    figures = vitis_figures(read_csynth(hls / REPORT), build.plan)
    assert figures.clock_mhz == CLOCK_MHZ and figures.part == "xc7z020clg400-1"
    assert (hls / SYN / "verilog/accel_hls.v").is_file() and (hls / STAMP).is_file()


def test_a_second_run_starts_afresh(build: xnorhw.Build) -> None:
    hls = build.folder / "hls"
    for flavour in ("projects", "components"):
        for _ in range(2):
            code, printed = script(hls, flavour=flavour)
            assert code == 0, printed
    assert "component accel_hls" in record(hls)


@pytest.mark.parametrize("name", board_names())
def test_every_boards_part_is_asked_for(name: str, build: xnorhw.Build) -> None:
    plan = make_plan(build.graph, load_board(name))
    texts = hls_project.files(plan)
    hls = build.folder / "hls"
    code, printed = script(hls, texts["hls/synth.tcl"])
    assert code == 0, printed
    figures = vitis_figures(read_csynth(hls / REPORT), plan)
    assert (figures.part, figures.clock_mhz) == (plan.part, plan.clock_mhz)
    # as the tool writes it
    assert re.search(r"<Part>xc\w+-\w+-\w+", (hls / REPORT).read_text())


@pytest.mark.parametrize(
    ("scene", "said"),
    [
        ({"parts": "xc7a35tcpg236-1"}, "does not know the part xc7z020clg400-1"),
        ({"fail": "csim"}, "CSim failed"),
        ({"fail": "csynth"}, "synthesis failed"),
        ({"fail": "report"}, "couldn't open"),
        ({"fail": "ip"}, "needs IP from the catalog"),
        ({"fail": "ii=pixels_groups=3"}, "the loop pixels_groups takes 3 clocks a turn"),
        ({"fail": "noloops"}, "no loop's II in the report"),
        ({"fail": "canonical"}, "is not in canonical form"),
    ],
)
@pytest.mark.parametrize("flavour", ["projects", "components"])
def test_what_goes_wrong_ends_with_an_error(
    build: xnorhw.Build, scene: dict[str, str], said: str, flavour: str
) -> None:
    """Nothing is left for Vivado to take, not an earlier run's either."""
    hls = build.folder / "hls"
    assert script(hls, flavour=flavour)[0] == 0 and (hls / STAMP).is_file()
    code, printed = script(hls, flavour=flavour, **scene)
    assert code == 1
    errors = [line for line in printed.splitlines() if line.startswith("xnorhw: error: accel_hls: ")]
    assert len(errors) == 1 and said in errors[0]
    assert not (hls / STAMP).exists() and not (hls / SYN / "verilog").exists()


def test_a_killed_run_leaves_no_stamp(build: xnorhw.Build) -> None:
    hls = build.folder / "hls"
    assert script(hls)[0] == 0 and (hls / STAMP).is_file()
    assert script(hls, fail="killed")[0] not in (0, 1)
    assert not (hls / STAMP).exists()


def test_the_stamp_tells_when_the_run_began(build: xnorhw.Build) -> None:
    """A source that was edited while the tool worked is newer than the core."""
    before = int(time.time())
    assert script(build.folder / "hls", seconds="3600")[0] == 0
    assert before - 3600 <= (build.folder / "hls" / STAMP).stat().st_mtime <= time.time() - 3600


def test_a_core_whose_stages_take_one_turn_has_no_loops(build: xnorhw.Build) -> None:
    text = hls_project.files(one_turn_plan())["hls/synth.tcl"]
    code, printed = script(build.folder / "hls", text, fail="noloops")
    assert code == 0, printed
    assert (build.folder / "hls" / STAMP).is_file()


def commands(text: str) -> list[tuple[int, int]]:
    """(first, last) line of every command, those inside of a block by themselves; comments are none."""
    lines = text.splitlines()
    return [
        (i, i)
        for i, line in enumerate(lines)
        if line.strip() and not line.strip().startswith("#") and not re.fullmatch(r"\s*[}\s]+", line)
    ]


def blocks(text: str) -> list[tuple[int, int]]:
    """(first, last) line of every block that ends in a lone brace."""
    lines = text.splitlines()
    found = []
    for i, line in enumerate(lines):
        depth = line.count("{") - line.count("}")
        if depth <= 0 or line.strip().startswith(("}", "#")):
            continue
        for j in range(i + 1, len(lines)):
            depth += lines[j].count("{") - lines[j].count("}")
            if depth <= 0:
                found.append((i, j))
                break
    return found


COMPONENTS = {"flavour": "components"}
SCENES: list[list[dict[str, str]]] = [
    [{}, {}],
    [COMPONENTS, COMPONENTS],
    [{"seconds": "3600"}],
    [{"parts": "xc7a35tcpg236-1"}],
    [{}, {"fail": "csim"}],
    [{"fail": "csynth"}],
    [COMPONENTS, {**COMPONENTS, "fail": "csynth"}],
    [{"fail": "canonical"}],
    [{"fail": "noloops"}],
    [{"fail": "ip"}],
    [{"fail": "ii=pixels_groups=2"}],
    [{}, {"fail": "killed"}],
]
"""Runs one after the other in a folder: what one has left meets the next."""


def outcome(source: Path, place: Path, text: str, plan: object) -> list[object]:
    """What the script does in every scene: exit code, facts, messages, and the figures it delivers."""
    seen: list[object] = []
    for i, scenes in enumerate(SCENES):
        hls = place / str(i) / "hls"
        shutil.copytree(source / "hls", hls)
        for scene in scenes:
            code, printed = script(hls, text, **scene)
            words = re.sub(re.escape(str(hls.parent)), "OUT", printed)
            try:
                made: object = vitis_figures(read_csynth(hls / REPORT), plan)  # type: ignore[arg-type]
            except XnorhwError as error:
                made = re.sub(re.escape(str(hls.parent)), "OUT", str(error))
            seen.append((code, record(hls), words if code else words.strip().splitlines()[-1:], made))
            # what Vivado looks at
            age = time.time() - (hls / STAMP).stat().st_mtime if (hls / STAMP).exists() else None
            seen.append((age is None, age is not None and age > 1800, (hls / SYN / "verilog").exists()))
    shutil.rmtree(place)
    return seen


def test_every_deletion_is_noticed(build: xnorhw.Build, tmp_path: Path) -> None:
    """A line or a block less, and the script fails, or does something else in some scene."""
    require_tclsh()
    text = (build.folder / "hls" / "synth.tcl").read_text()
    lines = text.splitlines(keepends=True)
    places = sorted(set(commands(text) + blocks(text)))
    assert len(places) > 40
    intact = outcome(build.folder, tmp_path / "intact", text, build.plan)
    assert [entry[0] for entry in intact[::2]] == [  # type: ignore[index]
        *(0, 0, 0, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 0, -9)
    ]

    def without(place: tuple[int, int]) -> str:
        cut = "".join(lines[: place[0]] + lines[place[1] + 1 :])
        name = tmp_path / f"cut-{place[0]}-{place[1]}"
        same = outcome(build.folder, name, cut, build.plan) == intact
        return f"lines {place[0] + 1} to {place[1] + 1}: {lines[place[0]].strip()}" if same else ""

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        unnoticed = [message for message in pool.map(without, places) if message]
    assert unnoticed == []


def make(folder: Path, target: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "-C", str(folder), target],
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_synth_takes_vitis_hls(build: xnorhw.Build, vitis: Path) -> None:
    done = make(build.folder / "hls", "synth")
    assert done.returncode == 0, done.stderr
    assert (build.folder / "hls" / REPORT).is_file()


def test_make_synth_takes_vitis_run_where_it_stands_alone(build: xnorhw.Build, tools: Path) -> None:
    program(tools, "vitis-run", f'exec "{require_tclsh()}" "{VENDOR / "vitis_hls.tcl"}" "$@"')
    done = make(build.folder / "hls", "synth")
    assert done.returncode == 0, done.stderr
    assert (build.folder / "hls" / REPORT).is_file()


def test_make_synth_refuses(build: xnorhw.Build, tools: Path, tmp_path: Path) -> None:
    hls = build.folder / "hls"
    done = make(hls, "synth")
    assert done.returncode and "there is no vitis_hls and no vitis-run" in done.stderr
    program(tools, "vitis_hls", f'exec "{require_tclsh()}" "{VENDOR / "vitis_hls.tcl"}" "$@"')
    done = make(hls, "synth", STANDIN_VERSION="2021.1")
    assert done.returncode and "version 2021.1. This needs 2022.2 or newer" in done.stderr
    done = make(hls, "synth", STANDIN_FAIL="csynth")
    assert done.returncode and "xnorhw: error: accel_hls: " in done.stderr
    spaced = tmp_path / "my build"
    shutil.copytree(build.folder, spaced, ignore=shutil.ignore_patterns("work"))
    done = make(spaced / "hls", "synth")
    assert done.returncode and f"takes no path with spaces: {spaced}/hls" in done.stderr
    assert not (spaced / "hls" / "work").exists()


def test_make_csim_in_a_path_with_spaces(build: xnorhw.Build, tmp_path: Path) -> None:
    """The testbench on the build's own frames, by g++; a wrong result is seen."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is missing: on Debian and Ubuntu run: apt install g++")
    spaced = tmp_path / "my build"
    shutil.copytree(build.folder, spaced)
    done = make(spaced / "hls", "csim")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 frames, 0 wrong beats" in done.stdout
    results = spaced / "hls" / "vectors" / "result.hex"
    first, rest = results.read_text().split("\n", 1)
    results.write_text(f"{int(first, 16) ^ 1:0{len(first)}x}\n{rest}")
    done = make(spaced / "hls", "csim")
    assert done.returncode and "3 frames, 1 wrong beats" in done.stdout


def test_the_readme_tells_the_truth(build: xnorhw.Build) -> None:
    """It names files that are there, and says what was not run."""
    hls = build.folder / "hls"
    text = (hls / "README.md").read_text()
    for name in re.findall(r"`((?:accel|xh_)\w*\.\w+)`", text):
        assert (hls / name).is_file(), name
    assert "Vitis HLS was not at hand" in text and "xc7z020clg400-1" in text and "125 MHz" in text


def test_the_stand_in_knows_what_vitis_knows(tmp_path: Path) -> None:
    """It refuses commands, options, files and orders that Vitis refuses."""
    for text, said in (
        ("open_projekt x", "invalid command name"),
        ("open_project -rest x", "unknown option"),
        ("set_top x", "no active project"),
        ("open_project x; set_part xc7z020clg400-1", "no active solution"),
        ("open_project x; add_files nothing.cpp", "Cannot find source file"),
        ("open_project x; open_solution -flow_target both s", "unknown flow target"),
        ("open_project x; open_solution s; create_clock -period fast", "bad period"),
        ("open_project x; open_solution s; config_dataflow -strict_mode yes", "bad strict mode"),
        ("open_project x; open_solution s; csynth_design", "top function is not set"),
        ("open_project x; open_solution s; csim_design", "undefined reference to 'main'"),
        ("set x 1", "did not exit"),
    ):
        (tmp_path / "hls").mkdir(exist_ok=True)
        code, printed = script(tmp_path / "hls", text, name="s.tcl")
        assert code and said in printed, (text, printed)


def test_an_unknown_part_is_a_tool_error(
    build: xnorhw.Build, vitis: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_PARTS", "xc7a35tcpg236-1")
    with pytest.raises(ToolError, match="does not know the part xc7z020clg400-1") as caught:
        build.synthesise("vitis")
    assert caught.value.remedy and "\n" not in str(caught.value)
