"""The emitted benches as text: what is observed, what the description says, the vectors."""

from __future__ import annotations

import ast
import dataclasses
import json

import numpy as np
import pytest

from xnorhw import golden, resources
from xnorhw.emit import sim
from xnorhw.ir.int_graph import IntGraph
from xnorhw.ir.registers import ERRORS, REGISTERS
from xnorhw.pack import unpack_results
from xnorhw.plan.model import Plan

HASH = 0xFEDCBA9876543210


def test_folder_holds_all_that_it_needs(plan: Plan) -> None:
    assert sorted(sim.files(plan, HASH)) == [
        "sim/Makefile",
        "sim/accel_monitors.sv",
        "sim/accel_traffic.sv",
        "sim/bench.cpp",
        "sim/bench.json",
        "sim/bench.py",
        "sim/device.cpp",
        "sim/run.py",
        "sim/xh_bench.sv",
        "sim/xh_collect.h",
        "sim/xh_dma.h",
        "sim/xh_monitor.sv",
    ]


@pytest.mark.parametrize("name", ["bench.py", "run.py"])
def test_bench_needs_cocotb_alone(name: str) -> None:
    allowed = {"__future__", "argparse", "ctypes", "hashlib", "importlib", "json", "os", "pathlib", "random"}
    allowed |= {"re", "shutil", "subprocess", "sys", "tempfile", "xml", "cocotb", "cocotb_tools"}
    for node in ast.walk(ast.parse(resources.read_text(f"templates/sim/{name}"))):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        assert {m.split(".")[0] for m in modules} <= allowed


def test_description(plan: Plan) -> None:
    tree = json.loads(sim.files(plan, HASH)["sim/bench.json"])
    assert tree["values"]["BUILD_HASH0"] == 0x76543210 and tree["values"]["BUILD_HASH1"] == 0xFEDCBA98
    assert tree["registers"] == {r.name: r.offset for r in REGISTERS}
    assert tree["errors"] == {e.name: e.bit for e in ERRORS}
    assert (tree["in_beats"], tree["out_beats"], tree["beat_bits"], tree["select"]) == (1, 6, 64, 0)
    # 3 channels in words of 2 lanes of 32 bits: the second word has one real lane
    fc = {"tensor": "fc", "file": "fc", "monitor": "accel_fc", "words": 8, "masks": ["f" * 16, "f" * 8]}
    assert tree["streams"] == [fc]


def test_every_stream_is_counted_and_observed_ones_monitored(plan: Plan) -> None:
    files = sim.files(plan, HASH)
    text = files["sim/accel_monitors.sv"]
    assert text.count("xh_monitor #(") == 1
    traffic = files["sim/accel_traffic.sv"]
    wires = len(plan.edges) + sum(bool(e.storage.depth) for e in plan.edges)  # type: ignore[union-attr]
    assert traffic.count("xh_wire(network, ") == wires
    # a port each, and its bit in the call of its group; the others are zero
    assert traffic.count("_valid,\n") + traffic.count("_valid\n") == 2 * wires
    assert traffic.count("xh_traffic(\n          network") == -(-wires // 32)
    assert traffic.count(f"{-wires % 32}'b0") == 2
    assert '.NAME ("accel_fc")' in text and "valid_i(pixel_converter_in_valid)" in text


def test_vectors_are_the_frames_and_the_golden_answers(plan: Plan, graph: IntGraph) -> None:
    x = np.random.default_rng(3).choice([-1, 1], size=(3, 4, 2, 2))
    tensors = golden.run(graph, x)
    files = sim.vectors(plan, graph, tensors)
    assert sorted(files) == ["sim/vectors/fc.hex", "sim/vectors/input.hex", "sim/vectors/result.hex"]
    beats = files["sim/vectors/input.hex"].split()
    bits = [[(int(beat, 16) >> i) & 1 for i in range(16)] for beat in beats]
    assert np.array_equal(np.array(bits).reshape(3, 2, 2, 4).transpose(0, 3, 1, 2) * 2 - 1, x)
    assert all(int(beat, 16) >> 16 == 0 for beat in beats)
    lines = files["sim/vectors/result.hex"].split()
    data = np.frombuffer(b"".join(int(line, 16).to_bytes(8, "little") for line in lines), np.uint8)
    assert np.array_equal(unpack_results(plan, data.reshape(3, -1), (3, 2, 2)), tensors["fc"])
    assert len(files["sim/vectors/fc.hex"].split()) == 3 * 8


def test_networks_of_one_model_are_told_apart(plan: Plan) -> None:
    networks = [sim.BenchNetwork(plan, 1, "net0"), sim.BenchNetwork(plan, 2, "net1")]
    files = sim.bench_files(networks)
    assert {"sim/net0.json", "sim/net1.json", "sim/net0_monitors.sv", "sim/net1_monitors.sv"} <= set(files)
    assert [json.loads(files[f"sim/net{i}.json"])["select"] for i in (0, 1)] == [0, 1]
    assert "bind net1_core" in files["sim/net1_monitors.sv"]


def test_refuses_what_one_bench_cannot_hold(plan: Plan) -> None:
    wide = dataclasses.replace(
        plan,
        input_frame=dataclasses.replace(plan.input_frame, beat_bits=128),
        output_frame=dataclasses.replace(plan.output_frame, beat_bits=128),
    )
    for networks in (
        [],
        [sim.BenchNetwork(plan, 1), sim.BenchNetwork(plan, 2)],
        [sim.BenchNetwork(plan, 1, "a"), sim.BenchNetwork(wide, 2, "b")],
    ):
        with pytest.raises(ValueError, match="1 to 256 networks"):
            sim.bench_files(networks)


def test_same_plan_same_bytes(plan: Plan) -> None:
    assert sim.files(plan, HASH) == sim.files(dataclasses.replace(plan), HASH)
