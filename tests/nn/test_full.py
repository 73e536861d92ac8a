"""Full-precision layers: exact in eval, whatever the order of the sum; trained like torch's own."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from xnorhw import nn as xnn
from xnorhw.nn.full import grid_frac
from xnorhw.nn.snap import snapped


def gridded(layer: nn.Module, seed: int = 0) -> nn.Module:
    """Seeded weights on the layer's grid."""
    rng = np.random.default_rng(seed)
    assert isinstance(layer, xnn.FullConv2d | xnn.FullLinear)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(0, 0.7, tuple(parameter.shape))))
    return snapped(layer).eval()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 16), st.integers(1, 3), st.sampled_from([0.0, 0.125, 0.3]), st.integers(0, 2**31))
def test_a_linear_layer_is_the_rational_sum_rounded_once(
    frac: int, outputs: int, in_scale: float, seed: int
) -> None:
    layer = gridded(xnn.FullLinear(40, outputs, frac=frac, in_scale=in_scale or 1.0), seed)
    assert isinstance(layer, xnn.FullLinear) and layer.bias is not None
    x = torch.from_numpy(np.random.default_rng(seed).integers(-128, 256, (2, 40)).astype(np.float32))
    with torch.inference_mode():
        y = layer(x)
    for n in range(2):
        for o in range(outputs):
            terms = zip(x[n].tolist(), layer.weight[o].tolist(), strict=True)
            total = sum((Fraction(a) * Fraction(w) for a, w in terms), Fraction(0))
            value = np.float32(float(total)) * np.float32(layer.in_scale)
            assert y[n, o].item() == value + np.float32(layer.bias[o].item())


@pytest.mark.parametrize(
    ("padding", "stride", "dilation", "groups"),
    [(0, 1, 1, 1), (1, 2, 1, 2), ((2, 1), 1, 2, 1), ((1, 2, 0, 3), (2, 1), (1, 2), 4)],
)
def test_a_convolution_is_torchs_on_integers(
    padding: object, stride: object, dilation: object, groups: int
) -> None:
    layer = gridded(
        xnn.FullConv2d(4, 8, (3, 2), stride, padding, dilation, groups, frac=7)  # type: ignore[arg-type]
    )
    assert isinstance(layer, xnn.FullConv2d) and layer.bias is not None
    x = torch.randint(-128, 128, (2, 4, 9, 8)).float()
    steps = (layer.weight.double() * 2**7).to(torch.int64)
    padded = F.pad(x.to(torch.int64), layer.pads)
    by_hand = F.conv2d(padded, steps, None, layer.stride, 0, layer.dilation, groups)
    with torch.inference_mode():
        assert torch.equal(layer.sum(x) * 2**7, by_hand.double())
        wanted = (by_hand.double() / 2**7).float() + layer.bias.view(-1, 1, 1)
        assert torch.equal(layer(x), wanted)


def test_the_sum_is_not_formed_in_float32() -> None:
    layer = xnn.FullLinear(3, 1, bias=False, frac=0).eval()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.0**24, 1.0, -(2.0**24)]]))
        assert layer(torch.ones(1, 3)).item() == 1.0


def test_real_inputs_are_rounded_half_to_even() -> None:
    layer = xnn.FullLinear(4, 1, bias=False, frac=0, in_frac=2).eval()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 1.0, 1.0, 1.0]]))
        x = torch.tensor([[0.125, 0.375, -0.125, -0.375]])
        for i, wanted in enumerate([0.0, 0.5, 0.0, -0.5]):
            assert layer(x * F.one_hot(torch.tensor([i]), 4)).item() == wanted


def test_training_is_torchs_own_and_rounding_passes_the_gradient() -> None:
    layer = xnn.FullLinear(6, 3, in_frac=3)
    x = torch.randn(5, 6, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None and torch.equal(x.grad, layer.weight.sum(dim=0).expand(5, 6))
    rounded = torch.round(x.detach() * 8) / 8
    assert layer.weight.grad is not None
    assert torch.allclose(layer.weight.grad, rounded.sum(dim=0).expand(3, 6))
    conv, plain = xnn.FullConv2d(2, 3, 3, padding=1), nn.Conv2d(2, 3, 3, padding=1)
    plain.load_state_dict(conv.state_dict())
    images = torch.randn(2, 2, 5, 5)
    assert torch.equal(conv(images), plain(images))


def test_from_torch_keeps_everything_and_rounds_nothing() -> None:
    conv = nn.Conv2d(4, 6, (3, 5), (2, 1), "valid", 1, 2).eval()
    layer = xnn.FullConv2d.from_conv(conv, in_scale=0.5)
    assert torch.equal(layer.weight, conv.weight) and layer.weight is not conv.weight
    assert (layer.stride, layer.pads, layer.groups, layer.training) == ((2, 1), (0, 0, 0, 0), 2, False)
    x = torch.randint(0, 256, (2, 4, 7, 7)).float()
    with torch.inference_mode():
        assert torch.allclose(layer(x), conv(x * 0.5), atol=1e-4)
    same = xnn.FullConv2d.from_conv(nn.Conv2d(1, 1, 4, padding="same"))
    assert same.pads == (1, 2, 1, 2)
    linear = nn.Linear(5, 2, bias=False)
    made = xnn.FullLinear.from_linear(linear, frac=9, in_frac=4)
    assert made.bias is None and (made.frac, made.in_frac) == (9, 4)
    assert xnn.FullConv2d.from_conv(conv, bits=8).frac == grid_frac(conv.weight, 8) < layer.frac
    assert xnn.FullLinear.from_linear(linear, bits=8).frac == grid_frac(linear.weight, 8)
    with pytest.raises(ValueError, match="circular"):
        xnn.FullConv2d.from_conv(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"))


@pytest.mark.parametrize(
    ("peak", "frac"), [(0.0, 30), (0.9, 15), (1.0, 14), (32767.0, 0), (1e9, 0), (2.0**-10, 24), (0.99999, 14)]
)
def test_the_finest_grid_of_16_bits(peak: float, frac: int) -> None:
    weight = torch.tensor([[peak, -peak / 3]])
    assert grid_frac(weight) == frac
    if 0 < frac < 30:
        assert round(peak * 2**frac) <= 32767 < round(peak * 2 ** (frac + 1))


@pytest.mark.parametrize("frac", [None, 3])
@pytest.mark.parametrize(
    "layer",
    [nn.Conv2d(2, 3, 3), nn.Linear(4, 5), xnn.FullConv2d(2, 3, 3, frac=6), xnn.FullLinear(4, 5, frac=2)],
    ids=["Conv2d", "Linear", "FullConv2d", "FullLinear"],
)
def test_snapped_weights_lie_on_the_grid(layer: nn.Module, frac: int | None) -> None:
    before = layer.weight.detach().clone()  # type: ignore[operator, union-attr]
    made = snapped(layer, frac)  # type: ignore[arg-type]
    steps = made.weight.detach().double() * 2.0**made.frac
    assert torch.equal(steps, steps.round()) and not torch.equal(made.weight, before)
    assert float((made.weight - before).detach().abs().max()) <= 2.0 ** -(made.frac + 1)
    assert torch.equal(layer.weight, before)  # type: ignore[arg-type]
    assert made.frac == (frac if frac is not None else getattr(layer, "frac", grid_frac(before)))
    again = snapped(made)
    assert torch.equal(again.weight, made.weight)


@pytest.mark.parametrize(
    "make",
    [
        lambda: xnn.FullConv2d(4, 3, 3, groups=2),
        lambda: xnn.FullConv2d(0, 3, 3),
        lambda: xnn.FullConv2d(1, 3, 0),
        lambda: xnn.FullConv2d(1, 3, 3, padding=-1),
        lambda: xnn.FullConv2d(1, 3, 3, frac=31),
        lambda: xnn.FullConv2d.from_conv(nn.Conv2d(1, 3, 3), bits=1),
        lambda: xnn.FullLinear.from_linear(nn.Linear(1, 3), bits=25),
        lambda: xnn.FullConv2d(1, 3, 3, in_scale=0.0),
        lambda: xnn.FullLinear(0, 3),
        lambda: xnn.FullLinear(3, 3, frac=-1),
        lambda: xnn.FullLinear(3, 3, in_frac=40),
        lambda: xnn.FullLinear(3, 3, in_frac=4, in_scale=0.5),
        lambda: xnn.FullLinear(3, 3, in_scale=float("nan")),
    ],
)
def test_wrong_arguments(make: object) -> None:
    with pytest.raises(ValueError):
        make()  # type: ignore[operator]


def test_what_is_printed_tells_the_grid() -> None:
    assert "frac=5, in_scale=0.25" in repr(xnn.FullConv2d(1, 2, 3, frac=5, in_scale=0.25))
    assert "frac=8, in_frac=3" in repr(xnn.FullLinear(3, 2, in_frac=3))
