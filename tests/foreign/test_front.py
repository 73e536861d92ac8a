"""The first layer of an imported network against the layer that it stands for, on every kind of input."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import xnorhw
from tests.foreign.projects.common import pixels
from xnorhw.frontends.foreign.base import InputSpec, Options, parse_input
from xnorhw.frontends.foreign.front import First, first_layer
from xnorhw.frontends.foreign.parts import Maker, tree
from xnorhw.frontends.foreign.torch_files import Checkpoint

NORMS = {"one": "mean=0.13,std=0.31", "three": "mean=0.485/0.456/0.406,std=0.229/0.224/0.225"}


def made(
    weight: Tensor, bias: Tensor | None, spec: InputSpec, padding: int, binary: bool
) -> tuple[Tensor, Maker]:
    maker = Maker(Checkpoint("x.pth", {}, "", False, {}), "a network", Options())
    layers = first_layer(maker, spec, First("first", weight, bias, 1, padding, binary))
    net = tree(layers).eval()
    shape = spec.shape if len(spec.shape) == 3 else (1, 1, spec.shape[0])
    x = torch.from_numpy(pixels(shape, 20)).reshape(20, *spec.shape)
    if not spec.is_pixels:
        kind = spec.declared().type
        x = torch.where(x > 127, 1.0, -1.0) if kind.is_bipolar else (x - 128) * spec.declared().scale
    with torch.no_grad():
        return net(x), maker


def expected(weight: Tensor, bias: Tensor | None, spec: InputSpec, padding: int) -> Tensor:
    shape = spec.shape if len(spec.shape) == 3 else (1, 1, spec.shape[0])
    x = torch.from_numpy(pixels(shape, 20)).reshape(20, *spec.shape).to(torch.float64)
    if spec.mean is not None and spec.std is not None:
        m, s = (
            torch.tensor(v, dtype=torch.float64).reshape(-1, *[1] * (x.dim() - 2))
            for v in (spec.mean, spec.std)
        )
        x = (x / 255 - m) / s
    elif spec.bipolar:
        x = torch.where(x > 127, 1.0, -1.0).to(torch.float64)
    else:
        x = (x - 128) * spec.declared().scale
    b = None if bias is None else bias.double()
    if weight.dim() == 2:
        return F.linear(x.flatten(1), weight.double(), b)
    return F.conv2d(x, weight.double(), b, padding=padding)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("norm", NORMS)
def test_a_convolution_of_pixels(norm: str, padding: int, biased: bool, binary: bool) -> None:
    weight, bias = torch.randn(5, 3, 3, 3), torch.randn(5) if biased else None
    weight = torch.where(weight > 0, 1.0, -1.0) if binary else weight
    spec = parse_input(f"3x8x8,{NORMS[norm]}")
    found, maker = made(weight, bias, spec, padding, binary)
    right = expected(weight, bias, spec, padding)
    grid = padding or (binary and norm == "three")
    # a grid's half step times the sum of |weights|; else what float32 rounds away
    bound = 2.0**-22 * 27 * 4 + 2e-5 if grid else 2e-5
    assert float((found - right).abs().max()) < bound
    assert any(d.what == "input" and ("steps of" in d.value) == bool(grid) for d in maker.decisions)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("shape", ["1x8x8", "64", "3x8x8"])
def test_a_linear_layer_of_pixels(shape: str, binary: bool) -> None:
    spec = parse_input(f"{shape},{NORMS['three' if shape[0] == '3' else 'one']}")
    features = 192 if shape[0] == "3" else 64
    weight, bias = torch.randn(5, features), torch.randn(5)
    weight = torch.where(weight > 0, 1.0, -1.0) if binary else weight
    found, _ = made(weight, bias, spec, 0, binary)
    assert float((found - expected(weight, bias, spec, 0)).abs().max()) < 2e-4


@pytest.mark.parametrize("fed", ["3x8x8,bits=8,signed,scale=1/128", "3x8x8,bipolar"])
@pytest.mark.parametrize("padding", [0, 1])
def test_codes_go_in_as_they_are(fed: str, padding: int) -> None:
    weight, bias = torch.randn(5, 3, 3, 3), torch.randn(5)
    spec = parse_input(fed)
    found, _ = made(weight, bias, spec, padding, False)
    assert float((found - expected(weight, bias, spec, padding)).abs().max()) < 2e-5


def test_bits_round_the_pixels() -> None:
    weight = torch.where(torch.randn(5, 3, 3, 3) > 0, 1.0, -1.0)
    spec = parse_input(f"3x8x8,{NORMS['three']},bits=8")
    found, maker = made(weight, None, spec, 1, True)
    off = float((found - expected(weight, None, spec, 1)).abs().max())
    assert 1e-3 < off < 27 * 0.0104  # half of one code of 2.64 / 127
    assert any("codes of 8 bits" in d.value for d in maker.decisions)


def test_what_the_words_of_input_mean() -> None:
    assert parse_input("784,bipolar").declared() == xnorhw.Input((784,), encoding="bipolar")
    assert parse_input(" 3x4x5 , bits=4, signed, scale=1/8").declared() == xnorhw.Input(
        (3, 4, 5), 4, True, 0.125
    )
    assert parse_input("3x4x5,bits=2").declared() == xnorhw.Input((3, 4, 5), 2, False)
    assert parse_input("3x4x5").declared() == xnorhw.Input((3, 4, 5))
    assert parse_input("3x4x5,mean=0.5,std=0.25").mean == (0.5,)
    assert parse_input("3x4x5,mean=0.5,std=0.25,bits=6").bits == 6
