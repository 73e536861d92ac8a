"""A network with full-precision ends from the model file through RTL and C++; one that is not snapped."""

from __future__ import annotations

import dataclasses
import html
import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn

import xnorhw
from xnorhw import golden
from xnorhw import nn as xnn
from xnorhw.check.approximate import measure_approximation
from xnorhw.emit.store import StoredBuild, data_files, read_build
from xnorhw.frontends import load_model_file
from xnorhw.frontends.rounding import approximated
from xnorhw.ir.float_graph import FullConv2d, FullLinear
from xnorhw.ir.int_graph import FullProduct, IntGraph
from xnorhw.nn.snap import snapped
from xnorhw.sim.tools import missing_tools

FRAMES = 4
SHAPE = xnorhw.Input((2, 6, 6))


def make_net(frac: int = 6, snap: bool = True) -> nn.Sequential:
    torch.manual_seed(7)
    net = nn.Sequential()
    quant = xnn.InputQuant(mean=0.5, std=0.25)
    net.add_module("quant", quant)
    net.add_module("first", xnn.FullConv2d(2, 4, 3, frac=frac, in_scale=quant.scale))
    net.add_module("pool", nn.MaxPool2d(2))
    net.add_module("norm1", nn.BatchNorm2d(4))
    net.add_module("sign1", xnn.Sign())
    net.add_module("middle", xnn.BinaryConv2d(4, 6, 2, scale="channel"))
    net.add_module("norm2", nn.BatchNorm2d(6))
    net.add_module("sign2", xnn.Sign())
    net.add_module("flat", nn.Flatten())
    net.add_module("last", xnn.FullLinear(6, 3, frac=frac))
    if snap:
        net.first, net.last = snapped(net.first), snapped(net.last)  # type: ignore[arg-type]
    for _ in range(2):
        net(torch.randint(0, 256, (32, 2, 6, 6)).float())
    with torch.no_grad():
        net.norm1.weight[1] = -1.0
        net.norm2.weight[2] = -1.0
    return net.eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full")
    net = make_net()
    x = torch.randint(0, 256, (FRAMES, 2, 6, 6), generator=torch.Generator().manual_seed(1)).float()
    with torch.inference_mode():
        labels = net(x).argmax(dim=1)
    xnorhw.save(net, folder / "model.pt", SHAPE, samples=x.numpy(), labels=labels.numpy())
    return folder


@pytest.mark.skipif(bool(missing_tools()), reason="needs Verilator, g++, make and perl")
@pytest.mark.parametrize(
    ("ends", "cuts"),
    [("host", ("sign1", "middle")), pytest.param("chip", ("quant", "last"), marks=pytest.mark.long)],
)
def test_every_form_of_a_network_with_full_ends_is_equal(
    saved: Path, ends: Literal["host", "chip"], cuts: tuple[str, str]
) -> None:
    model = xnorhw.load(saved / "model.pt")
    build = model.build("pynq-z2", saved / ends, ends=ends, verify="full", frames=FRAMES)
    assert build.verdict is not None and build.verdict.passed
    ran = {link.name for link in build.verdict.links if link.ran}
    assert {"golden", "rom", "c", "hls", "rtl"} <= ran
    rights = {a.form: (a.right, a.labelled) for a in build.verdict.accuracy}
    assert set(rights.values()) == {(FRAMES, FRAMES)} and set(rights) == {
        "torch",
        "golden",
        "c",
        "hls",
        "rtl",
    }
    assert build.verdict.approximation is None
    stored = read_build(build.folder)
    assert (stored.plan.input_tensor, stored.plan.output_tensor) == cuts
    assert stored.info.ends == ends
    assert stored.graph.output == "last"
    x = np.asarray(model.samples)
    for form in ("c", "rtl"):
        assert np.array_equal(build.predict(x, on=form), model.predict(x))  # type: ignore[arg-type]


def test_full_layers_between_binary_ones_are_on_the_chip(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        xnn.BinaryConv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        xnn.QuantReLU(3),
        xnn.FullConv2d(8, 8, 3, padding=1, groups=2, frac=6, in_scale=1 / 7),
        nn.BatchNorm2d(8),
        nn.MaxPool2d(2),
        xnn.Sign(),
        xnn.FullConv2d(8, 12, 3, padding=1, stride=2, frac=7),
        nn.BatchNorm2d(12),
        xnn.Sign(),
        xnn.BinaryConv2d(12, 6, 2),
        nn.BatchNorm2d(6),
        xnn.Sign(),
        nn.Flatten(),
        xnn.FullLinear(6, 4, frac=7),
    )
    for _ in range(3):
        net(torch.randint(0, 256, (16, 3, 8, 8)).float())
    with torch.no_grad():
        for module in net:
            if isinstance(module, nn.BatchNorm2d):
                module.weight[::3] *= -1
    xnorhw.save(xnorhw.snap(net.eval()), tmp_path / "m.pt", xnorhw.Input((3, 8, 8)))
    model = xnorhw.load(tmp_path / "m.pt")
    for ends, last in (("host", "10"), ("auto", "14")):
        build = model.build("pynq-z2", tmp_path / ends, ends=ends, frames=20)  # type: ignore[arg-type]
        assert build.verdict is not None and build.verdict.passed
        assert [x.name for x in build.plan.layers] == ["0", "3", "7", "10", "14"][: 4 if last == "10" else 5]
        assert (build.plan.input_tensor, build.plan.output_tensor) == ("input", last)


def plain(saved: Path, name: str, ends: Literal["host", "chip"] = "host") -> StoredBuild:
    """A build of the same model without simulators."""
    model = xnorhw.load(saved / "model.pt")
    build = model.build("pynq-z2", saved / name, ends=ends, verify="none", frames=FRAMES)
    return read_build(build.folder)


@pytest.mark.parametrize("layer", ["first", "last"])
def test_a_flipped_bit_of_an_integer_weight_on_the_chip_is_found(saved: Path, layer: str) -> None:
    stored = plain(saved, f"rom_{layer}", "chip")
    assert [x.name for x in stored.plan.layers] == ["first", "middle", "last"]
    assert xnorhw.Build(stored.folder).compare("golden").passed
    index = [x.name for x in stored.plan.layers].index(layer)
    path = stored.folder / f"rom/accel_l{index}_weights.mem"
    lines = path.read_text().splitlines()
    lines[-1] = f"{int(lines[-1], 16) ^ 1:0{len(lines[-1])}x}"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(xnorhw.VerifyError) as caught:
        xnorhw.Build(stored.folder).verify("golden")
    assert caught.value.module == layer


def edited(stored: StoredBuild, graph: IntGraph) -> None:
    """Write another graph into the build, its sums as that one makes them."""
    codes = stored.samples.codes.astype(np.int64)
    samples = dataclasses.replace(stored.samples, sums=golden.run(graph, codes)[graph.output])
    for name, data in data_files(graph, stored.plan, samples).items():
        (stored.folder / name).write_bytes(data)


@pytest.mark.parametrize("layer", ["first", "last"])
def test_one_step_in_a_full_layers_weights_is_found(saved: Path, layer: str) -> None:
    stored = plain(saved, f"fault_{layer}")
    assert xnorhw.Build(stored.folder).compare("golden").passed
    nodes = []
    for node in stored.graph.nodes:
        if node.output.name == layer:
            assert isinstance(node.op, FullProduct)
            weight = node.op.weight.copy()
            weight[1, 0, 0, 0] += 1
            node = dataclasses.replace(node, op=dataclasses.replace(node.op, weight=weight))
        nodes.append(node)
    edited(stored, dataclasses.replace(stored.graph, nodes=tuple(nodes)))
    with pytest.raises(xnorhw.VerifyError) as caught:
        xnorhw.Build(stored.folder).verify("golden")
    assert caught.value.module == layer and "channel 1" in caught.value.reason


def test_front_and_back_are_the_whole(saved: Path) -> None:
    stored = plain(saved, "split")
    graph, plan = stored.graph, stored.plan
    codes = stored.samples.codes.astype(np.int64)
    tensors = golden.run(graph, codes)
    front = golden.run(graph.front(plan.input_tensor), codes)
    assert list(front) == [graph.input_tensor.name, "quant", "first", "sign1:0", "sign1"]
    back = graph.back(plan.output_tensor)
    behind = golden.run(back, tensors[plan.output_tensor])
    assert np.array_equal(behind[graph.output], stored.samples.sums)
    assert np.array_equal(
        golden.scores(back, behind[back.output]), golden.scores(graph, tensors[graph.output])
    )


def test_a_network_that_is_not_snapped_is_measured(tmp_path: Path) -> None:
    net = make_net(frac=1, snap=False)
    with torch.no_grad():
        net.first.weight[0, 0, 0, 0] = 2.0**26  # leaves the others of the layer no fine steps
    x = torch.randint(0, 256, (FRAMES, 2, 6, 6)).float()
    xnorhw.save(net, tmp_path / "model.pt", SHAPE, samples=x.numpy())
    model = xnorhw.load(tmp_path / "model.pt")
    with pytest.raises(xnorhw.ModelError, match="not on the grid") as caught:
        model.predict(x.numpy())
    assert caught.value.module == "first"
    file = load_model_file(tmp_path / "model.pt")
    rounded = approximated(file.graph)
    values = torch.randint(0, 256, (300, 2, 6, 6)).float()
    found = measure_approximation(file.graph, values.numpy())
    assert found is not None and found.layers == ("first", "last") and found.frames == 300
    # counted by hand: torch's own modules, the layers snapped
    other = make_net(frac=1, snap=False)
    fracs = [op.frac for n in rounded.nodes if isinstance(op := n.op, FullConv2d | FullLinear)]
    other.first, other.last = snapped(net.first, fracs[0]), snapped(net.last, fracs[1])  # type: ignore[arg-type]
    other.norm1, other.norm2 = net.norm1, net.norm2
    with torch.inference_mode():
        differing = int((net(values).argmax(dim=1) != other.eval()(values).argmax(dim=1)).sum())
    assert found.differing == differing > 0
    assert str(found).startswith("APPROXIMATE: the numbers of first, last were rounded; ")
    assert measure_approximation(rounded, values.numpy()) is None


def test_a_build_of_it_says_so(tmp_path: Path) -> None:
    net = make_net(frac=1, snap=False)
    x = torch.randint(0, 256, (40, 2, 6, 6)).float()
    xnorhw.save(net, tmp_path / "model.pt", SHAPE)
    model = xnorhw.load(tmp_path / "model.pt")
    with pytest.raises(xnorhw.ModelError, match="measured by the verification"):
        model.build("pynq-z2", tmp_path / "none", verify="none", approximate=True)
    build = model.build("pynq-z2", tmp_path / "out", verify="golden", frames=FRAMES, approximate=True)
    verdict = build.compare("golden", data=x.numpy())
    assert verdict.passed and verdict.approximation is not None
    assert verdict.approximation.frames == 40 and verdict.approximation.layers == ("first", "last")
    tree = json.loads((build.folder / "verify.json").read_text())["approximate"]
    assert tree["differing"] == verdict.approximation.differing and tree["share"] == tree["differing"] / 40
    page = html.unescape((build.folder / "report.html").read_text())
    body = page[page.index("<body>") :]
    assert body.index(str(verdict.approximation)) < body.index("<h1>")
    with torch.inference_mode():
        theirs = net(x).argmax(dim=1).numpy()
    differing = int((build.predict(x.numpy()).argmax(axis=1) != theirs).sum())
    assert verdict.approximation.differing == differing


def test_a_snapped_network_is_not_approximate(saved: Path) -> None:
    build = xnorhw.load(saved / "model.pt").build(
        "pynq-z2", saved / "exact", ends="host", frames=FRAMES, approximate=True
    )
    assert build.verdict is not None and build.verdict.approximation is None
    assert "APPROXIMATE" not in (build.folder / "report.html").read_text()
    assert (
        "On the host, and in none of these figures: first, last" in (build.folder / "report.html").read_text()
    )
