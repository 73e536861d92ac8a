"""Random networks with branches whose layers have integer weights of 2 to 8 bits at any place: golden, the
generated C, the C++ core and the RTL make one and the same of every tensor."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from math import prod
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from rtl_tests.networks.network_checks import Network, check_rate, check_tensors
from rtl_tests.networks.network_graphs import random_folding
from tests.engine.library import NATIVE
from tests.plan import graph_networks
from tests.plan.code_networks import Conv, Dense, Values
from tests.plan.graph_networks import GraphMaker
from tests.sim import test_hls_graphs
from tests.sim.engine_library import EngineLibrary
from xnorhw import golden
from xnorhw.board import load_board
from xnorhw.emit import engine
from xnorhw.ir.int_graph import FullProduct, IntGraph, Product
from xnorhw.plan import make_plan, placed, plan_ends
from xnorhw.plan.model import MatrixUnit
from xnorhw.plan.stages import chip_layers
from xnorhw.sim.engine_run import engine_paths, run_program
from xnorhw.sim.multi import MultiModel

MANY = range(60)
FEW = (10, 125)
"""The first layer, the last one, one between others; a sum, concatenations, groups; an end on the host."""
BOARD = load_board("zcu104")


class FullMaker(GraphMaker):
    """Gives half of the products that have one term integer weights."""

    def product(self, name: str, layer: Conv | Dense) -> None:
        if layer.coefficients == (1,) and self.rng.integers(2):
            layer = dataclasses.replace(layer, weight_bits=int(self.rng.choice((2, 3, 4, 5, 7, 8, 8))))
        super().product(name, layer)


def draw(seed: int) -> IntGraph | None:
    """A network of full-precision layers and binary ones; None where either is missing."""
    with mock.patch.object(graph_networks, "GraphMaker", FullMaker):
        drawn = graph_networks.draw_graph(seed)
    if drawn is None:
        return None
    graph = drawn[0]
    kinds = {type(node.op) for node in graph.nodes}
    return graph if {FullProduct, Product} <= kinds else None


def inputs(graph: IntGraph, seed: int) -> Values:
    """Three frames with the least and the largest value in each."""
    kind = graph.input_tensor.type
    assert kind is not None
    rng = np.random.default_rng(seed)
    x = rng.integers(kind.min, kind.max, (3, *graph.input_tensor.shape), endpoint=True)
    x = np.where(x > 0, 1, -1) if kind.is_bipolar else x
    x.reshape(3, -1)[:, [0, -1]] = kind.max, kind.min
    return x


def networks_of(seeds: Iterable[int]) -> list[Network]:
    """A third with a random folding and all on the chip, and thirds with the ends on the host or anywhere."""
    found = []
    for seed in seeds:
        graph = draw(seed)
        if graph is None:
            continue
        graph = dataclasses.replace(graph, score_shape=(prod(graph.tensor(graph.output).shape),))
        if seed % 3:
            plan = plan_ends(graph, BOARD, "host" if seed % 3 == 1 else "auto")
        else:
            plan = make_plan(graph, BOARD, folding=random_folding(graph, seed))
        tensors = golden.run(graph, inputs(graph, seed))
        found.append(Network(f"random {seed}", placed(graph, plan), plan, tensors))
    return found


@pytest.fixture(scope="module", params=[FEW, pytest.param(MANY, marks=pytest.mark.long)])
def networks(request: pytest.FixtureRequest) -> list[Network]:
    found = networks_of(request.param)
    assert len(found) >= len(request.param) // 2
    return found


def test_the_rtl_is_golden(networks: list[Network], model: MultiModel, work: Path) -> None:
    check_tensors(networks, model, work)
    check_rate(networks, model, work)


def test_the_c_is_golden(networks: list[Network], work: Path) -> None:
    """Also what the host does in front of the chip and behind it."""
    NATIVE.skip_unless_here()
    library = EngineLibrary(work)
    for network in networks:
        graph, plan, tensors = network.graph, network.plan, network.tensors
        program = library.program(engine.files(graph, plan))
        wanted = golden.scores(graph, tensors[graph.output]).view(np.uint32)
        for path in engine_paths(program):
            run = run_program(program, graph, tensors[graph.input_tensor.name], work, plan=plan, path=path)
            where = f"{network.name} on {path}"
            for node in graph.nodes:
                assert np.array_equal(run.tensors[node.output.name], tensors[node.output.name]), where
            assert run.back_scores is not None and run.packed is not None
            assert np.array_equal(run.packed, test_hls_graphs.inputs(graph, plan, tensors)), where
            for scores in (run.scores, run.back_scores):
                assert np.array_equal(scores.view(np.uint32).reshape(wanted.shape), wanted), where


@pytest.mark.parametrize("part", [slice(0, 1), pytest.param(slice(1, None), marks=pytest.mark.long)])
def test_the_c_plus_plus_is_golden(networks: list[Network], part: slice, tmp_path: Path) -> None:
    for network in networks[part]:
        test_hls_graphs.check(
            network.graph, network.tensors[network.graph.input_tensor.name], network.plan, tmp_path
        )


def test_integer_weights_stand_everywhere() -> None:
    """First, last, between others, alone in a branch and with groups; a part of the ends is the host's."""
    first = last = between = grouped = hosted = 0
    for network in networks_of(range(30)):
        layers = chip_layers(network.graph)
        full = [layer.full for layer in layers]
        first, last = first + full[0], last + full[-1]
        between += any(full[1:-1])
        grouped += any(layer.full and layer.groups > 1 for layer in layers)
        hosted += any(isinstance(n.op, FullProduct) and not n.op.on_chip for n in network.graph.nodes)
    assert min(first, last, between, grouped, hosted) >= 1


def test_the_few_have_every_kind_of_product() -> None:
    found = networks_of(FEW)
    units = [u for n in found for u in n.plan.units if isinstance(u, MatrixUnit) and u.full]
    assert {(u.act_bipolar, u.dsps > 0) for u in units} == {(True, False), (False, False), (False, True)}
    assert any(u.groups > 1 and u.thresholded for u in units if u.dsps) and any(n.plan.on_host for n in found)
    layers = [[layer.full for layer in chip_layers(n.graph)] for n in found]
    assert any(x[0] for x in layers) and any(x[-1] for x in layers) and any(any(x[1:-1]) for x in layers)
