"""BinaryNet as Theano and Lasagne compute it, in NumPy and torch's float32: weights, file, forward."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

Array = np.ndarray


@dataclass
class Layer:
    """A layer of BinaryNet with its batch norm, as ``get_all_param_values`` orders them."""

    weight: Array
    bias: Array
    beta: Array
    gamma: Array
    mean: Array
    inv_std: Array

    def params(self) -> list[Array]:
        return [self.weight, self.bias, self.beta, self.gamma, self.mean, self.inv_std]


def layer(rng: np.random.Generator, shape: tuple[int, ...], taps: int) -> Layer:
    """Random weights in -1..+1 and a norm that sums of ``taps`` products need."""
    outputs = shape[0] if len(shape) == 4 else shape[1]
    weight = rng.uniform(-1, 1, shape).astype(np.float32)

    def vector(low: float, high: float) -> Array:
        return rng.uniform(low, high, outputs).astype(np.float32)

    signs = np.where(rng.random(outputs) < 0.3, -1, 1)
    spread = float(np.sqrt(taps))
    gamma = (vector(0.5, 1.5) * signs).astype(np.float32)
    return Layer(
        weight, vector(-1, 1), vector(-0.4, 0.4), gamma, vector(-spread, spread) / 2, vector(0.5, 2) / spread
    )


def mlp(seed: int, widths: tuple[int, ...] = (784, 40, 40, 10)) -> list[Layer]:
    rng = np.random.default_rng(seed)
    return [layer(rng, (a, b), a) for a, b in zip(widths, widths[1:], strict=False)]


def cnn(
    seed: int, widths: tuple[int, ...] = (3, 6, 6, 8, 8, 10, 10), dense: int = 20, flat: int = 16
) -> list[Layer]:
    """``flat``: pixels of the map that the first dense layer reads."""
    rng = np.random.default_rng(seed)
    convs = [layer(rng, (b, a, 3, 3), 9 * a) for a, b in zip(widths, widths[1:], strict=False)]
    flat *= widths[-1]
    return [*convs, *(layer(rng, s, s[0]) for s in ((flat, dense), (dense, dense), (dense, 10)))]


def write(path: Path, layers: list[Layer]) -> Path:
    np.savez(path, *[p for one in layers for p in one.params()])
    return path


def binary_tanh(x: torch.Tensor) -> torch.Tensor:
    """2 * round((x + 1) / 2) - 1 with C's round, which takes halves away from zero."""
    unit = torch.clamp((x + 1.0) / 2.0, 0, 1)
    return 2.0 * torch.floor(unit + 0.5) - 1.0


def binarised(weight: Array, half: float) -> Array:
    unit = np.clip((weight + np.float32(1)) / np.float32(2), 0, 1)
    rounded = np.where(unit == 0.5, half, np.rint(unit))
    return np.where(rounded != 0, 1.0, -1.0).astype(np.float32)


def forward(layers: list[Layer], pixels: Array, half: float = 1.0) -> Array:
    """Scores [N, 10] of pixels [N, C, H, W] 0..255."""
    x = torch.from_numpy((2.0 * (pixels.astype(np.float64) / 255.0) - 1.0).astype(np.float32))
    for i, one in enumerate(layers):
        weight = torch.from_numpy(binarised(one.weight, half))
        if one.weight.ndim == 4:
            # a convolution proper: the kernels are turned
            x = F.conv2d(x, torch.flip(weight, (2, 3)), padding=1)
            x = x + torch.from_numpy(one.bias).view(1, -1, 1, 1)
            x = F.max_pool2d(x, 2) if i % 2 else x
            shape = (1, -1, 1, 1)
        else:
            x = x.flatten(1) @ weight + torch.from_numpy(one.bias)
            shape = (1, -1)
        mean, factor, beta = (
            torch.from_numpy(v).view(shape) for v in (one.mean, one.gamma * one.inv_std, one.beta)
        )
        x = (x - mean) * factor + beta
        x = binary_tanh(x) if i < len(layers) - 1 else x
    return x.numpy()
