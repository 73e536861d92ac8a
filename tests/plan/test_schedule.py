"""Planned depths neither stall nor waste: proved on a clock-by-clock model of the pipeline."""

from __future__ import annotations

import numpy as np
import pytest

from tests.plan.networks import Conv, Layer, Linear, Pool, dense, digits, network
from tests.plan.simulator import simulate
from xnorhw.board import load_board
from xnorhw.ir.errors import ModelError
from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.ir.int_graph import IntGraph
from xnorhw.ir.types import code
from xnorhw.plan import Folding, LayerFolding, PoolFolding, make_plan
from xnorhw.plan.geometry import legal_simd, legal_taps
from xnorhw.plan.model import Plan, Window
from xnorhw.plan.schedule import window_ring
from xnorhw.plan.stages import chip_layers

BOARD = load_board("zcu104")
SAME = Pads(1, 1, 1, 1)
MIXED = network(
    (1, 16, 16),
    [Conv(16, pads=SAME), Conv(24, pads=SAME), Pool(), Conv(32), Linear(20), Linear(10)],
    code(8, True),
)


CASES = {
    "digits": make_plan(digits(), BOARD),
    "digits slower": make_plan(digits(), BOARD, target_fps=200_000.0),
    "dense": make_plan(dense(), BOARD),
    "mixed": make_plan(MIXED, BOARD),
    "mixed slower": make_plan(MIXED, BOARD, target_fps=200_000.0),
}


@pytest.mark.parametrize("plan", CASES.values(), ids=CASES.keys())
def test_planned_depths_do_not_stall(plan: Plan) -> None:
    frames = plan.frames_in_flight + 4
    run = simulate(plan, frames)
    assert run.period(frames // 2) == plan.figures.cycles_per_frame
    assert run.ends[0] == pytest.approx(plan.figures.latency_cycles, rel=0.1, abs=12 * len(plan.layers))


@pytest.mark.parametrize(
    "plan", [CASES["digits"], CASES["dense"], CASES["mixed"]], ids=["digits", "dense", "mixed"]
)
def test_planned_depths_do_not_waste(plan: Plan) -> None:
    """Six words less in any one ring, and the pipeline is slower or stands still; eight of several pixels."""
    frames = plan.frames_in_flight + 4
    for window in plan.units:
        if not isinstance(window, Window):
            continue
        try:
            fewer = window.depth - (6 if window.spread is None else 8)
            run = simulate(plan, frames, {window.name: fewer}, limit=3)
        except RuntimeError:
            continue
        assert run.period(frames // 2) > plan.figures.cycles_per_frame, window.name


def test_too_short_a_ring_stands_still() -> None:
    plan = CASES["digits"]
    window = plan.unit("l1_window")
    assert isinstance(window, Window)
    least = window_ring(
        window.geometry, window.height, window.width, 8, 8, window.words_per_pixel
    ).least_depth
    simulate(plan, 2, {window.name: least})
    with pytest.raises(RuntimeError, match="stuck after 0 frames"):
        simulate(plan, 2, {window.name: least - 1})


def draw_network(draw: np.random.Generator) -> IntGraph:
    """A small network of anything that windows and converters meet."""
    kind = (None, code(8, True), code(3, False), code(1, False))[draw.integers(4)]
    shape = (int(draw.integers(1, 7)), int(draw.integers(3, 11)), int(draw.integers(3, 11)))
    layers: list[Layer] = []
    for _ in range(draw.integers(0, 4)):
        kernel = (int(draw.integers(1, 4)), int(draw.integers(1, 4)))
        pads = Pads(*(int(p) for p in draw.integers(0, 3, 4))) if draw.random() < 0.5 else Pads()
        stride = (int(draw.integers(1, 3)), int(draw.integers(1, 3)))
        dilation = (int(draw.integers(1, 3)), int(draw.integers(1, 3)))
        layers.append(
            Conv(int(draw.integers(1, 13)), kernel, pads, stride, dilation, int(draw.integers(0, 2)))
        )
        if draw.random() < 0.4:
            side, step = int(draw.integers(2, 4)), int(draw.integers(1, 3))
            pads = SAME if draw.random() < 0.4 else Pads()
            layers.append(Pool((side, side), (step, step), pads, bool(draw.integers(2))))
    layers += [Linear(int(draw.integers(1, 20))) for _ in range(draw.integers(1, 3))]
    return network(shape, layers, kind, int(draw.integers(1 << 30)))


def draw_folding(graph: IntGraph, draw: np.random.Generator) -> Folding:
    layers = chip_layers(graph)
    return Folding(
        tuple(
            LayerFolding(x.name, int(draw.integers(1, x.outputs + 1)), int(draw.choice(legal_simd(x))))
            for x in layers
        ),
        tuple(
            PoolFolding(p.name, int(draw.choice(legal_taps(p))))
            for x in layers
            for p in x.pools
            if draw.random() < 0.5
        ),
    )


def test_random_pipelines_reach_their_period() -> None:
    """Odd maps, pads, dilations, folds: the simulated steady period is the planned one exactly."""
    tried = 0
    for seed in range(120):
        draw = np.random.default_rng(seed)
        try:
            graph = draw_network(draw)
            folding = draw_folding(graph, draw) if draw.random() < 0.7 else None
            plan = make_plan(graph, BOARD, folding=folding)
        except ModelError:
            continue
        if plan.figures.cycles_per_frame > 1500:
            continue
        tried += 1
        frames = plan.frames_in_flight + 6
        run = simulate(plan, frames)
        assert run.period(frames // 2) == plan.figures.cycles_per_frame, f"seed {seed}"
    assert tried >= 30


def test_the_ring_of_a_window_by_hand() -> None:
    ring = window_ring(WindowGeometry((3, 3), pads=SAME), 4, 5, 4, 5, 2)
    assert ring.words == 40
    # the first pixel's window ends at row 1, column 1: seven pixels have come
    assert ring.needed[0] == 14
    assert ring.held[0] == 0
    # pixel (2, 2) begins at (1, 1)
    assert ring.held[2 * 5 + 2] == 12
    assert ring.needed[-1] == 40
    assert ring.least_depth == (2 * 5 + 3) * 2
