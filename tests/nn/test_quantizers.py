from __future__ import annotations

import numpy as np
import pytest
import torch

from xnorhw import nn as xnn


def test_sign_is_plus_one_at_both_zeros() -> None:
    x = torch.tensor([-2.0, -1e-45, -0.0, 0.0, 1e-45, 3.0, float("nan")])
    assert xnn.sign(x).tolist() == [-1, -1, 1, 1, 1, 1, -1]
    assert xnn.Sign()(x.double()).dtype == torch.float64


def test_sign_gradient_passes_inside_the_clip_only() -> None:
    x = torch.tensor([-1.5, -1.0, -0.3, 0.0, 1.0, 1.0000001], requires_grad=True)
    xnn.sign(x).backward(torch.arange(1.0, 7.0))
    assert x.grad is not None
    assert x.grad.tolist() == [0, 2, 3, 4, 5, 0]


def test_scales_are_means_of_magnitudes() -> None:
    weight = torch.tensor([[[[1.0, -3.0]], [[0.0, 4.0]]], [[[-0.5, 0.5]], [[0.5, -0.5]]]])
    assert xnn.channel_scale(weight).tolist() == [2.0, 0.5]
    assert xnn.layer_scale(weight).tolist() == [1.25]
    for kind, expected in ((None, None), ("channel", [2.0, 0.5]), ("layer", [1.25])):
        signs, scale = xnn.BinaryWeight(kind)(weight)  # type: ignore[arg-type]
        assert signs.flatten().tolist() == [1, -1, 1, 1, -1, 1, 1, -1]
        assert (scale if scale is None else scale.tolist()) == expected
    with pytest.raises(ValueError, match="channel"):
        xnn.BinaryWeight("row")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["channel", "layer"])
def test_gradient_of_the_scaled_weight_follows_the_chain_rule(kind: str) -> None:
    """dC/dW_i = sign(W_i)/n sum_j dC/dW~_j sign(W_j) + dC/dW~_i alpha 1_{|W_i|<=1}."""
    generator = torch.Generator().manual_seed(3)
    latent = torch.randn(5, 4, 3, 3, generator=generator, dtype=torch.float64)
    latent[0, 0, 0, 0] = 0.0
    latent.requires_grad_()
    upstream = torch.randn(latent.shape, generator=generator, dtype=torch.float64)
    signs, scale = xnn.BinaryWeight(kind)(latent)  # type: ignore[arg-type]
    (signs * scale.view(-1, 1, 1, 1)).backward(upstream)

    w = latent.detach().numpy()
    g = upstream.numpy()
    s = np.where(w >= 0, 1.0, -1.0)
    axes = (1, 2, 3) if kind == "channel" else (0, 1, 2, 3)
    n = np.prod([w.shape[a] for a in axes])
    alpha = np.abs(w).mean(axis=axes, keepdims=True)
    expected = s / n * (g * s).sum(axis=axes, keepdims=True) + g * alpha * (np.abs(w) <= 1)
    assert latent.grad is not None
    np.testing.assert_allclose(latent.grad.numpy(), expected, rtol=1e-12)


def test_gradient_through_the_scale_equals_finite_differences() -> None:
    # beyond the clip the estimator is silent: what remains is a true derivative
    generator = torch.Generator().manual_seed(5)
    latent = torch.randn(3, 8, generator=generator, dtype=torch.float64)
    latent = latent + 1.5 * torch.sign(latent)
    target = torch.randn(3, 8, generator=generator, dtype=torch.float64)

    def loss(w: torch.Tensor) -> torch.Tensor:
        signs, scale = xnn.BinaryWeight("channel")(w)
        return (((signs * scale.view(-1, 1)) - target) ** 2).sum()

    latent.requires_grad_()
    loss(latent).backward()
    assert latent.grad is not None
    step = 1e-6
    for index in np.ndindex(*latent.shape):
        up, down = latent.detach().clone(), latent.detach().clone()
        up[index] += step
        down[index] -= step
        numeric = (loss(up) - loss(down)) / (2 * step)
        assert abs(float(latent.grad[index]) - float(numeric)) < 1e-6


class TestInputQuant:
    def test_mean_and_std_share_one_scale(self) -> None:
        mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
        quant = xnn.InputQuant(mean=mean, std=std)
        pixels = torch.arange(256.0).view(1, 1, 256, 1).expand(1, 3, 256, 1)
        codes = quant(pixels).numpy()[0, :, :, 0]
        assert codes.dtype == np.float32
        values = (np.arange(256) / 255 - np.array(mean)[:, None]) / np.array(std)[:, None]
        assert np.abs(codes * quant.scale - values).max() <= quant.scale / 2 + 1e-9
        assert np.abs(codes).max() == 127
        assert quant.scale == float(np.float32(quant.scale))

    def test_unsigned_codes(self) -> None:
        quant = xnn.InputQuant(mean=0.0, std=1.0, bits=4, signed=False)
        codes = quant(torch.arange(256)[None])
        assert (codes.min(), codes.max()) == (0, 15)
        with pytest.raises(ValueError, match="unsigned"):
            xnn.InputQuant(mean=0.5, std=0.5, signed=False)

    def test_table_per_channel_and_shared(self) -> None:
        table = np.stack([np.arange(256) - 128, 127 - np.arange(256)])
        x = torch.randint(0, 256, (2, 2, 3, 4), generator=torch.Generator().manual_seed(0))
        y = xnn.InputQuant(table)(x.to(torch.uint8))
        assert torch.equal(y[:, 0], x[:, 0] - 128.0)
        assert torch.equal(y[:, 1], 127.0 - x[:, 1])
        shared = xnn.InputQuant(table[0].tolist())
        assert torch.equal(shared(x), x - 128.0)
        assert torch.equal(shared(x[:, :, 0, 0].float()), x[:, :, 0, 0] - 128.0)

    def test_table_of_signs_is_bipolar(self) -> None:
        quant = xnn.InputQuant(np.where(np.arange(256) >= 128, 1, -1), scale=0.5)
        assert (quant.bits, quant.signed, quant.scale) == (1, True, 0.5)

    @pytest.mark.parametrize(
        ("options", "word"),
        [
            ({}, "either"),
            ({"mean": 0.5}, "either"),
            ({"table": list(range(256)), "mean": 0.0, "std": 1.0}, "not both"),
            ({"table": list(range(256))}, "0..255"),
            ({"table": list(range(255))}, "256"),
            ({"table": [0.5] * 256}, "integers"),
            ({"table": [0] * 256, "bits": 9}, "1 to 8"),
            ({"table": [0] * 256, "bits": 1}, "one-bit"),
            ({"table": [0] * 256, "scale": 0.0}, "positive"),
            ({"mean": 0.5, "std": 0.0}, "positive"),
            ({"mean": float("nan"), "std": 1.0}, "finite"),
            ({"mean": 0.5, "std": 0.5, "bits": 1}, "one bit"),
        ],
    )
    def test_refuses(self, options: dict[str, object], word: str) -> None:
        with pytest.raises(ValueError, match=word):
            xnn.InputQuant(**options)  # type: ignore[arg-type]

    @pytest.mark.parametrize("bad", [-1.0, 256.0, 0.5, float("nan")])
    def test_refuses_what_is_no_pixel(self, bad: float) -> None:
        quant = xnn.InputQuant(mean=0.5, std=0.5)
        with pytest.raises(ValueError, match="raw pixels"):
            quant(torch.tensor([[0.0, bad]]))

    def test_refuses_another_number_of_channels(self) -> None:
        quant = xnn.InputQuant(mean=[0.5, 0.5], std=0.5)
        with pytest.raises(ValueError, match="2 channels"):
            quant(torch.zeros(1, 3, 2, 2))
