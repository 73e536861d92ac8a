from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from xnorhw import nn as xnn
from xnorhw.frontends.evaluator import TorchEvaluator, _fused, batch_norm_terms
from xnorhw.frontends.trace import trace
from xnorhw.ir import float_graph as fg
from xnorhw.ir.errors import ModelError


def network() -> nn.Sequential:
    net = nn.Sequential(
        xnn.InputQuant(mean=0.3, std=0.4),
        xnn.BinaryConv2d(2, 6, 3, padding=1, scale="channel", bias=True, in_scale=1 / 200),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(6),
        xnn.Sign(),
        nn.Flatten(),
        xnn.BinaryLinear(54, 3, scale="layer"),
        nn.BatchNorm1d(3),
    ).eval()
    for module in (net[3], net[7]):
        for name in ("running_mean", "weight", "bias"):
            getattr(module, name).data.normal_()
    return net


def evaluator() -> tuple[nn.Sequential, TorchEvaluator]:
    net = network()
    return net, TorchEvaluator(trace(net, fg.Input((2, 6, 6))))


def test_trace_gives_every_value() -> None:
    net, ev = evaluator()
    x = np.random.default_rng(0).integers(0, 256, (3, 2, 6, 6)).astype(np.uint8)
    values = ev.trace(x)
    assert list(values) == ["input", "0", "1", "1:out", "2", "3", "4", "5", "6", "6:out", "7", ":scores"]
    assert values["1"].dtype == np.int64 and values["6"].dtype == np.int64
    current = torch.from_numpy(x).float()
    for index, module in enumerate(net):
        current = module(current).detach()
        found = values.get(f"{index}:out", values[str(index)])
        assert np.array_equal(found, current.numpy()), index
    assert np.array_equal(values[":scores"], values["7"])
    signs = np.where(net[1].weight.detach().numpy() >= 0, 1, -1)  # type: ignore[union-attr,operator]
    corner = (values["0"][:, :, :2, :2].astype(np.int64)[:, None] * signs[None, :, :, 1:, 1:]).sum(
        axis=(2, 3, 4)
    )
    assert np.array_equal(values["1"][:, :, 0, 0], corner)


def test_a_product_at_the_end_gives_scores_behind_its_sum() -> None:
    net = nn.Sequential(xnn.BinaryLinear(4, 2, scale="channel")).eval()
    x = np.array([[1, -1, 1, 1]], np.float32)
    values = TorchEvaluator(trace(net, fg.Input((4,), encoding="bipolar"))).trace(x)
    assert np.array_equal(values[":scores"], net(torch.from_numpy(x)).detach().numpy())
    assert np.array_equal(values["0:out"], values[":scores"])


def test_sums_of_scaled_inputs_are_in_the_layers_units() -> None:
    net = nn.Sequential(xnn.BinaryLinear(3, 1)).eval()
    with torch.no_grad():
        net[0].weight.fill_(1.0)  # type: ignore[operator,union-attr]
    ev = TorchEvaluator(trace(net, fg.Input((3,), signed=True, scale=1 / 128)))
    values = ev.trace(np.array([[1, 2, -8]]) / 128)
    assert values["0"].item() == -5 / 128


def test_call_and_after_sum_are_the_modules() -> None:
    net, ev = evaluator()
    rng = np.random.default_rng(1)
    sums = rng.integers(-3000, 3000, (7, 6, 1, 1))
    expected = net[1].after_sum(torch.from_numpy(sums)).detach().numpy()  # type: ignore[operator]
    assert np.array_equal(ev.after_sum("1", sums), expected)
    assert ev.after_sum("1", sums).dtype == np.float32
    assert ev.after_sum("6", rng.integers(-54, 55, (4, 3))).shape == (4, 3)
    x = rng.normal(size=(5, 6, 1, 1)).astype(np.float32)
    assert np.array_equal(ev.call("3", x), net[3](torch.from_numpy(x)).detach().numpy())
    assert ev.call("2", rng.normal(size=(2, 6, 4, 4))).shape == (2, 6, 2, 2)
    with pytest.raises(ModelError, match="no sum"):
        ev.after_sum("3", x)


def test_large_sums_round_once() -> None:
    net = nn.Sequential(xnn.BinaryLinear(4, 1)).eval()
    ev = TorchEvaluator(trace(net, fg.Input((4,), encoding="bipolar")))
    sums = np.array([[2**24 + 1], [2**24 + 3], [2**53 - 1]], np.int64)
    assert ev.after_sum("0", sums).ravel().tolist() == [2.0**24, 2.0**24 + 4, 2.0**53]


def rounded(value: Fraction) -> np.float32:
    """The float32 nearest to a rational, ties to even."""
    near = np.float32(float(value))
    best = [np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))]
    distance = [abs(Fraction(float(b)) - value) for b in best]
    least = min(distance)
    ties = [b for b, d in zip(best, distance, strict=True) if d == least]
    return ties[0] if len(ties) == 1 else next(b for b in ties if int(b.view(np.int32)) % 2 == 0)


def test_fused_rounds_once() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(400, 3, 1, 1)).astype(np.float32)
    a = rng.normal(size=(1, 3, 1, 1)).astype(np.float32)
    b = (rng.normal(size=(1, 3, 1, 1)) * 10.0 ** rng.integers(-9, 9, (1, 3, 1, 1))).astype(np.float32)
    found = _fused(x, a, b)
    for index in np.ndindex(x.shape):
        exact = Fraction(float(x[index])) * Fraction(float(a[0, index[1], 0, 0]))
        assert found[index] == rounded(exact + Fraction(float(b[0, index[1], 0, 0]))), index


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("nudge", [1, -1])
def test_fused_where_rounding_twice_is_wrong(sign: int, nudge: int) -> None:
    # the sum lies beside the middle of two float32, by less than float64 can hold
    x = np.array([[1 + 2.0**-12]], np.float32)
    a = np.array([[sign * (1 + 2.0**-12)]], np.float32)  # x*a = 1 + 2^-11 + 2^-24: the middle
    b = np.array([[nudge * 2.0**-80]], np.float32)
    naive = np.float32(float(x[0, 0]) * float(a[0, 0]) + float(b[0, 0]))
    exact = Fraction(float(x[0, 0])) * Fraction(float(a[0, 0])) + Fraction(float(b[0, 0]))
    found = _fused(x, a, b)[0, 0]
    assert found == rounded(exact)
    if sign * nudge > 0:
        assert found != naive


@pytest.mark.parametrize("rank", [2, 4])
@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_models_surround_the_module(rank: int, affine: bool) -> None:
    """On every machine the module is x*a + b, fused or not, up to where the kernel fuses."""
    channels = 32
    norm = (nn.BatchNorm1d if rank == 2 else nn.BatchNorm2d)(channels, affine=affine).eval()
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.normal_(0, 30)
    norm.running_var.uniform_(1, 200)
    if affine:
        norm.weight.data.normal_()
        norm.bias.data.normal_()
    shape = (channels,) if rank == 2 else (channels, 1, 1)
    ev = TorchEvaluator(trace(nn.Sequential(norm).eval(), fg.Input(shape)))
    sums = np.broadcast_to(np.arange(-500, 500).reshape(-1, *[1] * (rank - 1)), (1000, *shape))
    module = ev.call("0", sums)
    fused, separate = ev.call("0", sums, "fused"), ev.call("0", sums, "separate")
    assert fused.dtype == separate.dtype == np.float32 and fused.shape == module.shape
    assert not np.array_equal(fused, separate)
    op = ev.graph.nodes[0].op
    assert isinstance(op, fg.BatchNorm)
    a, b = batch_norm_terms(op, "separate")
    scale = np.abs(sums * a.reshape(1, *shape)).max() + np.abs(b).max() + np.abs(op.mean * a).max()
    for model in (fused, separate):
        assert np.abs(model - module).max() <= 4 * np.spacing(np.float32(scale))


def test_rounding_concerns_batch_norms_alone() -> None:
    _, ev = evaluator()
    x = np.random.default_rng(0).normal(size=(2, 6, 3, 3)).astype(np.float32)
    assert np.array_equal(ev.call("4", x, "fused"), ev.call("4", x))


def test_quiet_on_overflow() -> None:
    op = fg.BatchNorm(
        np.full(1, 3e38, np.float32), None, np.zeros(1, np.float32), np.full(1, 1e-30, np.float32), 1e-30, 2
    )
    graph = fg.FloatGraph(fg.Input((1,)), (fg.FloatNode(op, "input", fg.Value("n", (1,), "C")),), "n")
    for rounding in ("fused", "separate"):
        found = TorchEvaluator(graph).call("n", np.ones((1, 1)), rounding)  # type: ignore[arg-type]
        assert math.isinf(float(found.item())) or math.isnan(float(found.item()))
