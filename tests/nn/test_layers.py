from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from xnorhw import nn as xnn


def _bipolar(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(seed)) * 2.0 - 1


def test_zero_weights_are_plus_one() -> None:
    layer = xnn.BinaryLinear(3, 1).eval()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, -0.0, -1.0]]))
    assert layer.binarised()[0].tolist() == [[1, 1, -1]]


@pytest.mark.parametrize("scale", [None, "channel", "layer"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("in_scale", [1.0, 1 / 3])
def test_scale_follows_the_sum_once(scale: str | None, bias: bool, in_scale: float) -> None:
    layer = xnn.BinaryConv2d(8, 5, 3, padding=1, bias=bias, scale=scale, in_scale=in_scale)  # type: ignore[arg-type]
    if layer.bias is not None:
        nn.init.normal_(layer.bias)
    layer.eval()
    x = _bipolar(2, 8, 6, 5)
    with torch.inference_mode():
        sums = layer.sum(x)
        found = layer(x).numpy()
    s = sums.numpy().astype(np.float32)
    weight = layer.weight.detach()
    if scale is not None:
        kept = (
            weight.abs().flatten(1).mean(1) if scale == "channel" else weight.abs().mean().view(1)
        ).numpy()
        expected = s * (kept * np.float32(in_scale)).reshape(1, -1, 1, 1)
    else:
        expected = s * np.float32(in_scale)
    if layer.bias is not None:
        expected = expected + layer.bias.detach().numpy().reshape(1, -1, 1, 1)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("padding", "sides"),
    [(0, (0, 0, 0, 0)), (2, (2, 2, 2, 2)), ((1, 2), (2, 2, 1, 1)), ((1, 0, 2, 3), (1, 0, 2, 3))],
)
@pytest.mark.parametrize("pad_value", [0, 1, -1])
def test_padding_forms(padding: object, sides: tuple[int, ...], pad_value: int) -> None:
    layer = xnn.BinaryConv2d(3, 4, (2, 3), padding=padding, pad_value=pad_value).eval()  # type: ignore[arg-type]
    x = _bipolar(2, 3, 5, 6)
    expected = F.conv2d(F.pad(x, sides, value=pad_value), layer.binarised()[0])
    assert layer.pads == sides
    assert torch.equal(layer(x), expected)


def test_training_and_eval_agree_on_signs() -> None:
    layer = xnn.BinaryConv2d(16, 8, 3, padding=1, scale="channel", bias=True)
    x = _bipolar(2, 16, 7, 7)
    assert torch.allclose(layer.train()(x), layer.eval()(x), rtol=1e-6)


def test_gradients_reach_latents_bias_and_input() -> None:
    layer = xnn.BinaryConv2d(4, 3, 3, scale="channel", bias=True)
    x = _bipolar(2, 4, 5, 5).requires_grad_()
    layer(x).square().sum().backward()
    for tensor in (layer.weight, layer.bias, x):
        assert tensor is not None and tensor.grad is not None
        assert bool((tensor.grad != 0).any())


@pytest.mark.parametrize("scale", [None, "channel", "layer"])
def test_frozen_is_the_same_and_stays(scale: str | None) -> None:
    conv = xnn.BinaryConv2d(4, 6, 3, 2, (1, 0, 2, 1), 1, 2, True, scale, -1, 0.25).eval()  # type: ignore[arg-type]
    linear = xnn.BinaryLinear(9, 4, True, scale, 0.5).eval()  # type: ignore[arg-type]
    for layer, x in ((conv, _bipolar(2, 4, 7, 6)), (linear, _bipolar(3, 9))):
        frozen = layer.freeze()
        expected = layer(x)
        assert not frozen.training
        assert frozen.freeze() is frozen
        assert not list(frozen.parameters())
        assert torch.equal(frozen(x), expected)
        with torch.no_grad():
            layer.weight.neg_()
        assert torch.equal(frozen(x), expected)


def test_from_frozen_refuses_other_weights_and_shapes() -> None:
    ones = torch.ones(2, 3, 1, 1)
    assert isinstance(xnn.BinaryConv2d.from_frozen(ones.to(torch.int8)), xnn.FrozenBinaryConv2d)
    with pytest.raises(ValueError, match="-1 and \\+1"):
        xnn.BinaryConv2d.from_frozen(ones * 0.5)
    with pytest.raises(ValueError, match="scale"):
        xnn.BinaryConv2d.from_frozen(ones, scale=torch.ones(3))
    with pytest.raises(ValueError, match="groups"):
        xnn.BinaryConv2d.from_frozen(ones, groups=3)
    with pytest.raises(ValueError, match="bias"):
        xnn.BinaryLinear.from_frozen(torch.ones(2, 3), bias=torch.ones(1))
    with pytest.raises(ValueError, match="linear"):
        xnn.BinaryLinear.from_frozen(ones)


@pytest.mark.parametrize("padding", [1, (0, 2), "same", "valid"])
def test_from_conv_keeps_geometry_and_weights(padding: object) -> None:
    conv = nn.Conv2d(4, 6, (3, 4), padding=padding, dilation=2, groups=2).eval()  # type: ignore[arg-type]
    layer = xnn.BinaryConv2d.from_conv(conv, scale="layer")
    assert not layer.training
    x = _bipolar(1, 4, 12, 13)
    binary = nn.Conv2d(4, 6, (3, 4), padding=padding, dilation=2, groups=2)  # type: ignore[arg-type]
    with torch.no_grad():
        binary.weight.copy_(xnn.sign(conv.weight))
        assert binary.bias is not None
        binary.bias.zero_()
        assert torch.equal(layer.sum(x), binary(x).round())
    assert torch.equal(layer.weight, conv.weight)
    assert layer.bias is not None and conv.bias is not None
    assert torch.equal(layer.bias, conv.bias)
    layer.weight.data.zero_()
    assert bool((conv.weight != 0).any())


def test_from_conv_refuses_other_padding_modes() -> None:
    with pytest.raises(ValueError, match="reflect"):
        xnn.BinaryConv2d.from_conv(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"))


def test_from_linear() -> None:
    linear = nn.Linear(5, 3)
    layer = xnn.BinaryLinear.from_linear(linear, scale="channel", in_scale=0.5)
    assert layer.training and layer.in_scale == 0.5
    assert torch.equal(layer.weight, linear.weight)
    assert xnn.BinaryLinear.from_linear(nn.Linear(5, 3, bias=False)).bias is None


@pytest.mark.parametrize(
    "options",
    [
        {"groups": 3},
        {"kernel_size": 0},
        {"kernel_size": (1, 2, 3)},
        {"stride": 0},
        {"padding": -1},
        {"padding": (1, 2, 3)},
        {"in_scale": 0.0},
        {"in_scale": float("inf")},
        {"pad_value": float("nan")},
        {"scale": "row"},
    ],
)
def test_refuses_bad_options(options: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        xnn.BinaryConv2d(**{"in_channels": 4, "out_channels": 4, "kernel_size": 3, **options})  # type: ignore[arg-type]


def test_sums_above_24_bits_round_once_behind_the_sum() -> None:
    layer = xnn.BinaryLinear(3, 1, bias=True, in_scale=0.5).eval()
    with torch.no_grad():
        layer.weight.fill_(1.0)
    x = torch.tensor([[2.0**24 - 1, 2.0**24 - 1, 3.0]])
    assert layer.sum(x).item() == 2**25 + 1
    assert layer(x).item() == 2.0**24
    assert layer(x).dtype == torch.float32


def test_repr_shows_the_geometry() -> None:
    text = repr(nn.Sequential(xnn.BinaryConv2d(2, 4, 3, padding=1, scale="channel"), xnn.BinaryLinear(3, 2)))
    assert "2, 4, kernel_size=(3, 3)" in text and "pads=(1, 1, 1, 1)" in text and "scale='channel'" in text


def test_sizes_of_any_integer_type_and_integer_inputs() -> None:
    one = np.int64(1)
    layer = xnn.BinaryConv2d(2, 2, np.int64(3), one, (one, one), one, np.int64(2)).eval()  # type: ignore[arg-type]
    assert type(layer.groups) is int and type(layer.pads[0]) is int and type(layer.stride[0]) is int
    codes = torch.arange(32).view(1, 2, 4, 4)
    assert torch.equal(layer(codes), layer(codes.float()))
    assert torch.equal(layer.train()(codes), layer(codes.float()))
