from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from xnorhw import nn as xnn
from xnorhw.nn.gradients import quantize_gradient


def _formula(g: np.ndarray, bits: int, noise: np.ndarray) -> np.ndarray:
    levels = 2**bits - 1
    peak = np.abs(g).reshape(len(g), -1).max(1).reshape(-1, *[1] * (g.ndim - 1))
    unit = np.clip(g / (2 * peak) + 0.5 + noise / levels, 0, 1)
    return 2 * peak * (np.rint(unit * levels) / levels - 0.5)


@pytest.mark.parametrize("bits", [1, 2, 4, 6])
def test_formula(bits: int) -> None:
    rng = np.random.default_rng(bits)
    g = rng.normal(size=(3, 4, 5))
    g[1] *= 100  # every frame has its own maximum
    noise = rng.random(g.shape) - 0.5
    found = quantize_gradient(torch.from_numpy(g), bits, torch.from_numpy(noise)).numpy()
    assert np.allclose(found, _formula(g, bits, noise), rtol=1e-12, atol=0)
    for frame, values in zip(g, found, strict=True):
        assert np.abs(values).max() <= np.abs(frame).max() * (1 + 1e-12)
        assert len(np.unique(np.round(values, 9))) <= 2**bits


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_it_is_unbiased(bits: int) -> None:
    generator = torch.Generator().manual_seed(5)
    g = torch.randn(1, 24, generator=generator, dtype=torch.float64)
    layer = xnn.GradientQuant(bits, generator)
    draws = 20000
    x = torch.zeros(draws, 24, dtype=torch.float64, requires_grad=True)
    layer(x).backward(g.expand(draws, 24))
    assert x.grad is not None
    step = 2 * float(g.abs().max()) / (2**bits - 1)
    deviation = (x.grad.mean(0) - g[0]).abs().max().item()
    assert deviation < 5 * (step / 2) / draws**0.5
    assert len(x.grad.unique()) > 1


def test_the_same_seed_draws_the_same_and_forward_is_the_identity() -> None:
    def once(seed: int) -> torch.Tensor:
        layer = xnn.GradientQuant(3, torch.Generator().manual_seed(seed))
        x = torch.ones(4, 6, requires_grad=True)
        y = layer(x)
        assert torch.equal(y, x)
        y.backward(torch.linspace(-1, 1, 24).reshape(4, 6))
        assert x.grad is not None
        return x.grad

    assert torch.equal(once(1), once(1))
    assert not torch.equal(once(1), once(2))


def test_frames_without_a_gradient_and_eval() -> None:
    layer = xnn.GradientQuant(2, torch.Generator().manual_seed(0))
    x = torch.ones(2, 3, requires_grad=True)
    g = torch.tensor([[0.0, 0.0, 0.0], [1.0, -1.0, 1.0]])
    layer(x).backward(g)
    assert x.grad is not None
    assert torch.equal(x.grad, g)  # 0 stays 0, the extremes are levels
    layer.eval()
    assert layer(x) is x
    for bits in (0, 17):
        with pytest.raises(ValueError, match="bits"):
            xnn.GradientQuant(bits)


def test_a_copy_draws_from_the_same_generator() -> None:
    layer = xnn.GradientQuant(3, torch.Generator().manual_seed(1)).eval()
    made = copy.deepcopy(layer)
    assert made is not layer and made.generator is layer.generator
    assert made.bits == 3 and not made.training
