"""Batch norms in front of a grid, made exact: float32 rounds nothing, in no order, and nothing ties."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.varied import varied
from tests.frontends.channels import check_channel
from xnorhw import nn as xnn
from xnorhw.frontends import TorchEvaluator, load_model_file, save, snap, snap_file
from xnorhw.frontends.exact_norms import exact_norms
from xnorhw.frontends.exact_numbers import Target
from xnorhw.frontends.steps import of_net
from xnorhw.frontends.trace import trace
from xnorhw.golden import run as run_golden
from xnorhw.ir import float_graph as fg
from xnorhw.ir.float_graph import Input
from xnorhw.ir.int_graph import Requant
from xnorhw.lower import lower
from xnorhw.nn.weights import WeightQuantizer
from xnorhw.nn.zoo.residual import ABCBlock


def test_the_widest_block_of_abc_net_is_exact() -> None:
    """512 channels, five bases of weights and five of activations: every norm keeps its slope."""
    torch.manual_seed(0)
    block = varied(ABCBlock(256, 512, 2), torch.randn(4, 256, 8, 8))
    made = exact_norms(of_net(block, 6))
    assert made.left == () and {m.name for m in made.moved} == {"bn2", "bn3"}


class Block(nn.Module):
    """A residual block on grids, its layer, pool and grid as given."""

    def __init__(self, layer: nn.Module, pool: nn.Module, grid: nn.Module) -> None:
        super().__init__()
        self.pixels = xnn.InputQuant(mean=0.4, std=0.3)
        self.first = xnn.FullConv2d(2, 6, 3, padding=1, bias=False, in_scale=self.pixels.scale)
        self.norm0 = nn.BatchNorm2d(6)
        self.relu = nn.ReLU()
        self.grid0 = xnn.Grid(12, 8)
        self.norm1 = nn.BatchNorm2d(6)
        self.sign = nn.Sequential(nn.BatchNorm2d(6), xnn.Sign())
        self.layer = layer
        self.pool = pool
        self.norm2 = nn.BatchNorm2d(6)
        self.grid = grid
        self.last = nn.Sequential(xnn.Sign(), nn.Flatten(), xnn.BinaryLinear(6 * 36, 4, scale="channel"))

    def forward(self, x: Tensor) -> Tensor:
        x = self.grid0(self.relu(self.norm0(self.first(self.pixels(x)))))
        y = self.grid(self.norm2(self.pool(self.layer(self.sign(x)))))
        return self.last(x + y)  # type: ignore[no-any-return]


def _trained(net: nn.Module, shape: tuple[int, ...] = (2, 6, 6), seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            with torch.no_grad():
                m.weight.uniform_(-1.5, 1.5)
                m.bias.normal_(0, 0.5)
        if isinstance(m, xnn.BinaryConv2d | xnn.QuantConv2d) and m.bias is not None:
            nn.init.normal_(m.bias, 0, 2)
    net.train()
    for _ in range(20):
        net(torch.randint(0, 256, (16, *shape)).float())
    return net.eval()


LAYERS = {
    "xnor": lambda: xnn.BinaryConv2d(6, 6, 3, padding=1, scale="channel", bias=True),
    "bnn": lambda: xnn.BinaryConv2d(6, 6, 3, padding=1, pad_value=-1),
    "dorefa": lambda: xnn.QuantConv2d(6, 6, 3, padding=1, bias=True, weight=xnn.DoReFaWeight(3)),
    "abc": lambda: xnn.QuantConv2d(6, 6, 3, padding=1, weight=xnn.BasesWeight(3, frac=6)),
}
POOLS = {"none": nn.Identity, "max": lambda: nn.MaxPool2d(3, 1, 1), "relu": nn.ReLU}


def _pairs(net: nn.Module) -> list[tuple[str, str, str]]:
    return [("first", "norm0", "grid0"), ("layer", "norm2", "grid")]


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("layer", LAYERS)
def test_a_residual_network_becomes_exact(layer: str, pool: str, capsys: pytest.CaptureFixture[str]) -> None:
    if pool == "relu" and layer in ("xnor", "dorefa"):
        made_layer = LAYERS[layer]()
        made_layer.bias = None
    else:
        made_layer = LAYERS[layer]()
    net = _trained(Block(made_layer, POOLS[pool](), xnn.Grid(12, 8)))
    x = torch.randint(0, 256, (200, 2, 6, 6)).float()
    with torch.inference_mode():
        before = net(x)
    made = snap(net, samples=x, labels=before.argmax(1))
    printed = capsys.readouterr().out
    assert (
        "norm2 (BatchNorm2d): results in steps of 2^-" in printed and "accuracy: 100.00 % before" in printed
    )
    with torch.inference_mode():
        after = made(x)
    # the grid's steps are 1/256: snapping moves less than a few of them, so decisions hardly change
    assert (before.argmax(1) != after.argmax(1)).double().mean() < 0.2
    target = Target(8, 1 << 11)
    norm2, norm0 = made.norm2, made.norm0
    for norm in (norm0, norm2):
        assert type(norm) is nn.BatchNorm2d
        assert bool((norm.running_mean == 0).all())
        assert bool((norm.running_var + norm.eps == 1).all())
    assert made.layer.bias is None and made.first.bias is None and made.first.in_scale == 1.0
    if layer == "bnn":  # no scale to give away
        assert isinstance(made.layer, xnn.BinaryConv2d)
        point, reach = 0, [54.0] * 6
    elif layer == "xnor":
        assert isinstance(made.layer, xnn.FrozenBinaryConv2d) and made.layer.scale is None
        point, reach = 0, [54.0] * 6
    else:
        assert isinstance(made.layer, xnn.FrozenQuantConv2d) and made.layer.scale is None
        point = made.layer.frac
        reach = (made.layer.bases().whole().abs().flatten(1).sum(1) * 2.0**-point).tolist()
    for a, b, most in zip(norm2.weight.tolist(), norm2.bias.tolist(), reach, strict=True):
        g = int(math.log2(Fraction(b).denominator)) - 1
        check_channel(a, b, target, point, most, g)
    # the same function up to what it says
    said = next(line for line in printed.splitlines() if line.startswith("norm2"))
    bound = float(said.rpartition(" ")[2])
    sums = torch.from_numpy(np.random.default_rng(0).integers(-40, 41, (200, 6, 1, 1)) * 2.0**-point)
    with torch.inference_mode():
        values = [n.norm2(n.pool(n.layer.after_sum(sums))) for n in (net, made)]
    inside = values[0].abs() < 8
    assert bool((((values[0] - values[1]).abs() <= bound * 1.001 + 1e-5) | ~inside).all())
    assert bound < 2.0**-6 and bool(inside.any())
    assert set(norm0.weight.abs().tolist()) == {1.0}
    for a, b, w in zip(norm0.weight.tolist(), norm0.bias.tolist(), made.first.weight, strict=True):
        g = made.first.frac
        assert Fraction(b).denominator == 2 ** (g + 1)
        assert bool((w * 2.0**g == (w * 2.0**g).round()).all())
        check_channel(a, b, target, g, float(w.abs().sum()) * 128, g)


@pytest.mark.parametrize("layer", LAYERS)
def test_what_was_snapped_is_one_multiply_add_and_shift(layer: str) -> None:
    net = Block(LAYERS[layer](), nn.MaxPool2d(3, 1, 1), xnn.Grid(12, 8))
    made = snap(_trained(net))
    graph = trace(made, Input((2, 6, 6)))
    evaluator = TorchEvaluator(graph)
    lowered = lower(graph, evaluator)
    for name in ("grid0", "grid"):
        nodes = [n for n in lowered.nodes if n.output.name == name]
        source = nodes[0] if isinstance(nodes[0].op, Requant) else lowered.node(nodes[0].input)
        assert isinstance(source.op, Requant), name
    assert lowered.rounding_dependent == ()
    x = np.random.default_rng(0).integers(0, 256, (8, 2, 6, 6))
    traced, found = evaluator.trace(x.astype(np.float32)), run_golden(lowered, x)
    for name, values in found.items():
        kind = lowered.tensor(name).type
        if name in traced and kind is not None:
            assert np.array_equal(values * 2.0**-kind.point, traced[name].reshape(values.shape)), name


def test_twice_is_once(capsys: pytest.CaptureFixture[str]) -> None:
    net = _trained(Block(LAYERS["xnor"](), nn.Identity(), xnn.Grid(12, 8)))
    once = snap(net)
    capsys.readouterr()
    twice = snap(once)
    assert "nothing to snap" in capsys.readouterr().out
    for (name, a), (_, b) in zip(once.state_dict().items(), twice.state_dict().items(), strict=True):
        assert torch.equal(a, b), name


def test_layers_without_a_norm_and_norms_without_a_layer() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.grid = xnn.Grid(10, 4)
            self.norm = nn.BatchNorm2d(2)
            self.grid1 = xnn.Grid(10, 6)
            self.layer = xnn.BinaryConv2d(2, 3, 1, scale="channel", bias=True)
            self.grid2 = xnn.Grid(10, 6)
            self.last = nn.Sequential(nn.Flatten(), xnn.BinaryLinear(27, 2))

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.grid2(self.layer(self.grid1(self.norm(self.grid(x))))))  # type: ignore

    net = _trained(Net(), (2, 3, 3))
    found = exact_norms(of_net(net))
    assert set(found.ops) == {"norm", "layer"} and not found.left
    norm, layer = found.ops["norm"], found.ops["layer"]
    assert isinstance(norm, fg.BatchNorm) and norm.gamma is not None and norm.beta is not None
    for a, b in zip(norm.gamma.tolist(), norm.beta.tolist(), strict=True):
        check_channel(a, b, Target(6, 512), 4, 32.0, int(math.log2(Fraction(b).denominator)) - 1)
    assert isinstance(layer, fg.BinaryConv2d) and layer.scale is not None and layer.bias is not None
    for a, b in zip(layer.scale.tolist(), layer.bias.tolist(), strict=True):
        check_channel(a, b, Target(6, 512), 6, 16.0, int(math.log2(Fraction(b).denominator)) - 1)


@pytest.mark.parametrize(("bits", "scale"), [(8, 2.0**-5), (5, 1.0), (4, 0.25), (8, 0.03)])
def test_codes_of_a_power_of_two_are_a_grid(bits: int, scale: float) -> None:
    net = _trained(
        nn.Sequential(
            xnn.InputQuant(mean=0.5, std=0.5),
            xnn.BinaryConv2d(2, 4, 3, scale="channel", in_scale=1 / 127),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(4),
            xnn.QuantReLU(bits, scale),
            xnn.BinaryConv2d(4, 3, 2, in_scale=scale),
            nn.Flatten(),
        )
    )
    found = exact_norms(of_net(net))
    if bits <= 4 or scale == 0.03:  # thresholds, and steps that are none of float32's
        assert not found.ops and not found.left
        return
    norm = found.ops["3"]
    assert isinstance(norm, fg.BatchNorm) and norm.gamma is not None and norm.beta is not None
    frac = -int(math.log2(scale))
    for a, b in zip(norm.gamma.tolist(), norm.beta.tolist(), strict=True):
        g = int(math.log2(Fraction(b).denominator)) - 1
        check_channel(a, b, Target(frac, 2**bits - 1), 0, 18 * 128.0, g)


def test_a_convolution_with_its_input_scale() -> None:
    net = _trained(
        nn.Sequential(
            xnn.Grid(10, 1),
            xnn.ScaledBinaryConv2d(2, 4, 1, bias=True),
            nn.BatchNorm2d(4),
            xnn.Grid(10, 4),
            xnn.Sign(),
            nn.Flatten(),
        )
    )
    found = exact_norms(of_net(net))
    assert not found.left
    layer, norm = found.ops["1"], found.ops["2"]
    assert isinstance(layer, fg.ScaledBinaryConv2d) and layer.scale.tolist() == [1] and layer.bias is None
    assert isinstance(norm, fg.BatchNorm) and norm.gamma is not None and norm.beta is not None
    for a, b in zip(norm.gamma.tolist(), norm.beta.tolist(), strict=True):
        check_channel(a, b, Target(4, 512), 1, 2 * 2 * 256.0, int(math.log2(Fraction(b).denominator)) - 1)


def test_what_is_left_says_why() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(2)
            self.conv = xnn.BinaryConv2d(2, 2, 1)
            self.conv2 = xnn.BinaryConv2d(2, 2, 1, bias=True)
            self.relu = nn.ReLU()
            self.sign = xnn.Sign()
            self.norm2 = nn.BatchNorm2d(2)
            self.norm3 = nn.BatchNorm2d(2)
            self.grid = xnn.Grid(10, 6)
            self.flat = nn.Flatten()
            self.pool = nn.AvgPool2d(1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.sign(x)
            a = self.conv(x)
            b = self.grid(self.norm(a)) + self.grid(self.norm2(self.relu(self.conv2(x))))
            c = self.grid(self.norm3(self.pool(self.grid(a))))
            return self.flat(a + b + c)  # type: ignore[no-any-return]

    net = _trained(Net(), (2, 3, 3))
    with torch.no_grad():
        net.conv2.bias.fill_(0.3)
    found = exact_norms(of_net(net))
    assert not found.ops
    reasons = {text.split(":")[0]: text for text in found.left}
    assert "conv in front of it is read elsewhere" in reasons["norm"]
    assert "ReLU stands between it and conv2" in reasons["norm2"]
    assert "no sum of integers" in reasons["norm3"]


@pytest.mark.parametrize("quant", [xnn.DoReFaWeight(2), xnn.BasesWeight(2)], ids=str)
def test_a_saved_file_is_snapped_alike(quant: WeightQuantizer, tmp_path: Path) -> None:
    layer = xnn.QuantConv2d(6, 6, 3, padding=1, weight=quant)
    net = _trained(Block(layer, nn.MaxPool2d(3, 1, 1), xnn.Grid(12, 8)))
    pixels = torch.randint(0, 256, (16, 2, 6, 6))
    save(net, tmp_path / "net.pt", Input((2, 6, 6)), pixels)
    report = snap_file(tmp_path / "net.pt", tmp_path / "out.pt")
    assert {layer.name for layer in report.layers} >= {"first", "norm0", "norm2"} and report.frames == 16
    graph = load_model_file(tmp_path / "out.pt").graph
    direct = trace(snap(net), Input((2, 6, 6)))
    x = pixels.float()
    assert torch.equal(TorchEvaluator(graph).run(x), TorchEvaluator(direct).run(x))
    assert snap_file(tmp_path / "out.pt", tmp_path / "again.pt").layers == ()
