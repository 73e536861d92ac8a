"""Networks with branches through the generated C++, every tensor compared: on bounded streams with random
stalls, as C simulation, and back to back for the pace; streams too shallow for a branch stand still."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.plan.code_networks import Values
from tests.plan.graph_networks import CASES, draw_graph
from tests.sim.hls_pace import pace
from xnorhw import golden
from xnorhw.board import load_board
from xnorhw.emit import hls
from xnorhw.emit.sim import observed_edges
from xnorhw.ir.errors import VerifyError
from xnorhw.ir.int_graph import IntGraph
from xnorhw.pack import pack_frames, unpack_results, unpack_stream
from xnorhw.plan import Folding, LayerFolding, PoolFolding, make_plan
from xnorhw.plan.geometry import legal_pe, legal_simd, legal_taps
from xnorhw.plan.hls import hls_design
from xnorhw.plan.hls_model import HlsDesign, Stage
from xnorhw.plan.model import Plan
from xnorhw.plan.stages import chip_layers
from xnorhw.sim.compiled import Stalls
from xnorhw.sim.hls_run import HlsRun, run_hls

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is missing")


Frames = npt.NDArray[np.uint8]


def folded(graph: IntGraph, seed: int) -> Folding:
    """A folding drawn from ``seed``."""
    rng = np.random.default_rng(seed)
    layers = chip_layers(graph)
    return Folding(
        tuple(
            LayerFolding(x.name, int(rng.choice(legal_pe(x))), int(rng.choice(legal_simd(x)))) for x in layers
        ),
        tuple(PoolFolding(p.name, int(rng.choice(legal_taps(p)))) for x in layers for p in x.pools),
    )


def inputs(graph: IntGraph, plan: Plan, tensors: dict[str, Values]) -> Frames:
    """The frames of ``tensors`` at the core's input."""
    kind = graph.tensor(plan.input_tensor).type
    assert kind is not None
    return pack_frames(plan, tensors[plan.input_tensor], kind)


def differing(graph: IntGraph, plan: Plan, run: HlsRun, tensors: dict[str, Values]) -> list[str]:
    """The tensors that are not golden's, with the result as it leaves."""
    result = unpack_results(plan, run.results, graph.tensor(plan.output_tensor).shape)
    wrong = [] if np.array_equal(result, tensors[plan.output_tensor]) else ["the result"]
    for name, edge in observed_edges(plan).items():
        tensor = graph.tensor(name)
        assert tensor.type is not None
        found = unpack_stream(edge.stream, run.streams[name], tensor.shape, tensor.type)
        if not np.array_equal(found, tensors[name]):
            wrong.append(name)
    return wrong


def check(graph: IntGraph, x: Values, plan: Plan, work: Path) -> None:
    """All tensors of ``x`` by each way of running, and the clocks a frame at II 1."""
    tensors = golden.run(graph, x)
    frames, files = inputs(graph, plan, tensors), hls.files(plan, graph)
    # every tensor that the chip makes is seen but the sums that a matrix unit thresholds itself
    names = [plan.input_tensor, *(node.output.name for node in graph.nodes)]
    first, last = (len(names) - names[::-1].index(name) for name in (plan.input_tensor, plan.output_tensor))
    made = names[first:last]
    hidden = {layer.name for layer in chip_layers(graph) if layer.in_matrix}
    assert set(observed_edges(plan)) == set(made) - hidden
    for stalls in (Stalls(1, 40, 40), Stalls(2, 5, 90)):
        run = run_hls(files, plan, frames, work, stalls=stalls)
        assert not differing(graph, plan, run, tensors)
        assert all(use.most <= use.depth for use in run.uses)
    assert not differing(graph, plan, run_hls(files, plan, frames, work, csim=True), tensors)
    assert pace(files, plan, frames, work) == hls_design(plan).cycles_per_frame


BOARD = load_board("pynq-z2")
QUICK = ("residual", "fire", "input scales", "behind a flatten")
"""All kinds of branches."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in CASES]
)
def test_every_tensor_is_goldens(name: str, tmp_path: Path) -> None:
    graph, x = CASES[name]()
    check(graph, x, make_plan(graph, BOARD), tmp_path)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "groups" else pytest.mark.long) for name in CASES]
)
def test_a_folding_that_divides_little(name: str, tmp_path: Path) -> None:
    graph, x = CASES[name]()
    check(graph, x, make_plan(graph, BOARD, folding=folded(graph, 1)), tmp_path)


DRAWN = {seed: drawn for seed in range(30) if (drawn := draw_graph(seed)) is not None}
"""Random networks by their seeds; a few seeds ask for a window that does not fit its map."""


@pytest.mark.long
@pytest.mark.parametrize("seed", DRAWN)
def test_random_networks(seed: int, tmp_path: Path) -> None:
    graph, x = DRAWN[seed]
    check(graph, x, make_plan(graph, BOARD, folding=folded(graph, seed) if seed % 3 else None), tmp_path)


def test_most_seeds_are_networks_that_the_chip_takes() -> None:
    assert len(DRAWN) >= 24
    assert all(make_plan(graph, BOARD).layers for graph, _ in DRAWN.values())


def test_the_quick_cases_have_every_kind_of_branch() -> None:
    stages = [s for name in QUICK for s in hls_design(make_plan(CASES[name]()[0], BOARD)).stages]
    assert {stage.kind for stage in stages} >= {"fork", "add", "concat", "abs_sum", "multiply"}


# --- depths ------------------------------------------------------------------------------------


def shallow(files: Mapping[str, str], stream: str, depth: int) -> dict[str, str]:
    """The sources with another depth of ``stream``."""
    path = "hls/accel.cpp"
    text, declared = re.subn(rf", \d+> {stream}\(", f", {depth}> {stream}(", files[path])
    text, told = re.subn(rf"variable={stream} depth=\d+", f"variable={stream} depth={depth}", text)
    assert declared == told == 1
    return {**files, path: text}


def deepest(design: HlsDesign, kind: str) -> tuple[Stage, int]:
    """The stage of ``kind`` with the deepest stream into it, and which of its sources that is."""
    joins = [(stage, port) for stage in design.stages if stage.kind == kind for port in range(2)]
    return max(joins, key=lambda join: join[0].sources[join[1]].depth)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("ends in a sum", "add"), pytest.param("dense block", "concat", marks=pytest.mark.long)],
)
def test_a_stream_below_what_the_tokens_need_is_a_deadlock(name: str, kind: str, tmp_path: Path) -> None:
    """It is reported, whatever the order of the processes; with all its words in it, nothing waits."""
    graph, x = CASES[name]()
    plan = make_plan(graph, BOARD)
    tensors = golden.run(graph, x)
    frames = inputs(graph, plan, tensors)
    files, design = hls.files(plan, graph), hls_design(plan)
    stage, port = deepest(design, kind)
    names = next(names for found, names in hls.named_stages(design) if found is stage)
    stream = names.parameters[port].stream
    assert stage.sources[port].depth > 20
    changed = shallow(files, stream, 2)
    for seed in (1, 2, 3):
        with pytest.raises(VerifyError, match=f"deadlock: .* waits to write {stream} "):
            run_hls(changed, plan, frames, tmp_path, stalls=Stalls(seed, 20, 20))
    run = run_hls(files, plan, frames, tmp_path, stalls=Stalls(1, 20, 20))
    assert not differing(graph, plan, run, tensors)


# --- faults ------------------------------------------------------------------------------------

FAULTS = (
    ("residual", "const ap_int<8> value1", "const ap_uint<8> value1"),
    ("residual", "target1.write(value);", "target1.write(value + 1);"),
    ("input scales", "if (value < 0) magnitude = -value;", ""),
    ("input scales", "factor = source1.read();", "factor = source1.read() + 1;"),
    ("fire", "value = source1.read();", "value = ~source1.read();"),
)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [pytest.param(*fault, marks=() if i == 1 else pytest.mark.long) for i, fault in enumerate(FAULTS)],
)
def test_a_fault_in_a_branch_is_seen(name: str, old: str, new: str, tmp_path: Path) -> None:
    graph, x = CASES[name]()
    plan = make_plan(graph, BOARD)
    tensors = golden.run(graph, x)
    frames = inputs(graph, plan, tensors)
    files = hls.files(plan, graph)
    path = "hls/accel_stages.cpp"
    assert old in files[path]
    files[path] = files[path].replace(old, new)
    assert differing(graph, plan, run_hls(files, plan, frames, tmp_path, csim=True), tensors)
