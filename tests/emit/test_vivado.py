"""The Vivado project, run under a stand-in that knows the commands and the IPs it uses."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.plan.networks import Conv, Linear, Pool, network
from tests.vendor.faults import FAULTS, PLANTED, SEVEN, SLOW, ULTRASCALE
from xnorhw.board import Board, board_names, load_board
from xnorhw.emit import rom, rtl, vivado
from xnorhw.ir.geometry import Pads
from xnorhw.ir.int_graph import IntGraph
from xnorhw.ir.registers import REGISTERS
from xnorhw.plan import make_plan
from xnorhw.plan.model import Memory, Plan, WeightRom

VENDOR = Path(__file__).resolve().parent.parent / "vendor"
DELIVERED = ("accel.bit", "accel.hwh", "timing.json", "utilisation.json")
PARTS = 2
SOLUTION = "hls/work/accel_hls/solution"
HLS_SOURCES = ("accel.cpp", "accel.h", "accel_stages.cpp", "synth.tcl")


def tcl(value: object) -> str:
    """A Tcl word: dicts and sequences become lists."""
    if isinstance(value, dict):
        return tcl([word for pair in value.items() for word in pair])
    if isinstance(value, str):
        return "{" + value + "}"
    if isinstance(value, Sequence):
        return "{" + " ".join(tcl(word) for word in value) + "}"
    return str(value)


def require_tclsh() -> None:
    """Skip the test where there is no tclsh, or fail it where CI is set."""
    if shutil.which("tclsh") is None:
        message = "tclsh is missing: install it (Debian: apt install tcl)"
        if os.environ.get("CI"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)


def on(plan: Plan, board: Board) -> Plan:
    """The plan as if made for ``board``."""
    return replace(plan, board=board.name, part=board.part)


def write(folder: Path, plan: Plan, graph: IntGraph, board: Board) -> Path:
    texts = {**rtl.files(plan, 1), **rom.files(plan, graph), **vivado.files(plan, board)}
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def add_hls(folder: Path) -> Path:
    """What Vitis would have left, in outline: a top with a ROM, and the core around it."""
    verilog = folder / "hls" / "work" / "accel_hls" / "solution" / "syn" / "verilog"
    verilog.mkdir(parents=True)
    (verilog / "accel_hls.v").write_text(
        "module accel_hls (\n  input ap_clk\n);\n  accel_hls_rom u_rom (\n    .clk(ap_clk)\n  );\nendmodule\n"
    )
    (verilog / "accel_hls_rom.v").write_text(
        "module accel_hls_rom (\n  input clk\n);\n"
        '  initial $readmemh("./accel_hls_rom.dat", rom);\nendmodule\n'
    )
    (verilog / "accel_hls_rom.dat").write_text("0f\n")
    (folder / "hls" / "accel_core.v").write_text(
        "module accel_core (\n  input clk_i\n);\n  accel_hls u_hls (\n    .ap_clk(clk_i)\n  );\nendmodule\n"
    )
    began = int(time.time())
    for path in (verilog.parents[1] / "synthesised", *(folder / "hls" / name for name in HLS_SOURCES)):
        path.write_text("")
        os.utime(path, (began, began))
    return folder


def base(plan: Plan, board: Board) -> dict[str, object]:
    """The scenario in which all goes well, with what the rules compare the design to."""
    return {
        "registers": [word for r in REGISTERS for word in (r.name, str(r.offset))],
        "clock_setting": board.ps.clock_setting,
        "clock_mhz": plan.clock_mhz,
        "utilisation": SEVEN if board.family == "xc7" else ULTRASCALE,
    }


@dataclass(frozen=True)
class Run:
    """How a build under the stand-in ended."""

    code: int
    said: str
    record: dict[str, object]
    delivered: tuple[str, ...]


def run(folder: Path, scenario: dict[str, object], *words: str) -> Run:
    """``make bitstream`` in ``folder`` with the stand-in as Vivado."""
    require_tclsh()
    (folder / "scenario.tcl").write_text(tcl(scenario)[1:-1])
    program = folder / "vivado-2023.2"
    record = folder / "record.json"
    record.unlink(missing_ok=True)
    program.write_text(
        f'#!/bin/sh\nexec tclsh "{VENDOR}/vivado.tcl" "{folder}/scenario.tcl" "{record}" "$@"\n'
    )
    program.chmod(0o755)
    done = subprocess.run(
        [
            "make",
            "--no-print-directory",
            "-C",
            str(folder / "vivado"),
            "bitstream",
            f"VIVADO={program}",
            *words,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return Run(
        code=done.returncode,
        said=done.stderr,
        record=json.loads(record.read_text()) if record.exists() else {},
        delivered=tuple(name for name in DELIVERED if (folder / "pynq" / name).exists()),
    )


@pytest.fixture
def pynq(tmp_path: Path, plan: Plan, graph: IntGraph) -> Path:
    return write(tmp_path / "out", plan, graph, load_board("pynq-z2"))


def test_a_network_with_every_unit_builds(tmp_path: Path) -> None:
    """Padding, a pool, converters, a linear layer; the slow stage is named with its layer."""
    layers = [Conv(6, pads=Pads(1, 1, 1, 1)), Pool(), Linear(5)]
    graph = network((3, 6, 6), layers, seed=5)
    board = load_board("pynq-z2")
    plan = make_plan(graph, board)
    folder = write(tmp_path, plan, graph, board)
    done = run(folder, base(plan, board))
    assert (done.code, done.record["broken"], done.delivered) == (0, [], DELIVERED), done.said
    core = (folder / "rtl" / "accel_core.sv").read_text()
    # weights that are built into adders are no stage of their own
    inside = {u.name for u in plan.units if isinstance(u, WeightRom) and u.memory is Memory.LEAF}
    stages = [f"{unit.name}".replace(".", "_") for unit in plan.units if unit.name not in inside]
    assert len(stages) > 8
    settings = (folder / "vivado" / "settings.tcl").read_text()
    for stage in stages:
        assert f" u_{stage} (" in core and f"\n  {stage} " in settings
    slow = {
        **base(plan, board),
        **SLOW,
        "pins": ["a/C", f"x/u_core/u_{plan.layers[0].matrix.replace('.', '_')}/q/D"],
    }
    assert f"(layer {plan.layers[0].name})" in run(folder, slow).said


@pytest.mark.parametrize("name", board_names())
@pytest.mark.parametrize("pe", ["rtl", "hls"])
def test_every_board_builds(name: str, pe: str, tmp_path: Path, plan: Plan, graph: IntGraph) -> None:
    board = load_board(name)
    plan = on(plan, board)
    folder = add_hls(write(tmp_path, plan, graph, board))
    done = run(folder, base(plan, board), f"PE={pe}", "JOBS=2")
    assert (done.code, done.said.count("\n")) == (0, 1), done.said
    assert done.record["broken"] == []
    assert done.delivered == DELIVERED
    timing = json.loads((folder / "pynq" / "timing.json").read_text())
    assert timing == {
        "source": "synthesised",
        "pe": pe,
        "board": name,
        "part": plan.part,
        "vivado": "2023.2",
        "wns_ns": 0.512,
        "whs_ns": 0.031,
        "clock_mhz": 100.0,
    }
    used = json.loads((folder / "pynq" / "utilisation.json").read_text())
    figures = {key: used[key] for key in ("lut", "ff", "bram36", "uram", "dsp")}
    uram = 0 if board.family == "xc7" else 2
    assert figures == {"lut": 12345, "ff": 23456, "bram36": 45.5, "uram": uram, "dsp": 3}


@pytest.mark.parametrize("name", board_names())
def test_the_design_is_what_its_data_says(name: str, tmp_path: Path, plan: Plan, graph: IntGraph) -> None:
    """What the report shows is what the script makes."""
    board = load_board(name)
    plan = on(plan, board)
    folder = write(tmp_path, plan, graph, board)
    record = run(folder, base(plan, board)).record
    bd = vivado.block_design(plan, board)
    cells = record["cells"]
    assert isinstance(cells, dict)
    assert {cell: data["parameters"] for cell, data in cells.items()} == {
        cell.name: dict(cell.settings) for cell in bd.cells
    }
    assert all(data["vlnv"].startswith(bd.cells[i].vlnv) for i, data in enumerate(cells.values()))
    links = record["interfaces"]
    assert isinstance(links, dict)
    inside = {(f"/{link.source}", f"/{link.target}") for link in bd.interfaces}
    outside = {(f"/ps/{port}", f"external:{port}") for port in board.ps.external}
    assert set(links.items()) == inside | {(b, a) for a, b in inside} | outside
    nets = record["nets"]
    assert isinstance(nets, dict)
    assert {(a, b) for b, a in nets.items() if a != b} == {(f"/{n.source}", f"/{n.target}") for n in bd.nets}
    assert record["addresses"] == [
        {"space": f"/{s.space}", "segment": f"/{s.name}", "offset": s.offset, "range": s.size}
        for s in bd.segments
    ]
    assert record["registers"] == {
        r.name: {"address_offset": f"0x{r.offset:02X}", "size": "32", "description": r.description}
        for r in REGISTERS
    }


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_delivers_nothing(fault: str, pynq: Path, plan: Plan) -> None:
    scenario, message = FAULTS[fault]
    done = run(pynq, {**base(plan, load_board("pynq-z2")), **scenario})
    assert done.code != 0
    assert done.delivered == ()
    assert not list((pynq / "pynq").glob("*.part"))
    assert re.search(message, done.said), done.said


def test_an_older_result_goes_when_a_build_fails(pynq: Path, plan: Plan) -> None:
    good = base(plan, load_board("pynq-z2"))
    assert run(pynq, good).delivered == DELIVERED
    assert run(pynq, good).delivered == DELIVERED
    assert run(pynq, {**good, **SLOW}).delivered == ()


@pytest.mark.parametrize(
    ("words", "gone", "message"),
    [
        (["PE=vhdl"], "", "arguments: they are <rtl|hls> <jobs>, not 'vhdl 4'"),
        (["JOBS=0"], "", "arguments: .* not 'rtl 0'"),
        (["JOBS=many"], "", "arguments: .* not 'rtl many'"),
        ([], "rtl/xh_mvu.sv", r"xh_mvu\.sv: the file is missing"),
        ([], "rtl/files.f", r"files\.f: the file is missing"),
        (["PE=hls"], "rtl/xh_shell.sv", r"xh_shell\.sv: the file is missing"),
        (["PE=hls"], "hls/accel_core.v", r"accel_core\.v: the file is missing"),
        (["PE=hls"], "hls/work", "verilog: the core from Vitis HLS is not there"),
        (["PE=hls"], f"{SOLUTION}/syn/verilog", "verilog: the core from Vitis HLS is not there"),
        (
            ["PE=hls"],
            f"{SOLUTION}/synthesised",
            "the core from Vitis HLS is not there.* make -C .*/hls synth",
        ),
    ],
)
def test_bad_input(words: list[str], gone: str, message: str, pynq: Path, plan: Plan) -> None:
    add_hls(pynq)
    target = pynq / gone
    if gone and target.is_dir():
        shutil.rmtree(target)
    elif gone:
        target.unlink()
    done = run(pynq, base(plan, load_board("pynq-z2")), *words)
    assert (done.code, done.delivered) == (2, ())
    assert re.search(message, done.said), done.said


@pytest.mark.parametrize("name", HLS_SOURCES)
def test_a_core_older_than_its_sources(name: str, pynq: Path, plan: Plan) -> None:
    add_hls(pynq)
    good = base(plan, load_board("pynq-z2"))
    assert run(pynq, good, "PE=hls").delivered == DELIVERED
    edit(pynq / "hls" / name)
    done = run(pynq, good, "PE=hls")
    assert (done.code, done.delivered) == (2, ())
    assert re.search(rf"{name}: the core from Vitis HLS is older.* make -C .*/hls synth first", done.said)
    assert run(pynq, good, "PE=rtl").delivered == DELIVERED


def edit(path: Path) -> None:
    """As if it had been written to a second after the core was made of it."""
    later = path.stat().st_mtime + 1
    os.utime(path, (later, later))


NAMES = ("m0{", "}", "a[exit]b", "$x", "a}b{c", "two words", "#; puts", "é", "\N{GRINNING FACE}", "-", "~")


def test_a_layer_may_have_any_name(tmp_path: Path, plan: Plan, graph: IntGraph) -> None:
    """Names go through Tcl unchanged: the slow stage's is told."""
    board = load_board("pynq-z2")
    for i, name in enumerate(NAMES):
        jobs = tuple(replace(job, layer=name) for job in plan.jobs)
        named = vivado.files(replace(plan, jobs=jobs), board)
        folder = write(tmp_path / str(i), plan, graph, board)
        (folder / "vivado" / "settings.tcl").write_text(named["vivado/settings.tcl"], encoding="utf-8")
        good = base(plan, board)
        done = run(folder, good)
        assert (done.code, done.record["broken"], done.delivered) == (0, [], DELIVERED), done.said
        told = "\ufffd" if ord(max(name)) > 0xFFFF else name
        assert f"(layer {told})" in run(folder, {**good, **SLOW}).said


def test_a_board_may_have_any_text(tmp_path: Path, plan: Plan, graph: IntGraph) -> None:
    """A setting reaches the IP as it stands in the board's file; the stand-in tells the value it refuses."""
    board = load_board("pynq-z2")
    (key, _), *rest = board.ps.settings
    for i, text in enumerate(("a {", "} [exit 0]", "$x \\", 'say "no"')):
        odd = replace(
            board, title=f"{board.title} {text}", ps=replace(board.ps, settings=((key, text), *rest))
        )
        done = run(write(tmp_path / str(i), plan, graph, odd), base(plan, odd))
        assert done.code and f"Value '{text}' is out of the range of {key}" in done.said, done.said


def test_a_path_with_a_space(tmp_path: Path, plan: Plan, graph: IntGraph) -> None:
    folder = write(tmp_path / "my net", plan, graph, load_board("pynq-z2"))
    done = run(folder, base(plan, load_board("pynq-z2")))
    assert (done.code, done.delivered) == (2, ())
    assert "these scripts take no path with a space" in done.said


def test_no_vivado(pynq: Path) -> None:
    done = subprocess.run(
        ["make", "-C", str(pynq / "vivado"), "bitstream", "VIVADO=no-such-vivado"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "xnorhw: error: no-such-vivado: there is no such program. Source Vivado" in done.stderr


def test_a_rom_that_is_not_in_the_ip(pynq: Path, plan: Plan) -> None:
    (pynq / "rom" / "accel_fc_starts.mem").unlink()
    done = run(pynq, base(plan, load_board("pynq-z2")))
    assert (done.code, done.delivered) == (2, ())
    log = pynq / "vivado/work/project/project.runs/synth_1/runme.log"
    assert "ERROR: [Synth 8-4445] could not open $readmem data file 'accel_fc_starts.mem'" in log.read_text()


@pytest.mark.parametrize("fault", PLANTED)
def test_the_stand_in_finds_a_wrong_design(fault: str, pynq: Path, plan: Plan) -> None:
    before, after, message = PLANTED[fault]
    script = pynq / "vivado" / "design.tcl"
    text = script.read_text()
    assert before in text
    script.write_text(text.replace(before, after))
    done = run(pynq, base(plan, load_board("pynq-z2")))
    broken = done.record["broken"]
    assert isinstance(broken, list)
    assert done.code != 0 or broken
    assert re.search(message, "\n".join([done.said, *broken])), (done.said, broken)


def scenes(tmp_path: Path, plan: Plan, graph: IntGraph, name: str) -> Path:
    """The scenarios that the deletion test asks, as deletions.tcl reads them."""
    board = load_board(name)
    plan = on(plan, board)
    good = base(plan, board)
    full = add_hls(write(tmp_path / "full", plan, graph, board))
    spaced = write(tmp_path / "a space", plan, graph, board)
    plain = write(tmp_path / "plain", plan, graph, board)
    listless = add_hls(write(tmp_path / "listless", plan, graph, board))
    (listless / "rtl" / "files.f").unlink()
    partial = add_hls(write(tmp_path / "partial", plan, graph, board))
    (partial / "rtl" / "xh_fifo.sv").unlink()
    unstamped = add_hls(write(tmp_path / "unstamped", plan, graph, board))
    (unstamped / SOLUTION / "synthesised").unlink()
    edited = add_hls(write(tmp_path / "edited", plan, graph, board))
    edit(edited / "hls" / "accel.cpp")
    old = {"commands": "wait_on_run", "inference": "bare"}
    rows: list[tuple[str, Path, str, dict[str, object], int]] = [
        ("good", full, "rtl 2", {}, 0),
        ("good, older Vivado", full, "rtl 2", old, 0),
        ("good, newer Vivado", full, "rtl 2", {"commands": "wait_on_runs"}, 0),
        ("good, HLS", full, "hls 2", {}, 0),
        ("good, more memories", full, "rtl 2", {"extra_segments": "HP0_HIGH_OCM 0x40000"}, 0),
        ("good, again", full, "rtl 2", {}, 1),
        ("slow, again", full, "rtl 2", SLOW, 1),
        ("a space", spaced, "rtl 2", {}, 0),
        ("no HLS", plain, "hls 2", {}, 0),
        ("HLS that failed", unstamped, "hls 2", {}, 0),
        ("HLS of other sources", edited, "hls 2", {}, 0),
        ("no list", listless, "rtl 2", {}, 0),
        ("a source missing", partial, "rtl 2", {}, 0),
        ("a source missing, HLS", partial, "hls 2", {}, 0),
        ("no such PE", full, "vhdl 2", {}, 0),
        *((fault, full, "rtl 2", scenario, 0) for fault, (scenario, _) in FAULTS.items()),
    ]
    for instance in ("in_converter", "fc_weights", "fc_starts", "out_converter"):
        rows.append(
            (f"slow {instance}", full, "rtl 2", {**SLOW, "pins": ["x/C", f"x/u_core/u_{instance}/D"]}, 0)
        )
    path = tmp_path / "scenes.tcl"
    path.write_text(
        "\n".join(tcl([n, str(f), w, {**good, **s}, str(seeded)]) for n, f, w, s, seeded in rows) + "\n"
    )
    return path


@pytest.mark.parametrize(
    ("name", "part", "scripts", "at_least"),
    [
        *(("pynq-z2", part, (), 150) for part in range(PARTS)),
        *(pytest.param("kv260", part, ("design.tcl",), 45, marks=pytest.mark.long) for part in range(PARTS)),
    ],
)
def test_every_deletion_is_noticed(
    name: str,
    part: int,
    scripts: tuple[str, ...],
    at_least: int,
    tmp_path: Path,
    plan: Plan,
    graph: IntGraph,
) -> None:
    """Each command of the scripts, each option of an IP, each entry of a table, taken out alone."""
    require_tclsh()
    command = ["tclsh", str(VENDOR / "deletions.tcl"), str(scenes(tmp_path, plan, graph, name))]
    done = subprocess.run(
        [*command, str(part), str(PARTS), *scripts], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row for row in rows if row[0] == "unnoticed"] == []
    assert len(rows) >= at_least
    assert {row[0] for row in rows} >= {"error", "rule"}


def test_every_command_of_the_scripts_has_a_guide(pynq: Path) -> None:
    """The stand-in's table holds each Vivado command the scripts name, with the guide's page."""
    declared = set()
    for part in ("core", "bd", "project", "ipx"):
        text = (VENDOR / f"{part}.tcl").read_text()
        declared |= set(re.findall(r'^ *v::command (\S+) \{.*\} "UG835, ', text, re.MULTILINE))
    declared |= {"ipx::create_xgui_files", "ipx::update_checksums", "ipx::save_core"}
    texts = "".join(path.read_text() for path in sorted((pynq / "vivado").glob("*.tcl")))
    used = set(
        re.findall(r"(?<![\w:])((?:get|create|connect|assign|launch|open|write)_\w+|ipx::\w+)\b", texts)
    )
    assert {"create_bd_cell", "ipx::add_register", "launch_runs", "write_bitstream"} <= used
    assert used - declared - {"write_text"} == set()


def test_the_same_arguments_give_the_same_bytes(plan: Plan) -> None:
    board = load_board("pynq-z2")
    assert vivado.files(plan, board) == vivado.files(plan, board)
    assert list(vivado.files(plan, board)) == sorted(vivado.files(plan, board))


def test_scripts_stay_within_tcl_8_5(pynq: Path) -> None:
    texts = "".join(path.read_text() for path in sorted((pynq / "vivado").glob("*.tcl")))
    bare = re.sub(r"^\s*#.*$", "", texts, flags=re.MULTILINE)
    assert not re.search(r"\b(lmap|try|throw|tailcall)\b|string cat", bare)
