"""tensorpack's DoReFa-Net examples as TensorFlow computes them: parameters, file, forward."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from tests.foreign.pictures import pictures

Array = np.ndarray
Params = dict[str, Array]
EPS = np.float32(1e-4)
MEAN, STD = (0.406, 0.456, 0.485), (0.225, 0.224, 0.229)
"""Of blue, green and red."""


def svhn(seed: int, width: int = 4, bits: tuple[int, int] = (1, 2)) -> Params:
    """svhn-digit-dorefa.py with ``width`` channels in place of 48, its norms fitted for ``bits``."""
    w = width
    shapes = {
        "conv0": (5, 5, 3, w),
        "conv1": (3, 3, w, w),
        "conv2": (3, 3, w, w),
        "conv3": (3, 3, w, 2 * w),
        "conv4": (3, 3, 2 * w, 2 * w),
        "conv5": (3, 3, 2 * w, 2 * w),
        "conv6": (5, 5, 2 * w, 8 * w),
        "fc1": (8 * w, 10),
    }
    params = _random(seed, shapes, {"conv0", "fc1"}, {"conv0", "fc1"}, {})
    Net(params, bits, learn=True).svhn(pictures(seed, 64, (3, 40, 40)))
    return params


def alexnet(seed: int, width: int = 4, classes: int = 7) -> Params:
    """alexnet-dorefa.py with ``width`` channels in place of 96; fc0 and fc1 have 8 * width."""
    w = width
    shapes = {
        "conv0": (12, 12, 3, w),
        "conv1": (5, 5, w // 2, 2 * w),
        "conv2": (3, 3, 2 * w, 2 * w),
        "conv3": (3, 3, w, 2 * w),
        "conv4": (3, 3, w, 2 * w),
        "fc0": (2 * w * 36, 8 * w),
        "fc1": (8 * w, 8 * w),
        "fct": (8 * w, classes),
    }
    norms = {"fc0": "bnfc0", "fc1": "bnfc1"}
    params = _random(seed, shapes, {"conv0", "fct"}, {"conv0", "fc0", "fct"}, norms)
    Net(params, (1, 2), learn=True).alexnet(pictures(seed, 24, (3, 224, 224)))
    return params


def _random(
    seed: int, shapes: dict[str, tuple[int, ...]], full: set[str], biased: set[str], norms: dict[str, str]
) -> Params:
    rng = np.random.default_rng(seed)
    params: Params = {}
    for name, shape in shapes.items():
        taps, outputs = int(np.prod(shape[:-1])), shape[-1]
        weight = rng.normal(0, 1, shape).astype(np.float32)
        if name in full:
            # numbers of a few bits: every sum of them is exact
            weight = (np.rint(weight * 32) / 64 / np.float32(2 ** np.rint(np.log2(taps) / 2))).astype(
                np.float32
            )
        params[f"{name}/W:0"] = weight
        if name in biased:
            params[f"{name}/b:0"] = rng.uniform(-0.2, 0.6, outputs).astype(np.float32)
        if name not in full:
            norm = norms.get(name, f"bn{name[-1]}")
            signs = np.where(rng.random(outputs) < 0.3, -1, 1)
            params[f"{norm}/gamma:0"] = (rng.uniform(0.3, 0.8, outputs) * signs).astype(np.float32)
            params[f"{norm}/beta:0"] = rng.uniform(0.2, 0.8, outputs).astype(np.float32)
            params[f"{norm}/mean/EMA:0"] = np.zeros(outputs, np.float32)
            params[f"{norm}/variance/EMA:0"] = np.ones(outputs, np.float32)
    return params


def write(path: Path, params: Params) -> Path:
    np.savez(path, **params, **{"global_step:0": np.int64(70), "learning_rate:0": np.float32(1e-4)})
    return path


class Net:
    """The forward pass of the scripts for (W, A) bits; NHWC tensors of TensorFlow lie as NCHW here.

    ``learn`` writes the statistics of what comes in into the batch norms of ``params``.
    """

    def __init__(self, params: Params, bits: tuple[int, int], learn: bool = False) -> None:
        self.learn = learn
        self.params = {n.removesuffix(":0"): torch.from_numpy(v) for n, v in params.items()}
        self.w, self.a = bits

    def quantised(self, weight: torch.Tensor) -> torch.Tensor:
        if self.w == 1:
            scale = weight.abs().mean()
            return torch.where(weight == 0, torch.ones_like(weight), torch.sign(weight / scale)) * scale
        t = torch.tanh(weight)
        n = float(2**self.w - 1)
        return 2 * (torch.round((t / t.abs().max() * 0.5 + 0.5) * n) / n) - 1

    def clip(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x) if self.a == 32 else torch.clamp(x, 0, 1)

    def act(self, x: torch.Tensor) -> torch.Tensor:
        n = float(2**self.a - 1)
        return torch.relu(x) if self.a == 32 else torch.round(self.clip(x) * n) / n

    def conv(self, x: torch.Tensor, name: str, same: bool, stride: int = 1, split: int = 1) -> torch.Tensor:
        weight = self.params[f"{name}/W"].permute(3, 2, 0, 1)
        weight = weight if name == "conv0" else self.quantised(weight)
        if same:
            x = _same(x, weight.shape[-1], stride, 0.0)
        y = F.conv2d(x.double(), weight.double(), None, stride, groups=split).float()
        bias = self.params.get(f"{name}/b")
        return y if bias is None else y + bias.view(1, -1, 1, 1)

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        shape = (1, -1, 1, 1) if x.dim() == 4 else (1, -1)
        if self.learn:
            axes = (0, 2, 3)[: x.dim() - 1]
            self.params[f"{name}/mean/EMA"].copy_(x.mean(axes))
            self.params[f"{name}/variance/EMA"].copy_(x.var(axes))
        p = [self.params[f"{name}/{n}"].view(shape) for n in ("gamma", "beta", "mean/EMA", "variance/EMA")]
        return (x - p[2]) * (p[0] * torch.rsqrt(p[3] + EPS)) + p[1]

    def dense(self, x: torch.Tensor, name: str) -> torch.Tensor:
        weight = self.params[f"{name}/W"]
        last = f"{name}/W" in ("fct/W",) or (name == "fc1" and "conv6/W" in self.params)
        weight = weight if last else self.quantised(weight)
        y = (x.flatten(1).double() @ weight.double()).float()
        bias = self.params.get(f"{name}/b")
        return y if bias is None else y + bias

    def svhn(self, pixels: Array) -> Array:
        x = torch.from_numpy(pixels.astype(np.float32) / np.float32(256))
        x = self.act(F.max_pool2d(self.conv(x, "conv0", False), 2))
        x = self.act(self.norm(self.conv(x, "conv1", True), "bn1"))
        x = self.act(F.max_pool2d(self.norm(self.conv(x, "conv2", True), "bn2"), 2))
        for name, same in (("conv3", False), ("conv4", True), ("conv5", False)):
            x = self.act(self.norm(self.conv(x, name, same), f"bn{name[-1]}"))
        x = self.clip(self.norm(self.conv(x, "conv6", False), "bn6"))
        return self.dense(x, "fc1").numpy()

    def alexnet(self, pixels: Array) -> Array:
        mean, std = (torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1) * 255 for v in (MEAN, STD))
        x = (torch.from_numpy(pixels.astype(np.float64)) - mean) / std
        x = self.act(self.conv(x, "conv0", False, 4))
        x = self.act(_pool_same(self.norm(self.conv(x, "conv1", True, split=2), "bn1")))
        x = self.act(_pool_same(self.norm(self.conv(x, "conv2", True), "bn2")))
        x = self.act(self.norm(self.conv(x, "conv3", True, split=2), "bn3"))
        x = self.act(F.max_pool2d(self.norm(self.conv(x, "conv4", True, split=2), "bn4"), 3, 2))
        x = self.act(self.norm(self.dense(x, "fc0"), "bnfc0"))
        x = self.clip(self.norm(self.dense(x, "fc1"), "bnfc1"))
        return self.dense(x, "fct").numpy()


def _same(x: torch.Tensor, kernel: int, stride: int, value: float) -> torch.Tensor:
    pads: list[int] = []
    for n in reversed(x.shape[2:]):
        total = max((-(-n // stride) - 1) * stride + kernel - n, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


def _pool_same(x: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(_same(x, 3, 2, float("-inf")), 3, 2)
