"""Networks with their plans, compared with golden in Verilator under stalls, and timed against the plan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtl_tests.networks.network_graphs import random_folding
from tests.plan.code_networks import Values
from xnorhw import golden
from xnorhw.board import load_board
from xnorhw.emit.sim import observed_edges, timeout_cycles
from xnorhw.ir.errors import ModelError
from xnorhw.ir.int_graph import IntGraph
from xnorhw.pack import pack_frames, unpack_results, unpack_stream
from xnorhw.plan import make_plan
from xnorhw.plan.model import Plan
from xnorhw.plan.stages import chip_layers
from xnorhw.sim.compiled import Stalls
from xnorhw.sim.multi import MultiModel

REPEATS = 2


@dataclass(frozen=True)
class Network:
    """A network, its plan, and what golden says of its frames."""

    name: str
    graph: IntGraph
    plan: Plan
    tensors: dict[str, Values]


NO_WINDOW = "some of its windows lie wholly on padding"


def planned(
    made: dict[str, tuple[IntGraph, Values] | None], board_name: str = "zcu104", dsps: int = 0
) -> list[Network]:
    """The networks with a random folding each, but for those whose windows lie on padding alone."""
    board = load_board(board_name)
    found = []
    for number, (name, case) in enumerate(made.items()):
        if case is None:
            continue
        graph, x = case
        try:
            plan = make_plan(graph, board, folding=random_folding(graph, number, dsps))
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
