"""The cocotb bench as `verify` runs it, and as the build folder's Makefile does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from xnorhw.emit.sim import observed_edges, vectors
from xnorhw.ir.errors import ToolError, VerifyError
from xnorhw.pack import unpack_stream
from xnorhw.sim.cocotb_run import STALLED, run_cocotb
from xnorhw.sim.tools import verilator_environment

pytest.importorskip("cocotb_tools")


def few(emitted, frames: int = 2) -> dict[str, np.ndarray]:
    return {name: values[:frames] for name, values in emitted.tensors.items()}


def test_two_frames_with_stalls(emitted) -> None:
    run = run_cocotb(emitted.files, emitted.plan, emitted.graph, few(emitted), emitted.work, test=STALLED)
    assert [(o.test, o.message) for o in run.outcomes] == [(STALLED, "")] and run.passed
    assert np.array_equal(run.results, emitted.results[:2])
    for tensor, edge in observed_edges(emitted.plan).items():
        wanted = emitted.graph.tensor(tensor)
        values = unpack_stream(edge.stream, run.streams[tensor], wanted.shape, wanted.type)
        assert np.array_equal(values, emitted.tensors[tensor][:2]), tensor


def test_whole_bench(emitted) -> None:
    run = run_cocotb(emitted.files, emitted.plan, emitted.graph, few(emitted, 3), emitted.work)
    assert run.passed, [o for o in run.outcomes if o.message]
    names = {o.test.split("/")[0] for o in run.outcomes}
    assert names >= {"registers_answer", "frames_back_to_back", "frames_with_stalls", "packets"}
    assert names >= {"soft_reset_inside_a_frame", "errors_are_sticky"} and len(run.outcomes) == 12


def test_a_wrong_inner_value_is_named_first(emitted) -> None:
    tensors = few(emitted)
    tensors["pool1"] = tensors["pool1"].copy()
    tensors["pool1"][1, 4, 0, 2] *= -1
    run = run_cocotb(emitted.files, emitted.plan, emitted.graph, tensors, emitted.work, test=STALLED)
    assert not run.passed
    assert run.outcomes[0].message.startswith("pool1: frame 1, word 5:")
    assert np.array_equal(run.results, emitted.results[:2]), "what came is given, right or wrong"


def test_a_test_that_is_not_there_is_no_pass(emitted) -> None:
    with pytest.raises(VerifyError, match="ended without results"):
        run_cocotb(emitted.files, emitted.plan, emitted.graph, few(emitted), emitted.work, test="nothing")


def test_compile_error(emitted) -> None:
    bad = {**emitted.files, "rtl/accel_core.sv": "module accel_core; syntax error here; endmodule\n"}
    with pytest.raises(ToolError, match="could not be compiled"):
        run_cocotb(bad, emitted.plan, emitted.graph, few(emitted), emitted.work)


def test_makefile_of_the_build_folder(emitted, tmp_path: Path) -> None:
    out = tmp_path / "a build"
    files = {**emitted.files, **vectors(emitted.plan, emitted.graph, few(emitted))}
    for path, text in files.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text(text, encoding="utf-8", newline="\n")
    arguments = f"ARGS=--test stalls --seed 4 --models '{emitted.work}'"
    done = subprocess.run(
        ["make", f"PYTHON={sys.executable}", arguments],
        cwd=out / "sim",
        env=verilator_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "6 of 6 tests passed" in done.stdout
    assert (out / "sim" / "work" / "results.xml").is_file()
