"""Networks with layers of integer weights through the generated C++, every tensor compared: on bounded
streams with random stalls, as C simulation, and back to back for the pace."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.plan.code_networks import Dense, Layer, Levels, network
from tests.plan.full_cases import CASES, draw_full
from tests.sim.test_hls_codes import BOARD, check, differing
from tests.sim.test_hls_graphs import folded
from xnorhw import golden
from xnorhw.emit import hls
from xnorhw.ir.errors import FitError
from xnorhw.ir.types import BIPOLAR
from xnorhw.pack import pack_frames
from xnorhw.plan import Folding, LayerFolding, make_plan
from xnorhw.plan.hls import hls_design
from xnorhw.plan.hls_model import Matrix
from xnorhw.sim.hls_run import run_hls

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is missing")

QUICK = ("first and last", "on codes")
"""Products in DSPs and in LUTs, and signs times weights."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in CASES]
)
def test_every_tensor_is_goldens(name: str, tmp_path: Path) -> None:
    graph, x = CASES[name]()
    check(graph, x, make_plan(graph, BOARD), tmp_path)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "on signs" else pytest.mark.long) for name in CASES]
)
def test_a_folding_that_divides_little(name: str, tmp_path: Path) -> None:
    graph, x = CASES[name]()
    check(graph, x, make_plan(graph, BOARD, folding=folded(graph, 1)), tmp_path)


DRAWN = {seed: drawn for seed in range(40) if (drawn := draw_full(seed)) is not None}
"""Random networks by their seeds; a few seeds ask for a window that does not fit its map."""


@pytest.mark.long
@pytest.mark.parametrize("seed", DRAWN)
def test_random_networks(seed: int, tmp_path: Path) -> None:
    graph, x = DRAWN[seed]
    check(graph, x, make_plan(graph, BOARD, folding=folded(graph, seed) if seed % 3 else None), tmp_path)


def test_most_seeds_are_networks_that_the_chip_takes() -> None:
    assert len(DRAWN) >= 32
    assert all(make_plan(graph, BOARD).layers for graph, _ in DRAWN.values())


def test_the_quick_cases_have_every_kind_of_product() -> None:
    stages = [s for name in QUICK for s in hls_design(make_plan(CASES[name]()[0], BOARD)).stages]
    full = [s.unit for s in stages if isinstance(s, Matrix) and s.unit.full]
    assert {(u.act_bipolar, u.dsps > 0) for u in full} == {(True, False), (False, True), (False, False)}


def test_weights_wider_than_a_word_of_the_core_are_refused() -> None:
    """The activations are narrow enough: 600 signs, but 600 weights of 8 bits."""
    layers: list[Layer] = [Dense(3, codes=Levels(1, "sign"), weight_bits=8), Dense(2)]
    graph, _ = network((600, 1, 1), layers, BIPOLAR)
    assert hls_design(make_plan(graph, BOARD))
    folding = Folding((LayerFolding("layer0", 1, 600), LayerFolding("layer1", 1, 3)))
    with pytest.raises(FitError, match="4800 bits") as error:
        hls_design(make_plan(graph, BOARD, folding=folding))
    assert error.value.module == "layer0"


FAULTS = (
    ("first and last", "_dsp_sum<", "true, 8,", "false, 8,"),
    ("on codes", "_lut_sum<", "(activations, weights)", "(activations, ~weights)"),
    ("on signs", "_sign_sum<", "(activations, weights)", "(~activations, weights)"),
)


@pytest.mark.parametrize(
    ("name", "where", "old", "new"),
    [pytest.param(*fault, marks=() if i == 0 else pytest.mark.long) for i, fault in enumerate(FAULTS)],
)
def test_a_fault_in_a_product_is_seen(name: str, where: str, old: str, new: str, tmp_path: Path) -> None:
    graph, x = CASES[name]()
    plan = make_plan(graph, BOARD)
    tensors = golden.run(graph, x)
    kind = graph.tensor(plan.input_tensor).type
    assert kind is not None
    frames = pack_frames(plan, tensors[plan.input_tensor], kind)
    files = hls.files(plan, graph)
    path = "hls/accel_stages.cpp"
    line = next(line for line in files[path].splitlines() if where in line and old in line)
    files[path] = files[path].replace(line, line.replace(old, new))
    assert differing(graph, plan, run_hls(files, plan, frames, tmp_path, csim=True), tensors)
