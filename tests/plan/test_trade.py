"""Rates against area: what is in the table keeps its promises and nothing in it is useless."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.plan.networks import dense, digits
from xnorhw.board import Budget, load_board
from xnorhw.ir.int_graph import IntGraph
from xnorhw.plan import make_plan, trade_off
from xnorhw.plan.model import Resources, Trade, TradePoint
from xnorhw.plan.trade import _useful

BOARD = load_board("pynq-z2")


@pytest.fixture(scope="module", params=["digits", "dense"])
def case(request: pytest.FixtureRequest) -> tuple[IntGraph, Trade]:
    graph = {"digits": digits, "dense": dense}[request.param]()
    return graph, trade_off(graph, BOARD, points=16)


def test_points_say_whether_they_fit(case: tuple[IntGraph, Trade]) -> None:
    _, trade = case
    assert trade.limits.lut == pytest.approx(BOARD.fill * (BOARD.budget.lut - BOARD.shell.lut))
    for point in trade.points:
        kinds = ("lut", "ff", "bram36", "dsp")
        holds = all(getattr(point.resources, k) <= getattr(trade.limits, k) for k in kinds)
        assert point.fits == holds
        assert point.fps == pytest.approx(BOARD.clock_mhz * 1e6 / point.cycles_per_frame)
    assert any(p.fits for p in trade.points)


def test_points_are_in_order_and_none_beats_another(case: tuple[IntGraph, Trade]) -> None:
    points = case[1].points
    assert 3 <= len(points) <= 17
    assert [p.cycles_per_frame for p in points] == sorted({p.cycles_per_frame for p in points})
    for i, slow in enumerate(points):
        for fast in points[:i]:
            dearer = [
                getattr(fast.resources, k) > getattr(slow.resources, k) for k in ("lut", "bram36", "dsp")
            ]
            assert any(dearer), (fast, slow)


def test_a_point_can_be_planned(case: tuple[IntGraph, Trade]) -> None:
    graph, trade = case
    point = next(p for p in trade.points if p.fits)
    figures = make_plan(graph, BOARD, target_fps=point.fps).figures
    assert figures.cycles_per_frame <= point.cycles_per_frame
    fastest = make_plan(graph, BOARD).figures
    assert fastest.cycles_per_frame <= point.cycles_per_frame <= 1.1 * fastest.cycles_per_frame


def test_what_is_neither_faster_nor_cheaper_is_left_out() -> None:
    def point(cycles: int, lut: float, bram36: float = 1.0) -> TradePoint:
        return TradePoint(cycles, cycles, 1e8 / cycles, Resources(lut=lut, bram36=bram36), fits=True)

    fast, slow, slow_and_dear = point(10, 500), point(20, 400), point(30, 450)
    fewer_blocks = point(40, 600, bram36=0.5)
    assert _useful([fast, slow, slow_and_dear, fewer_blocks]) == (fast, slow, fewer_blocks)


def test_what_fits_nowhere_has_a_table_all_the_same() -> None:
    tiny = replace(BOARD, budget=Budget(5300, 7300, 6), shell=Budget(5000, 7000, 5))
    trade = trade_off(digits(), tiny, points=6)
    assert trade.points
    assert not any(p.fits for p in trade.points)


def test_the_same_input_gives_the_same_table() -> None:
    assert trade_off(digits(), BOARD, points=8) == trade_off(digits(), BOARD, points=8)
