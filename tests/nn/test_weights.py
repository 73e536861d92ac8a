from __future__ import annotations

import numpy as np
import pytest
import torch

from xnorhw import nn as xnn
from xnorhw.nn.weights import WeightQuantizer, hard_sigmoid


def _latent(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 0.4


def _gradient(quant: WeightQuantizer, weight: torch.Tensor, g: np.ndarray) -> np.ndarray:
    latent = weight.clone().requires_grad_()
    quant(latent).backward(torch.from_numpy(g))
    assert latent.grad is not None
    return latent.grad.numpy()


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_dorefa_weights_follow_equation_9(bits: int) -> None:
    weight = _latent((5, 4, 3, 3), bits)
    w = weight.numpy()
    n = 2**bits - 1
    t = np.tanh(w)
    expected = 2 * np.rint(n * (t / (2 * np.abs(t).max()) + 0.5)) / n - 1
    quant = xnn.DoReFaWeight(bits)
    assert np.allclose(quant(weight).numpy(), expected, rtol=0, atol=1e-15)
    assert len(np.unique(expected)) <= 2**bits

    rng = np.random.default_rng(bits)
    g = rng.normal(size=w.shape)
    m = np.abs(t).max()
    top = np.abs(t) == m
    assert top.sum() == 1
    through = g / m - top * np.sign(t) * (g * t).sum() / m**2
    assert np.allclose(_gradient(quant, weight, g), (1 - t**2) * through, rtol=1e-10, atol=1e-12)


def test_dorefa_weights_of_one_bit_follow_equation_7() -> None:
    weight = _latent((5, 4, 3, 3))
    weight[0, 0, 0, :2] = torch.tensor([0.0, 3.0])
    w = weight.numpy()
    signs = np.where(w >= 0, 1.0, -1.0)
    e = np.abs(w).mean()
    quant = xnn.DoReFaWeight(1)
    assert np.allclose(quant(weight).numpy(), signs * e, rtol=0, atol=1e-15)
    g = np.random.default_rng(0).normal(size=w.shape)
    expected = g * e + signs / w.size * (g * signs).sum()
    assert np.allclose(_gradient(quant, weight, g), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("bits", range(1, 9))
def test_dorefa_bases_are_the_codes_bit_planes(bits: int) -> None:
    weight = _latent((6, 4, 3, 3), bits).float()
    quant = xnn.DoReFaWeight(bits)
    found = quant.bases(weight)
    assert found.coefficients.tolist() == [2**j for j in range(bits)]
    assert found.coefficients.dtype == torch.int64
    assert (found.weight.shape[0], found.frac) == (bits, 0)
    assert set(found.weight.unique().tolist()) <= {-1.0, 1.0}
    assert found.scale is not None and found.scale.shape == (1,)
    if bits > 1:
        assert found.scale.item() == np.float32(1 / (2**bits - 1))
    real = found.whole() * found.scale.double()
    assert torch.allclose(real, quant(weight).double(), rtol=0, atol=1e-6)


def test_dorefa_weights_of_zeros_have_codes() -> None:
    weight = torch.zeros(2, 3, requires_grad=True)
    quant = xnn.DoReFaWeight(2)
    y = quant(weight)
    assert torch.equal(y, torch.full((2, 3), y[0, 0].item()))  # half to even: the code 2
    assert torch.equal(quant.bases(weight).whole(), torch.ones(2, 3, dtype=torch.float64))
    y.sum().backward()
    assert weight.grad is not None
    for bits in (0, 9):
        with pytest.raises(ValueError, match="bits"):
            xnn.DoReFaWeight(bits)


def _abc(w: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    centred = w - w.mean()
    us = [0.0] if count == 1 else [-1 + (m - 1) * 2 / (count - 1) for m in range(1, count + 1)]
    bases = np.stack([np.where(centred + u * w.std() >= 0, 1.0, -1.0).ravel() for u in us])
    alphas = np.linalg.lstsq(bases.T, w.ravel(), rcond=None)[0]
    return bases, alphas


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_weight_bases_are_least_squares(count: int) -> None:
    weight = _latent((6, 4, 3, 3), count) + 0.1
    bases, alphas = _abc(weight.numpy(), count)
    quant = xnn.BasesWeight(count)
    expected = (alphas @ bases).reshape(weight.shape)
    assert np.allclose(quant(weight).numpy(), expected, rtol=0, atol=1e-12)
    # no other alphas come closer
    off = weight.numpy().ravel()
    best = ((off - alphas @ bases) ** 2).sum()
    for m in range(count):
        for step in (-1e-3, 1e-3):
            moved = alphas.copy()
            moved[m] += step
            assert ((off - moved @ bases) ** 2).sum() > best
    g = np.random.default_rng(0).normal(size=weight.shape)
    assert np.allclose(_gradient(quant, weight, g), alphas.sum() * g, rtol=1e-9, atol=1e-12)
    found = quant.bases(weight.float())
    assert np.array_equal(found.weight.flatten(1).numpy(), bases)
    assert found.scale is not None
    steps = np.rint(alphas / np.abs(alphas).max() * 256)
    assert found.coefficients.tolist() == steps.tolist()
    assert found.scale.item() == pytest.approx(np.abs(alphas).max(), rel=1e-6)


def test_weight_bases_are_a_thermometer_of_few_levels() -> None:
    weight = _latent((8, 8, 3, 3)).float()
    found = xnn.BasesWeight(5).bases(weight)
    rising = found.weight.flatten(1).diff(dim=0)
    assert bool((rising >= 0).all())
    assert len(found.whole().unique()) == 6


def test_collinear_bases_share_their_alpha() -> None:
    weight = torch.tensor([[0.5, 0.5, -0.5, -0.5]], dtype=torch.float64)  # every base but the outer is alike
    quant = xnn.BasesWeight(5)
    assert torch.allclose(quant(weight), weight, rtol=0, atol=1e-12)
    signs, alphas = quant.split(weight)
    assert torch.linalg.matrix_rank(signs.flatten(1)) < 5
    assert bool(torch.isfinite(alphas).all()) and float(alphas.abs().max()) < 1


def test_an_alpha_may_be_negative() -> None:
    # far from 0 the outer levels, which are each other's negative, cannot both be met
    weight = 5 + torch.tensor([[-2.0, 2.0] + [0.1, -0.1] * 5], dtype=torch.float64)
    found = xnn.BasesWeight(2, frac=6).bases(weight)
    _, alphas = _abc(weight.numpy(), 2)
    assert alphas.min() < -1
    assert found.coefficients.tolist() == np.rint(alphas / np.abs(alphas).max() * 64).tolist()


def test_constant_weights_and_bad_bases() -> None:
    for value in (0.0, 0.25):
        weight = torch.full((3, 4), value)
        quant = xnn.BasesWeight(3)
        assert torch.allclose(quant(weight), weight, atol=1e-7)
        found = quant.bases(weight)
        assert found.scale is not None
        assert torch.allclose(found.whole() * 2.0**-8 * found.scale, weight.double(), atol=3e-3)
    for bases, frac in ((0, 8), (9, 8), (2, -1), (2, 17)):
        with pytest.raises(ValueError, match="bases|alphas"):
            xnn.BasesWeight(bases, frac)


def test_binary_connect_passes_its_gradient_without_a_clip() -> None:
    weight = torch.tensor([-3.0, -0.2, -0.0, 0.0, 0.7, 2.0], requires_grad=True)
    signs, scale = xnn.BinaryConnectWeight()(weight)
    assert signs.tolist() == [-1, -1, 1, 1, 1, 1] and scale is None
    signs.backward(torch.arange(1.0, 7.0))
    assert weight.grad is not None
    assert weight.grad.tolist() == [1, 2, 3, 4, 5, 6]


def test_stochastic_weights_have_the_papers_probability() -> None:
    torch.manual_seed(3)
    weight = torch.tensor([-1.5, -1.0, -0.5, 0.0, 0.3, 1.0, 2.0])
    assert hard_sigmoid(weight).tolist() == pytest.approx([0, 0, 0.25, 0.5, 0.65, 1, 1])
    quant = xnn.BinaryConnectWeight(stochastic=True)
    draws = 40000
    drawn, _ = quant(weight.expand(draws, -1))
    assert set(drawn.unique().tolist()) == {-1.0, 1.0}
    share = (drawn > 0).double().mean(0)
    assert torch.allclose(share, hard_sigmoid(weight).double(), atol=5 * 0.5 / draws**0.5)
    assert share[0] == 0 and share[-1] == 1
    quant.eval()
    assert torch.equal(quant(weight)[0], torch.where(weight >= 0, 1.0, -1.0))
    assert not quant.draws_in_eval


def test_weights_that_are_drawn_in_eval_say_so() -> None:
    quant = xnn.BinaryConnectWeight(stochastic=True, test="sample").eval()
    assert quant.draws_in_eval
    torch.manual_seed(0)
    weight = torch.zeros(200)
    assert not torch.equal(quant(weight)[0], quant(weight)[0])
    assert not xnn.BinaryConnectWeight(test="sample").draws_in_eval
    with pytest.raises(ValueError, match="sample"):
        xnn.BinaryConnectWeight(test="real")  # type: ignore[arg-type]


def test_a_binary_layer_takes_binary_connect_weights() -> None:
    torch.manual_seed(0)
    layer = xnn.BinaryConv2d(3, 4, 3, weight=xnn.BinaryConnectWeight(stochastic=True))
    x = torch.randn(2, 3, 5, 5)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x.round()), layer.freeze()(x.round()))
    linear = xnn.BinaryLinear(6, 2, weight=xnn.BinaryWeight("channel"))
    assert linear.binarised()[1] is not None
    with pytest.raises(TypeError, match="QuantConv2d"):
        xnn.BinaryConv2d(3, 4, 3, weight=xnn.DoReFaWeight(2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not both"):
        xnn.BinaryLinear(3, 4, scale="layer", weight=xnn.BinaryConnectWeight())
