"""The compiled bench: right answers, clocks, stalls, and what it says when something is wrong."""

from __future__ import annotations

import dataclasses
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from xnorhw.emit.sim import observed_edges, timeout_cycles
from xnorhw.ir.errors import ToolError, VerifyError
from xnorhw.pack import unpack_stream
from xnorhw.plan.model import Window
from xnorhw.plan.trim import ring_of
from xnorhw.sim import model, tools
from xnorhw.sim.buffers import watched_buffers
from xnorhw.sim.compiled import CompiledRun, Stalls, run_compiled
from xnorhw.sim.model import compile_bench, read_sources


def check(emitted, run: CompiledRun) -> None:
    assert np.array_equal(run.results, emitted.results)
    assert set(run.streams) == set(observed_edges(emitted.plan)) == {"sign0", "pool1", "conv2"}
    for tensor, edge in observed_edges(emitted.plan).items():
        wanted = emitted.graph.tensor(tensor)
        values = unpack_stream(edge.stream, run.streams[tensor], wanted.shape, wanted.type)
        assert np.array_equal(values, emitted.tensors[tensor]), tensor
    assert run.registers["ERRORS"] == 0 and run.registers["ID"] == 0x584E4F52
    assert run.registers["FRAMES_IN"] == run.registers["FRAMES_OUT"] == len(emitted.frames)


def test_every_tensor_at_full_rate(emitted) -> None:
    seen = []
    run = run_compiled(
        emitted.files,
        emitted.plan,
        emitted.frames,
        emitted.work,
        activity=True,
        progress=lambda done, total: seen.append((done, total)),
    )
    check(emitted, run)
    count = len(emitted.frames)
    assert seen == [(n, count) for n in range(1, count + 1)]
    assert run.cycles_per_frame == emitted.plan.figures.cycles_per_frame
    assert run.latency_cycles == run.last_out[0] - run.first_in[0] + 1
    assert (np.diff(run.last_out) > 0).all() and (np.diff(run.first_in) > 0).all()
    assert run.registers["OUTPUT_STALLS"] == 0
    assert run.registers["BUSY_CYCLES"] <= run.clocks
    probe = {row.wire: row for row in run.activity}
    assert probe["l0_mvu_weights"].words >= count * 36 * 2 * 9


@pytest.mark.parametrize("percents", [(30, 30), (80, 5), (5, 80)])
def test_every_tensor_under_stalls(emitted, percents: tuple[int, int]) -> None:
    stalls = Stalls(7, *percents)
    runs = [
        run_compiled(emitted.files, emitted.plan, emitted.frames, emitted.work, stalls=stalls)
        for _ in range(2)
    ]
    for run in runs:
        check(emitted, run)
    assert np.array_equal(runs[0].last_out, runs[1].last_out), "a seed gives one pattern of stalls"
    other = dataclasses.replace(stalls, seed=8)
    run = run_compiled(emitted.files, emitted.plan, emitted.frames, emitted.work, stalls=other)
    assert not np.array_equal(runs[0].last_out, run.last_out)


def test_a_build_from_before_the_collector_gives_its_words_as_text(emitted) -> None:
    lines = emitted.files["sim/bench.cpp"].splitlines()
    old = "".join(f"{line}\n" for line in lines if "xh::" not in line and "xh_collect" not in line)
    files = {path: text for path, text in emitted.files.items() if path != "sim/xh_collect.h"}
    files["sim/bench.cpp"] = old
    check(emitted, run_compiled(files, emitted.plan, emitted.frames, emitted.work, stalls=Stalls(7, 30, 30)))


def test_paced_frames_come_back_at_their_pace(emitted) -> None:
    """And the buffers hold no more words than when the source pushes, which is less than they can."""
    pace = emitted.plan.figures.cycles_per_frame + 100
    frames = np.resize(emitted.frames, (12, emitted.frames.shape[1]))
    watched = watched_buffers(emitted.plan)
    pushed, paced = (
        run_compiled(emitted.files, emitted.plan, frames, emitted.work, pace=p, watched=watched)
        for p in (0, pace)
    )
    assert pushed.cycles_per_frame == emitted.plan.figures.cycles_per_frame
    assert paced.cycles_per_frame == pace
    assert np.array_equal(np.diff(paced.first_in), np.full(11, pace))
    assert np.array_equal(pushed.results, paced.results)
    windows = {unit.name: unit for unit in emitted.plan.units if isinstance(unit, Window)}
    assert set(pushed.levels) == set(paced.levels) == set(windows)
    for name, window in windows.items():
        assert ring_of(window).least_depth <= paced.levels[name] <= window.depth
        assert paced.levels[name] <= pushed.levels[name] <= window.depth
    late = Stalls(1, 0, 0, hold=timeout_cycles(emitted.plan) - 500)
    full = run_compiled(emitted.files, emitted.plan, frames, emitted.work, stalls=late, watched=watched)
    for name, window in windows.items():
        assert full.levels[name] == window.depth


def test_a_broken_rule_inside_is_seen_with_assertions(emitted) -> None:
    """A register slice that drops the word which it should hold: nothing waits there at full rate."""
    path = "rtl/xh_fifo.sv"
    rule = "if (m_ready_i || !head_valid_q) head_q <="
    assert rule in emitted.files[path]
    broken = {**emitted.files, path: emitted.files[path].replace(rule, "head_q <=")}
    stalls = Stalls(7, 5, 80)
    with pytest.raises(VerifyError, match="xh_fifo: the output changed while it was stalled"):
        run_compiled(broken, emitted.plan, emitted.frames, emitted.work, stalls=stalls)
    run = run_compiled(broken, emitted.plan, emitted.frames, emitted.work, stalls=stalls, assertions=False)
    assert not np.array_equal(run.results, emitted.results), "without them the values tell"


def test_one_frame_has_no_rate(emitted) -> None:
    run = run_compiled(emitted.files, emitted.plan, emitted.frames[:1], emitted.work)
    assert run.cycles_per_frame is None and run.latency_cycles > 0


def test_a_changed_memory_needs_no_new_model_and_is_seen(emitted) -> None:
    path = "rom/accel_l1_weights.mem"
    header, first, *rest = emitted.files[path].splitlines()
    flipped = f"{int(first, 16) ^ 1:0{len(first)}x}"
    files = {**emitted.files, path: "\n".join([header, flipped, *rest]) + "\n"}
    program = compile_bench(emitted.files, emitted.work)
    assert compile_bench(files, emitted.work) == program
    run = run_compiled(files, emitted.plan, emitted.frames, emitted.work)
    assert not np.array_equal(run.results, emitted.results)
    assert len(run.streams["pool1"]) and len(run.streams["conv2"])


def test_nothing_is_left_behind(emitted) -> None:
    run_compiled(emitted.files, emitted.plan, emitted.frames, emitted.work)
    assert all(entry.name.startswith(("bench-", "cocotb-")) for entry in emitted.work.iterdir())


def test_sources_read_back_from_a_folder(emitted, tmp_path: Path) -> None:
    for path, text in emitted.files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8", newline="\n")
    assert read_sources(tmp_path) == dict(emitted.files)


def test_deadlock_names_the_stream_that_moved_last(emitted) -> None:
    top = emitted.files["rtl/accel_top.sv"]
    for wire in ("core_out_valid_i(core_out_valid)", "m_axis_tready(core_out_ready)"):
        assert wire in top
        top = top.replace(wire, wire.split("(")[0] + "(1'b0)")
    stuck = {**emitted.files, "rtl/accel_top.sv": top}
    with pytest.raises(
        VerifyError, match=r"deadlock: .* 0 result .* last stream that moved is l\d_\w+, after"
    ):
        run_compiled(stuck, emitted.plan, emitted.frames, emitted.work)


def test_early_tlast_is_a_broken_rule(emitted) -> None:
    shell = emitted.files["rtl/xh_shell.sv"]
    broken = shell.replace("assign m_axis_tlast = out_last && flag_last;", "assign m_axis_tlast = out_last;")
    assert broken != shell
    with pytest.raises(VerifyError, match="tlast 1"):
        run_compiled({**emitted.files, "rtl/xh_shell.sv": broken}, emitted.plan, emitted.frames, emitted.work)


def test_compile_error_shows_its_lines(emitted) -> None:
    bad = {**emitted.files, "rtl/accel_core.sv": "module accel_core; syntax error here; endmodule\n"}
    with pytest.raises(ToolError, match=r"could not be compiled(.|\n)*accel_core\.sv:1") as caught:
        run_compiled(bad, emitted.plan, emitted.frames, emitted.work)
    assert caught.value.module == "verilator"


def test_waves_are_left_where_they_are_asked_for(emitted, tmp_path: Path) -> None:
    waves = tmp_path / "signals.fst"
    try:
        run = run_compiled(emitted.files, emitted.plan, emitted.frames[:2], emitted.work, waves=waves)
    except ToolError as error:
        if "headers of lz4" in error.reason and not os.environ.get("CI"):
            pytest.skip(str(error))
        raise
    assert np.array_equal(run.results, emitted.results[:2])
    # an FST file begins with a header block: type 0, length 329
    assert waves.read_bytes()[:9] == b"\0" + (329).to_bytes(8, "big")


def test_missing_wave_headers_name_the_package(emitted) -> None:
    main = '#include "nowhere/lz4.h"\n' + emitted.files["sim/bench.cpp"]
    with pytest.raises(ToolError, match="headers of lz4 and zlib") as caught:
        compile_bench({**emitted.files, "sim/bench.cpp": main}, emitted.work, waves=True)
    assert "apt install liblz4-dev zlib1g-dev" in caught.value.remedy


def test_two_at_once_share_one_model(emitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2)

    def compile_slowly(here: Path, *_: object) -> None:
        both.wait(timeout=20)  # neither finds the other's result
        (here / "bench").write_text("a program")

    monkeypatch.setattr(model, "_compile", compile_slowly)
    with ThreadPoolExecutor(2) as pool:
        programs = [pool.submit(compile_bench, emitted.files, tmp_path) for _ in range(2)]
        found = {program.result() for program in programs}
    assert len(found) == 1 and found.pop().read_text() == "a program"
    assert len(list(tmp_path.iterdir())) == 1


def test_missing_tool(emitted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tools.shutil, "which", lambda *_, **__: None)
    with pytest.raises(ToolError, match="verilator is missing") as caught:
        run_compiled(emitted.files, emitted.plan, emitted.frames, tmp_path)
    assert caught.value.remedy
