from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from xnorhw import nn as xnn
from xnorhw.nn.weights import WeightQuantizer

QUANTIZERS = [
    xnn.DoReFaWeight(1),
    xnn.DoReFaWeight(2),
    xnn.DoReFaWeight(8),
    xnn.BasesWeight(1),
    xnn.BasesWeight(3, frac=6),
    xnn.BasesWeight(5, frac=16),
]


def _conv(x: np.ndarray, w: np.ndarray, groups: int, stride: int, pads: tuple[int, int, int, int]) -> Any:
    left, right, top, bottom = pads
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    view = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    per_in, per_out = x.shape[1] // groups, w.shape[0] // groups
    return np.concatenate(
        [
            np.einsum(
                "nchwyx,ocyx->nohw",
                view[:, g * per_in : (g + 1) * per_in],
                w[g * per_out : (g + 1) * per_out],
            )
            for g in range(groups)
        ],
        axis=1,
    )


@pytest.mark.parametrize("quant", QUANTIZERS, ids=str)
@pytest.mark.parametrize("groups", [1, 2])
def test_convolution_in_eval_is_the_integer_sum_scaled_once(quant: WeightQuantizer, groups: int) -> None:
    torch.manual_seed(groups)
    pads = (1, 0, 2, 1)
    layer = xnn.QuantConv2d(8, 6, (3, 2), 2, pads, groups=groups, bias=True, weight=quant, in_scale=1 / 3)
    with torch.no_grad():
        assert layer.bias is not None
        layer.bias.normal_()
    layer.eval()
    codes = np.random.default_rng(0).integers(0, 16, (3, 8, 9, 8))
    b = quant.bases(layer.weight)
    assert b.scale is not None
    whole = np.einsum("m,moiyx->oiyx", b.coefficients.numpy(), b.weight.detach().numpy().astype(np.int64))
    sums = _conv(codes, whole, groups, 2, pads)
    x = torch.from_numpy(codes.astype(np.float32))
    with torch.inference_mode():
        found = layer.sum(x)
        y = layer(x)
    assert np.array_equal(found.double().numpy() * 2.0**layer.frac, sums)
    scale = b.scale.detach().numpy() * np.float32(1 / 3)
    expected = (sums * 2.0**-layer.frac).astype(np.float32) * scale.reshape(-1, 1, 1)
    expected = expected + layer.bias.detach().numpy().reshape(-1, 1, 1)
    assert expected.dtype == np.float32
    assert np.array_equal(y.numpy(), expected)
    frozen = layer.freeze()
    assert torch.equal(frozen(x), y) and not frozen.training
    # the layer itself in training: the real weights of the paper
    layer.train()
    real = _conv(codes, layer.real_weight().detach().double().numpy(), groups, 2, pads) / 3
    real = real + layer.bias.detach().numpy().reshape(-1, 1, 1)
    assert np.allclose(layer(x).detach().numpy(), real, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("quant", QUANTIZERS, ids=str)
def test_linear_in_eval(quant: WeightQuantizer) -> None:
    torch.manual_seed(1)
    layer = xnn.QuantLinear(500, 7, weight=quant, in_scale=0.5).eval()
    grid = np.random.default_rng(0).integers(-300, 300, (4, 500))
    b = layer.bases()
    assert b.scale is not None
    sums = grid @ b.whole().numpy().T  # multiples of 2^-5 in front of it
    with torch.inference_mode():
        x = torch.from_numpy(grid.astype(np.float32)) * 2.0**-5
        found, y = layer.sum(x), layer(x)
    assert np.array_equal(found.double().numpy() * 2.0 ** (5 + layer.frac), sums)
    expected = (sums * 2.0 ** -(5 + layer.frac)).astype(np.float32) * (b.scale.numpy() * np.float32(0.5))
    assert np.array_equal(y.numpy(), expected)
    assert torch.equal(layer.freeze()(x), y)


def test_sums_beyond_float32_are_float64() -> None:
    layer = xnn.QuantLinear(4096, 2, weight=xnn.BasesWeight(2, frac=16)).eval()
    with torch.no_grad():
        layer.weight.fill_(0.7)
    x = torch.full((1, 4096), 255.0)
    with torch.inference_mode():
        s = layer.sum(x)
    assert s.dtype == torch.float64
    whole = layer.bases().whole()
    assert torch.equal(s * 2.0**16, x.double() @ whole.T)


@pytest.mark.parametrize("largest", [2**13 + 1, 2**19 + 1])
def test_sums_of_large_codes_are_exact(largest: int) -> None:
    layer = xnn.QuantConv2d(64, 3, 3, padding=1, weight=xnn.DoReFaWeight(4)).eval()
    codes = np.random.default_rng(0).integers(largest // 2, largest, (2, 64, 6, 6))
    with torch.no_grad():
        layer.weight.abs_()  # every product counts the same way
    with torch.inference_mode():
        found = layer.sum(torch.from_numpy(codes.astype(np.float32)))
    whole = layer.bases().whole().numpy().astype(np.int64)
    expected = _conv(codes, whole, 1, 1, (1, 1, 1, 1))
    assert expected.max() > 2**24
    assert np.array_equal(found.double().numpy(), expected)


def test_gradients_reach_latent_weights_bias_and_input() -> None:
    torch.manual_seed(0)
    for quant in QUANTIZERS:
        layer = xnn.QuantConv2d(3, 4, 3, bias=True, weight=quant, in_scale=0.25)
        x = torch.randn(2, 3, 6, 6, requires_grad=True)
        g = torch.randn(2, 4, 4, 4)
        layer(x).backward(g)
        real = layer.real_weight().detach()
        expected = torch.nn.grad.conv2d_input(x.shape, real, g * 0.25)
        assert x.grad is not None
        assert torch.allclose(x.grad, expected, atol=1e-5)
        through = torch.nn.grad.conv2d_weight(x.detach(), real.shape, g * 0.25)
        latent = layer.weight.detach().clone().requires_grad_()
        quant(latent).backward(through)
        assert layer.weight.grad is not None and latent.grad is not None
        assert torch.allclose(layer.weight.grad, latent.grad, atol=1e-4)
        assert layer.bias is not None and layer.bias.grad is not None
        assert torch.allclose(layer.bias.grad, g.sum((0, 2, 3)), atol=1e-4)


def test_from_torch_layers() -> None:
    conv = nn.Conv2d(4, 6, (3, 1), (2, 1), "valid", groups=2)
    made = xnn.QuantConv2d.from_conv(conv, xnn.DoReFaWeight(8), in_scale=0.5)
    assert (made.stride, made.pads, made.groups, made.in_scale) == ((2, 1), (0, 0, 0, 0), 2, 0.5)
    assert torch.equal(made.weight, conv.weight) and made.weight is not conv.weight
    assert made.bias is not None and conv.bias is not None and torch.equal(made.bias, conv.bias)
    linear = nn.Linear(5, 3, bias=False)
    assert xnn.QuantLinear.from_linear(linear, xnn.BasesWeight(2)).bias is None
    with pytest.raises(ValueError, match="padding_mode"):
        xnn.QuantConv2d.from_conv(nn.Conv2d(2, 2, 3, padding_mode="reflect"), xnn.DoReFaWeight(2))


def test_what_is_no_layer() -> None:
    with pytest.raises(TypeError, match="BinaryConv2d"):
        xnn.QuantConv2d(2, 2, 3, weight=xnn.BinaryWeight())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="groups"):
        xnn.QuantConv2d(3, 4, 3, groups=2, weight=xnn.DoReFaWeight(2))
    with pytest.raises(ValueError, match="in_scale"):
        xnn.QuantLinear(3, 4, weight=xnn.DoReFaWeight(2), in_scale=0.0)
    with pytest.raises(ValueError, match="features"):
        xnn.QuantLinear(0, 4, weight=xnn.DoReFaWeight(2))
    ones = torch.ones(2, 4, 3)
    two = torch.tensor([1, 2])
    for args, match in (
        ((ones * 0.5, two), "alone"),
        ((ones[0], two), "axes"),
        ((ones, torch.tensor([1.0, 2.0])), "integer"),
        ((ones, torch.tensor([1])), "integer"),
        ((ones, two, 0, torch.ones(3)), "scale"),
        ((ones, two, 0, None, torch.ones(1)), "bias"),
    ):
        with pytest.raises(ValueError, match=match):
            xnn.FrozenQuantLinear(*args)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="groups"):
        xnn.FrozenQuantConv2d(torch.ones(1, 3, 2, 1, 1), torch.tensor([1]), groups=2)


def test_a_layer_of_bases_is_trained_and_its_state_is_its_latent_weight() -> None:
    torch.manual_seed(0)
    layer = xnn.QuantLinear(16, 1, weight=xnn.BasesWeight(3))
    assert set(layer.state_dict()) == {"weight"}
    x = torch.randn(512, 16)
    target = x @ torch.randn(16, 1)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    losses = []
    for _ in range(80):
        loss = ((layer(x) - target) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
