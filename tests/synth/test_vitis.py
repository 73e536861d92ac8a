"""``--synth vitis``: the report that is read, what fails, and how an interrupted run ends.

The reports are written by hand after the documented format of csynth.xml; no tool made them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import xnorhw
from tests.synth.conftest import one_turn_plan, program
from xnorhw.emit import folder as build_folder
from xnorhw.ir.errors import ModelError, ToolError, VerifyError, XnorhwError
from xnorhw.plan.hls import hls_design
from xnorhw.plan.model import Resources
from xnorhw.synth import read_synthesis
from xnorhw.synth.csynth import read_csynth
from xnorhw.synth.tools import find_vendor_tools
from xnorhw.synth.vitis import vitis_figures


def loop_xml(name: str, ii: str = "<PipelineII>1</PipelineII>", inner: str = "") -> str:
    return (
        f"<{name}><Name>{name}</Name><TripCount>98</TripCount><Latency>98</Latency>"
        f"{ii}<PipelineDepth>2</PipelineDepth><PipelineType>yes</PipelineType><InstanceList/>{inner}</{name}>"
    )


def resources_xml(bram: str = "1") -> str:
    return (
        "<AreaEstimates><Resources><FF>60</FF><AVAIL_FF>106400</AVAIL_FF><UTIL_FF>~0</UTIL_FF><LUT>120</LUT>"
        f"<BRAM_18K>{bram}</BRAM_18K><DSP>0</DSP><URAM>0</URAM></Resources></AreaEstimates>"
    )


def module_xml(name: str, loops: str, latency: str = "100", pipeline: str = "loop auto-rewind flp") -> str:
    return (
        f"<Module><Name>{name}</Name><Loops/><PerformanceEstimates><SummaryOfOverallLatency>"
        f"<Worst-caseLatency>{latency}</Worst-caseLatency>"
        f"<PipelineType>{pipeline}</PipelineType></SummaryOfOverallLatency>"
        f"<SummaryOfLoopLatency>{loops}</SummaryOfLoopLatency></PerformanceEstimates>{resources_xml()}</Module>"
    )


def report_xml(
    modules: str, interval: str = "99", part: str = "xc7z020-clg400-1", period: str = "8.00"
) -> str:
    return (
        "<profile><ReportVersion><Version>2023.2</Version></ReportVersion>"
        f"<UserAssignments><unit>ns</unit><Part>{part}</Part><TopModelName>accel_hls</TopModelName>"
        f"<TargetClockPeriod>{period}</TargetClockPeriod></UserAssignments>"
        "<PerformanceEstimates><PipelineType>dataflow</PipelineType><SummaryOfTimingAnalysis>"
        "<unit>ns</unit><EstimatedClockPeriod>5.000</EstimatedClockPeriod></SummaryOfTimingAnalysis>"
        "<SummaryOfOverallLatency><Worst-caseLatency>300</Worst-caseLatency>"
        f"<Interval-min>99</Interval-min><Interval-max>{interval}</Interval-max></SummaryOfOverallLatency>"
        f"</PerformanceEstimates>{resources_xml('7')}<ModuleInformation>{modules}</ModuleInformation></profile>"
    )


def stages(build: xnorhw.Build) -> list[str]:
    """The functions of the C++ core, in order."""
    import re

    text = (build.folder / "hls" / "accel_stages.h").read_text()
    return re.findall(r"^void (\w+)\(", text, re.MULTILINE)


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "csynth.xml"


def test_the_figures_of_a_report(build: xnorhw.Build, report: Path) -> None:
    names = stages(build)
    report.write_text(report_xml("".join(module_xml(name, loop_xml("words")) for name in names)))
    figures = vitis_figures(read_csynth(report), build.plan)
    assert (figures.version, figures.part) == ("2023.2", "xc7z020clg400-1")
    assert (figures.clock_mhz, figures.estimated_clock_mhz) == (125.0, 200.0)
    assert (figures.cycles_per_frame, figures.latency_cycles) == (99, 300)
    assert figures.resources == Resources(lut=120, ff=60, bram36=3.5)
    assert len(figures.stages) == len(names)
    assert {s.ii for s in figures.stages} == {1} and {s.latency_cycles for s in figures.stages} == {100}
    assert {s.layer for s in figures.stages} - {""} == {layer.name for layer in build.plan.layers}
    tree = figures.to_json()
    assert tree["source"] == "synthesised (Vitis HLS 2023.2)"
    assert tree["resources"] == {"lut": 120, "ff": 60, "bram36": 3.5, "uram": 0, "dsp": 0}


@pytest.mark.parametrize("part", ["xc7z020-clg400-1", "xc7z020clg400-1", "XC7Z020-CLG400-1"])
def test_a_part_in_any_spelling(build: xnorhw.Build, report: Path, part: str) -> None:
    report.write_text(report_xml(module_xml(stages(build)[0], loop_xml("words")), part=part))
    assert vitis_figures(read_csynth(report), build.plan).part == "xc7z020clg400-1"


def test_a_core_without_loops(report: Path) -> None:
    """A loop of one turn is none to the tool; a core of nothing else has none to show."""
    plan = one_turn_plan()
    names = [stage.name.replace(".", "_") for stage in hls_design(plan).stages]
    report.write_text(report_xml("".join(module_xml(name, "") for name in names), period="10.00"))
    figures = vitis_figures(read_csynth(report), plan)
    assert len(figures.stages) == len(names) > 1
    assert {s.ii for s in figures.stages} == {0}


def test_parts_of_a_function_count_as_its_stage(build: xnorhw.Build, report: Path) -> None:
    """A loop that became a module of its own is named after its function; names may begin alike."""
    name = next(n for n in stages(build) if any(m.startswith(f"{n}_") for m in stages(build)))
    longer = next(m for m in stages(build) if m.startswith(f"{name}_"))
    bad = module_xml(f"{longer}_Pipeline_words", loop_xml("words", "<PipelineII>2</PipelineII>"))
    good = module_xml(f"{name}_Pipeline_rows", loop_xml("rows"))
    report.write_text(report_xml(good))
    found = vitis_figures(read_csynth(report), build.plan).stages
    assert [s.latency_cycles for s in found] == [None] and found[0].resources.lut == 120
    report.write_text(report_xml(good + bad))
    with pytest.raises(VerifyError) as caught:
        vitis_figures(read_csynth(report), build.plan)
    functions = dict(zip(stages(build), (s.name for s in _design(build)), strict=True))
    assert f"the stage {functions[longer]} takes 2 clocks" in caught.value.reason


def _design(build: xnorhw.Build) -> tuple[object, ...]:
    from xnorhw.plan.hls import hls_design

    return hls_design(build.plan).stages


def test_a_pipeline_that_stalls_fails(build: xnorhw.Build, report: Path) -> None:
    """It would hold back the last words of the last frame."""
    name = stages(build)[0]
    stalls = module_xml(name, loop_xml("words"), pipeline="loop auto-rewind stp (delay=0 clock cycles(s))")
    report.write_text(report_xml(stalls, period=f"{1000 / build.plan.clock_mhz:.2f}"))
    with pytest.raises(VerifyError, match="a pipeline that stalls"):
        vitis_figures(read_csynth(report), build.plan)


@pytest.mark.parametrize(
    ("loops", "said"),
    [
        (loop_xml("words", "<PipelineII>2</PipelineII>"), "takes 2 clocks a turn"),
        (loop_xml("words", ""), "is not pipelined"),
        (loop_xml("words", "<PipelineII>-</PipelineII>"), "is not pipelined"),
        (loop_xml("a") + loop_xml("words", "<PipelineII>3</PipelineII>"), "takes 3 clocks a turn"),
        (loop_xml("rows", "", loop_xml("words")), "the loop rows"),
        (loop_xml("rows", inner=loop_xml("words", "<PipelineII>4</PipelineII>")), "takes 4 clocks a turn"),
    ],
)
def test_an_ii_other_than_one_fails(build: xnorhw.Build, report: Path, loops: str, said: str) -> None:
    first, *rest = stages(build)
    report.write_text(
        report_xml("".join(module_xml(n, loop_xml("words")) for n in rest) + module_xml(first, loops))
    )
    with pytest.raises(VerifyError) as caught:
        vitis_figures(read_csynth(report), build.plan)
    assert said in caught.value.reason and caught.value.module == build.plan.layers[0].name
    assert caught.value.remedy


@pytest.mark.parametrize("interval", ["undef", "?", "-", ""])
def test_an_unknown_number_is_none(build: xnorhw.Build, report: Path, interval: str) -> None:
    report.write_text(report_xml(module_xml(stages(build)[0], loop_xml("w"), "undef"), interval))
    figures = vitis_figures(read_csynth(report), build.plan)
    assert figures.cycles_per_frame is None and figures.stages[0].latency_cycles is None


def test_the_largest_of_a_range(build: xnorhw.Build, report: Path) -> None:
    name = stages(build)[0]
    report.write_text(
        report_xml(module_xml(name, loop_xml("w"), "<range><min>3</min><max>41</max></range>"), "30 ~ 541")
    )
    figures = vitis_figures(read_csynth(report), build.plan)
    assert figures.cycles_per_frame == 541 and figures.stages[0].latency_cycles == 41


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("<profile>", "<Report>", "is no XML"),
        ("profile>", "Report>", "begins with <Report>"),
        ("ReportVersion", "Release", "has no ReportVersion/Version"),
        ("2023.2", "", "ReportVersion/Version is empty"),
        ("UserAssignments", "Settings", "has no UserAssignments"),
        ("EstimatedClockPeriod>5.000<", "EstimatedClockPeriod>soon<", "is 'soon'"),
        ("EstimatedClockPeriod>5.000<", "EstimatedClockPeriod>0<", "is '0'"),
        ("<LUT>120</LUT>", "<LUTs>120</LUTs>", "has no LUT"),
        ("<LUT>120</LUT>", "<LUT>many</LUT>", "LUT is 'many'"),
        ("SummaryOfLoopLatency", "Loops2", "no loop of any stage"),
        ("ModuleInformation", "Modules", "no loop of any stage"),
        ("xc7z020-clg400-1", "xc7a35t-cpg236-1", "of the part xc7a35t-cpg236-1"),
        ("xc7z020-clg400-1", "xc7z020-clg400-2", "of the part xc7z020-clg400-2"),
        ("accel_hls", "other_hls", "of the top other_hls"),
        ("8.00", "10.00", "of the clock 10 ns, and the build has 8 ns"),
    ],
)
def test_a_report_that_is_not_known(build: xnorhw.Build, report: Path, old: str, new: str, said: str) -> None:
    text = report_xml(module_xml(stages(build)[0], loop_xml("words")))
    assert old in text
    report.write_text(text.replace(old, new))
    with pytest.raises(ToolError) as caught:
        vitis_figures(read_csynth(report), build.plan)
    assert said in caught.value.reason and caught.value.module == "Vitis HLS" and caught.value.remedy


def test_a_missing_report(report: Path) -> None:
    with pytest.raises(ToolError, match="no such file"):
        read_csynth(report)


# --- the run ---------------------------------------------------------------------------------


def test_synthesise_writes_the_figures_down(build: xnorhw.Build, vitis: Path) -> None:
    before = {p: p.read_bytes() for p in build.folder.rglob("*") if p.is_file()}
    steps: list[str] = []
    tree = build.synthesise("vitis", progress=steps.append)
    assert read_synthesis(build.folder) == tree
    tool = tree["vitis"]
    assert tool["source"] == "synthesised (Vitis HLS 2023.2)" and {s["ii"] for s in tool["stages"]} == {1}
    assert any(step.startswith("Vitis HLS: ") for step in steps)
    after = {p for p in build.folder.rglob("*") if p.is_file() and before.get(p) != p.read_bytes()}
    names = {p.relative_to(build.folder).as_posix() for p in after}
    assert {n for n in names if not n.startswith("hls/work/")} == {"build.json", "report.json", "report.html"}
    assert not build_folder.edited(build.folder)
    assert build_folder.changes(build.folder).added == ()
    html = (build.folder / "report.html").read_text()
    assert "synthesised (Vitis HLS 2023.2)" in html and stages(build)[0] in html
    # a later verdict keeps them in the report
    build.verify("golden")
    assert "synthesised (Vitis HLS 2023.2)" in (build.folder / "report.html").read_text()


def test_a_failed_run_takes_the_old_figures_away(
    build: xnorhw.Build, vitis: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.synthesise("vitis")
    loop = "pixels_groups"
    monkeypatch.setenv("STANDIN_FAIL", f"ii={loop}=2")
    with pytest.raises(VerifyError, match=f"the loop {loop} of the stage .* takes 2 clocks") as caught:
        build.synthesise("vitis")
    assert caught.value.module
    assert read_synthesis(build.folder) is None
    assert "Vitis HLS 2023.2" not in (build.folder / "report.html").read_text()


def test_vivado_gets_no_core_that_was_refused(
    build: xnorhw.Build, vitis: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp = build.folder / "hls" / "work" / "accel_hls" / "solution" / "synthesised"
    build.synthesise("vitis")
    assert stamp.is_file()
    monkeypatch.setenv("STANDIN_FAIL", "ii=pixels_groups=")
    with pytest.raises(VerifyError, match="is not pipelined"):
        build.synthesise("vitis")
    assert not stamp.exists()


@pytest.mark.parametrize(
    ("scene", "said"),
    [
        ({"STANDIN_VERSION": "2022.1"}, "is version 2022.1, and the scripts need 2022.2"),
        ({"STANDIN_VERSION": "unknown"}, "does not tell its version"),
        ({"STANDIN_FAIL": "csim"}, "the tool failed: .*CSim failed"),
        ({"STANDIN_FAIL": "csynth"}, "the tool failed: .*synthesis failed"),
        ({"STANDIN_FAIL": "killed"}, "the tool was killed"),
        ({"STANDIN_FAIL": "report"}, "couldn't open"),
        ({"STANDIN_FAIL": "ip"}, "needs IP from the catalog"),
        ({"STANDIN_FAIL": "canonical"}, "not in canonical form"),
        ({"STANDIN_PARTS": "xc7a35tcpg236-1"}, "does not know the part"),
    ],
)
def test_what_goes_wrong_is_one_paragraph(
    build: xnorhw.Build, vitis: Path, monkeypatch: pytest.MonkeyPatch, scene: dict[str, str], said: str
) -> None:
    for key, value in scene.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(ToolError, match=said) as caught:
        build.synthesise("vitis")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700
    assert caught.value.module == "Vitis HLS" and caught.value.remedy
    assert read_synthesis(build.folder) is None


def test_no_tool_at_all(build: xnorhw.Build, tools: Path) -> None:
    with pytest.raises(ToolError, match="neither vitis_hls nor vitis-run is on PATH") as caught:
        build.synthesise("vitis")
    assert "settings64.sh" in caught.value.remedy
    with pytest.raises(ModelError, match="no tool 'quartus'"):
        build.synthesise("quartus")  # type: ignore[arg-type]


def test_a_missing_tool_is_refused_before_the_work(small_model: Path, tools: Path, tmp_path: Path) -> None:
    for name in ("vitis", "vivado"):
        with pytest.raises(ToolError, match="on PATH"):
            xnorhw.load(small_model).build("pynq-z2", tmp_path / "new", synth=name)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="no tool 'quartus'"):
        xnorhw.load(small_model).build("pynq-z2", tmp_path / "new", synth="quartus")  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


def test_a_path_with_spaces(build: xnorhw.Build, vitis: Path) -> None:
    spaced = build.folder.with_name("my build")
    build.folder.rename(spaced)
    with pytest.raises(ToolError, match="scripts take no path with spaces"):
        xnorhw.Build(spaced).synthesise("vitis")
    assert not (spaced / "hls" / "work").exists()
    program(vitis.parent, "vivado", 'echo "vivado v2023.2"')
    with pytest.raises(ToolError, match="scripts take no path with spaces"):
        xnorhw.Build(spaced).synthesise("vivado")


def test_a_damaged_report(build: xnorhw.Build) -> None:
    for text in ("{", "[]", '{"synthesised": 1}', "[" * 100_000):
        (build.folder / "report.json").write_text(text)
        with pytest.raises(XnorhwError, match="is damaged"):
            read_synthesis(build.folder)


def test_an_interrupt_ends_the_tool_and_all_that_it_started(
    build: xnorhw.Build, tools: Path, tmp_path: Path
) -> None:
    """The tool starts another program and waits, as Vitis does; both end with the command."""
    pids = tmp_path / "pids"
    tells = 'if [ "$1" = -version ]; then echo "Vitis HLS v2023.2"; exit; fi'
    program(tools, "vitis_hls", f'{tells}\nsleep 600 &\necho $$ $! > "{pids}"\nwait')
    code = f"import xnorhw; xnorhw.Build({str(build.folder)!r}).synthesise('vitis')"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stderr=subprocess.DEVNULL,
        # a shell starts what runs in the background deaf to the keyboard, and that is inherited
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 60
        while not (pids.is_file() and pids.read_text().strip()):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.wait(20)
    finally:
        process.kill()
        process.wait()
    deadline = time.monotonic() + 10
    for pid in (int(word) for word in pids.read_text().split()):
        while _runs(pid):
            assert time.monotonic() < deadline, f"{pid} still runs"
            time.sleep(0.05)
    assert read_synthesis(build.folder) is None
    assert build_folder.edited(build.folder) == ()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # one that ended and whom nobody asked for its exit code
    state = Path(f"/proc/{pid}/stat").read_text() if Path(f"/proc/{pid}/stat").is_file() else ""
    return ") Z " not in state


# --- the command line and the doctor ---------------------------------------------------------


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "xnorhw", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_build_synth_vitis(
    small_model: Path, vitis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "new"
    arguments = ("build", "--board", "pynq-z2", "--synth", "vitis", small_model, "-o", out)
    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    assert "synthesised (Vitis HLS 2023.2)" in done.stdout and "synthesise with vitis" in done.stderr
    tree = json.loads(command(*arguments, "--json", "--force").stdout)
    assert tree["synthesis"]["vitis"]["version"] == "2023.2"
    monkeypatch.setenv("STANDIN_FAIL", "csynth")
    done = command(*arguments, "--force")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("xnorhw: error: Vitis HLS: ")]
    # what was built stands, without figures
    assert xnorhw.Build(out).folder == out and read_synthesis(out) is None


def test_doctor_finds_the_tools(vitis: Path, tools: Path) -> None:
    program(tools, "vivado", 'echo "Vivado v2024.1 (64-bit)"')
    found = {tool.title: tool for tool in find_vendor_tools()}
    assert found["Vitis HLS"].version == "2023.2" and found["Vivado"].version == "2024.1"
    done = command("doctor")
    assert f"2023.2 ({vitis})" in done.stdout and "build --synth vivado: the bitstream" in done.stdout
    (tools / "vivado").unlink()
    rows = {row["name"]: row for row in json.loads(command("doctor", "--json").stdout)}
    assert rows["Vivado"]["found"] == "" and "2022.2 or newer" in rows["Vivado"]["remedy"]


def test_a_version_is_read_from_the_folder_where_the_tool_tells_none(
    tmp_path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "Xilinx" / "Vitis" / "2025.1" / "bin"
    program(place, "vitis-run", "exit 1")
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    assert find_vendor_tools()[0].version == "2025.1"
