"""Whole networks through the one bench: every test of it, on networks that share a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from rtl_tests.networks.network_graphs import Conv, Linear, Pool, network, random_folding, random_network
from rtl_tests.runner import require_simulator
from xnorhw import golden
from xnorhw.board import load_board
from xnorhw.emit.sim import observed_edges, result_frames
from xnorhw.ir.geometry import Pads
from xnorhw.ir.int_graph import IntGraph
from xnorhw.pack import unpack_stream
from xnorhw.plan import Folding, LayerFolding, make_plan
from xnorhw.plan.model import Plan
from xnorhw.sim.multi import MultiModel, multi_model

ALL = Pads(1, 1, 1, 1)
NETWORKS = {
    # one layer, a frame of one beat each way
    "linear": lambda: network((8, 1, 1), [Linear(2)], seed=1, frames=5),
    # the last rows and columns are never looked at: a result may be known before its frame is in
    "trailing rows": lambda: network((5, 9, 7), [Conv(3, (2, 2), (3, 3))], seed=2, bits=3),
    # the start table's classes, pools that overlap and pad
    "padded": lambda: network(
        (3, 7, 6),
        [Conv(6, pads=ALL), Pool((3, 3), (2, 2), ALL), Conv(5, (3, 2), (2, 1), Pads(0, 1, 2, 1)), Linear(4)],
        seed=3,
        bits=8,
        signed=True,
    ),
    # more results than input
    "many sums": lambda: network((2, 5, 5), [Conv(7, pads=ALL)], seed=4, bits=2, frames=3),
    # whole windows, read in parts while the one before is held; codes whose sums of pairs PEs share
    "held windows": lambda: network(
        (2, 7, 6), [Conv(8, pads=ALL), Conv(6), Linear(4)], seed=5, bits=8, signed=True
    ),
    **{f"random {seed}": lambda seed=seed: random_network(seed) for seed in (11, 12, 13, 14)},
}
BY_HAND = {
    "linear": [(1, 8)],
    "trailing rows": [(2, 5)],
    "many sums": [(3, 2)],
    "held windows": [(2, 18), (1, 72), (1, 12)],
}


@dataclass(frozen=True)
class Campaign:
    """The networks in one model, with what golden says of their frames."""

    plans: list[Plan]
    graphs: list[IntGraph]
    tensors: list[dict[str, npt.NDArray[np.int64]]]
    model: MultiModel
    work: Path


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    require_simulator()
    board = load_board("pynq-z2")
    plans, graphs, tensors = [], [], []
    for number, (name, make) in enumerate(NETWORKS.items()):
        graph, x = make()
        folding = random_folding(graph, number)
        if name in BY_HAND:
            entries = zip(folding.layers, BY_HAND[name], strict=True)
            folding = Folding(tuple(LayerFolding(e.name, pe, simd) for e, (pe, simd) in entries))
        plans.append(make_plan(graph, board, folding=folding))
        graphs.append(graph)
        tensors.append(golden.run(graph, x))
    model = multi_model(list(zip(plans, graphs, strict=True)))
    return Campaign(plans, graphs, tensors, model, tmp_path_factory.mktemp("networks"))


@pytest.mark.parametrize("index", range(len(NETWORKS)), ids=list(NETWORKS))
def test_network(campaign: Campaign, index: int) -> None:
    plan, graph, tensors = campaign.plans[index], campaign.graphs[index], campaign.tensors[index]
    run = campaign.model.run_cocotb(index, tensors, campaign.work, test="", seed=index + 1)
    assert run.passed, [f"{o.test}: {o.message}" for o in run.outcomes if o.message]
    assert len(run.outcomes) >= 11
    # the last test sends the first frame alone; its words must be those of golden
    assert np.array_equal(run.results, result_frames(plan, tensors[plan.output_tensor][:1]))
    for name, edge in observed_edges(plan).items():
        tensor = graph.tensor(name)
        assert tensor.type is not None
        values = unpack_stream(edge.stream, run.streams[name], tensor.shape, tensor.type)
        assert np.array_equal(values, tensors[name][:1]), name


def test_networks_are_not_vacuous(campaign: Campaign) -> None:
    """Most thresholded channels take both values, so that a wrong threshold shows."""
    mixed = total = 0
    for tensors in campaign.tensors:
        for name, values in tensors.items():
            if name.startswith("sign"):
                channels = values.transpose(1, 0, 2, 3).reshape(values.shape[1], -1)
                mixed += int((channels != channels[:, :1]).any(axis=1).sum())
                total += len(channels)
    assert total >= 30 and mixed >= 0.8 * total
