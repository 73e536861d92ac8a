"""A whole network simulated as it is synthesised: its counts, leaves and ROMs as netlists of LUTs, on models
of the primitives.  All other simulations of networks count with $countones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rtl_tests.networks.network_checks import Network, check_tensors
from rtl_tests.runner import PRIMITIVES, require_simulator
from tests.plan.networks import Conv, Linear, digits, network
from xnorhw import golden
from xnorhw.board import load_board
from xnorhw.emit.popcount import counts_of
from xnorhw.golden.codes import random_codes
from xnorhw.plan import Folding, LayerFolding, make_plan
from xnorhw.plan.model import Memory, WeightRom
from xnorhw.sim.multi import MultiModel, multi_model


def as_synthesised(model: MultiModel) -> MultiModel:
    """The model without the macro, and with what the device has."""
    files = dict(model.files)
    # macros hold from file to file, in the order of the list
    files["rtl/files.f"] = "no_macro.sv\n" + files["rtl/files.f"]
    files["rtl/no_macro.sv"] = "`undef XH_COUNTONES\n"
    files |= {f"sim/{path.name}": path.read_text() for path in PRIMITIVES.glob("*.sv")}
    return replace(model, files=files)


@pytest.mark.parametrize(
    ("board", "fps"),
    [("pynq-z2", 20_000.0), pytest.param("zcu104", 60_000.0, marks=pytest.mark.long)],
    ids=["CARRY4", "CARRY8"],
)
def test_digits(board: str, fps: float, tmp_path: Path) -> None:
    require_simulator()
    graph = digits()
    plan = make_plan(graph, load_board(board), target_fps=fps)
    frames = random_codes(graph, 3, 7)
    network = Network("digits", graph, plan, golden.run(graph, frames))
    model = as_synthesised(multi_model([(plan, graph)]))
    assert counts_of(plan), "no count is a netlist"
    check_tensors([network], model, tmp_path)


def test_weights_in_parts_of_block_rams(tmp_path: Path) -> None:
    """Half of the columns in LUTs; a stack that ends in LUTs; columns that one block RAM holds."""
    require_simulator()
    graph = network((48, 4, 4), [Conv(96, (1, 1)), Conv(204, (1, 1)), Linear(12)], seed=3)
    layers = (
        LayerFolding("layer0", 3, 48, memory="mixed"),
        LayerFolding("layer1", 6, 6, memory="mixed"),
        LayerFolding("layer2", 12, 3, memory="tall"),
    )
    plan = make_plan(graph, load_board("pynq-z2"), folding=Folding(layers))
    parts = {u.name: [p.memory for p in u.parts] for u in plan.units if isinstance(u, WeightRom)}
    assert parts["l0_weights"] == parts["l1_weights"] == [Memory.BLOCK, Memory.LUT]
    assert parts["l2_weights"] == [Memory.BLOCK] * 2
    frames = random_codes(graph, 2, 7)
    chip = Network("weights in parts", graph, plan, golden.run(graph, frames))
    check_tensors([chip], as_synthesised(multi_model([(plan, graph)])), tmp_path)


def test_weights_in_luts(tmp_path: Path) -> None:
    """Weights in adders, in pairs of columns and in columns, each with its starts."""
    require_simulator()
    graph = network((9, 4, 4), [Conv(12, (1, 1)), Conv(8, (1, 1)), Linear(6)], seed=3)
    layers = (
        LayerFolding("layer0", 3, 9, memory="leaf"),
        LayerFolding("layer1", 3, 6, memory="lut"),
        LayerFolding("layer2", 3, 3, memory="lut"),
    )
    plan = make_plan(graph, load_board("pynq-z2"), folding=Folding(layers))
    memories = [(u.memory, u.luts) for u in plan.units if isinstance(u, WeightRom)]
    assert memories == [(Memory.LEAF, False), (Memory.LUT, True), (Memory.LUT, True)]
    frames = random_codes(graph, 3, 7)
    chip = Network("weights in LUTs", graph, plan, golden.run(graph, frames))
    check_tensors([chip], as_synthesised(multi_model([(plan, graph)])), tmp_path)
