"""The engine's generated C: its text, its names, its size, what it refuses."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.plan.networks import Conv, Linear, Pool, network
from xnorhw.board import load_board
from xnorhw.emit import engine
from xnorhw.emit.engine_network import c_text, network_files
from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import Input
from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.ir.int_graph import (
    Add,
    HostAffine,
    HostClamp,
    HostFull,
    IntGraph,
    IntNode,
    Product,
    Tensor,
    Term,
)
from xnorhw.ir.types import BIPOLAR, Encoding, IntType, code, type_for_range
from xnorhw.plan import make_plan
from xnorhw.plan.engine import engine_network
from xnorhw.plan.engine_model import EngineNetwork, EngineTensor, Format
from xnorhw.plan.model import Plan

GOLDEN = Path(__file__).parent / "accel_network.golden.c"


def small() -> tuple[IntGraph, Plan]:
    """A padded convolution on codes, a pool, two linear layers, scores."""
    graph = network(
        (2, 4, 4), [Conv(3, pads=Pads(1, 1, 1, 1)), Pool(), Linear(5), Linear(2)], code(3, False), seed=3
    )
    scale = np.array([0.1], np.float32)
    graph = dataclasses.replace(graph, host=(HostAffine("layer3", scale, None), HostClamp("relu", 0, np.inf)))
    return graph, make_plan(graph, load_board("pynq-z2"))


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return engine.files(*small())


def test_the_planes_of_a_base_share_its_weights() -> None:
    """ABC-Net's products of five by five bases would take their weights five times over."""
    random = np.random.default_rng(7)
    first, second = (random.choice(np.array([-1, 1], np.int8), (32, 64, 3, 3)) for _ in range(2))
    terms = [(3, first, 0), (5, second, 0), (2, first.copy(), 1), (-7, second.copy(), 1), (1, -first, 1)]
    op = Product(tuple(Term(*term) for term in terms), WindowGeometry((3, 3)), 1, 0)
    given = Tensor("input", (64, 5, 5), IntType(2, False, Encoding.THERMOMETER))
    sums = Tensor("conv", (32, 3, 3), type_for_range(-(1 << 20), 1 << 20))
    graph = IntGraph(Input((64, 5, 5)), given, (IntNode(op, "input", sums),), "conv", (), (32, 3, 3))
    text = network_files(engine_network(graph), "accel")["engine/accel_network.c"]
    made = re.findall(r"static const uint32_t (l00_conv_weights\d)\[", text)
    assert made == ["l00_conv_weights0", "l00_conv_weights1", "l00_conv_weights2"]
    used = re.findall(r"\.coefficient = (-?\d+), \.bits = (\w+),", text)
    assert used == [(str(c), made[n]) for c, n in zip((3, 5, 2, -7, 1), (0, 1, 0, 1, 2), strict=True)]


def test_text_is_that_which_was_read_and_approved(files: dict[str, str]) -> None:
    """Refresh with XNORHW_REFRESH=1 and read the difference."""
    text = files["host/engine/accel_network.c"]
    if os.environ.get("XNORHW_REFRESH"):
        GOLDEN.write_text(text, encoding="utf-8", newline="\n")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_text_is_clean(files: dict[str, str]) -> None:
    for path, text in files.items():
        assert text.endswith("\n") and not text.endswith("\n\n"), path
        assert "\r" not in text and not re.search(r"[ \t]+$", text, re.MULTILINE), path
        # C has initialisers in two braces; the static sources are no templates
        assert Path(path).name.startswith("xh_") or ("{%" not in text and "{{" not in text), path
        assert "\t" not in text or path.endswith("Makefile"), path
        assert text.isascii(), path


def test_the_same_graph_gives_the_same_text(files: dict[str, str]) -> None:
    assert engine.files(*small()) == files


def test_the_size_macros_are_the_builds(files: dict[str, str]) -> None:
    graph, plan = small()
    header = files["host/accel_engine.h"]
    defined = dict(re.findall(r"#define ACCEL_(\w+) \(?(-?\d+)\)?$", header, re.MULTILINE))
    assert defined["INPUT_ELEMENTS"] == "32" and defined["CLASSES"] == "2"
    assert (defined["INPUT_CHANNELS"], defined["INPUT_HEIGHT"], defined["INPUT_WIDTH"]) == ("2", "4", "4")
    assert (defined["INPUT_MIN"], defined["INPUT_MAX"]) == ("0", "7")
    assert int(defined["FRAME_BYTES"]) == plan.input_frame.beats * 8 == 32
    assert int(defined["RESULT_BYTES"]) == plan.output_frame.beats * 8 and defined["SUMS"] == "2"
    assert "typedef uint8_t accel_input_t;" in header


def test_each_input_has_its_element() -> None:
    for kind, element, low in ((code(8, True), "int8_t", "(-128)"), (BIPOLAR, "int8_t", "(-1)")):
        graph = network((3, 4, 4), [Linear(2)], kind, seed=1)
        header = engine.engine_files(graph)["host/accel_engine.h"]
        assert f"typedef {element} accel_input_t;" in header and f"ACCEL_INPUT_MIN {low}" in header
    assert "-1 or +1" in header


def test_without_a_plan_there_is_no_accelerator() -> None:
    alone = engine.engine_files(small()[0])
    for path, text in alone.items():
        if not Path(path).name.startswith("xh_"):
            assert "front(" not in text and "driver.h" not in text, path
    assert "ACCEL_FRAME_BYTES" not in alone["host/accel_engine.h"]


def test_another_prefix() -> None:
    graph, plan = small()
    files = engine.files(graph, plan, prefix="eye")
    assert {"host/eye_engine.h", "host/engine/eye_network.c"} <= files.keys()
    for path, text in files.items():
        assert not re.search("accel_|ACCEL_|libaccel", text) or "/xh_" in path, path
    with pytest.raises(ValueError, match="a prefix is"):
        engine.files(graph, plan, prefix="xh_mine")


@pytest.mark.parametrize(
    "name", ["a*/b", "a/*b", "what??/", '"quoted\\"', "line\nbreak", "größe", "int", "0", "??=define"]
)
def test_names_that_c_would_read_otherwise(name: str, tmp_path: Path) -> None:
    """Any name that PyTorch takes; -Wcomment and -Wtrigraphs are errors here."""
    graph, _ = small()
    first = graph.nodes[0]
    renamed = dataclasses.replace(first, output=dataclasses.replace(first.output, name=name))
    second = dataclasses.replace(graph.nodes[1], input=name)
    host = (HostAffine(name, None, np.ones(2, np.float32)),)
    graph = dataclasses.replace(graph, nodes=(renamed, second, *graph.nodes[2:]), host=host)
    for path, text in engine.engine_files(graph).items():
        if path.startswith("host/engine/"):
            (tmp_path / Path(path).name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "accel_network.c"],
        cwd=tmp_path, text=True, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert c_text(name) in (tmp_path / "accel_network.c").read_text(encoding="utf-8")


def test_a_million_weights_take_less_than_half_a_megabyte() -> None:
    rng = np.random.default_rng(0)
    given = Input((1024,), encoding="bipolar")
    source = Tensor("input", (1024, 1, 1), BIPOLAR)
    weight = (rng.integers(0, 2, (1024, 1024, 1, 1)) * 2 - 1).astype(np.int8)
    op = Product((Term(1, weight),), WindowGeometry((1, 1)), 1, 0)
    sums = Tensor("fc", (1024, 1, 1), type_for_range(-1024, 1024))
    graph = IntGraph(given, source, (IntNode(op, "input", sums),), "fc", (), (1024,))
    size = sum(len(text) for path, text in engine.engine_files(graph).items() if "_network.c" in path)
    assert size < 500_000


def test_sums_that_the_engine_cannot_hold() -> None:
    graph, plan = small()
    first = graph.nodes[0]
    wide = dataclasses.replace(first.output, type=type_for_range(-(1 << 40), 1 << 40))
    graph = dataclasses.replace(graph, nodes=(dataclasses.replace(first, output=wide), *graph.nodes[1:]))
    with pytest.raises(ModelError, match="take 42 bits") as caught:
        engine.files(graph, plan)
    assert caught.value.module == first.output.name


def test_every_float_is_written_exactly() -> None:
    rng = np.random.default_rng(4)
    bits = rng.integers(0, 1 << 32, 4000, dtype=np.uint64).astype(np.uint32)
    floats = bits.view(np.float32)
    special = np.array([0.0, -0.0, 1.0, 2.0**-149, 3.4028235e38, np.inf, -np.inf], np.float32)
    values = np.concatenate([floats[np.isfinite(floats)], special])
    tensors = (EngineTensor("x", (len(values), 1, 1), Format.I32),)
    host = (HostAffine("scale", values, None),)
    text = network_files(EngineNetwork(tensors, (), host, len(values), 0, 0, -1, -1, 8, 0, 0), "accel")
    body = re.search(r"h00_scale\[\d+\] = \{\n(.*?)\n\};", text["engine/accel_network.c"], re.DOTALL)
    assert body is not None
    words = body[1].replace("INFINITY", "inf").replace(",", " ").split()
    back = np.array(
        [float(w) if "inf" in w else float.fromhex(w.removesuffix("f")) for w in words], np.float32
    )
    assert np.array_equal(back.view(np.uint32), values.view(np.uint32))


def test_a_layer_on_real_values_is_written() -> None:
    graph, _ = small()
    weight = np.array([[-(1 << 31), (1 << 31) - 1], [0, 5]], np.int32)
    graph = dataclasses.replace(graph, host=(HostFull("classes", weight, 12, 3, None),))
    text = engine.engine_files(graph)["host/engine/accel_network.c"]
    assert ".outputs = 2, .inputs = 2, .frac = 12, .in_frac = 3, .weight = h00_weights" in text
    assert "-2147483648, 2147483647, 0, 5," in text


def test_vectors_are_few_where_frames_are_large() -> None:
    graph, _ = small()
    codes = np.arange(5 * 32).reshape(5, 2, 4, 4) % 8
    scores = np.arange(10, dtype=np.float32).reshape(5, 2)
    made = engine.vectors(graph, codes, scores)
    assert len(made["host/vectors/frames.bin"]) == 160 and len(made["host/vectors/scores.bin"]) == 40
    assert made["host/vectors/frames.bin"][1] == codes[0, 1, 0, 0]
    large = dataclasses.replace(graph, input_tensor=Tensor("input", (2, 1000, 1000), code(3, False)))
    assert len(engine.vectors(large, np.zeros((3, 2, 2, 2)), scores)["host/vectors/scores.bin"]) == 8


def test_a_tensor_that_is_read_before_it_is_made() -> None:
    graph, _ = small()
    with pytest.raises(ModelError, match="reads layer2 before it is made|reads sign2 before it is made"):
        engine_network(dataclasses.replace(graph, nodes=graph.nodes[::-1]))


def test_what_runs_behind_the_chip_reads_its_result_alone() -> None:
    graph, plan = small()
    sign, sums = graph.node("sign2").output, graph.node("layer2").output
    both = IntNode(Add((0, 0)), sign.name, Tensor("both", sign.shape, type_for_range(-99, 99)), (sums.name,))
    shortcut = dataclasses.replace(graph, nodes=(*graph.nodes, both), output="both")
    with pytest.raises(ModelError, match="reads layer2, which the accelerator does not give back") as caught:
        engine_network(shortcut, dataclasses.replace(plan, output_tensor="sign2"))
    assert caught.value.module == "both"
