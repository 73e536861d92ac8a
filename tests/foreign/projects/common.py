"""Weights, pixels and comparisons for the re-created networks of other projects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

import xnorhw

Pixels = npt.NDArray[np.float32]


def trained(net: nn.Module, seed: int = 0, gamma: float = -0.3) -> nn.Module:
    """``net`` in eval with weights and batch norms as a training might leave them; gamma may be negative."""
    made = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for m in net.modules():
            if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d):
                assert m.running_mean is not None and m.running_var is not None
                m.running_mean.normal_(0, 0.3, generator=made)
                m.running_var.uniform_(0.4, 2, generator=made)
                if m.affine:
                    m.weight.uniform_(gamma, 1.5, generator=made)
                    m.bias.normal_(0, 0.3, generator=made)
            elif isinstance(m, nn.Conv2d | nn.Linear):
                m.weight.normal_(0, 0.3, generator=made)
                if m.bias is not None:
                    m.bias.normal_(0, 0.2, generator=made)
    return net.eval()


def pixels(shape: tuple[int, ...], count: int, seed: int = 0) -> Pixels:
    """Whole numbers 0..255 of the shape [count, *shape]: frames of blobs of many brightnesses."""
    rng = np.random.default_rng(seed)
    channels, height, width = shape
    coarse = rng.normal(0, 1, (count, channels, 4, 4))
    rows, columns = np.arange(height) * 4 // height, np.arange(width) * 4 // width
    blobs = coarse[:, :, rows][:, :, :, columns]
    base = rng.uniform(-1.5, 1.5, (count, channels, 1, 1))
    noise = rng.normal(0, 0.5, (count, *shape))
    made = np.clip(np.rint(127 + 70 * (base + blobs + noise)), 0, 255)
    return np.ascontiguousarray(made, np.float32)


def normalised(x: Pixels, mean: Any, std: Any) -> Tensor:
    """As torchvision's ToTensor and Normalize give them."""
    means, stds = (torch.tensor(v, dtype=torch.float32).reshape(-1, 1, 1) for v in (mean, std))
    return (torch.from_numpy(x) / 255 - means) / stds


def scores_of(net: nn.Module, x: Tensor) -> npt.NDArray[np.float32]:
    """[N, classes] of the network as its project runs it."""
    with torch.no_grad():
        found: npt.NDArray[np.float32] = net(x.clone()).numpy()
    return found


def differing(path: Path, theirs: npt.NDArray[np.float32], x: Pixels, **options: Any) -> int:
    """On how many frames the golden model of the imported file decides otherwise than the project."""
    ours = xnorhw.load(path, **options).predict(x)
    return int((ours.argmax(1) != theirs.argmax(1)).sum())


def decided(theirs: npt.NDArray[np.float32]) -> int:
    """How many classes occur at least twice among the decisions: equal decisions say something."""
    return int((np.bincount(theirs.argmax(1)) >= 2).sum())


def last_layer(net: nn.Module) -> nn.Conv2d | nn.Linear:
    """The last layer with weights."""
    return [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)][-1]


def settle(net: nn.Module, x: Tensor) -> None:
    """Give the batch norms the statistics of ``x``, as training does, and no class an advantage."""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    scores_of(net, x)
    net.eval()
    last, seen = last_layer(net), []
    handle = last.register_forward_hook(lambda _m, _i, out: seen.append(out.detach()))
    scores_of(net, x)
    handle.remove()
    every = torch.cat(seen)
    assert last.bias is not None
    with torch.no_grad():
        last.bias.sub_(every.mean([i for i in range(every.dim()) if i != 1]))
