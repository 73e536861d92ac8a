"""Depths below the schedule's: what a graph needs without timing, and plans with other depths."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import pytest

from tests.plan.graph_networks import CASES, GraphMaker
from tests.plan.networks import digits
from xnorhw.board import load_board
from xnorhw.emit.trimmed import trimmed_json, trimmed_text
from xnorhw.ir.types import BIPOLAR
from xnorhw.plan import make_plan
from xnorhw.plan.model import Fifo, Plan, Resources, Window
from xnorhw.plan.resources import unit_resources
from xnorhw.plan.trim import buffer_depths, fifo_name, least_depths, ring_of, with_depths

BOARD = load_board("zcu104")
PLANS = {name: make_plan(make()[0], BOARD) for name, make in CASES.items()}


def shortcut() -> Plan:
    """A map of 6 x 6 signs of one word, and its 3 x 3 convolution beside it."""
    maker = GraphMaker((4, 6, 6), BIPOLAR)
    start = maker.last
    branch = maker.conv(4, 3)
    maker.sum(branch, start)
    maker.sign()
    maker.dense(3)
    return make_plan(maker.graph(), BOARD)


def test_a_shortcut_holds_what_the_convolution_beside_it_takes_before_its_first_word() -> None:
    """A padded 3 x 3 window over rows of 6 is complete with pixel (1, 1): the eighth of the frame."""
    least = least_depths(shortcut())
    joins = {name: depth for name, depth in least.items() if "." in name}
    assert sorted(joins.values()) == [1, 8]


def test_rings_hold_a_window() -> None:
    plan = make_plan(digits(), BOARD)
    least = least_depths(plan)
    windows = [unit for unit in plan.units if isinstance(unit, Window)]
    assert set(least) == {window.name for window in windows}
    for window in windows:
        reach = (window.geometry.kernel[0] - 1) * window.width + window.geometry.kernel[1]
        assert least[window.name] <= reach * window.words_per_pixel
        assert least[window.name] == ring_of(window).least_depth


@pytest.mark.parametrize("name", PLANS)
def test_the_schedule_never_goes_below_what_the_graph_needs(name: str) -> None:
    plan = PLANS[name]
    depths, least = buffer_depths(plan), least_depths(plan)
    assert set(depths) == set(least)
    assert all(1 <= least[buffer] <= depths[buffer] for buffer in depths)


@pytest.mark.parametrize("name", PLANS)
def test_no_buffer_grows_or_goes_below_the_least_or_becomes_dearer(name: str) -> None:
    plan = PLANS[name]
    depths, least = buffer_depths(plan), least_depths(plan)
    for needed in ({}, dict.fromkeys(depths, 0), {b: d - 3 for b, d in depths.items()}):
        found = with_depths(plan, needed)
        now = buffer_depths(found)
        slices = {fifo_name(e): e.storage.depth for e in found.edges if isinstance(e.storage, Fifo)}
        for trimmed in found.trimmed:
            depth = now.get(trimmed.name, slices.get(trimmed.name))
            assert trimmed.planned == depths[trimmed.name] and trimmed.depth == depth
            assert least[trimmed.name] <= depth <= trimmed.planned
            assert (trimmed.saved == Resources()) == (depth == trimmed.planned)
            assert trimmed.saved.lut >= 0 or trimmed.saved.bram36 > 0
        assert (found.units, found.edges) == (plan.units, plan.edges) or needed
        saved = reduce(Resources.__add__, (t.saved for t in found.trimmed), Resources())
        total = found.figures.resources
        assert total.lut + saved.lut == pytest.approx(plan.figures.resources.lut)
        assert total.bram36 + saved.bram36 == pytest.approx(plan.figures.resources.bram36)
        assert sum(cost.lut for _, cost in found.unit_resources) == pytest.approx(total.lut)


def test_the_cost_is_that_of_the_new_ring() -> None:
    """Where a smaller ring costs the same the room stays."""
    changed = kept = 0
    for plan in PLANS.values():
        found = with_depths(plan, least_depths(plan))
        for trimmed in found.trimmed:
            if "." in trimmed.name:
                continue
            before, after = plan.unit(trimmed.name), found.unit(trimmed.name)
            assert isinstance(before, Window) and after == replace(before, depth=trimmed.depth)
            saved = unit_resources(before).lut - unit_resources(after).lut
            assert trimmed.saved.lut == pytest.approx(saved)
            changed += trimmed.depth < trimmed.planned
            kept += least_depths(plan)[trimmed.name] < trimmed.depth == trimmed.planned
    assert changed >= 3 and kept >= 3


def test_the_report_says_what_was_saved() -> None:
    plan = PLANS["residual"]
    assert "none that can be shorter" in trimmed_text(with_depths(plan, {}).trimmed)
    found = with_depths(plan, {"j1_add.data1": 20}).trimmed
    (changed,) = (t for t in found if t.depth < t.planned)
    text = trimmed_text(found)
    assert f"1 of {len(found)} trimmed" in text and f"j1_add.data1 {changed.planned} to 20" in text
    tree = trimmed_json(found)
    assert {"name": "j1_add.data1", "planned": changed.planned, "depth": 20} in tree["buffers"]
    assert tree["saved"]["lut"] == changed.saved.lut > 0
