"""One table makes RTL, IP-XACT, .hwh, C header and Python names; changing a line changes them all."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from xnorhw.board import board_names, load_board
from xnorhw.emit import registers, vivado
from xnorhw.ir.int_graph import IntGraph
from xnorhw.ir.registers import ERRORS, REGISTERS, Access
from xnorhw.plan.model import Plan

ROOT = Path(__file__).resolve().parent.parent.parent
SPIRIT = {"s": "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009"}


def test_ip_xact() -> None:
    root = ElementTree.fromstring(registers.ip_xact())
    found = root.findall(".//s:register", SPIRIT)
    assert len(found) == len(REGISTERS)
    for register, element in zip(REGISTERS, found, strict=True):
        assert element.findtext("s:name", namespaces=SPIRIT) == register.name
        assert int(str(element.findtext("s:addressOffset", namespaces=SPIRIT)), 0) == register.offset
        assert element.findtext("s:description", namespaces=SPIRIT) == register.description
        read_only = register.access is Access.READ_ONLY
        assert element.findtext("s:access", namespaces=SPIRIT) == ("read-only" if read_only else "read-write")
    clear = root.findall(".//s:field[s:modifiedWriteValue='oneToClear']/s:name", SPIRIT)
    assert [element.text for element in clear] == [e.name for e in ERRORS]


@pytest.mark.parametrize("name", board_names())
def test_hwh_says_what_the_block_design_does(name: str, plan: Plan) -> None:
    board = load_board(name)
    design = vivado.block_design(plan, board)
    root = ElementTree.fromstring(registers.hwh(plan, board, design))
    ranges = {
        (r.get("INSTANCE"), int(str(r.get("BASEVALUE")), 16), int(str(r.get("HIGHVALUE")), 16))
        for r in root.iter("MEMRANGE")
    }
    assert ranges == {
        (s.name.split("/")[0], s.offset, s.offset + s.size - 1)
        for s in design.segments
        if s.space == "ps/Data"
    }
    (ours,) = [m for m in root.iter("MODULE") if m.get("VLNV") == registers.vlnv()]
    offsets = [int(str(p.get("VALUE"))) for p in ours.iter("PROPERTY") if p.get("NAME") == "ADDRESS_OFFSET"]
    assert offsets == [r.offset for r in REGISTERS]
    (dma,) = [m for m in root.iter("MODULE") if m.get("MODTYPE") == "axi_dma"]
    parameters = {p.get("NAME"): p.get("VALUE") for p in dma.iter("PARAMETER")}
    assert parameters["c_include_sg"] == "0" and parameters["c_sg_length_width"] == "26"
    (ps,) = [m for m in root.iter("MODULE") if m.get("MODTYPE") == board.ps.ip]
    clocks = {str(p.get("NAME")): str(p.get("VALUE")) for p in ps.iter("PARAMETER")}
    stem = "PCW_FCLK0_PERIPHERAL_" if name.startswith("pynq") else "PSU__CRL_APB__PL0_REF_CTRL__"
    divisor = int(clocks[f"{stem}DIVISOR0"]) * int(clocks[f"{stem}DIVISOR1"])
    assert board.ps.clock_source_mhz / divisor == pytest.approx(plan.clock_mhz, rel=1e-4)


SCRIPT = """
import json
import hand_networks
import numpy as np
from xnorhw import golden
from xnorhw.board import load_board
from xnorhw.emit import host, pynq, registers, rtl, vivado
from xnorhw.emit.store import Samples
from xnorhw.plan import make_plan

graph = hand_networks.make("bits")
board = load_board("pynq-z2")
plan = make_plan(graph, board)
design = vivado.block_design(plan, board)
codes = np.ones((1, 77, 1, 1), np.int32)
sums = golden.run(graph, codes)[graph.output]
answers = pynq.Answers(sums, golden.scores(graph, sums))
files = {
    **rtl.files(plan, 0),
    **vivado.files(plan, board),
    **registers.files(plan, board, design),
    **host.files(plan, board, 0),
}
package = pynq.files(graph, plan, board, Samples(codes, 0, None, sums), answers, 0)
files |= {name: data.decode() for name, data in package.items() if name.endswith("registers.py")}
print(json.dumps(files))
"""


def emitted(root: Path) -> dict[str, str]:
    """The texts of a build as a copy of the sources emits them, in a process of its own."""
    code = f"import sys; sys.path[:0] = [{str(root)!r}, {str(ROOT / 'tests/pynq')!r}]\n" + SCRIPT
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_one_line_changes_all(tmp_path: Path) -> None:
    before = emitted(ROOT)
    for name in ("xnorhw", "templates", "boards"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    table = tmp_path / "xnorhw/ir/registers.py"
    text = table.read_text()
    line = 'Register("OUT_BEATS", 0x30,'
    assert text.count(line) == 1
    table.write_text(text.replace(line, 'Register("LAST_BEATS", 0x44,'))
    # the shell's port is named after the register
    shell = tmp_path / "templates/rtl/xh_shell.sv"
    shell.write_text(shell.read_text().replace("out_beats_i", "last_beats_i"))
    after = emitted(tmp_path)
    changed = {name for name in after if after[name] != before.get(name)}
    for name in (
        "rtl/xh_registers.sv",
        "vivado/package.tcl",
        "vivado/accel.registers.xml",
        "sim/accel.hwh",
        "pynq/xnorhw_accel/registers.py",
        "host/driver/xd_registers.h",
    ):
        assert name in changed, name
        assert "LAST_BEATS" in after[name].upper() and "OUT_BEATS" not in after[name].upper(), name


def test_hwh_needs_a_clock_that_can_be_made(plan: Plan, graph: IntGraph) -> None:
    board = load_board("pynq-z2")
    slow = dataclasses.replace(plan, clock_mhz=0.1)
    with pytest.raises(ValueError, match="no two dividers of 1000 MHz"):
        registers.hwh(slow, board, vivado.block_design(plan, board))
