"""One small network, emitted and compiled once for all tests of this folder."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from xnorhw import golden
from xnorhw.board import load_board
from xnorhw.emit import rom, rtl, sim
from xnorhw.ir.geometry import Pads
from xnorhw.ir.int_graph import IntGraph
from xnorhw.pack import pack_frames
from xnorhw.plan import Folding, LayerFolding, make_plan
from xnorhw.plan.model import Plan
from xnorhw.sim.tools import missing_tools

NETWORKS = str(Path(__file__).resolve().parents[2] / "rtl_tests" / "networks")
if NETWORKS not in sys.path:
    sys.path.insert(0, NETWORKS)

from network_graphs import Conv, Linear, Pool, network  # noqa: E402

HASH = 0x1122334455667788


@dataclass(frozen=True)
class Emitted:
    """A network with its files, its frames and what golden says of them."""

    plan: Plan
    graph: IntGraph
    files: dict[str, str]
    tensors: dict[str, npt.NDArray[Any]]
    frames: npt.NDArray[np.uint8]
    results: npt.NDArray[np.uint8]
    work: Path


@pytest.fixture(scope="session")
def emitted(tmp_path_factory: pytest.TempPathFactory) -> Emitted:
    """Signed codes, padding, a pool of both kinds, a linear layer; a work folder with a space."""
    if missing_tools() and not os.environ.get("CI"):
        pytest.skip("; ".join(f"{tool.name} is missing: {tool.remedy}" for tool in missing_tools()))
    layers = [Conv(6, pads=Pads(1, 1, 1, 1)), Pool(), Linear(5)]
    graph, x = network((3, 6, 6), layers, seed=5, bits=4, signed=True)
    folding = Folding((LayerFolding("conv0", 4, 3), LayerFolding("conv2", 2, 6)))
    plan = make_plan(graph, load_board("pynq-z2"), folding=folding)
    tensors = golden.run(graph, x)
    kind = graph.tensor(plan.input_tensor).type
    assert kind is not None
    return Emitted(
        plan,
        graph,
        {**rtl.files(plan, HASH), **rom.files(plan, graph), **sim.files(plan, HASH)},
        tensors,
        pack_frames(plan, tensors[plan.input_tensor], kind),
        sim.result_frames(plan, tensors[plan.output_tensor]),
        tmp_path_factory.mktemp("with a space") / "work",
    )


@pytest.fixture(scope="session")
def device_build(small_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The small network as a device: compiled once, with frames and their golden results."""
    if missing_tools() and not os.environ.get("CI"):
        pytest.skip("; ".join(f"{tool.name} is missing: {tool.remedy}" for tool in missing_tools()))
    from tests.sim.device_fixtures import make_build

    return make_build(small_build, tmp_path_factory.mktemp("device") / "work")
