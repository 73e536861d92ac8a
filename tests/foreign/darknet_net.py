"""darknet's forward pass of xnor layers, CPU and GPU form, with its cfg and its weights file."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

Array = np.ndarray

CFG = """[net]
batch=64
width = 16
height=16
channels=3

[convolutional]
batch_normalize=1
filters=6
size=3
stride=1
pad=1
activation=leaky

[maxpool]
size=2
stride=2

# the binary part
[convolutional]
xnor=1
batch_normalize=1
filters=8
size=3
stride=1
pad=1
activation=leaky

[maxpool]
size=3
stride=2

[convolutional]
xnor=1
batch_normalize=1
filters=12
groups=2
size=3
stride=2
pad=1
activation=relu

[dropout]
probability=.5

[convolutional]
xnor=1
filters=10
size=2
stride=1
activation=linear

[softmax]
groups=1
"""


@dataclass
class Conv:
    """One [convolutional] layer and what it is followed by."""

    filters: int
    channels: int
    size: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    xnor: bool = True
    norm: bool = True
    activation: str = "leaky"
    pool: tuple[int, int] | None = None
    arrays: dict[str, Array] = field(default_factory=dict)


def network(seed: int, third: str = "relu") -> list[Conv]:
    """The layers of ``CFG`` with random weights; each mean is a value that sums take.

    ``third``: the third convolution's activation.
    """
    rng = np.random.default_rng(seed)
    layers = [
        Conv(6, 3, 3, padding=1, xnor=False, pool=(2, 2)),
        Conv(8, 6, 3, padding=1, pool=(3, 2)),
        Conv(12, 8, 3, stride=2, padding=1, groups=2, activation=third),
        Conv(10, 12, 2, norm=False, activation="linear"),
    ]
    for layer in layers:
        n = layer.filters
        taps = layer.channels // layer.groups * layer.size**2

        def vector(low: float, high: float, n: int = n) -> Array:
            return rng.uniform(low, high, n).astype(np.float32)

        shape = (n, layer.channels // layer.groups, layer.size, layer.size)
        weight = rng.normal(0, 1, shape).astype(np.float32)
        if layer.xnor:
            # every |weight| is a power of two: their mean too, and sums are exact
            weight = np.sign(weight) * np.float32(0.125)
        else:
            weight = (np.rint(weight * 64) / 64).astype(np.float32)
        sizes = vector(1, 3) * taps * (0.01 if layer.xnor else 0.05)
        means = (2 * rng.integers(-2, 3, n) + taps % 2) * 0.125 if layer.xnor else vector(-0.3, 0.3)
        layer.arrays = {
            "biases": np.where(rng.random(n) < 0.5, 0, vector(-0.3, 0.3)).astype(np.float32),
            "scales": vector(0.5, 2) * np.where(rng.random(n) < 0.3, -1, 1).astype(np.float32),
            "mean": means.astype(np.float32),
            "var": (sizes**2).astype(np.float32),
            "weights": weight.astype(np.float32),
        }
    return layers


def write(folder: Path, layers: list[Conv], name: str = "net", cfg: str = CFG) -> Path:
    """NAME.cfg and NAME_final.weights, as darknet 0.2 writes them."""
    (folder / f"{name}.cfg").write_text(cfg)
    data = struct.pack("<3iQ", 0, 2, 0, 64000)
    for layer in layers:
        names = ["biases", *(["scales", "mean", "var"] if layer.norm else []), "weights"]
        data += b"".join(layer.arrays[n].astype("<f4").tobytes() for n in names)
    path = folder / f"{name}_final.weights"
    path.write_bytes(data)
    return path


def forward(layers: list[Conv], pixels: Array, gpu: bool, eps: float | None = None) -> Array:
    """Scores [N, 10] of pixels [N, 3, 16, 16] 0..255."""
    x = torch.from_numpy(pixels.astype(np.float32) / np.float32(255))
    for layer in layers:
        a = {name: torch.from_numpy(v) for name, v in layer.arrays.items()}
        weight = a["weights"]
        if layer.xnor:
            alpha = weight.abs().flatten(1).mean(1).view(-1, 1, 1, 1)
            weight = torch.where(weight > 0, alpha, -alpha)
            x = torch.where(x >= 0 if gpu else x > 0, 1.0, -1.0)
        x = F.conv2d(x, weight, None, layer.stride, layer.padding, 1, layer.groups)
        shape = (1, -1, 1, 1)
        if layer.norm:
            if eps is not None or gpu:
                divisor = torch.sqrt(a["var"] + np.float32(1e-5 if eps is None else eps))
            else:
                divisor = (torch.sqrt(a["var"].double()) + float(np.float32(1e-6))).float()
            x = (x - a["mean"].view(shape)) / divisor.view(shape) * a["scales"].view(shape)
        x = x + a["biases"].view(shape)
        if layer.activation == "leaky":
            x = torch.where(x > 0, x, 0.1 * x)
        elif layer.activation == "relu":
            x = x * (x > 0)
        if layer.pool is not None:
            x = max_pool(x, *layer.pool)
    return x.flatten(1).numpy()


def max_pool(x: torch.Tensor, size: int, stride: int) -> torch.Tensor:
    """darknet's: a padding of size - 1 in all, the smaller half in front."""
    padding = size - 1
    out = [(n + padding - size) // stride + 1 for n in x.shape[2:]]
    before = padding // 2
    reach = [(n - 1) * stride + size for n in out]
    after = [max(r - n - before, 0) for r, n in zip(reach, x.shape[2:], strict=True)]
    x = F.pad(x, (before, after[1], before, after[0]), value=-3.4e38)
    return F.max_pool2d(x, size, stride)[:, :, : out[0], : out[1]]
