"""Which full-precision layers the planner puts on the chip, and what it says of the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.plan.code_networks import Conv, Dense, Layer, Levels, network
from xnorhw.board import load_board
from xnorhw.emit.build import build_hash
from xnorhw.ir.errors import FitError, ModelError
from xnorhw.ir.int_graph import FullProduct, HostFull, IntGraph, IntNode
from xnorhw.ir.types import code
from xnorhw.plan import ends as rule
from xnorhw.plan import folding_of, make_plan, placed, plan_ends
from xnorhw.plan.ends import with_full_layers
from xnorhw.plan.model import Plan
from xnorhw.plan.stages import chip_layers

BOARD = load_board("pynq-z2")
SIGN = Levels(1, "sign")
ENDS: list[Layer] = [
    Conv(8, codes=SIGN, weight_bits=8),
    Conv(8, codes=SIGN),
    Dense(4, weight_bits=8),
]


def graph_of(layers: list[Layer], seed: int = 0) -> IntGraph:
    """A network as lowering leaves it: every full-precision layer on the host."""
    graph, _ = network((2, 8, 8), layers, code(8, True), seed=seed)
    return with_full_layers_left(graph)


def with_full_layers_left(graph: IntGraph) -> IntGraph:
    nodes = tuple(
        replace(n, op=replace(n.op, on_chip=False)) if isinstance(n.op, FullProduct) else n
        for n in graph.nodes
    )
    return replace(graph, nodes=nodes)


def heavier(graph: IntGraph, name: str) -> IntGraph:
    """One weight of layer ``name`` has 9 bits."""

    def changed(node: IntNode) -> IntNode:
        if node.output.name != name:
            return node
        assert isinstance(node.op, FullProduct)
        weight = node.op.weight.copy()
        weight[0, 0, 0, 0] = 200
        return replace(node, op=replace(node.op, weight=weight))

    return replace(graph, nodes=tuple(map(changed, graph.nodes)))


def on_chip(plan: Plan) -> list[str]:
    return [layer.name for layer in plan.layers]


def test_both_ends_go_to_the_chip_where_that_costs_no_frames() -> None:
    graph = graph_of(ENDS)
    plan = plan_ends(graph, BOARD)
    assert on_chip(plan) == ["layer0", "layer1", "layer2"] and plan.on_host == ()
    assert (plan.input_tensor, plan.output_tensor) == ("input", "layer2")
    marked = placed(graph, plan)
    assert [layer.name for layer in chip_layers(marked)] == on_chip(plan)
    assert plan == make_plan(marked, BOARD) == plan_ends(graph, BOARD, "chip")
    # what is built is what the graph says, whoever plans it again
    assert plan_ends(marked, BOARD, "host") == plan_ends(graph, BOARD, "host")


def test_the_host_keeps_them_where_it_is_asked_to() -> None:
    graph = graph_of(ENDS)
    plan = plan_ends(graph, BOARD, "host")
    assert on_chip(plan) == ["layer1"] and (plan.input_tensor, plan.output_tensor) == ("codes0", "layer1")
    assert [name for name, _ in plan.on_host] == ["layer0", "layer2"]
    assert all("--ends host" in why for _, why in plan.on_host)
    assert placed(graph, plan) == graph or not any(
        isinstance(n.op, FullProduct) and n.op.on_chip for n in placed(graph, plan).nodes
    )


@pytest.mark.parametrize(("wide", "left"), [("layer0", "layer2"), ("layer2", "layer0")])
def test_weights_of_more_than_8_bits_stay_on_the_host(wide: str, left: str) -> None:
    graph = heavier(graph_of(ENDS), wide)
    plan = plan_ends(graph, BOARD)
    assert set(on_chip(plan)) == {"layer1", left}
    ((name, why),) = plan.on_host
    assert name == wide and "takes 9 bits" in why
    with pytest.raises(ModelError, match="takes 9 bits") as error:
        plan_ends(graph, BOARD, "chip")
    assert error.value.module == wide


def test_a_layer_outside_of_one_that_the_host_keeps_stays_with_it() -> None:
    layers: list[Layer] = [Conv(4, codes=SIGN, weight_bits=4), *ENDS]
    plan = plan_ends(heavier(graph_of(layers), "layer1"), BOARD)
    assert on_chip(plan) == ["layer2", "layer3"]
    why = dict(plan.on_host)
    assert "layer1, which stands between" in why["layer0"] and "9 bits" in why["layer1"]


def test_between_two_layers_of_the_chip_there_is_no_choice() -> None:
    layers: list[Layer] = [Conv(8, codes=SIGN), Conv(8, codes=SIGN, weight_bits=8), Dense(4)]
    graph = graph_of(layers)
    for ends in ("host", "auto", "chip"):
        plan = plan_ends(graph, BOARD, ends)  # type: ignore[arg-type]
        assert on_chip(plan) == ["layer0", "layer1", "layer2"] and plan.on_host == ()
    with pytest.raises(ModelError, match="9 bits"):
        plan_ends(heavier(graph, "layer1"), BOARD)
    # a planner that is given the graph as it is puts nothing anywhere
    with pytest.raises(ModelError, match="between two layers of the chip"):
        make_plan(graph, BOARD)


def test_a_folding_says_which_are_on_the_chip() -> None:
    graph = graph_of(ENDS)
    for ends in ("host", "chip"):
        wanted = plan_ends(graph, BOARD, ends)
        again = plan_ends(graph, BOARD, folding=folding_of(wanted))
        assert on_chip(again) == on_chip(wanted) and again.units == wanted.units
    assert (
        "no entry"
        in plan_ends(graph, BOARD, folding=folding_of(plan_ends(graph, BOARD, "host"))).on_host[0][1]
    )
    with pytest.raises(FitError, match="no entry for this layer"):
        plan_ends(graph, BOARD, "chip", folding=folding_of(plan_ends(graph, BOARD, "host")))


def test_the_same_chip_has_the_same_number_whatever_left_a_layer_to_the_host() -> None:
    graph = heavier(graph_of(ENDS), "layer0")
    plan = plan_ends(graph, BOARD)
    again = plan_ends(graph, BOARD, folding=folding_of(plan))
    assert plan.on_host != again.on_host and plan.units == again.units
    assert build_hash(placed(graph, plan), plan) == build_hash(placed(graph, again), again)
    with pytest.raises(FitError, match="the chip has no layer of this name"):
        plan_ends(graph, BOARD, "host", folding=folding_of(plan))


def test_a_slower_chip_is_no_gain_where_the_host_keeps_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # 20 000 multiplications a channel in front: far more clocks than the layers behind it
    layers: list[Layer] = [Conv(64, (5, 5), codes=SIGN, weight_bits=8), Conv(4, (4, 4), codes=SIGN), Dense(2)]
    graph = graph_of(layers)
    slow, fast = plan_ends(graph, BOARD, "chip").figures.fps, plan_ends(graph, BOARD, "host").figures.fps
    assert slow < fast
    macs = 64 * 2 * 25 * 16
    monkeypatch.setattr(rule, "HOST_MACS_A_SECOND", macs * slow)
    assert on_chip(plan_ends(graph, BOARD))[0] == "layer0"
    monkeypatch.setattr(rule, "HOST_MACS_A_SECOND", macs * slow * 1.01)
    plan = plan_ends(graph, BOARD)
    assert on_chip(plan)[0] == "layer1"
    assert "frames a second" in plan.on_host[0][1] and f"{slow:,.0f}" in plan.on_host[0][1]
    # a rate that it reaches is enough, were the design without it the faster one all the same
    faster = 0
    for rate in (slow / k for k in range(2, 9)):
        with_it, without = (
            plan_ends(graph, BOARD, ends, target_fps=rate).figures.fps for ends in ("chip", "host")
        )
        faster += with_it < without
        assert on_chip(plan_ends(graph, BOARD, target_fps=rate))[0] == "layer0"
    assert faster
    assert on_chip(plan_ends(graph, BOARD, target_fps=(slow + fast) / 2))[0] == "layer1"


def test_an_end_that_holds_up_the_other_is_no_reason_against_it() -> None:
    # without the last layer a map of sums leaves the chip: more beats than that rate leaves
    layers: list[Layer] = [
        Conv(4, (3, 3), codes=SIGN, weight_bits=8),
        Conv(32, (1, 1), codes=SIGN),
        Dense(2, weight_bits=8),
    ]
    graph = graph_of(layers)
    beats = plan_ends(graph, BOARD, "host").output_frame.beats
    assert beats == 32 * 36 // 2
    plan = plan_ends(graph, BOARD, target_fps=BOARD.clock_mhz * 1e6 / (beats - 100))
    assert on_chip(plan) == ["layer0", "layer1", "layer2"] and plan.on_host == ()


def test_a_rate_that_either_end_on_the_host_rules_out_is_reached_with_both_on_the_chip() -> None:
    # between the ends lie maps of many channels, of more beats than that rate leaves
    layers: list[Layer] = [
        Conv(64, (3, 3), codes=Levels(3), weight_bits=2),
        Conv(64, (1, 1), codes=SIGN),
        Dense(2, weight_bits=2),
    ]
    graph = graph_of(layers)
    wanted = plan_ends(graph, BOARD, "chip", target_fps=400_000.0)
    for left in ("layer0", "layer2"):
        with pytest.raises(FitError, match="cannot be reached"):
            make_plan(with_full_layers(graph, {left}), BOARD, target_fps=400_000.0)
    assert plan_ends(graph, BOARD, target_fps=400_000.0) == wanted
    # what is in front of a layer that no chip takes stays with it, for its own reason
    framed: list[Layer] = [Conv(3, codes=SIGN, weight_bits=9), *layers]
    plan = plan_ends(graph_of(framed), BOARD, target_fps=300_000.0)
    assert on_chip(plan) == ["layer1", "layer2", "layer3"]
    ((name, why),) = plan.on_host
    assert name == "layer0" and "takes 9 bits" in why


def test_what_does_not_fit_stays_on_the_host() -> None:
    graph = graph_of([*ENDS[:2], Dense(4, weight_bits=8)])
    least = plan_ends(graph, BOARD, "host", target_fps=1.0).figures.resources
    small = replace(BOARD, budget=replace(BOARD.budget, lut=BOARD.shell.lut + least.lut / BOARD.fill + 30))
    plan = plan_ends(graph, small)
    assert on_chip(plan) == ["layer1"] and all("does not fit" in why for _, why in plan.on_host)
    with pytest.raises(FitError, match="does not fit") as error:
        plan_ends(graph, small, "chip")
    assert "--ends auto" in error.value.remedy


def test_real_values_are_the_hosts() -> None:
    weight = np.ones((3, 4), np.int32)
    graph = replace(graph_of(ENDS), host=(HostFull("scores", weight, 4, 4, None),))
    plan = plan_ends(graph, BOARD)
    assert [name for name, _ in plan.on_host] == ["scores"] and "real values" in plan.on_host[0][1]
    with pytest.raises(ModelError, match="real values") as error:
        plan_ends(graph, BOARD, "chip")
    assert error.value.module == "scores"


def test_a_network_without_full_layers_is_planned_as_it_was() -> None:
    graph = graph_of([Conv(4, codes=SIGN), Dense(2)])
    assert plan_ends(graph, BOARD) == make_plan(graph, BOARD) == plan_ends(graph, BOARD, "chip")


def test_a_network_of_full_layers_alone_is_refused() -> None:
    graph = graph_of([Conv(4, codes=SIGN, weight_bits=4), Dense(2, weight_bits=4)])
    for ends in ("auto", "host", "chip"):
        with pytest.raises(ModelError, match="no binary layer"):
            plan_ends(graph, BOARD, ends)


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(ModelError, match="no choice 'cpu'") as error:
        plan_ends(graph_of(ENDS), BOARD, "cpu")  # type: ignore[arg-type]
    assert "auto, host, chip" in error.value.remedy


def test_marks_are_exactly_those_asked_for() -> None:
    graph = graph_of(ENDS)
    marked = with_full_layers(graph, {"layer2"})
    assert [layer.name for layer in chip_layers(marked)] == ["layer1", "layer2"]
    assert [layer.name for layer in chip_layers(with_full_layers(marked, ()))] == ["layer1"]
