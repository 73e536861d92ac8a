"""Faults planted in a finished build: ``verify`` fails and names the layer and the channel."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import xnorhw
from xnorhw import golden
from xnorhw import nn as xnn
from xnorhw.cli import main
from xnorhw.emit.store import StoredBuild, read_build
from xnorhw.ir.int_graph import IntGraph, Product, Threshold
from xnorhw.plan import Folding, LayerFolding
from xnorhw.sim.tools import missing_tools

FRAMES = 4

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason="needs Verilator, g++, make and perl")


def make_net() -> torch.nn.Module:
    torch.manual_seed(5)
    net = torch.nn.Sequential()
    net.add_module("conv1", xnn.BinaryConv2d(2, 6, 3, padding=1))
    net.add_module("norm1", torch.nn.BatchNorm2d(6))
    net.add_module("sign1", xnn.Sign())
    net.add_module("conv2", xnn.BinaryConv2d(6, 5, 3))
    net.add_module("norm2", torch.nn.BatchNorm2d(5))
    net.add_module("sign2", xnn.Sign())
    net.add_module("flat", torch.nn.Flatten())
    net.add_module("fc", xnn.BinaryLinear(5 * 2 * 5, 3))
    with torch.no_grad():
        net.norm2.weight[1] = -1.0
    return net.eval()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small build, verified once so that its simulators lie compiled in work/."""
    folder = tmp_path_factory.mktemp("planted")
    shape = xnorhw.Input((2, 4, 7), bits=4, signed=True)
    xnorhw.save(make_net(), folder / "model.pt", shape)
    folding = Folding((LayerFolding("conv1", 2, 1), LayerFolding("conv2", 1, 3), LayerFolding("fc", 1, 5)))
    build = xnorhw.load(folder / "model.pt").build(
        "pynq-z2", folder / "out", folding=folding, verify="none", frames=FRAMES
    )
    assert build.verify().passed
    return build.folder


@pytest.fixture
def build(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "out"))


def run_verify(folder: Path) -> int:
    with pytest.raises(SystemExit) as end:
        main(["verify", str(folder)])
    return int(end.value.code or 0)


@pytest.fixture
def verify_output(capsys: pytest.CaptureFixture[str]) -> Callable[[Path], str]:
    """What ``xnorhw verify`` says on standard error; it must end with 1."""

    def verify(folder: Path) -> str:
        assert run_verify(folder) == 1
        assert json.loads((folder / "verify.json").read_text())["passed"] is False
        return capsys.readouterr().err

    return verify


def tensors_of(graph: IntGraph, stored: StoredBuild) -> dict[str, np.ndarray]:
    return golden.run(graph, stored.samples.codes.astype(np.int64))


def edit_word(folder: Path, file: str, edit: Callable[[list[str]], None]) -> None:
    path = folder / "rom" / file
    lines = path.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if not line.startswith("//"))
    words = lines[first:]
    edit(words)
    path.write_text("\n".join([*lines[:first], *words]) + "\n")


def rom_file(stored: StoredBuild, layer: str, port: str) -> str:
    matrix = next(x.matrix for x in stored.plan.layers if x.name == layer)
    unit = stored.plan.unit(
        next(e.source for e in stored.plan.edges if e.target == matrix and e.port == port)
    )
    return f"accel_{unit.file}"  # type: ignore[union-attr]


def test_an_untouched_build_passes(build: Path) -> None:
    assert run_verify(build) == 0


@pytest.mark.parametrize(("layer", "tensor", "channel"), [("conv2", "sign2", 3), ("fc", "fc", 2)])
def test_one_rom_bit(
    verify_output: Callable[[Path], str], build: Path, layer: str, tensor: str, channel: int
) -> None:
    stored = read_build(build)
    product = stored.graph.node(layer).op
    assert isinstance(product, Product)
    before = tensors_of(stored.graph, stored)[tensor]
    # flip weights of the channel in turn until one changes a decision on the kept frames
    taps = list(np.ndindex(product.terms[0].weight.shape[2:]))
    for place in taps:
        product.terms[0].weight[channel, 0][place] *= -1
        after = tensors_of(stored.graph, stored)[tensor]
        product.terms[0].weight[channel, 0][place] *= -1
        if not np.array_equal(before, after):
            break
    else:
        pytest.fail("no single weight of this channel decides anything")
    simd = 3 if layer == "conv2" else 5
    words_per_tap = -(-product.terms[0].weight.shape[1] // simd)
    index = (channel * product.geometry.taps + taps.index(place)) * words_per_tap

    def flip(words: list[str]) -> None:
        words[index] = f"{int(words[index], 16) ^ 1:x}"  # lane 0: input channel 0

    edit_word(build, rom_file(stored, layer, "weights"), flip)
    output = verify_output(build)
    assert f"error: {layer}:" in output
    assert f"tensor {tensor}, channel {channel}," in output


def test_one_threshold_in_the_rom(verify_output: Callable[[Path], str], build: Path) -> None:
    stored = read_build(build)
    channel = 4
    unit = next(x for x in stored.plan.layers if x.name == "conv2")
    bits = stored.plan.unit(unit.matrix).start_bits  # type: ignore[union-attr]

    def shift(words: list[str]) -> None:
        value = int(words[channel], 16)
        words[channel] = f"{(value + 3) % (1 << bits):x}"

    edit_word(build, rom_file(stored, "conv2", "starts"), shift)
    output = verify_output(build)
    assert "error: conv2:" in output and f"tensor sign2, channel {channel}," in output


@pytest.mark.parametrize("where", ["rom", "graph"])
def test_a_threshold_off_by_one_that_no_frame_shows(
    verify_output: Callable[[Path], str], build: Path, where: str
) -> None:
    """Whether or not a frame has a sum just there, it is found."""
    stored = read_build(build)
    channel = 1
    threshold = stored.graph.node("sign1").op
    assert isinstance(threshold, Threshold)
    if where == "rom":
        unit = stored.plan.unit(stored.plan.layers[0].matrix)
        bits = unit.start_bits  # type: ignore[union-attr]

        def shift(words: list[str]) -> None:
            value = int(words[0], 16) + (1 << (channel * bits))  # PE 1 of group 0
            words[0] = f"{value:x}"

        edit_word(build, rom_file(stored, "conv1", "starts"), shift)
    else:
        threshold.table[0, channel, 0] += 1
        from xnorhw.emit.store import data_files

        (build / "graph.npz").write_bytes(data_files(stored.graph, stored.plan, stored.samples)["graph.npz"])
    output = verify_output(build)
    assert "error: conv1:" in output and f"channel {channel}" in output


def test_another_model_in_the_build(build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (build / "model.pt").write_bytes((build / "model.pt").read_bytes() + b"x")
    assert run_verify(build) == 1
    assert "not the model that this build was made from" in capsys.readouterr().err


def test_one_threshold_in_the_graph(verify_output: Callable[[Path], str], build: Path) -> None:
    """The integer graph is the reference of the RTL, and torch is its own."""
    stored = read_build(build)
    threshold = stored.graph.node("sign1").op
    assert isinstance(threshold, Threshold)
    threshold.table[0, 2, 0] += 4 * int(threshold.direction[2])
    from xnorhw.emit.store import data_files

    (build / "graph.npz").write_bytes(data_files(stored.graph, stored.plan, stored.samples)["graph.npz"])
    output = verify_output(build)
    assert "error: conv1: golden differs" in output and "tensor sign1, channel 2," in output


@pytest.mark.parametrize("file", ["plan.json", "folding.json"])
def test_one_folding_in_the_files(build: Path, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = build / file
    tree = json.loads(path.read_text())
    entry = tree["layers"]["conv2"] if file == "folding.json" else tree["layers"][1]
    entry["simd"] = {3: 2}[entry["simd"]]
    path.write_text(json.dumps(tree))
    assert run_verify(build) == 1
    error = capsys.readouterr().err
    assert "error: conv2:" in error and "folding" in error


def test_a_ring_that_its_unit_refuses(build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a unit checks of its parameters while it is elaborated ends the simulation."""
    path = build / "rtl" / "accel_core.sv"
    text = path.read_text()
    short = re.sub(r"\.DEPTH(\s*)\(\d+\)", r".DEPTH\1(1)", text)
    assert short != text
    path.write_text(short)
    assert run_verify(build) == 1
    assert "DEPTH cannot hold the words of one window" in capsys.readouterr().err


def test_streams_too_shallow(build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every value stays right, and every frame takes longer."""
    path = build / "hls" / "accel.cpp"
    text = path.read_text()
    path.write_text(re.sub(r"(?<=>, )\d+(?=>)|(?<=depth=)\d+", "1", text))
    assert path.read_text() != text
    assert run_verify(build) == 1
    assert "at II 1 a frame takes" in capsys.readouterr().err


def test_one_kept_integer(verify_output: Callable[[Path], str], build: Path) -> None:
    """The integers that the build was made with are compared, too."""
    stored = read_build(build)
    stored.samples.sums[1, 2] += 2
    from xnorhw.emit.store import data_files

    (build / "samples.npz").write_bytes(data_files(stored.graph, stored.plan, stored.samples)["samples.npz"])
    output = verify_output(build)
    assert "error: fc: golden differs" in output and "tensor fc, channel 2," in output


def test_one_folding(verify_output: Callable[[Path], str], build: Path) -> None:
    """Two folds of one channel's weights change places."""
    stored = read_build(build)
    channel = 2
    folds = 9 * 2
    product = stored.graph.node("conv2").op
    assert isinstance(product, Product)

    def swap(words: list[str]) -> None:
        row = words[channel * folds : (channel + 1) * folds]
        a = 0
        b = next(i for i, word in enumerate(row) if int(word, 16) ^ int(row[a], 16) == 7)
        at = channel * folds
        words[at + a], words[at + b] = words[at + b], words[at + a]

    edit_word(build, rom_file(stored, "conv2", "weights"), swap)
    output = verify_output(build)
    assert "error: conv2:" in output and f"tensor sign2, channel {channel}," in output


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda t: re.sub(r"(64'h[0-9A-F]{15})[0-9A-F]", r"\g<1>5", t, count=1), "not the sum of its inputs"),
        (lambda t: t.replace("weight_i[2]", "weight_i[1]"), "weight_i|used twice|w1|different lanes"),
        (lambda t: re.sub(r"  LUT6_2 [^\n]*\n", "", t, count=1), "nothing drives"),
    ],
    ids=["a bit of a table", "a wire", "a missing LUT"],
)
def test_a_count_that_is_none(
    edit: Callable[[str], str], said: str, build: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Simulation counts by another text: the netlist's own proof is what finds it."""
    (path,) = (build / "rtl").glob("xh_popcount_5_*.sv")
    text = path.read_text()
    assert edit(text) != text
    path.write_text(edit(text))
    assert run_verify(build) == 1
    message = capsys.readouterr().err
    assert f"rtl/{path.name}" in message and re.search(said, message), message


def test_the_choice_among_counts_is_the_builds(build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = build / "rtl" / "xh_popcount.sv"
    path.write_text(path.read_text().replace("i_count (.clk_i", "i_count(.clk_i", 1))
    assert run_verify(build) == 1
    assert "xh_popcount.sv" in capsys.readouterr().err
