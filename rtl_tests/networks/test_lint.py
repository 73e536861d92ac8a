"""Generated networks and their benches give Verilator nothing to warn about, and nothing is waived."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from rtl_tests.networks.network_graphs import random_folding, random_network
from rtl_tests.runner import PRIMITIVES, require_simulator
from tests.plan.graph_networks import CASES
from tests.plan.row_cases import CASES as ROWS
from tests.plan.row_cases import row_folding
from tests.plan.test_memories import wide, wide_folding
from xnorhw.board import load_board
from xnorhw.emit import rom, rtl, sim
from xnorhw.ir.int_graph import IntGraph
from xnorhw.plan import Folding, make_plan
from xnorhw.sim.tools import verilator_environment

BENCH = ("xh_monitor.sv", "accel_monitors.sv", "accel_traffic.sv", "xh_bench.sv")


def _check(
    graph: IntGraph, seed: int, folder: Path, folding: Folding | None = None, board: str = "pynq-z2"
) -> None:
    plan = make_plan(graph, load_board(board), folding=folding or random_folding(graph, seed))
    for path, text in {**rtl.files(plan, seed), **rom.files(plan, graph), **sim.files(plan, seed)}.items():
        (folder / Path(path).name).write_text(text, encoding="utf-8", newline="\n")
    # the benches under cocotb, and as the compiled bench is built
    compiled = ("+define+XH_COLLECT", "+define+XH_COUNTONES")
    for top, more in (("accel", ()), ("xh_bench", BENCH), ("xh_bench", (*compiled, *BENCH))):
        done = subprocess.run(
            ["verilator", "--lint-only", "-Wall", "--no-timing", "-y", str(PRIMITIVES), "-F", "files.f"]
            + [*more, "--top-module", top],
            cwd=folder,
            env=verilator_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 and "%Warning" not in done.stderr, done.stderr
    text = "".join(file.read_text() for file in folder.glob("*.sv"))
    assert "lint_off" not in text


@pytest.mark.parametrize("seed", range(300, 312))
def test_no_warning(seed: int, tmp_path: Path) -> None:
    require_simulator()
    _check(random_network(seed)[0], seed, tmp_path)


@pytest.mark.parametrize("name", ["halved", "fire", "groups", "input scales", "numbers"])
def test_no_warning_where_there_are_branches(name: str, tmp_path: Path) -> None:
    require_simulator()
    _check(CASES[name]()[0], 1, tmp_path)


@pytest.mark.parametrize("name", ROWS)
def test_no_warning_at_several_pixels_a_clock(name: str, tmp_path: Path) -> None:
    require_simulator()
    make, pixels = ROWS[name]
    graph, _ = make()
    _check(graph, 1, tmp_path, row_folding(graph, 1, pixels), "zcu104")


def test_no_warning_where_block_roms_are_in_parts(tmp_path: Path) -> None:
    require_simulator()
    _check(wide(), 1, tmp_path, wide_folding("mixed", "mixed", "tall"))
