"""Layers that take several pixels a clock through the generated C++, every tensor compared."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.plan.row_cases import CASES, row_folding
from tests.sim.test_hls_codes import DRAWN, check
from xnorhw.board import load_board
from xnorhw.plan import make_plan

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is missing")

BOARD = load_board("zcu104")
QUICK = ("strides", "codes")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in CASES]
)
def test_every_tensor_is_goldens(name: str, tmp_path: Path) -> None:
    make, pixels = CASES[name]
    graph, x = make()
    check(graph, x, make_plan(graph, BOARD, folding=row_folding(graph, 1, pixels)), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", DRAWN)
def test_random_networks(seed: int, tmp_path: Path) -> None:
    graph, x = DRAWN[seed]
    check(graph, x, make_plan(graph, BOARD, folding=row_folding(graph, seed)), tmp_path)
