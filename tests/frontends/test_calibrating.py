"""``calibrate``: which ReLUs become codes, their scales, what it prints, what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xnorhw import nn as xnn
from xnorhw.frontends import TorchEvaluator, load_model_file, save
from xnorhw.frontends.calibrating import calibrate, calibrate_file
from xnorhw.frontends.trace import trace
from xnorhw.golden import run as run_golden
from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import BinaryConv2d, BinaryLinear, Input, QuantRelu, Relu
from xnorhw.lower import lower


def _layer(inputs: int, outputs: int, size: int = 3) -> nn.Module:
    return xnn.BinaryConv2d(inputs, outputs, size, padding=size // 2, scale="channel")


def bwn() -> nn.Sequential:
    """Four layers of binary weights, no hidden activation binary."""
    return nn.Sequential(
        xnn.InputQuant(mean=0.5, std=0.5),
        xnn.BinaryConv2d(2, 8, 3, padding=1, scale="channel", in_scale=2 / 255),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        _layer(8, 8),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.1),
        _layer(8, 4),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        xnn.BinaryLinear(36, 5, scale="channel"),
    )


class Fire(nn.Module):
    """Two ReLUs that meet in one layer, and a real end."""

    def __init__(self) -> None:
        super().__init__()
        self.first = xnn.BinaryConv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU()
        self.one = _layer(4, 3, 1)
        self.three = _layer(4, 3)
        self.norm1, self.norm3 = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.relu1, self.relu3 = nn.ReLU(), nn.ReLU()
        self.next = _layer(6, 4)
        self.norm4 = nn.BatchNorm2d(4)
        self.relu4 = nn.ReLU()
        self.last = xnn.FullLinear(4 * 36, 3, in_frac=10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.first(x)))
        x = torch.cat((self.relu1(self.norm1(self.one(x))), self.relu3(self.norm3(self.three(x)))), 1)
        return self.last(self.relu4(self.norm4(self.next(x))).flatten(1))  # type: ignore[no-any-return]


def trained(net: nn.Module, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    for _ in range(10):
        net(frames(32))
    return net.eval()


def frames(count: int) -> Tensor:
    return torch.randint(0, 256, (count, 2, 6, 6)).float()


def test_a_bwn_becomes_codes(capsys: pytest.CaptureFixture[str]) -> None:
    net = trained(bwn())
    x = frames(300)
    with torch.inference_mode():
        y = net(x)
        values = [net[: i + 1](x) for i in (3, 7, 11)]
    made = calibrate(net, x, bits=8, labels=y.argmax(1), percentile=100)
    printed = capsys.readouterr().out.splitlines()
    assert isinstance(net[3], nn.ReLU) and net[5].in_scale == 1.0  # the given one is not touched
    for i, value, behind in zip((3, 7, 11), values, (5, 9, 13), strict=True):
        quant = made[i]
        assert isinstance(quant, xnn.QuantReLU) and quant.bits == 8
        assert quant.scale == np.float32(float(value.max()) / 255)
        assert made[behind].in_scale == quant.scale
        assert printed[(i - 3) // 4].startswith(f"{i}: codes of 8 bits")
    assert made[1].in_scale == net[1].in_scale
    with torch.inference_mode():
        found = made(x)
        codes = made[:4](x)
    differing = int((found.argmax(1) != y.argmax(1)).sum())
    assert f"decisions that differ: {differing} of 300" in printed[-1] and "100.00 % before" in printed[-2]
    assert differing < 15
    assert torch.allclose(codes * made[3].scale, values[0], atol=made[3].scale * 0.51)
    # fewer bits, coarser: the count is a count
    coarse = calibrate(net, x.numpy(), bits=1)
    with torch.inference_mode():
        count = int((coarse(x).argmax(1) != y.argmax(1)).sum())
    assert f"decisions that differ: {count} of 300" in capsys.readouterr().out
    assert count > differing


@pytest.mark.parametrize("bits", [4, 8])
def test_a_calibrated_bwn_is_integers_from_end_to_end(bits: int) -> None:
    made = calibrate(trained(bwn()), frames(64), bits=bits)
    graph = trace(made, Input((2, 6, 6)))
    evaluator = TorchEvaluator(graph)
    lowered = lower(graph, evaluator)
    x = frames(8).numpy()
    traced, found = evaluator.trace(x), run_golden(lowered, x.astype(np.int64))
    for name in ("3", "7", "11", lowered.output):
        values = found[name]
        assert np.array_equal(values, traced[name].reshape(values.shape))
        assert len(np.unique(values)) > 2


def test_power_of_two_scales_and_clipping(capsys: pytest.CaptureFixture[str]) -> None:
    net = trained(bwn())
    made = calibrate(net, frames(100), bits=4, power_of_two=True)
    for i in (3, 7, 11):
        assert np.frexp(made[i].scale)[0] == 0.5
    capsys.readouterr()
    calibrate(net, frames(100), bits=4, percentile=50.0)
    text = capsys.readouterr().out
    assert "largest value" in text and "% clipped" in text and " 0 % clipped" not in text


def test_what_a_layer_was_scaled_by_stays() -> None:
    net = bwn()
    net[5] = xnn.BinaryConv2d(8, 8, 3, padding=1, in_scale=0.125)
    made = calibrate(trained(net), frames(32))
    assert made[5].in_scale == np.float32(0.125 * made[3].scale)


def test_relus_that_meet_share_a_scale_and_a_real_end_stays() -> None:
    net = trained(Fire())
    made = calibrate(net, frames(64), percentile=100)
    assert made.relu1.scale == made.relu3.scale == made.next.in_scale
    assert made.relu.scale == made.one.in_scale == made.three.in_scale != made.relu1.scale
    assert isinstance(made.relu4, nn.ReLU) and made.last.in_frac == 10


def test_a_relu_used_twice_has_one_scale() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = _layer(2, 4), _layer(4, 4), _layer(4, 4)
            self.relu = nn.ReLU()
            self.flat = nn.Flatten()

        def forward(self, x: Tensor) -> Tensor:
            return self.flat(self.c(self.relu(self.b(self.relu(self.a(x))))))  # type: ignore[no-any-return]

    made = calibrate(trained(Net()), frames(16), percentile=100)
    assert made.relu.scale == made.b.in_scale == made.c.in_scale


def test_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    net = nn.Sequential(xnn.BinaryConv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)).eval()
    made = calibrate(net, frames(8))
    assert "nothing to calibrate" in capsys.readouterr().out
    assert made is not net and isinstance(made[1], nn.ReLU)
    # a ReLU on codes makes codes
    codes = nn.Sequential(xnn.InputQuant(range(256), signed=False), nn.ReLU(), _layer(2, 2), nn.Flatten())
    assert isinstance(calibrate(codes.eval(), frames(8))[1], nn.ReLU)


class Residual(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.first, self.conv = _layer(2, 2), _layer(2, 2)
        self.relu = nn.ReLU()
        self.sign = xnn.Sign()
        self.full = nn.Conv2d(2, 2, 1)
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        if self.kind == "function":
            return self.conv(F.relu(x)).flatten(1)  # type: ignore[no-any-return]
        if self.kind == "cat":
            return self.conv(torch.cat((self.relu(x[:, :1]), self.sign(x[:, :1])), 1)).flatten(1)
        y = self.relu(x)
        if self.kind == "add":
            return (self.conv(y) + y).flatten(1)  # type: ignore[no-any-return]
        if self.kind == "result":
            return y.flatten(1) if self.conv(y) is None else torch.cat((self.conv(y), y), 1).flatten(1)
        return (self.conv(y) + self.full(y)).flatten(1)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("kind", "name", "match"),
    [
        ("function", "F.relu", "cannot be exchanged"),
        ("add", "relu", "the call add"),
        ("result", "relu", "the network's result"),
        ("full", "relu", "full"),
    ],
)
def test_what_cannot_be_calibrated(kind: str, name: str, match: str) -> None:
    with pytest.raises(ModelError, match=match) as caught:
        calibrate(trained(Residual(kind)), frames(8))
    assert name in (caught.value.module or "")
    assert "QuantReLU" in caught.value.remedy


def test_a_relu_beside_a_sign_is_refused() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = _layer(2, 2), _layer(2, 2), _layer(4, 2)
            self.relu, self.sign = nn.ReLU(), xnn.Sign()

        def forward(self, x: Tensor) -> Tensor:
            return self.c(torch.cat((self.relu(self.a(x)), self.sign(self.b(x))), 1)).flatten(1)  # type: ignore

    with pytest.raises(ModelError, match="together with sign") as caught:
        calibrate(trained(Net()), frames(8))
    assert caught.value.module == "c"


def test_bad_arguments() -> None:
    net = trained(bwn())
    for bits in (0, 9, True, 2.0):
        with pytest.raises(ModelError, match="bits"):
            calibrate(net, frames(4), bits=bits)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="percentile"):
        calibrate(net, frames(4), percentile=0)
    with pytest.raises(ModelError, match="no batch"):
        calibrate(net, frames(4)[:0])
    with pytest.raises(ModelError, match="fails on them"):
        calibrate(net, torch.zeros(3, 7, 6, 6))
    with pytest.raises(ModelError, match="labels"):
        calibrate(net, frames(4), labels=[1, 2])
    with pytest.raises(ModelError, match="training"):
        calibrate(net.train(), frames(4))
    with pytest.raises(ModelError, match="is no network"):
        calibrate("net", frames(4))  # type: ignore[arg-type]


def test_a_file_is_calibrated_alike(tmp_path: Path) -> None:
    net = trained(bwn())
    x = frames(16)
    labels = torch.arange(16) % 5
    save(net, tmp_path / "net.pt", Input((2, 6, 6)), x.int(), labels)
    report = calibrate_file(tmp_path / "net.pt", tmp_path / "out.pt", bits=6)
    file = load_model_file(tmp_path / "out.pt")
    made = calibrate(net, x, bits=6)
    assert [a.name for a in report.activations] == ["3", "7", "11"]
    assert [a.scale for a in report.activations] == [made[i].scale for i in (3, 7, 11)]
    assert torch.equal(TorchEvaluator(file.graph).run(x), made(x))
    assert not any(isinstance(n.op, Relu) for n in file.graph.nodes)
    assert sum(isinstance(n.op, QuantRelu) for n in file.graph.nodes) == 3
    assert file.graph.kind("3") == "QuantReLU" and file.samples is not None
    with torch.inference_mode():
        first, second = net(x).argmax(1), made(x).argmax(1)
    assert report.frames == 16 and report.differing == int((first != second).sum())
    assert report.right_before == int((first == labels).sum())
    more = calibrate_file(tmp_path / "net.pt", tmp_path / "out2.pt", 6, frames(40).numpy())
    assert more.frames == 40 and more.right_before is None
    scales = [
        n.op.in_scale
        for n in load_model_file(tmp_path / "out2.pt").graph.nodes
        if isinstance(n.op, BinaryConv2d | BinaryLinear)
    ]
    assert scales[1:] == [a.scale for a in more.activations]


def test_functions_of_a_saved_network_are_exchanged(tmp_path: Path) -> None:
    net = trained(Residual("function"))
    save(net, tmp_path / "net.pt", Input((2, 6, 6)), frames(4).int())
    report = calibrate_file(tmp_path / "net.pt", tmp_path / "out.pt")
    assert [a.name for a in report.activations] == ["relu_1"]


def test_bad_files(tmp_path: Path) -> None:
    net = trained(bwn())
    path = tmp_path / "net.pt"
    save(net, path, Input((2, 6, 6)))
    with pytest.raises(ModelError, match="no samples"):
        calibrate_file(path, tmp_path / "out.pt")
    with pytest.raises(ModelError, match="take the place"):
        calibrate_file(path, path)
    with pytest.raises(ModelError, match="have the shape"):
        calibrate_file(path, tmp_path / "out.pt", samples=np.zeros((3, 2, 5, 6)))
    with pytest.raises(ModelError, match="cannot be read"):
        calibrate_file(tmp_path / "none.pt", tmp_path / "out.pt")
    assert not (tmp_path / "out.pt").exists()
