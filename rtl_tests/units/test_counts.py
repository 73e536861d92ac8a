"""The netlists of LUTs that count, simulated on models of LUT6_2, CARRY4 and CARRY8: every width, with
vectors that agree everywhere, nowhere, in one lane, in every other lane, and at random."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from rtl_tests.runner import PRIMITIVES, require_simulator
from xnorhw.emit.popcount import module_name, texts
from xnorhw.sim.tools import verilator_environment

WIDEST = 576
# chain ends, the widths around powers of two, and those that layers have
SOME = (*range(1, 10), 16, 27, 33, 64, 100, 130)
STAGED = ((1, 1), (7, 2), (16, 3), (64, 1))

BENCH = r"""
#include <cstdint>
#include <cstdio>
#include "Vcounts.h"
#include "verilated.h"

static const int LANES[] = {%(lanes)s};
static const int STAGES[] = {%(stages)s};
static uint64_t state = 88172645463325252ull;
static uint32_t draw() {
  state ^= state << 13; state ^= state >> 7; state ^= state << 17;
  return static_cast<uint32_t>(state >> 16);
}

int main() {
  VerilatedContext context;
  Vcounts top{&context};
  const int n = sizeof LANES / sizeof *LANES, words = %(words)d;
  int history[4][sizeof LANES / sizeof *LANES] = {};
  long wrong = 0, vectors = 0, waited = 0;
  for (int v = 0; v < %(vectors)d; v++) {
    uint8_t a[32 * %(words)d], w[32 * %(words)d];
    for (int i = 0; i < 32 * words; i++) {
      const int kind = v %% 8;
      a[i] = draw() & 1;
      // all agree, none, one lane alone, all but one, every other lane, few, most, at random
      const int lane = (v / 8) %% (32 * words);
      const int agree = kind == 0 ? 1 : kind == 1 ? 0 : kind == 2 ? i == lane : kind == 3 ? i != lane
                      : kind == 4 ? (i + v / 8) & 1 : kind == 5 ? draw() %% 16 == 0
                      : kind == 6 ? draw() %% 16 != 0 : static_cast<int>(draw() & 1);
      w[i] = agree ? a[i] : !a[i];
    }
    for (int i = 0; i < words; i++) {
      uint32_t x = 0, y = 0;
      for (int b = 0; b < 32; b++) {
        x |= uint32_t(a[32 * i + b]) << b;
        y |= uint32_t(w[32 * i + b]) << b;
      }
      top.activation_i[i] = x;
      top.weight_i[i] = y;
    }
    // a clock without enable must change nothing
    top.en_i = draw() %% 4 != 0;
    top.clk_i = 0;
    top.eval();
    for (int k = 0; k < n; k++) {
      int count = 0;
      for (int i = 0; i < LANES[k]; i++) count += a[i] == w[i];
      const int expected = STAGES[k] ? history[STAGES[k] - 1][k] : count;
      const int came = (top.counts_o[k / 2] >> (16 * (k %% 2))) & 0xffff;
      if (came != expected && (STAGES[k] == 0 || waited >= STAGES[k])) {
        if (wrong++ < 10)
          std::printf("%%d lanes, %%d stages: %%d, not %%d\n", LANES[k], STAGES[k], came, expected);
      }
      if (top.en_i) {
        for (int s = 3; s > 0; s--) history[s][k] = history[s - 1][k];
        history[0][k] = count;
      }
    }
    waited += top.en_i;
    top.clk_i = 1;
    top.eval();
    vectors++;
  }
  std::printf("%%ld vectors, %%ld wrong\n", vectors, wrong);
  return wrong != 0;
}
"""


def top_text(counts: tuple[tuple[int, int], ...]) -> str:
    """A module of all counts side by side: count k at bits 16 k."""
    width = _words(counts) * 32
    lines = [
        "module counts (\n  input logic clk_i,\n  input logic en_i,\n"
        f"  input logic [{width - 1}:0] activation_i,\n  input logic [{width - 1}:0] weight_i,\n"
        f"  output logic [{16 * len(counts) - 1}:0] counts_o\n);"
    ]
    for k, (lanes, stages) in enumerate(counts):
        bits = lanes.bit_length()
        lines.append(
            f"  {module_name(lanes, stages)} i_{k} (.clk_i,.en_i, .activation_i(activation_i[{lanes - 1}:0]),"
            f" .weight_i(weight_i[{lanes - 1}:0]), .count_o(counts_o[{16 * k}+:{bits}]));"
        )
        lines.append(f"  assign counts_o[{16 * k + bits}+:{16 - bits}] = '0;")
    # no count reads the bits past the widest
    lines.append("  logic unused;\n  assign unused = ^{clk_i, en_i, activation_i, weight_i};")
    return "\n".join([*lines, "endmodule : counts\n"])


def _words(counts: tuple[tuple[int, int], ...]) -> int:
    """Words of 32 lanes, of which Verilator makes an array where they are more than two."""
    return max(3, -(-max(lanes for lanes, _ in counts) // 32))


def simulate(counts: tuple[tuple[int, int], ...], carry8: bool, folder: Path, vectors: int) -> str:
    """Compile the counts with the models and send the vectors; what the bench prints."""
    require_simulator()
    modules = {n: t for n, t in texts(counts, carry8).items() if n != "xh_popcount.sv"}
    for name, text in modules.items():
        (folder / name).write_text(text)
    (folder / "counts.sv").write_text(top_text(counts))
    values = {
        "lanes": ", ".join(str(lanes) for lanes, _ in counts),
        "stages": ", ".join(str(stages) for _, stages in counts),
        "words": _words(counts),
        "vectors": vectors,
    }
    (folder / "main.cpp").write_text(BENCH % values)
    command = [
        "verilator",
        "--cc",
        "--exe",
        "--build",
        "-j",
        "2",
        "-Wall",
        "--top-module",
        "counts",
    ]
    command += ["--prefix", "Vcounts", "-Mdir", "obj", "-o", "../counts", "-y", str(PRIMITIVES), "main.cpp"]
    done = subprocess.run(
        [*command, "counts.sv", *sorted(modules)],
        cwd=folder, env=verilator_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    ran = subprocess.run([str(folder / "counts")], capture_output=True, text=True, check=False)
    assert (ran.returncode == 0) == ran.stdout.endswith(", 0 wrong\n"), ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.parametrize("carry8", [False, True], ids=["CARRY4", "CARRY8"])
def test_counts(carry8: bool, tmp_path: Path) -> None:
    counts = tuple((lanes, 0) for lanes in SOME) + STAGED
    if carry8:
        counts = ((7, 0), (16, 1), (27, 0), (64, 0), (100, 1))
    came = simulate(counts, carry8, tmp_path, 8 * 160)
    assert came.endswith(", 0 wrong\n"), came


@pytest.mark.long
def test_counts_of_every_width(tmp_path: Path) -> None:
    counts = tuple((lanes, 0) for lanes in (*range(1, 131), WIDEST))
    came = simulate(counts, False, tmp_path, 8 * WIDEST * 2)
    assert came.endswith(", 0 wrong\n"), came
