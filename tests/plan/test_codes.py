"""Networks of codes, terms, planes and average pools: planned, packed, and unit by unit golden's."""

from __future__ import annotations

import numpy as np
import pytest

from tests.plan.code_cases import CASES
from tests.plan.code_networks import Values
from tests.plan.simulator import simulate
from tests.plan.units_model import differing
from xnorhw import golden, pack
from xnorhw.board import load_board
from xnorhw.ir.int_graph import IntGraph
from xnorhw.plan import Folding, LayerFolding, PoolFolding, check_folding, folding_of, make_plan
from xnorhw.plan.geometry import legal_simd, legal_taps
from xnorhw.plan.model import LevelUnit, Plan, PlaneUnit, PoolUnit, RequantUnit, SumPoolUnit, TermsUnit
from xnorhw.plan.stages import chip_layers

BOARD = load_board("pynq-z2")


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES.keys())
def case(request: pytest.FixtureRequest) -> tuple[IntGraph, Values]:
    made: tuple[IntGraph, Values] = request.param()
    return made


def random_folding(graph: IntGraph, seed: int) -> Folding:
    """PE and SIMD that mostly divide nothing."""
    rng = np.random.default_rng(seed)
    layers, pools = [], []
    for layer in chip_layers(graph):
        pe, simd = int(rng.integers(1, layer.outputs + 1)), int(rng.choice(legal_simd(layer)))
        layers.append(LayerFolding(layer.name, pe, simd))
        pools += [PoolFolding(p.name, int(rng.choice(legal_taps(p)))) for p in layer.pools]
    return Folding(tuple(layers), tuple(pools))


def plans(graph: IntGraph) -> list[Plan]:
    return [make_plan(graph, BOARD)] + [
        make_plan(graph, BOARD, folding=random_folding(graph, seed)) for seed in range(3)
    ]


def test_units_fed_by_the_packed_words_make_goldens_tensors(case: tuple[IntGraph, Values]) -> None:
    graph, x = case
    for plan in plans(graph):
        assert not differing(plan, graph, x)


def test_every_unit_and_every_form_of_it_is_among_the_cases() -> None:
    units = [u for make in CASES.values() for u in make_plan(make()[0], BOARD).units]
    levels = {u.levels for u in units if isinstance(u, LevelUnit)}
    assert {1, 3, 7, 15} <= levels
    assert {u.out_bits for u in units if isinstance(u, RequantUnit)} >= {5, 6, 8}
    assert {u.planes for u in units if isinstance(u, PlaneUnit)} == {(0, 0, 1, 1, 2, 2), (0, 1, 2)}
    assert {len(u.coefficients) for u in units if isinstance(u, TermsUnit)} == {1, 2, 3, 6}
    assert {u.in_bipolar for u in units if isinstance(u, SumPoolUnit)} == {True, False}
    assert {u.bits for u in units if isinstance(u, PoolUnit)} >= {1, 2, 4, 5}


def test_the_codes_are_no_constants(case: tuple[IntGraph, Values]) -> None:
    graph, x = case
    for name, values in golden.run(graph, x).items():
        if "codes" in name:
            spread = [len(np.unique(values[:, c])) for c in range(values.shape[1])]
            assert np.mean(np.array(spread) > 1) >= 0.6, name


def test_what_is_planned_is_what_a_clock_by_clock_run_takes(case: tuple[IntGraph, Values]) -> None:
    """No bubble and no lock; the latency is near what the plan says."""
    graph, _ = case
    for plan in plans(graph):
        frames = plan.frames_in_flight + 6
        found = simulate(plan, frames)
        assert found.period(frames // 2) == plan.figures.cycles_per_frame
        near = pytest.approx(plan.figures.latency_cycles, rel=0.1, abs=12 * len(plan.layers))
        assert found.ends[0] == near
        assert plan.figures.bound_cycles <= plan.figures.cycles_per_frame


def test_a_plans_folding_gives_the_plan_again(case: tuple[IntGraph, Values]) -> None:
    graph, _ = case
    plan = make_plan(graph, BOARD)
    folding = folding_of(plan)
    check_folding(graph, folding)
    again = make_plan(graph, BOARD, folding=folding)
    assert (again.units, again.edges) == (plan.units, plan.edges)
    assert [x.window for x in plan.layers] == [x.window for x in again.layers]


def test_the_image_holds_every_word_once(case: tuple[IntGraph, Values]) -> None:
    graph, _ = case
    for plan in plans(graph):
        image = pack.weight_image(plan, graph)
        assert len(image) == plan.image.total_bytes
        ends = [s.offset + s.start_bytes + s.weight_bytes for s in plan.image.segments]
        assert all(s.offset % pack.BURST == 0 for s in plan.image.segments)
        assert all(a <= s.offset for a, s in zip(ends, plan.image.segments[1:], strict=False))
        roms = sum(pack_bytes(plan, graph, e.source) for e in plan.edges if e.port not in ("data",))
        assert roms == sum(s.start_bytes + s.weight_bytes for s in plan.image.segments)


def pack_bytes(plan: Plan, graph: IntGraph, name: str) -> int:
    rom = plan.unit(name)
    words = (pack.start_words if name.endswith("_starts") else pack.weight_words)(plan, graph, rom)  # type: ignore[operator]
    return len(words) * -(-rom.width // 8)  # type: ignore[union-attr]
