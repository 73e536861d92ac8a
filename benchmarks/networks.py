"""Two networks of the field as modules of ours, from arrays of weights and thresholds.

``lfc`` is the MNIST network 784-1024-1024-1024-10, ``cnv`` the street-view network of nine
layers (59 million multiply-accumulates a frame).  The arrays are those of the trained
networks (``load``) or seeded random ones of the same shapes (``random_arrays``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import xnorhw
from xnorhw import nn as xnn

__all__ = ["INPUTS", "NETWORKS", "SHAPES", "cnv", "lfc", "load", "random_arrays"]

Arrays = dict[str, npt.NDArray[Any]]

SHAPES: dict[str, tuple[tuple[int, ...], ...]] = {
    "lfc": ((1024, 784), (1024, 1024), (1024, 1024), (10, 1024)),
    "cnv": (
        (64, 3, 3, 3),
        (64, 64, 3, 3),
        (128, 64, 3, 3),
        (128, 128, 3, 3),
        (256, 128, 3, 3),
        (256, 256, 3, 3),
        (512, 256),
        (512, 512),
        (10, 512),
    ),
}

INPUTS = {"lfc": xnorhw.Input((1, 28, 28)), "cnv": xnorhw.Input((3, 32, 32))}

FILES = {"lfc": "lfc_w1a1_mnist.npz", "cnv": "cnv_w1a1_svhn.npz"}

EPS = 1e-4


def at_least(thresholds: npt.NDArray[Any], spatial: bool) -> nn.Module:
    """A batch norm behind which Sign is (s >= threshold): gamma 1, beta 0, mean t - 0.5."""
    norm = (nn.BatchNorm2d if spatial else nn.BatchNorm1d)(len(thresholds), eps=EPS)
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.copy_(torch.from_numpy(thresholds.astype(np.float32)) - 0.5)
    norm.running_var.fill_(1 - EPS)
    return norm


def lfc(arrays: Arrays) -> nn.Module:
    """784-1024-1024-1024-10; an input bit is (pixel / 255 * 2 - 1 >= 0)."""
    bits = np.where(np.arange(256) / 255 * 2 - 1 >= 0, 1, -1)
    modules: list[nn.Module] = [xnn.InputQuant(table=torch.from_numpy(bits[None])), nn.Flatten()]
    for i in range(3):
        weight = torch.from_numpy(arrays[f"w{i}"].astype(np.float32))
        modules += [
            xnn.BinaryLinear.from_frozen(weight),
            at_least(arrays[f"t{i}"], spatial=False),
            xnn.Sign(),
        ]
    modules.append(xnn.BinaryLinear.from_frozen(torch.from_numpy(arrays["w3"].astype(np.float32))))
    return nn.Sequential(*modules).eval()


def cnv(arrays: Arrays) -> nn.Module:
    """Six 3x3 convolutions without padding, pools behind the signs of layers 1 and 3, three linear."""
    pixel = np.arange(256)
    codes = np.clip(np.floor((pixel / 255 * 2 - 1) * 128 + 0.5), -128, 127)
    modules: list[nn.Module] = [xnn.InputQuant(table=torch.from_numpy(codes.astype(np.int64)[None]))]
    for i in range(9):
        weight = torch.from_numpy(arrays[f"w{i}"].astype(np.float32))
        spatial = weight.dim() == 4
        if i == 6:
            modules.append(nn.Flatten())
        layer = xnn.BinaryConv2d if spatial else xnn.BinaryLinear
        modules.append(layer.from_frozen(weight))
        if i < 8:
            modules += [at_least(arrays[f"t{i}"], spatial), xnn.Sign()]
        if i in (1, 3):
            modules.append(nn.MaxPool2d(2))
    return nn.Sequential(*modules).eval()


NETWORKS = {"lfc": lfc, "cnv": cnv}


def load(folder: Path, name: str) -> Arrays:
    """The arrays of the trained network ``name`` ("lfc" or "cnv") in ``folder``."""
    with np.load(folder / FILES[name], allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def random_arrays(name: str, seed: int = 0) -> Arrays:
    """Seeded random weights, and thresholds within a standard deviation of the layer's sums."""
    rng = np.random.default_rng(seed)
    arrays: Arrays = {}
    for i, shape in enumerate(SHAPES[name]):
        arrays[f"w{i}"] = (rng.integers(0, 2, shape) * 2 - 1).astype(np.int8)
        spread = np.sqrt(np.prod(shape[1:])) * (74 if name == "cnv" and i == 0 else 1)
        arrays[f"t{i}"] = np.rint(rng.uniform(-0.5, 0.5, shape[0]) * spread).astype(np.int32)
    return arrays
