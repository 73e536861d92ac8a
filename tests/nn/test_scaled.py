from __future__ import annotations

import numpy as np
import pytest
import torch

from xnorhw import nn as xnn


def _windows(x: np.ndarray, kernel: tuple[int, int], stride: int, dilation: int) -> np.ndarray:
    span = [(k - 1) * dilation + 1 for k in kernel]
    view = np.lib.stride_tricks.sliding_window_view(x, span, axis=(2, 3))
    return view[:, :, ::stride, ::stride, ::dilation, ::dilation]


@pytest.mark.parametrize("scale", ["channel", "layer", None])
@pytest.mark.parametrize(("stride", "pads", "dilation"), [(1, (1, 1, 1, 1), 1), (2, (0, 2, 1, 0), 2)])
def test_forward_is_equation_11(
    scale: str | None, stride: int, pads: tuple[int, int, int, int], dilation: int
) -> None:
    torch.manual_seed(0)
    layer = xnn.ScaledBinaryConv2d(5, 4, (3, 2), stride, pads, dilation, bias=True, scale=scale)  # type: ignore[arg-type]
    assert layer.bias is not None
    with torch.no_grad():
        layer.bias.normal_()
    steps = np.random.default_rng(1).integers(-60, 60, (2, 5, 9, 9))
    steps[0, :, :3, :3] = 0  # sign(0) = +1, and a K of 0
    x = steps * 2.0**-4
    left, right, top, bottom = pads
    sides = ((0, 0), (0, 0), (top, bottom), (left, right))
    signs = np.pad(np.where(x >= 0, 1.0, -1.0), sides)
    a = np.pad(np.abs(x).mean(axis=1, keepdims=True), sides)
    w = layer.weight.detach().double().numpy()
    b = np.where(w >= 0, 1.0, -1.0)
    alpha = {"channel": np.abs(w).mean((1, 2, 3)), "layer": np.abs(w).mean(), None: 1.0}[scale]
    product = np.einsum("nchwyx,ocyx->nohw", _windows(signs, (3, 2), stride, dilation), b)
    k = _windows(a, (3, 2), stride, dilation).sum((4, 5)) / 6
    expected = product * k * np.broadcast_to(alpha, (4,))[:, None, None]
    expected = expected + layer.bias.detach().numpy()[:, None, None]
    t = torch.from_numpy(x.astype(np.float32))
    for training in (True, False):
        layer.train(training)
        assert np.allclose(layer(t).detach().numpy(), expected, rtol=1e-5, atol=1e-5)
    # in eval the sum is exact and is scaled once
    with torch.inference_mode():
        s = layer.sum(t)
    assert s.dtype == torch.float64
    whole = product * _windows(
        np.pad(np.abs(steps).sum(1, keepdims=True), sides), (3, 2), stride, dilation
    ).sum((4, 5))
    assert np.array_equal(s.numpy() * 2.0**4, whole)
    frozen = layer.freeze()
    assert torch.equal(frozen(t), layer(t)) and not frozen.training
    assert frozen.freeze() is frozen


def test_gradient_is_the_chain_rule() -> None:
    torch.manual_seed(0)
    layer = xnn.ScaledBinaryConv2d(3, 4, 3, padding=1).double()
    with torch.no_grad():
        layer.weight.normal_(0, 0.8)
    x = (torch.randn(2, 3, 5, 5, dtype=torch.float64)).requires_grad_()
    g = torch.randn(2, 4, 5, 5, dtype=torch.float64)
    layer(x).backward(g)
    v, w, n = x.detach(), layer.weight.detach(), 27
    b, h = torch.where(w >= 0, 1.0, -1.0).double(), torch.where(v >= 0, 1.0, -1.0).double()
    ones = torch.ones(1, 1, 3, 3, dtype=torch.float64)
    s = torch.nn.functional.conv2d(h, b, padding=1)
    k = torch.nn.functional.conv2d(v.abs().sum(1, keepdim=True), ones, padding=1)
    scale = w.abs().mean((1, 2, 3)).view(-1, 1, 1) / n
    weighted = g * k * scale
    direct = torch.nn.grad.conv2d_input(v.shape, b, weighted, padding=1)
    through_k = torch.nn.grad.conv2d_input(
        (2, 1, 5, 5), ones, (g * s * scale).sum(1, keepdim=True), padding=1
    )
    assert x.grad is not None and layer.weight.grad is not None
    assert torch.allclose(x.grad, direct * (v.abs() <= 1) + h * through_k, atol=1e-12)
    signs = torch.nn.grad.conv2d_weight(h, w.shape, weighted, padding=1) * (w.abs() <= 1)
    alphas = (g * s * k).sum((0, 2, 3)).view(-1, 1, 1, 1) / n**2
    assert torch.allclose(layer.weight.grad, signs + b * alphas, atol=1e-12)
    assert 0 < float((v.abs() <= 1).double().mean()) < 1
    assert 0 < float((w.abs() <= 1).double().mean()) < 1


def test_bad_ones() -> None:
    with pytest.raises(ValueError, match="channels"):
        xnn.ScaledBinaryConv2d(0, 4, 3)
    ones = torch.ones(2, 3, 1, 1)
    for args, match in (
        ((ones * 2, torch.ones(1)), "alone"),
        ((ones[0], torch.ones(1)), "alone"),
        ((ones, torch.ones(3)), "scale"),
        ((ones, torch.ones(1), torch.ones(1)), "bias"),
    ):
        with pytest.raises(ValueError, match=match):
            xnn.FrozenScaledBinaryConv2d(*args)


def test_the_training_steps_know_it() -> None:
    torch.manual_seed(0)
    for step_of in (xnn.XnorStep, xnn.BinaryConnectStep):
        layer = xnn.ScaledBinaryConv2d(3, 4, 3)
        with torch.no_grad():
            layer.weight.mul_(10)
        step = step_of(layer)  # type: ignore[operator]
        assert float(layer.weight.detach().abs().max()) <= 1
        layer(torch.randn(2, 3, 5, 5)).sum().backward()
        before = layer.weight.detach().clone()
        step.step(torch.optim.SGD(layer.parameters(), lr=1.0))
        assert float(layer.weight.detach().abs().max()) <= 1
        assert not torch.equal(layer.weight, before)
