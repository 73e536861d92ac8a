"""Columns of DSPs that add codes: what fits into a lane, and when a planner takes them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.plan.networks import Conv, Linear, Pool, network, street_view
from xnorhw.board import load_board
from xnorhw.ir.errors import FitError
from xnorhw.ir.types import code
from xnorhw.plan import Folding, LayerFolding, folding_of, make_plan, read_folding, write_folding
from xnorhw.plan.columns import SHARES, column_hindrance, column_pes, column_stages, lane_bits, packed_pes
from xnorhw.plan.fabric import Fabric
from xnorhw.plan.geometry import layer_shape
from xnorhw.plan.model import MatrixUnit, Plan
from xnorhw.plan.network import network_of
from xnorhw.plan.pick import Pick, layer_line

BOARD = load_board("pynq-z2")
TYPES = [(bits, signed) for bits in range(1, 9) for signed in (False, True)]
PICTURES = network((3, 8, 8), [Conv(12), Pool(), Linear(6)], code(8, True))


def ends(bits: int, signed: bool) -> tuple[int, int]:
    low = -(1 << (bits - 1)) if signed else 0
    return low, low + (1 << bits) - 1


def column(codes: list[int], weights: list[list[int]], bits: int, signed: bool) -> list[int]:
    """What a column of DSPs and the accumulators behind it make of codes [simd] and weights [pe][simd],
    which are 0 for -1: the sums, by the arithmetic that ``xh_code_columns`` documents."""
    packed = packed_pes(bits, signed, len(codes))
    lane, spacing = lane_bits(bits, signed, len(codes)), 24 // (packed - 1)
    total = sum(codes)
    places = range(len(weights))
    begins = sum(
        (-(total // 2) - 1 + (1 << (spacing - 1))) << (p * spacing) for p in places if p < packed - 1
    )
    begins += (total // 2) << 24 if len(weights) == packed else 0
    factors = [sum(w[i] << (p * spacing) for p, w in enumerate(weights)) for i in range(len(codes))]
    # 25 bits in two's complement, and 48
    factors = [f - (1 << 25) if f >> 24 else f for f in factors]
    word = (begins + sum(x * f for x, f in zip(codes, factors, strict=True))) % (1 << 48)
    found = []
    for p in places:
        last = p == packed - 1
        bits_of_lane = word >> (24 if last else p * spacing) & ((1 << lane) - 1)
        if not last and lane == spacing:
            bits_of_lane ^= 1 << (lane - 1)
        half = bits_of_lane - (1 << lane if bits_of_lane >> (lane - 1) else 0)
        found.append(-(2 * half + total % 2) if last else 2 * half + 1 - total % 2 + 1)
    return found


@pytest.mark.parametrize(("bits", "signed"), TYPES)
def test_lanes_hold_every_sum(bits: int, signed: bool) -> None:
    """At the most codes of each number of PEs, and at fewer: ends and random words are summed exactly."""
    draw = np.random.default_rng(bits)
    low, high = ends(bits, signed)
    longest = {packed_pes(bits, signed, simd): simd for simd in range(1, 200)}
    for simd in sorted({*longest.values(), 2, 3, 9, 27}):
        packed = packed_pes(bits, signed, simd)
        words = [[low] * simd, [high] * simd, [(low, high)[i % 2] for i in range(simd)]]
        words += draw.integers(low, high, (20, simd), endpoint=True).tolist()
        for codes in words:
            rows = [[0] * simd, [1] * simd, [int(x == high) for x in codes], [int(x != high) for x in codes]]
            rows += draw.integers(0, 2, (packed, simd)).tolist()
            for turn in range(len(rows)):
                weights = [rows[(turn + p) % len(rows)] for p in range(packed)]
                wanted = [sum(x if w else -x for x, w in zip(codes, row, strict=True)) for row in weights]
                assert column(codes, weights, bits, signed) == wanted


@pytest.mark.parametrize(("bits", "signed"), TYPES)
def test_lanes_are_no_longer_than_needed(bits: int, signed: bool) -> None:
    """Half of a sum, rounded down, less 1 reaches below what a bit less holds, or all but that."""
    low, high = ends(bits, signed)
    for simd in range(1, 100):
        lane, most = lane_bits(bits, signed, simd), simd * max(-low, high)
        assert -(1 << (lane - 1)) <= (-most) // 2 - 1 and most // 2 + 1 <= 1 << (lane - 1)
        assert most // 2 + 1 > 1 << (lane - 2) or most + 2 > 1 << (lane - 1)


def dsp_pes(plan: Plan) -> list[int]:
    return [u.dsp_pes for u in plan.units if isinstance(u, MatrixUnit)]


def test_dsps_make_a_design_fit() -> None:
    """Few LUTs: a rate is reached with DSPs alone.  Where LUTs are left, DSPs cost more than they save."""
    graph = network((3, 8, 8), [Conv(64), Conv(16), Linear(6)], code(8, True))
    fps, room = 1e6, BOARD.shell.lut + 6000 / BOARD.fill
    tight = replace(BOARD, budget=replace(BOARD.budget, lut=room))
    assert not any(dsp_pes(make_plan(graph, BOARD, target_fps=fps)))
    plan = make_plan(graph, tight, target_fps=fps)
    assert dsp_pes(plan)[0] > 0 and not any(dsp_pes(plan)[1:])
    assert 0 < plan.figures.resources.dsp <= BOARD.budget.dsp * BOARD.fill
    with pytest.raises(FitError, match="LUTs"):
        make_plan(graph, replace(tight, budget=replace(tight.budget, dsp=0.0)), target_fps=fps)


def test_dsps_buy_latency() -> None:
    graph = street_view()
    without = make_plan(graph, replace(BOARD, budget=replace(BOARD.budget, dsp=0.0)))
    plan = make_plan(graph, BOARD, target_fps=without.figures.fps, goal="latency")
    assert plan.figures.cycles_per_frame <= without.figures.cycles_per_frame
    assert plan.figures.latency_cycles < 0.9 * without.figures.latency_cycles
    assert plan.figures.resources.dsp > 0 == without.figures.resources.dsp


def test_who_can_have_columns() -> None:
    planned = network_of(PICTURES, Fabric("xc7", 100.0, 60))
    first, last = planned.layers
    shape = layer_shape(first, 12, 9)
    assert column_hindrance(first, shape, planned.fabric) == ""
    # whole columns for 3 PEs, and no more DSPs than there are
    assert [column_pes(first, shape, planned.fabric, s) for s in range(SHARES + 1)] == [0, 3, 6, 9, 12]
    few = Fabric("xc7", 100.0, 20)
    assert [column_pes(first, shape, few, share) for share in range(SHARES + 1)] == [0, 3, 3, 6, 6]
    assert "binary" in column_hindrance(last, layer_shape(last, 2, 4), planned.fabric)
    for pe, simd in ((1, 9), (12, 1)):
        assert "one PE" in column_hindrance(first, layer_shape(first, pe, simd), planned.fabric)
    for fabric in (Fabric("xcup", 100.0, 60), Fabric("", 100.0, 60), Fabric("xc7", 150.0, 60)):
        assert "7 series" in column_hindrance(first, shape, fabric)
        assert column_pes(first, shape, fabric, SHARES) == 0


def folding(pes: int, pe: int = 12, simd: int = 9) -> Folding:
    names = [layer.name for layer in network_of(PICTURES).layers]
    return Folding((LayerFolding(names[0], pe, simd, dsp_pes=pes), LayerFolding(names[1], 2, 12)))


def test_a_folding_says_how_many() -> None:
    plan = make_plan(PICTURES, BOARD, folding=folding(7))
    unit = next(u for u in plan.units if isinstance(u, MatrixUnit))
    assert (unit.dsp_pes, unit.packed, unit.dsps) == (7, 3, 27)
    assert plan.figures.resources.dsp == 27
    text = write_folding(folding_of(plan), PICTURES)
    assert read_folding(text) == folding_of(plan)
    assert dsp_pes(make_plan(PICTURES, BOARD, folding=read_folding(text))) == [7, 0]
    # what uses none says nothing of it
    none = make_plan(PICTURES, BOARD, folding=folding(0))
    assert '"dsp_pes"' not in write_folding(folding_of(none), PICTURES)
    assert plan.figures.latency_cycles > none.figures.latency_cycles


@pytest.mark.parametrize(
    ("board", "given", "reason"),
    [
        ("pynq-z2", folding(13), "the layer has pe 12"),
        ("pynq-z2", folding(-1), "the layer has pe 12"),
        ("pynq-z2", folding(1, pe=1), "there is one PE"),
        ("zcu104", folding(3), "7 series"),
    ],
)
def test_what_cannot_be_is_refused(board: str, given: Folding, reason: str) -> None:
    with pytest.raises(FitError, match=reason) as caught:
        make_plan(PICTURES, load_board(board), folding=given)
    assert caught.value.module == given.layers[0].name and "dsp_pes 0" in str(caught.value)


def test_latency_counts_the_registers() -> None:
    planned = network_of(PICTURES, Fabric("xc7", 100.0, 60))
    layer, shape = planned.layers[0], layer_shape(planned.layers[0], 12, 9)
    pick = Pick(12, 9, "lut", "lut", (1,), ("lut",))
    plain, dsps = (
        layer_line(layer, shape, planned.widths[0], p)[0] for p in (pick, replace(pick, dsp_pes=3))
    )
    assert dsps.later - plain.later == column_stages(9) == 5
