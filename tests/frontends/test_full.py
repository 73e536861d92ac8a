"""Full-precision layers in traces and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from xnorhw import nn as xnn
from xnorhw.frontends import TorchEvaluator, load_model_file, save
from xnorhw.frontends.trace import trace
from xnorhw.ir import float_graph as fg
from xnorhw.ir.errors import ModelError
from xnorhw.ir.grid import off_grid, round_to_grid

INPUT = fg.Input((2, 6, 6))


def network() -> nn.Sequential:
    return nn.Sequential(
        xnn.FullConv2d(2, 4, 3, padding=(1, 0, 2, 1), frac=9, in_scale=0.25),
        nn.BatchNorm2d(4),
        xnn.Sign(),
        xnn.BinaryConv2d(4, 3, 3),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Flatten(),
        xnn.FullLinear(3 * 5 * 3, 5, frac=8, in_frac=6),
    ).eval()


def test_the_graph_holds_what_the_modules_hold() -> None:
    net = network()
    graph = trace(net, INPUT)
    conv, linear = graph.nodes[0].op, graph.nodes[-1].op
    assert isinstance(conv, fg.FullConv2d) and isinstance(linear, fg.FullLinear)
    assert np.array_equal(conv.weight, net[0].weight.detach().numpy())  # type: ignore[operator, union-attr]
    assert (conv.frac, conv.in_scale, conv.groups) == (9, 0.25, 1)
    assert conv.geometry.pads.left == 1 and conv.geometry.pads.top == 2
    assert (linear.frac, linear.in_frac, linear.in_scale) == (8, 6, 1.0)
    assert graph.kind("0") == "FullConv2d"


def test_round_trip(tmp_path: Path) -> None:
    net = network()
    save(net, tmp_path / "m.pt", INPUT)
    file = load_model_file(tmp_path / "m.pt")
    assert file.metadata.version == "1.3"
    x = torch.randint(0, 256, (3, 2, 6, 6)).float()
    with torch.inference_mode():
        assert torch.equal(TorchEvaluator(file.graph).run(x), net(x))


def test_a_file_of_the_first_format_is_read(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Flatten(), xnn.BinaryLinear(72, 3)).eval()
    save(net, tmp_path / "m.pt", INPUT)
    data = torch.load(tmp_path / "m.pt", weights_only=True)
    torch.save({**data, "version": "1.0"}, tmp_path / "old.pt")
    assert load_model_file(tmp_path / "old.pt").metadata.version == "1.0"


def first_op(data: dict[str, Any]) -> dict[str, Any]:
    op: dict[str, Any] = data["graph"]["nodes"][0]["op"]
    return op


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda d: first_op(d).update(frac=31), "frac 31"),
        (lambda d: first_op(d).update(frac=-1), "frac -1"),
        (lambda d: first_op(d).update(frac=2.5), "frac"),
        (lambda d: first_op(d).update(in_scale=-1.0), "not positive"),
        (lambda d: first_op(d).update(groups=3), "3 group"),
        (lambda d: d["arrays"]["nodes/0/op/weight"].fill_(float("nan")), "NaN"),
        (lambda d: d["graph"]["nodes"][-1]["op"].update(in_frac=31), "in_frac 31"),
        (lambda d: d["graph"]["nodes"][-1]["op"].update(in_frac=True), "in_frac"),
        (lambda d: d["graph"]["nodes"][-1]["op"].update(in_scale=2.0), "both in_frac and in_scale"),
    ],
)
def test_changed_files_are_refused(tmp_path: Path, change: Any, word: str) -> None:
    path = tmp_path / "m.pt"
    save(network(), path, INPUT)
    data = torch.load(path, weights_only=True)
    change(data)
    torch.save(data, path)
    with pytest.raises(ModelError) as caught:
        load_model_file(path)
    assert word in str(caught.value) and str(path) in caught.value.module


def test_the_evaluators_sums_are_integers() -> None:
    graph = round_to_grid(trace(network(), INPUT))
    traced = TorchEvaluator(graph).trace(np.random.default_rng(0).integers(0, 256, (2, 2, 6, 6)))
    assert traced["0"].dtype == np.int64 and traced["0:out"].dtype == np.float32
    op = graph.nodes[0].op
    assert isinstance(op, fg.FullConv2d) and op.bias is not None
    wanted = (traced["0"] * 2.0**-9).astype(np.float32) * np.float32(0.25) + op.bias.reshape(-1, 1, 1)
    assert np.array_equal(traced["0:out"], wanted)


def test_only_weights_off_the_grid_are_rounded() -> None:
    graph = trace(network(), INPUT)
    assert off_grid(graph) == ("0", "7")
    rounded = round_to_grid(graph)
    assert off_grid(rounded) == () and round_to_grid(rounded) is rounded
    for before, after in zip(graph.nodes, rounded.nodes, strict=True):
        if isinstance(before.op, fg.FullConv2d | fg.FullLinear):
            assert isinstance(after.op, fg.FullConv2d | fg.FullLinear)
            moved = np.abs(after.op.weight.astype(np.float64) - before.op.weight).max()
            assert 0 < moved <= 2.0 ** -(before.op.frac + 1) and after.op.bias is before.op.bias
        else:
            assert after is before


@pytest.mark.parametrize(
    ("net", "name", "words"),
    [
        (nn.Sequential(nn.Conv2d(2, 4, 3)), "0", ("FullConv2d.from_conv", "xnorhw.snap")),
        (
            nn.Sequential(xnn.Sign(), nn.Flatten(), nn.Linear(72, 3)),
            "2",
            ("FullLinear.from_linear", "BinaryLinear"),
        ),
    ],
)
def test_plain_layers_are_refused_with_the_way_out(net: nn.Module, name: str, words: tuple[str, ...]) -> None:
    with pytest.raises(ModelError) as caught:
        trace(net.eval(), INPUT)
    assert caught.value.module == name and all(word in caught.value.remedy for word in words)


def test_the_way_out_works(tmp_path: Path) -> None:
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.BatchNorm2d(4),
        xnn.Sign(),
        xnn.BinaryConv2d(4, 3, 3),
        nn.Flatten(),
        nn.Linear(12, 3),
    ).eval()
    replace = {
        "0": xnn.FullConv2d.from_conv,
        nn.Linear: lambda m: xnn.FullLinear.from_linear(m, in_frac=8),
    }
    save(net, tmp_path / "m.pt", INPUT, replace=replace)
    assert off_grid(load_model_file(tmp_path / "m.pt").graph) == ("0", "5")


def test_a_class_on_top_is_refused() -> None:
    class Mine(xnn.FullLinear):
        pass

    with pytest.raises(ModelError, match="class of your own on top of FullLinear"):
        trace(nn.Sequential(nn.Flatten(), Mine(72, 3)).eval(), INPUT)
