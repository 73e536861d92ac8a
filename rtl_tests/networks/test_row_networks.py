"""Layers that take several pixels a clock, as RTL: every tensor under stalls, and the pace."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtl_tests.networks.network_checks import Network, check_rate, check_tensors
from rtl_tests.networks.network_graphs import Conv, Linear, Pool, network, random_network
from tests.plan.code_networks import draw
from tests.plan.graph_networks import CASES as GRAPHS
from tests.plan.row_cases import CASES, row_folding
from xnorhw import golden
from xnorhw.board import load_board
from xnorhw.ir.errors import ModelError
from xnorhw.ir.geometry import Pads
from xnorhw.plan import make_plan
from xnorhw.plan.model import Memory
from xnorhw.plan.stages import chip_layers
from xnorhw.sim.multi import MultiModel

ALL = Pads(1, 1, 1, 1)
BOARD = load_board("zcu104")
# padding of +1 and -1, kernels with holes
BY_HAND = {
    "pads of +1": lambda: network((2, 5, 8), [Conv(4, pads=ALL, pad_value=1), Pool(), Linear(3)], seed=1),
    "pads of -1": lambda: network(
        (2, 6, 6), [Conv(4, pads=ALL, pad_value=-1), Conv(3, (2, 3), pads=ALL)], seed=2
    ),
    "holes": lambda: network(
        (2, 8, 12), [Conv(4, dilation=(1, 2), pads=ALL), Conv(3, (2, 2), (2, 2))], seed=3
    ),
}
DRAWN = range(20)
# forks behind words of several pixels, and sums, concatenations and values of what comes after
BRANCHES = ("residual", "channels doubled", "fire", "numbers", "ties to even")


def planned() -> list[Network]:
    """The cases with their pixels, and random networks with random ones, where a layer can take several."""
    found = []
    for number, (name, (make, pixels)) in enumerate(CASES.items()):
        graph, x = make()
        plan = make_plan(graph, BOARD, folding=row_folding(graph, number, pixels))
        found.append(Network(name, graph, plan, golden.run(graph, x)))
    made = {name: make() for name, make in BY_HAND.items()}
    made |= {f"random {seed}": random_network(seed) for seed in DRAWN}
    made |= {f"codes {seed}": case for seed in DRAWN if (case := draw(seed)) is not None}
    made |= {name: GRAPHS[name]() for name in BRANCHES}
    for number, (name, (graph, x)) in enumerate(made.items()):
        try:
            plan = make_plan(graph, BOARD, folding=row_folding(graph, number))
        except ModelError:
            continue
        if any(layer.pixels > 1 for layer in plan.layers):
            found.append(Network(name, graph, plan, golden.run(graph, x)))
    return found


@pytest.fixture(scope="module")
def networks() -> list[Network]:
    return planned()


def test_every_tensor_is_goldens(networks: list[Network], model: MultiModel, work: Path) -> None:
    check_tensors(networks, model, work)


def test_the_rate_is_the_planned_one(networks: list[Network], model: MultiModel, work: Path) -> None:
    check_rate(networks, model, work)


def test_the_networks_have_it_all(networks: list[Network]) -> None:
    """Weights in adders and in ROMs, thresholds and sums, words of 2, 3, 4 and 8 pixels."""
    seen = [(n, layer) for n in networks for layer in n.plan.layers if layer.pixels > 1]
    assert len(seen) >= 30
    assert {layer.memory for _, layer in seen} >= {Memory.LEAF, Memory.LUT}
    assert {layer.pixels for _, layer in seen} >= {2, 3, 4, 8}
    raw = [n for n, layer in seen if layer.name == n.plan.output_tensor]
    assert raw and len({layer.name for n, layer in seen if not chip_layers(n.graph)[0].in_matrix}) > 1
