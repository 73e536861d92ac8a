"""Networks of codes, weighted terms, planes and average pools through the generated C++, every tensor
compared: on bounded streams with random stalls, as C simulation, and back to back for the pace."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.plan.code_cases import CASES
from tests.plan.code_networks import Values, draw
from tests.sim.hls_pace import pace
from xnorhw import golden
from xnorhw.board import load_board
from xnorhw.emit import hls
from xnorhw.emit.sim import observed_edges
from xnorhw.ir.int_graph import IntGraph
from xnorhw.pack import pack_frames, unpack_results, unpack_stream
from xnorhw.plan import Folding, LayerFolding, PoolFolding, make_plan
from xnorhw.plan.geometry import legal_simd, legal_taps
from xnorhw.plan.hls import hls_design
from xnorhw.plan.model import Plan
from xnorhw.plan.stages import chip_layers
from xnorhw.sim.compiled import Stalls
from xnorhw.sim.hls_run import HlsRun, run_hls

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is missing")

BOARD = load_board("pynq-z2")
QUICK = ("bases", "averages", "multiplications")


def folded(graph: IntGraph, seed: int) -> Folding:
    """A folding drawn from ``seed``."""
    rng = np.random.default_rng(seed)
    layers, pools = [], []
    for layer in chip_layers(graph):
        pe, simd = int(rng.integers(1, layer.outputs + 1)), int(rng.choice(legal_simd(layer)))
        layers.append(LayerFolding(layer.name, pe, simd))
        pools += [PoolFolding(p.name, int(rng.choice(legal_taps(p)))) for p in layer.pools]
    return Folding(tuple(layers), tuple(pools))


def differing(graph: IntGraph, plan: Plan, run: HlsRun, tensors: dict[str, Values]) -> list[str]:
    """The tensors that are not golden's."""
    found = {"the result": unpack_results(plan, run.results, graph.tensor(graph.output).shape)}
    wanted = {"the result": tensors[graph.output]}
    for name, edge in observed_edges(plan).items():
        tensor = graph.tensor(name)
        assert tensor.type is not None
        found[name] = unpack_stream(edge.stream, run.streams[name], tensor.shape, tensor.type)
        wanted[name] = tensors[name]
    return [name for name, values in wanted.items() if not np.array_equal(found[name], values)]


def check(graph: IntGraph, x: Values, plan: Plan, work: Path) -> None:
    """All tensors of ``x`` by each way of running, and the clocks a frame at II 1."""
    tensors = golden.run(graph, x)
    kind = graph.tensor(plan.input_tensor).type
    assert kind is not None
    frames = pack_frames(plan, tensors[plan.input_tensor], kind)
    files = hls.files(plan, graph)
    # every tensor of the graph is seen but the sums that a matrix unit thresholds itself
    hidden = {layer.name for layer in chip_layers(graph) if layer.in_matrix}
    assert set(observed_edges(plan)) == {n.output.name for n in graph.nodes} - hidden
    for stalls in (Stalls(1, 40, 40), Stalls(2, 5, 90)):
        run = run_hls(files, plan, frames, work, stalls=stalls)
        assert not differing(graph, plan, run, tensors)
        assert all(use.most <= use.depth for use in run.uses)
    assert not differing(graph, plan, run_hls(files, plan, frames, work, csim=True), tensors)
    assert pace(files, plan, frames, work) == hls_design(plan).cycles_per_frame


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in CASES]
)
def test_every_tensor_is_goldens(name: str, tmp_path: Path) -> None:
    graph, x = CASES[name]()
    check(graph, x, make_plan(graph, BOARD), tmp_path)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "averages" else pytest.mark.long) for name in CASES]
)
def test_a_folding_that_divides_little(name: str, tmp_path: Path) -> None:
    graph, x = CASES[name]()
    check(graph, x, make_plan(graph, BOARD, folding=folded(graph, 1)), tmp_path)


DRAWN = {seed: drawn for seed in range(30) if (drawn := draw(seed)) is not None}
"""Random networks by their seeds; a few seeds ask for a window that does not fit its map."""


@pytest.mark.long
@pytest.mark.parametrize("seed", DRAWN)
def test_random_networks(seed: int, tmp_path: Path) -> None:
    graph, x = DRAWN[seed]
    check(graph, x, make_plan(graph, BOARD, folding=folded(graph, seed) if seed % 3 else None), tmp_path)


def test_most_seeds_are_networks_that_the_chip_takes() -> None:
    assert len(DRAWN) >= 24
    assert all(make_plan(graph, BOARD).layers for graph, _ in DRAWN.values())


FAULTS = (
    ("bases", "result[lane] = code > plane;", "result[lane] = code >= plane;"),
    ("bases", "if (term == 0) added = 0;", "if (term == 1) added = 0;"),
    ("bases", "(sum >= least)", "(sum > least)"),
    ("weights of 3 bits on signs", "<< term;", "<< (2 - term);"),
    ("multiplications", " + addend;", " - addend;"),
    ("multiplications", "if (code < 0) code = 0;", ""),
    ("averages", "sum += value;", "sum -= value;"),
    ("codes of 2 bits", "if (invert[lane]) flip = 3;", "if (invert[lane]) flip = 1;"),
)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [pytest.param(*fault, marks=() if i == 1 else pytest.mark.long) for i, fault in enumerate(FAULTS)],
)
def test_a_fault_in_a_stage_is_seen(name: str, old: str, new: str, tmp_path: Path) -> None:
    graph, x = CASES[name]()
    plan = make_plan(graph, BOARD)
    tensors = golden.run(graph, x)
    kind = graph.tensor(plan.input_tensor).type
    assert kind is not None
    frames = pack_frames(plan, tensors[plan.input_tensor], kind)
    files = hls.files(plan, graph)
    path = "hls/accel_stages.cpp"
    assert old in files[path]
    files[path] = files[path].replace(old, new)
    assert differing(graph, plan, run_hls(files, plan, frames, tmp_path, csim=True), tensors)
