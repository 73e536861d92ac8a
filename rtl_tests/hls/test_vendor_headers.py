"""The same sources against AMD's own integer types, where they are installed (hls4ml brings them).

They are simulation headers: what they do with widths, signs and ranges is what the vendor
says that the types mean.  Their hls_stream.h knows no depth, so the stream stays the stand-in's.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from rtl_tests.hls.program import run_cases
from rtl_tests.hls.test_units import CASES, assert_right
from tests.plan.networks import digits
from xnorhw import golden
from xnorhw.board import load_board
from xnorhw.emit import hls
from xnorhw.emit.sim import result_frames
from xnorhw.pack import pack_frames
from xnorhw.plan import make_plan
from xnorhw.sim.hls_run import run_hls

FRAMES = 3


@pytest.fixture(scope="module")
def vendor() -> Path:
    """The folder of ap_int.h; the package itself is never imported."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is missing")
    found = importlib.util.find_spec("hls4ml")
    if found is None or found.origin is None:
        pytest.skip("AMD's headers are not here: pip install hls4ml brings them")
    folder = Path(found.origin).parent / "templates" / "vivado" / "ap_types"
    assert (folder / "ap_int.h").is_file(), f"hls4ml is here, and there is no ap_int.h in {folder}"
    assert "Xilinx" in (folder / "ap_int.h").read_text(encoding="utf-8", errors="replace")
    return folder


def test_every_stage_by_itself(vendor: Path, tmp_path: Path) -> None:
    assert_right(run_cases(CASES, tmp_path, vendor=vendor), CASES)


_MAIN = """
#include <cstdio>
#include "accel.h"

int main() {
  hls::stream<ap_uint<64> > s_axis("s_axis"), m_axis("m_axis");
  unsigned long long beat;
  for (int frame = 0; frame < %(frames)d; frame++) {
    for (int i = 0; i < %(beats)d; i++) {
      if (std::scanf("%%llx", &beat) != 1) return 1;
      s_axis.write(ap_uint<64>(beat));
    }
    accel_hls(s_axis, m_axis);
    while (!m_axis.empty()) std::printf("%%016llx\\n", (unsigned long long)(m_axis.read().to_uint64()));
  }
  return s_axis.empty() ? 0 : 2;
}
"""


def test_a_network(vendor: Path, tmp_path: Path) -> None:
    """The results of golden, of AMD's types and of the stand-ins are the same bytes."""
    graph = digits()
    plan = make_plan(graph, load_board("pynq-z2"))
    values = np.random.default_rng(1).integers(-128, 128, (FRAMES, 1, 8, 8))
    tensors = golden.run(graph, values)
    wanted = result_frames(plan, tensors[plan.output_tensor])
    assert len({frame.tobytes() for frame in wanted}) == FRAMES
    kind = graph.tensor(plan.input_tensor).type
    assert kind is not None
    frames = pack_frames(plan, values, kind)
    files = hls.files(plan, graph)

    for path, text in files.items():
        name = path.removeprefix("hls/")
        if name == "sim/hls_stream.h" or ("/" not in name and name.endswith((".h", ".cpp"))):
            (tmp_path / Path(name).name).write_text(text, encoding="utf-8", newline="\n")
    main = _MAIN % {"frames": FRAMES, "beats": plan.input_frame.beats}
    (tmp_path / "main.cpp").write_text(main, encoding="utf-8")
    command = ["g++", "-std=c++14", "-O1", "-I", ".", "-isystem", os.fspath(vendor)]
    command += ["accel.cpp", "accel_stages.cpp", "main.cpp", "-o", "run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:4000]
    beats = frames.reshape(-1, 8).view("<u8").ravel()
    done = subprocess.run(
        ["./run"], cwd=tmp_path, input="".join(f"{b:x}\n" for b in beats), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    theirs = np.array([int(line, 16) for line in done.stdout.split()], "<u8").view(np.uint8)
    assert np.array_equal(theirs.reshape(FRAMES, -1), wanted)
    assert np.array_equal(run_hls(files, plan, frames, tmp_path, csim=True).results, wanted)
