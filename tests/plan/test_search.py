"""The search against every folding there is, its bounds against the designs, what the rest buys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from tests.plan.networks import Conv, Layer, Linear, Pool, dense, digits, network, street_view
from xnorhw.board import Budget, load_board
from xnorhw.ir.errors import FitError
from xnorhw.ir.geometry import Pads
from xnorhw.ir.int_graph import IntGraph
from xnorhw.ir.types import code
from xnorhw.plan import make_plan
from xnorhw.plan.budget import Limits
from xnorhw.plan.candidates import KINDS, vector
from xnorhw.plan.design import Design, Pick
from xnorhw.plan.exact import LeastLuts
from xnorhw.plan.fabric import Fabric
from xnorhw.plan.geometry import LayerShape, layer_shape, legal_pe, legal_simd
from xnorhw.plan.network import Network, network_of
from xnorhw.plan.pick import stages
from xnorhw.plan.quicker import quicker
from xnorhw.plan.rows import legal_pixels
from xnorhw.plan.schedule import LoneFrames
from xnorhw.plan.search import Found, Search, pool_taps
from xnorhw.plan.settle import assign

BOARD = load_board("pynq-z2")
SEEDS = 50
ROOMY = Limits(1e6, 1e6, 1e4, 1e4)


def small(seed: int) -> IntGraph:
    """Two or three layers of a handful of channels."""
    draw = np.random.default_rng(seed)
    layers: list[Layer] = [Conv(int(draw.integers(2, 5)), (2, int(draw.integers(1, 3))))]
    if draw.random() < 0.5:
        layers.append(Pool())
    layers.append(Linear(int(draw.integers(2, 4))))
    shape = (int(draw.integers(1, 4)), int(draw.integers(4, 7)), int(draw.integers(4, 7)))
    return network(shape, layers, (None, code(2, False))[int(draw.integers(2))], seed)


def search_of(graph: IntGraph, limits: Limits) -> Search:
    fabric = Fabric(BOARD.family, 100.0, int(limits.dsp))
    return Search(network_of(graph, fabric), BOARD.stream_bits, limits, 1)


def every_design(network: Network, search: Search) -> Iterator[Design]:
    """Every legal PE, SIMD and pixels of every layer, pools as fast as the slowest layer."""
    options: list[list[LayerShape]] = [
        [layer_shape(x, pe, simd) for pe, simd in product(legal_pe(x), legal_simd(x))]
        + [layer_shape(x, x.outputs, x.channels * x.taps, pixels) for pixels in legal_pixels(x)[1:]]
        for x in network.layers
    ]
    for shapes in product(*options):
        period = max(search.floor, *(shape.cycles for shape in shapes))
        picks = []
        for layer, shape in zip(network.layers, shapes, strict=True):
            taps = pool_taps(layer, shape.pe, period, shape.pixels)
            if taps is None:
                break
            rest = "auto", "auto", taps, ("auto",) * len(taps), 0, shape.pixels
            picks.append(Pick(shape.pe, shape.simd, *rest))
        else:
            yield search.settler.design(tuple(picks), search.room)


@pytest.mark.parametrize("seed", range(5))
def test_no_folding_that_fits_is_faster(seed: int) -> None:
    """Brute force over all foldings: the same clocks a frame, and a design no dearer."""
    graph = small(seed)
    roomy = search_of(graph, ROOMY)
    designs = list(every_design(roomy.network, roomy))
    luts = sorted(design.total.lut for design in designs)
    for share in (0.1, 0.5, 0.9):
        limits = replace(ROOMY, lut=luts[int(share * (len(luts) - 1))] + 0.5, bram36=2)
        search = search_of(graph, limits)
        tried = list(every_design(search.network, search))
        fitting = [design for design in tried if limits.hold(design.total)]
        found = search.fastest()
        assert found is not None
        assert found.fits
        best = min(design.period for design in fitting)
        assert found.design.period == best == search.least_cycles
        price = search.settler.prices.of
        cheapest = min(price(design.total) for design in fitting if design.period <= best)
        assert price(found.design.total) <= cheapest * (1 + 1e-9)


@pytest.mark.parametrize("flip_flops", [828, 868])
def test_a_slower_rate_than_the_fastest_is_never_refused(flip_flops: int) -> None:
    """The cheapest design of a slow rate may want more flip-flops than a faster one."""
    search = search_of(digits(), replace(ROOMY, ff=flip_flops))
    fastest = search.fastest()
    assert fastest is not None
    periods = [p for p in search.periods(search.slowest()) if p >= fastest.design.period]
    plain = [search.at(period) for period in periods]
    assert any(found is None or not found.fits for found in plain)
    for period in periods:
        found = search.within(period)
        assert found is not None
        assert found.fits
        assert found.design.period <= period
        assert search.area_gap(found) >= 0
    assert search.within(fastest.design.period - 1) is search.at(fastest.design.period - 1)


def test_nothing_fits_where_brute_force_finds_nothing() -> None:
    graph = small(1)
    dear = search_of(graph, replace(ROOMY, lut=1.0))
    least = min(design.total.lut for design in every_design(dear.network, dear))
    assert search_of(graph, replace(ROOMY, lut=least - 1)).fastest() is None
    assert search_of(graph, replace(ROOMY, lut=least + 1)).fastest() is not None


@pytest.mark.parametrize("graph", [digits(), dense(), street_view()], ids=["digits", "dense", "street view"])
@pytest.mark.parametrize("period", [600, 8_000, 300_000])
def test_bounds_lie_below_the_designs(graph: IntGraph, period: int) -> None:
    """What the knapsack counts of a choice is no more than the design takes, in any kind of resource."""
    search = search_of(graph, Limits(40_000, 80_000, 120, 200))
    found = search.at(period)
    if found is None:
        return
    relaxation = search.relaxation(period)
    real = np.array(vector(found.design.total))
    # memories may change when the rings' depths are known, so the choice is that of the design
    memories = [x.memory.value for x in found.design.choices]
    for candidates, (option, _), memory, choice in zip(
        search.tables(period)[0], found.choice, memories, found.design.choices, strict=True
    ):
        rings = (choice.ring, *(pool.ring for pool in choice.pools))
        assert candidates.shapes[option] == choice.shape
        assert any(
            slot[0].value == memory and (not choice.shape.windowed or kinds == rings)
            for slot, kinds in candidates.memories
        )
    counted = relaxation.cost(_as_built(search, found, period))
    assert (counted <= real + 1e-6).all(), dict(zip(KINDS, real - counted, strict=True))
    assert counted[0] > 0.8 * real[0]
    # prices of a choice are never below the least price
    prices = search.prices
    assert relaxation.solve(prices).value <= float(counted @ prices) + 1e-9


def _as_built(search: Search, found: Found, period: int) -> tuple[tuple[int, int], ...]:
    built = []
    for candidates, (option, _), choice in zip(
        search.tables(period)[0], found.choice, found.design.choices, strict=True
    ):
        wanted = (choice.ring, *(pool.ring for pool in choice.pools))
        same = [
            m
            for m, (_, kinds) in enumerate(candidates.memories)
            if candidates.form(option, m) == choice.form
            and kinds[1:] == wanted[1:]
            and (not choice.shape.windowed or kinds[0] is wanted[0])
        ]
        built.append((option, same[0]))
    return tuple(built)


@pytest.mark.parametrize("graph", [digits(), street_view()], ids=["digits", "street view"])
def test_overfull_says_what_is_true(graph: IntGraph) -> None:
    """What a choice takes is never too little for it, and less than the fewest LUTs always is."""
    search = search_of(graph, Limits(40_000, 80_000, 120, 200))
    relaxation = search.relaxation(20_000)
    for room in (search.room, 0.5 * search.room):
        choice = relaxation.cheapest(search.prices, room)
        assert not relaxation.overfull(np.maximum(relaxation.cost(choice), 1e-3))
    plenty = np.array([1e9, 1e9, 1e9, 1e9])
    for kind in (0, 1):
        least = relaxation.solve(np.eye(4)[kind]).value
        limits = plenty.copy()
        limits[kind] = 0.99 * least
        assert relaxation.overfull(limits)
        limits[kind] = 1.01 * least
        assert not relaxation.overfull(limits)


def test_the_fewest_luts_by_every_choice() -> None:
    """Dynamic programming against all choices of a small network, for each amount of block RAM."""
    search = search_of(small(3), Limits(1e5, 1e5, 3.0, 10))
    period = search.slowest()
    relaxation = search.relaxation(period)
    count = [range(len(part.index)) for part in relaxation.parts]
    memories = [range(part.cost.shape[1]) for part in relaxation.parts]
    costs = []
    for rows in product(*count):
        for kinds in product(*memories):
            costs.append(relaxation.cost(tuple(zip(rows, kinds, strict=True)))[[0, 2]])
    table = np.array(costs)
    for blocks in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0):
        found = LeastLuts(relaxation, np.array([1e5, 1e5, max(blocks, 1e-3), 10]))
        fits = table[table[:, 1] <= blocks]
        if not len(fits):
            assert found.luts == np.inf
            assert found.choice() is None
            continue
        assert found.luts == pytest.approx(fits[:, 0].min())
        choice = found.choice()
        assert choice is not None
        assert relaxation.cost(choice)[0] == pytest.approx(found.luts)
        assert relaxation.cost(choice)[2] <= blocks


@pytest.mark.parametrize("seed", range(30))
def test_memories_are_assigned_as_by_brute_force(seed: int) -> None:
    draw = np.random.default_rng(seed)
    slots = [draw.integers(0, 40, (int(draw.integers(1, 4)), 4)).astype(float) for _ in range(5)]
    sums = [
        sum(slot[k] for slot, k in zip(slots, rows, strict=True))
        for rows in product(*(range(len(s)) for s in slots))
    ]
    table = np.array(sums)
    room = np.quantile(table, draw.uniform(0.2, 0.9), axis=0)
    prices = np.array([1.0, 0.25, 2.0, 1.0])
    chosen = assign(slots, room, prices)
    used = sum(slot[k] for slot, k in zip(slots, chosen, strict=True))
    fits = table[(table <= room).all(axis=1)]
    if len(fits):
        assert (used <= room).all()
        assert float(used @ prices) == pytest.approx((fits @ prices).min())


# --- the goals -------------------------------------------------------------------------------


@pytest.mark.parametrize("graph", [digits(), street_view()], ids=["digits", "street view"])
def test_what_is_left_buys_latency(graph: IntGraph) -> None:
    small, quick = (make_plan(graph, BOARD, goal=goal) for goal in ("area", "latency"))
    assert quick.figures.cycles_per_frame <= small.figures.cycles_per_frame
    assert quick.figures.latency_cycles < small.figures.latency_cycles
    assert quick.figures.resources.lut <= BOARD.fill * (BOARD.budget.lut - BOARD.shell.lut)
    assert make_plan(graph, BOARD) == quick
    assert small.proof is not None
    assert quick.proof is not None
    assert (small.proof.goal, quick.proof.goal) == ("area", "latency")
    assert small.proof.area_gap is not None
    assert quick.proof.area_gap is None
    for plan, proof in ((small, small.proof), (quick, quick.proof)):
        assert 1 <= plan.figures.cycles_per_frame / proof.least_cycles < 1.05


def test_what_gains_no_latency_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last step makes a design cheaper and no slower, and some design it does."""

    def spent(seed: int) -> tuple[int, float]:
        search = search_of(any_network(seed), Limits(20_000, 40_000, 60, 50))
        fastest = search.at(20_000)
        assert fastest is not None
        design = quicker(search, fastest).design
        return design.schedule.latency, search.settler.prices.of(design.total)

    with_it = [spent(seed) for seed in range(6)]
    monkeypatch.setattr("xnorhw.plan.quicker._Quicker._descend", lambda _: None)
    without = [spent(seed) for seed in range(6)]
    pairs = list(zip(with_it, without, strict=True))
    assert all(a[0] <= b[0] and (a[1] <= b[1] or a[0] < b[0]) for a, b in pairs)
    assert any(a[1] < b[1] for a, b in pairs)


def test_a_target_is_for_area_unless_latency_is_asked_for() -> None:
    small = make_plan(digits(), BOARD, target_fps=20_000.0)
    assert small == make_plan(digits(), BOARD, target_fps=20_000.0, goal="area")
    quick = make_plan(digits(), BOARD, target_fps=20_000.0, goal="latency")
    assert quick.figures.fps >= 20_000
    assert quick.figures.latency_cycles < small.figures.latency_cycles
    assert quick.figures.resources.lut > small.figures.resources.lut
    assert small.proof is not None
    assert small.proof.least_cycles == 0


def test_another_goal_is_refused() -> None:
    with pytest.raises(FitError, match="no goal 'speed'") as caught:
        make_plan(digits(), BOARD, goal="speed")  # type: ignore[arg-type]
    assert "latency or area" in caught.value.remedy


def test_the_street_view_network_at_its_goals() -> None:
    """20,000 frames a second at 100 MHz and 150 us, in 80 % of a Zynq-7020 with 5 k LUT of shell."""
    share = (0.8 * BOARD.budget.lut - BOARD.shell.lut) / (BOARD.budget.lut - BOARD.shell.lut)
    figures = make_plan(street_view(), replace(BOARD, fill=share)).figures
    assert figures.fps >= 20_000
    assert figures.latency_cycles <= 15_000
    for kind in ("lut", "bram36"):
        used = getattr(figures.resources, kind) + getattr(BOARD.shell, kind)
        assert used <= 0.8 * getattr(BOARD.budget, kind)


def test_latencies_that_share_their_beginning_are_the_same() -> None:
    """Frames through pipelines of which one is kept: as through each by itself."""
    search = search_of(digits(), ROOMY)
    found, network = search.tables(5_000)[0], search.network
    draw = np.random.default_rng(0)
    frames = LoneFrames(8, 5)
    last: list[int] = [0] * len(found)
    for turn in range(60):
        layer = int(draw.integers(len(found)))
        last[layer] = int(draw.integers(len(found[layer].shapes)))
        choice = tuple((option, 0) for option in last)
        line = stages(network, search.shapes(choice), search.picks(choice), {})
        assert frames.latency(line) == LoneFrames(8, 5).latency(line)
        if turn % 3 == 0:
            frames.keep(line)


# --- what is handed out ----------------------------------------------------------------------


def any_network(seed: int) -> IntGraph:
    draw = np.random.default_rng(seed)
    kind = (None, code(8, True), code(3, False))[int(draw.integers(3))]
    side = int(draw.integers(6, 17))
    layers: list[Layer] = []
    for _ in range(int(draw.integers(1, 4))):
        pads = Pads(1, 1, 1, 1) if draw.random() < 0.7 else Pads()
        layers.append(Conv(int(draw.integers(4, 65)), pads=pads))
        if draw.random() < 0.3 and side >= 8:
            layers.append(Pool())
            side //= 2
    layers += [Linear(int(draw.integers(5, 65))) for _ in range(int(draw.integers(1, 3)))]
    return network((int(draw.integers(1, 4)), 16, 16), layers, kind, seed)


@pytest.mark.parametrize("name", ["pynq-z2", "zcu104", "ultra96-v2"])
def test_nothing_is_handed_out_that_does_not_fit(name: str) -> None:
    """Random networks on boards cut down until they bind: limits kept, the period as planned, gaps small."""
    board = load_board(name)
    gaps: list[float] = []
    for seed in range(SEEDS):
        draw = np.random.default_rng(1000 + seed)
        cut = float(draw.uniform(0.15, 0.5))
        budget = Budget(
            board.shell.lut + cut * board.budget.lut,
            board.shell.ff + cut * board.budget.ff,
            board.shell.bram36 + cut * board.budget.bram36,
            dsp=board.shell.dsp + cut * board.budget.dsp,
        )
        tight = replace(board, budget=budget)
        try:
            plan = make_plan(any_network(seed), tight)
        except FitError as error:
            assert "does not fit" in error.reason
            continue
        figures, proof = plan.figures, plan.proof
        for kind in KINDS:
            left = getattr(budget, kind) - getattr(board.shell, kind)
            assert getattr(figures.resources, kind) <= board.fill * left, (seed, kind)
        slowest = max(x.cycles for x in plan.layers)
        edges = (plan.input_frame.beats, plan.output_frame.beats)
        assert figures.cycles_per_frame == max(slowest, *edges), seed
        assert figures.bound_cycles <= figures.cycles_per_frame
        assert proof is not None
        assert proof.least_cycles <= figures.cycles_per_frame, seed
        gaps.append(figures.cycles_per_frame / proof.least_cycles)
    assert len(gaps) >= 0.8 * SEEDS
    assert np.median(gaps) == 1
    assert np.quantile(gaps, 0.9) < 1.15
    # one fits by a memory in blocks and LUTs alone, far from its bound
    assert max(gaps) < 1.75
