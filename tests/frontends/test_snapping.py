"""``snap``: which layers it takes, what it prints, what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xnorhw import nn as xnn
from xnorhw.frontends import TorchEvaluator, load_model_file, save, snap, snap_file
from xnorhw.frontends.trace import trace
from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import FullConv2d, FullLinear, Input
from xnorhw.ir.grid import off_grid
from xnorhw.lower import lower
from xnorhw.nn.full import FullBase

INPUT = Input((2, 6, 6))


class Net(nn.Module):
    """Defined in another order than it is called in, with functions between the layers."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(3 * 4 * 4, 5)
        self.middle = xnn.BinaryConv2d(4, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.norm2 = nn.BatchNorm2d(3)
        self.first = nn.Conv2d(2, 4, 3)
        self.sign = xnn.Sign()

    def forward(self, x: Tensor) -> Tensor:
        x = self.sign(self.norm(self.first(x)))
        x = F.relu(self.norm2(self.middle(x)))
        return self.last(x.view(x.size(0), -1))


def frames(count: int) -> Tensor:
    return torch.randint(0, 256, (count, 2, 6, 6))


def trained() -> Net:
    net = Net()
    for _ in range(2):
        net(frames(32).float())
    return net.eval()


def test_a_trained_network_becomes_exact(capsys: pytest.CaptureFixture[str]) -> None:
    net = trained()
    x = frames(100)
    with torch.inference_mode():
        y = net(x.float()).argmax(dim=1)
    made = snap(net, samples=x, labels=y)
    printed = capsys.readouterr().out.splitlines()
    assert isinstance(made, Net) and made is not net and isinstance(net.first, nn.Conv2d)
    assert isinstance(made.first, xnn.FullConv2d) and isinstance(made.last, xnn.FullLinear)
    assert made.last.in_frac == 10
    assert [line.split()[0] for line in printed[:2]] == ["first", "last"]
    assert printed[2].startswith("accuracy: 100.00 % before, ") and "100 frames" in printed[2]
    with torch.inference_mode():
        differing = int((made(x.float()).argmax(dim=1) != y).sum())
    assert printed[3] == f"decisions that differ: {differing} of 100"
    graph = trace(made, INPUT)
    assert off_grid(graph) == ()
    lower(graph, TorchEvaluator(graph))


def test_what_a_coarse_grid_changes_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    net = trained()
    x = frames(100)
    with torch.inference_mode():
        y = net(x.float()).argmax(dim=1)
    made = snap(net, frac=1, samples=x.numpy(), labels=y.numpy())
    with torch.inference_mode():
        right = int((made(x.float()).argmax(dim=1) == y).sum())
    assert right < 100
    printed = capsys.readouterr().out
    assert f"accuracy: 100.00 % before, {right:.2f} % after" in printed
    assert f"decisions that differ: {100 - right} of 100" in printed


@pytest.mark.parametrize("bits", [8, 5])
def test_full_bits_round_every_layer_to_as_many(bits: int, tmp_path: Path) -> None:
    once = snap(trained())
    made = snap(once, full_bits=bits)
    save(once, tmp_path / "m.pt", INPUT)
    snap_file(tmp_path / "m.pt", tmp_path / "out.pt", full_bits=bits)
    own = load_model_file(tmp_path / "out.pt").graph
    assert isinstance(made, Net) and isinstance(once, Net)
    for name, layer in (("first", made.first), ("last", made.last)):
        assert isinstance(layer, FullBase)
        steps = layer.weight.detach().double() * 2.0**layer.frac
        assert torch.equal(steps, steps.round()) and 1 << bits - 2 <= int(steps.abs().max()) < 1 << bits - 1
        (op,) = (node.op for node in own.nodes if node.output.name == name)
        assert isinstance(op, FullConv2d | FullLinear) and op.frac == layer.frac
        assert np.array_equal(op.weight, layer.weight.detach().numpy())
    for wrong in (1, 25, 2.5, True):
        with pytest.raises(ModelError, match="full_bits="):
            snap(once, full_bits=wrong)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="both given"):
        snap(once, frac=4, full_bits=8)


def test_signs_need_no_rounding_of_the_input() -> None:
    net = nn.Sequential(
        xnn.Sign(),
        xnn.BinaryConv2d(2, 3, 3),
        nn.BatchNorm2d(3),
        xnn.Sign(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(12, 3),
    ).eval()
    last = snap(net)[-1]  # type: ignore[index]
    assert isinstance(last, xnn.FullLinear) and last.in_frac is None
    net[3] = nn.ReLU().eval()
    last = snap(net, in_frac=4)[-1]  # type: ignore[index]
    assert isinstance(last, xnn.FullLinear) and last.in_frac == 4


def test_a_snapped_network_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    once = snap(trained())
    capsys.readouterr()
    twice = snap(once)
    assert "nothing to snap" in capsys.readouterr().out and twice is not once
    assert isinstance(once, Net) and isinstance(twice, Net)
    assert torch.equal(once.first.weight, twice.first.weight)


def test_replacements_come_first() -> None:
    class Mine(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(x, self.weight, self.bias)

    net = trained()
    net.first = Mine(2, 4, 3)
    replace = {Mine: lambda m: xnn.FullConv2d.from_conv(m, frac=5, in_scale=0.5)}
    made = snap(net.eval(), replace=replace)
    assert isinstance(made, Net) and isinstance(made.first, xnn.FullConv2d)
    assert (made.first.frac, made.first.in_scale) == (5, 0.5)


def test_refusals() -> None:
    between = nn.Sequential(
        xnn.BinaryConv2d(2, 4, 3), xnn.Sign(), nn.Conv2d(4, 4, 1), xnn.Sign(), xnn.BinaryConv2d(4, 3, 3)
    ).eval()
    with pytest.raises(ModelError, match="between binary layers") as caught:
        snap(between)
    assert caught.value.module == "2"
    with pytest.raises(ModelError, match="no binary layer"):
        snap(nn.Sequential(nn.Conv2d(2, 3, 3)).eval())
    with pytest.raises(ModelError, match="training mode"):
        snap(Net())
    with pytest.raises(ModelError, match="is no network"):
        snap([1])  # type: ignore[arg-type]
    for wrong in (31, -1, 2.5, True):
        with pytest.raises(ModelError, match="frac="):
            snap(trained(), frac=wrong)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="labels"):
        snap(trained(), samples=frames(4), labels=[1, 2])
    with pytest.raises(ModelError, match="fails on them") as caught:
        snap(trained(), samples=np.zeros((4, 3, 6, 6)))
    assert caught.value.module == "samples"
    circular = trained()
    circular.first = nn.Conv2d(2, 4, 3, padding_mode="circular").eval()
    with pytest.raises(ModelError, match="circular") as caught:
        snap(circular)
    assert caught.value.module == "first"


def test_a_file_is_snapped_as_the_network_is(tmp_path: Path) -> None:
    net = trained()
    replace = {
        nn.Conv2d: xnn.FullConv2d.from_conv,
        nn.Linear: lambda m: xnn.FullLinear.from_linear(m, in_frac=10),
    }
    x = frames(8)
    save(net, tmp_path / "m.pt", INPUT, samples=x, labels=[0] * 8, replace=replace)
    report = snap_file(tmp_path / "m.pt", tmp_path / "out.pt")
    save(snap(net), tmp_path / "own.pt", INPUT, samples=x, labels=[0] * 8)
    made, own = (load_model_file(tmp_path / name).graph for name in ("out.pt", "own.pt"))
    assert off_grid(made) == ()
    for a, b in zip(made.nodes, own.nodes, strict=True):
        if hasattr(a.op, "frac"):
            assert np.array_equal(a.op.weight, b.op.weight) and a.op.frac == b.op.frac
    assert [layer.name for layer in report.layers] == ["first", "last"]
    assert report.frames == 8 and report.right_before is not None
    coarse = snap_file(tmp_path / "m.pt", tmp_path / "coarse.pt", frac=2)
    assert {layer.frac for layer in coarse.layers} == {2}
    assert load_model_file(tmp_path / "coarse.pt").labels is not None


def test_a_file_without_samples_says_so(tmp_path: Path) -> None:
    save(snap(trained()), tmp_path / "m.pt", INPUT)
    text = str(snap_file(tmp_path / "m.pt", tmp_path / "out.pt"))
    assert "nothing to snap" in text and "not measured" in text
    assert (tmp_path / "m.pt").read_bytes() == (tmp_path / "out.pt").read_bytes()
    with pytest.raises(ModelError, match="cannot be written"):
        snap_file(tmp_path / "m.pt", tmp_path / "none" / "out.pt")
    with pytest.raises(ModelError, match="cannot be read"):
        snap_file(tmp_path / "missing.pt", tmp_path / "out.pt")
