"""The shell by itself, around cores that only move beats: extreme frames, early and late results."""

from __future__ import annotations

import dataclasses
import json
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from rtl_tests.networks.network_graphs import Linear, network
from rtl_tests.runner import require_simulator
from xnorhw.board import load_board
from xnorhw.emit import rtl
from xnorhw.emit.sim import BenchNetwork, bench_files
from xnorhw.plan import make_plan
from xnorhw.plan.model import Frame
from xnorhw.sim.tools import verilator_environment

FRAMES = 7


@dataclass(frozen=True)
class Case:
    """A shell: beats of a frame each way, frames in flight, and where its core takes results from.

    Result beat i of a frame is input beat ``picks[i]`` of that frame; a core gives it as
    soon as it has it, through one register: what every core has at its end.
    """

    in_beats: int
    picks: tuple[int, ...]
    flight: int


CASES = {
    "one beat": Case(1, (0,), 1),
    "echo": Case(3, (0, 1, 2), 2),
    "one in flight": Case(4, (3,), 1),
    "early result": Case(5, (0,), 3),
    "late result": Case(5, (4, 4), 4),
    "more out than in": Case(1, (0, 0, 0, 0), 2),
}

CORE = """
// Repeats chosen beats of each frame: beat b of the input leaves COUNT[b] times.
module {name}_core (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        s_axis_tvalid,
  output logic        s_axis_tready,
  input  logic [63:0] s_axis_tdata,
  output logic        m_axis_tvalid,
  input  logic        m_axis_tready,
  output logic [63:0] m_axis_tdata
);
  logic [7:0] beat_q, copy_q, count;
  logic out_valid, out_ready;
  always_comb begin
    case (beat_q)
{counts}
      default: count = 0;
    endcase
  end
  logic last;
  assign last = count == 0 || copy_q + 8'd1 == count;
  assign out_valid = s_axis_tvalid && count != 0;
  assign s_axis_tready = last && (count == 0 || out_ready);
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      beat_q <= 0;
      copy_q <= 0;
    end else begin
      if (out_valid && out_ready) copy_q <= last ? 0 : copy_q + 8'd1;
      if (s_axis_tvalid && s_axis_tready) beat_q <= beat_q == {last_beat} ? 0 : beat_q + 8'd1;
    end
  end
  xh_fifo #(
    .WIDTH(64),
    .DEPTH(1)
  ) u_out (
    .clk_i    (clk_i),
    .rst_ni   (rst_ni),
    .s_valid_i(out_valid),
    .s_ready_o(out_ready),
    .s_data_i (s_axis_tdata),
    .m_valid_o(m_axis_tvalid),
    .m_ready_i(m_axis_tready),
    .m_data_o (m_axis_tdata)
  );
endmodule
"""


def core(name: str, case: Case) -> str:
    counts = [case.picks.count(beat) for beat in range(case.in_beats)]
    lines = "\n".join(f"      {beat}: count = {count};" for beat, count in enumerate(counts))
    return CORE.format(name=name, counts=lines, last_beat=case.in_beats - 1)


@pytest.fixture(scope="module")
def shells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a build's, with every case in one model."""
    require_simulator()
    graph, _ = network((4, 1, 1), [Linear(2)], seed=1)
    plan = make_plan(graph, load_board("pynq-z2"))
    files: dict[str, str] = {}
    listing: list[str] = []
    benches = []
    for number, case in enumerate(CASES.values()):
        name = f"shell{number}"
        own = dataclasses.replace(
            plan,
            input_frame=Frame(64, case.in_beats, case.in_beats, 64),
            output_frame=Frame(64, len(case.picks), len(case.picks), 64),
            frames_in_flight=case.flight,
        )
        emitted = rtl.files(own, number, name)
        listing += [n for n in emitted["rtl/files.f"].split() if n not in listing]
        files |= {**emitted, f"rtl/{name}_core.sv": core(name, case)}
        benches.append(BenchNetwork(own, number, name))
    files |= {**bench_files(benches), "rtl/files.f": "".join(f"{n}\n" for n in listing)}
    folder = tmp_path_factory.mktemp("shells")
    for path, text in files.items():
        if path.endswith("_monitors.sv"):
            continue
        if path.endswith(".json"):
            text = json.dumps({**json.loads(text), "streams": []})
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8", newline="\n")
    return folder


@pytest.mark.parametrize("number", range(len(CASES)), ids=list(CASES))
def test_shell(shells: Path, number: int) -> None:
    case = list(CASES.values())[number]
    chance = random.Random(number)
    frames = [[chance.getrandbits(64) for _ in range(case.in_beats)] for _ in range(FRAMES)]
    vectors = shells / f"vectors{number}"
    vectors.mkdir()
    (vectors / "input.hex").write_text("".join(f"{beat:x}\n" for frame in frames for beat in frame))
    (vectors / "result.hex").write_text("".join(f"{f[beat]:x}\n" for f in frames for beat in case.picks))
    (shells / "rom").mkdir(exist_ok=True)
    done = subprocess.run(
        [
            sys.executable,
            str(shells / "sim" / "run.py"),
            *("--bench", str(shells / "sim" / f"shell{number}.json")),
            *("--vectors", str(vectors)),
            *("--seed", str(number)),
        ],
        env=verilator_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, "\n".join(done.stdout.splitlines()[-60:])
    assert "12 of 12 tests passed" in done.stdout
