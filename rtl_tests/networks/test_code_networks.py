"""Networks of codes, weighted terms, planes and average pools in Verilator, every tensor compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from rtl_tests.networks.network_graphs import random_folding
from rtl_tests.runner import require_simulator
from tests.plan.code_cases import CASES
from tests.plan.code_networks import Values, draw
from xnorhw import golden
from xnorhw.board import load_board
from xnorhw.emit.sim import observed_edges, timeout_cycles
from xnorhw.ir.errors import ModelError
from xnorhw.ir.int_graph import IntGraph
from xnorhw.pack import pack_frames, unpack_results, unpack_stream
from xnorhw.plan import make_plan
from xnorhw.plan.model import LevelUnit, Plan, PlaneUnit, PoolUnit, RequantUnit, SumPoolUnit, TermsUnit
from xnorhw.plan.stages import chip_layers
from xnorhw.sim.compiled import Stalls
from xnorhw.sim.multi import MultiModel, multi_model

SEEDS = range(40)
REPEATS = 2


@dataclass(frozen=True)
class Network:
    """A network, its plan, and what golden says of its frames."""

    name: str
    graph: IntGraph
    plan: Plan
    tensors: dict[str, Values]


NO_WINDOW = "some of its windows lie wholly on padding"


def planned(made: dict[str, tuple[IntGraph, Values] | None]) -> list[Network]:
    """The networks with a random folding each, but for those whose windows lie on padding alone."""
    board = load_board("zcu104")
    found = []
    for number, (name, case) in enumerate(made.items()):
        if case is None:
            continue
        graph, x = case
        try:
            plan = make_plan(graph, board, folding=random_folding(graph, number))
        except ModelError as error:
            if NO_WINDOW not in error.reason:
                raise
            continue
        found.append(Network(name, graph, plan, golden.run(graph, x)))
    return found


def on_chip(graph: IntGraph, plan: Plan) -> set[str]:
    """The tensors that are made from the plan's input on."""
    names = [graph.input_tensor.name, *(node.output.name for node in graph.nodes)]
    return set(names[names.index(plan.input_tensor) + 1 : names.index(plan.output_tensor) + 1])


def check_tensors(networks: list[Network], model: MultiModel, work: Path) -> None:
    """Every observed tensor and the results are golden's, under stalls on both sides."""
    for index, network in enumerate(networks):
        plan, graph = network.plan, network.graph
        kind = graph.tensor(plan.input_tensor).type
        assert kind is not None
        frames = np.tile(pack_frames(plan, network.tensors[plan.input_tensor], kind), (REPEATS, 1))
        # both sides pausing at random; then a reader so late that everything fills up first
        for stalls in (Stalls(1, 40, 40), Stalls(2, 0, 60, hold=timeout_cycles(plan) - 500)):
            run = model.run_compiled(index, frames, work, stalls=stalls)
            where = f"{network.name}, {stalls}"
            assert run.registers["ERRORS"] == 0, where
            edges = observed_edges(plan)
            hidden = {layer.name for layer in chip_layers(graph) if layer.in_matrix}
            # what stands in front of the chip's input and behind its output runs on the host
            names = [graph.input_tensor.name, *(n.output.name for n in graph.nodes)]
            chip = names[names.index(plan.input_tensor) + 1 : names.index(plan.output_tensor) + 1]
            assert set(edges) == set(chip) - hidden, where
            for name, edge in edges.items():
                tensor = graph.tensor(name)
                assert tensor.type is not None
                values = unpack_stream(edge.stream, run.streams[name], tensor.shape, tensor.type)
                wanted = np.tile(network.tensors[name], (REPEATS, 1, 1, 1))
                assert np.array_equal(values, wanted), f"{where}, {name}"
            sums = unpack_results(plan, run.results, graph.tensor(plan.output_tensor).shape)
            assert np.array_equal(sums, np.tile(network.tensors[plan.output_tensor], (REPEATS, 1, 1, 1)))


def check_rate(networks: list[Network], model: MultiModel, work: Path) -> None:
    """Frames come back as far apart as was planned, and within a fiftieth of it."""
    for index, network in enumerate(networks):
        plan = network.plan
        kind = network.graph.tensor(plan.input_tensor).type
        assert kind is not None
        frames = pack_frames(plan, network.tensors[plan.input_tensor], kind)
        run = model.run_compiled(index, np.resize(frames, (21, frames.shape[1])), work)
        assert run.cycles_per_frame is not None
        assert run.cycles_per_frame <= 1.02 * plan.figures.cycles_per_frame + 1, network.name


def by_hand() -> list[Network]:
    """The networks that were made to hold every unit."""
    return planned({name: make() for name, make in CASES.items()})


def drawn() -> list[Network]:
    """Random ones."""
    found = planned({f"random {seed}": draw(seed) for seed in SEEDS})
    assert len(found) >= len(SEEDS) // 2
    return found


@pytest.fixture(scope="module", params=[by_hand, pytest.param(drawn, marks=pytest.mark.long)])
def networks(request: pytest.FixtureRequest) -> list[Network]:
    found: list[Network] = request.param()
    assert len(found) >= 10
    return found


@pytest.fixture(scope="module")
def model(networks: list[Network]) -> MultiModel:
    require_simulator()
    return multi_model([(n.plan, n.graph) for n in networks])


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the model is compiled, once."""
    return tmp_path_factory.mktemp("codes")


def test_every_tensor_is_goldens(networks: list[Network], model: MultiModel, work: Path) -> None:
    check_tensors(networks, model, work)


def test_frames_come_at_the_planned_rate(networks: list[Network], model: MultiModel, work: Path) -> None:
    check_rate(networks, model, work)


def test_the_networks_hold_every_unit_in_every_form() -> None:
    units = [u for n in by_hand() for u in n.plan.units]
    assert {u.levels for u in units if isinstance(u, LevelUnit)} >= {1, 3, 7, 15}
    assert {u.out_bits for u in units if isinstance(u, RequantUnit)} >= {5, 8}
    assert len({u.planes for u in units if isinstance(u, PlaneUnit)}) >= 2
    assert {u.doubles for u in units if isinstance(u, TermsUnit)} == {True, False}
    pools = [u for u in units if isinstance(u, SumPoolUnit)]
    assert {u.in_bipolar for u in pools} == {u.taps_per_word > 1 for u in pools} == {True, False}
    assert {u.bits for u in units if isinstance(u, PoolUnit)} >= {1, 2, 4, 5}
