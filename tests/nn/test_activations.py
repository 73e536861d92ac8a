from __future__ import annotations

import numpy as np
import pytest
import torch

from xnorhw import nn as xnn


def _ties_and_noise(scale: float, count: int = 4000, seed: int = 0) -> torch.Tensor:
    """Numbers on both sides of each step and exactly on its tie, and far outside."""
    rng = np.random.default_rng(seed)
    ties = (np.arange(-8, 600) + 0.5) * scale
    values = np.concatenate([ties, ties + 1e-6, ties - 1e-6, rng.normal(0, 40 * scale, count), [1e30, -1e30]])
    return torch.from_numpy(values.astype(np.float32))


@pytest.mark.parametrize("bits", range(1, 9))
def test_default_codes_are_dorefas_activation(bits: int) -> None:
    levels = 2**bits - 1
    quant = xnn.QuantReLU(bits)
    assert quant.gain == levels
    x = _ties_and_noise(1 / levels)
    clipped = np.clip(x.numpy(), np.float32(0), np.float32(1))
    expected = np.rint(clipped * np.float32(levels))
    assert np.array_equal(quant(x).numpy(), expected)
    assert set(np.unique(expected)) == set(range(levels + 1))


@pytest.mark.parametrize("scale", [0.25, 0.1, 3.7e-3, 12.0])
def test_codes_of_any_scale(scale: float) -> None:
    quant = xnn.QuantReLU(4, scale)
    gain = np.float32(1.0 / scale)
    x = _ties_and_noise(scale)
    assert np.array_equal(quant(x).numpy(), np.clip(np.rint(x.numpy() * gain), 0, 15))
    # ties go to the even code where the scale is a power of two
    if scale == 0.25:
        assert quant(torch.tensor([0.125, 0.375, 0.625])).tolist() == [0, 2, 2]


def test_gradient_of_the_codes_is_the_clips_over_the_scale() -> None:
    scale = 0.3
    quant = xnn.QuantReLU(3, scale)
    x = torch.linspace(-1, 4, 801, dtype=torch.float64).requires_grad_()
    g = torch.arange(801, dtype=torch.float64)
    quant(x).backward(g)
    assert x.grad is not None
    v = x.detach().numpy()
    gain = float(np.float32(1 / scale))
    expected = g.numpy() * gain * ((v * gain >= 0) & (v * gain <= 7))
    assert np.array_equal(x.grad.numpy(), expected)
    # both ends of the clip pass
    edge = torch.tensor([0.0, -0.0, 7.0]).requires_grad_()
    xnn.QuantReLU(3, 1.0)(edge).sum().backward()
    assert edge.grad is not None
    assert edge.grad.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("bits", "scale"), [(0, None), (9, None), (2, 0.0), (2, -1.0), (2, float("nan")), (2, float("inf"))]
)
def test_codes_that_are_none(bits: int, scale: float | None) -> None:
    with pytest.raises(ValueError, match="QuantReLU"):
        xnn.QuantReLU(bits, scale)


@pytest.mark.parametrize(("bits", "frac"), [(2, 0), (8, 3), (16, 8), (24, 30)])
def test_grid_rounds_half_to_even_and_clamps(bits: int, frac: int) -> None:
    x = _ties_and_noise(2.0**-frac)
    y = xnn.Grid(bits, frac)(x).double().numpy()
    half = 2 ** (bits - 1)
    expected = np.clip(np.rint(x.double().numpy() * 2.0**frac), -half, half - 1) * 2.0**-frac
    assert np.array_equal(y, expected)
    assert y.min() == -half * 2.0**-frac and y.max() == (half - 1) * 2.0**-frac


def test_gradient_of_the_grid_stops_outside_of_its_range() -> None:
    grid = xnn.Grid(4, 2)
    x = torch.tensor([-2.25, -2.0, -0.1, 0.3, 1.75, 1.76, 9.0], requires_grad=True)
    grid(x).backward(torch.arange(1.0, 8.0))
    assert x.grad is not None
    assert x.grad.tolist() == [0, 2, 3, 4, 5, 0, 0]


@pytest.mark.parametrize(("bits", "frac"), [(1, 0), (25, 0), (8, -1), (8, 31)])
def test_grids_that_are_none(bits: int, frac: int) -> None:
    with pytest.raises(ValueError, match="Grid"):
        xnn.Grid(bits, frac)


def _bases(x: np.ndarray, betas: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    total = np.zeros_like(x)
    for beta, v in zip(betas, shifts, strict=True):
        total = total + beta * np.where(np.clip(x + v, 0, 1) >= 0.5, 1.0, -1.0)
    return total


def test_bases_activation_follows_its_equation_with_its_gradients() -> None:
    act = xnn.BasesActivation(3).double()
    betas, shifts = np.array([0.7, -0.2, 0.45]), np.array([0.1, 0.9, 0.5])
    with torch.no_grad():
        act.betas.copy_(torch.from_numpy(betas))
        act.shifts.copy_(torch.from_numpy(shifts))
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(0, 1, 400), 0.5 - shifts, -shifts, 1 - shifts])
    x = torch.from_numpy(values).requires_grad_()
    y = act(x)
    assert np.allclose(y.detach().numpy(), _bases(values, betas, shifts), rtol=0, atol=1e-15)
    g = rng.normal(size=values.shape)
    y.backward(torch.from_numpy(g))
    moved = values[:, None] + shifts
    inside = (moved >= 0) & (moved <= 1)
    signs = np.where(moved >= 0.5, 1, -1)
    assert x.grad is not None and act.betas.grad is not None and act.shifts.grad is not None
    assert np.allclose(x.grad.numpy(), g * (inside * betas).sum(1), atol=1e-12)
    assert np.allclose(act.betas.grad.numpy(), (g[:, None] * signs).sum(0), atol=1e-12)
    assert np.allclose(act.shifts.grad.numpy(), (g[:, None] * inside).sum(0) * betas, atol=1e-12)
    assert 0 < inside.mean() < 1


def test_bases_in_eval_are_a_thermometer_of_rounded_betas() -> None:
    act = xnn.BasesActivation(3, frac=4)
    with torch.no_grad():
        act.betas.copy_(torch.tensor([0.7, -0.2, 0.45]))
        act.shifts.copy_(torch.tensor([0.1, 0.9, 0.5]))
    act.eval()
    shifts, betas = act.falling()
    assert shifts.tolist() == pytest.approx([0.9, 0.5, 0.1])
    assert betas.tolist() == [-3, 7, 11]  # -0.2, 0.45 and 0.7 in sixteenths
    x = torch.randn(500, generator=torch.Generator().manual_seed(0))
    ones = (x[:, None] + shifts >= 0.5).sum(1)
    levels = [float(betas[:k].sum() - betas[k:].sum()) / 16 for k in range(4)]
    assert sorted(ones.unique().tolist()) == [0, 1, 2, 3]
    assert torch.equal(act(x), torch.tensor(levels)[ones])
    again = xnn.BasesActivation.from_frozen(betas, shifts, 4)
    assert torch.equal(again(x), act(x)) and not again.training
    assert not any(p.requires_grad for p in again.parameters())


def test_one_base_begins_as_a_sign_and_bases_begin_apart() -> None:
    x = torch.tensor([-0.4, -1e-6, 0.0, 0.4])
    assert xnn.BasesActivation(1)(x).tolist() == [-1, -1, 1, 1]
    act = xnn.BasesActivation(5)
    thresholds = (0.5 - act.shifts).tolist()
    assert thresholds == pytest.approx([-0.8, -0.4, 0, 0.4, 0.8])
    assert act.betas.sum().item() == pytest.approx(1)


def test_betas_and_shifts_are_trained() -> None:
    torch.manual_seed(0)
    act = xnn.BasesActivation(2)
    x = torch.rand(256) * 2 - 1
    optimizer = torch.optim.Adam(act.parameters(), lr=0.02)
    first = None
    for _ in range(60):
        loss = ((act(x) - 0.8 * x - 0.1) ** 2).mean()
        first = loss.item() if first is None else first
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.8 * first


@pytest.mark.parametrize(("bases", "frac"), [(0, 8), (9, 8), (2, -1), (2, 17)])
def test_bases_that_are_none(bases: int, frac: int) -> None:
    with pytest.raises(ValueError, match="bases|betas"):
        xnn.BasesActivation(bases, frac)


def test_betas_beyond_what_float32_holds_are_refused_in_eval() -> None:
    act = xnn.BasesActivation(2, frac=16)
    with torch.no_grad():
        act.betas.fill_(200.0)
    act(torch.zeros(3))
    act.eval()
    with pytest.raises(ValueError, match="2\\^24"):
        act(torch.zeros(3))
    with torch.no_grad():
        act.betas.fill_(float("nan"))
    with pytest.raises(ValueError, match="finite"):
        act.steps()
